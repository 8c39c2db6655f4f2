package salesforcetest

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// record is one row of an object.
type record struct {
	object *object
	id     string
	// values holds every field by its API name; an absent one is null.
	values map[string]any
	// born is the record's place in the order of creation.
	born uint64
	// changes counts the changes of the record; Change_Seq__c shows it where the object has that field.
	changes int64
	// deleted is when the record went to the recycle bin; zero while it lives.
	deleted time.Time
}

// modified is the time of the record's last change.
func (r *record) modified() time.Time {
	at, _ := r.values["SystemModstamp"].(time.Time)
	return at
}

// table holds the rows of one object.
type table struct {
	object *object
	rows   []*record // in order of creation
	byID   map[string]*record
	// index leads from an indexed field and a folded value to the live rows.
	index map[string]map[string]map[*record]struct{}
	// last numbers ids, born rows.
	last, born uint64
}

func newTable(o *object) *table {
	t := &table{object: o, byID: map[string]*record{}, index: map[string]map[string]map[*record]struct{}{}}
	for _, f := range o.fields {
		if f.indexed() {
			t.index[f.Name] = map[string]map[*record]struct{}{}
		}
	}
	return t
}

// row finds a row by its id in the 15- or 18-character form, or as it was given explicitly; deleted rows too.
func (t *table) row(id string) *record {
	if r := t.byID[id]; r != nil {
		return r
	}
	if full, ok := fullID(id); ok {
		return t.byID[full]
	}
	return nil
}

// having returns the live rows whose field holds value, in order of creation.
func (t *table) having(f *field, value any) []*record {
	var out []*record
	if index, ok := t.index[f.Name]; ok {
		out = slices.Collect(maps.Keys(index[f.folded(value)]))
		slices.SortFunc(out, func(a, b *record) int { return cmp.Compare(a.born, b.born) })
		return out
	}
	for _, r := range t.rows {
		if r.deleted.IsZero() && same(r.values[f.Name], value) {
			out = append(out, r)
		}
	}
	return out
}

func (t *table) add(r *record) {
	t.born++
	r.born = t.born
	t.rows = append(t.rows, r)
	t.byID[r.id] = r
	t.enter(r)
}

func (t *table) drop(r *record) {
	t.leave(r)
	delete(t.byID, r.id)
	t.rows = slices.DeleteFunc(t.rows, func(have *record) bool { return have == r })
}

// enter and leave keep the indexes.
func (t *table) enter(r *record) {
	for name, index := range t.index {
		if v := r.values[name]; v != nil {
			key := t.object.find(name).folded(v)
			if index[key] == nil {
				index[key] = map[*record]struct{}{}
			}
			index[key][r] = struct{}{}
		}
	}
}

func (t *table) leave(r *record) {
	for name, index := range t.index {
		if v := r.values[name]; v != nil {
			key := t.object.find(name).folded(v)
			delete(index[key], r)
			if len(index[key]) == 0 {
				delete(index, key)
			}
		}
	}
}
