package ensemble

import (
	"math/rand/v2"
	"sync"
	"time"
)

// hosts is go-zookeeper's HostProvider without name resolution: the dialer resolves a name each time, so
// that a server that came back with another address is found.
type hosts struct {
	mu        sync.Mutex
	servers   []string
	next      int
	tried     int // since the last good connection
	connected time.Time
}

// A connection that broke sooner than this counts as a failed attempt.
const flapping = time.Second

func (h *hosts) Init(servers []string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.servers = servers
	h.next = rand.IntN(len(servers))
	return nil
}

func (h *hosts) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.servers)
}

// Next returns the next server. retryStart makes the caller wait a second: all servers were tried.
func (h *hosts) Next() (server string, retryStart bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.connected.IsZero() {
		if time.Since(h.connected) > flapping {
			h.tried = 0
		}
		h.connected = time.Time{}
	}
	retryStart = h.tried > 0 && h.tried%len(h.servers) == 0
	h.tried++
	server = h.servers[h.next]
	h.next = (h.next + 1) % len(h.servers)
	return server, retryStart
}

func (h *hosts) Connected() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.connected = time.Now()
}
