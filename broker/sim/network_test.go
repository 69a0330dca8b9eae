package sim

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// network carries connections between hosts. Bytes of one connection arrive in order, as TCP's do; those of different connections
// overtake each other. A link that is down holds what is sent until it is up again.
type network struct {
	w *world

	mu        sync.Mutex
	changed   chan struct{} // closed and replaced when a link, a host or a listener changes
	down      map[link]int  // how many faults hold the link
	slow      map[string]time.Duration
	off       map[string]bool // hosts without power: they refuse nothing
	listeners map[string]*listener
	conns     []*conn
	count     int
}

// link is one direction.
type link struct{ from, to string }

func newNetwork(w *world) *network {
	return &network{w: w, changed: make(chan struct{}), down: map[link]int{}, slow: map[string]time.Duration{}, off: map[string]bool{},
		listeners: map[string]*listener{}}
}

// changedLocked wakes all who wait for the network. Needs mu.
func (n *network) changedLocked() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// cut holds a link, once more; restore ends one cut.
func (n *network) cut(from, to string) { n.hold(from, to, 1) }

func (n *network) restore(from, to string) { n.hold(from, to, -1) }

func (n *network) hold(from, to string, by int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down[link{from, to}] += by
	n.changedLocked()
	for _, c := range n.conns {
		c.in.wakeLocked()
	}
}

func (n *network) upLocked(from, to string) bool { return n.down[link{from, to}] == 0 }

// delayLocked is the time that a packet takes.
func (n *network) delayLocked(rnd *rand.Rand, from, to string) time.Duration {
	d := 100*time.Microsecond + time.Duration(rnd.ExpFloat64()*float64(time.Millisecond))
	if rnd.IntN(100) == 0 {
		d += between(rnd, 10*time.Millisecond, 300*time.Millisecond)
	}
	return d + time.Duration(rnd.Float64()*float64(n.slow[from]+n.slow[to]))
}

// setSlow adds up to d to the time of each packet from and to a host.
func (n *network) setSlow(host string, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.slow[host] = d
}

// listener is a bound port of a process.
type listener struct {
	n      *network
	p      *process
	addr   *net.TCPAddr
	queue  []*conn
	closed bool
	change chan struct{}
}

func address(addr string) *net.TCPAddr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr)) }

func (n *network) listen(p *process, addr string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[addr] != nil {
		return nil, syscall.EADDRINUSE
	}
	l := &listener{n: n, p: p, addr: address(addr), change: make(chan struct{})}
	n.listeners[addr] = l
	return l, nil
}

func (l *listener) Addr() net.Addr { return l.addr }

func (l *listener) Accept() (net.Conn, error) {
	for {
		l.n.mu.Lock()
		switch {
		case l.closed:
			l.n.mu.Unlock()
			return nil, net.ErrClosed
		case len(l.queue) > 0:
			c := l.queue[0]
			l.queue = l.queue[1:]
			l.n.mu.Unlock()
			return c, nil
		}
		change := l.change
		l.n.mu.Unlock()
		<-change
	}
}

func (l *listener) Close() error {
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	l.closeLocked()
	return nil
}

func (l *listener) closeLocked() {
	if l.closed {
		return
	}
	l.closed = true
	delete(l.n.listeners, l.addr.String())
	close(l.change)
	for _, c := range l.queue {
		c.abortLocked(true)
	}
}

// dial connects a process, or a client if p is nil, to an address.
func (n *network) dial(ctx context.Context, p *process, from string, addr string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: address(addr), Err: err}
	}
	to := address(addr).IP.String()
	n.mu.Lock()
	n.count++
	id := n.count
	rnd := n.w.stream(fmt.Sprintf("conn %d", id))
	delay := n.delayLocked(rnd, from, to)
	n.mu.Unlock()
	if !sleep(ctx, delay) {
		return fail(ctx.Err())
	}
	for {
		n.mu.Lock()
		if n.upLocked(from, to) && n.upLocked(to, from) && !n.off[to] && (p == nil || !p.dead.Load()) {
			break
		}
		changed := n.changed
		n.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return fail(ctx.Err())
		}
	}
	defer n.mu.Unlock()
	l := n.listeners[addr]
	if l == nil {
		return fail(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	}
	there, back := newPipe(n, id, from, to, rnd), newPipe(n, id, to, from, rnd)
	local := &net.TCPAddr{IP: address(from + ":1").IP, Port: 10000 + id%50000}
	a := &conn{n: n, id: id, p: p, local: local, remote: l.addr, in: back, out: there}
	b := &conn{n: n, id: id, p: l.p, local: l.addr, remote: local, in: there, out: back}
	n.conns = append(n.conns, a, b)
	l.queue = append(l.queue, b)
	close(l.change)
	l.change = make(chan struct{})
	n.w.note("conn %d: %s to %s", id, from, addr)
	return a, nil
}

// crash ends all connections and listeners of a process: with resets if its kernel lives, otherwise without a word.
func (n *network) crash(p *process, powerLost bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.listeners {
		if l.p == p {
			l.closeLocked()
		}
	}
	kept := n.conns[:0]
	for _, c := range n.conns {
		if c.p != p {
			kept = append(kept, c)
			continue
		}
		c.abortLocked(!powerLost)
	}
	clear(n.conns[len(kept):])
	n.conns = kept
	if powerLost {
		n.off[p.node.host] = true
	}
	n.changedLocked()
}

// power switches a host on again: what was connected to it before is reset now.
func (n *network) power(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.off, host)
	for _, c := range n.conns {
		if c.remote.IP.String() == host && c.in.abandoned {
			c.in.resetLocked()
		}
	}
	n.changedLocked()
}

// breakAll resets every connection between two hosts.
func (n *network) breakAll(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		if from, to := c.local.IP.String(), c.remote.IP.String(); from == a && to == b || from == b && to == a {
			c.in.resetLocked()
		}
	}
}

// conn is one end.
type conn struct {
	n             *network
	id            int
	p             *process
	local, remote *net.TCPAddr
	in, out       *pipe
}

func (c *conn) Read(b []byte) (int, error)         { return c.in.read(b) }
func (c *conn) Write(b []byte) (int, error)        { return c.out.write(b) }
func (c *conn) LocalAddr() net.Addr                { return c.local }
func (c *conn) RemoteAddr() net.Addr               { return c.remote }
func (c *conn) SetDeadline(t time.Time) error      { return c.SetReadDeadline(t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return nil } // writes do not wait

func (c *conn) SetReadDeadline(t time.Time) error {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	c.in.deadline = t
	c.in.wakeLocked()
	return nil
}

func (c *conn) Close() error {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	if c.in.closed {
		return net.ErrClosed
	}
	c.in.closed = true
	c.in.wakeLocked()
	c.out.finishLocked()
	for i, other := range c.n.conns {
		if other == c {
			c.n.conns = append(c.n.conns[:i], c.n.conns[i+1:]...)
			break
		}
	}
	return nil
}

// abortLocked is what the end of its process does to a connection. Needs mu.
func (c *conn) abortLocked(reset bool) {
	c.in.closed = true
	c.in.wakeLocked()
	if reset {
		c.out.resetLocked()
	} else {
		c.out.abandoned = true
	}
}

// pipe is one direction of a connection, guarded by network.mu.
type pipe struct {
	n         *network
	id        int
	from, to  string
	rnd       *rand.Rand
	chunks    []chunk
	last      time.Time // arrival of what was sent last
	ended     bool      // a FIN was sent, and arrives at last
	reset     bool      // a RST was sent, and arrives at last
	abandoned bool      // the sender has lost its power
	closed    bool      // the reader has closed its end
	deadline  time.Time // of reads
	change    chan struct{}
}

type chunk struct {
	at time.Time
	b  []byte
}

func newPipe(n *network, id int, from, to string, rnd *rand.Rand) *pipe {
	return &pipe{n: n, id: id, from: from, to: to, rnd: rnd, change: make(chan struct{})}
}

func (p *pipe) wakeLocked() {
	close(p.change)
	p.change = make(chan struct{})
}

// arrivalLocked is when what is sent now arrives: not before what was sent earlier.
func (p *pipe) arrivalLocked() time.Time {
	at := time.Now().Add(p.n.delayLocked(p.rnd, p.from, p.to))
	if at.Before(p.last) {
		at = p.last
	}
	p.last = at
	return at
}

func (p *pipe) finishLocked() {
	if !p.ended && !p.reset {
		p.arrivalLocked()
		p.ended = true
		p.wakeLocked()
	}
}

func (p *pipe) resetLocked() {
	if !p.reset {
		p.arrivalLocked()
		p.reset = true
		p.chunks = nil
		p.wakeLocked()
	}
}

func (p *pipe) write(b []byte) (int, error) {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	up := p.n.upLocked(p.from, p.to) && p.n.upLocked(p.to, p.from)
	switch {
	case p.ended || p.reset:
		return 0, net.ErrClosed
	case p.closed && up && !p.n.off[p.to]:
		return 0, os.NewSyscallError("write", syscall.ECONNRESET)
	case p.closed:
		return len(b), nil // nobody says that it is in vain
	}
	p.chunks = append(p.chunks, chunk{p.arrivalLocked(), append([]byte(nil), b...)})
	p.wakeLocked()
	return len(b), nil
}

func (p *pipe) read(b []byte) (int, error) {
	for {
		p.n.mu.Lock()
		n, wait, err := p.tryLocked(b)
		change := p.change
		p.n.mu.Unlock()
		switch {
		case n > 0 || err != nil:
			return n, err
		case wait < 0:
			<-change
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

// tryLocked reads what has arrived, or says how long to wait; -1 until there is a change.
func (p *pipe) tryLocked(b []byte) (n int, wait time.Duration, err error) {
	now := time.Now()
	wait = -1
	switch {
	case p.closed:
		return 0, 0, net.ErrClosed
	case !p.deadline.IsZero() && !now.Before(p.deadline):
		return 0, 0, os.ErrDeadlineExceeded
	}
	if p.n.upLocked(p.from, p.to) {
		switch {
		case p.reset:
			if wait = p.last.Sub(now); wait <= 0 {
				return 0, 0, os.NewSyscallError("read", syscall.ECONNRESET)
			}
		case len(p.chunks) > 0:
			c := &p.chunks[0]
			if wait = c.at.Sub(now); wait <= 0 {
				n = copy(b, c.b)
				if n > 1 && p.rnd.IntN(8) == 0 {
					n = 1 + p.rnd.IntN(n-1)
				}
				if c.b = c.b[n:]; len(c.b) == 0 {
					p.chunks = p.chunks[1:]
				}
				p.n.w.trace.add(fmt.Sprintf("conn %d: %d bytes %08x to %s", p.id, n, crc32.ChecksumIEEE(b[:n]), p.to))
				return n, 0, nil
			}
		case p.ended:
			if wait = p.last.Sub(now); wait <= 0 {
				return 0, 0, io.EOF
			}
		}
	}
	if !p.deadline.IsZero() {
		if until := p.deadline.Sub(now); wait < 0 || until < wait {
			wait = until
		}
	}
	return 0, wait, nil
}
