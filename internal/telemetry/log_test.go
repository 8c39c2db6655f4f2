package telemetry

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/google/uuid"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.uber.org/goleak"

	"lockstep/internal/strictjson"
	"lockstep/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// buffer is a writer that a test reads from.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// soon returns a context that ends a test that hangs.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// logged returns what is written while use runs.
func logged(t *testing.T, use func(*slog.Logger)) string {
	t.Helper()
	var out buffer
	logger := New("intake", &out, slog.LevelDebug)
	use(logger.Logger)
	if err := logger.Close(soon(t)); err != nil {
		t.Fatal(err)
	}
	if logger.Dropped() != 0 {
		t.Errorf("%d lines dropped", logger.Dropped())
	}
	return out.String()
}

// one returns the only line as a map.
func one(t *testing.T, use func(*slog.Logger)) map[string]any {
	t.Helper()
	out := logged(t, use)
	var line map[string]any
	if err := json.Unmarshal([]byte(out), &line); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return line
}

func TestALineHasWhatMayBeShown(t *testing.T) {
	id := uuid.MustParse("0199f0a1-1b0c-7d57-8b1e-0a6a44a3a5e4")
	line := one(t, func(l *slog.Logger) {
		l.With("source", "crm", "attempt", 1, "secret_thing", "x").WithGroup("g").Info("event refused",
			"event", id, "reason", schema.ReasonBadPhone, "lane", schema.LaneLive, "count", 3, "attempt", 2, "duration", 1500*time.Millisecond,
			"at", time.Date(2026, 11, 20, 13, 0, 0, 0, time.FixedZone("", 3600)), "ok", true, "size", uint32(7), "status", int16(202), "age", "not a duration",
			"workflow_id", "sync/customer/0199f0a1-1b0c-7d57-8b1e-0a6a44a3a5e4/5c0e2a66-1b0c-4d57-9b1e-0a6a44a3a5e4", "listen", "127.0.0.1:8080", "worker", "4711@host-1",
			"detail", "first\nsecond", "remaining", 0.5, "skew", math.NaN(), "email", "a@b.c", "kind", []string{"a", "b"}, slog.Group("inner", "op", schema.OpWrite, "name", "Jane"),
			"error", fmt.Errorf("wrapped: %w", io.EOF), "", "no key", "state", errors.New("looks_like_a_state"), "rev", int64(9))
	})
	want := map[string]any{
		"level": "INFO", "component": "intake", "msg": "event refused", "source": "crm", "attempt": 2.0, "event": id.String(), "reason": "bad_phone", "lane": "live", "count": 3.0,
		"duration": "1.5s", "at": "2026-11-20T12:00:00Z", "ok": true, "size": 7.0, "status": 202.0,
		"workflow_id": "sync/customer/0199f0a1-1b0c-7d57-8b1e-0a6a44a3a5e4/5c0e2a66-1b0c-4d57-9b1e-0a6a44a3a5e4", "listen": "127.0.0.1:8080", "worker": "4711@host-1",
		"detail": "first second", "remaining": 0.5, "kind": "a,b", "op": "write", "error": "EOF", "rev": 9.0, "hidden": 6.0,
	}
	if at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(line["time"])); err != nil || time.Since(at).Abs() > time.Hour {
		t.Errorf("time %v", line["time"])
	}
	delete(line, "time")
	for key, value := range want {
		if line[key] != value {
			t.Errorf("%s is %v, want %v", key, line[key], value)
		}
		delete(line, key)
	}
	if len(line) > 0 {
		t.Errorf("shown beside that: %v", line)
	}
}

func TestLevels(t *testing.T) {
	var out buffer
	var level slog.LevelVar
	logger := New("intake", &out, &level)
	logger.Debug("not yet")
	level.Set(slog.LevelDebug)
	logger.Debug("now")
	level.Set(slog.LevelError)
	logger.Warn("no more")
	if err := logger.Close(soon(t)); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"msg":"now"`) {
		t.Errorf("%s", got)
	}
}

// The canaries of INV-16.
var canaries = map[string]string{
	"card": "4111111111111111", "spread card": "5500 0055 5555 5559", "ssn": "123-45-6789", "email": "jane.roe@example.com", "phone": "+13175550100", "national": "(317) 555-0100",
	"digits": "13175550100", "name": "Jane Roe", "note": "asthma since 1980", "unicode": "Zoë Ångström", "json": `{"phone":"+13175550100"}`, "query": "https://h/x?email=jane.roe@example.com",
}

const token = "sk_live_51HcTokenToken"

type spelt string

func (s spelt) String() string { return string(s) }

type valuer string

func (v valuer) LogValue() slog.Value { return slog.StringValue(string(v)) }

type record struct{ Name, Phone string }

// leaks returns the forms in which a text holds a canary.
func leaks(text, canary string) (found []string) {
	quoted := strings.Trim(strconv.Quote(canary), `"`)
	for _, form := range []string{
		canary, quoted, url.QueryEscape(canary), hex.EncodeToString([]byte(canary)), base64.StdEncoding.EncodeToString([]byte(canary)), base64.RawURLEncoding.EncodeToString([]byte(canary)),
		strings.ToUpper(canary), strings.NewReplacer("\"", `\"`).Replace(canary),
	} {
		if strings.Contains(text, form) {
			found = append(found, form)
		}
	}
	return found
}

func TestB01NoKeyShowsACanary(t *testing.T) {
	keys := []string{"email", "phone", "name", "body", "payload", "value", "old_value", "headers", "authorization", "url", "query_string", "user", "Event", "EVENT", "StackTrace", "PanicStack", "LinkURL", "Result", "a\nb", "é", " event"}
	for key, as := range allowed {
		if as != aText {
			keys = append(keys, key)
		}
	}
	for key := range otherNames {
		keys = append(keys, key)
	}
	lines := 0
	for what, canary := range canaries {
		out := logged(t, func(l *slog.Logger) {
			for _, key := range keys {
				for _, value := range []any{
					canary, spelt(canary), valuer(canary), []byte(canary), []string{"a", canary}, record{canary, canary}, &record{canary, canary}, map[string]string{"a": canary},
					errors.New(canary), fmt.Errorf("x: %s", canary), fmt.Errorf("x: %w", errors.New(canary)), &url.Error{Op: "Get", URL: canary, Err: errors.New(canary)},
					json.RawMessage(canary), schema.Text(canary), schema.Change{Ref: canary, Fields: schema.Fields{"a": canary}}, schema.Reason(canary), slog.StringValue(canary),
					temporal.NewApplicationError(canary, canary, canary), func() {}, nil, (*record)(nil), (*schema.Refusal)(nil), []any{canary}, struct{ error }{errors.New(canary)},
				} {
					lines++
					l.Info("m", key, value)
					l.With(key, value).WithGroup(canary).Info("m", slog.Group(canary, slog.Any(key, value)), canary, value)
				}
			}
		})
		if found := leaks(out, canary); found != nil {
			at := strings.Index(out, found[0])
			t.Errorf("%s: %q: %s", what, found, out[max(0, at-200):min(len(out), at+100)])
		}
	}
	out := logged(t, func(l *slog.Logger) {
		for _, key := range []string{"authorization", "token", "api_key", "password", "credential", "login", "headers", "cookie"} {
			l.Info("m", key, token, slog.Group("request", key, token))
		}
	})
	if leaks(out, token) != nil {
		t.Errorf("a token: %s", out)
	}
	t.Logf("B01: %d attributes", lines)
}

func TestB01FreeTextIsMasked(t *testing.T) {
	for _, canary := range []string{"4111111111111111", "5500 0055 5555 5559", "123-45-6789"} {
		out := logged(t, func(l *slog.Logger) {
			l.Info("msg "+canary, "detail", "text "+canary, "rule", canary, "remedy", spelt("x "+canary+" y"))
		})
		if leaks(out, canary) != nil || !strings.Contains(out, "XXX") {
			t.Errorf("%s: %s", canary, out)
		}
	}
}

// pqError is shaped like the Postgres driver's.
type pqError struct{ detail string }

func (e *pqError) Error() string {
	return "pq: duplicate key: Key (email)=(" + e.detail + ") already exists"
}
func (e *pqError) SQLState() string { return "23505" }

func TestB02ErrorsAreDescribedByTheirCodes(t *testing.T) {
	_, atoi := strconv.Atoi("123-45-6789")
	_, parsed := time.Parse(time.DateOnly, "1980-04-19 John")
	_, address := url.Parse(canaries["query"] + "\x7f")
	number := json.Unmarshal([]byte(`{"a":4111111111111111}`), &struct{ A int8 }{})
	_, opened := os.Open("/jane.roe@example.com")
	for want, err := range map[string]error{
		"strconv.NumError: errors.errorString":           atoi,
		"time.ParseError":                                parsed,
		"url.Error: errors.errorString":                  address,
		"json.UnmarshalTypeError":                        number,
		"fs.PathError: no such file or directory":        opened,
		"sqlstate 23505":                                 fmt.Errorf("accept: %w", &pqError{"jane.roe@example.com"}),
		"context deadline exceeded":                      fmt.Errorf("call for Jane Roe: %w", context.DeadlineExceeded),
		"errors.errorString":                             fmt.Errorf("oauth2: cannot fetch token for %s", "Jane Roe"),
		"application error Invalid: errors.errorString":  temporal.NewApplicationErrorWithCause("+13175550100", "Invalid", errors.New("Jane Roe")),
		"malformed_json at /a: there is a NUL character": fmt.Errorf("x: %w", &schema.Refusal{Reason: schema.ReasonMalformedJSON, Field: "/a", Rule: "there is a NUL character"}),
		"EOF: context canceled":                          errors.Join(io.EOF, fmt.Errorf("Jane Roe: %w", context.Canceled)),
		"url.Error: EOF":                                 &url.Error{Op: "Post", URL: "https://h/?phone=+13175550100", Err: io.EOF},
	} {
		got := Describe(err)
		if got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
		line := one(t, func(l *slog.Logger) { l.Error("failed", "error", err) })
		if line["error"] != want {
			t.Errorf("logged %v", line["error"])
		}
		for what, canary := range canaries {
			if leaks(got, canary) != nil {
				t.Errorf("%s in %q", what, got)
			}
		}
	}
	loop := &url.Error{Op: "Get"}
	loop.Err = fmt.Errorf("again: %w", loop)
	if got := Describe(loop); len(got) > 1000 {
		t.Errorf("an endless chain: %q", got)
	}
	if got := Describe(nil); got != "" {
		t.Errorf("nil: %q", got)
	}
}

// nasty are strings that break logs elsewhere.
var nasty = []string{
	"", "\n", "\r\n", "\r", "\x00", "a\nb", "a\r\nb\r\n", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x1b[2J\x1b[H", "\u009b31m", "\u0085", "\u2028", "\u2029", "\u202e\u0041", "\u2066x\u2069", "\ufeff",
	`"`, `\`, `\"`, `\n`, `\u0000`, `"}`, `"}` + "\n" + `{"level":"ERROR","msg":"forged"}`, `{"a":1}`, "[", "]", ",", ":", "'", "`", "<script>alert(1)</script>", "&amp;", "%s%d%n", "${jndi:ldap://x}",
	"\xff\xfe", "\xc3\x28", "\xed\xa0\x80", "\xf0\x9f\x98", "é", "日本語", "😀", "👩‍👩‍👧", "\x7f", "\b\b\b", "\f\v", "\t\t", "null", "true", "NaN", "-0", "1e400", strings.Repeat("x", 100_000), strings.Repeat("\n", 10_000),
	strings.Repeat("é", 10_000), "undefined", "../../etc/passwd", "' OR 1=1 --", "Robert'); DROP TABLE", "\u200b\u200c\u200d", "\U000e0001", "\u00a0", "\u3000", "Ω≈ç√∫˜µ≤≥÷", "ﷺ", "�",
}

func TestC14OneLineForOneRecord(t *testing.T) {
	random := rand.New(rand.NewPCG(14, 1))
	texts := append([]string(nil), nasty...)
	for range 2000 {
		b := make([]byte, random.IntN(40))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		texts = append(texts, string(b))
	}
	records := 0
	out := logged(t, func(l *slog.Logger) {
		for i, s := range texts {
			l.Info(s, "detail", s, "source", s, s, s, "error", errors.New(s), "count", i)
			l.With("event", s).WithGroup(s).Warn("x", slog.Group(s, "detail", s), "detail", spelt(s))
			records += 2
			if i%100 == 0 { // let the writer keep up: nothing may be dropped here
				if err := flushOf(l)(soon(t)); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	if !strings.HasSuffix(out, "\n") {
		t.Error("the last line has no end")
	}
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) != records {
		t.Errorf("%d lines for %d records", len(lines), records)
	}
	for _, line := range lines {
		if err := strictjson.Scan([]byte(line), strictjson.Limits{}); err != nil {
			t.Errorf("%.200q: %v", line, err)
		}
		if len(line) > 4096 {
			t.Errorf("a line of %d bytes", len(line))
		}
		for _, r := range line {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) {
				t.Errorf("%.200q: holds %U", line, r)
			}
		}
		if strings.Contains(line, `"msg":"forged"`) {
			t.Errorf("forged: %s", line)
		}
	}
	t.Logf("C14: %d records", records)
}

// flushOf returns the Flush of the logger that a slog.Logger was taken from.
func flushOf(l *slog.Logger) func(context.Context) error { return l.Handler().(*handler).sink.flush }

func TestE21AFullPipeStopsNobody(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	logger := New("intake", writer, slog.LevelInfo)
	const records = 60_000
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for i := range records / 4 {
				logger.Info("nobody reads this, and the service goes on", "count", i, "source", "crm")
			}
		})
	}
	writers.Wait() // returns although the pipe holds 64 KiB
	dropped := logger.Dropped()
	if dropped == 0 {
		t.Error("nothing was dropped: the pipe was not full")
	}
	logger.sink.mu.Lock()
	held := cap(logger.sink.pending) + cap(logger.sink.spare)
	logger.sink.mu.Unlock()
	if held > 4*maxPending {
		t.Errorf("%d bytes are held", held)
	}
	stuck, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := logger.Flush(stuck); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("flushed into a full pipe: %v", err)
	}
	if err := logger.Close(stuck); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("closed into a full pipe: %v", err)
	}
	logger.Info("after the end")

	var text []byte
	var read sync.WaitGroup
	read.Go(func() { text, err = io.ReadAll(reader) })
	if err := logger.Close(soon(t)); err != nil {
		t.Error(err)
	}
	if err := writer.Close(); err != nil {
		t.Error(err)
	}
	read.Wait()
	if err != nil {
		t.Fatal(err)
	}
	written, told := 0, 0.0
	for line := range strings.Lines(string(text)) {
		var parsed map[string]any
		if err := json.Unmarshal([]byte(line), &parsed); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if parsed["msg"] == "log lines were dropped" {
			told += parsed["count"].(float64)
		} else {
			written++
		}
	}
	if uint64(written)+dropped != records {
		t.Errorf("%d written and %d dropped of %d", written, dropped, records)
	}
	if logger.Dropped() != dropped+1 || told < float64(dropped) {
		t.Errorf("%d dropped in the end, %v told of", logger.Dropped(), told)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	t.Logf("E21: %d lines written, %d dropped", written, dropped)
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestE21ABrokenWriterIsCounted(t *testing.T) {
	logger := New("intake", broken{}, slog.LevelInfo)
	for range 100 {
		logger.Info("x")
	}
	if err := logger.Flush(soon(t)); err != nil {
		t.Error(err)
	}
	if logger.Dropped() != 100 {
		t.Errorf("%d dropped of 100", logger.Dropped())
	}
	for range 2 {
		if err := logger.Close(soon(t)); err != nil {
			t.Error(err)
		}
	}
}

func TestFlushWritesWhatIsThere(t *testing.T) {
	var out buffer
	logger := New("intake", &out, slog.LevelInfo)
	for i := range 200 {
		logger.Info("x")
		if err := logger.Flush(soon(t)); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.String(), "\n"); n != i+1 {
			t.Fatalf("%d lines after %d", n, i+1)
		}
	}
	if err := logger.Close(soon(t)); err != nil {
		t.Error(err)
	}
}

func TestManyComponentsLogAtOnce(t *testing.T) {
	out := logged(t, func(l *slog.Logger) {
		var all sync.WaitGroup
		for worker := range 8 {
			with := l.With("slot", worker)
			all.Go(func() {
				for i := range 200 {
					with.With("count", i).Info("x", "slot", worker)
				}
			})
		}
		all.Wait()
	})
	seen := map[string]int{}
	for line := range strings.Lines(out) {
		var parsed map[string]any
		if err := json.Unmarshal([]byte(line), &parsed); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		seen[fmt.Sprint(parsed["slot"], " ", parsed["count"])]++
	}
	if len(seen) != 1600 {
		t.Errorf("%d different lines of 1600", len(seen))
	}
}

func TestTemporalLogsUnderOurNames(t *testing.T) {
	out := logged(t, func(l *slog.Logger) {
		sdk := log.With(TemporalLog(l), "Namespace", "lockstep", "TaskQueue", "system.genesys", "WorkerID", "1234@host-7@")
		sdk.Error("Activity error.", "WorkflowID", "sync/genesys/5c0e2a66-1b0c-4d57-9b1e-0a6a44a3a5e4", "RunID", "r-1", "Attempt", int32(3), "ActivityType", "Apply",
			"Error", temporal.NewApplicationError("+13175550100 refused", "Invalid"), "StackTrace", "main.go:7 Jane Roe", "Result", "Jane Roe")
		log.Skip(sdk, 1).Debug("d")
		sdk.Info("i")
		sdk.Warn("w", "odd")
	})
	if strings.Count(out, "\n") != 4 || strings.Contains(out, "Jane") || strings.Contains(out, "3175550100") {
		t.Errorf("%s", out)
	}
	var line map[string]any
	if err := json.Unmarshal([]byte(strings.SplitN(out, "\n", 2)[0]), &line); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"level": "ERROR", "namespace": "lockstep", "task_queue": "system.genesys", "worker": "1234@host-7@", "workflow_id": "sync/genesys/5c0e2a66-1b0c-4d57-9b1e-0a6a44a3a5e4",
		"attempt": 3.0, "activity_type": "Apply", "error": "application error Invalid", "hidden": 2.0,
	} {
		if line[key] != want {
			t.Errorf("%s is %v, want %v", key, line[key], want)
		}
	}
}

func TestWordsAreShownWhole(t *testing.T) {
	for s, want := range map[string]string{
		"": "", "crm": "crm", "inc-2417": "inc-2417", "record/genesys/customer/0199f0a1": "record/genesys/customer/0199f0a1", "a,b#c:d.e_f": "a,b#c:d.e_f", "123456": "123456",
		"2026-11": "2026-11", "10.0.0.7": "10.0.0.7", "10.0.0.7:65535": "10.0.0.7:65535", "1234@host-7@": "1234@host-7@", "1234@host-7": "1234@host-7",
		"12345678-1234-4123-8123-123456789012": "99999999-9999-9999-9999…",
		"1234567":                              "9999999", "317-555-0100": "999-999-9999", "1.800.555.0100": "9.999.999.9999", "4111111111111111": "9999999999999999",
		"123-45-6789": "999-99-9999", "a@b.c": "x@x.x", "@host": "@xxxx", "1234@jane@example.com": "9999@xxxx@xxxxxxx.xxx", "12345678@host": "99999999@xxxx", "a b": "x x", "a\nb": "x?x",
		"é": "x", "<b>": "<x>", strings.Repeat("a", 128): strings.Repeat("a", 128), strings.Repeat("a", 129): strings.Repeat("x", 23) + "…",
	} {
		if got := word(s); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}
