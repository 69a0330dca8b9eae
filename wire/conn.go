package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// coalesceLimit is how many bytes of answers may wait while further complete Produce requests are handled.
const coalesceLimit = 32 << 10

// Conn is one client connection. Handlers use its exported methods, from the reader goroutine unless said otherwise.
type Conn struct {
	// Scratch is for the handlers: what they keep for the connection, such as decoded requests used again.
	Scratch any

	server   *Server
	listener ListenerConfig
	conn     net.Conn
	raw      syscall.RawConn // nil if the connection has no descriptor of its own (TLS, in memory)
	ip       netip.Addr
	index    uint64
	evicted  bool // guarded by server.mu: chosen to make room

	principal       string
	softwareName    string
	softwareVersion string
	featuresEpoch   int64
	clientID        string // of the last request: most connections send one for ever

	// Reader goroutine.
	fr       frameReader
	io       connIO
	call     Call
	out      *[]byte // answers not written yet, nil if none
	fetch    *fetchSender
	received time.Time

	ctx     context.Context // of the handlers
	cancel  context.CancelFunc
	closed  chan struct{}
	closing atomic.Pointer[string] // the first reason to close

	// lastActive and writeSince are read by the reaper: unix nanoseconds, writeSince 0 while nothing is being written.
	lastActive atomic.Int64
	writeSince atomic.Int64
	waiting    atomic.Bool // the reader waits for a frame or the rest of one

	// mu guards the queue of answers that wait for a Pending before them.
	mu      sync.Mutex
	changed sync.Cond // the queue got shorter, writing ended, or the connection closed
	queue   []answer  // ring of MaxInFlightProduce entries, made when first needed
	head, n int
	writing bool // the writer goroutine runs
}

// answer is an entry of the queue.
type answer struct {
	pending Pending
	header  Header
	out     *[]byte // encoded, if pending is nil
}

// Listener is the name of the listener that accepted the connection.
func (c *Conn) Listener() string { return c.listener.Name }

// Privileged says that it is the inter-broker listener.
func (c *Conn) Privileged() bool { return c.listener.Privileged }

// RemoteAddr and LocalAddr are the ends of the connection.
func (c *Conn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// LocalAddr is the address that the client connected to.
func (c *Conn) LocalAddr() net.Addr { return c.conn.LocalAddr() }

// NetConn is the connection itself, for what TLS knows about the peer. It must not be read from or written to.
func (c *Conn) NetConn() net.Conn { return c.conn }

// ClientHost is the peer's address as Kafka prints it: "/127.0.0.1".
func (c *Conn) ClientHost() string { return "/" + c.clientIP() }

func (c *Conn) clientIP() string {
	if c.ip.IsValid() {
		return c.ip.String()
	}
	return c.conn.RemoteAddr().String()
}

// ID names the connection as Kafka does: local address, remote address and a number.
func (c *Conn) ID() string {
	return c.conn.LocalAddr().String() + "-" + c.conn.RemoteAddr().String() + "-" + strconv.FormatUint(c.index, 10)
}

// Principal is who the client is, "User:ANONYMOUS" unless SetPrincipal said otherwise.
func (c *Conn) Principal() string { return c.principal }

// SetPrincipal is called by the authentication handlers.
func (c *Conn) SetPrincipal(p string) { c.principal = p }

// Software is the name and version from the client's ApiVersions request (KIP-511), "unknown" before.
func (c *Conn) Software() (name, version string) {
	return c.SoftwareName(), c.SoftwareVersion()
}

// SoftwareName is the client library's name.
func (c *Conn) SoftwareName() string {
	if c.softwareName == "" {
		return "unknown"
	}
	return c.softwareName
}

// SoftwareVersion is the client library's version.
func (c *Conn) SoftwareVersion() string {
	if c.softwareVersion == "" {
		return "unknown"
	}
	return c.softwareVersion
}

// SetSoftware is called by the ApiVersions handler with strings that do not alias the frame.
func (c *Conn) SetSoftware(name, version string) { c.softwareName, c.softwareVersion = name, version }

// FeaturesEpoch is that of the cluster's features as the client was last told of them, 0 before.
func (c *Conn) FeaturesEpoch() int64 { return c.featuresEpoch }

// SetFeaturesEpoch is called by the ApiVersions handler.
func (c *Conn) SetFeaturesEpoch(epoch int64) { c.featuresEpoch = epoch }

// SetMaxRequestBytes changes the limit for the next frames of this connection: it is smaller before authentication.
func (c *Conn) SetMaxRequestBytes(n int32) { c.fr.limit = n }

// lastRead is when bytes last arrived.
func (c *Conn) lastRead() time.Time { return time.Unix(0, c.lastActive.Load()) }

// abort closes the connection for a reason of ours, from any goroutine.
func (c *Conn) abort(reason string) {
	if !c.closing.CompareAndSwap(nil, &reason) {
		return
	}
	c.cancel()
	close(c.closed)
	c.conn.Close()
	c.mu.Lock()
	c.changed.Broadcast()
	c.mu.Unlock()
}

// serve is the reader goroutine.
func (c *Conn) serve() {
	err := c.serveFrames()
	if c.server.draining.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	if err == nil || !isPeerGone(err) {
		c.waitDrained() // pending answers are still owed
	}
	if err == nil {
		c.abort("")
	} else {
		c.abort(err.Error())
	}
	c.mu.Lock()
	for c.writing {
		c.changed.Wait()
	}
	c.mu.Unlock()
	if c.out != nil {
		putOut(c.out)
	}
	c.fr.close()
	c.logClose(err)
}

// closeReason is the text of an error that ended a connection by what its client sent.
type closeReason string

func (r closeReason) Error() string { return string(r) }

// serveFrames handles requests until there is a reason to close the connection; nil if that is quite normal.
func (c *Conn) serveFrames() (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.server.logPanic(c, p)
			err = closeReason(fmt.Sprintf("handler of api key %d panicked", c.call.Header.Key))
		}
	}()
	for {
		if c.out != nil && !c.fastRequestBuffered() {
			if err := c.flush(); err != nil {
				return err
			}
		}
		if c.server.draining.Load() {
			return nil
		}
		c.io.idle = c.fr.buffered() == 0
		c.waiting.Store(true)
		frame, in, err := c.fr.next()
		c.waiting.Store(false)
		if err != nil {
			return err
		}
		reply, err := c.handle(frame, in)
		if err == nil {
			err = c.answer(&reply)
		}
		in.release()
		if err != nil {
			return err
		}
		if reply.Throttle > 0 {
			c.mute(reply.Throttle)
		}
	}
}

// fastRequestBuffered says that the next frame is there and is one whose handler does not wait for others, so that the
// answers before it may be written together with its own.
func (c *Conn) fastRequestBuffered() bool {
	if len(*c.out) >= coalesceLimit {
		return false
	}
	frame, ok := c.fr.peek()
	if !ok || len(frame) < minHeader {
		return false
	}
	key := binary.BigEndian.Uint16(frame)
	return key == keyProduce || key == keyApiVersions
}

// handle parses the header of a request, checks it and calls its handler.
func (c *Conn) handle(frame []byte, in *buffer) (Reply, error) {
	key, version, ok := peekKey(frame)
	if !ok {
		return Reply{}, closeReason(errShortHeader.Error())
	}
	api := c.server.cfg.Registry.lookup(key)
	if api == nil {
		return Reply{}, closeReason(fmt.Sprintf("unknown api key %d", key))
	}
	if version < api.Min || version > api.Max {
		if key == keyApiVersions {
			return c.unsupportedApiVersions(frame, api)
		}
		return Reply{}, closeReason(fmt.Sprintf("api key %d version %d is not supported", key, version))
	}
	flexible := version >= api.flexibleFrom
	h, clientID, body, err := parseHeader(frame, requestHeaderVersion(key, version, flexible))
	if err != nil {
		return Reply{}, closeReason(fmt.Sprintf("api key %d version %d: %v", key, version, err))
	}
	if err := CheckCounts(key, version, body); err != nil {
		return Reply{}, closeReason(fmt.Sprintf("api key %d version %d: %v", key, version, err))
	}
	if string(clientID) != c.clientID {
		c.clientID = string(clientID)
	}
	h.ClientID = c.clientID
	c.call.Header, c.call.Body, c.call.frame, c.call.Received = h, body, in, c.received
	reply := api.Handle(&c.call)
	c.call.Body, c.call.frame = nil, nil
	return reply, nil
}

// unsupportedApiVersions answers an ApiVersions request of a version that we do not have with error 35 in a body of version
// 0, naming the versions of ApiVersions itself (KIP-511). Nothing after the correlation id is looked at.
func (c *Conn) unsupportedApiVersions(frame []byte, api *registered) (Reply, error) {
	c.call.Header = Header{Key: keyApiVersions, CorrelationID: int32(binary.BigEndian.Uint32(frame[4:]))}
	body := make([]byte, 0, 12)
	body = binary.BigEndian.AppendUint16(body, 35) // UNSUPPORTED_VERSION
	body = binary.BigEndian.AppendUint32(body, 1)
	body = binary.BigEndian.AppendUint16(body, keyApiVersions)
	body = binary.BigEndian.AppendUint16(body, uint16(api.Min))
	body = binary.BigEndian.AppendUint16(body, uint16(api.Max))
	return Reply{Raw: body}, nil
}

// answer takes care of a reply. An error closes the connection.
func (c *Conn) answer(r *Reply) error {
	h := c.call.Header
	if r.Pending != nil || h.Key == keyProduce && !r.Close && c.writerRuns() {
		if err := c.enqueue(h, r); err != nil || !r.Close {
			return err
		}
		c.waitDrained()
		return closeReason(r.CloseReason)
	}
	c.waitDrained()
	switch {
	case r.Fetch != nil:
		if err := c.writeFetch(h, r.Fetch); err != nil {
			return err
		}
	case !r.silent():
		if c.out == nil {
			c.out = getOut()
		}
		*c.out = appendAnswer(*c.out, h, r.Response, r.Raw)
	}
	if r.Close {
		if err := c.flush(); err != nil {
			return err
		}
		return closeReason(r.CloseReason)
	}
	if r.Throttle > 0 {
		return c.flush()
	}
	return nil
}

// appendAnswer appends a whole response frame: length, header, and resp or raw.
func appendAnswer(dst []byte, h Header, resp kmsg.Response, raw []byte) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	flexible := isFlexible(h.Key, h.Version)
	dst = appendResponseHeader(dst, h.Key, h.CorrelationID, flexible)
	switch resp := resp.(type) {
	case nil:
		dst = append(dst, raw...)
	case *kmsg.ProduceResponse:
		dst = appendProduceResponse(dst, h.Version, resp)
	default:
		resp.SetVersion(h.Version)
		dst = resp.AppendTo(dst)
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

// mute waits before the next request is read (KIP-219).
func (c *Conn) mute(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.closed:
	case <-c.server.drain:
	}
}

// flush writes the answers collected so far.
func (c *Conn) flush() error {
	if c.out == nil {
		return nil
	}
	out := c.out
	c.out = nil
	err := c.write(*out)
	putOut(out)
	return err
}

// write writes p; the reaper closes the connection if that takes longer than the idle timeout.
func (c *Conn) write(p []byte) error {
	now := time.Now().UnixNano()
	c.writeSince.Store(now)
	c.lastActive.Store(now)
	_, err := c.conn.Write(p)
	c.writeSince.Store(0)
	return err
}

// logClose writes one line about the end of a connection: a warning, sampled, if the client or the handler did something wrong.
func (c *Conn) logClose(err error) {
	var own closeReason
	var size *frameSizeError
	switch reason := c.closing.Load(); {
	case err == nil:
		c.logReason(*reason, false)
	case errors.As(err, &own) || errors.As(err, &size):
		c.logReason(err.Error(), true)
	case isPeerGone(err) && (*reason == "" || *reason == err.Error()):
		c.logReason("closed by the client", false)
	case isPeerGone(err): // we closed it
		c.logReason(*reason, false)
	default:
		c.logReason(err.Error(), false)
	}
}

func (c *Conn) logReason(reason string, bad bool) {
	if reason == "" {
		reason, bad = "done", false
	}
	e := c.server.log.Debug()
	if bad {
		e = c.server.sampled.Warn()
	}
	e.Stringer("peer", c.conn.RemoteAddr()).Str("listener", c.listener.Name).Str("client_id", c.clientID).Str("reason", reason).
		Msg("connection closed")
}
