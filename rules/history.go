package rules

import (
	"slices"

	"lockstep/schema"
)

// keptRuns bounds a history. What was cut off is known and overruled by a later statement of the same system; a change
// dated before it arrives too late to matter.
const keptRuns = 8

// observation is one sight of a field in its system.
type observation struct {
	value  schema.Value
	moment schema.Moment
	event  schema.ID
	rev    int64
	// said: the event named the field, so that a null empties it.
	said bool
	// changed: the event itself says that another value stood there before, so that a run begins here.
	changed bool
	// ours: the system names us as the writer.
	ours bool
	// expected: nothing names the writer, and a write of ours with this very value may have come through.
	expected bool
	// read: we read the field after every write of ours that was answered before.
	read bool
	// settled: a read came after it, so that what cannot be ordered is overruled.
	settled bool
}

// sight is what an observation told about a field.
type sight int

const (
	// sightKnown: what we believed already.
	sightKnown sight = iota
	// sightOlder: something newer stands.
	sightOlder
	// sightNewest: the system holds another value than we believed, or its users said the same value anew.
	sightNewest
	// sightUnclear: only a read can tell.
	sightUnclear
)

// observe brings an observation into the history at its place in the system's own time. sights are the moments at which
// the whole record was seen. Any order and any repetition of the same observations tells the same value and the same
// statement; the property tests say so. On sightUnclear nothing has changed.
func observe(h *schema.History, o observation, sights []schema.Moment) sight {
	if !h.Floor.IsZero() && !after(o.moment, h.Floor) {
		return sightOlder
	}
	last := len(h.Runs) - 1
	if last < 0 || !h.Runs[last].Flags.Has(schema.RunFloating) {
		return place(h, o, sights)
	}
	// Our newest write has no time of the system's own yet.
	floating, prior := h.Runs[last], before(h, last)
	switch {
	case o.value == floating.Value && (o.read || after(o.moment, prior)):
		if !after(o.moment, prior) {
			o.moment = prior
		}
		h.Runs[last] = settled(floating, o)
		h.Kept = 0
		return sightKnown
	case o.read:
		// It was overwritten before we looked.
		h.Runs = h.Runs[:last]
		h.Kept++
		return place(h, o, sights)
	case o.settled || own(o) || !after(o.moment, prior):
		// Older than our write, the echo of one before it, or overruled by the read that followed.
		h.Runs = h.Runs[:last]
		place(h, o, sights)
		h.Runs = append(h.Runs, floating)
		cut(h)
		return sightOlder
	}
	return sightUnclear
}

// settled gives our write the time at which it was seen to stand.
func settled(run schema.Run, o observation) schema.Run {
	run.From, run.To, run.Last = o.moment, o.moment, o.event
	run.Flags &^= schema.RunFloating
	if own(o) {
		run.Flags |= schema.RunLastOwn
	}
	return run
}

// before returns the last moment known before run i.
func before(h *schema.History, i int) schema.Moment {
	if i == 0 {
		return h.Floor
	}
	return h.Runs[i-1].To
}

// after reports whether m is later than n, or may be.
func after(m, n schema.Moment) bool {
	order, ok := m.Compare(n)
	return order > 0 || !ok
}

// place brings an observation into a history without a floating run.
func place(h *schema.History, o observation, sights []schema.Moment) sight {
	i := len(h.Runs)
	for ; i > 0; i-- {
		run := h.Runs[i-1]
		toEnd, _ := o.moment.Compare(run.To)
		if toEnd > 0 {
			break
		}
		toStart, _ := o.moment.Compare(run.From)
		if toEnd == 0 || toStart == 0 {
			return sameInstant(h, i-1, o)
		}
		if toStart > 0 {
			return inside(h, i-1, o, sights)
		}
	}
	return insert(h, i, o)
}

// sameInstant decides about an observation at an instant at which run i was seen.
func sameInstant(h *schema.History, i int, o observation) sight {
	run := &h.Runs[i]
	newest := i == len(h.Runs)-1
	switch {
	case o.value == run.Value:
		if run.Flags.Has(schema.RunOwn) && run.Last == (schema.ID{}) {
			run.Last = o.event
			h.Kept = 0
		}
		if o.ours {
			run.Flags |= schema.RunLastOwn
		}
		if newest {
			return sightKnown
		}
		return sightOlder
	case o.read && newest:
		return insert(h, i+1, o)
	case o.read || o.settled || i > 0 && h.Runs[i-1].Value == o.value && sameAs(h.Runs[i-1].To, o.moment):
		return sightOlder
	}
	return sightUnclear
}

func sameAs(m, n schema.Moment) bool {
	order, _ := m.Compare(n)
	return order == 0
}

// inside splits run i around an observation of another value, or at one that says the value anew.
func inside(h *schema.History, i int, o observation, sights []schema.Moment) sight {
	run := h.Runs[i]
	if o.value == run.Value && !begins(o) {
		return sightKnown
	}
	left, right := run, run
	left.To, right.From = run.From, run.To
	for _, seen := range sights {
		if inRun := !after(run.From, seen) && !after(seen, run.To); !inRun {
			continue
		}
		if after(o.moment, seen) && after(seen, left.To) {
			left.To = seen
		}
		if after(seen, o.moment) && after(right.From, seen) {
			right.From = seen
		}
	}
	left.Last = schema.ID{}
	right.Event, right.Last = run.Last, schema.ID{}
	if run.Flags.Has(schema.RunOwn) && !run.Flags.Has(schema.RunLastOwn) {
		// Somebody set our value anew after the value between: from there on it is theirs.
		right.Flags &^= schema.RunOwn
	}
	right.Rev = o.rev
	right.Flags &^= schema.RunBegun
	h.Runs[i] = left
	if o.value == run.Value {
		right.From, right.Event = o.moment, o.event
		right.Flags = right.Flags&^schema.RunOwn | schema.RunBegun
		h.Runs = slices.Insert(h.Runs, i+1, right)
	} else {
		h.Runs = slices.Insert(h.Runs, i+1, newRun(o), right)
	}
	cut(h)
	return sightOlder
}

// insert puts an observation between the runs i-1 and i, joining it to a neighbour of the same value.
func insert(h *schema.History, i int, o observation) sight {
	newest := i == len(h.Runs)
	if i > 0 && h.Runs[i-1].Value == o.value && !begins(o) {
		prev := &h.Runs[i-1]
		prev.To, prev.Last = o.moment, o.event
		prev.Flags &^= schema.RunLastOwn
		if own(o) {
			prev.Flags |= schema.RunLastOwn
		}
		if newest && prev.Flags.Has(schema.RunOwn) {
			h.Kept = 0
		}
		if newest {
			return sightKnown
		}
		return sightOlder
	}
	if !newest && joins(&h.Runs[i], o) {
		next := &h.Runs[i]
		if next.Last == (schema.ID{}) {
			next.Last = next.Event
		}
		next.From, next.Event = o.moment, o.event
		next.Flags |= marks(o)
		return sightOlder
	}
	if newest && i > 0 && !own(o) && h.Runs[i-1].Flags.Has(schema.RunOwn) && h.Runs[i-1].Last == (schema.ID{}) {
		// Our write was never seen to stand.
		h.Kept++
	}
	h.Runs = slices.Insert(h.Runs, i, newRun(o))
	cut(h)
	if !newest {
		return sightOlder
	}
	return sightNewest
}

// begins reports whether somebody set the value at that moment, whatever stood there before: then a run begins, even if
// the value is the one that we believed already.
func begins(o observation) bool { return o.changed && !own(o) }

// joins reports whether an observation right before a run is a part of it.
func joins(next *schema.Run, o observation) bool {
	return next.Value == o.value && own(o) == next.Flags.Has(schema.RunOwn) && !next.Flags.Has(schema.RunBegun)
}

func own(o observation) bool { return o.ours || o.expected }

// marks are the flags that an observation gives the start of a run.
func marks(o observation) schema.RunFlags {
	var flags schema.RunFlags
	if o.said {
		flags |= schema.RunSaid
	}
	if begins(o) {
		flags |= schema.RunBegun
	}
	return flags
}

func newRun(o observation) schema.Run {
	run := schema.Run{Value: o.value, From: o.moment, To: o.moment, Event: o.event, Rev: o.rev, Flags: marks(o)}
	if own(o) {
		run.Flags |= schema.RunOwn | schema.RunLastOwn
		run.Event, run.Last = schema.ID{}, o.event
	}
	return run
}

// cut drops the oldest runs beyond keptRuns, but never the newest statement: a change dated after that one still counts,
// however late it comes. A null that followed a value stays a statement.
func cut(h *schema.History) {
	for len(h.Runs) > keptRuns {
		if newestForeign(h) == 0 {
			h.Runs = slices.Delete(h.Runs, 1, 2)
			continue
		}
		dropped := h.Runs[0]
		h.Floor = dropped.To
		h.Runs = slices.Delete(h.Runs, 0, 1)
		if next := &h.Runs[0]; next.Value.IsNull() && !dropped.Value.IsNull() {
			next.Flags |= schema.RunSaid
		}
	}
}

// newestForeign returns the position of the newest run that is not ours; the number of runs when all are.
func newestForeign(h *schema.History) int {
	for i := len(h.Runs) - 1; i >= 0; i-- {
		if !h.Runs[i].Flags.Has(schema.RunOwn) {
			return i
		}
	}
	return len(h.Runs)
}

// wrote brings a write of ours into the history once it was answered. at is the system's own time of it, or zero; sent
// is our clock, for a time that is unknown; rev is the revision that was sent. unclear is true when an event of the
// system was decided since and nothing orders the two: the field has to be read.
func wrote(h *schema.History, value schema.Value, at schema.Moment, sent int64, rev int64) (unclear bool) {
	n := len(h.Runs)
	if echoed(h, value, rev) {
		return false
	}
	if n > 0 && h.Runs[n-1].Value == value {
		if run := &h.Runs[n-1]; !at.IsZero() && run.Flags.Has(schema.RunFloating) {
			run.From, run.To = at, at
			run.Flags &^= schema.RunFloating
		}
		return false
	}
	if !at.IsZero() && !answersLater(h, at, rev) {
		settleFloating(h, at)
		return place(h, observation{value: value, moment: at, rev: rev, ours: true}, nil) == sightUnclear
	}
	unclear = n > 0 && h.Runs[n-1].Rev > rev
	settleFloating(h, schema.Moment{At: sent})
	h.Runs = append(h.Runs, schema.Run{
		Value: value, From: schema.Moment{At: sent}, To: schema.Moment{At: sent}, Rev: rev,
		Flags: schema.RunOwn | schema.RunFloating,
	})
	cut(h)
	return unclear
}

// answersLater reports whether the newest word is dated after the write that answered it: clocks differ. What was decided
// before the write was sent stood before it, whatever its date, and a time that says otherwise tells nothing about the
// write. By that time the write would never be the newest, and be made again for ever.
func answersLater(h *schema.History, at schema.Moment, rev int64) bool {
	if len(h.Runs) == 0 {
		return false
	}
	newest := h.Runs[len(h.Runs)-1]
	order, _ := at.Compare(newest.To)
	return order < 0 && newest.Rev <= rev && !newest.Flags.Has(schema.RunOwn)
}

// echoed reports whether the system's own event of a write came before its answer.
func echoed(h *schema.History, value schema.Value, rev int64) bool {
	return slices.ContainsFunc(h.Runs, func(r schema.Run) bool {
		return r.Value == value && r.Rev > rev && r.Flags.Has(schema.RunOwn) && r.Last != schema.ID{}
	})
}

// settleFloating gives our previous write, still without a time of its own, a place between what came before it and
// the moment of the next one.
func settleFloating(h *schema.History, next schema.Moment) {
	last := len(h.Runs) - 1
	if last < 0 || !h.Runs[last].Flags.Has(schema.RunFloating) {
		return
	}
	run := &h.Runs[last]
	run.Flags &^= schema.RunFloating
	floor := before(h, last)
	if run.From.At > next.At {
		run.From = schema.Moment{At: next.At - 1}
	}
	if run.From.At < floor.At {
		run.From = floor
	}
	run.To = run.From
}

// shadow returns what we believe the system holds; ok is false when nothing is known.
func shadow(h *schema.History) (run *schema.Run, ok bool) {
	if h == nil || len(h.Runs) == 0 {
		return nil, false
	}
	return &h.Runs[len(h.Runs)-1], true
}

// statements yields the runs that the system's own users said, newest first.
func statements(h *schema.History) func(func(*schema.Run) bool) {
	return func(yield func(*schema.Run) bool) {
		if h == nil {
			return
		}
		for i := len(h.Runs) - 1; i >= 0; i-- {
			run := &h.Runs[i]
			if run.Flags&(schema.RunOwn|schema.RunDead) != 0 {
				continue
			}
			emptied := run.Flags.Has(schema.RunSaid) || i > 0 && !h.Runs[i-1].Value.IsNull()
			if run.Value.IsNull() && !emptied {
				continue
			}
			if !yield(run) {
				return
			}
		}
	}
}

// kill takes an event's word back: its runs are statements no more. It reports whether there were any.
func kill(h *schema.History, event schema.ID) bool {
	found := false
	for i := range h.Runs {
		if h.Runs[i].Event == event && !h.Runs[i].Flags.Has(schema.RunOwn) {
			h.Runs[i].Flags |= schema.RunDead
			found = true
		}
	}
	return found
}

// revive undoes kill, for a replay of the event.
func revive(h *schema.History, event schema.ID) {
	for i := range h.Runs {
		if h.Runs[i].Event == event {
			h.Runs[i].Flags &^= schema.RunDead
		}
	}
}
