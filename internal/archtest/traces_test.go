package archtest

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// TestB08 shows by what is linked that no payload reaches a trace or a profile: nothing makes spans, carries baggage or
// labels goroutines, and profiles are served by the admin listener alone. Whoever brings tracing in changes this test
// and says there which attributes a span may have.
func TestB08(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		if strings.HasPrefix(name, "demo") {
			continue
		}
		for _, imported := range p.Imports {
			for _, traced := range []string{
				"go.opentelemetry.io/otel/trace", "go.opentelemetry.io/otel/sdk/trace", "go.opentelemetry.io/otel/baggage", "go.opentelemetry.io/otel/propagation",
				"go.opentelemetry.io/otel/exporters/otlp", "go.opentelemetry.io/contrib", "go.opentelemetry.io/otel/log", "runtime/trace",
			} {
				if imported == traced || strings.HasPrefix(imported, traced+"/") {
					t.Errorf("%s imports %s: a span's attributes, names and baggage leave the process", name, imported)
				}
			}
			if imported == "runtime/pprof" || imported == "net/http/pprof" && name != "internal/admin" {
				t.Errorf("%s imports %s: a profile is served by the admin listener, and its labels are nobody's data", name, imported)
			}
		}
	}
	for _, f := range files(t) {
		if f.test || strings.HasPrefix(f.path, "demo/") {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			// The library of the metrics handler has tracers as well.
			if ok && slices.Contains([]string{"NewTracer", "NewTracingInterceptor", "SetTracerProvider", "SetTextMapPropagator", "SetGoroutineLabels", "ContextPropagators"}, sel.Sel.Name) {
				t.Errorf("%s: %s takes data along", line(sel), sel.Sel.Name)
			}
			return true
		})
	}
}
