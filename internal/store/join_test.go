package store_test

import (
	"errors"
	"testing"

	"lockstep/internal/store/storetest"
	"lockstep/schema"
)

// halves are the two records of one customer: one from salesforce, one from genesys.
type halves struct {
	*bench
	lost, survivor             schema.ID
	ofLost, ofSurvivor         schema.ID
	tellsToLost, tellsSurvivor string
}

// twoHalves returns a customer whose halves are decided, each with its own system's id and something to tell the other system.
func twoHalves(t *testing.T) *halves {
	t.Helper()
	b := newBench(t)
	h := &halves{bench: b, tellsToLost: "genesys", tellsSurvivor: "salesforce"}
	h.ofLost = b.tell("003L", `{"lost":1}`)
	h.lost = b.recordOf(h.ofLost)
	a, err := b.Accept(t.Context(), storetest.Posting("genesys", "g-s", "survivor", schema.EventFull, `{"survivor":1}`))
	must(t, err)
	h.ofSurvivor = schema.EventID(a.Receipt, 1)
	h.survivor = b.recordOf(h.ofSurvivor)
	b.decide(func(r *schema.OpenRecord) schema.Resolution {
		system, other := "salesforce", "genesys"
		if r.ID == h.survivor {
			system, other = other, system
		}
		r.State.System(system).ID = "id in " + system
		res := applied(other, schema.OpWrite)(r)
		res.Identified = true
		res.Keys = []schema.Key{{Kind: "number", Issuer: system, Value: schema.Text("key of " + system), Reserves: true}}
		return res
	})
	return h
}

// join has the lost half told that it is part of the survivor.
func (h *halves) join() error {
	h.t.Helper()
	if h.Count(`SELECT count(*) FROM open_event WHERE record = $1 AND state = 'new'`, h.lost.String()) == 0 {
		h.tell("003L", `{"again":"`+schema.NewRandom().String()+`"}`)
	}
	_, err := h.Decide(h.t.Context(), schema.DecideQuery{Lane: schema.LaneNormal, Only: h.lost}, everyRecord(func(r *schema.OpenRecord) schema.Resolution {
		return schema.Resolution{Record: r.ID, Object: r.Object, Join: h.survivor}
	}))
	return err
}

func (h *halves) joined() bool {
	h.t.Helper()
	return h.Count(`SELECT count(*) FROM record WHERE id = $1 AND merged_into = $2`, h.lost.String(), h.survivor.String()) == 1
}

func (h *halves) claimOf(system string) schema.Claim {
	h.t.Helper()
	q := toGenesys
	q.System = system
	return h.claim(q)
}

func TestTwoHalvesBecomeOne(t *testing.T) {
	h := twoHalves(t)
	h.Exec(`INSERT INTO member (id, cause, reason, system, object, owner, record) VALUES (gen_random_uuid(), 'x', 'ambiguous_match', 'genesys', 'customer', 'ops', $1)`, h.lost.String())
	must(t, h.join())
	if !h.joined() {
		t.Fatal("they are two still")
	}
	for what, query := range map[string]string{
		"refs":       `SELECT count(*) FROM ref WHERE record = $1`,
		"events":     `SELECT count(*) FROM open_event WHERE record = $1`,
		"deliveries": `SELECT count(*) FROM delivery WHERE record = $1`,
		"keys":       `SELECT count(*) FROM identity_key WHERE record = $1`,
		"failures":   `SELECT count(*) FROM member WHERE record = $1 AND closed IS NULL`,
		"state":      `SELECT count(*) FROM record WHERE id = $1 AND (state IS NOT NULL OR wants_join IS NOT NULL)`,
	} {
		if n := h.Count(query, h.lost.String()); n != 0 {
			t.Errorf("%d %s of the lost half are left", n, what)
		}
	}
	state, _, err := h.State(t.Context(), h.survivor)
	must(t, err)
	if state.System("salesforce").ID != "id in salesforce" || state.System("genesys").ID != "id in genesys" {
		t.Error("what was known of the halves is not joined")
	}
	if h.recordOf(h.ofLost) != h.survivor || h.Text(`SELECT state FROM open_event WHERE event = $1`, h.ofLost.String()) != "new" {
		t.Error("the lost half's event is not decided again for the survivor")
	}
	h.Sound()
	h.Conserved()
	// A row that intake wrote a moment late is harmless.
	late := h.tell("003L", `{"late":1}`)
	h.Exec(`UPDATE open_event SET record = $2 WHERE event = $1`, late.String(), h.lost.String())
	h.decideOnly(h.lost, func(*schema.OpenRecord) schema.Resolution {
		t.Error("the lost half is decided")
		return schema.Resolution{}
	})
	seen := 0
	h.decide(func(r *schema.OpenRecord) schema.Resolution {
		seen += len(r.Events)
		if r.ID != h.survivor {
			t.Errorf("record %s is decided", r.ID)
		}
		return ended(schema.Echo)(r)
	})
	if seen != 3 {
		t.Errorf("%d events are decided for the survivor, want the lost half's first, the one that joined and the late one", seen)
	}
	h.Sound()
	h.Conserved()
}

// A half with a call under way is not moved away from under it.
func TestHalvesWithDeliveriesInFlightWait(t *testing.T) {
	for name, flying := range map[string]func(h *halves) []schema.Opening{
		"the lost one": func(h *halves) []schema.Opening { return []schema.Opening{h.opened(h.claimOf(h.tellsToLost))} },
		"the survivor": func(h *halves) []schema.Opening { return []schema.Opening{h.opened(h.claimOf(h.tellsSurvivor))} },
		"both": func(h *halves) []schema.Opening {
			return []schema.Opening{h.opened(h.claimOf(h.tellsToLost)), h.opened(h.claimOf(h.tellsSurvivor))}
		},
		"claimed, no call": func(h *halves) []schema.Opening { h.claimOf(h.tellsToLost); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := twoHalves(t)
			calls := flying(h)
			must(t, h.join())
			if h.joined() {
				t.Fatal("joined under a claim")
			}
			if h.id(`SELECT wants_join FROM record WHERE id = $1`, h.lost.String()) != h.survivor {
				t.Error("nobody remembers that they are one")
			}
			if got := h.Texts(`SELECT state || ' ' || reason FROM open_event WHERE record = $1 AND state <> 'decided'`, h.lost.String()); len(got) != 1 || got[0] != "held reading" {
				t.Errorf("the event %v", got)
			}
			h.Sound()
			h.Conserved()
			for _, o := range calls {
				if h.answer(o) {
					t.Error("late")
				}
			}
			if calls == nil {
				_, err := h.GiveBack(t.Context(), h.id(`SELECT id FROM claim WHERE open`), schema.ReasonTargetSlow, 0)
				must(t, err)
			}
			h.Exec(`UPDATE open_event SET held_until = now() WHERE held_until IS NOT NULL`)
			released, err := h.ReleaseHeld(t.Context())
			must(t, err)
			if released != 1 {
				t.Errorf("%d events are released", released)
			}
			must(t, h.join())
			if !h.joined() {
				t.Error("they are two still once nothing is under way")
			}
			h.Sound()
			h.Conserved()
		})
	}
}

// A half that joins without anything new to say has the other's systems looked at.
func TestAHalfWithoutEventsIsComparedByReading(t *testing.T) {
	h := twoHalves(t)
	h.answer(h.opened(h.claimOf("genesys")))
	h.answer(h.opened(h.claimOf("salesforce")))
	h.Exec(`UPDATE record SET wants_join = $2 WHERE id = $1`, h.lost.String(), h.survivor.String())
	wanted, err := h.JoinWanted(t.Context())
	must(t, err)
	if wanted != h.lost {
		t.Fatalf("%s wants to join", wanted)
	}
	_, err = h.Decide(t.Context(), schema.DecideQuery{Lane: schema.LaneNormal, Only: wanted}, everyRecord(func(r *schema.OpenRecord) schema.Resolution {
		return schema.Resolution{Record: r.ID, Object: r.Object, Join: r.WantsJoin}
	}))
	must(t, err)
	if d := h.delivery(h.survivor, "salesforce"); !h.joined() || d.State != "ready" || d.Op != "read" {
		t.Errorf("delivery %+v", d)
	}
	if wanted, err = h.JoinWanted(t.Context()); err != nil || wanted != (schema.ID{}) {
		t.Errorf("%s wants to join still, %v", wanted, err)
	}
	h.Sound()
}

// A create whose fate nobody knows left a mark on one half; the other half has the record already.
func TestAHalfThatWasBeingCreatedJoins(t *testing.T) {
	for name, system := range map[string]string{"the survivor was being created where the lost half is": "salesforce", "the lost half was being created where the survivor is": "genesys"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := twoHalves(t)
			of := h.lost
			if system == "salesforce" {
				of = h.survivor
			}
			h.Exec(`INSERT INTO ref (id, system, object, record, state) VALUES (gen_random_uuid(), $1, 'customer', $2, 'creating')`, system, of.String())
			if err := h.join(); err != nil {
				t.Fatalf("nothing of this batch can ever be decided: %v", err)
			}
			if got := h.Texts(`SELECT system || ' ' || state FROM ref WHERE record = $1 ORDER BY 1`, h.survivor.String()); len(got) != 2 || got[0] != "genesys active" || got[1] != "salesforce active" {
				t.Errorf("refs %v", got)
			}
			h.Sound()
		})
	}
}

func TestAJoinGivesUpForARound(t *testing.T) {
	for name, spoil := range map[string]func(h *halves) func(){
		"somebody works on the survivor": func(h *halves) func() {
			lock, err := h.Owner.BeginTx(h.t.Context(), nil)
			must(h.t, err)
			_, err = lock.ExecContext(h.t.Context(), `SELECT 1 FROM record WHERE id = $1 FOR UPDATE`, h.survivor.String())
			must(h.t, err)
			return func() { must(h.t, lock.Rollback()) }
		},
		"the survivor is part of another": func(h *halves) func() {
			h.Exec(`UPDATE record SET merged_into = gen_random_uuid() WHERE id = $1`, h.survivor.String())
			return func() { h.Exec(`UPDATE record SET merged_into = NULL WHERE id = $1`, h.survivor.String()) }
		},
		"a system has them both": func(h *halves) func() {
			h.Exec(`INSERT INTO ref (id, system, object, vendor_mac, record, state) VALUES (gen_random_uuid(), 'salesforce', 'customer', 'x', $1, 'active')`, h.survivor.String())
			return func() { h.Exec(`UPDATE ref SET state = 'gone' WHERE vendor_mac = 'x'`) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := twoHalves(t)
			mend := spoil(h)
			before := h.Texts(`SELECT x::text FROM record x UNION ALL SELECT x::text FROM delivery x ORDER BY 1`)
			if err := h.join(); !errors.Is(err, schema.ErrRaced) {
				t.Errorf("join: %v", err)
			}
			after := h.Texts(`SELECT x::text FROM record x UNION ALL SELECT x::text FROM delivery x ORDER BY 1`)
			if len(before) != len(after) {
				t.Error("something has changed")
			}
			for i := range before {
				if before[i] != after[i] {
					t.Errorf("%s became %s", before[i], after[i])
				}
			}
			mend()
			must(t, h.join())
			if !h.joined() {
				t.Error("they are two still")
			}
		})
	}
}

// A half that can never join hides no other that can.
func TestAJoinThatCannotBeHidesNoOther(t *testing.T) {
	b := newBench(t)
	want := map[schema.ID]bool{}
	for _, ref := range []string{"003A", "003B", "003C"} {
		record := b.recordOf(b.tell(ref, `{"of":"`+ref+`"}`))
		want[record] = true
	}
	b.decide(ended(schema.Echo))
	for record := range want {
		b.Exec(`UPDATE record SET wants_join = gen_random_uuid() WHERE id = $1`, record.String())
	}
	for range 200 {
		record, err := b.JoinWanted(t.Context())
		must(t, err)
		delete(want, record)
	}
	if len(want) > 0 {
		t.Errorf("%d records that want to join are never looked at", len(want))
	}
}
