package intake_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/internal/secrets"
	"lockstep/internal/store"
	"lockstep/rules"
	"lockstep/schema"
)

// Ruling 1: refuse with 400 and keep the dead letter. The original opens byte for byte; the same body again has the same
// letter; a refused event has not taken the key of the one that is sent in its place.
func TestRuling01_RefuseAndKeep(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	doors := []*door{h.door(), h.door()}
	with := signing{secretOf("standard_webhooks", "standard"), "msg_1", h.now()}
	bad := " \n" + change{record: "001A", more: `,"Phone":{"old_value":null,"new_value":"555"}`}.String() + "\t "
	first := doors[0].do(h.signedWith("standard", bad, with))
	e := first.body.Error
	if first.status != http.StatusBadRequest || e.Reason != schema.ReasonBadPhone || e.Field != "/change_set/Phone/new_value" || e.Masked != "999" || e.Rule == "" || e.Remedy == "" {
		t.Fatalf("%s", first)
	}
	if string(h.letter(first.body.DeadLetter)) != bad {
		t.Error("the letter does not hold the body byte for byte")
	}
	var wg sync.WaitGroup
	for n := range 16 {
		wg.Go(func() {
			again := with
			again.id = fmt.Sprint("msg_", n)
			if a := doors[n%2].do(h.signedWith("standard", bad, again)); a.status != http.StatusBadRequest || a.body.DeadLetter != first.body.DeadLetter {
				t.Errorf("again: %s; want %s", a, first.body.DeadLetter)
			}
		})
	}
	wg.Wait()
	if n := h.count("SELECT count(*) FROM dead_letter"); n != 1 {
		t.Errorf("%d dead letters", n)
	}
	if a := doors[0].do(h.signedWith("standard", change{record: "001A"}.String(), with)); a.status != http.StatusAccepted || a.body.Events != 1 {
		t.Errorf("the mended event under the same id: %s", a)
	}
	touchy := doors[0].post("touchy", bad)
	if touchy.status != http.StatusAccepted || touchy.body.Error.Reason != schema.ReasonBadPhone || touchy.body.DeadLetter == "" || touchy.body.Receipt != nil {
		t.Errorf("a source that switches off after errors: %s", touchy)
	}
	if touchy.body.DeadLetter == first.body.DeadLetter {
		t.Error("two sources share a letter")
	}
	// The same bytes refused on the way of a conflict are another letter: who has to act differs.
	conflict := doors[0].do(h.signedWith("standard", change{record: "001A", status: "X"}.String(), with))
	if conflict.status != http.StatusConflict || conflict.body.DeadLetter == first.body.DeadLetter {
		t.Errorf("%s", conflict)
	}
	var owner, object, kind string
	must(t, h.database().QueryRowContext(t.Context(), "SELECT owner, object, kind FROM dead_letter ORDER BY n LIMIT 1").Scan(&owner, &object, &kind))
	if owner != "ops" || object != "customer" || kind != "refused" {
		t.Errorf("the letter is for %s about %s, %s", owner, object, kind)
	}
	long := doors[0].refused("github", change{record: "001A", status: strings.Repeat("x", 41)}.String(), schema.ReasonBadValue)
	must(t, h.database().QueryRowContext(t.Context(), "SELECT owner FROM dead_letter WHERE n = $1", strings.TrimPrefix(long.body.DeadLetter, "dl-")).Scan(&owner))
	if owner != "status-desk" {
		t.Errorf("a refused field of the status desk goes to %s", owner)
	}
}

// Letters survive a rotation of the index's keys: a body that was refused before it has the number that it got then.
func TestRuling01_AcrossAKeyRotation(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	first := d.refused("github", "{}", schema.ReasonSchemaMismatch)
	must(t, secrets.Stage(h.dir, secrets.IndexKeys))
	h.forward(3 * time.Second)
	must(t, secrets.Promote(h.dir, secrets.IndexKeys))
	h.forward(3 * time.Second)
	if again := d.refused("github", "{}", schema.ReasonSchemaMismatch); again.body.DeadLetter != first.body.DeadLetter {
		t.Errorf("%s, then %s", first.body.DeadLetter, again.body.DeadLetter)
	}
}

// requiredSchema is requirement R-130 as it stands there.
const requiredSchema = `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object",
 "properties":{"phone_number":{"type":"string","pattern":"^\\+?[1-9]\\d{1,14}$"},
  "email_address":{"type":"string","format":"email"},
  "last_interaction_date":{"type":"string","format":"date-time"}},
 "required":["phone_number","email_address"]}
`

// Ruling 2: the required schema is loaded byte for byte, though "12" passes it; the canonical check behind it refuses what
// is no telephone number and spells the others.
func TestRuling02_TheRequiredSchemaAndTheCanonicalOne(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	shipped, err := schema.Shapes.ReadFile("json/crm-flat/customer/v1.json")
	must(t, err)
	if string(shipped) != requiredSchema {
		t.Errorf("the shipped schema differs from the required one:\n%s", shipped)
	}
	record := func(phone string) string {
		return fmt.Sprintf(`{"phone_number":%q,"email_address":"Ada@Example.com","last_interaction_date":"2026-01-02T03:04:05+01:00"}`, phone)
	}
	for _, phone := range []string{"12", "15550199888"} {
		if _, err := h.shapes.Check("crm-flat/customer", []byte(record(phone))); err != nil {
			t.Errorf("the required schema refuses %s: %v", phone, err)
		}
	}
	if a := d.refused("crm-flat", record("12"), schema.ReasonBadPhone); a.body.Error.Field != "/phone_number" || a.body.Error.Masked != "99" {
		t.Errorf("%s", a)
	}
	d.accepted("crm-flat", record("15550199888"))
	want := map[string]any{"phone_number": "+15550199888", "email_address": "ada@example.com", "last_interaction_date": "2026-01-02T02:04:05.000Z"}
	if got := h.canonicalOf("crm-flat"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("spelt as %v, want %v", got, want)
	}
	for field, body := range map[string]string{
		"/email_address": `{"phone_number":"+15550199888","email_address":"no address"}`, "/phone_number": `{"email_address":"a@example.com"}`,
		"/last_interaction_date": `{"phone_number":"+15550199888","email_address":"a@example.com","last_interaction_date":"yesterday"}`,
	} {
		a := d.post("crm-flat", body)
		if a.status != http.StatusBadRequest || a.body.Error.Field != field {
			t.Errorf("%s: %s", field, a)
		}
	}
}

// canonicalOf returns what the newest event says under the canonical names.
func (h *house) canonicalOf(source string) map[string]any {
	h.t.Helper()
	bodies := h.bodies()
	changes, err := h.envelopeOf(source).Parse(json.RawMessage(bodies[len(bodies)-1]))
	must(h.t, err)
	return h.bundle.Rulesets["customer"].Canonical(h.bundle.Map.Sources[source].System, changes[0])
}

// Ruling 3: a number has to be possible, not assigned; every source has its own region.
func TestRuling03_PossibleNumbersAndRegions(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	if rules.PhoneValid(schema.Text("+15550199888")) {
		t.Error("the required example caller is an assigned number: the ruling tests nothing")
	}
	for _, c := range []struct{ source, phone, want string }{
		{"portal", "+15550199888", "+15550199888"}, {"portal", "(555) 019-9888", "+15550199888"}, {"portal", "tel:+1-555-019-9888", "+15550199888"},
		// 00 is the way out of many countries; with the wrong region it must not become somebody else's number.
		{"portal", "0044 20 7946 0958", "+442079460958"}, {"portal-gb", "0044 20 7946 0958", "+442079460958"}, {"portal-gb", "020 7946 0958", "+442079460958"},
		{"portal-gb", "+1 555 019 9888", "+15550199888"},
	} {
		d.accepted(c.source, fmt.Sprintf(`{"phone_number":%q}`, c.phone))
		if got := h.canonicalOf(c.source)["phone_number"]; got != c.want {
			t.Errorf("%s from %s became %v, want %s", c.phone, c.source, got, c.want)
		}
	}
	d.refused("portal", `{"phone_number":"020 7946 0958"}`, schema.ReasonBadPhone)
}

// Ruling 4: one usable key is enough, whichever it is; none is too few.
func TestRuling04_OneUsableKey(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	receipts := map[schema.ID]bool{}
	for _, body := range []string{`{"external_id":"C-1"}`, `{"email_address":"a@example.com"}`, `{"phone_number":"+15550199888"}`, `{"external_id":"C-2","email_address":null,"phone_number":""}`} {
		receipts[*d.accepted("portal", body).body.Receipt] = true
	}
	if n := h.count("SELECT count(*) FROM record"); n != 4 || len(receipts) != 4 {
		t.Errorf("%d records under %d receipts, want 4", n, len(receipts))
	}
	// The strongest key names the record, whatever else is told.
	d.accepted("portal", `{"external_id":"C-1","email_address":"new@example.com","phone_number":"+15550199889"}`)
	if n := h.count("SELECT count(*) FROM record"); n != 4 {
		t.Errorf("%d records after another event of C-1", n)
	}
	for _, body := range []string{`{}`, `{"name":"Roe"}`, `{"external_id":null}`, `{"external_id":"","email_address":" ","phone_number":null}`} {
		d.refused("portal", body, schema.ReasonNoUsableKey)
	}
	// A source that demands more does so by its own schema.
	d.refused("crm-flat", `{"external_id":"C-1"}`, schema.ReasonSchemaMismatch)
}

// Ruling 5: a signature stands in the header or in the body, never in either (see A32).
func TestRuling05_HeaderOrBody(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	for source, other := range map[string]string{"crm-legacy": "github", "github": "crm-legacy"} {
		body := change{record: "001A"}.String()
		if source == "github" {
			body = h.signedInside(body, secretOf("github", "github"))
		}
		r := h.signedWith(other, body, signing{secret: secretOf("github", source), at: h.now()})
		if source == "crm-legacy" {
			r = withBody(r, body) // signed in the header only
		} else {
			r.Header.Del("X-Hub-Signature-256") // signed in the body only
		}
		r.URL.Path = "/webhooks/" + source
		if a := d.do(r); a.status != http.StatusUnauthorized {
			t.Errorf("%s signed as %s: %s", source, other, a)
		}
	}
}

// Ruling 6: raw bytes stand sealed in the journal and the dead letters, nowhere else, and not for ever.
func TestRuling06_RawBytes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	body := change{record: "001canary", more: `,"Name":{"old_value":null,"new_value":"Jane Canary-Doe"},"Phone":{"old_value":null,"new_value":"+15550123456"},"Email__c":{"old_value":null,"new_value":"jane.canary@example.com"},` +
		`"SSN__c":{"old_value":null,"new_value":"123-45-6789"}`}.String()
	open, ended, buried := d.accepted("github", body), d.accepted("standard", body), d.accepted("slack", body)
	refused := d.refused("github", strings.Replace(body, "+15550123456", "123-45-6789", 1), schema.ReasonBadPhone)
	mended := d.refused("github", strings.Replace(body, "+15550123456", "12", 1), schema.ReasonBadPhone)
	for table, rows := range h.dump() {
		leaks(t, "table "+table, rows)
		if strings.Contains(rows, "canary") || strings.Contains(rows, "Customer_Status__c") && table != "dead_letter" {
			t.Errorf("table %s holds raw data", table)
		}
	}
	// One event has ended, one is in the dead letters, one is open still.
	end := func(a answered) string { return schema.EventID(*a.body.Receipt, 1).String() }
	h.exec(
		"INSERT INTO outcome (event, outcome, bundle) VALUES ('"+end(ended)+"', 'applied', 'test'), ('"+end(buried)+"', 'dead', 'test')",
		"DELETE FROM open_event WHERE event IN ('"+end(ended)+"', '"+end(buried)+"')",
		"INSERT INTO dead_letter (id, kind, source, object, event, reason, owner) VALUES (gen_random_uuid(), 'dead', 'slack', 'customer', '"+end(buried)+"', 'value_refused', 'ops')",
	)
	has := func(a answered) bool {
		return h.count("SELECT count(*) FROM event WHERE id = $1 AND body IS NOT NULL AND dek IS NOT NULL", end(a)) == 1
	}
	trim := func(keep store.Retention) {
		keep.Keys = time.Hour
		must(t, d.store.Housekeep(t.Context(), keep))
	}
	trim(store.Retention{Ended: time.Hour, Dead: time.Hour})
	if !has(open) || !has(ended) || !has(buried) {
		t.Error("a body is gone before its time")
	}
	trim(store.Retention{Ended: 0, Dead: time.Hour})
	if !has(open) || has(ended) || !has(buried) {
		t.Errorf("after the time of ended ones: open %t, ended %t, dead %t", has(open), has(ended), has(buried))
	}
	h.exec("UPDATE dead_letter SET received_at = now() - interval '2 hours' WHERE n = " + strings.TrimPrefix(mended.body.DeadLetter, "dl-") + " OR event = '" + end(buried) + "'")
	trim(store.Retention{Ended: 0, Dead: time.Hour})
	if !has(open) || has(buried) {
		t.Errorf("after the time of dead ones: open %t, dead %t", has(open), has(buried))
	}
	kept := func(a answered) int {
		return h.count("SELECT count(*) FROM dead_letter WHERE body IS NOT NULL AND n = $1", strings.TrimPrefix(a.body.DeadLetter, "dl-"))
	}
	if kept(refused) != 1 || kept(mended) != 0 {
		t.Errorf("of the letters, the young one has %d bodies and the old one %d", kept(refused), kept(mended))
	}
	if n := h.count("SELECT count(*) FROM event") + h.count("SELECT count(*) FROM dead_letter"); n != 6 {
		t.Errorf("%d rows are left of 6: only bodies go", n)
	}
}

// The webhook of requirement R-119 exactly as written, with only the signature replaced: it becomes one change event, and
// the record is read first. Any time later it is the same event.
func TestR119_TheRequiredWebhook(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	required, err := os.ReadFile("testdata/r119.json")
	must(t, err)
	if !strings.Contains(string(required), `"signature":"SHA256_HASH_STRING_HERE"`) {
		t.Fatal("the example has another signature")
	}
	body := h.signedInside(string(required), secretOf("json", "crm-legacy"))
	if len(body) != len(required)+64-len("SHA256_HASH_STRING_HERE") {
		t.Fatal("more than the signature was replaced")
	}
	r := h.signed("crm-legacy", "{}")
	first := d.do(withBody(r, body))
	if first.status != http.StatusAccepted || first.body.Events != 1 {
		t.Fatalf("%s", first)
	}
	if bodies := h.bodies(); len(bodies) != 1 || string(bodies[0]) != strings.TrimSpace(body) {
		t.Fatal("the journal holds something else")
	}
	life, err := d.store.Life(t.Context(), *first.body.Receipt, func(schema.Claim) string { return "" })
	must(t, err)
	at := time.Date(2023, 10, 27, 14, 30, 0, 0, time.UTC)
	if e := life.Events[0]; e.Kind != schema.EventChange || e.Object != "customer" || e.System != "crm" || !e.SourceAt.Equal(at) || e.Lane != "push" || e.State != "new" {
		t.Errorf("it became %+v", e)
	}
	changes, err := h.envelopeOf("crm-legacy").Parse(json.RawMessage(strings.TrimSpace(body)))
	must(t, err)
	if c := changes[0]; c.Ref != "a1B2c3D4e5F6g7H8" || c.Fields["Customer_Status__c"] != "Churned" || c.Fields["Credit_Limit__c"] != json.Number("0") || c.Old["Credit_Limit__c"] != json.Number("5000") {
		t.Error("the change set was read otherwise")
	}
	decision := h.bundle.Rulesets["customer"].Decide(rules.Input{
		Record: life.Events[0].Record, State: &schema.State{}, Now: h.now(),
		Events: []rules.Event{{ID: life.Events[0].Event, System: "crm", Change: changes[0], ReceivedAt: h.now()}},
	})
	if len(decision.Wants) != 1 || decision.Wants[0].System != "crm" || decision.Wants[0].Op != schema.OpRead || decision.Verdicts[0].Reason != schema.ReasonReading {
		t.Errorf("it is decided as %+v", decision)
	}
	for _, later := range []time.Duration{time.Minute, 24 * time.Hour, 3 * 365 * 24 * time.Hour} {
		h.forward(later)
		must(t, d.store.Housekeep(t.Context(), store.Retention{Ended: time.Hour, Dead: time.Hour}))
		if a := d.do(withBody(r, body)); a.status != http.StatusAccepted || *a.body.Receipt != *first.body.Receipt || !a.body.Duplicate {
			t.Errorf("%s later: %s", later, a)
		}
	}
}

// The payload of requirement R-130 through the source crm-flat.
func TestR130_TheRequiredPayload(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	body := `{"phone_number":"+15550199888","email_address":"jane@example.com","last_interaction_date":"2023-10-27T14:30:00Z"}`
	with := signing{secretOf("standard_webhooks", "crm-flat"), "msg_1", h.now()}
	first := d.do(h.signedWith("crm-flat", body, with))
	if first.status != http.StatusAccepted || first.body.Events != 1 {
		t.Fatalf("%s", first)
	}
	if a := d.do(h.signedWith("crm-flat", body, with)); *a.body.Receipt != *first.body.Receipt || !a.body.Duplicate {
		t.Errorf("again: %s", a)
	}
	want := map[string]any{"phone_number": "+15550199888", "email_address": "jane@example.com", "last_interaction_date": "2023-10-27T14:30:00.000Z"}
	if got := h.canonicalOf("crm-flat"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("spelt as %v", got)
	}
	// The same person's next record is the same record.
	d.accepted("crm-flat", strings.Replace(body, "2023-10-27", "2023-10-28", 1))
	if n := h.count("SELECT count(*) FROM record"); n != 1 {
		t.Errorf("%d records", n)
	}
}
