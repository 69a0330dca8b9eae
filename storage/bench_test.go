package storage

import (
	"context"
	"flag"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ottla/storage/vfs"
	"ottla/wire/batch"
)

// onDisk opens a manager over a directory of the operating system.
func onDisk(b *testing.B) *env {
	e := newEnv(b, vfs.OS, b.TempDir())
	e.open()
	return e
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10} {
		b.Run(fmt.Sprintf("batch=%dKiB", size>>10), func(b *testing.B) {
			e := onDisk(b)
			l := e.log("t", 0)
			p := plainBatch(size/1024, 1000, 1)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				batch.View(p).SetBaseOffset(0)
				if _, err := l.AppendAsLeader(p, AppendOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBareAppend is what an append cannot do without: the CRC and one pwrite.
func BenchmarkBareAppend(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10} {
		b.Run(fmt.Sprintf("batch=%dKiB", size>>10), func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "f"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			p := plainBatch(size/1024, 1000, 1)
			b.SetBytes(int64(len(p)))
			var pos int64
			for b.Loop() {
				crc32.Checksum(p[21:], castagnoli)
				if _, err := f.WriteAt(p, pos); err != nil {
					b.Fatal(err)
				}
				pos += int64(len(p))
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	e := onDisk(b)
	l := e.log("t", 0)
	p := plainBatch(16, 1000, 1)
	for range 4000 {
		batch.View(p).SetBaseOffset(0)
		mustAppend(b, l, p)
	}
	end := l.EndOffset()
	for _, at := range []string{"sequential", "random", "tail"} {
		b.Run("at="+at, func(b *testing.B) {
			b.ReportAllocs()
			off, i := int64(0), int64(0)
			for b.Loop() {
				i++
				switch at {
				case "random":
					off = i * 7919 * 16 % end
				case "tail":
					off = end - 16
				}
				r, err := l.Read(off, 1<<20, end, true)
				if err != nil || r == nil {
					b.Fatal(r, err)
				}
				if off = r.NextOffset(); off >= end {
					off = 0
				}
				r.Release()
			}
		})
	}
}

func BenchmarkOffsetForTimestamp(b *testing.B) {
	e := onDisk(b)
	l := e.log("t", 0)
	for i := range 4000 {
		mustAppend(b, l, plainBatch(16, 1000, int64(i)*16))
	}
	b.ReportAllocs()
	i := int64(0)
	for b.Loop() {
		i++
		if _, _, _, ok, err := l.OffsetForTimestamp(i*7919%64000, l.EndOffset()); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

func BenchmarkRecover(b *testing.B) {
	e := onDisk(b)
	l := e.log("t", 0)
	p := plainBatch(16, 1000, 1)
	for range 8000 {
		batch.View(p).SetBaseOffset(0)
		mustAppend(b, l, p)
	}
	size := l.Size()
	e.abandon()
	b.SetBytes(size)
	for b.Loop() {
		e.open()
		e.abandon()
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{10000} {
		b.Run(fmt.Sprintf("partitions=%d", n), func(b *testing.B) {
			e := onDisk(b)
			p := plainBatch(1, 100, 1)
			for i := range n {
				l := e.log("topic", int32(i))
				if err := l.AssignEpoch(0, 0); err != nil {
					b.Fatal(err)
				}
				batch.View(p).SetBaseOffset(0)
				mustAppend(b, l, p)
			}
			e.close()
			for b.Loop() {
				e.open()
				b.StopTimer()
				if err := e.m.Close(context.Background()); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

func BenchmarkCreate(b *testing.B) {
	for _, n := range []int{500, 10000} {
		b.Run(fmt.Sprintf("partitions=%d", n), func(b *testing.B) {
			e := newEnv(b, vfs.OS, b.TempDir())
			for b.Loop() {
				b.StopTimer()
				e.abandon()
				e.dirs[0] = b.TempDir()
				e.open()
				b.StartTimer()
				for i := range n {
					l, err := e.m.Create(TopicPartition{"topic", int32(i)}, [16]byte{1}, true)
					if err == nil {
						err = l.AssignEpoch(0, 0)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

var compactRecords = flag.Int("compact-records", 200_000, "records that BenchmarkCompact writes; a tenth as many keys")

func BenchmarkCompact(b *testing.B) {
	n := *compactRecords
	for b.Loop() {
		b.StopTimer()
		e := newEnv(b, vfs.OS, b.TempDir())
		c := testConfig()
		c.SegmentBytes, c.Compact, c.MinCleanableDirtyRatio, c.FileDeleteDelayMs = 100<<20, true, 0, 0
		e.cfg["t"] = c
		e.open()
		l := e.log("t", 0)
		rnd := rand.New(rand.NewPCG(1, 1))
		value := make([]byte, 80)
		for i := 0; i < n; {
			bb := batch.NewBuilder(batch.NewBuilderOptions(0))
			for range 100 {
				bb.Add(int64(i), fmt.Appendf(nil, "key-%09d", rnd.IntN(n/10)), value, nil)
				i++
			}
			mustAppend(b, l, bb.Build())
		}
		if err := l.Roll(); err != nil {
			b.Fatal(err)
		}
		l.SetHighWatermark(l.EndOffset())
		size := l.Size()
		b.StartTimer()
		e.m.Compact(context.Background())
		b.StopTimer()
		b.SetBytes(size)
		b.ReportMetric(float64(l.Size())/float64(size), "kept")
		b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		e.abandon()
		b.StartTimer()
	}
}

// BenchmarkFsyncAppend is flush.messages=1: appends to several partitions, each waiting for its fsync, share rounds.
func BenchmarkFsyncAppend(b *testing.B) {
	for _, n := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("partitions=%d", n), func(b *testing.B) {
			e := newEnv(b, vfs.OS, b.TempDir())
			c := testConfig()
			c.FlushMessages = 1
			e.cfg["t"] = c
			e.open()
			var wg sync.WaitGroup
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			for i := range n {
				l := e.log("t", int32(i))
				synced := make(chan struct{}, 1)
				l.OnDurable(func() {
					select {
					case synced <- struct{}{}:
					default:
					}
				})
				wg.Go(func() {
					p := plainBatch(1, 1000, 1)
					for left.Add(-1) >= 0 {
						batch.View(p).SetBaseOffset(0)
						info, err := l.AppendAsLeader(p, AppendOptions{})
						if err != nil {
							b.Error(err)
							return
						}
						for l.DurableEndOffset() <= info.LastOffset {
							<-synced
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// Moves a log of 64 MiB to and fro between two directories of the same disk.
func BenchmarkMove(b *testing.B) {
	root := b.TempDir()
	e := newEnv(b, vfs.OS, root+"/a", root+"/b")
	c := testConfig()
	c.FileDeleteDelayMs = 0
	e.cfg["t"] = c
	e.open()
	l := e.log("t", 0)
	for range 64 * 64 {
		mustAppend(b, l, plainBatch(16, 1000, 1))
	}
	b.SetBytes(l.Size())
	b.ReportAllocs()
	for b.Loop() {
		to := root + "/a"
		if l.Dir() == to {
			to = root + "/b"
		}
		if err := e.m.Move(l.tp, to); err != nil {
			b.Fatal(err)
		}
		for l.Future() != nil {
			time.Sleep(time.Millisecond)
		}
	}
	e.close()
}
