package supervisor

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// demoEnv makes the test binary play a supervisor that is killed; its value is a folder.
const demoEnv = "SUPERVISOR_TEST_DEMO"

func TestMain(m *testing.M) {
	if dir := os.Getenv(demoEnv); dir != "" {
		s, err := New(Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			panic(err)
		}
		if err := s.Start(context.Background(), sleeper("one")); err != nil {
			panic(err)
		}
		os.Stdout.WriteString(strconv.Itoa(s.PIDs("one")[0]) + "\n")
		select {}
	}
	goleak.VerifyTestMain(m)
}

func TestStartWaitsUntilReady(t *testing.T) {
	s, dir := supervise(t, nil)
	asked := 0
	part := script("ready", `echo warming up; echo now listening; exec sleep 600`)
	part.ReadyLine = "now listening"
	part.Ready = func(context.Context) error {
		if asked++; asked < 3 {
			return errors.New("not yet")
		}
		return nil
	}
	if err := s.Start(t.Context(), part); err != nil {
		t.Fatal(err)
	}
	if asked != 3 {
		t.Errorf("asked %d times, want 3", asked)
	}
	text, err := os.ReadFile(filepath.Join(dir, "ready.log"))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(text); got != "warming up\nnow listening\n" {
		t.Errorf("log holds %q", got)
	}
}

func TestWhatDiesIsStartedAgain(t *testing.T) {
	var mu sync.Mutex
	var restarted []string
	s, _ := supervise(t, func(name string) {
		mu.Lock()
		defer mu.Unlock()
		restarted = append(restarted, name)
	})
	for _, name := range []string{"worker-1", "worker-2"} {
		part := sleeper(name)
		part.Role = "worker"
		if err := s.Start(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	before := s.PIDs("worker")
	if len(before) != 2 {
		t.Fatalf("workers %v", before)
	}
	for round := 1; round <= 2; round++ {
		victim := s.PIDs("worker")[1]
		if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		until(t, "started again", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(restarted) == round
		})
		pids := s.PIDs("worker")
		if len(pids) != 2 || pids[0] != before[0] || pids[1] == victim {
			t.Errorf("workers %v after %v, victim %d", pids, before, victim)
		}
	}
	if !slices.Equal(restarted, []string{"worker-2", "worker-2"}) || s.Restarts() != 2 {
		t.Errorf("restarted %v, counted %d", restarted, s.Restarts())
	}
}

func TestPartThatNeverStartsIsGivenUpWithItsLastWords(t *testing.T) {
	s, dir := supervise(t, nil)
	part := script("broken", `echo "try" >> tries; echo "no such map: x.yaml" >&2; exit 3`, dir)
	part.ReadyLine = "up"
	err := s.Start(t.Context(), part)
	if err == nil || !strings.Contains(err.Error(), "broken does not start: exit status 3") ||
		!strings.Contains(err.Error(), "no such map: x.yaml") {
		t.Errorf("error %v", err)
	}
	tries, readErr := os.ReadFile(filepath.Join(dir, "tries"))
	if readErr != nil {
		t.Fatal(readErr)
	}
	if got := strings.Count(string(tries), "try"); got != firstTries {
		t.Errorf("tried %d times, want %d", got, firstTries)
	}
	if pids := s.PIDs("broken"); len(pids) != 0 {
		t.Errorf("still runs as %v", pids)
	}
}

func TestPartThatHangsIsStartedAgain(t *testing.T) {
	s, dir := supervise(t, nil)
	part := script("hangs", `if [ -e second ]; then echo up; fi; : > second; exec sleep 600`, dir)
	part.ReadyLine = "up"
	part.ReadyWithin = 300 * time.Millisecond
	if err := s.Start(t.Context(), part); err != nil {
		t.Fatal(err)
	}
	if s.Restarts() != 1 {
		t.Errorf("restarted %d times, want once", s.Restarts())
	}
}

// The second start prints nothing: it is not ready by the first one's line, is killed, and the third one is ready.
func TestReadyLineOfAnEarlierStartDoesNotCount(t *testing.T) {
	restarted := make(chan struct{}, 9)
	s, dir := supervise(t, func(string) { restarted <- struct{}{} })
	part := script("fickle", `echo x >> starts; if [ "$(wc -l < starts)" != 2 ]; then echo up; fi; exec sleep 600`, dir)
	part.ReadyLine = "up"
	part.ReadyWithin = 300 * time.Millisecond
	if err := s.Start(t.Context(), part); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(s.PIDs("fickle")[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-restarted
	if got := s.Restarts(); got != 2 {
		t.Errorf("ready after %d restarts, want 2", got)
	}
}

func TestStopEndsInReverseOrder(t *testing.T) {
	s, dir := supervise(t, nil)
	for _, name := range []string{"postgres", "temporal", "worker"} {
		part := script(name, `trap 'echo `+name+` >> order; exit 0' TERM; echo up; while :; do sleep 0.05; done`, dir)
		part.ReadyLine = "up"
		if err := s.Start(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	order, err := os.ReadFile(filepath.Join(dir, "order"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(string(order)); !slices.Equal(got, []string{"worker", "temporal", "postgres"}) {
		t.Errorf("ended in the order %v", got)
	}
	if err := s.Start(t.Context(), sleeper("late")); err == nil {
		t.Error("a stopped supervisor starts parts")
	}
}

func TestStubbornAndStoppedPartsAreKilled(t *testing.T) {
	s, _ := supervise(t, nil)
	stubborn := script("stubborn", `trap '' TERM; echo up; while :; do sleep 0.05; done`)
	stubborn.ReadyLine = "up"
	stubborn.Grace = 100 * time.Millisecond
	frozen := sleeper("frozen")
	frozen.Grace = 100 * time.Millisecond
	for _, part := range []Part{stubborn, frozen} {
		if err := s.Start(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	pids := append(s.PIDs("stubborn"), s.PIDs("frozen")...)
	if err := syscall.Kill(pids[1], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
}

func TestHelpersOfAPartGoWithIt(t *testing.T) {
	s, dir := supervise(t, nil)
	part := script("parent", `sleep 600 & echo $! > helper; echo up; wait`, dir)
	part.ReadyLine = "up"
	if err := s.Start(t.Context(), part); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "helper"))
	if err != nil {
		t.Fatal(err)
	}
	helper, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(s.PIDs("parent")[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "helper gone", func() bool { return !alive(helper) })
}

func TestKilledSupervisorLeavesNobody(t *testing.T) {
	demo := exec.Command(os.Args[0])
	demo.Env = append(os.Environ(), demoEnv+"="+t.TempDir())
	out, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = demo.Process.Kill() }) // it is gone unless the test failed before
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if !alive(child) {
		t.Fatal("the part is not there before the supervisor dies")
	}
	if err := demo.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = demo.Wait() // killed: that is the point
	until(t, "part gone", func() bool { return !alive(child) })
}

func TestLogFileHasABound(t *testing.T) {
	dir := t.TempDir()
	out, err := newOutput(dir, "chatty", 1000)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("x", 99) + "\n"
	for range 100 {
		if n, err := out.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := out.close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"chatty.log", "chatty.log.old"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() == 0 || info.Size() > 1000 {
			t.Errorf("%s holds %d bytes", name, info.Size())
		}
	}
	if got := out.tail(2); got != strings.TrimSpace(line+line) {
		t.Errorf("tail is %q", got)
	}
}

func supervise(t *testing.T, restarted func(string)) (*Supervisor, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := New(Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Restarted: restarted})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s, dir
}

func sleeper(name string) Part { return script(name, "exec sleep 600") }

// script is a part that runs a shell script, in a folder if one is given.
func script(name, body string, dir ...string) Part {
	return Part{Name: name, Command: func() (*exec.Cmd, error) {
		cmd := exec.Command("/bin/sh", "-c", body)
		if len(dir) > 0 {
			cmd.Dir = dir[0]
		}
		return cmd, nil
	}}
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
