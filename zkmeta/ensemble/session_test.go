package ensemble

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ottla/zkmeta"
	"ottla/zkmeta/zktest"
)

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func create(t testing.TB, s zkmeta.Session, path string, mode zkmeta.Mode) {
	t.Helper()
	if _, err := s.Create(t.Context(), path, nil, mode, nil); err != nil {
		t.Fatal(err)
	}
}

func TestReconnectKeepsSessionAndWatches(t *testing.T) {
	t.Parallel()
	tree := newTree(t)
	c, other := tree.Connect(t), tree.Connect(t)
	gate := tree.gates[c.ID()]
	id := c.ID()
	create(t, c, "/e", zkmeta.Ephemeral)
	for _, path := range []string{"/set", "/del", "/same", "/parent"} {
		create(t, c, path, zkmeta.Persistent)
	}
	events := make(chan zkmeta.Event, 10)
	w := func() *zkmeta.Watch { return zkmeta.NewWatch(func(ev zkmeta.Event) { events <- ev }) }
	for _, path := range []string{"/set", "/del", "/same"} {
		if _, _, err := c.Get(t.Context(), path, w()); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := c.Exists(t.Context(), "/new", w()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Children(t.Context(), "/parent", w()); err != nil {
		t.Fatal(err)
	}
	gate.Shut()
	if _, err := other.Set(t.Context(), "/set", nil, -1); err != nil {
		t.Fatal(err)
	}
	if err := other.Delete(t.Context(), "/del", -1); err != nil {
		t.Fatal(err)
	}
	create(t, other, "/new", zkmeta.Persistent)
	create(t, other, "/parent/x", zkmeta.Persistent)
	gate.Open()
	got := make(map[zkmeta.Event]bool)
	for len(got) < 4 {
		select {
		case ev := <-events:
			got[ev] = true
		case <-time.After(20 * time.Second):
			t.Fatalf("told only of %v", got)
		}
	}
	for _, want := range []zkmeta.Event{{Type: zkmeta.EventDataChanged, Path: "/set"}, {Type: zkmeta.EventDeleted, Path: "/del"},
		{Type: zkmeta.EventCreated, Path: "/new"}, {Type: zkmeta.EventChildrenChanged, Path: "/parent"}} {
		if !got[want] {
			t.Errorf("not told of %v", want)
		}
	}
	if c.ID() != id || c.Silent() {
		t.Errorf("session %x became %x", id, c.ID())
	}
	if _, exists, err := other.Exists(t.Context(), "/e", nil); err != nil || !exists {
		t.Errorf("the ephemeral node is gone after a reconnect: %v", err)
	}
	if _, err := other.Set(t.Context(), "/same", nil, -1); err != nil {
		t.Fatal(err)
	}
	if ev := <-events; ev.Path != "/same" {
		t.Errorf("told of %v", ev)
	}
}

func TestTenThousandWatchesSurviveAReconnect(t *testing.T) {
	t.Parallel()
	tree := newTree(t)
	c, other := tree.Connect(t), tree.Connect(t)
	const n, perMulti = 12_000, 1000
	name := func(i int) string { return fmt.Sprintf("/a-name-of-usual-length-%05d", i) }
	for i := 0; i < n; i += perMulti {
		var ops []zkmeta.Op
		for j := range perMulti {
			ops = append(ops, zkmeta.CreateOp(name(i+j), nil, zkmeta.Persistent, nil))
		}
		if _, err := other.Multi(t.Context(), ops...); err != nil {
			t.Fatal(err)
		}
	}
	var fired atomic.Int64
	err := zkmeta.Pipeline(t.Context(), n, func(i int) error {
		_, _, err := c.Get(t.Context(), name(i), zkmeta.NewWatch(func(zkmeta.Event) { fired.Add(1) }))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	gate := tree.gates[c.ID()]
	gate.Shut()
	for i := 0; i < n; i += perMulti {
		var ops []zkmeta.Op
		for j := range perMulti {
			ops = append(ops, zkmeta.SetOp(name(i+j), nil, -1))
		}
		if _, err := other.Multi(t.Context(), ops...); err != nil {
			t.Fatal(err)
		}
	}
	gate.Open()
	eventually(t, "all watches fire", func() bool { return fired.Load() == n })
}

// TestReconnectsUnderLoad breaks connections while reads, writes and watches go on; with -race it also shows
// whether go-zookeeper's lastZxid is read and written at once.
func TestReconnectsUnderLoad(t *testing.T) {
	t.Parallel()
	tree := newTree(t)
	c, other := tree.Connect(t), tree.Connect(t)
	create(t, c, "/n", zkmeta.Persistent)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, _, err := c.Get(ctx, "/n", nil); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for round := range 4 {
		fired := make(chan struct{}, 1)
		if _, _, err := c.Get(ctx, "/n", zkmeta.NewWatch(func(zkmeta.Event) { fired <- struct{}{} })); err != nil {
			t.Fatal(err)
		}
		var cut sync.WaitGroup
		cut.Go(tree.gates[c.ID()].Cut)
		if _, err := other.Set(ctx, "/n", nil, -1); err != nil {
			t.Fatal(err)
		}
		select {
		case <-fired:
		case <-time.After(20 * time.Second):
			t.Fatalf("round %d: a change at the time of a reconnect was not told", round)
		}
		cut.Wait()
	}
	stop()
	wg.Wait()
}

func TestOutcomeOfALostWriteIsUnknown(t *testing.T) {
	t.Parallel()
	tree := newTree(t)
	c := tree.Connect(t)
	gate := tree.gates[c.ID()]
	gate.LoseWrites()
	errs := make(chan error, 3)
	go func() { _, err := c.Create(t.Context(), "/w", nil, zkmeta.Persistent, nil); errs <- err }()
	go func() {
		_, err := c.Multi(t.Context(), zkmeta.CreateOp("/m", nil, zkmeta.Persistent, nil))
		errs <- err
	}()
	go func() { _, _, err := c.Children(t.Context(), "/", nil); errs <- err }()
	s := c.(*session)
	eventually(t, "three requests are under way", func() bool { return len(s.slots) == 3 })
	time.Sleep(20 * time.Millisecond) // they are in go-zookeeper's hands; now they are written too
	gate.Cut()
	lost := 0
	for range 3 {
		if err := <-errs; errors.Is(err, zkmeta.ErrConnectionLoss) {
			lost++
		} else if err != nil {
			t.Error(err)
		}
	}
	if lost != 2 {
		t.Errorf("%d requests report a lost connection, want the two writes", lost)
	}
	if _, exists, err := c.Exists(t.Context(), "/w", nil); err != nil || exists {
		t.Errorf("after the reconnect: %v, %v", exists, err)
	}
}

func TestCallsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	tree := newTree(t)
	tree.cfg.MaxInFlight = 5
	c := tree.Connect(t)
	tree.gates[c.ID()].LoseWrites()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			_, err := c.Create(ctx, fmt.Sprintf("/%d", i), nil, zkmeta.Persistent, nil)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error is %v", err)
			}
		})
	}
	s := c.(*session)
	eventually(t, "the bound is reached", func() bool { return len(s.slots) == 5 })
	wg.Wait()
	if n := len(s.slots); n > 5 {
		t.Errorf("%d requests under way", n)
	}
	tree.gates[c.ID()].Cut()
	if _, _, err := c.Exists(t.Context(), "/", nil); err != nil {
		t.Errorf("after the reconnect: %v", err)
	}
}

func TestStatesAreTold(t *testing.T) {
	t.Parallel()
	tree := newTree(t)
	states := make(chan State, 100)
	tree.cfg.OnState = func(_ int64, s State) { states <- s }
	c := tree.ConnectShort(t)
	want := func(list ...State) {
		t.Helper()
		select {
		case got := <-states:
			if !slices.Contains(list, got) {
				t.Fatalf("state %v, want one of %v", got, list)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("no state %v", list)
		}
	}
	want(Connected)
	gate := tree.gates[c.ID()]
	gate.Shut()
	want(Disconnected)
	want(Silent)
	if !c.Silent() {
		t.Error("not silent")
	}
	gate.Open()
	for { // back in time, or expired
		select {
		case s := <-states:
			if s == Expired {
				<-c.Expired()
				return
			}
			if s == Connected {
				c.Close()
			}
		case <-time.After(20 * time.Second):
			t.Fatal("neither connected nor expired")
		}
	}
}

func TestOneServerWatchPerPath(t *testing.T) {
	tree := newTree(t)
	c := tree.Connect(t)
	create(t, c, "/n", zkmeta.Persistent)
	var fired atomic.Int64
	const n = 500
	for range n {
		if _, _, err := c.Get(t.Context(), "/n", zkmeta.NewWatch(func(zkmeta.Event) { fired.Add(1) })); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Exists(t.Context(), "/n", zkmeta.NewWatch(func(zkmeta.Event) { fired.Add(1) })); err != nil {
			t.Fatal(err)
		}
	}
	s := c.(*session)
	channels := 0
	for m := reflect.ValueOf(s.conn).Elem().FieldByName("watchers").MapRange(); m.Next(); {
		channels += m.Value().Len()
	}
	if channels != 2 { // and the one that never fires
		t.Errorf("go-zookeeper keeps %d watch channels for one path", channels)
	}
	if _, err := c.Set(t.Context(), "/n", nil, -1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all fire", func() bool { return fired.Load() == 2*n })
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	if len(s.watch.m) != 0 {
		t.Errorf("%d entries are left in the watch table", len(s.watch.m))
	}
}

func TestChrootIsCreated(t *testing.T) {
	tree := newTree(t)
	c := tree.Connect(t)
	create(t, c, "/x", zkmeta.Persistent)
	plain := *tree
	plain.cfg.Chroot = ""
	root := plain.Connect(t)
	data, stat, err := root.Get(t.Context(), tree.cfg.Chroot, nil)
	if err != nil || data != nil || stat.EphemeralOwner != 0 {
		t.Errorf("chroot: %q %+v %v", data, stat, err)
	}
	if _, exists, err := root.Exists(t.Context(), tree.cfg.Chroot+"/x", nil); err != nil || !exists {
		t.Errorf("/x is not below the chroot: %v", err)
	}
	if names, _, err := c.Children(t.Context(), "/", nil); err != nil || !slices.Equal(names, []string{"x"}) {
		t.Errorf("children of the chroot: %q, %v", names, err)
	}
}

func TestDigestAuthentication(t *testing.T) {
	t.Parallel()
	tree := newTree(t)
	tree.cfg.SecureACLs = true
	tree.cfg.Auth = []Auth{{"digest", "kafka:secret"}}
	c := tree.Connect(t)
	if err := zkmeta.EnsurePersistent(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	create(t, c, "/config/users/alice", zkmeta.Persistent)
	stranger := *tree
	stranger.cfg.SecureACLs, stranger.cfg.Auth = false, nil
	s := stranger.Connect(t)
	if _, _, err := s.Get(t.Context(), "/brokers/ids", nil); err != nil {
		t.Errorf("read of what all may read: %v", err)
	}
	if _, err := s.Set(t.Context(), "/brokers/ids", nil, -1); !errors.Is(err, zkmeta.ErrNoAuth) {
		t.Errorf("write by a stranger: %v", err)
	}
	if _, _, err := s.Get(t.Context(), "/config/users/alice", nil); !errors.Is(err, zkmeta.ErrNoAuth) {
		t.Errorf("read of a secret by a stranger: %v", err)
	}
	if _, err := s.Create(t.Context(), "/consumers/g", nil, zkmeta.Persistent, nil); err != nil {
		t.Errorf("write below /consumers: %v", err)
	}
	acl, _, err := c.(zkmeta.ACLSession).GetACL(t.Context(), "/brokers/ids")
	if err != nil || len(acl) != 2 || acl[0].Scheme != "digest" || !strings.HasPrefix(acl[0].ID, "kafka:") ||
		acl[1] != (zkmeta.ACL{Perms: zkmeta.PermRead, Scheme: "world", ID: "anyone"}) {
		t.Errorf("ACL is %+v, %v", acl, err)
	}
	// The authentication is repeated on the next connection.
	tree.gates[c.ID()].Cut()
	eventually(t, "authorized after a reconnect", func() bool {
		_, err := c.Set(t.Context(), "/config/users/alice", nil, -1)
		if err != nil && !errors.Is(err, zkmeta.ErrConnectionLoss) {
			t.Fatal(err)
		}
		return err == nil
	})
	tree.cfg.Auth = []Auth{{"nonsense", "x"}}
	gate := &zktest.Gate{}
	tree.cfg.Dial = gate.Dial
	store, err := New(tree.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Connect(t.Context()); !errors.Is(err, zkmeta.ErrAuthFailed) || strings.Contains(err.Error(), "secret") {
		t.Errorf("unknown scheme: %v", err)
	}
}

func TestTLS(t *testing.T) {
	needServer(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"},
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go forward(l, server.Addr)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	roots := x509.NewCertPool()
	roots.AddCert(cert)

	tree := newTree(t)
	tree.cfg.Servers = []string{"localhost:" + port}
	tree.cfg.TLS = &tls.Config{RootCAs: roots}
	c := tree.Connect(t)
	create(t, c, "/tls", zkmeta.Persistent)

	tree.cfg.Servers = []string{"127.0.0.1:" + port} // not in the certificate
	store, err := New(tree.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := store.Connect(ctx); err == nil || !strings.Contains(err.Error(), "TLS") {
		t.Errorf("wrong host name: %v", err)
	}
}

// forward is a TLS terminator before the server.
func forward(l net.Listener, addr string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("tcp", addr)
		if err != nil {
			_ = c.Close()
			continue
		}
		go func() { _, _ = io.Copy(s, c); _ = s.Close(); _ = c.Close() }()
		go func() { _, _ = io.Copy(c, s); _ = s.Close(); _ = c.Close() }()
	}
}

func TestServerRestart(t *testing.T) {
	t.Parallel()
	needServer(t)
	own := zktest.StartZooKeeper(t)
	tree := newTree(t)
	tree.cfg.Servers = []string{own.Addr}
	c := tree.Connect(t)
	create(t, c, "/e", zkmeta.Ephemeral)
	own.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, _, err := c.Get(ctx, "/e", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read without a server: %v", err)
	}
	if err := own.Start(); err != nil {
		t.Fatal(err)
	}
	_, stat, err := c.Get(t.Context(), "/e", nil)
	if err != nil || stat.EphemeralOwner != c.ID() {
		t.Errorf("after the restart: %+v, %v", stat, err)
	}
}

func TestCloseOfAStore(t *testing.T) {
	tree := newTree(t)
	store, err := New(tree.cfg)
	if err != nil {
		t.Fatal(err)
	}
	c, err := store.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	create(t, c, "/e", zkmeta.Ephemeral)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	<-c.Expired()
	if _, err := store.Connect(t.Context()); !errors.Is(err, zkmeta.ErrClosed) {
		t.Errorf("connect after close: %v", err)
	}
	other := tree.Connect(t)
	if _, exists, err := other.Exists(t.Context(), "/e", nil); err != nil || exists {
		t.Errorf("ephemeral node after close: %v, %v", exists, err)
	}
}

func BenchmarkCreatePipelined(b *testing.B) {
	tree := newTree(b)
	c := tree.Connect(b)
	var n atomic.Int64
	b.ReportAllocs()
	for b.Loop() {
		err := zkmeta.Pipeline(context.Background(), 1500, func(int) error {
			_, err := c.Create(context.Background(), fmt.Sprintf("/n%d", n.Add(1)), nil, zkmeta.Persistent, nil)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
