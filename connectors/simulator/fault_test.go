package simulator

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFaultCheck(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want string // part of the error, "" for none
	}{
		"status":             {`{"kind":"status","code":503}`, ""},
		"everything":         {`{"kind":"throttle","route":"GET /a","class":"bulk","credential":"c","retry_after":[3,"x"],"count":2,"for_ms":9,"probability":0.5,"seed":4}`, ""},
		"no kind":            {`{}`, "kind must be one of"},
		"status sans code":   {`{"kind":"status"}`, "needs a code"},
		"odd code":           {`{"kind":"throttle","code":99}`, "must be an HTTP status"},
		"odd class":          {`{"kind":"drip","ms":1,"class":"x"}`, "class must be"},
		"slow sans ms":       {`{"kind":"slow"}`, "needs ms"},
		"probability":        {`{"kind":"html_200","probability":1.5}`, "between 0 and 1"},
		"negative":           {`{"kind":"truncate","bytes":-1}`, "must not be negative"},
		"unknown member":     {`{"kind":"html_200","odds":1}`, "unknown field"},
		"unknown retry":      {`{"kind":"throttle","retry_after":true}`, "retry_after is"},
		"behind the value":   {`{"kind":"html_200"} x`, "behind its JSON value"},
		"id is not an input": {`{"kind":"html_200","id":"fault-1"}`, "unknown field"},
	} {
		var f Fault
		err := Decode([]byte(c.body), &f)
		if err == nil {
			_, err = NewPlan(NewClock(nil)).Add(f)
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

func TestFaultMatches(t *testing.T) {
	read := target{method: "GET", route: "/a/{id}", class: ClassRead, credential: "c1"}
	bulkWrite := target{method: "POST", route: "/bulk", class: ClassWrite, bulk: true, credential: "c1"}
	token := target{method: "POST", route: "/token", class: ClassToken}
	for name, c := range map[string]struct {
		fault Fault
		hits  []target
	}{
		"anything":        {Fault{}, []target{read, bulkWrite, token}},
		"any":             {Fault{Class: ClassAny}, []target{read, bulkWrite, token}},
		"read":            {Fault{Class: ClassRead}, []target{read}},
		"write":           {Fault{Class: ClassWrite}, []target{bulkWrite}},
		"bulk":            {Fault{Class: ClassBulk}, []target{bulkWrite}},
		"token":           {Fault{Class: ClassToken}, []target{token}},
		"template":        {Fault{Route: "/a/{id}"}, []target{read}},
		"with the method": {Fault{Route: "GET /a/{id}"}, []target{read}},
		"other method":    {Fault{Route: "PUT /a/{id}"}, nil},
		"credential":      {Fault{Credential: "c1"}, []target{read, bulkWrite}},
		"both":            {Fault{Route: "/bulk", Class: ClassRead}, nil},
	} {
		for _, at := range []target{read, bulkWrite, token} {
			p := NewPlan(NewClock(nil))
			c.fault.Kind = FaultHTML
			if _, err := p.Add(c.fault); err != nil {
				t.Fatal(err)
			}
			if _, hit := p.pick(at); hit != slices.Contains(c.hits, at) {
				t.Errorf("%s on %s %s: fired %v", name, at.method, at.route, hit)
			}
		}
	}
}

func TestFaultEnds(t *testing.T) {
	hand := newHandClock()
	p := NewPlan(NewClock(hand.now))
	at := target{method: "GET", route: "/a", class: ClassRead}
	first, _ := p.Add(Fault{Kind: FaultHTML, Count: 2})
	if _, err := p.Add(Fault{Kind: FaultTruncate, ForMs: 1000}); err != nil {
		t.Fatal(err)
	}
	var fired []string
	for range 4 {
		f, _ := p.pick(at)
		fired = append(fired, f.Kind)
	}
	if want := []string{FaultHTML, FaultHTML, FaultTruncate, FaultTruncate}; !slices.Equal(fired, want) {
		t.Errorf("fired %v, want %v", fired, want)
	}
	hand.advance(time.Second)
	if f, hit := p.pick(at); hit {
		t.Errorf("%s fired after its time", f.Kind)
	}
	list := p.List()
	if list[0].ID != first || list[0].Fired != 2 || list[0].Active || list[1].Fired != 2 || list[1].Active {
		t.Errorf("the plan stands at %+v", list)
	}
	if !p.Remove(first) || p.Remove(first) || len(p.List()) != 1 || !p.Remove("") || len(p.List()) != 0 {
		t.Error("removal does not remove")
	}
}

func TestFaultProbabilityRepeatsUnderItsSeed(t *testing.T) {
	run := func(seed uint64) (out []bool) {
		p := NewPlan(NewClock(nil))
		if _, err := p.Add(Fault{Kind: FaultHTML, Probability: 0.3, Seed: seed}); err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			_, hit := p.pick(target{})
			out = append(out, hit)
		}
		return out
	}
	hits := 0
	for _, hit := range run(5) {
		if hit {
			hits++
		}
	}
	if hits < 230 || hits > 370 {
		t.Errorf("%d of 1000 fired at probability 0.3", hits)
	}
	if !slices.Equal(run(5), run(5)) || slices.Equal(run(5), run(6)) {
		t.Error("the seed does not decide the draws")
	}
}

func TestFaultPicksItems(t *testing.T) {
	two := 2
	for name, c := range map[string]struct {
		fault Fault
		want  []int
	}{
		"every":      {Fault{}, []int{0, 1, 2, 3}},
		"by index":   {Fault{Index: &two}, []int{2}},
		"by record":  {Fault{RecordID: "r1"}, []int{1}},
		"count":      {Fault{Count: 3}, []int{0, 1, 2}},
		"both":       {Fault{Index: &two, RecordID: "r1"}, nil},
		"wrong kind": {Fault{Class: ClassRead}, nil},
	} {
		p := NewPlan(NewClock(nil))
		c.fault.Kind = FaultItem
		if _, err := p.Add(c.fault); err != nil {
			t.Fatal(err)
		}
		at := target{class: ClassWrite, bulk: true}
		if _, hit := p.pick(at); hit {
			t.Errorf("%s: an item fault hit the whole request", name)
		}
		var got []int
		for i, id := range []string{"r0", "r1", "r2", "r3"} {
			if _, hit := p.pickItem(at, i, []string{id}); hit {
				got = append(got, i)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: failed items %v, want %v", name, got, c.want)
		}
	}
}

func TestRetryAfterForms(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for body, want := range map[string][]string{
		`7`:                  {"7"},
		`-1`:                 {"-1"},
		`1.5`:                {"1.5"},
		`"soon"`:             {"soon"},
		`"date:30"`:          {"Thu, 01 Jan 2026 00:00:30 GMT"},
		`[1,"x","date:-60"]`: {"1", "x", "Wed, 31 Dec 2025 23:59:00 GMT"},
	} {
		var r RetryAfter
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		r.set(h, now)
		if got := h["Retry-After"]; !slices.Equal(got, want) {
			t.Errorf("%s sends %q, want %q", body, got, want)
		}
	}
}
