package activities_test

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"lockstep/schema"
)

// TestB08 takes every profile and dump that the admin listener would serve while a call about a customer of canaries is under
// way, with the workflow's and the activity's machinery around it: they name functions and constants of ours, and nothing of
// the customer. Memory itself, as in a core dump, holds everything: a core dump is no file to pass around.
func TestB08(t *testing.T) {
	o := newOffice(t)
	o.says(1, schema.Fields{"mail": "p1@example.com", "name": "Canarylast One", "lang": "canarylang"})
	o.Settle()
	canaries := []string{"p1@example.com", "Canarylast One", "canarylang", "Canarylast Two", o.contact(1)["Id"].(string)}
	a := beginWith(t, o, time.Millisecond, schema.Fields{"name": "Canarylast Two"})
	a.wait("the call", a.slow.begun)
	a.wait("the first heartbeat", a.heard)
	dumps := map[string]string{"stack": string(debug.Stack())}
	for _, p := range pprof.Profiles() {
		for _, detail := range []int{1, 2} {
			var out bytes.Buffer
			must(t, p.WriteTo(&out, detail))
			dumps[fmt.Sprint(p.Name(), " ", detail)] = out.String()
		}
	}
	if dump := dumps["goroutine 2"]; !strings.Contains(dump, "activities.(*Activities).Apply") || !strings.Contains(dump, "activities_test.(*slow).Write") {
		t.Error("the call is in no dump: nothing is shown")
	}
	for name, dump := range dumps {
		for _, canary := range canaries {
			for _, form := range spelt(canary) {
				if strings.Contains(strings.ToLower(dump), strings.ToLower(form)) {
					t.Errorf("%q stands in the profile %s", canary, name)
				}
			}
		}
	}
	close(a.slow.goOn)
	if err := a.end(); err != nil {
		t.Error(err)
	}
	o.Settle()
	if got := o.contact(1)["LastName"]; got != "Canarylast Two" {
		t.Errorf("the org has %q: nothing is shown", got)
	}
}
