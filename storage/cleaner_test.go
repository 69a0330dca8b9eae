package storage

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ottla/storage/vfs"
	"ottla/wire/batch"
)

var cleanSeeds = flag.Int("clean-seeds", 40, "how many seeds the compaction tests run")

// committed reads the log as a read_committed consumer does, from an offset to the last stable offset.
func committed(t testing.TB, l *Log) (records []batch.Record) {
	t.Helper()
	p := readAll(t, l, l.StartOffset(), l.LastStableOffset(), 1<<20)
	aborted, err := l.AbortedTransactions(l.StartOffset(), l.LastStableOffset())
	if err != nil {
		t.Fatal(err)
	}
	skip := map[int64]bool{}
	for len(p) > 0 {
		v, rest, err := batch.Next(p)
		if err != nil {
			t.Fatal(err)
		}
		p = rest
		for len(aborted) > 0 && aborted[0].FirstOffset <= v.LastOffset() {
			skip[aborted[0].ProducerID] = true
			aborted = aborted[1:]
		}
		if v.IsControl() {
			if m, err := parseMarker(v); err != nil {
				t.Fatal(err)
			} else if m.aborts {
				delete(skip, v.ProducerID())
			}
			continue
		}
		if v.IsTransactional() && skip[v.ProducerID()] {
			continue
		}
		list, err := v.Records(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			if r.Offset >= l.StartOffset() {
				records = append(records, r)
			}
		}
	}
	return records
}

// table is what the committed records make of a table: the last value of each key.
func table(records []batch.Record) map[string]string {
	out := map[string]string{}
	for _, r := range records {
		if r.Value == nil {
			delete(out, string(r.Key))
		} else {
			out[string(r.Key)] = string(r.Value)
		}
	}
	return out
}

// keyedRun fills a compacted log at random.
type keyedRun struct {
	rnd  *rand.Rand
	l    *Log
	seqs map[int64]int32
	open map[int64]bool
	ts   int64
}

func (k *keyedRun) write(t testing.TB, n int) {
	for range n {
		id := int64(k.rnd.IntN(5))
		txn := id >= 3
		opt := batch.NewBuilderOptions(0)
		opt.Codec = batch.Codec(k.rnd.IntN(5))
		records := 1 + k.rnd.IntN(4)
		if id > 0 {
			opt.ProducerID, opt.Epoch, opt.Sequence, opt.Transactional = id, 0, k.seqs[id], txn
			k.seqs[id] += int32(records)
		}
		b := batch.NewBuilder(opt)
		for range records {
			k.ts += int64(k.rnd.IntN(5))
			key := fmt.Sprintf("key-%d", k.rnd.IntN(12))
			var value []byte
			if k.rnd.IntN(5) > 0 {
				value = fmt.Appendf(nil, "value-%d", k.rnd.IntN(1000))
			}
			b.Add(k.ts, []byte(key), value, nil)
		}
		p := b.Build()
		if _, err := k.l.AppendAsLeader(p, AppendOptions{LeaderEpoch: max(0, k.l.LatestEpoch())}); err != nil {
			t.Fatal(err)
		}
		if txn {
			k.open[id] = true
		}
		if id := int64(3 + k.rnd.IntN(2)); k.open[id] && k.rnd.IntN(3) == 0 {
			kind := batch.ControlType(k.rnd.IntN(2))
			if _, err := k.l.AppendAsLeader(endTxn(id, 0, 1, kind), AppendOptions{Origin: OriginTxnMarker, LeaderEpoch: max(0, k.l.LatestEpoch())}); err != nil {
				t.Fatal(err)
			}
			k.open[id] = false
		}
	}
	k.l.SetHighWatermark(k.l.EndOffset())
}

func keyedConfig(rnd *rand.Rand) LogConfig {
	c := modelConfig()
	c.SegmentBytes = 1500
	c.Compact, c.Delete = true, false
	c.MinCleanableDirtyRatio = 0
	c.DeleteRetentionMs = int64(rnd.IntN(2)) * 3_600_000
	return c
}

func TestCompactionKeepsTheLastValues(t *testing.T) {
	for seed := range uint64(*cleanSeeds) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		e := newEnv(t, vfs.NewMem())
		small := rnd.IntN(2) == 0
		e.mod = func(c *ManagerConfig) {
			c.manual = true
			if small {
				c.Cleaner.DedupeBufferSize = offsetMapSlot * 6 // the map fills up again and again
			}
		}
		e.cfg["t"] = keyedConfig(rnd)
		e.open()
		k := &keyedRun{rnd: rnd, l: e.log("t", 0), seqs: map[int64]int32{}, open: map[int64]bool{}}
		all := map[int64]batch.Record{}
		fail := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("seed %d: "+format, append([]any{seed}, args...)...)
		}
		for round := range 5 {
			k.write(t, 10+rnd.IntN(40))
			before := committed(t, k.l)
			for _, r := range before {
				all[r.Offset] = r
			}
			producers, end, lso := k.l.Producers(), k.l.EndOffset(), k.l.LastStableOffset()
			sizeBefore := k.l.Size()
			e.m.Compact(context.Background())
			if len(e.m.cleaner.uncleanable) > 0 {
				fail("round %d: uncleanable: %v", round, e.m.cleaner.uncleanable)
			}
			if k.l.Size() > sizeBefore+200 {
				fail("round %d: %d bytes became %d", round, sizeBefore, k.l.Size())
			}
			if k.l.EndOffset() != end || k.l.LastStableOffset() != lso {
				fail("round %d: log end %d, last stable %d, want %d, %d", round, k.l.EndOffset(), k.l.LastStableOffset(), end, lso)
			}
			after := committed(t, k.l)
			checkCompacted(fail, before, after, all)
			checkSuperseded(fail, after, e.m.dirs[0].cleanedTo(k.l.tp))
			switch rnd.IntN(3) {
			case 0:
				e.close()
				e.open()
			case 1: // the producer state must be found in the batches, not in a snapshot
				_ = e.fs.(*vfs.Mem).SyncAll("/")
				k.l.mu.Lock()
				_ = k.l.dropSnapshotsLocked(func(int64) bool { return true })
				k.l.mu.Unlock()
				e.fs = e.fs.(*vfs.Mem).CrashClone(vfs.KeepAll, rnd)
				e.abandon()
				e.open()
			}
			k.l = e.m.Log(TopicPartition{"t", 0})
			k.l.SetHighWatermark(end)
			// A marker that is gone takes its time and its coordinator's epoch with it.
			ignore := cmpopts.IgnoreFields(ProducerInfo{}, "CoordinatorEpoch", "LastTimestamp")
			if diff := cmp.Diff(producers, k.l.Producers(), ignore); diff != "" {
				fail("round %d: producers (-before +after):\n%s", round, diff)
			}
			if k.l.EndOffset() != end || k.l.LastStableOffset() != lso {
				fail("round %d, reopened: log end %d, last stable %d, want %d, %d", round, k.l.EndOffset(), k.l.LastStableOffset(), end, lso)
			}
			checkCompacted(fail, before, committed(t, k.l), all)
		}
		e.abandon()
	}
}

// checkCompacted checks that the table is the same and that every record is one that was written.
func checkCompacted(fail func(string, ...any), before, after []batch.Record, all map[int64]batch.Record) {
	if b, a := table(before), table(after); !maps.Equal(b, a) {
		fail("the table changed (-before +after):\n%s", cmp.Diff(b, a))
	}
	for _, r := range after {
		w, ok := all[r.Offset]
		if !ok || string(w.Key) != string(r.Key) || string(w.Value) != string(r.Value) || (w.Value == nil) != (r.Value == nil) || w.Timestamp != r.Timestamp {
			fail("offset %d: %q=%q at %d, written was %q=%q at %d", r.Offset, r.Key, r.Value, r.Timestamp, w.Key, w.Value, w.Timestamp)
		}
	}
}

// checkSuperseded checks that below the first dirty offset each key is there once.
func checkSuperseded(fail func(string, ...any), records []batch.Record, cleaned int64) {
	seen := map[string]int64{}
	for _, r := range records {
		if r.Offset >= cleaned {
			break
		}
		if old, ok := seen[string(r.Key)]; ok {
			fail("%s is at %d and at %d, both below the first dirty offset %d", r.Key, old, r.Offset, cleaned)
		}
		seen[string(r.Key)] = r.Offset
	}
}

func TestTombstonesAndMarkersGoAfterTheirTime(t *testing.T) {
	e := newEnv(t, nil)
	e.mod = func(c *ManagerConfig) { c.manual = true }
	c := keyedConfig(rand.New(rand.NewPCG(0, 0)))
	c.DeleteRetentionMs = 30
	e.cfg["t"] = c
	e.open()
	l := e.log("t", 0)
	add := func(key, value string) {
		b := batch.NewBuilder(batch.NewBuilderOptions(0))
		var v []byte
		if value != "" {
			v = []byte(value)
		}
		b.Add(5, []byte(key), v, nil)
		mustAppend(t, l, b.Build())
	}
	batches := func() (n int) {
		for p := readAll(t, l, 0, l.EndOffset(), 1<<20); len(p) > 0; n++ {
			_, p, _ = batch.Next(p)
		}
		return n
	}
	round := func() {
		add("other", "x") // there must be something dirty
		if err := l.Roll(); err != nil {
			t.Fatal(err)
		}
		l.SetHighWatermark(l.EndOffset())
		e.m.Compact(context.Background())
	}
	add("a", "1")
	add("a", "")
	mustAppend(t, l, producerBatchOf(7, 0, 0, 1, true))
	if _, err := l.AppendAsLeader(endTxn(7, 1, 1, batch.ControlAbort), AppendOptions{Origin: OriginTxnMarker}); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, producerBatchOf(7, 1, 0, 1, false)) // so that the marker is not the producer's last batch
	round()
	// The tombstone and, while the aborted data may be read, the marker are still there.
	if got := batches(); got != 4 {
		t.Fatalf("%d batches after the first pass, want tombstone, marker, data, other", got)
	}
	l.mu.Lock()
	l.producers.expire(1 << 62)
	l.mu.Unlock()
	round() // the marker gets its horizon now that its data is gone
	time.Sleep(60 * time.Millisecond)
	round()
	// The data of the second epoch, and the last of "other".
	if got := batches(); got != 2 {
		t.Fatalf("%d batches in the end, want 2", got)
	}
	if got := table(committed(t, l)); len(got) != 2 || got["other"] != "x" {
		t.Error(got)
	}
}

// A crash anywhere in a compaction leaves the table as it was.
func TestCrashDuringCompaction(t *testing.T) {
	n := uint64(*cleanSeeds) * 2
	for seed := range n {
		rnd := rand.New(rand.NewPCG(seed, 3))
		mem := vfs.NewMem()
		count, crashAt := 0, -1
		var clone *vfs.Mem
		mode := vfs.CrashMode(seed % 4)
		var steps []string
		fsys := &vfs.Faulty{FS: mem, Before: func(op vfs.Op) vfs.Fault {
			if crashAt >= 0 && op.Kind.Changes() {
				if steps = append(steps, op.Kind.String()+" "+op.Path); count == crashAt {
					clone = mem.CrashClone(mode, rnd)
				}
				count++
			}
			return vfs.Fault{}
		}}
		e := newEnv(t, fsys)
		e.mod = func(c *ManagerConfig) { c.manual = true }
		e.cfg["t"] = keyedConfig(rnd)
		e.open()
		k := &keyedRun{rnd: rnd, l: e.log("t", 0), seqs: map[int64]int32{}, open: map[int64]bool{}}
		k.write(t, 60)
		if seed%3 == 0 { // not the first compaction
			e.m.Compact(context.Background())
			k.write(t, 40)
		}
		if err := k.l.Flush(); err != nil {
			t.Fatal(err)
		}
		before := committed(t, k.l)
		all := map[int64]batch.Record{}
		for _, r := range before {
			all[r.Offset] = r
		}
		end := k.l.EndOffset()
		crashAt = rnd.IntN(60)
		e.m.Compact(context.Background())
		if clone == nil { // it took fewer steps
			clone = mem.CrashClone(mode, rnd)
		}
		e.abandon()
		e.fs = clone
		m := e.open()
		l := m.Log(TopicPartition{"t", 0})
		fail := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("seed %d (%s, crash before step %d):\n%s\n"+format, append([]any{seed, mode, crashAt, strings.Join(steps, "\n")}, args...)...)
		}
		if l == nil || m.Dirs()[0].Offline != nil {
			fail("%v", m.Dirs()[0].Offline)
		}
		if l.EndOffset() != end {
			fail("log end %d, want %d", l.EndOffset(), end)
		}
		l.SetHighWatermark(end)
		checkCompacted(fail, before, committed(t, l), all)
		// And it compacts again.
		m.Compact(context.Background())
		checkCompacted(fail, before, committed(t, l), all)
		checkSuperseded(fail, committed(t, l), m.dirs[0].cleanedTo(l.tp))
		e.abandon()
	}
}

func TestOffsetMap(t *testing.T) {
	m := newOffsetMap(1<<20, 0.9)
	for i := range 10000 {
		if !m.put(fmt.Appendf(nil, "key %d", i%7000), int64(i)) {
			t.Fatalf("no room for key %d", i)
		}
	}
	for i := range 7000 {
		want := int64(i)
		if i < 3000 {
			want += 7000
		}
		if got := m.get(fmt.Appendf(nil, "key %d", i)); got != want {
			t.Errorf("key %d: %d, want %d", i, got, want)
		}
	}
	if got := m.get([]byte("none")); got != -1 {
		t.Error(got)
	}
	full := newOffsetMap(10*offsetMapSlot, 0.5)
	n := 0
	for full.put(fmt.Appendf(nil, "key %d", n), int64(n)) {
		n++
	}
	if n != 5 {
		t.Errorf("%d keys fit 10 slots half filled, want 5", n)
	}
	if !full.put([]byte("key 0"), 77) || full.get([]byte("key 0")) != 77 {
		t.Error("a known key needs no room")
	}
}

func TestCleanerThreadsFollowTheConfiguration(t *testing.T) {
	m := &Manager{}
	m.ctx, m.stop = context.WithCancel(t.Context())
	cfg := CleanerConfig{Enable: true, Threads: 1, BackoffMs: 1}
	m.cfg.Cleaner = cfg
	m.logs = newRegistry()
	c := newCleaner(m)
	running := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.threads
	}
	c.start()
	cfg.Threads = 3
	c.configure(cfg)
	if n := running(); n != 3 {
		t.Fatalf("%d threads, want 3", n)
	}
	cfg.Threads = 1
	c.configure(cfg)
	for deadline := time.Now().Add(5 * time.Second); running() != 1; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d threads, want 1", running())
		}
	}
	m.stop()
	c.wait()
	cfg.Threads = 2
	c.configure(cfg)
	if n := running(); n != 1 {
		t.Fatal("a thread was started after the end")
	}
}
