package simulator

import (
	"sync"
	"time"
)

// Quota counts calls against a window of a minute per client and against a rolling day per organisation. It is safe
// for concurrent use.
type Quota struct {
	clock *Clock
	mu    sync.Mutex
	// Ceilings; 0 lifts one.
	perMinute int
	daily     int
	minutes   map[string]*minute
	day       [24 * 60]bucket
	used      int
}

type minute struct {
	began time.Time
	count int
}

type bucket struct {
	at    int64 // minutes since the epoch
	count int
}

// NewQuota returns a quota with the two ceilings; 0 means none.
func NewQuota(clock *Clock, perMinute, daily int) *Quota {
	return &Quota{clock: clock, perMinute: perMinute, daily: daily, minutes: map[string]*minute{}}
}

// QuotaChange is the body of POST /quota; what is nil stays.
type QuotaChange struct {
	// PerMinute is the ceiling of a client's window of 60 s; 0 lifts it.
	PerMinute *int `json:"per_minute"`
	// Daily is the ceiling of the rolling 24 hours; 0 lifts it.
	Daily *int `json:"daily"`
	// DailyUsed sets how many calls of the day are spent.
	DailyUsed *int `json:"daily_used"`
}

// Change applies c and opens fresh minute windows.
func (q *Quota) Change(c QuotaChange) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if c.PerMinute != nil {
		q.perMinute = *c.PerMinute
		clear(q.minutes)
	}
	if c.Daily != nil {
		q.daily = *c.Daily
	}
	if c.DailyUsed != nil {
		clear(q.day[:])
		q.used = 0
		q.spend(*c.DailyUsed)
	}
}

// Window is a client's standing in its minute.
type Window struct {
	// Count is the number of calls in the window, this one included unless it was refused.
	Count int
	// Allowed is the ceiling; 0 when it is lifted.
	Allowed int
	// Resets is how long until the window ends.
	Resets time.Duration
	// Refused is set when the call is over the ceiling.
	Refused bool
}

// Minute counts a call of client.
func (q *Quota) Minute(client string) Window {
	now := q.clock.True()
	q.mu.Lock()
	defer q.mu.Unlock()
	w := q.minutes[client]
	if w == nil || now.Sub(w.began) >= time.Minute {
		w = &minute{began: now}
		q.minutes[client] = w
	}
	out := Window{Allowed: q.perMinute, Resets: w.began.Add(time.Minute).Sub(now)}
	if q.perMinute > 0 && w.count >= q.perMinute {
		out.Refused = true
	} else {
		w.count++
	}
	out.Count = w.count
	return out
}

// Allowance is the organisation's standing in the rolling day.
type Allowance struct {
	Used int
	// Max is the ceiling; 0 when it is lifted.
	Max int
	// Refused is set when the call is over the ceiling.
	Refused bool
}

// Spend counts a call of the day.
func (q *Quota) Spend() Allowance {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.roll()
	if q.daily > 0 && q.used >= q.daily {
		return Allowance{Used: q.used, Max: q.daily, Refused: true}
	}
	q.spend(1)
	return Allowance{Used: q.used, Max: q.daily}
}

// Standing returns the day without counting a call.
func (q *Quota) Standing() Allowance {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.roll()
	return Allowance{Used: q.used, Max: q.daily}
}

// roll forgets what is older than a day.
func (q *Quota) roll() {
	oldest := q.clock.True().Unix()/60 - int64(len(q.day))
	for i := range q.day {
		if q.day[i].count > 0 && q.day[i].at <= oldest {
			q.used -= q.day[i].count
			q.day[i] = bucket{}
		}
	}
}

func (q *Quota) spend(n int) {
	at := q.clock.True().Unix() / 60
	b := &q.day[at%int64(len(q.day))]
	if b.at != at {
		q.used -= b.count
		*b = bucket{at: at}
	}
	b.count += n
	q.used += n
}
