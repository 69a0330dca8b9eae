package wire

import (
	"fmt"
	"net/netip"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/time/rate"
)

// Limits bound the connections of a broker (KIP-402, KIP-612); 0 is no limit. The inter-broker listener is exempt from
// MaxConnections and the rate: if the former is reached, the connection of another listener that was idle for longest is closed for it.
type Limits struct {
	MaxConnections            int
	MaxConnectionsPerIP       int
	PerIPOverrides            map[string]int // by address; 0 forbids it
	MaxConnectionCreationRate int            // per second
}

// SetLimits replaces the limits. Connections that are open stay.
func (s *Server) SetLimits(l Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits = l
	switch {
	case l.MaxConnectionCreationRate <= 0:
		s.rate = nil
	case s.rate == nil:
		s.rate = rate.NewLimiter(rate.Limit(l.MaxConnectionCreationRate), l.MaxConnectionCreationRate)
	default:
		s.rate.SetLimit(rate.Limit(l.MaxConnectionCreationRate))
		s.rate.SetBurst(l.MaxConnectionCreationRate)
	}
	s.wakeLocked()
}

// waitRate waits until the creation rate allows another connection; false if the server shut down meanwhile.
func (s *Server) waitRate(lc ListenerConfig) bool {
	s.mu.Lock()
	limiter := s.rate
	s.mu.Unlock()
	if limiter == nil || lc.Privileged {
		return true
	}
	if r := limiter.Reserve(); r.OK() {
		if d := r.Delay(); d > 0 {
			s.sleep(d)
		}
	}
	return !s.draining.Load()
}

// admit counts the connection in, waiting for another one to end if MaxConnections is reached, as Kafka does.
// It returns the reason for a refusal.
func (s *Server) admit(c *Conn) (refusal string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.draining.Load() {
			return "server is shut down"
		}
		if most, limited := s.perIPLimitLocked(c.ip); limited && s.perIP[c.ip] >= most {
			return fmt.Sprintf("too many connections from %s (maximum = %d)", c.clientIP(), most)
		}
		if s.limits.MaxConnections <= 0 || len(s.conns) < s.limits.MaxConnections {
			break
		}
		if c.listener.Privileged {
			s.evictLocked()
			break
		}
		freed := s.freed
		s.mu.Unlock()
		select {
		case <-freed:
		case <-s.drain:
		}
		s.mu.Lock()
	}
	s.conns[c] = struct{}{}
	s.perIP[c.ip]++
	s.wg.Add(1)
	return ""
}

func (s *Server) perIPLimitLocked(ip netip.Addr) (most int, limited bool) {
	if !ip.IsValid() {
		return 0, false
	}
	if len(s.limits.PerIPOverrides) > 0 {
		if n, ok := s.limits.PerIPOverrides[ip.String()]; ok {
			return n, true
		}
	}
	return s.limits.MaxConnectionsPerIP, s.limits.MaxConnectionsPerIP > 0
}

// evictLocked closes the connection of a client listener that was idle for longest.
func (s *Server) evictLocked() {
	var oldest *Conn
	for c := range s.conns {
		if !c.listener.Privileged && !c.evicted && (oldest == nil || c.lastActive.Load() < oldest.lastActive.Load()) {
			oldest = c
		}
	}
	if oldest != nil {
		oldest.evicted = true
		go oldest.abort("max.connections is reached and an inter-broker connection needs its place")
	}
}

// remove counts a connection out.
func (s *Server) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.perIP[c.ip]--; s.perIP[c.ip] == 0 {
		delete(s.perIP, c.ip)
	}
	s.wakeLocked()
}

// wakeLocked makes acceptors that wait for a place look again.
func (s *Server) wakeLocked() {
	close(s.freed)
	s.freed = make(chan struct{})
}

// defaultQueuedMaxBytes is a quarter of the memory that the process may use, if that is known.
func defaultQueuedMaxBytes() int64 {
	const fallback, least = 256 << 20, 16 << 20
	limit := debug.SetMemoryLimit(-1)
	if limit == 1<<63-1 {
		limit = cgroupMemory("/sys/fs/cgroup/memory.max")
	}
	if limit <= 0 {
		return fallback
	}
	return max(limit/4, least)
}

// cgroupMemory reads a cgroup's memory limit, 0 if there is none.
func cgroupMemory(path string) int64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil { // "max"
		return 0
	}
	return n
}
