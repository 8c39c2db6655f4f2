package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"lockstep/schema"
)

func secretMap(protect string) func(*schema.Map) {
	return func(m *schema.Map) {
		o := m.Objects["customer"]
		o.Fields["ssn"] = schema.Field{
			Type: schema.TypeText, SystemOfRecord: "crm", Direction: schema.OneWay, PersonalData: schema.PersonalSecret,
			Systems: map[string]schema.Mapping{"crm": {Field: "SSN"}, "desk": {Field: "ssn", Protect: protect}},
		}
		o.Fields["limit"] = schema.Field{
			Type: schema.TypeDecimal, SystemOfRecord: "crm", Direction: schema.OneWay,
			Systems: map[string]schema.Mapping{"crm": {Field: "Limit"}, "desk": {Field: "limit"}},
		}
		o.Fields["vip"] = schema.Field{
			Type: schema.TypeBoolean, SystemOfRecord: "crm", Direction: schema.OneWay,
			Systems: map[string]schema.Mapping{"crm": {Field: "VIP"}, "desk": {Field: "vip"}},
		}
	}
}

func TestASecretLeavesProtectedOrNotAtAll(t *testing.T) {
	protect := func(how, system, field string, v schema.Value) (any, error) {
		return fmt.Sprintf("%s %s %s %d", how, system, field, len(v.Reveal())), nil
	}
	for how, want := range map[string]any{"encrypt": "encrypt desk ssn 11", "token": "token desk ssn 11", "drop": nil} {
		r := customer(t, secretMap(how))
		state, rev := linked(t, r)
		decide(r, state, rev, change(1, "crm", later(1), schema.Fields{"SSN": "123-45-6789"}))
		out, err := r.Render("desk", record, state, false, schema.ID{}, protect)
		if err != nil || out.Fields["ssn"] != want {
			t.Errorf("%s: desk is told %v (%v)", how, out.Fields["ssn"], err)
		}
		// What stands in the receiver's field is nobody's word.
		before, _ := r.winnerOf(r.byName["ssn"], record, state)
		decide(r, state, rev, change(2, "desk", later(2), schema.Fields{"ssn": "tok_x"}))
		if after, _ := r.winnerOf(r.byName["ssn"], record, state); after != before {
			t.Errorf("%s: the receiver's spelling became a value", how)
		}
	}
	r := customer(t, secretMap("encrypt"))
	state, rev := linked(t, r)
	decide(r, state, rev, change(1, "crm", later(1), schema.Fields{"SSN": "123-45-6789"}))
	if _, err := r.Render("desk", record, state, false, schema.ID{}, func(string, string, string, schema.Value) (any, error) { return nil, errors.New("no key") }); err == nil {
		t.Error("without a key it leaves all the same")
	}
}

func TestRenderSpellsTypes(t *testing.T) {
	r := customer(t, secretMap("drop"))
	state, rev := linked(t, r)
	decide(r, state, rev, change(1, "crm", later(1), schema.Fields{"Limit": json.Number("5000.50"), "VIP": true, "Phone": nil}))
	out, err := r.Render("desk", record, state, false, schema.ID{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if out.Fields["limit"] != json.Number("5000.5") || out.Fields["vip"] != true {
		t.Errorf("spelt %v %v", out.Fields["limit"], out.Fields["vip"])
	}
	if v, told := out.Fields["phone"]; !told || v != nil {
		t.Errorf("an emptied field is told as %v", v)
	}
	if !out.Shared {
		t.Error("a two-way field is among them: the write is shared")
	}
}

func TestALossyTargetIsInStep(t *testing.T) {
	r := customer(t, func(m *schema.Map) {
		f := m.Objects["customer"].Fields["name"]
		f.Systems = map[string]schema.Mapping{"crm": {Field: "Name"}, "desk": {Field: "name", Out: []string{"truncate(4)"}}}
		m.Objects["customer"].Fields["name"] = f
	})
	state, rev := linked(t, r)
	d := decide(r, state, rev, change(1, "crm", later(1), schema.Fields{"Name": "Bartholomew"}))
	out, err := r.Render("desk", record, state, false, schema.ID{}, nil)
	if err != nil || out.Fields["name"] != "Bart" {
		t.Fatalf("told %v (%v)", out.Fields["name"], err)
	}
	r.Wrote("desk", state, "", out.Told, schema.Moment{}, later(2).UnixMilli(), d.Rev)
	d = decide(r, state, d.Rev, full(2, "desk", later(3), schema.Fields{
		"ext": record.String(), "number": "C-1", "name": "Bart", "mail": "ada@example.com", "phone": "+13175550100", "seen": "monday",
	}))
	if d.Verdicts[0].Outcome != schema.Echo || len(d.Wants) != 0 {
		t.Errorf("the shortened name is taken for an edit: %+v", d)
	}
	stands(t, r, state, "name", "Bartholomew")
}

func TestTheCulpritIsNamed(t *testing.T) {
	r := customer(t)
	state, rev := linked(t, r)
	d := decide(r, state, rev, change(1, "crm", later(1), schema.Fields{"Name": "Ada King"}))
	decide(r, state, d.Rev, change(2, "crm", later(2), schema.Fields{"Email": "refused@example.com"}))
	out, err := r.Render("desk", record, state, false, schema.ID{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if culprit, ok := r.Culprit("desk", record, state, "mail", out); !ok || culprit != event(2) {
		t.Errorf("the field names %s", culprit)
	}
	if _, ok := r.Culprit("desk", record, state, "", out); ok {
		t.Error("without a field two events could be meant")
	}
	one, err := r.Render("desk", record, state, false, event(1), nil)
	if err != nil || len(one.Fields) != 1 {
		t.Fatalf("alone the first event tells %d fields (%v)", len(one.Fields), err)
	}
	// After the refusal the value before stands again, and the other event's word still goes out.
	r.Kill(state, event(2))
	stands(t, r, state, "email", "ada@example.com")
	out, err = r.Render("desk", record, state, false, schema.ID{}, nil)
	if err != nil || len(out.Fields) != 1 || out.Fields["name"] != "Ada King" {
		t.Errorf("after the death desk is told %d fields (%v)", len(out.Fields), err)
	}
	// The system whose user said it keeps it: a person decides about that.
	if out, _ := r.Render("crm", record, state, false, schema.ID{}, nil); len(out.Fields) != 0 {
		t.Error("the refused word is overwritten in its own system")
	}
	r.Revive(state, event(2))
	stands(t, r, state, "email", "refused@example.com")
}

func TestLookUpAsksByOurIDFirst(t *testing.T) {
	r := customer(t)
	state, _ := linked(t, r)
	keys := r.LookUp("desk", record, state)
	if len(keys) != 4 || keys[0].Field != "ext" || keys[1].Field != "number" || keys[2].Field != "mail" || keys[3].Field != "phone" {
		t.Errorf("asks by %d keys", len(keys))
	}
}
