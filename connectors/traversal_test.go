package connectors_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"lockstep/connectors"
	"lockstep/connectors/connectortest"
)

// A24: no argument changes the shape of a path.
func TestA24Traversal(t *testing.T) {
	shape := regexp.MustCompile(`^/sobjects/[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$`)
	payloads := connectortest.Traversals()
	if len(payloads) < 1500 {
		t.Fatalf("only %d payloads", len(payloads))
	}
	sent := 0
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		sent++
		if !shape.MatchString(r.URL.EscapedPath()) || r.URL.RawQuery != "" {
			t.Errorf("the path became %s", r.URL.EscapedPath())
		}
	}))
	defer server.Close()
	transport, err := connectors.NewTransport(connectors.TransportConfig{
		System: "crm", Hosts: []string{strings.TrimPrefix(server.URL, "http://")}, AllowLoopback: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer transport.Close()
	for _, payload := range append(payloads, "plain") {
		_, err := transport.Do(t.Context(), connectors.Request{
			Method: http.MethodGet, Base: server.URL, Route: "/sobjects/{object}/{id}", Args: []string{"Contact", payload},
		})
		if err != nil && len(payload) > 4 && strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), payload) {
			t.Errorf("the failure quotes %q", payload)
		}
	}
	if sent == 0 {
		t.Error("the test proves nothing")
	}
	t.Logf("%d payloads, %d of them harmless enough to be sent", len(payloads), sent)
}
