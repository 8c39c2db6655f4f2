package simulator

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func ptr(n int) *int { return &n }

func TestQuotaMinute(t *testing.T) {
	hand := newHandClock()
	q := NewQuota(NewClock(hand.now), 2, 0)
	for i, want := range []Window{
		{Count: 1, Allowed: 2, Resets: time.Minute},
		{Count: 2, Allowed: 2, Resets: 50 * time.Second},
		{Count: 2, Allowed: 2, Resets: 40 * time.Second, Refused: true},
	} {
		if got := q.Minute("a"); got != want {
			t.Errorf("call %d: %+v, want %+v", i, got, want)
		}
		hand.advance(10 * time.Second)
	}
	if got := q.Minute("b"); got.Refused || got.Count != 1 {
		t.Errorf("another client's window is %+v", got)
	}
	hand.advance(30 * time.Second)
	if got := q.Minute("a"); got.Refused || got.Count != 1 || got.Resets != time.Minute {
		t.Errorf("the next window is %+v", got)
	}
	q.Change(QuotaChange{PerMinute: ptr(0)})
	for range 100 {
		if got := q.Minute("a"); got.Refused || got.Allowed != 0 {
			t.Fatalf("a lifted ceiling answers %+v", got)
		}
	}
}

func TestQuotaDayRolls(t *testing.T) {
	hand := newHandClock()
	q := NewQuota(NewClock(hand.now), 0, 3)
	for range 3 {
		if q.Spend().Refused {
			t.Fatal("refused below the ceiling")
		}
		hand.advance(time.Hour)
	}
	if got := q.Spend(); !got.Refused || got.Used != 3 || got.Max != 3 {
		t.Errorf("at the ceiling: %+v", got)
	}
	hand.advance(21 * time.Hour)
	if got := q.Spend(); got.Refused || got.Used != 3 {
		t.Errorf("a day after the first call: %+v", got)
	}
	q.Change(QuotaChange{Daily: ptr(10), DailyUsed: ptr(9)})
	if got := q.Spend(); got.Refused || got.Used != 10 {
		t.Errorf("after a change: %+v", got)
	}
	if !q.Spend().Refused || q.Standing().Used != 10 {
		t.Error("the changed ceiling does not hold")
	}
}

// In no window does a client get more than its allowance, however it spreads its calls.
func TestQuotaMinuteNeverGivesMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hand := newHandClock()
		allowed := rapid.IntRange(1, 20).Draw(t, "allowed")
		q := NewQuota(NewClock(hand.now), allowed, 0)
		passed := 0
		for _, ms := range rapid.SliceOfN(rapid.IntRange(0, 3000), 1, 200).Draw(t, "gaps") {
			hand.advance(time.Duration(ms) * time.Millisecond)
			w := q.Minute("c")
			if w.Resets == time.Minute {
				passed = 0
			}
			if !w.Refused {
				passed++
			}
			if passed > allowed || w.Count > allowed || w.Resets <= 0 || w.Resets > time.Minute {
				t.Fatalf("%d passed of %d: %+v", passed, allowed, w)
			}
		}
	})
}

func TestTokens(t *testing.T) {
	hand := newHandClock()
	store := NewTokens(NewClock(hand.now))
	store.Issue("t1", "c1", time.Minute)
	store.Issue("t2", "c2", time.Hour)
	if client, ok := store.Client("t1"); client != "c1" || !ok {
		t.Errorf("t1 is %q, %v", client, ok)
	}
	hand.advance(time.Minute)
	if _, ok := store.Client("t1"); ok {
		t.Error("t1 outlives its minute")
	}
	if _, ok := store.Client("t2"); !ok {
		t.Error("t2 died early")
	}
	if !store.Revoke("t2") || store.Revoke("t2") {
		t.Error("revocation does not tell whether there was something to revoke")
	}
	store.Issue("t3", "c3", time.Hour)
	store.RevokeAll()
	if _, ok := store.Client("t3"); ok {
		t.Error("t3 survives")
	}
	if len(store.live) != 0 {
		t.Errorf("%d tokens are kept", len(store.live))
	}
}
