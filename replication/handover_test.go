package replication

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// shuttingDown has the controller refuse the broker in every ISR.
func (c *testCluster) shuttingDown(id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse = func(_ int32, p *kmsg.AlterPartitionRequestTopicPartition) int16 {
		if slices.ContainsFunc(p.NewEpochISR, func(e kmsg.AlterPartitionRequestTopicPartitionNewEpochISR) bool { return e.BrokerID == id }) {
			return kerr.IneligibleReplica.Code
		}
		return 0
	}
}

func (c *testCluster) known(leader, follower int32) int64 {
	for _, s := range c.partition(leader, "t", 0).ReplicaStates() {
		if s.Broker == follower {
			return s.LogEndOffset
		}
	}
	return -1
}

func TestStoppingBrokerFollowsNobody(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.create("t", 1, 0, 1, 2)
	mustProduce(t, c.partition(0, "t", 0), "a")
	c.shuttingDown(0)
	c.manager(0).StopFollowing()
	c.elect("t", 0, 1, 1, 2)
	// Twice: it would have come with the fetch before the one that commits.
	mustProduce(t, c.partition(1, "t", 0), "b")
	mustProduce(t, c.partition(1, "t", 0), "c")
	if leo := c.known(1, 0); leo != -1 {
		t.Errorf("the stopping broker has fetched up to %d", leo)
	}
	// It is down, and the others do not know yet.
	c.brokers[0].stop()
	if _, err := produce(c.partition(1, "t", 0), time.Second, "d"); err != nil {
		t.Errorf("the new leader waits for the stopping broker: %v", err)
	}
}

func TestGoneBrokerDoesNotHoldUpTheHighWatermark(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.create("t", 1, 0, 1, 2)
	c.shuttingDown(0)
	c.elect("t", 0, 1, 1, 2)
	mustProduce(t, c.partition(1, "t", 0), "a")
	eventually(t, "broker 0 is caught up", func() bool { return c.known(1, 0) == 1 })
	c.brokers[0].stop()
	p := c.partition(1, "t", 0)
	if _, err := produce(p, 50*time.Millisecond, "b"); err == nil {
		t.Fatal("a caught up follower that may join the ISR is not waited for")
	}
	done := make(chan error, 1)
	go func() {
		_, err := produce(p, 10*time.Second, "c")
		done <- err
	}()
	eventually(t, "the other follower has it", func() bool { return c.known(1, 2) == 3 })
	c.isolate(0, true)
	p.m.BrokerGone()
	if err := <-done; err != nil {
		t.Errorf("after the broker has gone: %v", err)
	}
}

// TestConsumersOfAFormerEpoch fetches with the leader epoch that the consumer knows, after the controller has raised it.
func TestConsumersOfAFormerEpoch(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.create("t", 1, 0, 1, 2) // epoch 0, led by 0
	c.elect("t", 0, 1, 1, 2)  // 1, led by 1
	c.elect("t", 0, 1, 1)     // 2
	c.elect("t", 0, 1, 1, 2)  // 3
	mustProduce(t, c.partition(1, "t", 0), "a")
	for _, tt := range []struct {
		name           string
		broker         int32
		replica, epoch int32
		version        int16
		want           error
		leader         int32 // hint
	}{
		{"the leader, present epoch", 1, -1, 3, 17, nil, -1},
		{"the leader, first epoch of its tenure", 1, -1, 1, 17, nil, -1},
		{"the leader, epoch before its tenure", 1, -1, 0, 17, kerr.FencedLeaderEpoch, 1},
		{"the leader, epoch to come", 1, -1, 4, 17, kerr.UnknownLeaderEpoch, -1},
		{"the leader, a follower with an old epoch", 1, 2, 2, 17, kerr.FencedLeaderEpoch, 1},
		{"former leader, its epoch", 0, -1, 0, 17, kerr.NotLeaderForPartition, 1},
		{"former leader, old client", 0, -1, 0, 15, kerr.FencedLeaderEpoch, 1},
		{"follower, present epoch", 0, -1, 3, 17, nil, -1},
	} {
		r := c.manager(tt.broker).Fetch(t.Context(), &FetchRequest{ReplicaID: tt.replica, MinBytes: 1, MaxBytes: 1 << 20, Version: tt.version,
			Partitions: []FetchPartition{{Topic: "t", CurrentLeaderEpoch: tt.epoch, LastFetchedEpoch: -1, MaxBytes: 1 << 20}}})[0]
		readRange(t, r.Records)
		if tt.want == nil && r.Err != nil || !errors.Is(r.Err, tt.want) || r.LeaderID != tt.leader {
			t.Errorf("%s: leader %d, error %v; want %d, %v", tt.name, r.LeaderID, r.Err, tt.leader, tt.want)
		}
	}
}
