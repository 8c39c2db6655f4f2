package scenarios_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"lockstep/demo/checker"
	"lockstep/demo/stack"
)

// TestRolesInOneProcess runs intake, dispatch and worker in one process: a customer who is typed into one system arrives in the
// other, and a change there comes back. Everywhere else here they run apart.
func TestRolesInOneProcess(t *testing.T) {
	home, err := os.MkdirTemp("/tmp", "lockstep-together-")
	do(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(home) }) // it lies below /tmp
	opts, err := prepared(home)
	do(t, err)
	opts.Together = true
	together, err := stack.Up(t.Context(), opts)
	t.Cleanup(func() {
		if err := together.Down(); err != nil {
			t.Error(err)
		}
	})
	do(t, err)
	at := together.Endpoints()
	if !slices.Equal(at.PIDs.Intake, at.PIDs.Worker) || !slices.Equal(at.PIDs.Intake, at.PIDs.Dispatch) || len(at.PIDs.Intake) != 1 {
		t.Fatalf("they run apart: %+v", at.PIDs)
	}
	s := &scene{land: checker.LandscapeAt(at), lockstep: checker.LockstepAt(at), who: map[string]map[string]string{}, journals: map[string]int{}}
	salesforce, genesys := twinIn(t, s, "together")
	_, err = s.land.Genesys.Save(t.Context(), "ExternalContact", []checker.Record{{"id": genesys, "workEmail": "together.new@example.com"}})
	do(t, err)
	do(t, eventually(t.Context(), func(ctx context.Context) error {
		contacts, err := s.land.Salesforce.State(ctx, "Contact")
		if err == nil && !slices.ContainsFunc(contacts, func(r checker.Record) bool {
			return r.Text("Id") == salesforce && r.Text("Email") == "together.new@example.com"
		}) {
			err = errors.New("the change has not come back")
		}
		return err
	}))
	do(t, s.settle(t.Context()))
}
