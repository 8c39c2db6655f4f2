package checker

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

// What of the protocol does not hold is told in words; a journal that cannot be asked is no sound one.
func TestTheInvariantsAreAsked(t *testing.T) {
	status, body := http.StatusOK, `{"findings":[{"invariant":8,"sentence":"nothing is forgotten","count":2}]}`
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/invariants" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	defer admin.Close()
	l := Lockstep{Admin: admin.URL}
	if got, err := l.Broken(t.Context()); err != nil || !slices.Equal(got, []string{"invariant 8 of the protocol is broken by 2 rows: nothing is forgotten"}) {
		t.Errorf("%v, %v", got, err)
	}
	body = `{"findings":[]}`
	if got, err := l.Broken(t.Context()); err != nil || len(got) > 0 {
		t.Errorf("a sound journal: %v, %v", got, err)
	}
	status = http.StatusServiceUnavailable
	if _, err := l.Broken(t.Context()); err == nil {
		t.Error("a journal that does not answer is sound")
	}
}
