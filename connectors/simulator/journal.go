package simulator

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// The kinds of journal entries.
const (
	// EntryRequest is a request to the vendor's API or login host.
	EntryRequest = "request"
	// EntryEdit is a change that a human made through the control API.
	EntryEdit = "edit"
	// EntryWebhook is an event that the sender gave up or silently dropped.
	EntryWebhook = "webhook"
)

// Entry is one line of the journal.
type Entry struct {
	// N counts entries from 1 in the order in which they began.
	N    int64  `json:"n"`
	Kind string `json:"kind"`
	// At is when the request arrived, by the unskewed clock.
	At     time.Time `json:"at"`
	Method string    `json:"method"`
	// Route is the route's template; "unknown" for a route that the simulator does not offer.
	Route string `json:"route"`
	// Path is the path as it was sent; of the query only the keys, sorted.
	Path string `json:"path"`
	// Credential is the client id behind the token, "human" for an edit, empty before authentication.
	Credential string `json:"credential"`
	// Status is the decided HTTP status; 0 when no answer was sent (a reset) or none is decided yet (Open).
	Status int `json:"status"`
	// Fault is the kind of the fault that fired on the request, else empty.
	Fault string `json:"fault"`
	// Event is the id of the event of a webhook entry.
	Event string `json:"event,omitempty"`
	// Open is set while the answer is not decided. Effects of an open entry stand already.
	Open    bool     `json:"open,omitempty"`
	Effects []Effect `json:"effects"`
}

// The operations of effects.
const (
	OpCreate   = "create"
	OpUpdate   = "update"
	OpDelete   = "delete"
	OpUndelete = "undelete"
	OpMerge    = "merge"
)

// Effect is one change of a record. It is journaled while the state's lock is held, at the instant the state changes
// and before anything decides how to answer.
type Effect struct {
	Object string `json:"object"`
	ID     string `json:"id"`
	Op     string `json:"op"`
	// Fields are the fields that the request wrote, with the values as they were stored.
	Fields map[string]any `json:"fields,omitempty"`
	// Before holds what Fields replaced; empty for a create.
	Before map[string]any `json:"before,omitempty"`
	// Noop is set when every field held its value already: an identical absolute write.
	Noop bool `json:"noop"`
	// Key is the Idempotency-Key header when the request carried one, else the external id by which the request
	// addressed or stamped the record, else empty.
	Key string `json:"key,omitempty"`
}

// Journal is a simulator's append-only record of requests and their effects. It keeps entries in a compact form and
// is safe for concurrent use.
type Journal struct {
	clock   *Clock
	mu      sync.RWMutex
	entries []entry
	words   map[string]string
}

// entry is an Entry as it is kept: interned words, effects already encoded.
type entry struct {
	at         int64
	kind       string
	method     string
	route      string
	credential string
	fault      string
	path       string
	event      string
	status     int
	open       bool
	effects    []byte // JSON objects separated by commas
}

// NewJournal returns an empty journal.
func NewJournal(clock *Clock) *Journal {
	return &Journal{clock: clock, words: map[string]string{}}
}

// Begin appends an open entry and returns its number. Of e, Kind, Method, Route, Path and Credential count.
func (j *Journal) Begin(e Entry) int64 {
	at := j.clock.True().UnixNano()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, entry{
		at: at, kind: j.word(e.Kind), method: j.word(e.Method), route: j.word(e.Route),
		credential: j.word(e.Credential), path: e.Path, event: e.Event, open: true,
	})
	return int64(len(j.entries))
}

// Effect appends an effect to entry n.
func (j *Journal) Effect(n int64, e Effect) {
	line, err := json.Marshal(e)
	if err != nil {
		// Values come out of decoded JSON; anything else is a bug of the simulator.
		panic(fmt.Sprintf("simulator: effect on %s does not encode: %v", e.Object, err))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	at := &j.entries[n-1]
	if len(at.effects) > 0 {
		at.effects = append(at.effects, ',')
	}
	at.effects = append(at.effects, line...)
}

// End closes entry n with the decided status and the fault that fired.
func (j *Journal) End(n int64, status int, fault string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	at := &j.entries[n-1]
	at.status, at.fault, at.open = status, j.word(fault), false
}

// Len returns the number of entries.
func (j *Journal) Len() int {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return len(j.entries)
}

// Entries returns the entries after number n, open ones included.
func (j *Journal) Entries(after int64) []Entry {
	after = max(after, 0)
	var out []Entry
	for {
		part := j.part(after)
		if len(part) == 0 {
			return out
		}
		for i, e := range part {
			out = append(out, e.export(after+int64(i)+1))
		}
		after += int64(len(part))
	}
}

// WriteTo writes the entries after number n as NDJSON. With closed it stops before the first open entry, so that a
// reader who follows the journal by n misses nothing.
func (j *Journal) WriteTo(w io.Writer, after int64, closed bool) error {
	after = max(after, 0)
	for {
		part := j.part(after)
		if len(part) == 0 {
			return nil
		}
		for i, e := range part {
			if closed && e.open {
				return nil
			}
			if _, err := w.Write(e.line(after + int64(i) + 1)); err != nil {
				return err
			}
		}
		after += int64(len(part))
	}
}

// part copies up to a thousand entries after n, so that nobody waits long for the lock.
func (j *Journal) part(after int64) []entry {
	j.mu.RLock()
	defer j.mu.RUnlock()
	from := min(after, int64(len(j.entries)))
	to := min(from+1000, int64(len(j.entries)))
	part := make([]entry, to-from)
	copy(part, j.entries[from:to])
	for i := range part {
		// A later Effect may append in place behind this length; the bytes before it never change.
		part[i].effects = part[i].effects[:len(part[i].effects):len(part[i].effects)]
	}
	return part
}

func (j *Journal) word(s string) string {
	if kept, ok := j.words[s]; ok {
		return kept
	}
	j.words[s] = s
	return s
}

func (e entry) line(n int64) []byte {
	head := struct {
		N          int64           `json:"n"`
		Kind       string          `json:"kind"`
		At         time.Time       `json:"at"`
		Method     string          `json:"method"`
		Route      string          `json:"route"`
		Path       string          `json:"path"`
		Credential string          `json:"credential"`
		Status     int             `json:"status"`
		Fault      string          `json:"fault"`
		Event      string          `json:"event,omitempty"`
		Open       bool            `json:"open,omitempty"`
		Effects    json.RawMessage `json:"effects"`
	}{n, e.kind, time.Unix(0, e.at).UTC(), e.method, e.route, e.path, e.credential, e.status, e.fault, e.event, e.open,
		e.array()}
	line, err := json.Marshal(head)
	if err != nil {
		panic(fmt.Sprintf("simulator: journal entry %d does not encode: %v", n, err))
	}
	return append(line, '\n')
}

func (e entry) export(n int64) Entry {
	out := Entry{
		N: n, Kind: e.kind, At: time.Unix(0, e.at).UTC(), Method: e.method, Route: e.route, Path: e.path,
		Credential: e.credential, Status: e.status, Fault: e.fault, Event: e.event, Open: e.open,
	}
	if err := json.Unmarshal(e.array(), &out.Effects); err != nil {
		panic(fmt.Sprintf("simulator: journal entry %d does not decode: %v", n, err))
	}
	return out
}

func (e entry) array() json.RawMessage {
	out := make([]byte, 0, len(e.effects)+2)
	out = append(out, '[')
	out = append(out, e.effects...)
	return append(out, ']')
}
