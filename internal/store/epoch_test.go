package store_test

import (
	"testing"

	"lockstep/schema"
)

// restored makes the journal look as one that was restored on another server.
func (b *bench) restored() {
	b.t.Helper()
	b.Exec(`UPDATE epoch SET system_id = 'another'`)
}

func TestARestoredDatabaseBeginsAnEpoch(t *testing.T) {
	b := newBench(t)
	check := func() bool {
		t.Helper()
		working, err := b.CheckEpoch(t.Context())
		must(t, err)
		return working
	}
	if !check() || b.Count(`SELECT count(*) FROM epoch`) != 1 {
		t.Fatal("a journal that nobody restored does not work")
	}
	b.restored()
	for look := range 2 {
		if check() || b.Count(`SELECT count(*) FROM epoch`) != 2 {
			t.Errorf("look %d: a restored journal works, or begins %d epochs", look, b.Count(`SELECT count(*) FROM epoch`))
		}
	}
	must(t, b.Recover(t.Context(), "dana"))
	if !check() {
		t.Error("a recovered journal does not work")
	}
	must(t, b.BeginEpoch(t.Context(), "lee"))
	if check() {
		t.Error("it works although somebody says that it was restored")
	}
	must(t, b.Recover(t.Context(), "lee"))
	if got := b.Texts(`SELECT actor || ' ' || act FROM audit ORDER BY n`); len(got) != 3 || got[0] != "dana recover" || got[1] != "lee begin epoch" || got[2] != "lee recover" {
		t.Errorf("audit %v", got)
	}
}

// What a restored journal was about to say is an hour old: every system is looked at before it is told anything, and no
// run of before goes on (protocol F11).
func TestARestoredJournalReadsBeforeItWrites(t *testing.T) {
	for name, begin := range map[string]func(b *bench) error{
		"found out": func(b *bench) error {
			b.restored()
			_, err := b.CheckEpoch(b.t.Context())
			return err
		},
		"said by a person": func(b *bench) error { return b.BeginEpoch(b.t.Context(), "dana") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			claimed := b.recordOf(b.ready("003A", "genesys", schema.OpWrite))
			c := b.claim(toGenesys)
			zombie := b.opened(c)
			waiting := b.recordOf(b.ready("003B", "genesys", schema.OpWrite))
			creating := b.recordOf(b.ready("003C", "genesys", schema.OpCreate))
			stopped := b.recordOf(b.ready("003D", "genesys", schema.OpLink))
			b.Exec(`UPDATE delivery SET state = 'parked', reason = 'parked_by_person' WHERE record = $1`, stopped.String())
			idle := b.recordOf(b.tell("003E", `{"e":1}`))
			b.decide(func(r *schema.OpenRecord) schema.Resolution {
				r.State.System("salesforce").ID = "003E"
				return ended(schema.Echo)(r)
			})
			must(t, begin(b))
			if b.mayClaim(toGenesys) {
				t.Error("claimed before it is recovered")
			}
			if swept, err := b.Sweep(t.Context()); err != nil || len(swept) != 0 || b.openClaims() != 0 || b.takenSlots() != 0 {
				t.Errorf("runs of before go on: %v, %v, %d claims, %d slots", swept, err, b.openClaims(), b.takenSlots())
			}
			must(t, b.Recover(t.Context(), "dana"))
			for record, want := range map[schema.ID]string{claimed: "ready read", waiting: "ready read", creating: "ready find", stopped: "parked read"} {
				if d := b.delivery(record, "genesys"); d.State+" "+d.Op != want {
					t.Errorf("delivery %+v, want %s", d, want)
				}
			}
			if d := b.delivery(claimed, "genesys"); d.In < 50 {
				t.Errorf("read while the call of before may still arrive: %+v", d)
			}
			if b.mayClaim(toGenesys) {
				t.Error("written before it was read")
			}
			if !b.answer(zombie) {
				t.Error("the answer of a call of before is believed")
			}
			q := toGenesys
			q.Op = schema.OpRead
			if got := b.claim(q); got.Records != 1 || got.Record != waiting {
				t.Errorf("read is %+v", got)
			}
			b.tell("003E", `{"e":2}`)
			b.decide(func(r *schema.OpenRecord) schema.Resolution {
				if r.ID != idle || !r.Verify["salesforce"] {
					t.Errorf("record %s is decided without a look at its system: %v", r.ID, r.Verify)
				}
				return ended(schema.Echo)(r)
			})
			b.Sound()
		})
	}
}
