package wire

import (
	"context"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Listen opens a TCP listener with ServerConfig.Backlog (socket.listen.backlog.size); the kernel's own limit if that is 0 or less. The
// options that all connections have are set here once: accepted sockets inherit them, which saves six system calls for each.
func (s *Server) Listen(ctx context.Context, addr string) (net.Listener, error) {
	// Without KeepAlive of its own, Go sets none on connections.
	lc := net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, c syscall.RawConn) (err error) {
		if controlErr := c.Control(func(fd uintptr) { err = s.tune(int(fd)) }); controlErr != nil {
			return controlErr
		}
		return err
	}}
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

// Keep-alive probes as Go has them: a peer that is gone without a word is found out after two and a half minutes, where the idle timeout
// (connections.max.idle.ms) does not come first.
const (
	keepAliveSeconds = 15
	keepAliveProbes  = 9
)

// tune sets the options of a listening socket.
func (s *Server) tune(fd int) error {
	for _, o := range []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepAliveSeconds},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepAliveSeconds},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAliveProbes},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	// A buffer size that the kernel refuses is not worth a listener.
	if s.cfg.SendBuffer > 0 {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, s.cfg.SendBuffer)
	}
	if s.cfg.ReceiveBuffer > 0 {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, s.cfg.ReceiveBuffer)
	}
	return nil
}
