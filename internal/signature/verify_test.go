package signature

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lockstep/schema"
)

func clone(r Request) Request {
	return Request{r.Method, r.URL, r.Header.Clone(), append([]byte(nil), r.Body...)}
}

// mutant is a request that nobody signed.
type mutant struct {
	how     string
	request Request
}

// mutants returns forgeries of a valid request: one of each kind that applies.
func (s sender) mutants(random *rand.Rand, valid Request, secret []byte) []mutant {
	scheme, err := compile(s.source)
	if err != nil {
		panic(err)
	}
	var all []mutant
	add := func(how string, change func(r *Request)) {
		r := clone(valid)
		change(&r)
		all = append(all, mutant{how, r})
	}
	set := func(name, value string) func(*Request) { return func(r *Request) { r.Header[name] = []string{value} } }
	headers := func(how, name string, values ...string) {
		for _, value := range values {
			add(fmt.Sprintf("%s %q", how, value), set(name, value))
		}
		add(how+" gone", func(r *Request) { r.Header.Del(name) })
		add(how+" twice", func(r *Request) { r.Header.Add(name, r.Header.Get(name)) })
	}
	if scheme.form != staticForm {
		covered := len(valid.Body)
		if scheme.form == memberForm {
			covered = strings.LastIndex(string(valid.Body), `":"`) // the signature's own turn comes below
		}
		for range 20 {
			add("a bit of the body", func(r *Request) { r.Body[random.IntN(covered)] ^= 1 << random.IntN(8) })
		}
		add("the body cut", func(r *Request) { r.Body = r.Body[:random.IntN(len(r.Body))] })
		add("no body", func(r *Request) { r.Body = nil })
		add("more body", func(r *Request) { r.Body = append(r.Body, "{}"...) })
		add("another body", func(r *Request) { r.Body = []byte(`{"a":1}`) })
	}
	if scheme.covers.Timestamp {
		at := valid.Header.Get(scheme.timestampHeader)
		headers("timestamp", scheme.timestampHeader, "", "0"+at, at+"0", " "+at, "+"+at, "-"+at, s.time(noon.Add(time.Second)), s.time(noon.Add(-time.Hour)), flipped(random, at), at+at)
	}
	if scheme.covers.ID {
		id := valid.Header.Get(scheme.idHeader)
		headers("id", scheme.idHeader, "", id+"x", id[1:], flipped(random, id), id+".1", "msg.1", strings.Repeat("a", 129), "é", id+" ")
	}
	if scheme.covers.Method {
		add("another method", func(r *Request) { r.Method = "PUT" })
	}
	if scheme.covers.URL {
		for _, url := range []string{"", valid.URL + "&x=1", strings.Replace(valid.URL, "acme", "acmf", 1), strings.Replace(valid.URL, "https", "http", 1), "/webhooks/crm?tenant=acme", valid.URL + " "} {
			add("another url", func(r *Request) { r.URL = url })
		}
	}
	if scheme.form == headerForm || scheme.form == staticForm {
		value := valid.Header.Get(scheme.header)
		proof := strings.TrimPrefix(value, scheme.prefix)
		var bad []string
		for range 20 {
			bad = append(bad, scheme.prefix+flipped(random, proof))
		}
		for _, p := range forged(random, proof) {
			bad = append(bad, scheme.prefix+p)
		}
		if scheme.prefix != "" {
			bad = append(bad, proof, "v1a,"+proof, "v0,"+proof, "v2,"+proof, "sha1="+proof, "v9="+proof, strings.ToUpper(scheme.prefix)+proof, " "+scheme.prefix+" "+proof, scheme.prefix+scheme.prefix+proof)
		}
		bad = append(bad, value+","+value, "x"+value)
		for _, value := range bad {
			if same(value, valid.Header.Get(scheme.header)) || strings.HasPrefix(scheme.prefix, "Bearer") && strings.TrimSpace(value) == valid.Header.Get(scheme.header) {
				continue
			}
			add("signature "+value, set(scheme.header, value))
		}
		if mac, ok := decodeMAC(scheme.encoding, proof); ok && scheme.encoding != eitherForm {
			swapped := map[string]string{hexForm: based(mac), base64Form: hex.EncodeToString(mac)}[scheme.encoding]
			add("the other encoding", set(scheme.header, scheme.prefix+swapped))
		}
		headers("signature", scheme.header, "")
		add("signature under another name", func(r *Request) {
			r.Header.Set(scheme.header+"-2", r.Header.Get(scheme.header))
			r.Header.Del(scheme.header)
		})
	}
	if scheme.form == memberForm {
		body := string(valid.Body)
		begin := strings.LastIndex(body, `":"`) + 3
		proof := body[begin : len(body)-2]
		for _, p := range append(forged(random, proof), flipped(random, proof), flipped(random, proof), "sha256="+proof) {
			if same(p, proof) {
				continue
			}
			add("signature "+p, func(r *Request) { r.Body = []byte(body[:begin] + p + `"}`) })
		}
		name := scheme.member
		add("signature as a list", func(r *Request) { r.Body = []byte(body[:begin-1] + `["` + proof + `"]}`) })
		add("signature null", func(r *Request) { r.Body = []byte(body[:begin-1] + "null}") })
		add("signature twice", func(r *Request) { r.Body = []byte(body[:len(body)-1] + `,"` + name + `":"x"}`) })
		add("signature in other case too", func(r *Request) { r.Body = []byte(body[:len(body)-1] + `,"` + strings.ToUpper(name) + `":"x"}`) })
		add("signature elsewhere", func(r *Request) { r.Body = []byte(`{"a":` + body + `}`) })
		add("in a list", func(r *Request) { r.Body = []byte(`[` + body + `]`) })
		add("signature in a header", func(r *Request) {
			r.Body = []byte(strings.Replace(body, `,"`+name+`":"`+proof+`"`, "", 1))
			r.Header.Set("X-Signature", proof)
		})
		add("one more member", func(r *Request) { r.Body = []byte(`{"added":1,` + body[1:]) })
	}
	others := textSecret(random)
	switch s.source.Profile {
	case "standard_webhooks":
		others = []byte("whsec_" + based(keyBytes(random)))
	case "hmac":
		if s.source.SecretEncoding == "base64" {
			others = []byte(based(keyBytes(random)))
		}
	}
	for i, wrong := range [][]byte{others, append(append([]byte(nil), secret...), secret...)} {
		if s.source.SecretEncoding == "base64" || s.source.Profile == "standard_webhooks" {
			wrong = others
		}
		m := s.draw(random, noon)
		all = append(all, mutant{fmt.Sprintf("another endpoint's secret %d", i), s.sign(wrong, m)})
	}
	return all
}

// forged returns proofs that are none.
func forged(random *rand.Rand, proof string) []string {
	zeros := make([]byte, 32)
	all := []string{
		"", proof[:len(proof)-1], proof[:len(proof)/2], proof[1:], proof + "0", proof + "=", proof + proof, " " + proof[1:], proof[:len(proof)-1] + "\n",
		hex.EncodeToString(zeros), based(zeros), strings.Repeat("0", 64), strings.Repeat("=", 44), strings.Repeat("A", 43) + "=", "null", "undefined",
	}
	cut := random.IntN(len(proof))
	all = append(all, proof[:cut], proof[cut:]+proof[:cut])
	if mac, err := base64.StdEncoding.DecodeString(proof); err == nil && len(mac) == 32 {
		all = append(all, base64.RawStdEncoding.EncodeToString(mac), based(mac[:31]), based(mac[:16]), based(append(mac, 0)), hex.EncodeToString(mac)[:63])
		if strings.ContainsAny(proof, "+/") {
			all = append(all, base64.URLEncoding.EncodeToString(mac))
		}
	}
	return all
}

// flipped changes one bit, and not only the case of a letter.
func flipped(random *rand.Rand, text string) string {
	for {
		b := []byte(text)
		b[random.IntN(len(b))] ^= 1 << random.IntN(7)
		if !same(string(b), text) {
			return string(b)
		}
	}
}

// same reports whether two headers spell one MAC: hex has no case.
func same(a, b string) bool {
	return a == b || strings.EqualFold(a, b) && strings.Trim(strings.ToLower(a[max(0, len(a)-64):]), "0123456789abcdef") == ""
}

func TestA05EveryForgeryIsRefusedAndEveryValidRequestAccepted(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 15))
	rounds := 30
	forgeries, valids := 0, 0
	causes := map[Cause]int{}
	for _, s := range senders {
		for range rounds {
			secret := s.secret(random)
			v := verifier(t, s.source, atNoon, secret)
			m := s.draw(random, noon)
			valid := s.sign(secret, m)
			signed, err := v.Verify(valid)
			if err != nil {
				cause, _ := CauseOf(err)
				t.Fatalf("%s: a valid request refused: %s", s.name, cause)
			}
			valids++
			wantSigned(t, s, m, valid, signed)
			for _, mutant := range s.mutants(random, valid, secret) {
				forgeries++
				signed, err := v.Verify(mutant.request)
				if !errors.Is(err, ErrUnauthorised) {
					t.Errorf("%s: %s accepted: %v", s.name, mutant.how, err)
				}
				if !cmp.Equal(signed, Signed{}) {
					t.Errorf("%s: %s: a refusal tells %+v", s.name, mutant.how, signed)
				}
				cause, ok := CauseOf(err)
				if !ok {
					t.Errorf("%s: %s: no cause", s.name, mutant.how)
				}
				causes[cause]++
			}
		}
		for range 400 {
			secret := s.secret(random)
			v := verifier(t, s.source, atNoon, s.secret(random), secret)
			m := s.draw(random, noon.Add(time.Duration(random.IntN(600)-300)*time.Second))
			valid := s.sign(secret, m)
			for name, values := range valid.Header {
				delete(valid.Header, name)
				valid.Header.Set([]string{strings.ToUpper(name), strings.ToLower(name), name}[random.IntN(3)], values[0])
			}
			signed, err := v.Verify(valid)
			if err != nil || signed.Secret != 1 {
				t.Fatalf("%s: a valid request under the old secret: %+v, %v", s.name, signed, err)
			}
			valids++
			signed.Secret = 0
			wantSigned(t, s, m, valid, signed)
		}
	}
	t.Logf("A05: %d forgeries refused, %d valid requests accepted; causes %v", forgeries, valids, causes)
	if forgeries < 10_000 || valids < 4_000 {
		t.Errorf("too few")
	}
	for _, cause := range Causes {
		if causes[cause] == 0 && cause != Stale && cause != Future {
			t.Errorf("no forgery was refused as %s", cause)
		}
	}
}

// wantSigned checks what a valid request proves.
func wantSigned(t *testing.T, s sender, m message, request Request, got Signed) {
	t.Helper()
	want := Signed{Content: request.Body}
	switch s.source.Profile {
	case "standard_webhooks":
		want.ID, want.Covers = m.id, Covers{ID: true, Timestamp: true, Body: true}
	case "zendesk", "slack":
		want.Covers = Covers{Timestamp: true, Body: true}
	case "hubspot_v3":
		want.Covers = Covers{Method: true, URL: true, Timestamp: true, Body: true}
	case "github":
		want.Covers = Covers{Body: true}
	case "hmac":
		want.Covers = Covers{Body: true}
		if s.time != nil {
			want.ID, want.Covers = m.id, Covers{Method: true, URL: true, ID: true, Timestamp: true, Body: true}
		}
	case "json":
		want.Covers, want.Content = Covers{Body: true}, []byte(m.body)
	}
	if s.time != nil {
		if got.At.Location() != time.UTC || s.time(got.At) != m.timestamp {
			t.Errorf("%s: signed at %s, sent %s", s.name, got.At, m.timestamp)
		}
		want.At = got.At
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: %s", s.name, diff)
	}
	if covered, err := Covered(s.source); err != nil || covered != want.Covers {
		t.Errorf("%s: covered %+v, %v", s.name, covered, err)
	}
}

func TestA03ReplaysOfAnotherDay(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 1))
	for _, s := range senders {
		secret := s.secret(random)
		now := noon
		v := verifier(t, s.source, func() time.Time { return now }, secret)
		request := s.sign(secret, s.draw(random, noon))
		first, err := v.Verify(request)
		if err != nil {
			t.Fatal(err)
		}
		for after, want := range map[time.Duration]Cause{
			time.Second: "", 299 * time.Second: "", 5 * time.Minute: "", 301 * time.Second: Stale, 24 * time.Hour: Stale, 250 * 365 * 24 * time.Hour: Stale,
			-time.Second: "", -5 * time.Minute: "", -301 * time.Second: Future, -24 * time.Hour: Future,
		} {
			now = noon.Add(after)
			again, err := v.Verify(request)
			cause, _ := CauseOf(err)
			switch {
			case s.time == nil && (err != nil || !cmp.Equal(first, again)):
				t.Errorf("%s: %s later: %v", s.name, after, cause)
			case s.time != nil && cause != want:
				t.Errorf("%s: %s later: cause %q, want %q", s.name, after, cause, want)
			}
		}
		now = noon
	}
}

func TestToleranceOfTheMap(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 2))
	for _, s := range senders {
		if s.time == nil {
			continue
		}
		secret := s.secret(random)
		for _, c := range []struct {
			tolerance schema.Tolerance
			age       time.Duration
			want      Cause
		}{
			{schema.Tolerance{Span: time.Second}, time.Second, ""}, {schema.Tolerance{Span: time.Second}, 2 * time.Second, Stale}, {schema.Tolerance{Span: time.Second}, -2 * time.Second, Future},
			{schema.Tolerance{Span: 76 * time.Hour}, 75 * time.Hour, ""}, {schema.Tolerance{Span: 76 * time.Hour}, 77 * time.Hour, Stale},
			{schema.Tolerance{None: true}, 50 * 365 * 24 * time.Hour, ""}, {schema.Tolerance{None: true}, -900 * time.Hour, ""},
		} {
			source := s.source
			source.Tolerance = c.tolerance
			v := verifier(t, source, atNoon, secret)
			_, err := v.Verify(s.sign(secret, s.draw(random, noon.Add(-c.age))))
			if cause, _ := CauseOf(err); cause != c.want {
				t.Errorf("%s: tolerance %+v, age %s: %q, want %q", s.name, c.tolerance, c.age, cause, c.want)
			}
		}
	}
}

// Whatever the signature does not cover changes nothing about what a request proves.
func TestA04UnsignedHeadersCountForNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 1))
	cases := 0
	for _, s := range senders {
		scheme, err := compile(s.source)
		if err != nil {
			t.Fatal(err)
		}
		secret := s.secret(random)
		v := verifier(t, s.source, atNoon, secret)
		valid := s.sign(secret, s.draw(random, noon))
		want, err := v.Verify(valid)
		if err != nil {
			t.Fatal(err)
		}
		names := append([]string{"User-Agent", "Content-Type", "X-Forwarded-For", "Idempotency-Key", "Webhook-Id", "Webhook-Timestamp", "X-Request-Id", "Date", "Cookie", "X-GitHub-Delivery"}, s.loose...)
		for _, name := range names {
			key := http.CanonicalHeaderKey(name)
			if key == scheme.header || scheme.covers.ID && key == scheme.idHeader || scheme.covers.Timestamp && key == scheme.timestampHeader {
				continue
			}
			for _, values := range [][]string{nil, {""}, {"other"}, {"msg_1", "msg_2"}, {fmt.Sprint(random.Uint64())}, {strings.Repeat("x", 10_000)}} {
				cases++
				mutant := clone(valid)
				mutant.Header[key] = values
				if got, err := v.Verify(mutant); err != nil || !cmp.Equal(want, got) {
					t.Errorf("%s: %s changed to %.40q: %v %s", s.name, name, values, err, cmp.Diff(want, got))
				}
			}
		}
		if !scheme.covers.URL {
			mutant := clone(valid)
			mutant.URL, mutant.Method = "https://other.example.com/", "PUT"
			if got, err := v.Verify(mutant); err != nil || !cmp.Equal(want, got) {
				t.Errorf("%s: unsigned url: %v", s.name, err)
			}
		}
	}
	t.Logf("A04: %d unsigned headers", cases)
}

func TestA06NoErrorTellsTheRightSignature(t *testing.T) {
	random := rand.New(rand.NewPCG(6, 1))
	looked := 0
	for _, s := range senders {
		for range 10 {
			secret := s.secret(random)
			v := verifier(t, s.source, atNoon, secret)
			valid := s.sign(secret, s.draw(random, noon))
			for _, mutant := range s.mutants(random, valid, secret) {
				_, err := v.Verify(mutant.request)
				cause, _ := CauseOf(err)
				if all := fmt.Sprintf("%v|%s|%q", err, err, err); all != `unauthorised|unauthorised|"unauthorised"` {
					t.Errorf("%s: %s: %s", s.name, mutant.how, all)
				}
				all := fmt.Sprintf("%+v %#v %s", err, err, cause)
				for _, right := range rightMACs(v, mutant.request, secret) {
					looked++
					for _, form := range []string{hex.EncodeToString(right), strings.ToUpper(hex.EncodeToString(right)), based(right), base64.RawURLEncoding.EncodeToString(right), string(right)} {
						if strings.Contains(all, form) {
							t.Errorf("%s: %s: the error tells the right signature", s.name, mutant.how)
						}
					}
				}
				if strings.Contains(all, string(secret)) || strings.Contains(all, "Phone") {
					t.Errorf("%s: %s: the error tells secret or body", s.name, mutant.how)
				}
			}
		}
	}
	t.Logf("A06: %d signatures looked for", looked)
	if looked < 1000 {
		t.Error("too few")
	}
}

// rightMACs returns what a forger would like to read in an answer to a request.
func rightMACs(v *Verifier, r Request, secret []byte) [][]byte {
	key, _ := decodeSecret(v.scheme.secretEncoding, secret)
	switch v.scheme.form {
	case headerForm:
		return [][]byte{v.scheme.mac(key, parts{r.Method, v.scheme.url(r.URL), r.Header.Get(v.scheme.idHeader), r.Header.Get(v.scheme.timestampHeader), r.Body})}
	case memberForm:
		if _, content, cause := detach(r.Body, v.scheme.member); cause == "" {
			return [][]byte{sum(key, content)}
		}
	case staticForm:
		return [][]byte{key}
	}
	return nil
}

// Secrets rotate while requests come in: in the overlap both are accepted, afterwards the old one never again.
func TestA07RotationUnderLoad(t *testing.T) {
	for _, s := range senders {
		random := rand.New(rand.NewPCG(7, 1))
		var (
			mu   sync.RWMutex
			live = [][]byte{s.secret(random)}
			dead [][]byte
		)
		secrets := func() ([][]byte, error) { return live, nil } // read under mu, by those who verify
		v, err := New(s.source, secrets, atNoon)
		if err != nil {
			t.Fatal(err)
		}
		var accepted, refusedLate, lastOfOld atomic.Int64
		rounds := make(chan struct{})
		var senders sync.WaitGroup
		for worker := range 4 {
			senders.Go(func() {
				random := rand.New(rand.NewPCG(7, uint64(worker)))
				for range rounds {
					mu.RLock()
					i := random.IntN(len(live))
					signed, err := v.Verify(s.sign(live[i], s.draw(random, noon)))
					if err != nil || signed.Secret != i {
						t.Errorf("%s: refused in the overlap: %v", s.name, err)
					}
					accepted.Add(1)
					if i > 0 {
						lastOfOld.Add(1)
					}
					if len(dead) > 0 {
						if _, err := v.Verify(s.sign(dead[random.IntN(len(dead))], s.draw(random, noon))); !errors.Is(err, ErrUnauthorised) {
							t.Errorf("%s: accepted after the overlap: %v", s.name, err)
						}
						refusedLate.Add(1)
					}
					mu.RUnlock()
				}
			})
		}
		load := func() {
			for range 8 {
				rounds <- struct{}{}
			}
		}
		for range 100 {
			mu.Lock()
			live = [][]byte{s.secret(random), live[0]}
			mu.Unlock()
			load()
			mu.Lock()
			dead, live = append(dead, live[1]), live[:1]
			mu.Unlock()
			load()
		}
		close(rounds)
		senders.Wait()
		t.Logf("A07: %-50s %d accepted, %d of them by the old secret; %d refused after the overlap", s.name, accepted.Load(), lastOfOld.Load(), refusedLate.Load())
		if accepted.Load() < 1600 || lastOfOld.Load() == 0 || refusedLate.Load() == 0 {
			t.Errorf("%s: too little load", s.name)
		}
	}
}

func TestSecretsThatCannotBeUsed(t *testing.T) {
	gone := errors.New("secrets: absent (file:crm)")
	good := []byte("0123456789abcdef01234567")
	for name, c := range map[string]struct {
		encoding string
		secrets  [][]byte
		err      error
	}{
		"unreadable":         {"text", nil, gone},
		"none":               {"text", nil, nil},
		"empty":              {"text", [][]byte{{}}, nil},
		"23 bytes":           {"text", [][]byte{good[:23]}, nil},
		"old one too short":  {"text", [][]byte{good, []byte("short")}, nil},
		"old one empty":      {"text", [][]byte{good, {}}, nil},
		"not base64":         {"base64", [][]byte{[]byte("!!!! this is not base64 at all !!!!")}, nil},
		"base64 of 23 bytes": {"base64", [][]byte{[]byte(based(good[:23]))}, nil},
		"no whsec_":          {"whsec", [][]byte{[]byte(based(good))}, nil},
		"whsec_ of 23 bytes": {"whsec", [][]byte{[]byte("whsec_" + based(good[:23]))}, nil},
		"whsec_ of nothing":  {"whsec", [][]byte{[]byte("whsec_")}, nil},
		"base64 with a tail": {"base64", [][]byte{[]byte(based(good) + "\n ")}, nil},
	} {
		source := schema.Signature{Profile: "hmac", Template: "{body}", Header: "X-Sig", SecretEncoding: c.encoding}
		usable := true
		secrets := func() ([][]byte, error) {
			if !usable {
				return c.secrets, c.err
			}
			return [][]byte{map[string][]byte{"text": good, "base64": []byte(based(good)), "whsec": []byte("whsec_" + based(good))}[c.encoding]}, nil
		}
		v, err := New(source, secrets, atNoon)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		usable = false
		for _, err := range []error{second(New(source, secrets, atNoon)), second(v.Verify(Request{Header: header("X-Sig", based(digest(good, ""))), Method: "POST"}))} {
			if !errors.Is(err, ErrSecrets) || errors.Is(err, ErrUnauthorised) || c.err != nil && !errors.Is(err, c.err) {
				t.Errorf("%s: %v", name, err)
			}
			if strings.Contains(fmt.Sprintf("%+v", err), "short") {
				t.Errorf("%s: the error tells the secret", name)
			}
		}
	}
	for _, source := range []schema.Signature{{Profile: "static_key", Header: "X-Key"}, {Profile: "json"}, {Profile: "slack"}, {Profile: "github"}} {
		if _, err := New(source, func() ([][]byte, error) { return [][]byte{good[:23]}, nil }, atNoon); !errors.Is(err, ErrSecrets) {
			t.Errorf("%s took a short secret: %v", source.Profile, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestSeveralSignaturesInOneHeader(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 1))
	s := senders[0]
	secret, old := s.secret(random), s.secret(random)
	m := s.draw(random, noon)
	right := s.sign(secret, m).Header.Get("webhook-signature")
	former := s.sign(old, m).Header.Get("webhook-signature")
	other := "v1," + based(make([]byte, 32))
	v := verifier(t, s.source, atNoon, secret)
	for value, want := range map[string]Cause{
		right:                                 "",
		other + " " + right:                   "",
		right + " " + other:                   "",
		former + " " + right:                  "",
		"v1a,AAAA " + right:                   "",
		"v2," + right[3:] + " " + right:       "",
		"v1,broken " + right:                  "",
		right + " ":                           "",
		"  " + right:                          "",
		strings.Repeat(other+" ", 15) + right: "",
		strings.Repeat(other+" ", 16) + right: MalformedSignature,
		"v1a," + right[3:]:                    MalformedSignature,
		"v10," + right[3:]:                    MalformedSignature,
		"v1" + right[3:]:                      MalformedSignature,
		"V1," + right[3:]:                     MalformedSignature,
		right + "," + right:                   MalformedSignature,
		other + " " + former:                  WrongSignature,
		"v1," + strings.Replace(right, "v1,", "", 1) + "\t" + other: MalformedSignature,
	} {
		request := s.sign(secret, m)
		request.Header.Set("webhook-signature", value)
		_, err := v.Verify(request)
		if cause, _ := CauseOf(err); cause != want {
			t.Errorf("%q: %q, want %q", value, cause, want)
		}
	}
}

// Rightly signed, and still no id, no URL, no method of encoding that we take.
func TestPartsOfTheWrongShape(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 1))
	everything := senders[8]
	for name, c := range map[string]struct {
		sender sender
		change func(*message)
		want   Cause
	}{
		"128 characters":         {senders[0], func(m *message) { m.id = strings.Repeat("a", 128) }, ""},
		"129 characters":         {senders[0], func(m *message) { m.id = strings.Repeat("a", 129) }, MalformedID},
		"a dot":                  {senders[0], func(m *message) { m.id = "msg.1" }, MalformedID},
		"a letter beyond ASCII":  {senders[0], func(m *message) { m.id = "msgé" }, MalformedID},
		"a blank":                {senders[0], func(m *message) { m.id = "msg 1" }, MalformedID},
		"the template's divider": {everything, func(m *message) { m.id = "a|b" }, MalformedID},
		"no id":                  {everything, func(m *message) { m.id = "" }, MissingID},
		"a url with a blank":     {everything, func(m *message) { m.url += " x" }, MalformedURL},
		"a url with a newline":   {everything, func(m *message) { m.url += "\n" }, MalformedURL},
		"a url beyond ASCII":     {everything, func(m *message) { m.url += "é" }, MalformedURL},
		"a relative url":         {everything, func(m *message) { m.url = "/webhooks/crm" }, MalformedURL},
		"another scheme":         {everything, func(m *message) { m.url = "ftp://hooks.example.com/" }, MalformedURL},
		"a plain http url":       {everything, func(m *message) { m.url = "http://hooks.example.com/" }, ""},
	} {
		secret := c.sender.secret(random)
		m := c.sender.draw(random, noon)
		c.change(&m)
		_, err := verifier(t, c.sender.source, atNoon, secret).Verify(c.sender.sign(secret, m))
		if cause, _ := CauseOf(err); cause != c.want {
			t.Errorf("%s: %q, want %q", name, cause, c.want)
		}
	}
}

// Base64 has bits to spare at its end; only one spelling of a MAC is taken, so that nobody can make a second.
func TestOneSpellingInBase64(t *testing.T) {
	random := rand.New(rand.NewPCG(12, 1))
	s := senders[1]
	secret := s.secret(random)
	v := verifier(t, s.source, atNoon, secret)
	request := s.sign(secret, s.draw(random, noon))
	right := request.Header.Get(v.scheme.header)
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	last := strings.IndexByte(alphabet, right[42])
	for spare := 1; spare < 4; spare++ {
		request.Header.Set(v.scheme.header, right[:42]+string(alphabet[last|spare])+"=")
		if _, err := v.Verify(request); !errors.Is(err, ErrUnauthorised) {
			t.Errorf("spelling %d of one MAC: %v", spare, err)
		}
	}
	if _, ok := decodeSecret(inBase64, []byte("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWR==")); ok {
		t.Error("a secret with bits to spare")
	}
}

// A captured request cannot be cut at another place.
func TestPartsCannotBeMoved(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 1))
	for _, s := range senders {
		if s.time == nil {
			continue
		}
		scheme, err := compile(s.source)
		if err != nil {
			t.Fatal(err)
		}
		secret := s.secret(random)
		source := s.source
		source.Tolerance = schema.Tolerance{None: true}
		v := verifier(t, source, atNoon, secret)
		m := s.draw(random, noon)
		valid := s.sign(secret, m)
		moves := map[string]func(r *Request){
			"timestamp to body": func(r *Request) {
				r.Header.Set(scheme.timestampHeader, m.timestamp[:len(m.timestamp)-1])
				r.Body = append([]byte(m.timestamp[len(m.timestamp)-1:]), r.Body...)
			},
			"body to timestamp": func(r *Request) {
				r.Header.Set(scheme.timestampHeader, m.timestamp+string(r.Body[:1]))
				r.Body = r.Body[1:]
			},
			"end of body to timestamp": func(r *Request) {
				r.Header.Set(scheme.timestampHeader, string(r.Body[len(r.Body)-1:])+m.timestamp)
				r.Body = r.Body[:len(r.Body)-1]
			},
		}
		if scheme.covers.ID {
			moves["id to timestamp"] = func(r *Request) {
				r.Header.Set(scheme.idHeader, m.id+"."+m.timestamp[:4])
				r.Header.Set(scheme.timestampHeader, m.timestamp[4:])
			}
		}
		if scheme.covers.URL {
			moves["body to url"] = func(r *Request) {
				r.URL += " " + string(r.Body[:1])
				r.Body = r.Body[1:]
			}
		}
		for how, move := range moves {
			r := clone(valid)
			move(&r)
			if _, err := v.Verify(r); !errors.Is(err, ErrUnauthorised) {
				t.Errorf("%s: %s accepted: %v", s.name, how, err)
			}
		}
	}
}

func TestPublicURLStandsForTheOneCalled(t *testing.T) {
	random := rand.New(rand.NewPCG(10, 1))
	secret := textSecret(random)
	s := senders[2]
	for _, c := range []struct {
		public, called, signed string
		accepted               bool
	}{
		{"", "https://a.example/x", "https://a.example/x", true},
		{"", "http://10.0.0.7:8080/x", "https://a.example/x", false},
		{"https://a.example/x?y=1", "http://10.0.0.7:8080/x", "https://a.example/x?y=1", true},
		{"https://a.example/x", "https://b.example/x", "https://b.example/x", false},
		{"", "https://a.example/x?u=https%3A%2F%2fb%3f%40%21%24%27%28%29%2A%2C%3B", "https://a.example/x?u=https://b?@!$'()*,;", true},
		{"", "https://a.example/x?u=a%20b%26c", "https://a.example/x?u=a%20b%26c", true},
		{"https://a.example/x?u=%40", "https://a.example/x?u=%40", "https://a.example/x?u=%40", true},
	} {
		source := s.source
		source.PublicURL = c.public
		m := s.draw(random, noon)
		m.url = c.signed
		r := s.sign(secret, m)
		r.URL = c.called
		if _, err := verifier(t, source, atNoon, secret).Verify(r); (err == nil) != c.accepted {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
