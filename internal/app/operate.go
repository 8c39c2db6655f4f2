package app

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"lockstep/internal/integrationmap"
	"lockstep/internal/secrets"
	"lockstep/internal/store"
	"lockstep/schema"
	"lockstep/workflows"
)

type migrateCommand struct{}

// Run migrates the database.
func (c *migrateCommand) Run(s *scene) error {
	url, err := s.config.ownerURL()
	if err != nil {
		return err
	}
	return store.Migrate(s.ctx, url)
}

type keysCommand struct {
	New keysNewCommand `cmd:"" help:"Make new keys in the secrets folder. Never overwrites."`
}

type keysNewCommand struct{}

// Run makes keys.
func (c *keysNewCommand) Run(s *scene) error {
	if s.config.Secrets == "" {
		return usage{fmt.Errorf("LOCKSTEP_SECRETS is not set; it names the folder that holds keys and credentials")}
	}
	if err := secrets.Generate(s.config.Secrets); err != nil {
		return usage{err}
	}
	return nil
}

type mapCommand struct {
	Lint     mapLintCommand     `cmd:"" help:"Check a map and name the line of whatever is wrong."`
	Activate mapActivateCommand `cmd:"" help:"Make the map the one that everybody decides under."`
	Schema   mapSchemaCommand   `cmd:"" help:"Print the JSON Schema of maps, for editors."`
}

type mapLintCommand struct {
	File string `arg:"" optional:"" help:"The map; LOCKSTEP_MAP when left out."`
	JSON bool   `help:"Print JSON."`
}

// Run checks a map.
func (c *mapLintCommand) Run(s *scene) error {
	config := s.config
	if c.File != "" {
		config.Map = c.File
	}
	bundle, _, err := config.loadMap()
	problems, broken := err.(integrationmap.Problems) //nolint:errorlint // Load returns it bare
	if err != nil && !broken {
		return usage{err}
	}
	result := struct {
		Digest   string                   `json:"digest,omitempty"`
		Problems []integrationmap.Problem `json:"problems"`
	}{Problems: append([]integrationmap.Problem{}, problems...)}
	if bundle != nil {
		result.Digest = bundle.Digest
	}
	if err := s.print(c.JSON, result, func(w io.Writer) {
		for _, p := range problems {
			_, _ = fmt.Fprintln(w, p)
		}
		if bundle != nil {
			_, _ = fmt.Fprintf(w, "%s is sound; digest %s\n", config.Map, bundle.Digest)
		}
	}); err != nil {
		return err
	}
	if broken {
		return finding{fmt.Errorf("%d problems", len(problems))}
	}
	return nil
}

type mapActivateCommand struct {
	By string `help:"Who activates it; stands in the audit." default:"operator"`
}

// Run activates the configured map.
func (c *mapActivateCommand) Run(s *scene) error {
	return s.withJournal(func(w *wiring, j *store.Store) error {
		if err := j.ActivateBundle(s.ctx, w.bundle.Digest, w.bundle.YAML, c.By); err != nil {
			return err
		}
		_, err := fmt.Fprintln(s.streams.Out, "active:", w.bundle.Digest)
		return err
	})
}

type mapSchemaCommand struct{}

// Run prints the JSON Schema.
func (c *mapSchemaCommand) Run(s *scene) error {
	_, err := s.streams.Out.Write(integrationmap.JSONSchema())
	return err
}

// withJournal runs f with the database open.
func (s *scene) withJournal(f func(w *wiring, j *store.Store) error) error {
	w, err := s.config.wire()
	if err != nil {
		return err
	}
	defer w.close()
	j, err := w.openJournal(s.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = j.Close() }()
	return f(w, j)
}

type eventCommand struct {
	Show eventShowCommand `cmd:"" help:"Print everything that happened to the events of a receipt."`
}

type eventShowCommand struct {
	Receipt string `arg:"" help:"The receipt that a 202 answered with."`
	JSON    bool   `help:"Print JSON."`
}

// Run prints the life of a receipt's events.
func (c *eventShowCommand) Run(s *scene) error {
	receipt, err := uuid.Parse(c.Receipt)
	if err != nil {
		return usage{fmt.Errorf("a receipt is the uuid that a 202 answered with")}
	}
	return s.withJournal(func(w *wiring, j *store.Store) error {
		life, err := j.Life(s.ctx, receipt, workflows.ID)
		if err != nil {
			return notFound(err, "nothing was accepted under this receipt")
		}
		return s.print(c.JSON, life, func(out io.Writer) { printLife(out, life, w.bundle.Map) })
	})
}

func notFound(err error, sentence string) error {
	if err == schema.ErrNotFound { //nolint:errorlint // the store returns the sentinel itself
		return finding{fmt.Errorf("%s", sentence)}
	}
	return err
}

// printLife tells a life in lines, the oldest first.
func printLife(out io.Writer, life schema.Life, m *schema.Map) {
	for _, e := range life.Events {
		line := func(at time.Time, format string, args ...any) {
			stamp := strings.Repeat(" ", 12)
			if !at.IsZero() {
				stamp = at.UTC().Format("15:04:05.000")
			}
			_, _ = fmt.Fprintf(out, "  %s  %s\n", stamp, strings.TrimRight(fmt.Sprintf(format, args...), " :"))
		}
		_, _ = fmt.Fprintf(out, "%s %s of %s %s (UTC, %s)\n", e.Kind, e.Event, e.Object, e.Record, e.ReceivedAt.UTC().Format(time.DateOnly))
		if !e.SourceAt.IsZero() {
			line(e.SourceAt, "changed in %s", e.System)
		}
		line(e.ReceivedAt, "accepted from %s, lane %s", e.Source, e.Lane)
		for _, c := range e.Calls {
			line(c.SentAt, "%s in %s, with %d records", c.Op, c.System, c.Records)
			switch {
			case c.Kind != "":
				line(c.AnsweredAt, "%s answered: %s", c.System, schema.ReasonOf(c.Kind).Sentence())
			case !c.AnsweredAt.IsZero():
				line(c.AnsweredAt, "%s took it", c.System)
			case c.State == schema.CallUnknown:
				line(time.Time{}, "%s never answered; it was asked again", c.System)
			}
		}
		for _, d := range e.Deliveries {
			if d.State != schema.DeliveryIdle {
				line(time.Time{}, "%s in %s is %s: %s", d.Op, d.System, d.State, cmp.Or(d.Workflow, d.Reason.Sentence()))
			}
		}
		printEnd(line, e, m)
	}
}

func printEnd(line func(time.Time, string, ...any), e schema.EventLife, m *schema.Map) {
	switch {
	case e.SupersededBy != nil:
		line(e.EndedAt, "%s by event %s", e.Outcome, e.SupersededBy)
	case e.State == "done":
		line(e.EndedAt, "%s: %s", e.Outcome, e.Sentence)
	case e.State == string(schema.EventHeld):
		owner := m.Owners[m.Objects[e.Object].Owner]
		line(time.Time{}, "held: %s Owner: %s.", e.Sentence, owner.Name)
	default:
		line(time.Time{}, "%s %s", e.State, e.Outcome)
	}
	if e.DeadLetter != "" {
		line(time.Time{}, "dead letter %s", e.DeadLetter)
	}
}

type statsCommand struct {
	JSON bool `help:"Print JSON."`
}

// Run prints the numbers.
func (c *statsCommand) Run(s *scene) error {
	return s.withJournal(func(_ *wiring, j *store.Store) error {
		stats, err := j.Stats(s.ctx)
		if err != nil {
			return err
		}
		return s.print(c.JSON, stats, func(out io.Writer) {
			_, _ = fmt.Fprintf(out, "accepted %d, refused %d, duplicates %d\n", stats.Accepted, stats.Refused, stats.Duplicates)
			for _, o := range schema.Outcomes {
				_, _ = fmt.Fprintf(out, "  %-10s %d\n", o, stats.Outcomes[o])
			}
			_, _ = fmt.Fprintf(out, "  %-10s %d (held %d, parked %d, in flight %d; oldest %.1f s)\n", "open", stats.Open.Sum(), stats.Open.Held, stats.Open.Parked,
				stats.Open.InFlight, stats.OldestOpen)
		})
	})
}

type systemCommand struct {
	Pause   systemPauseCommand   `cmd:"" help:"Stop telling a system anything; what is for it waits."`
	Resume  systemResumeCommand  `cmd:"" help:"Let a paused system go on."`
	Prepare systemPrepareCommand `cmd:"" help:"Make what has to exist in a system and print the options that pin it."`
}

type systemPauseCommand struct {
	System string `arg:""`
	By     string `help:"Who pauses it; stands in the audit." required:""`
}

// Run pauses a system.
func (c *systemPauseCommand) Run(s *scene) error {
	return s.withJournal(func(_ *wiring, j *store.Store) error {
		return notFound(j.PauseSystem(s.ctx, c.System, c.By), "there is no such system")
	})
}

type systemResumeCommand struct {
	System string `arg:""`
	By     string `help:"Who resumes it; stands in the audit." required:""`
}

// Run resumes a system.
func (c *systemResumeCommand) Run(s *scene) error {
	return s.withJournal(func(_ *wiring, j *store.Store) error {
		return notFound(j.ResumeSystem(s.ctx, c.System, c.By), "there is no such system")
	})
}

type systemPrepareCommand struct {
	System string `arg:""`
	JSON   bool   `help:"Print JSON."`
}

// Run prepares a system.
func (c *systemPrepareCommand) Run(s *scene) error {
	w, err := s.config.wire()
	if err != nil {
		return err
	}
	defer w.close()
	def, ok := w.bundle.Map.Systems[c.System]
	if !ok {
		return usage{fmt.Errorf("there is no system %q in %s", c.System, w.Map)}
	}
	prepare := kinds[def.Kind].prepare
	if prepare == nil {
		_, err := fmt.Fprintln(s.streams.Out, "nothing to prepare")
		return err
	}
	connector, err := w.connector(c.System, def, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return err
	}
	var fields []string
	for _, rs := range w.bundle.Rulesets {
		if slices.Contains(rs.Systems, c.System) {
			_, _, f := rs.VendorObject(c.System)
			fields = append(fields, f...)
		}
	}
	ctx, cancel := context.WithTimeout(s.ctx, time.Minute)
	defer cancel()
	options, err := prepare(ctx, connector, fields)
	if err != nil {
		return err
	}
	return s.print(c.JSON, options, func(out io.Writer) {
		_, _ = fmt.Fprintf(out, "systems.%s.options:\n", c.System)
		for _, name := range sortedKeys(options) {
			_, _ = fmt.Fprintf(out, "  %s: %s\n", name, options[name])
		}
	})
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

type parkCommand struct {
	Release releaseCommand `cmd:"" help:"Let a record's parked delivery to a system go on."`
}

type releaseCommand struct {
	Record string `arg:"" help:"The canonical id."`
	System string `arg:""`
	By     string `help:"Who releases it; stands in the audit." required:""`
}

// Run releases a parked delivery.
func (c *releaseCommand) Run(s *scene) error {
	record, err := uuid.Parse(c.Record)
	if err != nil {
		return usage{fmt.Errorf("a record is named by its canonical id, a uuid")}
	}
	return s.withJournal(func(_ *wiring, j *store.Store) error {
		moved, err := j.Unpark(s.ctx, record, c.System, c.By)
		if err == nil && !moved {
			return finding{fmt.Errorf("nothing of this record is parked for %s", c.System)}
		}
		return err
	})
}

type journalCommand struct {
	Check    journalCheckCommand    `cmd:"" help:"Hold the journal against the protocol's invariants; exit code 1 when one does not hold."`
	Restored journalRestoredCommand `cmd:"" help:"Say that the database was restored: nothing is written before it was read."`
	Recover  journalRecoverCommand  `cmd:"" help:"Let work go on after a restore."`
}

type journalCheckCommand struct {
	JSON bool `help:"Print JSON."`
}

// Run checks the journal.
func (c *journalCheckCommand) Run(s *scene) error {
	return s.withJournal(func(_ *wiring, j *store.Store) error {
		broken, err := j.Broken(s.ctx)
		if err != nil {
			return err
		}
		if err := s.print(c.JSON, schema.Check{Findings: broken}, func(out io.Writer) {
			for _, b := range broken {
				_, _ = fmt.Fprintf(out, "invariant %d is broken by %d rows: %s\n", b.Invariant, b.Count, b.Sentence)
			}
			if len(broken) == 0 {
				_, _ = fmt.Fprintln(out, "every invariant holds")
			}
		}); err != nil || len(broken) == 0 {
			return err
		}
		return finding{fmt.Errorf("%d invariants are broken", len(broken))}
	})
}

type journalRestoredCommand struct {
	By string `help:"Who says so; stands in the audit." required:""`
}

// Run begins a new epoch.
func (c *journalRestoredCommand) Run(s *scene) error {
	return s.withJournal(func(_ *wiring, j *store.Store) error { return j.BeginEpoch(s.ctx, c.By) })
}

type journalRecoverCommand struct {
	By string `help:"Who says so; stands in the audit." required:""`
}

// Run ends the pause after a restore.
func (c *journalRecoverCommand) Run(s *scene) error {
	return s.withJournal(func(_ *wiring, j *store.Store) error { return j.Recover(s.ctx, c.By) })
}

// Standard returns the process's own streams.
func Standard() Streams { return Streams{Out: os.Stdout, Err: os.Stderr} }
