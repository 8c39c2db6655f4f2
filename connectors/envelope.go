package connectors

import (
	"encoding/json"

	"lockstep/schema"
)

// Envelope reads how a source wraps its events. It is pure: intake reads with it what it accepts, and decide reads the
// journal with it again. Both methods fail with a *schema.Refusal only, which quotes nothing of the body. The body has
// passed the strict JSON scan already.
type Envelope interface {
	// Split returns the events of one POST, each as the exact bytes that stand for it in the body.
	Split(body []byte) ([]json.RawMessage, error)
	// Parse reads one event. Some tell of several records; they become as many changes.
	Parse(raw json.RawMessage) ([]schema.Change, error)
}
