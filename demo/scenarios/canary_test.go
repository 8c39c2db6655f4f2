package scenarios_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "github.com/lib/pq" // the driver of the checkpoint
	"go.temporal.io/sdk/client"

	"lockstep/demo/checker"
	"lockstep/demo/endpoints"
	"lockstep/demo/stack"
	"lockstep/internal/localpg"
)

// birds are the canaries of one run.
type birds struct{ phone, mail, name, ssn, token, note checker.Canary }

// newBirds returns canaries that nobody else has.
func newBirds() birds {
	n := 1000 + serial.Add(1)
	return birds{
		phone: checker.Canary{Name: "phone", Value: fmt.Sprintf("+1930555%04d", n)},
		mail:  checker.Canary{Name: "e-mail", Value: fmt.Sprintf("zaunkönig.%d@example.com", n)},
		name:  checker.Canary{Name: "name", Value: fmt.Sprintf("Zaunkönig %d", n)},
		ssn:   checker.Canary{Name: "SSN", Value: fmt.Sprintf("536-92-%04d", n)},
		note:  checker.Canary{Name: "note", Value: fmt.Sprintf("allergic to <goldfinches> & %d others", n)},
	}
}

// plainMail is an address that both vendors take.
func (b *birds) plainMail() { b.mail.Value = strings.ReplaceAll(b.mail.Value, "ö", "oe") }

func (b *birds) all() []checker.Canary {
	return []checker.Canary{b.phone, b.mail, b.name, b.ssn, b.token, b.note}
}

// TestCanaries sends canaries on every way that data takes, the unhappy ones included, and looks for them in every place
// but the two systems: nothing is found (INV-16).
func TestCanaries(t *testing.T) {
	sinks := fly(t, demo)
	for _, leak := range sinks.Leaks {
		t.Error(leak)
	}
	for _, sink := range places() {
		if sinks.Bytes[sink] == 0 {
			t.Errorf("nothing was looked at: %s", sink)
		}
	}
	t.Log(sinks.Bytes)
}

// TestCanariesAreFound shows that the search finds what it looks for: a build with two mistakes in it is caught twice,
// where each of them lets the canaries out, and neither lets them out where the other does.
func TestCanariesAreFound(t *testing.T) {
	home, err := os.MkdirTemp("/tmp", "lockstep-canaries-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) }) // it lies below /tmp
	faulty, err := bringUp(t.Context(), home, "bug_log_body", "bug_plain_column")
	t.Cleanup(func() {
		if err := faulty.Down(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	sinks := fly(t, faulty)
	for bug, sink := range map[string]string{"bug_log_body": "logs", "bug_plain_column": "Postgres files and WAL"} {
		if !slices.ContainsFunc(sinks.Leaks, func(leak checker.Leak) bool { return strings.HasPrefix(leak.Sink, sink) }) {
			t.Errorf("the mistake %s is not found in %s; found are %v", bug, sink, sinks.Leaks)
		}
	}
}

// places are what has to be looked at.
func places() []string {
	return []string{
		"logs", "answers of intake", "Postgres files and WAL", "dump of lockstep", "dump of temporal", "histories", "visibility", "metrics", "API", "commands", "processes",
	}
}

// fly plays the canaries' traffic in a demo and looks everywhere.
func fly(t *testing.T, in *stack.Stack) *checker.Sinks {
	t.Helper()
	at := in.Endpoints()
	b := newBirds()
	b.plainMail()
	b.token = checker.Canary{Name: "token", Value: at.Systems[checker.Salesforce].ClientSecret}
	sinks := checker.NewSinks(b.all()...)
	receipt, err := b.travel(t.Context(), at, sinks)
	if err != nil {
		t.Fatal(err)
	}
	if err := look(t.Context(), in, sinks, receipt); err != nil {
		t.Fatal(err)
	}
	return sinks
}

// travel sends the canaries through: accepted, refused, forged, quoted by a vendor's error, met by a vendor that is down.
func (b *birds) travel(ctx context.Context, at endpoints.Endpoints, sinks *checker.Sinks) (receipt string, err error) {
	land, lockstep := checker.LandscapeAt(at), checker.LockstepAt(at)
	saved, err := land.Salesforce.Save(ctx, "Contact", []checker.Record{{
		"FirstName": "Hedy", "LastName": b.name.Value, "Email": b.mail.Value, "Phone_E164__c": b.phone.Value,
	}})
	if err != nil {
		return "", err
	}
	id := saved[0].Text("Id")
	if err := arrived(ctx, land, b.name.Value); err != nil {
		return "", err
	}
	quote := fmt.Sprintf("Email: invalid email address: %s (%s) %s %s", b.mail.Value, b.phone.Value, b.ssn.Value, b.note.Value)
	for system, fault := range map[*checker.Client]map[string]any{
		land.Salesforce: {"class": "write", "kind": "status", "code": 500, "body_code": "UNKNOWN_EXCEPTION", "message": quote, "count": 2},
		land.Genesys:    {"class": "write", "kind": "status", "code": 503, "body_code": "service.unavailable", "message": quote, "count": 2},
	} {
		if err := system.Set(ctx, "faults", fault); err != nil {
			return "", err
		}
	}
	if _, err := land.Salesforce.Save(ctx, "Contact", []checker.Record{{"Id": id, "FirstName": b.name.Value}}); err != nil {
		return "", err
	}
	change := func(field, value string) string {
		return fmt.Sprintf(`{"event_type":"UPDATE","source_system":"SALESFORCE","timestamp":"2026-01-01T00:00:00Z","record_id":%q,"object_type":"Contact",`+
			`"change_set":{%q:{"old_value":null,"new_value":%q},"Description":{"old_value":null,"new_value":%q}}}`, id, field, value, b.note.Value+" "+b.ssn.Value)
	}
	door := &scene{land: land, lockstep: lockstep}
	for n, c := range []struct{ secret, body string }{
		{"", change("LastName", b.name.Value)},
		{"", change("Phone_E164__c", b.phone.Value+" ext. "+b.ssn.Value)},
		{"", change("Email", b.mail.Value+" or "+b.note.Value)},
		{"", strings.TrimSuffix(change("LastName", b.name.Value), "}")},
		{"", strings.Replace(change("LastName", b.name.Value), "UPDATE", b.name.Value, 1)},
		{foreign, change("LastName", b.name.Value)},
	} {
		text, err := door.send(ctx, at, fmt.Sprintf("msg_canary_%s_%d", id, n), c.secret, []byte(c.body))
		if err != nil {
			return "", err
		}
		sinks.Content("answers of intake", fmt.Sprint(n), text)
		if n == 0 {
			receipt = door.answer.Receipt
		}
	}
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err = land.Rest(limit, lockstep)
	return receipt, errorOf(err, land.Salesforce.Clear(ctx), land.Genesys.Clear(ctx))
}

// arrived waits until the contact centre shows the name: the canary is on its way indeed.
func arrived(ctx context.Context, land checker.Landscape, name string) error {
	return eventually(ctx, func(ctx context.Context) error {
		records, err := land.Genesys.State(ctx, "ExternalContact")
		if err == nil && !slices.ContainsFunc(records, func(r checker.Record) bool { return r.Text("lastName") == name }) {
			err = errors.New("the canary has not arrived")
		}
		return err
	})
}

// look searches every place.
func look(ctx context.Context, in *stack.Stack, sinks *checker.Sinks, receipt string) error {
	at := in.Endpoints()
	for name, admin := range in.Admins() {
		if err := sinks.Page(ctx, "metrics", admin+"/metrics"); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, page := range []string{"/api/v1/stats", "/api/v1/events/" + receipt} {
		if err := sinks.Page(ctx, "API", at.Admin+page); err != nil {
			return err
		}
	}
	for _, args := range [][]string{{"event", "show", receipt}, {"event", "show", "--json", receipt}, {"stats", "--json"}, {"system", "pause", "nonesuch"}} {
		cmd, err := in.Command(ctx, args...)
		if err := errorOf(err, sinks.Command("commands", cmd)); err != nil {
			return err
		}
	}
	if err := sinks.Processes("processes", slices.Concat(at.PIDs.Worker, at.PIDs.Intake, at.PIDs.Dispatch, []int{at.PIDs.Temporal, at.PIDs.Postgres})...); err != nil {
		return err
	}
	return errorOf(lookIntoTemporal(ctx, at, sinks), lookIntoPostgres(ctx, in.Postgres(), sinks), sinks.Folder("logs", in.Logs()))
}

func lookIntoTemporal(ctx context.Context, at endpoints.Endpoints, sinks *checker.Sinks) error {
	c, err := client.DialContext(ctx, client.Options{HostPort: at.Temporal, Namespace: stack.Namespace, Logger: silent{}})
	if err != nil {
		return err
	}
	defer c.Close()
	runs, err := checker.Runs(ctx, c, stack.Namespace, "")
	for _, run := range runs {
		sinks.Content("histories", run.WorkflowID, run.JSON)
		sinks.Content("visibility", run.WorkflowID, run.Listed)
	}
	return err
}

// lookIntoPostgres looks into dumps of both databases, and into the files and the WAL below them.
func lookIntoPostgres(ctx context.Context, cluster *localpg.Cluster, sinks *checker.Sinks) error {
	program, err := localpg.Program("pg_dump")
	if err != nil {
		return err
	}
	for _, database := range []string{"lockstep", "temporal"} {
		address, err := url.Parse(cluster.URL(database))
		if err != nil {
			return err
		}
		password, _ := address.User.Password()
		address.User = url.User(address.User.Username())
		cmd := exec.CommandContext(ctx, program, "--dbname", address.String())
		cmd.Env = append(os.Environ(), "PGPASSWORD="+password)
		if err := sinks.Command("dump of "+database, cmd); err != nil {
			return err
		}
	}
	db, err := sql.Open("postgres", cluster.URL("postgres"))
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "CHECKPOINT")
	return errorOf(err, db.Close(), sinks.Folder("Postgres files and WAL", filepath.Join(cluster.Dir(), "data")))
}
