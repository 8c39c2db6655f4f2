package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"

	"lockstep/schema"
)

// Request is a POST as it came in.
type Request struct {
	Method string
	// URL is the absolute URL that the sender called; it counts where the source's scheme signs it and the map gives no
	// public_url.
	URL    string
	Header http.Header
	// Body is the raw body, before any decoding.
	Body []byte
}

// Covers says which parts of a request the proof covers.
type Covers struct {
	Method, URL, ID, Timestamp, Body bool
}

// Signed is what a request's signature proves.
type Signed struct {
	// ID is the sender's id of the message; empty unless the signature covers it.
	ID string
	// At is the sender's time of signing, in UTC; zero unless the signature covers it.
	At time.Time
	// Covers says what the signature covers: all the same for every request of one source.
	Covers Covers
	// Secret numbers the secret that fits, 0 for the newest: the last use of the old one tells when it can go.
	Secret int
	// Content is the body as the signature covers it: for a signature inside the body its canonical form, because
	// other spellings of the same body carry the same signature; else the body itself. What makes two deliveries
	// the same event by content is computed from it.
	Content []byte
}

// Verifier verifies the requests of one source. It is safe for concurrent use.
type Verifier struct {
	scheme  scheme
	secrets func() ([][]byte, error)
	now     func() time.Time
}

// minSecret is the least key material of a secret, in bytes (reliability A05).
const minSecret = 24

// New returns the verifier of a source. The secrets function returns the live secrets as they are stored, newest first,
// and is called for every request, so that a rotation needs no restart. Errors: the source's settings contradict
// themselves, in words for whoever edits the map; ErrSecrets when the secrets cannot be had now or are too short.
// Sources: reliability A03 to A08, A31, A32; connectors.md section 9.
func New(source schema.Signature, secrets func() ([][]byte, error), now func() time.Time) (*Verifier, error) {
	scheme, err := compile(source)
	if err != nil {
		return nil, err
	}
	v := &Verifier{scheme, secrets, now}
	if _, err := v.keys(); err != nil {
		return nil, err
	}
	return v, nil
}

// Covered returns what the signatures of a source would cover, without its secrets: the map is checked with it.
func Covered(source schema.Signature) (Covers, error) {
	scheme, err := compile(source)
	return scheme.covers, err
}

// Verify checks a request against every live secret. Errors: ErrUnauthorised, the same for every cause (CauseOf tells
// it), or ErrSecrets. No error carries anything of the request or of the signature that would have been right. Safe to
// repeat.
func (v *Verifier) Verify(request Request) (Signed, error) {
	keys, err := v.keys()
	if err != nil {
		return Signed{}, err
	}
	signed, cause := v.check(request, keys)
	if cause != "" {
		return Signed{}, &refused{cause}
	}
	return signed, nil
}

// keys returns the key material of the live secrets.
func (v *Verifier) keys() ([][]byte, error) {
	secrets, err := v.secrets()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSecrets, err)
	}
	if len(secrets) == 0 {
		return nil, ErrSecrets
	}
	keys := make([][]byte, len(secrets))
	for i, secret := range secrets {
		key, ok := decodeSecret(v.scheme.secretEncoding, secret)
		if !ok || len(key) < minSecret {
			return nil, ErrSecrets
		}
		keys[i] = key
	}
	return keys, nil
}

// decodeSecret returns the key material of a secret.
func decodeSecret(encoding string, secret []byte) (key []byte, ok bool) {
	text := string(secret)
	switch encoding {
	case whsec:
		if text, ok = strings.CutPrefix(text, "whsec_"); !ok {
			return nil, false
		}
	case plainText:
		return secret, true
	}
	key, err := base64.StdEncoding.Strict().DecodeString(text)
	return key, err == nil
}

// check is Verify with the keys given.
func (v *Verifier) check(request Request, keys [][]byte) (Signed, Cause) {
	switch v.scheme.form {
	case staticForm:
		return v.checkStatic(request, keys)
	case memberForm:
		return v.checkMember(request, keys)
	default:
		return v.checkHMAC(request, keys)
	}
}

// checkHMAC checks a signature in a header. The time is compared last: stale and future then mean that the sender is
// known and one of the two clocks, or the way between them, is at fault.
func (v *Verifier) checkHMAC(request Request, keys [][]byte) (Signed, Cause) {
	s := &v.scheme
	signed := Signed{Covers: s.covers, Content: request.Body}
	value, cause := single(request.Header, s.header, MissingSignature)
	if cause != "" {
		return Signed{}, cause
	}
	given, cause := s.signatures(value)
	if cause != "" {
		return Signed{}, cause
	}
	parts := parts{method: request.Method, body: request.Body}
	if s.covers.ID {
		if parts.id, cause = single(request.Header, s.idHeader, MissingID); cause != "" {
			return Signed{}, cause
		}
		if !isID(parts.id) {
			return Signed{}, MalformedID
		}
		signed.ID = parts.id
	}
	if s.covers.Timestamp {
		if parts.timestamp, cause = single(request.Header, s.timestampHeader, MissingTimestamp); cause != "" {
			return Signed{}, cause
		}
		at, ok := parseTime(s.timestampFormat, parts.timestamp)
		if !ok {
			return Signed{}, MalformedTimestamp
		}
		signed.At = at
	}
	if s.covers.URL {
		if parts.url = s.url(request.URL); !isURL(parts.url) {
			return Signed{}, MalformedURL
		}
	}
	if signed.Secret = fitting(keys, given, func(key []byte) []byte { return s.mac(key, parts) }); signed.Secret < 0 {
		return Signed{}, WrongSignature
	}
	if s.covers.Timestamp {
		if cause := s.fresh(v.now().Sub(signed.At)); cause != "" {
			return Signed{}, cause
		}
	}
	return signed, ""
}

// checkMember checks a signature inside the body.
func (v *Verifier) checkMember(request Request, keys [][]byte) (Signed, Cause) {
	s := &v.scheme
	value, content, cause := detach(request.Body, s.member)
	if cause != "" {
		return Signed{}, cause
	}
	given, cause := s.signatures(value)
	if cause != "" {
		return Signed{}, cause
	}
	signed := Signed{Covers: s.covers, Content: content}
	if signed.Secret = fitting(keys, given, func(key []byte) []byte { return sum(key, content) }); signed.Secret < 0 {
		return Signed{}, WrongSignature
	}
	return signed, ""
}

// checkStatic compares a key that the sender repeats with every request. Digests are compared, so that not even the
// key's length shows in the time.
func (v *Verifier) checkStatic(request Request, keys [][]byte) (Signed, Cause) {
	value, cause := single(request.Header, v.scheme.header, MissingSignature)
	if cause != "" {
		return Signed{}, cause
	}
	given, ok := strings.CutPrefix(value, v.scheme.prefix)
	if !ok {
		return Signed{}, MalformedSignature
	}
	digest := sha256.Sum256([]byte(given))
	secret := fitting(keys, [][]byte{digest[:]}, func(key []byte) []byte {
		digest := sha256.Sum256(key)
		return digest[:]
	})
	if secret < 0 {
		return Signed{}, WrongSignature
	}
	return Signed{Covers: v.scheme.covers, Secret: secret, Content: request.Body}, ""
}

// fitting returns the first key whose MAC is among the given ones, or -1.
func fitting(keys, given [][]byte, mac func(key []byte) []byte) int {
	for i, key := range keys {
		want := mac(key)
		for _, g := range given {
			if hmac.Equal(want, g) {
				return i
			}
		}
	}
	return -1
}

// sum returns the HMAC-SHA-256 of a message.
func sum(key []byte, message ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, part := range message {
		h.Write(part) // a hash never fails
	}
	return h.Sum(nil)
}

// single returns a header that must be there once.
func single(header http.Header, name string, missing Cause) (value string, cause Cause) {
	switch values := header[name]; {
	case len(values) == 0 || len(values) == 1 && values[0] == "":
		return "", missing
	case len(values) > 1:
		return "", RepeatedHeader
	default:
		return values[0], ""
	}
}
