package ensemble

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"ottla/zkmeta"
	"ottla/zkmeta/embedded"
	"ottla/zkmeta/zktest"
)

var (
	server   *zktest.Server
	noServer error
	trees    atomic.Int64
)

func TestMain(m *testing.M) {
	var stop func()
	server, stop, noServer = zktest.Shared()
	code := m.Run()
	stop()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func needServer(t testing.TB) {
	t.Helper()
	if server == nil {
		t.Skip(noServer)
	}
}

// suiteTree is a chroot of the server; each session has its own store and gate.
type suiteTree struct {
	cfg   Config
	gates map[int64]*zktest.Gate
}

func newTree(t testing.TB) *suiteTree {
	needServer(t)
	return &suiteTree{
		cfg: Config{
			Servers: []string{server.Addr}, Chroot: fmt.Sprintf("/tree/%d", trees.Add(1)),
			SessionTimeout: 10 * time.Second, MaxInFlight: 64,
			Log: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.InfoLevel),
		},
		gates: make(map[int64]*zktest.Gate),
	}
}

func (s *suiteTree) connect(t testing.TB, cfg Config) zkmeta.Session {
	t.Helper()
	gate := &zktest.Gate{}
	cfg.Dial = gate.Dial
	store, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	c, err := store.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.gates[c.ID()] = gate
	return c
}

func (s *suiteTree) Connect(t testing.TB) zkmeta.Session { return s.connect(t, s.cfg) }

func (s *suiteTree) ConnectShort(t testing.TB) zkmeta.Session {
	cfg := s.cfg
	cfg.SessionTimeout = 2 * zktest.TickTime
	return s.connect(t, cfg)
}

// Expire keeps the session from the server until it must have expired there.
func (s *suiteTree) Expire(t testing.TB, c zkmeta.Session) {
	gate := s.gates[c.ID()]
	gate.Shut()
	time.Sleep(5 * zktest.TickTime) // the server's clock, there is nothing to wait for
	if !c.Silent() {
		t.Error("not silent after two session timeouts without contact")
	}
	gate.Open()
	select {
	case <-c.Expired():
	case <-time.After(20 * time.Second):
		t.Fatal("not told of the expiry")
	}
}

func TestSuite(t *testing.T) {
	needServer(t)
	zktest.Run(t, func(t *testing.T) zktest.Tree { return newTree(t) })
}

// embeddedTree is the other store, for comparison.
type embeddedTree struct{ store *embedded.Store }

func (e embeddedTree) Connect(t testing.TB) zkmeta.Session {
	c, err := e.store.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}
func (e embeddedTree) ConnectShort(t testing.TB) zkmeta.Session { return e.Connect(t) }
func (e embeddedTree) Expire(_ testing.TB, c zkmeta.Session)    { e.store.Expire(c.ID()) }

func TestEmbeddedBehavesAsZooKeeper(t *testing.T) {
	for range 3 {
		store, err := embedded.Open(embedded.Config{Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		zktest.RunRandom(t, embeddedTree{store}, newTree(t), uint64(time.Now().UnixNano()), 1500)
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}
