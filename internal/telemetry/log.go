package telemetry

import (
	"context"
	"io"
	"log/slog"
	"time"
)

// Logger writes JSON lines, one a record, to a writer that it never waits for.
type Logger struct {
	*slog.Logger
	sink *sink
}

// New returns a logger for a component, such as `intake`. Every line has time (UTC), level, component and msg, and the
// attributes that may be shown. It starts a goroutine; Close ends it. Sources: reliability B01, C14, E21.
func New(component string, writer io.Writer, level slog.Leveler) *Logger {
	h := &handler{component: component, level: level}
	h.sink = newSink(writer, func(dropped uint64) []byte {
		record := slog.NewRecord(time.Now(), slog.LevelWarn, "log lines were dropped", 0)
		record.AddAttrs(slog.Uint64("count", dropped))
		return h.line(record)
	})
	return &Logger{slog.New(h), h.sink}
}

// Dropped returns how many lines found no room or no writer since the start.
func (l *Logger) Dropped() uint64 { return l.sink.lost() }

// Flush waits until every line so far is written, or the context ends.
func (l *Logger) Flush(ctx context.Context) error { return l.sink.flush(ctx) }

// Close writes what is left and ends the goroutine; later lines are dropped. When the context ends first, the goroutine
// ends as soon as the writer lets it go. Safe to repeat.
func (l *Logger) Close(ctx context.Context) error { return l.sink.close(ctx) }

// handler is a slog.Handler. Groups are flattened: what may be shown is decided by an attribute's own key.
type handler struct {
	component string
	level     slog.Leveler
	sink      *sink
	// fields are the attributes of With, rendered.
	fields fields
}

func (h *handler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level.Level() }

func (h *handler) Handle(_ context.Context, record slog.Record) error {
	h.sink.put(h.line(record))
	return nil
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.fields = h.fields.clone()
	for _, a := range attrs {
		with.fields.add(a)
	}
	return &with
}

func (h *handler) WithGroup(string) slog.Handler { return h }

// line renders a record as one line of JSON.
func (h *handler) line(record slog.Record) []byte {
	all := h.fields.clone()
	record.Attrs(func(a slog.Attr) bool {
		all.add(a)
		return true
	})
	line := make([]byte, 0, 256)
	line = append(line, `{"time":"`...)
	line = record.Time.UTC().AppendFormat(line, "2006-01-02T15:04:05.000000Z")
	line = append(line, `","level":`...)
	line = appendString(line, record.Level.String())
	line = append(line, `,"component":`...)
	line = appendString(line, word(h.component))
	line = append(line, `,"msg":`...)
	line = appendString(line, text(record.Message))
	for _, f := range all.shown {
		line = append(line, ',')
		line = appendString(line, f.key)
		line = append(line, ':')
		line = append(line, f.value...)
	}
	if all.hidden > 0 {
		line = append(line, `,"hidden":`...)
		line = appendInt(line, int64(all.hidden))
	}
	return append(line, '}', '\n')
}
