package ensemble

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// conn is a connection to a server that reads along; see the package comment. Read and Write are each
// called by one goroutine at a time.
type conn struct {
	net.Conn
	s         *session
	handshake time.Time // when the server must have answered the connect request
	in        *bufio.Reader
	head      []byte // start of the current packet, not yet passed on
	rest      int    // bytes of the current packet behind head
	answered  bool   // the connect response was seen
	asked     bool   // the connect request was written

	gate     chan struct{} // closed when answers may pass; nil if they always may
	gateOnce sync.Once
}

const (
	packetHeader = 4 + 16 // length; xid, zxid, error
	opSetWatches = 101
	// maxConnectResponse is far above its real size of 37 or 41 bytes.
	maxConnectResponse = 1024
	// gateTimeout ends a wait that should not happen.
	gateTimeout = 2 * time.Second
)

// writeError is a failed write: how much of the request was sent is unknown.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

var errProtocol = errors.New("not a ZooKeeper server's answer")

// newConn wraps c. reconnect says that the session exists already.
func newConn(c net.Conn, s *session, handshake time.Duration, reconnect bool) *conn {
	w := &conn{Conn: c, s: s, handshake: time.Now().Add(handshake), in: bufio.NewReaderSize(c, 16<<10)}
	if reconnect {
		w.gate = make(chan struct{})
	}
	return w
}

func (c *conn) SetReadDeadline(t time.Time) error {
	if !c.answered && (t.IsZero() || t.After(c.handshake)) {
		t = c.handshake
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *conn) Read(p []byte) (int, error) {
	if len(c.head) == 0 && c.rest == 0 {
		if err := c.nextPacket(); err != nil {
			c.s.noteError(err)
			return 0, err
		}
	}
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	n, err := c.in.Read(p[:min(len(p), c.rest)])
	c.rest -= n
	if err != nil {
		c.s.noteError(err)
	}
	return n, err
}

// nextPacket reads the start of a packet, or all of the connect response.
func (c *conn) nextPacket() error {
	if !c.answered {
		return c.connectResponse()
	}
	if cap(c.head) < packetHeader {
		c.head = make([]byte, packetHeader)
	}
	head := c.head[:packetHeader]
	if _, err := io.ReadFull(c.in, head); err != nil {
		return err
	}
	size := int64(binary.BigEndian.Uint32(head))
	if size < packetHeader-4 || size > maxResponseBytes {
		return fmt.Errorf("%w: packet of %d bytes", errProtocol, size)
	}
	c.s.heard()
	xid, zxid := int32(binary.BigEndian.Uint32(head[4:])), int64(binary.BigEndian.Uint64(head[8:]))
	if c.gate != nil && xid >= 0 && zxid > 0 {
		c.waitForGate()
	}
	c.head, c.rest = head, int(size)-(packetHeader-4)
	return nil
}

// connectResponse: length, protocol version, timeout ms, session id, password [, read-only].
func (c *conn) connectResponse() error {
	head := make([]byte, 4, 64)
	if _, err := io.ReadFull(c.in, head); err != nil {
		return fmt.Errorf("no answer to the connect request: %w", err)
	}
	size := binary.BigEndian.Uint32(head)
	if size < 20 || size > maxConnectResponse {
		return fmt.Errorf("%w: connect response of %d bytes", errProtocol, size)
	}
	head = append(head, make([]byte, size)...)
	if _, err := io.ReadFull(c.in, head[4:]); err != nil {
		return fmt.Errorf("no answer to the connect request: %w", err)
	}
	c.answered = true
	timeout := time.Duration(int32(binary.BigEndian.Uint32(head[8:]))) * time.Millisecond
	c.s.heard()
	c.s.negotiated(int64(binary.BigEndian.Uint64(head[12:])), timeout)
	c.head = head
	return nil
}

func (c *conn) waitForGate() {
	timer := time.NewTimer(gateTimeout)
	defer timer.Stop()
	select {
	case <-c.gate:
	case <-timer.C:
		c.openGate()
	}
}

func (c *conn) openGate() {
	if c.gate != nil {
		c.gateOnce.Do(func() { close(c.gate) })
	}
}

// Write is called with one whole packet: length, then xid and operation (or the connect request).
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		err = &writeError{err} // go-zookeeper hands it to the caller of the request as it is
		c.s.noteError(err)
	}
	switch {
	case !c.asked:
		c.asked = true
	case c.gate != nil && len(p) >= 12 && binary.BigEndian.Uint32(p[8:]) == opSetWatches:
		c.openGate()
	}
	return n, err
}

func (c *conn) Close() error {
	c.openGate()
	return c.Conn.Close()
}
