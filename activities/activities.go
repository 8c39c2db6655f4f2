package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/worker"

	"lockstep/connectors"
	"lockstep/rules"
	"lockstep/schema"
)

// Journal is the database as the activities need it.
type Journal interface {
	OpenCall(ctx context.Context, q schema.OpenQuery, render schema.Renderer) (schema.Opening, error)
	CloseCall(ctx context.Context, call schema.Call, told []*schema.Item, settle schema.Settler) (late bool, err error)
	FailCall(ctx context.Context, call schema.Call, kind schema.Kind, until time.Time) error
	GiveBack(ctx context.Context, claim schema.ID, reason schema.Reason, pause time.Duration) (bool, error)
	Park(ctx context.Context, claim schema.ID, reason schema.Reason, owner, by string) (bool, error)
	OpenIncident(ctx context.Context, claim schema.ID, owner string) error
}

// System is one system that can be called.
type System struct {
	Name string
	// Kind names the connector.
	Kind      string
	Connector connectors.Connector
	// Settle is how long a write may stay invisible to a read by key.
	Settle time.Duration
}

// Activities are the steps, ready to be registered.
type Activities struct {
	Journal  Journal
	Map      *schema.Map
	Rulesets map[string]*rules.Ruleset
	Systems  map[string]System
	// Protect spells secret values for their receivers.
	Protect rules.Protector
	// WhoCancelled names the person who cancelled a run.
	WhoCancelled func(ctx context.Context, workflowID, runID string) (string, error)
	// Margin is how much later than our own deadline an answer of a vendor may still change something there.
	Margin time.Duration
	// Jitter draws a number from [0, 1).
	Jitter func() float64
	// Observe is told of every vendor call, for the metrics.
	Observe func(Observed)
	// Beat is how often an attempt says that it goes on; 0 means HeartbeatInterval.
	Beat time.Duration
}

// Observed is one vendor call after its end. Kind is empty when it succeeded as a whole.
type Observed struct {
	System string
	Op     schema.Op
	Kind   schema.Kind
	Took   time.Duration
}

// RegisterOwn registers the activities of our own database.
func (a *Activities) RegisterOwn(r worker.ActivityRegistry) {
	for name, f := range map[string]any{NameGiveBack: a.GiveBack, NamePark: a.Park, NameEscalate: a.OpenIncident} {
		r.RegisterActivityWithOptions(f, activity.RegisterOptions{Name: name})
	}
}

// RegisterCalls registers the activity of vendor calls, for the queue of one system.
func (a *Activities) RegisterCalls(r worker.ActivityRegistry) {
	r.RegisterActivityWithOptions(a.Apply, activity.RegisterOptions{Name: NameApply})
}
