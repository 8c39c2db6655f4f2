package archtest

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"lockstep/internal/localpg"
	"lockstep/internal/localpg/localpgtest"
)

// composeFile is as much of the Compose specification as our file uses; anything else in it is a slip.
type composeFile struct {
	Name     string                    `yaml:"name"`
	Hardened any                       `yaml:"x-hardened"`
	Shared   any                       `yaml:"x-environment"`
	Common   any                       `yaml:"x-lockstep"`
	Services map[string]composeService `yaml:"services"`
	Networks map[string]struct {
		Internal bool `yaml:"internal"`
	} `yaml:"networks"`
	Volumes map[string]struct{} `yaml:"volumes"`
	Secrets map[string]struct {
		File string `yaml:"file"`
	} `yaml:"secrets"`
}

type composeService struct {
	Image       string            `yaml:"image"`
	Build       string            `yaml:"build"`
	Restart     string            `yaml:"restart"`
	User        string            `yaml:"user"`
	ReadOnly    bool              `yaml:"read_only"`
	CapDrop     []string          `yaml:"cap_drop"`
	SecurityOpt []string          `yaml:"security_opt"`
	Tmpfs       []string          `yaml:"tmpfs"`
	Networks    []string          `yaml:"networks"`
	Environment map[string]string `yaml:"environment"`
	Secrets     []string          `yaml:"secrets"`
	Volumes     []any             `yaml:"volumes"`
	Entrypoint  []string          `yaml:"entrypoint"`
	Command     []string          `yaml:"command"`
	Ports       []string          `yaml:"ports"`
	MemLimit    string            `yaml:"mem_limit"`
	PidsLimit   int               `yaml:"pids_limit"`
	ShmSize     string            `yaml:"shm_size"`
	Logging     struct {
		Driver  string            `yaml:"driver"`
		Options map[string]string `yaml:"options"`
	} `yaml:"logging"`
	StopGracePeriod string `yaml:"stop_grace_period"`
	DependsOn       map[string]struct {
		Condition string `yaml:"condition"`
	} `yaml:"depends_on"`
	Healthcheck *struct {
		Test        []string `yaml:"test"`
		Interval    string   `yaml:"interval"`
		Timeout     string   `yaml:"timeout"`
		Retries     int      `yaml:"retries"`
		StartPeriod string   `yaml:"start_period"`
	} `yaml:"healthcheck"`
}

func compose(t *testing.T) composeFile {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var c composeFile
	decoder := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict(), yaml.DisallowUnknownField())
	if err := decoder.Decode(&c); err != nil {
		t.Fatal(err)
	}
	if err := decoder.Decode(&c); !errors.Is(err, io.EOF) {
		t.Fatalf("more than one document: %v", err)
	}
	if len(c.Services) < 5 {
		t.Fatalf("only %d services", len(c.Services))
	}
	return c
}

var (
	pinned = regexp.MustCompile(`^[a-z][a-z0-9/-]*:\d+\.\d+(\.\d+)?(-[a-z0-9.]+)?$`)
	// secretVariable are variables that hold a secret, or an address that may hold one; a path of a folder is none.
	secretVariable = regexp.MustCompile(`(?i)(password|_pwd|secret|token|_url)(_file)?$`)
	variable       = regexp.MustCompile(`^\$\{\w+:\?`)
	// written is a password that stands in a program's text or on its command line, as a shell, SQL or an address has it.
	written = regexp.MustCompile(`(?i)(password|_pwd)\w*['"]?\s*(=|:\s)\s*["']?[^\s"'$:/]|password\s+'|://[^\s/@:$]+:[^\s@]+@`)
)

// What the stack consists of: our own, what ends, and what runs for long.
var (
	ours = []string{"intake", "dispatch", "worker", "migrate"}
	jobs = []string{"migrate", "roles", "temporal-schema", "temporal-namespace"}
	long = []string{"intake", "dispatch", "worker", "postgres", "temporal", "temporal-ui"}
)

// A service that is missing, or one that nobody put into a list here, would go unchecked.
func TestComposeHasTheServices(t *testing.T) {
	want := slices.Sorted(slices.Values(slices.Concat(jobs, long)))
	if got := slices.Sorted(maps.Keys(compose(t).Services)); !slices.Equal(got, want) {
		t.Errorf("services %v, want %v", got, want)
	}
}

func TestComposeImagesArePinned(t *testing.T) {
	for name, s := range compose(t).Services {
		if s.Build != "" {
			if s.Image != "lockstep:${LOCKSTEP_VERSION:-dev}" {
				t.Errorf("service %s: image %q, want our own, named after its release", name, s.Image)
			}
			continue
		}
		if !pinned.MatchString(s.Image) {
			t.Errorf("service %s: image %q changes under us: pin its version", name, s.Image)
		}
	}
}

// What the tests and the demo run against is what production runs; one tool of another version would change the schema
// for a server that does not know it.
func TestComposeRunsTheVersionsThatAreTested(t *testing.T) {
	module := read(t, "demo/go.mod")
	version := func(path string) string {
		match := regexp.MustCompile(`(?m)^\t` + regexp.QuoteMeta(path) + ` v(\d+\.\d+\.\d+)$`).FindStringSubmatch(module)
		if match == nil {
			t.Fatalf("demo/go.mod does not require %s", path)
		}
		return match[1]
	}
	server := version("go.temporal.io/server")
	c := compose(t)
	for name, want := range map[string]string{
		"temporal":           "temporalio/server:" + server,
		"temporal-schema":    "temporalio/admin-tools:" + server,
		"temporal-namespace": "temporalio/admin-tools:" + server,
		"temporal-ui":        "temporalio/ui:" + version("github.com/temporalio/ui-server/v2"),
		"roles":              c.Services["postgres"].Image,
	} {
		if got := c.Services[name].Image; got != want {
			t.Errorf("service %s: image %s, want %s", name, got, want)
		}
	}
	if image := c.Services["postgres"].Image; !strings.HasPrefix(image, "postgres:17.") {
		t.Errorf("postgres runs %s, want release 17: its files' format is that of its release", image)
	}
}

// A job ends, and others wait for that; everything else says when it is well, and others wait for that.
func TestComposeServicesWaitForOneAnother(t *testing.T) {
	c := compose(t)
	waitedFor := map[string]bool{}
	for name, s := range c.Services {
		for other, how := range s.DependsOn {
			waitedFor[other] = true
			want := "service_healthy"
			if slices.Contains(jobs, other) {
				want = "service_completed_successfully"
			}
			if _, ok := c.Services[other]; !ok {
				t.Errorf("service %s waits for %s, which does not exist", name, other)
			} else if how.Condition != want {
				t.Errorf("service %s waits for %s by the condition %q, want %s", name, other, how.Condition, want)
			}
		}
	}
	for _, name := range jobs {
		if s := c.Services[name]; s.Restart != "on-failure" || s.Healthcheck != nil {
			t.Errorf("job %s is restarted %q, health check %v; it ends, so on-failure and none", name, s.Restart, s.Healthcheck != nil)
		}
		if !waitedFor[name] {
			t.Errorf("nobody waits for the job %s", name)
		}
	}
	for _, name := range long {
		if restart := c.Services[name].Restart; restart != "unless-stopped" {
			t.Errorf("service %s is restarted %q: want it back after a crash, and not after docker compose stop", name, restart)
		}
	}
	for other := range c.Services["intake"].DependsOn {
		if strings.HasPrefix(other, "temporal") {
			t.Errorf("intake waits for %s: webhooks are taken while Temporal is down", other)
		}
	}
	needs := map[string][]string{
		"intake": {"migrate"}, "dispatch": {"migrate", "temporal-namespace"}, "worker": {"migrate", "temporal-namespace"},
		"migrate": {"roles"}, "temporal-schema": {"roles"}, "roles": {"postgres"},
		"temporal": {"temporal-schema"}, "temporal-namespace": {"temporal"}, "temporal-ui": {"temporal"},
	}
	for name, others := range needs {
		for _, other := range others {
			if _, ok := c.Services[name].DependsOn[other]; !ok {
				t.Errorf("service %s does not wait for %s", name, other)
			}
		}
	}
}

// Who runs for long is asked whether it is well, often enough to matter, and is given time to start.
func TestComposeServicesSayWhetherTheyAreWell(t *testing.T) {
	c := compose(t)
	for _, name := range long {
		h := c.Services[name].Healthcheck
		if h == nil {
			t.Errorf("service %s has no health check", name)
			continue
		}
		interval, err := time.ParseDuration(h.Interval)
		if err != nil || interval > 30*time.Second {
			t.Errorf("service %s is asked every %q", name, h.Interval)
		}
		timeout, err := time.ParseDuration(h.Timeout)
		if err != nil || timeout > interval {
			t.Errorf("service %s: its answer is waited for %q, longer than until the next question", name, h.Timeout)
		}
		// The images of ours have no shell.
		if len(h.Test) < 2 || h.Test[0] != "CMD" || h.Retries < 3 {
			t.Errorf("service %s: health check %v with %d retries", name, h.Test, h.Retries)
		}
		if slices.Contains(ours, name) && !slices.Equal(h.Test, []string{"CMD", "/usr/local/bin/lockstep", "health"}) {
			t.Errorf("service %s: health check %v does not ask the process whether it can work", name, h.Test)
		}
	}
}

// A process is killed only after the time that it has to finish what it began: LOCKSTEP_STOP, and some more.
func TestComposeLetsProcessesFinish(t *testing.T) {
	match := regexp.MustCompile(`"LOCKSTEP_STOP" envDefault:"(\w+)"`).FindStringSubmatch(read(t, "internal/app/config.go"))
	if match == nil {
		t.Fatal("the default of LOCKSTEP_STOP is not found")
	}
	stop, err := time.ParseDuration(match[1])
	if err != nil {
		t.Fatal(err)
	}
	c := compose(t)
	for _, name := range []string{"intake", "dispatch", "worker"} {
		if grace, err := time.ParseDuration(c.Services[name].StopGracePeriod); err != nil || grace < stop+5*time.Second {
			t.Errorf("service %s is killed after %q (Compose's default is 10s), and may take %v to stop",
				name, c.Services[name].StopGracePeriod, stop)
		}
	}
	if grace, err := time.ParseDuration(c.Services["postgres"].StopGracePeriod); err != nil || grace < 30*time.Second {
		t.Errorf("postgres is killed after %q, in the middle of its last checkpoint", c.Services["postgres"].StopGracePeriod)
	}
}

func TestComposeHoldsNoSecret(t *testing.T) {
	c := compose(t)
	used := map[string]bool{}
	for name, s := range c.Services {
		for key, value := range s.Environment {
			secret := secretVariable.MatchString(key)
			fromFile := strings.HasPrefix(value, "/run/") || strings.HasPrefix(value, "file:")
			if secret && !fromFile && !variable.MatchString(value) {
				t.Errorf("service %s: %s=%s: a secret comes from a file below /run, an address from a variable without a default",
					name, key, value)
			}
			if strings.Contains(value, "trust") || strings.EqualFold(key, "PGPASSWORD") {
				t.Errorf("service %s: %s=%s lets people in without a secret of theirs", name, key, value)
			}
		}
		for _, line := range slices.Concat(s.Entrypoint, s.Command) {
			if found := written.FindString(line); found != "" {
				t.Errorf("service %s: its command holds a password: …%s…", name, found)
			}
		}
		for _, secret := range s.Secrets {
			used[secret] = true
			if c.Secrets[secret].File == "" {
				t.Errorf("service %s uses the secret %s, which is no file", name, secret)
			}
		}
		for _, network := range s.Networks {
			if _, ok := c.Networks[network]; !ok {
				t.Errorf("service %s is on the network %s, which does not exist", name, network)
			}
		}
	}
	for name, s := range c.Secrets {
		if s.File != "./secrets/"+name {
			t.Errorf("secret %s lies at %s, want ./secrets/%s", name, s.File, name)
		}
		if !used[name] {
			t.Errorf("nobody uses the secret %s", name)
		}
	}
	for _, file := range []string{".gitignore", ".dockerignore"} {
		if words := strings.Fields(read(t, file)); !slices.Contains(words, "/secrets/") && !slices.Contains(words, "secrets") {
			t.Errorf("%s does not keep the folder secrets out", file)
		}
	}
}

// Each secret is where it is needed, and nowhere else: who takes webhooks has no password that changes tables.
func TestComposeSharesNoSecret(t *testing.T) {
	holders := map[string][]string{
		"postgres_password":          {"postgres", "roles"},
		"temporal_database_password": {"roles", "temporal", "temporal-schema"},
		"owner_database_password":    {"roles"},
		"lockstep_database_password": {"roles"},
		"migrate_url":                {"migrate"},
		"./secrets/lockstep":         {"dispatch", "intake", "worker"},
	}
	got := map[string][]string{}
	for name, s := range compose(t).Services {
		for _, secret := range s.Secrets {
			got[secret] = append(got[secret], name)
		}
		for _, v := range s.Volumes {
			mount, ok := v.(map[string]any)
			if !ok {
				continue // a volume by name
			}
			source, _ := mount["source"].(string)
			if mount["type"] != "bind" || mount["read_only"] != true {
				t.Errorf("service %s can change %s of the host", name, source)
			}
			if strings.Contains(source, "secrets") {
				got[source] = append(got[source], name)
			}
			if target := s.Environment["LOCKSTEP_SECRETS"]; source == "./secrets/lockstep" && mount["target"] != target {
				t.Errorf("service %s looks for secrets in %s, and has them in %s", name, target, mount["target"])
			}
		}
	}
	for _, names := range got {
		slices.Sort(names)
	}
	if !maps.EqualFunc(got, holders, slices.Equal) {
		t.Errorf("secrets are held by %v, want %v", got, holders)
	}
	for _, name := range ours {
		env := compose(t).Services[name].Environment
		if mounted, demo := env["LOCKSTEP_SECRETS_MOUNTED"], env["LOCKSTEP_DEMO"]; mounted != "true" || demo != "" {
			t.Errorf("service %s: LOCKSTEP_SECRETS_MOUNTED=%q, LOCKSTEP_DEMO=%q; the demo's secrets are published", name, mounted, demo)
		}
	}
}

// No container can change its image, gain rights, be root, or use up the host's memory, processes and disk.
func TestComposeLockstepHasNoRights(t *testing.T) {
	for name, s := range compose(t).Services {
		if !s.ReadOnly {
			t.Errorf("service %s can change its image's files", name)
		}
		if id, err := strconv.Atoi(strings.Split(s.User, ":")[0]); err != nil || id == 0 || !strings.Contains(s.User, ":") {
			t.Errorf("service %s runs as %q, want a user and a group by number that are not root", name, s.User)
		}
		if !slices.Equal(s.CapDrop, []string{"ALL"}) {
			t.Errorf("service %s drops %v, want ALL", name, s.CapDrop)
		}
		if !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) {
			t.Errorf("service %s: security_opt %v", name, s.SecurityOpt)
		}
		if s.MemLimit == "" || s.PidsLimit == 0 || s.Logging.Options["max-size"] == "" || s.Logging.Options["max-file"] == "" {
			t.Errorf("service %s has no limit of its memory, its processes or its log", name)
		}
	}
}

// The image's user is the one that Compose starts it as: the manual gives the secrets to no other.
func TestComposeUsesTheImagesUser(t *testing.T) {
	for _, name := range ours {
		if user := compose(t).Services[name].User; !strings.Contains(read(t, "Dockerfile"), "\nUSER "+user+"\n") {
			t.Errorf("service %s runs as %s, which is not the USER of the Dockerfile", name, user)
		}
	}
}

// The limit is what a process may take and some headroom; the heap is told to stay between the two.
func TestComposeLimitsMemory(t *testing.T) {
	c := compose(t)
	for name, may := range map[string]int{"worker": 150, "intake": 120, "dispatch": 120} {
		limit := megabytes(t, c.Services[name].MemLimit)
		heap := megabytes(t, c.Services[name].Environment["GOMEMLIMIT"])
		if limit < may*5/4 || limit > may*3/2 {
			t.Errorf("service %s is stopped at %d MiB, want 1.25 to 1.5 of the %d that it may take", name, limit, may)
		}
		if heap < may || heap > limit*95/100 {
			t.Errorf("service %s collects hard from %d MiB on, want between %d and a little below %d", name, heap, may, limit)
		}
	}
	temporal := c.Services["temporal"]
	if heap, limit := temporal.Environment["GOMEMLIMIT"], temporal.MemLimit; megabytes(t, heap) > megabytes(t, limit)*95/100 {
		t.Errorf("temporal collects hard from %s on and is stopped at %s", heap, limit)
	}
	buffers := regexp.MustCompile(`shared_buffers=(\w+)`).FindStringSubmatch(strings.Join(c.Services["postgres"].Command, " "))
	if buffers == nil || megabytes(t, buffers[1])*3 > megabytes(t, c.Services["postgres"].MemLimit) {
		t.Errorf("postgres shares %v of %s and has connections besides", buffers, c.Services["postgres"].MemLimit)
	}
}

// megabytes reads a size as Compose, Go and Postgres spell it.
func megabytes(t *testing.T, size string) int {
	t.Helper()
	match := regexp.MustCompile(`(?i)^(\d+)(m|g)(i?b)?$`).FindStringSubmatch(size)
	if match == nil {
		t.Fatalf("size %q", size)
	}
	n, err := strconv.Atoi(match[1])
	if err != nil {
		t.Fatal(err)
	}
	if strings.EqualFold(match[2], "g") {
		n *= 1024
	}
	return n
}

// Only two things can be reached from outside the stack, from this host alone: the intake speaks plain HTTP and the UI
// has no login. Who needs no system and no port has no way out either.
func TestComposePublishesOnLoopbackOnly(t *testing.T) {
	c := compose(t)
	if !c.Networks["inner"].Internal || c.Networks["outer"].Internal {
		t.Error("the inner network has to be internal, and the outer one not")
	}
	published := map[string][]string{"intake": {"127.0.0.1:8080:8080"}, "temporal-ui": {"127.0.0.1:8233:8080"}}
	outside := []string{"intake", "temporal-ui", "worker"}
	for name, s := range c.Services {
		if !slices.Equal(s.Ports, published[name]) {
			t.Errorf("service %s publishes %v, want %v", name, s.Ports, published[name])
		}
		if slices.Contains(s.Networks, "outer") != slices.Contains(outside, name) {
			t.Errorf("service %s is on the networks %v", name, s.Networks)
		}
		if !slices.Contains(s.Networks, "inner") {
			t.Errorf("service %s reaches nobody", name)
		}
		if slices.Contains(ours, name) && name != "migrate" && !strings.HasPrefix(s.Environment["LOCKSTEP_ADMIN_LISTEN"], "127.0.0.1:") {
			t.Errorf("service %s: the admin API has no login and listens on %q", name, s.Environment["LOCKSTEP_ADMIN_LISTEN"])
		}
	}
}

// The number of shards is stored at the first start for good: too few cannot be mended later.
func TestComposeHasTheShards(t *testing.T) {
	if n := compose(t).Services["temporal"].Environment["NUM_HISTORY_SHARDS"]; n != "512" {
		t.Errorf("%s history shards, want 512", n)
	}
}

// The job, the demo, the code and the manual agree on the namespace, and on names and types of the search attributes.
func TestComposeMakesTheSearchAttributes(t *testing.T) {
	job := strings.Join(compose(t).Services["temporal-namespace"].Command, "\n")
	made := attributesOf(t, job)
	wanted := map[string]string{}
	for _, match := range regexp.MustCompile(`"(Lockstep\w+)":\s+enums\.INDEXED_VALUE_TYPE_(\w+)`).
		FindAllStringSubmatch(read(t, "demo/temporalserver/namespace.go"), -1) {
		wanted[match[1]] = match[2]
	}
	if !maps.Equal(made, wanted) {
		t.Errorf("compose makes %v, the demo %v", made, wanted)
	}
	if manual := attributesOf(t, read(t, "docs/operations.md")); !maps.Equal(made, manual) {
		t.Errorf("compose makes %v, docs/operations.md %v", made, manual)
	}
	types := map[string]string{"Keyword": "KEYWORD", "Int64": "INT", "Time": "DATETIME"}
	set := regexp.MustCompile(`NewSearchAttributeKey(\w+)\("(\w+)"\)`).FindAllStringSubmatch(read(t, "workflows/names.go"), -1)
	if len(set) < 5 {
		t.Fatalf("workflows/names.go sets only %v", set)
	}
	for _, match := range set {
		if made[match[2]] == "" || made[match[2]] != types[match[1]] {
			t.Errorf("workflows set %s as %s, compose makes it as %q", match[2], match[1], made[match[2]])
		}
	}
	for name, s := range compose(t).Services {
		for _, key := range []string{"TEMPORAL_NAMESPACE", "TEMPORAL_DEFAULT_NAMESPACE"} {
			if namespace, ok := s.Environment[key]; ok && namespace != "lockstep" {
				t.Errorf("service %s: %s=%s, and the job makes lockstep", name, key, namespace)
			}
		}
	}
	if !strings.Contains(job, "namespace create -n lockstep --retention 7d") {
		t.Error("the job does not make the namespace lockstep with a retention of 7 days")
	}
}

// attributesOf returns the search attributes that a script makes: upper-case types by names.
func attributesOf(t *testing.T, script string) map[string]string {
	t.Helper()
	list := regexp.MustCompile(`for name in ([\w ]+); do\n\s*temporal operator search-attribute create .*--type (\w+)`).FindStringSubmatch(script)
	if list == nil {
		t.Fatal("the list of search attributes is not found")
	}
	made := map[string]string{}
	for word := range strings.FieldsSeq(list[1]) {
		made["Lockstep"+word] = strings.ToUpper(list[2])
	}
	for _, match := range regexp.MustCompile(`search-attribute create .*--name (Lockstep\w+) --type (\w+)`).FindAllStringSubmatch(script, -1) {
		made[match[1]] = strings.ToUpper(match[2])
	}
	return made
}

// The job's script works against a real server, may run again, and then sets the passwords that the files hold.
func TestComposeMakesTheRoles(t *testing.T) {
	script := strings.Join(compose(t).Services["roles"].Command, "\n")
	server := localpgtest.Server(t, localpg.Options{})
	address, err := url.Parse(server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	psql, err := localpg.Program("psql")
	if err != nil {
		t.Fatal(err)
	}
	super, _ := address.User.Password()
	folder := t.TempDir()
	// Compose reads $$ as one $; the folder of the secrets is ours here.
	script = strings.NewReplacer("$$", "$", "/run/secrets", folder).Replace(script)
	run := func(user, password, database string, argv ...string) ([]byte, error) {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env = []string{
			"PATH=" + filepath.Dir(psql) + ":" + os.Getenv("PATH"), "PGHOST=" + address.Hostname(), "PGPORT=" + address.Port(),
			"PGUSER=" + user, "PGPASSWORD=" + password, "PGDATABASE=" + database,
		}
		return cmd.CombinedOutput()
	}
	for _, round := range []string{"first'", "second"} { // a quote must not end a string
		for name, value := range map[string]string{
			"postgres_password": super, "temporal_database_password": round + "t", "owner_database_password": round + "o",
			"lockstep_database_password": round + "l",
		} {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(value+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if said, err := run("postgres", super, "postgres", "/bin/sh", "-euc", script); err != nil {
			t.Fatalf("the roles, %s: %v\n%s", round, err, said)
		}
		for user, in := range map[string]struct{ password, database string }{
			"temporal": {round + "t", "postgres"}, "lockstep_owner": {round + "o", "lockstep"}, "lockstep": {round + "l", "lockstep"},
		} {
			if said, err := run(user, in.password, in.database, "psql", "--command=SELECT 1"); err != nil {
				t.Errorf("%s, %s: %v\n%s", round, user, err, said)
			}
		}
	}
	if _, err := run("temporal", "secondt", "lockstep", "psql", "--command=SELECT 1"); err == nil {
		t.Error("Temporal can open Lockstep's database")
	}
	if _, err := run("lockstep", "secondl", "lockstep", "psql", "--command=CREATE TABLE t (n int)"); err == nil {
		t.Error("who works with rows can make tables")
	}
}

// The image holds two static programs, certificates and time zones, has no shell, and is not run by root.
func TestImageIsStaticSmallAndWithoutRoot(t *testing.T) {
	text := read(t, "Dockerfile")
	stages := regexp.MustCompile(`(?m)^FROM (\S+)(?: AS (\w+))?$`).FindAllStringSubmatch(text, -1)
	if len(stages) != 2 || !strings.HasPrefix(stages[0][1], "golang:") || stages[0][2] == "" || stages[1][1] != "scratch" {
		t.Fatalf("stages %v, want one that builds on golang and one from scratch", stages)
	}
	if !regexp.MustCompile(`^golang:\d+\.\d+\.\d+-bookworm$`).MatchString(stages[0][1]) {
		t.Errorf("base %s changes under us: pin its version", stages[0][1])
	}
	language := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "go.mod"))
	if language == nil || !strings.HasPrefix(stages[0][1], "golang:"+language[1]+".") {
		t.Errorf("base %s does not build go.mod's language, %v", stages[0][1], language)
	}
	builds, last := text[:strings.Index(text, "FROM scratch")], text[strings.Index(text, "FROM scratch"):]
	for what, want := range map[string]string{
		"links nothing at run time":              `(?m)^ENV .*\bCGO_ENABLED=0\b`,
		"uses the compiler of its base":          `(?m)^ENV .*\bGOTOOLCHAIN=local\b`,
		"builds lockstep without our paths":      `go build -trimpath [^\n]*-o /out/bin/lockstep \./starter`,
		"builds the worker without our paths":    `go build -trimpath [^\n]*-o /out/bin/worker \./worker`,
		"loads modules before it copies sources": `(?s)COPY go\.mod go\.sum.*go mod download.*COPY \. \.`,
	} {
		if !regexp.MustCompile(want).MatchString(builds) {
			t.Errorf("the stage that builds lacks what %s", what)
		}
	}
	for what, want := range map[string]string{
		"trusts the systems' certificates": `(?m)^COPY --from=build /etc/ssl/certs/ca-certificates\.crt /etc/ssl/certs/$`,
		"knows time zones":                 `(?m)^ENV .*\bZONEINFO=/zoneinfo\.zip\b`,
		"holds both programs":              `(?m)^COPY --from=build /out/bin/ /usr/local/bin/$`,
		"is not root":                      `(?m)^USER [1-9]\d*:[1-9]\d*$`,
		"starts without a shell":           `(?m)^ENTRYPOINT \["/usr/local/bin/lockstep"\]$`,
	} {
		if !regexp.MustCompile(want).MatchString(last) {
			t.Errorf("the image lacks what %s", what)
		}
	}
	if strings.Contains(last, "RUN ") || regexp.MustCompile(`(?m)^(ADD|ARG|# syntax)`).MatchString(text) {
		t.Error("the image is made of copies alone, of nothing that is fetched or passed in")
	}
	if words := strings.Fields(read(t, ".dockerignore")); !slices.Contains(words, ".*") || !slices.Contains(words, "demo") {
		t.Error(".dockerignore lets .git or the demo into the build")
	}
}

// read returns a file of the repository.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
