package workflows_test

import (
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"

	"lockstep/activities"
	"lockstep/schema"
	"lockstep/workflows"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestNamesAreAsTheyWere holds every name that lives in histories, rows and people's habits. A line may be added; a line that
// changes strands whatever runs.
func TestNamesAreAsTheyWere(t *testing.T) {
	record := schema.ID{0: 0xca, 15: 1}
	id := func(kind schema.ClaimKind, records int) string {
		c := schema.Claim{ID: claim, Kind: kind, System: "genesys", Object: "customer", Records: records}
		if records == 1 {
			c.Record = record
		}
		return workflows.ID(c)
	}
	lines := []string{
		"workflow " + workflows.TypeSync, "workflow " + workflows.TypeSyncRecord,
		"activity " + activities.NameApply, "activity " + activities.NameGiveBack, "activity " + activities.NamePark, "activity " + activities.NameEscalate,
		"id of one " + id(schema.ClaimBatch, 1), "id of many " + id(schema.ClaimBatch, 40), "id in trouble " + id(schema.ClaimSingle, 1),
		"queue " + workflows.QueueSync, "queue " + workflows.QueueOf("genesys"),
		"error " + activities.ErrorGiveBack,
	}
	for _, k := range []interface{ GetName() string }{
		workflows.AttributeState, workflows.AttributeObject, workflows.AttributeTarget, workflows.AttributeReason, workflows.AttributeOwner,
		workflows.AttributeLane, workflows.AttributeRecord, workflows.AttributeRecords,
	} {
		lines = append(lines, "attribute "+k.GetName())
	}
	for _, s := range []string{
		workflows.StateRunning, workflows.StateRetrying, workflows.StateParked, workflows.StateWaitingOwner, workflows.StateCompensating, workflows.StateDone,
	} {
		lines = append(lines, "state "+s)
	}
	for _, l := range schema.Lanes {
		lines = append(lines, "priority "+l.String()+" "+string(rune('0'+l)))
	}
	for _, f := range schema.Failures {
		lines = append(lines, "reason "+string(f.Reason))
	}
	for _, k := range schema.Kinds {
		lines = append(lines, "kind "+string(k)+" "+string(k.Scope()))
	}
	for _, o := range schema.Outcomes {
		lines = append(lines, "outcome "+string(o))
	}
	got := strings.Join(lines, "\n") + "\n"
	const golden = "testdata/names.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("names changed; compare with %s:\n%s", golden, got)
	}
}

// TestEveryWorkflowIsRegistered starts each under its permanent name.
func TestEveryWorkflowIsRegistered(t *testing.T) {
	var s testsuite.WorkflowTestSuite
	env := s.NewTestWorkflowEnvironment()
	workflows.Register(env)
	for _, name := range []string{workflows.TypeSync, workflows.TypeSyncRecord} {
		env.ExecuteWorkflow(name, "not a claim")
		if err := env.GetWorkflowError(); err == nil || strings.Contains(err.Error(), "unable to find workflow") {
			t.Errorf("%s: %v", name, err)
		}
		env = s.NewTestWorkflowEnvironment()
		workflows.Register(env)
	}
}

type customer struct{ Email string }

// TestB04 shows that nothing but references can enter a history.
func TestB04(t *testing.T) {
	c := workflows.DataConverter()
	for _, fine := range []any{
		nil, workflows.ClaimInput{}, &workflows.ClaimInput{}, activities.ApplyInput{}, activities.ApplyResult{}, activities.Trouble{}, activities.Empty{},
		"write 3 of customer → genesys", "write customer 0b6f0d3e-6f0f-4c38-9a39-7e3a3d1c1234 → genesys",
		strings.Repeat("ab", 32),
	} {
		p, err := c.ToPayload(fine)
		if err != nil {
			t.Errorf("%T: %v", fine, err)
			continue
		}
		if _, err := c.ToPayloads(fine, fine); err != nil {
			t.Errorf("%T: %v", fine, err)
		}
		_ = p
	}
	for _, leak := range []any{
		customer{"ada@example.com"}, &customer{}, map[string]string{}, []byte("x"), 7, []string{"x"}, schema.Text("x"), schema.Change{}, &schema.State{},
		"ada@example.com", "call +1 317 555 0100", "123-45-6789", "4111 1111 1111 1111", strings.Repeat("x", 3000), "\xff",
	} {
		if _, err := c.ToPayload(leak); !errors.Is(err, workflows.ErrNotAReference) {
			t.Errorf("%T passes into a history", leak)
		}
		if _, err := c.ToPayloads(leak); !errors.Is(err, workflows.ErrNotAReference) {
			t.Errorf("%T passes into a history", leak)
		}
	}
	for name, raw := range map[string]any{
		"a value of the SDK's spelling": "ada", "a person's address": &sdkpb.WorkflowMetadata{CurrentDetails: "telling ada@example.com"},
		"another message": &sdkpb.UserMetadata{}, "a reference": workflows.ClaimInput{},
	} {
		p, err := converter.GetDefaultDataConverter().ToPayload(raw)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.ToPayload(converter.NewRawValue(p)); !errors.Is(err, workflows.ErrNotAReference) {
			t.Errorf("%s passes into a history as it is: %v", name, err)
		}
	}
	if _, err := c.ToPayload(converter.NewRawValue(nil)); !errors.Is(err, workflows.ErrNotAReference) {
		t.Errorf("nothing passes as something: %v", err)
	}
	p, err := c.ToPayload(workflows.ClaimInput{Claim: claim})
	if err != nil {
		t.Fatal(err)
	}
	var wrong customer
	if err := c.FromPayload(p, &wrong); !errors.Is(err, workflows.ErrNotAReference) {
		t.Errorf("a history is read into a customer: %v", err)
	}
	var back workflows.ClaimInput
	if err := c.FromPayload(p, &back); err != nil || back.Claim != claim {
		t.Errorf("a reference does not come back: %v", err)
	}
}

// TestStartingIsLegibleAndHoldsNoData checks what Temporal's own pages show of a run.
func TestStartingIsLegibleAndHoldsNoData(t *testing.T) {
	record := schema.ID{0: 0xca, 15: 1}
	options, name, in := workflows.Start(schema.Claim{ID: claim, Kind: schema.ClaimBatch, System: "genesys", Object: "customer", Op: schema.OpLink,
		Lane: schema.LanePush, Parts: 1, Records: 1, Record: record}, "ops", "digest", policy)
	if name != workflows.TypeSync || options.ID != workflows.ID(schema.Claim{ID: claim, Object: "customer", Records: 1, Record: record}) {
		t.Errorf("%s %s", name, options.ID)
	}
	if options.StaticSummary != "link customer "+record.String()+" → genesys" || options.Priority.PriorityKey != 2 || in.Owner != "ops" {
		t.Errorf("%q %d", options.StaticSummary, options.Priority.PriorityKey)
	}
	c := workflows.DataConverter()
	if _, err := c.ToPayload(options.StaticSummary); err != nil {
		t.Error(err)
	}
	for _, v := range options.Memo {
		if _, err := c.ToPayload(v); err != nil {
			t.Error(err)
		}
	}
	_, name, _ = workflows.Start(schema.Claim{ID: claim, Kind: schema.ClaimSingle, System: "genesys", Object: "customer", Record: record, Records: 1}, "ops", "digest", policy)
	if name != workflows.TypeSyncRecord {
		t.Errorf("a record in trouble gets %s", name)
	}
	if _, _, in := workflows.Start(schema.Claim{ID: claim, Kind: schema.ClaimSingle, Failing: time.Hour}, "ops", "digest", policy); in.Failing != time.Hour || in.Policy != policy {
		t.Errorf("a record that fails for an hour is carried by %+v", in)
	}
}

// A reference that names no claim, as a history of somebody else's could hold, is not read.
func TestAReferenceWithoutAClaimIsNotRead(t *testing.T) {
	c := workflows.DataConverter()
	for _, into := range []any{
		&workflows.ClaimInput{}, &activities.ApplyInput{}, &activities.GiveBackInput{}, &activities.ParkInput{}, &activities.IncidentInput{},
	} {
		p, err := c.ToPayload(into)
		if err != nil {
			t.Fatal(err)
		}
		var faults schema.Faults
		if err := c.FromPayload(p, into); !errors.As(err, &faults) || faults[0].Path != "Claim" {
			t.Errorf("%T is read without a claim: %v", into, err)
		}
		all, err := c.ToPayloads(into)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.FromPayloads(all, into); !errors.As(err, &faults) {
			t.Errorf("%T is read without a claim among others: %v", into, err)
		}
	}
}
