package activities_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/hybrid"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"lockstep/activities"
	"lockstep/connectors"
	"lockstep/connectors/genesys"
	"lockstep/connectors/genesys/genesystest"
	"lockstep/connectors/salesforce/salesforcetest"
	"lockstep/connectors/simulator"
	"lockstep/internal/secrets"
	"lockstep/internal/store/storetest"
	"lockstep/schema"
)

// tap stands before a vendor's hosts and keeps what is sent to them.
type tap struct {
	mu     sync.Mutex
	lines  []string
	bodies bytes.Buffer
}

// before serves a host behind the tap and returns its address.
func (w *tap) before(t *testing.T, host http.Handler) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(rw, "", http.StatusBadRequest)
			return
		}
		w.mu.Lock()
		w.lines = append(w.lines, r.Method+" "+r.RequestURI)
		w.bodies.Write(body)
		w.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		host.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func (w *tap) sent() (lines []string, bodies string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.lines), w.bodies.String()
}

// spelt are the ways in which a value may hide in a request line.
func spelt(value string) []string {
	out := []string{
		value, url.QueryEscape(value), url.PathEscape(value), hex.EncodeToString([]byte(value)), base64.StdEncoding.EncodeToString([]byte(value)),
		base64.RawURLEncoding.EncodeToString([]byte(value)),
	}
	digits := strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, value)
	if len(digits) >= 7 {
		out = append(out, digits, digits[1:])
	}
	return out
}

const webToBoth = `
version: 1
mode: MODE
owners: {ops: {name: Dana Ruiz, slack: U02DANARUIZ}}
systems:
  web: {kind: source, owner: ops, phone_region: US}
  crm: {kind: salesforce, owner: ops, endpoint: env:X, credential: env:X, call_rate: 1000/s, phone_region: US}
  desk: {kind: genesys, owner: ops, endpoint: env:X, credential: env:X, call_rate: 1000/s, phone_region: US}
objects:
  customer:
    owner: ops
    systems:
      web: {object: Person}
      crm: {object: Contact, create: true}
      desk: {object: ExternalContact, create: true}
    match: [{field: number, reserves: true}, {field: email, reserves: true}, {field: phone}]
    fields:
      uuid: {type: canonical_id, system_of_record: lockstep, direction: one_way, personal_data: none, delivery: pull, systems: {crm: Ext_Id__c, desk: externalIds.lockstep}}
      number: {type: text, system_of_record: web, direction: one_way, personal_data: identity, delivery: pull, systems: {web: number, crm: Customer_Number__c, desk: externalIds.web}}
      email: {type: email, system_of_record: web, direction: one_way, personal_data: contact, delivery: pull, systems: {web: mail, crm: Email, desk: workEmail}}
      phone: {type: phone, system_of_record: web, direction: one_way, personal_data: contact, delivery: pull, systems: {web: phone, crm: Phone_E164__c, desk: workPhone}}
      first_name: {type: text, system_of_record: web, direction: one_way, personal_data: identity, delivery: pull, systems: {web: first, crm: FirstName, desk: firstName}}
      last_name: {type: text, system_of_record: web, direction: two_way, conflict: {rule: newest_wins}, personal_data: identity, delivery: pull, systems: {web: last, crm: LastName, desk: lastName}}
runbooks: RUNBOOKS
`

// pair is an installation over both simulated vendors, with a tap before each of their hosts.
type pair struct {
	*storetest.Installation
	crm  *salesforcetest.Server
	desk *genesystest.Server
	tap  *tap
	t    *testing.T
	at   time.Time
}

func newPair(t *testing.T, mode string) *pair {
	t.Helper()
	p := &pair{t: t, tap: &tap{}, crm: salesforcetest.Start(t, salesforcetest.Options{}), desk: genesystest.Start(t, genesystest.Options{RequestsPerMinute: -1}), at: time.Now().UTC()}
	g, err := genesys.New(genesys.Config{
		System: "desk", Endpoint: p.tap.before(t, p.desk.Handler()), Login: p.tap.before(t, p.desk.LoginHandler()), AllowLoopback: true,
		Credential: func(context.Context) (connectors.Credential, error) {
			return connectors.Credential{ClientID: p.desk.ClientID, ClientSecret: p.desk.ClientSecret}, nil
		},
	})
	must(t, err)
	t.Cleanup(g.Close)
	must(t, g.EnsureSources(t.Context(), "lockstep", "web"))
	parts := storetest.Parts{Bundle: storetest.ParseMap(t, strings.Replace(webToBoth, "MODE", mode, 1), "salesforce", "genesys"), Policy: activities.Policy{Call: 5 * time.Second}}
	parts.Systems = map[string]activities.System{
		"crm":  system(t, "crm", p.tap.before(t, p.crm.Handler()), func() string { return p.crm.ClientSecret }),
		"desk": {Name: "desk", Kind: "genesys", Connector: g, Settle: time.Millisecond},
	}
	p.Installation = storetest.Install(t, parts)
	return p
}

func (p *pair) says(ref string, kind schema.EventKind, fields schema.Fields) schema.ID {
	p.t.Helper()
	p.at = p.at.Add(time.Second)
	return p.Tell("web", schema.Change{Object: "Person", Ref: ref, Kind: kind, At: p.at, Fields: fields})
}

// journal reads a simulator's journal as its control API tells it.
func journal(t *testing.T, s *simulator.Served) (entries []simulator.Entry) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.ControlURL+"/journal?closed=true", http.NoBody)
	must(t, err)
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	must(t, err)
	defer func() { _ = response.Body.Close() }()
	for d := json.NewDecoder(response.Body); d.More(); {
		var e simulator.Entry
		must(t, d.Decode(&e))
		entries = append(entries, e)
	}
	return entries
}

// TestB09 makes every kind of call to both vendors about customers of whom everything is a canary: no value of theirs stands
// in any request line.
func TestB09(t *testing.T) {
	p := newPair(t, "live")
	canaries := []string{}
	person := func(n int) schema.Fields {
		f := schema.Fields{
			"number": fmt.Sprintf("CANARY-%d-4711", n), "mail": fmt.Sprintf("canary.ada%d@example.com", n), "phone": fmt.Sprintf("+1317555%04d", 142+n),
			"first": fmt.Sprintf("Canaryfirst%d", n), "last": fmt.Sprintf("Canary Last/%d?x=y&é", n),
		}
		for _, v := range f {
			canaries = append(canaries, v.(string))
		}
		return f
	}
	known := person(1)
	p.crm.Put("Contact", map[string]any{"Email": known["mail"], "LastName": "Someone"})
	p.desk.Put("ExternalContact", map[string]any{"workEmail": known["mail"], "lastName": "Someone"})
	p.says("w1", schema.EventFull, known)     // found, linked
	p.says("w2", schema.EventFull, person(2)) // created
	p.Settle()
	for _, word := range []schema.Fields{{"last": "Canary Other"}, {"phone": nil, "first": "Canaryfirst9"}, {"mail": "canary.new@example.com"}} {
		p.says("w2", schema.EventChange, word)
		p.Settle()
	}
	canaries = append(canaries, "Canary Other", "Canaryfirst9", "canary.new@example.com")
	// What was read is a full record, too.
	p.Exec(`UPDATE delivery SET state = 'ready', op = 'read', owed_from = desired_rev`)
	p.Wake(schema.TopicClaim)
	p.Settle()
	made := map[string]bool{}
	for _, call := range p.Texts(`SELECT DISTINCT system || ' ' || op FROM call WHERE state = 'answered' AND kind IS NULL`) {
		made[call] = true
	}
	for _, system := range []string{"crm", "desk"} {
		for _, op := range []schema.Op{schema.OpFind, schema.OpRead, schema.OpCreate, schema.OpWrite, schema.OpLink} {
			if !made[system+" "+string(op)] {
				t.Errorf("no %s of %s was made", op, system)
			}
		}
	}
	lines, bodies := p.tap.sent()
	for _, e := range slices.Concat(journal(t, p.crm.Served), journal(t, p.desk.Served)) {
		if e.Kind == simulator.EntryRequest {
			lines = append(lines, e.Method+" "+e.Path)
		}
	}
	if len(lines) < 40 {
		t.Fatalf("only %d request lines", len(lines))
	}
	for _, line := range lines {
		plain, err := url.PathUnescape(line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		for _, canary := range canaries {
			for _, form := range spelt(canary) {
				if strings.Contains(strings.ToLower(line), strings.ToLower(form)) || strings.Contains(strings.ToLower(plain), strings.ToLower(form)) {
					t.Errorf("%q stands in the request line %s", canary, line)
				}
			}
		}
	}
	for _, canary := range []string{"canary.ada2@example.com", "Canary Other", "CANARY-2-4711"} {
		if !strings.Contains(bodies, canary) {
			t.Errorf("%q was never sent: nothing is shown", canary)
		}
	}
}

// In observe mode everything is decided and recorded, systems are read, and nothing is written.
func TestObserveModeWritesNothing(t *testing.T) {
	p := newPair(t, "observe")
	prepared := map[*simulator.Served]int{p.crm.Served: len(journal(t, p.crm.Served)), p.desk.Served: len(journal(t, p.desk.Served))}
	p.crm.Put("Contact", map[string]any{"Email": "p1@example.com", "LastName": "Someone"})
	known := p.says("w1", schema.EventFull, schema.Fields{"number": "C-1", "mail": "p1@example.com", "last": "Byron"})
	missing := p.says("w2", schema.EventFull, schema.Fields{"number": "C-2", "mail": "p2@example.com", "last": "King"})
	p.Settle()
	change := p.says("w1", schema.EventChange, schema.Fields{"last": "Lovelace"})
	loser := p.says("w1", schema.EventChange, schema.Fields{"last": "Byron-King"})
	stats := p.Settle()
	for s, before := range prepared {
		for _, e := range journal(t, s)[before:] {
			if e.Kind != simulator.EntryRequest {
				continue
			}
			for _, effect := range e.Effects {
				t.Errorf("%s %s changed %s", e.Method, e.Path, effect.Object)
			}
		}
	}
	for _, op := range p.Texts(`SELECT DISTINCT op FROM call`) {
		if schema.Op(op).Effect() {
			t.Errorf("a call to %s was made", op)
		}
	}
	if n := p.Count(`SELECT count(DISTINCT system) FROM call WHERE op = 'find'`); n != 2 {
		t.Errorf("%d systems were asked", n)
	}
	for name, receipt := range map[string]schema.ID{"of a known customer": known, "of an unknown one": missing, "a change": change, "another": loser} {
		e := p.Event(receipt)
		if e.State != "done" || e.Outcome != schema.Applied && e.Outcome != schema.Superseded || len(e.Fields) == 0 {
			t.Errorf("the event %s is %s %s without a word why", name, e.State, e.Outcome)
		}
	}
	if stats.Open.Sum() != 0 {
		t.Errorf("open %+v", stats.Open)
	}
	if got := p.crm.Records("Contact"); len(got) != 1 || got[0]["LastName"] != "Someone" {
		t.Errorf("the org has %v", got)
	}
}

const secretToThree = `
version: 1
mode: live
owners: {ops: {name: Dana Ruiz, slack: U02DANARUIZ}}
systems:
  web: {kind: source, owner: ops, phone_region: US}
  sealed: {kind: salesforce, owner: ops, endpoint: env:X, credential: env:X, call_rate: 1000/s, phone_region: US, receiver_key: file:receiver.json}
  token: {kind: salesforce, owner: ops, endpoint: env:X, credential: env:X, call_rate: 1000/s, phone_region: US}
  nothing: {kind: salesforce, owner: ops, endpoint: env:X, credential: env:X, call_rate: 1000/s, phone_region: US}
objects:
  customer:
    owner: ops
    systems: {web: {object: Person}, sealed: {object: Contact, create: true}, token: {object: Contact, create: true}, nothing: {object: Contact, create: true}}
    match: [{field: email, reserves: true}]
    fields:
      uuid: {type: canonical_id, system_of_record: lockstep, direction: one_way, personal_data: none, delivery: pull, systems: {sealed: Ext_Id__c, token: Ext_Id__c, nothing: Ext_Id__c}}
      email: {type: email, system_of_record: web, direction: one_way, personal_data: contact, delivery: pull, systems: {web: mail, sealed: Email, token: Email, nothing: Email}}
      last_name: {type: text, system_of_record: web, direction: one_way, personal_data: identity, delivery: pull, systems: {web: last, sealed: LastName, token: LastName, nothing: LastName}}
      tax_number:
        type: text
        system_of_record: web
        direction: one_way
        personal_data: secret
        delivery: pull
        systems:
          web: tax
          sealed: {field: Tax__c, protect: encrypt}
          token: {field: Tax__c, protect: token}
          nothing: {field: Tax__c, protect: drop}
runbooks: RUNBOOKS
`

// A secret leaves as ciphertext for its receiver, as a token, or not at all; its plain value is in no request and nowhere
// in the database.
func TestASecretFieldLeavesProtected(t *testing.T) {
	const secret, changed = "canary-078-05-1120", "canary-219-09-9999"
	handle, err := keyset.NewHandle(hybrid.DHKEM_X25519_HKDF_SHA256_HKDF_SHA256_AES_256_GCM_Key_Template())
	must(t, err)
	public, err := handle.Public()
	must(t, err)
	var file bytes.Buffer
	must(t, public.WriteWithNoSecrets(keyset.NewJSONWriter(&file)))
	receiver, err := secrets.ParseReceiver(file.Bytes())
	must(t, err)
	decrypt, err := hybrid.NewHybridDecrypt(handle)
	must(t, err)

	taps, orgs := map[string]*tap{}, map[string]*salesforcetest.Server{}
	parts := storetest.Parts{Bundle: storetest.ParseMap(t, secretToThree, "salesforce"), Policy: activities.Policy{Call: 5 * time.Second}, Systems: map[string]activities.System{}}
	fields := salesforcetest.DemoFields()
	fields["Contact"] = append(fields["Contact"], salesforcetest.Field{Name: "Tax__c", Type: "string", Length: 255})
	for _, name := range []string{"sealed", "token", "nothing"} {
		taps[name], orgs[name] = &tap{}, salesforcetest.Start(t, salesforcetest.Options{Fields: fields})
		parts.Systems[name] = system(t, name, taps[name].before(t, orgs[name].Handler()), func() string { return orgs[name].ClientSecret })
	}
	var index *secrets.Index
	parts.Protect = func(protect, system, field string, v schema.Value) (any, error) {
		if protect == "token" {
			return index.Token(system+"/"+field, v.Reveal()), nil
		}
		return receiver.Encrypt([]byte(v.Reveal()))
	}
	i := storetest.Install(t, parts)
	index, err = i.Keys.Index(secrets.IndexKeys)
	must(t, err)
	at := time.Now().UTC()
	says := func(kind schema.EventKind, f schema.Fields) schema.ID {
		t.Helper()
		at = at.Add(time.Second)
		return i.Tell("web", schema.Change{Object: "Person", Ref: "w1", Kind: kind, At: at, Fields: f})
	}
	held := func(name string) any { return orgs[name].Records("Contact")[0]["Tax__c"] }
	opened := func(v any) string {
		t.Helper()
		text, _ := v.(string)
		sealed, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, "enc_"))
		must(t, err)
		plain, err := decrypt.Decrypt(sealed, []byte("lockstep/protect/v1"))
		if err != nil {
			t.Errorf("the receiver cannot open %q: %v", text, err)
		}
		return string(plain)
	}
	first := says(schema.EventFull, schema.Fields{"mail": "p1@example.com", "last": "Byron", "tax": secret})
	i.Settle()
	if got := opened(held("sealed")); got != secret {
		t.Errorf("the receiver reads %q", got)
	}
	tokenBefore := held("token")
	if text, _ := tokenBefore.(string); !strings.HasPrefix(text, "tok_") {
		t.Errorf("the token is %v", tokenBefore)
	}
	if held("nothing") != nil {
		t.Errorf("a dropped secret arrived as %v", held("nothing"))
	}
	sealedBefore := held("sealed")
	again := says(schema.EventChange, schema.Fields{"tax": secret})
	i.Settle()
	if held("sealed") != sealedBefore {
		t.Error("the same secret was sealed and sent again")
	}
	last := says(schema.EventChange, schema.Fields{"tax": changed})
	i.Settle()
	if opened(held("sealed")) != changed || held("token") == tokenBefore || held("nothing") != nil {
		t.Errorf("after the change: %v, %v, %v", held("sealed"), held("token"), held("nothing"))
	}
	for _, receipt := range []schema.ID{first, again, last} {
		if e := i.Event(receipt); e.State != "done" {
			t.Errorf("an event is %s %s", e.State, e.Reason)
		}
	}
	for name, w := range taps {
		lines, bodies := w.sent()
		all := strings.Join(lines, "\n") + bodies
		for _, value := range []string{secret, changed} {
			for _, form := range spelt(value) {
				if strings.Contains(all, form) {
					t.Errorf("%s was sent %q as %q", name, value, form)
				}
			}
		}
		if !strings.Contains(bodies, "Byron") {
			t.Errorf("%s was sent nothing", name)
		}
	}
	if got := i.Holding(secret, changed); len(got) > 0 {
		t.Errorf("in the database: %v", got)
	}
}
