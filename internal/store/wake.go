package store

import (
	"context"
	"sync"
	"time"

	"github.com/lib/pq"

	"lockstep/schema"
)

// waker tells other processes that there is work. It uses a connection of its own, at most a hundred times a second:
// a NOTIFY inside the transaction of intake costs more than half of its throughput (protocol F24). What it loses, the
// poll of a second finds.
type waker struct {
	dsn    string
	once   sync.Once
	due    chan schema.Topic
	ctx    context.Context //nolint:containedctx // the lifetime of its goroutine
	cancel context.CancelFunc
	done   chan struct{}
}

const wakePause = 10 * time.Millisecond

func newWaker(dsn string) *waker {
	ctx, cancel := context.WithCancel(context.Background())
	return &waker{dsn: dsn, due: make(chan schema.Topic, 64), ctx: ctx, cancel: cancel, done: make(chan struct{})}
}

func (w *waker) close() {
	w.cancel()
	w.once.Do(func() { close(w.done) })
	<-w.done
}

// Wake tells the processes that wait for a topic. It never blocks and never fails: whoever sleeps finds the work by
// itself a little later.
func (s *Store) Wake(topic schema.Topic) {
	s.wake.once.Do(func() { go s.wake.run(s) })
	select {
	case s.wake.due <- topic:
	default:
	}
}

func (w *waker) run(s *Store) {
	defer close(w.done)
	for {
		due := map[schema.Topic]bool{}
		select {
		case <-w.ctx.Done():
			return
		case t := <-w.due:
			due[t] = true
		}
		for more := true; more; {
			select {
			case t := <-w.due:
				due[t] = true
			default:
				more = false
			}
		}
		for topic := range due {
			// A failure costs a poll interval, nothing else.
			_, _ = s.db.ExecContext(w.ctx, `SELECT pg_notify($1, '')`, string(topic))
		}
		select {
		case <-w.ctx.Done():
			return
		case <-time.After(wakePause):
		}
	}
}

// Listen calls wake whenever somebody told the topic, until the context ends.
func (s *Store) Listen(ctx context.Context, wake func(schema.Topic)) {
	listener := pq.NewListener(s.wake.dsn, 100*time.Millisecond, 5*time.Second, nil)
	// Listen waits for a connection for as long as there is none.
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer func() {
		if stop() {
			_ = listener.Close()
		}
	}()
	for _, t := range []schema.Topic{schema.TopicDecide, schema.TopicClaim} {
		if err := listener.Listen(string(t)); err != nil {
			// The listener keeps trying to connect by itself; until then the polls find the work.
			break
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-listener.Notify:
			if n == nil {
				wake(schema.TopicDecide)
				wake(schema.TopicClaim)
				continue
			}
			wake(schema.Topic(n.Channel))
		}
	}
}
