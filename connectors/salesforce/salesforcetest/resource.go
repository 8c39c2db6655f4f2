package salesforcetest

import (
	"fmt"
	"strings"
	"time"

	"lockstep/connectors/simulator"
)

// versions serves GET /services/data, the one data route without a session.
func (s *Simulator) versions(*simulator.Call) simulator.Answer {
	seasons := []string{"Winter", "Spring", "Summer"}
	out := []ordered{}
	for v := oldestVersion; v <= newestVersion; v++ {
		// v31 was Summer '14; three releases a year, Winter named for the year to come.
		release := v - 31 + 2
		label := fmt.Sprintf("%s '%02d", seasons[release%3], 14+release/3)
		out = append(out, ordered{
			{"label", label}, {"url", fmt.Sprintf("/services/data/v%d.0", v)}, {"version", fmt.Sprintf("%d.0", v)},
		})
	}
	return simulator.JSON(200, jsonType, out)
}

// resources serves GET /services/data/vXX.0.
func (s *Simulator) resources(rq *request) simulator.Answer {
	root := fmt.Sprintf("/services/data/v%d.0", rq.version)
	out := ordered{}
	for _, name := range []string{
		"sobjects", "query", "queryAll", "search", "parameterizedSearch", "composite", "limits",
	} {
		out = append(out, member{name, root + "/" + name})
	}
	return simulator.JSON(200, jsonType, append(out, member{"identity", s.identityURL()}))
}

// limits serves GET /limits.
func (s *Simulator) limits(*request) simulator.Answer {
	standing := s.quota.Standing()
	most := limit(standing)
	of := func(most, remaining int) ordered { return ordered{{"Max", most}, {"Remaining", remaining}} }
	return simulator.JSON(200, jsonType, ordered{
		{"DailyApiRequests", of(most, max(most-standing.Used, 0))},
		{"DailyAsyncApexExecutions", of(250_000, 250_000)},
		{"DailyBulkApiBatches", of(15_000, 15_000)},
		{"DailyBulkV2QueryJobs", of(10_000, 10_000)},
		{"DailyDurableStreamingApiEvents", of(10_000, 10_000)},
		{"DataStorageMB", of(5, 5)},
		{"FileStorageMB", of(20, 20)},
		{"HourlyPublishedPlatformEvents", of(50_000, 50_000)},
		{"SingleEmail", of(15, 15)},
	})
}

// replicationDays is how far back updated and deleted reach.
const replicationDays = 30

// span reads start and end of a replication request. As documented, their seconds do not count.
func (s *Simulator) span(rq *request) (start, end time.Time, err *apiError) {
	for name, at := range map[string]*time.Time{"start": &start, "end": &end} {
		text := rq.Query.Get(name)
		if text == "" {
			return start, end, &apiError{Code: "MISSING_ARGUMENT", Message: "The " + name + " parameter is required."}
		}
		read, ok := parseTime(text)
		if !ok {
			// A plus sign that the client did not encode arrives as a blank.
			return start, end, &apiError{
				Code: "MALFORMED_QUERY", Message: "Invalid value for the " + name + " parameter: " + text,
			}
		}
		if !s.switches.ReplicationSeconds {
			read = read.Truncate(time.Minute)
		}
		*at = read
	}
	switch {
	case !start.Before(end):
		return start, end, &apiError{Code: "INVALID_REPLICATION_DATE", Message: "startDate before endDate"}
	case s.clock.Now().Sub(start) > replicationDays*24*time.Hour:
		return start, end, &apiError{
			Code: "INVALID_REPLICATION_DATE", Message: "startDate cannot be more than 30 days ago",
		}
	}
	return start, end, nil
}

// covered is the moment up to which a replication answer is complete.
func (s *Simulator) covered(end time.Time) string {
	if now := s.now(); end.After(now) {
		end = now
	}
	return end.Format(timeFormat)
}

// updated serves GET /sobjects/{object}/updated.
func (s *Simulator) updated(rq *request) simulator.Answer {
	return s.read(rq, func() simulator.Answer {
		o, err := s.object(rq)
		if err != nil {
			return err.answer()
		}
		start, end, err := s.span(rq)
		if err != nil {
			return err.answer()
		}
		ids := []string{}
		for _, row := range s.tables[o.Name].rows {
			at := row.modified()
			if row.deleted.IsZero() && !at.Before(start) && at.Before(end) {
				ids = append(ids, row.id)
			}
		}
		return simulator.JSON(200, jsonType, ordered{{"ids", ids}, {"latestDateCovered", s.covered(end)}})
	})
}

// deletedSince serves GET /sobjects/{object}/deleted.
func (s *Simulator) deletedSince(rq *request) simulator.Answer {
	return s.read(rq, func() simulator.Answer {
		o, err := s.object(rq)
		if err != nil {
			return err.answer()
		}
		start, end, err := s.span(rq)
		if err != nil {
			return err.answer()
		}
		gone := []ordered{}
		for _, row := range s.tables[o.Name].rows {
			if !row.deleted.IsZero() && !row.deleted.Before(start) && row.deleted.Before(end) {
				gone = append(gone, ordered{{"id", row.id}, {"deletedDate", row.deleted.Format(timeFormat)}})
			}
		}
		earliest := s.now().AddDate(0, 0, -replicationDays).Format(timeFormat)
		return simulator.JSON(200, jsonType, ordered{
			{"deletedRecords", gone}, {"earliestDateAvailable", earliest}, {"latestDateCovered", s.covered(end)},
		})
	})
}

// describeGlobal serves GET /sobjects.
func (s *Simulator) describeGlobal(rq *request) simulator.Answer {
	out := []ordered{}
	for _, name := range s.names {
		out = append(out, outline(s.tables[name].object, rq.version))
	}
	return simulator.JSON(200, jsonType, ordered{{"encoding", "UTF-8"}, {"maxBatchSize", maxCollection}, {"sobjects", out}})
}

// basics serves GET /sobjects/{object}.
func (s *Simulator) basics(rq *request) simulator.Answer {
	o, err := s.object(rq)
	if err != nil {
		return err.answer()
	}
	return simulator.JSON(200, jsonType, ordered{{"objectDescribe", outline(o, rq.version)}, {"recentItems", []any{}}})
}

// describe serves GET /sobjects/{object}/describe.
func (s *Simulator) describe(rq *request) simulator.Answer {
	o, err := s.object(rq)
	if err != nil {
		return err.answer()
	}
	return s.read(rq, func() simulator.Answer {
		fields := []ordered{}
		for _, f := range o.fields {
			fields = append(fields, s.describeField(f))
		}
		return simulator.JSON(200, jsonType, append(outline(o, rq.version), member{"fields", fields}))
	})
}

func outline(o *object, version int) ordered {
	root := fmt.Sprintf("/services/data/v%d.0/sobjects/%s", version, o.Name)
	label := o.Label
	if label == "" {
		label = o.Name
	}
	return ordered{
		{"name", o.Name}, {"label", label}, {"labelPlural", label + "s"}, {"keyPrefix", o.Prefix},
		{"custom", strings.HasSuffix(o.Name, "__c")}, {"createable", true}, {"updateable", true}, {"deletable", true},
		{"queryable", true}, {"retrieveable", true}, {"replicateable", true}, {"searchable", true}, {"undeletable", true},
		{"urls", ordered{
			{"sobject", root}, {"describe", root + "/describe"}, {"rowTemplate", root + "/{ID}"},
		}},
	}
}

func (s *Simulator) describeField(f *field) ordered {
	values := []ordered{}
	for _, v := range f.Values {
		values = append(values, ordered{{"active", true}, {"defaultValue", v == f.Default}, {"label", v}, {"value", v}})
	}
	to := f.ReferenceTo
	if to == nil {
		to = []string{}
	}
	return ordered{
		{"name", f.Name}, {"label", f.Label}, {"type", f.Type}, {"length", f.Length}, {"custom", f.custom},
		{"externalId", f.ExternalID}, {"idLookup", f.ExternalID || f.Name == "Id"}, {"unique", s.unique(f)},
		{"caseSensitive", f.CaseSensitive}, {"nillable", !f.Required && !f.ReadOnly},
		{"createable", !f.ReadOnly}, {"updateable", !f.ReadOnly && !f.CreateOnly},
		{"filterable", f.Type != "textarea" || f.Length <= 255}, {"sortable", f.Type != "textarea"},
		{"calculated", false}, {"autoNumber", f.Name == "CaseNumber"}, {"defaultedOnCreate", f.Default != nil},
		{"restrictedPicklist", f.Restricted}, {"picklistValues", values}, {"referenceTo", to},
		{"relationshipName", nullable(f.Relationship)}, {"soapType", soapType(f.Type)},
	}
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func soapType(kind string) string {
	switch kind {
	case "id", "reference":
		return "tns:ID"
	case "boolean", "int", "double", "date":
		return "xsd:" + kind
	case "currency", "percent":
		return "xsd:double"
	case "datetime":
		return "xsd:dateTime"
	}
	return "xsd:string"
}
