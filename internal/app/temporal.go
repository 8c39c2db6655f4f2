package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"lockstep/activities"
	"lockstep/internal/telemetry"
	"lockstep/rules"
	"lockstep/schema"
	"lockstep/workflows"
)

// temporalClient connects when it is first used: nobody waits for Temporal at start-up.
func (w *wiring) temporalClient(identity string, log *slog.Logger, metrics client.MetricsHandler) (client.Client, error) {
	converter := workflows.DataConverter()
	c, err := client.NewLazyClient(client.Options{
		HostPort: w.Temporal, Namespace: w.Namespace, Identity: identity, Logger: telemetry.TemporalLog(log), MetricsHandler: metrics,
		DataConverter:    converter,
		FailureConverter: temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{DataConverter: converter}),
	})
	if err != nil {
		return nil, fmt.Errorf("temporal: %w", err)
	}
	return c, nil
}

// policy says how patient the workflows of a claim are. It travels in their input, so the map may change under them.
func (w *wiring) policy(c schema.Claim) activities.Policy {
	def := w.bundle.Map.Systems[c.System]
	importance := schema.ImportanceNormal
	if rs := w.bundle.Rulesets[c.Object]; rs != nil {
		importance = rs.Importance(c.System)
	}
	p := w.bundle.Map.Importance[importance]
	return activities.Policy{
		Call:          def.Timeout.Or(callTimeout),
		Moment:        30 * time.Second,
		First:         p.First.Or(time.Second),
		Longest:       p.Longest.Or(5 * time.Minute),
		EscalateAfter: p.EscalateAfter.Or(10 * time.Minute),
		GiveUp:        24 * time.Hour,
	}
}

// starter returns what starts the workflow of a claim.
func (w *wiring) starter(c client.Client) func(ctx context.Context, claim schema.Claim) error {
	return func(ctx context.Context, claim schema.Claim) error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		options, name, input := workflows.Start(claim, w.bundle.Map.Objects[claim.Object].Owner, w.bundle.Digest, w.policy(claim))
		_, err := c.ExecuteWorkflow(ctx, options, name, input)
		return err
	}
}

// limitQueues sets the ceiling of each system's vendor calls on its task queue: one number for all workers, whoever
// polled last (protocol F22).
func (w *wiring) limitQueues(ctx context.Context, c client.Client) error {
	for name, def := range w.bundle.Map.Systems {
		if def.Kind == rules.SourceKind {
			continue
		}
		_, err := c.WorkflowService().UpdateTaskQueueConfig(ctx, &workflowservice.UpdateTaskQueueConfigRequest{
			Namespace: w.Namespace, Identity: "lockstep", TaskQueue: workflows.QueueOf(name), TaskQueueType: enumspb.TASK_QUEUE_TYPE_ACTIVITY,
			UpdateQueueRateLimit: &workflowservice.UpdateTaskQueueConfigRequest_RateLimitUpdate{
				RateLimit: &taskqueuepb.RateLimit{RequestsPerSecond: float32(def.CallRate.PerSecond())}, Reason: "call_rate of the integration map",
			},
		})
		if err != nil {
			return fmt.Errorf("temporal: rate of %s: %w", name, err)
		}
	}
	return nil
}

// whoCancelled reads from a run's history who asked for its end.
func whoCancelled(c client.Client) func(ctx context.Context, workflowID, runID string) (string, error) {
	return func(ctx context.Context, workflowID, runID string) (string, error) {
		who := ""
		history := c.GetWorkflowHistory(ctx, workflowID, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for history.HasNext() {
			event, err := history.Next()
			if err != nil {
				return "", err
			}
			if a := event.GetWorkflowExecutionCancelRequestedEventAttributes(); a != nil {
				who = a.GetIdentity()
			}
		}
		return who, nil
	}
}
