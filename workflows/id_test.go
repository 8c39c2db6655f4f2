package workflows_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lockstep/internal/integrationmap"
	"lockstep/schema"
	"lockstep/workflows"
)

// admitted reports whether an integration map may call a system and an object so.
func admitted(system, object string) bool {
	var runbooks []string
	for _, f := range schema.Failures {
		runbooks = append(runbooks, fmt.Sprintf("%s: %s", f.Reason, f.Reason))
	}
	text := fmt.Sprintf(`
version: 1
mode: live
owners: {ops: {name: Dana Ruiz, slack: U02DANARUIZ}}
systems: {%[1]q: {kind: model, owner: ops, endpoint: env:X, credential: env:X, call_rate: 1/s, phone_region: US}}
objects:
  %[2]q:
    owner: ops
    systems: {%[1]q: {object: Person, create: true}}
    match: [{field: email}]
    fields:
      uuid: {type: canonical_id, system_of_record: lockstep, direction: one_way, personal_data: none, delivery: pull, systems: {%[1]q: key}}
      email: {type: email, system_of_record: %[1]q, direction: one_way, personal_data: contact, delivery: pull, systems: {%[1]q: email}}
runbooks: {%[3]s}
`, system, object, strings.Join(runbooks, ", "))
	_, err := integrationmap.Parse("map.yaml", []byte(text), integrationmap.Known{Kinds: []string{"model"}})
	return err == nil
}

// longestID is what Temporal's own tables take, in the persistence store as in the visibility store: 255 characters.
const longestID = 255

const anID = `[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`

var (
	plainID = regexp.MustCompile(`^(sync|record)/([a-z0-9_-]+/){1,2}(` + anID + `/)?` + anID + `$`)
	queueID = regexp.MustCompile(`^system\.[a-z0-9_-]+$`)
)

// TestA26 shows that whatever a map admits, and whoever the customer is, ids and queues are short, plain and hold random
// ids only.
func TestA26(t *testing.T) {
	grammar := rapid.StringMatching(`[a-z][a-z0-9]{0,20}([_-][a-z0-9]{1,20}){0,30}`)
	hostile := rapid.SampledFrom([]string{
		"", "/", "..", "../../x", "a/b", "a.b", "a b", "a\nb", "a\x00b", "ada@example.com", "+13175550100", "123-45-6789", "Ada Byron", "a%2fb", "ä", "a\u202eb",
		"sync/customer/x", strings.Repeat("a", 65), strings.Repeat("a", 1001), "a_", "-a", "${jndi}", "<script>", "' OR 1=1 --",
	})
	names := rapid.OneOf(grammar, grammar, hostile, rapid.String())
	ids := rapid.Custom(func(rt *rapid.T) (id schema.ID) {
		copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, "bytes"))
		return id
	})
	taken := 0
	rapid.Check(t, func(rt *rapid.T) {
		system, object := names.Draw(rt, "system"), names.Draw(rt, "object")
		if !admitted(system, object) {
			return
		}
		taken++
		c := schema.Claim{
			ID: ids.Draw(rt, "claim"), System: system, Object: object, Records: rapid.IntRange(1, 200).Draw(rt, "records"),
			Kind: rapid.SampledFrom([]schema.ClaimKind{schema.ClaimBatch, schema.ClaimSingle, schema.ClaimTogether}).Draw(rt, "kind"),
		}
		if c.Records == 1 || c.Kind == schema.ClaimSingle {
			c.Records, c.Record = 1, ids.Draw(rt, "record")
		}
		options, _, in := workflows.Start(c, "ops", strings.Repeat("ab", 32), policy)
		if id := options.ID; id != workflows.ID(c) || len(id) > longestID || !plainID.MatchString(id) {
			rt.Errorf("workflow id %q, %d long", id, len(id))
		}
		// Nothing is in an id but the names of the map and random ids.
		rest := strings.NewReplacer(c.ID.String(), "", c.Record.String(), "").Replace(options.ID)
		for _, part := range strings.Split(rest, "/") {
			if part != "" && part != "sync" && part != "record" && part != system && part != object {
				rt.Errorf("%q is in workflow id %q", part, options.ID)
			}
		}
		for _, queue := range []string{workflows.QueueOf(system), options.TaskQueue} {
			if len(queue) > longestID || queue != workflows.QueueSync && !queueID.MatchString(queue) {
				rt.Errorf("task queue %q", queue)
			}
		}
		// Two claims never share an id.
		other := c
		other.ID[0]++
		if workflows.ID(other) == options.ID {
			rt.Errorf("two claims are %q", options.ID)
		}
		if _, err := workflows.DataConverter().ToPayload(in); err != nil {
			rt.Error(err)
		}
	})
	if taken < 5 {
		t.Errorf("only %d maps were admitted", taken)
	}
}
