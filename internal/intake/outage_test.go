package intake_test

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockstep/internal/localpg"
	"lockstep/internal/localpg/localpgtest"
	"lockstep/internal/store"
	"lockstep/schema"
)

// The database is killed again and again while events flow: whatever got a receipt is there afterwards, whatever got a
// 503 may be repeated and comes in once.
func TestA28_PostgresIsKilled(t *testing.T) {
	t.Parallel()
	server := localpgtest.Server(t, localpg.Options{})
	must(t, store.Migrate(t.Context(), server.URL("postgres")))
	h := newHouseAt(t, server.URL("postgres"))
	doors := []*door{h.door(), h.door()}

	type offer struct {
		body    string
		with    signing
		receipt schema.ID
		refused int
	}
	var mu sync.Mutex
	var offers []*offer
	var accepted, turned atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for n := range 6 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				o := &offer{body: change{record: newRecord()}.String(), with: signing{secretOf("standard_webhooks", "standard"), fmt.Sprintf("m_%d_%d", n, i), h.now()}}
				mu.Lock()
				offers = append(offers, o)
				mu.Unlock()
				switch a := doors[n%2].do(h.signedWith("standard", o.body, o.with)); {
				case a.status == http.StatusAccepted && a.body.Events == 1:
					o.receipt = *a.body.Receipt
					accepted.Add(1)
				case a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != "":
					o.refused++
					turned.Add(1)
				default:
					t.Errorf("%s", a)
				}
			}
		})
	}
	for kill := range 2 {
		before := accepted.Load()
		h.await("traffic", func() bool { return accepted.Load() > before+60 })
		must(t, server.Kill())
		outage := turned.Load()
		h.await("the outage to be felt", func() bool { return turned.Load() > outage+6 })
		must(t, server.Restart(t.Context()))
		before = accepted.Load()
		h.await(fmt.Sprint("recovery ", kill), func() bool { return accepted.Load() > before })
	}
	close(stop)
	wg.Wait()

	again := 0
	for _, o := range offers {
		a := doors[again%2].do(h.signedWith("standard", o.body, o.with))
		if a.status != http.StatusAccepted {
			t.Fatalf("the repetition got %s", a)
		}
		if o.receipt != (schema.ID{}) && (*a.body.Receipt != o.receipt || a.body.Events != 0) {
			t.Errorf("receipt %s was given, the repetition got %s", o.receipt, a)
		}
		o.receipt = *a.body.Receipt
		again++
	}
	if n := h.count("SELECT count(*) FROM event"); n != len(offers) {
		t.Errorf("%d events of %d offers", n, len(offers))
	}
	if n := h.count("SELECT count(DISTINCT ref) FROM event"); n != len(offers) {
		t.Errorf("%d records of %d offers", n, len(offers))
	}
	if accepted.Load() < 120 || turned.Load() < 12 {
		t.Errorf("%d taken and %d turned away: the kills did not bite", accepted.Load(), turned.Load())
	}
	doors[0].sound()
	if log := h.logs(); strings.Contains(log, "could not be written") {
		t.Errorf("an outage is logged as a fault of ours:\n%.500s", log)
	}
}

// A refused body without its dead letter is not refused: the sender has to come again.
func TestA28_NoLetterNoRefusal(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := intake0(h)
	if a := d.post("github", "{}"); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("%s; want 503", a)
	}
}

// A database that accepts connections and never answers does not hold the sender for ever.
func TestA28_TheSenderGivesUp(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := &gate{Store: h.openStore(), stuck: func(string) bool { return false }}
	d := &door{h: h, store: g.Store, Handler: h.intake(g).Handler()}
	db := h.database()
	tx, err := db.BeginTx(t.Context(), nil)
	must(t, err)
	_, err = tx.ExecContext(t.Context(), "LOCK TABLE event IN ACCESS EXCLUSIVE MODE")
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if a := d.do(h.signed("github", change{record: "001A"}.String()).WithContext(ctx)); a.status != http.StatusServiceUnavailable {
		t.Errorf("%s; want 503", a)
	}
	must(t, tx.Rollback())
	if a := d.post("github", change{record: "001A"}.String()); a.status != http.StatusAccepted {
		t.Errorf("afterwards: %s", a)
	}
}

// Intake cannot ask Temporal, because it does not know it: nothing that it is made of does.
func TestA29_IntakeKnowsNoTemporal(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "lockstep/internal/intake").Output()
	must(t, err)
	deps := strings.Fields(string(out))
	if len(deps) < 50 {
		t.Fatalf("only %d packages", len(deps))
	}
	for _, dep := range deps {
		if strings.HasPrefix(dep, "go.temporal.io/") || strings.HasPrefix(dep, "lockstep/workflows") || strings.HasPrefix(dep, "lockstep/activities") {
			t.Errorf("intake is made of %s", dep)
		}
	}
}

// An event of long ago is taken like any other; whether it still counts is for the rules to say.
func TestA30_LateEvents(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	for _, at := range []string{"2026-01-01T00:00:00Z", "2019-05-06T07:08:09.123456Z", "1999-12-31T23:59:59+14:00", "0001-01-02T00:00:00Z", "1970-01-01T00:00:00Z"} {
		a := d.accepted("github", change{record: newRecord(), at: at}.String())
		life, err := d.store.Life(t.Context(), *a.body.Receipt, func(schema.Claim) string { return "" })
		must(t, err)
		want, err := time.Parse(time.RFC3339Nano, at)
		must(t, err)
		if got := life.Events[0].SourceAt; !got.Equal(want.Truncate(time.Microsecond)) {
			t.Errorf("%s became %s", at, got)
		}
	}
}
