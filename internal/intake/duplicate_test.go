package intake_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/internal/store"
	"lockstep/schema"
)

// outcome collects what the repetitions of one event were answered.
type outcome struct {
	mu       sync.Mutex
	statuses map[int]int
	receipts map[schema.ID]int
	events   int
}

func newOutcome() *outcome {
	return &outcome{statuses: map[int]int{}, receipts: map[schema.ID]int{}}
}

func (o *outcome) add(a answered) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.statuses[a.status]++
	o.events += a.body.Events
	if a.body.Receipt != nil {
		o.receipts[*a.body.Receipt]++
	}
}

// Each event comes 1 to 50 times at once, through two processes: one row, one receipt.
func TestA01_OneEventManyTimesAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	doors := []*door{h.door(), h.door()}
	sources := []string{"standard", "crm-legacy", "github", "body-id", "desk", "cdc-plain"}
	const events = 48
	outcomes := make([]*outcome, events)
	var sends []func()
	for i := range events {
		source := sources[i%len(sources)]
		var body string
		switch source {
		case "desk":
			body = contact(newUUID(), "w", "+15550199888")
		case "cdc-plain":
			body = captured(i, newRecord(), newRecord())
		default:
			body = change{record: newRecord(), eventID: fmt.Sprint("e", i)}.String()
		}
		with := signing{secretOf(h.bundle.Map.Sources[source].Signature.Profile, source), fmt.Sprint("msg_", i), h.now()}
		o := newOutcome()
		outcomes[i] = o
		for n := range 1 + rand.IntN(50) {
			sends = append(sends, func() { o.add(doors[n%2].do(h.signedWith(source, body, with))) })
		}
	}
	rand.Shuffle(len(sends), func(i, j int) { sends[i], sends[j] = sends[j], sends[i] })
	inParallel(24, sends)
	for i, o := range outcomes {
		want := 1
		if sources[i%len(sources)] == "cdc-plain" {
			want = 2
		}
		if len(o.statuses) != 1 || o.statuses[http.StatusAccepted] == 0 || len(o.receipts) != 1 || o.events != want {
			t.Errorf("event %d by %s: answers %v, receipts %v, %d taken as new; want one receipt and %d", i, sources[i%len(sources)], o.statuses, o.receipts, o.events, want)
		}
		for receipt := range o.receipts {
			if n := h.count("SELECT count(*) FROM event WHERE id BETWEEN $1 AND $2", receipt, schema.LastOfReceipt(receipt)); n != want {
				t.Errorf("event %d: %d rows under its receipt, want %d", i, n, want)
			}
		}
	}
	if n := h.count("SELECT count(*) FROM event"); n != events+events/len(sources) {
		t.Errorf("%d rows in the journal", n)
	}
	stats, err := doors[0].store.Stats(t.Context())
	must(t, err)
	if n := int64(len(sends)) + int64(countOf(sends, outcomes, sources)); stats.Accepted+stats.Duplicates != n {
		t.Errorf("accepted %d and duplicates %d do not add up to the %d sent", stats.Accepted, stats.Duplicates, n)
	}
	doors[0].sound()
}

// countOf returns how many events were sent beyond one for each request: a CDC event tells of two records.
func countOf(_ []func(), outcomes []*outcome, sources []string) (more int) {
	for i, o := range outcomes {
		if sources[i%len(sources)] == "cdc-plain" {
			more += o.statuses[http.StatusAccepted]
		}
	}
	return more
}

// inParallel runs tasks by some workers and returns when all are done.
func inParallel(workers int, tasks []func()) {
	queue := make(chan func())
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for task := range queue {
				task()
			}
		})
	}
	for _, task := range tasks {
		queue <- task
	}
	close(queue)
	wg.Wait()
}

// The same id with another body: neither is picked silently. The first stands, the second is quarantined once.
func TestA02_SameIDOtherBody(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	doors := []*door{h.door(), h.door()}
	for _, source := range []string{"standard", "own", "body-id", "json-body-id"} {
		record := newRecord()
		with := signing{secretOf(h.bundle.Map.Sources[source].Signature.Profile, source), "msg_one", h.now()}
		one, two := change{record: record, eventID: "one", status: "A"}.String(), change{record: record, eventID: "one", status: "B"}.String()
		first := doors[0].do(h.signedWith(source, one, with))
		if first.status != http.StatusAccepted {
			t.Fatalf("%s: %s", source, first)
		}
		before := h.counts("event", "open_event")
		o, letters := newOutcome(), map[string]int{}
		var mu sync.Mutex
		var sends []func()
		for n := range 12 {
			sends = append(sends, func() {
				a := doors[n%2].do(h.signedWith(source, two, with))
				o.add(a)
				mu.Lock()
				defer mu.Unlock()
				letters[a.body.DeadLetter]++
				if a.body.Error.Reason != schema.ReasonSameIDOtherBody {
					t.Errorf("%s: %s", source, a)
				}
			})
		}
		inParallel(6, sends)
		if o.statuses[http.StatusConflict] != 12 || o.receipts[*first.body.Receipt] != 12 || len(letters) != 1 {
			t.Fatalf("%s: answers %v with receipts %v and letters %v; want 409 with the first receipt %s and one letter", source, o.statuses, o.receipts, letters, first.body.Receipt)
		}
		if after := h.counts("event", "open_event"); after != before {
			t.Errorf("%s: a conflict changed the journal from %s to %s", source, before, after)
		}
		for letter := range letters {
			if kept := string(h.letter(letter)); !strings.Contains(kept, `"new_value":"B"`) {
				t.Errorf("%s: the letter holds %s", source, kept)
			}
		}
		if n := h.count("SELECT count(*) FROM dead_letter WHERE source = $1 AND kind = 'quarantined'", source); n != 1 {
			t.Errorf("%s: %d letters in quarantine", source, n)
		}
		again := doors[1].do(h.signedWith(source, one, with))
		if again.status != http.StatusAccepted || *again.body.Receipt != *first.body.Receipt || !again.body.Duplicate {
			t.Errorf("%s: the first one came again and got %s", source, again)
		}
	}
}

// A conflict in one event of a POST refuses the POST: nothing of it is taken.
func TestA02_AConflictInOneOfSeveral(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	known := change{record: newRecord(), eventID: "known", status: "A"}
	first := d.accepted("body-id", known.String())
	known.status = "B"
	fresh := change{record: newRecord(), eventID: "fresh"}
	before := h.counts("event", "ref", "dedupe_kept")
	a := d.post("body-id", "["+fresh.String()+","+known.String()+"]")
	if a.status != http.StatusConflict || *a.body.Receipt != *first.body.Receipt {
		t.Fatalf("%s; want 409 with receipt %s", a, first.body.Receipt)
	}
	if after := h.counts("event", "ref", "dedupe_kept"); after != before {
		t.Fatalf("a refused POST changed the journal from %s to %s", before, after)
	}
	if b := d.accepted("body-id", "["+fresh.String()+"]"); b.body.Events != 1 {
		t.Errorf("the other event alone: %s", b)
	}
	one, other := change{record: newRecord(), eventID: "x", status: "A"}, change{record: newRecord(), eventID: "x", status: "B"}
	if a := d.post("body-id", "["+one.String()+","+other.String()+"]"); a.status != http.StatusConflict {
		t.Errorf("two bodies of one id in one POST: %s", a)
	}
}

// Captured requests come again: within the tolerance dedupe answers, after it nobody does. Nothing new comes of any.
func TestA03_CapturedRequests(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	type captive struct {
		source, body string
		with         signing
		receipt      schema.ID
	}
	var captives []captive
	timed := []string{"standard", "zendesk", "hubspot", "slack", "own", "cdc", "crm-flat", "flat-signed-time"}
	timeless := []string{"crm-legacy", "github", "own-timeless", "own-ageless", "desk", "body-id", "cdc-plain"}
	for n, source := range append(append([]string{}, timed...), timeless...) {
		var body string
		switch h.bundle.Map.Sources[source].Envelope {
		case "flat":
			body = fmt.Sprintf(`{"phone_number":"+15550199888","email_address":"a%d@example.com"}`, n)
		case "genesys":
			body = contact(newUUID(), "1", "+15550199888")
		case "salesforce":
			body = captured(n, newRecord())
		default:
			body = change{record: newRecord(), eventID: fmt.Sprint(n)}.String()
		}
		c := captive{source, body, signing{secretOf(h.bundle.Map.Sources[source].Signature.Profile, source), fmt.Sprint("id", n), h.now().Truncate(time.Second)}, schema.ID{}}
		a := d.do(h.signedWith(source, body, c.with))
		if a.status != http.StatusAccepted {
			t.Fatalf("%s: %s", source, a)
		}
		c.receipt = *a.body.Receipt
		captives = append(captives, c)
	}
	before := h.counts("event", "ref", "record")
	start := h.now()
	for _, age := range []time.Duration{time.Second, 4*time.Minute + 58*time.Second, 5*time.Minute + time.Second, 24 * time.Hour, 90 * 24 * time.Hour} {
		h.forward(age - h.now().Sub(start))
		for _, c := range captives {
			a := d.do(h.signedWith(c.source, c.body, c.with))
			within := age < 5*time.Minute || !contains(timed, c.source)
			switch {
			case within && (a.status != http.StatusAccepted || *a.body.Receipt != c.receipt || a.body.Events != 0):
				t.Errorf("%s after %s: %s; want the receipt %s", c.source, age, a, c.receipt)
			case !within && a.status != http.StatusUnauthorized:
				t.Errorf("%s after %s: %s; want 401", c.source, age, a)
			}
		}
	}
	if after := h.counts("event", "ref", "record"); after != before {
		t.Errorf("repetitions changed the journal from %s to %s", before, after)
	}
}

func contains(list []string, s string) bool {
	return strings.Contains(" "+strings.Join(list, " ")+" ", " "+s+" ")
}

// Whatever the signature does not cover can be changed by whoever holds a captured request; no second event comes of it.
func TestA04_UnsignedHeadersDoNotCount(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	signedHeaders := map[string][]string{
		"standard": {"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"},
		"zendesk":  {"X-Zendesk-Webhook-Signature", "X-Zendesk-Webhook-Signature-Timestamp"},
		"hubspot":  {"X-Hubspot-Signature-V3", "X-Hubspot-Request-Timestamp"},
		"github":   {"X-Hub-Signature-256"}, "slack": {"X-Slack-Signature", "X-Slack-Request-Timestamp"},
		"own": {"X-Signature", "X-Id", "X-Time"}, "own-timeless": {"X-Signature", "X-Id"}, "own-ageless": {"X-Slack-Signature", "X-Slack-Request-Timestamp"},
		"crm-legacy": {}, "json-body-id": {}, "body-id": {"X-Hub-Signature-256"}, "desk": {"X-Api-Key"},
	}
	unsigned := []string{
		"Webhook-Id", "Webhook-Timestamp", "X-Github-Delivery", "X-Github-Event", "X-Request-Id", "X-Id", "X-Time", "Idempotency-Key", "User-Agent", "Date", "X-Forwarded-For",
		"X-Forwarded-Proto", "X-Original-Url", "Cookie", "Authorization", "Traceparent", "X-Slack-Request-Timestamp", "X-Zendesk-Webhook-Id", "X-Hubspot-Request-Timestamp",
		"X-Slack-Retry-Num", "Accept", "Accept-Language", "From", "Referer", "Via",
	}
	for source, covered := range signedHeaders {
		body := change{record: newRecord(), eventID: "e"}.String()
		if source == "desk" {
			body = contact(newUUID(), "1", "+15550199888")
		}
		with := signing{secretOf(h.bundle.Map.Sources[source].Signature.Profile, source), "id1", h.now()}
		first := d.do(h.signedWith(source, body, with))
		if first.status != http.StatusAccepted {
			t.Fatalf("%s: %s", source, first)
		}
		mutants := 0
		for _, header := range unsigned {
			if contains(covered, header) {
				continue
			}
			for _, value := range []string{"", "9999999999", "id1"} {
				r := h.signedWith(source, body, with)
				r.Header.Set(header, value)
				r.RemoteAddr = fmt.Sprintf("10.0.0.%d:1", mutants%250)
				if a := d.do(r); a.status != http.StatusAccepted || *a.body.Receipt != *first.body.Receipt || a.body.Events != 0 {
					t.Errorf("%s with %s: %s: %s; want the receipt %s", source, header, value, a, first.body.Receipt)
				}
				mutants++
			}
		}
		for _, media := range []string{"application/json; charset=utf-8", "application/cloudevents+json", "Application/JSON"} {
			r := h.signedWith(source, body, with)
			r.Header.Set("Content-Type", media)
			if a := d.do(r); a.status != http.StatusAccepted || *a.body.Receipt != *first.body.Receipt {
				t.Errorf("%s as %s: %s", source, media, a)
			}
		}
		if source != "hubspot" { // it signs the address that the map gives
			r := h.signedWith(source, body, with)
			r.Host, r.URL.RawQuery = "elsewhere.example.com", "attempt=2"
			if a := d.do(r); a.status != http.StatusAccepted || *a.body.Receipt != *first.body.Receipt {
				t.Errorf("%s at another host: %s", source, a)
			}
		}
		if mutants < 60 {
			t.Errorf("%s: only %d mutants", source, mutants)
		}
	}
	if n := h.count("SELECT count(*) FROM event"); n != len(signedHeaders) {
		t.Errorf("%d events of %d", n, len(signedHeaders))
	}
}

// A signature inside the body covers the canonical form: other spellings of the body carry it, too. They are the same
// event, whatever tells events apart.
func TestA04_OtherSpellingsOfASignedBody(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	for _, source := range []string{"crm-legacy", "json-body-id"} {
		body := h.signedInside(change{record: "001A", eventID: "e1", more: `,"Credit_Limit__c":{"old_value":5000,"new_value":100}`}.String(), secretOf("json", source))
		first := d.accepted(source, body)
		for _, respelt := range []string{
			strings.ReplaceAll(body, `,"`, ` ,  "`),
			strings.ReplaceAll(body, `"e1"`, `"\u00651"`),
			strings.ReplaceAll(body, `"001A"`, `"\u0030\u0030\u0031A"`),
			strings.ReplaceAll(body, `"change_set"`, `"change\u005fset"`),
			strings.ReplaceAll(body, `"new_value":100}`, `"new_value":1e2}`),
			strings.ReplaceAll(body, `"new_value":100}`, `"new_value":100.00}`),
			" \n" + body + "\t\n",
		} {
			if respelt == body {
				t.Fatal("nothing was respelt")
			}
			r := h.signed(source, "{}")
			a := d.do(withBody(r, respelt))
			if a.status != http.StatusAccepted || *a.body.Receipt != *first.body.Receipt || !a.body.Duplicate {
				t.Errorf("%s: %s: %s; want the receipt %s", source, respelt, a, first.body.Receipt)
			}
		}
	}
	if n := h.count("SELECT count(*) FROM event"); n != 2 {
		t.Errorf("%d events of 2", n)
	}
}

// withBody replaces a request's body without signing it anew.
func withBody(r *http.Request, body string) *http.Request {
	fresh, err := http.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	fresh.Header, fresh.Host, fresh.RequestURI = r.Header, r.Host, r.RequestURI
	return fresh
}

// Without an id and behind a static key the content tells what is the same event, for good; whatever is wrapped around
// it anew for each delivery does not count.
func TestA31_ByContent(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	id := newUUID()
	first := d.accepted("desk", contact(id, "wrapping-1", "+15550199888"))
	reordered := fmt.Sprintf(`{"detail":{"eventBody":{"workPhone":{"e164":"+15550199888","display":"+15550199888"},"lastName":"R\u006fe","modifyDate":"2026-01-02T03:04:05Z","id":%q},`+
		`"topicName":"v2.externalcontacts.contacts.{id}"},"detail-type":"v2.externalcontacts.contacts.{id}","resources":[]}`, id)
	for name, body := range map[string]string{
		"as it was": contact(id, "wrapping-1", "+15550199888"), "wrapped anew": contact(id, "wrapping-2", "+15550199888"), "spelt anew": reordered,
	} {
		if a := d.post("desk", body); a.status != http.StatusAccepted || *a.body.Receipt != *first.body.Receipt || !a.body.Duplicate {
			t.Errorf("%s: %s; want the receipt %s", name, a, first.body.Receipt)
		}
	}
	if a := d.accepted("desk", contact(id, "wrapping-1", "+15550199889")); *a.body.Receipt == *first.body.Receipt {
		t.Errorf("another telephone number is another event: %s", a)
	}
	// A member that happens to be called so is no envelope: whatever stands around it counts.
	one, two := change{record: "001Y", status: "A"}.String(), change{record: "001Y", status: "B"}.String()
	for _, detail := range []string{`"detail":{"x":1},`, `"detail":"x","detail-type":"y",`, `"detail":{"x":1},"detail-type":7,`} {
		a, b := d.accepted("slack", strings.Replace(one, "{", "{"+detail, 1)), d.accepted("slack", strings.Replace(two, "{", "{"+detail, 1))
		if *a.body.Receipt == *b.body.Receipt {
			t.Errorf("two changes with %s were taken for one", detail)
		}
	}
	if n := h.count("SELECT count(*) FROM dedupe_kept"); n != 2 {
		t.Errorf("%d keys are kept for good, want 2", n)
	}
	if n := h.count("SELECT count(*) FROM dedupe_current WHERE source = 'desk'"); n != 0 {
		t.Errorf("%d keys will be forgotten", n)
	}
	// A number counts as it is written: two that differ beyond a double's precision are two events.
	precise := `,"Credit_Limit__c":{"old_value":null,"new_value":12345678901234567890.1}`
	other := `,"Credit_Limit__c":{"old_value":null,"new_value":12345678901234567890.2}`
	a, b := d.accepted("github", change{record: "001X", more: precise}.String()), d.accepted("github", change{record: "001X", more: other}.String())
	if *a.body.Receipt == *b.body.Receipt {
		t.Error("two numbers were taken for one")
	}
	d.refused("flat-timeless", `{"email_address":"a@example.com"}`, schema.ReasonSchemaMismatch)
}

// An id within the body has to be one: a text or a number that says something.
func TestA31_IDsWithinTheBody(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	for _, id := range []string{`""`, `null`, `true`, `{}`, `[]`, `{"id":"a"}`, `["a"]`} {
		for _, source := range []string{"body-id", "json-body-id"} {
			body := strings.Replace(change{record: "001A"}.String(), `{`, `{"event_id":`+id+`,`, 1)
			if a := d.refused(source, body, schema.ReasonSchemaMismatch); a.body.Error.Field != "/event_id" {
				t.Errorf("%s: the refusal points at %q", id, a.body.Error.Field)
			}
		}
	}
	d.refused("body-id", change{record: "001A"}.String(), schema.ReasonSchemaMismatch)
	one, two := change{record: "001A", eventID: "7"}.String(), change{record: "001B", eventID: "8"}.String()
	first := d.accepted("body-id", "["+one+","+two+"]")
	for _, body := range []string{one, two, "[" + two + "]", " " + one} {
		if a := d.accepted("body-id", body); *a.body.Receipt != *first.body.Receipt || !a.body.Duplicate {
			t.Errorf("%s came with others before: %s", body, a)
		}
	}
}

// Records without a time of their own are told apart by the time of signing: a change back is no repetition.
func TestA31_AChangeBackIsNoRepetition(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	a, b := `{"email_address":"a@example.com","phone_number":"+15550199888"}`, `{"email_address":"a@example.com","phone_number":"+15550199889"}`
	receipts := map[schema.ID]bool{}
	for n, body := range []string{a, b, a} {
		with := signing{secret: secretOf("slack", "flat-signed-time"), at: h.now().Add(time.Duration(n) * time.Second)}
		for range 2 {
			got := d.do(h.signedWith("flat-signed-time", body, with))
			if got.status != http.StatusAccepted {
				t.Fatal(got)
			}
			receipts[*got.body.Receipt] = true
		}
	}
	if n := h.count("SELECT count(*) FROM event"); n != 3 || len(receipts) != 3 {
		t.Errorf("%d events under %d receipts, want 3 of each: there, away and back", n, len(receipts))
	}
}

// Death between COMMIT and the answer: the sender comes again and gets the receipt of the first time.
func TestE02_DeathBetweenCommitAndAnswer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.openStore()
	for name, j := range map[string]*mortal{
		"before the commit": {Journal: s, before: true}, "after the commit": {Journal: s}, "a panic after it": {Journal: s, panics: true},
		"the sender hangs up": {Journal: s, hangUp: true},
	} {
		j.dying = true
		d := &door{h: h, store: s, Handler: h.intake(j).Handler()}
		body, with := change{record: newRecord()}.String(), signing{secretOf("standard_webhooks", "standard"), "id" + name[:6], h.now()}
		with.id = strings.ReplaceAll(with.id, " ", "_")
		before := h.count("SELECT count(*) FROM event")
		r := h.signedWith("standard", body, with)
		if j.hangUp {
			ctx, cancel := context.WithCancel(t.Context())
			j.hang = cancel
			r = r.WithContext(ctx)
		}
		a := d.do(r)
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
			t.Errorf("%s: %s; want 503 with Retry-After", name, a)
		}
		stored := h.count("SELECT count(*) FROM event") - before
		if want := 1; j.before && stored != 0 || !j.before && !j.hangUp && stored != want {
			t.Errorf("%s: %d rows", name, stored)
		}
		j.dying = false
		first := d.do(h.signedWith("standard", body, with))
		again := d.do(h.signedWith("standard", body, with))
		if first.status != http.StatusAccepted || again.status != http.StatusAccepted || *first.body.Receipt != *again.body.Receipt {
			t.Errorf("%s: the repetitions got %s and %s", name, first, again)
		}
		if !j.before && !j.hangUp && (*first.body.Receipt != j.committed.Receipt || !first.body.Duplicate) {
			t.Errorf("%s: the repetition got %s, the first one's receipt was %s", name, first, j.committed.Receipt)
		}
		if n := h.count("SELECT count(*) FROM event") - before; n != 1 {
			t.Errorf("%s: %d rows in the end", name, n)
		}
	}
}

// mortal is a journal whose process dies around the commit.
type mortal struct {
	*store.Store
	Journal   *store.Store
	dying     bool
	before    bool
	panics    bool
	hangUp    bool
	hang      context.CancelFunc
	committed schema.Accepted
}

var errDied = errors.New("died")

func (m *mortal) Accept(ctx context.Context, p *schema.Posting) (schema.Accepted, error) {
	switch {
	case !m.dying:
		return m.Journal.Accept(ctx, p)
	case m.before:
		return schema.Accepted{}, errDied
	case m.hangUp:
		m.hang()
		return m.Journal.Accept(ctx, p)
	}
	var err error
	if m.committed, err = m.Journal.Accept(ctx, p); err != nil {
		return m.committed, err
	}
	if m.panics {
		panic("died")
	}
	return schema.Accepted{}, errDied
}

func (m *mortal) Refuse(ctx context.Context, r schema.Refused) (int64, error) {
	return m.Journal.Refuse(ctx, r)
}

// Keys outlive one generation; what a signature does not bound in time is kept for good.
func TestE16_DedupeAcrossGenerations(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	timed := signing{secretOf("standard_webhooks", "standard"), "msg_1", h.now()}
	event, kept := change{record: newRecord()}.String(), change{record: newRecord(), eventID: "k"}.String()
	first := d.do(h.signedWith("standard", event, timed))
	forGood := map[string]answered{}
	for _, source := range []string{"github", "crm-legacy", "own-timeless", "own-ageless", "own-patient", "body-id"} {
		with := signing{secretOf(h.bundle.Map.Sources[source].Signature.Profile, source), "id1", h.now()}
		forGood[source] = d.do(h.signedWith(source, kept, with))
	}
	atFirst := h.now()
	for generation := 1; generation <= 3; generation++ {
		must(t, d.store.Housekeep(t.Context(), store.Retention{Ended: time.Hour, Dead: time.Hour}))
		a := d.do(h.signedWith("standard", event, timed))
		switch {
		case a.status != http.StatusAccepted:
			t.Fatal(a)
		case generation == 1 && *a.body.Receipt != *first.body.Receipt:
			t.Errorf("one generation later: %s, want the receipt %s", a, first.body.Receipt)
		case generation == 2 && *a.body.Receipt == *first.body.Receipt:
			t.Error("two generations did not forget a key: the test does not rotate")
		}
		for source, was := range forGood {
			with := signing{secretOf(h.bundle.Map.Sources[source].Signature.Profile, source), "id1", atFirst}
			if a := d.do(h.signedWith(source, kept, with)); a.status != http.StatusAccepted || *a.body.Receipt != *was.body.Receipt {
				t.Errorf("%s, %d generations later: %s; want %s", source, generation, a, was)
			}
		}
	}
}

// A generation is changed while events flow: nobody is refused, nothing comes in twice.
func TestE16_RotationUnderLoad(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	doors := []*door{h.door(), h.door()}
	const events, repeats = 120, 4
	outcomes := make([]*outcome, events)
	var sends []func()
	for i := range events {
		outcomes[i] = newOutcome()
		body, with := change{record: newRecord()}.String(), signing{secretOf("standard_webhooks", "standard"), fmt.Sprint("m", i), h.now()}
		for n := range repeats {
			sends = append(sends, func() { outcomes[i].add(doors[n%2].do(h.signedWith("standard", body, with))) })
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { inParallel(8, sends) })
	must(t, doors[0].store.Housekeep(t.Context(), store.Retention{Ended: time.Hour, Dead: time.Hour}))
	wg.Wait()
	for i, o := range outcomes {
		if o.statuses[http.StatusAccepted] != repeats || len(o.receipts) != 1 || o.events != 1 {
			t.Errorf("event %d: answers %v, receipts %v", i, o.statuses, o.receipts)
		}
	}
}

// Several events in one POST are taken or refused as a whole, under one receipt.
func TestSeveralEventsInOnePost(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	list := func(cs ...change) string {
		parts := make([]string, len(cs))
		for i, c := range cs {
			parts[i] = c.String()
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	one, two, three := change{record: "001A"}, change{record: "001B"}, change{record: "001A", status: "Churned"}
	first := d.accepted("github", list(one, two, three, one))
	if first.body.Events != 3 {
		t.Fatalf("%s; want 3 events, one came twice", first)
	}
	if n := h.count("SELECT count(DISTINCT record) FROM open_event"); n != 2 {
		t.Errorf("%d records, want 2", n)
	}
	four := change{record: "001D"}
	mixed := d.accepted("github", list(two, four))
	if mixed.body.Events != 1 || mixed.body.Duplicate || *mixed.body.Receipt == *first.body.Receipt {
		t.Errorf("one of two is new: %s", mixed)
	}
	for body, want := range map[string]answered{list(one, two, three, one): first, list(two, four): mixed, list(four): mixed, list(one): first} {
		if a := d.accepted("github", body); *a.body.Receipt != *want.body.Receipt || !a.body.Duplicate {
			t.Errorf("again: %s; want the receipt %s", a, want.body.Receipt)
		}
	}
	bad := change{record: "001E", more: `,"Phone":{"old_value":null,"new_value":"12"}`}
	a := d.refused("github", list(change{record: "001F"}, bad), schema.ReasonBadPhone)
	if a.body.Error.Field != "/1/change_set/Phone/new_value" {
		t.Errorf("the refusal points at %q", a.body.Error.Field)
	}
	a = d.refused("github", `[`+four.String()+`,`+strings.Replace(four.String(), `"UPDATE"`, `"PATCH"`, 1)+`]`, schema.ReasonSchemaMismatch)
	if a.body.Error.Field != "/1/event_type" {
		t.Errorf("the refusal points at %q", a.body.Error.Field)
	}
	if a := d.accepted("github", list(change{record: "001F"})); a.body.Events != 1 {
		t.Errorf("a refused POST has taken the key of a sound event: %s", a)
	}

	ids := []string{newRecord(), newRecord(), newRecord()}
	several := d.accepted("cdc-plain", captured(7, ids...))
	if several.body.Events != 3 {
		t.Errorf("a CDC event of three records: %s", several)
	}
	if again := d.accepted("cdc-plain", captured(7, ids...)); *again.body.Receipt != *several.body.Receipt || !again.body.Duplicate {
		t.Errorf("again: %s", again)
	}
	d.refused("cdc-plain", captured(8, newRecord(), "../../x"), schema.ReasonBadRecordID)
	life, err := d.store.Life(t.Context(), *several.body.Receipt, func(schema.Claim) string { return "" })
	must(t, err)
	if len(life.Events) != 3 {
		t.Errorf("the receipt's life has %d events", len(life.Events))
	}
	d.sound()
}

// A message that tells of very many records may not fill the journal with itself.
func TestAMessageOfTooManyRecords(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	ids := make([]string, 4000)
	for i := range ids {
		ids[i] = fmt.Sprintf("001%015d", i)
	}
	a := d.refused("cdc-plain", captured(1, ids...), schema.ReasonSchemaMismatch)
	if a.body.Error.Remedy == "" {
		t.Errorf("the refusal does not say what to do: %s", a)
	}
	if got := d.accepted("cdc-plain", captured(2, ids[:200]...)); got.body.Events != 200 {
		t.Errorf("200 records: %s", got)
	}
}
