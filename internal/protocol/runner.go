package protocol

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/temporal"

	"lockstep/activities"
	"lockstep/schema"
	"lockstep/workflows"
)

// ErrDied is a death at a crash point: whatever ran forgets everything.
var ErrDied = errors.New("died")

// Mortal is a journal whose caller may die right before or right after each of its steps.
type Mortal struct {
	activities.Journal
	// Chance of dying at each point.
	Chance float64
	Deaths atomic.Int64
}

func (m *Mortal) die() bool {
	if rand.Float64() < m.Chance {
		m.Deaths.Add(1)
		return true
	}
	return false
}

// OpenCall may die before, and after its commit before the first byte goes out.
func (m *Mortal) OpenCall(ctx context.Context, q schema.OpenQuery, render schema.Renderer) (schema.Opening, error) {
	if m.die() {
		return schema.Opening{}, ErrDied
	}
	o, err := m.Journal.OpenCall(ctx, q, render)
	if err == nil && m.die() {
		return schema.Opening{}, ErrDied
	}
	return o, err
}

// CloseCall may die before, with the vendor's answer lost, and after, with the result lost.
func (m *Mortal) CloseCall(ctx context.Context, call schema.Call, told []*schema.Item, settle schema.Settler) (bool, error) {
	if m.die() {
		return false, ErrDied
	}
	late, err := m.Journal.CloseCall(ctx, call, told, settle)
	if err == nil && m.die() {
		return false, ErrDied
	}
	return late, err
}

// Runner stands in for Temporal: it runs what a claim's workflow would, one run for an id at a time, retries with the
// delays that the activities ask for, and forgets runs that die. The sweep starts them again.
type Runner struct {
	Activities *activities.Activities
	Policy     activities.Policy
	Log        func(c schema.Claim, part int, r activities.ApplyResult, err error)

	mu      sync.Mutex
	running map[string]bool
	wg      sync.WaitGroup
	// Attempts counts tries of vendor calls, Folded starts of runs that were running.
	Attempts, Folded atomic.Int64
}

// Start starts the run of a claim, or folds into the one that runs.
func (r *Runner) Start(ctx context.Context, c schema.Claim) error {
	id := workflows.ID(c)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running == nil {
		r.running = map[string]bool{}
	}
	if r.running[id] {
		r.Folded.Add(1)
		return nil
	}
	r.running[id] = true
	r.wg.Go(func() {
		defer func() {
			r.mu.Lock()
			delete(r.running, id)
			r.mu.Unlock()
		}()
		r.run(ctx, c)
	})
	return nil
}

// Wait waits for every run to end.
func (r *Runner) Wait() { r.wg.Wait() }

func (r *Runner) run(ctx context.Context, c schema.Claim) {
	var parts sync.WaitGroup
	for part := range max(1, c.Parts) {
		parts.Go(func() { r.runPart(ctx, c, part) })
	}
	parts.Wait()
}

func (r *Runner) runPart(ctx context.Context, c schema.Claim, part int) {
	in := activities.ApplyInput{Claim: c.ID, Part: part, System: c.System, Single: c.Kind == schema.ClaimSingle, Policy: r.Policy}
	asked := time.Now()
	for n := 1; ctx.Err() == nil; n++ {
		r.Attempts.Add(1)
		res, err := r.Activities.Attempt(ctx, in, n, time.Since(asked))
		if r.Log != nil {
			r.Log(c, part, res, err)
		}
		var app *temporal.ApplicationError
		switch {
		case err == nil && res.Done:
			return
		case err == nil:
			asked, n = time.Now(), 0
			continue
		case errors.Is(err, ErrDied), !errors.As(err, &app):
			return
		case app.Message() == "journal" && rand.IntN(2) == 0:
			// Deaths come back through the translator as trouble of the journal; half of them stay dead.
			return
		case app.Type() == activities.ErrorGiveBack:
			var t activities.Trouble
			if app.Details(&t) == nil {
				_, _ = r.Activities.Journal.GiveBack(ctx, c.ID, t.Reason, t.Pause)
			}
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(app.NextRetryDelay()):
		}
	}
}
