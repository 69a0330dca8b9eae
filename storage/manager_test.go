package storage

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/storage/vfs"
)

func readText(t *testing.T, fsys vfs.FS, name string) string {
	t.Helper()
	p, err := vfs.ReadFile(fsys, name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}

func exists(fsys vfs.FS, name string) bool {
	_, err := fsys.Stat(name)
	return err == nil
}

func TestLocksItsDirectories(t *testing.T) {
	for name, fsys := range map[string]vfs.FS{"os": vfs.OS, "mem": vfs.NewMem()} {
		t.Run(name, func(t *testing.T) {
			dir := "/data"
			if name == "os" {
				dir = t.TempDir()
			}
			e := newEnv(t, fsys, dir)
			e.open()
			if _, err := Open(context.Background(), e.config()); !errors.Is(err, vfs.ErrLocked) {
				t.Fatalf("a second manager: %v", err)
			}
			e.close()
			if exists(fsys, dir+"/"+lockFileName) {
				t.Error("the lock file is still there")
			}
			e.open()
			e.close()
		})
	}
}

func TestMetaProperties(t *testing.T) {
	e := newEnv(t, nil, "/a", "/b")
	e.open()
	e.close()
	if got := readText(t, e.fs, "/a/"+metaPropertiesName); !strings.HasSuffix(got, "broker.id=0\nversion=0\ncluster.id=WMv3HeWVRPWezgzUUGx2sg\n") {
		t.Errorf("meta.properties: %q", got)
	}
	if m, err := PeekMeta(e.fs, []string{"/c", "/a", "/b"}); err != nil || m != (Meta{0, "WMv3HeWVRPWezgzUUGx2sg"}) {
		t.Errorf("%+v %v", m, err)
	}
	for name, tc := range map[string]struct {
		mod  func(*ManagerConfig)
		want string
	}{
		"another broker":  {func(c *ManagerConfig) { c.BrokerID = 7 }, "belongs to broker 0"},
		"another cluster": {func(c *ManagerConfig) { c.ClusterID = "other" }, "belongs to cluster"},
	} {
		e.mod = tc.mod
		if _, err := Open(context.Background(), e.config()); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	e.mod = nil
	for _, text := range []string{"version=1\nnode.id=0\n", "broker.id=x\nversion=0\n", "", "version=0\nbroker.id=-5\n"} {
		if err := vfs.WriteFile(e.fs, "/b/"+metaPropertiesName, []byte(text), true); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(context.Background(), e.config()); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

func TestCreateAndDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, nil)
		e.open()
		tp, id := TopicPartition{"t", 3}, [16]byte{1}
		l, err := e.m.Create(tp, id, true)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := e.m.Create(tp, id, false); err != nil || again != l || e.m.Log(tp) != l {
			t.Fatal(again, err)
		}
		if _, err := e.m.Create(tp, [16]byte{2}, false); !errors.Is(err, kerr.InconsistentTopicID) {
			t.Errorf("another topic id: %v", err)
		}
		if e.m.Log(TopicPartition{"t", 2}) != nil || e.m.Log(TopicPartition{"t", 1000}) != nil || e.m.Log(TopicPartition{"t", -1}) != nil || e.m.Log(TopicPartition{"u", 3}) != nil {
			t.Error("logs that nobody made")
		}
		mustAppend(t, l, plainBatch(1, 10, 1))
		r, err := l.Read(0, 1000, 1, true)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.m.Delete(tp); err != nil {
			t.Fatal(err)
		}
		if err := e.m.Delete(tp); err != nil {
			t.Errorf("again: %v", err)
		}
		if e.m.Log(tp) != nil || len(e.m.Logs()) != 0 {
			t.Error("the log is still known")
		}
		if _, err := l.AppendAsLeader(plainBatch(1, 10, 1), AppendOptions{}); !errors.Is(err, kerr.KafkaStorageError) {
			t.Errorf("append to a deleted log: %v", err)
		}
		if _, err := l.Read(0, 10, 1, true); !errors.Is(err, kerr.KafkaStorageError) {
			t.Errorf("read of a deleted log: %v", err)
		}
		if n, err := r.ReadAt(make([]byte, r.Len()), 0); n != r.Len() {
			t.Errorf("a range held across the deletion: %d, %v", n, err)
		}
		r.Release()
		if e.m.Dirs()[0].Offline != nil {
			t.Error(e.m.Dirs()[0].Offline)
		}
		// Made anew at once: another log.
		l2, err := e.m.Create(tp, [16]byte{2}, true)
		if err != nil || l2 == l || l2.EndOffset() != 0 {
			t.Fatal(err)
		}
		deleted := func() (n int) {
			entries, _ := e.fs.ReadDir("/data")
			for _, x := range entries {
				if strings.HasSuffix(x.Name(), deleteDirSuffix) {
					n++
				}
			}
			return n
		}
		if deleted() != 1 {
			t.Error("the directory is gone too early")
		}
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if deleted() != 0 {
			t.Error("the directory is still there")
		}
		e.close()
	})
}

func TestRemovesDeletedDirectoriesOfAnEarlierRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, nil)
		e.open()
		l := e.log("t", 0)
		mustAppend(t, l, plainBatch(1, 10, 1))
		if err := e.m.Delete(l.tp); err != nil {
			t.Fatal(err)
		}
		e.close()
		e.open()
		if len(e.m.Logs()) != 0 {
			t.Error("a deleted log was loaded")
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		entries, _ := e.fs.ReadDir("/data")
		for _, x := range entries {
			if x.IsDir() {
				t.Errorf("%s is still there", x.Name())
			}
		}
		e.close()
	})
}

func TestCheckpointsInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, nil)
		e.open()
		l := e.log("t", 0)
		for range 5 {
			mustAppend(t, l, plainBatch(1, 10, 1))
		}
		l.SetHighWatermark(4)
		if err := l.AdvanceStartOffset(2); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if got := readText(t, e.fs, "/data/"+highWatermarkFileName); got != "0\n1\nt 0 4\n" {
			t.Errorf("high watermarks %q", got)
		}
		time.Sleep(60 * time.Second)
		synctest.Wait()
		if got := readText(t, e.fs, "/data/"+logStartFileName); got != "0\n1\nt 0 2\n" {
			t.Errorf("log starts %q", got)
		}
		if got := readText(t, e.fs, "/data/"+recoveryPointFileName); got != "0\n1\nt 0 0\n" {
			t.Errorf("recovery points %q", got)
		}
		e.close()
		if got := readText(t, e.fs, "/data/"+recoveryPointFileName); got != "0\n1\nt 0 5\n" {
			t.Errorf("recovery points after the stop %q", got)
		}
		if got := readText(t, e.fs, "/data/"+cleanShutdownFileName); got != `{"version":0,"brokerEpoch":-1}` {
			t.Errorf("clean shutdown %q", got)
		}
		e.open()
		l = e.m.Log(l.tp)
		if exists(e.fs, "/data/"+cleanShutdownFileName) {
			t.Error("the clean marker outlives the start")
		}
		if hw, ok := e.m.CheckpointedHighWatermark(l.tp); !ok || hw != 4 || l.HighWatermark() != 4 || l.StartOffset() != 2 {
			t.Errorf("high watermark %d %v, log %d, start %d", hw, ok, l.HighWatermark(), l.StartOffset())
		}
		e.close()
	})
}

func TestFlushMsFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, nil)
		c := testConfig()
		c.FlushMs = 1000
		e.cfg["t"] = c
		e.mod = func(c *ManagerConfig) { c.FlushSchedulerMs = 100 }
		e.open()
		l := e.log("t", 0)
		mustAppend(t, l, plainBatch(1, 10, 1))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := l.recoveryPoint.Load(); got != 1 {
			t.Errorf("recovery point %d", got)
		}
		e.close()
	})
}

func TestRetention(t *testing.T) {
	for _, tc := range []struct {
		name   string
		config func(*LogConfig)
		hw     int64
		wait   time.Duration
		start  int64 // of the log afterwards
		end    int64
	}{
		{"nothing is old or too much", func(c *LogConfig) {}, 100, 0, 0, 100},
		{"by time, the active segment too", func(c *LogConfig) { c.RetentionMs = 1000 }, 100, 2 * time.Second, 100, 100},
		{"never past the high watermark", func(c *LogConfig) { c.RetentionMs = 1000 }, 25, 2 * time.Second, 20, 100},
		{"by size", func(c *LogConfig) { c.RetentionBytes = 3000 }, 100, 0, 60, 100},
		{"not at all when only compacted", func(c *LogConfig) { c.RetentionMs, c.Delete, c.Compact = 1000, false, true }, 100, 2 * time.Second, 0, 100},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEnv(t, nil)
				c := testConfig()
				c.SegmentBytes = 800 // ten batches of one record
				tc.config(&c)
				e.cfg["t"] = c
				e.open()
				l := e.log("t", 0)
				for range 100 {
					mustAppend(t, l, plainBatch(1, 10, time.Now().UnixMilli()))
				}
				if got := l.segmentList()[1].base; got != 10 {
					t.Fatalf("second segment at %d", got)
				}
				l.SetHighWatermark(tc.hw)
				time.Sleep(tc.wait)
				e.m.Retain()
				if l.StartOffset() != tc.start || l.EndOffset() != tc.end {
					t.Errorf("log is [%d, %d], want [%d, %d]", l.StartOffset(), l.EndOffset(), tc.start, tc.end)
				}
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				entries, _ := e.fs.ReadDir("/data/t-0")
				for _, x := range entries {
					if base, suffix, ok := parseOffsetName(x.Name()); ok && suffix != snapshotSuffix && base < tc.start {
						t.Errorf("%s is still there", x.Name())
					}
				}
				e.close()
				e.open()
				if l := e.m.Log(l.tp); l.StartOffset() != tc.start || l.EndOffset() != tc.end {
					t.Errorf("reopened: [%d, %d]", l.StartOffset(), l.EndOffset())
				}
				e.close()
			})
		})
	}
}

func TestDeleteRecordsLetsSegmentsGo(t *testing.T) {
	e := newEnv(t, nil)
	c := testConfig()
	c.SegmentBytes, c.FileDeleteDelayMs = 800, 0
	e.cfg["t"] = c
	e.open()
	l := e.log("t", 0)
	for range 100 {
		mustAppend(t, l, plainBatch(1, 10, 1))
	}
	l.SetHighWatermark(50)
	if err := l.AdvanceStartOffset(51); !errors.Is(err, kerr.OffsetOutOfRange) {
		t.Errorf("above the high watermark: %v", err)
	}
	if err := l.AdvanceStartOffset(45); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Read(44, 1000, 100, true); !errors.Is(err, kerr.OffsetOutOfRange) {
		t.Errorf("read below the start: %v", err)
	}
	e.m.Retain()
	if got := l.segmentList()[0].base; got != 40 {
		t.Errorf("first segment %d, want 40", got)
	}
	if err := l.AdvanceStartOffset(3); err != nil || l.StartOffset() != 45 {
		t.Errorf("the start went back: %d, %v", l.StartOffset(), err)
	}
}

func TestRollRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		day := int64(24 * 3600 * 1000)
		for _, tc := range []struct {
			name   string
			config func(*LogConfig)
			append func(l *Log)
			want   int
		}{
			{"by size", func(c *LogConfig) { c.SegmentBytes = 250 }, func(l *Log) {
				for range 6 {
					mustAppend(t, l, plainBatch(1, 40, 1))
				}
			}, 3},
			{"by the time of the records", func(c *LogConfig) { c.SegmentMs = day }, func(l *Log) {
				for i := range int64(5) {
					mustAppend(t, l, plainBatch(1, 10, i*day/2+1))
				}
			}, 2},
			{"by the clock without timestamps", func(c *LogConfig) { c.SegmentMs = 1000 }, func(l *Log) {
				mustAppend(t, l, plainBatch(1, 10, -1))
				time.Sleep(2 * time.Second)
				mustAppend(t, l, plainBatch(1, 10, -1))
			}, 2},
			{"when an index is full", func(c *LogConfig) { c.SegmentIndexBytes, c.IndexIntervalBytes = 40, 1 }, func(l *Log) {
				for i := range int64(8) {
					mustAppend(t, l, plainBatch(1, 10, i))
				}
			}, 3},
			{"by max.compaction.lag.ms of compacted topics", func(c *LogConfig) { c.Compact, c.MaxCompactionLagMs = true, 100 }, func(l *Log) {
				mustAppend(t, l, plainBatch(1, 10, 1))
				mustAppend(t, l, plainBatch(1, 10, 1000))
			}, 2},
			{"when a follower skips far ahead", func(*LogConfig) {}, func(l *Log) {
				for _, off := range []int64{0, 5_000_000_000} {
					p := plainBatch(1, 10, 1)
					setOffset(p, off)
					if _, err := l.AppendAsFollower(p); err != nil {
						t.Fatal(err)
					}
				}
			}, 2},
		} {
			e := newEnv(t, nil)
			c := testConfig()
			tc.config(&c)
			e.cfg["t"] = c
			e.open()
			l := e.log("t", 0)
			tc.append(l)
			if got := l.SegmentCount(); got != tc.want {
				t.Errorf("%s: %d segments, want %d", tc.name, got, tc.want)
			}
			e.close()
		}
	})
}

func TestConfigChangeTakesEffect(t *testing.T) {
	e := newEnv(t, nil)
	e.open()
	l := e.log("t", 0)
	mustAppend(t, l, plainBatch(1, 100, 1))
	c := testConfig()
	c.MaxMessageBytes = 100
	e.cfg["t"] = c
	if _, err := l.AppendAsLeader(plainBatch(1, 100, 1), AppendOptions{}); err != nil {
		t.Fatal(err)
	}
	e.m.UpdateConfig("t")
	if _, err := l.AppendAsLeader(plainBatch(1, 100, 1), AppendOptions{}); !errors.Is(err, kerr.MessageTooLarge) {
		t.Errorf("%v", err)
	}
	done := make(chan struct{})
	l.OnDurable(func() { close(done) })
	c.FlushMessages = 1
	e.cfg["t"] = c
	e.m.UpdateAllConfigs()
	<-done
	if got := l.DurableEndOffset(); got != 2 {
		t.Errorf("durable %d", got)
	}
}

func TestLegacyOffsetsBefore(t *testing.T) {
	e := newEnv(t, nil)
	c := testConfig()
	c.SegmentBytes = 800
	e.cfg["t"] = c
	e.open()
	l := e.log("t", 0)
	for range 25 {
		mustAppend(t, l, plainBatch(1, 10, 1))
	}
	for _, tc := range []struct {
		ts    int64
		limit int
		upTo  int64
		want  []int64
	}{
		{-1, 10, 25, []int64{25, 20, 10, 0}}, {-1, 1, 25, []int64{25}}, {-2, 10, 25, []int64{0}}, {-1, 10, 15, []int64{15, 10, 0}},
		{0, 10, 25, []int64{}}, {1 << 60, 2, 25, []int64{25, 20}},
	} {
		if diff := cmp.Diff(tc.want, l.LegacyOffsetsBefore(tc.ts, tc.limit, tc.upTo)); diff != "" {
			t.Errorf("%+v: %s", tc, diff)
		}
	}
}

func TestLeaderEpochs(t *testing.T) {
	e := newEnv(t, nil)
	e.open()
	l := e.log("t", 0)
	if epoch, end := l.EpochEndOffset(0); epoch != -1 || end != -1 || l.LatestEpoch() != -1 {
		t.Error(epoch, end)
	}
	for _, x := range []struct {
		epoch int32
		n     int
	}{{1, 3}, {4, 2}, {7, 0}} {
		if err := l.AssignEpoch(x.epoch, l.EndOffset()); err != nil {
			t.Fatal(err)
		}
		for range x.n {
			if _, err := l.AppendAsLeader(plainBatch(1, 10, 1), AppendOptions{LeaderEpoch: x.epoch}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tc := range []struct {
		ask, epoch int32
		end        int64
	}{{0, 0, 0}, {1, 1, 3}, {2, 1, 3}, {4, 4, 5}, {6, 4, 5}, {7, 7, 5}, {8, -1, -1}, {-1, -1, -1}} {
		if epoch, end := l.EpochEndOffset(tc.ask); epoch != tc.epoch || end != tc.end {
			t.Errorf("epoch %d: %d ends at %d, want %d at %d", tc.ask, epoch, end, tc.epoch, tc.end)
		}
	}
	if _, err := l.AppendAsLeader(plainBatch(1, 10, 1), AppendOptions{LeaderEpoch: 4}); !errors.Is(err, kerr.NotLeaderForPartition) {
		t.Errorf("append in an old epoch: %v", err)
	}
	// The file appears with the first record of an epoch, and is made again if it is lost.
	if got := readText(t, e.fs, "/data/t-0/"+epochFileName); got != "0\n2\n1 0\n4 3\n" {
		t.Errorf("%q", got)
	}
	e.close()
	if got := readText(t, e.fs, "/data/t-0/"+epochFileName); got != "0\n3\n1 0\n4 3\n7 5\n" {
		t.Errorf("%q", got)
	}
	if err := e.fs.Remove("/data/t-0/" + epochFileName); err != nil {
		t.Fatal(err)
	}
	e.open()
	l = e.m.Log(l.tp)
	if epoch, end := l.EpochEndOffset(1); epoch != 1 || end != 3 || l.LatestEpoch() != 4 {
		t.Errorf("read from the log: %d, %d, latest %d", epoch, end, l.LatestEpoch())
	}
	if err := l.TruncateTo(2); err != nil {
		t.Fatal(err)
	}
	if got := readText(t, e.fs, "/data/t-0/"+epochFileName); got != "0\n1\n1 0\n" {
		t.Errorf("after a truncation %q", got)
	}
}

// countingFS counts the files that are open.
type countingFS struct {
	vfs.FS
	open, most atomic.Int64
}

func (c *countingFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := c.FS.OpenFile(name, flag, perm)
	if err == nil {
		c.most.Store(max(c.most.Load(), c.open.Add(1)))
		f = countedFile{f, c}
	}
	return f, err
}

type countedFile struct {
	vfs.File
	c *countingFS
}

func (f countedFile) Close() error { f.c.open.Add(-1); return f.File.Close() }

func TestManyPartitionsOpenFewFiles(t *testing.T) {
	fsys := &countingFS{FS: vfs.NewMem()}
	e := newEnv(t, fsys)
	e.mod = func(c *ManagerConfig) { c.manual = true }
	e.open()
	for i := range int32(300) {
		e.log("t", i)
	}
	mustAppend(t, e.m.Log(TopicPartition{"t", 0}), plainBatch(1, 10, 1))
	e.close()
	e.open()
	e.m.closeIdle()
	e.close()
	if fsys.most.Load() > 20 {
		t.Errorf("%d files were open at once", fsys.most.Load())
	}
	if n := fsys.open.Load(); n > 0 {
		t.Errorf("%d files are still open", n)
	}
}

// The index of a small log has no entry and so no file yet when it is dropped; that is no damage to be repaired.
func TestIdleIndexWithoutEntriesIsNotMissing(t *testing.T) {
	var said bytes.Buffer
	e := newEnv(t, nil)
	e.mod = func(c *ManagerConfig) { c.manual, c.Log = true, zerolog.New(&said).Level(zerolog.WarnLevel) }
	e.open()
	l := e.log("t", 0)
	for i := range int64(2) {
		mustAppend(t, l, plainBatch(1, 10, i))
		e.m.closeIdle()
		e.m.closeIdle()
	}
	if _, _, _, err := l.MaxTimestampOffset(); err != nil {
		t.Fatal(err)
	}
	if said.Len() > 0 {
		t.Errorf("said %s", &said)
	}
}

// After a crash the tail of a log may not be on disk. With flush.messages=1 that holds up the high watermark, also where nothing is appended any more.
func TestRecoveredTailBecomesDurable(t *testing.T) {
	for name, manual := range map[string]bool{"at once": false, "with all that was recovered": true} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, nil)
			e.open()
			for i := range int64(2) {
				mustAppend(t, e.log("t", 0), plainBatch(1, 10, i))
			}
			e.abandon()
			c := testConfig()
			c.FlushMessages = 1
			e.cfg["t"] = c
			e.mod = func(c *ManagerConfig) { c.manual = manual }
			l := e.open().Log(TopicPartition{"t", 0})
			if durable, end := l.DurableEndOffset(), l.EndOffset(); durable >= end {
				t.Fatalf("recovered %d records, on disk already", durable)
			}
			told := make(chan struct{}, 1)
			l.OnDurable(func() { told <- struct{}{} })
			if manual {
				if err := l.dir().syncRecovered(); err != nil {
					t.Fatal(err)
				}
			}
			select {
			case <-told:
			case <-time.After(20 * time.Second):
				t.Fatal("nobody was told")
			}
			if durable, end := l.DurableEndOffset(), l.EndOffset(); durable != end {
				t.Errorf("on disk up to %d of %d", durable, end)
			}
		})
	}
}
