package telemetry

import (
	"slices"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"lockstep/schema"
)

const (
	// other stands for every label value that is not known.
	other = "other"
	// none stands for no value.
	none = "none"
)

// Names are the configured label values. Everything else is counted under `other`.
type Names struct {
	// Sources and Systems are the map's.
	Sources, Systems []string
	// Causes are those of signature failures.
	Causes []string
	// Temporal are namespaces, task queues, workflow and activity types.
	Temporal []string
}

// labels keeps label values within their lists.
type labels struct {
	mu    sync.Mutex
	known atomic.Pointer[Names]
	// sets are the label sets made so far: as many as there are series.
	sets sync.Map
}

// Know adds names, as when another map becomes active. Names are never forgotten: their series go on.
func (m *Metrics) Know(names Names) {
	m.labels.mu.Lock()
	defer m.labels.mu.Unlock()
	now := Names{}
	if before := m.labels.known.Load(); before != nil {
		now = *before
	}
	add := func(list, more []string) []string {
		list = append(slices.Clone(list), more...)
		slices.Sort(list)
		return slices.Compact(list)
	}
	m.labels.known.Store(&Names{
		Sources: add(now.Sources, names.Sources), Systems: add(now.Systems, names.Systems),
		Causes: add(now.Causes, names.Causes), Temporal: add(now.Temporal, names.Temporal),
	})
}

func (l *labels) source(name string) string { return within(l.known.Load().Sources, name) }
func (l *labels) system(name string) string { return within(l.known.Load().Systems, name) }
func (l *labels) cause(name string) string  { return within(l.known.Load().Causes, name) }

// temporal returns a name of ours as the Temporal SDK tells it.
func (l *labels) temporal(name string) string {
	if name == none {
		return none
	}
	return within(l.known.Load().Temporal, name)
}

// within returns the value if the sorted list has it.
func within(list []string, value string) string {
	if _, found := slices.BinarySearch(list, value); found {
		return value
	}
	return other
}

// set returns the option for names and values in turn, made once for each combination.
func (l *labels) set(pairs ...string) metric.MeasurementOption {
	var key [6]string
	copy(key[:], pairs)
	if option, made := l.sets.Load(key); made {
		return option.(metric.MeasurementOption) //nolint:errcheck // the map holds nothing else
	}
	attributes := make([]attribute.KeyValue, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		attributes = append(attributes, attribute.String(pairs[i], pairs[i+1])) //nolint:gosec // pairs are two by two
	}
	option := metric.WithAttributeSet(attribute.NewSet(attributes...))
	l.sets.Store(key, option)
	return option
}

// The enumerated values.
var (
	eventStates    = []schema.EventState{schema.EventNew, schema.EventDecided, schema.EventHeld}
	deliveryStates = []schema.DeliveryState{
		schema.DeliveryIdle, schema.DeliveryReady, schema.DeliveryClaimed, schema.DeliveryParked,
	}
	claimKinds = []schema.ClaimKind{schema.ClaimBatch, schema.ClaimSingle, schema.ClaimTogether}
	ops        = []schema.Op{
		schema.OpWrite, schema.OpLink, schema.OpCreate, schema.OpRead, schema.OpFind, schema.OpDelete, schema.OpSteps,
	}
)

func enumerated[T ~string](list []T, value T) string {
	if slices.Contains(list, value) {
		return string(value)
	}
	return other
}

func opLabel(op schema.Op) string                     { return enumerated(ops, op) }
func deliveryLabel(state schema.DeliveryState) string { return enumerated(deliveryStates, state) }
func claimLabel(kind schema.ClaimKind) string         { return enumerated(claimKinds, kind) }
func outcomeLabel(outcome schema.Outcome) string      { return enumerated(schema.Outcomes, outcome) }

func kindLabel(kind schema.Kind) string {
	if kind == "" {
		return none
	}
	return enumerated(schema.Kinds, kind)
}

func reasonLabel(reason schema.Reason) string {
	if reason.Known() {
		return string(reason)
	}
	return other
}
