package leash

import (
	"bufio"
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

// holderEnv makes the test binary play the process that dies.
const holderEnv = "LEASH_TEST_HOLDER"

func TestMain(m *testing.M) {
	if folder := os.Getenv(holderEnv); folder != "" {
		hold(folder)
		return
	}
	goleak.VerifyTestMain(m)
}

// hold starts two processes, one of which ignores SIGTERM, tells their numbers and waits to be killed.
func hold(folder string) {
	l, err := start(5)
	if err != nil {
		panic(err)
	}
	for _, body := range []string{"exec sleep 600", "trap '' TERM; while :; do sleep 600; done"} {
		cmd := exec.Command("/bin/sh", "-c", body)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		if err := l.Hold(-cmd.Process.Pid, syscall.SIGTERM); err != nil {
			panic(err)
		}
		os.Stdout.WriteString(strconv.Itoa(cmd.Process.Pid) + "\n")
	}
	if err := l.Remove(folder); err != nil {
		panic(err)
	}
	os.Stdout.WriteString("ready\n")
	select {}
}

func TestKilledHolderTakesAllWithIt(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a folder with spaces")
	if err := os.MkdirAll(filepath.Join(folder, "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	holder := exec.Command(os.Args[0])
	holder.Env = append(os.Environ(), holderEnv+"="+folder)
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = holder.Process.Kill() }) // it is gone unless the test failed before
	var pids []int
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "ready"; {
		pid, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatalf("not a number: %q", lines.Text())
		}
		pids = append(pids, pid)
	}
	if len(pids) != 2 {
		t.Fatalf("holder started %d processes, want 2", len(pids))
	}
	for _, pid := range pids {
		if !alive(pid) {
			t.Fatalf("process %d is not there before the holder dies", pid)
		}
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait() // killed: that is the point
	for _, pid := range pids {
		until(t, "process gone", func() bool { return !alive(pid) })
	}
	until(t, "folder gone", func() bool {
		_, err := os.Stat(folder)
		return os.IsNotExist(err)
	})
}

func TestReleasedIsLeftAlone(t *testing.T) {
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	freed, held := sleeper(t), sleeper(t)
	for _, cmd := range []*exec.Cmd{freed, held} {
		if err := l.Hold(cmd.Process.Pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Release(freed.Process.Pid); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- held.Wait() }()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("held process ended with %v, want killed", err)
	}
	if !alive(freed.Process.Pid) {
		t.Error("released process was ended too")
	}
	if err := freed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = freed.Wait() // killed just now
	if err := l.Hold(1, syscall.SIGKILL); err == nil {
		t.Error("a closed leash still takes processes")
	}
}

func TestRefusesNamesThatTheShellCouldMisread(t *testing.T) {
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, folder := range []string{"", "relative", "/two\nlines", `/back\slash`, "/trailing ", " /leading"} {
		if err := l.Remove(folder); err == nil {
			t.Errorf("Remove(%q) accepted", folder)
		}
	}
	if err := l.Hold(os.Getpid(), syscall.SIGUSR1); err == nil {
		t.Error("Hold accepted SIGUSR1")
	}
}

func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
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
