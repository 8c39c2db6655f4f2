package salesforcetest

import (
	"testing"

	"lockstep/connectors/simulator"
)

// Server is an org that serves on loopback ports: URL is its My Domain host, LoginURL login.salesforce.com.
type Server struct {
	*Simulator
	*simulator.Served
	// ClientID, ClientSecret and WebhookSecret are the ones that the org began with.
	ClientID, ClientSecret, WebhookSecret string
}

// Start serves an org until the test ends. Its sender runs.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &Server{
		Simulator: s, Served: simulator.Serve(t, s), ClientID: s.options.ClientID, ClientSecret: s.options.ClientSecret,
		WebhookSecret: s.options.WebhookSecret,
	}
}

// Journal returns every journal entry so far.
func (s *Server) Journal() []simulator.Entry { return s.Served.Journal() }
