package salesforcetest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"lockstep/connectors/simulator"
)

// Simulator is an org with its My Domain host, the login host and a control API. It is safe for concurrent use.
type Simulator struct {
	options Options
	clock   *simulator.Clock
	ids     *simulator.IDs
	journal *simulator.Journal
	plan    *simulator.Plan
	quota   *simulator.Quota
	tokens  *simulator.Tokens
	sender  *simulator.Sender
	domain  *simulator.Front
	login   *simulator.Front
	control http.Handler
	// parts serve the parts of a composite call, by method and template.
	parts map[string]func(*request) simulator.Answer

	// mu guards everything below.
	mu           sync.Mutex
	tables       map[string]*table
	names        []string // of the tables, sorted
	locks        map[string]any
	switches     Switches
	clientSecret string
	secrets      []string // that sign events, newest first
	format       string
	told         []string
	locators     []*locator
	commits      uint64

	closed chan struct{}
	once   sync.Once
}

// New returns an org that holds its two users. Serve Handler, LoginHandler and ControlHandler on hosts of their own and
// call Run, without which no event is sent; Close ends it.
func New(o Options) (*Simulator, error) {
	o = o.filled()
	if err := o.Switches.check(); err != nil {
		return nil, fmt.Errorf("salesforcetest: %w", err)
	}
	if err := checkSecret(o.WebhookSecret); err != nil {
		return nil, fmt.Errorf("salesforcetest: %w", err)
	}
	clock := simulator.NewClock(o.Clock)
	s := &Simulator{
		options: o, clock: clock, ids: simulator.NewIDs(o.Seed), journal: simulator.NewJournal(clock),
		plan: simulator.NewPlan(clock), quota: simulator.NewQuota(clock, o.RequestsPerMinute, max(o.DailyRequests, 0)),
		tokens: simulator.NewTokens(clock), tables: map[string]*table{}, locks: map[string]any{}, switches: o.Switches,
		clientSecret: o.ClientSecret, secrets: []string{o.WebhookSecret}, format: o.WebhookFormat, told: o.WebhookObjects,
		closed: make(chan struct{}),
	}
	if err := s.declare(); err != nil {
		return nil, err
	}
	s.sender = simulator.NewSender(simulator.SenderOptions{
		Clock: clock, Journal: s.journal, Sign: s.sign, Settings: o.Webhook,
	})
	s.parts = map[string]func(*request) simulator.Answer{}
	for _, o := range s.operations() {
		s.parts[o.method+" "+o.template] = o.serve
	}
	front := simulator.FrontOptions{
		Clock: clock, Journal: s.journal, Plan: s.plan, Dialect: dialect{s}, MaxBody: 50 << 20, Routes: s.routes(),
	}
	s.domain = simulator.NewFront(front)
	front.Routes = s.loginRoutes(s.loginToken)
	s.login = simulator.NewFront(front)
	s.control = simulator.NewControl(simulator.ControlOptions{
		Clock: clock, Journal: s.journal, Plan: s.plan, Quota: s.quota, Vendor: s, Extend: s.extendControl,
		Routes: s.routes(),
	})
	s.seed()
	return s, nil
}

// declare builds the tables of the standard and the declared objects.
func (s *Simulator) declare() error {
	for _, o := range slices.Concat(standardObjects(), s.options.Objects) {
		built, err := newObject(o, s.options.Fields[o.Name])
		if err != nil {
			return err
		}
		s.tables[o.Name] = newTable(built)
		s.names = append(s.names, o.Name)
	}
	slices.Sort(s.names)
	for name := range s.options.Fields {
		if s.tables[name] == nil {
			return fmt.Errorf("salesforcetest: custom fields are declared for the unknown object %s", name)
		}
	}
	return nil
}

// seed makes the users that writes are attributed to.
func (s *Simulator) seed() {
	t := &transaction{s: s, by: s.options.UserID, owner: s}
	for _, user := range []struct{ id, first, last, name string }{
		{s.options.UserID, "Integration", "User", s.options.JWTUsername},
		{s.options.HumanID, "Hanna", "Support", "hanna.support@example.com"},
	} {
		values := map[string]any{
			"Username": user.name, "Email": user.name, "FirstName": user.first, "LastName": user.last, "IsActive": true,
		}
		if _, err := t.create(s.tables["User"].object, values, user.id); err != nil {
			panic("salesforcetest: a seeded user is refused: " + err.Message) // a bug: the values are constants
		}
	}
}

// Handler is the My Domain host: tokens and the API.
func (s *Simulator) Handler() http.Handler { return s.domain }

// LoginHandler is login.salesforce.com, which refuses client credentials.
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
	s.domain.Close()
	s.login.Close()
}

// now is the org's clock at the resolution of its timestamps.
func (s *Simulator) now() time.Time { return s.clock.Now().Truncate(time.Second) }

// Journal is the record of requests, edits and lost events.
func (s *Simulator) Journal() *simulator.Journal { return s.journal }

// Plan is the list of faults.
func (s *Simulator) Plan() *simulator.Plan { return s.plan }

// Clock is the org's time, to skew it.
func (s *Simulator) Clock() *simulator.Clock { return s.clock }

// Quota is the org's allowance.
func (s *Simulator) Quota() *simulator.Quota { return s.quota }

// WebhookCounts is what became of the events so far.
func (s *Simulator) WebhookCounts() simulator.WebhookCounts { return s.sender.Counts() }
