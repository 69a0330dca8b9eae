package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

// ServerConfig is what all listeners of a broker share. Zero values are as in Kafka where it says nothing else.
type ServerConfig struct {
	Log zerolog.Logger
	// MaxRequestBytes is socket.request.max.bytes; 0 is 100 MiB.
	MaxRequestBytes int32
	// QueuedMaxBytes is queued.max.request.bytes, which bounds frames above readBufferSize and bulk buffers on all
	// connections together; 0 or less is a quarter of the memory limit (GOMEMLIMIT or the cgroup's), or 256 MiB.
	QueuedMaxBytes int64
	// IdleTimeout is connections.max.idle.ms; 0 is never.
	IdleTimeout time.Duration
	// Limits can be changed later with SetLimits; 0 is no limit.
	MaxConnections, MaxConnectionsPerIP int
	MaxConnectionsPerIPOverrides        map[string]int
	MaxConnectionCreationRate           int
	// SendBuffer, ReceiveBuffer are socket.*.buffer.bytes; 0 or less leaves them to the kernel. They and Backlog are
	// for Listen.
	SendBuffer, ReceiveBuffer, Backlog int
	// MaxInFlightProduce is how many Produce answers may be pending on a connection; 0 is 8.
	MaxInFlightProduce int
	Registry           *Registry
}

// ListenerConfig describes one listener.
type ListenerConfig struct {
	Name string
	// Privileged is set for the inter-broker listener: connection limits and the memory budget do not hold it up.
	Privileged bool
	// MaxRequestBytes, if not 0, is the limit of frames at first: a listener with SASL has a smaller one until
	// Conn.SetMaxRequestBytes.
	MaxRequestBytes int32
	// OnConnect, if set, is called in the connection's goroutine before its first request.
	OnConnect func(c *Conn)
	// OnClose, if set, is called when the connection has ended.
	OnClose func(c *Conn)
}

const (
	defaultMaxRequestBytes    = 100 << 20
	defaultMaxInFlightProduce = 8
	// drainGrace is how long requests go on undisturbed in a shutdown; then their contexts end.
	drainGrace = time.Second
)

// Server accepts connections on any number of listeners and serves a Registry on them.
type Server struct {
	cfg      ServerConfig
	log      zerolog.Logger
	sampled  zerolog.Logger
	budget   *frameBudget
	draining atomic.Bool
	drain    chan struct{} // closed when draining
	index    atomic.Uint64

	mu        sync.Mutex
	limits    Limits
	rate      *rate.Limiter
	listeners map[net.Listener]struct{}
	conns     map[*Conn]struct{}
	perIP     map[netip.Addr]int
	freed     chan struct{} // closed and replaced when a connection ends
	reaping   bool
	wg        sync.WaitGroup // connections
}

// NewServer returns a server without listeners. It panics without a Registry.
func NewServer(cfg ServerConfig) *Server {
	if cfg.Registry == nil {
		panic("wire: server without a registry")
	}
	if cfg.MaxRequestBytes <= 0 {
		cfg.MaxRequestBytes = defaultMaxRequestBytes
	}
	if cfg.MaxInFlightProduce <= 0 {
		cfg.MaxInFlightProduce = defaultMaxInFlightProduce
	}
	if cfg.QueuedMaxBytes <= 0 {
		cfg.QueuedMaxBytes = defaultQueuedMaxBytes()
	}
	s := &Server{
		cfg:       cfg,
		log:       cfg.Log,
		sampled:   cfg.Log.Sample(&zerolog.BurstSampler{Burst: 10, Period: time.Second}),
		budget:    newFrameBudget(cfg.QueuedMaxBytes),
		drain:     make(chan struct{}),
		listeners: map[net.Listener]struct{}{},
		conns:     map[*Conn]struct{}{},
		perIP:     map[netip.Addr]int{},
		freed:     make(chan struct{}),
	}
	s.SetLimits(Limits{cfg.MaxConnections, cfg.MaxConnectionsPerIP, cfg.MaxConnectionsPerIPOverrides, cfg.MaxConnectionCreationRate})
	return s
}

// ErrServerClosed is what Serve returns after Shutdown.
var ErrServerClosed = errors.New("server is shut down")

// Serve accepts connections until l is closed or the server is shut down; ErrServerClosed then. It closes l.
func (s *Server) Serve(l net.Listener, lc ListenerConfig) error {
	defer l.Close()
	if !s.addListener(l) {
		return ErrServerClosed
	}
	defer s.removeListener(l)
	var pause time.Duration
	for {
		conn, err := l.Accept()
		if err != nil {
			switch {
			case s.draining.Load():
				return ErrServerClosed
			case errors.Is(err, net.ErrClosed):
				return nil
			case !isTemporary(err):
				return fmt.Errorf("accept on listener %s: %w", lc.Name, err)
			}
			// Out of descriptors, most likely: keep the listener, and let connections end.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.sampled.Error().Err(err).Str("listener", lc.Name).Dur("retry_in", pause).Msg("cannot accept a connection")
			s.sleep(pause)
			continue
		}
		pause = 0
		s.start(conn, lc)
	}
}

func isTemporary(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM) ||
		errors.Is(err, unix.ECONNABORTED) || errors.Is(err, unix.EINTR)
}

func (s *Server) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.drain:
	}
}

func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	s.listeners[l] = struct{}{}
	if !s.reaping {
		s.reaping = true
		go s.reap()
	}
	return true
}

func (s *Server) removeListener(l net.Listener) {
	s.mu.Lock()
	delete(s.listeners, l)
	s.mu.Unlock()
}

// start admits a connection and starts its reader, or closes it. It waits while a limit says so.
func (s *Server) start(conn net.Conn, lc ListenerConfig) {
	ip := remoteIP(conn)
	if !s.waitRate(lc) {
		conn.Close()
		return
	}
	c := &Conn{
		server: s, listener: lc, conn: conn, ip: ip, index: s.index.Add(1) - 1,
		principal: "User:ANONYMOUS", closed: make(chan struct{}), received: time.Now(),
	}
	c.changed.L = &c.mu
	c.lastActive.Store(c.received.UnixNano())
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.call.Conn = c
	limit := s.cfg.MaxRequestBytes
	if lc.MaxRequestBytes > 0 {
		limit = min(limit, lc.MaxRequestBytes)
	}
	c.fr.init(&c.io, limit)
	c.io.init(c)
	if reason := s.admit(c); reason != "" {
		c.cancel()
		conn.Close()
		s.sampled.Warn().Stringer("peer", conn.RemoteAddr()).Str("listener", lc.Name).Str("reason", reason).Msg("connection refused")
		return
	}
	go s.run(c)
}

func (s *Server) run(c *Conn) {
	defer s.wg.Done()
	if c.listener.OnConnect != nil {
		c.listener.OnConnect(c)
	}
	c.serve()
	if c.listener.OnClose != nil {
		c.listener.OnClose(c)
	}
	s.remove(c)
}

func remoteIP(conn net.Conn) netip.Addr {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

func (s *Server) logPanic(c *Conn, p any) {
	s.log.Error().Stringer("peer", c.conn.RemoteAddr()).Int16("api_key", c.call.Header.Key).Int16("version", c.call.Header.Version).
		Str("panic", fmt.Sprint(p)).Bytes("stack", debug.Stack()).Msg("request handler panicked")
}

// Connections is the number of open connections.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Shutdown stops accepting, lets the requests that were read be handled and answered, pending ones too, and closes the
// connections. After drainGrace the contexts of handlers that still wait end. When ctx ends, what is left is cut off, and its error returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.draining.Swap(true) {
		close(s.drain)
	}
	for l := range s.listeners {
		l.Close()
	}
	for c := range s.conns {
		// Wakes readers that wait for a frame; one that is in a handler sees draining afterwards.
		_ = c.conn.SetReadDeadline(time.Unix(1, 0))
	}
	s.mu.Unlock()

	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	grace := time.NewTimer(drainGrace)
	defer grace.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-grace.C:
			s.each(func(c *Conn) { c.cancel() })
		case <-ctx.Done():
			s.each(func(c *Conn) { c.abort("server is shut down") })
			return ctx.Err()
		}
	}
}

func (s *Server) each(f func(c *Conn)) {
	s.mu.Lock()
	conns := make([]*Conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		f(c)
	}
}

// reap closes connections that are idle, and those that take longer than the idle timeout to take an answer.
func (s *Server) reap() {
	if s.cfg.IdleTimeout <= 0 {
		return
	}
	tick := time.NewTicker(min(max(s.cfg.IdleTimeout/10, 10*time.Millisecond), 5*time.Second))
	defer tick.Stop()
	for {
		select {
		case <-s.drain:
			return
		case now := <-tick.C:
			before := now.Add(-s.cfg.IdleTimeout).UnixNano()
			s.each(func(c *Conn) {
				switch since := c.writeSince.Load(); {
				case since != 0 && since < before:
					c.abort("client does not read its answers")
				case c.waiting.Load() && c.lastActive.Load() < before && !c.hasQueued():
					c.abort("idle")
				}
			})
		}
	}
}

func (c *Conn) hasQueued() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writing
}
