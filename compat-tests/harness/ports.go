package harness

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports are taken below Linux's ephemeral range (32768 up), so that no client socket takes one between the moment it is
// chosen and the moment a server binds it, nor while a server restarts.
const firstPort, lastPort = 12000, 32000

var (
	portsMu    sync.Mutex
	portsTaken = map[int]bool{}
)

// FreePort returns a loopback port that nothing listens on and that this process has not handed out before.
func FreePort() (int, error) {
	portsMu.Lock()
	defer portsMu.Unlock()
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if portsTaken[port] {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		l.Close()
		portsTaken[port] = true
		return port, nil
	}
	return 0, fmt.Errorf("no free port between %d and %d", firstPort, lastPort)
}
