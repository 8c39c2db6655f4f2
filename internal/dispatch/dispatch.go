package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"lockstep/schema"
)

// Journal is the database as this role needs it.
type Journal interface {
	Decide(ctx context.Context, q schema.DecideQuery, decide schema.Decider) (schema.Decided, error)
	CountTry(ctx context.Context, lane schema.Lane, until int64) (schema.ID, error)
	ReleaseHeld(ctx context.Context) (int64, error)
	JoinWanted(ctx context.Context) (schema.ID, error)
	BeginDeciding(ctx context.Context) (id int64, afterCrash bool, err error)
	StillDeciding(ctx context.Context, id int64) (crashed bool, err error)
	EndDeciding(ctx context.Context, id int64) error
	LastSequence(ctx context.Context) (int64, error)
	CheckEpoch(ctx context.Context) (working bool, err error)
	Ready(ctx context.Context) ([]schema.ReadyGroup, error)
	Claim(ctx context.Context, q schema.ClaimQuery) (schema.Claim, bool, error)
	Sweep(ctx context.Context) ([]schema.Claim, error)
	Listen(ctx context.Context, wake func(schema.Topic))
}

// Sizes says how many records one call of an operation holds in a system, and how many calls a claim.
type Sizes func(system string, op schema.Op) (bulk, calls int)

// Start starts the workflow of a claim. Its failure needs nothing: the sweep starts it again.
type Start func(ctx context.Context, c schema.Claim) error

// Options make a dispatcher.
type Options struct {
	Journal Journal
	Bundle  Bundle
	Sizes   Sizes
	Start   Start
	Log     *slog.Logger
	// Deciders is how many decide at once; 0 means 2.
	Deciders int
	Now      func() time.Time
}

// Dispatcher is the role.
type Dispatcher struct {
	o       Options
	decider *decider
	decide  alarmClock
	claim   alarmClock
	// gate is closed while the journal must not be worked on, after a restore.
	gate sync.RWMutex
}

const (
	// nap is how long a loop sleeps when nobody wakes it: what a lost wake-up costs at most.
	nap = 250 * time.Millisecond
	// beat is how often a decider says that it lives; ten seconds of silence count as a crash.
	beat = 2 * time.Second
	// lowReset is how often the low-water bound starts anew: a row that committed late lies below it.
	lowReset = 5 * time.Second
	// sweepPause is how often late claims are looked for.
	sweepPause = time.Second
	// epochPause is how often it is asked whether the journal was restored.
	epochPause = 5 * time.Second
	// startsAtOnce bounds the workflows being started at one time.
	startsAtOnce = 8
)

// New returns a dispatcher.
func New(o Options) *Dispatcher {
	if o.Deciders == 0 {
		o.Deciders = 2
	}
	return &Dispatcher{o: o, decider: &decider{bundle: o.Bundle, now: o.Now}, decide: newAlarmClock(), claim: newAlarmClock()}
}

// Run works until the context ends. It returns once every loop is over.
func (d *Dispatcher) Run(ctx context.Context) {
	// Opened by keepEpoch once it knows that the journal was not restored.
	d.gate.Lock()
	var wg sync.WaitGroup
	for _, loop := range []func(context.Context){
		d.listen, d.keepEpoch, d.release, d.claimLoop, d.sweepLoop, d.decideWatch,
	} {
		wg.Go(func() { loop(ctx) })
	}
	wg.Wait()
}

// Wake makes the loops look at once; processes that share a database wake each other through it.
func (d *Dispatcher) Wake(t schema.Topic) {
	if t == schema.TopicDecide {
		d.decide.ring()
	}
	d.claim.ring()
}

func (d *Dispatcher) listen(ctx context.Context) { d.o.Journal.Listen(ctx, d.Wake) }

// keepEpoch stops deciding and claiming once the database turns out to have been restored, until an operator says that
// it has been made good (protocol F11).
func (d *Dispatcher) keepEpoch(ctx context.Context) {
	shut, told := true, false
	for pause(ctx, 0); ctx.Err() == nil; pause(ctx, epochPause) {
		working, err := d.o.Journal.CheckEpoch(ctx)
		if err != nil {
			d.trouble(ctx, "epoch", err)
			continue
		}
		if working && told {
			d.o.Log.Info("the journal is recovered; work goes on", "component", "dispatch")
		}
		if !working && !told {
			d.o.Log.Error("the journal was restored; nothing is decided until `lockstep journal recover`", "component", "dispatch")
		}
		if working == shut {
			if working {
				d.gate.Unlock()
			} else {
				d.gate.Lock()
			}
		}
		shut, told = !working, !working
	}
	if shut {
		d.gate.Unlock()
	}
}

// release has held events decided again whose time has come, and records that wait to become one with another.
func (d *Dispatcher) release(ctx context.Context) {
	for pause(ctx, nap); ctx.Err() == nil; pause(ctx, 2*nap) {
		if _, err := d.o.Journal.ReleaseHeld(ctx); err != nil {
			d.trouble(ctx, "release", err)
			continue
		}
		record, err := d.o.Journal.JoinWanted(ctx)
		if err == nil && record != (schema.ID{}) {
			_, err = d.decideOnce(ctx, schema.DecideQuery{Only: record})
		}
		d.trouble(ctx, "join", err)
	}
}

// trouble logs what went wrong with the database, unless it is only a race or the end.
func (d *Dispatcher) trouble(ctx context.Context, what string, err error) {
	if err == nil || ctx.Err() != nil || errors.Is(err, schema.ErrRaced) {
		return
	}
	d.o.Log.WarnContext(ctx, "the journal did not go along", "step", what, "error", err)
}

// alarmClock wakes a sleeper; ringing twice is ringing once.
type alarmClock chan struct{}

func newAlarmClock() alarmClock { return make(alarmClock, 1) }

func (a alarmClock) ring() {
	select {
	case a <- struct{}{}:
	default:
	}
}

// sleep waits for a ring, at most for d.
func (a alarmClock) sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-a:
	case <-t.C:
	}
}

// pause waits for d or the end of the context.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
