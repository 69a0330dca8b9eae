package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testServer serves apis on a loopback listener until the test ends.
type testServer struct {
	*Server
	addr string
	logs *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func startServer(t testing.TB, cfg ServerConfig, lc ListenerConfig, apis ...API) *testServer {
	t.Helper()
	ts := &testServer{logs: new(lockedBuffer)}
	cfg.Log = zerolog.New(ts.logs)
	cfg.Registry = NewRegistry(apis...)
	ts.Server = NewServer(cfg)
	ts.addr = ts.listen(t, lc)
	return ts
}

func (ts *testServer) listen(t testing.TB, lc ListenerConfig) string {
	t.Helper()
	if lc.Name == "" {
		lc.Name = "PLAINTEXT"
	}
	l, err := ts.Server.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- ts.Serve(l, lc) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := ts.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; !errors.Is(err, ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
	})
	return l.Addr().String()
}

// rawConn is a client that writes bytes as it likes.
type rawConn struct {
	net.Conn
	t testing.TB
}

func (ts *testServer) dial(t testing.TB) *rawConn {
	t.Helper()
	conn, err := net.Dial("tcp", ts.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &rawConn{conn, t}
}

// frameOf encodes a whole request frame.
func frameOf(req kmsg.Request, id int32) []byte {
	h := Header{Key: req.Key(), Version: req.GetVersion(), CorrelationID: id, ClientID: "test-client"}
	out := appendRequestHeader(make([]byte, 4), h, false, requestHeaderVersion(h.Key, h.Version, req.IsFlexible()))
	out = appendRequestBody(out, req)
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	return out
}

func (c *rawConn) send(frames ...[]byte) {
	c.t.Helper()
	if _, err := c.Write(bytes.Join(frames, nil)); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// recv reads one response frame and returns its correlation id and what follows.
func (c *rawConn) recv() (id int32, rest []byte) {
	c.t.Helper()
	var prefix [4]byte
	if _, err := io.ReadFull(c, prefix[:]); err != nil {
		c.t.Fatalf("read response: %v", err)
	}
	p := make([]byte, binary.BigEndian.Uint32(prefix[:]))
	if _, err := io.ReadFull(c, p); err != nil {
		c.t.Fatalf("read response: %v", err)
	}
	return int32(binary.BigEndian.Uint32(p)), p[4:]
}

func (c *rawConn) wantClosed() {
	c.t.Helper()
	n, err := c.Read(make([]byte, 1))
	var timeout net.Error
	if n != 0 || err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatalf("read gave %d bytes and %v, want a closed connection", n, err)
	}
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not so: %s", what)
		}
	}
}

func heartbeat(group string) *kmsg.HeartbeatRequest {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version, req.Group = 4, group
	return req
}

// echoHeartbeat answers with the length of the group as throttle time.
func echoHeartbeat() API {
	return API{12, 0, 4, func(c *Call) Reply {
		req, err := ReadRequest(12, c.Header.Version, c.Body, true)
		if err != nil {
			return Reply{Close: true, CloseReason: err.Error()}
		}
		resp := kmsg.NewPtrHeartbeatResponse()
		resp.ThrottleMillis = int32(len(req.(*kmsg.HeartbeatRequest).Group))
		return Reply{Response: resp}
	}}
}
