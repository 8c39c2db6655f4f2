package workflows

import (
	"fmt"

	"go.temporal.io/sdk/temporal"

	"lockstep/schema"
)

// The names that live in histories, rows and people's habits. A golden test holds them.
const (
	TypeSync       = "Sync"
	TypeSyncRecord = "SyncRecord"

	// QueueSync carries workflow tasks and the activities of our own database.
	QueueSync = "sync"
)

// QueueOf returns the task queue of one system's vendor calls.
func QueueOf(system string) string { return "system." + system }

// ID returns the workflow id of a claim. A claim is random, so the id is never used twice; the first act of a run is to
// ask whether its claim is open (protocol F4).
func ID(c schema.Claim) string {
	switch {
	case c.Kind == schema.ClaimSingle:
		return fmt.Sprintf("record/%s/%s/%s/%s", c.System, c.Object, c.Record, c.ID)
	case c.Records == 1:
		return fmt.Sprintf("sync/%s/%s/%s", c.Object, c.Record, c.ID)
	}
	return fmt.Sprintf("sync/%s/%s", c.System, c.ID)
}

// The search attributes.
var (
	AttributeState   = temporal.NewSearchAttributeKeyKeyword("LockstepState")
	AttributeObject  = temporal.NewSearchAttributeKeyKeyword("LockstepObject")
	AttributeTarget  = temporal.NewSearchAttributeKeyKeyword("LockstepTarget")
	AttributeReason  = temporal.NewSearchAttributeKeyKeyword("LockstepReason")
	AttributeOwner   = temporal.NewSearchAttributeKeyKeyword("LockstepOwner")
	AttributeLane    = temporal.NewSearchAttributeKeyKeyword("LockstepLane")
	AttributeRecord  = temporal.NewSearchAttributeKeyKeyword("LockstepRecord")
	AttributeRecords = temporal.NewSearchAttributeKeyInt64("LockstepRecords")
)

// The values of LockstepState.
const (
	StateRunning      = "running"
	StateRetrying     = "retrying"
	StateParked       = "parked"
	StateWaitingOwner = "waiting_owner"
	StateCompensating = "compensating"
	StateDone         = "done"
)
