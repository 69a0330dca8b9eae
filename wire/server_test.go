package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
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

func TestRequestsOfAnySizeAndFragmentation(t *testing.T) {
	ts := startServer(t, ServerConfig{MaxRequestBytes: 4 << 20}, ListenerConfig{}, API{14, 0, 3, func(c *Call) Reply {
		r, err := ReadRequest(14, c.Header.Version, c.Body, true)
		if err != nil {
			return Reply{Close: true, CloseReason: err.Error()}
		}
		req := r.(*kmsg.SyncGroupRequest)
		resp := kmsg.NewPtrSyncGroupResponse()
		resp.MemberAssignment = req.GroupAssignment[0].MemberAssignment
		return Reply{Response: resp}
	}})
	sync := func(payload []byte) *kmsg.SyncGroupRequest {
		req := kmsg.NewPtrSyncGroupRequest()
		req.Version = 3
		req.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: "m", MemberAssignment: payload}}
		return req
	}
	conn := ts.dial(t)
	var stream []byte
	var want [][]byte
	for i, size := range []int{0, 1, 100, 1000, 10_000, readBufferSize - 64, readBufferSize - 40, readBufferSize, 100_000, 1 << 20, 1<<20 + 77, 3 << 20, 5, 70_000, 3} {
		p := bytes.Repeat([]byte{byte(i + 1)}, size)
		want = append(want, p)
		stream = append(stream, frameOf(sync(p), int32(i))...)
	}
	go func() {
		for pieces := []int{1, 3, 2, 700, 5, 64 << 10, 4096, 1, 1, 100_000}; len(stream) > 0; {
			n := min(pieces[0], len(stream))
			pieces = append(pieces[1:], pieces[0])
			if _, err := conn.Write(stream[:n]); err != nil {
				t.Error(err)
				return
			}
			stream = stream[n:]
		}
	}()
	for i, p := range want {
		id, rest := conn.recv()
		if id != int32(i) || !bytes.HasSuffix(rest, p) || len(rest) < len(p) {
			t.Fatalf("answer %d has id %d and %d bytes, want %d of %d", i, id, len(rest), len(p), i+1)
		}
	}
}

func TestWrongRequestsCloseTheConnection(t *testing.T) {
	ts := startServer(t, ServerConfig{MaxRequestBytes: 1000}, ListenerConfig{}, echoHeartbeat())
	for _, tt := range []struct {
		name  string
		frame []byte
	}{
		{"unknown key", frameOf(kmsg.NewPtrMetadataRequest(), 1)},
		{"unsupported version", []byte{0, 0, 0, 10, 0, 12, 0, 5, 0, 0, 0, 1, 0, 0}},
		{"negative version", []byte{0, 0, 0, 10, 0, 12, 0xff, 0xff, 0, 0, 0, 1, 0, 0}},
		{"size is negative", []byte{0xff, 0xff, 0xff, 0xff, 0, 12}},
		{"size above the limit", []byte{0, 0, 0x10, 0, 0, 12}},
		{"header cut short", []byte{0, 0, 0, 4, 0, 12, 0, 0}},
		{"body cut short", []byte{0, 0, 0, 12, 0, 12, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9}},
		{"http", []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := ts.dial(t)
			conn.send(tt.frame)
			conn.wantClosed()
		})
	}
	eventually(t, "every close is logged", func() bool { return ts.Connections() == 0 })
	if got := strings.Count(ts.logs.String(), "connection closed"); got == 0 {
		t.Error("no close was logged")
	}
	if !strings.Contains(ts.logs.String(), "unknown api key 3") {
		t.Errorf("log does not name the reason: %s", ts.logs)
	}
}

func TestApiVersionsOfAnUnknownVersion(t *testing.T) {
	ts := startServer(t, ServerConfig{}, ListenerConfig{}, API{18, 0, 4, func(c *Call) Reply { return Reply{Raw: []byte{0, 0}} }})
	conn := ts.dial(t)
	conn.send([]byte{0, 0, 0, 11, 0, 18, 0, 99, 0, 0, 0, 7, 0xde, 0xad, 0xbe})
	id, rest := conn.recv()
	if want := []byte{0, 0x23, 0, 0, 0, 1, 0, 0x12, 0, 0, 0, 4}; id != 7 || !bytes.Equal(rest, want) {
		t.Errorf("answer to version 99: id %d, %x, want %x", id, rest, want)
	}
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version = 3
	conn.send(frameOf(req, 8)) // the connection goes on; the response header is version 0 although the request is flexible
	if id, rest := conn.recv(); id != 8 || len(rest) != 2 {
		t.Errorf("answer to version 3: id %d, %x", id, rest)
	}
}

// produceStages answers Produce by its timeout field: 0 at once, -1 not at all, n > 0 pending until release[n] is closed.
type produceStages struct {
	release [16]chan struct{}
	calls   atomic.Int32
	timeout time.Duration
}

func newProduceStages() *produceStages {
	p := &produceStages{timeout: time.Minute}
	for i := range p.release {
		p.release[i] = make(chan struct{})
	}
	return p
}

type testPending struct {
	n        int32
	done     chan struct{}
	deadline time.Time
}

func (p *testPending) Done() <-chan struct{} { return p.done }
func (p *testPending) Deadline() time.Time   { return p.deadline }
func (p *testPending) Finish() kmsg.Response {
	r := kmsg.NewPtrProduceResponse()
	r.ThrottleMillis = p.n
	return r
}

func (p *produceStages) api() API {
	return API{0, 0, 11, func(c *Call) Reply {
		p.calls.Add(1)
		r, err := ReadRequest(0, c.Header.Version, c.Body, true)
		if err != nil {
			return Reply{Close: true, CloseReason: err.Error()}
		}
		switch n := r.(*kmsg.ProduceRequest).TimeoutMillis; {
		case n == -1:
			return Reply{}
		case n == -2:
			return Reply{Close: true, CloseReason: "acks=0 failed"}
		case n == 0:
			return Reply{Response: kmsg.NewPtrProduceResponse()}
		default:
			return Reply{Pending: &testPending{n, p.release[n], time.Now().Add(p.timeout)}}
		}
	}}
}

func produce(timeout int32) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.TimeoutMillis = 9, timeout
	return req
}

func TestPendingAnswersStayInOrder(t *testing.T) {
	p := newProduceStages()
	ts := startServer(t, ServerConfig{}, ListenerConfig{}, p.api(), echoHeartbeat())
	conn := ts.dial(t)
	conn.send(frameOf(produce(0), 0), frameOf(produce(1), 1), frameOf(produce(-1), 2), frameOf(produce(2), 3), frameOf(produce(0), 4), frameOf(produce(3), 5),
		frameOf(heartbeat("abc"), 6), frameOf(produce(0), 7))
	if id, _ := conn.recv(); id != 0 {
		t.Fatalf("first answer is %d", id)
	}
	eventually(t, "five later produce requests are in their second stage or done", func() bool { return p.calls.Load() == 6 })
	close(p.release[3])
	close(p.release[2])
	conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 1)); n != 0 {
		t.Fatalf("an answer overtook the first pending one (%v)", err)
	}
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	close(p.release[1])
	for _, want := range []int32{1, 3, 4, 5, 6, 7} {
		if id, _ := conn.recv(); id != want {
			t.Fatalf("answer %d came, want %d", id, want)
		}
	}
}

func TestPendingQueueIsBounded(t *testing.T) {
	p := newProduceStages()
	ts := startServer(t, ServerConfig{MaxInFlightProduce: 2}, ListenerConfig{}, p.api())
	conn := ts.dial(t)
	for i := range int32(8) {
		conn.send(frameOf(produce(1), i))
	}
	eventually(t, "the queue is full", func() bool { return p.calls.Load() >= 4 })
	time.Sleep(20 * time.Millisecond) // more calls would come now
	// One is with the writer, two are queued, one waits for a place.
	if n := p.calls.Load(); n != 4 {
		t.Errorf("%d requests were handled, want 4", n)
	}
	close(p.release[1])
	for i := range int32(8) {
		if id, _ := conn.recv(); id != i {
			t.Fatalf("answer %d came, want %d", id, i)
		}
	}
}

func TestPendingDeadline(t *testing.T) {
	p := newProduceStages()
	p.timeout = 20 * time.Millisecond
	ts := startServer(t, ServerConfig{}, ListenerConfig{}, p.api())
	conn := ts.dial(t)
	conn.send(frameOf(produce(1), 1))
	if id, _ := conn.recv(); id != 1 {
		t.Fatal("no answer at the deadline")
	}
}

func TestSilentProduceTakesNoPlace(t *testing.T) {
	p := newProduceStages()
	ts := startServer(t, ServerConfig{}, ListenerConfig{}, p.api(), echoHeartbeat())
	conn := ts.dial(t)
	for range 100 {
		conn.send(frameOf(produce(-1), 5))
	}
	conn.send(frameOf(heartbeat("x"), 9))
	if id, _ := conn.recv(); id != 9 {
		t.Fatalf("answer %d came, want that of the heartbeat", id)
	}
	conn.send(frameOf(produce(0), 10), frameOf(produce(-2), 11))
	if id, _ := conn.recv(); id != 10 {
		t.Fatalf("answer %d came, want the one before the failure", id)
	}
	conn.wantClosed()
	eventually(t, "reason is logged", func() bool { return strings.Contains(ts.logs.String(), "acks=0 failed") })
}

func TestClosedConnectionWithPendingAnswers(t *testing.T) {
	p := newProduceStages()
	ts := startServer(t, ServerConfig{MaxInFlightProduce: 2}, ListenerConfig{}, p.api())
	conn := ts.dial(t)
	for i := range int32(4) {
		conn.send(frameOf(produce(1), i))
	}
	eventually(t, "requests are pending", func() bool { return p.calls.Load() == 4 })
	conn.Close()
	close(p.release[1])
	eventually(t, "the connection is gone", func() bool { return ts.Connections() == 0 })
}

func TestThrottledConnectionIsNotRead(t *testing.T) {
	var calls atomic.Int32
	ts := startServer(t, ServerConfig{}, ListenerConfig{}, API{12, 0, 4, func(c *Call) Reply {
		calls.Add(1)
		return Reply{Response: kmsg.NewPtrHeartbeatResponse(), Throttle: 300 * time.Millisecond}
	}})
	conn := ts.dial(t)
	start := time.Now()
	conn.send(frameOf(heartbeat("a"), 1), frameOf(heartbeat("b"), 2))
	conn.recv()
	if d := time.Since(start); d > 200*time.Millisecond {
		t.Errorf("first answer took %v: it must not wait for the throttle time", d)
	}
	if id, _ := conn.recv(); id != 2 || time.Since(start) < 300*time.Millisecond {
		t.Errorf("answer %d after %v, want 2 after 300 ms", id, time.Since(start))
	}
}

func TestIdleConnectionIsClosed(t *testing.T) {
	ts := startServer(t, ServerConfig{IdleTimeout: 100 * time.Millisecond}, ListenerConfig{}, echoHeartbeat())
	conn := ts.dial(t)
	conn.send(frameOf(heartbeat("a"), 1))
	conn.recv()
	conn.wantClosed()
}

func TestClientThatDoesNotReadIsClosed(t *testing.T) {
	big := make([]byte, 8<<20)
	ts := startServer(t, ServerConfig{IdleTimeout: 200 * time.Millisecond}, ListenerConfig{}, API{12, 0, 4, func(c *Call) Reply { return Reply{Raw: big} }})
	conn := ts.dial(t)
	conn.send(frameOf(heartbeat("a"), 1), frameOf(heartbeat("a"), 2), frameOf(heartbeat("a"), 3))
	eventually(t, "the connection is gone", func() bool { return ts.Connections() == 0 })
}

func TestPanicInAHandlerClosesOnlyItsConnection(t *testing.T) {
	ts := startServer(t, ServerConfig{}, ListenerConfig{}, API{11, 0, 0, func(c *Call) Reply { panic("oops") }}, echoHeartbeat())
	other := ts.dial(t)
	conn := ts.dial(t)
	conn.send(frameOf(kmsg.NewPtrJoinGroupRequest(), 1))
	conn.wantClosed()
	other.send(frameOf(heartbeat("a"), 1))
	other.recv()
	if !strings.Contains(ts.logs.String(), "oops") {
		t.Error("the panic was not logged")
	}
}

func TestDetachedFrameStays(t *testing.T) {
	kept := make(chan []byte, 100)
	var releases []func()
	ts := startServer(t, ServerConfig{}, ListenerConfig{}, API{12, 0, 4, func(c *Call) Reply {
		releases = append(releases, c.Detach())
		kept <- c.Body
		return Reply{Response: kmsg.NewPtrHeartbeatResponse()}
	}})
	conn := ts.dial(t)
	const n = 50
	for i := range n {
		conn.send(frameOf(heartbeat(strings.Repeat(string(rune('a'+i%26)), 3000)), int32(i)))
		conn.recv()
	}
	for i := range n {
		body := <-kept
		if !bytes.Contains(body, bytes.Repeat([]byte{byte('a' + i%26)}, 3000)) {
			t.Fatalf("body %d was overwritten", i)
		}
	}
	for _, r := range releases {
		r()
	}
}

func TestShutdownAnswersWhatIsInFlight(t *testing.T) {
	p := newProduceStages()
	entered, leave := make(chan struct{}), make(chan struct{})
	cfg := ServerConfig{Log: zerolog.Nop(), Registry: NewRegistry(p.api(), API{11, 0, 0, func(c *Call) Reply {
		close(entered)
		<-leave
		return Reply{Response: kmsg.NewPtrJoinGroupResponse()}
	}}, echoHeartbeat())}
	ts := &testServer{Server: NewServer(cfg), logs: new(lockedBuffer)}
	ts.addr = ts.listen(t, ListenerConfig{})

	idle, blocked, pending := ts.dial(t), ts.dial(t), ts.dial(t)
	idle.send(frameOf(heartbeat("a"), 1))
	idle.recv()
	blocked.send(frameOf(kmsg.NewPtrJoinGroupRequest(), 2))
	pending.send(frameOf(produce(1), 3))
	<-entered
	eventually(t, "a produce is pending", func() bool { return p.calls.Load() == 1 })

	done := make(chan error, 1)
	go func() { done <- ts.Shutdown(context.Background()) }()
	idle.wantClosed()
	close(leave)
	if id, _ := blocked.recv(); id != 2 {
		t.Error("the request in its handler was not answered")
	}
	close(p.release[1])
	if id, _ := pending.recv(); id != 3 {
		t.Error("the pending produce was not answered")
	}
	if err := <-done; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if _, err := net.Dial("tcp", ts.addr); err == nil {
		t.Error("a connection was accepted after shutdown")
	}
}

func TestShutdownEndsContextsAndThenConnections(t *testing.T) {
	entered := make(chan struct{}, 2)
	stages := newProduceStages()
	cfg := ServerConfig{Registry: NewRegistry(API{11, 0, 0, func(c *Call) Reply {
		entered <- struct{}{}
		<-c.Context().Done()
		return Reply{Response: kmsg.NewPtrJoinGroupResponse()}
	}}, stages.api())}
	ts := &testServer{Server: NewServer(cfg), logs: new(lockedBuffer)}
	ts.addr = ts.listen(t, ListenerConfig{})
	join, pending := ts.dial(t), ts.dial(t)
	join.send(frameOf(kmsg.NewPtrJoinGroupRequest(), 1))
	<-entered
	pending.send(frameOf(produce(1), 1))
	eventually(t, "a produce is pending", func() bool { return stages.calls.Load() == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- ts.Shutdown(ctx) }()
	if id, _ := join.recv(); id != 1 {
		t.Error("a handler that watches its context was not answered")
	}
	pending.wantClosed()
	if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shutdown with a request that never ends: %v", err)
	}
	eventually(t, "all connections are gone", func() bool { return ts.Connections() == 0 })
}
