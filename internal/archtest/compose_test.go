package archtest

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// composeFile is as much of the Compose specification as our file uses; anything else in it is a slip.
type composeFile struct {
	Name     string                    `yaml:"name"`
	Common   any                       `yaml:"x-lockstep"`
	Services map[string]composeService `yaml:"services"`
	Networks map[string]struct {
		Internal bool `yaml:"internal"`
	} `yaml:"networks"`
	Volumes map[string]struct{} `yaml:"volumes"`
	Secrets map[string]struct {
		File string `yaml:"file"`
	} `yaml:"secrets"`
	Configs map[string]struct {
		Content string `yaml:"content"`
	} `yaml:"configs"`
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
	Configs     []struct {
		Source string `yaml:"source"`
		Target string `yaml:"target"`
		Mode   int    `yaml:"mode"`
	} `yaml:"configs"`
	Entrypoint      []string `yaml:"entrypoint"`
	Command         []string `yaml:"command"`
	Ports           []string `yaml:"ports"`
	ShmSize         string   `yaml:"shm_size"`
	StopGracePeriod string   `yaml:"stop_grace_period"`
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
	pinned = regexp.MustCompile(`:\d+\.\d+[\w.-]*$`)
	// secretVariable are variables that hold a secret, or an address that may hold one; a path of a folder is none.
	secretVariable = regexp.MustCompile(`(?i)(password|_pwd|secret|token|_url)(_file)?$`)
	variable       = regexp.MustCompile(`^\$\{\w+:\?`)
)

func TestComposeImagesArePinned(t *testing.T) {
	for name, s := range compose(t).Services {
		if s.Build != "" {
			continue // our own, named after its release
		}
		if !pinned.MatchString(s.Image) {
			t.Errorf("service %s: image %q changes under us: pin its version", name, s.Image)
		}
	}
}

// A job ends, and others wait for that; everything else says when it is well, and others wait for that.
func TestComposeServicesWaitForOneAnother(t *testing.T) {
	c := compose(t)
	jobs := map[string]bool{}
	for name, s := range c.Services {
		for other, how := range s.DependsOn {
			needed, ok := c.Services[other]
			switch {
			case !ok:
				t.Errorf("service %s waits for %s, which does not exist", name, other)
			case how.Condition == "service_completed_successfully":
				jobs[other] = true
			case how.Condition != "service_healthy":
				t.Errorf("service %s waits for %s by the condition %q, which says nothing", name, other, how.Condition)
			case needed.Healthcheck == nil:
				t.Errorf("service %s waits until %s is well, which never says so", name, other)
			}
		}
	}
	for name, s := range c.Services {
		if !jobs[name] && s.Healthcheck == nil {
			t.Errorf("service %s has no health check", name)
		}
		if jobs[name] && s.Restart != "on-failure" {
			t.Errorf("job %s is restarted %q, want on-failure", name, s.Restart)
		}
	}
}

func TestComposeHoldsNoSecret(t *testing.T) {
	c := compose(t)
	for name, s := range c.Services {
		for key, value := range s.Environment {
			secret := secretVariable.MatchString(key)
			fromFile := strings.HasPrefix(value, "/run/") || strings.HasPrefix(value, "file:")
			if secret && !fromFile && !variable.MatchString(value) {
				t.Errorf("service %s: %s=%s: a secret comes from a file below /run, an address from a variable without a default",
					name, key, value)
			}
		}
		for _, used := range s.Secrets {
			if c.Secrets[used].File == "" {
				t.Errorf("service %s uses the secret %s, which is no file", name, used)
			}
		}
		for _, used := range s.Configs {
			if c.Configs[used.Source].Content == "" {
				t.Errorf("service %s uses the configuration %s, which is empty", name, used.Source)
			}
		}
		for _, used := range s.Networks {
			if _, ok := c.Networks[used]; !ok {
				t.Errorf("service %s is on the network %s, which does not exist", name, used)
			}
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("service %s publishes %s beyond this host", name, port)
			}
		}
	}
	for name, s := range c.Secrets {
		if !strings.HasPrefix(s.File, "./secrets/") {
			t.Errorf("secret %s lies at %s, want a file below ./secrets", name, s.File)
		}
	}
	ignored, err := os.ReadFile(filepath.Join(root, ".gitignore"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(strings.Fields(string(ignored)), "/secrets/") {
		t.Error(".gitignore does not keep /secrets/ out of the repository")
	}
}

// Our own processes run without rights, and what they listen on inside is told by the environment.
func TestComposeLockstepHasNoRights(t *testing.T) {
	c := compose(t)
	for _, name := range []string{"migrate", "intake", "dispatch", "worker"} {
		s, ok := c.Services[name]
		if !ok {
			t.Errorf("no service %s", name)
			continue
		}
		if !s.ReadOnly || s.User == "" || strings.HasPrefix(s.User, "0") || !slices.Equal(s.CapDrop, []string{"ALL"}) ||
			!slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("service %s has rights that it does not need", name)
		}
	}
}

// The demo, production and the search attributes agree on the namespace and the attributes' names.
func TestComposeMakesTheSearchAttributes(t *testing.T) {
	job := strings.Join(compose(t).Services["temporal-namespace"].Command, "\n")
	made := map[string]bool{"LockstepDueAt": strings.Contains(job, "LockstepDueAt --type Datetime"),
		"LockstepRecords": strings.Contains(job, "LockstepRecords --type Int")}
	list := regexp.MustCompile(`for name in ([\w ]+);`).FindStringSubmatch(job)
	if list == nil {
		t.Fatal("the job's list of keywords is not found")
	}
	for word := range strings.FieldsSeq(list[1]) {
		made["Lockstep"+word] = true
	}
	text, err := os.ReadFile(filepath.Join(root, "demo", "temporalserver", "namespace.go"))
	if err != nil {
		t.Fatal(err)
	}
	wanted := map[string]bool{}
	for _, match := range regexp.MustCompile(`"(Lockstep\w+)":\s+enums\.`).FindAllStringSubmatch(string(text), -1) {
		wanted[match[1]] = true
	}
	if !maps.Equal(made, wanted) {
		t.Errorf("compose makes %v, the demo %v", slices.Sorted(maps.Keys(made)), slices.Sorted(maps.Keys(wanted)))
	}
}
