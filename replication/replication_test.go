package replication

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/storage"
)

func (c *testCluster) sameLogs(topic string, partition int32, brokers ...int32) bool {
	c.t.Helper()
	want := c.partition(brokers[0], topic, partition).Log().EndOffset()
	for _, b := range brokers[1:] {
		if c.partition(b, topic, partition).Log().EndOffset() != want {
			return false
		}
	}
	first := contents(c.t, c.partition(brokers[0], topic, partition).Log())
	for _, b := range brokers[1:] {
		if diff := cmp.Diff(first, contents(c.t, c.partition(b, topic, partition).Log())); diff != "" {
			c.t.Errorf("brokers %d and %d differ (-first +second):\n%s", brokers[0], b, diff)
		}
	}
	return true
}

func TestFollowersCopyTheLog(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  func(*Config)
	}{
		{"by topic id", nil},
		{"by name", func(c *Config) { c.FetchVersion = 12 }},
		{"from IBP 2.6 on", func(c *Config) { c.FetchVersion = 12; c.Fetchers = 3 }},
		{"without a session at the leader", func(c *Config) { c.SessionSlots = -1 }},
		{"small answers", func(c *Config) { c.FetchResponseMaxBytes = 100; c.FetchPartitionMaxBytes = 100 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newTestCluster(t, 3, tc.cfg)
			c.create("t", 4, 0, 1, 2)
			for i := range 40 {
				mustProduce(t, c.partition(0, "t", int32(i%4)), fmt.Sprint("value ", i))
			}
			for p := range int32(4) {
				eventually(t, "logs are equal", func() bool { return c.sameLogs("t", p, 0, 1, 2) })
				eventually(t, "followers know the high watermark", func() bool {
					return c.partition(1, "t", p).HighWatermark() == 10 && c.partition(2, "t", p).HighWatermark() == 10
				})
			}
			if n := c.alters.Load(); n != 0 {
				t.Errorf("%d changes of a stable isr", n)
			}
		})
	}
}

func TestNewLeaderGoesOn(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.create("t", 1, 0, 1, 2)
	for round := range int32(6) {
		leader := round % 3
		if round > 0 {
			c.elect("t", 0, leader)
		}
		mustProduce(t, c.partition(leader, "t", 0), fmt.Sprint("round ", round))
	}
	eventually(t, "logs are equal", func() bool { return c.sameLogs("t", 0, 0, 1, 2) })
	if got := contents(t, c.partition(0, "t", 0).Log()); len(got) != 6 {
		t.Errorf("%d records", len(got))
	}
}

func TestTruncatesWhatTheNewLeaderLacks(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.create("t", 1, 0, 1, 2)
	mustProduce(t, c.partition(0, "t", 0), "committed")
	c.isolate(1, true)
	c.isolate(2, true)
	old := c.partition(0, "t", 0)
	for range 3 {
		if _, err := old.AppendAsLeader(records("lost", "lost"), 1, storage.OriginClient); err != nil {
			t.Fatal(err)
		}
	}
	c.isolate(0, true)
	c.isolate(1, false)
	c.isolate(2, false)
	c.elect("t", 0, 1, 1, 2)
	mustProduce(t, c.partition(1, "t", 0), "new")
	c.isolate(0, false)
	c.elect("t", 0, 1)
	eventually(t, "old leader back in the isr", func() bool { return len(c.isrOf("t", 0)) == 3 })
	eventually(t, "logs are equal", func() bool { return c.sameLogs("t", 0, 0, 1, 2) })
	if got, want := contents(t, old.Log()), []string{"committed", "new"}; !slices.Equal(got, want) {
		t.Errorf("old leader has %q, want %q", got, want)
	}
}

// Between two epochs of a leader there may have been another's that it was not told of, and a follower may have truncated to that leader's log.
func TestLeaderForgetsFollowersOverASkippedEpoch(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.create("t", 1, 0, 1, 2)
	p := c.partition(0, "t", 0)
	mustProduce(t, p, "committed")
	c.isolate(2, true)
	if _, err := p.AppendAsLeader(records("uncommitted"), 1, storage.OriginClient); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the leader knows that follower 1 has both", func() bool { return p.ReplicaStates()[0].LogEndOffset == 2 })
	c.isolate(0, true)
	c.isolate(2, false)
	c.elect("t", 0, 2)
	eventually(t, "follower 1 truncated", func() bool { return c.partition(1, "t", 0).Log().EndOffset() == 1 })
	c.isolate(1, true)
	c.isolate(2, true)
	c.isolate(0, false)
	c.elect("t", 0, 0, 0, 1)
	if hw := p.HighWatermark(); hw != 1 {
		t.Errorf("high watermark %d, follower 1 has records up to 1 only", hw)
	}
	fp := consumer(0)
	fp.CurrentLeaderEpoch = 1
	if r := fetchOne(t, c.manager(0), nil, fp); !errors.Is(r.Err, kerr.FencedLeaderEpoch) {
		t.Errorf("a consumer of the other leader: %v", r.Err)
	}
	c.isolate(1, false)
	c.elect("t", 0, 0)
	eventually(t, "both are committed", func() bool { return p.HighWatermark() == 2 && c.sameLogs("t", 0, 0, 1) })
}

// A leader that wrote nothing in its epoch leaves an entry at the end of its epoch cache that the next leader does not know.
func TestFollowerDropsAnEpochWithoutRecords(t *testing.T) {
	c := newTestCluster(t, 2, nil)
	c.create("t", 1, 0, 1)
	mustProduce(t, c.partition(0, "t", 0), "a")
	c.isolate(1, true)
	c.elect("t", 0, 0) // epoch 1, empty
	c.isolate(0, true)
	c.isolate(1, false)
	c.elect("t", 0, 1, 1) // epoch 2
	mustProduce(t, c.partition(1, "t", 0), "b")
	c.isolate(0, false)
	c.elect("t", 0, 1)
	eventually(t, "logs are equal", func() bool { return c.sameLogs("t", 0, 0, 1) })
	if e, _ := c.partition(0, "t", 0).Log().EpochEndOffset(1); e != 0 {
		t.Errorf("epoch 1 is still known: %d", e)
	}
}

func TestOutOfRangeFollowerStartsAnew(t *testing.T) {
	for start, where := range map[int64]string{8: "between batches", 9: "inside a batch"} {
		t.Run(where, func(t *testing.T) {
			c := newTestCluster(t, 2, func(c *Config) { c.LagTimeMax = 300 * time.Millisecond })
			lc := storage.DefaultLogConfig()
			lc.SegmentBytes = 250
			c.logCfg.Store(&lc)
			c.create("t", 1, 0, 1)
			mustProduce(t, c.partition(0, "t", 0), "a")
			c.isolate(1, true)
			p := c.partition(0, "t", 0)
			if _, err := p.AppendAsLeader(records("b"), 1, storage.OriginClient); err != nil { // a follower at the log end never lags
				t.Fatal(err)
			}
			eventually(t, "isr shrunk", func() bool { return len(p.ISR()) == 1 })
			for i := range 5 {
				mustProduce(t, p, fmt.Sprint(i), "and", "more")
			}
			if _, err := c.manager(0).DeleteRecords(t.Context(), p.tp, start); err != nil {
				t.Fatal(err)
			}
			c.isolate(1, false)
			eventually(t, "isr expanded", func() bool { return len(p.ISR()) == 2 })
			eventually(t, "logs are equal", func() bool { return c.sameLogs("t", 0, 0, 1) })
			eventually(t, "logs begin together", func() bool { return c.partition(1, "t", 0).Log().StartOffset() == start })
		})
	}
}

func TestFollowerAheadOfAnUncleanLeader(t *testing.T) {
	c := newTestCluster(t, 2, nil)
	c.create("t", 1, 0, 1)
	mustProduce(t, c.partition(0, "t", 0), "a")
	c.isolate(1, true)
	for range 3 {
		if _, err := c.partition(0, "t", 0).AppendAsLeader(records("b"), 1, storage.OriginClient); err != nil {
			t.Fatal(err)
		}
	}
	c.isolate(0, true)
	c.isolate(1, false)
	c.elect("t", 0, 1, 1)
	c.isolate(0, false)
	c.elect("t", 0, 1)
	eventually(t, "truncated", func() bool { return c.partition(0, "t", 0).Log().EndOffset() == 1 })
}

func TestISRShrinksAndExpands(t *testing.T) {
	c := newTestCluster(t, 3, func(c *Config) { c.LagTimeMax = 200 * time.Millisecond })
	c.create("t", 20, 0, 1, 2)
	for i := range int32(20) {
		mustProduce(t, c.partition(0, "t", i), "a")
	}
	c.isolate(2, true)
	before := c.alters.Load()
	for i := range int32(20) {
		if _, err := c.partition(0, "t", i).AppendAsLeader(records("b"), 1, storage.OriginClient); err != nil {
			t.Fatal(err)
		}
	}
	for i := range int32(20) {
		eventually(t, "committed without the one that lags", func() bool { return c.partition(0, "t", i).HighWatermark() == 2 })
		if got := c.isrOf("t", i); !slices.Equal(got, []int32{0, 1}) {
			t.Errorf("partition %d: isr %v", i, got)
		}
	}
	if n := c.alters.Load() - before; n > 5 {
		t.Errorf("%d requests for 20 changes: they were not batched", n)
	}
	c.isolate(2, false)
	for i := range int32(20) {
		eventually(t, "isr expanded", func() bool { return slices.Equal(c.isrOf("t", i), []int32{0, 1, 2}) })
	}
}

func TestISRChangeRefusals(t *testing.T) {
	for _, tc := range []struct {
		code    *kerr.Error
		pending bool // stays until LeaderAndIsr
		retried bool
	}{
		{kerr.IneligibleReplica, false, false},
		{kerr.InvalidUpdateVersion, true, false},
		{kerr.FencedLeaderEpoch, true, false},
		{kerr.UnknownServerError, true, true},
	} {
		t.Run(tc.code.Message, func(t *testing.T) {
			c := newTestCluster(t, 2, func(c *Config) { c.LagTimeMax = 100 * time.Millisecond })
			c.create("t", 1, 0, 1)
			p := c.partition(0, "t", 0)
			mustProduce(t, p, "a")
			c.refuse = nil
			var mu sync.Mutex
			asked := 0
			c.mu.Lock()
			c.refuse = func(int32, *kmsg.AlterPartitionRequestTopicPartition) int16 {
				mu.Lock()
				defer mu.Unlock()
				asked++
				return tc.code.Code
			}
			c.mu.Unlock()
			count := func() int { mu.Lock(); defer mu.Unlock(); return asked }
			c.isolate(1, true)
			if _, err := p.AppendAsLeader(records("b"), 1, storage.OriginClient); err != nil {
				t.Fatal(err)
			}
			eventually(t, "controller asked", func() bool { return count() > 0 })
			if tc.retried {
				eventually(t, "asked again", func() bool { return count() > 3 })
			}
			if tc.pending && !tc.retried {
				time.Sleep(150 * time.Millisecond) // more than one look for laggards
				if n := count(); n != 1 {
					t.Errorf("asked %d times", n)
				}
			}
			eventually(t, "state", func() bool { return (p.role.Load().pending != nil) == tc.pending || !tc.pending && count() > 1 })
			if hw := p.HighWatermark(); hw != 1 {
				t.Errorf("high watermark %d moved past a member of the isr", hw)
			}
		})
	}
}

func TestRestartedBrokerCatchesUp(t *testing.T) {
	c := newTestCluster(t, 2, func(c *Config) { c.LagTimeMax = 200 * time.Millisecond })
	c.create("t", 2, 0, 1)
	for i := range int32(2) {
		mustProduce(t, c.partition(0, "t", i), "a")
	}
	c.brokers[1].stop()
	p := c.partition(0, "t", 0)
	mustProduce(t, p, "b") // after the isr shrank
	c.brokers[1].start()
	c.announceTo(1)
	eventually(t, "isr expanded", func() bool { return len(c.isrOf("t", 0)) == 2 })
	eventually(t, "logs are equal", func() bool { return c.sameLogs("t", 0, 0, 1) && c.sameLogs("t", 1, 0, 1) })
}

// New partitions of a leader that a fetcher waits at must not wait for that fetch to end.
func TestNewPartitionsInterruptAWaitingFetch(t *testing.T) {
	c := newTestCluster(t, 2, func(c *Config) { c.FetchWaitMax = 5 * time.Second })
	c.create("a", 1, 0, 1)
	mustProduce(t, c.partition(0, "a", 0), "x")
	start := time.Now()
	c.create("b", 1, 0, 1)
	mustProduce(t, c.partition(0, "b", 0), "x")
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("first commit after %v", d)
	}
}

func TestResignAllAcceptsAnyEpochAfterwards(t *testing.T) {
	c := newTestCluster(t, 2, nil)
	c.create("t", 1, 0, 1)
	c.elect("t", 0, 0)
	p := c.partition(0, "t", 0)
	mustProduce(t, p, "a")
	p.m.ResignAll()
	if _, err := p.AppendAsLeader(records("x"), 1, storage.OriginClient); !errors.Is(err, kerr.NotLeaderForPartition) {
		t.Errorf("append after resigning: %v", err)
	}
	c.announceTo(0)
	mustProduce(t, p, "b")
}

func TestFailedLogDirectory(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	c.create("t", 1, 0)
	p := c.partition(0, "t", 0)
	p.m.LogDirFailed(p.Log().Dir())
	if _, err := p.AppendAsLeader(records("x"), 1, storage.OriginClient); !errors.Is(err, kerr.KafkaStorageError) {
		t.Errorf("append: %v", err)
	}
	if r := fetchOne(t, p.m, nil, consumer(0)); !errors.Is(r.Err, kerr.KafkaStorageError) {
		t.Errorf("fetch: %v", r.Err)
	}
	if _, err := p.m.LeaderPartition("t", 0); !errors.Is(err, kerr.KafkaStorageError) {
		t.Errorf("leader: %v", err)
	}
}

func TestHighWatermarkHooks(t *testing.T) {
	c := newTestCluster(t, 2, nil)
	c.create("t", 1, 0, 1)
	p := c.partition(0, "t", 0)
	var mu sync.Mutex
	var last int64
	cancel := p.OnHighWatermark(func(hw int64) { mu.Lock(); last = max(last, hw); mu.Unlock() })
	mustProduce(t, p, "a")
	eventually(t, "told", func() bool { mu.Lock(); defer mu.Unlock(); return last == 1 })
	cancel()
	mustProduce(t, p, "b")
	mu.Lock()
	defer mu.Unlock()
	if last != 1 {
		t.Errorf("told %d after cancel", last)
	}
}

// Producers write with acks=all while leaders change, brokers are cut off and come back: what was acknowledged is in the end in every
// replica, once per acknowledgement and in the order of offsets that was promised.
func TestNoAcknowledgedRecordIsLost(t *testing.T) {
	seeds := []uint64{1, 2, 3, 4}
	if testing.Short() {
		seeds = seeds[:1]
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { t.Parallel(); chaos(t, seed) })
	}
}

func chaos(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	c := newTestCluster(t, 3, func(c *Config) { c.LagTimeMax = 100 * time.Millisecond; c.FetchBackoff = 20 * time.Millisecond })
	lc := storage.DefaultLogConfig()
	lc.MinInsyncReplicas = 2
	lc.SegmentBytes = 2000
	c.logCfg.Store(&lc)
	c.create("t", 1, 0, 1, 2)

	var mu sync.Mutex
	acked := map[int64]string{}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for producer := range 3 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				value := fmt.Sprintf("%d/%d", producer, i)
				c.mu.Lock()
				leader := c.parts[storage.TopicPartition{Topic: "t"}].leader
				c.mu.Unlock()
				p := c.partition(leader, "t", 0)
				a, err := produce(p, 200*time.Millisecond, value)
				if err != nil {
					time.Sleep(time.Millisecond)
					continue
				}
				mu.Lock()
				if other, ok := acked[a.FirstOffset]; ok {
					t.Errorf("seed %d: offset %d acknowledged for %s and %s", seed, a.FirstOffset, other, value)
				}
				acked[a.FirstOffset] = value
				mu.Unlock()
			}
		})
	}
	for range 25 {
		time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond)
		cut := rng.Int32N(4)
		if cut < 3 {
			c.isolate(cut, true)
		}
		time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond)
		// Elect a living member of the ISR, as a controller would.
		c.mu.Lock()
		s := c.parts[storage.TopicPartition{Topic: "t"}]
		var candidates []int32
		for _, id := range s.isr {
			if !c.dead[id] {
				candidates = append(candidates, id)
			}
		}
		c.mu.Unlock()
		if len(candidates) > 0 {
			c.elect("t", 0, candidates[rng.IntN(len(candidates))])
		}
		time.Sleep(time.Duration(rng.IntN(40)) * time.Millisecond)
		for id := range int32(3) {
			c.isolate(id, false)
		}
		c.announceBehind()
	}
	close(stop)
	wg.Wait()
	eventually(t, "isr is whole", func() bool { return len(c.isrOf("t", 0)) == 3 })
	eventually(t, "logs are equal", func() bool { return c.sameLogs("t", 0, 0, 1, 2) })
	got := contents(t, c.partition(0, "t", 0).Log())
	for off, value := range acked {
		if off >= int64(len(got)) || got[off] != value {
			t.Errorf("seed %d: acknowledged %s at offset %d, the log has %q of %d", seed, value, off, got[min(off, int64(len(got)-1))], len(got))
		}
	}
	t.Logf("%d records acknowledged of %d", len(acked), len(got))
}

// announceBehind brings brokers up to date that were cut off while the controller decided.
func (c *testCluster) announceBehind() {
	tp := storage.TopicPartition{Topic: "t"}
	for id := range c.brokers {
		_, epoch := c.partition(id, "t", 0).Leader()
		c.mu.Lock()
		behind := epoch < c.parts[tp].leaderEpoch
		c.mu.Unlock()
		if behind {
			c.announceTo(id)
		}
	}
}
