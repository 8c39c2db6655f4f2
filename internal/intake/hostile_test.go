package intake_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"html"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"lockstep/schema"
)

var hostileStrings = flag.Int("hostile", 12_000, "how many hostile strings the journal is fed; a fifth of it with -short or -race")

// hostile returns the i-th string of an endless list: injections, markup, odd Unicode, and mixtures of them.
func hostile(i int) string {
	seeds := []string{
		"'", "''", `"`, `\`, "`", ";", "--", "/*", "*/", "' OR '1'='1", "'; DROP TABLE event;--", "1; DELETE FROM dedupe_current", "x'||pg_sleep(9)||'", "$1", "$$", "$body$ SELECT 1 $body$", "%s", "%n%n%n",
		"{{7*7}}", "${7*7}", "#{7*7}", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<!channel>", "<@U0000>", "&amp;", "]]>", "<!--", "../../etc/passwd", `..\..\x`, "%2e%2e%2f", "%00", "|id", "$(id)",
		"\r\nSet-Cookie: a=b", "\n\n", "\t", "\v", "\u0001", "\u001b[31m", "\u0085", "\u2028", "\u202e", "\u200b", "\ufeff", "\u00a0", "ｆｕｌｌ", "𝒜", "👩‍👩‍👧", "e\u0301", "é", "ß", "İ", "ı", "ﬀ", "\U0010ffff", "NULL", "null", "nil",
		"undefined", "NaN", "true", "0", "-1", "1e400", "=1+1", "+cmd", "@SUM(A1)", "{\"a\":1}", "[1,2]", "\\u0000", "\\x00", "*)(uid=*", "x=1&y=2", "?", "#", "__proto__", "constructor", "(select 1)", "SELECT * FROM pg_catalog.pg_user",
		"COPY event TO PROGRAM 'id'", "E'\\x41'", "::text", "<<", "CON", "aux.txt", strings.Repeat("A", 300), strings.Repeat("Ж", 200), strings.Repeat("(", 90),
	}
	if i < len(seeds) {
		return seeds[i]
	}
	r := rand.New(rand.NewPCG(uint64(i), 19))
	var b strings.Builder
	for range 1 + r.IntN(3) {
		b.WriteString(seeds[r.IntN(len(seeds))])
		if r.IntN(3) == 0 {
			b.WriteString(fmt.Sprint(r.IntN(1 << 20)))
		}
	}
	return b.String()
}

// Hostile text in every place is stored as it stands or refused: no table changes shape, none gains a row it should not.
func TestA19_HostileStrings(t *testing.T) {
	t.Parallel()
	strings_ := *hostileStrings
	if testing.Short() || raced {
		strings_ /= 5
	}
	h := newHouse(t)
	d := h.door()
	const shape = `SELECT md5(string_agg(x, ',' ORDER BY x)) FROM (
  SELECT table_name || '.' || column_name || ':' || data_type AS x FROM information_schema.columns WHERE table_schema = 'public'
  UNION ALL SELECT conname || pg_get_constraintdef(oid) FROM pg_constraint UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
  UNION ALL SELECT proname || prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace UNION ALL SELECT rolname || rolsuper FROM pg_roles) s`
	digest := func() (s string) {
		must(t, h.database().QueryRowContext(t.Context(), shape).Scan(&s))
		return s
	}
	before, still := digest(), h.counts("bundle", "active_bundle", "epoch", "claim", "delivery", "slot", "call", "outcome", "identity_key", "system_state", "credential", "audit", "member")

	// In a text field: many events in each POST, every one with a text of its own.
	const each = 200
	var sent []string
	var posts []func()
	for at := 0; at < strings_; at += each {
		var events []string
		for i := at; i < at+each; i++ {
			quoted, err := json.Marshal(hostile(i))
			must(t, err)
			events = append(events, change{record: "001A", at: fmt.Sprintf("2026-01-01T%02d:%02d:%02dZ", i/3600%24, i/60%60, i%60), more: `,"Name":{"old_value":null,"new_value":` + string(quoted) + `}`}.String())
		}
		r := h.signed("github", "["+strings.Join(events, ",")+"]")
		posts = append(posts, func() {
			if a := d.do(r); a.status != http.StatusAccepted {
				t.Errorf("%s", a)
			}
		})
		sent = append(sent, events...)
	}
	inParallel(4, posts)
	stored := map[string]int{}
	for _, body := range h.bodies() {
		stored[string(body)]++
	}
	for _, event := range sent {
		if stored[event] == 0 {
			t.Errorf("not stored as it stood: %s", event)
		}
	}
	if n := h.count("SELECT count(*) FROM event"); n != len(stored) || n < strings_*9/10 {
		t.Errorf("%d rows for %d texts", n, strings_)
	}

	// In ids, names, headers and the path: refused or literal, and never a 5xx.
	events := h.count("SELECT count(*) FROM event")
	statuses := map[int]int{}
	try := func(what string, a answered) {
		statuses[a.status]++
		if a.status >= 500 {
			t.Errorf("%s: %s", what, a)
		}
		if a.status == http.StatusAccepted {
			events += a.body.Events
		}
	}
	for i := range 400 {
		text := hostile(i)
		quoted, err := json.Marshal(text)
		must(t, err)
		in := func(place string) string { return strings.Replace(sound, place, string(quoted), 1) }
		for _, place := range []string{`"001A"`, `"Account"`, `"UPDATE"`, `"CRM"`, `"2026-01-02T03:04:05Z"`, `"Name"`, `"s"`} {
			try(place, d.post("github", in(place)))
		}
		try("an event id", d.post("body-id", strings.Replace(sound, `{`, `{"event_id":`+string(quoted)+`,`, 1)))
		try("an e-mail", d.post("crm-flat", `{"phone_number":"+15550199888","email_address":`+string(quoted)+`}`))
		try("an external id", d.post("portal", `{"external_id":`+string(quoted)+`}`))
		r := h.signed("standard", sound)
		r.Header["Webhook-Id"] = []string{text}
		try("a message id", d.do(r))
		r = h.signed("github", sound)
		r.URL.Path = "/webhooks/" + text
		try("a path", d.do(r))
	}
	for _, want := range []int{http.StatusAccepted, http.StatusBadRequest, http.StatusUnauthorized, http.StatusNotFound} {
		if statuses[want] == 0 {
			t.Errorf("no answer %d among %v", want, statuses)
		}
	}
	if n := h.count("SELECT count(*) FROM event"); n != events {
		t.Errorf("%d rows, %d were answered for", n, events)
	}
	if n := h.count("SELECT count(*) FROM ref WHERE state = 'active'"); n != h.count("SELECT count(*) FROM record") {
		t.Errorf("%d refs and other records", n)
	}
	if after := digest(); after != before {
		t.Error("the database's schema has changed")
	}
	if now := h.counts("bundle", "active_bundle", "epoch", "claim", "delivery", "slot", "call", "outcome", "identity_key", "system_state", "credential", "audit", "member"); now != still {
		t.Errorf("from %s to %s", still, now)
	}
	d.sound()
}

// canaries are values that nobody may ever see outside of what is sealed.
var canaries = []string{
	"123-45-6789", "4111111111111111", "jane.canary@example.com", "+15550123456", "Jane Canary-Doe", "Bearer sk_live_51Hx/Token+canary=", "HIV positive canary", "1980-04-19canary",
}

// forms are the spellings in which a leak of a canary would show.
func forms(canary string) []string {
	wide := utf16.Encode([]rune(canary))
	var b bytes.Buffer
	for _, unit := range wide {
		b.WriteByte(byte(unit))
		b.WriteByte(byte(unit >> 8))
	}
	quoted, _ := json.Marshal(canary)
	digits := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, canary)
	out := []string{
		canary, strings.ToLower(canary), strings.ToUpper(canary), url.QueryEscape(canary), url.PathEscape(canary), html.EscapeString(canary), string(quoted[1 : len(quoted)-1]), b.String(),
		base64.StdEncoding.EncodeToString([]byte(canary)), base64.RawURLEncoding.EncodeToString([]byte(canary)), hex.EncodeToString([]byte(canary)),
	}
	if len(digits) >= 9 {
		out = append(out, digits)
	}
	return out
}

func leaks(t *testing.T, where, text string) {
	t.Helper()
	for _, canary := range canaries {
		for _, form := range forms(canary) {
			if strings.Contains(text, form) {
				t.Errorf("%s holds %q", where, form)
			}
		}
	}
}

// Canaries in every place of refused, conflicting, unauthenticated and accepted requests appear in no answer, log line,
// metric or plain column.
func TestB01_B02_CanariesStayInside(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	answers := 0
	try := func(a answered) {
		answers++
		leaks(t, fmt.Sprintf("answer %d", answers), string(a.raw)+fmt.Sprint(a.header))
	}
	for _, canary := range canaries {
		quoted, err := json.Marshal(canary)
		must(t, err)
		q := string(quoted)
		for _, place := range []string{`"001A"`, `"Account"`, `"UPDATE"`, `"CRM"`, `"2026-01-02T03:04:05Z"`, `"Name"`, `"s"`, `"y"`, `"x"`, `2`, `1`, `"new_value"`, `"change_set"`, `"signature"`} {
			try(d.post("github", strings.Replace(sound, place, q, 1)))
			try(d.post("standard", strings.Replace(sound, place, q, 1)))
			try(d.post("github", strings.Replace(sound, place, q+"\x00", 1)))
			try(d.post("github", strings.Replace(sound, place, q+q, 1)))
			try(d.post("touchy", "["+strings.Replace(sound, place, `{`+q+`:`+q+`}`, 1)+"]"))
		}
		for _, field := range []string{"Phone", "Email__c", "Credit_Limit__c", "Last_Support_Interaction__c", "Customer_Status__c"} {
			for _, value := range []string{q, `"` + strings.Repeat(strings.Trim(q, `"`), 20) + `"`, `[` + q + `]`, `{` + q + `:1}`} {
				try(d.post("github", change{record: "001A", more: `,"` + field + `2":{"new_value":1},"` + field + `":{"old_value":` + q + `,"new_value":` + value + `}`}.String()))
			}
		}
		for _, flat := range []string{`{"phone_number":%s}`, `{"email_address":%s,"phone_number":"1"}`, `{"email_address":"a@b.example","phone_number":%s}`, `{"last_interaction_date":%s,"email_address":"a@b.example","phone_number":"+15550199888"}`, `{%[1]s:%[1]s}`, `{"schema_version":%s}`} {
			try(d.post("crm-flat", fmt.Sprintf(flat, q)))
			try(d.post("portal", fmt.Sprintf(flat, q)))
		}
		for _, named := range []string{`{%s:7}`, `{%s:{"new_value":[1]}}`, `{%s:{}}`, `{"Name":{"old_value":1,"new_value":1,%s:{}}}`} {
			for _, source := range []string{"github", "standard", "touchy"} {
				try(d.post(source, strings.Replace(sound, `{"Name":{"old_value":"x","new_value":"y"},"Credit_Limit__c":{"old_value":1,"new_value":2}}`, fmt.Sprintf(named, q), 1)))
			}
		}
		try(d.post("crm-flat", `{"phone_number":"+15550199888","email_address":"a@b.example",`+q+`:{"a":1}}`))
		try(d.post("portal", `[{"external_id":"C"},{"external_id":"D",`+q+`:[]}]`))
		try(d.post("desk", contact(strings.Trim(q, `"`), "1", "+15550199888")))
		try(d.post("desk", contact(newUUID(), "1", strings.Trim(q, `"`))))
		try(d.post("cdc", captured(1, strings.Trim(q, `"`))))
		try(d.post("body-id", change{record: "001A", eventID: "e", status: "1"}.String()))
		try(d.post("body-id", change{record: strings.Trim(q, `"`), eventID: "e", status: "2"}.String()))
		r := h.signed("github", sound)
		r.Header.Set("X-Hub-Signature-256", canary)
		r.Header.Set("X-Canary", canary)
		try(d.do(r))
		try(d.do(httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/"+url.PathEscape(canary), strings.NewReader(q))))
		try(d.do(httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/"+url.PathEscape(canary)+"/../x", strings.NewReader(q))))
		full := h.signed("github", sound)
		full.Header["Content-Type"] = []string{canary}
		try(d.do(full))
	}
	gone := intake0(h)
	try(gone.post("github", change{record: "001A", status: canaries[4]}.String()))
	try(gone.post("github", `{"`+canaries[2]+`":1}`))
	if answers < 500 {
		t.Errorf("only %d answers", answers)
	}
	leaks(t, "the log", h.logs())
	leaks(t, "the metrics", h.scrape())
	for table, rows := range h.dump() {
		leaks(t, "table "+table, rows)
	}
	if n := h.count("SELECT count(*) FROM dead_letter"); n < 300 {
		t.Errorf("only %d dead letters: the canaries were not refused", n)
	}
}

// dump returns every table as text.
func (h *house) dump() map[string]string {
	h.t.Helper()
	rows, err := h.database().QueryContext(h.t.Context(), `SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')`)
	must(h.t, err)
	defer rows.Close()
	var tables []string
	for rows.Next() {
		var name string
		must(h.t, rows.Scan(&name))
		tables = append(tables, name)
	}
	must(h.t, rows.Err())
	if !slices.Contains(tables, "dead_letter") || len(tables) < 20 {
		h.t.Fatalf("tables %v", tables)
	}
	out := map[string]string{}
	for _, table := range tables {
		var text string
		must(h.t, h.database().QueryRowContext(h.t.Context(), "SELECT coalesce(string_agg(x::text, E'\\n'), '') FROM "+table+" x").Scan(&text))
		out[table] = text
	}
	return out
}

// What stands for a refused value shows its shape and nothing else.
func TestB02_MaskedValues(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	a := d.refused("crm-flat", `{"phone_number":"+1 (555) 01","email_address":"a@example.com"}`, schema.ReasonSchemaMismatch)
	if e := a.body.Error; e.Field != "/phone_number" || e.Masked != "+9 (999) 99" || e.Remedy == "" {
		t.Errorf("%s", a)
	}
	var field, masked string
	must(t, h.database().QueryRowContext(t.Context(), "SELECT field, masked FROM dead_letter").Scan(&field, &masked))
	if field != a.body.Error.Field || masked != a.body.Error.Masked {
		t.Errorf("the dead letter says %s %s", field, masked)
	}
}
