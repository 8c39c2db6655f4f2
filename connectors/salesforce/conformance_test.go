package salesforce_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"testing"

	"lockstep/connectors"
	"lockstep/connectors/connectortest"
	"lockstep/connectors/salesforce"
	"lockstep/connectors/salesforce/salesforcetest"
	"lockstep/connectors/simulator"
	"lockstep/schema"
)

var contact = connectors.Object{
	Name: "Contact", Key: "Ext_Id__c", Fields: []string{"Email", "Ext_Id__c", "FirstName", "LastName", "Phone_E164__c", "Title"},
}

func TestConformance(t *testing.T) {
	connectortest.Run(t, connectortest.Harness{
		Start: startOrg, Connect: connect, Object: contact, Person: person,
		Text: "LastName", Clear: "FirstName", Email: "Email", Phone: "Phone_E164__c", External: "Customer_Number__c",
		Missing: "003xx000009999zAAA", TokenPath: "/services/oauth2/token",
		Paths: regexp.MustCompile(`^/services/data/v62\.0/(composite|composite/sobjects|composite/sobjects/Contact(/Ext_Id__c)?|query(/[A-Za-z0-9]+-[0-9]+)?)$`),
		RowFaults: []connectortest.Refusal{
			{Kind: schema.Contention},
			{Fault: itemFault("FIELD_CUSTOM_VALIDATION_EXCEPTION", "LastName"), Kind: schema.Invalid, Field: "LastName"},
			{Fault: itemFault("STRING_TOO_LONG", "canary.person7@example.com"), Kind: schema.Invalid},
			{Fault: itemFault("DUPLICATES_DETECTED", ""), Kind: schema.HumanNeeded},
			{Fault: itemFault("DUPLICATE_EXTERNAL_ID", ""), Kind: schema.HumanNeeded},
			{Fault: itemFault("ENTITY_IS_DELETED", ""), Kind: schema.NotFound},
			{Fault: itemFault("INSUFFICIENT_ACCESS_OR_READONLY", ""), Kind: schema.Forbidden},
			{Fault: itemFault("INVALID_FIELD_FOR_INSERT_UPDATE", "Title"), Kind: schema.Forbidden, Field: "Title"},
			{Fault: itemFault("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", ""), Kind: schema.Invalid},
			{Fault: itemFault("UNKNOWN_EXCEPTION", ""), Kind: schema.Contention},
			{Fault: itemFault("a code with words", ""), Kind: schema.Invalid},
		},
		Refusals: []connectortest.Refusal{
			{Fault: simulator.Fault{Code: 300, BodyCode: "MULTIPLE"}, Kind: schema.HumanNeeded},
			{Fault: simulator.Fault{Code: 400, BodyCode: "JSON_PARSER_ERROR"}, Kind: schema.Invalid},
			{Fault: simulator.Fault{Code: 400, BodyCode: "INVALID_FIELD"}, Kind: schema.Unsupported},
			{Fault: simulator.Fault{Code: 400, BodyCode: "UNABLE_TO_LOCK_ROW"}, Kind: schema.Contention},
			{Fault: simulator.Fault{Code: 403, BodyCode: "REQUEST_LIMIT_EXCEEDED", Message: "TotalRequests Limit exceeded."}, Kind: schema.QuotaExhausted},
			{Fault: simulator.Fault{Code: 403, BodyCode: "REQUEST_LIMIT_EXCEEDED", Message: "ConcurrentPerOrgLongTxn Limit exceeded."}, Kind: schema.Contention},
			{Fault: simulator.Fault{Code: 403, BodyCode: "API_DISABLED_FOR_ORG"}, Kind: schema.Forbidden},
			{Fault: simulator.Fault{Code: 403, BodyCode: "INSUFFICIENT_ACCESS"}, Kind: schema.Forbidden},
			{Fault: simulator.Fault{Code: 404, BodyCode: "NOT_FOUND"}, Kind: schema.Unsupported},
			{Fault: simulator.Fault{Code: 405}, Kind: schema.Unsupported},
			{Fault: simulator.Fault{Code: 409}, Kind: schema.Unsupported},
			{Fault: simulator.Fault{Code: 410, BodyCode: "UNSUPPORTED_API_VERSION"}, Kind: schema.Unsupported},
			{Fault: simulator.Fault{Code: 412, BodyCode: "PRECONDITION_FAILED"}, Kind: schema.Conflict},
			{Fault: simulator.Fault{Code: 414, BodyCode: "URI_TOO_LONG"}, Kind: schema.Invalid},
			{Fault: simulator.Fault{Code: 415}, Kind: schema.Unsupported},
			{Fault: simulator.Fault{Code: 420, BodyCode: "NO_ROUTE"}, Kind: schema.Unavailable},
			{Fault: simulator.Fault{Code: 428, BodyCode: "PRECONDITION_REQUIRED"}, Kind: schema.Unsupported},
			{Fault: simulator.Fault{Code: 429}, Kind: schema.Throttled},
			{Fault: simulator.Fault{Code: 500, BodyCode: "UNKNOWN_EXCEPTION"}, Kind: schema.Unavailable},
			{Fault: simulator.Fault{Code: 503, BodyCode: "SERVER_UNAVAILABLE"}, Kind: schema.Unavailable},
		},
	})
}

func itemFault(code, field string) simulator.Fault {
	return simulator.Fault{BodyCode: code, Field: field}
}

// person has a field for every governed one but the key.
func person(n int) schema.Fields {
	return schema.Fields{
		"FirstName": fmt.Sprintf("Canary-Ada-%d", n), "LastName": fmt.Sprintf("Canary-Byron-%d", n),
		"Email": fmt.Sprintf("canary.person%d@example.com", n), "Phone_E164__c": fmt.Sprintf("+1317555%04d", n),
		"Title": fmt.Sprintf("Canary Countess %d", n),
	}
}

func startOrg(t *testing.T) connectortest.System {
	org := salesforcetest.Start(t, salesforcetest.Options{DailyRequests: 1_000_000})
	get := func(id string) schema.Fields {
		found, err := org.State("Contact", id, false)
		if err != nil || len(found) != 1 {
			return nil
		}
		return plain(t, found[0])
	}
	return connectortest.System{
		API:        org.Handler(),
		Credential: connectors.Credential{ClientID: org.ClientID, ClientSecret: org.ClientSecret},
		Inject:     func(f simulator.Fault) { org.Inject(f) },
		Journal:    org.Journal,
		Put:        func(fields schema.Fields) string { return org.Put("Contact", fields)["Id"].(string) },
		Edit: func(id string, fields schema.Fields) {
			fields["Id"] = id
			org.Put("Contact", fields)
		},
		Remove: func(id string) {
			if err := org.Remove("Contact", id, ""); err != nil {
				t.Fatal(err)
			}
		},
		Get:    get,
		Count:  func() int { return len(org.Records("Contact")) },
		Revoke: org.RevokeTokens,
		Rotate: func(secret string) {
			if err := org.RotateSecrets(fmt.Appendf(nil, `{"client_secret":%q}`, secret)); err != nil {
				t.Fatal(err)
			}
		},
	}
}

func plain(t *testing.T, record any) schema.Fields {
	var fields schema.Fields
	if err := json.Unmarshal(simulator.Encode(record), &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

func connect(t *testing.T, p connectortest.Places) connectortest.Connector {
	s, err := salesforce.New(salesforce.Config{
		System: "crm", Endpoint: p.Endpoint, Login: p.Login, Credential: p.Credential, AllowLoopback: true,
		MaxResponse: p.MaxResponse, OnQuota: p.OnQuota, Options: map[string]string{"sequence_field": "Change_Seq__c"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
