package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// grown fails if the broker's memory grew by more than limit since before. The race detector's own memory does not count.
func grown(t *testing.T, s *server, what string, before, limit int64) {
	t.Helper()
	after := s.rss()
	t.Logf("%s: resident %.1f MiB, was %.1f", what, float64(after)/(1<<20), float64(before)/(1<<20))
	if !raceDetector && after-before > limit {
		t.Errorf("%s: resident memory grew by %d MiB, at most %d are right", what, (after-before)>>20, limit>>20)
	}
}

func dialBroker(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// settle waits until the broker has read what was sent and answers others.
func settle(t *testing.T, s *server) {
	t.Helper()
	c, err := askMetadata(s.addr)
	if err != nil {
		t.Fatalf("the broker does not answer others: %v", err)
	}
	c.Close()
}

// TestAnnouncedFramesCostNothing: real Kafka 3.9 allocates what is announced and dies.
func TestAnnouncedFramesCostNothing(t *testing.T) {
	t.Parallel()
	s := startBroker(t, t.TempDir())
	settle(t, s)
	before := s.rss()
	announce := func(bytes int) {
		frame := binary.BigEndian.AppendUint32(nil, 100<<20)
		frame = append(frame, 0, 0, 0, 8, 0, 0, 0, 1, 0xff, 0xff) // a Produce
		frame = append(frame, make([]byte, bytes)...)
		for range 40 {
			if _, err := dialBroker(t, s.addr).Write(frame); err != nil {
				t.Fatal(err)
			}
		}
		settle(t, s)
	}
	announce(1 << 10)
	grown(t, s, "40 connections announced 100 MiB and sent 1 kB", before, 8<<20)
	announce(200 << 10)
	grown(t, s, "40 more announced 100 MiB and sent 200 kB", before, 64<<20)
	produceOne(t, s)
}

func TestGarbageIsRefused(t *testing.T) {
	t.Parallel()
	s := startBroker(t, t.TempDir())
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 64<<10)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	frame := func(body ...byte) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	}
	for name, bytes := range map[string][]byte{
		"noise":                      noise,
		"HTTP":                       []byte("GET / HTTP/1.1\r\nHost: broker\r\n\r\n"),
		"TLS":                        {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3},
		"a negative length":          {0xff, 0xff, 0xff, 0xff, 1, 2, 3},
		"a length above the limit":   {0x7f, 0xff, 0xff, 0xff, 1, 2, 3},
		"an empty frame":             frame(),
		"half a header":              frame(0, 3, 0),
		"an unknown key":             frame(0x0f, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff),
		"an unknown version":         frame(0, 3, 0x7f, 0xff, 0, 0, 0, 1, 0xff, 0xff),
		"a huge array":               frame(0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff),
		"a truncated Produce":        frame(0, 0, 0, 8, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 1, 0, 0),
		"a client id that is longer": frame(0, 3, 0, 1, 0, 0, 0, 1, 0x7f, 0xff),
	} {
		t.Run(name, func(t *testing.T) {
			c := dialBroker(t, s.addr)
			if _, err := c.Write(bytes); err != nil {
				t.Fatal(err)
			}
			_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
			answer, err := io.ReadAll(io.LimitReader(c, 1<<20))
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection stays open")
			}
			if len(answer) > 100 {
				t.Errorf("%d bytes of answer", len(answer))
			}
		})
	}
	settle(t, s)
	select {
	case <-s.exited:
		t.Fatal("the broker died")
	default:
	}
}

// TestSlowLoris: clients that send a byte now and then hold a connection, and nobody else up; connections.max.idle.ms ends those that stop.
func TestSlowLoris(t *testing.T) {
	t.Parallel()
	s := startBroker(t, t.TempDir(), "--set", "connections.max.idle.ms=1500")
	var slow []net.Conn
	for range 100 {
		c := dialBroker(t, s.addr)
		slow = append(slow, c)
	}
	for _, b := range metadataFrame[:10] {
		for _, c := range slow {
			if _, err := c.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		settle(t, s)
	}
	for i, c := range slow {
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("connection %d is not closed after connections.max.idle.ms", i)
		}
	}
}

func TestIdleConnectionsAreCheap(t *testing.T) {
	t.Parallel()
	s := startBroker(t, t.TempDir())
	settle(t, s)
	before := s.rss()
	const n = 2000
	for range n {
		c, err := askMetadata(s.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	after := s.rss()
	t.Logf("%d idle connections: %.1f kB each", n, float64(after-before)/n/1024)
	grown(t, s, "2,000 idle connections", before, 40<<20)
	settle(t, s)
}

// TestClientThatDoesNotRead asks for a lot and takes nothing: what waits for it is files and a bounded buffer, not its answers.
func TestClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	s := startBroker(t, t.TempDir())
	c := s.client(kgo.ProducerBatchCompression(kgo.NoCompression()))
	value := make([]byte, 900_000)
	for range 60 {
		if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: "big", Value: value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	before := s.rss()
	for range 20 {
		conn := dialBroker(t, s.addr)
		var frames []byte
		for id := range 200 {
			frames = append(frames, fetchFrame(int32(id))...)
			frames = append(frames, metadataFrame...)
		}
		_ = conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
		if _, err := conn.Write(frames); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
	settle(t, s)
	grown(t, s, "20 clients asked for 50 MB 200 times each and read nothing", before, 48<<20)
}

// fetchFrame is a Fetch, version 4, of 50 MB of big-0.
func fetchFrame(id int32) []byte {
	b := []byte{0, 1, 0, 4}
	b = binary.BigEndian.AppendUint32(b, uint32(id))
	b = append(b, 0xff, 0xff)             // client id
	b = append(b, 0xff, 0xff, 0xff, 0xff) // replica
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 1) // wait, min bytes
	b = append(b, 3, 0, 0, 0, 0)          // 50 MB, isolation
	b = append(b, 0, 0, 0, 1, 0, 3, 'b', 'i', 'g', 0, 0, 0, 1, 0, 0, 0, 0)
	b = append(b, make([]byte, 8)...) // offset
	b = append(b, 3, 0, 0, 0)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	s := startBroker(t, t.TempDir(), "--set", "max.connections.per.ip=5")
	var open []net.Conn
	for range 5 {
		c, err := askMetadata(s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		open = append(open, c)
	}
	if c, err := askMetadata(s.addr); err == nil {
		c.Close()
		t.Error("a sixth connection is served")
	}
	open[0].Close()
	eventually(t, "room for one more", func() error {
		c, err := askMetadata(s.addr)
		if err != nil {
			return fmt.Errorf("refused: %w", err)
		}
		c.Close()
		return nil
	})
}
