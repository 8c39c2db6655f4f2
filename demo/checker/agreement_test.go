package checker

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"lockstep/demo/endpoints"
)

// display is what both systems show of two customers, and what their journals say that we wrote.
type display struct {
	contacts, externals []Record
	journals            map[string][]Entry
	// looked is called once somebody has looked at the journal of Genesys.
	looked func()
}

func (d *display) serve(t *testing.T, name, object string, records *[]Record) *Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := json.NewEncoder(w)
		switch r.URL.Path {
		case "/state/" + object:
			_ = e.Encode(*records)
		case "/journal":
			after, _ := strconv.Atoi(r.URL.Query().Get("after")) // 0 without it
			for _, entry := range d.journals[name] {
				if entry.N > after {
					_ = e.Encode(entry)
				}
			}
			if name == Genesys && d.looked != nil {
				d.looked()
			}
		default:
			_, _ = io.WriteString(w, "{}")
		}
	}))
	t.Cleanup(server.Close)
	return NewClient(name, endpoints.System{ControlURL: server.URL})
}

func ours(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// inStep is two customers on whom both systems and what people said agree.
func inStep() (*display, []*Person) {
	d, people := &display{journals: map[string][]Entry{}}, []*Person{}
	for n := range 2 {
		name, mail := fmt.Sprint("Byron ", n), fmt.Sprintf("p%d@example.com", n)
		s, g := fmt.Sprint("003", n), fmt.Sprint("g", n)
		d.contacts = append(d.contacts, Record{"Id": s, "Ext_Id__c": ours(n), "LastName": name, "Email": mail})
		d.externals = append(d.externals, Record{"id": g, "lastName": name, "workEmail": strings.ToUpper(mail), "externalIds": []any{
			map[string]any{"externalSource": map[string]any{"id": SourceLockstep}, "value": ours(n)},
		}})
		p := &Person{SalesforceID: s, GenesysID: g}
		p.Say("last_name", Word{Value: name, System: Salesforce, At: time.Unix(1, 0)})
		p.Say("email_address", Word{Value: mail, System: Genesys, At: time.Unix(2, 0)})
		people = append(people, p)
		typed := Effect{Object: "Contact", ID: s, Op: "create", Fields: map[string]any{"LastName": name, "Email": mail}}
		d.journals[Salesforce] = append(d.journals[Salesforce], Entry{N: n + 1, Kind: "edit", Effects: []Effect{typed}})
		wrote := Effect{Object: "ExternalContact", ID: g, Op: "create", Key: ours(n), Fields: map[string]any{"lastName": name, "workEmail": mail}}
		d.journals[Genesys] = append(d.journals[Genesys], Entry{N: n + 1, Kind: "request", Route: "/enrich", Effects: []Effect{wrote}})
	}
	return d, people
}

// TestWhatIsWrongIsFound breaks the agreement in each way that counts, once: the checker finds it, and nothing where nothing is
// broken. Without that its zeros would mean nothing.
func TestWhatIsWrongIsFound(t *testing.T) {
	again := func(d *display, change func(*Effect)) {
		e := d.journals[Genesys][0].Effects[0]
		change(&e)
		d.journals[Genesys] = append(d.journals[Genesys], Entry{N: 9, Kind: "request", Route: "/enrich", Effects: []Effect{e}})
	}
	type found struct{ lost, doubled, differences, ledger, unique int }
	for name, c := range map[string]struct {
		spoil func(*display, []*Person)
		want  found
	}{
		"nothing":                    {func(*display, []*Person) {}, found{}},
		"a value differs":            {func(d *display, _ []*Person) { d.externals[1]["lastName"] = "Overheard" }, found{differences: 1}},
		"both show what nobody said": {func(_ *display, p []*Person) { p[0].Words["last_name"][0].Value = "King" }, found{differences: 1, ledger: 1}},
		"an older word stands": {func(_ *display, p []*Person) {
			p[0].Say("email_address", Word{Value: "new@example.com", System: Salesforce, At: time.Unix(3, 0)})
		}, found{differences: 1}},
		"a value is gone":           {func(d *display, _ []*Person) { delete(d.contacts[0], "Email") }, found{differences: 1}},
		"a customer is gone":        {func(d *display, _ []*Person) { d.externals = d.externals[:1] }, found{lost: 1}},
		"a customer without our id": {func(d *display, _ []*Person) { d.contacts[0]["Ext_Id__c"] = nil }, found{lost: 1}},
		"two records under one id":  {func(d *display, _ []*Person) { d.externals = append(d.externals, d.externals[0]) }, found{doubled: 1, unique: 1}},
		"a record that nobody asked for": {func(d *display, _ []*Person) {
			d.contacts = append(d.contacts, Record{"Id": "0039", "LastName": "Byron 0"})
		}, found{doubled: 1}},
		"two creations under one key": {func(d *display, _ []*Person) { again(d, func(e *Effect) { e.ID = "g9" }) }, found{ledger: 1}},
		"writes without end": {func(d *display, _ []*Person) {
			for range 3 {
				again(d, func(e *Effect) { e.Op = "update" })
			}
		}, found{ledger: 1}},
		"an identical write": {func(d *display, _ []*Person) { again(d, func(e *Effect) { e.Op, e.Noop = "update", true }) }, found{}},
		"a value that nobody said": {func(d *display, _ []*Person) {
			again(d, func(e *Effect) { e.Op, e.Fields = "update", map[string]any{"lastName": "Mallory"} })
		}, found{ledger: 1}},
		"an older word over a newer": {func(d *display, p []*Person) {
			p[0].Say("email_address", Word{Value: "old@example.com", System: Salesforce, At: time.Unix(0, 0)})
			again(d, func(e *Effect) { e.Op, e.Fields = "update", map[string]any{"workEmail": "old@example.com"} })
		}, found{ledger: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			d, people := inStep()
			c.spoil(d, people)
			land := Landscape{Salesforce: d.serve(t, Salesforce, "Contact", &d.contacts), Genesys: d.serve(t, Genesys, "ExternalContact", &d.externals)}
			a, err := land.Compare(t.Context(), people, nil)
			if err != nil {
				t.Fatal(err)
			}
			ledger, err := land.Audit(t.Context(), people)
			if err != nil {
				t.Fatal(err)
			}
			unique, err := land.Unique(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			got := found{a.Lost, a.Doubled, a.Differences, len(ledger.Findings()), len(unique)}
			if got != c.want || (len(a.Findings) > 0) != (got.lost+got.doubled+got.differences > 0) {
				t.Errorf("found %+v %v %v %v, want %+v", got, a.Findings, ledger.Findings(), unique, c.want)
			}
			if want := 7 * (len(people) - got.lost); a.Records != len(people) || a.Fields != want {
				t.Errorf("%d records and %d fields were compared, want %d and %d", a.Records, a.Fields, len(people), want)
			}
		})
	}
}

// TestUnrestIsFound has something written between two looks at the journals: what we do while nobody says anything is found, a
// person's edit is nothing of ours.
func TestUnrestIsFound(t *testing.T) {
	for kind, want := range map[string]int{"request": 1, "edit": 0, "webhook": 0} {
		d, _ := inStep()
		land := Landscape{Salesforce: d.serve(t, Salesforce, "Contact", &d.contacts), Genesys: d.serve(t, Genesys, "ExternalContact", &d.externals)}
		d.looked = func() {
			entry := Entry{N: 5, Kind: kind, Effects: []Effect{{Object: "ExternalContact", ID: "g0", Op: "update"}}}
			if kind == "webhook" {
				entry.Effects = nil
			}
			d.journals[Genesys], d.looked = append(d.journals[Genesys], entry), nil
		}
		findings, err := land.Still(t.Context(), time.Millisecond)
		if err != nil || len(findings) != want {
			t.Errorf("after a %s: %v, %v", kind, findings, err)
		}
	}
}
