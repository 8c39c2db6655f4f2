// Package genesys keeps step with the external contacts of a Genesys Cloud org: bulk enrich for writes and creations,
// PATCH for what enrich cannot do, and webhooks in the shape of EventBridge events.
//
// A contact has nested members on the wire and flat names here: workPhone is the phone's E.164 form,
// externalIds.<external source's name> the id under that source, customFields.<name> a custom field.
package genesys
