package simulators

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"lockstep/internal/loopback"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sample(t *testing.T) Config {
	t.Helper()
	ports, err := loopback.Ports(6)
	if err != nil {
		t.Fatal(err)
	}
	at := func(i int) string { return "127.0.0.1:" + strconv.Itoa(ports[i]) }
	return Config{
		"salesforce": {
			Kind: "salesforce", Listen: at(0), LoginListen: at(1), ControlListen: at(2), ClientID: "id", ClientSecret: "secret",
			ExternalIDField: "Ext_Id__c", Source: "salesforce", WebhookURL: "http://127.0.0.1:1/webhooks/salesforce",
			WebhookSecret: "whsec_bG9ja3N0ZXAtZGVtby1sb2Nrc3RlcC1kZW1v",
		},
		"genesys": {
			Kind: "genesys", Listen: at(3), LoginListen: at(4), ControlListen: at(5), ClientID: "id", ClientSecret: "secret",
			ExternalIDField: "externalIds.lockstep", Source: "genesys", WebhookURL: "http://127.0.0.1:1/webhooks/genesys",
			WebhookSecret: "key", WebhookHeader: "X-Api-Key",
		},
	}
}

func TestEverySystemGrantsAndServes(t *testing.T) {
	config := sample(t)
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- Serve(ctx, config, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	form := strings.NewReader(url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"id"}, "client_secret": {"secret"},
	}.Encode())
	for _, c := range []struct {
		method, url, kind string
		body              *strings.Reader
		want              int
	}{
		{http.MethodPost, "http://" + config["salesforce"].Listen + "/services/oauth2/token", "application/x-www-form-urlencoded", form, 200},
		{http.MethodGet, "http://" + config["salesforce"].ControlListen + "/webhooks", "", nil, 200},
		{http.MethodGet, "http://" + config["genesys"].ControlListen + "/webhooks", "", nil, 200},
		{http.MethodGet, "http://" + config["genesys"].Listen + "/api/v2/externalcontacts/contacts", "", nil, 401},
	} {
		body := c.body
		if body == nil {
			body = strings.NewReader("")
		}
		req, err := http.NewRequestWithContext(t.Context(), c.method, c.url, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", c.kind)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != c.want {
			t.Errorf("%s %s answers %d, want %d", c.method, c.url, resp.StatusCode, c.want)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestServeRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for name, spoil := range map[string]func(*System){
		"no simulator of kind": func(s *System) { s.Kind = "siebel" },
		"address already in":   func(s *System) { s.ControlListen = taken.Addr().String() },
		"genesys.ClientSecret": func(s *System) { s.ClientSecret = "" },
	} {
		config := sample(t)
		system := config["genesys"]
		spoil(&system)
		config["genesys"] = system
		err := Serve(t.Context(), config, func() { t.Errorf("%s: ready", name) })
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one with %q", err, name)
		}
	}
	if err := Serve(t.Context(), nil, func() {}); err == nil {
		t.Error("serves nothing")
	}
}

func TestConfigRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "simulators.json")
	want := sample(t)
	if err := want.Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
