package workflows

import (
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"fmt"
	"time"

	"lockstep/activities"
	"lockstep/schema"
)

// Start returns the options, the type and the input that start the workflow of a claim. Starting it again is always
// safe: a running one goes on, a closed one begins anew and finds what is left.
func Start(c schema.Claim, owner, digest string, policy activities.Policy) (client.StartWorkflowOptions, string, ClaimInput) {
	attributes := []temporal.SearchAttributeUpdate{
		AttributeState.ValueSet(StateRunning), AttributeObject.ValueSet(c.Object), AttributeTarget.ValueSet(c.System),
		AttributeLane.ValueSet(c.Lane.String()), AttributeOwner.ValueSet(owner), AttributeRecords.ValueSet(int64(c.Records)),
	}
	summary := fmt.Sprintf("%s %d of %s → %s", c.Op, c.Records, c.Object, c.System)
	if c.Record != (schema.ID{}) {
		attributes = append(attributes, AttributeRecord.ValueSet(c.Record.String()))
		summary = fmt.Sprintf("%s %s %s → %s", c.Op, c.Object, c.Record, c.System)
	}
	name := TypeSync
	if c.Kind == schema.ClaimSingle {
		name = TypeSyncRecord
	}
	options := client.StartWorkflowOptions{
		ID: ID(c), TaskQueue: QueueSync,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowTaskTimeout:      10 * time.Second,
		TypedSearchAttributes:    temporal.NewSearchAttributes(attributes...),
		StaticSummary:            summary,
		Memo:                     map[string]any{"bundle": digest},
		Priority:                 temporal.Priority{PriorityKey: int(c.Lane)},
	}
	return options, name, ClaimInput{
		Claim: c.ID, System: c.System, Object: c.Object, Op: c.Op, Lane: c.Lane, Parts: c.Parts, Records: c.Records, Owner: owner,
		Failing: c.Failing, Policy: policy,
	}
}
