package temporalserver

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"go.temporal.io/server/common/log/tag"
)

func TestLogKeepsWhatMatters(t *testing.T) {
	var out bytes.Buffer
	a := newAdapter(slog.New(slog.NewTextHandler(&out, nil)))
	written := func(write func()) string {
		out.Reset()
		write()
		return out.String()
	}
	code := func(code string) tag.Tag { return tag.NewStringTag("grpc_code", code) }
	for name, c := range map[string]struct {
		write func()
		want  string
	}{
		"debug": {func() { a.Debug("x") }, ""},
		"info":  {func() { a.Info("x") }, ""},
		"warn":  {func() { a.Warn("slow", tag.NewStringTag("store", "main")) }, "level=WARN msg=slow store=main"},
		"error": {func() { a.Error("lost shard") }, "level=ERROR"},
		"tags":  {func() { a.With(tag.NewStringTag("service", "history")).Error("x") }, "service=history"},
		"stack": {func() { a.Error("x", tag.SysStackTrace("goroutine 1")) }, "msg=x\n"},
		// The SDK repeats these by itself.
		"throttled": {func() { a.Error("service failures", code("ResourceExhausted")) }, ""},
		"away":      {func() { a.Error("service failures", code("Unavailable")) }, ""},
		"unknown":   {func() { a.Error("service failures", code("NotFound")) }, ""},
		"internal":  {func() { a.Error("service failures", code("Internal")) }, "level=ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			got := written(c.write)
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("wrote %q, want %q", got, c.want)
			}
		})
	}

	b := newAdapter(slog.New(slog.NewTextHandler(&out, nil)))
	with := b.With(tag.NewStringTag("service", "worker"))
	b.quiet()
	if got := written(func() { with.Warn("Failed to poll for task."); with.Error("gone") }); got != "" {
		t.Errorf("a stopping server wrote %q", got)
	}
	select {
	case <-b.failed:
		t.Error("failed before a fatal line")
	default:
	}
	with.Fatal("no port")
	with.Fatal("no port, again")
	<-b.failed
}
