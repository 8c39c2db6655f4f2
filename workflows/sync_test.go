package workflows_test

import (
	"context"
	"errors"
	"log/slog"
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
	"lockstep/schema"
	"lockstep/workflows"
)

var (
	claim  = schema.ID{0: 1}
	policy = activities.Policy{
		Call: 10 * time.Second, Moment: 30 * time.Second, First: time.Second, Longest: 5 * time.Minute, EscalateAfter: 10 * time.Minute, GiveUp: 24 * time.Hour,
	}
)

func input(parts int) workflows.ClaimInput {
	return workflows.ClaimInput{Claim: claim, System: "desk", Object: "customer", Op: schema.OpWrite, Lane: schema.LaneNormal, Parts: parts, Records: 3, Owner: "ops", Policy: policy}
}

// story is a workflow in skipped time, with the activities' names registered.
func story(t *testing.T) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	var s testsuite.WorkflowTestSuite
	s.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := s.NewTestWorkflowEnvironment()
	env.SetDataConverter(workflows.DataConverter())
	env.RegisterWorkflow(workflows.Sync)
	env.RegisterWorkflow(workflows.SyncRecord)
	for name, f := range map[string]any{
		activities.NameApply: func(context.Context, activities.ApplyInput) (activities.ApplyResult, error) {
			return activities.ApplyResult{}, errors.New("not told what to do")
		},
		activities.NameGiveBack: func(context.Context, activities.GiveBackInput) (activities.Empty, error) {
			return activities.Empty{}, errors.New("not told what to do")
		},
		activities.NamePark: func(context.Context, activities.ParkInput) (activities.Empty, error) {
			return activities.Empty{}, errors.New("not told what to do")
		},
		activities.NameEscalate: func(context.Context, activities.IncidentInput) (activities.Empty, error) {
			return activities.Empty{}, errors.New("not told what to do")
		},
	} {
		env.RegisterActivityWithOptions(f, activity.RegisterOptions{Name: name})
	}
	t.Cleanup(func() { env.AssertExpectations(t) })
	return env
}

func apply(part int) activities.ApplyInput {
	return activities.ApplyInput{Claim: claim, Part: part, System: "desk", Policy: policy}
}

func single() activities.ApplyInput {
	return activities.ApplyInput{Claim: claim, System: "desk", Single: true, Policy: policy}
}

func retry(after time.Duration) error {
	return temporal.NewApplicationErrorWithOptions("desk: Contention", "Retry", temporal.ApplicationErrorOptions{NextRetryDelay: after})
}

func giveBack(reason schema.Reason, pause time.Duration) error {
	return temporal.NewApplicationErrorWithOptions(string(reason), activities.ErrorGiveBack, temporal.ApplicationErrorOptions{
		NonRetryable: true, Details: []any{activities.Trouble{Reason: reason, Pause: pause}},
	})
}

func result(t *testing.T, env *testsuite.TestWorkflowEnvironment) workflows.ClaimResult {
	t.Helper()
	if !env.IsWorkflowCompleted() {
		t.Fatal("the story has no end")
	}
	if err := env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	var r workflows.ClaimResult
	if err := env.GetWorkflowResult(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSyncAppliesEveryPart(t *testing.T) {
	env := story(t)
	for part := range 3 {
		env.OnActivity(activities.NameApply, mock.Anything, apply(part)).Return(activities.ApplyResult{Done: true, Told: 10}, nil).Once()
	}
	env.ExecuteWorkflow(workflows.Sync, input(3))
	if r := result(t, env); r.Told != 30 || r.GivenBack != "" {
		t.Errorf("%+v", r)
	}
}

// An attempt whose worker is gone is noticed by its silence, long before its time is up.
func TestEveryAttemptIsListenedTo(t *testing.T) {
	for _, w := range []any{workflows.Sync, workflows.SyncRecord} {
		env := story(t)
		env.OnActivity(activities.NameApply, mock.Anything, mock.Anything).Return(activities.ApplyResult{Done: true}, nil).Once()
		env.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, _ converter.EncodedValues) {
			if info.HeartbeatTimeout != activities.HeartbeatTimeout || info.StartToCloseTimeout < policy.Call+2*activities.HeartbeatTimeout {
				t.Errorf("%s may be silent for %s of %s", info.ActivityType.Name, info.HeartbeatTimeout, info.StartToCloseTimeout)
			}
		})
		env.ExecuteWorkflow(w, input(1))
		result(t, env)
	}
}

// A run tells Temporal's pages what it is doing, in a sentence.
func TestARunDescribesItself(t *testing.T) {
	env := story(t)
	details := ""
	env.OnActivity(activities.NameApply, mock.Anything, mock.Anything).Run(func(mock.Arguments) {
		var described sdkpb.WorkflowMetadata
		answer, err := env.QueryWorkflow("__temporal_workflow_metadata")
		if err != nil || answer.Get(&described) != nil {
			t.Errorf("the run does not describe itself: %v", err)
		}
		details = described.GetCurrentDetails()
	}).Return(activities.ApplyResult{Done: true}, nil).Once()
	env.ExecuteWorkflow(workflows.SyncRecord, input(1))
	result(t, env)
	if want := "customer of 3 records, write in desk, lane normal. Retrying until it is through. Owner: ops."; details != want {
		t.Errorf("it says %q, want %q", details, want)
	}
}

func TestSyncCallsAgainUntilThePartIsEmpty(t *testing.T) {
	env := story(t)
	env.OnActivity(activities.NameApply, mock.Anything, apply(0)).Return(activities.ApplyResult{Told: 1}, nil).Twice()
	env.OnActivity(activities.NameApply, mock.Anything, apply(0)).Return(activities.ApplyResult{Done: true, Told: 1, HandedOver: 1}, nil).Once()
	env.ExecuteWorkflow(workflows.Sync, input(1))
	if r := result(t, env); r.Told != 3 || r.HandedOver != 1 {
		t.Errorf("%+v", r)
	}
}

func TestSyncWaitsAsLongAsTheAttemptSays(t *testing.T) {
	env := story(t)
	env.OnActivity(activities.NameApply, mock.Anything, apply(0)).Return(activities.ApplyResult{}, retry(12*time.Second)).Once()
	env.OnActivity(activities.NameApply, mock.Anything, apply(0)).Return(activities.ApplyResult{Done: true}, nil).Once()
	start := env.Now()
	env.ExecuteWorkflow(workflows.Sync, input(1))
	result(t, env)
	if waited := env.Now().Sub(start); waited < 12*time.Second {
		t.Errorf("waited %s", waited)
	}
}

func TestSyncGivesBackWhenTheSystemIsInTrouble(t *testing.T) {
	env := story(t)
	env.OnActivity(activities.NameApply, mock.Anything, apply(0)).Return(activities.ApplyResult{Done: true, Told: 10}, nil).Once()
	env.OnActivity(activities.NameApply, mock.Anything, apply(1)).Return(activities.ApplyResult{}, giveBack(schema.ReasonTargetSlow, time.Minute)).Once()
	env.OnActivity(activities.NameGiveBack, mock.Anything, activities.GiveBackInput{Claim: claim, Reason: schema.ReasonTargetSlow, Pause: time.Minute}).
		Return(activities.Empty{}, nil).Once()
	env.ExecuteWorkflow(workflows.Sync, input(2))
	if r := result(t, env); r.Told != 10 || r.GivenBack != schema.ReasonTargetSlow {
		t.Errorf("%+v", r)
	}
}

func TestACancelledSyncIsParkedInTheNameOfWhoCancelled(t *testing.T) {
	env := story(t)
	env.OnActivity(activities.NameApply, mock.Anything, apply(0)).Return(activities.ApplyResult{}, retry(time.Hour))
	env.OnActivity(activities.NamePark, mock.Anything, activities.ParkInput{Claim: claim, Reason: schema.ReasonParkedByPerson, Owner: "ops", Cancelled: true}).
		Return(activities.Empty{}, nil).Once()
	env.RegisterDelayedCallback(env.CancelWorkflow, time.Minute)
	env.ExecuteWorkflow(workflows.Sync, input(1))
	result(t, env)
}

func TestSyncRecordRetriesAndEscalatesBesideTheRetries(t *testing.T) {
	env := story(t)
	env.OnActivity(activities.NameApply, mock.Anything, single()).Return(activities.ApplyResult{}, retry(2*time.Minute)).Times(8)
	env.OnActivity(activities.NameApply, mock.Anything, single()).Return(activities.ApplyResult{Done: true, Told: 1}, nil).Once()
	var escalatedAt time.Duration
	start := env.Now()
	env.OnActivity(activities.NameEscalate, mock.Anything, activities.IncidentInput{Claim: claim, System: "desk", Object: "customer", Owner: "ops"}).
		Run(func(mock.Arguments) { escalatedAt = env.Now().Sub(start) }).Return(activities.Empty{}, nil).Once()
	env.OnUpsertTypedSearchAttributes(mock.Anything).Return(nil).Once()
	env.ExecuteWorkflow(workflows.SyncRecord, input(1))
	if r := result(t, env); r.Told != 1 || r.Parked != 0 {
		t.Errorf("%+v", r)
	}
	if escalatedAt < policy.EscalateAfter || escalatedAt > policy.EscalateAfter+3*time.Minute {
		t.Errorf("escalated after %s", escalatedAt)
	}
}

func TestSyncRecordThatIsQuickTellsNobody(t *testing.T) {
	env := story(t)
	env.OnActivity(activities.NameApply, mock.Anything, single()).Return(activities.ApplyResult{}, retry(time.Second)).Times(3)
	env.OnActivity(activities.NameApply, mock.Anything, single()).Return(activities.ApplyResult{Told: 1}, nil).Once()
	env.OnActivity(activities.NameApply, mock.Anything, single()).Return(activities.ApplyResult{Done: true}, nil).Once()
	env.ExecuteWorkflow(workflows.SyncRecord, input(1))
	if r := result(t, env); r.Told != 1 {
		t.Errorf("%+v", r)
	}
}

func TestSyncRecordGivesUpAfterADayByParking(t *testing.T) {
	env := story(t)
	env.OnActivity(activities.NameApply, mock.Anything, single()).Return(activities.ApplyResult{}, retry(3*time.Hour)) // the test environment stops after ten attempts
	env.OnActivity(activities.NameEscalate, mock.Anything, mock.Anything).Return(activities.Empty{}, nil).Once()
	env.OnUpsertTypedSearchAttributes(mock.Anything).Return(nil)
	env.OnActivity(activities.NamePark, mock.Anything, activities.ParkInput{Claim: claim, Reason: schema.ReasonGivenUp, Owner: "ops"}).Return(activities.Empty{}, nil).Once()
	start := env.Now()
	env.ExecuteWorkflow(workflows.SyncRecord, input(1))
	if r := result(t, env); r.Parked != 1 {
		t.Errorf("%+v", r)
	}
	if took := env.Now().Sub(start); took < policy.GiveUp || took > policy.GiveUp+time.Hour {
		t.Errorf("gave up after %s", took)
	}
}

// The clocks count from the record's first failure, not from the start of its newest run.
func TestSyncRecordCountsFromTheFirstFailure(t *testing.T) {
	env := story(t)
	in := input(1)
	in.Failing = policy.EscalateAfter - time.Minute
	env.OnActivity(activities.NameApply, mock.Anything, single()).Return(activities.ApplyResult{}, retry(3*time.Hour))
	var escalatedAt time.Duration
	start := env.Now()
	env.OnActivity(activities.NameEscalate, mock.Anything, mock.Anything).Run(func(mock.Arguments) { escalatedAt = env.Now().Sub(start) }).Return(activities.Empty{}, nil).Once()
	env.OnUpsertTypedSearchAttributes(mock.Anything).Return(nil)
	env.OnActivity(activities.NamePark, mock.Anything, mock.Anything).Return(activities.Empty{}, nil).Once()
	env.ExecuteWorkflow(workflows.SyncRecord, in)
	if r := result(t, env); r.Parked != 1 {
		t.Errorf("%+v", r)
	}
	if escalatedAt < time.Minute || escalatedAt > 2*time.Minute {
		t.Errorf("escalated after %s", escalatedAt)
	}
	if took, left := env.Now().Sub(start), policy.GiveUp-in.Failing; took < left || took > left+time.Minute {
		t.Errorf("gave up after %s, %s were left", took, left)
	}
}

// Somebody hears of what is due before the first attempt, which may end the claim.
func TestSyncRecordTellsFirstWhatIsDue(t *testing.T) {
	env := story(t)
	in := input(1)
	in.Failing = time.Hour
	told := false
	env.OnActivity(activities.NameEscalate, mock.Anything, activities.IncidentInput{Claim: claim, System: "desk", Object: "customer", Owner: "ops"}).
		Run(func(mock.Arguments) { told = true }).Return(activities.Empty{}, nil).Once()
	env.OnUpsertTypedSearchAttributes(mock.Anything).Return(nil).Once()
	env.OnActivity(activities.NameApply, mock.Anything, single()).Run(func(mock.Arguments) {
		if !told {
			t.Error("the attempt is made before the owner is told")
		}
	}).Return(activities.ApplyResult{Done: true, Again: 1}, nil).Once()
	env.ExecuteWorkflow(workflows.SyncRecord, in)
	if r := result(t, env); r.Again != 1 || r.Parked != 0 {
		t.Errorf("%+v", r)
	}
}

func TestSyncRecordThatIsOverdueIsParkedAtOnce(t *testing.T) {
	env := story(t)
	in := input(1)
	in.Failing = policy.GiveUp
	env.OnActivity(activities.NamePark, mock.Anything, activities.ParkInput{Claim: claim, Reason: schema.ReasonGivenUp, Owner: "ops"}).Return(activities.Empty{}, nil).Once()
	env.ExecuteWorkflow(workflows.SyncRecord, in)
	if r := result(t, env); r.Parked != 1 {
		t.Errorf("%+v", r)
	}
}

// Whoever cancels while a claim is being given back comes too late: it is given back all the same, and the run ends well.
func TestACancelDoesNotStopAGiveBack(t *testing.T) {
	for name, carry := range map[string]any{"Sync": workflows.Sync, "SyncRecord": workflows.SyncRecord} {
		t.Run(name, func(t *testing.T) {
			env := story(t)
			env.OnActivity(activities.NameApply, mock.Anything, mock.Anything).Return(activities.ApplyResult{}, giveBack(schema.ReasonTargetUnavailable, 0)).Once()
			given := 0
			env.OnActivity(activities.NameGiveBack, mock.Anything, mock.Anything).
				Return(func(context.Context, activities.GiveBackInput) (activities.Empty, error) {
					if given++; given < 3 {
						return activities.Empty{}, errors.New("the database is away")
					}
					return activities.Empty{}, nil
				})
			env.RegisterDelayedCallback(env.CancelWorkflow, 500*time.Millisecond)
			env.ExecuteWorkflow(carry, input(1))
			if r := result(t, env); r.GivenBack != schema.ReasonTargetUnavailable || given != 3 {
				t.Errorf("%+v after %d tries", r, given)
			}
		})
	}
}

func TestACancelledSyncRecordIsParked(t *testing.T) {
	env := story(t)
	env.OnActivity(activities.NameApply, mock.Anything, single()).Return(activities.ApplyResult{}, retry(time.Hour))
	env.OnActivity(activities.NamePark, mock.Anything, activities.ParkInput{Claim: claim, Reason: schema.ReasonParkedByPerson, Owner: "ops", Cancelled: true}).
		Return(activities.Empty{}, nil).Once()
	env.RegisterDelayedCallback(env.CancelWorkflow, time.Minute)
	env.ExecuteWorkflow(workflows.SyncRecord, input(1))
	if r := result(t, env); r.Parked != 1 {
		t.Errorf("%+v", r)
	}
}

func TestSyncRecordGivesBackWhenTheSystemIsInTrouble(t *testing.T) {
	env := story(t)
	env.OnActivity(activities.NameApply, mock.Anything, single()).Return(activities.ApplyResult{}, giveBack(schema.ReasonTargetUnavailable, 0)).Once()
	env.OnActivity(activities.NameGiveBack, mock.Anything, activities.GiveBackInput{Claim: claim, Reason: schema.ReasonTargetUnavailable}).Return(activities.Empty{}, nil).Once()
	env.ExecuteWorkflow(workflows.SyncRecord, input(1))
	if r := result(t, env); r.GivenBack != schema.ReasonTargetUnavailable {
		t.Errorf("%+v", r)
	}
}
