package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"lockstep/internal/localpg"
	"lockstep/internal/localpg/localpgtest"
	"lockstep/internal/store"
	"lockstep/internal/store/storetest"
	"lockstep/schema"
)

var keep = store.Retention{Ended: 7 * 24 * time.Hour, Dead: 90 * 24 * time.Hour, Keys: 35 * 24 * time.Hour}

const day = 24 * time.Hour

// tellAgo brings an event to the journal as if that had been a while ago.
func (b *bench) tellAgo(ago time.Duration, body string) schema.ID {
	b.t.Helper()
	p := storetest.Posting("salesforce", body, body, schema.EventChange, body)
	p.Receipt = schema.FirstIDAt(time.Now().Add(-ago))
	p.Receipt[6], p.Receipt[8] = 0x70, 0x80
	p.Receipt[9] = byte(len(body))
	copy(p.Receipt[10:14], body)
	a, err := b.Accept(b.t.Context(), p)
	must(b.t, err)
	event := schema.EventID(a.Receipt, 1)
	b.Exec(`UPDATE event SET received_at = now() - $2 * interval '1 second' WHERE id = $1`, event.String(), ago.Seconds())
	return event
}

// TestRuling06 keeps raw bytes for a week, those of dead letters for ninety days, and then no longer (ruling 6).
func TestRuling06(t *testing.T) {
	b := newBench(t)
	type kept struct {
		name  string
		event schema.ID
		want  bool
	}
	var all []kept
	age := func(name string, ago time.Duration, want bool, v verdict) schema.ID {
		t.Helper()
		e := b.tellAgo(ago, name)
		if v != nil {
			b.decide(v)
		}
		all = append(all, kept{name, e, want})
		return e
	}
	age("applied long ago", 8*day, false, ended(schema.Applied))
	age("echo long ago", 8*day, false, ended(schema.Echo))
	age("ended of late", 6*day, true, ended(schema.Applied))
	dead := age("dead long ago", 80*day, true, ended(schema.Dead))
	b.Exec(`UPDATE dead_letter SET received_at = now() - interval '80 days' WHERE event = $1`, dead.String())
	over := age("dead too long", 91*day, false, ended(schema.Dead))
	b.Exec(`UPDATE dead_letter SET received_at = now() - interval '91 days' WHERE event = $1`, over.String())
	mended := age("dead, mended long ago", 20*day, false, ended(schema.Dead))
	b.Exec(`UPDATE dead_letter SET received_at = now() - interval '20 days', closed_at = now() - interval '8 days' WHERE event = $1`, mended.String())
	age("held for a person", 300*day, true, held(schema.ReasonAmbiguousMatch, time.Time{}))
	age("decided and owed", 200*day, true, applied("genesys", schema.OpWrite))
	age("not decided", 100*day, true, nil)
	n, err := b.Refuse(t.Context(), schema.Refused{Source: "salesforce", Object: "customer", Owner: "ops", Refusal: schema.Refusal{Reason: schema.ReasonBadValue}, Body: []byte("x")})
	must(t, err)
	refusedAgo := func(days int) bool {
		t.Helper()
		b.Exec(`UPDATE dead_letter SET received_at = now() - $2 * interval '1 day' WHERE n = $1`, n, days)
		must(t, b.Housekeep(t.Context(), keep))
		return b.Count(`SELECT count(*) FROM dead_letter WHERE n = $1 AND body IS NOT NULL AND dek IS NOT NULL`, n) == 1
	}
	if !refusedAgo(89) {
		t.Error("a refused body is gone before its time")
	}
	for _, k := range all {
		if got := b.Count(`SELECT count(*) FROM event WHERE id = $1 AND body IS NOT NULL AND dek IS NOT NULL`, k.event.String()) == 1; got != k.want {
			t.Errorf("%s: kept %t, want %t", k.name, got, k.want)
		}
		if b.Count(`SELECT count(*) FROM event WHERE id = $1 AND (body IS NULL) <> (dek IS NULL)`, k.event.String()) != 0 {
			t.Errorf("%s: a body without its key, or a key without its body", k.name)
		}
	}
	if refusedAgo(91) {
		t.Error("a refused body is kept for good")
	}
	b.Sound()
	b.Conserved()
	// What happened to it is told all the same.
	life, err := b.Life(t.Context(), schema.ReceiptOf(all[0].event), func(schema.Claim) string { return "" })
	must(t, err)
	if len(life.Events) != 1 || life.Events[0].Outcome != schema.Applied {
		t.Errorf("life %+v", life)
	}
}

func TestDedupeKeysLiveForTwoGenerationsOrForGood(t *testing.T) {
	b := newBench(t)
	posting := func(kept bool) *schema.Posting {
		p := storetest.Posting("salesforce", "003A", fmt.Sprint("key", kept), schema.EventChange, `{"a":1}`)
		p.Units[0].Kept = kept
		return p
	}
	first := map[bool]schema.ID{}
	for _, kept := range []bool{true, false} {
		a, err := b.Accept(t.Context(), posting(kept))
		must(t, err)
		first[kept] = a.Receipt
	}
	known := func(kept bool) bool {
		t.Helper()
		a, err := b.Accept(t.Context(), posting(kept))
		must(t, err)
		return a.Events == 0 && a.Receipt == first[kept]
	}
	next := func() {
		t.Helper()
		b.Exec(`UPDATE dedupe_rotation SET since = now() - interval '36 days'`)
		must(t, b.Housekeep(t.Context(), keep))
	}
	must(t, b.Housekeep(t.Context(), keep)) // too early: nothing happens
	for generation := range 2 {
		if !known(true) || !known(false) {
			t.Fatalf("forgotten in generation %d", generation)
		}
		next()
	}
	if known(false) {
		t.Error("a key is remembered for more than two generations")
	}
	for generation := range 3 {
		if !known(true) {
			t.Errorf("the key of a source whose signature covers no time is forgotten after %d more generations", generation)
		}
		next()
	}
}

func TestPartitionsOfTheComingDaysAreMade(t *testing.T) {
	b := newBench(t)
	for ahead := range 4 {
		suffix := time.Now().UTC().AddDate(0, 0, ahead).Format("20060102")
		for _, table := range []string{"event", "outcome", "call"} {
			if b.Count(`SELECT count(*) FROM pg_class WHERE relname = $1`, table+"_"+suffix) != 1 {
				t.Errorf("there is no partition %s_%s", table, suffix)
			}
		}
	}
	event := b.ready("003A", "genesys", schema.OpWrite)
	b.answer(b.opened(b.claim(toGenesys)))
	for _, table := range []string{"event", "outcome", "call"} {
		if got := b.Text(`SELECT tableoid::regclass::text FROM ` + table); got != table+"_"+schema.TimeOf(event).Format("20060102") {
			t.Errorf("a row of %s lies in %s", table, got)
		}
	}
}

// A server that may lose what it committed is told apart, whatever the session says.
func TestE03TheSettingsThatA2xxRestsOn(t *testing.T) {
	durable := func(url string) []string {
		t.Helper()
		must(t, store.Migrate(t.Context(), url))
		off, err := storetest.Open(t, storetest.Options{URL: url}).Durable(t.Context())
		must(t, err)
		return off
	}
	// The server of tests has all three of them off; our sessions switch the third one on.
	if off := durable(localpgtest.Database(t)); !slices.Equal(off, []string{"fsync", "full_page_writes"}) {
		t.Errorf("off: %v", off)
	}
	s := localpgtest.Server(t, localpg.Options{Durable: true})
	if off := durable(s.URL("postgres")); len(off) > 0 {
		t.Errorf("off on a durable server: %v", off)
	}
	b := newBench(t, storetest.Options{URL: s.URL("postgres")})
	for _, statement := range []string{`ALTER DATABASE postgres SET synchronous_commit = off`, `ALTER ROLE postgres SET synchronous_commit = off`, `ALTER SYSTEM SET synchronous_commit = off`, `SELECT pg_reload_conf()`} {
		b.Exec(statement)
	}
	if off, err := b.Process("test").Durable(t.Context()); err != nil || len(off) > 0 {
		t.Errorf("our session does not wait for the disk: %v, %v", off, err)
	}
	var elsewhere string
	must(t, b.as("lockstep_app").GetContext(t.Context(), &elsewhere, `SHOW synchronous_commit`))
	if elsewhere != "off" {
		t.Errorf("synchronous_commit of another session is %s: nothing is shown", elsewhere)
	}
}
