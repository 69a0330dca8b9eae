package wire

import (
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// connIO reads from the connection's descriptor with memory that is taken only once there are bytes to read: while it waits,
// the connection has no buffer. It implements source.
type connIO struct {
	c     *Conn
	read  func(fd uintptr) bool // tryRead, bound once
	get   func() []byte
	n     int
	err   error
	idle  bool    // no byte of the next frame is there yet
	first [1]byte // of a connection without descriptor
}

func (s *connIO) init(c *Conn) {
	s.c = c
	switch conn := c.conn.(type) {
	case *net.TCPConn:
		c.raw, _ = conn.SyscallConn()
	case *net.UnixConn:
		c.raw, _ = conn.SyscallConn()
	}
	s.read = s.tryRead
}

// tryRead is the callback of RawConn.Read: false waits until the descriptor is readable.
func (s *connIO) tryRead(fd uintptr) bool {
	p := s.get()
	for {
		n, err := unix.Read(int(fd), p)
		switch err {
		case nil:
			s.n = n
			if n == 0 {
				s.err = io.EOF
			}
			return true
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			s.c.fr.rest()
			return false
		default:
			s.err = err
			return true
		}
	}
}

func (s *connIO) readSome(get func() []byte) (n int, err error) {
	if s.c.raw != nil {
		s.get, s.n, s.err = get, 0, nil
		if err := s.c.raw.Read(s.read); err != nil {
			return 0, err
		}
		n, err = s.n, s.err
	} else {
		n, err = s.readPlain(get)
	}
	if n > 0 {
		s.c.received = time.Now()
		s.c.lastActive.Store(s.c.received.UnixNano())
	}
	return n, err
}

// readPlain reads from a connection without descriptor: while it waits for a request it reads a single byte, for which it needs
// no buffer. TLS and in-memory connections hold the bytes that follow it.
func (s *connIO) readPlain(get func() []byte) (int, error) {
	if !s.idle {
		return s.c.conn.Read(get())
	}
	n, err := s.c.conn.Read(s.first[:])
	if n == 0 {
		return 0, err
	}
	s.idle = false
	get()[0] = s.first[0]
	return 1, nil
}

// bulk is refused to connections that cannot tell whether there are bytes: they would hold the buffer while they wait.
func (s *connIO) bulk(f *buffer) bool {
	if s.c.raw == nil || s.c.listener.Privileged {
		return s.c.raw != nil
	}
	b := s.c.server.budget
	if !b.tryAcquire(bulkBufferSize) {
		return false
	}
	f.budget, f.charged = b, bulkBufferSize
	return true
}

func (s *connIO) partial() {
	if !s.c.listener.Privileged {
		s.c.server.budget.hold(s.c)
	}
}

func (s *connIO) charge(n int, f *buffer) error {
	if s.c.listener.Privileged {
		return nil
	}
	b := s.c.server.budget
	charged, err := b.acquire(s.c.ctx, s.c, int64(n))
	if err != nil {
		return err
	}
	f.budget, f.charged = b, charged
	return nil
}

func (s *connIO) complete() {
	if !s.c.listener.Privileged {
		s.c.server.budget.complete(s.c)
	}
}

// isPeerGone says whether an error only tells that the peer closed the connection.
func isPeerGone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, io.ErrClosedPipe)
}
