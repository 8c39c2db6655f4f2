package dispatch

import (
	"context"
	"errors"
	"sync"
	"time"

	"lockstep/schema"
)

// decideWatch runs the deciders and keeps saying that they live. After a crash, of this process or of another, records
// are decided one by one, each try counted before it is made, until the backlog of that moment is over: whatever killed
// the process is buried after three tries (protocol F18).
func (d *Dispatcher) decideWatch(ctx context.Context) {
	var id int64
	var crashed bool
	for ctx.Err() == nil {
		var err error
		if id, crashed, err = d.o.Journal.BeginDeciding(ctx); err == nil {
			break
		}
		d.trouble(ctx, "begin", err)
		pause(ctx, nap)
	}
	careful := &caution{}
	if crashed {
		d.takeCare(ctx, careful)
	}
	var wg sync.WaitGroup
	for range d.o.Deciders {
		wg.Go(func() { d.decideLoop(ctx, careful) })
	}
	for pause(ctx, beat); ctx.Err() == nil; pause(ctx, beat) {
		crashed, err := d.o.Journal.StillDeciding(ctx, id)
		d.trouble(ctx, "beat", err)
		if crashed {
			d.takeCare(ctx, careful)
		}
	}
	wg.Wait()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := d.o.Journal.EndDeciding(end, id); err != nil {
		d.o.Log.Warn("a clean end could not be noted", "component", "dispatch", "error", err.Error())
	}
}

// caution says up to which sequence records are decided one by one.
type caution struct {
	mu    sync.Mutex
	until int64
}

func (c *caution) needed() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.until
}

func (c *caution) set(until int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = until
}

func (d *Dispatcher) takeCare(ctx context.Context, c *caution) {
	until, err := d.o.Journal.LastSequence(ctx)
	if err != nil {
		d.trouble(ctx, "care", err)
		return
	}
	c.set(until)
	if until > 0 {
		d.o.Log.Warn("a decider ended without a word; records are decided one by one for now", "component", "dispatch")
	}
}

// decideLoop decides whatever is new, the most urgent lane first, and sleeps when there is nothing.
func (d *Dispatcher) decideLoop(ctx context.Context, careful *caution) {
	low := map[schema.Lane]int64{}
	reset := d.o.Now()
	for ctx.Err() == nil {
		if now := d.o.Now(); now.Sub(reset) > lowReset {
			clear(low)
			reset = now
		}
		worked := false
		for _, lane := range schema.Lanes {
			if until := careful.needed(); until > 0 {
				worked = d.decideCarefully(ctx, lane, until) || worked
				continue
			}
			done, err := d.decideOnce(ctx, schema.DecideQuery{Lane: lane, Low: low[lane]})
			if err != nil {
				d.trouble(ctx, "decide", err)
				continue
			}
			if done.Low > 0 {
				low[lane] = done.Low
			}
			worked = worked || done.Records > 0
			if done.Ready {
				d.claim.ring()
			}
		}
		if !worked {
			careful.set(0)
			// Whatever is let go of next, a held event among them, may lie below the bound; an idle loop can afford to look.
			clear(low)
			d.decide.sleep(ctx, nap)
		}
	}
}

// decideCarefully decides one record of a lane with an event up to a sequence. It reports whether there was one.
func (d *Dispatcher) decideCarefully(ctx context.Context, lane schema.Lane, until int64) bool {
	record, err := d.o.Journal.CountTry(ctx, lane, until)
	if err == nil && record != (schema.ID{}) {
		_, err = d.decideOnce(ctx, schema.DecideQuery{Lane: lane, Only: record})
	}
	d.trouble(ctx, "care", err)
	return err != nil || record != (schema.ID{})
}

func (d *Dispatcher) decideOnce(ctx context.Context, q schema.DecideQuery) (schema.Decided, error) {
	d.gate.RLock()
	defer d.gate.RUnlock()
	done, err := d.o.Journal.Decide(ctx, q, d.decider.decide)
	if errors.Is(err, schema.ErrOtherBundle) {
		// Somebody else decides under the active map; this process waits to be replaced.
		pause(ctx, time.Second)
		return schema.Decided{}, nil
	}
	return done, err
}

// claimLoop claims whatever is ready, the most urgent lane first, and starts its workflows.
func (d *Dispatcher) claimLoop(ctx context.Context) {
	var starting sync.WaitGroup
	defer starting.Wait()
	seats := make(chan struct{}, startsAtOnce)
	for ctx.Err() == nil {
		claims, err := d.claimOnce(ctx)
		d.trouble(ctx, "claim", err)
		for _, c := range claims {
			seats <- struct{}{}
			starting.Go(func() {
				defer func() { <-seats }()
				d.start(ctx, c)
			})
		}
		if len(claims) == 0 {
			d.claim.sleep(ctx, nap)
		}
	}
}

// claimOnce makes at most one claim of each group that is ready, so that no group waits for a long one before it.
func (d *Dispatcher) claimOnce(ctx context.Context) ([]schema.Claim, error) {
	d.gate.RLock()
	defer d.gate.RUnlock()
	groups, err := d.o.Journal.Ready(ctx)
	if err != nil {
		return nil, err
	}
	var claims []schema.Claim
	for _, g := range groups {
		bulk, calls := d.o.Sizes(g.System, g.Op)
		if bulk == 0 {
			continue
		}
		c, ok, err := d.o.Journal.Claim(ctx, schema.ClaimQuery{System: g.System, Object: g.Object, Op: g.Op, Lane: g.Lane, Bulk: bulk, Calls: calls})
		if err != nil {
			return claims, err
		}
		if ok {
			claims = append(claims, c)
		}
	}
	return claims, nil
}

func (d *Dispatcher) start(ctx context.Context, c schema.Claim) {
	if err := d.o.Start(ctx, c); err != nil && ctx.Err() == nil {
		d.o.Log.Warn("a workflow could not be started; the sweep will try again", "component", "dispatch", "claim", c.ID.String(), "system", c.System)
	}
}

// sweepLoop starts the claims again that nobody heard of for a while.
func (d *Dispatcher) sweepLoop(ctx context.Context) {
	for pause(ctx, sweepPause); ctx.Err() == nil; pause(ctx, sweepPause) {
		claims, err := d.o.Journal.Sweep(ctx)
		d.trouble(ctx, "sweep", err)
		for _, c := range claims {
			d.start(ctx, c)
		}
	}
}
