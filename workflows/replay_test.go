package workflows_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"

	"lockstep/workflows"
)

// kept are the histories that every later build has to replay: runs of it are under way while it is rolled out. They are
// recorded by demo/scenarios with -record.
var kept = []string{"lone", "many", "given_back", "handed_over", "retried_after_429", "parked_by_person"}

func TestHistoriesReplay(t *testing.T) {
	files, err := filepath.Glob("testdata/histories/*.json")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		found[name] = true
		t.Run(name, func(t *testing.T) {
			history := readHistory(t, path)
			replayer, err := workflows.Replayer()
			if err != nil {
				t.Fatal(err)
			}
			if err := replayer.ReplayWorkflowHistory(nil, history); err != nil {
				t.Errorf("this build would not go on with a run of an earlier one: %v", err)
			}
		})
	}
	for _, name := range kept {
		if !found[name] {
			t.Errorf("testdata/histories/%s.json is missing", name)
		}
	}
}

func readHistory(t *testing.T, path string) *historypb.History {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	history := &historypb.History{}
	options := temporalproto.CustomJSONUnmarshalOptions{}
	if err := options.Unmarshal(raw, history); err != nil {
		t.Fatal(err)
	}
	if len(history.Events) < 5 {
		t.Fatalf("%d events are no run", len(history.Events))
	}
	return history
}

// A replay that cannot fail proves nothing: a history in which another activity was started does not replay.
func TestAnotherStoryDoesNotReplay(t *testing.T) {
	history := readHistory(t, "testdata/histories/lone.json")
	changed := false
	for _, e := range history.Events {
		if scheduled := e.GetActivityTaskScheduledEventAttributes(); scheduled != nil {
			scheduled.ActivityType.Name += "X"
			changed = true
		}
	}
	if !changed {
		t.Fatal("the run has no activity")
	}
	replayer, err := workflows.Replayer()
	if err != nil {
		t.Fatal(err)
	}
	if replayer.ReplayWorkflowHistory(nil, history) == nil {
		t.Error("another story replays")
	}
}

// base64Text is how payloads are spelt.
var base64Text = regexp.MustCompile(`[A-Za-z0-9+/]{8,}={0,2}`)

// The kept histories are public: they hold references only.
func TestHistoriesHoldNoPersonalData(t *testing.T) {
	for _, name := range kept {
		raw, err := os.ReadFile(filepath.Join("testdata", "histories", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range base64Text.FindAll(raw, -1) {
			if decoded, err := base64.StdEncoding.DecodeString(string(text)); err == nil {
				raw = append(raw, decoded...)
			}
		}
		for _, trace := range []string{"@example.com", "Lamport", "Knuth", "+1614"} {
			if bytes.Contains(raw, []byte(trace)) {
				t.Errorf("%s holds %q", name, trace)
			}
		}
	}
}
