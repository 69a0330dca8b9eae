package replication

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// fetcher copies the partitions of one share that a leader leads: one goroutine, one connection, one request in flight
// (AbstractFetcherThread, ReplicaFetcherThread).
type fetcher struct {
	m      *Manager
	leader int32
	share  int32
	log    zerolog.Logger
	ctx    context.Context
	stop   context.CancelFunc
	wake   chan struct{}

	mu        sync.Mutex
	parts     map[*Partition]*fetchState
	sorted    []*fetchState      // parts in the order of topics; nil after a change
	interrupt context.CancelFunc // ends the request in flight; nil if none
	kicks     int64

	// The goroutine's own.
	client   *wire.Client
	session  clientSession
	failures int   // rounds in a row that failed
	seen     int64 // kicks when parts was looked at
	chosen   []*fetchState
}

// fetchState is a follower's position in one partition. The goroutine's own but for the fields set by add.
type fetchState struct {
	p       *Partition
	epoch   int32 // leader epoch of the decision that it follows
	ready   bool  // position is known
	offset  int64 // next fetch offset
	retryAt time.Time
	retries int  // in a row
	inSync  bool // had everything below the leader's high watermark at the last answer
	failed  bool // fenced or its log directory is bad: waits for the next LeaderAndIsr
}

// firstBackoff is the first pause after an error; it doubles up to replica.fetch.backoff.ms. Kafka starts with the full pause: a second
// in which a topic just created cannot commit, because its leader had not heard of it when the follower asked first.
const firstBackoff = 20 * time.Millisecond

func (f *fetcher) backoff(failures int) time.Duration {
	return min(firstBackoff<<min(failures-1, 10), f.m.cfg.FetchBackoff)
}

// later has the partition left alone for a while.
func (f *fetcher) later(s *fetchState) {
	s.retries++
	s.retryAt = time.Now().Add(f.backoff(s.retries))
}

func newFetcher(m *Manager, leader, share int32) *fetcher {
	f := &fetcher{m: m, leader: leader, share: share, wake: make(chan struct{}, 1), parts: map[*Partition]*fetchState{}}
	f.log = m.log.With().Int32("leader", leader).Int32("fetcher", share).Logger()
	f.ctx, f.stop = context.WithCancel(m.ctx)
	return f
}

func (f *fetcher) add(p *Partition, epoch int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.parts[p] = &fetchState{p: p, epoch: epoch}
	f.sorted = nil
}

// remove reports how many partitions are left.
func (f *fetcher) remove(p *Partition) (left int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.parts, p)
	f.sorted = nil
	return len(f.parts)
}

// kick looks at the partitions anew, and ends a request that waits at the leader for others: a new partition must not wait behind it.
func (f *fetcher) kick() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kicks++
	if f.interrupt != nil {
		f.interrupt()
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *fetcher) run() {
	defer f.disconnect()
	f.log.Info().Msg("fetcher started")
	defer f.log.Info().Msg("fetcher stopped")
	for f.ctx.Err() == nil {
		states, next := f.states()
		if len(states) == 0 {
			f.idle(next)
			continue
		}
		if err := f.round(states, next); err != nil && f.ctx.Err() == nil {
			f.disconnect()
			if err == errInterrupted {
				continue
			}
			f.failures++
			f.log.Warn().Err(err).Int("partitions", len(states)).Int("failures", f.failures).Msg("fetch from the leader failed")
			f.pause(f.backoff(f.failures))
		}
	}
}

// states returns what to fetch now, in a stable order, and when the next partition is due again.
func (f *fetcher) states() (states []*fetchState, next time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = f.kicks
	if f.sorted == nil {
		f.sorted = slices.SortedFunc(maps.Values(f.parts), func(a, b *fetchState) int { return compareTopicPartition(a.p.tp, b.p.tp) })
	}
	now := time.Now()
	_, hold := f.m.followerQuota.allowed(f.m.now())
	states = f.chosen[:0]
	for _, s := range f.sorted {
		switch {
		case s.failed:
		case s.retryAt.After(now):
			if next.IsZero() || s.retryAt.Before(next) {
				next = s.retryAt
			}
		case hold > 0 && !s.inSync && s.p.throttledAtFollower():
			if due := now.Add(hold); next.IsZero() || due.Before(next) {
				next = due
			}
		default:
			states = append(states, s)
		}
	}
	f.chosen = states
	return states, next
}

// idle waits until next, if that is set, or a kick.
func (f *fetcher) idle(next time.Time) {
	if next.IsZero() {
		select {
		case <-f.ctx.Done():
		case <-f.wake:
		}
		return
	}
	f.pause(time.Until(next))
}

func (f *fetcher) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-f.ctx.Done():
	case <-f.wake:
	case <-t.C:
	}
}

func (f *fetcher) disconnect() {
	if f.client != nil {
		f.client.Close()
		f.client = nil
	}
	f.session.reset(true)
}

var errInterrupted = errors.New("interrupted for new partitions")

// round sends one Fetch for the partitions and applies its answer. The fetch waits no longer than until next, when another partition is due.
func (f *fetcher) round(states []*fetchState, next time.Time) error {
	for _, s := range states {
		if !s.ready {
			f.position(s)
		}
	}
	states = slices.DeleteFunc(states, func(s *fetchState) bool { return !s.ready || s.failed })
	if len(states) == 0 {
		return nil
	}
	wait := f.m.cfg.FetchWaitMax
	if !next.IsZero() {
		wait = min(wait, max(0, time.Until(next)))
	}
	r, release, err := f.exchange(f.session.request(f.m, states, wait), true)
	if err != nil {
		return err
	}
	defer release()
	resp := r.(*kmsg.FetchResponse)
	if resp.ErrorCode != 0 {
		f.log.Debug().Err(kerr.ErrorForCode(resp.ErrorCode)).Msg("fetch session refused, starting anew")
		if resp.ErrorCode != kerr.FetchSessionIDNotFound.Code && f.session.epoch == 0 {
			return fmt.Errorf("full fetch: %w", kerr.ErrorForCode(resp.ErrorCode))
		}
		f.session.reset(resp.ErrorCode != kerr.FetchSessionIDNotFound.Code)
		return nil
	}
	f.applyAll(resp)
	f.session.answered(resp.SessionID)
	f.failures = 0
	return nil
}

func (f *fetcher) applyAll(resp *kmsg.FetchResponse) {
	var flush []*Partition
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			rp := &t.Partitions[j]
			key := sessionKey{topic: t.Topic, partition: rp.Partition}
			if resp.Version >= 13 {
				key = sessionKey{id: t.TopicID, partition: rp.Partition}
			}
			s := f.session.state(key)
			if s == nil {
				f.log.Warn().Str("topic", t.Topic).Hex("topic_id", t.TopicID[:]).Int32("partition", rp.Partition).Msg("leader answered for a partition that was not asked for")
				continue
			}
			f.apply(s, rp)
			if l := s.p.Log(); l.DurableEndOffset() < l.EndOffset() {
				flush = append(flush, s.p)
			}
		}
	}
	f.flush(flush)
}

// exchange connects if need be, sends req and waits for its answer, whose records are valid until release. A request that may wait at the
// leader is interruptible by kick.
func (f *fetcher) exchange(req kmsg.Request, interruptible bool) (resp kmsg.Response, release func(), err error) {
	limit, cancel := context.WithTimeout(f.ctx, f.m.cfg.FetchTimeout)
	defer cancel()
	if f.client == nil {
		c, err := f.m.deps.Dial(limit, f.leader)
		if err != nil {
			return nil, nil, fmt.Errorf("connect to broker %d: %w", f.leader, err)
		}
		f.client = c
	}
	ctx := limit
	if interruptible {
		var interrupt context.CancelFunc
		ctx, interrupt = context.WithCancel(limit)
		defer interrupt()
		if !f.setInterrupt(interrupt) {
			return nil, nil, errInterrupted
		}
		defer f.setInterrupt(nil)
	}
	resp, release, err = f.client.RequestPooled(ctx, req)
	if err != nil && ctx.Err() != nil && limit.Err() == nil {
		return nil, nil, errInterrupted
	}
	return resp, release, err
}

// setInterrupt has kick call cancel. It reports false if there was a kick since the partitions were looked at.
func (f *fetcher) setInterrupt(cancel context.CancelFunc) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.interrupt = cancel
	return f.kicks == f.seen
}

// flush makes what was appended durable where the topic has flush.messages=1, before the next fetch claims to have it.
func (f *fetcher) flush(ps []*Partition) {
	var wg sync.WaitGroup
	for _, p := range ps {
		wg.Go(func() {
			if err := p.Log().Flush(); err != nil {
				f.log.Error().Err(err).Stringer("partition", p.tp).Msg("flush of a follower failed")
			}
		})
	}
	wg.Wait()
}
