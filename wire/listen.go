package wire

import (
	"context"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// Listen opens a TCP listener with ServerConfig.Backlog (socket.listen.backlog.size); the kernel's own limit if that is 0 or less.
func (s *Server) Listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil || s.cfg.Backlog <= 0 {
		return l, err
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return l, nil
	}
	raw, err := tcp.SyscallConn()
	if err == nil {
		// Go listens with somaxconn; a second listen(2) changes the length of the queue.
		if controlErr := raw.Control(func(fd uintptr) { err = unix.Listen(int(fd), s.cfg.Backlog) }); err == nil {
			err = controlErr
		}
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("listen on %s with a backlog of %d: %w", addr, s.cfg.Backlog, err)
	}
	return l, nil
}
