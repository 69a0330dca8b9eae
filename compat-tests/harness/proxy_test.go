package harness

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

func TestProxyHoldsBackAndResets(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	p, err := NewProxy(server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", p.Addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	echo := func(c net.Conn, limit time.Duration) error {
		c.SetDeadline(time.Now().Add(limit))
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}
	before := dial()
	if err := echo(before, time.Minute); err != nil {
		t.Fatal(err)
	}
	p.Stall()
	for name, c := range map[string]net.Conn{"connection": before, "new connection": dial()} {
		if err := echo(c, 100*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a stalled %s: %v, want a timeout", name, err)
		}
	}
	p.Resume()
	before.SetDeadline(time.Now().Add(time.Minute))
	if _, err := before.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection that was stalled: %v, want that it ended", err)
	}
	if err := echo(dial(), time.Minute); err != nil {
		t.Errorf("a connection afterwards: %v", err)
	}
}
