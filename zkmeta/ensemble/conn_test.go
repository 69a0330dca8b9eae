package ensemble

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// hostileServer accepts connections and answers each with bytes.
func hostileServer(t *testing.T, answer []byte) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write(answer)
			_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

func connectResponse(timeoutMs uint32, id uint64, more ...byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, 37)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint32(b, timeoutMs)
	b = binary.BigEndian.AppendUint64(b, id)
	b = binary.BigEndian.AppendUint32(b, 16)
	b = append(b, make([]byte, 17)...)
	return append(b, more...)
}

func TestServersThatAreNone(t *testing.T) {
	huge := binary.BigEndian.AppendUint32(nil, 1<<31-1)
	small := binary.BigEndian.AppendUint32(nil, 8)
	for name, answer := range map[string][]byte{
		"closes":                       nil,
		"speaks HTTP":                  []byte("HTTP/1.1 400 Bad Request\r\n\r\n"),
		"connect response of 2 GiB":    huge,
		"connect response cut":         connectResponse(5000, 7)[:20],
		"packet of 2 GiB":              connectResponse(5000, 7, huge...),
		"packet of 8 bytes":            connectResponse(5000, 7, append(small, make([]byte, 8)...)...),
		"negotiates no session at all": connectResponse(0, 0),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, err := New(Config{Servers: []string{hostileServer(t, answer)}, SessionTimeout: time.Second, Log: zerolog.Nop()})
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
			defer cancel()
			if _, err := store.Connect(ctx); err == nil {
				t.Error("connected")
			}
		})
	}
}

func TestConnectSaysWhatItTried(t *testing.T) {
	addr := hostileServer(t, nil)
	store, err := New(Config{Servers: []string{addr}, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = store.Connect(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "connect request") {
		t.Errorf("error is %v", err)
	}
}

// TestAnswersWaitForTheWatches: after a reconnect nothing that raises the last zxid may pass before the
// watches have been set again.
func TestAnswersWaitForTheWatches(t *testing.T) {
	store, err := New(Config{Servers: []string{"x:1"}, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	client, server := net.Pipe()
	c := newConn(client, newSession(store), time.Minute, true)
	defer c.Close()
	go func() {
		_, _ = server.Write(connectResponse(5000, 7))
		_, _ = server.Write(packet(-2, 0))   // ping
		_, _ = server.Write(packet(1, 0))    // authentication has no zxid
		_, _ = server.Write(packet(-1, 900)) // watch event
		_, _ = server.Write(packet(2, 77))   // an answer
	}()
	go func() {
		buf := make([]byte, 100)
		for {
			if _, err := server.Read(buf); err != nil {
				return
			}
		}
	}()
	read := func(n int) []byte {
		t.Helper()
		buf := make([]byte, n)
		if _, err := io.ReadFull(c, buf); err != nil {
			t.Fatal(err)
		}
		return buf
	}
	if _, err := c.Write(make([]byte, 48)); err != nil { // connect request
		t.Fatal(err)
	}
	read(41)
	for _, xid := range []int32{-2, 1, -1} {
		if p := read(20); int32(binary.BigEndian.Uint32(p[4:])) != xid {
			t.Fatalf("packet %x, want xid %d", p, xid)
		}
	}
	got := make(chan []byte)
	go func() { got <- read(20) }()
	select {
	case <-got:
		t.Fatal("an answer passed before the watches were set")
	case <-time.After(50 * time.Millisecond):
	}
	request := make([]byte, 32)
	binary.BigEndian.PutUint32(request[8:], 4) // get
	if _, err := c.Write(request); err != nil {
		t.Fatal(err)
	}
	select {
	case <-got:
		t.Fatal("an answer passed before the watches were set")
	case <-time.After(20 * time.Millisecond):
	}
	binary.BigEndian.PutUint32(request[8:], opSetWatches)
	if _, err := c.Write(request); err != nil {
		t.Fatal(err)
	}
	if p := <-got; int32(binary.BigEndian.Uint32(p[4:])) != 2 {
		t.Errorf("packet %x", p)
	}
	_ = server.Close()
}

func packet(xid int32, zxid int64) []byte {
	b := binary.BigEndian.AppendUint32(nil, 16)
	b = binary.BigEndian.AppendUint32(b, uint32(xid))
	b = binary.BigEndian.AppendUint64(b, uint64(zxid))
	return binary.BigEndian.AppendUint32(b, 0)
}

func FuzzConnRead(f *testing.F) {
	f.Add(connectResponse(5000, 7, packet(1, 5)...))
	f.Add([]byte("HTTP/1.1 400"))
	store, err := New(Config{Servers: []string{"x:1"}, Log: zerolog.Nop()})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		client, server := net.Pipe()
		go func() {
			_, _ = server.Write(data)
			_ = server.Close()
		}()
		c := newConn(client, newSession(store), time.Minute, false)
		n, _ := io.Copy(io.Discard, c)
		if n > int64(len(data)) {
			t.Errorf("%d bytes became %d", len(data), n)
		}
		_ = c.Close()
	})
}
