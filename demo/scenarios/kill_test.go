package scenarios_test

import (
	"encoding/json"
	"slices"
	"testing"

	"lockstep/demo/chaos"
)

// torment runs kill rounds by plans and demands that each of them holds.
func torment(t *testing.T, seed uint64, plans ...chaos.Plan) {
	t.Helper()
	runner, err := chaos.New(t.Context(), chaos.Options{At: demo.Endpoints, Say: func(text string) { t.Log(text) }, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	for _, plan := range plans {
		round, err := runner.Round(t.Context(), plan)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(round)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s", text)
		if !round.Holds() {
			t.Errorf("round %d: %d lost, %d doubled, %d differences", round.N, round.Lost, round.Doubled, round.Differences)
		}
		for _, part := range plan.Parts {
			if !slices.ContainsFunc(round.Kills, func(k chaos.Kill) bool { return k.Part == part && k.InFlight > 0 }) {
				t.Errorf("round %d: %s was not killed while events were in flight", round.N, part)
			}
		}
	}
}

// TestE01_TheWorkerIsKilled, E03, E04 and E05: what was accepted is not lost, whoever dies.
func TestE01_TheWorkerIsKilled(t *testing.T) {
	torment(t, 1, chaos.Plan{Parts: []string{"worker", "dispatch"}})
}

func TestE03_PostgresIsKilled(t *testing.T) {
	torment(t, 3, chaos.Plan{Parts: []string{"postgres"}})
}

func TestE04_TemporalIsKilled(t *testing.T) {
	torment(t, 4, chaos.Plan{Parts: []string{"temporal"}})
}

func TestE05_EverythingIsKilledAtOnce(t *testing.T) {
	torment(t, 5, chaos.Plan{Parts: chaos.Parts(), Together: true})
}
