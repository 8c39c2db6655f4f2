package telemetry

import (
	"context"
	"log/slog"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/log"
)

// TemporalLog returns a logger as the Temporal SDK wants it. The SDK's own keys come out under ours.
func TemporalLog(logger *slog.Logger) log.Logger { return log.NewStructuredLogger(logger) }

// Temporal returns the handler for the Temporal SDK's own metrics: one on the client covers its workers.
func (m *Metrics) Temporal() client.MetricsHandler {
	inner := opentelemetry.NewMetricsHandler(opentelemetry.MetricsHandlerOptions{
		Meter:                m.provider.Meter("temporal"),
		OnError:              func(error) { m.blind.Add(context.Background(), 1) },
		UseMonotonicCounters: true,
	})
	return temporalMetrics{inner, &m.labels}
}

// temporalMetrics bounds the SDK's tags: names of ours are known, the rest are constants of the SDK.
type temporalMetrics struct {
	client.MetricsHandler
	labels *labels
}

// WithTags returns a handler with more tags.
func (t temporalMetrics) WithTags(tags map[string]string) client.MetricsHandler {
	bounded := make(map[string]string, len(tags))
	for key, value := range tags {
		switch key {
		case "namespace", "task_queue", "workflow_type", "activity_type":
			bounded[key] = t.labels.temporal(value)
		case "worker_type", "poller_type", "operation", "failure_reason", "status_code", "cause":
			bounded[key] = constant(value)
		}
	}
	return temporalMetrics{t.MetricsHandler.WithTags(bounded), t.labels}
}

// constant returns a value that looks like an identifier.
func constant(value string) string {
	const longest = 64
	for i := range len(value) {
		c := value[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_') {
			return other
		}
	}
	if len(value) > longest {
		return other
	}
	return value
}
