package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"io"
	"strings"
)

// piece is a part of a template: a placeholder, or text as it stands.
type piece struct {
	name    string
	literal string
}

// parts are what the placeholders stand for in one request.
type parts struct {
	method, url, id, timestamp string
	body                       []byte
}

// parseTemplate reads a template such as `v0:{timestamp}:{body}`.
func parseTemplate(template string) (pieces []piece, covers Covers, err error) {
	placeholders := map[string]*bool{
		"method": &covers.Method, "url": &covers.URL, "id": &covers.ID, "timestamp": &covers.Timestamp, "body": &covers.Body,
	}
	for rest := template; rest != ""; {
		literal, after, found := strings.Cut(rest, "{")
		if strings.Contains(literal, "}") {
			return nil, Covers{}, wrong("template", "has a } without its {")
		}
		if literal != "" {
			pieces = append(pieces, piece{literal: literal})
		}
		if !found {
			break
		}
		name, next, found := strings.Cut(after, "}")
		used, known := placeholders[name]
		switch {
		case !found || !known:
			return nil, Covers{}, wrong("template", "knows {method} {url} {id} {timestamp} {body} and no other braces")
		case *used:
			return nil, Covers{}, wrong("template", "has {"+name+"} twice")
		}
		*used = true
		pieces = append(pieces, piece{name: name})
		rest = next
	}
	switch {
	case !covers.Body:
		return nil, Covers{}, wrong("template", "has no {body}: whatever is not signed can be changed")
	case !bounded(pieces):
		return nil, Covers{}, wrong("template", "needs a character such as . or : on each side of {id}, one that ids do not hold")
	}
	return pieces, covers, nil
}

// bounded reports whether the template shows where the id begins and ends.
func bounded(pieces []piece) bool {
	for i, p := range pieces {
		if p.name != "id" {
			continue
		}
		if i > 0 {
			before := pieces[i-1].literal
			if before == "" || isIDByte(before[len(before)-1]) {
				return false
			}
		}
		if i < len(pieces)-1 {
			after := pieces[i+1].literal
			if after == "" || isIDByte(after[0]) {
				return false
			}
		}
	}
	return true
}

// mac returns the MAC of a request under a key, without putting the signed string together first.
func (s *scheme) mac(key []byte, request parts) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range s.template {
		switch p.name { // a hash never fails
		case "body":
			h.Write(request.body)
		case "method":
			_, _ = io.WriteString(h, request.method)
		case "url":
			_, _ = io.WriteString(h, request.url)
		case "id":
			_, _ = io.WriteString(h, request.id)
		case "timestamp":
			_, _ = io.WriteString(h, request.timestamp)
		default:
			_, _ = io.WriteString(h, p.literal)
		}
	}
	return h.Sum(nil)
}

const maxID = 128

// isID reports whether an id is 1 to 128 of [A-Za-z0-9_-]. The dot is out because Standard Webhooks puts one between id
// and timestamp (reliability, trap 5).
func isID(id string) bool {
	for i := range len(id) {
		if !isIDByte(id[i]) {
			return false
		}
	}
	return id != "" && len(id) <= maxID
}

func isIDByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}

// url returns the URL that the sender signed.
func (s *scheme) url(called string) string {
	if s.publicURL != "" {
		return s.publicURL
	}
	if s.decoded {
		return hubspotEscapes.Replace(called)
	}
	return called
}

// hubspotEscapes are those that HubSpot resolves before it signs the URL (HubSpot, Validating requests, v3).
var hubspotEscapes = strings.NewReplacer(
	"%3A", ":", "%2F", "/", "%3F", "?", "%40", "@", "%21", "!", "%24", "$",
	"%27", "'", "%28", "(", "%29", ")", "%2A", "*", "%2C", ",", "%3B", ";",
	"%3a", ":", "%2f", "/", "%3f", "?", "%2a", "*", "%2c", ",", "%3b", ";",
)

// isURL reports whether a URL is absolute and shows where it begins and ends: printable ASCII without blanks.
func isURL(url string) bool {
	for i := range len(url) {
		if url[i] <= ' ' || url[i] >= 0x7f {
			return false
		}
	}
	return strings.HasPrefix(url, "https://") || strings.HasPrefix(url, "http://")
}
