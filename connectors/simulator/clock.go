package simulator

import (
	"sync/atomic"
	"time"
)

// Clock is a simulator's time: a base that tests inject plus a skew that the control API sets. It is safe for
// concurrent use.
type Clock struct {
	base func() time.Time
	skew atomic.Int64
}

// NewClock returns a clock over base; nil means time.Now.
func NewClock(base func() time.Time) *Clock {
	if base == nil {
		base = time.Now
	}
	return &Clock{base: base}
}

// Now returns the vendor's own idea of the time, in UTC: every timestamp on a record, in an event or in a Date header
// comes from here.
func (c *Clock) Now() time.Time { return c.base().Add(time.Duration(c.skew.Load())).UTC() }

// True returns the time without the skew, in UTC: journal entries, quotas and fault windows use it.
func (c *Clock) True() time.Time { return c.base().UTC() }

// Skew sets how far Now runs ahead of True; negative runs behind.
func (c *Clock) Skew(d time.Duration) { c.skew.Store(int64(d)) }

// Skewed returns the skew.
func (c *Clock) Skewed() time.Duration { return time.Duration(c.skew.Load()) }
