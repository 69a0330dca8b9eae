package wire

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"
)

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

func TestHalfSentRequestIsClosedWhenIdle(t *testing.T) {
	ts := startServer(t, ServerConfig{IdleTimeout: 100 * time.Millisecond}, ListenerConfig{}, echoHeartbeat())
	conn := ts.dial(t)
	frame := frameOf(heartbeat("a"), 1)
	conn.send(frame, frame[:6]) // the second one arrives with the first
	conn.recv()
	conn.wantClosed()
}

func TestFlushSendsWhatWasHeldBack(t *testing.T) {
	leave := make(chan struct{})
	ts := startServer(t, ServerConfig{}, ListenerConfig{}, API{0, 0, 11, func(c *Call) Reply {
		if c.Header.CorrelationID == 2 {
			if err := c.Flush(); err != nil {
				t.Error(err)
			}
			<-leave
		}
		return Reply{Response: kmsg.NewPtrProduceResponse()}
	}})
	conn := ts.dial(t)
	conn.send(frameOf(produce(0), 1), frameOf(produce(0), 2))
	if id, _ := conn.recv(); id != 1 {
		t.Errorf("answer %d", id)
	}
	close(leave)
	conn.recv()
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

// Accepted connections have the options that their listener was given.
func TestSocketOptionsAreInherited(t *testing.T) {
	accepted := make(chan *Conn, 1)
	ts := startServer(t, ServerConfig{SendBuffer: 50_000, ReceiveBuffer: 60_000}, ListenerConfig{OnConnect: func(c *Conn) { accepted <- c }}, echoHeartbeat())
	ts.dial(t)
	raw, err := (<-accepted).NetConn().(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name                string
		level, option, want int
	}{
		{"SO_SNDBUF", unix.SOL_SOCKET, unix.SO_SNDBUF, 2 * 50_000}, // the kernel doubles it for its own needs
		{"SO_RCVBUF", unix.SOL_SOCKET, unix.SO_RCVBUF, 2 * 60_000},
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
		{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
		{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9},
		{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
	} {
		var got int
		if controlErr := raw.Control(func(fd uintptr) { got, err = unix.GetsockoptInt(int(fd), tt.level, tt.option) }); controlErr != nil || err != nil {
			t.Fatal(controlErr, err)
		}
		if got != tt.want {
			t.Errorf("%s is %d, want %d", tt.name, got, tt.want)
		}
	}
}
