package simulator

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Servable is what a vendor's simulator offers to be served.
type Servable interface {
	Vendor
	Handler() http.Handler
	LoginHandler() http.Handler
	ControlHandler() http.Handler
	Run(ctx context.Context)
	Close()
	Journal() *Journal
	Plan() *Plan
}

// Served is a simulator on loopback ports, for tests in the same process.
type Served struct {
	// URL is the vendor's API, LoginURL its login host, ControlURL the control API.
	URL, LoginURL, ControlURL string

	t         testing.TB
	simulator Servable
}

// Serve serves a simulator until the test ends. Its sender runs.
func Serve(t testing.TB, s Servable) *Served {
	t.Helper()
	api, login := httptest.NewServer(s.Handler()), httptest.NewServer(s.LoginHandler())
	control := httptest.NewServer(s.ControlHandler())
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		s.Close()
		running.Wait()
		api.Close()
		login.Close()
		control.Close()
	})
	return &Served{URL: api.URL, LoginURL: login.URL, ControlURL: control.URL, t: t, simulator: s}
}

// Journal returns every journal entry so far.
func (s *Served) Journal() []Entry { return s.simulator.Journal().Entries(0) }

// Requests returns the journal entries of requests to the vendor's hosts.
func (s *Served) Requests() []Entry {
	var out []Entry
	for _, e := range s.Journal() {
		if e.Kind == EntryRequest {
			out = append(out, e)
		}
	}
	return out
}

// Effects returns the effects of requests, in order; those of a person's edits are not among them.
func (s *Served) Effects() []Effect {
	var out []Effect
	for _, e := range s.Requests() {
		out = append(out, e.Effects...)
	}
	return out
}

// Inject adds a fault and returns its id.
func (s *Served) Inject(f Fault) string {
	s.t.Helper()
	id, err := s.simulator.Plan().Add(f)
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

// Put saves a record as a person would and returns it; with an id it updates, or creates under that id.
func (s *Served) Put(object string, fields map[string]any) map[string]any {
	s.t.Helper()
	saved, _, err := s.simulator.Save(object, Encode(fields), "")
	if err != nil {
		s.t.Fatalf("the simulator refuses the record: %v", err)
	}
	return s.plain(saved)
}

// Record returns a record in the vendor's shape, deleted ones too; nil when there is none.
func (s *Served) Record(object, id string) map[string]any {
	s.t.Helper()
	found, err := s.simulator.State(object, id, true)
	if err != nil {
		s.t.Fatal(err)
	}
	if len(found) == 0 {
		return nil
	}
	return s.plain(found[0])
}

// Records returns the live records of an object.
func (s *Served) Records(object string) []map[string]any {
	s.t.Helper()
	found, err := s.simulator.State(object, "", false)
	if err != nil {
		s.t.Fatal(err)
	}
	out := make([]map[string]any, len(found))
	for i, r := range found {
		out[i] = s.plain(r)
	}
	return out
}

func (s *Served) plain(v any) map[string]any {
	s.t.Helper()
	var out map[string]any
	if err := json.Unmarshal(Encode(v), &out); err != nil {
		s.t.Fatal(err)
	}
	return out
}
