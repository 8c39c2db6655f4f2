package protocol_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"lockstep/internal/protocol"
)

// oracle knows what every governed field has to be in the end, from the humans' edits alone.
type oracle struct {
	people []*person
}

// person is one customer as the oracle sees it.
type person struct {
	email    string
	crmID    string
	deskID   string
	name     string
	seen     string
	nick     string
	nickedAt int64
	// log is what was done to the nick, for a failure's report.
	log []string
}

func (o *oracle) check(t *testing.T, w *world) {
	t.Helper()
	crm, crmWithout, crmDoubled := w.crm.State("key")
	desk, deskWithout, deskDoubled := w.desk.State("key")
	if crmWithout+crmDoubled+deskWithout+deskDoubled > 0 {
		t.Errorf("without our id: crm %d, desk %d; doubled: crm %d, desk %d", crmWithout, deskWithout, crmDoubled, deskDoubled)
	}
	if len(crm) != len(o.people) || len(desk) != len(o.people) {
		t.Errorf("%d people, but crm has %d and desk %d", len(o.people), len(crm), len(desk))
	}
	byEmail := map[string]map[string]string{}
	for _, r := range crm {
		byEmail[r["email"]] = r
	}
	differences := 0
	for _, p := range o.people {
		c := byEmail[p.email]
		if c == nil {
			t.Errorf("crm lost %s", p.email)
			continue
		}
		d := desk[c["key"]]
		if d == nil {
			t.Errorf("desk lost %s", p.email)
			continue
		}
		for _, f := range []struct{ field, want, crm, desk string }{
			{"email", p.email, c["email"], d["mail"]}, {"name", p.name, c["name"], d["name"]},
			{"seen", p.seen, c["seen"], d["seen"]}, {"nick", p.nick, c["nick"], d["nickname"]},
		} {
			if f.crm != f.want || f.desk != f.want {
				differences++
				if differences < 3 {
					w.explain(c["key"])
					t.Log(p.log)
				}
				if differences < 10 {
					t.Errorf("%s %s: want %q, crm %q, desk %q (%s)", p.email, f.field, f.want, f.crm, f.desk, c["key"])
				}
			}
		}
	}
	if differences > 0 {
		t.Errorf("%d differences", differences)
	}
}

// edit makes one random change as a person would, some of them where they have no right to.
func (o *oracle) edit(w *world, n int) {
	p := o.people[rand.IntN(len(o.people))]
	value := fmt.Sprintf("v%d", n)
	switch rand.IntN(6) {
	case 0:
		w.crm.Human(p.crmID, map[string]string{"name": value})
		p.name = value
	case 1:
		w.desk.Human(p.deskID, map[string]string{"seen": value})
		p.seen = value
	case 2:
		_, at := w.crm.Human(p.crmID, map[string]string{"nick": value})
		p.nicked("crm", value, at)
	case 3:
		_, at := w.desk.Human(p.deskID, map[string]string{"nickname": value})
		p.nicked("desk", value, at)
	case 4:
		// Not theirs to change: it has to come back.
		w.desk.Human(p.deskID, map[string]string{"name": "wrong " + value})
	case 5:
		// An empty field may be filled by anybody, once; a value of its owner stands.
		if p.seen != "" {
			w.crm.Human(p.crmID, map[string]string{"seen": "wrong " + value})
		}
	}
}

func (p *person) nicked(system, value string, at int64) {
	p.log = append(p.log, fmt.Sprintf("%s said %s at %d", system, value, at%1000000))
	// Of two words of one moment the system of record's counts.
	if at > p.nickedAt || at == p.nickedAt && system == "crm" {
		p.nick, p.nickedAt = value, at
	}
}

// populate creates customers, half of them in each system, and waits until both have them all.
func (o *oracle) populate(w *world, n int) {
	for i := range n {
		p := &person{email: fmt.Sprintf("p%d@example.com", i), name: fmt.Sprintf("n%d", i)}
		switch i % 3 {
		case 0:
			p.crmID, _ = w.crm.Human("", map[string]string{"email": p.email, "name": p.name})
		case 1:
			p.deskID, _ = w.desk.Human("", map[string]string{"mail": p.email, "name": p.name})
		case 2:
			// Both at once: two records that have to become one.
			w.crm.Human("", map[string]string{"email": p.email, "name": p.name})
			w.desk.Human("", map[string]string{"mail": p.email, "name": "desk's " + p.name})
		}
		o.people = append(o.people, p)
	}
	w.settle(60 * time.Second)
	for _, p := range o.people {
		p.crmID = w.crm.FindBy("email", p.email)
		p.deskID = w.desk.FindBy("mail", p.email)
	}
}

func TestTheModelConverges(t *testing.T) {
	w := newWorld(t, setup{bulk: 20, faults: protocol.Faults{Rand: rand.New(rand.NewPCG(1, 2))}})
	w.dispatch(w.ctx)
	o := &oracle{}
	o.populate(w, 40)
	o.check(t, w)
	for n := range 400 {
		o.edit(w, n)
		if n%10 == 0 {
			time.Sleep(5 * time.Millisecond)
		}
	}
	o.finish(t, w)
}

func TestTheModelSurvivesDeaths(t *testing.T) {
	// PROTOCOL_ROUNDS asks for more than one round, as `make proof` does.
	rounds, err := strconv.Atoi(cmp.Or(os.Getenv("PROTOCOL_ROUNDS"), "1"))
	if err != nil {
		t.Fatal(err)
	}
	for round := range rounds {
		t.Run(strconv.Itoa(round), func(t *testing.T) { dyingRound(t, uint64(round)) })
	}
}

// dyingRound edits while calls, dispatchers and a whole vendor die.
func dyingRound(t *testing.T, seed uint64) {
	w := newWorld(t, setup{bulk: 5, deaths: 0.05, faults: protocol.Faults{LoseBefore: 0.03, LoseAfter: 0.03, Busy: 0.05, Rand: rand.New(rand.NewPCG(seed, 4))}})
	w.dispatch(w.ctx)
	o := &oracle{}
	o.populate(w, 30)
	ctx, kill := context.WithCancel(w.ctx)
	w.dispatch(ctx)
	for n := range 600 {
		o.edit(w, n)
		switch {
		case n%100 == 50:
			kill()
			ctx, kill = context.WithCancel(w.ctx)
			w.dispatch(ctx)
		case n == 200:
			w.desk.Down(true)
		case n == 260:
			w.desk.Down(false)
		case n%3 == 0:
			time.Sleep(10 * time.Millisecond)
		}
	}
	defer kill()
	o.finish(t, w)
	if w.mortal.Deaths.Load() == 0 {
		t.Error("nobody died")
	}
}

// finish waits for quiet and counts what must be zero.
func (o *oracle) finish(t *testing.T, w *world) {
	t.Helper()
	stats := w.settle(40 * time.Second)
	o.check(t, w)
	broken, err := w.store.CheckInvariants(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(broken) > 0 {
		t.Errorf("broken invariants: %v", broken)
	}
	sum := int64(0)
	for _, n := range stats.Outcomes {
		sum += n
	}
	if stats.Accepted != sum || stats.Accepted != w.accepted.Load() || w.lost.Load() > 0 {
		t.Errorf("accepted %d by us, %d by the journal, %d ended, %d lost", w.accepted.Load(), stats.Accepted, sum, w.lost.Load())
	}
	if w.crm.Overlaps+w.desk.Overlaps > 0 {
		t.Errorf("overlapping calls: crm %d, desk %d", w.crm.Overlaps, w.desk.Overlaps)
	}
	t.Logf("accepted %d, outcomes %v, reads %d; calls crm %d (%d items), desk %d (%d items); attempts %d, folded %d, deaths %d",
		stats.Accepted, stats.Outcomes, stats.Sources["lockstep"].Accepted, w.crm.Calls, w.crm.Items, w.desk.Calls, w.desk.Items,
		w.runner.Attempts.Load(), w.runner.Folded.Load(), w.mortal.Deaths.Load())
}
