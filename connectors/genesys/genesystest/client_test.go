package genesystest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// exchange writes a request byte by byte as a client sent it and reads the answer. {host}, {token} and {length} are
// filled in; the lines of the head end in CRLF on the wire.
func (o *org) exchange(t *testing.T, to, head, body string) reply {
	t.Helper()
	at, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", at.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	head = strings.NewReplacer("{host}", at.Host, "{token}", o.token, "{length}", fmt.Sprint(len(body)), "\n", "\r\n").
		Replace(strings.TrimSpace(head))
	if _, err := io.WriteString(conn, head+"\r\nConnection: close\r\n\r\n"+body); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, string(answer)}
}

// Requests that purecloud-platform-client-v2 262.0.0 was seen to send.
func TestPlatformClientRequests(t *testing.T) {
	o := start(t, Options{})
	source := o.source(t, "src1")
	id := o.made(t, obj{"firstName": "Ada", "workPhone": obj{"e164": "+13175550100"}, "externalIds": []any{xid(source, "003xx")}})
	o.Put("Conversation", obj{"id": "v1", "participants": []any{obj{"id": "p1"}}})
	r := o.exchange(t, o.LoginURL, `
POST /oauth/token HTTP/1.1
Accept: application/json, text/plain, */*
Content-Type: application/x-www-form-urlencoded
Authorization: Basic MmE5ZTZmMGMtNWIxZC00YzUzLThkMGUtNmY3YTFiMmMzZDRlOnNpbXVsYXRlZC1jbGllbnQtc2VjcmV0
Content-Length: {length}
Host: {host}`, "grant_type=client_credentials")
	if r.status != 200 || r.at(t, "expires_in") != 86399.0 {
		t.Fatalf("token: %d %s", r.status, r.body)
	}
	// The SDK names a media type on every request, GET included.
	const head = `
Accept: application/json
Content-Type: application/json
Authorization: Bearer {token}
purecloud-sdk: 262.0.0
Content-Length: {length}
Host: {host}`
	for name, c := range map[string]struct {
		line, body string
		status     int
		part       string
	}{
		"enrich":     {"POST /api/v2/externalcontacts/contacts/enrich?dryRun=false", `{"matchingIdentifiers":[{"type":"ExternalId","value":"003xx","externalSource":{"id":"` + source + `"}}],"action":"Upsert","contact":{"firstName":"Ada"}}`, 200, id},
		"look-up":    {"POST /api/v2/externalcontacts/identifierlookup/contacts?expand=externalOrganization,identifiers", `{"type":"Phone","value":"+13175550100"}`, 200, `"identifiers":[`},
		"reverse":    {"GET /api/v2/externalcontacts/reversewhitepageslookup?lookupVal=%2B13175550100&expand=contacts.externalOrganization", "", 200, id},
		"wrap-up":    {"POST /api/v2/conversations/calls/v1/participants/p1/communications/s1/wrapup", `{"code":"wc1","notes":"done","durationSeconds":12}`, 202, ""},
		"sources":    {"GET /api/v2/externalcontacts/externalsources?name=src", "", 200, source},
		"get":        {"GET /api/v2/externalcontacts/contacts/" + id + "?expand=externalSources,identifiers", "", 200, `"name":"src1"`},
		"patch":      {"PATCH /api/v2/externalcontacts/contacts/" + id, `{"changes":[{"field":"$.title","value":"Countess","action":"Update"}]}`, 200, `"title":"Countess"`},
		"bulk read":  {"POST /api/v2/externalcontacts/bulk/contacts", `{"entities":[{"id":"` + id + `"},{"id":"nope"}]}`, 200, `"errorIndexes":[1]`},
		"search":     {"GET /api/v2/externalcontacts/contacts?pageSize=2&q=ada", "", 200, `"total":1`},
		"scan":       {"GET /api/v2/externalcontacts/scan/contacts?limit=10", "", 200, id},
		"queues":     {"GET /api/v2/routing/queues?name=Sup*&id=" + DefaultQueueID + ",x", "", 200, `"total":1`},
		"no content": {"POST /api/v2/notifications/channels", "", 501, "not.simulated"},
		"user":       {"GET /api/v2/users/me", "", 400, "not.a.user"},
	} {
		r := o.exchange(t, o.URL, c.line+" HTTP/1.1"+head, c.body)
		if r.status != c.status || !strings.Contains(r.body, c.part) {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
}
