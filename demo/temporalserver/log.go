package temporalserver

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

// noHTTP begins the warning that the server's HTTP interface, which nobody here needs, is switched off.
const noHTTP = "HTTP API port has not been set."

// adapter carries the server's log into slog: warnings and worse, without stack traces, and without what the SDK
// repeats by itself or what a stop brings with it.
type adapter struct {
	out  *slog.Logger
	tags []any
	*fate
}

// fate is what all loggers of a server share.
type fate struct {
	stopping atomic.Bool
	once     sync.Once
	failed   chan struct{}
}

var _ log.Logger = (*adapter)(nil)

func newAdapter(out *slog.Logger) *adapter {
	if out == nil {
		out = slog.Default()
	}
	return &adapter{out: out, fate: &fate{failed: make(chan struct{})}}
}

// quiet says that the server is being stopped: pollers and connections then complain of what is meant.
func (a *adapter) quiet() { a.stopping.Store(true) }

// With returns a logger that adds the tags to each line.
func (a *adapter) With(tags ...tag.Tag) log.Logger {
	return &adapter{out: a.out, tags: append(a.tags[:len(a.tags):len(a.tags)], pairs(tags)...), fate: a.fate}
}

// Debug drops the line.
func (a *adapter) Debug(string, ...tag.Tag) {}

// Info drops the line.
func (a *adapter) Info(string, ...tag.Tag) {}

// Warn writes the line unless the server is being stopped or the line tells of what we chose.
func (a *adapter) Warn(msg string, tags ...tag.Tag) {
	if !a.stopping.Load() && !strings.HasPrefix(msg, noHTTP) {
		a.write(slog.LevelWarn, msg, tags)
	}
}

// Error writes the line. Requests that the client repeats by itself come as debug lines.
func (a *adapter) Error(msg string, tags ...tag.Tag) {
	switch {
	case msg == "service failures" && repeated(tags):
		a.write(slog.LevelDebug, msg, tags)
	case a.stopping.Load():
		a.write(slog.LevelDebug, msg, tags)
	default:
		a.write(slog.LevelError, msg, tags)
	}
}

// DPanic writes the line as an error.
func (a *adapter) DPanic(msg string, tags ...tag.Tag) { a.write(slog.LevelError, msg, tags) }

// Panic writes the line and panics.
func (a *adapter) Panic(msg string, tags ...tag.Tag) {
	a.write(slog.LevelError, msg, tags)
	panic(msg)
}

// Fatal writes the line and tells Server.Failed. It does not end the process: that is main's business.
func (a *adapter) Fatal(msg string, tags ...tag.Tag) {
	a.write(slog.LevelError, msg, tags)
	a.once.Do(func() { close(a.failed) })
}

func (a *adapter) write(level slog.Level, msg string, tags []tag.Tag) {
	ctx := context.Background()
	if a.out.Enabled(ctx, level) {
		a.out.Log(ctx, level, msg, append(a.tags[:len(a.tags):len(a.tags)], pairs(tags)...)...)
	}
}

// repeated reports whether the request's failure is one that the SDK tries again or that its caller expects.
func repeated(tags []tag.Tag) bool {
	for _, t := range tags {
		if t.Key() != "grpc_code" {
			continue
		}
		switch t.Value() {
		case "ResourceExhausted", "Unavailable", "NotFound":
			return true
		}
	}
	return false
}

func pairs(tags []tag.Tag) []any {
	list := make([]any, 0, 2*len(tags))
	for _, t := range tags {
		switch t.Key() {
		case "stack", "stacktrace", "sys-stack-trace", tag.LoggingCallAtKey:
		default:
			list = append(list, t.Key(), t.Value())
		}
	}
	return list
}

// silent is the SDK logger of the client that waits for the server.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
