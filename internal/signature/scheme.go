package signature

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"lockstep/schema"
)

// The words of the map that are used here.
const (
	profileHMAC   = "hmac"
	profileJSON   = "json"
	profileStatic = "static_key"

	plainText = "text"
	inBase64  = "base64"
	whsec     = "whsec"

	hexForm    = "hex"
	base64Form = "base64"
	eitherForm = "either"
)

// presets are the vendors' schemes in the general form. Sources: connectors.md sections 4, 5, 8 and 9.
var presets = map[string]schema.Signature{
	"standard_webhooks": {
		SecretEncoding: whsec, Template: "{id}.{timestamp}.{body}", Header: "webhook-signature", IDHeader: "webhook-id",
		TimestampHeader: "webhook-timestamp", TimestampFormat: seconds, Prefix: "v1,", Encoding: base64Form,
	},
	"zendesk": {
		SecretEncoding: plainText, Template: "{timestamp}{body}", Header: "X-Zendesk-Webhook-Signature",
		TimestampHeader: "X-Zendesk-Webhook-Signature-Timestamp", TimestampFormat: iso8601, Encoding: base64Form,
	},
	"hubspot_v3": {
		SecretEncoding: plainText, Template: "{method}{url}{body}{timestamp}", Header: "X-HubSpot-Signature-v3",
		TimestampHeader: "X-HubSpot-Request-Timestamp", TimestampFormat: milliseconds, Encoding: base64Form,
	},
	"github": {
		SecretEncoding: plainText, Template: "{body}", Header: "X-Hub-Signature-256", Prefix: "sha256=", Encoding: hexForm,
	},
	"slack": {
		SecretEncoding: plainText, Template: "v0:{timestamp}:{body}", Header: "X-Slack-Signature",
		TimestampHeader: "X-Slack-Request-Timestamp", TimestampFormat: seconds, Prefix: "v0=", Encoding: hexForm,
	},
}

// form is where the proof stands.
type form int

const (
	headerForm form = iota
	memberForm
	staticForm
)

// scheme is a source's settings, expanded and checked.
type scheme struct {
	form           form
	covers         Covers
	secretEncoding string
	// header, idHeader and timestampHeader are canonical names.
	header, idHeader, timestampHeader string
	template                          []piece
	timestampFormat                   string
	prefix, encoding                  string
	// list says that the header may hold several signatures between blanks.
	list      bool
	tolerance time.Duration
	anyTime   bool
	member    string
	publicURL string
	// decoded says that the sender signs the URL with some of its escapes resolved.
	decoded bool
}

// compile expands and checks a source's settings.
func compile(source schema.Signature) (scheme, error) {
	settings, err := expand(source)
	if err != nil {
		return scheme{}, err
	}
	s := scheme{
		secretEncoding: or(settings.SecretEncoding, plainText),
		header:         http.CanonicalHeaderKey(settings.Header),
		prefix:         settings.Prefix,
		encoding:       or(settings.Encoding, eitherForm),
		publicURL:      settings.PublicURL,
		decoded:        settings.Profile == "hubspot_v3" && settings.PublicURL == "",
		list:           settings.Profile == "standard_webhooks" || settings.Profile == profileHMAC,
	}
	switch {
	case !oneOf(s.secretEncoding, plainText, inBase64, whsec):
		return scheme{}, wrong("secret_encoding", "is text, base64 or whsec")
	case !oneOf(s.encoding, hexForm, base64Form, eitherForm):
		return scheme{}, wrong("encoding", "is hex, base64 or either")
	}
	switch settings.Profile {
	case profileStatic:
		err = s.static(settings)
	case profileJSON:
		err = s.inMember(settings)
	default:
		err = s.inHeader(settings)
	}
	if err != nil {
		return scheme{}, err
	}
	return s, nil
}

// expand fills in what the preset gives. A setting that says otherwise is a contradiction, not an override.
func expand(source schema.Signature) (schema.Signature, error) {
	if oneOf(source.Profile, profileHMAC, profileJSON, profileStatic) {
		return source, nil
	}
	preset, known := presets[source.Profile]
	if !known {
		return source, wrong("profile", "is standard_webhooks, zendesk, hubspot_v3, github, slack, hmac, json or static_key")
	}
	for _, field := range []struct {
		name      string
		own, want *string
	}{
		{"secret_encoding", &source.SecretEncoding, &preset.SecretEncoding},
		{"template", &source.Template, &preset.Template},
		{"header", &source.Header, &preset.Header},
		{"id_header", &source.IDHeader, &preset.IDHeader},
		{"timestamp_header", &source.TimestampHeader, &preset.TimestampHeader},
		{"timestamp_format", &source.TimestampFormat, &preset.TimestampFormat},
		{"prefix", &source.Prefix, &preset.Prefix},
		{"encoding", &source.Encoding, &preset.Encoding},
	} {
		if *field.own != "" && *field.own != *field.want {
			return source, wrong(field.name, "is set by profile "+source.Profile+"; use profile hmac to choose it yourself")
		}
		*field.own = *field.want
	}
	return source, nil
}

// static checks the settings of a static key.
func (s *scheme) static(settings schema.Signature) error {
	s.form = staticForm
	switch {
	case settings.Header == "":
		return wrong("header", "is needed: it carries the key")
	case !isHeader(s.header):
		return wrong("header", "is not a header name")
	case s.secretEncoding != plainText:
		return wrong("secret_encoding", "is text for a static key: the header holds it as it stands")
	case settings.Encoding != "":
		return wrong("encoding", "has no meaning for a static key")
	}
	return needsNone(settings, "template", "id_header", "timestamp_header", "timestamp_format", "member", "public_url", "tolerance")
}

// inMember checks the settings of a signature inside the body.
func (s *scheme) inMember(settings schema.Signature) error {
	s.form, s.covers, s.member = memberForm, Covers{Body: true}, or(settings.Member, "signature")
	return needsNone(settings, "header", "template", "id_header", "timestamp_header", "timestamp_format", "public_url", "tolerance")
}

// inHeader checks the settings of the general form.
func (s *scheme) inHeader(settings schema.Signature) error {
	switch {
	case settings.Header == "":
		return wrong("header", "is needed: it carries the signature")
	case settings.Template == "":
		return wrong("template", "is needed: it says what is signed")
	}
	var err error
	if s.template, s.covers, err = parseTemplate(settings.Template); err != nil {
		return err
	}
	s.idHeader, s.timestampHeader = http.CanonicalHeaderKey(settings.IDHeader), http.CanonicalHeaderKey(settings.TimestampHeader)
	s.timestampFormat = or(settings.TimestampFormat, seconds)
	for _, h := range []struct {
		name, header string
		covered      bool
		part         string
	}{
		{"id_header", s.idHeader, s.covers.ID, "{id}"},
		{"timestamp_header", s.timestampHeader, s.covers.Timestamp, "{timestamp}"},
	} {
		switch {
		case h.covered && h.header == "":
			return wrong(h.name, "is needed: the template has "+h.part)
		case !h.covered && h.header != "":
			return wrong(h.name, "is set, but the template has no "+h.part+": what is not signed is not read")
		}
	}
	seen := map[string]bool{}
	for _, header := range []string{s.header, s.idHeader, s.timestampHeader} {
		if header != "" && (seen[header] || !isHeader(header)) {
			return wrong("header", "names and the other headers' are header names, each its own")
		}
		seen[header] = true
	}
	unused := []string{"member"}
	if !s.covers.Timestamp {
		unused = append(unused, "tolerance", "timestamp_format")
	}
	if !s.covers.URL {
		unused = append(unused, "public_url")
	}
	if !oneOf(s.timestampFormat, seconds, milliseconds, iso8601) {
		return wrong("timestamp_format", "is s, ms or iso8601")
	}
	s.tolerance, s.anyTime = settings.Tolerance.Or(defaultTolerance)
	if s.tolerance < 0 {
		return wrong("tolerance", "is a span of time")
	}
	return needsNone(settings, unused...)
}

// needsNone refuses settings that the profile does not use: whoever wrote them believes that they do something.
func needsNone(settings schema.Signature, names ...string) error {
	set := map[string]bool{
		"header": settings.Header != "", "template": settings.Template != "", "id_header": settings.IDHeader != "",
		"timestamp_header": settings.TimestampHeader != "", "timestamp_format": settings.TimestampFormat != "",
		"member": settings.Member != "", "public_url": settings.PublicURL != "", "tolerance": settings.Tolerance.Span != 0,
	}
	for _, name := range names {
		if set[name] {
			return wrong(name, "has no meaning here")
		}
	}
	return nil
}

// maxSignatures is how many signatures one header may hold; senders send one for each live secret.
const maxSignatures = 16

// signatures returns the MACs that a header or member holds. Other versions than the scheme's are passed over.
func (s *scheme) signatures(value string) (macs [][]byte, cause Cause) {
	entries := []string{value}
	if s.list {
		entries = strings.Split(value, " ")
	}
	if len(entries) > maxSignatures {
		return nil, MalformedSignature
	}
	for _, entry := range entries {
		text, ok := strings.CutPrefix(entry, s.prefix)
		if !ok {
			continue
		}
		if mac, ok := decodeMAC(s.encoding, text); ok {
			macs = append(macs, mac)
		}
	}
	if len(macs) == 0 {
		return nil, MalformedSignature
	}
	return macs, ""
}

const (
	macSize    = 32
	hexSize    = 64
	base64Size = 44
)

// decodeMAC returns the 32 bytes that a signature spells. Its length tells hex from base64.
func decodeMAC(encoding, text string) (mac []byte, ok bool) {
	var err error
	switch {
	case len(text) == hexSize && encoding != base64Form:
		mac, err = hex.DecodeString(text)
	case len(text) == base64Size && encoding != hexForm:
		mac, err = base64.StdEncoding.Strict().DecodeString(text)
	default:
		return nil, false
	}
	return mac, err == nil && len(mac) == macSize
}

// wrong says which setting is wrong.
func wrong(field, rule string) error { return fmt.Errorf("signature: %s %s", field, rule) }

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

func oneOf(value string, allowed ...string) bool {
	for _, a := range allowed {
		if value == a {
			return true
		}
	}
	return false
}

// isHeader reports whether a name can be a header's (RFC 9110, token).
func isHeader(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"(),/:;<=>?@[\\]{}", c) >= 0 {
			return false
		}
	}
	return name != ""
}
