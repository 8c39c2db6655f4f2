package strictjson

import (
	"encoding/json"
	"testing"
)

// webhook is a change event of about 600 bytes, as a CRM sends it.
var webhook = []byte(`{"event_type":"UPDATE","source_system":"SALESFORCE","timestamp":"2026-10-27T14:30:00Z",` +
	`"record_id":"a1B2c3D4e5F6g7H8","object_type":"Contact","change_set":{` +
	`"Customer_Status__c":{"old_value":"Active","new_value":"Churned"},` +
	`"Credit_Limit__c":{"old_value":5000,"new_value":0},` +
	`"Phone":{"old_value":"+1 317 555 0100","new_value":"+1 317 555 0101"},` +
	`"Email":{"old_value":"someone@example.com","new_value":"someone.else@example.org"},` +
	`"Description":{"old_value":null,"new_value":"Prefers to be called after 5 pm; speaks fran\u00e7ais"}},` +
	`"replay_id":8127364512,"transaction":"0000017c-1d2f-4e6a-9d0c-3a8b7e5f1c24"}`)

func BenchmarkScan(b *testing.B) {
	b.SetBytes(int64(len(webhook)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Scan(webhook, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(webhook); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := Find(webhook, "/transaction"); !ok {
			b.Fatal("not found")
		}
	}
}

func BenchmarkStandardValid(b *testing.B) {
	for b.Loop() {
		if !json.Valid(webhook) {
			b.Fatal("not valid")
		}
	}
}

func BenchmarkStandardDecode(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		var tree any
		if err := json.Unmarshal(webhook, &tree); err != nil {
			b.Fatal(err)
		}
	}
}
