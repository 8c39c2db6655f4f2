package localpg

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The test binary plays other processes: one that is killed while its server runs, and one without root's rights.
const (
	ownerEnv = "LOCALPG_TEST_OWNER"
	userEnv  = "LOCALPG_TEST_AS_USER"
)

func TestMain(m *testing.M) {
	if dir, ok := os.LookupEnv(ownerEnv); ok {
		s, err := Start(context.Background(), Options{Dir: dir})
		if err != nil {
			panic(err)
		}
		os.Stdout.WriteString(s.Dir() + " " + strconv.Itoa(s.PID()) + "\n")
		select {}
	}
	goleak.VerifyTestMain(m)
}

func TestServerKeepsItsDataAcrossStopAndKill(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := start1(t, Options{Dir: dir, Durable: true})
	exec1(t, s, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1)")
	if got := read(t, s, "SHOW fsync"); got != "on" {
		t.Errorf("a durable server has fsync %s", got)
	}
	if got := read(t, s, "SHOW max_connections"); got != "200" {
		t.Errorf("max_connections %s, want 200", got)
	}

	pid := s.PID()
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err == nil {
		t.Fatal("a killed server answers")
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.PID() == pid {
		t.Error("restarted server has the number of the killed one")
	}
	exec1(t, s, "INSERT INTO kept VALUES (2)")
	port := s.Port()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Errorf("second Stop: %v", err)
	}

	again := start1(t, Options{Dir: dir, Port: port})
	if got := read(t, again, "SELECT sum(n) FROM kept"); got != "3" {
		t.Errorf("sum is %s after the restarts, want 3", got)
	}
	if got := read(t, again, "SHOW fsync"); got != "off" {
		t.Errorf("a test server has fsync %s", got)
	}
}

func TestOneFolderHasOneServer(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	start1(t, Options{Dir: dir})
	if _, err := Start(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("second server on the folder: %v", err)
	}
}

func TestStrangersDoNotGetIn(t *testing.T) {
	t.Parallel()
	s := start1(t, Options{})
	address, err := url.Parse(s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	for name, user := range map[string]*url.Userinfo{
		"no password":    url.User(superuser),
		"wrong password": url.UserPassword(superuser, "postgres"),
		"other user":     url.User("root"),
	} {
		address.User = user
		db, err := sql.Open("postgres", address.String())
		if err != nil {
			t.Fatal(err)
		}
		if err := db.PingContext(t.Context()); err == nil {
			t.Errorf("%s: let in", name)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, s, "SHOW listen_addresses"); got != "127.0.0.1" {
		t.Errorf("listens on %s", got)
	}
	info, err := os.Stat(s.passwordFile())
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("password file has mode %v", info.Mode())
	}
}

func TestTemporaryServerLeavesNothing(t *testing.T) {
	t.Parallel()
	s := start1(t, Options{})
	dir := s.Dir()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("folder %s is still there: %v", dir, err)
	}
}

func TestServerEndsWithItsKilledOwner(t *testing.T) {
	t.Parallel()
	owner, dir, pid := ownedServer(t, "")
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // killed: that is the point
	until(t, "server gone", func() bool { return !alive(pid) })
	until(t, "folder gone", func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err)
	})
}

// The owner and its leash die together, as at the end of a container; the server stays behind, and a later owner of the
// folder gets rid of it.
func TestLeftoverServerIsReplaced(t *testing.T) {
	t.Parallel()
	owner, dir, left := ownedServer(t, folder(t))
	for _, child := range childrenOf(t, owner.Process.Pid) {
		if child == left {
			continue
		}
		if err := syscall.Kill(child, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // killed: that is the point
	if !alive(left) {
		t.Fatal("the server did not stay behind")
	}
	s := start1(t, Options{Dir: dir})
	if alive(left) {
		t.Error("the leftover server still runs")
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStrangersPIDFileIsNoServer(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	if err := start1(t, Options{Dir: dir}).Stop(); err != nil {
		t.Fatal(err)
	}
	// The test process itself plays the stranger that got the number after a reboot.
	pidFile := filepath.Join(dir, "data", "postmaster.pid")
	if err := os.WriteFile(pidFile, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	start1(t, Options{Dir: dir})
}

func TestInterruptedInitdbIsRepeated(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	if err := os.MkdirAll(filepath.Join(dir, "data", "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	start1(t, Options{Dir: dir})
}

func TestOtherMajorVersionIsNamed(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	if err := start1(t, Options{Dir: dir}).Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "made by Postgres 9") {
		t.Errorf("error %v does not name the version", err)
	}
}

func TestTakenPortIsSaid(t *testing.T) {
	t.Parallel()
	s := start1(t, Options{})
	_, err := Start(t.Context(), Options{Port: s.Port()})
	if !errors.Is(err, errExited) || !strings.Contains(err.Error(), "could not create any TCP/IP sockets") {
		t.Errorf("error %v does not say that the port is taken", err)
	}
}

func TestMissingPostgresIsSaidWithTheRemedy(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	kept := places
	places = nil
	t.Cleanup(func() { places = kept })
	_, err := Start(t.Context(), Options{})
	if !errors.Is(err, ErrNoPostgres) || !strings.Contains(err.Error(), "apt-get install postgresql") {
		t.Errorf("error %v names no remedy", err)
	}
}

func TestNewestInstalledIsTaken(t *testing.T) {
	root := t.TempDir()
	for _, bin := range []string{"9/bin", "17/bin", "16/bin", "18/empty"} {
		for _, name := range []string{"initdb", "postgres"} {
			if err := os.MkdirAll(filepath.Join(root, bin), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, bin, name), nil, 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("PATH", t.TempDir())
	kept := places
	places = []string{filepath.Join(root, "*/bin")}
	t.Cleanup(func() { places = kept })
	got, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(root, "17/bin"); got != want {
		t.Errorf("took %s, want %s", got, want)
	}
}

// A user other than root runs the server as itself; the test binary runs again as nobody.
func TestRunsAsAUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("the other tests already run as a user")
	}
	if os.Getenv(userEnv) != "" {
		t.Fatal("still root")
	}
	home, err := os.MkdirTemp("/tmp", "localpg-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	self := filepath.Join(home, "localpg.test")
	copyFile(t, os.Args[0], self)
	const nobody = 65534
	if err := errors.Join(os.Chown(home, nobody, nobody), os.Chmod(self, 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run", "^(TestTemporaryServerLeavesNothing|TestStrangersDoNotGetIn)$", "-test.v")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), userEnv + "=1", "HOME=/nonexistent", "TMPDIR=" + home}
	cmd.Dir = home
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil || bytes.Count(out, []byte("--- PASS")) != 2 {
		t.Errorf("as nobody: %v\n%s", err, out)
	}
}

func TestUnreachableFolderIsNamed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root drops to another user")
	}
	closed, err := os.MkdirTemp("/tmp", "localpg-closed-") // 0700, ours
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(closed); err != nil {
			t.Error(err)
		}
	})
	_, err = Start(t.Context(), Options{Dir: filepath.Join(closed, "below")})
	if err == nil || !strings.Contains(err.Error(), "may not enter "+closed) {
		t.Errorf("error %v does not name %s", err, closed)
	}
	if Reachable(filepath.Join(closed, "below")) || !Reachable("/tmp/below") {
		t.Error("Reachable is wrong")
	}
}

// ownedServer lets another process run a server, and returns that process, the folder and the server's number.
func ownedServer(t *testing.T, dir string) (owner *exec.Cmd, folder string, pid int) {
	t.Helper()
	owner = exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), ownerEnv+"="+dir)
	owner.Stderr = os.Stderr
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = owner.Process.Kill() }) // it is gone unless the test failed before
	line := make([]byte, 512)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	folder, number, _ := strings.Cut(strings.TrimSpace(string(line[:n])), " ")
	if pid, err = strconv.Atoi(number); err != nil {
		t.Fatal(err)
	}
	return owner, folder, pid
}

func childrenOf(t *testing.T, pid int) []int {
	t.Helper()
	lists, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	var children []int
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		for word := range strings.FieldsSeq(string(text)) {
			child, err := strconv.Atoi(word)
			if err != nil {
				t.Fatal(err)
			}
			children = append(children, child)
		}
	}
	if len(children) < 2 {
		t.Fatalf("owner has %d children, want the server and the leash", len(children))
	}
	return children
}

// alive reports whether the process runs; one that has ended and was not waited for does not.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}

func start1(t *testing.T, opts Options) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := Start(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// folder is a test folder that the unprivileged user may reach; t.TempDir is not, for root.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(temporaryRoot(nil), "localpg-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func exec1(t *testing.T, s *Server, statements ...string) {
	t.Helper()
	db := open(t, s)
	defer func() { _ = db.Close() }()
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, s *Server, query string) string {
	t.Helper()
	db := open(t, s)
	defer func() { _ = db.Close() }()
	var value string
	if err := db.QueryRowContext(t.Context(), query).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func open(t *testing.T, s *Server) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !done(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}
