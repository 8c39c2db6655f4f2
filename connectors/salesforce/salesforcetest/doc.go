// Package salesforcetest simulates a Salesforce org: its My Domain host, login.salesforce.com and a control API. Tests
// call Start; a program calls New, serves Handler, LoginHandler and ControlHandler on ports of their own and calls
// Run. Faults, journal, webhooks and the shared part of the control API are described in
// lockstep/connectors/simulator.
//
// # What it offers
//
//	POST   /services/oauth2/token, /revoke; GET /services/oauth2/userinfo, /id/{org}/{user}
//	GET    /services/data, /services/data/vXX.0, .../limits
//	GET    .../query, .../queryAll, .../query/{locator}; GET .../search; GET, POST .../parameterizedSearch
//	GET    .../sobjects, .../sobjects/{object}, .../{object}/describe, .../{object}/updated, .../{object}/deleted
//	POST   .../sobjects/{object}; GET, PATCH, DELETE .../sobjects/{object}/{id} and .../{object}/{field}/{value}
//	POST, PATCH, DELETE .../composite/sobjects; PATCH .../composite/sobjects/{object}/{field}
//	GET, POST .../composite/sobjects/{object}; POST .../composite
//
// under versions 31.0 to 68.0; older ones answer 410, others 404. A trailing slash does not count; gzipped and chunked
// request bodies are read. The version decides what an upsert answers: 200 with a body from 46.0 on, 204 before.
//
// Objects: Account, Contact, Case, Task, User, Group, GroupMember, QueueSobject, CaseMilestone and those of
// Options.Objects, with the standard fields that a support integration meets and the custom fields of Options.Fields
// (DemoFields when nil). Names of objects and fields may be in any case.
//
// Data: ids of 15 and 18 characters; texts trimmed, an empty one is null; field lengths, restricted picklists, e-mail
// addresses, required fields, references, unique external ids (without regard to case) and relationships by external
// id are checked with Salesforce's codes and words. Numbers are shown as Salesforce's REST API shows them: 5000.0,
// 3.5E8. Stamps have a resolution of a second. A flow numbers a record's changes in Change_Seq__c where the object has
// it. An identical write moves the stamps, but is no change: neither the sequence nor an event tells of it.
//
// SOQL: SELECT of fields, of fields over parents and FIELDS(ALL|STANDARD|CUSTOM), COUNT(); FROM one object; WHERE with
// = != <> < <= > >= LIKE IN NOT IN, AND, OR, NOT and parentheses (AND and OR do not mix without them), texts with
// escapes, numbers, TRUE, FALSE, NULL, dates, datetimes, TODAY, YESTERDAY, TOMORROW, LAST_N_DAYS:n; ORDER BY with ASC,
// DESC, NULLS FIRST, NULLS LAST; LIMIT, OFFSET, ALL ROWS. Texts compare without regard to case, phones as free text.
//
// Quirks: errors are an array, items of collections carry statusCode; 300 with URLs when several records match;
// Sforce-Limit-Info on every data reply, 403 REQUEST_LIMIT_EXCEEDED without Retry-After at the cap; token replies
// without expires_in; If-Unmodified-Since on any record, ETag on accounts only; updated and deleted ignore the seconds
// of start and end, as documented; an unescaped slash in a key is a path of its own and answers 404.
//
// # Events
//
// Changes of Account, Contact and Case (or Options.WebhookObjects) are posted with Standard Webhooks headers, whoever
// made them; format apex is the body of requirements R-119 without its signature and with sequence and changed_by,
// format cdc a change event as EventBridge delivers it, in which compound fields are nested objects.
//
// # Control API, beside what every simulator has
//
//	POST /records/{object}             {"Id":...} updates that record, or creates one under that id, whatever its shape
//	POST /records/{object}/merge       {"ids":["winner","loser"]}: fills the winner's empty fields, deletes the losers
//	POST /records/{object}/{id}/undelete
//	POST /webhooks                     also secret (whsec_...), format (apex, cdc), objects
//	POST /switches                     duplicate_rule ("", alert, block), unique_customer_number, lock_hold_ms,
//	                                   search_lag_ms, replication_seconds, no_run_as_user
//	POST /secrets                      also keep_previous: the former webhook secret signs beside the new one
//
// A write locks the row of the account it belongs to until it is answered; lock_hold_ms holds it that much longer, and
// others meet UNABLE_TO_LOCK_ROW. Faults of kind item without body_code are UNABLE_TO_LOCK_ROW too.
package salesforcetest
