package workflows

import (
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// Register registers every workflow under its permanent name.
func Register(r worker.WorkflowRegistry) {
	for name, w := range map[string]any{TypeSync: Sync, TypeSyncRecord: SyncRecord} {
		r.RegisterWorkflowWithOptions(w, workflow.RegisterOptions{Name: name})
	}
}
