// Package chaos kills parts of a running demo while events are in flight, and holds what is left against what people said.
// It sees the demo from outside only: process numbers, the systems' control APIs, Lockstep's public numbers.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"lockstep/demo/checker"
	"lockstep/demo/endpoints"
	"lockstep/demo/people"
	"lockstep/schema"
)

// Options says what to torment.
type Options struct {
	// At returns where everything is now; the number of a part that is down is missing.
	At func() endpoints.Endpoints
	// Say hears of progress in plain words.
	Say func(string)
	// Seed decides who does what, and the order of the kills.
	Seed uint64
	// Events is how many events a round has to see accepted; 0 means 100.
	Events int64
	// Within is how long the systems may take to come into step after a round; 0 means two minutes.
	Within time.Duration
}

// Runner runs rounds against one demo. It is used by one goroutine.
type Runner struct {
	opts     Options
	rand     *rand.Rand
	land     checker.Landscape
	lockstep checker.Lockstep
	cast     *people.Cast
	others   checker.Others
	rounds   int
}

// New makes the systems' senders unruly: they repeat and reorder what they send, and try again soon.
func New(ctx context.Context, opts Options) (*Runner, error) {
	if opts.Events == 0 {
		opts.Events = 100
	}
	if opts.Within == 0 {
		opts.Within = 2 * time.Minute
	}
	at := opts.At()
	land := checker.LandscapeAt(at)
	for _, c := range land.Clients() {
		if err := c.Set(ctx, "webhooks", map[string]any{
			"duplicate": 0.1, "reorder_ms": 500, "seed": opts.Seed, "first_retry_ms": 200, "longest_retry_ms": 3000, "max_attempts": 1000,
		}); err != nil {
			return nil, err
		}
	}
	others, err := land.Others(ctx)
	if err != nil {
		return nil, err
	}
	return &Runner{
		opts: opts, others: others, land: land, lockstep: checker.LockstepAt(at), cast: people.New(land, opts.Seed),
		rand: rand.New(rand.NewPCG(opts.Seed, 3)), //nolint:gosec // repeatable on purpose
	}, nil
}

// Round is what a round did and found.
type Round struct {
	N        int    `json:"round"`
	Accepted int64  `json:"accepted"`
	Kills    []Kill `json:"kills"`
	// Converged is how long the systems took to come into step after the last change, in seconds.
	Converged   float64 `json:"converged_seconds"`
	Lost        int     `json:"lost"`
	Doubled     int     `json:"doubled"`
	Differences int     `json:"differences"`
	Records     int     `json:"records"`
	Fields      int     `json:"fields"`
	Repeats     int     `json:"repeated_writes"`
	// Runs counts the workflow runs whose histories were looked at.
	Runs int `json:"runs"`
	// Findings are what does not hold, in words.
	Findings []string `json:"findings,omitempty"`
}

// Holds reports whether nothing is lost, doubled or different, and everything else that was checked holds.
func (r Round) Holds() bool {
	return r.Lost == 0 && r.Doubled == 0 && r.Differences == 0 && len(r.Findings) == 0
}

// Plan is how a round kills.
type Plan struct {
	// Parts are killed, each at least once, in an order that the seed decides.
	Parts []string
	// Together kills all of them at the same instant.
	Together bool
}

// EveryPart is the plan of an ordinary round.
func EveryPart() Plan { return Plan{Parts: Parts()} }

// Round plays traffic, kills by the plan while events are in flight, waits until the systems are in step again, and
// compares. An error means that the round could not be held: a part does not come back, or nothing was in flight.
func (r *Runner) Round(ctx context.Context, plan Plan) (Round, error) {
	r.rounds++
	out := Round{N: r.rounds}
	before, err := r.stand(ctx)
	if err != nil {
		return out, err
	}
	watch := r.watch(ctx, before)
	traffic := r.busy(ctx)
	out.Kills, err = r.kill(ctx, plan)
	err = errors.Join(err, r.enough(ctx, before), traffic.end())
	broken := watch.end()
	if err != nil {
		return out, errors.Join(err, broken)
	}
	if broken != nil {
		out.Findings = append(out.Findings, broken.Error())
	}
	began := time.Now()
	limit, cancel := context.WithTimeout(ctx, r.opts.Within)
	defer cancel()
	stats, err := r.land.Settle(limit, r.lockstep, r.opts.Say)
	if err != nil {
		return out, err
	}
	out.Converged = time.Since(began).Seconds()
	out.Accepted = stats.Accepted - before.stats.Accepted
	return out, r.judge(ctx, before, stats, &out)
}

// judge compares what both systems show with what people said, and what the senders were told with what was accepted.
// Lockstep's own journal has to be sound, too.
func (r *Runner) judge(ctx context.Context, before standing, stats schema.Stats, out *Round) error {
	if err := r.land.Adopt(ctx, r.cast.All()); err != nil {
		return err
	}
	agreement, err := r.land.Compare(ctx, r.cast.All(), r.others)
	if err != nil {
		return err
	}
	ledger, err := r.land.Audit(ctx, r.cast.All())
	if err != nil {
		return err
	}
	after, err := r.acknowledged(ctx)
	if err != nil {
		return err
	}
	out.Lost, out.Doubled, out.Differences = agreement.Lost, agreement.Doubled+len(ledger.Doubled), agreement.Differences
	out.Records, out.Fields, out.Repeats = agreement.Records, agreement.Fields, ledger.Repeats
	out.Findings = append(out.Findings, agreement.Findings...)
	out.Findings = append(out.Findings, ledger.Findings()...)
	for source, sent := range after {
		want, got := sent-before.sent[source], stats.Sources[source].Accepted-before.stats.Sources[source].Accepted
		if got != want {
			out.Lost += int(max(0, want-got))
			out.Findings = append(out.Findings, fmt.Sprintf("%s was told %d times that an event is accepted, and %d were", source, want, got))
		}
	}
	for _, check := range []func() ([]string, error){
		func() ([]string, error) { return r.lockstep.Broken(ctx) },
		func() ([]string, error) { return r.land.Unique(ctx, r.others) },
		func() ([]string, error) { return r.land.Still(ctx, stillFor) },
		func() (findings []string, err error) {
			out.Runs, findings, err = checker.Stories(ctx, r.opts.At())
			return findings, err
		},
	} {
		findings, err := check()
		if err != nil {
			return err
		}
		out.Findings = append(out.Findings, findings...)
	}
	return nil
}

// stillFor is how long nothing may be written once everything is in step (INV-09).
const stillFor = time.Second

// standing is where the counters stand.
type standing struct {
	stats schema.Stats
	sent  map[string]int64
}

func (r *Runner) stand(ctx context.Context) (standing, error) {
	stats, err := r.stats(ctx)
	if err != nil {
		return standing{}, err
	}
	sent, err := r.acknowledged(ctx)
	return standing{stats: stats, sent: sent}, err
}

// acknowledged returns how many events each source's sender has a 2xx for.
func (r *Runner) acknowledged(ctx context.Context) (map[string]int64, error) {
	sent := map[string]int64{}
	for _, c := range r.land.Clients() {
		s, err := c.Sender(ctx)
		if err != nil {
			return nil, err
		}
		sent[c.System.Source] = int64(s.Sent)
	}
	return sent, nil
}

// returnsWithin is how long a killed part may stay away.
const returnsWithin = time.Minute

// stats asks until intake answers.
func (r *Runner) stats(ctx context.Context) (schema.Stats, error) {
	var stats schema.Stats
	err := until(ctx, returnsWithin, func() (err error) {
		stats, err = r.lockstep.Stats(ctx)
		return err
	})
	return stats, err
}

// until asks again and again until there is no error; the last one is returned when the time is over.
func until(ctx context.Context, within time.Duration, ask func() error) error {
	limit, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-limit.Done():
			return fmt.Errorf("chaos: after %s: %w", within, err)
		case <-tick.C:
		}
	}
}

// enough waits until the round has seen as many events as it has to, and every part is back.
func (r *Runner) enough(ctx context.Context, before standing) error {
	return until(ctx, r.opts.Within, func() error {
		stats, err := r.lockstep.Stats(ctx)
		if err != nil {
			return err
		}
		if n := stats.Accepted - before.stats.Accepted; n < r.opts.Events {
			return fmt.Errorf("only %d events were accepted", n)
		}
		return r.opts.At().Check()
	})
}
