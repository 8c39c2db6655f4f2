package salesforcetest

import (
	"bufio"
	"bytes"
	"compress/gzip"
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
func (o *org) exchange(t *testing.T, head, body string) reply {
	t.Helper()
	at, err := url.Parse(o.URL)
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

// Requests that jsforce 3.10.16 was seen to send.
func TestJsforceRequests(t *testing.T) {
	o := start(t, Options{})
	o.Put("Account", map[string]any{"Name": "Acme", "Ext_Id__c": "A1"})
	// The token request has no length: its body is chunked.
	form := "grant_type=client_credentials&client_id=" + DefaultClientID + "&client_secret=" + DefaultClientSecret
	r := o.exchange(t, `
POST /services/oauth2/token HTTP/1.1
content-type: application/x-www-form-urlencoded
Accept: */*
Host: {host}
Transfer-Encoding: chunked`, fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(form), form))
	if r.status != 200 || r.at(t, "token_type") != "Bearer" {
		t.Fatalf("token: %d %s", r.status, r.body)
	}
	const head = `
content-type: application/json
Authorization: Bearer {token}
Sforce-Call-Options: client=lockstep
content-length: {length}
Accept: */*
Host: {host}`
	for name, c := range map[string]struct {
		line, body string
		status     int
		part       string
	}{
		"create": {"POST /services/data/v62.0/sobjects/Account", `{"Name":"Acme","AnnualRevenue":350000000}`, 201, `"success":true`},
		// The slash of the value `NEW 1/a` is not escaped.
		"upsert, slash":        {"PATCH /services/data/v62.0/sobjects/Account/Ext_Id__c/NEW%201/a", `{"Name":"Acme"}`, 404, "NOT_FOUND"},
		"upsert":               {"PATCH /services/data/v62.0/sobjects/Account/Ext_Id__c/NEW%201", `{"Name":"X"}`, 201, `"created":true`},
		"upsert many":          {"PATCH /services/data/v62.0/composite/sobjects/Account/Ext_Id__c", `{"allOrNone":false,"records":[{"Ext_Id__c":"A1","attributes":{"type":"Account"},"Name":"Z"}]}`, 200, `"created":false`},
		"update many, id":      {"PATCH /services/data/v62.0/composite/sobjects", `{"allOrNone":false,"records":[{"id":"001xx0000000001AAA","attributes":{"type":"Account"},"Name":"Acme 3"}]}`, 200, `"id":"001xx0000000001AAA","success":true`},
		"create many, related": {"POST /services/data/v62.0/composite/sobjects", `{"allOrNone":false,"records":[{"attributes":{"type":"Contact"},"LastName":"Byron","Account":{"Ext_Id__c":"A1"}},{"attributes":{"type":"Contact"},"FirstName":"x"}]}`, 200, `"statusCode":"REQUIRED_FIELD_MISSING"`},
		"retrieve many":        {"POST /services/data/v62.0/composite/sobjects/Account", `{"ids":["001xx0000000001AAA","001xx0000000009AAA"],"fields":["Id","Name"]}`, 200, `,null]`},
		"query":                {"GET /services/data/v62.0/query?q=SELECT%20Id%20FROM%20Account%20WHERE%20(Ext_Id__c%20%3D%20%27A1%27%20OR%20Name%20%3D%20null)%20AND%20Phone%20%3D%20null%20ORDER%20BY%20Name%20DESC%20LIMIT%205", "", 200, `"totalSize":1`},
		"updated":              {"GET /services/data/v62.0/sobjects/Account/updated?start=2026-01-01T00%3A00%3A00%2B00%3A00&end=2026-01-01T01%3A00%3A00%2B00%3A00", "", 400, "INVALID_REPLICATION_DATE"}, // more than 30 days ago
		"delete many":          {"DELETE /services/data/v62.0/composite/sobjects?ids=001xx0000000099AAA,x&allOrNone=true", "", 200, `"success":false`},
	} {
		r := o.exchange(t, c.line+" HTTP/1.1"+head, c.body)
		if r.status != c.status || !strings.Contains(r.body, c.part) {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
}

// Requests that go-salesforce v3.1.0 was seen to send, with its compression on.
func TestGoSalesforceRequests(t *testing.T) {
	o := start(t, Options{})
	const head = `
Host: {host}
User-Agent: go-salesforce
Content-Length: {length}
Accept: application/json
Accept-Encoding: gzip
Authorization: Bearer {token}
Content-Encoding: gzip
Content-Type: application/json`
	o.Put("Contact", map[string]any{"LastName": "O'Neil", "Phone": "+1 317"})
	for _, c := range []struct {
		line, body string
		status     int
		part       string
	}{
		{"GET /services/data/v63.0/limits", "", 200, "DailyApiRequests"},
		{"PATCH /services/data/v63.0/sobjects/Account/Ext_Id__c/G1", `{"Name":"Acme","attributes":{"type":"Account"}}`, 201, `"created":true`},
		{"PATCH /services/data/v63.0/sobjects/Account/Ext_Id__c/E%201/2", `{"Name":"Acme","attributes":{"type":"Account"}}`, 404, "NOT_FOUND"},
		{"POST /services/data/v63.0/composite/sobjects/", `{"allOrNone":false,"records":[{"LastName":"L1","attributes":{"type":"Contact"}},{"FirstName":"no","attributes":{"type":"Contact"}}]}`, 200, "REQUIRED_FIELD_MISSING"},
		{"POST /services/data/v63.0/composite", `{"allOrNone":true,"compositeRequest":[{"body":{"allOrNone":true,"records":[{"Name":"c1","attributes":{"type":"Account"}}]},"method":"POST","url":"/services/data/v63.0/composite/sobjects","referenceId":"refObj0"}]}`, 200, `"httpStatusCode":200,"referenceId":"refObj0"`},
		{"GET /services/data/v63.0/query/?q=SELECT+Id%2C+LastName+FROM+Contact+WHERE+Phone+%3D+%27%2B1+317%27", "", 200, `"totalSize":1`},
		{"GET /services/data/v63.0/query/?q=SELECT+Id+FROM+Contact+WHERE+LastName+%3D+%27O%5C%27Neil%27", "", 200, `"totalSize":1`},
		{"DELETE /services/data/v63.0/composite/sobjects/?ids=003xx0000000001AAA&allOrNone=false", "", 200, `"success":true`},
		{"DELETE /services/data/v63.0/sobjects/Contact/003xx0000000002AAA", "", 204, ""},
	} {
		var zipped bytes.Buffer
		if c.body != "" {
			z := gzip.NewWriter(&zipped)
			if _, err := io.WriteString(z, c.body); err != nil {
				t.Fatal(err)
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
		}
		r := o.exchange(t, c.line+" HTTP/1.1"+head, zipped.String())
		if r.status != c.status || !strings.Contains(r.body, c.part) {
			t.Errorf("%s: %d %s", c.line, r.status, r.body)
		}
	}
}
