package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/localpg/localpgtest"
	"lockstep/schema"
)

// empty is the address of a database without our tables.
func empty(t *testing.T) string { return localpgtest.Database(t) }

// serving is a process that serves.
type serving struct {
	t             *testing.T
	intake, admin string
	out, logs     output
	stop          context.CancelFunc
	ended         chan error
	client        *http.Client
}

var readyLine = regexp.MustCompile(`ready admin=(\S+) intake=(\S+)`)

func serve(t *testing.T, config Config) *serving {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	transport := &http.Transport{}
	s := &serving{t: t, stop: stop, ended: make(chan error, 1), client: &http.Client{Transport: transport, Timeout: 10 * time.Second}}
	go func() { s.ended <- Serve(ctx, config, []string{RoleIntake}, &s.out, &s.logs) }()
	t.Cleanup(transport.CloseIdleConnections)
	t.Cleanup(stop)
	s.await("the ready line", func() bool {
		select {
		case err := <-s.ended:
			t.Fatalf("%v: %s", err, s.logs.String())
		default:
		}
		m := readyLine.FindStringSubmatch(s.out.String())
		if m != nil {
			s.admin, s.intake = m[1], m[2]
		}
		return m != nil
	})
	return s
}

func (s *serving) await(what string, holds func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			s.t.Fatalf("waited in vain for %s: %s", what, s.logs.String())
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *serving) get(url string) (status int, body string, header http.Header, err error) {
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return 0, "", nil, err
	}
	return s.do(req)
}

func (s *serving) do(req *http.Request) (status int, body string, header http.Header, err error) {
	res, err := s.client.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), res.Header, err
}

// post sends a contact event of Genesys.
func (s *serving) post(id string) (status int, body string, err error) {
	event := fmt.Sprintf(`{"detail-type":"x","detail":{"topicName":"v2.externalcontacts.contacts.{id}","eventBody":{"id":%q,"modifyDate":"2026-01-02T03:04:05Z","lastName":"Roe"}}}`, id)
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.intake+"/webhooks/genesys", strings.NewReader(event))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Api-Key", "a key of the tests of the package app")
	status, body, _, err = s.do(req)
	return status, body, err
}

func configOf(t *testing.T) Config {
	t.Helper()
	environment(t, map[string]string{
		"LOCKSTEP_SECRETS": secretsFolder(t), "LOCKSTEP_MAP": shippedMap, "LOCKSTEP_DEMO": "true", "LOCKSTEP_DATABASE_URL": migrated.New(t) + "&role=lockstep_app",
		"LOCKSTEP_LISTEN": "127.0.0.1:0", "LOCKSTEP_ADMIN_LISTEN": "127.0.0.1:0", "LOCKSTEP_STOP": "10s",
	})
	config, err := ReadConfig()
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// The role intake takes webhooks and never calls Temporal (A29); pprof and the numbers are on the admin listener only (B08).
func TestServeIntake(t *testing.T) {
	config := configOf(t)
	temporal, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int64
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for {
			c, err := temporal.Accept()
			if err != nil {
				return
			}
			calls.Add(1)
			_ = c.Close()
		}
	}()
	config.Temporal = temporal.Addr().String()
	s := serve(t, config)
	status, body, err := s.post(schema.NewRandom().String())
	if err != nil || status != http.StatusAccepted {
		t.Fatal(status, body, err)
	}
	var receipt struct{ Receipt string }
	if err := json.Unmarshal([]byte(body), &receipt); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/healthz": `"ok"`, "/readyz": `"ready"`, "/api/v1/stats": `"accepted":1`, "/api/v1/events/" + receipt.Receipt: `"state":"new"`,
		"/metrics": `lockstep_events_total{reason="none",result="accepted",source="genesys"} 1`, "/debug/pprof/": "goroutine",
	} {
		status, body, header, err := s.get("http://" + s.admin + path)
		if err != nil || status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d, %v; want %q in\n%.300s", path, status, err, want, body)
		}
		if header.Get("Cache-Control") != "no-store" || header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", path, header)
		}
	}
	for _, path := range []string{"/metrics", "/readyz", "/api/v1/stats", "/debug/pprof/", "/debug/pprof/heap", "/api/v1/events/" + receipt.Receipt} {
		if status, _, _, err := s.get("http://" + s.intake + path); err != nil || status != http.StatusNotFound {
			t.Errorf("%s is open on the intake listener: %d, %v", path, status, err)
		}
	}
	environment(t, map[string]string{"LOCKSTEP_ADMIN_LISTEN": s.admin})
	if code, out, complaints := call("health"); code != ExitFine {
		t.Error(code, out, complaints)
	}
	s.stop()
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
	if calls.Load() != 0 {
		t.Errorf("intake called Temporal %d times", calls.Load())
	}
	if err := temporal.Close(); err != nil {
		t.Error(err)
	}
	<-watched
	for line := range strings.Lines(s.logs.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("a log line that is not JSON: %s", line)
		}
	}
}

// A process that is told to stop is not ready from that moment on, while it still takes what comes; then it ends without
// having failed anybody (E19).
func TestE19_ReadinessTurnsFirst(t *testing.T) {
	s := serve(t, configOf(t))
	if status, _, _, err := s.get("http://" + s.admin + "/readyz"); err != nil || status != http.StatusOK {
		t.Fatal(status, err)
	}
	s.stop()
	turned, taken := false, 0
	for {
		status, _, _, err := s.get("http://" + s.admin + "/readyz")
		turned = turned || err == nil && status == http.StatusServiceUnavailable
		if !turned {
			continue
		}
		status, body, err := s.post(schema.NewRandom().String())
		if errors.Is(err, syscall.ECONNREFUSED) {
			break
		}
		switch {
		case err != nil:
			// Between the close of the listener and the refusal of the next connection lies the backlog of the kernel.
			if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
				t.Error(err)
			}
		case status == http.StatusAccepted:
			taken++
		default:
			t.Errorf("%d %s", status, body)
		}
	}
	if taken < 3 {
		t.Errorf("%d requests were taken after readiness had turned", taken)
	}
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
}

// A port that is taken ends the start with a word about it.
func TestServeOnATakenPort(t *testing.T) {
	config := configOf(t)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	config.Listen = l.Addr().String()
	var out, logs output
	if err := Serve(t.Context(), config, []string{RoleIntake}, &out, &logs); err == nil || !strings.Contains(err.Error(), config.Listen) {
		t.Errorf("%v", err)
	}
}

// A secret that is replaced while the process runs is taken up without a restart.
func TestASecretIsReplacedWhileServing(t *testing.T) {
	config := configOf(t)
	s := serve(t, config)
	path := filepath.Join(config.Secrets, "genesys", "webhook_key")
	if status, body, err := s.post(schema.NewRandom().String()); err != nil || status != http.StatusAccepted {
		t.Fatal(status, body, err)
	}
	for _, secret := range [][]byte{[]byte("quite another key of the tests\n"), []byte("a key of the tests of the package app\n")} {
		draft := path + ".new"
		if err := os.WriteFile(draft, secret, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(draft, path); err != nil {
			t.Fatal(err)
		}
		want := http.StatusUnauthorized
		if bytes.Contains(secret, []byte("package app")) {
			want = http.StatusAccepted
		}
		s.await("the new secret", func() bool {
			status, _, err := s.post(schema.NewRandom().String())
			return err == nil && status == want
		})
	}
	s.stop()
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
}
