package genesystest

import (
	"testing"

	"lockstep/connectors/simulator"
)

// Server is an org that serves on loopback ports: URL is the api host, LoginURL the login host.
type Server struct {
	*Simulator
	*simulator.Served
	// ClientID, ClientSecret and WebhookKey are the ones that the org began with.
	ClientID, ClientSecret, WebhookKey string
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
		WebhookKey: s.options.WebhookKey,
	}
}

// Journal returns every journal entry so far.
func (s *Server) Journal() []simulator.Entry { return s.Served.Journal() }
