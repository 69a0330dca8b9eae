package replication

import (
	"context"
	"sync"
	"testing"
	"time"

	"ottla/storage"
)

// Appends race with fetches and produces that begin to wait. A wake-up that is missed would leave one of them waiting for its minute.
func TestNoWakeUpIsMissed(t *testing.T) {
	const rounds = 3000
	c := newTestCluster(t, 2, func(c *Config) { c.LagTimeMax = time.Hour; c.NewsDelay = time.Hour })
	c.create("t", 1, 0, 1)
	c.brokers[1].stop() // its part is played below
	p := c.partition(0, "t", 0)
	m := p.m
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
	defer cancel()
	read := func(replica int32) {
		fp := consumer(0)
		fp.Topic = "t"
		fp.MaxBytes = 1 // a batch at a time
		req := &FetchRequest{ReplicaID: replica, Version: 17, MinBytes: 1, MaxBytes: 1, MaxWait: time.Minute, Partitions: []FetchPartition{fp}}
		for req.Partitions[0].FetchOffset < rounds && ctx.Err() == nil {
			res := m.Fetch(ctx, req)
			if res[0].Err != nil {
				t.Error(res[0].Err)
				return
			}
			if res[0].Size() > 0 {
				req.Partitions[0].FetchOffset++
			}
			releaseAll(res)
		}
		if replica >= 0 { // says that it has the last one
			req.MaxWait = 0
			releaseAll(m.Fetch(ctx, req))
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { read(-1) })
	wg.Go(func() { read(1) })
	frame := records("x")
	for range rounds {
		a, err := p.AppendAsLeader(append([]byte(nil), frame...), -1, storage.OriginClient)
		if err != nil {
			t.Fatal(err)
		}
		if w := m.WaitCommitted([]Appended{a}, time.Minute); w != nil {
			select {
			case <-w.Done():
			case <-ctx.Done():
				t.Fatalf("stuck at offset %d, high watermark %d, follower at %+v", a.LastOffset, p.HighWatermark(), p.ReplicaStates())
			}
			if code := w.Errors()[0]; code != 0 {
				t.Fatal(code)
			}
		}
	}
	wg.Wait()
	if ctx.Err() != nil {
		t.Error("a fetch was stuck")
	}
}

// As above, one append against one fetch or one commit against one wait at a time, begun together.
func TestRegistrationRacesWithEvents(t *testing.T) {
	const rounds = 5000
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	// together runs both after delays that change from round to round, so that they meet at every point.
	together := func(round int, a, b func()) {
		var wg sync.WaitGroup
		spin := func(n int) {
			for i := range n {
				_ = i
			}
		}
		wg.Go(func() { spin(round % 97 * 40); a() })
		wg.Go(func() { spin(round % 89 * 40); b() })
		wg.Wait()
	}
	t.Run("fetch", func(t *testing.T) {
		c := newTestCluster(t, 1, nil)
		c.create("t", 1, 0)
		p := c.partition(0, "t", 0)
		for i := range rounds {
			began := time.Now()
			together(i, func() {
				r := fetchOne(t, p.m, func(r *FetchRequest) { r.MaxWait = 15 * time.Second }, consumer(int64(i)))
				if r.Err != nil || r.Size() == 0 || time.Since(began) > 10*time.Second {
					t.Errorf("round %d: %+v after %v", i, r, time.Since(began))
				}
				releaseAll([]FetchResult{r})
			}, func() {
				if _, err := p.AppendAsLeader(records("x"), 1, storage.OriginClient); err != nil {
					t.Error(err)
				}
			})
			if t.Failed() {
				return
			}
		}
	})
	t.Run("produce", func(t *testing.T) {
		c := newTestCluster(t, 2, func(c *Config) { c.LagTimeMax = time.Hour })
		c.create("t", 1, 0, 1)
		c.brokers[1].stop()
		p := c.partition(0, "t", 0)
		for i := range rounds {
			a, err := p.AppendAsLeader(records("x"), -1, storage.OriginClient)
			if err != nil {
				t.Fatal(err)
			}
			together(i, func() {
				w := p.m.WaitCommitted([]Appended{a}, time.Minute)
				if w == nil {
					return
				}
				select {
				case <-w.Done():
				case <-ctx.Done():
					t.Errorf("round %d: stuck", i)
				}
			}, func() {
				fp := consumer(a.Required)
				releaseAll([]FetchResult{fetchOne(t, p.m, func(r *FetchRequest) { r.ReplicaID = 1; r.Version = 17 }, fp)})
			})
			if t.Failed() {
				return
			}
		}
	})
}
