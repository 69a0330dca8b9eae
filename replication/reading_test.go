package replication

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/storage"
)

func TestFetchErrors(t *testing.T) {
	c := newTestCluster(t, 2, nil)
	c.create("t", 1, 0, 1)
	c.elect("t", 0, 0)
	m := c.manager(0)
	mustProduce(t, c.partition(0, "t", 0), "a", "b")
	id := c.partition(0, "t", 0).TopicID()
	as := func(replica int32, version int16) func(*FetchRequest) {
		return func(r *FetchRequest) { r.ReplicaID, r.Version = replica, version }
	}
	for _, tc := range []struct {
		name   string
		broker int32
		req    func(*FetchRequest)
		part   func(*FetchPartition)
		want   *kerr.Error
	}{
		{"well", 0, nil, func(*FetchPartition) {}, nil},
		{"by id", 0, nil, func(p *FetchPartition) { p.TopicID = id }, nil},
		{"unknown topic", 0, nil, func(p *FetchPartition) { p.Topic = "none" }, kerr.UnknownTopicOrPartition},
		{"another id", 0, nil, func(p *FetchPartition) { p.TopicID = [16]byte{1} }, kerr.InconsistentTopicID},
		{"older epoch", 0, as(1, 17), func(p *FetchPartition) { p.CurrentLeaderEpoch = 0 }, kerr.FencedLeaderEpoch},
		{"newer epoch", 0, nil, func(p *FetchPartition) { p.CurrentLeaderEpoch = 2 }, kerr.UnknownLeaderEpoch},
		{"beyond the end", 0, nil, func(p *FetchPartition) { p.FetchOffset = 3 }, kerr.OffsetOutOfRange},
		{"before the start", 0, nil, func(p *FetchPartition) { p.FetchOffset = -1 }, kerr.OffsetOutOfRange},
		{"at the end", 0, nil, func(p *FetchPartition) { p.FetchOffset = 2 }, nil},
		{"from a follower, old consumer", 1, as(-1, 10), func(*FetchPartition) {}, kerr.NotLeaderForPartition},
		{"from a follower", 1, as(-1, 11), func(*FetchPartition) {}, nil},
		{"replica asks a follower", 1, as(0, 17), func(*FetchPartition) {}, kerr.NotLeaderForPartition},
		{"stranger with epoch", 0, as(9, 17), func(p *FetchPartition) { p.CurrentLeaderEpoch = 1 }, kerr.UnknownLeaderEpoch},
		{"stranger without epoch", 0, as(9, 17), func(*FetchPartition) {}, kerr.NotLeaderForPartition},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fp := consumer(0)
			fp.Topic = "t"
			tc.part(&fp)
			r := fetchOne(t, c.manager(tc.broker), tc.req, fp)
			defer releaseAll([]FetchResult{r})
			if tc.want == nil && r.Err != nil || tc.want != nil && !errors.Is(r.Err, tc.want) {
				t.Fatalf("got %v, want %v", r.Err, tc.want)
			}
			if r.Err != nil && (r.HighWatermark != -1 || r.LastStableOffset != -1 || r.LogStartOffset != -1) {
				t.Errorf("offsets with an error: %+v", r)
			}
			hint := tc.want == kerr.NotLeaderForPartition || tc.want == kerr.FencedLeaderEpoch
			if hint != (r.LeaderID == 0) {
				t.Errorf("leader hint %d", r.LeaderID)
			}
		})
	}
	_ = m
}

func TestUnknownTopicIDInFetch(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	res := c.manager(0).Fetch(context.Background(), &FetchRequest{ReplicaID: -1, Version: 13, Partitions: []FetchPartition{{TopicID: [16]byte{3}}}})
	if !errors.Is(res[0].Err, kerr.UnknownTopicID) {
		t.Errorf("got %v", res[0].Err)
	}
}

func TestFetchLimits(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	c.create("t", 3, 0)
	m := c.manager(0)
	var parts []FetchPartition
	for i := range int32(3) {
		mustProduce(t, c.partition(0, "t", i), strings.Repeat("v", 1000))
		mustProduce(t, c.partition(0, "t", i), strings.Repeat("v", 1000))
		fp := consumer(0)
		fp.Topic, fp.Partition = "t", i
		parts = append(parts, fp)
	}
	one := len(records(strings.Repeat("v", 1000)))
	for _, tc := range []struct {
		name      string
		total     int32
		partition int32
		want      []int
	}{
		{"all", 1 << 20, 1 << 20, []int{2 * one, 2 * one, 2 * one}},
		{"partition limit", 1 << 20, int32(one), []int{one, one, one}},
		{"request limit", int32(3 * one), 1 << 20, []int{2 * one, one, 0}},
		{"the first batch comes whole", 10, 1 << 20, []int{one, 0, 0}},
		{"the first batch comes whole whatever the partition limit", 1 << 20, 10, []int{one, 0, 0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for i := range parts {
				parts[i].MaxBytes = tc.partition
			}
			res := m.Fetch(context.Background(), &FetchRequest{ReplicaID: -1, Version: 12, MinBytes: 1, MaxBytes: tc.total, Partitions: parts})
			defer releaseAll(res)
			for i := range res {
				if got := res[i].Size(); got != tc.want[i] {
					t.Errorf("partition %d: %d bytes, want %d", i, got, tc.want[i])
				}
			}
		})
	}
}

func TestDivergingEpoch(t *testing.T) {
	c := newTestCluster(t, 2, nil)
	c.create("t", 1, 0, 1)
	c.isolate(1, true)
	p := c.partition(0, "t", 0)
	for epoch := range 3 { // epochs 0, 1, 2 begin at 0, 2, 4
		if epoch > 0 {
			c.elect("t", 0, 0)
		}
		for range 2 {
			if _, err := p.AppendAsLeader(records("x"), 1, storage.OriginClient); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tc := range []struct {
		name   string
		epoch  int32
		offset int64
		want   *EpochEndOffset
		code   *kerr.Error
	}{
		{"same log", 2, 6, nil, nil},
		{"earlier epoch, within", 1, 3, nil, nil},
		{"at the end of an epoch", 1, 4, nil, nil},
		{"beyond the end of its epoch", 1, 5, &EpochEndOffset{1, 4}, nil},
		{"epoch later than any of the leader's", 5, 6, nil, kerr.OffsetOutOfRange},
		{"beyond the log end", 2, 9, &EpochEndOffset{2, 6}, nil},
		{"below the log start", 0, -1, nil, kerr.OffsetOutOfRange},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fp := consumer(tc.offset)
			fp.LastFetchedEpoch = tc.epoch
			r := fetchOne(t, p.m, func(r *FetchRequest) { r.ReplicaID = 1; r.Version = 17 }, fp)
			defer releaseAll([]FetchResult{r})
			if tc.code != nil {
				if !errors.Is(r.Err, tc.code) {
					t.Fatalf("got %v", r.Err)
				}
				return
			}
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			switch {
			case tc.want == nil && r.Diverging != nil:
				t.Errorf("diverges: %+v", *r.Diverging)
			case tc.want != nil && (r.Diverging == nil || *r.Diverging != *tc.want || r.Size() != 0):
				t.Errorf("got %+v, want %+v", r.Diverging, *tc.want)
			}
			if leo := p.ReplicaStates()[0].LogEndOffset; tc.want != nil && leo == tc.offset {
				t.Error("a diverging fetch counted for the follower's state")
			}
		})
	}
}

func TestListOffsets(t *testing.T) {
	c := newTestCluster(t, 2, nil)
	c.create("t", 1, 0, 1)
	p := c.partition(0, "t", 0)
	mustProduce(t, p, "a", "b") // timestamps 1000
	for _, tc := range []struct {
		name    string
		req     ListOffsetRequest
		broker  int32
		offset  int64
		ts      int64
		epoch   int32
		wantErr *kerr.Error
	}{
		{"latest", ListOffsetRequest{Timestamp: -1, Version: 5}, 0, 2, -1, 0, nil},
		{"latest committed", ListOffsetRequest{Timestamp: -1, Isolation: 1, Version: 5}, 0, 2, -1, 0, nil},
		{"earliest", ListOffsetRequest{Timestamp: -2, Version: 5}, 0, 0, -1, 0, nil},
		{"maximum", ListOffsetRequest{Timestamp: -3, Version: 7}, 0, 0, 1000, 0, nil},
		{"maximum before its version", ListOffsetRequest{Timestamp: -3, Version: 6}, 0, -1, -1, -1, kerr.UnsupportedVersion},
		{"earliest local", ListOffsetRequest{Timestamp: -4, Version: 8}, 0, 0, -1, 0, nil},
		{"tiered", ListOffsetRequest{Timestamp: -5, Version: 9}, 0, -1, -1, -1, nil},
		{"unknown constant", ListOffsetRequest{Timestamp: -6, Version: 9}, 0, -1, -1, -1, kerr.UnsupportedVersion},
		{"by time", ListOffsetRequest{Timestamp: 999, Version: 5}, 0, 0, 1000, 0, nil},
		{"by a time to come", ListOffsetRequest{Timestamp: 1001, Version: 5}, 0, -1, -1, -1, nil},
		{"epoch too new", ListOffsetRequest{Timestamp: -1, CurrentLeaderEpoch: 3, Version: 5}, 0, -1, -1, -1, kerr.UnknownLeaderEpoch},
		{"a follower", ListOffsetRequest{Timestamp: -1, Version: 5}, 1, -1, -1, -1, kerr.NotLeaderForPartition},
		{"a follower, debugging", ListOffsetRequest{Timestamp: -1, ReplicaID: -2, Version: 5}, 1, 2, -1, 0, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.req.ReplicaID == 0 {
				tc.req.ReplicaID = -1
			}
			if tc.req.CurrentLeaderEpoch == 0 {
				tc.req.CurrentLeaderEpoch = -1
			}
			off, ts, epoch, err := c.partition(tc.broker, "t", 0).ListOffset(tc.req)
			if tc.wantErr != nil && !errors.Is(err, tc.wantErr) || tc.wantErr == nil && err != nil {
				t.Fatalf("got %v, want %v", err, tc.wantErr)
			}
			if off != tc.offset || ts != tc.ts || epoch != tc.epoch {
				t.Errorf("got %d %d %d, want %d %d %d", off, ts, epoch, tc.offset, tc.ts, tc.epoch)
			}
		})
	}
}

func TestNewLeaderDoesNotKnowLatestOffset(t *testing.T) {
	c := newTestCluster(t, 2, nil)
	c.create("t", 1, 0, 1)
	c.isolate(1, true)
	p := c.partition(0, "t", 0)
	if _, err := p.AppendAsLeader(records("x"), 1, storage.OriginClient); err != nil {
		t.Fatal(err)
	}
	c.elect("t", 0, 0) // the epoch begins at 1, the high watermark is 0
	for version, want := range map[int16]*kerr.Error{5: kerr.OffsetNotAvailable, 4: kerr.LeaderNotAvailable} {
		_, _, _, err := p.ListOffset(ListOffsetRequest{Timestamp: -1, CurrentLeaderEpoch: -1, ReplicaID: -1, Version: version})
		if !errors.Is(err, want) {
			t.Errorf("version %d: %v", version, err)
		}
	}
	if off, _, _, err := p.ListOffset(ListOffsetRequest{Timestamp: -1, CurrentLeaderEpoch: -1, ReplicaID: 1, Version: 9}); err != nil || off != 1 {
		t.Errorf("for a follower: %d %v", off, err)
	}
	c.isolate(1, false)
	c.announceTo(1)
	eventually(t, "high watermark", func() bool { return p.HighWatermark() == 1 })
	if off, _, _, err := p.ListOffset(ListOffsetRequest{Timestamp: -1, CurrentLeaderEpoch: -1, ReplicaID: -1, Version: 9}); err != nil || off != 1 {
		t.Errorf("afterwards: %d %v", off, err)
	}
}

func TestDeleteRecords(t *testing.T) {
	c := newTestCluster(t, 2, nil)
	c.create("t", 1, 0, 1)
	m, tp := c.manager(0), storage.TopicPartition{Topic: "t"}
	p := c.partition(0, "t", 0)
	for range 5 {
		mustProduce(t, p, "x")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if low, err := m.DeleteRecords(ctx, tp, 3); low != 3 || err != nil {
		t.Errorf("to 3: %d %v", low, err)
	}
	if got := c.partition(1, "t", 0).Log().StartOffset(); got != 3 {
		t.Errorf("the follower's log starts at %d", got)
	}
	if _, err := m.DeleteRecords(ctx, tp, 6); !errors.Is(err, kerr.OffsetOutOfRange) {
		t.Errorf("beyond the high watermark: %v", err)
	}
	if _, err := c.manager(1).DeleteRecords(ctx, tp, 4); !errors.Is(err, kerr.NotLeaderForPartition) {
		t.Errorf("at a follower: %v", err)
	}
	if low, err := m.DeleteRecords(ctx, tp, -1); low != 5 || err != nil {
		t.Errorf("to the high watermark: %d %v", low, err)
	}
	r := fetchOne(t, m, nil, consumer(2))
	if !errors.Is(r.Err, kerr.OffsetOutOfRange) {
		t.Errorf("fetch of deleted records: %v", r.Err)
	}
}

func TestDeleteRecordsWaitsForLiveReplicasOnly(t *testing.T) {
	c := newTestCluster(t, 2, nil)
	c.create("t", 1, 0, 1)
	m, tp := c.manager(0), storage.TopicPartition{Topic: "t"}
	p := c.partition(0, "t", 0)
	mustProduce(t, p, "x")
	c.brokers[1].stop() // not known to be dead yet
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if _, err := m.DeleteRecords(ctx, tp, 1); !errors.Is(err, kerr.RequestTimedOut) {
		t.Errorf("got %v", err)
	}
	if n := len(p.waits.deletes); n != 0 {
		t.Errorf("%d deletions left", n)
	}
	done := make(chan error)
	go func() { _, err := m.DeleteRecords(context.Background(), tp, 1); done <- err }()
	eventually(t, "deletion waits", func() bool { p.waits.mu.Lock(); defer p.waits.mu.Unlock(); return len(p.waits.deletes) == 1 })
	c.isolate(1, true)
	m.BrokerGone()
	if err := <-done; err != nil {
		t.Errorf("after the replica died: %v", err)
	}
}

func TestDeleteRecordsNeedsDeletePolicy(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	lc := storage.DefaultLogConfig()
	lc.Compact, lc.Delete = true, false
	c.logCfg.Store(&lc)
	c.create("t", 1, 0)
	if _, err := c.manager(0).DeleteRecords(context.Background(), storage.TopicPartition{Topic: "t"}, 0); !errors.Is(err, kerr.PolicyViolation) {
		t.Errorf("got %v", err)
	}
}

func TestPreferredReplica(t *testing.T) {
	c := newTestCluster(t, 3, func(c *Config) { c.RackAware = true })
	c.create("t", 1, 0, 1, 2)
	p := c.partition(0, "t", 0)
	mustProduce(t, p, "x")
	inRack := func(rack string) func(*FetchRequest) {
		return func(r *FetchRequest) { r.Rack = rack }
	}
	eventually(t, "followers told their log start", func() bool {
		for _, s := range p.ReplicaStates() {
			if s.LogEndOffset < 1 {
				return false
			}
		}
		return true
	})
	for rack, want := range map[string]int32{"rack-0": -1, "rack-1": 1, "rack-2": 2, "rack-9": -1, "": -1} {
		r := fetchOne(t, p.m, inRack(rack), consumer(0))
		if r.Err != nil || r.PreferredReplica != want {
			t.Errorf("%q: preferred replica %d, want %d (%v)", rack, r.PreferredReplica, want, r.Err)
		}
		if got := r.Size() > 0; got == (want >= 0) {
			t.Errorf("%q: data beside a preferred replica", rack)
		}
		releaseAll([]FetchResult{r})
	}
	q := c.partition(2, "t", 0)
	eventually(t, "the follower knows the high watermark", func() bool { return q.HighWatermark() == 1 })
	r := fetchOne(t, q.m, inRack("rack-2"), consumer(0))
	if r.Err != nil || r.Size() == 0 {
		t.Errorf("from the follower: %+v", r)
	}
	releaseAll([]FetchResult{r})
}
