package controller

import (
	"context"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/zkmeta"
)

func TestAlterPartitionChecks(t *testing.T) {
	c := newCluster(t)
	one := c.startBrokers(3)
	c.createTopic("t", []int32{2, 3, 1}, []int32{1})
	c.wantToldState("t", 0, 1, 2, 3)
	two := c.broker(2)
	if code, a := c.alterISR(one.ctrl, 2, "t", 0, 2, 3); code != 0 || a.ErrorCode != 0 {
		t.Fatalf("%d %+v", code, a)
	}
	// State: leader 2, leader epoch 0, ISR [2 3], partition epoch 1.
	id := topicID("t")
	for _, tt := range []struct {
		name           string
		from           int32
		epoch          int64
		id             [16]byte
		partition      int32
		leaderEpoch    int32
		partitionEpoch int32
		isr            []int32
		top, code      *kerr.Error
	}{
		{name: "unknown broker", from: 9, epoch: 1, id: id, isr: []int32{2}, top: kerr.StaleBrokerEpoch},
		{name: "other broker epoch", from: 2, epoch: two.epoch - 1, id: id, isr: []int32{2}, top: kerr.StaleBrokerEpoch},
		{name: "unknown topic id", from: 2, epoch: two.epoch, id: [16]byte{9}, isr: []int32{2}, code: kerr.UnknownTopicID},
		{name: "unknown partition", from: 2, epoch: two.epoch, id: id, partition: 5, isr: []int32{2}, code: kerr.UnknownTopicOrPartition},
		{name: "leader epoch from the future", from: 2, epoch: two.epoch, id: id, leaderEpoch: 1, partitionEpoch: 1, isr: []int32{2}, code: kerr.NotController},
		{name: "partition epoch from the future", from: 2, epoch: two.epoch, id: id, partitionEpoch: 2, isr: []int32{2}, code: kerr.NotController},
		{name: "old leader epoch", from: 2, epoch: two.epoch, id: id, leaderEpoch: -1, partitionEpoch: 1, isr: []int32{2}, code: kerr.FencedLeaderEpoch},
		{name: "old partition epoch", from: 2, epoch: two.epoch, id: id, partitionEpoch: 0, isr: []int32{2}, code: kerr.InvalidUpdateVersion},
		{name: "the same again, whatever the partition epoch", from: 2, epoch: two.epoch, id: id, partitionEpoch: 0, isr: []int32{3, 2}},
		{name: "member that is not there", from: 2, epoch: two.epoch, id: id, partitionEpoch: 1, isr: []int32{2, 9}, code: kerr.InvalidRequest},
		{name: "not the leader", from: 3, epoch: c.broker(3).epoch, id: id, partitionEpoch: 1, isr: []int32{3}, code: kerr.InvalidRequest},
		{name: "ISR without the leader", from: 2, epoch: two.epoch, id: id, partitionEpoch: 1, isr: []int32{3}, code: kerr.InvalidRequest},
		{name: "twice the same member", from: 2, epoch: two.epoch, id: id, partitionEpoch: 1, isr: []int32{2, 2}, code: kerr.InvalidRequest},
		{name: "empty", from: 2, epoch: two.epoch, id: id, partitionEpoch: 1, code: kerr.InvalidRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			top, a := c.alterPartition(one.ctrl, tt.from, tt.epoch, tt.id, tt.partition, tt.leaderEpoch, tt.partitionEpoch, tt.isr...)
			if got := kerr.ErrorForCode(top); tt.top != nil && !errors.Is(got, tt.top) || tt.top == nil && got != nil {
				t.Errorf("top level %v, want %v", got, tt.top)
			}
			if got := kerr.ErrorForCode(a.ErrorCode); tt.code != nil && !errors.Is(got, tt.code) || tt.top == nil && tt.code == nil && got != nil {
				t.Errorf("got %v, want %v", got, tt.code)
			}
		})
	}
	c.wantState("t", 0, "leader 2 epoch 0 isr [2 3]")

	if _, err := one.ctrl.ControlledShutdown(context.Background(), 1, -1); err != nil {
		t.Fatal(err)
	}
	if _, a := c.alterPartition(one.ctrl, 2, two.epoch, id, 0, 0, 1, 2, 3, 1); a.ErrorCode != kerr.IneligibleReplica.Code {
		t.Errorf("a broker that is shutting down was taken in: %+v", a)
	}
	// Somebody wrote the state behind our back: the next try starts from there.
	s := zkmeta.PartitionState{Leader: 2, ISR: []int32{2, 3}, ControllerEpoch: 1}
	c.set(zkmeta.TopicPartitionState("t", 0), s.Encode())
	if _, a := c.alterPartition(one.ctrl, 2, two.epoch, id, 0, 0, 1, 2); a.ErrorCode != kerr.InvalidUpdateVersion.Code {
		t.Errorf("version conflict: %+v", a)
	}
	if _, a := c.alterPartition(one.ctrl, 2, two.epoch, id, 0, 0, 2, 2); a.ErrorCode != 0 || a.PartitionEpoch != 3 {
		t.Errorf("after the conflict: %+v", a)
	}
}

func TestControlledShutdown(t *testing.T) {
	c := newCluster(t)
	one := c.startBrokers(3)
	c.createTopic("t", []int32{2, 3}, []int32{3, 2}, []int32{2}, []int32{2, 1})
	for p, ids := range [][]int32{{2, 3}, {2, 3}, {2}, {1, 2}} {
		c.wantToldState("t", int32(p), ids...)
	}
	c.alterISR(one.ctrl, 2, "t", 3, 2)
	c.wantState("t", 3, "leader 2 epoch 0 isr [2]")
	ctx := context.Background()
	two := c.broker(2)
	if _, err := one.ctrl.ControlledShutdown(ctx, 9, 1); !errors.Is(err, kerr.BrokerNotAvailable) {
		t.Errorf("unknown broker: %v", err)
	}
	if _, err := one.ctrl.ControlledShutdown(ctx, 2, two.epoch-1); !errors.Is(err, kerr.StaleBrokerEpoch) {
		t.Errorf("old epoch: %v", err)
	}
	remaining, err := one.ctrl.ControlledShutdown(ctx, 2, two.epoch)
	if err != nil || len(remaining) != 1 || remaining[0] != (zkmeta.TP{Topic: "t", Partition: 3}) {
		t.Errorf("remaining %v, %v", remaining, err)
	}
	c.wantState("t", 0, "leader 3 epoch 1 isr [3]")
	c.wantState("t", 1, "leader 3 epoch 1 isr [3]")
	c.wantState("t", 2, "leader 2 epoch 0 isr [2]")
	c.wantToldState("t", 0, 2, 3) // the old leader learns of it, too
	c.until("StopReplica for the followed partition", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, r := range two.requests {
			if r, ok := r.(*kmsg.StopReplicaRequest); ok {
				s := r.Topics[0].PartitionStates
				return len(s) == 1 && s[0].Partition == 1 && !s[0].Delete
			}
		}
		return false
	})
	// Nothing new for the broker that leaves.
	c.createTopic("u", []int32{2, 3})
	c.wantState("u", 0, "leader 3 epoch 0 isr [3]")
	// It comes back as new.
	c.kill(two)
	c.wantState("t", 2, "leader -1 epoch 1 isr [2]")
	c.register(2)
	c.wantState("t", 2, "leader 2 epoch 2 isr [2]")
}

func electLeaders(ctrl *Controller, typ int8, topics map[string][]int32) *kmsg.ElectLeadersResponse {
	req := kmsg.NewPtrElectLeadersRequest()
	req.Version, req.ElectionType = 2, typ
	for name, ps := range topics {
		rt := kmsg.NewElectLeadersRequestTopic()
		rt.Topic, rt.Partitions = name, ps
		req.Topics = append(req.Topics, rt)
	}
	return ctrl.ElectLeaders(context.Background(), req)
}

func TestElectLeaders(t *testing.T) {
	c := newCluster(t)
	one := c.startBrokers(3)
	c.createTopic("t", []int32{2, 3}, []int32{3, 1}, []int32{2, 3})
	c.wantToldState("t", 2, 2, 3)
	c.kill(c.broker(2))
	c.wantState("t", 0, "leader 3 epoch 1 isr [3]")
	c.wantState("t", 2, "leader 3 epoch 1 isr [3]")
	resp := electLeaders(one.ctrl, 0, map[string][]int32{"t": {0, 1, 7}})
	var codes []int16
	for _, p := range resp.Topics[0].Partitions {
		codes = append(codes, p.ErrorCode)
		if p.ErrorMessage == nil {
			t.Errorf("partition %d: no message", p.Partition)
		}
	}
	want := []int16{kerr.PreferredLeaderNotAvailable.Code, kerr.ElectionNotNeeded.Code, kerr.UnknownTopicOrPartition.Code}
	for i := range want {
		if codes[i] != want[i] {
			t.Errorf("partition %d: code %d, want %d", i, codes[i], want[i])
		}
	}
	c.register(2)
	c.wantToldState("t", 0, 2, 3)
	c.wantToldState("t", 2, 2, 3)
	for _, p := range []int32{0, 2} {
		if code, a := c.alterISR(one.ctrl, 3, "t", p, 3, 2); code != 0 || a.ErrorCode != 0 {
			t.Fatalf("%d %+v", code, a)
		}
	}
	resp = electLeaders(one.ctrl, 0, nil)
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 2 || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Errorf("all partitions: %+v", resp.Topics)
	}
	c.wantState("t", 0, "leader 2 epoch 2 isr [3 2]")
	c.wantToldState("t", 0, 2, 3)
	if resp := electLeaders(one.ctrl, 5, nil); resp.ErrorCode != kerr.InvalidRequest.Code {
		t.Errorf("unknown election type: %d", resp.ErrorCode)
	}
	// Unclean.
	c.alterISR(one.ctrl, 2, "t", 0, 2)
	c.wantState("t", 0, "leader 2 epoch 2 isr [2]")
	c.kill(c.broker(2))
	c.wantState("t", 0, "leader -1 epoch 3 isr [2]")
	resp = electLeaders(one.ctrl, 1, map[string][]int32{"t": {0, 1}})
	if ps := resp.Topics[0].Partitions; ps[0].ErrorCode != 0 || ps[1].ErrorCode != kerr.ElectionNotNeeded.Code {
		t.Errorf("unclean: %+v", ps)
	}
	c.wantState("t", 0, "leader 3 epoch 4 isr [3] recovering")
	c.kill(c.broker(3))
	c.wantState("t", 0, "leader -1 epoch 5 isr [3] recovering")
	resp = electLeaders(one.ctrl, 1, map[string][]int32{"t": {0}})
	if code := resp.Topics[0].Partitions[0].ErrorCode; code != kerr.EligibleLeadersNotAvailable.Code {
		t.Errorf("nobody is there: %d", code)
	}
}

func TestPreferredElectionZNode(t *testing.T) {
	c := newCluster(t)
	one := c.startBrokers(2)
	c.createTopic("t", []int32{2, 1})
	c.wantToldState("t", 0, 1, 2)
	c.kill(c.broker(2))
	c.wantState("t", 0, "leader 1 epoch 1 isr [1]")
	c.register(2)
	c.wantToldState("t", 0, 1, 2)
	c.alterISR(one.ctrl, 1, "t", 0, 1, 2)
	for range 2 { // twice: the watch is set again
		c.create("/admin/preferred_replica_election", zkmeta.PreferredElection{Partitions: []zkmeta.TP{{Topic: "t"}, {Topic: "x"}}}.Encode())
		c.until("the request znode to go", func() bool { return !c.exists("/admin/preferred_replica_election") })
	}
	c.wantState("t", 0, "leader 2 epoch 2 isr [1 2]")
	c.create("/admin/preferred_replica_election", []byte("{nonsense"))
	c.until("a damaged request to go", func() bool { return !c.exists("/admin/preferred_replica_election") })
}

func TestAllocateProducerIDs(t *testing.T) {
	c := newCluster(t)
	one := c.startBrokers(2)
	two := c.broker(2)
	ctx := context.Background()
	for i := range int64(3) {
		start, n, err := one.ctrl.AllocateProducerIDs(ctx, 2, two.epoch)
		if err != nil || start != i*1000 || n != 1000 {
			t.Errorf("block %d: %d %d %v", i, start, n, err)
		}
	}
	if got := c.get("/latest_producer_id_block"); got != `{"version":1,"broker":2,"block_start":"2000","block_end":"2999"}` {
		t.Errorf("znode %s", got)
	}
	if _, _, err := one.ctrl.AllocateProducerIDs(ctx, 2, two.epoch+1); !errors.Is(err, kerr.StaleBrokerEpoch) {
		t.Errorf("other epoch: %v", err)
	}
	if _, _, err := one.ctrl.AllocateProducerIDs(ctx, 7, 1); !errors.Is(err, kerr.BrokerIDNotRegistered) {
		t.Errorf("unknown broker: %v", err)
	}
	c.set("/latest_producer_id_block", zkmeta.ProducerIDBlock{Broker: 1, Start: 1<<63 - 1 - 1000, End: 1<<63 - 1 - 1}.Encode())
	if _, _, err := one.ctrl.AllocateProducerIDs(ctx, 2, two.epoch); !errors.Is(err, kerr.UnknownServerError) {
		t.Errorf("ids are used up: %v", err)
	}
	c.set("/latest_producer_id_block", []byte("junk"))
	if _, _, err := one.ctrl.AllocateProducerIDs(ctx, 2, two.epoch); !errors.Is(err, kerr.UnknownServerError) {
		t.Errorf("damaged znode: %v", err)
	}
}

func TestOnlyTheControllerServes(t *testing.T) {
	c := newCluster(t)
	c.startBrokers(1)
	other := c.join(2)
	c.until("broker 2 to see the controller", func() bool { return other.ctrl.ActiveID() == 1 })
	ctx := context.Background()
	const want = 41
	if code, _ := c.alterPartition(other.ctrl, 2, other.epoch, topicID("t"), 0, 0, 0, 2); code != want {
		t.Errorf("AlterPartition: %d", code)
	}
	if resp := electLeaders(other.ctrl, 0, nil); resp.ErrorCode != want {
		t.Errorf("ElectLeaders: %d", resp.ErrorCode)
	}
	if resp := other.ctrl.AlterReassignments(ctx, kmsg.NewPtrAlterPartitionAssignmentsRequest()); resp.ErrorCode != want {
		t.Errorf("AlterPartitionReassignments: %d", resp.ErrorCode)
	}
	if resp := other.ctrl.ListReassignments(ctx, kmsg.NewPtrListPartitionReassignmentsRequest()); resp.ErrorCode != want {
		t.Errorf("ListPartitionReassignments: %d", resp.ErrorCode)
	}
	if _, err := other.ctrl.ControlledShutdown(ctx, 2, -1); !errors.Is(err, kerr.StaleControllerEpoch) {
		t.Errorf("ControlledShutdown: %v", err)
	}
	if _, _, err := other.ctrl.AllocateProducerIDs(ctx, 2, other.epoch); !errors.Is(err, kerr.NotController) {
		t.Errorf("AllocateProducerIds: %v", err)
	}
	other.ctrl.Close()
	if _, err := other.ctrl.ControlledShutdown(ctx, 2, -1); !errors.Is(err, kerr.NotController) {
		t.Errorf("after Close: %v", err)
	}
}
