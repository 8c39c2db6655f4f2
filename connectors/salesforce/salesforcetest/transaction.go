package salesforcetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"lockstep/connectors/simulator"
)

// transaction is a change of the org under way. The org is locked from begin to commit or rollback, so nobody sees a
// part of it; commit journals the effects and queues the events in the same locked moment.
type transaction struct {
	s *Simulator
	// entry is the journal entry that the effects belong to.
	entry int64
	// owner tells requests apart that hold row locks.
	owner any
	// by is the user who writes, origin what change events call the way he came.
	by, origin string
	// key is the Idempotency-Key header of the request.
	key string
	// allowDuplicates skips an alerting duplicate rule.
	allowDuplicates bool

	undo    []func()
	effects []simulator.Effect
	changes []change
	// parents are the accounts whose rows this transaction has locked.
	parents []string
}

// change is one record's change for the receivers of events.
type change struct {
	row    *record
	id     string
	kind   string // CREATE, UPDATE, DELETE, UNDELETE
	fields []string
	before map[string]any
	after  map[string]any
	seq    int64
	at     time.Time
	by     string
	origin string
}

// mark is a point to roll back to.
type mark struct{ undo, effects, changes int }

func (t *transaction) mark() mark { return mark{len(t.undo), len(t.effects), len(t.changes)} }

func (t *transaction) rollback(m mark) {
	for i := len(t.undo) - 1; i >= m.undo; i-- {
		t.undo[i]()
	}
	t.undo, t.effects, t.changes = t.undo[:m.undo], t.effects[:m.effects], t.changes[:m.changes]
}

// commit makes the changes since the last commit final: journal first, then the events.
func (t *transaction) commit() {
	for _, e := range t.effects {
		t.s.journal.Effect(t.entry, e)
	}
	for _, c := range t.changes {
		t.s.announce(c)
	}
	t.undo, t.effects, t.changes = nil, nil, nil
}

// create inserts a record of o with accepted values; id is empty unless the control API names one.
func (t *transaction) create(o *object, values map[string]any, id string) (*record, *apiError) {
	tab := t.s.tables[o.Name]
	row := &record{object: o, values: map[string]any{}}
	for _, f := range o.fields {
		if f.Default != nil {
			row.values[f.Name] = f.Default
		}
	}
	if f := o.find("OwnerId"); f != nil {
		row.values["OwnerId"] = t.by
	}
	set(row.values, values)
	if err := t.s.requireFields(row, nil); err != nil {
		return nil, err
	}
	if err := t.s.checkUnique(row, values); err != nil {
		return nil, err
	}
	if err := t.checkDuplicates(row, values); err != nil {
		return nil, err
	}
	if err := t.lockParents(row); err != nil {
		return nil, err
	}
	now := t.s.now()
	tab.last++
	if row.id = t.s.longID(id); id == "" {
		for row.id = makeID(o.Prefix, tab.last); tab.byID[row.id] != nil; row.id = makeID(o.Prefix, tab.last) {
			tab.last++
		}
	}
	row.values["Id"] = row.id
	row.values["CreatedDate"], row.values["CreatedById"] = now, t.by
	if o.Name == "Case" {
		row.values["CaseNumber"] = fmt.Sprintf("%08d", 1000+tab.last)
	}
	t.stamp(row, now)
	compute(row, now)
	row.count()
	tab.add(row)
	t.undo = append(t.undo, func() { tab.drop(row) })
	t.note(row, simulator.OpCreate, "CREATE", values, nil, now)
	return row, nil
}

// update writes accepted values to a record. A write that changes nothing moves the stamps but is no change to tell of.
func (t *transaction) update(row *record, values map[string]any) *apiError {
	tab := t.s.tables[row.object.Name]
	before := maps.Clone(row.values)
	after := maps.Clone(row.values)
	set(after, values)
	if err := t.s.requireFields(&record{object: row.object, values: after}, values); err != nil {
		return err
	}
	changed := map[string]any{}
	for name, value := range values {
		if !same(before[name], value) {
			changed[name] = value
		}
	}
	probe := &record{object: row.object, id: row.id, values: after}
	if err := t.s.checkUnique(probe, changed); err != nil {
		return err
	}
	if err := t.checkDuplicates(probe, changed); err != nil {
		return err
	}
	if err := t.lockParents(row, probe); err != nil {
		return err
	}
	count := row.changes
	t.undo = append(t.undo, func() {
		tab.leave(row)
		row.values, row.changes = before, count
		tab.enter(row)
	})
	tab.leave(row)
	now := t.s.now()
	row.values = after
	t.stamp(row, now)
	compute(row, now)
	if len(changed) > 0 {
		row.count()
	}
	tab.enter(row)
	t.note(row, simulator.OpUpdate, "UPDATE", values, before, now)
	return nil
}

// remove sends a record to the recycle bin.
func (t *transaction) remove(row *record, op string) *apiError {
	if err := t.lockParents(row); err != nil {
		return err
	}
	tab := t.s.tables[row.object.Name]
	before, count := maps.Clone(row.values), row.changes
	t.undo = append(t.undo, func() {
		row.values, row.changes, row.deleted = before, count, time.Time{}
		tab.enter(row)
	})
	tab.leave(row)
	now := t.s.now()
	row.values = maps.Clone(row.values)
	row.values["IsDeleted"] = true
	row.deleted = now
	t.stamp(row, now)
	row.count()
	t.note(row, op, "DELETE", nil, before, now)
	return nil
}

// restore takes a record out of the recycle bin.
func (t *transaction) restore(row *record) *apiError {
	if err := t.s.checkUnique(row, row.values); err != nil {
		return err
	}
	tab := t.s.tables[row.object.Name]
	before, count, deleted := maps.Clone(row.values), row.changes, row.deleted
	t.undo = append(t.undo, func() {
		tab.leave(row)
		row.values, row.changes, row.deleted = before, count, deleted
	})
	now := t.s.now()
	row.values = maps.Clone(row.values)
	row.values["IsDeleted"] = false
	row.deleted = time.Time{}
	t.stamp(row, now)
	row.count()
	tab.enter(row)
	t.note(row, simulator.OpUndelete, "UNDELETE", nil, before, now)
	return nil
}

func (t *transaction) stamp(row *record, now time.Time) {
	row.values["LastModifiedDate"], row.values["SystemModstamp"] = now, now
	row.values["LastModifiedById"] = t.by
}

// note collects the effect and the change of a write.
func (t *transaction) note(row *record, op, kind string, written, before map[string]any, now time.Time) {
	e := simulator.Effect{Object: row.object.Name, ID: row.id, Op: op, Key: t.key}
	if e.Key == "" {
		e.Key = row.key()
	}
	var changed []string
	for _, f := range row.object.fields {
		value, wrote := written[f.Name]
		if wrote {
			put(&e.Fields, f.Name, f.show(value))
			if before != nil {
				put(&e.Before, f.Name, f.show(before[f.Name]))
			}
		}
		if (before == nil && row.values[f.Name] != nil || before != nil && !same(before[f.Name], row.values[f.Name])) &&
			f.told() {
			changed = append(changed, f.Name)
		}
	}
	e.Noop = op == simulator.OpUpdate && len(changed) == 0
	t.effects = append(t.effects, e)
	if e.Noop {
		return
	}
	t.changes = append(t.changes, change{
		row: row, id: row.id, kind: kind, fields: changed, before: before, after: maps.Clone(row.values),
		seq: row.changes, at: now, by: t.by, origin: t.origin,
	})
}

func put(m *map[string]any, name string, value any) {
	if *m == nil {
		*m = map[string]any{}
	}
	(*m)[name] = value
}

// told reports whether events tell of the field: computed fields and stamps go without saying.
func (f *field) told() bool {
	return !f.ReadOnly && f.Name != "Change_Seq__c"
}

// count is the flow that numbers the changes of a record.
func (r *record) count() {
	r.changes++
	if f := r.object.find("Change_Seq__c"); f != nil {
		r.values[f.Name] = float64(r.changes)
	}
}

// key is the external id that the record goes by.
func (r *record) key() string {
	for _, f := range r.object.fields {
		if s, ok := r.values[f.Name].(string); ok && f.ExternalID && f.Unique {
			return s
		}
	}
	return ""
}

// set overwrites into with values; null empties.
func set(into, values map[string]any) {
	for name, value := range values {
		if value == nil {
			delete(into, name)
		} else {
			into[name] = value
		}
	}
}

// compute fills the fields that Salesforce computes.
func compute(row *record, now time.Time) {
	v := row.values
	switch row.object.Name {
	case "Contact", "User":
		first, _ := v["FirstName"].(string)
		last, _ := v["LastName"].(string)
		v["Name"] = strings.TrimSpace(first + " " + last)
	case "Case":
		closed := v["Status"] == "Closed"
		if v["IsClosed"] = closed; !closed {
			delete(v, "ClosedDate")
		} else if v["ClosedDate"] == nil {
			v["ClosedDate"] = now
		}
		if stopped := v["IsStopped"] == true; !stopped {
			delete(v, "StopStartDate")
		} else if v["StopStartDate"] == nil {
			v["StopStartDate"] = now
		}
	case "Task":
		v["IsClosed"] = v["Status"] == "Completed"
	case "CaseMilestone":
		v["IsCompleted"] = v["CompletionDate"] != nil
	}
}

// requireFields refuses a record that lacks a required field; written limits an update to the fields it wrote.
func (s *Simulator) requireFields(row *record, written map[string]any) *apiError {
	var names []string
	for _, f := range row.object.fields {
		if _, wrote := written[f.Name]; f.Required && row.values[f.Name] == nil && (written == nil || wrote) {
			names = append(names, f.Name)
		}
	}
	if names == nil {
		return nil
	}
	return missing(names)
}

// checkUnique refuses a written value that another live record holds in a unique field.
func (s *Simulator) checkUnique(row *record, written map[string]any) *apiError {
	tab := s.tables[row.object.Name]
	for _, f := range row.object.fields {
		value, wrote := written[f.Name]
		if !wrote || value == nil || !s.unique(f) {
			continue
		}
		for _, other := range tab.having(f, value) {
			if other.id != row.id {
				return duplicateValue(f, other.id)
			}
		}
	}
	return nil
}

func (s *Simulator) unique(f *field) bool {
	return f.Unique || f.Name == "Customer_Number__c" && s.switches.UniqueCustomerNumber
}

// lockParents takes the row locks that a write needs: the account of each given row. A lock that another request holds
// refuses the write.
func (t *transaction) lockParents(rows ...*record) *apiError {
	for _, row := range rows {
		account := accountOf(row)
		if account == "" || slices.Contains(t.parents, account) {
			continue
		}
		if holder, held := t.s.locks[account]; held && holder != t.owner {
			return locked(account)
		}
		t.s.locks[account] = t.owner
		t.parents = append(t.parents, account)
	}
	return nil
}

// accountOf returns the account whose row a write to row locks.
func accountOf(row *record) string {
	if row.object.Name == "Account" {
		return row.id
	}
	for _, name := range []string{"AccountId", "WhatId"} {
		if id, ok := row.values[name].(string); ok && (name == "AccountId" || strings.HasPrefix(id, "001")) {
			return id
		}
	}
	return ""
}
