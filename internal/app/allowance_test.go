package app

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"lockstep/connectors"
	"lockstep/connectors/genesys/genesystest"
	"lockstep/connectors/salesforce/salesforcetest"
	"lockstep/internal/store"
	"lockstep/schema"
)

// callers is the wiring of a worker, with both systems simulated, and a journal with work for each system in each lane.
type callers struct {
	*wiring
	t       *testing.T
	journal *store.Store
	systems map[string]connectors.Reader
}

func newCallers(t *testing.T, perMinute, daily int) *callers {
	t.Helper()
	desk := genesystest.Start(t, genesystest.Options{RequestsPerMinute: perMinute})
	crm := salesforcetest.Start(t, salesforcetest.Options{DailyRequests: daily})
	config := configOf(t)
	for at, handler := range map[string]http.Handler{"GENESYS_URL": desk.Handler(), "GENESYS_LOGIN_URL": desk.LoginHandler(), "SALESFORCE_URL": crm.Handler()} {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		t.Setenv(at, server.URL)
	}
	t.Setenv("SALESFORCE_LOGIN_URL", os.Getenv("SALESFORCE_URL"))
	writeSecret(t, config.Secrets, "genesys/client.json", desk.ClientID+":"+desk.ClientSecret)
	writeSecret(t, config.Secrets, "salesforce/client.json", crm.ClientID+":"+crm.ClientSecret)
	c := &callers{t: t, systems: map[string]connectors.Reader{}}
	var err error
	c.wiring, err = config.wire()
	must(t, err)
	t.Cleanup(c.close)
	c.journal, err = c.openJournal(t.Context())
	must(t, err)
	t.Cleanup(func() { _ = c.journal.Close() })
	_, err = c.prepareJournal(t.Context(), c.journal)
	must(t, err)
	log := slog.New(slog.DiscardHandler)
	allowances := newAllowances(c.journal, log)
	systems, err := c.connect(log, allowances.hear)
	must(t, err)
	for name, y := range systems {
		c.systems[name] = y.Connector.(connectors.Reader)
		if closer, ok := y.Connector.(interface{ Close() }); ok {
			t.Cleanup(closer.Close)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var hearing sync.WaitGroup
	hearing.Go(func() { allowances.run(ctx) })
	t.Cleanup(func() { stop(); hearing.Wait() })
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// calls reads a missing record of a system so many times.
func (c *callers) calls(system string, n int) {
	c.t.Helper()
	object, key, fields := c.bundle.Rulesets["customer"].VendorObject(system)
	missing := map[string]string{"genesys": "3d1f5a0e-8c2b-4b7a-9a64-5e0f7b6c1d20", "salesforce": "003xx0000000001AAA"}[system]
	for range n {
		_, err := c.systems[system].Read(c.t.Context(), connectors.Object{Name: object, Key: key, Fields: fields}, []string{missing})
		must(c.t, err)
	}
}

// claimable lists the lanes of a system in which something can be claimed.
func (c *callers) claimable(system string) (lanes []schema.Lane) {
	c.t.Helper()
	for _, lane := range schema.Lanes {
		body := []byte(schema.NewRandom().String())
		_, err := c.journal.Accept(c.t.Context(), &schema.Posting{Source: system, Receipt: schema.NewReceipt(), Units: []schema.Unit{{
			Key: [][]byte{body}, Body: body,
			Events: []schema.NewEvent{{System: system, Object: "customer", Ref: string(body), Kind: schema.EventChange, Lane: lane, Body: body}},
		}}})
		must(c.t, err)
		_, err = c.journal.Decide(c.t.Context(), schema.DecideQuery{Lane: lane}, func(_ context.Context, records []*schema.OpenRecord, _ schema.Look) ([]schema.Resolution, error) {
			r := records[0]
			return []schema.Resolution{{
				Record: r.ID, Object: r.Object, Rev: r.Rev + 1, State: r.State, Wants: []schema.Wanted{{System: system, Op: schema.OpRead, Lane: lane}},
				Verdicts: []schema.Resolved{{Event: r.Events[0].ID, Source: system, State: schema.EventDecided, Outcome: schema.Applied}},
			}}, nil
		})
		must(c.t, err)
		claim, ok, err := c.journal.Claim(c.t.Context(), schema.ClaimQuery{System: system, Object: "customer", Op: schema.OpRead, Lane: lane, Bulk: 1, Calls: 1})
		must(c.t, err)
		if !ok {
			continue
		}
		lanes = append(lanes, lane)
		_, err = c.journal.Park(c.t.Context(), claim.ID, schema.ReasonParkedByPerson, "ops", "")
		must(c.t, err)
	}
	return lanes
}

// becomes waits until exactly some lanes of a system can be claimed.
func (c *callers) becomes(system string, want ...schema.Lane) {
	c.t.Helper()
	var got []schema.Lane
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if got = c.claimable(system); slices.Equal(got, want) {
			return
		}
	}
	c.t.Fatalf("%s: lanes %v can be claimed, want %v", system, got, want)
}

// What one worker is told of a system's allowance holds for all: nobody claims anything of a window that is used up, and
// only what is urgent of the last fifth of a day.
func TestAnAllowanceIsEverybodysMatter(t *testing.T) {
	c := newCallers(t, 4, 20)
	urgent := []schema.Lane{schema.LaneLive, schema.LanePush}
	c.calls("genesys", 1)
	c.calls("salesforce", 1)
	c.becomes("genesys", schema.Lanes...)
	c.becomes("salesforce", schema.Lanes...)
	c.calls("genesys", 3)
	c.becomes("genesys")
	c.calls("salesforce", 14)
	c.becomes("salesforce", schema.Lanes...)
	c.calls("salesforce", 1)
	c.becomes("salesforce", urgent...)
}
