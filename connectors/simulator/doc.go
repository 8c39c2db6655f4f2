// Package simulator holds what the vendor simulators share: an HTTP front that routes, journals and spoils requests, a
// fault plan, a webhook sender, quotas, tokens, a clock and the control API. The simulators themselves stand beside
// their connectors (salesforcetest, genesystest); their package comments tell what they offer of their vendor.
//
// A simulator keeps state, speaks the vendor's wire format and knows nothing of Lockstep. It answers a route that it
// does not offer with 501 in the vendor's error shape and journals it like any other.
//
// # Journal
//
// Every request is one entry. An effect is added to its entry while the state's lock is held, at the instant the state
// changes and before anything decides how to answer; so whatever becomes of the answer, the effect is told. A person's
// change through the control API is an entry too (kind edit, credential human), and so is an event that the sender
// gave up or lost on purpose (kind webhook). Entry and Effect document the members.
//
//	{"n":7,"kind":"request","at":"2026-01-01T12:00:00.123456789Z","method":"PATCH",
//	 "route":"/services/data/{version}/sobjects/{object}/{field}/{value}",
//	 "path":"/services/data/v62.0/sobjects/Contact/Ext_Id__c/C-1","credential":"3MVG9...","status":201,"fault":"",
//	 "effects":[{"object":"Contact","id":"003xx0000000001AAA","op":"create","fields":{"LastName":"Byron"},"noop":false,
//	             "key":"C-1"}]}
//
// status is 0 for a reset connection; open is set while the answer is not decided. The journal keeps hundreds of
// thousands of entries: words are shared, effects are kept encoded, NDJSON is streamed without holding the lock.
//
// # Faults
//
// A fault is one JSON object. What it matches:
//
//	route        a template as GET /routes lists it, with the method before it ("PATCH /a/{id}") or without
//	class        token, read, write, bulk (routes that carry many records) or any; absent means any
//	credential   the client id behind the token
//
// What it does, by kind:
//
//	status         answers code with the vendor's error body; body_code, message and field replace the usual words
//	throttle       answers 429 (or code)
//	slow           waits ms, then goes on; with after it waits when the work is done
//	drip           sends the body in pieces of bytes (1), ms apart
//	reset_before   drops the connection before the work is done
//	reset_after    does the work and drops the connection
//	truncate       announces the whole body, sends bytes of it (half) and drops the connection
//	html_200       answers 200 with an HTML page
//	item           fails items of a bulk request: body_code, message, field, code and retryable as far as the vendor's
//	               item errors have them; of the items the one at index, the one known by record_id, or all
//	revoke_token   ends every token, then lets the vendor answer
//
// status, throttle and html_200 stand in for the work; with after the work is done first and its answer is hidden.
// retry_after is the header of status and throttle: a number of seconds, a text sent as it stands, "date:30" for the
// HTTP date 30 s ahead, or a list of these for several headers; absent means none.
//
// When it ends: count firings, for_ms milliseconds; probability is the chance of each firing, drawn from seed. The
// first fault that fires on a request is the only one, item faults aside. Members that are not named here are refused.
//
//	{"class":"write","kind":"reset_after","probability":0.05,"seed":7,"for_ms":60000}
//	{"route":"POST /api/v2/externalcontacts/bulk/contacts/enrich","kind":"item","index":2,"code":409,"count":1}
//	{"kind":"throttle","retry_after":[3,"garbage"],"count":10}
//
// # Webhooks
//
// The sender is a careful one: one record's events go out in order, each again and again with doubling waits until a
// 2xx, obeying Retry-After (seconds or a date); 410 pauses the endpoint. WebhookSettings documents the knobs: url,
// paused, duplicate, reorder_ms, delay_ms, silent_drop, max_attempts, first_retry_ms, longest_retry_ms, timeout_ms,
// give_up_on_refusal, workers, seed. What becomes of an event depends on the seed and the event's id alone. While no
// url is set, events are neither sent nor kept.
//
// # Control API
//
// It is served beside the vendor's hosts and speaks JSON. A body names what it changes; what it leaves out stays.
// Errors of the API are {"error":"..."} with 400 or 404; a refusal of the vendor is passed on in the vendor's own
// words.
//
//	GET    /journal?after=N&closed=true   entries after number N as NDJSON; closed stops before the first open entry
//	GET    /routes                        the routes, for writers of faults
//	GET    /faults                        the plan: every fault with id, fired and active
//	POST   /faults                        adds a fault: 201 {"id":"fault-1"}
//	DELETE /faults?id=                    ends one fault, without id all: 204
//	GET    /state/{object}?id=&all=true   the live records in the vendor's shape as an array; all adds deleted ones
//	POST   /records/{object}              creates a record as a person would (201), or updates the given fields of the
//	                                      record with the id that the body names (200); null clears; an array makes many.
//	                                      Answers the record in the vendor's shape. ?user= says which person
//	DELETE /records/{object}/{id}         deletes a record as a person would: 204
//	POST   /records/{object}/merge        merges records as a person would; the body is the vendor's
//	GET    /webhooks                      settings without secrets, and the counts pending, sent, failed, dropped,
//	                                      silently_dropped, duplicated
//	POST   /webhooks                      changes the settings
//	GET    /switches, POST /switches      the vendor's quirks
//	POST   /quota                         {"per_minute":300,"daily":15000,"daily_used":0}; 0 lifts a ceiling: 204
//	POST   /tokens                        {"revoke":true} ends every token: 204
//	POST   /secrets                       {"webhook_secret":"...","client_secret":"..."} rotates: 204
//	POST   /clock                         {"skew_ms":-3000} sets how far the vendor's clock runs ahead; answers the time
package simulator
