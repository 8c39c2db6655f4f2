package telemetry

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"

	"lockstep/schema"
)

// Metrics are the service's instruments. They are safe for concurrent use and never fail a caller.
type Metrics struct {
	registry *prometheus.Registry
	provider *sdk.MeterProvider
	meter    metric.Meter
	labels   labels

	events, outcomes, calls, refusals, blind, ungoverned metric.Int64Counter
	callTime, signedAge                                  metric.Float64Histogram
	oldSecret                                            metric.Float64Gauge
}

var (
	// secondsBuckets reach from a look-up to the longest vendor call; the SDK's own are made for milliseconds.
	secondsBuckets = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300}
	// ageBuckets are the difference between our clock and the signed time, in seconds, both ways.
	ageBuckets = []float64{-300, -60, -10, -1, 0, 1, 10, 60, 300}
)

// seriesLimit bounds the series of one instrument, whatever goes wrong with its labels.
const seriesLimit = 2000

// NewMetrics returns the instruments over a registry of their own, with Go's and the process's metrics beside them.
func NewMetrics(names Names) (*Metrics, error) {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.Know(names)
	reader, err := exporter.New(exporter.WithRegisterer(m.registry), exporter.WithoutScopeInfo(), exporter.WithoutTargetInfo())
	if err != nil {
		return nil, err
	}
	m.provider = sdk.NewMeterProvider(sdk.WithReader(reader), sdk.WithView(view), sdk.WithCardinalityLimit(seriesLimit))
	m.meter = m.provider.Meter("lockstep")
	return m, errors.Join(
		m.registry.Register(collectors.NewGoCollector()),
		m.registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
		m.instruments(),
	)
}

// view keeps labels that are not listed out of every instrument, ours and the Temporal SDK's.
func view(i sdk.Instrument) (sdk.Stream, bool) {
	stream := sdk.Stream{Name: i.Name, Description: i.Description, Unit: i.Unit, AttributeFilter: shown}
	if i.Kind == sdk.InstrumentKindHistogram {
		buckets := secondsBuckets
		if i.Name == signedAgeName {
			buckets = ageBuckets
		}
		stream.Aggregation = sdk.AggregationExplicitBucketHistogram{Boundaries: buckets}
	}
	return stream, true
}

const signedAgeName = "lockstep.signed.age"

func (m *Metrics) instruments() (err error) {
	counter := func(name, description string) (c metric.Int64Counter) {
		c, e := m.meter.Int64Counter(name, metric.WithDescription(description))
		err = errors.Join(err, e)
		return c
	}
	histogram := func(name, description string) (h metric.Float64Histogram) {
		h, e := m.meter.Float64Histogram(name, metric.WithDescription(description), metric.WithUnit("s"))
		err = errors.Join(err, e)
		return h
	}
	m.events = counter("lockstep.events", "Events that came in, by source, result and reason of the refusal.")
	m.outcomes = counter("lockstep.outcomes", "Events that ended, by source and outcome.")
	m.calls = counter("lockstep.vendor.calls", "Vendor calls, by system, operation and kind of failure.")
	m.refusals = counter("lockstep.signature.failures", "Requests that could not be authenticated, by source and cause.")
	m.ungoverned = counter("lockstep.ungoverned.fields", "Fields of accepted events that the integration map says nothing about, by source.")
	m.blind = counter("lockstep.observation.failures", "Scrapes for which the database could not be read.")
	m.callTime = histogram("lockstep.vendor.call.duration", "How long vendor calls took, by system and operation.")
	m.signedAge = histogram(signedAgeName, "Our time less the signed time of accepted requests, by source.")
	gauge, e := m.meter.Float64Gauge("lockstep.old.secret.last.used", metric.WithUnit("s"),
		metric.WithDescription("When a source last signed with the secret that is to be retired, in seconds since 1970."))
	m.oldSecret = gauge
	return errors.Join(err, e)
}

// Handler serves the metrics in Prometheus' formats. It belongs on the loopback listener.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 2})
}

// Close ends the instruments; what is counted later is lost.
func (m *Metrics) Close(ctx context.Context) error { return m.provider.Shutdown(ctx) }

// Accepted counts events that were taken for good.
func (m *Metrics) Accepted(ctx context.Context, source string, n int) {
	m.events.Add(ctx, int64(n), m.labels.set("source", m.labels.source(source), "result", "accepted", "reason", none))
}

// Duplicate counts an event that had been taken before.
func (m *Metrics) Duplicate(ctx context.Context, source string) {
	m.events.Add(ctx, 1, m.labels.set("source", m.labels.source(source), "result", "duplicate", "reason", none))
}

// Refused counts an event that was not taken.
func (m *Metrics) Refused(ctx context.Context, source string, reason schema.Reason) {
	m.events.Add(ctx, 1, m.labels.set("source", m.labels.source(source), "result", "refused", "reason", reasonLabel(reason)))
}

// Ungoverned counts fields that came in and that the integration map says nothing about: a source that begins to send
// more shows here. Source: reliability A15.
func (m *Metrics) Ungoverned(ctx context.Context, source string, n int) {
	m.ungoverned.Add(ctx, int64(n), m.labels.set("source", m.labels.source(source)))
}

// Ended counts events that came to their outcome.
func (m *Metrics) Ended(ctx context.Context, source string, outcome schema.Outcome, n int) {
	m.outcomes.Add(ctx, int64(n), m.labels.set("source", m.labels.source(source), "outcome", outcomeLabel(outcome)))
}

// Called counts and times a vendor call; kind is empty when it succeeded.
func (m *Metrics) Called(ctx context.Context, system string, op schema.Op, kind schema.Kind, took time.Duration) {
	system, operation := m.labels.system(system), opLabel(op)
	m.calls.Add(ctx, 1, m.labels.set("system", system, "op", operation, "kind", kindLabel(kind)))
	m.callTime.Record(ctx, took.Seconds(), m.labels.set("system", system, "op", operation))
}

// Unauthorised counts a request whose signature did not hold. The cause is one of Names.Causes.
func (m *Metrics) Unauthorised(ctx context.Context, source, cause string) {
	m.refusals.Add(ctx, 1, m.labels.set("source", m.labels.source(source), "cause", m.labels.cause(cause)))
}

// Signed records the age of an accepted signature; negative when the sender's clock is ahead. Source: reliability A08.
func (m *Metrics) Signed(ctx context.Context, source string, age time.Duration) {
	m.signedAge.Record(ctx, age.Seconds(), m.labels.set("source", m.labels.source(source)))
}

// OldSecret records that a source signed with an old secret. Source: reliability A07.
func (m *Metrics) OldSecret(ctx context.Context, source string, at time.Time) {
	m.oldSecret.Record(ctx, float64(at.UnixMilli())/1000, m.labels.set("source", m.labels.source(source)))
}

// Snapshot is what the database says of this moment, in one reading, so that the numbers fit together.
type Snapshot struct {
	// OpenEvents counts events without an outcome, by state.
	OpenEvents map[schema.EventState]int64
	// OldestWaiting is the age of the oldest event without an outcome; 0 when there is none.
	OldestWaiting time.Duration
	Deliveries    []Deliveries
	Claims        []Claims
	Slots         []Slots
}

// Deliveries counts deliveries of a system.
type Deliveries struct {
	System string
	Op     schema.Op
	State  schema.DeliveryState
	Count  int64
}

// Claims counts open claims of a system.
type Claims struct {
	System string
	Kind   schema.ClaimKind
	Count  int64
}

// Slots counts a system's slots.
type Slots struct {
	System      string
	Taken, Free int64
}

// readTimeout bounds the reading of one scrape.
const readTimeout = 2 * time.Second

// Observe has the database read at each scrape. A reading that fails leaves the gauges out of that scrape and is
// counted. Call it once.
func (m *Metrics) Observe(read func(context.Context) (Snapshot, error)) error {
	var err error
	gauge := func(name, description string) (g metric.Int64ObservableGauge) {
		g, e := m.meter.Int64ObservableGauge(name, metric.WithDescription(description))
		err = errors.Join(err, e)
		return g
	}
	open := gauge("lockstep.open.events", "Events without an outcome, by state.")
	deliveries := gauge("lockstep.deliveries", "Deliveries, by system, operation and state.")
	claims := gauge("lockstep.claims", "Open claims, by system and kind.")
	slots := gauge("lockstep.slots", "Slots, by system and state.")
	oldest, oldestErr := m.meter.Float64ObservableGauge("lockstep.oldest.waiting", metric.WithUnit("s"),
		metric.WithDescription("Age of the oldest event without an outcome."))
	if err = errors.Join(err, oldestErr); err != nil {
		return err
	}
	_, err = m.meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		now, err := read(ctx)
		if err != nil {
			m.blind.Add(ctx, 1) // the error itself would go to OpenTelemetry's own log
			return nil
		}
		for _, state := range eventStates {
			o.ObserveInt64(open, now.OpenEvents[state], m.labels.set("state", string(state)))
		}
		o.ObserveFloat64(oldest, now.OldestWaiting.Seconds())
		for _, d := range now.Deliveries {
			o.ObserveInt64(deliveries, d.Count,
				m.labels.set("system", m.labels.system(d.System), "op", opLabel(d.Op), "state", deliveryLabel(d.State)))
		}
		for _, c := range now.Claims {
			o.ObserveInt64(claims, c.Count, m.labels.set("system", m.labels.system(c.System), "kind", claimLabel(c.Kind)))
		}
		for _, s := range now.Slots {
			o.ObserveInt64(slots, s.Taken, m.labels.set("system", m.labels.system(s.System), "state", "taken"))
			o.ObserveInt64(slots, s.Free, m.labels.set("system", m.labels.system(s.System), "state", "free"))
		}
		return nil
	}, open, oldest, deliveries, claims, slots)
	return err
}

// shown is the list of labels.
var shown = attribute.NewAllowKeysFilter(
	"source", "result", "reason", "outcome", "system", "op", "kind", "state", "cause",
	"namespace", "task_queue", "workflow_type", "activity_type", "worker_type", "poller_type", "operation", "failure_reason",
	"status_code",
)
