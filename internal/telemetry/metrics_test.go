package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"lockstep/schema"
)

var names = Names{
	Sources: []string{"crm", "genesys"}, Systems: []string{"salesforce", "genesys"}, Causes: []string{"wrong_signature", "stale"},
	Temporal: []string{"lockstep", "sync", "system.genesys", "Sync", "SyncRecord", "Apply"},
}

func metrics(t *testing.T) *Metrics {
	t.Helper()
	m, err := NewMetrics(names)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return m
}

// scrape returns the samples of our own and the Temporal SDK's instruments.
func scrape(t *testing.T, m *Metrics) map[string]string {
	t.Helper()
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.Code != 200 {
		t.Fatalf("%d, %v: %s", answer.Code, err, body)
	}
	samples := map[string]string{}
	for line := range strings.Lines(string(body)) {
		if !strings.HasPrefix(line, "lockstep_") && !strings.HasPrefix(line, "temporal_") {
			continue
		}
		at := strings.LastIndex(line, " ")
		samples[line[:at]] = strings.TrimSpace(line[at:])
	}
	return samples
}

func TestWhatIsCounted(t *testing.T) {
	m := metrics(t)
	ctx := context.Background()
	m.Accepted(ctx, "crm", 3)
	m.Accepted(ctx, "crm", 2)
	m.Duplicate(ctx, "crm")
	m.Refused(ctx, "genesys", schema.ReasonBadPhone)
	m.Refused(ctx, "nowhere", "Jane Roe")
	m.Ended(ctx, "crm", schema.Applied, 4)
	m.Called(ctx, "salesforce", schema.OpWrite, "", 40*time.Millisecond)
	m.Called(ctx, "salesforce", schema.OpWrite, schema.Throttled, 2*time.Minute)
	m.Unauthorised(ctx, "crm", "wrong_signature")
	m.Unauthorised(ctx, "crm", "4111111111111111")
	m.Signed(ctx, "crm", -2*time.Second)
	m.Signed(ctx, "crm", 30*time.Second)
	m.OldSecret(ctx, "crm", time.Unix(1_763_640_000, 500_000_000))
	broken := errors.New("Jane Roe")
	answer := func() (Snapshot, error) {
		return Snapshot{
			OpenEvents: map[schema.EventState]int64{schema.EventNew: 5, schema.EventHeld: 1}, OldestWaiting: 90 * time.Second,
			Deliveries: []Deliveries{{"genesys", schema.OpCreate, schema.DeliveryReady, 7}, {"x", "y", "z", 1}},
			Claims:     []Claims{{"genesys", schema.ClaimSingle, 2}}, Slots: []Slots{{"genesys", 1, 3}},
		}, nil
	}
	if err := m.Observe(func(ctx context.Context) (Snapshot, error) {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("a reading without a deadline")
		}
		return answer()
	}); err != nil {
		t.Fatal(err)
	}
	samples := scrape(t, m)
	for series, want := range map[string]string{
		`lockstep_events_total{reason="none",result="accepted",source="crm"}`:                     "5",
		`lockstep_events_total{reason="none",result="duplicate",source="crm"}`:                    "1",
		`lockstep_events_total{reason="bad_phone",result="refused",source="genesys"}`:             "1",
		`lockstep_events_total{reason="other",result="refused",source="other"}`:                   "1",
		`lockstep_outcomes_total{outcome="applied",source="crm"}`:                                 "4",
		`lockstep_vendor_calls_total{kind="none",op="write",system="salesforce"}`:                 "1",
		`lockstep_vendor_calls_total{kind="Throttled",op="write",system="salesforce"}`:            "1",
		`lockstep_vendor_call_duration_seconds_count{op="write",system="salesforce"}`:             "2",
		`lockstep_vendor_call_duration_seconds_bucket{op="write",system="salesforce",le="0.005"}`: "0",
		`lockstep_vendor_call_duration_seconds_bucket{op="write",system="salesforce",le="0.05"}`:  "1",
		`lockstep_vendor_call_duration_seconds_bucket{op="write",system="salesforce",le="120"}`:   "2",
		`lockstep_vendor_call_duration_seconds_bucket{op="write",system="salesforce",le="300"}`:   "2",
		`lockstep_signature_failures_total{cause="wrong_signature",source="crm"}`:                 "1",
		`lockstep_signature_failures_total{cause="other",source="crm"}`:                           "1",
		`lockstep_signed_age_seconds_bucket{source="crm",le="-1"}`:                                "1",
		`lockstep_signed_age_seconds_bucket{source="crm",le="60"}`:                                "2",
		`lockstep_old_secret_last_used_seconds{source="crm"}`:                                     "1.7636400005e+09",
		`lockstep_open_events{state="new"}`:                                                       "5",
		`lockstep_open_events{state="decided"}`:                                                   "0",
		`lockstep_open_events{state="held"}`:                                                      "1",
		`lockstep_oldest_waiting_seconds`:                                                         "90",
		`lockstep_deliveries{op="create",state="ready",system="genesys"}`:                         "7",
		`lockstep_deliveries{op="other",state="other",system="other"}`:                            "1",
		`lockstep_claims{kind="single",system="genesys"}`:                                         "2",
		`lockstep_slots{state="taken",system="genesys"}`:                                          "1",
		`lockstep_slots{state="free",system="genesys"}`:                                           "3",
	} {
		if samples[series] != want {
			t.Errorf("%s is %q, want %q", series, samples[series], want)
		}
	}
	answer = func() (Snapshot, error) { return Snapshot{}, broken }
	scrape(t, m)
	samples = scrape(t, m)
	if samples["lockstep_observation_failures_total"] == "" || samples[`lockstep_open_events{state="new"}`] != "" || samples[`lockstep_oldest_waiting_seconds`] != "" {
		t.Errorf("a reading that failed: %v", samples)
	}
	if samples[`lockstep_events_total{reason="none",result="accepted",source="crm"}`] != "5" {
		t.Error("counters are gone with the reading")
	}
}

func TestNewNamesOfAnotherMap(t *testing.T) {
	m := metrics(t)
	m.Duplicate(context.Background(), "dynamics")
	m.Know(Names{Sources: []string{"dynamics", "crm"}})
	m.Duplicate(context.Background(), "dynamics")
	m.Duplicate(context.Background(), "genesys")
	samples := scrape(t, m)
	for _, source := range []string{"other", "dynamics", "genesys"} {
		if got := samples[`lockstep_events_total{reason="none",result="duplicate",source="`+source+`"}`]; got != "1" {
			t.Errorf("%s: %q", source, got)
		}
	}
}

// use records every label from what it is given, through every instrument.
func use(m *Metrics, s string) {
	ctx := context.Background()
	m.Accepted(ctx, s, 1)
	m.Duplicate(ctx, s)
	m.Refused(ctx, s, schema.Reason(s))
	m.Ended(ctx, s, schema.Outcome(s), 1)
	m.Called(ctx, s, schema.Op(s), schema.Kind(s), time.Second)
	m.Unauthorised(ctx, s, s)
	m.Signed(ctx, s, time.Second)
	m.OldSecret(ctx, s, time.Now())
	h := m.Temporal().WithTags(map[string]string{
		"namespace": s, "task_queue": s, "workflow_type": s, "activity_type": s, "workflow_id": s, "run_id": s, s: s, "email": s,
	}).WithTags(map[string]string{"worker_type": "none"})
	h.Counter("temporal_request").Inc(1)
	h.Gauge("temporal_num_pollers").Update(1)
	h.Timer("temporal_request_latency").Record(time.Second)
}

func TestB07SeriesDoNotFollowTheWorld(t *testing.T) {
	m := metrics(t)
	world := "x"
	if err := m.Observe(func(context.Context) (Snapshot, error) {
		return Snapshot{
			OpenEvents: map[schema.EventState]int64{schema.EventState(world): 1}, Deliveries: []Deliveries{{world, schema.Op(world), schema.DeliveryState(world), 1}},
			Claims: []Claims{{world, schema.ClaimKind(world), 1}}, Slots: []Slots{{world, 1, 1}},
		}, nil
	}); err != nil {
		t.Fatal(err)
	}
	use(m, "something unknown")
	before := scrape(t, m)
	random := rand.New(rand.NewPCG(7, 1))
	for i := range 50_000 {
		s := fmt.Sprintf("%x-%d", random.Uint64(), i)
		switch i % 5 {
		case 1:
			s = canaryList[i/5%len(canaryList)] + s
		case 2:
			s = "\"}\n lockstep_forged{a=\"" + s
		case 3:
			s = nasty[i/5%len(nasty)]
			s = s[:min(len(s), 50)] + fmt.Sprint(i)
		}
		use(m, s)
		world = s
	}
	after := scrape(t, m)
	if len(after) != len(before) {
		t.Errorf("%d series before, %d after", len(before), len(after))
	}
	for series := range after {
		if _, known := before[series]; !known {
			t.Errorf("new series %s", series)
		}
		for _, canary := range canaryList {
			if strings.Contains(series, canary) {
				t.Errorf("%s", series)
			}
		}
	}
	if after[`lockstep_events_total{reason="none",result="duplicate",source="other"}`] != "50001" {
		t.Errorf("not everything was counted: %v", after)
	}
	t.Logf("B07: %d series", len(after))
}

var canaryList = func() (list []string) {
	for _, canary := range canaries {
		list = append(list, canary)
	}
	return list
}()

// Even tags that are constants of the SDK cannot run away.
func TestB07SDKTagsAreBounded(t *testing.T) {
	m := metrics(t)
	for i := range 5000 {
		word := strings.Map(func(r rune) rune { return r - '0' + 'a' }, fmt.Sprint(i))
		m.Temporal().WithTags(map[string]string{"operation": word, "failure_reason": "4111111111111111", "cause": "Jane Roe", "status_code": strings.Repeat("x", 65)}).Counter("temporal_request").Inc(1)
	}
	samples := scrape(t, m)
	if len(samples) > seriesLimit || len(samples) < 100 {
		t.Errorf("%d series", len(samples))
	}
	for series := range samples {
		if strings.Contains(series, "4111") || strings.Contains(series, "Jane") || strings.Contains(series, "xxxxx") {
			t.Errorf("%s", series)
		}
	}
}

func TestB07UnlistedLabelsAreLeftOut(t *testing.T) {
	m := metrics(t)
	stray, err := m.meter.Int64Counter("lockstep.stray")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		stray.Add(context.Background(), 1, metric.WithAttributes(attribute.Int("customer", i), attribute.String("op", "read")))
	}
	if got := scrape(t, m)[`lockstep_stray_total{op="read"}`]; got != "100" {
		t.Errorf("%q", got)
	}
}

func TestTemporalNamesAreKept(t *testing.T) {
	m := metrics(t)
	h := m.Temporal().WithTags(map[string]string{"namespace": "lockstep", "task_queue": "system.genesys", "workflow_type": "Sync", "activity_type": "none"})
	h.WithTags(map[string]string{"operation": "PollActivityTaskQueue"}).Timer("temporal_long_request_latency").Record(20 * time.Second)
	h.Counter("temporal_workflow_completed").Inc(3)
	h.Gauge("temporal_worker_task_slots_available").Update(7)
	samples := scrape(t, m)
	for series, want := range map[string]string{
		`temporal_workflow_completed_total{activity_type="none",namespace="lockstep",task_queue="system.genesys",workflow_type="Sync"}`:                                                      "3",
		`temporal_worker_task_slots_available{activity_type="none",namespace="lockstep",task_queue="system.genesys",workflow_type="Sync"}`:                                                   "7",
		`temporal_long_request_latency_seconds_bucket{activity_type="none",namespace="lockstep",operation="PollActivityTaskQueue",task_queue="system.genesys",workflow_type="Sync",le="30"}`: "1",
		`temporal_long_request_latency_seconds_bucket{activity_type="none",namespace="lockstep",operation="PollActivityTaskQueue",task_queue="system.genesys",workflow_type="Sync",le="10"}`: "0",
	} {
		if samples[series] != want {
			t.Errorf("%s is %q, want %q\n%v", series, samples[series], want, samples)
		}
	}
}
