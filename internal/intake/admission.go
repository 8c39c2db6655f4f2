package intake

import "net/http"

const (
	// maxInside bounds the requests that are worked on at once.
	maxInside = 512
	// minShare is what each source may have of that, however many there are.
	minShare = 64
)

// admission bounds the requests that are worked on at once: all together, and those of one source, so that a source
// that floods is told to come again while the others are answered (A27).
type admission struct {
	all      chan struct{}
	bySource map[string]chan struct{}
}

func newAdmission(most int, sources []string) *admission {
	a := &admission{all: make(chan struct{}, most), bySource: map[string]chan struct{}{}}
	share := most
	if len(sources) > 0 {
		share = min(most, max(minShare, most/len(sources)))
	}
	for _, name := range sources {
		a.bySource[name] = make(chan struct{}, share)
	}
	return a
}

// enter takes a seat. A status other than 0 says why there is none.
func (a *admission) enter(source string) (leave func(), status int) {
	own := a.bySource[source]
	select {
	case own <- struct{}{}:
	default:
		return nil, http.StatusTooManyRequests
	}
	select {
	case a.all <- struct{}{}:
	default:
		<-own
		return nil, http.StatusServiceUnavailable
	}
	return func() { <-a.all; <-own }, 0
}
