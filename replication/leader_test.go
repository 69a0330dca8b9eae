package replication

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"ottla/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fetchOne fetches one partition of the manager as a consumer of version 12.
func fetchOne(t testing.TB, m *Manager, change func(*FetchRequest), fp FetchPartition) FetchResult {
	t.Helper()
	if fp.Topic == "" {
		fp.Topic = "t"
	}
	req := &FetchRequest{ReplicaID: -1, Version: 12, MinBytes: 1, MaxBytes: 1 << 20, Partitions: []FetchPartition{fp}}
	if change != nil {
		change(req)
	}
	res := m.Fetch(context.Background(), req)
	if len(res) != 1 {
		t.Fatalf("%d results", len(res))
	}
	return res[0]
}

// consumer is a fetch position without epochs.
func consumer(offset int64) FetchPartition {
	return FetchPartition{FetchOffset: offset, LogStartOffset: -1, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1, MaxBytes: 1 << 20}
}

func TestSingleReplicaCommitsInTheAppend(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	c.create("t", 1, 0)
	p := c.partition(0, "t", 0)
	a, err := p.AppendAsLeader(records("a", "b"), -1, storage.OriginClient)
	if err != nil {
		t.Fatal(err)
	}
	if a.Required != 2 || p.HighWatermark() != 2 {
		t.Errorf("required %d, high watermark %d, want 2", a.Required, p.HighWatermark())
	}
	if w := p.m.WaitCommitted([]Appended{a}, time.Minute); w != nil {
		t.Error("there is something to wait for")
	}
	r := fetchOne(t, p.m, nil, consumer(0))
	if r.Err != nil || r.HighWatermark != 2 || r.Size() == 0 {
		t.Errorf("fetch: %+v", r)
	}
	releaseAll([]FetchResult{r})
}

func TestLeaderAndISRChecks(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	c.create("t", 1, 0)
	m := c.manager(0)
	base := func() *kmsg.LeaderAndISRRequest {
		req := kmsg.NewPtrLeaderAndISRRequest()
		req.Version, req.ControllerEpoch, req.BrokerEpoch = 7, 1, 1
		s := kmsg.NewLeaderAndISRRequestTopicPartition()
		s.LeaderEpoch, s.ISR, s.Replicas, s.ZKVersion = 1, []int32{0}, []int32{0}, 1
		ts := kmsg.NewLeaderAndISRRequestTopicState()
		ts.Topic, ts.TopicID = "t", c.parts[storage.TopicPartition{Topic: "t"}].topicID
		ts.PartitionStates = append(ts.PartitionStates, s)
		req.TopicStates = append(req.TopicStates, ts)
		return req
	}
	for _, tc := range []struct {
		name    string
		change  func(*kmsg.LeaderAndISRRequest)
		top     int16
		code    int16
		applied bool
	}{
		{"stale broker epoch", func(r *kmsg.LeaderAndISRRequest) { r.BrokerEpoch = 0 }, kerr.StaleBrokerEpoch.Code, 0, false},
		{"stale controller epoch", func(r *kmsg.LeaderAndISRRequest) { r.ControllerEpoch = 0 }, kerr.StaleControllerEpoch.Code, 0, false},
		{"other topic id", func(r *kmsg.LeaderAndISRRequest) { r.TopicStates[0].TopicID = [16]byte{9} }, 0, kerr.InconsistentTopicID.Code, false},
		{"equal leader epoch", func(r *kmsg.LeaderAndISRRequest) { r.TopicStates[0].PartitionStates[0].LeaderEpoch = 0 }, 0, kerr.StaleControllerEpoch.Code, false},
		{"not a replica", func(r *kmsg.LeaderAndISRRequest) { r.TopicStates[0].PartitionStates[0].Replicas = []int32{1} }, 0, kerr.UnknownTopicOrPartition.Code, false},
		{"older partition epoch", func(r *kmsg.LeaderAndISRRequest) { r.TopicStates[0].PartitionStates[0].ZKVersion = -1 }, 0, 0, false},
		{"unknown broker epoch, all well", func(r *kmsg.LeaderAndISRRequest) { r.BrokerEpoch = -1 }, 0, 0, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req := base()
			tc.change(req)
			resp := m.LeaderAndISR(req)
			if resp.ErrorCode != tc.top {
				t.Fatalf("top-level code %d, want %d", resp.ErrorCode, tc.top)
			}
			if tc.top == 0 && resp.Topics[0].Partitions[0].ErrorCode != tc.code {
				t.Errorf("code %d, want %d", resp.Topics[0].Partitions[0].ErrorCode, tc.code)
			}
			if _, epoch := m.Partition("t", 0).Leader(); (epoch == 1) != tc.applied {
				t.Errorf("leader epoch is %d", epoch)
			}
		})
	}
}

func TestLeaderAndISRAdoptsControllerEpoch(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	m := c.manager(0)
	if err := m.CheckControllerEpoch(5); err != nil {
		t.Fatal(err)
	}
	if err := m.CheckControllerEpoch(4); !errors.Is(err, kerr.StaleControllerEpoch) {
		t.Errorf("got %v", err)
	}
}

func TestStopReplica(t *testing.T) {
	for _, tc := range []struct {
		name    string
		epoch   int32
		del     bool
		code    int16
		stopped bool
		deleted bool
	}{
		{"lower epoch", 0, true, kerr.FencedLeaderEpoch.Code, false, false},
		{"equal epoch", 1, false, 0, true, false},
		{"no epoch, delete", -1, true, 0, true, true},
		{"topic deletion", -2, true, 0, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newTestCluster(t, 1, nil)
			c.create("t", 1, 0)
			c.elect("t", 0, 0)
			m, p := c.manager(0), c.partition(0, "t", 0)
			req := kmsg.NewPtrStopReplicaRequest()
			req.Version, req.ControllerEpoch, req.BrokerEpoch = 3, 1, 1
			for _, id := range []int32{0, 7} { // 7 is unknown: no error
				s := kmsg.NewStopReplicaRequestTopicPartitionState()
				s.Partition, s.LeaderEpoch, s.Delete = id, tc.epoch, tc.del
				topic := kmsg.NewStopReplicaRequestTopic()
				topic.Topic, topic.PartitionStates = "t", append(topic.PartitionStates, s)
				req.Topics = append(req.Topics, topic)
			}
			resp := m.StopReplica(req)
			if len(resp.Partitions) != 2 || resp.Partitions[0].ErrorCode != tc.code || resp.Partitions[1].ErrorCode != 0 {
				t.Fatalf("answer %+v", resp.Partitions)
			}
			if p.IsLeader() == tc.stopped {
				t.Errorf("leads: %v", p.IsLeader())
			}
			if gone := m.Partition("t", 0) == nil; gone != tc.deleted {
				t.Errorf("deleted: %v", gone)
			}
			b := c.brokers[0]
			b.mu.Lock()
			defer b.mu.Unlock()
			if last := b.changes[len(b.changes)-1]; last.Leader == tc.stopped {
				t.Errorf("last change told is %+v", last)
			}
		})
	}
}

func TestProduceErrors(t *testing.T) {
	c := newTestCluster(t, 2, nil)
	c.create("t", 1, 0, 1)
	follower := c.partition(1, "t", 0)
	if _, err := follower.AppendAsLeader(records("x"), 1, storage.OriginClient); !errors.Is(err, kerr.NotLeaderForPartition) {
		t.Errorf("append to a follower: %v", err)
	}
	if _, err := c.manager(0).LeaderPartition("none", 0); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("unknown topic: %v", err)
	}
	if _, err := c.manager(1).LeaderPartition("t", 0); !errors.Is(err, kerr.NotLeaderForPartition) {
		t.Errorf("follower: %v", err)
	}
	leader := c.partition(0, "t", 0)
	if _, err := leader.Append(records("x"), AppendOptions{LeaderEpoch: 7}); !errors.Is(err, kerr.NotLeaderForPartition) {
		t.Errorf("append in another epoch: %v", err)
	}
}

func TestMinInsyncReplicas(t *testing.T) {
	lag := 200 * time.Millisecond
	c := newTestCluster(t, 2, func(c *Config) { c.LagTimeMax = lag })
	lc := storage.DefaultLogConfig()
	lc.MinInsyncReplicas = 2
	c.logCfg.Store(&lc)
	c.create("t", 1, 0, 1)
	p := c.partition(0, "t", 0)
	mustProduce(t, p, "a")

	// The follower is gone; its removal from the ISR is on its way: the record is appended and not acknowledged.
	c.isolate(1, true)
	a, err := p.AppendAsLeader(records("b"), -1, storage.OriginClient)
	if err != nil {
		t.Fatal(err)
	}
	w := p.m.WaitCommitted([]Appended{a}, 10*time.Second)
	eventually(t, "isr shrunk", func() bool { return cmp.Equal(c.isrOf("t", 0), []int32{0}) && len(p.ISR()) == 1 })
	if _, err := p.AppendAsLeader(records("c"), -1, storage.OriginClient); !errors.Is(err, kerr.NotEnoughReplicas) {
		t.Errorf("acks=all: %v", err)
	}
	if _, err := p.AppendAsLeader(records("d"), 1, storage.OriginClient); err != nil {
		t.Errorf("acks=1: %v", err)
	}
	if hw := p.HighWatermark(); hw != 1 {
		t.Errorf("high watermark %d moved below min.insync.replicas", hw)
	}
	select {
	case <-w.Done():
		t.Errorf("acknowledged: %v", w.Errors())
	default:
	}
	c.isolate(1, false)
	eventually(t, "isr expanded", func() bool { return len(p.ISR()) == 2 })
	<-w.Done()
	if got := w.Errors(); got[0] != 0 {
		t.Errorf("code %d after the follower came back", got[0])
	}
	mustProduce(t, p, "e")
}

func TestNotEnoughReplicasAfterAppend(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	c.create("t", 1, 0)
	p := c.partition(0, "t", 0)
	// A state that the controller leaves behind: committed by HW, with fewer in sync than wanted by now.
	r := *p.role.Load()
	f := &follower{id: 1, leo: 100, lastCaughtUp: longAgo}
	r.followers = []*follower{f}
	p.role.Store(&r)
	a, err := p.AppendAsLeader(records("x"), -1, storage.OriginClient)
	if err != nil {
		t.Fatal(err)
	}
	lc := storage.DefaultLogConfig()
	lc.MinInsyncReplicas = 2
	c.logCfg.Store(&lc)
	c.brokers[0].logs.UpdateConfig("t")
	w := p.m.WaitCommitted([]Appended{a}, time.Minute)
	if w == nil {
		t.Fatal("acknowledged")
	}
	<-w.Done()
	if got := w.Errors()[0]; got != kerr.NotEnoughReplicasAfterAppend.Code {
		t.Errorf("code %d", got)
	}
}

func TestProduceTimesOut(t *testing.T) {
	c := newTestCluster(t, 2, nil)
	c.create("t", 1, 0, 1)
	c.isolate(1, true)
	p := c.partition(0, "t", 0)
	if _, err := produce(p, 20*time.Millisecond, "x"); !errors.Is(err, kerr.RequestTimedOut) {
		t.Errorf("got %v", err)
	}
	if n := p.waits.produces.Load(); n != 0 || p.waits.waiting.first != nil {
		t.Errorf("%d entries left", n)
	}
}

func TestLosingLeadershipCompletesWaits(t *testing.T) {
	c := newTestCluster(t, 2, nil)
	c.create("t", 2, 0, 1)
	p0, p1 := c.partition(0, "t", 0), c.partition(0, "t", 1)
	mustProduce(t, p0, "x")
	c.isolate(1, true)
	var apps []Appended
	for _, p := range []*Partition{p0, p1} {
		a, err := p.AppendAsLeader(records("y"), -1, storage.OriginClient)
		if err != nil {
			t.Fatal(err)
		}
		apps = append(apps, a)
	}
	w := p0.m.WaitCommitted(apps, time.Minute)
	fetched := make(chan FetchResult)
	go func() {
		fetched <- fetchOne(t, p0.m, func(r *FetchRequest) { r.MaxWait = time.Minute; r.Version = 10 }, consumer(1))
	}()
	eventually(t, "fetch waits", func() bool { return p0.waits.fetches.Load() == 1 })
	c.elect("t", 0, 1)
	if r := <-fetched; !errors.Is(r.Err, kerr.NotLeaderForPartition) || r.LeaderID != 1 || r.LeaderEpoch != 1 {
		t.Errorf("fetch: %+v", r)
	}
	select {
	case <-w.Done():
		t.Error("done while one partition waits")
	default:
	}
	// Led again in a later epoch: the record that was appended before must not be acknowledged by what follows.
	c.elect("t", 0, 0)
	c.isolate(1, false)
	c.elect("t", 1, 0)
	<-w.Done()
	if got := w.Errors(); got[0] != kerr.NotLeaderForPartition.Code || got[1] != 0 {
		t.Errorf("codes %v", got)
	}
}

func TestWaitsAreGoneAfterwards(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	c.create("t", 3, 0)
	m := c.manager(0)
	var parts []FetchPartition
	for i := range int32(3) {
		fp := consumer(0)
		fp.Topic, fp.Partition = "t", i
		parts = append(parts, fp)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			res := m.Fetch(context.Background(), &FetchRequest{ReplicaID: -1, Version: 12, MinBytes: 1, MaxBytes: 1 << 20, MaxWait: time.Minute, Partitions: slices.Clone(parts)})
			releaseAll(res)
		})
	}
	p := c.partition(0, "t", 1)
	eventually(t, "all wait", func() bool { return p.waits.fetches.Load() == 20 })
	mustProduce(t, p, "x")
	wg.Wait()
	for i := range int32(3) {
		if w := &c.partition(0, "t", i).waits; w.fetches.Load() != 0 || w.hw.first != nil || w.leo.first != nil {
			t.Errorf("partition %d: %d watches left", i, w.fetches.Load())
		}
	}
}

func TestFetchEndsWithItsContextAndTime(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	c.create("t", 1, 0)
	m := c.manager(0)
	fp := consumer(0)
	fp.Topic = "t"
	req := &FetchRequest{ReplicaID: -1, Version: 12, MinBytes: 1, MaxBytes: 100, MaxWait: time.Minute, Partitions: []FetchPartition{fp}}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(10*time.Millisecond, cancel)
	if res := m.Fetch(ctx, req); res[0].Err != nil || res[0].Size() != 0 {
		t.Errorf("%+v", res)
	}
	req.MaxWait = 20 * time.Millisecond
	start := time.Now()
	if res := m.Fetch(context.Background(), req); res[0].Err != nil || time.Since(start) < req.MaxWait {
		t.Errorf("%+v after %v", res, time.Since(start))
	}
}

func TestMinBytesIsWaitedFor(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	c.create("t", 1, 0)
	p := c.partition(0, "t", 0)
	one := len(records("x"))
	got := make(chan FetchResult)
	go func() {
		got <- fetchOne(t, p.m, func(r *FetchRequest) { r.MinBytes = int32(3 * one); r.MaxWait = time.Minute }, consumer(0))
	}()
	for range 2 {
		mustProduce(t, p, "x")
	}
	select {
	case r := <-got:
		t.Fatalf("answered with %d bytes", r.Size())
	case <-time.After(30 * time.Millisecond):
	}
	mustProduce(t, p, "x")
	r := <-got
	if r.Size() < 3*one {
		t.Errorf("answered with %d bytes", r.Size())
	}
	releaseAll([]FetchResult{r})
}
