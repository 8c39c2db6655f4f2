// Package genesystest simulates a Genesys Cloud org: its api and login hosts and a control API. Tests call Start; a
// program calls New, serves Handler, LoginHandler and ControlHandler on ports of their own and calls Run. Faults,
// journal, webhooks and the shared part of the control API are described in lockstep/connectors/simulator.
//
// # What it offers
//
//	POST /oauth/token on the login host: client credentials in a Basic header
//	/api/v2/externalcontacts/contacts: POST, GET ?q=, /search, /enrich, /merge; {id}: GET, PUT, PATCH, DELETE,
//	    /unresolved, /identifiers, /promotion, /notes
//	/api/v2/externalcontacts/bulk/contacts: read, /add, /update, /remove, /enrich, /unresolved
//	/api/v2/externalcontacts: /identifierlookup[/contacts], /reversewhitepageslookup, /scan/contacts, /merge/contacts,
//	    /externalsources[/{id}], /conversations/{id}
//	/api/v2/conversations/{id}: GET, /tags, /assign, /participants/{p}/attributes and /replace[/queue|/agent];
//	    /{media}/{id}/participants/{p}/attributes, .../communications/{c}/wrapup
//	/api/v2/routing/queues[/{id}[/members[/{m}]|/users|/wrapupcodes]], /api/v2/routing/wrapupcodes[/{id}]
//	/api/v2/users[/{id}[/routingstatus]], /api/v2/taskmanagement/workitems[/query|/{id}[/assignment|/terminate]]
//
// and 400 not.a.user where client credentials do not suffice. Array parameters may be repeated or joined by commas.
//
// Contacts: names are stripped of blanks; phones become {display, e164, countryCode, userInput}, read with the org's
// region unless they carry their own; a number that cannot be read is kept and found by nothing; an e164 needs its
// plus. External ids need an existing source, there are at most ten, and each has one owner: a second write answers
// 409. An e-mail address or a number may stand on several contacts and belongs to the one created first, or to the one
// that claimed it; it passes on when that one goes. Times have milliseconds; there is neither version nor ETag.
// Members that a contact does not have are refused, computed ones are ignored. An identical write changes nothing,
// modifyDate included.
//
// Enrich looks its identifiers up in order, claims those that nobody owns, and combines by field rules member by
// member (address and customFields too); a dry run shows the outcome. A merge makes a new contact; the old ids lead to
// it, in reads and in writes. Bulk answers 200 and tells of each item with its own status and hint retryable.
//
// Every reply carries ININ-Correlation-Id and, behind a token, inin-ratelimit-count, -allowed and -reset: a window of
// 60 s with 300 requests a client. Beyond it 429 with Retry-After and the wait in the message. Bodies above 512,000
// bytes answer 413. Every error is an ErrorBody.
//
// # Events
//
// Every change of a contact is posted, whoever made it, in an EventBridge envelope with a static key header, as an API
// destination does: detail-type keeps the placeholder {id}, detail.topicName has the id, detail.eventBody is the whole
// contact in the flat form of notifications. A merge tells of the new contact and of each old one. A deletion tells
// nobody: the platform's contact topic has no deletion. Conversation events come by control only.
//
// # Control API, beside what every simulator has
//
//	objects: ExternalContact, ExternalSource, Queue, WrapupCode, User, Conversation, Workitem, Note. Contacts are checked
//	    as the API checks them, the others are taken as they come. {"id":...} updates that record, or creates one under
//	    that id. Of deleted records all=true shows "deleted":true, of merged contacts mergedTo
//	POST /records/ExternalContact/merge   {"contactIds":[...],"valueOverride":{...}}
//	POST /events      {"topic":"customer.end","id":"<conversation>","event_body":{...}} emits a conversation event
//	                  (customer.start, customer.end, acd.start, acd.end, user.start, user.end, acw, wrapup, ...) or one of
//	                  any topic with {id}; event_body adds to and replaces what is filled in. Answers envelope_id and id
//	POST /webhooks    also key and header
//	POST /secrets     webhook_secret is the static key
//	POST /switches    lookup_lag_ms: how long look-ups and searches miss what was written; strict_paths: demand `$.`
//	                  before the field of a PATCH change and of a field rule
package genesystest
