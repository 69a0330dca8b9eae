package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/storage/vfs"
	"ottla/wire/batch"
)

// moveEnv has two directories and no background work: a test moves by stepping.
func moveEnv(t testing.TB, fsys vfs.FS) *env {
	e := newEnv(t, fsys, "/a", "/b")
	e.mod = func(c *ManagerConfig) { c.manual = true }
	cfg := modelConfig()
	cfg.SegmentBytes = 1200
	e.cfg["t"] = cfg
	return e
}

// copyAll steps until the log has moved.
func (e *env) copyAll(l *Log) {
	e.t.Helper()
	var buf []byte
	f := l.Future()
	if f == nil {
		e.t.Fatal("the log is not being moved")
	}
	for done := false; !done; {
		var err error
		if done, err = e.m.mover.step(l, f, &buf); err != nil {
			e.t.Fatalf("move: %v", err)
		}
	}
}

func elsewhere(l *Log) string {
	if l.Dir() == "/a" {
		return "/b"
	}
	return "/a"
}

// dirNames lists the partition directories of a log directory, ids left out.
func dirNames(t testing.TB, fsys vfs.FS, dir string) []string {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		name, rest, found := strings.Cut(e.Name(), ".")
		if found {
			name += rest[strings.LastIndexByte(rest, '-'):]
		}
		names = append(names, name)
	}
	return names
}

// transactional is a batch of a producer with one record.
func transactional(id int64, seq int32) []byte {
	b := batch.NewBuilder(batch.BuilderOptions{ProducerID: id, Sequence: seq, Transactional: true, LeaderEpoch: -1})
	b.Add(1, []byte("k"), []byte("v"), nil)
	return b.Build()
}

func TestMoveTakesEverythingAlong(t *testing.T) {
	mem := vfs.NewMem()
	e := moveEnv(t, mem)
	e.open()
	l, err := e.m.Create(TopicPartition{"t", 0}, [16]byte{7}, true)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		if err := l.AssignEpoch(int32(i/20), l.EndOffset()); err != nil {
			t.Fatal(err)
		}
		mustAppend(t, l, plainBatch(1+i%4, 40, int64(i)))
	}
	mustAppend(t, l, transactional(4711, 0))
	if err := l.AssignEpoch(9, l.EndOffset()); err != nil { // an epoch without records
		t.Fatal(err)
	}
	l.SetHighWatermark(l.EndOffset() - 2)
	if err := l.AdvanceStartOffset(33); err != nil {
		t.Fatal(err)
	}
	e.m.Retain()
	type state struct {
		bytes                 []byte
		start, end, hw, lso   int64
		epochs, producers, id string
	}
	look := func(l *Log) state {
		return state{
			readAll(t, l, l.StartOffset(), l.EndOffset(), 500), l.StartOffset(), l.EndOffset(), l.HighWatermark(), l.LastStableOffset(),
			fmt.Sprint(l.epochs.snapshot()), fmt.Sprint(l.Producers()), fmt.Sprint(l.TopicID()),
		}
	}
	same := func(when string, got, want state) {
		t.Helper()
		if !bytes.Equal(got.bytes, want.bytes) {
			t.Errorf("%s: %d bytes, want the %d of before", when, len(got.bytes), len(want.bytes))
		}
		if got.bytes, want.bytes = nil, nil; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s:\ngot  %v\nwant %v", when, got, want)
		}
	}
	want := look(l)
	old, err := l.Read(l.StartOffset(), 1<<20, l.EndOffset(), true)
	if err != nil {
		t.Fatal(err)
	}
	held := make([]byte, old.Len())
	if _, err := old.ReadAt(held, 0); err != nil {
		t.Fatal(err)
	}
	from, to := l.Dir(), elsewhere(l)
	if err := e.m.Move(l.tp, to); err != nil {
		t.Fatal(err)
	}
	if got := dirNames(t, mem, to); !slices.Equal(got, []string{"t-0-future"}) {
		t.Errorf("%s has %v", to, got)
	}
	e.copyAll(l)
	if l.Dir() != to || l.Future() != nil {
		t.Errorf("the log is in %s", l.Dir())
	}
	if got := dirNames(t, mem, to); !slices.Equal(got, []string{"t-0"}) {
		t.Errorf("%s has %v", to, got)
	}
	if got := dirNames(t, mem, from); !slices.Equal(got, []string{"t-0-delete"}) {
		t.Errorf("%s has %v", from, got)
	}
	same("moved", look(l), want)
	again := make([]byte, len(held))
	if _, err := old.ReadAt(again, 0); err != nil || !bytes.Equal(again, held) {
		t.Errorf("a range that was read before the move: other bytes, %v", err)
	}
	old.Release()
	e.close()

	e.open()
	if l = e.m.Log(l.tp); l.Dir() != to {
		t.Fatalf("after a restart the log is in %s", l.Dir())
	}
	want.epochs = strings.Replace(want.epochs, " {9 151}", "", 1) // the controller says it again
	same("after a restart", look(l), want)
	mustAppend(t, l, plainBatch(1, 10, 1))
	e.close()
}

// What became of the copy when the move ends otherwise.
func TestMoveThatEndsOtherwise(t *testing.T) {
	for name, end := range map[string]func(e *env, l *Log) error{
		"moved to where it is": func(e *env, l *Log) error { return e.m.Move(l.tp, l.Dir()) },
		"deleted":              func(e *env, l *Log) error { return e.m.Delete(l.tp) },
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			e := moveEnv(t, mem)
			e.open()
			l := e.log("t", 0)
			mustAppend(t, l, plainBatch(10, 40, 1))
			to := elsewhere(l)
			if err := e.m.Move(l.tp, to); err != nil {
				t.Fatal(err)
			}
			if _, err := l.copyChunk(l.Future(), new([]byte)); err != nil {
				t.Fatal(err)
			}
			f := l.Future()
			if err := end(e, l); err != nil {
				t.Fatal(err)
			}
			if got := dirNames(t, mem, to); !slices.Equal(got, []string{"t-0-delete"}) {
				t.Errorf("%s has %v", to, got)
			}
			if l.Future() != nil {
				t.Error("the move goes on")
			}
			if _, err := e.m.mover.step(l, f, new([]byte)); !errors.Is(err, errMoveOver) {
				t.Errorf("a step of a move that is over: %v", err)
			}
			if n := e.m.dirNamed(to).logCount.Load(); n != 0 {
				t.Errorf("%d logs counted in %s", n, to)
			}
			e.close()
			e.open()
			if l := e.m.Log(l.tp); l != nil && (l.Dir() == to || l.EndOffset() != 10) || l == nil && name != "deleted" {
				t.Errorf("after a restart: %v", l)
			}
			e.close()
		})
	}
}

func TestMoveRefuses(t *testing.T) {
	var broken atomic.Bool
	e := moveEnv(t, &vfs.Faulty{FS: vfs.NewMem(), Before: func(op vfs.Op) vfs.Fault {
		if broken.Load() && strings.HasPrefix(op.Path, "/c") && op.Kind.Changes() {
			return vfs.Fault{Err: syscall.EIO}
		}
		return vfs.Fault{}
	}})
	e.dirs = []string{"/a", "/b", "/c"}
	e.open()
	l := e.log("t", 0)
	mustAppend(t, l, plainBatch(1, 1, 1))
	want := func(dir string, code error) {
		t.Helper()
		if err := e.m.Move(l.tp, dir); !errors.Is(err, code) {
			t.Errorf("move to %s: %v, want %v", dir, err, code)
		}
	}
	want("/d", kerr.LogDirNotFound)
	want("/a/", kerr.LogDirNotFound)
	if err := e.m.Move(TopicPartition{strings.Repeat("x", 249), 0}, "/a"); !errors.Is(err, kerr.InvalidTopicException) {
		t.Errorf("a name too long for a future log: %v", err)
	}
	broken.Store(true)
	e.m.dirNamed("/c").fail(syscall.EIO)
	want("/c", kerr.KafkaStorageError)
	want(elsewhere(l), kerr.KafkaStorageError) // the copy may be in /c
	want(l.Dir(), nil)
}

func TestPreferredDirectory(t *testing.T) {
	e := moveEnv(t, vfs.NewMem())
	e.open()
	for p := range int32(6) {
		if err := e.m.Prefer(TopicPartition{"t", p}, "/b"); err != nil {
			t.Fatal(err)
		}
	}
	for p := range int32(6) {
		if l := e.log("t", p); l.Dir() != "/b" {
			t.Errorf("partition %d was made in %s", p, l.Dir())
		}
	}
	if l := e.log("t", 6); l.Dir() != "/a" {
		t.Errorf("a partition that nobody said anything about was made in %s, which has more", l.Dir())
	}
	if len(e.m.preferred) != 0 {
		t.Errorf("still remembered: %v", e.m.preferred)
	}
	if err := e.m.Prefer(TopicPartition{"t", 0}, "/x"); !errors.Is(err, kerr.LogDirNotFound) {
		t.Error(err)
	}
	e.m.preferred = make(map[TopicPartition]*logDir, maxPreferred)
	for p := range int32(maxPreferred) {
		e.m.preferLocked(TopicPartition{"u", p}, e.m.dirs[0])
	}
	e.m.preferLocked(TopicPartition{"v", 0}, e.m.dirs[0])
	if len(e.m.preferred) != maxPreferred {
		t.Errorf("%d remembered", len(e.m.preferred))
	}
}

// A start that finds a future log goes on with the move, from where the copy agrees with the log.
func TestMoveGoesOnAfterRestart(t *testing.T) {
	mem := vfs.NewMem()
	e := moveEnv(t, mem)
	e.open()
	e.m.mover.chunk = 500
	l := e.log("t", 0)
	for i := range 30 {
		mustAppend(t, l, plainBatch(1, 60, int64(i)))
	}
	to := elsewhere(l)
	if err := e.m.Move(l.tp, to); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if _, err := l.copyChunk(l.Future(), new([]byte)); err != nil {
			t.Fatal(err)
		}
	}
	part := l.Future().EndOffset()
	if part <= 0 || part >= 30 {
		t.Fatalf("copied up to %d", part)
	}
	e.close()
	// The log loses its tail and goes on in another epoch while nobody knows of the copy.
	e.dirs = []string{l.Dir()}
	e.open()
	l = e.m.Log(l.tp)
	if err := l.TruncateTo(part - 2); err != nil {
		t.Fatal(err)
	}
	if err := l.AssignEpoch(5, l.EndOffset()); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		mustAppend(t, l, plainBatch(1, 30, int64(i)))
	}
	want := readAll(t, l, 0, l.EndOffset(), 1<<20)
	e.close()

	e.dirs = []string{"/a", "/b"}
	e.open()
	l = e.m.Log(l.tp)
	if f := l.Future(); f == nil || f.Dir() != to || f.EndOffset() != part-2 {
		t.Fatalf("future log %v", f)
	}
	e.copyAll(l)
	if got := readAll(t, l, 0, l.EndOffset(), 1<<20); l.Dir() != to || !bytes.Equal(got, want) {
		t.Errorf("in %s: %d bytes, want %d", l.Dir(), len(got), len(want))
	}
	e.close()
}

func TestFutureLogOfAnotherTopicIsDeleted(t *testing.T) {
	mem := vfs.NewMem()
	e := moveEnv(t, mem)
	e.open()
	l, err := e.m.Create(TopicPartition{"t", 0}, [16]byte{1}, true)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, plainBatch(5, 60, 1))
	home, to := l.Dir(), elsewhere(l)
	if err := e.m.Move(l.tp, to); err != nil {
		t.Fatal(err)
	}
	if _, err := l.copyChunk(l.Future(), new([]byte)); err != nil {
		t.Fatal(err)
	}
	e.close()
	e.dirs = []string{home}
	e.open()
	if err := e.m.Delete(l.tp); err != nil {
		t.Fatal(err)
	}
	if l, err = e.m.Create(l.tp, [16]byte{2}, true); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, plainBatch(1, 60, 1))
	e.close()
	e.dirs = []string{"/a", "/b"}
	e.open()
	if l = e.m.Log(l.tp); l.Future() != nil || l.EndOffset() != 1 {
		t.Errorf("log end %d, future log %v", l.EndOffset(), l.Future())
	}
	e.close()
}

// crashedMove is a log with records, moved on a disk that crashes before its n-th change.
type crashedMove struct {
	clone *vfs.Mem
	want  []byte
	steps int
}

func crashMove(n int, mode vfs.CrashMode, rnd *rand.Rand, lie func(vfs.Op) bool) (c crashedMove, err error) {
	mem := vfs.NewMem()
	armed := false
	cfg := func(fsys vfs.FS) ManagerConfig {
		return ManagerConfig{Dirs: []string{"/a", "/b"}, FS: fsys, ClusterID: "c", LogConfig: func(string) LogConfig { return crashConfig(true) }, manual: true}
	}
	m, err := Open(context.Background(), cfg(&vfs.Faulty{FS: mem, Before: func(op vfs.Op) vfs.Fault {
		if armed && op.Kind.Changes() {
			if c.steps++; c.steps == n {
				c.clone = mem.CrashClone(mode, rnd)
			}
		}
		return vfs.Fault{Skip: lie != nil && armed && lie(op)}
	}}))
	if err != nil {
		return c, err
	}
	defer abandon(m)
	m.mover.chunk = 600
	l, err := m.Create(TopicPartition{"t", 0}, [16]byte{1}, true)
	if err != nil {
		return c, err
	}
	for i := range 40 {
		if _, err := l.AppendAsLeader(plainBatch(1, 60, int64(i)), AppendOptions{LeaderEpoch: int32(i / 10)}); err != nil {
			return c, err
		}
	}
	l.SetHighWatermark(40)
	if err := errors.Join(l.AdvanceStartOffset(3), l.Flush(), m.Checkpoint()); err != nil {
		return c, err
	}
	c.want = readBatches(l, 3)
	armed = true
	if err := m.Move(l.tp, elsewhere(l)); err != nil {
		return c, err
	}
	f := l.Future()
	for done := false; !done; {
		if done, err = m.mover.step(l, f, new([]byte)); err != nil {
			return c, err
		}
	}
	if c.clone == nil {
		return c, nil
	}
	m2, err := Open(context.Background(), cfg(c.clone))
	if err != nil {
		return c, err
	}
	defer abandon(m2)
	if l = m2.Log(l.tp); l == nil {
		return c, errors.New("the log is gone")
	}
	if got := readBatches(l, 3); l.Offline() != nil || l.StartOffset() > 3 || !bytes.Equal(got, c.want) {
		return c, fmt.Errorf("the log is in %s, starts at %d and has %d bytes, want %d: %v", l.Dir(), l.StartOffset(), len(got), len(c.want), l.Offline())
	}
	if f := l.Future(); f != nil {
		for done := false; !done; {
			if done, err = m2.mover.step(l, f, new([]byte)); err != nil {
				return c, err
			}
		}
	}
	if got := readBatches(l, 3); !bytes.Equal(got, c.want) {
		return c, fmt.Errorf("after the move was finished in %s: %d bytes, want %d", l.Dir(), len(got), len(c.want))
	}
	return c, nil
}

var crashModes = []vfs.CrashMode{vfs.LoseUnsynced, vfs.KeepPrefix, vfs.KeepAny, vfs.KeepAll}

// The log is on disk as a whole when the move begins: then a crash at any moment of it loses nothing.
func TestCrashAtEveryStepOfAMove(t *testing.T) {
	seeds := max(2, *crashSeeds/200)
	if testing.Short() {
		seeds = 1
	}
	last := 0
	for n := 1; n <= last || last == 0; n++ {
		for _, mode := range crashModes {
			for seed := range seeds {
				if seed > 0 && (mode == vfs.LoseUnsynced || mode == vfs.KeepAll) {
					break // these leave nothing to chance
				}
				c, err := crashMove(n, mode, rand.New(rand.NewPCG(uint64(seed), 8)), nil)
				if err != nil {
					t.Fatalf("crash before change %d (%s, seed %d): %v", n, mode, seed, err)
				}
				last = c.steps
			}
		}
	}
	if last < 40 {
		t.Errorf("a move makes %d changes only", last)
	}
}

// Each sync of a move is there for a reason.
func TestMoveNeedsItsSyncs(t *testing.T) {
	for name, lie := range map[string]func(vfs.Op) bool{
		"the copy's records": func(op vfs.Op) bool {
			return op.Kind == vfs.OpSync && strings.Contains(op.Path, futureDirSuffix) && strings.HasSuffix(op.Path, logSuffix)
		},
		"the copy's files": func(op vfs.Op) bool {
			return op.Kind == vfs.OpSyncDir && strings.Contains(op.Path, futureDirSuffix)
		},
		"the old directory's name": func(op vfs.Op) bool { return op.Kind == vfs.OpSyncDir && (op.Path == "/a" || op.Path == "/b") },
	} {
		t.Run(name, func(t *testing.T) {
			whole, err := crashMove(0, vfs.KeepAll, nil, lie)
			if err != nil {
				t.Fatal(err)
			}
			for i := range whole.steps * 50 {
				n, mode := whole.steps-i%whole.steps, crashModes[i%len(crashModes)]
				if _, err := crashMove(n, mode, rand.New(rand.NewPCG(uint64(i), 9)), lie); err != nil {
					t.Logf("crash before change %d (%s): %v", n, mode, err)
					return
				}
			}
			t.Error("nobody notices that it is never synced")
		})
	}
}

// Any operation in either directory may fail while a log moves: the log is served by a directory that works or is offline, and nothing is lost on disk.
func TestAnyOperationOfAMoveMayFail(t *testing.T) {
	met := 0
	for n := int64(1); ; n++ {
		for _, sticky := range []bool{false, true} {
			hit, err := failMove(t, n, sticky)
			if err != nil {
				t.Fatalf("operation %d fails (from then on: %v): %v", n, sticky, err)
			}
			if hit {
				met++
			} else if sticky {
				if met < 80 {
					t.Errorf("only %d runs met their fault", met)
				}
				return
			}
		}
	}
}

func failMove(t *testing.T, n int64, sticky bool) (hit bool, err error) {
	mem := vfs.NewMem()
	var armed atomic.Bool
	var failed string // the directory whose operation fails
	failing := vfs.FailNth(n, false, syscall.EIO, func(op vfs.Op) bool { return armed.Load() && op.Kind.Changes() })
	e := moveEnv(t, &vfs.Faulty{FS: mem, Before: func(op vfs.Op) vfs.Fault {
		if f := failing(op); f.Err != nil {
			failed = op.Path[:2]
			return f
		}
		if sticky && failed != "" && strings.HasPrefix(op.Path, failed) && op.Kind.Changes() {
			return vfs.Fault{Err: syscall.EIO}
		}
		return vfs.Fault{}
	}})
	e.open()
	e.m.mover.chunk = 600
	l := e.log("t", 0)
	want := &model{}
	add := func(i int) error {
		p := plainBatch(1, 60, int64(i))
		_, err := l.AppendAsLeader(p, AppendOptions{})
		if err != nil {
			v := batch.View(p)
			v.SetBaseOffset(want.end)
			v.SetLeaderEpoch(0)
		}
		want.append(p) // one that failed may be there after a restart all the same
		return err
	}
	for i := range 30 {
		if err := add(i); err != nil {
			return false, err
		}
	}
	if err := l.Flush(); err != nil {
		return false, err
	}
	armed.Store(true)
	end := int64(30)
	err = e.m.Move(l.tp, elsewhere(l))
	if f := l.Future(); f != nil {
		for i := 0; e.m.mover.turn(l, new([]byte)); i++ {
			if add(30+i) != nil {
				break
			}
			end++
		}
	}
	e.m.wg.Wait() // dirFailed
	armed.Store(false)
	hit = failed != ""
	if off := l.Offline(); off == nil {
		if f := l.Future(); f != nil {
			return hit, errors.New("the move neither ended nor failed")
		}
		if err := add(100); err != nil {
			return hit, fmt.Errorf("a log in %s, which works, takes no append: %w", l.Dir(), err)
		}
		end++
		if got := readBatches(l, 0); !bytes.Equal(got, want.from(0, want.end)) {
			return hit, fmt.Errorf("%d bytes in %s", len(got), l.Dir())
		}
		if err := l.Flush(); err != nil {
			return hit, err
		}
	} else if err == nil && l.Dir() != failed {
		return hit, fmt.Errorf("%s is offline: %w", l.Dir(), off)
	} else {
		end = 30
	}
	e.abandon()
	e.fs = mem.CrashClone(vfs.LoseUnsynced, rand.New(rand.NewPCG(1, 1)))
	e.open()
	defer e.abandon()
	if l = e.m.Log(l.tp); l == nil || l.Offline() != nil {
		return hit, fmt.Errorf("the log is gone: %v", l)
	}
	if got := readBatches(l, 0); l.EndOffset() < end || !bytes.HasPrefix(want.from(0, want.end), got) {
		return hit, fmt.Errorf("the log in %s ends at %d, want %d, or has other bytes", l.Dir(), l.EndOffset(), end)
	}
	return hit, nil
}

// Appenders, readers, truncations, retention and moves to and fro at once, for the race detector; every byte read must be right.
func TestMovesUnderLoad(t *testing.T) {
	root := t.TempDir()
	dirs := []string{filepath.Join(root, "a"), filepath.Join(root, "b")}
	e := newEnv(t, vfs.OS, dirs...)
	c := modelConfig()
	c.SegmentBytes, c.FlushMessages = 20_000, 1
	e.cfg["t"] = c
	e.mod = func(c *ManagerConfig) {
		c.HWCheckpointMs, c.FlushCheckpointMs, c.RetentionCheckMs, c.InitialTaskDelayMs = 5, 5, 5, 1
	}
	e.open()
	l := e.log("t", 0)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer func() { cancel(); wg.Wait() }()
	run := func(f func(rnd *rand.Rand)) {
		wg.Go(func() {
			for rnd := rand.New(rand.NewPCG(1, 1)); ctx.Err() == nil; {
				f(rnd)
			}
		})
	}
	var appends atomic.Int64
	durable := make(chan struct{}, 1)
	tell := func() {
		select {
		case durable <- struct{}{}:
		default:
		}
	}
	l.OnDurable(tell)
	var truncating atomic.Bool // in the second half only: in the first nothing else wakes who waits
	run(func(rnd *rand.Rand) { // what acks=all does with flush.messages=1: it waits to be told
		end := mustAppend(t, l, plainBatch(1+rnd.IntN(4), rnd.IntN(300), 1)).LastOffset + 1
		appends.Add(1)
		late := time.After(time.Minute)
		for l.DurableEndOffset() < min(end, l.EndOffset()) {
			select {
			case <-durable:
			case <-late:
				t.Errorf("durable up to %d, the log ends at %d, and nobody says more", l.DurableEndOffset(), l.EndOffset())
				return
			}
		}
	})
	for range 2 {
		run(func(rnd *rand.Rand) {
			start, end := l.StartOffset(), l.EndOffset()
			if end <= start {
				return
			}
			off := start + rnd.Int64N(end-start)
			r, err := l.Read(off, 3000, end, true)
			if err != nil && !errors.Is(err, kerr.OffsetOutOfRange) {
				t.Error(err)
			}
			if r == nil {
				return
			}
			defer r.Release()
			p := make([]byte, r.Len())
			if _, err := r.ReadAt(p, 0); err != nil {
				t.Error(err)
			}
			for next := int64(-1); len(p) > 0; {
				v, rest, err := batch.Next(p)
				if err != nil || v.VerifyCRC() != nil || next >= 0 && v.BaseOffset() != next || next < 0 && (v.BaseOffset() > off || v.LastOffset() < off) {
					t.Errorf("read at %d: %v, batch %d-%d, expected %d", off, err, v.BaseOffset(), v.LastOffset(), next)
					return
				}
				next, p = v.NextOffset(), rest
			}
		})
	}
	run(func(rnd *rand.Rand) {
		time.Sleep(2 * time.Millisecond)
		hw := l.SetHighWatermark(l.EndOffset() - 20)
		_ = l.AdvanceStartOffset(hw - 2000)
		e.m.Retain()
		e.m.closeIdle()
		_, _, _, _, _ = l.OffsetForTimestamp(1, hw)
		if f := l.Future(); f != nil {
			_, _ = f.Size(), f.EndOffset()
		}
		if truncating.Load() && rnd.IntN(10) == 0 {
			if err := l.TruncateTo(max(0, l.EndOffset()-int64(rnd.IntN(10)))); err != nil {
				t.Error(err)
			}
			tell()
		}
	})
	moves := 4
	if testing.Short() {
		moves = 2
	}
	for i := range moves {
		truncating.Store(i >= moves/2)
		to := dirs[0]
		if l.Dir() == to {
			to = dirs[1]
		}
		if err := e.m.Move(l.tp, to); err != nil {
			t.Fatal(err)
		}
		more := appends.Load() + 100
		for deadline := time.Now().Add(time.Minute); l.Dir() != to || appends.Load() < more; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) || l.Offline() != nil {
				t.Fatalf("move %d: in %s, future log %v, %d appends, %v", i, l.Dir(), l.Future(), appends.Load(), l.Offline())
			}
		}
	}
	cancel()
	wg.Wait()
	want := readAll(t, l, l.StartOffset(), l.EndOffset(), 1<<20)
	home, start := l.Dir(), l.StartOffset()
	e.close()
	e.open()
	if l = e.m.Log(l.tp); l.Dir() != home || !bytes.Equal(readAll(t, l, start, l.EndOffset(), 1<<20), want) {
		t.Errorf("after a restart: other bytes, or in %s", l.Dir())
	}
	e.close()
}

// A log is not compacted while it moves: its copy would keep what the log has not. What was compacted before stays so.
func TestCompactionRestsDuringAMove(t *testing.T) {
	e := moveEnv(t, nil)
	e.cfg["k"] = keyedConfig(rand.New(rand.NewPCG(1, 1)))
	c := e.cfg["k"]
	c.SegmentBytes, c.MinCleanableDirtyRatio, c.MinCompactionLagMs = 1500, 0, 0
	e.cfg["k"] = c
	e.open()
	l := e.log("k", 0)
	write := func() {
		for i := range 40 {
			mustAppend(t, l, plainBatch(2, 60, int64(i)))
		}
		l.SetHighWatermark(l.EndOffset())
	}
	write()
	e.m.Compact(t.Context())
	from, cleaned := l.dir(), l.dir().cleanedTo(l.tp)
	if cleaned == 0 {
		t.Fatal("nothing was compacted")
	}
	write()
	if err := e.m.Move(l.tp, elsewhere(l)); err != nil {
		t.Fatal(err)
	}
	size := l.Size()
	e.m.Compact(t.Context())
	if l.Size() != size {
		t.Errorf("compacted from %d to %d bytes while it moves", size, l.Size())
	}
	e.copyAll(l)
	if now := l.dir().cleanedTo(l.tp); l.Size() != size || now != cleaned || from.cleanedTo(l.tp) != 0 {
		t.Errorf("moved: %d bytes, want %d; compacted to %d, want %d", l.Size(), size, now, cleaned)
	}
	write()
	e.m.Compact(t.Context())
	if now := l.dir().cleanedTo(l.tp); now <= cleaned {
		t.Errorf("compacted to %d after the move", now)
	}
	e.close()
}

func TestMoveThrottle(t *testing.T) {
	e := newEnv(t, nil, "/a", "/b")
	e.mod = func(c *ManagerConfig) { c.MoveMaxBytesPerSec = 1 }
	e.open()
	l := e.log("t", 0)
	for i := range 20 {
		mustAppend(t, l, plainBatch(1, 1000, int64(i)))
	}
	to := elsewhere(l)
	if err := e.m.Move(l.tp, to); err != nil {
		t.Fatal(err)
	}
	f := l.Future()
	for deadline := time.Now().Add(time.Minute); f.EndOffset() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing is copied")
		}
	}
	// One batch at a time, and some 1,000 s until the next.
	if end := f.EndOffset(); end != 1 || l.Dir() == to {
		t.Errorf("copied up to %d at a byte a second", end)
	}
	e.m.SetMoveThrottle(1 << 40)
	for deadline := time.Now().Add(time.Minute); l.Dir() != to; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("copied up to %d without a throttle", f.EndOffset())
		}
	}
	e.close()
}

// A log that takes the name of one that was deleted, or moved away, must not take over what the checkpoints say of that.
func TestCheckpointsOfAFormerLog(t *testing.T) {
	for name, remake := range map[string]func(e *env, l *Log) *Log{
		"deleted": func(e *env, l *Log) *Log {
			if err := e.m.Delete(l.tp); err != nil {
				e.t.Fatal(err)
			}
			_ = e.m.Prefer(l.tp, l.Dir())
			return e.log("t", 0)
		},
		"deleted, and the checkpoints were not written before a crash": func(e *env, l *Log) *Log {
			if err := e.m.Delete(l.tp); err != nil {
				e.t.Fatal(err)
			}
			fsys := e.fs.(*vfs.Mem).CrashClone(vfs.KeepAll, nil)
			e.abandon()
			e.fs = fsys
			e.open()
			_ = e.m.Prefer(l.tp, l.Dir())
			return e.log("t", 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := moveEnv(t, vfs.NewMem())
			e.open()
			l := e.log("t", 0)
			mustAppend(t, l, plainBatch(10, 60, 1))
			l.SetHighWatermark(10)
			if err := errors.Join(l.AdvanceStartOffset(5), l.Flush(), e.m.Checkpoint()); err != nil {
				t.Fatal(err)
			}
			l = remake(e, l)
			mustAppend(t, l, plainBatch(3, 60, 1))
			if err := l.Flush(); err != nil {
				t.Fatal(err)
			}
			e.fs = e.fs.(*vfs.Mem).CrashClone(vfs.LoseUnsynced, rand.New(rand.NewPCG(1, 1)))
			e.abandon()
			e.open()
			if l := e.m.Log(l.tp); l == nil || l.StartOffset() != 0 || l.EndOffset() != 3 {
				t.Fatalf("the new log is [%d, %d)", l.StartOffset(), l.EndOffset())
			}
		})
	}
}
