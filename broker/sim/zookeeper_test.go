package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"ottla/zkmeta"
	"ottla/zkmeta/embedded"
	"ottla/zkmeta/ensemble"
)

// zoo is the ZooKeeper ensemble: the tree of the embedded store, which each process reaches over a link of its own that can be cut. What a
// client knows of its session it learns over that link, as zkmeta/ensemble does.
type zoo struct {
	w     *world
	store *embedded.Store
	admin zkmeta.Session // the world's own, on no link

	mu       sync.Mutex
	changed  chan struct{}  // closed and replaced when a link changes
	down     map[string]int // how many faults hold a host's link
	sessions int
}

func newZoo(w *world) *zoo {
	store, err := embedded.Open(embedded.Config{Log: zerolog.Nop()})
	if err != nil {
		w.t.Fatal(err)
	}
	z := &zoo{w: w, store: store, changed: make(chan struct{}), down: map[string]int{}}
	if z.admin, err = store.Connect(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	return z
}

func (z *zoo) close() {
	if err := z.store.Close(); err != nil {
		z.w.t.Error(err)
	}
}

// cut holds a host's link, once more; restore ends one cut.
func (z *zoo) cut(host string)     { z.hold(host, 1) }
func (z *zoo) restore(host string) { z.hold(host, -1) }

func (z *zoo) hold(host string, by int) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.down[host] += by
	z.wakeLocked()
}

func (z *zoo) wakeLocked() {
	close(z.changed)
	z.changed = make(chan struct{})
}

// client is the zkmeta.Store of one process.
type client struct {
	z   *zoo
	p   *process
	cfg ensemble.Config

	mu       sync.Mutex
	sessions []*session
}

// session is a zkmeta.Session over a link. Requests travel in order, and so do answers and watch events.
type session struct {
	c       *client
	z       *zoo
	inner   zkmeta.Session
	n       int // number of the session, for the trace
	rnd     *rand.Rand
	expired chan struct{}
	up      *lane
	back    *lane

	mu      sync.Mutex
	over    bool      // expired is closed
	ended   bool      // the server has ended it
	broken  int       // how often the connection broke
	lost    bool      // it is broken now
	downAt  time.Time // when the link was cut; zero while it is up
	breakAt time.Time // when the client gives the connection up
	endAt   time.Time // when the server ends the session
	heard   time.Time // the last packet that the client got before the cut
}

func (c *client) Connect(ctx context.Context) (zkmeta.Session, error) {
	z := c.z
	z.mu.Lock()
	z.sessions++
	n := z.sessions
	z.mu.Unlock()
	rnd := z.w.stream(fmt.Sprintf("session %d", n))
	for {
		z.mu.Lock()
		up, changed := z.down[c.p.node.host] == 0 && !c.p.dead.Load(), z.changed
		z.mu.Unlock()
		if up {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if !sleep(ctx, between(rnd, time.Millisecond, 20*time.Millisecond)) {
		return nil, ctx.Err()
	}
	inner, err := z.store.Connect(ctx)
	if err != nil {
		return nil, err
	}
	s := &session{c: c, z: z, inner: inner, n: n, rnd: rnd, expired: make(chan struct{}), up: newLane(rnd), back: newLane(rnd)}
	z.w.note("session %d of broker %d", n, c.p.node.id)
	c.mu.Lock()
	c.sessions = append(c.sessions, s)
	c.mu.Unlock()
	z.w.wg.Go(s.monitor)
	z.w.wg.Go(func() { s.travel(s.up) })
	z.w.wg.Go(func() { s.travel(s.back) })
	return s, nil
}

// Close ends the sessions.
func (c *client) Close() error {
	c.mu.Lock()
	all := c.sessions
	c.mu.Unlock()
	for _, s := range all {
		s.Close()
	}
	return nil
}

// expireNow has the server end a process's sessions at once.
func (c *client) expireNow() {
	c.mu.Lock()
	all := c.sessions
	c.mu.Unlock()
	for _, s := range all {
		s.endOnServer("forced")
	}
}

// monitorTick is how often a client looks at its connection, as zkmeta/ensemble's monitor does.
const monitorTick = 100 * time.Millisecond

// monitor is both ends' view of the session in time: the client's break of the connection, the server's expiry, and what the client is told.
func (s *session) monitor() {
	tick := time.NewTicker(monitorTick)
	defer tick.Stop()
	last := ensemble.Connecting
	for {
		state, done := s.look(time.Now())
		if alive := !s.c.p.dead.Load(); alive && state != last && s.c.cfg.OnState != nil {
			last = state
			s.c.cfg.OnState(s.ID(), state)
		}
		if done {
			return
		}
		s.z.mu.Lock()
		changed := s.z.changed
		s.z.mu.Unlock()
		select {
		case <-tick.C:
		case <-changed:
		case <-s.z.w.over.Done():
			s.expire()
			return
		}
	}
}

// look takes the session to a moment.
func (s *session) look(now time.Time) (state ensemble.State, done bool) {
	host, dead := s.c.p.node.host, s.c.p.dead.Load()
	s.z.mu.Lock()
	up := s.z.down[host] == 0 && !dead
	s.z.mu.Unlock()
	s.mu.Lock()
	up = up && !s.over // a client that has closed its end sends no more pings
	if !up && s.downAt.IsZero() {
		s.downAt = now
		s.heard = now.Add(-between(s.rnd, 0, sessionTimeout/3))
		s.breakAt = now.Add(between(s.rnd, 0, sessionTimeout*2/3))
		s.endAt = now.Add(sessionTimeout - between(s.rnd, 0, sessionTimeout/3) + between(s.rnd, 0, time.Second))
	}
	if !up && !s.lost && !now.Before(s.breakAt) {
		s.lost = true
		s.broken++
		s.up.wake()
		s.back.wake()
	}
	end := !up && !s.ended && !now.Before(s.endAt)
	if up && !s.downAt.IsZero() {
		s.downAt, s.lost = time.Time{}, false
		s.up.wake()
		s.back.wake()
	}
	s.mu.Unlock()
	if end {
		s.endOnServer("timeout")
	}
	s.mu.Lock()
	tell := up && s.ended && !s.over
	s.mu.Unlock()
	if tell {
		s.expire()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over || dead:
		return ensemble.Expired, s.ended
	case s.silentLocked(now):
		return ensemble.Silent, false
	case s.lost:
		return ensemble.Disconnected, false
	}
	return ensemble.Connected, false
}

func (s *session) endOnServer(why string) {
	s.mu.Lock()
	was := s.ended
	s.ended = true
	s.mu.Unlock()
	if !was {
		s.z.w.note("session %d of broker %d ended: %s", s.n, s.c.p.node.id, why)
		s.z.store.Expire(s.inner.ID())
	}
}

// expire is the client's end of the session.
func (s *session) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.over = true
		close(s.expired)
		s.up.close()
		s.back.close()
	}
}

func (s *session) ID() int64                { return s.inner.ID() }
func (s *session) Expired() <-chan struct{} { return s.expired }

// Silent counts from the last packet. A process that is paused does not notice.
func (s *session) Silent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.silentLocked(time.Now())
}

func (s *session) silentLocked(now time.Time) bool {
	return !s.downAt.IsZero() && now.Sub(s.heard) >= sessionTimeout && !s.c.p.node.paused.Load()
}

// Close ends the session on the server too, if it can be reached.
func (s *session) Close() {
	s.z.mu.Lock()
	up := s.z.down[s.c.p.node.host] == 0 && !s.c.p.dead.Load()
	s.z.mu.Unlock()
	if up {
		s.endOnServer("closed")
	}
	s.expire()
}

var errBroken = fmt.Errorf("simulated connection: %w", zkmeta.ErrConnectionLoss)

// answer is the outcome of one request.
type answer[T any] struct {
	v   T
	err error
}

// request sends a request over the link. Reads are repeated when the connection breaks; a write then has an unknown outcome.
func request[T any](ctx context.Context, s *session, again bool, what string, f func() (T, error)) (T, error) {
	for {
		v, err := once(ctx, s, what, f)
		if !again || !errors.Is(err, errBroken) || !sleep(ctx, 50*time.Millisecond) {
			return v, err
		}
	}
}

func once[T any](ctx context.Context, s *session, what string, f func() (T, error)) (none T, _ error) {
	if err := ctx.Err(); err != nil {
		return none, err
	}
	done := make(chan answer[T], 1)
	lost := func() { done <- answer[T]{err: errBroken} }
	s.up.post(s.connection(), func() {
		v, err := f()
		s.z.w.note("broker %d session %d: %s: %v", s.c.p.node.id, s.n, what, err)
		s.back.post(s.connection(), func() { done <- answer[T]{v, err} }, lost)
	}, lost)
	select {
	case a := <-done:
		return a.v, a.err
	case <-ctx.Done():
		return none, fmt.Errorf("%w: %w", zkmeta.ErrConnectionLoss, ctx.Err())
	case <-s.expired:
		return none, zkmeta.ErrSessionExpired
	}
}

// connection numbers the connections of the session; while there is none, the next one.
func (s *session) connection() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken + 1
}

// travel delivers what a lane carries: each after its time, while the link is up; what was on a connection that broke is lost.
func (s *session) travel(l *lane) {
	for {
		it, ok := l.next(s)
		if !ok {
			return
		}
		if it.lost != nil && s.brokeSince(it.connection) {
			it.lost()
			continue
		}
		it.arrive()
	}
}

func (s *session) brokeSince(connection int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken >= connection
}

func (s *session) linkUp() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.downAt.IsZero()
}

// item is something on its way. Without lost it outlives a broken connection: watch events, which are set again after it.
type item struct {
	at         time.Time
	connection int
	arrive     func()
	lost       func()
}

// lane is one direction of a session's link.
type lane struct {
	rnd    *rand.Rand
	mu     sync.Mutex
	queue  []item
	last   time.Time
	closed bool
	change chan struct{}
}

func newLane(rnd *rand.Rand) *lane {
	return &lane{rnd: rand.New(rand.NewPCG(rnd.Uint64(), rnd.Uint64())), change: make(chan struct{})}
}

func (l *lane) post(connection int, arrive, lost func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	at := time.Now().Add(200*time.Microsecond + time.Duration(l.rnd.ExpFloat64()*float64(time.Millisecond)))
	if l.rnd.IntN(50) == 0 {
		at = at.Add(between(l.rnd, 5*time.Millisecond, 400*time.Millisecond))
	}
	if at.Before(l.last) {
		at = l.last
	}
	l.last = at
	l.queue = append(l.queue, item{at, connection, arrive, lost})
	l.wakeLocked()
}

func (l *lane) wakeLocked() {
	close(l.change)
	l.change = make(chan struct{})
}

func (l *lane) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wakeLocked()
}

func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed, l.queue = true, nil
	l.wakeLocked()
}

// next waits until the first item has arrived or is lost.
func (l *lane) next(s *session) (item, bool) {
	for {
		l.mu.Lock()
		change := l.change
		wait := time.Duration(-1)
		switch {
		case l.closed:
			l.mu.Unlock()
			return item{}, false
		case len(l.queue) > 0:
			it := l.queue[0]
			gone := it.lost != nil && s.brokeSince(it.connection)
			if wait = time.Until(it.at); gone || wait <= 0 && s.linkUp() {
				l.queue = l.queue[1:]
				l.mu.Unlock()
				return it, true
			}
			if wait <= 0 {
				wait = -1 // until the link changes
			}
		}
		l.mu.Unlock()
		if wait < 0 {
			select {
			case <-change:
			case <-s.expired:
			}
			continue
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-change:
		}
		t.Stop()
	}
}

// watch is what is set in the tree for a watch of the process.
func (s *session) watch(w *zkmeta.Watch) *zkmeta.Watch {
	if w == nil {
		return nil
	}
	return zkmeta.NewWatch(func(ev zkmeta.Event) {
		s.back.post(0, func() {
			s.z.w.note("broker %d session %d: watch: %s %s", s.c.p.node.id, s.n, ev.Path, ev.Type)
			w.Fire(ev)
		}, nil)
	})
}

type dataStat struct {
	data []byte
	stat zkmeta.Stat
}

func (s *session) Get(ctx context.Context, path string, w *zkmeta.Watch) ([]byte, zkmeta.Stat, error) {
	if strings.HasPrefix(path, zkmeta.ConfigRoot) {
		return s.getNow(path, w)
	}
	r, err := request(ctx, s, true, "get "+path, func() (r dataStat, err error) {
		r.data, r.stat, err = s.inner.Get(context.Background(), path, s.watch(w))
		return r, err
	})
	return r.data, r.stat, err
}

// getNow reads without taking time: brokers read a new topic's configuration with locks held, and in a bubble no time passes while a goroutine
// waits for a lock.
func (s *session) getNow(path string, w *zkmeta.Watch) ([]byte, zkmeta.Stat, error) {
	s.mu.Lock()
	over, down := s.over, !s.downAt.IsZero()
	s.mu.Unlock()
	switch {
	case over:
		return nil, zkmeta.Stat{}, zkmeta.ErrSessionExpired
	case down:
		return nil, zkmeta.Stat{}, errBroken
	}
	return s.inner.Get(context.Background(), path, s.watch(w))
}

type namesStat struct {
	names []string
	stat  zkmeta.Stat
}

func (s *session) Children(ctx context.Context, path string, w *zkmeta.Watch) ([]string, zkmeta.Stat, error) {
	r, err := request(ctx, s, true, "children "+path, func() (r namesStat, err error) {
		r.names, r.stat, err = s.inner.Children(context.Background(), path, s.watch(w))
		return r, err
	})
	return r.names, r.stat, err
}

type existsStat struct {
	stat   zkmeta.Stat
	exists bool
}

func (s *session) Exists(ctx context.Context, path string, w *zkmeta.Watch) (zkmeta.Stat, bool, error) {
	r, err := request(ctx, s, true, "exists "+path, func() (r existsStat, err error) {
		r.stat, r.exists, err = s.inner.Exists(context.Background(), path, s.watch(w))
		return r, err
	})
	return r.stat, r.exists, err
}

func (s *session) Create(ctx context.Context, path string, data []byte, mode zkmeta.Mode, acl []zkmeta.ACL) (string, error) {
	return request(ctx, s, false, "create "+path, func() (string, error) {
		made, err := s.inner.Create(context.Background(), path, data, mode, acl)
		if err == nil {
			s.z.wrote(zkmeta.CreateOp(path, data, mode, acl))
		}
		return made, err
	})
}

func (s *session) Set(ctx context.Context, path string, data []byte, version int32) (zkmeta.Stat, error) {
	return request(ctx, s, false, fmt.Sprintf("set %s %s", path, data), func() (zkmeta.Stat, error) {
		stat, err := s.inner.Set(context.Background(), path, data, version)
		if err == nil {
			s.z.wrote(zkmeta.SetOp(path, data, version))
		}
		return stat, err
	})
}

func (s *session) Delete(ctx context.Context, path string, version int32) error {
	_, err := request(ctx, s, false, "delete "+path, func() (struct{}, error) {
		return struct{}{}, s.inner.Delete(context.Background(), path, version)
	})
	return err
}

func (s *session) Multi(ctx context.Context, ops ...zkmeta.Op) ([]zkmeta.OpResult, error) {
	type outcome struct {
		results []zkmeta.OpResult
		err     error // of the transaction, which is an answer
	}
	var what strings.Builder
	what.WriteString("multi")
	for _, op := range ops {
		fmt.Fprintf(&what, " %s %s %s", op.Kind, op.Path, op.Data)
	}
	r, err := request(ctx, s, false, what.String(), func() (outcome, error) {
		results, err := s.inner.Multi(context.Background(), ops...)
		if err == nil {
			s.z.wrote(ops...)
		}
		return outcome{results, err}, nil
	})
	if err != nil {
		return nil, err
	}
	return r.results, r.err
}

// wrote looks at what was written: one leader for each epoch.
func (z *zoo) wrote(ops ...zkmeta.Op) {
	for _, op := range ops {
		if op.Kind != zkmeta.OpSet && op.Kind != zkmeta.OpCreate || !strings.HasSuffix(op.Path, "/state") {
			continue
		}
		for p := range z.w.plan.partitions {
			if op.Path != zkmeta.TopicPartitionState(topic, p) {
				continue
			}
			state, err := zkmeta.DecodePartitionState(op.Data)
			if err != nil {
				z.w.fail("%s: %v", op.Path, err)
				continue
			}
			z.w.hist.leads("the state znode", p, state.LeaderEpoch, state.Leader)
		}
	}
}
