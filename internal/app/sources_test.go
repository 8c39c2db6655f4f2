package app

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"lockstep/connectors/genesys"
	"lockstep/connectors/salesforce"
	"lockstep/internal/payload"
	"lockstep/internal/secrets"
	"lockstep/internal/signature"
	"lockstep/schema"
	"lockstep/workflows"
)

func shippedWiring(t *testing.T) *wiring {
	t.Helper()
	w := &wiring{Config: Config{Map: shippedMap}}
	var err error
	if w.bundle, w.shapes, err = w.loadMap(); err != nil {
		t.Fatal(err)
	}
	if w.secrets, err = secrets.Open(secretsFolder(t), secrets.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return w
}

// The shipped map's sources are wired as it says.
func TestSourcesOfTheShippedMap(t *testing.T) {
	w := shippedWiring(t)
	sources, err := w.sources()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range sources {
		names = append(names, s.Name)
		wrapped, ok := s.Envelope.(payload.Upcasting)
		if !ok || s.Rulesets["customer"] == nil || s.Owners["customer"] != "customer-data" || s.Verifier == nil {
			t.Fatalf("%s: %T, %v", s.Name, s.Envelope, s.Owners)
		}
		switch s.Name {
		case "salesforce":
			e, ok := wrapped.Envelope.(salesforce.Envelope)
			if !ok || e.SequenceField != "Change_Seq__c" || !slices.Contains(e.Times, "Last_Support_Interaction__c") || wrapped.Families["Contact"] != "salesforce/contact" {
				t.Errorf("%T %+v", wrapped.Envelope, wrapped)
			}
			if s.Covers != (signature.Covers{ID: true, Timestamp: true, Body: true}) {
				t.Errorf("its signature covers %+v", s.Covers)
			}
		case "genesys":
			if _, ok := wrapped.Envelope.(genesys.Envelope); !ok || wrapped.Families["ExternalContact"] != "genesys/external-contact" {
				t.Errorf("%T %+v", wrapped.Envelope, wrapped)
			}
			if s.Covers != (signature.Covers{}) {
				t.Errorf("its key covers %+v", s.Covers)
			}
		}
	}
	if !slices.Equal(names, []string{"genesys", "salesforce"}) {
		t.Errorf("sources %v", names)
	}
}

// Every envelope that a map may name can be made, and every kind has one.
func TestEnvelopesAndKinds(t *testing.T) {
	if want := []string{"genesys", "salesforce"}; !slices.Equal(Kinds(), want) {
		t.Errorf("kinds %v, want %v", Kinds(), want)
	}
	m := &schema.Map{Systems: map[string]schema.System{}, Objects: map[string]schema.Object{}}
	for _, kind := range Kinds() {
		m.Systems[kind] = schema.System{Kind: kind}
	}
	for _, name := range Envelopes() {
		system := "salesforce"
		if slices.Contains(Kinds(), name) {
			system = name
		}
		if e, err := envelopeOf(m, schema.Source{System: system, Envelope: name, Objects: map[string]schema.SourceObject{"X": {Object: "x"}}}); err != nil || e == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(Kinds()) != 2 || !slices.Equal(Envelopes(), []string{"genesys", "salesforce", "change_set", "flat"}) {
		t.Errorf("envelopes %v of kinds %v: one changes the other", Envelopes(), Kinds())
	}
}

// Metric labels are the map's names and the enumerations, so that their number is bounded.
func TestMetricNames(t *testing.T) {
	w := shippedWiring(t)
	n := w.metricNames()
	for _, source := range []string{"genesys", "salesforce", schema.OwnSource} {
		if !slices.Contains(n.Sources, source) {
			t.Errorf("sources %v lack %s", n.Sources, source)
		}
	}
	if len(n.Causes) != len(signature.Causes) || len(n.Systems) != 2 {
		t.Errorf("%+v", n)
	}
}

var (
	workflowIDs = regexp.MustCompile(`^(sync|record)(/[a-z0-9_-]+){1,3}/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	queues      = regexp.MustCompile(`^system\.[a-z0-9_-]+$`)
)

// Workflow ids and task queues are made of the map's names and random ids of ours, whatever the vendors' ids look like:
// no vendor id gets near them (A26).
func TestA26_WorkflowIDsAndQueues(t *testing.T) {
	name := rapid.StringMatching(`[a-z][a-z0-9]{0,12}([_-][a-z0-9]{1,12}){0,4}`)
	seen := map[string]schema.ID{}
	rapid.Check(t, func(t *rapid.T) {
		id := func() schema.ID { return uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")) }
		// A ref is a vendor's word; what is known of it is the random id of its record.
		ref := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"../..", "a/b/c", "\x00", strings.Repeat("x", 5000), "jane@example.com", "+15550199888"})).Draw(t, "ref")
		c := schema.Claim{
			ID: id(), Kind: rapid.SampledFrom([]schema.ClaimKind{schema.ClaimBatch, schema.ClaimSingle, schema.ClaimTogether}).Draw(t, "kind"), System: name.Draw(t, "system"),
			Object: name.Draw(t, "object"), Record: uuid.NewSHA1(uuid.Nil, []byte(ref)), Records: rapid.IntRange(1, 200).Draw(t, "records"),
		}
		got := workflows.ID(c)
		if !workflowIDs.MatchString(got) || len(got) > 1000 || !strings.HasSuffix(got, c.ID.String()) || len(ref) > 20 && strings.Contains(got, ref) {
			t.Fatalf("%q", got)
		}
		if other, taken := seen[got]; taken && other != c.ID {
			t.Fatalf("two claims are called %q", got)
		}
		seen[got] = c.ID
		if queue := workflows.QueueOf(c.System); !queues.MatchString(queue) || len(queue) > 200 {
			t.Fatalf("%q", queue)
		}
	})
}
