package ensemble

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"

	"ottla/zkmeta"
	"ottla/zkmeta/internal/deliver"
)

// session implements zkmeta.Session and zkmeta.ACLSession over one zk.Conn.
type session struct {
	store *Store
	conn  *zk.Conn // set by start
	slots chan struct{}
	queue *deliver.Queue
	watch watchTable
	wg    sync.WaitGroup

	id          atomic.Int64
	timeoutNs   atomic.Int64 // negotiated session timeout
	lastHeardNs atomic.Int64 // time.Since(epoch)
	connected   atomic.Bool

	established chan struct{} // closed at the first StateHasSession
	once        sync.Once     // closes established
	expired     chan struct{}
	expireOnce  sync.Once
	closeOnce   sync.Once
	changed     chan struct{}   // to the monitor, capacity 1
	life        context.Context // of dialing; ends with the session
	endLife     context.CancelFunc

	mu        sync.Mutex
	current   *conn
	lastError error // why there is no connection
}

var (
	_ zkmeta.Session    = (*session)(nil)
	_ zkmeta.ACLSession = (*session)(nil)
)

// clock is the origin of monotonic times in atomics.
var clock = time.Now()

func newSession(st *Store) *session {
	s := &session{
		store: st, slots: make(chan struct{}, st.cfg.MaxInFlight), queue: deliver.New(),
		established: make(chan struct{}), expired: make(chan struct{}), changed: make(chan struct{}, 1),
	}
	s.life, s.endLife = context.WithCancel(context.Background())
	s.timeoutNs.Store(int64(st.cfg.SessionTimeout))
	s.lastHeardNs.Store(int64(time.Since(clock)))
	return s
}

func (s *session) ID() int64                { return s.id.Load() }
func (s *session) Expired() <-chan struct{} { return s.expired }

// Silent is decided by the last packet from a server: pings are answered every third of the timeout.
func (s *session) Silent() bool { return s.silence() >= s.timeout() }

func (s *session) silence() time.Duration {
	return time.Since(clock) - time.Duration(s.lastHeardNs.Load())
}

func (s *session) timeout() time.Duration { return time.Duration(s.timeoutNs.Load()) }

// heard is called for each packet.
func (s *session) heard() { s.lastHeardNs.Store(int64(time.Since(clock))) }

// negotiated is called with each connect response; id 0 means that the session has expired.
func (s *session) negotiated(id int64, timeout time.Duration) {
	if id == 0 {
		return
	}
	s.id.CompareAndSwap(0, id)
	if timeout > 0 {
		s.timeoutNs.Store(int64(timeout))
	}
}

func (s *session) noteError(err error) {
	s.mu.Lock()
	s.lastError = err
	s.mu.Unlock()
}

func (s *session) lastErrorText() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lastError == nil {
		return ""
	}
	return fmt.Sprintf(" (last error: %v)", s.lastError)
}

func (s *session) setCurrent(c *conn) {
	s.mu.Lock()
	s.current = c
	s.mu.Unlock()
}

// onEvent runs in go-zookeeper's loops and must not block or call the Conn.
func (s *session) onEvent(ev zk.Event) {
	switch ev.Type {
	case zk.EventSession:
		switch ev.State {
		case zk.StateHasSession:
			s.connected.Store(true)
			s.once.Do(func() { close(s.established) })
		case zk.StateExpired:
			s.expire()
		case zk.StateDisconnected:
			s.connected.Store(false)
		default:
			return
		}
		s.poke()
	case zk.EventNodeCreated, zk.EventNodeDeleted, zk.EventNodeDataChanged, zk.EventNodeChildrenChanged:
		path, ok := s.strip(ev.Path)
		if !ok {
			return
		}
		out := zkmeta.Event{Type: zkmeta.EventType(ev.Type), Path: path}
		for _, w := range s.watch.event(out) {
			s.queue.Post(w, out)
		}
	}
}

func (s *session) poke() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// expire marks the session as over; from here on the dialer refuses.
func (s *session) expire() {
	s.expireOnce.Do(func() {
		close(s.expired)
		s.queue.End()
		s.endLife()
	})
}

// Close ends the session on the server too, if one can be reached within a second.
func (s *session) Close() {
	if s.conn != nil && !s.over() {
		s.closeOnce.Do(func() { s.end() })
	}
	s.expire()
	s.poke()
	s.wg.Wait()
	s.store.forget(s)
}

func (s *session) over() bool {
	select {
	case <-s.expired:
		return true
	default:
		return false
	}
}

// end closes the Conn and makes its loop return.
func (s *session) end() {
	s.conn.Close()
	s.endLife()
	s.mu.Lock()
	c := s.current
	s.mu.Unlock()
	if c != nil {
		_ = c.Close()
	}
}

func (s *session) state() State {
	switch {
	case s.over():
		return Expired
	case s.id.Load() == 0:
		return Connecting
	case s.Silent():
		return Silent
	case s.connected.Load():
		return Connected
	}
	return Disconnected
}

// stillConnecting is how often the log says that there is no connection.
const stillConnecting = 10 * time.Second

// monitor tells and logs the changes of state, and cleans up at the end.
func (s *session) monitor() {
	tick := time.NewTicker(min(max(s.store.cfg.SessionTimeout/20, 20*time.Millisecond), time.Second))
	defer tick.Stop()
	log := s.store.cfg.Log
	last, said, since := Connecting, time.Time{}, time.Now()
	for {
		state := s.state()
		if state != last {
			since, said = time.Now(), time.Time{}
			if s.store.cfg.OnState != nil {
				s.store.cfg.OnState(s.ID(), state)
			}
			switch state {
			case Connected:
				log.Info().Hex("session", idBytes(s.ID())).Dur("timeout_ms", s.timeout()).Str("server", s.conn.Server()).
					Str("was", last.String()).Msg("zookeeper session connected")
			case Silent:
				log.Warn().Hex("session", idBytes(s.ID())).Dur("timeout_ms", s.timeout()).
					Msg("zookeeper has been silent for the session timeout, the session may have expired")
			case Expired:
				log.Warn().Hex("session", idBytes(s.ID())).Msg("zookeeper session has ended")
			}
			last = state
		}
		if state == Expired {
			s.closeOnce.Do(s.end)
			s.store.forget(s)
			return
		}
		if state != Connected && time.Since(said) >= stillConnecting && time.Since(since) >= 200*time.Millisecond {
			said = time.Now()
			s.mu.Lock()
			err := s.lastError
			s.mu.Unlock()
			log.Warn().Err(err).Strs("servers", s.store.cfg.Servers).Dur("since_ms", time.Since(since)).
				Msg("no connection to zookeeper, trying")
		}
		select {
		case <-tick.C:
		case <-s.changed:
		}
	}
}

func idBytes(id int64) []byte {
	return []byte{byte(id >> 56), byte(id >> 48), byte(id >> 40), byte(id >> 32), byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}
}

// logAdapter writes go-zookeeper's lines at debug level; what matters is logged by monitor.
type logAdapter struct{ s *session }

func (l logAdapter) Printf(format string, args ...any) {
	l.s.store.cfg.Log.Debug().Msgf(format, args...)
}
