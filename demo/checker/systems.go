// Package checker decides from outside whether the systems are in step: from the simulators' state and journal and the
// caller's own list of what people did, never from Lockstep's tables. Lockstep's numbers only have to agree.
package checker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"lockstep/demo/endpoints"
)

// Client speaks to one simulated system's control API, as a person at that system's screen would act.
type Client struct {
	Name   string
	System endpoints.System
	http   *http.Client
}

// NewClient returns a client of a system.
func NewClient(name string, system endpoints.System) *Client {
	return &Client{Name: name, System: system, http: &http.Client{Timeout: 30 * time.Second}}
}

// Record is a record in the vendor's own shape.
type Record map[string]any

// Text returns a member at a dotted path as text; "" when it is absent or null.
func (r Record) Text(path string) string {
	var at any = map[string]any(r)
	for name := range strings.SplitSeq(path, ".") {
		m, ok := at.(map[string]any)
		if !ok {
			return ""
		}
		at = m[name]
	}
	switch v := at.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case nil:
		return ""
	}
	return fmt.Sprint(at)
}

// Save creates or changes records as a person would and returns them as the vendor shows them.
func (c *Client) Save(ctx context.Context, object string, records []Record) ([]Record, error) {
	var saved []Record
	err := c.call(ctx, http.MethodPost, "/records/"+object, records, &saved)
	return saved, err
}

// Delete deletes a record as a person would.
func (c *Client) Delete(ctx context.Context, object, id string) error {
	return c.call(ctx, http.MethodDelete, "/records/"+object+"/"+id, nil, nil)
}

// State returns every live record of an object.
func (c *Client) State(ctx context.Context, object string) ([]Record, error) {
	var all []Record
	err := c.call(ctx, http.MethodGet, "/state/"+object, nil, &all)
	return all, err
}

// Sender is what the webhook sender of a system has done.
type Sender struct {
	Pending         int `json:"pending"`
	Sent            int `json:"sent"`
	Failed          int `json:"failed"`
	Dropped         int `json:"dropped"`
	SilentlyDropped int `json:"silently_dropped"`
	Duplicated      int `json:"duplicated"`
}

// Sender returns the counts of the webhook sender.
func (c *Client) Sender(ctx context.Context) (Sender, error) {
	var s struct {
		Sender
		Counts *Sender `json:"counts"`
	}
	if err := c.call(ctx, http.MethodGet, "/webhooks", nil, &s); err != nil {
		return Sender{}, err
	}
	if s.Counts != nil {
		return *s.Counts, nil
	}
	return s.Sender, nil
}

// Set posts a setting of the control API: webhooks, faults, quota, tokens, secrets, switches.
func (c *Client) Set(ctx context.Context, what string, value any) error {
	return c.call(ctx, http.MethodPost, "/"+what, value, nil)
}

// Clear ends all faults.
func (c *Client) Clear(ctx context.Context) error {
	return c.call(ctx, http.MethodDelete, "/faults", nil, nil)
}

// Effect is a change of the system's state, written down at the instant it happened.
type Effect struct {
	// N is the journal entry, Human is set for a person's own change.
	N      int            `json:"-"`
	Human  bool           `json:"-"`
	At     time.Time      `json:"-"`
	Object string         `json:"object"`
	ID     string         `json:"id"`
	Op     string         `json:"op"`
	Fields map[string]any `json:"fields"`
	Noop   bool           `json:"noop"`
	Key    string         `json:"key"`
}

// Entry is one line of the journal.
type Entry struct {
	N          int       `json:"n"`
	Kind       string    `json:"kind"`
	At         time.Time `json:"at"`
	Method     string    `json:"method"`
	Route      string    `json:"route"`
	Credential string    `json:"credential"`
	Status     int       `json:"status"`
	Fault      string    `json:"fault"`
	Effects    []Effect  `json:"effects"`
}

// Journal returns the entries after a number.
func (c *Client) Journal(ctx context.Context, after int) ([]Entry, error) {
	body, err := c.open(ctx, http.MethodGet, fmt.Sprintf("/journal?after=%d&closed=true", after), nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }() // only read
	var entries []Entry
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e Entry
		dec := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		dec.UseNumber()
		if err := dec.Decode(&e); err != nil {
			return nil, fmt.Errorf("checker: journal of %s: %w", c.Name, err)
		}
		for i := range e.Effects {
			e.Effects[i].N, e.Effects[i].Human, e.Effects[i].At = e.N, e.Kind == "edit", e.At
		}
		entries = append(entries, e)
	}
	return entries, lines.Err()
}

func (c *Client) call(ctx context.Context, method, path string, value, into any) error {
	body, err := c.open(ctx, method, path, value)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // only read
	if into == nil {
		return nil
	}
	dec := json.NewDecoder(body)
	dec.UseNumber()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("checker: %s %s of %s: %w", method, path, c.Name, err)
	}
	return nil
}

func (c *Client) open(ctx context.Context, method, path string, value any) (io.ReadCloser, error) {
	var content io.Reader
	if value != nil {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("checker: %w", err)
		}
		content = bytes.NewReader(text)
	}
	address, err := url.Parse(c.System.ControlURL + path)
	if err != nil {
		return nil, fmt.Errorf("checker: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, address.String(), content)
	if err != nil {
		return nil, fmt.Errorf("checker: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("checker: %w", err)
	}
	if resp.StatusCode >= 300 {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 500)) // for the message only
		_ = resp.Body.Close()
		return nil, fmt.Errorf("checker: %s %s of %s answers %d: %s", method, path, c.Name, resp.StatusCode, said)
	}
	return resp.Body, nil
}
