package connectortest

// Traversals returns more than 1,500 texts that ids have been made of to leave their place in a path (A24).
func Traversals() []string {
	steps := []string{
		"..", ".", "%2e%2e", "%2e.", ".%2e", "%252e%252e", "..;", "..%00", "..%0d%0a", "..\\", "..%5c", "..%255c", "．．", "%c0%ae%c0%ae",
		"%uff0e%uff0e", "..%ef%bc%8f", "…", "‥", "\u2024\u2024", "..\x00", "..\n", "..?", "..#", "~", "$", "{id}", "*",
	}
	slashes := []string{
		"/", "//", "\\", "%2f", "%2F", "%252f", "%5c", "%c0%af", "∕", "⁄", "／", ";/", "/;", "?", "#", "\x00", "&", "%00/",
	}
	tails := []string{"", "admin", "services/oauth2/token", "001xx0000000001AAA", "..", "?q=1", "#x"}
	list := []string{"", " ", ".", "..", "...", "/", "\\", "%", "%2", "null", "undefined", "0", "-1", "../", "..\u0000"}
	for _, step := range steps {
		for _, slash := range slashes {
			for _, tail := range tails {
				list = append(list, step+slash+tail, "001xx0000000001AAA"+slash+step+slash+tail)
			}
		}
	}
	return list
}

// Injections returns texts that have ended a literal, a clause or a document early (A25). All are up to 60 characters.
func Injections() []string {
	return []string{
		"'", "''", "'''", `\`, `\'`, `\\'`, `\\\'`, `"`, "' OR '1'='1", "' OR Name != '", "') OR (Name != '", "x' LIMIT 1 --",
		"%' OR Name LIKE '%", "_%", "%", "*", "x') ALL ROWS", "'; DELETE FROM Contact; --", "' AND Email = null OR '' = '",
		"\\u0027 OR 1=1", "%27%20OR%201=1", "x' UNION SELECT Id FROM User --", "@{q0.records[0].Id}", "@{q1}", "{!Contact.Email}",
		"' or 1 eq 1 or '' eq '", "$filter=1 eq 1", "x eq 'y'", "&$top=1", "a&q=SELECT+Id", "a=b;c=d", "${jndi:ldap://x}", "{{7*7}}",
		"<script>alert(1)</script>", "<!--", "]]>", "{\"$ne\":null}", "\u2019 OR \u20181\u2019=\u20181", "Ω≈ç√∫˜µ≤", "Ａ＇ ＯＲ",
		"O'Brien", `back\slash`, "tab\there", "line\nbreak", "cr\rlf\nx", "null", "NULL", "true", "SELECT", "Robert'); DROP TABLE x;--",
		"+CONCAT('a','b')", "-- comment", "/* comment */", "/../", "..%2f", "a,b", "a)b", "(a", "a\u00a0b", "😀' OR '😀'='😀",
	}
}
