package dispatch_test

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"lockstep/activities"
	"lockstep/connectors"
	"lockstep/internal/protocol"
	"lockstep/internal/store/storetest"
	"lockstep/schema"
	"lockstep/workflows"
)

// patience is that of a field of normal importance, with a shorter end.
var patience = activities.Policy{
	Call: time.Second, Moment: time.Second, First: time.Second, Longest: 20 * time.Minute, EscalateAfter: 10 * time.Minute, GiveUp: 2 * time.Hour,
}

// trial is a town with one customer whom the desk refuses, in a time that the test moves on.
type trial struct {
	*town
	desk   *moody
	record string
	// retrying counts the runs that showed themselves as retrying for longer than agreed.
	retrying int
	// pauses are how long the record was left alone, between one try and the next.
	pauses []time.Duration
	// shown is what the runs show of themselves in Temporal.
	shown []string
}

func newTrial(t *testing.T) *trial {
	t.Helper()
	p, crm, desk := parts(t, 50, protocol.Faults{})
	refusing := &moody{Vendor: desk}
	p.Systems["desk"] = activities.System{Name: "desk", Kind: "model", Connector: refusing, Settle: time.Millisecond}
	p.Policy = patience
	w := &trial{town: &town{Installation: storetest.Install(t, p), crm: crm, desk: desk, bundle: p.Bundle, t: t}, desk: refusing}
	w.Activities.Jitter = func() float64 { return 0.999 }
	w.person(1)
	w.Settle()
	w.record = w.in(desk, 1)["key"]
	return w
}

// says has the CRM say something about the customer.
func (w *trial) says(field, value string) schema.ID {
	w.t.Helper()
	return w.edit(w.crm, w.crm.FindBy("email", "p1@example.com"), field, value)
}

// failing is how long the record has been failing, by the journal's clock.
func (w *trial) failing() time.Duration {
	w.t.Helper()
	return time.Duration(w.Count(`SELECT coalesce(extract(epoch FROM now() - failing_since) * 1000000000, 0)::bigint FROM delivery
WHERE record = $1 AND system = 'desk'`, w.record))
}

// until makes one step after the other until done says so.
func (w *trial) until(what string, done func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !done(); w.step() {
		if time.Now().After(deadline) {
			w.t.Fatalf("not in time: %s; the delivery is %v", what, w.Texts(`SELECT x::text FROM delivery x WHERE record = $1`, w.record))
		}
	}
}

// step carries a claim, starts those that wait for a workflow, or moves on to the moment for which the record waits.
func (w *trial) step() {
	w.t.Helper()
	if w.Claimed() {
		if c := w.Next(); c.Kind == schema.ClaimSingle {
			w.story(c)
		} else {
			w.Carry(c)
		}
		return
	}
	late, err := w.Sweep(w.t.Context())
	must(w.t, err)
	for _, c := range late {
		w.story(c)
	}
	left := time.Duration(w.Count(`SELECT coalesce(max(extract(epoch FROM ready_at - now())) * 1000000000, 0)::bigint FROM delivery
WHERE record = $1 AND system = 'desk' AND state = 'ready' AND waits_for IS NULL`, w.record))
	if left > 20*time.Millisecond {
		w.pass(left)
	}
}

// pass lets a while go by for the record: every clock of its delivery is set back.
func (w *trial) pass(d time.Duration) {
	w.t.Helper()
	w.pauses = append(w.pauses, d)
	w.Exec(`UPDATE delivery SET ready_at = ready_at - $2 * interval '1 microsecond', failing_since = failing_since - $2 * interval '1 microsecond'
WHERE record = $1 AND system = 'desk'`, w.record, d.Microseconds())
	w.Wake(schema.TopicClaim)
}

// story runs the workflow of a claim in trouble, with the real activities.
func (w *trial) story(c schema.Claim) {
	w.t.Helper()
	var s testsuite.WorkflowTestSuite
	s.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := s.NewTestWorkflowEnvironment()
	env.SetDataConverter(workflows.DataConverter())
	workflows.Register(env)
	w.Activities.RegisterOwn(env)
	w.Activities.RegisterCalls(env)
	env.OnUpsertTypedSearchAttributes(mock.Anything).Run(func(args mock.Arguments) {
		attributes := args.Get(0).(temporal.SearchAttributes)
		if state, _ := attributes.GetKeyword(workflows.AttributeState); state == workflows.StateRetrying {
			w.retrying++
		}
		w.shown = append(w.shown, fmt.Sprint("attributes ", attributes.GetUntypedValues()))
	}).Return(nil).Maybe()
	env.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, args converter.EncodedValues) {
		in := map[string]any{
			activities.NameApply: &activities.ApplyInput{}, activities.NamePark: &activities.ParkInput{}, activities.NameEscalate: &activities.IncidentInput{},
		}[info.ActivityType.Name]
		if in == nil || args.Get(in) != nil {
			w.t.Errorf("the activity %s is unknown", info.ActivityType.Name)
		}
		w.shown = append(w.shown, fmt.Sprintf("activity %s %+v", info.ActivityType.Name, in))
	})
	env.SetOnActivityCompletedListener(func(info *activity.Info, result converter.EncodedValue, err error) {
		var told activities.ApplyResult
		if result != nil && info.ActivityType.Name == activities.NameApply {
			must(w.t, result.Get(&told))
		}
		w.shown = append(w.shown, fmt.Sprintf("ended %s %+v %v", info.ActivityType.Name, told, err))
	})
	options, name, in := workflows.Start(c, "ops", w.bundle.Digest, w.Policy)
	env.ExecuteWorkflow(name, in)
	var metadata sdkpb.WorkflowMetadata
	if described, err := env.QueryWorkflow("__temporal_workflow_metadata"); err != nil || described.Get(&metadata) != nil {
		w.t.Errorf("the run does not describe itself: %v", err)
	}
	w.shown = append(w.shown, fmt.Sprintf("started %+v %v", options, options.TypedSearchAttributes.GetUntypedValues()), fmt.Sprintf("input %+v", in), "details "+metadata.GetCurrentDetails())
	if err := env.GetWorkflowError(); err != nil {
		w.t.Errorf("the run of a record in trouble ends with %v", err)
	}
}

func (w *trial) parked() bool {
	w.t.Helper()
	return w.Count(`SELECT count(*) FROM delivery WHERE record = $1 AND state = 'parked'`, w.record) == 1
}

// members are the open failures of the record.
func (w *trial) members() []string {
	w.t.Helper()
	return w.Texts(`SELECT reason || ' ' || owner FROM member WHERE closed IS NULL AND record = $1 ORDER BY reason`, w.record)
}

// A record that the system refuses as changed, whatever is read and decided in between, reaches its owner as soon as agreed
// and waits for a person in the end. Its claims come and go; the clock counts from the first failure, and the pauses grow.
func TestARecordInConflictForEverReachesAPerson(t *testing.T) {
	var at []time.Duration
	w := newTrial(t)
	w.desk.refuses(func(connectors.Change) *connectors.Error {
		at = append(at, w.failing())
		return &connectors.Error{System: "desk", Kind: schema.Conflict, Status: 409}
	})
	event := w.says("name", "again")
	w.until("it fails", func() bool { return len(at) == 2 })
	if w.pauses[0] > 2100*time.Millisecond {
		t.Errorf("the first conflict waits %s for its read", w.pauses[0])
	}
	calls := w.Count(`SELECT count(*) FROM call`)
	w.until("its owner hears of it", func() bool { return len(w.members()) > 0 })
	if told := w.failing(); told < patience.EscalateAfter || told > patience.EscalateAfter+time.Minute {
		t.Errorf("its owner hears of it after %s", told)
	}
	if got := w.members(); !slices.Equal(got, []string{"changed_elsewhere ops"}) {
		t.Errorf("failures %v", got)
	}
	w.until("a run shows that it is stuck", func() bool { return w.retrying > 0 })
	w.until("it waits for a person", w.parked)
	if gaveUp := w.failing(); gaveUp < patience.GiveUp || gaveUp > patience.GiveUp+time.Minute {
		t.Errorf("given up after %s", gaveUp)
	}
	if got := w.members(); !slices.Equal(got, []string{"changed_elsewhere ops", "given_up ops"}) {
		t.Errorf("failures %v", got)
	}
	if got := w.Text(`SELECT reason || ' ' || op FROM delivery WHERE record = $1 AND system = 'desk'`, w.record); got != "given_up read" {
		t.Errorf("it is parked as %s", got)
	}
	if calls = w.Count(`SELECT count(*) FROM call`) - calls; calls > 60 {
		t.Errorf("%d calls in two hours", calls)
	}
	for i, p := range w.pauses {
		if p > patience.Longest {
			t.Errorf("pause %d is %s", i, p)
		}
	}
	if last := w.pauses[len(w.pauses)-2]; last < patience.Longest/2 {
		t.Errorf("after two hours the pauses are %s", last)
	}
	w.Sound()
	w.Conserved()
	t.Logf("pauses %v, %d calls", w.pauses, calls)

	// The person has seen to it.
	w.desk.refuses(nil)
	moved, err := w.Unpark(t.Context(), w.Event(event).Record, "desk", "dana")
	must(t, err)
	w.Settle()
	if e := w.Event(event); !moved || e.Outcome != schema.Applied || w.in(w.town.desk, 1)["name"] != "again" {
		t.Errorf("released %t, it is %s %s, the desk has %v", moved, e.State, e.Outcome, w.in(w.town.desk, 1))
	}
	if got := w.members(); len(got) > 0 || w.failing() != 0 {
		t.Errorf("failures %v, failing for %s", got, w.failing())
	}
}

// A record about which the system never answers is a person's, too, whether its fields may be sent again or have to be
// looked at first.
func TestARecordWithoutAnAnswerReachesAPerson(t *testing.T) {
	for field, in := range map[string]string{"name": "name", "nick": "nickname"} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			w := newTrial(t)
			w.Policy.Call = 50 * time.Millisecond
			var told time.Duration
			w.desk.silent = func() {
				if told == 0 && len(w.members()) > 0 {
					told = w.failing()
				}
				w.Exec(`UPDATE delivery SET failing_since = failing_since - interval '4 minutes' WHERE record = $1`, w.record)
			}
			event := w.says(field, "again")
			w.until("it waits for a person", w.parked)
			if gaveUp := w.failing(); gaveUp < patience.GiveUp || gaveUp > patience.GiveUp+5*time.Minute {
				t.Errorf("given up after %s", gaveUp)
			}
			if told < patience.EscalateAfter || told > patience.EscalateAfter+5*time.Minute {
				t.Errorf("its owner hears of it after %s", told)
			}
			if got := w.members(); !slices.Equal(got, []string{"given_up ops", "outcome_unknown ops"}) {
				t.Errorf("failures %v", got)
			}
			if calls := w.Count(`SELECT count(*) FROM call WHERE system = 'desk'`); calls > 60 {
				t.Errorf("%d calls in two hours", calls)
			}
			w.Sound()
			w.Conserved()
			w.desk.silent = nil
			_, err := w.Unpark(t.Context(), w.Event(event).Record, "desk", "dana")
			must(t, err)
			w.Settle()
			if e := w.Event(event); e.Outcome != schema.Applied || w.in(w.town.desk, 1)[in] != "again" || w.failing() != 0 {
				t.Errorf("it is %s %s, the desk has %v", e.State, e.Outcome, w.in(w.town.desk, 1))
			}
		})
	}
}

// TestB06 fails a customer of canaries until a person has to hear of it, and looks at everything that a notice is built of: the
// failure's rows, who did what, and what the runs show of themselves. There is no other source of a message to a person.
func TestB06(t *testing.T) {
	w := newTrial(t)
	ids := []string{w.crm.FindBy("email", "p1@example.com"), w.town.desk.FindBy("mail", "p1@example.com")}
	canary := regexp.MustCompile(`canary|@|example\.com|\b(` + strings.Join(ids, "|") + `)\b`)
	w.desk.refuses(func(connectors.Change) *connectors.Error {
		return &connectors.Error{System: "desk", Kind: schema.Conflict, Field: "name", Code: "code"}
	})
	w.says("name", "canary again")
	w.says("nick", "canary-nick")
	w.until("it waits for a person", w.parked)
	rows := w.Texts(`SELECT x::text FROM member x UNION ALL SELECT x::text FROM audit x UNION ALL SELECT x::text FROM claim x UNION ALL SELECT x::text FROM call x
UNION ALL SELECT x::text FROM delivery x UNION ALL SELECT x::text FROM system_state x`)
	if len(w.shown) < 20 || len(w.members()) != 2 || w.retrying == 0 {
		t.Fatalf("nothing is shown: %d lines, failures %v, %d runs that are stuck", len(w.shown), w.members(), w.retrying)
	}
	kinds := map[string]bool{}
	for _, text := range slices.Concat(rows, w.shown) {
		kind, _, _ := strings.Cut(text, " ")
		kinds[kind] = true
		if found := canary.FindString(text); found != "" {
			t.Errorf("%q stands in %s", found, text)
		}
	}
	for _, kind := range []string{"attributes", "activity", "ended", "started", "input", "details"} {
		if !kinds[kind] {
			t.Errorf("no %s were looked at", kind)
		}
	}
	// Whoever adds a column says here why it holds nobody's data.
	if got := w.Texts(`SELECT column_name::text FROM information_schema.columns WHERE table_name = 'member' ORDER BY ordinal_position`); !slices.Equal(got,
		[]string{"id", "cause", "reason", "system", "object", "owner", "event", "record", "opened", "closed"}) {
		t.Errorf("a failure's row has %v", got)
	}
}
