package salesforce

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockstep/connectors"
	"lockstep/connectors/envelope"
	"lockstep/schema"
)

// Envelope reads Change Data Capture events as EventBridge delivers them, wrapped by Event Relay (detail.payload) or by
// AppFlow (detail), and change sets (envelope.ChangeSet) of a flow or trigger. It is pure and safe for concurrent use.
type Envelope struct {
	// Client is the tag of our own changes, the connector's option `client`.
	Client string
	// User is our integration user's id; empty leaves echo marking to Client.
	User string
	// SequenceField is the connector's option `sequence_field`. Where it is set, an event's sequence is that field's
	// value and nothing else, so that it compares with what a read tells; else it is made of the commit's numbers.
	SequenceField string
	// Times and Dates are the API names of the object's date-time and date fields beside the system's own. CDC tells
	// both as milliseconds; they become what the REST API tells.
	Times, Dates []string
}

var _ connectors.Envelope = Envelope{}

// NewEnvelope returns the envelope that belongs to a connector with the same options. times and dates are the object's
// date-time and date fields.
func NewEnvelope(options map[string]string, times, dates []string) (Envelope, error) {
	set, err := readOptions(options)
	if err != nil {
		return Envelope{}, fmt.Errorf("salesforce: %w", err)
	}
	return Envelope{Client: set.client, User: set.user, SequenceField: set.sequenceField, Times: times, Dates: dates}, nil
}

// Split returns the events of one POST.
func (Envelope) Split(body []byte) ([]json.RawMessage, error) { return envelope.Split(body) }

// Parse reads one event; one that names several records becomes as many changes.
func (e Envelope) Parse(raw json.RawMessage) ([]schema.Change, error) {
	o, err := envelope.Open(raw)
	if err != nil {
		return nil, err
	}
	if set := (envelope.ChangeSet{User: e.User}); set.Is(o) {
		changes, err := set.Read(o)
		for i := range changes {
			changes[i].Ref = LongID(changes[i].Ref)
		}
		return changes, err
	}
	payload, err := o.Object("detail")
	if err != nil {
		return nil, err
	}
	if payload.Has("payload") {
		if payload, err = payload.Object("payload"); err != nil {
			return nil, err
		}
	}
	header, err := payload.Object("ChangeEventHeader")
	if err != nil {
		return nil, err
	}
	return e.read(payload, header)
}

func (e Envelope) read(payload, header envelope.Object) ([]schema.Change, error) {
	change, ids, err := e.head(header)
	if err != nil {
		return nil, err
	}
	if change.Kind != schema.EventDelete && !change.Cut {
		if change.Fields, change.Cut, err = e.fields(payload, header); err != nil {
			return nil, err
		}
	}
	if e.SequenceField != "" {
		number, _ := payload.Value(e.SequenceField)
		n, _ := number.(json.Number)
		change.Sequence = sequenceOf(n)
	}
	changes := make([]schema.Change, len(ids))
	for i, id := range ids {
		changes[i] = change
		changes[i].Ref = LongID(id)
	}
	return changes, nil
}

// head reads the ChangeEventHeader.
func (e Envelope) head(header envelope.Object) (change schema.Change, ids []string, err error) {
	if change.Object, err = header.Text("entityName", 64); err != nil {
		return change, nil, err
	}
	if ids, err = e.recordIDs(header); err != nil {
		return change, nil, err
	}
	kind, err := header.Text("changeType", 64)
	if err != nil {
		return change, nil, err
	}
	kind, change.Cut = cut(kind)
	switch kind {
	case "CREATE":
		// A new record: what it does not name is empty, unless it lost its data.
		change.Kind = schema.EventFull
		if change.Cut {
			change.Kind = schema.EventChange
		}
	case "UPDATE", "UNDELETE", "OVERFLOW":
		change.Kind = schema.EventChange
	case "DELETE":
		change.Kind = schema.EventDelete
	default:
		return change, nil, envelope.Mismatch(header.At("changeType"), "a change type of Change Data Capture is required")
	}
	if change.At, err = header.Milliseconds("commitTimestamp"); err != nil {
		return change, nil, err
	}
	if change.Ours, err = e.ours(header); err != nil {
		return change, nil, err
	}
	change.Sequence, err = commitSequence(header)
	return change, ids, err
}

// cut strips GAP_: such an event lost its data.
func cut(kind string) (string, bool) { return strings.CutPrefix(kind, "GAP_") }

func (e Envelope) recordIDs(header envelope.Object) ([]string, error) {
	ids, err := header.Texts("recordIds", 64)
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, envelope.Mismatch(header.At("recordIds"), "at least one record id is required")
	}
	for i, id := range ids {
		if !connectors.PlainID(id) {
			return nil, &schema.Refusal{
				Reason: schema.ReasonBadRecordID, Field: header.At("recordIds") + "/" + strconv.Itoa(i),
				Rule: "a record id is letters and digits",
			}
		}
	}
	return ids, nil
}

// ours reads changeOrigin, as in com/salesforce/api/rest/62.0;client=lockstep, and commitUser.
func (e Envelope) ours(header envelope.Object) (bool, error) {
	origin, err := header.OptionalText("changeOrigin", 1000)
	if err != nil {
		return false, err
	}
	user, err := header.OptionalText("commitUser", 255)
	if err != nil {
		return false, err
	}
	if e.User != "" && LongID(user) == LongID(e.User) {
		return true, nil
	}
	for _, part := range strings.Split(origin, ";") {
		if client, ok := strings.CutPrefix(part, "client="); ok && e.Client != "" && client == e.Client {
			return true, nil
		}
	}
	return false, nil
}

// commitSequence makes one number of a commit's number and the change's place in it; 0 when they do not fit together.
func commitSequence(header envelope.Object) (uint64, error) {
	commit, err := header.Whole("commitNumber")
	if err != nil {
		return 0, err
	}
	place, err := header.Whole("sequenceNumber")
	if err != nil {
		return 0, err
	}
	const places = 1 << 12
	if place >= places || commit > math.MaxInt64/places {
		return 0, nil
	}
	return commit*places + place, nil
}

// fields returns the values that the event tells: of an update the changed and emptied ones, where the event lists
// them, since some transports fill the rest with null. cut is set when a listed field has no value in the event.
func (e Envelope) fields(payload, header envelope.Object) (fields schema.Fields, cut bool, err error) {
	changed, err := header.Texts("changedFields", 255)
	if err != nil {
		return nil, false, err
	}
	nulled, err := header.Texts("nulledFields", 255)
	if err != nil {
		return nil, false, err
	}
	told := e.flatten(payload)
	for _, name := range nulled {
		told[flatName(name)] = nil
	}
	if len(changed) == 0 {
		return told, false, nil
	}
	fields = schema.Fields{}
	for _, name := range slices.Concat(changed, nulled) {
		flats := flatNames(name, told)
		for _, flat := range flats {
			value, ok := told[flat]
			if !ok {
				cut = true
				continue
			}
			fields[flat] = value
		}
		cut = cut || len(flats) == 0
	}
	return fields, cut, nil
}

// flatten names every scalar of the payload as the REST API does. Compounds are nested in an event and flat there.
func (e Envelope) flatten(payload envelope.Object) schema.Fields {
	fields := schema.Fields{}
	for _, name := range payload.Names() {
		value, _ := payload.Value(name)
		if parts, ok := value.(map[string]any); ok && name != "ChangeEventHeader" {
			for part, inner := range parts {
				if envelope.Scalar(inner) {
					fields[compound(name, part)] = e.spell(compound(name, part), inner)
				}
			}
			continue
		}
		if envelope.Scalar(value) {
			fields[name] = e.spell(name, value)
		}
	}
	return fields
}

// compound names a part: Name.FirstName is FirstName, MailingAddress.City is MailingCity.
func compound(whole, part string) string {
	if kind, ok := strings.CutSuffix(whole, "Address"); ok {
		return kind + part
	}
	if whole == "Name" {
		return part
	}
	return whole + "." + part
}

func flatName(name string) string {
	if whole, part, ok := strings.Cut(name, "."); ok {
		return compound(whole, part)
	}
	return name
}

// flatNames resolves a changed field to what the event tells of it; a compound that is listed whole is all its parts.
func flatNames(name string, told schema.Fields) []string {
	flat := flatName(name)
	if _, ok := told[flat]; ok || !(name == "Name" || strings.HasSuffix(name, "Address")) {
		return []string{flat}
	}
	parts := []string{}
	for _, part := range []string{
		"FirstName", "LastName", "MiddleName", "Salutation", "Suffix", "InformalName",
		"Street", "City", "State", "PostalCode", "Country", "StateCode", "CountryCode", "Latitude", "Longitude", "GeocodeAccuracy",
	} {
		if _, ok := told[compound(name, part)]; ok {
			parts = append(parts, compound(name, part))
		}
	}
	return parts
}

// spell turns the milliseconds of a date field into the text that the REST API has for it.
func (e Envelope) spell(name string, value any) any {
	number, ok := value.(json.Number)
	if !ok {
		return value
	}
	ms, err := strconv.ParseInt(number.String(), 10, 64)
	if err != nil {
		return value
	}
	at := time.UnixMilli(ms).UTC()
	switch {
	case isTime(name) || slices.Contains(e.Times, name):
		return at.Format("2006-01-02T15:04:05.000Z")
	case slices.Contains(e.Dates, name):
		return at.Format("2006-01-02")
	default:
		return value
	}
}

// isTime names the date-time fields that every object has.
func isTime(name string) bool {
	switch name {
	case "CreatedDate", "LastModifiedDate", modstamp, "LastViewedDate", "LastReferencedDate":
		return true
	default:
		return false
	}
}
