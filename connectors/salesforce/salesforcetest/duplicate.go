package salesforcetest

import (
	"encoding/json"
	"fmt"
)

// duplicateResult is what a duplicate rule found, as the REST API shows it.
type duplicateResult struct {
	AllowSave    bool          `json:"allowSave"`
	Rule         string        `json:"duplicateRule"`
	Entity       string        `json:"duplicateRuleEntityType"`
	ErrorMessage string        `json:"errorMessage"`
	MatchResults []matchResult `json:"matchResults"`
}

type matchResult struct {
	EntityType   string        `json:"entityType"`
	Errors       []any         `json:"errors"`
	MatchEngine  string        `json:"matchEngine"`
	MatchRecords []matchRecord `json:"matchRecords"`
	Rule         string        `json:"rule"`
	Size         int           `json:"size"`
	Success      bool          `json:"success"`
}

type matchRecord struct {
	Additional []any   `json:"additionalInformation"`
	FieldDiffs []any   `json:"fieldDiffs"`
	Confidence any     `json:"matchConfidence"`
	Record     ordered `json:"record"`
}

// The settings of the duplicate rule.
const (
	// DuplicatesOff runs no rule.
	DuplicatesOff = ""
	// DuplicatesAlert refuses a suspected duplicate unless the request carries allowSave.
	DuplicatesAlert = "alert"
	// DuplicatesBlock refuses a suspected duplicate whatever the request carries.
	DuplicatesBlock = "block"
)

// ruleFields is by what the standard rule suspects a duplicate.
var ruleFields = map[string]string{"Contact": "Email", "Account": "Name"}

// checkDuplicates runs the duplicate rule over a written matching field.
func (t *transaction) checkDuplicates(row *record, written map[string]any) *apiError {
	rule := t.s.switches.DuplicateRule
	if rule == DuplicatesOff || rule == DuplicatesAlert && t.allowDuplicates {
		return nil
	}
	f := row.object.find(ruleFields[row.object.Name])
	if f == nil || written[f.Name] == nil {
		return nil
	}
	var found []matchRecord
	for _, other := range t.s.tables[row.object.Name].having(f, written[f.Name]) {
		if other.id != row.id {
			found = append(found, matchRecord{
				Additional: []any{}, FieldDiffs: []any{}, Confidence: json.Number("100.0"),
				Record: ordered{{"attributes", attributes(row.object, other.id, 62)}, {"Id", other.id}},
			})
		}
	}
	if found == nil {
		return nil
	}
	const message = "Use one of these records?"
	name := row.object.Name
	return &apiError{
		Code: "DUPLICATES_DETECTED", Message: message,
		Duplicate: &duplicateResult{
			AllowSave: rule == DuplicatesAlert, Rule: fmt.Sprintf("Standard_%s_Duplicate_Rule", name), Entity: name,
			ErrorMessage: message,
			MatchResults: []matchResult{{
				EntityType: name, Errors: []any{}, MatchEngine: "FuzzyMatchEngine", MatchRecords: found,
				Rule: fmt.Sprintf("Standard_%s_Match_Rule_v1_1", name), Size: len(found), Success: true,
			}},
		},
	}
}
