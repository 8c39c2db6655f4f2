package salesforcetest

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lockstep/connectors/simulator"
)

// shelf fills an org with contacts of known names and returns it.
func shelf(t *testing.T) (*org, *handClock) {
	t.Helper()
	hand := newHandClock()
	o := start(t, Options{Clock: hand.now})
	account := o.Put("Account", map[string]any{"Name": "Acme", "Ext_Id__c": "A1"})["Id"]
	for _, c := range []map[string]any{
		{"LastName": "Byron", "FirstName": "Ada", "Email": "Ada@Example.com", "Phone": "(317) 555-0100", "AccountId": account, "Credit_Limit__c": 100},
		{"LastName": "O'Neil", "FirstName": "Bo", "Email": "bo@example.com", "DoNotCall": true, "Credit_Limit__c": 200},
		{"LastName": `Back\slash`, "Birthdate": "1990-05-01"},
		{"LastName": "50%_off", "Credit_Limit__c": -5},
		{"LastName": "byron", "Ext_Id__c": "C-5"},
	} {
		o.Put("Contact", c)
		hand.advance(time.Second)
	}
	return o, hand
}

func TestSOQL(t *testing.T) {
	o, _ := shelf(t)
	for where, want := range map[string]string{ // of the last names, in order of creation
		"":                                 "Byron O'Neil Back\\slash 50%_off byron",
		"LastName = 'byron'":               "Byron byron",
		"lastname = 'BYRON'":               "Byron byron",
		"Contact.LastName = 'Byron'":       "Byron byron",
		"LastName != 'byron'":              "O'Neil Back\\slash 50%_off",
		"LastName <> 'byron'":              "O'Neil Back\\slash 50%_off",
		`LastName = 'O\'Neil'`:             "O'Neil",
		`LastName = 'Back\\slash'`:         "Back\\slash",
		`LastName LIKE 'Back\\%'`:          "Back\\slash",
		"LastName LIKE '%r_n'":             "Byron byron",
		`LastName LIKE '50\%\_%'`:          "50%_off",
		`LastName = '50%_off'`:             "50%_off",
		"LastName IN ('byron','O\\'NEIL')": "Byron O'Neil byron",
		"LastName NOT IN ('byron')":        "O'Neil Back\\slash 50%_off",
		"Email = 'ADA@example.COM'":        "Byron",
		"Email IN ('ada@example.com', 'bo@example.com') OR Ext_Id__c IN ('c-5')": "Byron O'Neil byron",
		"Phone = '+13175550100'":                                       "",
		"Phone = '(317) 555-0100'":                                     "Byron",
		"Email = null":                                                 "Back\\slash 50%_off byron",
		"Email != null":                                                "Byron O'Neil",
		"FirstName = 'Ada' AND LastName = 'Byron'":                     "Byron",
		"FirstName = 'Ada' OR Birthdate = 1990-05-01":                  "Byron Back\\slash",
		"(FirstName = 'Ada' OR FirstName = 'Bo') AND DoNotCall = true": "O'Neil",
		"NOT LastName LIKE '%y%'":                                      "O'Neil Back\\slash 50%_off",
		"(NOT LastName = 'Byron') AND DoNotCall = FALSE":               "Back\\slash 50%_off",
		"Credit_Limit__c >= 100":                                       "Byron O'Neil",
		"Credit_Limit__c < 100.5":                                      "Byron 50%_off",
		"Credit_Limit__c = -5":                                         "50%_off",
		"Account.Name = 'acme'":                                        "Byron",
		"Account.Ext_Id__c = null":                                     "O'Neil Back\\slash 50%_off byron",
		"AccountId = '001xx0000000001'":                                "Byron",
		"Id = '003xx0000000002AAA'":                                    "O'Neil",
		"Id IN ('003xx0000000002','003xx0000000001AAA')":               "Byron O'Neil",
		"SystemModstamp >= 2026-01-01T12:00:03.000Z":                   "50%_off byron",
		"SystemModstamp > 2026-01-01T12:00:03Z":                        "byron",
		"SystemModstamp < 2026-01-01T14:00:01+02:00":                   "Byron",
		"CreatedDate = TODAY":                                          "",
		"CreatedDate > YESTERDAY AND CreatedDate < TOMORROW":           "Byron O'Neil Back\\slash 50%_off byron",
		"CreatedDate >= LAST_N_DAYS:2":                                 "Byron O'Neil Back\\slash 50%_off byron",
	} {
		soql := "SELECT LastName FROM Contact"
		if where != "" {
			soql += " WHERE " + where
		}
		r := o.query(t, soql)
		if r.status != 200 {
			t.Errorf("%s: %d %s", where, r.status, r.body)
			continue
		}
		var got []string
		for _, record := range r.at(t, "records").([]any) {
			got = append(got, record.(map[string]any)["LastName"].(string))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s finds %q, want %q", where, strings.Join(got, " "), want)
		}
	}
}

func TestSOQLSelectsOrdersAndCuts(t *testing.T) {
	o, _ := shelf(t)
	for soql, want := range map[string]string{
		"SELECT Id, LastName, Credit_Limit__c FROM Contact WHERE FirstName = 'Ada'":                       `{"totalSize":1,"done":true,"records":[{"attributes":{"type":"Contact","url":"/services/data/v62.0/sobjects/Contact/003xx0000000001AAA"},"Id":"003xx0000000001AAA","LastName":"Byron","Credit_Limit__c":100.0}]}`,
		"select Account.Name, Account.Owner.Name, Account.Ext_Id__c from Contact where FirstName = 'Ada'": `{"totalSize":1,"done":true,"records":[{"attributes":{"type":"Contact","url":"/services/data/v62.0/sobjects/Contact/003xx0000000001AAA"},"Account":{"attributes":{"type":"Account","url":"/services/data/v62.0/sobjects/Account/001xx0000000001AAA"},"Name":"Acme","Owner":{"attributes":{"type":"User","url":"/services/data/v62.0/sobjects/User/005xx0000000002AAA"},"Name":"Hanna Support"},"Ext_Id__c":"A1"}}]}`,
		"SELECT Account.Name FROM Contact WHERE FirstName = 'Bo'":                                         `{"totalSize":1,"done":true,"records":[{"attributes":{"type":"Contact","url":"/services/data/v62.0/sobjects/Contact/003xx0000000002AAA"},"Account":null}]}`,
		"SELECT COUNT() FROM Contact WHERE LastName LIKE 'b%'":                                            `{"totalSize":3,"done":true,"records":[]}`,
		"SELECT LastName FROM Contact ORDER BY Credit_Limit__c DESC NULLS LAST, LastName LIMIT 2":         `O'Neil Byron`,
		"SELECT LastName FROM Contact ORDER BY LastName ASC LIMIT 2 OFFSET 1":                             `Back\slash Byron`,
		"SELECT LastName FROM Contact ORDER BY Credit_Limit__c, CreatedDate DESC":                         `byron Back\slash 50%_off Byron O'Neil`,
		"SELECT LastName FROM Contact LIMIT 0":                                                            ``,
		"SELECT LastName FROM Contact ORDER BY CreatedDate DESC OFFSET 4":                                 `Byron`,
	} {
		r := o.query(t, soql)
		if strings.HasPrefix(want, "{") {
			if r.body != want {
				t.Errorf("%s answers %s", soql, r.body)
			}
			continue
		}
		var got []string
		for _, record := range r.at(t, "records").([]any) {
			got = append(got, record.(map[string]any)["LastName"].(string))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s finds %q, want %q", soql, strings.Join(got, " "), want)
		}
	}
	if r := o.query(t, "SELECT FIELDS(ALL) FROM Contact LIMIT 1"); r.at(t, "records", 0, "Ext_Id__c") != nil || !strings.Contains(r.body, `"Ext_Id__c":null`) {
		t.Errorf("FIELDS(ALL): %.200s", r.body)
	}
	if r := o.query(t, "SELECT FIELDS(CUSTOM) FROM Contact LIMIT 1"); strings.Contains(r.body, "LastName") {
		t.Errorf("FIELDS(CUSTOM): %.200s", r.body)
	}
}

func TestSOQLRefusals(t *testing.T) {
	o, _ := shelf(t)
	for soql, want := range map[string]string{
		"SELECT Nope FROM Contact":                                                         "INVALID_FIELD",
		"SELECT Id FROM Contact WHERE Nope__c = 'x'":                                       "INVALID_FIELD",
		"SELECT Id FROM Contact ORDER BY Nope":                                             "INVALID_FIELD",
		"SELECT Nope.Name FROM Contact":                                                    "INVALID_FIELD",
		"SELECT Id FROM Nope":                                                              "INVALID_TYPE",
		"SELECT Id FROM Contact WHERE Credit_Limit__c = '5'":                               "INVALID_FIELD",
		"SELECT Id FROM Contact WHERE LastName = 5":                                        "INVALID_FIELD",
		"SELECT Id FROM Contact WHERE DoNotCall = 'true'":                                  "INVALID_FIELD",
		"SELECT Id FROM Contact WHERE CreatedDate > '2026-01-01'":                          "INVALID_FIELD",
		"SELECT Id FROM Contact WHERE CreatedDate > 2026-01-01":                            "INVALID_FIELD",
		"SELECT Id FROM Contact WHERE Description = 'x'":                                   "INVALID_FIELD",
		"SELECT Id FROM Contact WHERE Id = 'x'":                                            "INVALID_QUERY_FILTER_OPERATOR",
		"SELECT Id FROM Contact WHERE":                                                     "MALFORMED_QUERY",
		"SELECT Id FROM Contact WHERE LastName":                                            "MALFORMED_QUERY",
		"SELECT Id FROM Contact WHERE LastName = 'x":                                       "MALFORMED_QUERY",
		`SELECT Id FROM Contact WHERE LastName = 'x\q'`:                                    "MALFORMED_QUERY",
		"SELECT Id FROM Contact WHERE LastName = 'a' AND LastName = 'b' OR LastName = 'c'": "MALFORMED_QUERY",
		"SELECT Id FROM Contact WHERE (LastName = 'a'":                                     "MALFORMED_QUERY",
		"SELECT Id FROM Contact WHERE LastName IN ()":                                      "MALFORMED_QUERY",
		"SELECT Id FROM Contact WHERE LastName IN 'a'":                                     "MALFORMED_QUERY",
		"SELECT Id FROM Contact WHERE LastName LIKE 5":                                     "INVALID_FIELD",
		"SELECT Id FROM Contact LIMIT x":                                                   "MALFORMED_QUERY",
		"SELECT Id FROM Contact LIMIT -1":                                                  "MALFORMED_QUERY",
		"SELECT Id FROM Contact garbage":                                                   "MALFORMED_QUERY",
		"SELECT FROM Contact":                                                              "MALFORMED_QUERY",
		"DELETE FROM Contact":                                                              "MALFORMED_QUERY",
		"":                                                                                 "MALFORMED_QUERY",
		"SELECT Id FROM Contact WHERE LastName = 'a';":                                     "MALFORMED_QUERY",
		"SELECT FIELDS(ALL) FROM Contact":                                                  "MALFORMED_QUERY",
		"SELECT Id FROM Contact OFFSET 2001":                                               "NUMBER_OUTSIDE_VALID_RANGE",
		"SELECT COUNT(Id) FROM Contact":                                                    "MALFORMED_QUERY",
	} {
		if r := o.query(t, soql); r.status != 400 || r.code(t) != want {
			t.Errorf("%s: %d %s, want %s", soql, r.status, r.body, want)
		}
	}
	if r := o.call(t, "GET", "/query", nil); r.status != 400 {
		t.Errorf("without a statement: %d", r.status)
	}
}

// Whatever a text holds, a query that escapes it finds its record and no other.
func TestSOQLFindsEscapedTexts(t *testing.T) {
	s, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	escape := strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\r", `\r`, "\t", `\t`)
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		text := strings.TrimSpace(rapid.StringOfN(rapid.RuneFrom([]rune(`ab'"\%_ é🙂),(=`)), 1, 20, -1).Draw(t, "text"))
		if text == "" {
			return
		}
		n++
		number := fmt.Sprint("N", n)
		if _, _, err := s.Save("Contact", simulator.Encode(map[string]any{"LastName": text, "Customer_Number__c": number}), ""); err != nil {
			t.Fatal(err)
		}
		q, refused := parseSOQL("SELECT Id FROM Contact WHERE LastName = '" + escape.Replace(text) + "' AND Customer_Number__c = '" + number + "'")
		if refused != nil {
			t.Fatal(refused.Message)
		}
		like, refused := parseSOQL("SELECT Id FROM Contact WHERE LastName LIKE '" +
			strings.NewReplacer("%", `\%`, "_", `\_`).Replace(escape.Replace(text)) + "' AND Customer_Number__c = '" + number + "'")
		if refused != nil {
			t.Fatal(refused.Message)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		e := evaluation{s: s, object: s.tables["Contact"].object, now: s.clock.Now()}
		for _, parsed := range []query{q, like} {
			rows, refused := e.rows(parsed, false)
			if refused != nil || len(rows) != 1 || rows[0].values["LastName"] != text {
				t.Fatalf("%q is found %d times: %v", text, len(rows), refused)
			}
		}
	})
}

// The indexes never change what a clause finds.
func TestSOQLIndexesAgreeWithTheScan(t *testing.T) {
	s, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for n := range 60 {
		record := map[string]any{"LastName": fmt.Sprint("L", n%4), "Customer_Number__c": fmt.Sprint(n % 5)}
		if n%3 > 0 {
			record["Email"] = fmt.Sprintf("p%d@example.com", n%7)
		}
		if _, _, err := s.Save("Contact", simulator.Encode(record), ""); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		leaf := rapid.Custom(func(t *rapid.T) string {
			return rapid.SampledFrom([]string{
				"Email = 'p%d@example.com'", "Email != 'p%d@example.com'", "Customer_Number__c IN ('%d','4')", "LastName = 'L%d'",
				"Customer_Number__c NOT IN ('%d')", "Email = null", "LastName LIKE '%%%d'",
			}).Draw(t, "form")
		})
		clause := func() string {
			text := leaf.Draw(t, "leaf")
			if strings.Contains(text, "%d") {
				return fmt.Sprintf(text, rapid.IntRange(0, 7).Draw(t, "n"))
			}
			return text
		}
		join := rapid.SampledFrom([]string{" AND ", " OR "})
		where := clause()
		for range rapid.IntRange(0, 3).Draw(t, "more") {
			where = "(" + where + join.Draw(t, "join") + clause() + ")"
		}
		parsed, refused := parseSOQL("SELECT Id FROM Contact WHERE " + where)
		if refused != nil {
			t.Fatalf("%s: %s", where, refused.Message)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		e := evaluation{s: s, object: s.tables["Contact"].object, now: s.clock.Now()}
		narrow, refused := e.rows(parsed, false)
		if refused != nil {
			t.Fatal(refused.Message)
		}
		holds, refused := e.compile(parsed.where)
		if refused != nil {
			t.Fatal(refused.Message)
		}
		var scan []*record
		for _, r := range s.tables["Contact"].rows {
			if holds(r) {
				scan = append(scan, r)
			}
		}
		if !slices.Equal(narrow, scan) {
			t.Fatalf("%s: the index finds %d, the scan %d", where, len(narrow), len(scan))
		}
	})
}

func TestQueryPages(t *testing.T) {
	o := start(t, Options{})
	var records []map[string]any
	for n := range 450 {
		records = append(records, map[string]any{"Name": fmt.Sprintf("%04d", n)})
	}
	if _, _, err := o.Save("Account", simulator.Encode(records), ""); err != nil {
		t.Fatal(err)
	}
	soql := "/query?q=" + url.QueryEscape("SELECT Name FROM Account ORDER BY Name")
	r := o.call(t, "GET", soql, nil, "Sforce-Query-Options", "batchSize=200")
	next, _ := r.at(t, "nextRecordsUrl").(string)
	seen := 0
	for {
		if r.at(t, "totalSize") != 450.0 {
			t.Fatalf("totalSize is %v", r.at(t, "totalSize"))
		}
		for _, record := range r.at(t, "records").([]any) {
			if got := record.(map[string]any)["Name"]; got != fmt.Sprintf("%04d", seen) {
				t.Fatalf("record %d is %v", seen, got)
			}
			seen++
		}
		if r.at(t, "done") == true {
			break
		}
		if r = o.call(t, "GET", next, nil); r.status != 200 {
			t.Fatalf("%s: %d %s", next, r.status, r.body)
		}
		next, _ = r.at(t, "nextRecordsUrl").(string)
	}
	if seen != 450 || next != "" {
		t.Errorf("%d records, then %q", seen, next)
	}
	for options, want := range map[string]int{"batchSize=10": 200, "batchSize=9999": 450, "": 450, "batchSize=x": 450} {
		r := o.call(t, "GET", soql, nil, "Sforce-Query-Options", options)
		if got := len(r.at(t, "records").([]any)); got != want {
			t.Errorf("%s shows %d records, want %d", options, got, want)
		}
	}
	for _, locator := range []string{"01gxx0000000001AAA-200", "x", strings.Split(next, "-")[0] + "-9999"} {
		if r := o.call(t, "GET", "/query/"+locator, nil); r.code(t) != "INVALID_QUERY_LOCATOR" {
			t.Errorf("%s: %d %s", locator, r.status, r.body)
		}
	}
}

func TestQueryAllShowsDeleted(t *testing.T) {
	o := start(t, Options{})
	id := o.made(t, "Contact", map[string]any{"LastName": "A", "Email": "a@example.com"})
	o.call(t, "DELETE", "/sobjects/Contact/"+id, nil)
	soql := url.QueryEscape("SELECT Id, IsDeleted FROM Contact WHERE Email = 'a@example.com'")
	if r := o.call(t, "GET", "/query/?q="+soql, nil); r.at(t, "totalSize") != 0.0 {
		t.Errorf("query: %s", r.body)
	}
	if r := o.call(t, "GET", "/queryAll?q="+soql, nil); r.at(t, "records", 0, "IsDeleted") != true {
		t.Errorf("queryAll: %s", r.body)
	}
	if r := o.query(t, "SELECT Id FROM Contact WHERE Email = 'a@example.com' ALL ROWS"); r.at(t, "totalSize") != 1.0 {
		t.Errorf("ALL ROWS: %s", r.body)
	}
}

func TestSearch(t *testing.T) {
	o, hand := shelf(t)
	for path, want := range map[string]string{
		"/search?q=" + url.QueryEscape("FIND {3175550100} IN PHONE FIELDS RETURNING Contact(Id, LastName), Account(Id)"): "Byron",
		"/search?q=" + url.QueryEscape(`FIND {ada@example.com} IN EMAIL FIELDS RETURNING Contact(LastName)`):             "Byron",
		"/search?q=" + url.QueryEscape("FIND {byron} IN NAME FIELDS RETURNING Contact(LastName) LIMIT 1"):                "Byron",
		"/search?q=" + url.QueryEscape("FIND {acme} IN PHONE FIELDS RETURNING Contact(LastName)"):                        "",
		"/parameterizedSearch?q=3175550100&in=PHONE&sobject=Contact&Contact.fields=LastName":                             "Byron",
		"/parameterizedSearch?q=bo&sobject=Contact&fields=LastName":                                                      "O'Neil",
	} {
		r := o.call(t, "GET", path, nil)
		var got []string
		for _, record := range r.at(t, "searchRecords").([]any) {
			got = append(got, sprint(record.(map[string]any)["LastName"]))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s finds %v, want %q", path, got, want)
		}
	}
	o.control(t, "POST", "/switches", `{"search_lag_ms":60000}`)
	post := map[string]any{"q": "byron", "fields": []string{"LastName"}, "sobjects": []any{map[string]any{"name": "Contact"}}}
	if r := o.call(t, "POST", "/parameterizedSearch", post); len(r.at(t, "searchRecords").([]any)) != 0 {
		t.Errorf("the index does not lag: %s", r.body)
	}
	hand.advance(time.Minute)
	if r := o.call(t, "POST", "/parameterizedSearch", post); len(r.at(t, "searchRecords").([]any)) != 2 {
		t.Errorf("the index never catches up: %s", r.body)
	}
	for _, bad := range []string{"/search?q=x", "/search?q=" + url.QueryEscape("FIND {a} RETURNING Contact(Id)"), "/search?q=" + url.QueryEscape("FIND {abc} RETURNING Nope(Id)")} {
		if r := o.call(t, "GET", bad, nil); r.status != 400 {
			t.Errorf("%s: %d %s", bad, r.status, r.body)
		}
	}
}
