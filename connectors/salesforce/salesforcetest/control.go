package salesforcetest

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"

	"lockstep/connectors/simulator"
)

// State returns records as GET by id would show them. See simulator.Vendor.
func (s *Simulator) State(name, id string, withDeleted bool) ([]any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, refused := s.objectNamed(name)
	if refused != nil {
		return nil, simulator.ErrUnknown
	}
	var out []any
	for _, row := range s.tables[o.Name].rows {
		if (withDeleted || row.deleted.IsZero()) && (id == "" || row == s.tables[o.Name].row(id)) {
			out = append(out, s.show(row, nil, newestVersion))
		}
	}
	return out, nil
}

// Save creates or updates records as a person in the browser would. A record with an Id that is not there is created
// under that id, whatever its shape. See simulator.Vendor.
func (s *Simulator) Save(name string, body []byte, by string) (any, bool, error) {
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		return s.saveMany(name, body, by)
	}
	var fields map[string]any
	if err := decode(body, &fields); err != nil {
		return nil, false, rejection(err)
	}
	var isNew bool
	row, err := s.edit("POST", name, by, func(t *transaction, o *object) (row *record, err *apiError) {
		row, isNew, err = s.saveOne(t, o, fields)
		return row, err
	})
	return row, isNew, err
}

func (s *Simulator) saveMany(name string, body []byte, by string) (any, bool, error) {
	var records []map[string]any
	if err := decode(body, &records); err != nil {
		return nil, false, rejection(err)
	}
	out, anyNew := []any{}, false
	for _, fields := range records {
		row, err := s.edit("POST", name, by, func(t *transaction, o *object) (*record, *apiError) {
			row, isNew, err := s.saveOne(t, o, fields)
			anyNew = anyNew || isNew
			return row, err
		})
		if err != nil {
			return nil, false, err
		}
		out = append(out, row)
	}
	return out, anyNew, nil
}

func (s *Simulator) saveOne(t *transaction, o *object, body map[string]any) (row *record, isNew bool, err *apiError) {
	fields, id := withoutID(body)
	if id != "" {
		row = s.tables[o.Name].row(id)
	}
	if row != nil && !row.deleted.IsZero() {
		return nil, false, deleted()
	}
	why := forUpdate
	if row == nil {
		why = forCreate
	}
	values, err := s.accept(o, fields, why)
	if err != nil {
		return nil, false, err
	}
	if row == nil {
		row, err = t.create(o, values, id)
		return row, true, err
	}
	return row, false, t.update(row, values)
}

// Remove deletes a record as a person would. See simulator.Vendor.
func (s *Simulator) Remove(name, id, by string) error {
	_, err := s.edit("DELETE", name, by, func(t *transaction, o *object) (*record, *apiError) {
		row, err := s.byID(o, id)
		if err != nil {
			return nil, err
		}
		return row, t.remove(row, simulator.OpDelete)
	})
	return err
}

// Undelete takes a record out of the recycle bin.
func (s *Simulator) Undelete(name, id, by string) (any, error) {
	return s.edit("POST", name, by, func(t *transaction, o *object) (*record, *apiError) {
		row := s.tables[o.Name].row(id)
		if row == nil || row.deleted.IsZero() {
			return nil, notFound()
		}
		return row, t.restore(row)
	})
}

// Merge keeps the first of the named records, fills its empty fields from the others and deletes those, as the merge in
// the browser does. See simulator.Vendor.
func (s *Simulator) Merge(name string, body []byte, by string) (any, error) {
	var named struct {
		IDs []string `json:"ids"`
	}
	if err := simulator.Decode(body, &named); err != nil {
		return nil, err
	}
	if len(named.IDs) < 2 || len(named.IDs) > 3 {
		return nil, errors.New("a merge names two or three ids, the winner first")
	}
	return s.edit("POST", name, by, func(t *transaction, o *object) (*record, *apiError) {
		rows := make([]*record, len(named.IDs))
		for i, id := range named.IDs {
			row, err := s.byID(o, id)
			if err != nil {
				return nil, err
			}
			rows[i] = row
		}
		return rows[0], s.merge(t, rows[0], rows[1:])
	})
}

func (s *Simulator) merge(t *transaction, winner *record, losers []*record) *apiError {
	taken := map[string]any{}
	for _, loser := range losers {
		for _, f := range winner.object.fields {
			if value := loser.values[f.Name]; value != nil && winner.values[f.Name] == nil && taken[f.Name] == nil && f.told() {
				taken[f.Name] = value
			}
		}
		if err := t.remove(loser, simulator.OpMerge); err != nil {
			return err
		}
		if winner.object.find("MasterRecordId") != nil {
			loser.values["MasterRecordId"] = winner.id
		}
	}
	return t.update(winner, taken)
}

// edit runs one change of a person: a journal entry, a transaction, an answer in the vendor's shape.
func (s *Simulator) edit(
	method, name, by string, work func(*transaction, *object) (*record, *apiError),
) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, refused := s.objectNamed(name)
	if refused != nil {
		return nil, simulator.ErrUnknown
	}
	if by == "" {
		by = s.options.HumanID
	}
	path := "/records/" + o.Name
	entry := s.journal.Begin(simulator.Entry{
		Kind: simulator.EntryEdit, Method: method, Route: "/records/{object}", Path: path, Credential: "human",
	})
	t := &transaction{s: s, entry: entry, by: by, origin: humanOrigin, allowDuplicates: true}
	t.owner = t
	row, err := work(t, o)
	if err != nil {
		t.rollback(mark{})
		s.unlock(t)
		s.journal.End(entry, 400, "")
		return nil, rejection(err)
	}
	t.commit()
	s.unlock(t)
	s.journal.End(entry, 200, "")
	return s.show(row, nil, newestVersion), nil
}

// rejection passes an error of the vendor on through the control API.
func rejection(err *apiError) error {
	a := err.answer()
	return &simulator.Rejection{Status: a.Status, Body: a.Body}
}

// webhookChange is the body of POST /webhooks; what is absent stays.
type webhookChange struct {
	simulator.WebhookSettings
	Secret  *string   `json:"secret"`
	Format  *string   `json:"format"`
	Objects *[]string `json:"objects"`
}

// ConfigureWebhooks changes what body names. See simulator.Vendor.
func (s *Simulator) ConfigureWebhooks(body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	change := webhookChange{WebhookSettings: s.sender.Settings()}
	if err := simulator.Decode(body, &change); err != nil {
		return err
	}
	if err := s.checkWebhooks(change); err != nil {
		return err
	}
	err := s.sender.Change(func(settings *simulator.WebhookSettings) error {
		*settings = change.WebhookSettings
		return nil
	})
	if err != nil {
		return err
	}
	if change.Secret != nil {
		s.secrets = []string{*change.Secret}
	}
	if change.Format != nil {
		s.format = *change.Format
	}
	if change.Objects != nil {
		s.told = *change.Objects
	}
	return nil
}

func (s *Simulator) checkWebhooks(c webhookChange) error {
	if c.Secret != nil {
		if err := checkSecret(*c.Secret); err != nil {
			return err
		}
	}
	if c.Format != nil && *c.Format != FormatApex && *c.Format != FormatCDC {
		return fmt.Errorf("format must be %s or %s", FormatApex, FormatCDC)
	}
	if c.Objects == nil {
		return nil
	}
	for _, name := range *c.Objects {
		if s.tables[name] == nil {
			return fmt.Errorf("objects names the unknown object %s", name)
		}
	}
	return nil
}

// Webhooks returns settings and counts. See simulator.Vendor.
func (s *Simulator) Webhooks() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return struct {
		simulator.WebhookSettings
		simulator.WebhookCounts
		Format  string   `json:"format"`
		Objects []string `json:"objects"`
	}{s.sender.Settings(), s.sender.Counts(), s.format, s.told}
}

// extendControl adds what only Salesforce has.
func (s *Simulator) extendControl(mux *http.ServeMux) {
	mux.HandleFunc("POST /records/{object}/{id}/undelete", func(w http.ResponseWriter, r *http.Request) {
		row, err := s.Undelete(r.PathValue("object"), r.PathValue("id"), r.URL.Query().Get("user"))
		if err != nil {
			simulator.Refuse(w, err)
			return
		}
		simulator.Reply(w, 200, row)
	})
}

// Switch changes what body names of the switches. See simulator.Vendor.
func (s *Simulator) Switch(body []byte) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.switches
	if err := simulator.Decode(body, &next); err != nil {
		return nil, err
	}
	if err := next.check(); err != nil {
		return nil, err
	}
	s.switches = next
	return next, nil
}

// RotateSecrets replaces the secrets that body names. See simulator.Vendor.
func (s *Simulator) RotateSecrets(body []byte) error {
	var change struct {
		ClientSecret  *string `json:"client_secret"`
		WebhookSecret *string `json:"webhook_secret"`
		// KeepPrevious lets the former webhook secret sign beside the new one.
		KeepPrevious bool `json:"keep_previous"`
	}
	if err := simulator.Decode(body, &change); err != nil {
		return err
	}
	if change.WebhookSecret != nil {
		if err := checkSecret(*change.WebhookSecret); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if change.ClientSecret != nil {
		s.clientSecret = *change.ClientSecret
	}
	if change.WebhookSecret != nil {
		former := s.secrets[0]
		if s.secrets = []string{*change.WebhookSecret}; change.KeepPrevious {
			s.secrets = append(s.secrets, former)
		}
	}
	return nil
}

// RevokeTokens ends every session. See simulator.Vendor.
func (s *Simulator) RevokeTokens() { s.tokens.RevokeAll() }
