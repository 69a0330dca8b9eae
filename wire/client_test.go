package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func apiVersions(r func() *Registry) API {
	return API{18, 0, 3, func(c *Call) Reply {
		resp := kmsg.NewPtrApiVersionsResponse()
		for _, k := range r().Ranges() {
			resp.ApiKeys = append(resp.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: k.Key, MinVersion: k.Min, MaxVersion: k.Max})
		}
		return Reply{Response: resp}
	}}
}

func dialClient(t *testing.T, addr string, cfg ClientConfig) *Client {
	t.Helper()
	cfg.Addr, cfg.ClientID = addr, "1"
	c, err := Dial(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestClientNegotiatesVersions(t *testing.T) {
	var ts *testServer
	ts = startServer(t, ServerConfig{}, ListenerConfig{}, echoHeartbeat(), apiVersions(func() *Registry { return ts.cfg.Registry }))
	c := dialClient(t, ts.addr, ClientConfig{ApiVersions: true}) // the server has ApiVersions 0-3, the client asks with 4 first
	for _, tt := range []struct {
		key, most, want int16
		ok              bool
	}{{12, 9, 4, true}, {12, 2, 2, true}, {18, 9, 3, true}, {0, 9, 0, false}} {
		if v, ok := c.Version(tt.key, tt.most); ok != tt.ok || ok && v != tt.want {
			t.Errorf("version of key %d up to %d: %d, %v", tt.key, tt.most, v, ok)
		}
	}
}

func TestClientPipelinesConcurrentRequests(t *testing.T) {
	ts := startServer(t, ServerConfig{}, ListenerConfig{}, echoHeartbeat())
	c := dialClient(t, ts.addr, ClientConfig{})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 100 {
				n := g*100 + i
				resp, err := c.Request(context.Background(), heartbeat(strings.Repeat("x", n)))
				if err != nil || resp.(*kmsg.HeartbeatResponse).ThrottleMillis != int32(n) {
					t.Errorf("request %d: %v", n, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestClientDropsAnAnswerNobodyWaitsFor(t *testing.T) {
	leave := make(chan struct{})
	ts := startServer(t, ServerConfig{}, ListenerConfig{}, echoHeartbeat(), API{11, 0, 5, func(c *Call) Reply {
		<-leave
		return Reply{Response: kmsg.NewPtrJoinGroupResponse()}
	}})
	c := dialClient(t, ts.addr, ClientConfig{})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Request(ctx, kmsg.NewPtrJoinGroupRequest()); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("request that is not answered: %v", err)
	}
	close(leave)
	resp, err := c.Request(context.Background(), heartbeat("abc"))
	if err != nil || resp.(*kmsg.HeartbeatResponse).ThrottleMillis != 3 {
		t.Errorf("the next request: %+v, %v", resp, err)
	}
}

func TestClientRequestPooled(t *testing.T) {
	f, content := randomFile(t, 3<<20)
	ts := startServer(t, ServerConfig{}, ListenerConfig{}, API{1, 0, 17, func(c *Call) Reply {
		return Reply{Fetch: &FetchResponse{Topics: []FetchTopic{{Partitions: []FetchPartition{{Records: &countedRegion{fileRegion{f: f, n: len(content)}}}}}}}}
	}})
	c := dialClient(t, ts.addr, ClientConfig{})
	req := kmsg.NewPtrFetchRequest()
	req.Version = 17
	for range 3 {
		resp, release, err := c.RequestPooled(context.Background(), req)
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.(*kmsg.FetchResponse).Topics[0].Partitions[0].RecordBatches; string(got) != string(content) {
			t.Fatal("records differ")
		}
		release()
	}
}

type countedRegion struct{ fileRegion }

func (*countedRegion) Release() {}

func TestClientFailures(t *testing.T) {
	serve := func(f func(conn net.Conn)) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				f(conn)
				conn.Close()
			}
		}()
		t.Cleanup(func() { l.Close(); <-done })
		return l.Addr().String()
	}
	read := func(conn net.Conn) { io.ReadAtLeast(conn, make([]byte, 1000), 10) }
	for _, tt := range []struct {
		name  string
		serve func(conn net.Conn)
		want  string
	}{
		{"closed", func(conn net.Conn) { read(conn) }, "unexpected EOF"},
		{"half an answer", func(conn net.Conn) { read(conn); conn.Write([]byte{0, 0, 0, 9, 0, 0}) }, "unexpected EOF"},
		{"negative size", func(conn net.Conn) { read(conn); conn.Write([]byte{0xff, 0, 0, 9, 0, 0}) }, "is negative"},
		{"wrong correlation id", func(conn net.Conn) { read(conn); conn.Write([]byte{0, 0, 0, 5, 0, 0, 0, 9, 0}) }, "not asked"},
		{"malformed answer", func(conn net.Conn) { read(conn); conn.Write([]byte{0, 0, 0, 6, 0, 0, 0, 0, 0, 0}); read(conn) }, "enough data"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dialClient(t, serve(tt.serve), ClientConfig{})
			if _, err := c.Request(context.Background(), heartbeat("a")); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			c.Close()
			if _, err := c.Request(context.Background(), heartbeat("a")); err == nil {
				t.Error("a closed connection took a request")
			}
		})
	}
	if _, err := Dial(context.Background(), ClientConfig{Addr: "127.0.0.1:1", Timeout: time.Second}); err == nil {
		t.Error("nobody listens there")
	}
	addr := serve(func(conn net.Conn) { read(conn) })
	_, err := Dial(context.Background(), ClientConfig{Addr: addr, Authenticate: func(context.Context, *Client) error { return fmt.Errorf("no: %w", kerr.SaslAuthenticationFailed) }})
	if !errors.Is(err, kerr.SaslAuthenticationFailed) {
		t.Errorf("dial with failing authentication: %v", err)
	}
}
