package simulator

import (
	"bufio"
	"bytes"
	"encoding/json"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func lines(t *testing.T, j *Journal, after int64, closed bool) []Entry {
	t.Helper()
	var b bytes.Buffer
	if err := j.WriteTo(&b, after, closed); err != nil {
		t.Fatal(err)
	}
	var out []Entry
	for s := bufio.NewScanner(&b); s.Scan(); {
		var e Entry
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			t.Fatalf("a line is no entry: %v", err)
		}
		out = append(out, e)
	}
	return out
}

func TestJournalShowsEffectsBeforeTheAnswerIsDecided(t *testing.T) {
	j := NewJournal(NewClock(newHandClock().now))
	n := j.Begin(Entry{Kind: EntryRequest, Method: "PATCH", Route: "/x/{id}", Path: "/x/1", Credential: "client"})
	j.Effect(n, Effect{
		Object: "X", ID: "1", Op: OpUpdate, Fields: map[string]any{"a": "<b>", "c": nil}, Before: map[string]any{"a": 1.5}, Key: "k",
	})
	j.Effect(n, Effect{Object: "X", ID: "2", Op: OpUpdate, Noop: true})
	open := j.Entries(0)
	if len(open) != 1 || !open[0].Open || open[0].Status != 0 || len(open[0].Effects) != 2 {
		t.Fatalf("the open entry is %+v", open)
	}
	if got := lines(t, j, 0, true); len(got) != 0 {
		t.Errorf("a follower saw the open entry: %+v", got)
	}
	j.End(n, 204, "slow")
	want := []Entry{{
		N: 1, Kind: EntryRequest, At: open[0].At, Method: "PATCH", Route: "/x/{id}", Path: "/x/1", Credential: "client",
		Status: 204, Fault: "slow",
		Effects: []Effect{
			{Object: "X", ID: "1", Op: OpUpdate, Fields: map[string]any{"a": "<b>", "c": nil}, Before: map[string]any{"a": 1.5}, Key: "k"},
			{Object: "X", ID: "2", Op: OpUpdate, Noop: true},
		},
	}}
	if diff := cmp.Diff(want, j.Entries(0)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, lines(t, j, 0, true)); diff != "" {
		t.Errorf("NDJSON (-want +got):\n%s", diff)
	}
}

func TestJournalIsFollowedByNumber(t *testing.T) {
	j := NewJournal(NewClock(nil))
	for range 2500 {
		j.End(j.Begin(Entry{Kind: EntryRequest}), 200, "")
	}
	open := j.Begin(Entry{Kind: EntryRequest})
	j.End(j.Begin(Entry{Kind: EntryRequest}), 200, "")
	for _, c := range []struct {
		after  int64
		closed bool
		want   int
	}{{0, false, 2502}, {2499, false, 3}, {2502, false, 0}, {9999, false, 0}, {-1, false, 2502}, {0, true, 2500}, {open, true, 1}} {
		got := lines(t, j, c.after, c.closed)
		if len(got) != c.want {
			t.Errorf("after %d, closed %v: %d lines, want %d", c.after, c.closed, len(got), c.want)
		}
		if c.want > 0 && got[0].N != max(c.after, 0)+1 {
			t.Errorf("after %d the first line is %d", c.after, got[0].N)
		}
	}
}

func TestJournalHoldsHundredThousandsOfEntries(t *testing.T) {
	j := NewJournal(NewClock(nil))
	const writers, each = 4, 30_000
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range each {
				n := j.Begin(Entry{Kind: EntryRequest, Method: "GET", Route: "/a"})
				j.Effect(n, Effect{Object: "A", ID: "1", Op: OpDelete})
				j.End(n, 200, "")
			}
		})
	}
	all.Go(func() {
		for j.Len() < writers*each {
			j.Entries(int64(j.Len() - 10))
		}
	})
	all.Wait()
	next := int64(1)
	for after := int64(0); ; after += 1000 {
		part := j.part(after)
		if len(part) == 0 {
			break
		}
		for _, e := range part {
			if e.open || e.status != 200 || string(e.effects) != `{"object":"A","id":"1","op":"delete","noop":false}` {
				t.Fatalf("entry %d is %+v", next, e)
			}
			next++
		}
	}
	if next != writers*each+1 {
		t.Errorf("%d entries, want %d", next-1, writers*each)
	}
}
