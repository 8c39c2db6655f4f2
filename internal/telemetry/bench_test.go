package telemetry

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"lockstep/schema"
)

func BenchmarkLog(b *testing.B) {
	logger := New("intake", io.Discard, slog.LevelInfo)
	id := schema.NewReceipt()
	b.ReportAllocs()
	for b.Loop() {
		logger.Info("event accepted", "source", "crm", "receipt", id, "count", 3, "duration", 1500*time.Microsecond)
	}
	if err := logger.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkCalled(b *testing.B) {
	m, err := NewMetrics(Names{Systems: []string{"genesys"}})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		m.Called(ctx, "genesys", schema.OpWrite, "", time.Millisecond)
	}
}
