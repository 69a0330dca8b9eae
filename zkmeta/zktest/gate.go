package zktest

import (
	"context"
	"errors"
	"net"
	"sync"
)

// Gate stands in a client's dialer: it can cut the connections made through it and refuse new ones.
type Gate struct {
	mu    sync.Mutex
	shut  bool
	conns map[*gated]struct{}
}

var errShut = errors.New("gate is shut")

// Dial is a net.Dialer's DialContext through the gate.
func (g *Gate) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	if shut {
		return nil, errShut
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return nil, errors.Join(errShut, c.Close())
	}
	if g.conns == nil {
		g.conns = make(map[*gated]struct{})
	}
	w := &gated{Conn: c, gate: g}
	g.conns[w] = struct{}{}
	return w, nil
}

// Cut breaks all connections; new ones are let through.
func (g *Gate) Cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		_ = c.Conn.Close()
	}
}

// Shut breaks all connections and refuses new ones until Open.
func (g *Gate) Shut() {
	g.mu.Lock()
	g.shut = true
	g.mu.Unlock()
	g.Cut()
}

// Open lets connections through again.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = false
}

// LoseWrites makes the gate swallow what clients send on the connections of now, so that requests are
// without an answer until Cut.
func (g *Gate) LoseWrites() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		c.mute()
	}
}

type gated struct {
	net.Conn
	gate  *Gate
	mu    sync.Mutex
	muted bool
}

func (c *gated) mute() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.muted = true
}

func (c *gated) Write(p []byte) (int, error) {
	c.mu.Lock()
	muted := c.muted
	c.mu.Unlock()
	if muted {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *gated) Close() error {
	c.gate.mu.Lock()
	delete(c.gate.conns, c)
	c.gate.mu.Unlock()
	return c.Conn.Close()
}
