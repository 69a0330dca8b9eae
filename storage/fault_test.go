package storage

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/storage/vfs"
	"ottla/wire/batch"
)

// Any write, sync or rename may fail, once or from then on: the directory goes offline, nothing wrong is served, and what a start
// without the fault finds is a prefix of what was appended, with all that was promised.
func TestAnyOperationMayFail(t *testing.T) {
	n := uint64(600)
	if testing.Short() {
		n = 100
	}
	offline := 0
	for seed := range n {
		rnd := rand.New(rand.NewPCG(seed, 4))
		nth, sticky := int64(1+rnd.IntN(250)), seed%2 == 0
		failing := vfs.FailNth(nth, sticky, []error{syscall.EIO, syscall.ENOSPC, syscall.EROFS}[seed%3], func(op vfs.Op) bool {
			return op.Kind.Changes() && strings.HasPrefix(op.Path, "/data/t-")
		})
		short := rnd.IntN(2) == 0
		mem := vfs.NewMem()
		e := newEnv(t, &vfs.Faulty{FS: mem, Before: func(op vfs.Op) vfs.Fault {
			f := failing(op)
			if f.Err != nil && short {
				f.Short = op.Size / 2
			}
			return f
		}})
		failures := make(chan string, 10)
		e.mod = func(c *ManagerConfig) {
			c.manual = true
			c.OnDirFailure = func(dir string, _ error) { failures <- dir }
		}
		c := crashConfig(seed%4 < 2)
		c.Compact, c.MinCleanableDirtyRatio = seed%5 == 0, 0
		e.cfg["t"] = c
		e.open()
		m, promised := &model{}, int64(0)
		l, err := e.m.Create(TopicPartition{"t", 0}, [16]byte{9}, true)
		for i := 0; err == nil && i < 120; i++ {
			p := plainBatch(1+rnd.IntN(3), rnd.IntN(100), int64(i))
			if _, err = l.AppendAsLeader(p, AppendOptions{}); err == nil {
				m.append(p)
			} else {
				v := batch.View(p)
				v.SetBaseOffset(m.end)
				v.SetLeaderEpoch(0)
				m.append(p) // it may be there after a restart all the same
				break
			}
			switch rnd.IntN(8) {
			case 0:
				e.m.dirs[0].flusher.drain()
			case 1:
				if err = l.Flush(); err == nil {
					promised = m.end
				}
			case 2:
				e.m.closeIdle()
			case 3:
				if !c.Compact {
					break
				}
				l.SetHighWatermark(m.end)
				e.m.Compact(context.Background())
				err = l.Offline()
			}
			if err == nil && c.FlushMessages == 1 {
				promised = max(promised, l.DurableEndOffset())
			}
		}
		if err != nil {
			offline++
			if !errors.Is(err, kerr.KafkaStorageError) {
				t.Fatalf("seed %d: %v is no KAFKA_STORAGE_ERROR", seed, err)
			}
			if e.m.Dirs()[0].Offline == nil {
				t.Fatalf("seed %d: %v, but the directory is online", seed, err)
			}
			if l != nil {
				if _, err := l.Read(0, 1, 1, true); !errors.Is(err, kerr.KafkaStorageError) {
					t.Fatalf("seed %d: a read from an offline directory: %v", seed, err)
				}
			}
			select {
			case <-failures:
			case <-time.After(5 * time.Second):
				t.Fatalf("seed %d: nobody was told", seed)
			}
		}
		e.abandon()
		e.fs = mem.CrashClone(vfs.CrashMode(rnd.IntN(4)), rnd)
		e.open()
		l = e.m.Log(TopicPartition{"t", 0})
		if l == nil {
			if promised > 0 {
				t.Fatalf("seed %d: the log is gone: %v", seed, e.m.Dirs()[0].Offline)
			}
			e.abandon()
			continue
		}
		if l.EndOffset() < promised {
			t.Fatalf("seed %d: the log ends at %d, %d was promised", seed, l.EndOffset(), promised)
		}
		if got := readBatches(l, l.StartOffset()); !c.Compact && !bytes.HasPrefix(m.from(0, m.end), got) {
			t.Fatalf("seed %d: other bytes than were written", seed)
		}
		e.abandon()
	}
	t.Logf("%d of %d runs met their fault", offline, n)
	if offline < int(n)/3 {
		t.Errorf("only %d of %d runs met their fault", offline, n)
	}
}

func TestOneDirectoryFailsAlone(t *testing.T) {
	var broken sync.Map
	e := newEnv(t, &vfs.Faulty{FS: vfs.NewMem(), Before: func(op vfs.Op) vfs.Fault {
		if _, bad := broken.Load(op.Path[:min(2, len(op.Path))]); bad && op.Kind == vfs.OpWrite {
			return vfs.Fault{Err: syscall.EIO}
		}
		return vfs.Fault{}
	}}, "/a", "/b")
	e.open()
	var onA, onB *Log
	for i := range int32(4) {
		l := e.log("t", i)
		mustAppend(t, l, plainBatch(1, 10, 1))
		if l.Dir() == "/a" {
			onA = l
		} else {
			onB = l
		}
	}
	if onA == nil || onB == nil {
		t.Fatal("all logs are in one directory")
	}
	broken.Store("/a", true)
	if _, err := onA.AppendAsLeader(plainBatch(1, 10, 1), AppendOptions{}); !errors.Is(err, kerr.KafkaStorageError) {
		t.Fatal(err)
	}
	mustAppend(t, onB, plainBatch(1, 10, 1))
	dirs := e.m.Dirs()
	if dirs[0].Offline == nil || dirs[1].Offline != nil {
		t.Errorf("%+v", dirs)
	}
	if _, err := e.m.Create(TopicPartition{"new", 0}, [16]byte{}, false); !errors.Is(err, kerr.KafkaStorageError) {
		t.Errorf("a partition that may be in the offline directory: %v", err)
	}
	if l, err := e.m.Create(TopicPartition{"new", 0}, [16]byte{}, true); err != nil || l.Dir() != "/b" {
		t.Errorf("a new partition: %v", err)
	}
	e.close() // that the other one failed was said when it did
	broken.Delete("/a")
	e.open()
	if n := len(e.m.Logs()); n != 5 {
		t.Errorf("%d logs after the repair, want 5", n)
	}
	e.close()
}

// Appenders, readers, truncations, compaction and the background work at once, for the race detector; every byte read must be right.
func TestEverythingAtOnce(t *testing.T) {
	e := newEnv(t, vfs.OS, t.TempDir())
	c := modelConfig()
	c.SegmentBytes, c.FlushMessages = 20_000, 1
	e.cfg["t"] = c
	e.mod = func(c *ManagerConfig) {
		c.HWCheckpointMs, c.FlushCheckpointMs, c.RetentionCheckMs, c.InitialTaskDelayMs = 5, 5, 5, 1
		c.Log = zerolog.Nop()
	}
	e.open()
	l := e.log("t", 0)
	ctx, cancel := context.WithTimeout(context.Background(), 700*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	run := func(f func(rnd *rand.Rand)) {
		wg.Go(func() {
			for rnd := rand.New(rand.NewPCG(1, 1)); ctx.Err() == nil; {
				f(rnd)
			}
		})
	}
	var durable sync.WaitGroup
	durable.Add(1)
	var once sync.Once
	l.OnDurable(func() { once.Do(durable.Done) })
	run(func(rnd *rand.Rand) {
		// The value says where the record is, so that a reader can tell.
		mustAppend(t, l, plainBatch(1+rnd.IntN(4), rnd.IntN(300), 1))
	})
	run(func(rnd *rand.Rand) {
		time.Sleep(3 * time.Millisecond)
		end := l.EndOffset()
		if err := l.TruncateTo(max(0, end-int64(rnd.IntN(40)))); err != nil {
			t.Error(err)
		}
	})
	for range 3 {
		run(func(rnd *rand.Rand) {
			start, end := l.StartOffset(), l.EndOffset()
			if end <= start {
				return
			}
			off := start + rnd.Int64N(end-start)
			r, err := l.Read(off, 3000, end, true)
			if err != nil {
				if !errors.Is(err, kerr.OffsetOutOfRange) {
					t.Error(err)
				}
				return
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
					t.Errorf("read at %d: %v, batch %d-%d, expected %d, crc %v", off, err, v.BaseOffset(), v.LastOffset(), next, v.VerifyCRC())
					return
				}
				next, p = v.NextOffset(), rest
			}
		})
	}
	run(func(rnd *rand.Rand) {
		time.Sleep(time.Millisecond)
		hw := l.SetHighWatermark(l.EndOffset() - 20)
		_ = l.AdvanceStartOffset(hw - 500)
		e.m.Retain()
		e.m.closeIdle()
		_, _, _, _, _ = l.OffsetForTimestamp(1, hw)
		_ = l.Producers()
		_ = e.m.Checkpoint()
	})
	wg.Wait()
	durable.Wait()
	if err := l.Offline(); err != nil {
		t.Fatal(err)
	}
	e.close()
}

func TestFsyncModeAcknowledgesWhatIsOnDisk(t *testing.T) {
	mem := vfs.NewMem()
	e := newEnv(t, mem)
	c := testConfig()
	c.FlushMessages = 1
	e.cfg["t"] = c
	e.open()
	var wg sync.WaitGroup
	for i := range int32(20) {
		l := e.log("t", i)
		wg.Add(1)
		var once sync.Once
		l.OnDurable(func() {
			if l.DurableEndOffset() == 10 {
				once.Do(wg.Done)
			}
		})
		for range 10 {
			mustAppend(t, l, plainBatch(1, 10, 1))
		}
	}
	wg.Wait()
	e.fs = mem.CrashClone(vfs.LoseUnsynced, rand.New(rand.NewPCG(1, 1)))
	e.abandon()
	e.open()
	for i := range int32(20) {
		if l := e.m.Log(TopicPartition{"t", i}); l == nil || l.EndOffset() != 10 {
			t.Errorf("partition %d: %v", i, l)
		}
	}
}
