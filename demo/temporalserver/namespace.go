package temporalserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"
)

// retention is how long closed workflows stay visible. Nothing of Lockstep depends on it.
const retention = 7 * 24 * time.Hour

// SearchAttributes are what operators can list workflows by. SQL visibility has room for ten keywords and three of each
// other type.
var SearchAttributes = map[string]enums.IndexedValueType{
	"LockstepState":    enums.INDEXED_VALUE_TYPE_KEYWORD,
	"LockstepObject":   enums.INDEXED_VALUE_TYPE_KEYWORD,
	"LockstepSource":   enums.INDEXED_VALUE_TYPE_KEYWORD,
	"LockstepTarget":   enums.INDEXED_VALUE_TYPE_KEYWORD,
	"LockstepReason":   enums.INDEXED_VALUE_TYPE_KEYWORD,
	"LockstepOwner":    enums.INDEXED_VALUE_TYPE_KEYWORD,
	"LockstepIncident": enums.INDEXED_VALUE_TYPE_KEYWORD,
	"LockstepLane":     enums.INDEXED_VALUE_TYPE_KEYWORD,
	"LockstepRecord":   enums.INDEXED_VALUE_TYPE_KEYWORD,
	"LockstepDueAt":    enums.INDEXED_VALUE_TYPE_DATETIME,
	"LockstepRecords":  enums.INDEXED_VALUE_TYPE_INT,
}

// ensureNamespace makes the namespace and adds the search attributes that it lacks, at every start: a state made by an
// older version has fewer. It returns when the namespace can be used.
func ensureNamespace(ctx context.Context, c client.Client, name string) error {
	return until(ctx, "the namespace can be used", func() error {
		step, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if err := register(step, c, name); err != nil {
			return err
		}
		if err := addSearchAttributes(step, c, name); err != nil {
			return err
		}
		_, err := c.CountWorkflow(step, &workflowservice.CountWorkflowExecutionsRequest{
			Namespace: name, Query: "LockstepState = 'none'",
		})
		return err
	})
}

func register(ctx context.Context, c client.Client, name string) error {
	_, err := c.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
		Namespace: name, Description: "Lockstep", WorkflowExecutionRetentionPeriod: durationpb.New(retention),
	})
	var exists *serviceerror.NamespaceAlreadyExists
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("register the namespace: %w", err)
	}
	return nil
}

func addSearchAttributes(ctx context.Context, c client.Client, name string) error {
	missing, err := missingSearchAttributes(ctx, c, name)
	if err != nil || len(missing) == 0 {
		return err
	}
	if _, err := c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: name, SearchAttributes: missing,
	}); err != nil {
		return fmt.Errorf("add the search attributes: %w", err)
	}
	return nil
}

func missingSearchAttributes(ctx context.Context, c client.Client, namespace string) (map[string]enums.IndexedValueType, error) {
	listed, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{
		Namespace: namespace,
	})
	if err != nil {
		return nil, fmt.Errorf("list the search attributes: %w", err)
	}
	missing := map[string]enums.IndexedValueType{}
	for name, want := range SearchAttributes {
		switch got, ok := listed.GetCustomAttributes()[name]; {
		case !ok:
			missing[name] = want
		case got != want:
			return nil, fmt.Errorf("search attribute %s is of type %s, not %s", name, got, want)
		}
	}
	return missing, nil
}
