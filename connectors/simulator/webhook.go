package simulator

import (
	"bytes"
	"container/heap"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// Message is one event on its way to a receiver.
type Message struct {
	// ID is the event's id: the same over retries and duplicates.
	ID string
	// Record orders messages: one record's messages go out one after the other.
	Record string
	Body   []byte
}

// WebhookSettings say where events go and how well the way is.
type WebhookSettings struct {
	// URL is the receiver; while it is empty, events are not sent and not kept.
	URL string `json:"url"`
	// Paused keeps events until it is lifted.
	Paused bool `json:"paused"`
	// Duplicate is the chance that an event is sent a second time.
	Duplicate float64 `json:"duplicate"`
	// ReorderMS is the window within which events leave in any order, also those of one record; 0 keeps the order.
	ReorderMS int `json:"reorder_ms"`
	// DelayMS is the wait before an event's first attempt.
	DelayMS int `json:"delay_ms"`
	// SilentDrop is the chance that an event is lost without a trace at the receiver.
	SilentDrop float64 `json:"silent_drop"`
	// MaxAttempts is after how many attempts an event is given up.
	MaxAttempts int `json:"max_attempts"`
	// FirstRetryMS and LongestRetryMS bound the doubling wait between attempts.
	FirstRetryMS   int `json:"first_retry_ms"`
	LongestRetryMS int `json:"longest_retry_ms"`
	// TimeoutMS bounds one attempt.
	TimeoutMS int `json:"timeout_ms"`
	// GiveUpOnRefusal drops an event at a 4xx other than 401, 407, 408, 409 and 429, as EventBridge does. Without it every
	// answer but 2xx is tried again.
	GiveUpOnRefusal bool `json:"give_up_on_refusal"`
	// Workers is how many attempts may be under way at once.
	Workers int `json:"workers"`
	// Seed starts the draws; each event draws from the seed and its own id, so concurrency does not change them.
	Seed uint64 `json:"seed"`
}

// DefaultWebhook is a healthy way without a receiver.
func DefaultWebhook() WebhookSettings {
	return WebhookSettings{
		MaxAttempts: 50, FirstRetryMS: 500, LongestRetryMS: 30_000, TimeoutMS: 15_000, Workers: 8,
	}
}

// Check returns what is wrong with the settings.
func (s WebhookSettings) Check() error {
	switch {
	case s.Duplicate < 0 || s.Duplicate > 1 || s.SilentDrop < 0 || s.SilentDrop > 1:
		return fmt.Errorf("duplicate and silent_drop must lie between 0 and 1")
	case s.ReorderMS < 0 || s.DelayMS < 0:
		return fmt.Errorf("reorder_ms and delay_ms must not be negative")
	case s.MaxAttempts < 1 || s.FirstRetryMS < 1 || s.LongestRetryMS < s.FirstRetryMS || s.TimeoutMS < 1 || s.Workers < 1:
		return fmt.Errorf("max_attempts, first_retry_ms, longest_retry_ms, timeout_ms and workers must be positive, " +
			"and longest_retry_ms not below first_retry_ms")
	}
	if s.URL == "" {
		return nil
	}
	u, err := url.Parse(s.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("url must be an absolute http or https URL")
	}
	return nil
}

// WebhookCounts is what became of the events.
type WebhookCounts struct {
	// Pending events wait for an attempt, a first or a later one; those under way count too.
	Pending int `json:"pending"`
	// Sent counts events that a 2xx answered, duplicates not included.
	Sent int `json:"sent"`
	// Failed counts attempts that no 2xx answered.
	Failed int `json:"failed"`
	// Dropped counts events that were given up; each has a journal entry.
	Dropped int `json:"dropped"`
	// SilentlyDropped counts events that were lost on purpose; each has a journal entry.
	SilentlyDropped int `json:"silently_dropped"`
	// Duplicated counts second copies that a 2xx answered.
	Duplicated int `json:"duplicated"`
}

// SenderOptions are the parts of a sender.
type SenderOptions struct {
	Clock   *Clock
	Journal *Journal
	// Sign adds the vendor's headers to one attempt; at is the attempt's time by the vendor's clock.
	Sign func(r *http.Request, m Message, at time.Time)
	// Settings are the first settings; the zero value means DefaultWebhook.
	Settings WebhookSettings
}

// Sender delivers events to one receiver: in order per record, again and again with growing waits until a 2xx, obeying
// Retry-After. It is safe for concurrent use. Nothing is sent unless Run runs.
type Sender struct {
	clock     *Clock
	journal   *Journal
	sign      func(r *http.Request, m Message, at time.Time)
	client    *http.Client
	transport *http.Transport

	mu       sync.Mutex
	settings WebhookSettings
	queues   map[string][]*delivery // per record; the head is in the heap or under way
	due      deliveries
	underWay int
	order    uint64
	counts   WebhookCounts
	wake     chan struct{}
}

// delivery is one event and how far it has come.
type delivery struct {
	Message
	queue    string
	copy     bool
	attempts int
	at       time.Time // of the next attempt, by the wall clock
	order    uint64
	draws    *rand.Rand
}

// NewSender returns a sender that does not run yet.
func NewSender(o SenderOptions) *Sender {
	if o.Settings == (WebhookSettings{}) {
		o.Settings = DefaultWebhook()
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second}
	return &Sender{
		clock: o.Clock, journal: o.Journal, sign: o.Sign, settings: o.Settings,
		transport: transport,
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		queues: map[string][]*delivery{}, wake: make(chan struct{}, 1),
	}
}

// Settings returns the settings.
func (s *Sender) Settings() WebhookSettings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings
}

// Change replaces the settings by what change makes of them, if that is sound.
func (s *Sender) Change(change func(*WebhookSettings) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.settings
	if err := change(&next); err != nil {
		return err
	}
	if err := next.Check(); err != nil {
		return err
	}
	s.settings = next
	s.nudge()
	return nil
}

// Counts returns what became of the events so far.
func (s *Sender) Counts() WebhookCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Enqueue takes an event. It never blocks, so it may be called while a vendor's state is locked.
func (s *Sender) Enqueue(m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settings.URL == "" {
		return
	}
	draws := rand.New(rand.NewPCG(s.settings.Seed, hash(m.ID)))
	if draws.Float64() < s.settings.SilentDrop {
		s.counts.SilentlyDropped++
		s.note(m, 0, "silent_drop")
		return
	}
	twice := draws.Float64() < s.settings.Duplicate
	s.put(m, m.Record, false, draws)
	if twice {
		s.put(m, m.Record+"\x00copy\x00"+m.ID, true, draws)
	}
	s.nudge()
}

// put queues one delivery. Copies, and everything while a reorder window is set, stand in a queue of their own.
func (s *Sender) put(m Message, queue string, second bool, draws *rand.Rand) {
	s.order++
	wait := time.Duration(s.settings.DelayMS) * time.Millisecond
	if s.settings.ReorderMS > 0 {
		wait += time.Duration(draws.Int64N(int64(s.settings.ReorderMS))) * time.Millisecond
		queue += "\x00" + strconv.FormatUint(s.order, 10)
	}
	d := &delivery{
		Message: m, queue: queue, copy: second, at: time.Now().Add(wait), order: s.order,
		draws: rand.New(rand.NewPCG(draws.Uint64(), draws.Uint64())),
	}
	s.counts.Pending++
	s.queues[queue] = append(s.queues[queue], d)
	if len(s.queues[queue]) == 1 {
		heap.Push(&s.due, d)
	}
}

// Run sends until ctx ends, then waits for the attempts under way; they are cut short.
func (s *Sender) Run(ctx context.Context) {
	var attempts sync.WaitGroup
	defer s.transport.CloseIdleConnections()
	defer attempts.Wait()
	for {
		next, wait := s.take()
		if next != nil {
			attempts.Add(1)
			go func() {
				defer attempts.Done()
				s.attempt(ctx, next)
			}()
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// take returns the delivery whose turn it is, or how long to wait for one.
func (s *Sender) take() (*delivery, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	const idle = time.Minute // a nudge comes earlier
	if s.settings.Paused || s.settings.URL == "" || len(s.due) == 0 || s.underWay >= s.settings.Workers {
		return nil, idle
	}
	if wait := time.Until(s.due[0].at); wait > 0 {
		return nil, wait
	}
	s.underWay++
	d, _ := heap.Pop(&s.due).(*delivery)
	return d, 0
}

// attempt posts once and settles the delivery by the answer.
func (s *Sender) attempt(ctx context.Context, d *delivery) {
	status, wait, err := s.post(ctx, d)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.underWay--
	d.attempts++
	switch {
	case err == nil && status/100 == 2:
		if d.copy {
			s.counts.Duplicated++
		} else {
			s.counts.Sent++
		}
		s.leave(d)
	case ctx.Err() != nil:
		d.at = time.Now()
		heap.Push(&s.due, d) // stays pending
	case d.attempts >= s.settings.MaxAttempts, s.settings.GiveUpOnRefusal && final(status), status == http.StatusGone:
		s.counts.Failed++
		s.counts.Dropped++
		s.note(d.Message, status, "dropped")
		// Standard Webhooks: 410 asks the sender to disable the endpoint.
		s.settings.Paused = s.settings.Paused || status == http.StatusGone
		s.leave(d)
	default:
		s.counts.Failed++
		d.at = time.Now().Add(max(wait, s.backoff(d)))
		heap.Push(&s.due, d)
	}
	s.nudge()
}

// post makes one attempt. It returns the status, 0 when no answer came, and the wait that the receiver asks for.
func (s *Sender) post(ctx context.Context, d *delivery) (status int, wait time.Duration, err error) {
	settings := s.Settings()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(settings.TimeoutMS)*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, settings.URL, bytes.NewReader(d.Body))
	if err != nil {
		return 0, 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	s.sign(r, d.Message, s.clock.Now())
	response, err := s.client.Do(r)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = response.Body.Close() }()                      // what it says has been read
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection can be used again
	return response.StatusCode, retryAfter(response.Header.Get("Retry-After"), s.clock.Now()), nil
}

// leave takes a settled delivery off its queue and lets the next one of the queue come up.
func (s *Sender) leave(d *delivery) {
	s.counts.Pending--
	rest := s.queues[d.queue][1:]
	if len(rest) == 0 {
		delete(s.queues, d.queue)
		return
	}
	s.queues[d.queue] = rest
	heap.Push(&s.due, rest[0])
}

// backoff doubles from attempt to attempt, give or take a fifth.
func (s *Sender) backoff(d *delivery) time.Duration {
	wait := time.Duration(s.settings.FirstRetryMS) * time.Millisecond
	longest := time.Duration(s.settings.LongestRetryMS) * time.Millisecond
	for i := 1; i < d.attempts && wait < longest; i++ {
		wait *= 2
	}
	return time.Duration(float64(min(wait, longest)) * (0.8 + 0.4*d.draws.Float64()))
}

func (s *Sender) note(m Message, status int, fault string) {
	n := s.journal.Begin(Entry{Kind: EntryWebhook, Method: http.MethodPost, Route: "webhook", Event: m.ID})
	s.journal.End(n, status, fault)
}

func (s *Sender) nudge() {
	select {
	case s.wake <- struct{}{}:
	default: // one is waiting already
	}
}

// final reports whether EventBridge would not try again after status.
func final(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusConflict,
		http.StatusTooManyRequests:
		return false
	}
	return status/100 == 4
}

// retryAfter reads seconds or an HTTP date; anything else is no wish.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(header); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}

func hash(s string) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, s) // never fails
	return h.Sum64()
}

// deliveries is a heap by the time of the next attempt, then by age.
type deliveries []*delivery

func (d *deliveries) Len() int { return len(*d) }

func (d *deliveries) Less(i, j int) bool {
	a, b := (*d)[i], (*d)[j]
	if a.at.Equal(b.at) {
		return a.order < b.order
	}
	return a.at.Before(b.at)
}

func (d *deliveries) Swap(i, j int) { (*d)[i], (*d)[j] = (*d)[j], (*d)[i] }

func (d *deliveries) Push(x any) {
	if next, ok := x.(*delivery); ok {
		*d = append(*d, next)
	}
}

func (d *deliveries) Pop() any {
	old := *d
	last := old[len(old)-1]
	*d = old[:len(old)-1]
	return last
}
