package intake_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proofOf names the headers that carry a source's proof.
var proofOf = map[string][]string{
	"standard":     {"webhook-signature", "webhook-id", "webhook-timestamp"},
	"zendesk":      {"X-Zendesk-Webhook-Signature", "X-Zendesk-Webhook-Signature-Timestamp"},
	"hubspot":      {"X-HubSpot-Signature-v3", "X-HubSpot-Request-Timestamp"},
	"github":       {"X-Hub-Signature-256"},
	"slack":        {"X-Slack-Signature", "X-Slack-Request-Timestamp"},
	"own":          {"X-Signature", "X-Id", "X-Time"},
	"own-timeless": {"X-Signature", "X-Id"},
	"desk":         {"X-Api-Key"},
	"crm-legacy":   {},
}

// bodyFor returns an event of a source.
func (h *house) bodyFor(source string) string {
	switch h.bundle.Map.Sources[source].Envelope {
	case "genesys":
		return contact(newUUID(), "1", "+15550199888")
	case "salesforce":
		return captured(rand.IntN(1<<30), newRecord())
	case "flat":
		return fmt.Sprintf(`{"phone_number":"+15550199888","email_address":"a%d@example.com"}`, rand.Int())
	}
	return change{record: newRecord(), eventID: fmt.Sprint(rand.Int())}.String()
}

// mutant is a forged request, and the signature that would be right for it.
type mutant struct {
	what  string
	r     *http.Request
	right []string
}

// Forged requests are told 401 and nothing else; only a counter knows of them, and nobody hears the signature that would
// have been right (A06).
func TestA05_A06_ForgedRequests(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	state := []string{"event", "open_event", "ref", "record", "dedupe_current", "dedupe_kept", "dead_letter", "tally"}
	before := h.counts(state...)
	refused := 0
	var rights []string
	for source := range proofOf {
		for _, m := range h.mutants(source) {
			a := d.do(m.r)
			if a.status != http.StatusUnauthorized || string(a.raw) != `{"error":{"reason":"unauthorised"}}`+"\n" {
				t.Fatalf("%s with %s: %s", source, m.what, a)
			}
			rights = append(rights, m.right...)
			for _, right := range m.right {
				if strings.Contains(string(a.raw)+fmt.Sprint(a.header), right) {
					t.Fatalf("%s with %s: the answer tells the right signature", source, m.what)
				}
			}
			refused++
		}
		if a := d.post(source, h.bodyFor(source)); a.status != http.StatusAccepted {
			t.Errorf("%s: a sound request got %s", source, a)
		}
		for table := range strings.FieldsSeq("open_event event dedupe_current dedupe_kept tally ref record") {
			h.exec("TRUNCATE " + table)
		}
	}
	if after := h.counts(state...); after != before {
		t.Errorf("forged requests changed the journal from %s to %s", before, after)
	}
	if refused < 1000 {
		t.Errorf("only %d mutants", refused)
	}
	log, metrics := h.logs(), h.scrape()
	counted := 0
	for line := range strings.Lines(metrics) {
		if value, ok := strings.CutPrefix(line, "lockstep_signature_failures_total{"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value[strings.LastIndex(value, " "):]))
			must(t, err)
			counted += n
		}
	}
	if counted != refused {
		t.Errorf("%d failures are counted of %d", counted, refused)
	}
	if len(rights) < refused {
		t.Errorf("only %d right signatures are known", len(rights))
	}
	for _, right := range rights {
		if strings.Contains(log, right) || strings.Contains(metrics, right) {
			t.Errorf("a right signature is in the log or the metrics")
		}
	}
}

// mutants are forged requests of a source.
func (h *house) mutants(source string) (ms []mutant) {
	h.t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	profile := h.bundle.Map.Sources[source].Signature.Profile
	with := signing{secretOf(profile, source), "msg_fixed", h.now()}
	body := change{record: "001A", eventID: "e"}.String()
	if source == "desk" {
		body = contact("5a9c4c1e-0c54-4f0b-9b1e-2f8a7d3c6b10", "1", "+15550199888")
	}
	fine := func() *http.Request { return h.signedWith(source, body, with) }
	text := bodyOf(fine())
	// What a leak would show is the signature that would have been right for the body as it came.
	add := func(what string, r *http.Request) {
		ms = append(ms, mutant{what, r, h.right(source, bodyOf(clone(r)), with)})
	}
	if source != "desk" {
		for range 60 {
			b := []byte(text)
			b[random.IntN(len(b))] ^= 1 << random.IntN(8)
			add("a flipped bit of the body", withBody(fine(), string(b)))
		}
		for _, body := range []string{"", text[:len(text)-1], text + " x", text + text, strings.Replace(text, "Active", "active", 1)} {
			add("another body", withBody(fine(), body))
		}
	}
	if source == "crm-legacy" {
		member := func(value string) *http.Request {
			return withBody(fine(), strings.Replace(text, text[strings.Index(text, `"signature":"`):], `"signature":`+value+"}", 1))
		}
		for _, value := range []string{`""`, `null`, `7`, `[]`, `{}`, `"` + strings.Repeat("0", 64) + `"`, `"sha256="`, `true`} {
			add("a member "+value, member(value))
		}
		add("no member", withBody(fine(), strings.Replace(text, `"signature"`, `"signed"`, 1)))
		add("two members", withBody(fine(), strings.Replace(text, `{`, `{"signature":"x",`, 1)))
	}
	for _, header := range proofOf[source] {
		value := fine().Header.Get(header)
		set := func(what, value string) {
			r := fine()
			r.Header.Set(header, value)
			add(what+" "+header, r)
		}
		for range 40 {
			b := []byte(value)
			b[random.IntN(len(b))] ^= 1 << random.IntN(7)
			if _, err := hex.DecodeString(value[strings.LastIndex(value, "=")+1:]); err == nil && strings.EqualFold(string(b), value) {
				continue // the same bytes in capitals
			}
			set("a flipped bit of", string(b))
		}
		for cut := range min(len(value), 20) {
			set("a cut", value[:cut])
		}
		for _, other := range []string{
			strings.ToUpper(value) + "0", "v1a," + value, "v2," + value, "v1=" + value, "sha1=" + value, "sha256=", "v1,", "v0=", "null", "0",
			"\"" + value + "\"", value + value, base64.StdEncoding.EncodeToString([]byte(value)),
		} {
			set("another spelling of", other)
		}
		if list := source == "standard" || source == "own" || source == "own-timeless"; !list || header != proofOf[source][0] {
			set("a list in", " "+value)
			set("a list in", value+" x,")
		}
		missing := fine()
		missing.Header.Del(header)
		add("no "+header, missing)
		twice := fine()
		twice.Header.Add(header, value)
		add("two of "+header, twice)
	}
	for _, secret := range []string{secretOf(profile, "somebody else"), secretOf(profile, "github"), strings.Repeat("x", 32)} {
		if profile == "standard_webhooks" && !strings.HasPrefix(secret, "whsec_") || secret == with.secret {
			continue
		}
		other := with
		other.secret = secret
		add("another secret", h.signedWith(source, body, other))
	}
	return ms
}

// right returns the spellings of the signature of a body.
func (h *house) right(source, body string, with signing) (spellings []string) {
	def := h.bundle.Map.Sources[source].Signature
	switch def.Profile {
	case "static_key":
		return []string{with.secret}
	case "json":
		if inside := h.signedInside(body, with.secret); strings.Contains(inside, `"signature":"`) {
			_, value, _ := strings.Cut(inside, `"signature":"`)
			value, _, _ = strings.Cut(value, `"`)
			if raw, err := hex.DecodeString(value); err == nil {
				return []string{value, base64.StdEncoding.EncodeToString(raw)}
			}
		}
		return nil
	}
	value := h.signedWith(source, body, with).Header.Get(proofOf[source][0])
	for _, prefix := range []string{"v1,", "v0=", "sha256="} {
		value = strings.TrimPrefix(value, prefix)
	}
	raw, err := hex.DecodeString(value)
	if err != nil {
		raw, err = base64.StdEncoding.DecodeString(value)
	}
	must(h.t, err)
	return []string{hex.EncodeToString(raw), base64.StdEncoding.EncodeToString(raw), base64.URLEncoding.EncodeToString(raw)}
}

// clone returns a request with a body of its own, and gives the first one's back.
func clone(r *http.Request) *http.Request {
	body := bodyOf(r)
	r.Body = io.NopCloser(strings.NewReader(body))
	return withBody(r, body)
}

func bodyOf(r *http.Request) string {
	var b strings.Builder
	buffer := make([]byte, 64<<10)
	for {
		n, err := r.Body.Read(buffer)
		b.Write(buffer[:n])
		if err != nil {
			return b.String()
		}
	}
}

// A request that was signed for one endpoint is worth nothing at another.
func TestA05_AnotherEndpoint(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	for _, pair := range [][2]string{{"standard", "cdc"}, {"github", "body-id"}, {"slack", "own-ageless"}, {"crm-legacy", "json-body-id"}} {
		r := h.signed(pair[0], change{record: "001A", eventID: "1"}.String())
		r.URL.Path = "/webhooks/" + pair[1]
		if a := d.do(r); a.status != http.StatusUnauthorized {
			t.Errorf("%s at %s: %s", pair[0], pair[1], a)
		}
	}
	if a := d.post("standard", change{record: "001A"}.String()); a.status != http.StatusAccepted {
		t.Errorf("a sound one: %s", a)
	}
	r := h.signed("standard", "{}")
	r.URL.Path = "/webhooks/unknown"
	if a := d.do(r); a.status != http.StatusNotFound {
		t.Errorf("an unknown source: %s", a)
	}
}

// A secret that is too short, or missing, lets nobody in and blames nobody: 503.
func TestA05_UnusableSecrets(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	r := func() *http.Request { return h.signed("github", change{record: "001A"}.String()) }
	for _, secret := range []string{"short", ""} {
		h.writeSecret("github", secret)
		h.forward(3 * time.Second)
		if a := d.do(r()); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
			t.Errorf("secret of %d bytes: %s; want 503", len(secret), a)
		}
	}
	must(t, os.Remove(filepath.Join(h.dir, "github")))
	h.forward(3 * time.Second)
	if a := d.do(r()); a.status != http.StatusServiceUnavailable {
		t.Errorf("no secret: %s", a)
	}
	h.writeSecret("github", secretOf("github", "github"))
	h.forward(3 * time.Second)
	if a := d.do(r()); a.status != http.StatusAccepted {
		t.Errorf("the secret is back: %s", a)
	}
	if n := h.count("SELECT count(*) FROM dead_letter"); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

// Secrets rotate through the folder while requests flow: nobody is refused in the overlap, nobody taken after it.
func TestA07_RotationUnderLoad(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	const rotations = 100
	secret := func(n int) string { return secretOf("standard_webhooks", fmt.Sprint("rotation", n)) }
	h.writeSecret("standard", secret(0))
	h.forward(3 * time.Second)

	// A sender signs with whatever secret it was told last; it hears of a new one at some moment of the overlap.
	var told atomic.Int64
	var accepted, wrong atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				with := signing{secret(int(told.Load())), fmt.Sprint("m", rand.Int64()), h.now()}
				if a := d.do(h.signedWith("standard", change{record: newRecord()}.String(), with)); a.status != http.StatusAccepted {
					wrong.Add(1)
					t.Errorf("a sound request got %s", a)
					return
				}
				accepted.Add(1)
			}
		})
	}
	late := 0
	for n := 1; n <= rotations; n++ {
		h.writeSecret("standard.previous", secret(n-1))
		h.forward(3 * time.Second)
		h.writeSecret("standard", secret(n))
		h.forward(3 * time.Second)
		before := accepted.Load()
		h.await("requests under the old secret", func() bool { return accepted.Load() > before+4 || wrong.Load() > 0 })
		told.Store(int64(n))
		before = accepted.Load()
		h.await("requests under the new secret", func() bool { return accepted.Load() > before+8 || wrong.Load() > 0 })
		must(t, os.Remove(filepath.Join(h.dir, "standard.previous")))
		h.forward(3 * time.Second)
		with := signing{secret(n - 1), fmt.Sprint("late", n), h.now()}
		if a := d.do(h.signedWith("standard", change{record: newRecord()}.String(), with)); a.status != http.StatusUnauthorized {
			t.Errorf("rotation %d: the retired secret got %s", n, a)
		}
		late++
	}
	close(stop)
	wg.Wait()
	if late != rotations || wrong.Load() != 0 || accepted.Load() < rotations*8 {
		t.Errorf("%d rotations, %d sound requests taken, %d refused", late, accepted.Load(), wrong.Load())
	}
	if n := h.count("SELECT count(*) FROM event"); int64(n) != accepted.Load() {
		t.Errorf("%d events for %d receipts", n, accepted.Load())
	}
	if !strings.Contains(h.scrape(), `lockstep_old_secret_last_used_seconds{source="standard"}`) {
		t.Error("no metric says when the old secret was last used")
	}
}

// await polls until the condition holds.
func (h *house) await(what string, holds func() bool) {
	h.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			h.t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// Only a plain time within the tolerance lets a request in. The signature is right over each of these.
func TestA08_Timestamps(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	now := h.now()
	unix := func(by time.Duration) string { return strconv.FormatInt(now.Add(by).Unix(), 10) }
	sane := unix(0)
	hostile := []string{
		"", "0", "-1", "1", "4611686018427387904", "9223372036854775807", "9223372036854775808", "18446744073709551616", "-" + sane, "+" + sane, sane + ".0", sane + ".5", sane + "e0",
		" " + sane, sane + " ", "\t" + sane, "0" + sane, "0x" + strconv.FormatInt(now.Unix(), 16), strconv.FormatInt(now.Unix(), 16), strconv.FormatInt(now.UnixMilli(), 10),
		strconv.FormatInt(now.UnixNano(), 10), sane + ",", sane + "," + sane, "NaN", "Infinity", "null", "true", "now", "1e10", "1_700_000_000", "１７００００００００", "١٧٠٠٠٠٠٠٠٠",
		now.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC1123), now.UTC().Format(time.DateTime), strings.Repeat("9", 400), sane + "\x00", sane + "Z",
		unix(5*time.Minute + 10*time.Second), unix(-5*time.Minute - 10*time.Second), unix(time.Hour), unix(-time.Hour), unix(365 * 24 * time.Hour), unix(-365 * 24 * time.Hour),
	}
	iso := func(by time.Duration) string { return now.Add(by).UTC().Format(time.RFC3339) }
	hostileISO := []string{
		"", sane, iso(6 * time.Minute), iso(-6 * time.Minute), strings.TrimSuffix(iso(0), "Z"), strings.Replace(iso(0), "T", " ", 1), strings.ToLower(iso(0)), iso(0) + " ",
		strings.Replace(iso(0), "Z", "+00:60", 1), strings.Replace(iso(0), "Z", "+24:00", 1), strings.Replace(iso(0), "Z", ",5Z", 1), "2026-02-30T00:00:00Z", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z",
		"10000-01-01T00:00:00Z", "-2026-01-01T00:00:00Z",
	}
	send := func(source, stamp string) answered {
		body := change{record: newRecord()}.String()
		r := httptest.NewRequest(http.MethodPost, "/webhooks/"+source, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		secret := secretOf(h.bundle.Map.Sources[source].Signature.Profile, source)
		switch source {
		case "slack":
			r.Header["X-Slack-Request-Timestamp"] = []string{stamp}
			r.Header.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac(secret, "v0:"+stamp+":"+body)))
		case "standard":
			key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
			must(t, err)
			r.Header.Set("webhook-id", "m")
			r.Header["Webhook-Timestamp"] = []string{stamp}
			r.Header.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac(string(key), "m."+stamp+"."+body)))
		case "hubspot":
			r.Header["X-Hubspot-Request-Timestamp"] = []string{stamp}
			url := h.bundle.Map.Sources[source].Signature.PublicURL
			r.Header.Set("X-HubSpot-Signature-v3", base64.StdEncoding.EncodeToString(mac(secret, "POST"+url+body+stamp)))
		case "zendesk":
			r.Header["X-Zendesk-Webhook-Signature-Timestamp"] = []string{stamp}
			r.Header.Set("X-Zendesk-Webhook-Signature", base64.StdEncoding.EncodeToString(mac(secret, stamp+body)))
		}
		return d.do(r)
	}
	cases := 0
	for _, source := range []string{"slack", "standard", "hubspot", "zendesk"} {
		stamps := hostile
		switch source {
		case "zendesk":
			stamps = hostileISO
		case "hubspot": // milliseconds: seconds are a moment of 1970
			stamps = nil
			for _, s := range hostile {
				if s != strconv.FormatInt(now.UnixMilli(), 10) {
					stamps = append(stamps, s)
				}
			}
		}
		for _, stamp := range stamps {
			if a := send(source, stamp); a.status != http.StatusUnauthorized {
				t.Errorf("%s at %q: %s; want 401", source, stamp, a)
			}
			cases++
		}
		for _, by := range []time.Duration{0, 4*time.Minute + 50*time.Second, -4*time.Minute - 50*time.Second} {
			stamp := unix(by)
			switch source {
			case "hubspot":
				stamp += "000"
			case "zendesk":
				stamp = iso(by)
			}
			if a := send(source, stamp); a.status != http.StatusAccepted && source != "standard" || source == "standard" && a.status == http.StatusUnauthorized {
				t.Errorf("%s, off by %s: %s; want it taken", source, by, a)
			}
		}
	}
	if cases < 120 {
		t.Errorf("only %d timestamps", cases)
	}
	if !strings.Contains(h.scrape(), `lockstep_signed_age_seconds_count{source="slack"} 3`) {
		t.Error("the age of signatures is not measured")
	}
}

// The in-body signature, both ways: what was signed by the documented procedure is taken, what a naive sender signs is
// not, and a header never stands in for the member.
func TestA32_InBodySignature(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	secret := secretOf("json", "crm-legacy")
	event := change{record: "001A", more: `,"Name":{"old_value":null,"new_value":"Zo\u00eb \u20ac \"q\" \/ \n \ud83d\ude00"},"Credit_Limit__c":{"old_value":1.50,"new_value":1E3}`}.String()
	if a := d.post("crm-legacy", event); a.status != http.StatusAccepted {
		t.Fatalf("signed as documented: %s", a)
	}
	unsigned := strings.Replace(event, `,"signature":""`, "", 1)
	naive := map[string]string{
		"over the raw bytes":              strings.Replace(event, `"signature":""`, `"signature":"`+hex.EncodeToString(mac(secret, unsigned))+`"`, 1),
		"with the member empty":           strings.Replace(event, `"signature":""`, `"signature":"`+hex.EncodeToString(mac(secret, event))+`"`, 1),
		"a plain digest":                  strings.Replace(event, `"signature":""`, `"signature":"SHA256_HASH_STRING_HERE"`, 1),
		"a number that no double can say": h.signedInside(change{record: "001A", more: `,"Credit_Limit__c":{"old_value":0,"new_value":12345678901234567890}`}.String(), secret),
	}
	for name, body := range naive {
		r := h.signed("crm-legacy", "{}")
		if a := d.do(withBody(r, body)); a.status != http.StatusUnauthorized {
			t.Errorf("%s: %s; want 401", name, a)
		}
	}
	r := withBody(h.signed("crm-legacy", "{}"), unsigned)
	r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac(secret, unsigned)))
	if a := d.do(r); a.status != http.StatusUnauthorized {
		t.Errorf("a header in place of the member: %s; want 401", a)
	}
	inside := h.signedInside(event, secretOf("github", "github"))
	r = withBody(h.signed("github", "{}"), inside)
	r.Header.Del("X-Hub-Signature-256")
	if a := d.do(r); a.status != http.StatusUnauthorized {
		t.Errorf("a member in place of the header: %s; want 401", a)
	}
}
