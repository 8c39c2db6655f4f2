package intake_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lockstep/internal/intake"
	"lockstep/internal/strictjson"
	"lockstep/schema"
)

// listen serves a handler on loopback, as the role does.
func (h *house) listen(handler http.Handler, limits intake.Limits) (address string, server *http.Server) {
	h.t.Helper()
	address, server, _ = h.listenAs(handler, limits)
	return address, server
}

func (h *house) listenAs(handler http.Handler, limits intake.Limits, set ...func(*http.Server)) (address string, server *http.Server, listener *intake.Listener) {
	h.t.Helper()
	l, err := (&net.ListenConfig{}).Listen(h.t.Context(), "tcp", "127.0.0.1:0")
	must(h.t, err)
	listener = intake.Listen(l, limits)
	server = intake.NewServer(handler, h.log.Logger)
	for _, f := range set {
		f(server)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	h.t.Cleanup(func() {
		_ = server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			h.t.Error(err)
		}
	})
	return l.Addr().String(), server, listener
}

func (h *house) dial(address string) net.Conn {
	h.t.Helper()
	c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(h.t.Context(), "tcp", address)
	must(h.t, err)
	h.t.Cleanup(func() { _ = c.Close() })
	must(h.t, c.SetDeadline(time.Now().Add(60*time.Second)))
	return c
}

// Bodies that are too large, endless or packed are turned away early, and memory stays flat.
func TestA09_OversizedEndlessAndPackedBodies(t *testing.T) {
	h := newHouse(t)
	d := h.door()
	address, _ := h.listen(d, intake.Limits{})
	before := h.counts("event", "dead_letter")

	r := h.signed("github", `{"a":"`+strings.Repeat("x", 256<<10)+`"}`)
	if a := d.do(r); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a body over the limit: %s", a)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := io.CopyN(z, zeros{}, 64<<20)
	must(t, errors.Join(err, z.Close()))
	for _, encoding := range []string{"gzip", "br", "deflate", "identity", ""} {
		r = h.signed("github", packed.String())
		r.Header["Content-Encoding"] = []string{encoding}
		if a := d.do(r); a.status != http.StatusUnsupportedMediaType {
			t.Errorf("packed as %q: %s", encoding, a)
		}
	}

	c := h.dial(address)
	_, err = fmt.Fprintf(c, "POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10737418240\r\n\r\n")
	must(t, err)
	if res := answerOf(t, c); res != http.StatusRequestEntityTooLarge {
		t.Errorf("a length of 10 GB: %d", res)
	}

	const streams = 8
	var peak uint64
	sampling, sampled := make(chan struct{}), make(chan struct{})
	runtime.GC()
	base := heap()
	go func() {
		defer close(sampled)
		for {
			select {
			case <-sampling:
				return
			default:
				peak = max(peak, heap())
				runtime.Gosched()
			}
		}
	}()
	chunk := []byte(fmt.Sprintf("%x\r\n%s\r\n", 64<<10, strings.Repeat("x", 64<<10)))
	var wg sync.WaitGroup
	for range streams {
		c := h.dial(address)
		wg.Go(func() {
			_, _ = fmt.Fprintf(c, "POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
			sent := 0
			for ; sent < 10<<30; sent += len(chunk) {
				if _, err := c.Write(chunk); err != nil {
					break
				}
			}
			if sent > 64<<20 {
				t.Errorf("%d bytes of an endless body were taken", sent)
			}
		})
	}
	wg.Wait()
	close(sampling)
	<-sampled
	if grown := int64(peak) - int64(base); grown > 16<<20 {
		t.Errorf("endless bodies grew the heap by %d bytes", grown)
	}
	if after := h.counts("event", "dead_letter"); after != before {
		t.Errorf("changed from %s to %s", before, after)
	}
}

// A source may have a bound of its own, and its words about record ids have to make sense.
func TestSettingsOfASource(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	sources := h.sources()
	for _, s := range sources {
		if s.Name == "github" {
			s.Def.MaxBody = 400
		}
	}
	s := h.openStore()
	d := &door{h: h, store: s, Handler: h.intakeOf(s, sources).Handler()}
	if a := d.post("github", change{record: "001A"}.String()); a.status != http.StatusAccepted {
		t.Errorf("within the bound: %s", a)
	}
	long := change{record: "001A", status: strings.Repeat("x", 39), more: `,"Name":{"old_value":null,"new_value":"` + strings.Repeat("y", 200) + `"}`}.String()
	if a := d.post("github", long); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("over the bound: %s", a)
	}
	if a := d.post("slack", long); a.status != http.StatusAccepted {
		t.Errorf("another source: %s", a)
	}
	for _, bad := range []string{"[", "(?P<x"} {
		sources = h.sources()
		sources[0].Def.RecordID = bad
		if _, err := intake.New(s, h.metrics, h.log.Logger, h.now, sources); err == nil || !strings.Contains(err.Error(), sources[0].Name) {
			t.Errorf("record ids like %.10s: %v", bad, err)
		}
	}
	// The grammar is about the whole id: nothing may stand before or behind.
	sources = h.sources()
	for _, s := range sources {
		if s.Name == "github" {
			s.Def.RecordID = "a|b"
		}
	}
	d = &door{h: h, store: s, Handler: h.intakeOf(s, sources).Handler()}
	for id, want := range map[string]int{"a": http.StatusAccepted, "b": http.StatusAccepted, "ax": http.StatusBadRequest, "xb": http.StatusBadRequest, "ab": http.StatusBadRequest} {
		if a := d.post("github", change{record: id}.String()); a.status != want {
			t.Errorf("id %s: %s; want %d", id, a, want)
		}
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// answerOf reads one answer and returns its status.
func answerOf(t *testing.T, c net.Conn) int {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	must(t, err)
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	must(t, err)
	return res.StatusCode
}

const sound = `{"event_type":"UPDATE","source_system":"CRM","timestamp":"2026-01-02T03:04:05Z","record_id":"001A","object_type":"Account",` +
	`"change_set":{"Name":{"old_value":"x","new_value":"y"},"Credit_Limit__c":{"old_value":1,"new_value":2}},"signature":"s"}`

// Bodies that two readers could understand differently are refused: 400 with the place, the original in the dead
// letters, nothing in the journal.
func TestA10_A12_A14_AmbiguousBodies(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	nest := func(n int) string {
		return strings.Replace(sound, `"s"`, strings.Repeat("[", n)+strings.Repeat("]", n), 1)
	}
	put := func(at, instead string) string {
		if !strings.Contains(sound, at) {
			t.Fatal(at)
		}
		return strings.Replace(sound, at, instead, 1)
	}
	cases := map[string]struct{ body, field string }{
		"depth 33":             {nest(32), "*"},
		"depth 100":            {nest(99), "*"},
		"depth 10,000":         {nest(10_000), "*"},
		"depth 100,000":        {nest(100_000), "*"},
		"objects of depth 100": {strings.Replace(sound, `"s"`, strings.Repeat(`{"a":`, 100)+"1"+strings.Repeat("}", 100), 1), "*"},
		"only opened":          {strings.Repeat("[", 200_000), "*"},

		"a byte order mark":           {"\xef\xbb\xbf" + sound, ""},
		"UTF-16":                      {"\xff\xfe{\x00}\x00", ""},
		"a byte of Latin-1":           {put(`"y"`, "\"Zo\xeb\""), "/change_set/Name/new_value"},
		"an overlong slash":           {put(`"y"`, "\"\xc0\xaf\""), "/change_set/Name/new_value"},
		"half a character":            {put(`"y"`, "\"\xe2\x82\""), "/change_set/Name/new_value"},
		"a surrogate in UTF-8":        {put(`"y"`, "\"\xed\xa0\x80\""), "/change_set/Name/new_value"},
		"beyond Unicode":              {put(`"y"`, "\"\xf4\x90\x80\x80\""), "/change_set/Name/new_value"},
		"a lone high surrogate":       {put(`"y"`, `"\ud83d"`), "/change_set/Name/new_value"},
		"a lone low surrogate":        {put(`"y"`, `"\ude00"`), "/change_set/Name/new_value"},
		"surrogates in the wrong way": {put(`"y"`, `"\ude00\ud83d"`), "/change_set/Name/new_value"},
		"bad UTF-8 in a name":         {put(`"Name"`, "\"Na\xffme\""), "/change_set"},
		"bad UTF-8 outside":           {sound + "\xff", ""},

		"an empty body": {"", ""}, "only blanks": {" \n", ""}, "half a body": {sound[:60], "*"}, "two values": {sound + sound, ""},
		"a trailing comma": {put(`"s"}`, `"s",}`), ""}, "a comment": {put(`"s"`, `"s"/* */`), "*"}, "single quotes": {put(`"s"`, `'s'`), "/signature"},
		"NaN": {put(`"s"`, `NaN`), "/signature"}, "a leading zero": {put(`"new_value":2`, `"new_value":02`), "*"}, "a plus": {put(`"new_value":2`, `"new_value":+2`), "/change_set/Credit_Limit__c/new_value"},
		"hexadecimal": {put(`"new_value":2`, `"new_value":0x2`), "*"}, "a bare point": {put(`"new_value":2`, `"new_value":2.`), "*"}, "a raw newline": {put(`"y"`, "\"a\nb\""), "/change_set/Name/new_value"},
		"a bad escape": {put(`"y"`, `"\x41"`), "/change_set/Name/new_value"}, "a tab in a name": {put(`"Name"`, "\"Na\tme\""), "/change_set"},
		"a huge exponent": {put(`"new_value":2`, `"new_value":1e400`), "/change_set/Credit_Limit__c/new_value"},
		"too precise":     {put(`"new_value":2`, `"new_value":1.`+strings.Repeat("3", 40)), "/change_set/Credit_Limit__c/new_value"},
		"too many items":  {put(`"s"`, "["+strings.Repeat("1,", 11_000)+"1]"), "*"},
		"no object":       {`"text"`, ""}, "a number": {`7`, ""}, "null": {`null`, ""},
	}
	for name, c := range cases {
		reason := schema.ReasonMalformedJSON
		if name == "no object" || name == "a number" || name == "null" {
			reason = schema.ReasonSchemaMismatch
		}
		a := d.refused("github", c.body, reason)
		if field := a.body.Error.Field; c.field != "*" && field != c.field {
			t.Errorf("%s: the refusal points at %q, want %q", name, field, c.field)
		}
		if a.body.Error.Rule == "" {
			t.Errorf("%s: no rule is named: %s", name, a)
		}
		if kept := h.letter(a.body.DeadLetter); string(kept) != c.body {
			t.Errorf("%s: the dead letter does not hold the body byte for byte", name)
		}
	}
	for depth, want := range map[int]int{31: http.StatusAccepted, 32: http.StatusBadRequest} {
		if a := d.post("github", nest(depth)); a.status != want {
			t.Errorf("an array of depth %d in an object: %s; want %d", depth, a, want)
		}
	}
}

// A name that comes twice, in whatever case, could be signed as one value and read as the other.
func TestA14_NamesThatComeTwice(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	n := 0
	for _, name := range []string{"event_type", "source_system", "timestamp", "record_id", "object_type", "change_set", "signature", "Name", "Credit_Limit__c", "new_value", "old_value"} {
		quoted := `"` + name + `":`
		at := strings.Index(sound, quoted)
		end := at + len(quoted)
		for _, other := range []string{name, strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:], strings.ReplaceAll(name, "e", `\u0065`), strings.ReplaceAll(name, "s", "\u017f")} {
			for _, value := range []string{"null", `"x"`, `{"new_value":1}`} {
				body := sound[:end] + value + `,"` + other + `":` + sound[end:]
				a := d.refused("github", body, schema.ReasonMalformedJSON)
				if !strings.Contains(a.body.Error.Rule, "twice") {
					t.Errorf("%s and %s: %s", name, other, a)
				}
				n++
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d cases", n)
	}
}

// Postgres takes no NUL in text: it is refused in every field, raw and escaped, and never ends in a 5xx.
func TestA13_NUL(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	texts := []string{`"UPDATE"`, `"CRM"`, `"2026-01-02T03:04:05Z"`, `"001A"`, `"Account"`, `"x"`, `"y"`, `"s"`, `"Name"`, `"change_set"`, `"new_value"`, `"Credit_Limit__c"`}
	for _, source := range []string{"github", "touchy"} {
		for _, text := range texts {
			for _, nul := range []string{"\x00", `\u0000`} {
				body := strings.Replace(sound, text, strings.TrimSuffix(text, `"`)+nul+`"`, 1)
				a := d.post(source, body)
				want := http.StatusBadRequest
				if source == "touchy" {
					want = http.StatusAccepted
				}
				if a.status != want || a.body.Error.Reason != schema.ReasonMalformedJSON || a.body.DeadLetter == "" || !strings.Contains(a.body.Error.Rule, "NUL") {
					t.Errorf("NUL in %s: %s", text, a)
				}
				if string(h.letter(a.body.DeadLetter)) != body {
					t.Errorf("NUL in %s: the letter holds something else", text)
				}
			}
		}
	}
	if n := h.count("SELECT count(*) FROM event"); n != 0 {
		t.Errorf("%d events", n)
	}
}

// Numbers come through exactly or are refused; none is rounded.
func TestA11_Numbers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	rs, envelope := h.bundle.Rulesets["customer"], h.envelopeOf("github")
	canonicalOf := func(body []byte) string {
		changes, err := envelope.Parse(body)
		must(t, err)
		return fmt.Sprint(rs.Canonical("crm", changes[0])["credit_limit"])
	}
	event := func(number string) string {
		return change{record: newRecord(), more: `,"Credit_Limit__c":{"old_value":null,"new_value":` + number + `}`}.String()
	}
	for number, want := range map[string]string{
		"12345678901234567890.123": "12345678901234567890.123", "-0": "0", "0.10": "0.1", "1e3": "1000", "1E-3": "0.001", "9007199254740993": "9007199254740993",
		"-99999999999999999999": "-99999999999999999999", "0.1": "0.1", "1e20": "100000000000000000000",
	} {
		a := d.accepted("github", event(number))
		bodies := h.open("event", "SELECT id, body, dek FROM event WHERE id = '"+schema.EventID(*a.body.Receipt, 1).String()+"'")
		if got := canonicalOf(bodies[0]); got != want {
			t.Errorf("%s became %s", number, got)
		}
	}
	for _, number := range []string{"1e400", "-1e309", "1e-400", "1" + strings.Repeat("0", 400), "123456789012345678901234567890123456789", "1e41", `"12abc"`, `"0x10"`, `"1/3"`, `"Infinity"`, "true", "{}", "[1]"} {
		if a := d.post("github", event(number)); a.status != http.StatusBadRequest {
			t.Errorf("%.40s: %s; want 400", number, a)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		digits := rapid.StringMatching(`-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?`).Draw(rt, "number")
		body := []byte(event(digits))
		if strictjson.Scan(body, strictjson.Limits{}) != nil {
			return // refused
		}
		changes, err := envelope.Parse(body)
		if err != nil {
			rt.Fatal(err)
		}
		if rs.Check("crm", changes[0], func(string) string { return "" }) != nil {
			return // refused
		}
		got, ok1 := new(big.Rat).SetString(canonicalOf(body))
		want, ok2 := new(big.Rat).SetString(digits)
		if !ok1 || !ok2 || got.Cmp(want) != 0 {
			rt.Fatalf("%s became %s", digits, canonicalOf(body))
		}
	})
}

// unread is a body that may not be read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

// What is no webhook is turned away before its body is read.
func TestA18_MethodsPathsAndTypes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	cases := []struct {
		method, path, media string
		want                int
	}{
		{"GET", "/webhooks/github", "application/json", 405}, {"PUT", "/webhooks/github", "application/json", 405}, {"PATCH", "/webhooks/github", "application/json", 405},
		{"DELETE", "/webhooks/github", "application/json", 405}, {"HEAD", "/webhooks/github", "", 405}, {"OPTIONS", "/webhooks/github", "", 405}, {"TRACE", "/webhooks/github", "", 405},
		{"post", "/webhooks/github", "application/json", 405}, {"PROPFIND", "/webhooks/github", "", 405}, {"POST", "/healthz", "application/json", 405},
		{"POST", "/", "application/json", 404}, {"POST", "/webhooks", "application/json", 404}, {"POST", "/webhooks/", "application/json", 404}, {"POST", "/webhooks/github/", "application/json", 404},
		{"POST", "/webhooks/github/x", "application/json", 404}, {"POST", "/webhooks/nobody", "application/json", 404}, {"POST", "/webhooks/GITHUB", "application/json", 404},
		{"POST", "//webhooks/github", "application/json", 404}, {"POST", "/webhooks//github", "application/json", 404}, {"POST", "/webhooks/../webhooks/github", "application/json", 404},
		{"POST", "/webhooks/./github", "application/json", 404}, {"POST", "/webhooks/%2e%2e/webhooks/github", "application/json", 404}, {"POST", "/webhooks/git%2fhub", "application/json", 404},
		{"POST", "/webhooks/github%00", "application/json", 404}, {"POST", "/Webhooks/github", "application/json", 404}, {"POST", "/api/v1/stats", "application/json", 404},
		{"GET", "/metrics", "", 404}, {"GET", "/debug/pprof/", "", 404}, {"GET", "/debug/pprof/heap", "", 404}, {"GET", "/readyz", "", 404}, {"GET", "/api/v1/events/x", "", 404},
		{"POST", "/webhooks/github", "", 415}, {"POST", "/webhooks/github", "text/plain", 415}, {"POST", "/webhooks/github", "application/x-www-form-urlencoded", 415},
		{"POST", "/webhooks/github", "multipart/form-data; boundary=x", 415}, {"POST", "/webhooks/github", "application/xml", 415}, {"POST", "/webhooks/github", "application/jsonp", 415},
		{"POST", "/webhooks/github", "application/json;;", 415}, {"POST", "/webhooks/github", "json", 415}, {"POST", "/webhooks/github", "application/json, text/plain", 415},
	}
	for _, c := range cases {
		r := httptest.NewRequestWithContext(t.Context(), c.method, "http://x"+c.path, unread{t})
		if c.media != "" {
			r.Header.Set("Content-Type", c.media)
		}
		a := d.do(r)
		if a.status != c.want {
			t.Errorf("%s %s as %q: %s; want %d", c.method, c.path, c.media, a, c.want)
		}
		if c.want == 405 && a.header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow header", c.method, c.path)
		}
		if a.header.Get("Location") != "" {
			t.Errorf("%s %s is sent to %s", c.method, c.path, a.header.Get("Location"))
		}
	}
	r := h.signed("github", sound)
	r.Header.Add("Content-Type", "text/plain")
	if a := d.do(r); a.status != http.StatusUnsupportedMediaType {
		t.Errorf("two content types: %s", a)
	}
	r = h.signed("github", strings.Repeat("x", 300<<10))
	r.Body = io.NopCloser(unread{t})
	if a := d.do(r); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a length over the limit: %s", a)
	}

	// Whoever waits for leave to send a body does not get it.
	address, _ := h.listen(d, intake.Limits{})
	c := h.dial(address)
	_, err := fmt.Fprintf(c, "POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	must(t, err)
	if status := answerOf(t, c); status != http.StatusUnsupportedMediaType {
		t.Errorf("the first answer is %d, want 415 and no 100", status)
	}
}

// Malformed and contradictory requests get one answer each, a refusal; nothing of one is read as a second request.
func TestA17_SmugglingAndHeaders(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	var seen sync.Map
	address, _ := h.listen(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.URL.Path, true)
		d.ServeHTTP(w, r)
	}), intake.Limits{})
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	post := func(headers, body string) string {
		return "POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + headers + "\r\n" + body
	}
	cases := map[string]string{}
	for _, value := range []string{
		"0\r\nContent-Length: 37", "37\r\nContent-Length: 0", "5, 6", "+5", "-1", "0x5", "5 5", "five", "5;", "99999999999999999999", " ", "1_0", "５", "5\v",
	} {
		cases["length "+value] = post("Content-Length: "+value+"\r\n", smuggled)
	}
	for _, value := range []string{
		"xchunked", "chunked, identity", "identity, chunked", "chunked, chunked", "gzip", "gzip, chunked", "\"chunked\"", "chunked;q=1", "\vchunked", "chunked\r\nTransfer-Encoding: identity",
		"identity\r\nTransfer-Encoding: chunked", "x\r\nTransfer-Encoding: chunked", "chunked\r\nTransfer-Encoding: chunked", "chunked, \r\nTransfer-Encoding: x",
	} {
		cases["encoding "+value] = post("Transfer-Encoding: "+value+"\r\n", "0\r\n\r\n"+smuggled)
		cases["length and encoding "+value] = post("Content-Length: 5\r\nTransfer-Encoding: "+value+"\r\n", "0\r\n\r\n"+smuggled)
	}
	for _, header := range []string{
		"Content-Length : 5", " Content-Length: 5", "Content-Length\x00: 5", "Content\tLength: 5", "Transfer-Encoding : chunked", "Transfer-Encoding\v: chunked", "X\x01: a", "X: a\x00b", "X: a\x01b", ": novalue",
		"NoColon", "X:\r\n folded", "X: a\r\n\tTransfer-Encoding: chunked", "(X): a", "X{}: a", "X\"y: 1", "Ho st: y", "X: \x7f", "Ünicode: x", "X: a\rTransfer-Encoding: chunked",
	} {
		cases["header "+header] = post(fmt.Sprintf("Content-Length: %d\r\n%s\r\n", len(smuggled), header), smuggled)
	}
	for _, line := range []string{
		"POST  /webhooks/github HTTP/1.1", "POST /webhooks/github", "POST /webhooks/github HTTP/9.9", "POST /webhooks/github HTTP/2.0", "POST /webhooks/github HTTP/1.1 x", "/webhooks/github HTTP/1.1", "POST",
		"P\x00ST /webhooks/github HTTP/1.1", "POST /web hooks/github HTTP/1.1", "POST /webhooks/github\x00 HTTP/1.1", "POST /webhooks/github http/1.1", "POST /webhooks/github HTTP/1.1\x00", "POST\t/webhooks/github\tHTTP/1.1",
		"POST /webhooks/%zz HTTP/1.1", "POST * HTTP/1.1", "OPTIONS * HTTP/1.1", "CONNECT evil.example.com:443 HTTP/1.1", "POST http://evil.example.com/%2e%2e/ HTTP/1.1", "POST ../webhooks/github HTTP/1.1", "POST ? HTTP/1.1",
		"PRI * HTTP/2.0", "GET / HTTP/0.9", "(POST) /webhooks/github HTTP/1.1", "POST /webhooks/github HTTP/1.0.1", "POST \\webhooks\\github HTTP/1.1", "POST /webhooks/\xff\xfe HTTP/1.1",
	} {
		cases["line "+line] = line + "\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n"
	}
	for _, host := range []string{"", "Host: x\r\nHost: y\r\n", "Host: a b\r\n", "Host: x/../y\r\n", "Host: \x01\r\n", "Host: x@y z\r\n"} {
		cases["host "+host] = "POST /webhooks/github HTTP/1.1\r\n" + host + "Content-Type: application/json\r\nContent-Length: 0\r\n\r\n"
	}
	for name, body := range map[string]string{
		"a chunk of no size": "\r\nabc\r\n0\r\n\r\n", "a chunk of size -1": "-1\r\nabc\r\n0\r\n\r\n", "a chunk of size 0x3": "0x3\r\nabc\r\n0\r\n\r\n", "a huge chunk": "fffffffffffffffff\r\nabc\r\n",
		"a chunk without end": "3\r\nabcd\r\n0\r\n\r\n", "a size with a blank": "3 3\r\nabc\r\n0\r\n\r\n", "a size of letters": "xyz\r\nabc\r\n", "a bare newline": "3\nabc\n0\n\n" + smuggled,
		"a long extension": "3;" + strings.Repeat("a", 70_000) + "\r\nabc\r\n0\r\n\r\n", "a bad trailer": "0\r\nContent-Length : 5\r\n\r\n",
	} {
		cases[name] = post("Transfer-Encoding: chunked\r\n", body)
	}
	cases["headers of 64 KiB"] = post("X: "+strings.Repeat("a", 64<<10)+"\r\n", "")
	cases["3,000 headers"] = post(strings.Repeat("X: aaaaaaaa\r\n", 3000), "")
	cases["an endless line"] = "POST /" + strings.Repeat("a", 64<<10)
	cases["TLS"] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 100)
	cases["an unknown expectation"] = post("Expect: 200-maybe\r\nContent-Length: 0\r\n", "")

	if len(cases) < 100 {
		t.Errorf("only %d cases", len(cases))
	}
	var tasks []func()
	for name, request := range cases {
		tasks = append(tasks, func() {
			statuses := exchange(t, address, request)
			if len(statuses) > 1 {
				t.Errorf("%q: answers %v, want one", name, statuses)
			}
			for _, status := range statuses {
				if status < 400 || status > 505 || status == 500 || status == 503 {
					t.Errorf("%q: %d, want a refusal", name, status)
				}
			}
		})
	}
	inParallel(8, tasks)
	if _, ok := seen.Load("/smuggled"); ok {
		t.Error("a smuggled request was served")
	}
	if n := h.count("SELECT count(*) FROM event") + h.count("SELECT count(*) FROM dead_letter"); n != 0 {
		t.Errorf("%d rows", n)
	}
}

// exchange sends bytes and returns the statuses of all answers until the server closes.
func exchange(t *testing.T, address, request string) (statuses []int) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	_ = c.SetDeadline(deadline)
	_, _ = io.WriteString(c, request) // the server may refuse before it has read all
	_ = c.(*net.TCPConn).CloseWrite()
	in := bufio.NewReader(c)
	for {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return statuses
		}
		statuses = append(statuses, res.StatusCode)
		_, err = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if err != nil {
			return statuses
		}
	}
}

// Every answer says that it is not to be cached and not to be guessed about.
func TestB17_HeadersOfEveryAnswer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	with := signing{secretOf("standard_webhooks", "standard"), "id", h.now()}
	full := intake0(h)
	answers := map[int]answered{
		200: d.do(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/healthz", nil)),
		202: d.do(h.signedWith("standard", change{record: "001A"}.String(), with)),
		400: d.post("github", "{}"),
		401: d.do(withBody(h.signed("github", "{}"), "[]")),
		404: d.do(httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/nowhere", nil)),
		405: d.do(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/webhooks/github", nil)),
		409: d.do(h.signedWith("standard", change{record: "001B"}.String(), with)),
		413: d.post("github", strings.Repeat("x", 300<<10)),
		415: d.do(httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/github", nil)),
		503: full.post("github", change{record: "001C"}.String()),
	}
	for status, a := range answers {
		if a.status != status {
			t.Errorf("%s; want %d", a, status)
		}
		if a.header.Get("Cache-Control") != "no-store" || a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Content-Type") == "" {
			t.Errorf("%d: headers %v", status, a.header)
		}
		if (status == 503) != (a.header.Get("Retry-After") != "") {
			t.Errorf("%d: Retry-After %q", status, a.header.Get("Retry-After"))
		}
	}
}

// intake0 is a door whose database is gone.
func intake0(h *house) *door {
	d := h.door()
	must(h.t, d.store.Close())
	return d
}
