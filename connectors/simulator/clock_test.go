package simulator

import (
	"testing"
	"time"
)

func TestClockSkewsTheVendorOnly(t *testing.T) {
	hand := newHandClock()
	c := NewClock(hand.now)
	c.Skew(90 * time.Second)
	if got := c.Now().Sub(c.True()); got != 90*time.Second {
		t.Errorf("the skew is %v", got)
	}
	if !c.True().Equal(hand.now()) {
		t.Errorf("the true time moved to %v", c.True())
	}
}

func TestIDsRepeatUnderTheSameSeed(t *testing.T) {
	a, b, other := NewIDs(7), NewIDs(7), NewIDs(8)
	first := a.UUID()
	if first != b.UUID() || a.Text(20) != b.Text(20) || a.Number(1000) != b.Number(1000) {
		t.Error("one seed made two sequences")
	}
	if first == other.UUID() {
		t.Error("two seeds made one sequence")
	}
	if len(first) != 36 || first[14] != '4' {
		t.Errorf("%s is no UUID of version 4", first)
	}
}
