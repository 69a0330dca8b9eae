package harness

import (
	"errors"
	"io"
	"net"
	"sync"
)

// Proxy passes TCP connections on to a server. While it is stalled it accepts connections and reads nothing from
// either side, as a network that loses every packet looks for a while.
type Proxy struct {
	Addr   string // host:port that it listens on
	target string
	l      net.Listener
	wg     sync.WaitGroup

	mu      sync.Mutex
	stalled bool
	closed  bool
	resumed chan struct{} // closed while it is not stalled
	cutPid  int           // process whose connections alone are stalled; 0: none
	joined  chan struct{} // closed while cutPid is 0
	conns   map[net.Conn]struct{}
}

// NewProxy listens on a free loopback port.
func NewProxy(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{Addr: l.Addr().String(), target: target, l: l, resumed: make(chan struct{}), joined: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	close(p.resumed)
	close(p.joined)
	p.wg.Go(p.accept)
	return p, nil
}

// Stall holds back all bytes from now on.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stalled && !p.closed {
		p.stalled, p.resumed = true, make(chan struct{})
	}
}

// StallFrom is Stall for the connections of one process.
func (p *Proxy) StallFrom(pid int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cutPid == 0 && !p.closed {
		p.cutPid, p.joined = pid, make(chan struct{})
	}
}

// Resume ends Stall and StallFrom: it ends the connections there are and passes on those that come.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resumeLocked()
}

func (p *Proxy) resumeLocked() {
	if !p.stalled && p.cutPid == 0 {
		return
	}
	for c := range p.conns {
		c.Close()
	}
	if p.stalled {
		p.stalled = false
		close(p.resumed)
	}
	if p.cutPid != 0 {
		p.cutPid = 0
		close(p.joined)
	}
}

// Close ends all connections.
func (p *Proxy) Close() {
	p.l.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		c.Close()
	}
	p.resumeLocked()
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *Proxy) accept() {
	for {
		c, err := p.l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			p.wg.Go(func() { p.serve(c) })
		}
	}
}

// keep remembers a connection so that it can be ended; it closes one that comes too late.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		c.Close()
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) drop(c net.Conn) {
	c.Close()
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

func (p *Proxy) serve(client net.Conn) {
	if !p.keep(client) {
		return
	}
	defer p.drop(client)
	p.pass(client)
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		if tcp, ok := client.(*net.TCPConn); ok {
			tcp.SetLinger(0) // a reset, as near to a refusal as a proxy can come
		}
		return
	}
	if !p.keep(server) {
		return
	}
	defer p.drop(server)
	back := make(chan struct{})
	go func() {
		p.copy(client, server, client)
		close(back)
	}()
	p.copy(server, client, client)
	<-back
}

// copy ends both connections when one side has ended. One of them is the client's.
func (p *Proxy) copy(to, from, client net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		p.pass(client)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				if tcp, ok := to.(*net.TCPConn); ok {
					tcp.SetLinger(0)
				}
			}
			return
		}
	}
}

// pass waits until the client's connection is not stalled.
func (p *Proxy) pass(client net.Conn) {
	p.mu.Lock()
	resumed, pid, joined := p.resumed, p.cutPid, p.joined
	p.mu.Unlock()
	<-resumed
	if pid != 0 && owns(pid, client.RemoteAddr(), client.LocalAddr()) {
		<-joined
	}
}
