// Package play sends the demo's traffic: people at the screens of both systems create and change customers, senders repeat
// and reorder themselves, and somebody forges. What it reports comes from the systems' own state and journals and from
// its own list of what people did.
package play

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"lockstep/demo/checker"
	"lockstep/demo/endpoints"
	"lockstep/demo/people"
	"lockstep/schema"
)

const (
	customers = 500
	changes   = 300
)

// Report is the demo's result: whether the two systems are in step, and Lockstep's own numbers, which have to agree.
type Report struct {
	Accepted    int64 `json:"accepted"`
	Applied     int64 `json:"applied"`
	Superseded  int64 `json:"superseded"`
	Echo        int64 `json:"echo"`
	Ignored     int64 `json:"ignored"`
	Held        int64 `json:"held"`
	Dead        int64 `json:"dead"`
	Lost        int   `json:"lost"`
	Doubled     int   `json:"doubled"`
	Differences int   `json:"differences"`
	Records     int   `json:"records"`
	Fields      int   `json:"fields"`

	Ledger checker.Ledger `json:"ledger"`
	// Runs counts the workflow runs whose histories were looked at.
	Runs     int      `json:"runs"`
	Seconds  float64  `json:"seconds"`
	Findings []string `json:"findings"`
	// Links are where to look next.
	Links map[string]string `json:"links"`
}

// Holds reports whether nothing is lost, doubled or different.
func (r Report) Holds() bool {
	return r.Lost == 0 && r.Doubled == 0 && r.Differences == 0 && len(r.Findings) == 0
}

// String tells the report in lines.
func (r Report) String() string {
	var b strings.Builder
	verdict := "The two systems are in step."
	if !r.Holds() {
		verdict = "The two systems are NOT in step."
	}
	fmt.Fprintf(&b, "\n%s\n\n", verdict)
	fmt.Fprintf(&b, "  customers        %6d   in both systems, %d fields compared\n", r.Records, r.Fields)
	fmt.Fprintf(&b, "  lost             %6d\n  doubled          %6d\n  differences      %6d\n", r.Lost, r.Doubled, r.Differences)
	fmt.Fprintf(&b, "  events accepted  %6d   applied %d, superseded %d, echo %d, ignored %d, held %d, dead %d\n",
		r.Accepted, r.Applied, r.Superseded, r.Echo, r.Ignored, r.Held, r.Dead)
	fmt.Fprintf(&b, "  vendor calls     %6d   %d records written, %d of them again the same\n", r.Ledger.Calls, r.Ledger.Writes+r.Ledger.Repeats, r.Ledger.Repeats)
	fmt.Fprintf(&b, "  took             %6.1f s\n", r.Seconds)
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "  ! %s\n", f)
	}
	fmt.Fprintf(&b, "\n")
	for _, name := range []string{"temporal_ui", "event", "stats", "salesforce", "genesys"} {
		fmt.Fprintf(&b, "  %-12s %s\n", name, r.Links[name])
	}
	return b.String()
}

// Play is the demo's traffic, start to end.
func Play(ctx context.Context, at endpoints.Endpoints, say func(string)) (report any, passed bool, err error) {
	began := time.Now()
	land := checker.LandscapeAt(at)
	g := &game{
		at: at, say: say, lockstep: checker.LockstepAt(at), land: land, cast: people.New(land, 1),
		sender: &sender{at: at, client: &http.Client{Timeout: 20 * time.Second}},
	}
	r, err := g.play(ctx)
	if err != nil {
		return nil, false, err
	}
	r.Seconds = time.Since(began).Seconds()
	return r, r.Holds(), nil
}

// game is one run of the traffic.
type game struct {
	at       endpoints.Endpoints
	say      func(string)
	lockstep checker.Lockstep
	land     checker.Landscape
	cast     *people.Cast
	sender   *sender
	before   schema.Stats
	sentOff  [2]int
}

func (g *game) play(ctx context.Context) (Report, error) {
	if err := g.begin(ctx); err != nil {
		return Report{}, err
	}
	g.say(fmt.Sprintf("%d customers arrive: some typed into Salesforce, some calling Genesys, some both at once", customers))
	g.say("Genesys takes 300 calls a minute from one client, so they need a minute and a half")
	if err := g.cast.Arrive(ctx, customers); err != nil {
		return Report{}, err
	}
	if _, err := g.land.Settle(ctx, g.lockstep, g.say); err != nil {
		return Report{}, err
	}
	if err := g.land.Adopt(ctx, g.cast.All()); err != nil {
		return Report{}, err
	}
	g.say("every customer is in both systems; now people change them on both sides, and senders repeat and reorder themselves")
	if err := g.unruly(ctx); err != nil {
		return Report{}, err
	}
	for range changes {
		if err := g.cast.Change(ctx); err != nil {
			return Report{}, err
		}
	}
	g.say("somebody repeats an event, forges one, and sends a phone number that is none")
	met, err := g.sender.strangers(ctx, g.cast.All()[0])
	if err != nil {
		return Report{}, err
	}
	stats, err := g.land.Settle(ctx, g.lockstep, g.say)
	if err != nil {
		return Report{}, err
	}
	g.say("all is quiet; comparing what both systems show with what people said")
	return g.report(ctx, stats, met)
}

// begin notes where the counters stand: an earlier run may have left its own.
func (g *game) begin(ctx context.Context) (err error) {
	if g.before, err = g.lockstep.Stats(ctx); err != nil {
		return err
	}
	g.sentOff, err = g.sent(ctx)
	return err
}

func (g *game) sent(ctx context.Context) (sent [2]int, err error) {
	for i, c := range g.land.Clients() {
		s, err := c.Sender(ctx)
		if err != nil {
			return sent, err
		}
		sent[i] = s.Sent
	}
	return sent, nil
}

// unruly makes both senders repeat and reorder what they send.
func (g *game) unruly(ctx context.Context) error {
	for _, c := range g.land.Clients() {
		if err := c.Set(ctx, "webhooks", map[string]any{"duplicate": 0.1, "reorder_ms": 500, "seed": 7}); err != nil {
			return err
		}
	}
	return nil
}

func (g *game) report(ctx context.Context, stats schema.Stats, met encounters) (Report, error) {
	agreement, err := g.land.Compare(ctx, g.cast.All(), nil)
	if err != nil {
		return Report{}, err
	}
	ledger, err := g.land.Audit(ctx, g.cast.All())
	if err != nil {
		return Report{}, err
	}
	of := func(o schema.Outcome) int64 { return stats.Outcomes[o] - g.before.Outcomes[o] }
	r := Report{
		Accepted: stats.Accepted - g.before.Accepted, Applied: of(schema.Applied), Superseded: of(schema.Superseded), Echo: of(schema.Echo),
		Ignored: of(schema.Ignored), Dead: of(schema.Dead), Held: stats.Open.Held,
		Lost: agreement.Lost, Doubled: agreement.Doubled + len(ledger.Doubled), Differences: agreement.Differences, Records: agreement.Records, Fields: agreement.Fields,
		Ledger: ledger, Findings: append(agreement.Findings, met.Findings...),
		Links: map[string]string{
			"temporal_ui": g.at.TemporalUI + "/namespaces/lockstep/workflows", "event": g.at.Admin + "/api/v1/events/" + met.Receipt, "stats": g.at.Admin + "/api/v1/stats",
			"salesforce": g.at.Systems[checker.Salesforce].ControlURL + "/state/Contact", "genesys": g.at.Systems[checker.Genesys].ControlURL + "/state/ExternalContact",
		},
	}
	r.Findings = append(r.Findings, ledger.Findings()...)
	return r, g.reconcile(ctx, &r, stats, met)
}

// reconcile holds Lockstep's own numbers against what the senders say: everything that they were told is accepted has
// to be there, once. Its journal has to be sound, too.
func (g *game) reconcile(ctx context.Context, r *Report, stats schema.Stats, met encounters) error {
	sent, err := g.sent(ctx)
	if err != nil {
		return err
	}
	for i, c := range g.land.Clients() {
		source := c.System.Source
		want := int64(sent[i] - g.sentOff[i])
		if c.Name == checker.Salesforce {
			want += int64(g.sender.sent)
		}
		if got := stats.Sources[source].Accepted - g.before.Sources[source].Accepted; got != want {
			r.Lost += int(max(0, want-got))
			r.Findings = append(r.Findings, fmt.Sprintf("%s was told %d times that an event is accepted, and %d were", source, want, got))
		}
	}
	life, err := g.lockstep.Life(ctx, met.Receipt)
	if err != nil {
		return err
	}
	if len(life.Events) != 1 || life.Events[0].State != "done" {
		r.Findings = append(r.Findings, "the repeated event has not come to one end")
	}
	for _, check := range []func() ([]string, error){
		func() ([]string, error) { return g.lockstep.Broken(ctx) },
		func() ([]string, error) { return g.land.Unique(ctx, nil) },
		func() ([]string, error) { return g.land.Still(ctx, stillFor) },
		func() (findings []string, err error) {
			r.Runs, findings, err = checker.Stories(ctx, g.at)
			return findings, err
		},
	} {
		findings, err := check()
		if err != nil {
			return err
		}
		r.Findings = append(r.Findings, findings...)
	}
	return nil
}

// stillFor is how long nothing may be written once everything is in step (INV-09).
const stillFor = 2 * time.Second
