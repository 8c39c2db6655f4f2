package simulator

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// receiver is a webhook endpoint that answers as it is told and remembers what came.
type receiver struct {
	mu     sync.Mutex
	got    []string // bodies, in the order of arrival
	at     []time.Time
	answer func(n int, body string) (status int, retryAfter string)
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	r.mu.Lock()
	r.got = append(r.got, string(body))
	r.at = append(r.at, time.Now())
	n := len(r.got)
	r.mu.Unlock()
	status, wait := 204, ""
	if r.answer != nil {
		status, wait = r.answer(n, string(body))
	}
	if wait != "" {
		w.Header().Set("Retry-After", wait)
	}
	w.WriteHeader(status)
}

func (r *receiver) bodies() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// sending runs a sender against a receiver; change adjusts the settings.
func sending(t *testing.T, answer func(n int, body string) (int, string), change func(*WebhookSettings)) (*Sender, *receiver) {
	t.Helper()
	to := &receiver{answer: answer}
	server := httptest.NewServer(to)
	clock := NewClock(nil)
	s := NewSender(SenderOptions{
		Clock: clock, Journal: NewJournal(clock), Sign: func(r *http.Request, m Message, _ time.Time) {
			r.Header.Set("X-Id", m.ID)
		},
	})
	err := s.Change(func(w *WebhookSettings) error {
		w.URL, w.FirstRetryMS, w.LongestRetryMS = server.URL, 1, 4
		if change != nil {
			change(w)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		server.Close()
	})
	return s, to
}

func message(record string, n int) Message {
	return Message{ID: fmt.Sprintf("msg_%s_%d", record, n), Record: record, Body: fmt.Appendf(nil, "%s %d", record, n)}
}

func TestSenderRetriesUntil2xxInOrder(t *testing.T) {
	s, to := sending(t, func(n int, _ string) (int, string) {
		if n%3 == 0 {
			return 200, ""
		}
		return []int{500, 302, 404, 429, 400}[n%5], ""
	}, nil)
	for n := range 10 {
		s.Enqueue(message("a", n))
		s.Enqueue(message("b", n))
	}
	eventually(t, "everything sent", func() bool { c := s.Counts(); return c.Sent == 20 && c.Pending == 0 })
	for _, record := range []string{"a", "b"} {
		last := -1
		for _, body := range to.bodies() {
			if n, ok := strings.CutPrefix(body, record+" "); ok {
				at, _ := strconv.Atoi(n)
				if at < last || at > last+1 {
					t.Fatalf("record %s: %d came after %d", record, at, last)
				}
				last = at
			}
		}
		if last != 9 {
			t.Errorf("record %s ends at %d", record, last)
		}
	}
	if c := s.Counts(); c.Failed != len(to.bodies())-20 || c.Failed == 0 {
		t.Errorf("%d failed attempts of %d", c.Failed, len(to.bodies()))
	}
}

func TestSenderObeysRetryAfter(t *testing.T) {
	s, to := sending(t, func(n int, _ string) (int, string) {
		if n == 1 {
			return 503, "1"
		}
		return 200, ""
	}, nil)
	s.Enqueue(message("a", 1))
	eventually(t, "the second attempt", func() bool { return s.Counts().Sent == 1 })
	if wait := to.at[1].Sub(to.at[0]); wait < 900*time.Millisecond {
		t.Errorf("the second attempt came after %v", wait)
	}
}

func TestRetryAfterOfReceivers(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "3": 3 * time.Second, "0": 0, "-3": 0, "1.5": 0, "soon": 0,
		"Thu, 01 Jan 2026 00:01:00 GMT": time.Minute, "Wed, 31 Dec 2025 00:00:00 GMT": 0,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%q is a wait of %v, want %v", header, got, want)
		}
	}
}

func TestSenderGivesUpIntoTheJournal(t *testing.T) {
	s, to := sending(t, func(_ int, body string) (int, string) {
		if strings.HasPrefix(body, "bad") {
			return 500, ""
		}
		return 200, ""
	}, func(w *WebhookSettings) { w.MaxAttempts = 3 })
	s.Enqueue(message("bad", 1))
	s.Enqueue(message("bad", 2))
	s.Enqueue(message("good", 1))
	eventually(t, "both drops", func() bool { c := s.Counts(); return c.Dropped == 2 && c.Sent == 1 && c.Pending == 0 })
	if n := len(to.bodies()); n != 7 {
		t.Errorf("%d attempts, want 7", n)
	}
	var events []string
	for _, e := range s.journal.Entries(0) {
		if e.Kind != EntryWebhook || e.Fault != "dropped" || e.Status != 500 || e.Open {
			t.Errorf("the journal says %+v", e)
		}
		events = append(events, e.Event)
	}
	if want := []string{"msg_bad_1", "msg_bad_2"}; !slices.Equal(events, want) {
		t.Errorf("given up: %v, want %v", events, want)
	}
}

func TestSenderGivesUpOnRefusal(t *testing.T) {
	s, to := sending(t, func(n int, body string) (int, string) {
		if n < 3 {
			return 429, ""
		}
		return 400, ""
	}, func(w *WebhookSettings) { w.GiveUpOnRefusal = true })
	s.Enqueue(message("a", 1))
	eventually(t, "the drop", func() bool { return s.Counts().Dropped == 1 })
	if n := len(to.bodies()); n != 3 {
		t.Errorf("%d attempts, want two throttled ones and the refusal", n)
	}
}

func TestGoneDisablesTheEndpoint(t *testing.T) {
	s, to := sending(t, func(int, string) (int, string) { return 410, "" }, nil)
	s.Enqueue(message("a", 1))
	eventually(t, "the endpoint is disabled", func() bool { return s.Settings().Paused && s.Counts().Dropped == 1 })
	s.Enqueue(message("a", 2))
	if s.Counts().Pending != 1 {
		t.Errorf("%+v", s.Counts())
	}
	to.mu.Lock()
	to.answer = nil
	to.mu.Unlock()
	if err := s.Change(func(w *WebhookSettings) error { w.Paused = false; return nil }); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it goes on", func() bool { return s.Counts().Sent == 1 })
}

func TestSenderDuplicates(t *testing.T) {
	s, to := sending(t, nil, func(w *WebhookSettings) { w.Duplicate = 1 })
	for n := range 5 {
		s.Enqueue(message("a", n))
	}
	eventually(t, "both copies of each", func() bool { c := s.Counts(); return c.Sent == 5 && c.Duplicated == 5 && c.Pending == 0 })
	seen := map[string]int{}
	for _, body := range to.bodies() {
		seen[body]++
	}
	for body, n := range seen {
		if n != 2 {
			t.Errorf("%q came %d times", body, n)
		}
	}
}

func TestSenderReorders(t *testing.T) {
	s, to := sending(t, nil, func(w *WebhookSettings) { w.ReorderMS, w.Seed, w.Workers = 100, 3, 1 })
	for n := range 20 {
		s.Enqueue(message("a", n))
	}
	eventually(t, "everything sent", func() bool { return s.Counts().Sent == 20 })
	want := make([]string, 20)
	for n := range want {
		want[n] = fmt.Sprintf("a %d", n)
	}
	got := to.bodies()
	if slices.Equal(got, want) {
		t.Error("nothing changed places")
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("arrived %v", got)
	}
}

func TestSenderDropsSilently(t *testing.T) {
	s, to := sending(t, nil, func(w *WebhookSettings) { w.SilentDrop, w.Seed = 0.5, 1 })
	for n := range 100 {
		s.Enqueue(message("a", n))
	}
	eventually(t, "the rest sent", func() bool { c := s.Counts(); return c.Sent+c.SilentlyDropped == 100 && c.Pending == 0 })
	c := s.Counts()
	if c.SilentlyDropped < 30 || c.SilentlyDropped > 70 || len(to.bodies()) != c.Sent {
		t.Errorf("%+v, %d arrived", c, len(to.bodies()))
	}
	if n := s.journal.Len(); n != c.SilentlyDropped {
		t.Errorf("%d journal entries for %d lost events", n, c.SilentlyDropped)
	}
}

func TestPausedSenderKeepsEvents(t *testing.T) {
	s, to := sending(t, nil, func(w *WebhookSettings) { w.Paused, w.DelayMS = true, 1 })
	s.Enqueue(message("a", 1))
	s.Enqueue(message("a", 2))
	if c := s.Counts(); c.Pending != 2 {
		t.Errorf("%+v", c)
	}
	if len(to.bodies()) != 0 {
		t.Error("a paused sender sends")
	}
	if err := s.Change(func(w *WebhookSettings) error { w.Paused = false; return nil }); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both sent", func() bool { return s.Counts().Sent == 2 })
}

func TestSenderWithoutReceiverKeepsNothing(t *testing.T) {
	s := NewSender(SenderOptions{Clock: NewClock(nil), Journal: NewJournal(NewClock(nil))})
	s.Enqueue(message("a", 1))
	if c := s.Counts(); c != (WebhookCounts{}) {
		t.Errorf("%+v", c)
	}
}

func TestSenderStopsInTheMiddleAndGoesOn(t *testing.T) {
	block := make(chan struct{})
	var once sync.Once
	release := func() { once.Do(func() { close(block) }) }
	to := &receiver{answer: func(n int, _ string) (int, string) {
		if n == 1 {
			<-block
		}
		return 200, ""
	}}
	server := httptest.NewServer(to)
	defer server.Close()
	defer release()
	clock := NewClock(nil)
	s := NewSender(SenderOptions{Clock: clock, Journal: NewJournal(clock), Sign: func(*http.Request, Message, time.Time) {}})
	if err := s.Change(func(w *WebhookSettings) error { w.URL = server.URL; return nil }); err != nil {
		t.Fatal(err)
	}
	s.Enqueue(message("a", 1))
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() { s.Run(ctx); close(stopped) }()
	eventually(t, "the attempt is under way", func() bool { return len(to.bodies()) == 1 })
	cancel()
	<-stopped
	if c := s.Counts(); c.Pending != 1 || c.Failed != 0 {
		t.Errorf("after the stop: %+v", c)
	}
	release()
	ctx, cancel = context.WithCancel(context.Background())
	stopped = make(chan struct{})
	go func() { s.Run(ctx); close(stopped) }()
	eventually(t, "the event is sent after all", func() bool { return s.Counts().Sent == 1 })
	cancel()
	<-stopped
}

func TestWebhookSettingsCheck(t *testing.T) {
	for name, change := range map[string]func(*WebhookSettings){
		"relative url": func(w *WebhookSettings) { w.URL = "/hook" },
		"odd scheme":   func(w *WebhookSettings) { w.URL = "ftp://example.com" },
		"probability":  func(w *WebhookSettings) { w.Duplicate = 1.1 },
		"negative":     func(w *WebhookSettings) { w.DelayMS = -1 },
		"no attempts":  func(w *WebhookSettings) { w.MaxAttempts = 0 },
		"wait":         func(w *WebhookSettings) { w.LongestRetryMS = w.FirstRetryMS - 1 },
	} {
		w := DefaultWebhook()
		w.URL = "https://example.com/hook"
		if err := w.Check(); err != nil {
			t.Fatalf("sound settings are refused: %v", err)
		}
		change(&w)
		if w.Check() == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// What becomes of an event depends on the seed and the event alone, not on what else is under way.
func TestSenderDrawsPerEvent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		ids := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,6}`), 1, 30, rapid.ID[string]).Draw(t, "ids")
		fates := func(order []string) map[string]string {
			clock := NewClock(nil)
			s := NewSender(SenderOptions{Clock: clock, Journal: NewJournal(clock)})
			if err := s.Change(func(w *WebhookSettings) error {
				w.URL, w.Seed, w.Duplicate, w.SilentDrop = "http://localhost", seed, 0.4, 0.3
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			out := map[string]string{}
			for _, id := range order {
				before := s.Counts()
				s.Enqueue(Message{ID: id, Record: id})
				after := s.Counts()
				out[id] = fmt.Sprint(after.Pending-before.Pending, after.SilentlyDropped-before.SilentlyDropped)
			}
			return out
		}
		forward := fates(ids)
		backward := slices.Clone(ids)
		slices.Reverse(backward)
		for id, fate := range fates(backward) {
			if fate != forward[id] {
				t.Fatalf("event %s fared %s and %s", id, forward[id], fate)
			}
		}
	})
}
