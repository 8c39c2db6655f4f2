package workflows_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/activities"
	"lockstep/schema"
	"lockstep/workflows"
)

// TestB06 shows, from the types, what a notice to a person can be built of: ids of ours, numbers, spans of time, words of
// closed lists, and names that stand in the integration map. No field can hold a customer's value, so no summary, search
// attribute, memo, detail, failure row or message to Slack made of them can. That nothing else speaks to Slack than
// internal/slack is a rule of internal/archtest.
func TestB06(t *testing.T) {
	enumerated := []reflect.Type{
		reflect.TypeFor[schema.Op](), reflect.TypeFor[schema.Lane](), reflect.TypeFor[schema.ClaimKind](), reflect.TypeFor[schema.Reason](),
	}
	named := []string{"System", "Object", "Owner"}
	var check func(path string, of reflect.Type)
	check = func(path string, of reflect.Type) {
		switch {
		case of == reflect.TypeFor[schema.ID](), of == reflect.TypeFor[time.Duration](), slices.Contains(enumerated, of), of.Kind() == reflect.Bool, of.Kind() == reflect.Int:
		case of.Kind() == reflect.Struct:
			for i := range of.NumField() {
				f := of.Field(i)
				if f.Type == reflect.TypeFor[string]() && slices.Contains(named, f.Name) {
					continue
				}
				check(path+"."+f.Name, f.Type)
			}
		default:
			t.Errorf("%s is a %s: a notice could hold anything", path, of)
		}
	}
	for _, of := range []reflect.Type{
		reflect.TypeFor[schema.Member](), reflect.TypeFor[schema.Claim](), reflect.TypeFor[workflows.ClaimInput](), reflect.TypeFor[workflows.ClaimResult](),
		reflect.TypeFor[activities.ApplyInput](), reflect.TypeFor[activities.ApplyResult](), reflect.TypeFor[activities.GiveBackInput](),
		reflect.TypeFor[activities.ParkInput](), reflect.TypeFor[activities.IncidentInput](), reflect.TypeFor[activities.Trouble](), reflect.TypeFor[activities.Empty](),
	} {
		check(of.String(), of)
	}
	// A name of the map is none of a customer's values.
	for _, value := range []string{"ada@example.com", "+13175550100", "317 555 0100", "Ada Byron", "123-45-6789", "O'Neill", "12 Main St", "<!channel>"} {
		if admitted(value, "customer") || admitted("desk", value) {
			t.Errorf("the map may call a system or an object %q", value)
		}
	}
	// What a run shows of itself is spelt from them and from nothing else.
	record := schema.ID{0: 0xca, 15: 1}
	for _, c := range []schema.Claim{
		{ID: claim, Kind: schema.ClaimBatch, System: "genesys", Object: "customer", Op: schema.OpLink, Lane: schema.LanePush, Parts: 2, Records: 40},
		{ID: claim, Kind: schema.ClaimSingle, System: "genesys", Object: "customer", Op: schema.OpFind, Lane: schema.LaneBulk, Parts: 1, Records: 1, Record: record},
	} {
		options, _, _ := workflows.Start(c, "ops", "digest", policy)
		told := map[string]any{}
		for key, value := range options.TypedSearchAttributes.GetUntypedValues() {
			told[key.GetName()] = value
		}
		want := map[string]any{
			"LockstepState": "running", "LockstepObject": "customer", "LockstepTarget": "genesys", "LockstepLane": c.Lane.String(), "LockstepOwner": "ops",
			"LockstepRecords": int64(c.Records),
		}
		summary := fmt.Sprintf("%s %d of customer → genesys", c.Op, c.Records)
		if c.Record != (schema.ID{}) {
			want["LockstepRecord"] = record.String()
			summary = fmt.Sprintf("%s customer %s → genesys", c.Op, record)
		}
		if !maps.Equal(told, want) {
			t.Errorf("search attributes %v, want %v", told, want)
		}
		if options.StaticSummary != summary || options.StaticDetails != "" || len(options.Memo) != 1 || options.Memo["bundle"] != "digest" {
			t.Errorf("summary %q, details %q, memo %v", options.StaticSummary, options.StaticDetails, options.Memo)
		}
	}
	for _, f := range schema.Failures {
		if strings.ContainsAny(f.Sentence, "@%{}<>") {
			t.Errorf("%s: %q is more than a sentence", f.Reason, f.Sentence)
		}
	}
}
