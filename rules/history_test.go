package rules

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lockstep/schema"
)

// told is what a history says in the end: the value that stands there and since when.
type told struct {
	shadow string
	word   string
	since  int64
}

func tells(h *schema.History) told {
	var out told
	if run, ok := shadow(h); ok {
		out.shadow = run.Value.Reveal()
	}
	for run := range statements(h) {
		out.word, out.since = run.Value.Reveal(), run.From.At
		break
	}
	return out
}

func event(n int) schema.ID { return schema.ID{0: 1, 15: byte(n)} }

func at(ms int64) schema.Moment { return schema.Moment{At: ms} }

func said(value string, ms int64) observation {
	return observation{value: schema.Text(value), moment: at(ms), event: event(int(ms)), said: true, changed: true}
}

// TestAnyOrderTellsTheSame is INV-06 for one field of one system: permutations and repetitions of what its users did
// end in the same value, the same statement and the same time.
func TestAnyOrderTellsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "n")
		var all []observation
		for i := range n {
			value := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "value")
			o := said(value, int64(i+1)*10)
			o.changed = i == 0 || all[i-1].value != o.value
			all = append(all, o)
		}
		var want schema.History
		for _, o := range all {
			observe(&want, o, nil)
		}
		order := rapid.Permutation(all).Draw(t, "order")
		repeats := rapid.SliceOfN(rapid.SampledFrom(all), 0, 6).Draw(t, "repeats")
		var got schema.History
		for _, o := range append(order, repeats...) {
			observe(&got, o, nil)
		}
		if tells(&got) != tells(&want) {
			t.Fatalf("in order %v, else %v\n%s\n%s", tells(&want), tells(&got), dump(&want), dump(&got))
		}
	})
}

// TestFullEventsInAnyOrder is the same where every event shows the whole record: a value that stays keeps the time at
// which it came (protocol F8), as far as the window of sights reaches.
func TestFullEventsInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, keptSights).Draw(t, "n")
		var all []observation
		for i := range n {
			o := said(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "value"), int64(i+1)*10)
			o.said, o.changed = false, false
			all = append(all, o)
		}
		run := func(order []observation) told {
			var h schema.History
			var sights []schema.Moment
			for _, o := range order {
				observe(&h, o, sights)
				sights = addSight(sights, o.moment)
			}
			return tells(&h)
		}
		want := run(all)
		if got := run(rapid.Permutation(all).Draw(t, "order")); got != want {
			t.Fatalf("in order %v, else %v", want, got)
		}
	})
}

func dump(h *schema.History) string {
	s := fmt.Sprintf("floor %d:", h.Floor.At)
	for _, r := range h.Runs {
		s += fmt.Sprintf(" %s %d..%d %04b", r.Value.Reveal(), r.From.At, r.To.At, r.Flags)
	}
	return s
}

// The four ways in which a rule that drops "what equals our last write" loses an edit (protocol F7).

func TestF7AHumanSetsOurValueAgain(t *testing.T) {
	var h schema.History
	wrote(&h, schema.Text("open"), at(10), 10, 1)
	observe(&h, said("closed", 20), nil)
	if s := observe(&h, said("open", 30), nil); s != sightNewest {
		t.Errorf("the third event is %v, not news", s)
	}
	if got := tells(&h); got != (told{"open", "open", 30}) {
		t.Errorf("told %v", got)
	}
}

func TestF7TheSameSwapped(t *testing.T) {
	var h schema.History
	wrote(&h, schema.Text("open"), at(10), 10, 1)
	observe(&h, said("open", 30), nil)
	observe(&h, said("closed", 20), nil)
	if got := tells(&h); got != (told{"open", "open", 30}) {
		t.Errorf("told %v: %s", got, dump(&h))
	}
}

func TestF7AnEchoAdvancesNothing(t *testing.T) {
	var h schema.History
	observe(&h, said("old", 5), nil)
	wrote(&h, schema.Text("new"), schema.Moment{}, 10, 1)
	echo := said("new", 12)
	if s := observe(&h, echo, nil); s != sightKnown {
		t.Errorf("the echo is %v", s)
	}
	if got := tells(&h); got.word != "old" || got.shadow != "new" {
		t.Errorf("the echo became somebody's word: %v", got)
	}
}

func TestF7AnEventThatCannotBeOrderedIsRead(t *testing.T) {
	var h schema.History
	observe(&h, said("a", 5), nil)
	wrote(&h, schema.Text("b"), schema.Moment{}, 10, 1)
	if s := observe(&h, said("c", 9), nil); s != sightUnclear {
		t.Fatalf("an event beside our write of unknown time is %v", s)
	}
	// The read shows ours: the event came before it.
	read := observation{value: schema.Text("b"), moment: at(11), event: event(90), read: true}
	observe(&h, read, nil)
	late := said("c", 9)
	late.settled = true
	observe(&h, late, nil)
	if got := tells(&h); got != (told{"b", "c", 9}) {
		t.Errorf("told %v: %s", got, dump(&h))
	}
}

func TestAReadThatShowsAnotherValueCountsTheLossOfOurs(t *testing.T) {
	var h schema.History
	for n := range keptLimit {
		wrote(&h, schema.Text("long"), schema.Moment{}, int64(n)*10, int64(n))
		observe(&h, observation{value: schema.Text("lon"), moment: at(int64(n)*10 + 5), event: event(n + 1), read: true}, nil)
	}
	if h.Kept != keptLimit {
		t.Errorf("counted %d of %d", h.Kept, keptLimit)
	}
	wrote(&h, schema.Text("long"), at(100), 100, 9)
	observe(&h, observation{value: schema.Text("long"), moment: at(100), event: event(99)}, nil)
	if h.Kept != 0 {
		t.Errorf("a value that stands does not end the count")
	}
}

func TestEqualTimesWithoutASequenceAreRead(t *testing.T) {
	var h schema.History
	observe(&h, said("a", 10), nil)
	if s := observe(&h, said("b", 10), nil); s != sightUnclear {
		t.Errorf("two values of one instant: %v", s)
	}
	if s := observe(&h, said("a", 10), nil); s != sightKnown {
		t.Errorf("the same again: %v", s)
	}
	var ordered schema.History
	for _, o := range []observation{
		{value: schema.Text("b"), moment: schema.Moment{At: 10, Seq: 2}, event: event(2), said: true},
		{value: schema.Text("a"), moment: schema.Moment{At: 10, Seq: 1}, event: event(1), said: true},
	} {
		observe(&ordered, o, nil)
	}
	if got := tells(&ordered); got.word != "b" {
		t.Errorf("the sequence does not order: %v", got)
	}
}

// TestALateWordIsNeverForgotten shows that a full history still takes a word that came after the newest one it holds.
func TestALateWordIsNeverForgotten(t *testing.T) {
	var h schema.History
	observe(&h, said("first", 10), nil)
	for n := range 3 * keptRuns {
		wrote(&h, schema.Text(fmt.Sprintf("ours %d", n)), at(int64(100+n*10)), 0, int64(n))
	}
	observe(&h, said("late", 50), nil)
	if got := tells(&h); got.word != "late" {
		t.Errorf("the late word is gone: %v %s", got, dump(&h))
	}
	if len(h.Runs) > keptRuns {
		t.Errorf("%d runs kept", len(h.Runs))
	}
}

func TestHistoriesStaySmall(t *testing.T) {
	var h schema.History
	for range 1000 {
		o := said(fmt.Sprint(rand.IntN(50)), rand.Int64N(10000))
		observe(&h, o, nil)
		if rand.IntN(3) == 0 {
			wrote(&h, schema.Text(fmt.Sprint(rand.IntN(50))), schema.Moment{}, rand.Int64N(10000), 1)
		}
		if len(h.Runs) > keptRuns {
			t.Fatalf("%d runs", len(h.Runs))
		}
	}
}

func TestANullIsAWordOnlyWhenItEmpties(t *testing.T) {
	var h schema.History
	observe(&h, observation{value: schema.Null, moment: at(1), event: event(1)}, nil)
	if got := tells(&h); got.since != 0 {
		t.Errorf("an empty field that nobody emptied is a word: %v", got)
	}
	observe(&h, said("x", 2), nil)
	observe(&h, observation{value: schema.Null, moment: at(3), event: event(3)}, nil)
	if got := tells(&h); got != (told{"", "", 3}) {
		t.Errorf("emptying is no word: %v", got)
	}
}

func TestKillAndRevive(t *testing.T) {
	var h schema.History
	observe(&h, said("good", 10), nil)
	observe(&h, said("bad", 20), nil)
	if !kill(&h, event(20)) {
		t.Fatal("nothing to kill")
	}
	if got := tells(&h); got.word != "good" || got.shadow != "bad" {
		t.Errorf("after its death: %v", got)
	}
	revive(&h, event(20))
	if got := tells(&h); got.word != "bad" {
		t.Errorf("after its return: %v", got)
	}
}

// The clock that dates an edit may be ahead of the one that dates our answer to it: the answer came later all the same, and
// is not given again and again. An edit that was decided since is another matter.
func TestAWriteComesAfterTheWordThatItAnswers(t *testing.T) {
	r := customer(t)
	state, rev := linked(t, r)
	d := decide(r, state, rev, change(1, "desk", later(30), schema.Fields{"name": "Eve"}))
	told := map[string]schema.Value{"name": schema.Text("Ada")}
	if unclear := r.Wrote("desk", state, "", told, schema.Moment{At: later(10).UnixMilli()}, later(10).UnixMilli(), d.Rev); unclear {
		t.Error("the write is unclear")
	}
	if w, more := r.Next("desk", record, state, false); more {
		t.Errorf("%s again", w.Op)
	}
	// Its echo, dated by the same clock as the answer, is no news; an edit after the first one is.
	d = decide(r, state, d.Rev, full(2, "desk", later(10), schema.Fields{
		"ext": record.String(), "number": "C-1", "name": "Ada", "mail": "ada@example.com", "phone": "+13175550100", "seen": "monday",
	}))
	if d.Verdicts[0].Changed || len(d.Wants) != 0 {
		t.Errorf("the echo is taken for %+v", d)
	}
	d = decide(r, state, d.Rev, change(3, "desk", later(40), schema.Fields{"name": "Mallory"}))
	if got := wants(d); !slices.Equal(got, []string{"write desk"}) && !slices.Equal(got, []string{"read desk"}) {
		t.Errorf("after the next edit wants %v", got)
	}
	stands(t, r, state, "name", "Ada")
	// Decided while the write was under way, it may have come after it.
	state, rev = linked(t, r)
	d = decide(r, state, rev, change(1, "crm", later(1), schema.Fields{"Name": "Ada King"}))
	decide(r, state, d.Rev, change(2, "desk", later(30), schema.Fields{"name": "Eve"}))
	r.Wrote("desk", state, "", map[string]schema.Value{"name": schema.Text("Ada King")}, schema.Moment{At: later(10).UnixMilli()}, 0, d.Rev)
	if _, more := r.Next("desk", record, state, false); !more {
		t.Error("an edit that came after the write stands")
	}
}
