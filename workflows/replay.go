package workflows

import "go.temporal.io/sdk/worker"

// Replayer returns a replayer of histories under the code of this build (INV-27).
func Replayer() (worker.WorkflowReplayer, error) {
	replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{DataConverter: DataConverter()})
	if err != nil {
		return nil, err
	}
	Register(replayer)
	return replayer, nil
}
