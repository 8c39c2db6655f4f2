// Package leash ends what a process started when that process dies, however it dies.
//
// A small shell reads a pipe whose only writing end this process holds. When the process ends, by SIGKILL too, the pipe
// closes; the shell then ends whatever is still held and removes the folders that it was told of. The kernel's
// parent-death signal is not used: it fires when the thread that forked ends, which in Go can be long before the process
// does, and other systems than Linux have none.
package leash

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// script reads "hold SIGNAL PID", "release PID" and "remove FOLDER". PID is negative for a process group. At the end of
// its input it signals what is held, grants $1 tenths of a second, kills the rest and removes the folders.
const script = `
trap '' HUP INT QUIT TERM PIPE
held= folders=
while read -r verb one two; do
	case $verb in
	hold) held="$held $one:$two" ;;
	release)
		kept=
		for h in $held; do [ "${h#*:}" = "$one" ] || kept="$kept $h"; done
		held=$kept ;;
	remove) folders="$folders
$one${two:+ $two}" ;;
	esac
done
for h in $held; do kill -s "${h%%:*}" -- "${h#*:}"; done
turns=0
while [ $turns -lt "$1" ]; do
	alive=
	for h in $held; do kill -s 0 -- "${h#*:}" && alive=yes; done
	[ -n "$alive" ] || break
	turns=$((turns + 1))
	sleep 0.1 || sleep 1
done
for h in $held; do kill -s KILL -- "${h#*:}"; done
printf '%s\n' "$folders" | while IFS= read -r folder; do
	case $folder in /*) rm -rf -- "$folder" ;; esac
done
`

// Leash holds processes and folders. Its methods may be called from several goroutines.
type Leash struct {
	mu   sync.Mutex
	pipe *os.File
	cmd  *exec.Cmd
}

// New starts the leash. It starts no goroutine.
func New() (*Leash, error) { return start(50) }

func start(tenths int) (*Leash, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("leash: %w", err)
	}
	cmd := exec.Command("/bin/sh", "-c", script, "leash", strconv.Itoa(tenths)) //nolint:noctx // it outlives every context
	cmd.Stdin = reader
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's Ctrl-C must not reach it
	err = cmd.Start()
	_ = reader.Close() // the child has its own
	if err != nil {
		return nil, errors.Join(fmt.Errorf("leash: start the shell: %w", err), writer.Close())
	}
	return &Leash{pipe: writer, cmd: cmd}, nil
}

// Hold makes sig reach the process when this one dies, and SIGKILL five seconds later. A negative pid is a process
// group. sig is SIGTERM, SIGINT, SIGQUIT or SIGKILL.
func (l *Leash) Hold(pid int, sig syscall.Signal) error {
	name, ok := map[syscall.Signal]string{
		syscall.SIGTERM: "TERM", syscall.SIGINT: "INT", syscall.SIGQUIT: "QUIT", syscall.SIGKILL: "KILL",
	}[sig]
	if !ok {
		return fmt.Errorf("leash: no signal %d", int(sig))
	}
	return l.write(fmt.Sprintf("hold %s %d\n", name, pid))
}

// Release forgets a process, which must happen as soon as it has been waited for: its number may be given again.
func (l *Leash) Release(pid int) error { return l.write(fmt.Sprintf("release %d\n", pid)) }

// Remove makes the folder vanish when this process dies. The path is absolute, on one line and without a backslash.
func (l *Leash) Remove(folder string) error {
	if !filepath.IsAbs(folder) || strings.ContainsAny(folder, "\n\\") || strings.TrimSpace(folder) != folder {
		return fmt.Errorf("leash: cannot remove a folder of such a name: %q", folder)
	}
	return l.write("remove " + folder + "\n")
}

// Close lets go: whatever is still held ends now, the folders go, and Close waits for it.
func (l *Leash) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pipe == nil {
		return nil
	}
	err := l.pipe.Close()
	l.pipe = nil
	return errors.Join(err, l.cmd.Wait())
}

func (l *Leash) write(line string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pipe == nil {
		return errors.New("leash: closed")
	}
	if _, err := l.pipe.WriteString(line); err != nil {
		return fmt.Errorf("leash: %w", err)
	}
	return nil
}
