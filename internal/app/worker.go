package app

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"lockstep/activities"
	"lockstep/workflows"
)

const (
	// margin is how much later than our own deadline an answer of a vendor may still change something there.
	margin = 2 * time.Second
	// callsAtOnce bounds the vendor calls of one process and system.
	callsAtOnce = 16
	// connectPause is how long a worker waits before it asks again for a Temporal that is not there.
	connectPause = time.Second
)

// workerPart wires the workers: one for the workflows and our own database, one for each system's vendor calls.
func (p *process) workerPart(temporal client.Client) (part, error) {
	allowances := newAllowances(p.journal, p.log.Logger)
	systems, err := p.connect(p.log.Logger, allowances.hear)
	if err != nil {
		return nil, err
	}
	protect, err := p.protector()
	if err != nil {
		return nil, err
	}
	acts := &activities.Activities{
		Journal: p.journal, Map: p.bundle.Map, Rulesets: p.bundle.Rulesets, Systems: systems, Protect: protect,
		WhoCancelled: whoCancelled(temporal), Margin: margin, Jitter: rand.Float64,
	}
	acts.Observe = func(call activities.Observed) {
		p.metrics.Called(context.Background(), call.System, call.Op, call.Kind, call.Took)
	}
	return func(ctx context.Context) error {
		ctx, stop := context.WithCancel(ctx)
		var hearing sync.WaitGroup
		defer hearing.Wait()
		defer stop()
		hearing.Go(func() { allowances.run(ctx) })
		return p.work(ctx, temporal, acts)
	}, nil
}

// work starts the workers, waiting for Temporal for as long as it takes, and stops them when the context ends.
func (p *process) work(ctx context.Context, temporal client.Client, acts *activities.Activities) error {
	for waited := false; ; waited = true {
		stop, err := p.startWorkers(ctx, temporal, acts)
		if err == nil {
			p.log.Info("the workers poll")
			<-ctx.Done()
			stop()
			return nil
		}
		if !waited {
			p.log.Warn("Temporal does not answer; the workers wait for it", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(connectPause):
		}
	}
}

func (p *process) startWorkers(ctx context.Context, temporal client.Client, acts *activities.Activities) (stop func(), err error) {
	limit, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := p.limitQueues(limit, temporal); err != nil {
		return nil, err
	}
	workers := []worker.Worker{p.storyWorker(temporal, acts)}
	for name := range acts.Systems {
		workers = append(workers, p.callWorker(temporal, acts, name))
	}
	for i, w := range workers {
		if err := w.Start(); err != nil {
			for _, started := range workers[:i] {
				started.Stop()
			}
			return nil, fmt.Errorf("temporal: %w", err)
		}
	}
	return func() {
		for _, w := range workers {
			w.Stop()
		}
	}, nil
}

func (p *process) storyWorker(temporal client.Client, acts *activities.Activities) worker.Worker {
	w := worker.New(temporal, workflows.QueueSync, worker.Options{
		WorkerStopTimeout: p.Stop, DisableRegistrationAliasing: true,
		WorkflowTaskPollerBehavior: worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{}),
		ActivityTaskPollerBehavior: worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{MaximumNumberOfPollers: 4}),
	})
	workflows.Register(w)
	acts.RegisterOwn(w)
	return w
}

func (p *process) callWorker(temporal client.Client, acts *activities.Activities, system string) worker.Worker {
	w := worker.New(temporal, workflows.QueueOf(system), worker.Options{
		WorkerStopTimeout: p.Stop, DisableRegistrationAliasing: true, DisableWorkflowWorker: true,
		MaxConcurrentActivityExecutionSize: callsAtOnce,
		// Else the SDK keeps most heartbeats to itself, and a cancellation is heard of late.
		MaxHeartbeatThrottleInterval: activities.HeartbeatInterval,
		ActivityTaskPollerBehavior:   worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{MaximumNumberOfPollers: callsAtOnce}),
	})
	acts.RegisterCalls(w)
	return w
}
