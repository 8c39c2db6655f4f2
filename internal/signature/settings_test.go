package signature

import (
	"strings"
	"testing"
	"time"

	"lockstep/schema"
)

func TestSettingsThatContradictThemselves(t *testing.T) {
	hmac := func(change func(*schema.Signature)) schema.Signature {
		s := schema.Signature{Profile: "hmac", Template: "{id}.{timestamp}.{body}", Header: "X-Sig", IDHeader: "X-Id", TimestampHeader: "X-Time"}
		change(&s)
		return s
	}
	span := schema.Tolerance{Span: time.Minute}
	for name, c := range map[string]struct {
		source schema.Signature
		field  string
	}{
		"no profile":                         {schema.Signature{}, "profile"},
		"unknown profile":                    {schema.Signature{Profile: "stripe"}, "profile"},
		"hubspot v1":                         {schema.Signature{Profile: "hubspot_v1"}, "profile"},
		"hubspot v2":                         {schema.Signature{Profile: "hubspot_v2"}, "profile"},
		"unknown secret encoding":            {schema.Signature{Profile: "json", SecretEncoding: "hex"}, "secret_encoding"},
		"unknown encoding":                   {schema.Signature{Profile: "json", Encoding: "base32"}, "encoding"},
		"preset with another template":       {schema.Signature{Profile: "slack", Template: "{body}"}, "template"},
		"preset with another header":         {schema.Signature{Profile: "github", Header: "X-Other"}, "header"},
		"preset with another prefix":         {schema.Signature{Profile: "github", Prefix: "sha1="}, "prefix"},
		"preset with another encoding":       {schema.Signature{Profile: "github", Encoding: "base64"}, "encoding"},
		"preset with an id header":           {schema.Signature{Profile: "github", IDHeader: "X-GitHub-Delivery"}, "id_header"},
		"preset with a timestamp header":     {schema.Signature{Profile: "github", TimestampHeader: "X-Time"}, "timestamp_header"},
		"preset with another format":         {schema.Signature{Profile: "slack", TimestampFormat: "ms"}, "timestamp_format"},
		"preset with another secret":         {schema.Signature{Profile: "zendesk", SecretEncoding: "base64"}, "secret_encoding"},
		"preset with a member":               {schema.Signature{Profile: "slack", Member: "signature"}, "member"},
		"tolerance without a time":           {schema.Signature{Profile: "github", Tolerance: span}, "tolerance"},
		"public url that nobody signs":       {schema.Signature{Profile: "slack", PublicURL: "https://a.example"}, "public_url"},
		"hmac without template":              {hmac(func(s *schema.Signature) { s.Template = "" }), "template"},
		"hmac without header":                {hmac(func(s *schema.Signature) { s.Header = "" }), "header"},
		"template without body":              {hmac(func(s *schema.Signature) { s.Template = "{id}.{timestamp}" }), "template"},
		"template with a placeholder twice":  {hmac(func(s *schema.Signature) { s.Template = "{id}.{timestamp}.{body}{body}" }), "template"},
		"template with an unknown name":      {hmac(func(s *schema.Signature) { s.Template = "{id}.{nonce}.{body}" }), "template"},
		"template with an open brace":        {hmac(func(s *schema.Signature) { s.Template = "{id}.{timestamp}.{body}{" }), "template"},
		"template with a brace unopened":     {hmac(func(s *schema.Signature) { s.Template = "{id}.{timestamp}.{body}}" }), "template"},
		"template with other case":           {hmac(func(s *schema.Signature) { s.Template = "{ID}.{timestamp}.{body}" }), "template"},
		"id against timestamp":               {hmac(func(s *schema.Signature) { s.Template = "{id}{timestamp}.{body}" }), "template"},
		"timestamp against id":               {hmac(func(s *schema.Signature) { s.Template = "{timestamp}{id}.{body}" }), "template"},
		"id against body":                    {hmac(func(s *schema.Signature) { s.Template = "{timestamp}.{id}{body}" }), "template"},
		"body against id":                    {hmac(func(s *schema.Signature) { s.Template = "{timestamp}.{body}{id}" }), "template"},
		"id behind a letter":                 {hmac(func(s *schema.Signature) { s.Template = "{timestamp}.v{id}.{body}" }), "template"},
		"id before a dash":                   {hmac(func(s *schema.Signature) { s.Template = "{id}-{timestamp}.{body}" }), "template"},
		"id without header":                  {hmac(func(s *schema.Signature) { s.IDHeader = "" }), "id_header"},
		"timestamp without header":           {hmac(func(s *schema.Signature) { s.TimestampHeader = "" }), "timestamp_header"},
		"id header that nobody signs":        {hmac(func(s *schema.Signature) { s.Template = "{timestamp}.{body}" }), "id_header"},
		"timestamp header that nobody signs": {hmac(func(s *schema.Signature) { s.Template = "{id}.{body}" }), "timestamp_header"},
		"format of a time that nobody signs": {schema.Signature{Profile: "hmac", Template: "{body}", Header: "X-Sig", TimestampFormat: "s"}, "timestamp_format"},
		"unknown format":                     {hmac(func(s *schema.Signature) { s.TimestampFormat = "rfc1123" }), "timestamp_format"},
		"one header for two things":          {hmac(func(s *schema.Signature) { s.IDHeader = "x-sig" }), "header"},
		"one header for two other things":    {hmac(func(s *schema.Signature) { s.TimestampHeader = "x-id" }), "header"},
		"a header that is none":              {hmac(func(s *schema.Signature) { s.Header = "X Sig" }), "header"},
		"an id header that is none":          {hmac(func(s *schema.Signature) { s.IDHeader = "X-Id:" }), "header"},
		"hmac with a member":                 {hmac(func(s *schema.Signature) { s.Member = "sig" }), "member"},
		"negative tolerance":                 {hmac(func(s *schema.Signature) { s.Tolerance.Span = -1 }), "tolerance"},
		"json with a header":                 {schema.Signature{Profile: "json", Header: "X-Sig"}, "header"},
		"json with a template":               {schema.Signature{Profile: "json", Template: "{body}"}, "template"},
		"json with an id header":             {schema.Signature{Profile: "json", IDHeader: "X-Id"}, "id_header"},
		"json with a tolerance":              {schema.Signature{Profile: "json", Tolerance: span}, "tolerance"},
		"static key without header":          {schema.Signature{Profile: "static_key"}, "header"},
		"static key with a bad header":       {schema.Signature{Profile: "static_key", Header: "X:Key"}, "header"},
		"static key with a template":         {schema.Signature{Profile: "static_key", Header: "X-Key", Template: "{body}"}, "template"},
		"static key in base64":               {schema.Signature{Profile: "static_key", Header: "X-Key", SecretEncoding: "base64"}, "secret_encoding"},
		"static key with an encoding":        {schema.Signature{Profile: "static_key", Header: "X-Key", Encoding: "hex"}, "encoding"},
		"static key with a tolerance":        {schema.Signature{Profile: "static_key", Header: "X-Key", Tolerance: span}, "tolerance"},
	} {
		secrets := func() ([][]byte, error) { return [][]byte{[]byte(strings.Repeat("x", 32))}, nil }
		_, err := New(c.source, secrets, atNoon)
		if err == nil || !strings.HasPrefix(err.Error(), "signature: "+c.field+" ") {
			t.Errorf("%s: %v, want a word about %s", name, err, c.field)
		}
		if _, covered := Covered(c.source); covered == nil || covered.Error() != err.Error() {
			t.Errorf("%s: Covered says %v", name, covered)
		}
	}
	for name, source := range map[string]schema.Signature{
		"preset that repeats itself":  {Profile: "slack", Header: "X-Slack-Signature", Template: "v0:{timestamp}:{body}", Prefix: "v0=", Encoding: "hex", SecretEncoding: "text", TimestampFormat: "s"},
		"no time, and no limit to it": {Profile: "github", Tolerance: schema.Tolerance{None: true}},
		"json without a limit":        {Profile: "json", Tolerance: schema.Tolerance{None: true}},
		"id first":                    hmac(func(s *schema.Signature) { s.Template = "{id}:{timestamp}{body}" }),
		"id last":                     hmac(func(s *schema.Signature) { s.Template = "{timestamp}{body}:{id}" }),
		"static key":                  {Profile: "static_key", Header: "X-Key"},
	} {
		if _, err := Covered(source); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
