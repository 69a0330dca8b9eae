package wire

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

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
