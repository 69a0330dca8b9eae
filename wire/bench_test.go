package wire

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"
)

// benchServer serves a Produce that is decoded into a struct of the connection and answered at once, as acks=1 is.
func benchServer(b *testing.B) (addr string, server *Server) {
	b.Helper()
	type scratch struct {
		req  kmsg.ProduceRequest
		resp kmsg.ProduceResponse
	}
	server = NewServer(ServerConfig{Log: zerolog.Nop(), Registry: NewRegistry(API{0, 0, 11, func(c *Call) Reply {
		s, _ := c.Conn.Scratch.(*scratch)
		if s == nil {
			s = new(scratch)
			s.resp.Topics = []kmsg.ProduceResponseTopic{{Topic: "topic", Partitions: []kmsg.ProduceResponseTopicPartition{kmsg.NewProduceResponseTopicPartition()}}}
			c.Conn.Scratch = s
		}
		s.req.Version = c.Header.Version
		if err := ReadRequestInto(&s.req, c.Body, true); err != nil {
			return Reply{Close: true, CloseReason: err.Error()}
		}
		s.resp.Topics[0].Partitions[0].Partition = s.req.Topics[0].Partitions[0].Partition
		return Reply{Response: &s.resp}
	}}, echoHeartbeat())})
	l, err := server.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(l, ListenerConfig{})
	}()
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		server.Shutdown(ctx)
		<-done
	})
	return l.Addr().String(), server
}

func processCPU() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkProduceRoundTrip sends requests with window of them in flight; the client's own work is part of it, so cpu-ns/op is
// both sides.
func BenchmarkProduceRoundTrip(b *testing.B) {
	for _, size := range []int{100, 16 << 10, 65 << 10} {
		for _, window := range []int{1, 5, 64} {
			b.Run(fmt.Sprintf("bytes=%d/inflight=%d", size, window), func(b *testing.B) {
				addr, _ := benchServer(b)
				conn, err := net.Dial("tcp", addr)
				if err != nil {
					b.Fatal(err)
				}
				defer conn.Close()
				req := produce(1000)
				req.Topics = []kmsg.ProduceRequestTopic{{Topic: "topic", Partitions: []kmsg.ProduceRequestTopicPartition{{Records: make([]byte, size)}}}}
				frame := frameOf(req, 1)
				var batch []byte
				for range window {
					batch = append(batch, frame...)
				}
				conn.Write(frame)
				first := make([]byte, 4<<10)
				n, err := conn.Read(first)
				if err != nil {
					b.Fatal(err)
				}
				answers := make([]byte, n*window)
				b.SetBytes(int64(len(frame)))
				b.ReportAllocs()
				cpu := processCPU()
				b.ResetTimer()
				for i := 0; i < b.N; i += window {
					if _, err := conn.Write(batch); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(conn, answers); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(processCPU()-cpu)/float64(b.N), "cpu-ns/op")
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
			})
		}
	}
}

// BenchmarkIdleConnection measures what an idle connection costs after a request, both ends' descriptors aside.
func BenchmarkIdleConnection(b *testing.B) {
	addr, server := benchServer(b)
	const n = 2000
	frame := frameOf(heartbeat("group"), 1)
	for b.Loop() {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		conns := make([]int, 0, n)
		ip := [4]byte{127, 0, 0, 1}
		a, _ := net.ResolveTCPAddr("tcp", addr)
		buf := make([]byte, 100)
		for range n { // plain descriptors, so that the client's side takes no memory of ours
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			if err != nil {
				b.Fatal(err)
			}
			if err := unix.Connect(fd, &unix.SockaddrInet4{Port: a.Port, Addr: ip}); err != nil {
				b.Fatal(err)
			}
			unix.Write(fd, frame)
			unix.Read(fd, buf)
			conns = append(conns, fd)
		}
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapInuse-before.HeapInuse)/n, "heap-B/conn")
		b.ReportMetric(float64(after.StackInuse-before.StackInuse)/n, "stack-B/conn")
		for _, fd := range conns {
			unix.Close(fd)
		}
		eventually(b, "connections are gone", func() bool { return server.Connections() == 0 })
	}
}

// BenchmarkFetchWrite compares responses of partitions of a size with sendfile or through the buffer, and a bare sendfile.
func BenchmarkFetchWrite(b *testing.B) {
	f, _ := randomFile(b, 4<<20)
	for _, size := range []int{4 << 10, 16 << 10, 32 << 10, 64 << 10, 256 << 10, 1 << 20} {
		for _, parts := range []int{1, 8} {
			if size*parts > 2<<20 {
				continue
			}
			for _, how := range []string{"ours", "copy", "bare"} {
				b.Run(fmt.Sprintf("bytes=%d/partitions=%d/%s", size, parts, how), func(b *testing.B) {
					benchFetch(b, f, size, parts, how)
				})
			}
		}
	}
}

func benchFetch(b *testing.B, f *os.File, size, parts int, how string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	drained := make(chan int64)
	go func() {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return
		}
		n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{conn}, make([]byte, 1<<20))
		conn.Close()
		drained <- n
	}()
	conn, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	server := NewServer(ServerConfig{Log: zerolog.Nop(), Registry: NewRegistry(echoHeartbeat())})
	c := &Conn{server: server, conn: conn}
	c.io.init(c)
	resp := &FetchResponse{Topics: []FetchTopic{{Name: "topic"}}}
	for i := range parts {
		p := FetchPartition{Partition: int32(i), Records: &countedRegion{fileRegion{f: f, n: size, pos: int64(i * size), noFile: how == "copy"}}}
		resp.Topics[0].Partitions = append(resp.Topics[0].Partitions, p)
	}
	h := Header{Key: 1, Version: 12}
	b.SetBytes(int64(size * parts))
	b.ReportAllocs()
	cpu := processCPU()
	for b.Loop() {
		switch how {
		case "bare":
			err = c.raw.Write(func(fd uintptr) bool {
				for i := range parts {
					pos := int64(i * size)
					for end := pos + int64(size); pos < end; {
						if _, err := unix.Sendfile(int(fd), int(f.Fd()), &pos, int(end-pos)); err == unix.EAGAIN {
							unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
						}
					}
				}
				return true
			})
		default:
			if err = c.writeFetch(h, resp); err == nil {
				err = c.flush()
			}
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(processCPU()-cpu)/float64(b.N), "cpu-ns/op")
	conn.Close()
	<-drained
}

func BenchmarkGuard(b *testing.B) {
	req := produce(1)
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: "topic", Partitions: []kmsg.ProduceRequestTopicPartition{{Records: make([]byte, 100)}}}}
	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version = 17
	fetch.Topics = []kmsg.FetchRequestTopic{{Partitions: make([]kmsg.FetchRequestTopicPartition, 100)}}
	for _, r := range []kmsg.Request{req, fetch} {
		body := appendRequestBody(nil, r)
		b.Run(kmsg.NameForKey(r.Key()), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := CheckCounts(r.Key(), r.GetVersion(), body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
