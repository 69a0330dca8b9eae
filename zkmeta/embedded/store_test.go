package embedded

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/zkmeta"
	"ottla/zkmeta/zktest"
)

func mustConnect(t testing.TB, s *Store) zkmeta.Session {
	t.Helper()
	c, err := s.Connect(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustCreate(t testing.TB, c zkmeta.Session, path string, data []byte, mode zkmeta.Mode) string {
	t.Helper()
	got, err := c.Create(context.Background(), path, data, mode, nil)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestReopenKeepsTheTreeButNoSessions(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "meta.db")
	s := openTest(t, Config{Path: path})
	c := mustConnect(t, s)
	mustCreate(t, c, "/null", nil, zkmeta.Persistent)
	mustCreate(t, c, "/empty", []byte{}, zkmeta.Persistent)
	mustCreate(t, c, "/q", []byte("x"), zkmeta.Persistent)
	for range 3 {
		mustCreate(t, c, "/q/n", nil, zkmeta.PersistentSequential)
	}
	mustCreate(t, c, "/q/e", nil, zkmeta.EphemeralSequential)
	if err := c.Delete(ctx, "/q/n0000000001", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Set(ctx, "/q", []byte("y"), 0); err != nil {
		t.Fatal(err)
	}
	acl := []zkmeta.ACL{{Perms: 31, Scheme: "world", ID: "anyone"}, {Perms: 1, Scheme: "digest", ID: "u:ä"}}
	if _, err := c.Create(ctx, "/acl", nil, zkmeta.Persistent, acl); err != nil {
		t.Fatal(err)
	}
	last := mustCreate(t, c, "/last", nil, zkmeta.Ephemeral)
	_, lastStat, err := c.Get(ctx, last, nil)
	if err != nil {
		t.Fatal(err)
	}
	oldID := c.ID()

	crash(t, s)
	again := openTest(t, Config{Path: path})
	d := mustConnect(t, again)
	if d.ID() <= oldID {
		t.Errorf("session ids went back from %x to %x", oldID, d.ID())
	}
	names, stat, err := d.Children(ctx, "/q", nil)
	if err != nil || len(names) != 2 {
		t.Errorf("children are %q, %v: ephemeral nodes of the last process must be gone", names, err)
	}
	if data, _, _ := d.Get(ctx, "/q", nil); string(data) != "y" || stat.Version != 1 {
		t.Errorf("read %q, version %d", data, stat.Version)
	}
	if data, _, err := d.Get(ctx, "/null", nil); data != nil || err != nil {
		t.Errorf("null data is %#v, %v", data, err)
	}
	if data, _, _ := d.Get(ctx, "/empty", nil); data == nil {
		t.Error("empty data is null")
	}
	if _, exists, _ := d.Exists(ctx, "/last", nil); exists {
		t.Error("an ephemeral node outlived its process")
	}
	if got, _, err := d.(zkmeta.ACLSession).GetACL(ctx, "/acl"); err != nil || fmt.Sprint(got) != fmt.Sprint(acl) {
		t.Errorf("ACL is %v, %v", got, err)
	}
	if got := mustCreate(t, d, "/q/n", nil, zkmeta.PersistentSequential); got != "/q/n0000000004" {
		t.Errorf("sequence went on with %s", got)
	}
	_, stat, _ = d.Get(ctx, mustCreate(t, d, "/new", nil, zkmeta.Persistent), nil)
	if stat.Czxid <= lastStat.Czxid {
		t.Errorf("zxids went back from %d to %d: broker epochs must only grow", lastStat.Czxid, stat.Czxid)
	}
}

// crash ends a store without telling its sessions or deleting their nodes, as kill -9 does.
func crash(t testing.TB, s *Store) {
	t.Helper()
	s.mu.Lock()
	for id, c := range s.sessions {
		delete(s.sessions, id)
		c.end()
	}
	s.mu.Unlock()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRandomTreeSurvivesReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 1))
	ctx := t.Context()
	for round := range 4 {
		s, err := Open(Config{Path: path, Log: zerolog.Nop()})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		c := mustConnect(t, s)
		var wg sync.WaitGroup
		for range 300 {
			name := fmt.Sprintf("/%c", 'a'+rng.IntN(5))
			for range rng.IntN(3) {
				name += fmt.Sprintf("/%c", 'a'+rng.IntN(5))
			}
			kind, data := rng.IntN(4), make([]byte, rng.IntN(3000))
			wg.Go(func() {
				switch kind {
				case 0, 1:
					_, _ = c.Create(ctx, name, data, zkmeta.Persistent, nil)
				case 2:
					_, _ = c.Set(ctx, name, data, zkmeta.AnyVersion)
				case 3:
					_ = c.Delete(ctx, name, zkmeta.AnyVersion)
				}
			})
		}
		wg.Wait()
		before, err := zktest.Dump(ctx, c, "/")
		if err != nil {
			t.Fatal(err)
		}
		crash(t, s)
		s, err = Open(Config{Path: path, Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		after, err := zktest.Dump(ctx, mustConnect(t, s), "/")
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(before) != fmt.Sprint(after) {
			t.Fatalf("seed %d, round %d: before %v, after %v", seed, round, before, after)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFileIsLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	openTest(t, Config{Path: path})
	_, err := Open(Config{Path: path, LockTimeout: 50 * time.Millisecond})
	if !errors.Is(err, ErrInUse) {
		t.Errorf("second open: %v", err)
	}
	if _, err := Open(Config{Path: filepath.Join(t.TempDir(), "no", "dir")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	if _, err := Open(Config{Path: t.TempDir()}); err == nil {
		t.Error("opened a directory")
	}
}

// TestDamagedFile changes the file everywhere: open must say so, or give the tree as it was (damage in
// unused pages), and never crash or invent something.
func TestDamagedFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "meta.db")
	s := openTest(t, Config{Path: path})
	c := mustConnect(t, s)
	for i := range 60 {
		mustCreate(t, c, fmt.Sprintf("/n%02d", i), make([]byte, 200), zkmeta.Persistent)
	}
	want, err := zktest.Dump(t.Context(), c, "/")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	reported := 0
	check := func(name string, bad []byte) {
		t.Helper()
		file := filepath.Join(dir, "bad.db")
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(Config{Path: file, Log: zerolog.Nop()})
		if err != nil {
			reported++
			if c := (*CorruptError)(nil); !errors.As(err, &c) && !errors.Is(err, errNodeFormat) {
				t.Errorf("%s: %v is not a CorruptError", name, err)
			}
			return
		}
		defer s.Close()
		got, err := zktest.Dump(t.Context(), mustConnect(t, s), "/")
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if fmt.Sprint(got) != fmt.Sprint(want) && len(bad) > 0 {
			// The older of the two meta pages may stand in for a damaged newer one: an older tree is told
			// by fewer nodes, but never by different ones.
			for path, text := range got {
				if path != "/" && want[path] != text {
					t.Errorf("%s: invented %s %s", name, path, text)
				}
			}
		}
	}
	for _, size := range []int{1, 100, 4096, 8192, 12288, 16384, len(good) / 2, len(good) - 4096} {
		if size < len(good) {
			check(fmt.Sprintf("cut to %d bytes", size), good[:size])
		}
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 150 {
		bad := append([]byte(nil), good...)
		at := rng.IntN(len(bad))
		bad[at] ^= byte(1 + rng.IntN(255))
		check(fmt.Sprintf("byte %d flipped", at), bad)
	}
	for page := 0; page+4096 <= len(good) && page < 40*4096; page += 4096 {
		bad := append([]byte(nil), good...)
		clear(bad[page : page+4096])
		check(fmt.Sprintf("page %d zeroed", page/4096), bad)
	}
	if reported < 10 {
		t.Errorf("only %d damages were reported", reported)
	}
}

// slowDisk is a persister whose commits wait to be let through.
type slowDisk struct {
	commits chan int // number of changes
	results chan error
}

func (d *slowDisk) commit(_ int64, changes []change) error {
	d.commits <- len(changes)
	return <-d.results
}
func (d *slowDisk) close() error { return nil }

func openSlow(t testing.TB) (*Store, *slowDisk) {
	s := openTest(t, Config{})
	d := &slowDisk{make(chan int, 100), make(chan error, 100)}
	s.mu.Lock()
	s.disk = d
	s.mu.Unlock()
	return s, d
}

func TestNothingIsSeenBeforeItIsDurable(t *testing.T) {
	ctx := t.Context()
	s, d := openSlow(t)
	c := mustConnect(t, s)
	fired := make(chan zkmeta.Event, 1)
	if _, _, err := c.Children(ctx, "/", zkmeta.NewWatch(func(ev zkmeta.Event) { fired <- ev })); err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error, 1)
	go func() {
		_, err := c.Create(ctx, "/a", nil, zkmeta.Persistent, nil)
		wrote <- err
	}()
	<-d.commits
	reads := make(chan bool, 3)
	go func() {
		_, exists, _ := c.Exists(ctx, "/a", nil)
		reads <- exists
	}()
	go func() {
		names, _, _ := c.Children(ctx, "/", nil)
		reads <- len(names) == 1
	}()
	short, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
	defer cancel()
	if _, _, err := c.Get(short, "/a", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read of what is not durable: %v", err)
	}
	select {
	case <-wrote:
		t.Error("a write returned before its commit")
	case <-reads:
		t.Error("a read showed what was not durable")
	case <-fired:
		t.Error("a watch told of what was not durable")
	default:
	}
	d.results <- nil
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	for range 2 {
		if !<-reads {
			t.Error("a read after the commit does not show it")
		}
	}
	if ev := <-fired; ev.Type != zkmeta.EventChildrenChanged {
		t.Errorf("watch told of %v", ev)
	}
	// What is durable already is read while a commit hangs.
	go func() {
		_, err := c.Create(ctx, "/b", nil, zkmeta.Persistent, nil)
		wrote <- err
	}()
	<-d.commits
	if _, _, err := c.Children(ctx, "/a", nil); err != nil {
		t.Error(err)
	}
	d.results <- nil
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}

func TestWritesShareCommits(t *testing.T) {
	ctx := t.Context()
	s, d := openSlow(t)
	c := mustConnect(t, s)
	const n = 200
	var wg sync.WaitGroup
	wg.Go(func() { mustCreate(t, c, "/first", nil, zkmeta.Persistent) })
	<-d.commits
	for i := range n {
		wg.Go(func() {
			if _, err := c.Create(ctx, fmt.Sprintf("/n%d", i), nil, zkmeta.Persistent, nil); err != nil {
				t.Error(err)
			}
		})
	}
	for { // until all of them wait for the next commit
		s.mu.Lock()
		waiting := len(s.filling.touched)
		s.mu.Unlock()
		if waiting == n+1 { // and their parent
			break
		}
		time.Sleep(time.Millisecond)
	}
	d.results <- nil
	if got := <-d.commits; got != n+1 {
		t.Errorf("second commit has %d changes, want %d", got, n+1)
	}
	d.results <- nil
	wg.Wait()
}

func TestFailedCommitEndsTheStore(t *testing.T) {
	ctx := t.Context()
	failed := make(chan error, 2)
	s := openTest(t, Config{OnFailure: func(err error) { failed <- err }})
	d := &slowDisk{make(chan int, 100), make(chan error, 100)}
	s.disk = d
	c := mustConnect(t, s)
	fired := make(chan zkmeta.Event, 1)
	if _, _, err := c.Children(ctx, "/", zkmeta.NewWatch(func(ev zkmeta.Event) { fired <- ev })); err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 2)
	write := func(path string) {
		_, err := c.Create(ctx, path, nil, zkmeta.Persistent, nil)
		errs <- err
	}
	go write("/a")
	<-d.commits
	go write("/b")
	for s.waiting() == 0 {
		time.Sleep(time.Millisecond)
	}
	diskErr := errors.New("disk is gone")
	d.results <- diskErr
	for range 2 {
		if err := <-errs; !errors.Is(err, diskErr) || !errors.Is(err, kerr.KafkaStorageError) {
			t.Errorf("write: %v", err)
		}
	}
	<-c.Expired()
	if _, _, err := c.Get(ctx, "/", nil); !errors.Is(err, diskErr) {
		t.Errorf("read afterwards: %v", err)
	}
	if _, err := s.Connect(ctx); !errors.Is(err, diskErr) {
		t.Errorf("connect afterwards: %v", err)
	}
	if err := <-failed; !errors.Is(err, diskErr) || len(failed) > 0 {
		t.Errorf("OnFailure: %v", err)
	}
	if len(fired) > 0 {
		t.Error("a watch told of a change that failed")
	}
	s.disk = memory{}
}

func (s *Store) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.filling.touched)
}

func TestCloseMakesEverythingDurable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	s, err := Open(Config{Path: path, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	c := mustConnect(t, s)
	mustCreate(t, c, "/e", nil, zkmeta.Ephemeral)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if _, err := s.Connect(t.Context()); !errors.Is(err, zkmeta.ErrClosed) {
		t.Errorf("connect after close: %v", err)
	}
	<-c.Expired()
	again := openTest(t, Config{Path: path})
	_, stat, err := mustConnect(t, again).Get(t.Context(), "/", nil)
	if err != nil || stat.Cversion != 2 {
		t.Errorf("root: %+v, %v", stat, err)
	}
}

func TestManyWatchesAreDropped(t *testing.T) {
	ctx := t.Context()
	s := openTest(t, Config{})
	c := mustConnect(t, s)
	for i := range 100 {
		if _, _, err := c.Exists(ctx, fmt.Sprintf("/w%d", i), zkmeta.NewWatch(func(zkmeta.Event) {})); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 { // cancelled ones on one path make room
		w := zkmeta.NewWatch(func(zkmeta.Event) {})
		if _, _, err := c.Get(ctx, "/", w); err != nil {
			t.Fatal(err)
		}
		w.Cancel()
	}
	s.mu.Lock()
	if n := len(s.watches.data["/"]); n > 1 {
		t.Errorf("%d watches on one path", n)
	}
	s.mu.Unlock()
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.watches.data) + len(s.watches.child); n != 0 {
		t.Errorf("%d watches are left of a closed session", n)
	}
}
