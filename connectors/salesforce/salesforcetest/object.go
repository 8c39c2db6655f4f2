package salesforcetest

import (
	"fmt"
	"slices"
	"strings"
)

// Field declares a field of an object, as Setup in Salesforce would.
type Field struct {
	// Name is the API name; a custom field's ends in `__c`.
	Name string
	// Type is the describe type: string, textarea, email, phone, url, picklist, boolean, int, double, currency, percent,
	// date, datetime, reference or id.
	Type string
	// Label stands in messages; empty means the name with blanks.
	Label string
	// Length bounds texts in characters; 0 means 255.
	Length int
	// ExternalID lets the field key upserts; Unique refuses a second record of one value.
	ExternalID bool
	Unique     bool
	// CaseSensitive tells ABC from abc in Unique and in the key of an upsert.
	CaseSensitive bool
	Required      bool
	// ReadOnly fields are computed; CreateOnly ones cannot be updated.
	ReadOnly   bool
	CreateOnly bool
	// ReferenceTo lists the objects that a reference may point to, Relationship names the way there (`Account`).
	ReferenceTo  []string
	Relationship string
	// Values are the values of a picklist; Restricted refuses others.
	Values     []string
	Restricted bool
	// Default fills the field of a new record.
	Default any
}

// Object declares an object.
type Object struct {
	Name string
	// Prefix is the first three characters of its ids.
	Prefix string
	Label  string
	Fields []Field
}

// field is a declared field in use.
type field struct {
	Field
	custom bool
}

// object is a declared object in use.
type object struct {
	Object
	fields []*field
	byName map[string]*field // by lower-case name
	// relations leads from a lower-case relationship name to its reference field.
	relations map[string]*field
}

func newObject(o Object, extra []Field) (*object, error) {
	out := &object{Object: o, byName: map[string]*field{}, relations: map[string]*field{}}
	for _, f := range slices.Concat(systemFields(), o.Fields, extra) {
		if f.Label == "" {
			f.Label = label(f.Name)
		}
		if f.Length == 0 {
			f.Length = defaultLength(f.Type)
		}
		if f.Type == "boolean" && f.Default == nil {
			f.Default = false // a checkbox is never null
		}
		if !knownTypes[f.Type] {
			return nil, fmt.Errorf("salesforcetest: field %s.%s has the unknown type %q", o.Name, f.Name, f.Type)
		}
		if out.byName[strings.ToLower(f.Name)] != nil {
			return nil, fmt.Errorf("salesforcetest: field %s.%s is declared twice", o.Name, f.Name)
		}
		use := &field{Field: f, custom: strings.HasSuffix(f.Name, "__c")}
		out.fields = append(out.fields, use)
		out.byName[strings.ToLower(f.Name)] = use
		if f.Relationship != "" {
			out.relations[strings.ToLower(f.Relationship)] = use
		}
	}
	return out, nil
}

// find returns a field by its name in any case.
func (o *object) find(name string) *field { return o.byName[strings.ToLower(name)] }

// indexed reports whether look-ups by the field's value must be fast.
func (f *field) indexed() bool {
	return f.ExternalID || f.Unique || f.Type == "email" || f.Type == "phone" || f.Type == "reference"
}

var knownTypes = map[string]bool{
	"string": true, "textarea": true, "email": true, "phone": true, "url": true, "picklist": true, "boolean": true,
	"int": true, "double": true, "currency": true, "percent": true, "date": true, "datetime": true, "reference": true,
	"id": true,
}

func defaultLength(kind string) int {
	switch kind {
	case "email":
		return 80
	case "phone":
		return 40
	case "textarea":
		return 32000
	case "id", "reference":
		return 18
	case "string", "url", "picklist":
		return 255
	}
	return 0
}

// label turns an API name into words, as Salesforce's own labels have them: LastName becomes "Last Name", AccountId
// becomes "Account ID".
func label(name string) string {
	name = strings.ReplaceAll(strings.TrimSuffix(name, "__c"), "_", " ")
	var b strings.Builder
	for i, r := range name {
		if i > 0 && 'A' <= r && r <= 'Z' && name[i-1] != ' ' && ('a' <= name[i-1] && name[i-1] <= 'z') {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	if rest, ok := strings.CutSuffix(b.String(), " Id"); ok {
		return rest + " ID"
	}
	return b.String()
}

func systemFields() []Field {
	return []Field{
		{Name: "Id", Type: "id", Label: "Record ID", ReadOnly: true},
		{Name: "IsDeleted", Type: "boolean", Label: "Deleted", ReadOnly: true},
		{Name: "CreatedDate", Type: "datetime", ReadOnly: true},
		{Name: "CreatedById", Type: "reference", ReadOnly: true, ReferenceTo: []string{"User"}, Relationship: "CreatedBy"},
		{Name: "LastModifiedDate", Type: "datetime", ReadOnly: true},
		{
			Name: "LastModifiedById", Type: "reference", ReadOnly: true, ReferenceTo: []string{"User"},
			Relationship: "LastModifiedBy",
		},
		{Name: "SystemModstamp", Type: "datetime", ReadOnly: true},
	}
}

func text(name string, length int) Field { return Field{Name: name, Type: "string", Length: length} }
func typedField(name, kind string) Field { return Field{Name: name, Type: kind} }

func reference(name, relationship string, to ...string) Field {
	return Field{Name: name, Type: "reference", ReferenceTo: to, Relationship: relationship}
}

func address(prefix string) []Field {
	return []Field{
		{Name: prefix + "Street", Type: "textarea", Length: 255}, text(prefix+"City", 40), text(prefix+"State", 80),
		text(prefix+"PostalCode", 20), text(prefix+"Country", 80),
	}
}

// standardObjects are the objects of every org, with the fields that a support integration meets.
func standardObjects() []Object {
	owner := Field{
		Name: "OwnerId", Type: "reference", ReferenceTo: []string{"User", "Group"}, Relationship: "Owner",
	}
	master := func(object string) Field {
		return Field{
			Name: "MasterRecordId", Type: "reference", ReferenceTo: []string{object}, Relationship: "MasterRecord",
			ReadOnly: true,
		}
	}
	return []Object{
		{Name: "Account", Prefix: "001", Fields: slices.Concat([]Field{
			master("Account"),
			{Name: "Name", Type: "string", Label: "Account Name", Length: 255, Required: true},
			typedField("Type", "picklist"), reference("ParentId", "Parent", "Account"), text("AccountNumber", 40),
			typedField("Phone", "phone"), typedField("Fax", "phone"), typedField("Website", "url"), typedField("Industry", "picklist"),
			typedField("AnnualRevenue", "currency"), typedField("NumberOfEmployees", "int"), typedField("Description", "textarea"),
			typedField("Rating", "picklist"), text("Site", 80), owner,
		}, address("Billing"), address("Shipping"))},
		{Name: "Contact", Prefix: "003", Fields: slices.Concat([]Field{
			master("Contact"),
			reference("AccountId", "Account", "Account"),
			{Name: "LastName", Type: "string", Length: 80, Required: true},
			text("FirstName", 40), typedField("Salutation", "picklist"),
			{Name: "Name", Type: "string", Label: "Full Name", Length: 121, ReadOnly: true},
			typedField("Phone", "phone"), typedField("Fax", "phone"), typedField("MobilePhone", "phone"), typedField("HomePhone", "phone"),
			typedField("OtherPhone", "phone"), typedField("AssistantPhone", "phone"),
			reference("ReportsToId", "ReportsTo", "Contact"), typedField("Email", "email"), text("Title", 128),
			text("Department", 80), text("AssistantName", 40), typedField("LeadSource", "picklist"), typedField("Birthdate", "date"),
			typedField("Description", "textarea"), owner,
			{Name: "HasOptedOutOfEmail", Type: "boolean"}, {Name: "DoNotCall", Type: "boolean"},
		}, address("Mailing"), address("Other"))},
		{Name: "Case", Prefix: "500", Fields: []Field{
			{Name: "CaseNumber", Type: "string", Length: 30, ReadOnly: true},
			reference("ContactId", "Contact", "Contact"), reference("AccountId", "Account", "Account"),
			reference("ParentId", "Parent", "Case"), typedField("EntitlementId", "string"), typedField("BusinessHoursId", "string"),
			text("SuppliedName", 80), typedField("SuppliedEmail", "email"), text("SuppliedPhone", 40), text("SuppliedCompany", 80),
			typedField("Type", "picklist"),
			{Name: "Status", Type: "picklist", Values: []string{"New", "Working", "Escalated", "Closed"}, Default: "New"},
			typedField("Reason", "picklist"),
			{Name: "Origin", Type: "picklist", Label: "Case Origin", Values: []string{"Phone", "Email", "Web", "Chat"}},
			text("Subject", 255),
			{Name: "Priority", Type: "picklist", Values: []string{"High", "Medium", "Low"}, Default: "Medium"},
			typedField("Description", "textarea"), {Name: "IsClosed", Type: "boolean", ReadOnly: true},
			{Name: "ClosedDate", Type: "datetime", ReadOnly: true}, {Name: "IsEscalated", Type: "boolean"},
			owner, typedField("SlaStartDate", "datetime"), typedField("SlaExitDate", "datetime"),
			{Name: "IsStopped", Type: "boolean"}, {Name: "StopStartDate", Type: "datetime", ReadOnly: true},
			{Name: "MilestoneStatus", Type: "string", Length: 30, ReadOnly: true},
		}},
		{Name: "Task", Prefix: "00T", Fields: []Field{
			reference("WhoId", "Who", "Contact"), reference("WhatId", "What", "Account", "Case"), text("Subject", 255),
			typedField("ActivityDate", "date"),
			{Name: "Status", Type: "picklist", Default: "Not Started"}, {Name: "Priority", Type: "picklist", Default: "Normal"},
			owner, typedField("Description", "textarea"), {Name: "IsClosed", Type: "boolean", ReadOnly: true},
			typedField("CallDurationInSeconds", "int"),
			{
				Name: "CallType", Type: "picklist", Values: []string{"Inbound", "Outbound", "Internal"}, Restricted: true,
				Length: 40,
			},
			text("CallDisposition", 255), text("CallObject", 255),
			{
				Name: "TaskSubtype", Type: "picklist", CreateOnly: true, Default: "Task",
				Values: []string{"Task", "Email", "Call", "ListEmail", "Cadence", "LinkedIn"}, Restricted: true, Length: 40,
			},
		}},
		{Name: "User", Prefix: "005", Fields: []Field{
			{Name: "Username", Type: "string", Length: 80, Required: true, Unique: true},
			{Name: "LastName", Type: "string", Length: 80, Required: true}, text("FirstName", 40),
			{Name: "Name", Type: "string", Label: "Full Name", Length: 121, ReadOnly: true},
			{Name: "Email", Type: "email", Length: 128, Required: true}, text("Alias", 8), text("FederationIdentifier", 512),
			{Name: "IsActive", Type: "boolean", Default: true}, text("Department", 80), text("Title", 80), typedField("Phone", "phone"),
			text("EmployeeNumber", 20), text("TimeZoneSidKey", 40),
		}},
		{Name: "Group", Prefix: "00G", Fields: []Field{
			{Name: "Name", Type: "string", Length: 40, Required: true}, text("DeveloperName", 80),
			{
				Name: "Type", Type: "picklist", Default: "Queue", CreateOnly: true, Length: 40,
				Values: []string{"Queue", "Regular", "Role", "Organization"}, Restricted: true,
			},
			typedField("Email", "email"),
		}},
		{Name: "GroupMember", Prefix: "011", Fields: []Field{
			{
				Name: "GroupId", Type: "reference", ReferenceTo: []string{"Group"}, Relationship: "Group", Required: true,
				CreateOnly: true,
			},
			{
				Name: "UserOrGroupId", Type: "reference", ReferenceTo: []string{"User", "Group"}, Required: true,
				CreateOnly: true,
			},
		}},
		{Name: "QueueSobject", Prefix: "03g", Fields: []Field{
			{
				Name: "QueueId", Type: "reference", ReferenceTo: []string{"Group"}, Relationship: "Queue", Required: true,
				CreateOnly: true,
			},
			{Name: "SobjectType", Type: "picklist", Required: true, CreateOnly: true, Length: 40},
		}},
		{Name: "CaseMilestone", Prefix: "555", Fields: []Field{
			{
				Name: "CaseId", Type: "reference", ReferenceTo: []string{"Case"}, Relationship: "Case", Required: true,
				CreateOnly: true,
			},
			text("MilestoneTypeId", 18), typedField("StartDate", "datetime"), typedField("TargetDate", "datetime"),
			typedField("CompletionDate", "datetime"), {Name: "IsCompleted", Type: "boolean", ReadOnly: true},
			{Name: "IsViolated", Type: "boolean"}, typedField("TargetResponseInMins", "int"),
			text("BusinessHoursId", 18),
		}},
	}
}

// DemoFields declares the custom fields that the demo's org has.
func DemoFields() map[string][]Field {
	external := Field{Name: "Ext_Id__c", Type: "string", Label: "Ext Id", Length: 64, ExternalID: true, Unique: true}
	sequence := Field{Name: "Change_Seq__c", Type: "double", Label: "Change Seq"}
	customer := []Field{
		external,
		{Name: "Customer_Number__c", Type: "string", Length: 64, ExternalID: true},
		{Name: "Customer_Status__c", Type: "picklist"},
		{Name: "Credit_Limit__c", Type: "double"},
		{Name: "Last_Support_Interaction__c", Type: "datetime"},
		{Name: "Preferred_Language__c", Type: "string", Length: 35},
		{Name: "Phone_E164__c", Type: "string", Label: "Phone E164", Length: 40, ExternalID: true},
		sequence,
	}
	return map[string][]Field{
		"Account": customer,
		"Contact": customer,
		"Case": {
			external, sequence, {Name: "Genesys_Conversation__c", Type: "string", Length: 64, ExternalID: true},
		},
		"Task": {{Name: "Interaction_Id__c", Type: "string", Length: 64, ExternalID: true, Unique: true}, sequence},
	}
}
