package checker

import (
	"context"
	"errors"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/proto"

	"lockstep/workflows"
)

// Run is one workflow run, exported.
type Run struct {
	WorkflowID string
	RunID      string
	Type       string
	Status     enumspb.WorkflowExecutionStatus
	History    *historypb.History
	// JSON is the history as Temporal's own tools export it, Listed what a list of workflows shows of the run.
	JSON   []byte
	Listed []byte
}

// The bounds of a history (INV-26).
const (
	maxEvents = 4096 * 3 / 2
	maxBytes  = 4 << 20
)

// Runs exports every run that fits a query of Temporal's visibility; an empty one is all of them.
func Runs(ctx context.Context, c client.Client, namespace, query string) ([]Run, error) {
	var runs []Run
	request := &workflowservice.ListWorkflowExecutionsRequest{Namespace: namespace, Query: query, PageSize: 500}
	for {
		page, err := c.ListWorkflow(ctx, request)
		if err != nil {
			return nil, fmt.Errorf("checker: list workflows: %w", err)
		}
		for _, info := range page.GetExecutions() {
			run, err := export(ctx, c, info)
			if err != nil {
				return nil, err
			}
			runs = append(runs, run)
		}
		if request.NextPageToken = page.GetNextPageToken(); len(request.NextPageToken) == 0 {
			return runs, nil
		}
	}
}

func export(ctx context.Context, c client.Client, info *workflowpb.WorkflowExecutionInfo) (Run, error) {
	id, run := info.GetExecution().GetWorkflowId(), info.GetExecution().GetRunId()
	out := Run{WorkflowID: id, RunID: run, Type: info.GetType().GetName(), Status: info.GetStatus(), History: &historypb.History{}}
	events := c.GetWorkflowHistory(ctx, id, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return Run{}, fmt.Errorf("checker: history of %s: %w", id, err)
		}
		out.History.Events = append(out.History.Events, event)
	}
	var err, listing error
	json := temporalproto.CustomJSONMarshalOptions{Indent: "  "}
	out.JSON, err = json.Marshal(out.History)
	out.Listed, listing = json.Marshal(info)
	return out, errors.Join(err, listing)
}

// Bounded returns an error when the history is longer than any of ours may become (INV-26).
func (r Run) Bounded() error {
	if n, size := len(r.History.GetEvents()), proto.Size(r.History); n > maxEvents || size > maxBytes {
		return fmt.Errorf("INV-26: %s has %d events of %d bytes", r.WorkflowID, n, size)
	}
	return nil
}

// Replays returns an error when the code of this build does not take the same steps (INV-27). A run that has only just been
// started has nothing to replay.
func (r Run) Replays() error {
	if len(r.History.GetEvents()) < 3 {
		return nil
	}
	replayer, err := workflows.Replayer()
	if err != nil {
		return fmt.Errorf("checker: %w", err)
	}
	if err := replayer.ReplayWorkflowHistory(nil, r.History); err != nil {
		return fmt.Errorf("INV-27: %s: %w", r.WorkflowID, err)
	}
	return nil
}
