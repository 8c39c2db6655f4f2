package genesystest

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"lockstep/connectors/simulator"
)

// Simulator is an org with its api and login hosts and a control API. It is safe for concurrent use.
type Simulator struct {
	options Options
	clock   *simulator.Clock
	ids     *simulator.IDs
	journal *simulator.Journal
	plan    *simulator.Plan
	quota   *simulator.Quota
	tokens  *simulator.Tokens
	sender  *simulator.Sender
	api     *simulator.Front
	login   *simulator.Front
	control http.Handler

	// mu guards everything below.
	mu       sync.Mutex
	contacts contacts
	shelves  map[string]*shelf
	statuses map[string]routingStatus // by user
	switches Switches
	secrets  map[string]string // by client
	header   string
	key      string

	closed chan struct{}
	once   sync.Once
}

// New returns an org that holds one agent and one queue. Serve Handler, LoginHandler and ControlHandler on hosts of
// their own and call Run, without which no event is sent; Close ends it.
func New(o Options) (*Simulator, error) {
	o = o.filled()
	if err := o.Switches.check(); err != nil {
		return nil, fmt.Errorf("genesystest: %w", err)
	}
	clock := simulator.NewClock(o.Clock)
	s := &Simulator{
		options: o, clock: clock, ids: simulator.NewIDs(o.Seed), journal: simulator.NewJournal(clock),
		plan: simulator.NewPlan(clock), quota: simulator.NewQuota(clock, max(o.RequestsPerMinute, 0), 0),
		tokens: simulator.NewTokens(clock), contacts: newContacts(), shelves: newShelves(),
		statuses: map[string]routingStatus{}, switches: o.Switches, secrets: map[string]string{o.ClientID: o.ClientSecret},
		header: o.WebhookHeader, key: o.WebhookKey, closed: make(chan struct{}),
	}
	for id, secret := range o.Clients {
		s.secrets[id] = secret
	}
	s.sender = simulator.NewSender(simulator.SenderOptions{
		Clock: clock, Journal: s.journal, Sign: s.sign, Settings: o.Webhook,
	})
	front := simulator.FrontOptions{
		Clock: clock, Journal: s.journal, Plan: s.plan, Dialect: dialect{s}, MaxBody: maxBody, Routes: s.routes(),
	}
	s.api = simulator.NewFront(front)
	front.Routes = []simulator.Route{
		{Method: "POST", Template: "/oauth/token", Class: simulator.ClassToken, Serve: s.token},
	}
	s.login = simulator.NewFront(front)
	s.control = simulator.NewControl(simulator.ControlOptions{
		Clock: clock, Journal: s.journal, Plan: s.plan, Quota: s.quota, Vendor: s, Extend: s.extendControl,
		Routes: s.routes(),
	})
	s.seed()
	return s, nil
}

// seed makes the agent and the queue.
func (s *Simulator) seed() {
	now := stamp(s.clock.Now())
	s.shelves["User"].add(&entity{id: DefaultUserID, doc: map[string]any{
		"name": "Alex Agent", "email": "alex.agent@example.com", "username": "alex.agent@example.com", "state": "active",
		"version": 1.0, "division": division(),
	}})
	s.shelves["Queue"].add(&entity{id: DefaultQueueID, doc: map[string]any{
		"name": "Support", "division": division(), "dateCreated": now, "dateModified": now, "memberCount": 1.0,
	}, members: map[string]bool{DefaultUserID: true}})
}

// Handler is the api host, LoginHandler the login host, ControlHandler the control API.
func (s *Simulator) Handler() http.Handler { return s.api }

// LoginHandler is the login host.
func (s *Simulator) LoginHandler() http.Handler { return s.login }

// ControlHandler is the control API.
func (s *Simulator) ControlHandler() http.Handler { return s.control }

// Run sends events until ctx ends or Close is called.
func (s *Simulator) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-s.closed:
			cancel()
		case <-ctx.Done():
		}
	})
	s.sender.Run(ctx)
	cancel()
	watch.Wait()
}

// Close makes Run return and ends every delay that a fault holds. It may be called again.
func (s *Simulator) Close() {
	s.once.Do(func() { close(s.closed) })
	s.api.Close()
	s.login.Close()
}

// Journal is the record of requests, edits and lost events.
func (s *Simulator) Journal() *simulator.Journal { return s.journal }

// Plan is the list of faults.
func (s *Simulator) Plan() *simulator.Plan { return s.plan }

// Clock is the org's time, to skew it.
func (s *Simulator) Clock() *simulator.Clock { return s.clock }

// Quota is the clients' windows.
func (s *Simulator) Quota() *simulator.Quota { return s.quota }

// WebhookCounts is what became of the events so far.
func (s *Simulator) WebhookCounts() simulator.WebhookCounts { return s.sender.Counts() }

// stamp spells a time as REST answers do: ISO 8601 in UTC with milliseconds.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// now is the org's clock at the resolution of its timestamps.
func (s *Simulator) now() time.Time { return s.clock.Now().Truncate(time.Millisecond) }

func division() map[string]any {
	return map[string]any{"id": homeDivision, "name": "Home", "selfUri": "/api/v2/authorization/divisions/" + homeDivision}
}
