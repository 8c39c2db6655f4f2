package genesystest

import (
	"fmt"

	"lockstep/connectors/simulator"
)

// maxBulkEnrich is how many operations one bulk enrich holds.
const maxBulkEnrich = 10

// bulkResult is the fate of one item.
type bulkResult struct {
	ID      string     `json:"id,omitempty"`
	Success bool       `json:"success"`
	Status  int        `json:"status"`
	Entity  any        `json:"entity,omitempty"`
	Error   *itemError `json:"error,omitempty"`
}

// each serves every item of a bulk request and answers 200, whatever became of the items.
func (s *Simulator) each(rq *request, n int, ids func(i int) []string, work func(i int) bulkResult) (
	simulator.Answer, *apiError,
) {
	results, failed := []bulkResult{}, []int{}
	for i := range n {
		var result bulkResult
		if fault, hit := rq.ItemFault(i, ids(i)...); hit {
			result = bulkResult{ID: ids(i)[0], Error: itemFault(fault).item(nil)}
			result.Status = result.Error.Status
		} else {
			result = work(i)
		}
		if !result.Success {
			failed = append(failed, i)
		}
		results = append(results, result)
	}
	return ok(map[string]any{"results": results, "errorCount": len(failed), "errorIndexes": failed})
}

func itemFault(f simulator.Fault) *apiError {
	if f.Code == 0 {
		f.Code = 503
	}
	return faultError(f)
}

func failedItem(id string, err *apiError, entity any) bulkResult {
	return bulkResult{ID: id, Status: err.Status, Error: err.item(entity)}
}

// bulkEnrich serves POST /bulk/contacts/enrich.
func (s *Simulator) bulkEnrich(rq *request) (simulator.Answer, *apiError) {
	var in struct {
		Entities []enrichRequest `json:"entities"`
	}
	if err := rq.decode(&in); err != nil {
		return simulator.Answer{}, err
	}
	if n := len(in.Entities); n == 0 || n > maxBulkEnrich {
		return simulator.Answer{}, unprocessable("entities",
			fmt.Sprintf("A bulk request holds between 1 and %d operations.", maxBulkEnrich))
	}
	dry := rq.Query.Get("dryRun") == "true"
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := func(i int) []string {
		out := []string{in.Entities[i].ID}
		for _, m := range in.Entities[i].MatchingIdentifiers {
			out = append(out, m.Value)
		}
		return out
	}
	return s.each(rq, len(in.Entities), ids, func(i int) bulkResult {
		shown, status, err := s.writer(rq).enrich(in.Entities[i], dry)
		if err != nil {
			return failedItem(in.Entities[i].ID, err, in.Entities[i])
		}
		return bulkResult{ID: in.Entities[i].ID, Success: true, Status: status, Entity: shown}
	})
}

// bulkIDs reads a bulk request that holds ids.
func bulkIDs(rq *request) ([]string, *apiError) {
	var in struct {
		Entities []struct {
			ID string `json:"id"`
		} `json:"entities"`
	}
	if err := rq.decode(&in); err != nil {
		return nil, err
	}
	if len(in.Entities) == 0 {
		return nil, unprocessable("entities", "A bulk request holds at least one entity.")
	}
	ids := make([]string, len(in.Entities))
	for i, e := range in.Entities {
		ids[i] = e.ID
	}
	return ids, nil
}

// overIDs serves a bulk request that holds ids of contacts.
func (s *Simulator) overIDs(rq *request, work func(*contact) any) (simulator.Answer, *apiError) {
	ids, err := bulkIDs(rq)
	if err != nil {
		return simulator.Answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.each(rq, len(ids), func(i int) []string { return ids[i : i+1] }, func(i int) bulkResult {
		c, err := s.contact(ids[i])
		if err != nil {
			return failedItem(ids[i], err, map[string]any{"id": ids[i]})
		}
		return bulkResult{ID: ids[i], Success: true, Status: 200, Entity: work(c)}
	})
}

// bulkRead serves POST /bulk/contacts.
func (s *Simulator) bulkRead(rq *request) (simulator.Answer, *apiError) {
	return s.overIDs(rq, func(c *contact) any { return s.show(c, expansion{}) })
}

// bulkRemove serves POST /bulk/contacts/remove.
func (s *Simulator) bulkRemove(rq *request) (simulator.Answer, *apiError) {
	return s.overIDs(rq, func(c *contact) any {
		s.writer(rq).remove(c)
		return nil
	})
}

// bulkContacts reads a bulk request that holds whole contacts.
func bulkContacts(rq *request) ([]map[string]any, *apiError) {
	var in struct {
		Entities []map[string]any `json:"entities"`
	}
	if err := rq.decode(&in); err != nil {
		return nil, err
	}
	if len(in.Entities) == 0 {
		return nil, unprocessable("entities", "A bulk request holds at least one entity.")
	}
	return in.Entities, nil
}

// names lists what an item goes by, for faults that name a record.
func names(entity map[string]any) []string {
	id, _ := entity["id"].(string)
	out := []string{id}
	list, _ := entity["externalIds"].([]any)
	for _, item := range list {
		entry, _ := item.(map[string]any)
		if value, ok := entry["value"].(string); ok {
			out = append(out, value)
		}
	}
	return out
}

// bulkAdd serves POST /bulk/contacts/add.
func (s *Simulator) bulkAdd(rq *request) (simulator.Answer, *apiError) {
	entities, err := bulkContacts(rq)
	if err != nil {
		return simulator.Answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.each(rq, len(entities), func(i int) []string { return names(entities[i]) }, func(i int) bulkResult {
		c, err := s.writer(rq).create(entities[i], "")
		if err != nil {
			return failedItem("", err, entities[i])
		}
		return bulkResult{ID: c.id, Success: true, Status: 200, Entity: s.show(c, expansion{})}
	})
}

// bulkUpdate serves POST /bulk/contacts/update: like PUT, item by item.
func (s *Simulator) bulkUpdate(rq *request) (simulator.Answer, *apiError) {
	entities, err := bulkContacts(rq)
	if err != nil {
		return simulator.Answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.each(rq, len(entities), func(i int) []string { return names(entities[i]) }, func(i int) bulkResult {
		id, _ := entities[i]["id"].(string)
		c, err := s.contact(id)
		if err == nil {
			err = s.writer(rq).replace(c, entities[i])
		}
		if err != nil {
			return failedItem(id, err, entities[i])
		}
		return bulkResult{ID: c.id, Success: true, Status: 200, Entity: s.show(c, expansion{})}
	})
}

// bulkUnresolved serves POST /bulk/contacts/unresolved: the contacts themselves, merged or not.
func (s *Simulator) bulkUnresolved(rq *request) (simulator.Answer, *apiError) {
	ids, err := bulkIDs(rq)
	if err != nil {
		return simulator.Answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.each(rq, len(ids), func(i int) []string { return ids[i : i+1] }, func(i int) bulkResult {
		c := s.contacts.byID[ids[i]]
		if c == nil || c.deleted {
			return failedItem(ids[i], contactNotFound(ids[i]), map[string]any{"id": ids[i]})
		}
		return bulkResult{ID: ids[i], Success: true, Status: 200, Entity: s.show(c, expansion{})}
	})
}
