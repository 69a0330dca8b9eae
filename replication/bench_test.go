package replication

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"ottla/storage"
	"ottla/wire/batch"
)

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{100, 16 << 10} {
		b.Run(fmt.Sprintf("acks=all/replicas=1/batch=%d", size), func(b *testing.B) {
			c := newTestCluster(b, 1, nil)
			c.create("t", 1, 0)
			p := c.partition(0, "t", 0)
			frame := records(strings.Repeat("v", size))
			apps := make([]Appended, 1)
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			for b.Loop() {
				batch.View(frame).SetBaseOffset(0)
				a, err := p.AppendAsLeader(frame, -1, storage.OriginClient)
				if err != nil {
					b.Fatal(err)
				}
				apps[0] = a
				if w := p.m.WaitCommitted(apps, time.Second); w != nil {
					b.Fatal("must wait")
				}
			}
		})
	}
}

// BenchmarkReplicate is one acks=all append at a time, to its commit, beside partitions on which nothing happens.
func BenchmarkReplicate(b *testing.B) {
	for _, idle := range []int{0, 999} {
		b.Run(fmt.Sprintf("idle=%d", idle), func(b *testing.B) { benchmarkReplicate(b, idle) })
	}
}

func benchmarkReplicate(b *testing.B, idle int) {
	c := newTestCluster(b, 3, nil)
	c.create("t", idle+1, 0, 1, 2)
	p := c.partition(0, "t", 0)
	frame := records(strings.Repeat("v", 1<<10))
	b.ReportAllocs()
	for b.Loop() {
		batch.View(frame).SetBaseOffset(0)
		a, err := p.AppendAsLeader(frame, -1, storage.OriginClient)
		if err != nil {
			b.Fatal(err)
		}
		if w := p.m.WaitCommitted([]Appended{a}, 10*time.Second); w != nil {
			<-w.Done()
			if code := w.Errors()[0]; code != 0 {
				b.Fatal(code)
			}
		}
	}
}

// fetchRequestOver reads n partitions from offset on.
func fetchRequestOver(n int, offset int64) *FetchRequest {
	req := &FetchRequest{ReplicaID: -1, Version: 12, MinBytes: 1, MaxBytes: 1 << 20, Results: make([]FetchResult, n)}
	for i := range n {
		fp := consumer(offset)
		fp.Topic, fp.Partition = "t", int32(i)
		req.Partitions = append(req.Partitions, fp)
	}
	return req
}

func BenchmarkFetchOne(b *testing.B) {
	c := newTestCluster(b, 1, nil)
	c.create("t", 1, 0)
	m := c.manager(0)
	mustProduce(b, c.partition(0, "t", 0), strings.Repeat("v", 1<<10))
	req := fetchRequestOver(1, 0)
	b.ReportAllocs()
	for b.Loop() {
		res := m.Fetch(context.Background(), req)
		if res[0].Size() == 0 {
			b.Fatal(res[0].Err)
		}
		res[0].Records.Release()
	}
}

// BenchmarkWakeUp is the time from an append to the answer of a fetch that waits for it.
func BenchmarkWakeUp(b *testing.B) {
	for _, idle := range []int{0, 999} {
		b.Run(fmt.Sprintf("idle=%d", idle), func(b *testing.B) {
			c := newTestCluster(b, 1, nil)
			c.create("t", idle+1, 0)
			m := c.manager(0)
			p := c.partition(0, "t", 0)
			frame := records("x")
			req := fetchRequestOver(idle+1, 0)
			req.MaxWait = time.Minute
			answered := make(chan struct{})
			turns := make(chan int64)
			go func() {
				for off := range turns {
					req.Partitions[0].FetchOffset = off
					res := m.Fetch(context.Background(), req)
					releaseAll(res)
					answered <- struct{}{}
				}
			}()
			defer close(turns)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				turns <- p.HighWatermark()
				for c.partition(0, "t", int32(idle)).waits.fetches.Load() == 0 {
				}
				b.StartTimer()
				batch.View(frame).SetBaseOffset(0)
				if _, err := p.AppendAsLeader(frame, 1, storage.OriginClient); err != nil {
					b.Fatal(err)
				}
				<-answered
			}
		})
	}
}

// BenchmarkIdlePartitions is a fetch over partitions without news, its watches set and removed.
func BenchmarkIdlePartitions(b *testing.B) {
	const n = 1000
	c := newTestCluster(b, 1, nil)
	c.create("t", n, 0)
	m := c.manager(0)
	req := fetchRequestOver(n, 0)
	done, cancel := context.WithCancel(context.Background())
	cancel()
	for _, wait := range []time.Duration{0, time.Minute} {
		b.Run(fmt.Sprintf("wait=%v", wait > 0), func(b *testing.B) {
			req.MaxWait = wait
			b.ReportAllocs()
			for b.Loop() {
				m.Fetch(done, req)
			}
		})
	}
}
