package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"lockstep/schema"
)

const (
	// committers is how many batches commit at once: one gathers while the other waits for the disk.
	committers = 2
	// maxBatch bounds the postings of one commit.
	maxBatch = 64
	// commitLimit bounds one commit; whoever waits longer is told to come again.
	commitLimit = 5 * time.Second
)

// group gathers postings that arrive at the same time into one transaction. Nobody waits for company: a batch is what
// came while the committers were busy.
type group struct {
	once  sync.Once
	queue chan *waiting
	// stop ends the committers; ended is closed once they are.
	stop    chan struct{}
	ended   chan struct{}
	done    sync.WaitGroup
	closing sync.Once
}

type waiting struct {
	posting *sealedPosting
	answer  chan answered
}

type answered struct {
	accepted schema.Accepted
	err      error
}

func newGroup() *group {
	return &group{queue: make(chan *waiting, 4*maxBatch), stop: make(chan struct{}), ended: make(chan struct{})}
}

// Accept writes a posting into the journal and returns once that is committed. Its error leaves open whether anything
// was written: the sender has to be told to come again. Safe to repeat: a unit that came before answers with its first
// receipt.
func (s *Store) Accept(ctx context.Context, p *schema.Posting) (schema.Accepted, error) {
	s.group.once.Do(s.startCommitters)
	sealed, err := s.sealPosting(p)
	if err != nil {
		return schema.Accepted{}, err
	}
	w := &waiting{posting: sealed, answer: make(chan answered, 1)}
	select {
	case s.group.queue <- w:
	case <-ctx.Done():
		return schema.Accepted{}, schema.ErrUnavailable
	case <-s.group.stop:
		return schema.Accepted{}, schema.ErrUnavailable
	}
	select {
	case a := <-w.answer:
		return a.accepted, a.err
	case <-ctx.Done():
		return schema.Accepted{}, schema.ErrUnavailable
	case <-s.group.ended:
	}
	select {
	case a := <-w.answer:
		return a.accepted, a.err
	default:
		return schema.Accepted{}, schema.ErrUnavailable
	}
}

func (s *Store) startCommitters() {
	for range committers {
		s.group.done.Go(s.commitLoop)
	}
}

// close ends the committers once their batches are over. Safe to repeat.
func (g *group) close() {
	g.once.Do(func() {})
	g.closing.Do(func() {
		close(g.stop)
		g.done.Wait()
		close(g.ended)
	})
}

// commitLoop commits batch after batch until the store closes; what is queued by then is told to come again.
func (s *Store) commitLoop() {
	for {
		select {
		case <-s.group.stop:
			s.group.refuse()
			return
		case w := <-s.group.queue:
			s.commit(s.group.gather(w))
		}
	}
}

func (g *group) refuse() {
	for {
		select {
		case w := <-g.queue:
			w.answer <- answered{err: schema.ErrUnavailable}
		default:
			return
		}
	}
}

// gather takes what is queued beside the first one.
func (g *group) gather(first *waiting) []*waiting {
	batch := []*waiting{first}
	for len(batch) < maxBatch {
		select {
		case w := <-g.queue:
			batch = append(batch, w)
		default:
			return batch
		}
	}
	return batch
}

// commit writes a batch. When somebody's stuck transaction holds one of its keys, each posting is tried alone, so that
// one sender's trouble is not everybody's (protocol F10).
func (s *Store) commit(batch []*waiting) {
	postings := make([]*sealedPosting, len(batch))
	for i, w := range batch {
		postings[i] = w.posting
	}
	accepted, err := s.commitOnce(postings)
	if errors.Is(err, schema.ErrRaced) && len(batch) > 1 {
		for _, w := range batch {
			s.commit([]*waiting{w})
		}
		return
	}
	for i, w := range batch {
		if err != nil {
			w.answer <- answered{err: err}
			continue
		}
		w.answer <- answered{accepted: accepted[i]}
	}
}

func (s *Store) commitOnce(postings []*sealedPosting) ([]schema.Accepted, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commitLimit)
	defer cancel()
	return s.acceptAll(ctx, postings)
}
