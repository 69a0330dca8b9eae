package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ClientConfig describes one connection from this broker to another.
type ClientConfig struct {
	Addr     string
	ClientID string
	// DialFunc opens the connection; nil is TCP. TLS goes in here.
	DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)
	// Timeout bounds dialing, and a request whose context has no deadline; 0 is 30 s.
	Timeout time.Duration
	// ApiVersions asks the broker for its versions first, as Kafka's brokers do for the APIs to the controller but not for fetches and
	// controller requests (spec of the inter-broker protocol). Without it Version knows nothing.
	ApiVersions bool
	// Authenticate, if set, runs before ApiVersions and before any other request: SASL.
	Authenticate func(ctx context.Context, c *Client) error
	// MaxResponseBytes is the largest response frame that is taken; 0 is 2 GiB.
	MaxResponseBytes int32
	Log              zerolog.Logger
}

const (
	defaultClientTimeout = 30 * time.Second
)

// ErrClientClosed is why requests fail after Close.
var ErrClientClosed = errors.New("connection is closed")

// Client is one connection to a broker. Its methods are safe for concurrent use; requests are sent in the order of the calls and answers
// are matched by correlation id. After any error of the connection it is of no more use: dial again.
type Client struct {
	cfg      ClientConfig
	conn     net.Conn
	done     chan struct{} // the reader has ended
	versions map[int16]APIRange

	writeMu sync.Mutex // held over a write; order: writeMu, mu
	out     []byte

	mu      sync.Mutex
	next    int32
	waiting map[int32]*exchange
	err     error
}

// exchange is a request that waits for its answer.
type exchange struct {
	resp     kmsg.Response
	flexible bool
	key      int16
	keep     bool // frame goes to the caller, which releases it
	frame    *buffer
	done     chan struct{}
	err      error
}

// Dial connects, and authenticates and negotiates versions if cfg says so.
func Dial(ctx context.Context, cfg ClientConfig) (*Client, error) {
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultClientTimeout
	}
	if cfg.MaxResponseBytes <= 0 {
		cfg.MaxResponseBytes = 1<<31 - 1
	}
	if cfg.DialFunc == nil {
		var d net.Dialer
		cfg.DialFunc = d.DialContext
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	conn, err := cfg.DialFunc(ctx, "tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("connect to broker at %s: %w", cfg.Addr, err)
	}
	c := &Client{cfg: cfg, conn: conn, done: make(chan struct{}), waiting: map[int32]*exchange{}}
	go c.read()
	if cfg.Authenticate != nil {
		if err := cfg.Authenticate(ctx, c); err != nil {
			c.Close()
			return nil, fmt.Errorf("authenticate to broker at %s: %w", cfg.Addr, err)
		}
	}
	if cfg.ApiVersions {
		if err := c.negotiate(ctx); err != nil {
			c.Close()
			return nil, fmt.Errorf("ask broker at %s for its versions: %w", cfg.Addr, err)
		}
	}
	return c, nil
}

// negotiate asks with version 4, and with version 0 if the broker does not know that.
func (c *Client) negotiate(ctx context.Context) error {
	for _, version := range []int16{4, 0} {
		req := kmsg.NewPtrApiVersionsRequest()
		req.Version = version
		req.ClientSoftwareName, req.ClientSoftwareVersion = "ottla", "1"
		r, err := c.Request(ctx, req)
		if err != nil {
			return err
		}
		resp := r.(*kmsg.ApiVersionsResponse)
		if resp.ErrorCode == kerr.UnsupportedVersion.Code && version > 0 {
			continue
		}
		if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
			return err
		}
		versions := make(map[int16]APIRange, len(resp.ApiKeys))
		for _, k := range resp.ApiKeys {
			versions[k.ApiKey] = APIRange{k.ApiKey, k.MinVersion, k.MaxVersion}
		}
		c.mu.Lock()
		c.versions = versions
		c.mu.Unlock()
		return nil
	}
	return kerr.UnsupportedVersion
}

// Version is the highest version of a key, up to most, that the broker offers; false if there is none or versions were not negotiated.
func (c *Client) Version(key int16, most int16) (int16, bool) {
	c.mu.Lock()
	r, ok := c.versions[key]
	c.mu.Unlock()
	v := min(most, r.Max)
	return v, ok && v >= r.Min
}

// RemoteAddr is the broker's address.
func (c *Client) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// Done is closed when the connection is of no more use.
func (c *Client) Done() <-chan struct{} { return c.done }

// Close closes the connection and waits for its reader. Requests that wait fail with ErrClientClosed.
func (c *Client) Close() error {
	c.fail(ErrClientClosed)
	<-c.done
	return nil
}

// Request sends req at its version and waits for the answer. The byte slices in the answer have memory of their own.
//
// Errors: ctx.Err if ctx ends first, and then the answer is dropped when it comes; otherwise the connection's error. An error code in the
// answer is not an error here.
func (c *Client) Request(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	resp, _, err := c.request(ctx, req, false)
	return resp, err
}

// RequestPooled is Request for large answers: their byte slices alias a pooled buffer that release gives back. release is called once, if err
// is nil.
func (c *Client) RequestPooled(ctx context.Context, req kmsg.Request) (resp kmsg.Response, release func(), err error) {
	resp, frame, err := c.request(ctx, req, true)
	if err != nil {
		return nil, nil, err
	}
	return resp, frame.release, nil
}

func (c *Client) request(ctx context.Context, req kmsg.Request, keep bool) (kmsg.Response, *buffer, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.cfg.Timeout)
		defer cancel()
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	x := &exchange{resp: resp, key: req.Key(), flexible: isFlexible(req.Key(), req.GetVersion()), keep: keep, done: make(chan struct{})}
	id, err := c.send(ctx, req, x)
	if err != nil {
		return nil, nil, fmt.Errorf("%s to broker at %s: %w", kmsg.NameForKey(req.Key()), c.cfg.Addr, err)
	}
	select {
	case <-x.done:
	case <-ctx.Done():
		if c.forget(id) {
			return nil, nil, fmt.Errorf("%s to broker at %s: %w", kmsg.NameForKey(req.Key()), c.cfg.Addr, ctx.Err())
		}
		<-x.done // the answer is being decoded
	}
	if x.err != nil {
		return nil, nil, fmt.Errorf("%s to broker at %s: %w", kmsg.NameForKey(req.Key()), c.cfg.Addr, x.err)
	}
	return x.resp, x.frame, nil
}

// forget gives an exchange up; false if its answer is already taken care of.
func (c *Client) forget(id int32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.waiting[id]
	if x == nil {
		return false
	}
	// The correlation id stays known, so that the answer is not taken for one to nothing.
	c.waiting[id] = nil
	return true
}

func (c *Client) send(ctx context.Context, req kmsg.Request, x *exchange) (id int32, err error) {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return 0, c.err
	}
	id = c.next
	c.next = (c.next + 1) & (1<<31 - 1)
	c.waiting[id] = x
	c.mu.Unlock()

	h := Header{Key: req.Key(), Version: req.GetVersion(), CorrelationID: id, ClientID: c.cfg.ClientID}
	out := append(c.out[:0], 0, 0, 0, 0)
	out = appendRequestHeader(out, h, false, requestHeaderVersion(h.Key, h.Version, x.flexible))
	out = appendRequestBody(out, req)
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	if cap(out) <= maxPooledOut {
		c.out = out
	}
	deadline, _ := ctx.Deadline()
	if err := c.conn.SetWriteDeadline(deadline); err != nil {
		c.fail(err)
		return 0, err
	}
	if _, err := c.conn.Write(out); err != nil { // half a request may have gone out: the connection is lost
		c.fail(err)
		return 0, err
	}
	return id, nil
}

// fail closes the connection with the first error, which every waiting request gets.
func (c *Client) fail(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	waiting := c.waiting
	c.waiting = nil
	c.mu.Unlock()
	c.conn.Close()
	for _, x := range waiting {
		if x != nil {
			x.err = err
			close(x.done)
		}
	}
}

// read takes answers until the connection fails.
func (c *Client) read() {
	defer close(c.done)
	for {
		frame, err := c.readFrame()
		if err == nil {
			err = c.deliver(frame)
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			c.fail(err)
			return
		}
	}
}

// readFrame reads one frame into a buffer that ends where it ends; large ones grow as bytes arrive.
func (c *Client) readFrame() (*buffer, error) {
	var prefix [4]byte
	if _, err := io.ReadFull(c.conn, prefix[:]); err != nil {
		return nil, err
	}
	size := int32(binary.BigEndian.Uint32(prefix[:]))
	if size < 4 || size > c.cfg.MaxResponseBytes {
		return nil, &frameSizeError{size, c.cfg.MaxResponseBytes}
	}
	f := newBuffer(min(int(size), takeAtOnce))
	for have := 0; have < int(size); {
		if have == len(f.b) {
			f.grow(min(int(size), 2*len(f.b)))
		}
		n, err := io.ReadFull(c.conn, f.b[have:min(int(size), len(f.b))])
		have += n
		if err != nil {
			f.release()
			return nil, err
		}
	}
	f.size = int(size)
	return f, nil
}

// deliver decodes an answer for the one who waits for it.
func (c *Client) deliver(frame *buffer) error {
	id := int32(binary.BigEndian.Uint32(frame.b))
	c.mu.Lock()
	x, known := c.waiting[id]
	delete(c.waiting, id)
	c.mu.Unlock()
	if x == nil {
		frame.release()
		if !known {
			return fmt.Errorf("answer with correlation id %d, which was not asked", id)
		}
		return nil
	}
	_, body, err := parseResponseHeader(frame.b[:frame.size], x.key, x.flexible)
	if err == nil {
		if !x.keep {
			body = append([]byte(nil), body...)
		}
		err = readResponse(x.resp, body)
	}
	if err != nil || !x.keep {
		frame.release()
	} else {
		x.frame = frame
	}
	x.err = err
	close(x.done)
	return nil
}

// readResponse decodes a body. The answer to an ApiVersions version that the broker does not know has a body of version 0.
func readResponse(resp kmsg.Response, body []byte) error {
	if resp.Key() == keyApiVersions && len(body) >= 2 && int16(binary.BigEndian.Uint16(body)) == kerr.UnsupportedVersion.Code {
		resp.SetVersion(0)
	}
	return resp.ReadFrom(body)
}
