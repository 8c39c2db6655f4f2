package store_test

import (
	"database/sql"
	"errors"
	"testing"
	"time"

	"lockstep/internal/store/storetest"
	"lockstep/schema"
)

// rival is a transaction of another connection that has written and not committed.
type rival struct {
	*sql.Tx
	b *bench
}

// rival begins a transaction as the owner.
func (b *bench) rival() *rival {
	b.t.Helper()
	tx, err := b.Owner.BeginTx(b.t.Context(), nil)
	must(b.t, err)
	b.t.Cleanup(func() { _ = tx.Rollback() })
	return &rival{tx, b}
}

func (r *rival) exec(query string, args ...any) {
	r.b.t.Helper()
	if _, err := r.ExecContext(r.b.t.Context(), query, args...); err != nil {
		r.b.t.Fatalf("%s: %v", query, err)
	}
}

// winOver commits once somebody waits for the rival, and returns what became of that somebody.
func (r *rival) winOver(do func() error) error {
	r.b.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- do() }()
	for deadline := time.Now().Add(10 * time.Second); r.b.Count(`SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'speculative token')`) == 0; {
		select {
		case err := <-ended:
			r.b.t.Fatalf("it does not meet the rival: %v", err)
		default:
		}
		if time.Now().After(deadline) {
			r.b.t.Fatal("nobody waits for the rival")
		}
	}
	must(r.b.t, r.Commit())
	select {
	case err := <-ended:
		return err
	case <-time.After(10 * time.Second):
		r.b.t.Fatal("it waits for ever")
		return nil
	}
}

// vendorMAC returns the code of a vendor's id, as intake makes it.
func (b *bench) vendorMAC(system, ref string) []byte {
	b.t.Helper()
	_, err := b.Accept(b.t.Context(), storetest.Posting(system, ref, "of "+ref, schema.EventFull, `{"of":"`+ref+`"}`))
	must(b.t, err)
	var mac []byte
	must(b.t, b.Owner.GetContext(b.t.Context(), &mac, `SELECT vendor_mac FROM ref WHERE system = $1 AND state = 'active'`, system))
	b.Exec(`WITH r AS (DELETE FROM ref WHERE system = $1 RETURNING id, record), e AS (DELETE FROM event WHERE ref IN (SELECT id FROM r) RETURNING id),
o AS (DELETE FROM open_event WHERE event IN (SELECT id FROM e)) DELETE FROM record WHERE id IN (SELECT record FROM r)`, system)
	b.Exec(`DELETE FROM tally`)
	return mac
}

// The webhook of our own create is in intake's open transaction while its answer is written down: the answer loses the index
// ref_vendor, is undone and written again, and finds the other half.
func TestACloseThatLosesAgainstIntakeIsRepeated(t *testing.T) {
	b := newBench(t)
	mac := b.vendorMAC("genesys", "g1")
	event := b.ready("003A", "genesys", schema.OpCreate)
	record := b.recordOf(event)
	toCreate := toGenesys
	toCreate.Op = schema.OpCreate
	o := b.opened(b.claim(toCreate))
	other := schema.NewRandom()
	intake := b.rival()
	intake.exec(`INSERT INTO record (id, object) VALUES ($1, 'customer')`, other.String())
	intake.exec(`INSERT INTO ref (id, system, object, vendor_mac, record, state) VALUES (gen_random_uuid(), 'genesys', 'customer', $1, $2, 'active')`, mac, other.String())
	settled := 0
	var held schema.ID
	err := intake.winOver(func() error {
		late, err := b.CloseCall(t.Context(), *o.Call, o.Items, func(items []*schema.Item, holder func(string) (schema.ID, error)) ([]schema.Ending, error) {
			settled++
			var err error
			if held, err = holder("g1"); err != nil {
				return nil, err
			}
			return endings(o, func(e *schema.Ending) { e.Ref = "g1" })(items, holder)
		})
		if late {
			t.Error("an answer in time counts as late")
		}
		return err
	})
	if err != nil || settled < 2 || held != other {
		t.Errorf("%v after %d tries, the id is %s's", err, settled, held)
	}
	if got := b.id(`SELECT wants_join FROM record WHERE id = $1`, other.String()); got != record {
		t.Errorf("the other half wants to join %s", got)
	}
	if d := b.delivery(record, "genesys"); d.State != "idle" || b.outcome(event) != "applied" || b.openClaims() != 0 || b.takenSlots() != 0 {
		t.Errorf("delivery %+v, the event is %q", d, b.outcome(event))
	}
	if calls := b.Texts(`SELECT state FROM call`); len(calls) != 1 || calls[0] != "answered" {
		t.Errorf("calls %v", calls)
	}
	b.Sound()
}

// Two customers take one match key at once: the second loses the index identity_key_reserved, nothing of its decision stands,
// and decided again it finds who has the key.
func TestADecisionThatLosesAMatchKeyIsUndone(t *testing.T) {
	b := newBench(t)
	identified := func(r *schema.OpenRecord) schema.Resolution {
		res := applied("genesys", schema.OpWrite)(r)
		res.Identified, res.Keys = true, []schema.Key{{Kind: "email", Value: schema.Text("ada@example.com"), Reserves: true}}
		return res
	}
	first := b.tell("003A", `{"a":1}`)
	b.decide(identified)
	event := b.tell("003B", `{"b":1}`)
	record := b.recordOf(event)
	// As if the first one's decision were still under way.
	other := b.rival()
	other.exec(`CREATE TEMP TABLE taken ON COMMIT DROP AS SELECT * FROM identity_key`)
	b.Exec(`DELETE FROM identity_key`)
	other.exec(`INSERT INTO identity_key SELECT * FROM taken`)
	err := other.winOver(func() error {
		_, err := b.Decide(t.Context(), schema.DecideQuery{Lane: schema.LaneNormal}, everyRecord(identified))
		return err
	})
	if !errors.Is(err, schema.ErrRaced) {
		t.Fatalf("%v, want ErrRaced", err)
	}
	if got := b.Text(`SELECT state FROM open_event WHERE event = $1`, event.String()); got != "new" || b.Count(`SELECT count(*) FROM delivery WHERE record = $1`, record.String()) != 0 ||
		b.Text(`SELECT record::text FROM identity_key`) != b.recordOf(first).String() {
		t.Errorf("the event is %s, and something of the decision stands", got)
	}
	b.decide(applied("genesys", schema.OpWrite))
	if d := b.delivery(record, "genesys"); d.State != "ready" {
		t.Errorf("decided again: %+v", d)
	}
	b.Sound()
	b.Conserved()
}

// A customer that becomes part of another brings a record of a system along that the other is just being given: the join loses
// the index ref_live and is undone as a whole.
func TestAJoinThatLosesAgainstACreateIsUndone(t *testing.T) {
	h := twoHalves(t)
	create := h.rival()
	create.exec(`INSERT INTO ref (id, system, object, vendor_mac, record, state) VALUES (gen_random_uuid(), $1, 'customer', '\x01', $2, 'active')`,
		h.Text(`SELECT system FROM ref WHERE record = $1 AND state = 'active'`, h.lost.String()), h.survivor.String())
	err := create.winOver(h.join)
	if !errors.Is(err, schema.ErrRaced) {
		t.Errorf("%v, want ErrRaced", err)
	}
	if n := h.Count(`SELECT count(*) FROM record WHERE id = $1 AND merged_into IS NULL`, h.lost.String()); n != 1 {
		t.Error("the lost half is gone")
	}
	if n := h.Count(`SELECT count(*) FROM ref WHERE record = $1 AND state = 'active'`, h.lost.String()); n != 1 {
		t.Errorf("it has %d records of its own", n)
	}
	h.Sound()
	h.Conserved()
}
