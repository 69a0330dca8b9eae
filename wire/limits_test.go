package wire

import (
	"strings"
	"testing"
	"time"
)

func TestMaxConnectionsPerIP(t *testing.T) {
	ts := startServer(t, ServerConfig{MaxConnectionsPerIP: 2}, ListenerConfig{}, echoHeartbeat())
	a, b := ts.dial(t), ts.dial(t)
	for _, c := range []*rawConn{a, b} {
		c.send(frameOf(heartbeat("x"), 1))
		c.recv()
	}
	ts.dial(t).wantClosed()
	eventually(t, "the refusal is logged", func() bool {
		return strings.Contains(ts.logs.String(), "too many connections from 127.0.0.1 (maximum = 2)")
	})
	a.Close()
	eventually(t, "one place is free", func() bool { return ts.Connections() == 1 })
	c := ts.dial(t)
	c.send(frameOf(heartbeat("x"), 1))
	c.recv()

	ts.SetLimits(Limits{MaxConnectionsPerIP: 100, PerIPOverrides: map[string]int{"127.0.0.1": 0}})
	ts.dial(t).wantClosed()
}

func TestMaxConnectionsHoldsUpClientsAndMakesRoomForBrokers(t *testing.T) {
	ts := startServer(t, ServerConfig{MaxConnections: 2}, ListenerConfig{}, echoHeartbeat())
	brokers := &testServer{Server: ts.Server, logs: ts.logs}
	brokers.addr = brokers.listen(t, ListenerConfig{Name: "INTERNAL", Privileged: true})

	oldest, newer := ts.dial(t), ts.dial(t)
	for _, c := range []*rawConn{oldest, newer} {
		c.send(frameOf(heartbeat("x"), 1))
		c.recv()
	}
	waiting := ts.dial(t)
	waiting.send(frameOf(heartbeat("x"), 1))
	waiting.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, _ := waiting.Read(make([]byte, 1)); n != 0 {
		t.Fatal("a third connection was served")
	}
	waiting.SetReadDeadline(time.Now().Add(10 * time.Second))

	broker := brokers.dial(t)
	broker.send(frameOf(heartbeat("x"), 2))
	broker.recv()
	oldest.wantClosed()
	newer.Close()
	waiting.recv()
}

func TestConnectionCreationRate(t *testing.T) {
	ts := startServer(t, ServerConfig{MaxConnectionCreationRate: 10}, ListenerConfig{}, echoHeartbeat())
	start := time.Now()
	for range 13 { // a burst of 10, then one each 100 ms
		c := ts.dial(t)
		c.send(frameOf(heartbeat("x"), 1))
		c.recv()
	}
	if d := time.Since(start); d < 200*time.Millisecond {
		t.Errorf("13 connections at 10 a second took only %v", d)
	}
}
