// Package localpg runs a Postgres server of the machine's own binaries for tests and for the demo: a folder of its own,
// loopback only, a random password. Started as root it drops to an unprivileged user, because Postgres refuses root.
//
// It downloads nothing. Where no Postgres can be installed, github.com/fergusstrange/embedded-postgres fetches one from
// Maven Central: start it there and name it in LOCKSTEP_DATABASE_URL, which the tests then use.
package localpg

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "github.com/lib/pq" // the driver of Ping

	"lockstep/internal/loopback"
)

// superuser owns the cluster; its password lies beside the data folder.
const superuser = "postgres"

// Options says what kind of server to run.
type Options struct {
	// Dir holds the data folder and its password, and is kept. Empty means a temporary folder that goes when the server
	// stops or this process dies.
	Dir string
	// Port on 127.0.0.1; 0 picks a free one.
	Port int
	// Durable keeps every safeguard against a crash of the machine on. Without it a killed server still recovers, a
	// machine that loses power does not: right for tests.
	Durable bool
	// MaxConnections is the server's max_connections; 0 means 200.
	MaxConnections int
	// Log takes the server's own log. Nil means the file postgres.log in the folder.
	Log *os.File
}

// Cluster is a data folder that is ready to be served, and locked against a second process.
type Cluster struct {
	opts     Options
	bin      string
	user     *unprivileged
	password string
	lock     *os.File
	log      *os.File
	ownLog   bool
	temp     bool
}

// Prepare finds the server, makes the data folder where it does not exist yet, and takes the folder for this process.
// It ends with ErrNoPostgres where nothing is installed. A server that an unclean end left running on the folder is
// stopped. Safe to repeat once Release was called.
func Prepare(ctx context.Context, opts Options) (*Cluster, error) {
	return prepare(ctx, opts, func(string) error { return nil })
}

// prepare is Prepare; made hears of a temporary folder before anything is in it.
func prepare(ctx context.Context, opts Options, made func(folder string) error) (*Cluster, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	c := &Cluster{opts: opts, bin: bin, temp: opts.Dir == ""}
	if c.opts.MaxConnections == 0 {
		c.opts.MaxConnections = 200
	}
	if c.opts.Port == 0 {
		if c.opts.Port, err = loopback.Port(); err != nil {
			return nil, err
		}
	}
	if c.user, err = dropTo(); err != nil {
		return nil, err
	}
	if err := c.takeFolder(ctx, made); err != nil {
		return nil, errors.Join(err, c.Release())
	}
	return c, nil
}

func (c *Cluster) takeFolder(ctx context.Context, made func(string) error) error {
	if err := c.makeFolder(made); err != nil {
		return err
	}
	if err := c.takeLock(); err != nil {
		return err
	}
	if err := c.endLeftover(ctx); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(c.data(), "PG_VERSION")); errors.Is(err, fs.ErrNotExist) {
		if err := c.initialise(ctx); err != nil {
			return err
		}
	} else if err != nil {
		return fmt.Errorf("localpg: look for the data folder: %w", err)
	}
	if err := c.checkVersion(ctx); err != nil {
		return err
	}
	password, err := os.ReadFile(c.passwordFile())
	if err != nil {
		return fmt.Errorf("localpg: read the password: %w", err)
	}
	c.password = strings.TrimSpace(string(password))
	return c.openLog()
}

// Dir returns the folder that holds the cluster.
func (c *Cluster) Dir() string { return c.opts.Dir }

// Port returns the port on 127.0.0.1.
func (c *Cluster) Port() int { return c.opts.Port }

// URL returns the address of a database, with the superuser's name and password.
func (c *Cluster) URL(database string) string {
	return (&url.URL{
		Scheme: "postgres", User: url.UserPassword(superuser, c.password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(c.opts.Port)), Path: "/" + database,
		RawQuery: "sslmode=disable",
	}).String()
}

// Command returns a new command that serves the cluster in the foreground until SIGINT (fast) or SIGQUIT (at once, with
// recovery at the next start).
func (c *Cluster) Command() *exec.Cmd {
	settings := []string{
		"listen_addresses=127.0.0.1", "unix_socket_directories=", "port=" + strconv.Itoa(c.opts.Port),
		"max_connections=" + strconv.Itoa(c.opts.MaxConnections), "shared_buffers=128MB", "timezone=UTC", "log_timezone=UTC",
		"jit=off", "max_wal_size=1GB",
	}
	if !c.opts.Durable {
		settings = append(settings, "fsync=off", "synchronous_commit=off", "full_page_writes=off", "wal_level=minimal",
			"max_wal_senders=0")
	}
	args := []string{"-D", c.data()}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	cmd := exec.Command(filepath.Join(c.bin, "postgres"), args...) //nolint:noctx // ended by signals, which it answers
	cmd.Dir = c.opts.Dir
	cmd.Env = environment()
	cmd.Stdout, cmd.Stderr = c.log, c.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.user.credential()}
	return cmd
}

// Ping reports whether the server takes connections. Safe to repeat.
func (c *Cluster) Ping(ctx context.Context) (err error) {
	db, err := sql.Open("postgres", c.URL("postgres")+"&connect_timeout=5")
	if err != nil {
		return fmt.Errorf("localpg: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.PingContext(ctx); err != nil {
		return fmt.Errorf("localpg: server does not answer: %w", err)
	}
	return nil
}

// Release gives the folder back, and removes it when it was temporary. The server has ended before. Safe to repeat.
func (c *Cluster) Release() error {
	var err error
	if c.ownLog && c.log != nil {
		err = c.log.Close()
		c.log = nil
	}
	if c.temp && c.opts.Dir != "" {
		err = errors.Join(err, os.RemoveAll(c.opts.Dir))
	}
	if c.lock != nil {
		err = errors.Join(err, c.lock.Close())
		c.lock = nil
	}
	return err
}

func (c *Cluster) data() string         { return filepath.Join(c.opts.Dir, "data") }
func (c *Cluster) passwordFile() string { return filepath.Join(c.opts.Dir, "password") }

// makeFolder makes the folder, ours, which the unprivileged user may pass but not change.
func (c *Cluster) makeFolder(made func(string) error) error {
	if c.temp {
		folder, err := os.MkdirTemp(temporaryRoot(c.user), "lockstep-pg-")
		if err != nil {
			return fmt.Errorf("localpg: %w", err)
		}
		c.opts.Dir = folder
		if err := made(folder); err != nil {
			return err
		}
	} else {
		folder, err := filepath.Abs(c.opts.Dir)
		if err != nil {
			return fmt.Errorf("localpg: %w", err)
		}
		c.opts.Dir = folder
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return fmt.Errorf("localpg: %w", err)
		}
	}
	if c.user != nil {
		if err := os.Chmod(c.opts.Dir, 0o711); err != nil { //nolint:gosec // the user passes through it
			return fmt.Errorf("localpg: %w", err)
		}
	}
	return c.user.reach(c.data())
}

// takeLock holds an advisory lock on the folder; it ends with this process.
func (c *Cluster) takeLock() error {
	lock, err := os.OpenFile(filepath.Join(c.opts.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("localpg: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.Join(fmt.Errorf("localpg: another process runs a server in %s", c.opts.Dir), lock.Close())
	}
	c.lock = lock
	return nil
}

// endLeftover stops a server whose owner died without its leash, and removes the pid file of one that is gone: after a
// reboot its number may belong to a stranger, which Postgres would take for itself.
func (c *Cluster) endLeftover(ctx context.Context) error {
	pidFile := filepath.Join(c.data(), "postmaster.pid")
	text, err := os.ReadFile(pidFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("localpg: %w", err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 1 || !c.serves(pid) {
		return os.Remove(pidFile)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for c.serves(pid) {
		if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("localpg: stop the server %d left in %s: %w", pid, c.opts.Dir, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("localpg: the server %d left in %s does not stop: %w", pid, c.opts.Dir, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// serves reports whether the process is a server on this folder. Where the system does not tell a process's arguments,
// a living process is taken for one.
func (c *Cluster) serves(pid int) bool {
	args, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err == nil {
		return strings.Contains(string(args), "\x00-D\x00"+c.data()+"\x00")
	}
	if _, err := os.Stat("/proc/self"); err == nil {
		return false
	}
	return syscall.Kill(pid, 0) == nil
}

func (c *Cluster) initialise(ctx context.Context) error {
	if err := os.WriteFile(c.passwordFile(), []byte(rand.Text()+"\n"), 0o600); err != nil {
		return fmt.Errorf("localpg: %w", err)
	}
	if err := c.user.own(c.passwordFile()); err != nil {
		return err
	}
	// A folder that an interrupted initdb left has no PG_VERSION, and initdb refuses what is not empty.
	if err := errors.Join(os.RemoveAll(c.data()), os.Mkdir(c.data(), 0o700)); err != nil {
		return fmt.Errorf("localpg: %w", err)
	}
	if err := c.user.own(c.data()); err != nil {
		return err
	}
	args := []string{"-D", c.data(), "-U", superuser, "--pwfile", c.passwordFile(), "--auth=scram-sha-256",
		"--encoding=UTF8", "--locale=C", "--no-instructions"}
	if !c.opts.Durable {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, "initdb"), args...)
	cmd.Dir = c.opts.Dir
	cmd.Env = environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.user.credential()}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("localpg: initdb: %w: %s", err, lastLine(out))
	}
	return nil
}

// checkVersion refuses a data folder of another major version before the server does so in its log.
func (c *Cluster) checkVersion(ctx context.Context) error {
	folder, err := os.ReadFile(filepath.Join(c.data(), "PG_VERSION"))
	if err != nil {
		return fmt.Errorf("localpg: %w", err)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, "postgres"), "--version")
	cmd.Dir = "/"
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("localpg: ask the server for its version: %w", err)
	}
	// postgres (PostgreSQL) 15.18 (Debian …)
	_, version, _ := strings.Cut(string(out), ") ")
	major, _, _ := strings.Cut(version, ".")
	if made := strings.TrimSpace(string(folder)); made != strings.TrimSpace(major) {
		return fmt.Errorf("localpg: %s was made by Postgres %s and the installed one is %s: remove the folder to start anew",
			c.data(), made, strings.TrimSpace(major))
	}
	return nil
}

func (c *Cluster) openLog() error {
	if c.opts.Log != nil {
		c.log = c.opts.Log
		return nil
	}
	log, err := os.OpenFile(c.LogFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("localpg: %w", err)
	}
	c.log, c.ownLog = log, true
	return nil
}

// LogFile returns where the server's log lies unless Options.Log took it.
func (c *Cluster) LogFile() string { return filepath.Join(c.opts.Dir, "postgres.log") }

// environment is what the server's programs see of ours: PGDATA, PGPORT and their like would mislead them.
func environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}
