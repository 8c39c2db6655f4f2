package simulator

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Headers go out as the vendor spells them.
func TestHeadersKeepTheirSpelling(t *testing.T) {
	w := httptest.NewRecorder()
	clock := NewClock(nil)
	f := NewFront(FrontOptions{Clock: clock, Journal: NewJournal(clock), Plan: NewPlan(clock), Dialect: &shop{}})
	f.send(w, Empty(200).With("inin-ratelimit-count", "1"), Fault{})
	if got := fmt.Sprint(w.Header()); !strings.Contains(got, "inin-ratelimit-count:[1]") {
		t.Errorf("the headers are %s", got)
	}
}

// shop is a vendor with one thing, which PUT counts up.
type shop struct {
	mu      sync.Mutex
	count   int
	revoked int
	last    *Call
}

func (*shop) Client(c *Call) string { return c.Request.Header.Get("X-Client") }
func (*shop) NotSimulated(*Call) Answer {
	return Answer{Status: 501, Header: http.Header{}, Body: []byte("501")}
}
func (*shop) MethodNotAllowed(_ *Call, allowed []string) Answer {
	return Empty(405).With("Allow", strings.Join(allowed, ","))
}
func (*shop) Refuse(_ *Call, f Fault) Answer {
	return Answer{Status: f.Code, Header: http.Header{}, Body: []byte(f.BodyCode)}
}
func (*shop) Throttle(*Call, Fault) Answer { return Empty(429) }
func (s *shop) RevokeTokens()              { s.revoked++ }

func (s *shop) put(c *Call) Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	s.last = c
	c.Effect(Effect{Object: "Thing", ID: c.Vars["id"], Op: OpUpdate})
	if c.Route.Bulk {
		for i := range 3 {
			if f, hit := c.ItemFault(i, "r"+c.Vars["id"]); hit {
				return Answer{Status: 200, Header: http.Header{}, Body: []byte(f.BodyCode)}
			}
		}
	}
	return JSON(200, "application/json", map[string]string{"thing": strings.Repeat("x", 1000)})
}

func (s *shop) done() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

func open(t *testing.T) (*shop, *Front, string) {
	t.Helper()
	s := &shop{}
	clock := NewClock(nil)
	f := NewFront(FrontOptions{
		Clock: clock, Journal: NewJournal(clock), Plan: NewPlan(clock), Dialect: s, MaxBody: 1000, Routes: []Route{
			{Method: "PUT", Template: "/things/all", Class: ClassWrite, Bulk: true, Serve: s.put},
			{Method: "PUT", Template: "/things/{id}", Class: ClassWrite, Serve: s.put},
			{Method: "POST", Template: "/things/{id}", Class: ClassWrite, Serve: s.put},
		},
	})
	server := httptest.NewServer(f)
	t.Cleanup(func() {
		f.Close()
		server.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return s, f, server.URL
}

// do sends a request; err is what the client saw of a broken connection.
func do(t *testing.T, method, url, body string) (status int, h http.Header, got string, err error) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Client", "c1")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, "", err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	return response.StatusCode, response.Header, string(b), err
}

func TestFaultsOnTheWire(t *testing.T) {
	for name, c := range map[string]struct {
		fault      Fault
		status     int  // what the client sees, 0 for a broken connection
		applied    bool // whether the vendor did the work
		journaled  int
		cut        bool // whether the body breaks off
		retryAfter []string
	}{
		"none":           {Fault{Kind: FaultStatus, Code: 500, Class: ClassRead}, 200, true, 200, false, nil},
		"status":         {Fault{Kind: FaultStatus, Code: 503, BodyCode: "BUSY", RetryAfter: Seconds(4)}, 503, false, 503, false, []string{"4"}},
		"status after":   {Fault{Kind: FaultStatus, Code: 502, After: true}, 502, true, 502, false, nil},
		"throttle":       {Fault{Kind: FaultThrottle, RetryAfter: RetryAfter{"2", "garbage"}}, 429, false, 429, false, []string{"2", "garbage"}},
		"throttle plain": {Fault{Kind: FaultThrottle}, 429, false, 429, false, nil},
		"slow":           {Fault{Kind: FaultSlow, Ms: 1}, 200, true, 200, false, nil},
		"slow after":     {Fault{Kind: FaultSlow, Ms: 1, After: true}, 200, true, 200, false, nil},
		"drip":           {Fault{Kind: FaultDrip, Ms: 1, Bytes: 300}, 200, true, 200, false, nil},
		"reset before":   {Fault{Kind: FaultResetBefore}, 0, false, 0, false, nil},
		"reset after":    {Fault{Kind: FaultResetAfter}, 0, true, 0, false, nil},
		"truncate":       {Fault{Kind: FaultTruncate}, 200, true, 200, true, nil},
		"truncate at 3":  {Fault{Kind: FaultTruncate, Bytes: 3}, 200, true, 200, true, nil},
		"html":           {Fault{Kind: FaultHTML}, 200, false, 200, false, nil},
		"html after":     {Fault{Kind: FaultHTML, After: true}, 200, true, 200, false, nil},
		"revoke":         {Fault{Kind: FaultRevokeToken}, 200, true, 200, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, f, url := open(t)
			c.fault.Count = 1
			if _, err := f.Plan.Add(c.fault); err != nil {
				t.Fatal(err)
			}
			status, header, body, err := do(t, "PUT", url+"/things/7", "{}")
			if status != c.status {
				t.Errorf("the client sees %d (%v), want %d", status, err, c.status)
			}
			if cut := errors.Is(err, io.ErrUnexpectedEOF); cut != c.cut {
				t.Errorf("the body breaks off: %v (%v)", cut, err)
			}
			if (s.done() == 1) != c.applied {
				t.Errorf("applied %d times", s.done())
			}
			if got := header["Retry-After"]; !slices.Equal(got, c.retryAfter) {
				t.Errorf("Retry-After %q, want %q", got, c.retryAfter)
			}
			entries := f.Journal.Entries(0)
			if len(entries) != 1 || entries[0].Status != c.journaled || (len(entries[0].Effects) == 1) != c.applied || entries[0].Open {
				t.Errorf("the journal says %+v", entries)
			}
			if want := c.fault.Kind; name != "none" && entries[0].Fault != want {
				t.Errorf("the journal names the fault %q, want %q", entries[0].Fault, want)
			}
			switch name {
			case "truncate at 3":
				if body != `{"t` {
					t.Errorf("let through %q", body)
				}
			case "drip", "slow":
				if !strings.HasSuffix(body, `x"}`) {
					t.Errorf("the body ends %q", body[max(0, len(body)-9):])
				}
			case "html", "html after":
				if !strings.HasPrefix(header.Get("Content-Type"), "text/html") {
					t.Errorf("the type is %q", header.Get("Content-Type"))
				}
			case "status":
				if body != "BUSY" {
					t.Errorf("the body is %q", body)
				}
			case "revoke":
				if s.revoked != 1 {
					t.Error("no token was revoked")
				}
			}
			if status, _, _, err := do(t, "PUT", url+"/things/7", "{}"); status != 200 || err != nil {
				t.Errorf("after the fault: %d, %v", status, err)
			}
		})
	}
}

func TestItemFaultIsJournaled(t *testing.T) {
	s, f, url := open(t)
	if _, err := f.Plan.Add(Fault{Kind: FaultItem, BodyCode: "LOCKED", Count: 1}); err != nil {
		t.Fatal(err)
	}
	if _, _, body, _ := do(t, "PUT", url+"/things/all", ""); body != "LOCKED" {
		t.Errorf("the item answered %q", body)
	}
	if _, _, _, err := do(t, "PUT", url+"/things/1", ""); err != nil || s.done() != 2 {
		t.Errorf("a single write after it: %v", err)
	}
	if e := f.Journal.Entries(0); e[0].Fault != FaultItem || e[1].Fault != "" {
		t.Errorf("the journal says %+v", e)
	}
}

func TestFrontRoutesAndJournals(t *testing.T) {
	s, f, url := open(t)
	for _, c := range []struct {
		method, path string
		status       int
		route, want  string // want is the journaled path
	}{
		{"PUT", "/things/a%2Fb%20c?secret=1&also=2&also=3", 200, "/things/{id}", "/things/a%2Fb%20c?also&secret"},
		{"PUT", "/things/1/", 200, "/things/{id}", "/things/1/"},
		{"PUT", "/things/a/b", 501, "unknown", "/things/a/b"},
		{"PUT", "/things/", 501, "unknown", "/things/"},
		{"GET", "/nothing?x", 501, "unknown", "/nothing?x"},
		{"DELETE", "/things/1", 405, "unknown", "/things/1"},
	} {
		status, header, _, err := do(t, c.method, url+c.path, "")
		if err != nil || status != c.status {
			t.Errorf("%s %s: %d, %v", c.method, c.path, status, err)
		}
		if status == 405 && header.Get("Allow") != "PUT,POST" {
			t.Errorf("Allow is %q", header.Get("Allow"))
		}
		all := f.Journal.Entries(0)
		got := all[len(all)-1]
		if got.Route != c.route || got.Path != c.want || got.Credential != "c1" || got.Status != c.status || got.Method != c.method {
			t.Errorf("%s %s is journaled as %+v", c.method, c.path, got)
		}
	}
	if _, _, _, err := do(t, "PUT", url+"/things/a%2Fb%20c", ""); err != nil || s.last.Vars["id"] != "a/b c" {
		t.Errorf("the segment decodes to %q", s.last.Vars["id"])
	}
}

func TestFrontReadsBodies(t *testing.T) {
	s, _, url := open(t)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write([]byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(context.Background(), "PUT", url+"/things/1", &zipped)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Encoding", "gzip")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if string(s.last.Body) != `{"a":1}` || s.last.Overlong {
		t.Errorf("the zipped body is %q", s.last.Body)
	}
	for size, overlong := range map[int]bool{1000: false, 1001: true} {
		if _, _, _, err := do(t, "PUT", url+"/things/1", strings.Repeat("x", size)); err != nil {
			t.Fatal(err)
		}
		if s.last.Overlong != overlong || len(s.last.Body) != 1000 {
			t.Errorf("%d bytes: overlong %v, %d kept", size, s.last.Overlong, len(s.last.Body))
		}
	}
}

func TestEffectIsJournaledBeforeTheAnswer(t *testing.T) {
	_, f, url := open(t)
	if _, err := f.Plan.Add(Fault{Kind: FaultSlow, Ms: 3_600_000, After: true}); err != nil {
		t.Fatal(err)
	}
	answered := make(chan int)
	go func() {
		status, _, _, _ := do(t, "PUT", url+"/things/1", "")
		answered <- status
	}()
	eventually(t, "the effect of an open entry", func() bool {
		e := f.Journal.Entries(0)
		return len(e) == 1 && e[0].Open && len(e[0].Effects) == 1
	})
	select {
	case <-answered:
		t.Fatal("the answer came before the delay was over")
	default:
	}
	f.Close() // ends the hour
	if status := <-answered; status != 200 {
		t.Errorf("answered %d", status)
	}
}

func TestResetAfterHoldsForABodyInFlight(t *testing.T) {
	_, f, url := open(t)
	if _, err := f.Plan.Add(Fault{Kind: FaultResetAfter, Probability: 0.5, Seed: 3}); err != nil {
		t.Fatal(err)
	}
	broken := 0
	for range 40 {
		if _, _, _, err := do(t, "POST", url+"/things/1", "{}"); err != nil {
			broken++
		}
	}
	reset := 0
	for _, e := range f.Journal.Entries(0) {
		if len(e.Effects) != 1 {
			t.Fatalf("an entry without its effect: %+v", e)
		}
		if e.Fault == FaultResetAfter {
			reset++
		}
	}
	if broken == 0 || broken != reset || f.Plan.List()[0].Fired != reset {
		t.Errorf("%d connections broke, the journal tells of %d, the plan of %d", broken, reset, f.Plan.List()[0].Fired)
	}
}

func TestSubrequestsShareTheEntry(t *testing.T) {
	s, f, url := open(t)
	if _, _, _, err := do(t, "PUT", url+"/things/1", ""); err != nil {
		t.Fatal(err)
	}
	call := s.last
	target := *call.Request.URL
	target.Path = "/things/2"
	sub, _ := call.Sub("PUT", &target, http.Header{"X-Part": {"1"}}, []byte("b"))
	if sub.Route == nil || sub.Vars["id"] != "2" || sub.Entry() != call.Entry() || sub.Request.Header.Get("X-Part") != "1" {
		t.Fatalf("the subrequest is %+v", sub)
	}
	sub.Effect(Effect{Object: "Thing", ID: "2", Op: OpUpdate})
	if call.Request.Header.Get("X-Part") != "" {
		t.Error("the subrequest's header reached the whole request")
	}
	want := []Effect{{Object: "Thing", ID: "1", Op: OpUpdate}, {Object: "Thing", ID: "2", Op: OpUpdate}}
	if diff := cmp.Diff(want, f.Journal.Entries(0)[0].Effects); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	if nothing, allowed := call.Sub("GET", &target, nil, nil); nothing.Route != nil || len(allowed) != 2 {
		t.Errorf("a method that does not fit is allowed %v", allowed)
	}
}

func TestDateFollowsTheVendorsClock(t *testing.T) {
	_, f, url := open(t)
	f.Clock.Skew(48 * time.Hour)
	_, header, _, err := do(t, "PUT", url+"/things/1", "")
	if err != nil {
		t.Fatal(err)
	}
	at, err := http.ParseTime(header.Get("Date"))
	if err != nil || time.Until(at) < 47*time.Hour {
		t.Errorf("Date is %q", header.Get("Date"))
	}
}
