package ensemble

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"ottla/zkmeta"
)

// Store is an ensemble; it implements zkmeta.Store.
type Store struct {
	cfg Config

	mu       sync.Mutex
	sessions map[*session]struct{}
	closed   bool
}

var _ zkmeta.Store = (*Store)(nil)

// New checks the configuration. Nothing is dialed before Connect.
func New(cfg Config) (*Store, error) {
	if err := cfg.prepare(); err != nil {
		return nil, err
	}
	return &Store{cfg: cfg, sessions: make(map[*session]struct{})}, nil
}

// Connect opens a session, authenticates it and makes sure that the chroot exists.
func (st *Store) Connect(ctx context.Context) (zkmeta.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := newSession(st)
	st.mu.Lock()
	if st.closed {
		st.mu.Unlock()
		return nil, zkmeta.ErrClosed
	}
	st.sessions[s] = struct{}{}
	st.mu.Unlock()
	if err := s.start(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close ends all sessions.
func (st *Store) Close() error {
	st.mu.Lock()
	st.closed = true
	open := make([]*session, 0, len(st.sessions))
	for s := range st.sessions {
		open = append(open, s)
	}
	st.mu.Unlock()
	var wg sync.WaitGroup
	for _, s := range open {
		wg.Go(s.Close)
	}
	wg.Wait()
	return nil
}

func (st *Store) forget(s *session) {
	st.mu.Lock()
	delete(st.sessions, s)
	st.mu.Unlock()
}

// start connects and waits for the session.
func (s *session) start(ctx context.Context) error {
	cfg := &s.store.cfg
	c, events, err := zk.Connect(cfg.Servers, cfg.SessionTimeout,
		zk.WithDialer(s.dial), zk.WithHostProvider(&hosts{}), zk.WithEventCallback(s.onEvent),
		zk.WithLogger(logAdapter{s}), zk.WithMaxBufferSize(maxResponseBytes), zk.WithMaxConnBufferSize(maxRequestBytes))
	if err != nil {
		return fmt.Errorf("zookeeper: %w", err)
	}
	s.conn = c
	s.wg.Go(func() {
		for range events { // closed when the Conn's loop has ended
		}
	})
	s.wg.Go(s.queue.Run)
	s.wg.Go(s.monitor)
	select {
	case <-s.established:
	case <-ctx.Done():
		return fmt.Errorf("no session with ZooKeeper at %s: %w%s", strings.Join(cfg.Servers, ","), ctx.Err(), s.lastErrorText())
	case <-s.expired:
		return zkmeta.ErrClosed
	}
	for _, a := range cfg.Auth {
		if err := s.authenticate(ctx, a); err != nil {
			return fmt.Errorf("ZooKeeper authentication with scheme %s: %w", a.Scheme, err)
		}
	}
	if err := s.keepOneWatch(ctx); err != nil {
		return err
	}
	return s.createChroot(ctx)
}

func (s *session) authenticate(ctx context.Context, a Auth) error {
	_, err := call(ctx, s, true, func(c *zk.Conn) (struct{}, error) {
		return struct{}{}, c.AddAuth(a.Scheme, []byte(a.Data))
	})
	return err
}

// neverPath is watched so that go-zookeeper always has a watch to set again; see conn.
const neverPath = "/zookeeper/ottla-never-created"

func (s *session) keepOneWatch(ctx context.Context) error {
	_, err := call(ctx, s, true, func(c *zk.Conn) (struct{}, error) {
		_, _, _, err := c.ExistsW(neverPath)
		return struct{}{}, err
	})
	if err != nil {
		return fmt.Errorf("set up the ZooKeeper session: %w", err)
	}
	return nil
}

func (s *session) createChroot(ctx context.Context) error {
	chroot := s.store.cfg.Chroot
	if chroot == "" {
		return nil
	}
	for end := 1; end > 0 && end < len(chroot); {
		next := strings.IndexByte(chroot[end:], '/')
		path := chroot
		if next >= 0 {
			path = chroot[:end+next]
			end += next + 1
		} else {
			end = 0
		}
		exists, err := call(ctx, s, true, func(c *zk.Conn) (bool, error) {
			ok, _, err := c.Exists(path)
			return ok, err
		})
		if err == nil && !exists {
			_, err = call(ctx, s, true, func(c *zk.Conn) (string, error) {
				return c.Create(path, nil, 0, s.acl(path, nil))
			})
		}
		if err != nil && !errors.Is(err, zkmeta.ErrNodeExists) {
			return fmt.Errorf("create ZooKeeper chroot %s: %w", path, err)
		}
	}
	return nil
}

var errSessionOver = errors.New("the session is over")

// dial is go-zookeeper's dialer. The timeout it asks for, one second, is too short for TLS over a WAN.
func (s *session) dial(network, address string, _ time.Duration) (net.Conn, error) {
	select {
	case <-s.expired:
		return nil, errSessionOver
	default:
	}
	cfg := &s.store.cfg
	timeout := s.handshakeTimeout()
	ctx, cancel := context.WithTimeout(s.life, timeout)
	defer cancel()
	c, err := cfg.Dial(ctx, network, address)
	if err == nil && cfg.TLS != nil {
		c, err = handshakeTLS(ctx, c, cfg.TLS, address)
	}
	if err != nil {
		s.noteError(err)
		return nil, err
	}
	w := newConn(c, s, timeout, s.id.Load() != 0)
	s.setCurrent(w)
	return w, nil
}

func handshakeTLS(ctx context.Context, c net.Conn, base *tls.Config, address string) (net.Conn, error) {
	cfg := base
	if cfg.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		cfg = base.Clone()
		cfg.ServerName = host
	}
	t := tls.Client(c, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("TLS: %w", err), c.Close())
	}
	return t, nil
}

// handshakeTimeout is how long one server may take to accept and answer: a share of the session timeout,
// as the Java client has it, so that the next server can be tried before the session is gone.
func (s *session) handshakeTimeout() time.Duration {
	share := s.store.cfg.SessionTimeout / time.Duration(len(s.store.cfg.Servers)+1)
	return min(max(share, time.Second), 10*time.Second)
}
