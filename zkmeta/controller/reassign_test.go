package controller

import (
	"context"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/zkmeta"
)

// reassign asks for one partition; nil replicas cancel. It answers with the partition's or the top error.
func reassign(ctrl *Controller, topic string, p int32, replicas ...int32) int16 {
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	rt := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	rt.Topic = topic
	rt.Partitions = []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Partition: p, Replicas: replicas}}
	req.Topics = append(req.Topics, rt)
	resp := ctrl.AlterReassignments(context.Background(), req)
	if resp.ErrorCode != 0 {
		return resp.ErrorCode
	}
	return resp.Topics[0].Partitions[0].ErrorCode
}

func listReassignments(ctrl *Controller) []kmsg.ListPartitionReassignmentsResponseTopic {
	return ctrl.ListReassignments(context.Background(), kmsg.NewPtrListPartitionReassignmentsRequest()).Topics
}

// One replica stays, one comes, one goes.
func TestReassignment(t *testing.T) {
	c := newCluster(t)
	one := c.startBrokers(3)
	c.createTopic("t", []int32{2, 3})
	c.wantToldState("t", 0, 2, 3)
	if code := reassign(one.ctrl, "t", 0, 1, 2); code != 0 {
		t.Fatal(kerr.ErrorForCode(code))
	}
	a := assignment("t", []int32{1, 2, 3})
	a.Adding, a.Removing = map[int32][]int32{0: {1}}, map[int32][]int32{0: {3}}
	if got, want := c.get(zkmeta.Topic("t")), string(a.Encode()); got != want {
		t.Errorf("topic znode %s, want %s", got, want)
	}
	c.wantState("t", 0, "leader 2 epoch 1 isr [2 3]")
	c.wantToldState("t", 0, 1, 2, 3)
	tp := zkmeta.TP{Topic: "t"}
	c.mu.Lock()
	for id, b := range c.brokers {
		r := b.replicas[tp]
		if r.IsNew != (id == 1) || !slices.Equal(r.Replicas, []int32{1, 2, 3}) || !slices.Equal(r.AddingReplicas, []int32{1}) || !slices.Equal(r.RemovingReplicas, []int32{3}) {
			t.Errorf("broker %d was told %+v", id, r)
		}
	}
	c.mu.Unlock()
	list := listReassignments(one.ctrl)
	if len(list) != 1 || list[0].Topic != "t" || !slices.Equal(list[0].Partitions[0].AddingReplicas, []int32{1}) || !slices.Equal(list[0].Partitions[0].RemovingReplicas, []int32{3}) {
		t.Errorf("list %+v", list)
	}
	if code, answer := c.alterISR(one.ctrl, 2, "t", 0, 2, 3, 1); code != 0 || answer.ErrorCode != 0 {
		t.Fatalf("%d %+v", code, answer)
	}
	c.wantState("t", 0, "leader 2 epoch 2 isr [2 1]")
	want := assignment("t", []int32{1, 2})
	c.until("the new assignment", func() bool { return c.get(zkmeta.Topic("t")) == string(want.Encode()) })
	c.wantToldState("t", 0, 1, 2)
	c.mu.Lock()
	if c.brokers[3].deleted[tp] != 1 {
		t.Error("the removed replica was not deleted before the znode said so")
	}
	for _, r := range c.brokers[3].requests {
		if r, ok := r.(*kmsg.StopReplicaRequest); ok && r.Topics[0].PartitionStates[0].LeaderEpoch != 2 {
			t.Errorf("StopReplica has leader epoch %d", r.Topics[0].PartitionStates[0].LeaderEpoch)
		}
	}
	c.mu.Unlock()
	c.until("the list to be empty", func() bool { return len(listReassignments(one.ctrl)) == 0 })
}

func TestReassignmentMovesTheLeader(t *testing.T) {
	c := newCluster(t)
	one := c.startBrokers(3)
	c.createTopic("t", []int32{1})
	c.wantToldState("t", 0, 1)
	if code := reassign(one.ctrl, "t", 0, 3); code != 0 {
		t.Fatal(kerr.ErrorForCode(code))
	}
	c.wantToldState("t", 0, 1, 3)
	c.alterISR(one.ctrl, 1, "t", 0, 1, 3)
	c.wantState("t", 0, "leader 3 epoch 2 isr [3]")
	want := assignment("t", []int32{3})
	c.until("the new assignment", func() bool { return c.get(zkmeta.Topic("t")) == string(want.Encode()) })
}

func TestReassignmentIsCancelled(t *testing.T) {
	c := newCluster(t)
	one := c.startBrokers(3)
	c.createTopic("t", []int32{2, 3})
	c.wantToldState("t", 0, 2, 3)
	reassign(one.ctrl, "t", 0, 1, 2)
	c.wantToldState("t", 0, 1, 2, 3)
	if code := reassign(one.ctrl, "t", 0); code != 0 {
		t.Fatal(kerr.ErrorForCode(code))
	}
	want := assignment("t", []int32{2, 3})
	c.until("the old assignment", func() bool { return c.get(zkmeta.Topic("t")) == string(want.Encode()) })
	c.until("the added replica to be deleted", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.brokers[1].deleted[zkmeta.TP{Topic: "t"}] == 1
	})
	if list := listReassignments(one.ctrl); len(list) != 0 {
		t.Errorf("list %+v", list)
	}
	if code := reassign(one.ctrl, "t", 0); code != kerr.NoReassignmentInProgress.Code {
		t.Errorf("second cancellation: %d", code)
	}
}

func TestReassignmentIsRefused(t *testing.T) {
	c := newCluster(t)
	one := c.startBrokers(3)
	c.createTopic("t", []int32{2, 3})
	c.wantToldState("t", 0, 2, 3)
	invalid := kerr.InvalidReplicaAssignment.Code
	for _, tt := range []struct {
		name     string
		topic    string
		p        int32
		replicas []int32
		want     int16
	}{
		{"unknown topic", "x", 0, []int32{1}, 3},
		{"unknown partition", "t", 4, []int32{1}, 3},
		{"empty", "t", 0, []int32{}, invalid},
		{"twice the same", "t", 0, []int32{1, 1}, invalid},
		{"negative", "t", 0, []int32{-1}, invalid},
		{"broker is not there", "t", 0, []int32{2, 7}, invalid},
	} {
		if code := reassign(one.ctrl, tt.topic, tt.p, tt.replicas...); code != tt.want {
			t.Errorf("%s: code %d, want %d", tt.name, code, tt.want)
		}
	}
	// Cancelling must not throw the last replica in sync away.
	reassign(one.ctrl, "t", 0, 1)
	c.wantToldState("t", 0, 1, 2, 3)
	c.alterISR(one.ctrl, 2, "t", 0, 2)
	c.wantState("t", 0, "leader 2 epoch 1 isr [2]")
	if code := reassign(one.ctrl, "t", 0, 3); code != 0 {
		t.Errorf("another target while the leader is removed at the end: %d", code)
	}
}

// A broker that is gone for good can be replaced.
func TestReassignmentAwayFromADeadBroker(t *testing.T) {
	c := newCluster(t)
	one := c.startBrokers(3)
	c.createTopic("t", []int32{1, 3})
	c.wantToldState("t", 0, 1, 3)
	c.kill(c.broker(3))
	c.wantState("t", 0, "leader 1 epoch 1 isr [1]")
	reassign(one.ctrl, "t", 0, 1, 2)
	c.wantToldState("t", 0, 1, 2)
	c.alterISR(one.ctrl, 1, "t", 0, 1, 2)
	want := assignment("t", []int32{1, 2})
	c.until("the new assignment", func() bool { return c.get(zkmeta.Topic("t")) == string(want.Encode()) })
	c.wantState("t", 0, "leader 1 epoch 3 isr [1 2]")
}

// Replicas that could not be started yet are when their broker comes.
func TestReassignmentGoesOnWhenABrokerIsBack(t *testing.T) {
	c := newCluster(t)
	one := c.startBrokers(3)
	c.createTopic("t", []int32{1})
	c.wantToldState("t", 0, 1)
	reassign(one.ctrl, "t", 0, 3)
	c.wantToldState("t", 0, 1, 3)
	c.kill(c.broker(3))
	c.until("the death to be known", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(one.live) == 2
	})
	c.register(3)
	c.wantState("t", 0, "leader 1 epoch 2 isr [1]")
	c.wantToldState("t", 0, 1, 3)
	c.alterISR(one.ctrl, 1, "t", 0, 1, 3)
	c.wantState("t", 0, "leader 3 epoch 3 isr [3]")
}

func TestReassignmentZNode(t *testing.T) {
	c := newCluster(t)
	one := c.startBrokers(3)
	c.createTopic("t", []int32{1}, []int32{2})
	c.wantToldState("t", 1, 2)
	c.wantToldState("t", 0, 1)
	c.create("/admin/reassign_partitions", []byte(`{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[3]},{"topic":"x","partition":0,"replicas":[3]},{"topic":"t","partition":1,"replicas":[3]}]}`))
	rest := `{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[3]},{"topic":"t","partition":1,"replicas":[3]}]}`
	c.until("the refused one to be taken out", func() bool { return c.get("/admin/reassign_partitions") == rest })
	c.wantToldState("t", 0, 1, 3)
	if code, a := c.alterISR(one.ctrl, 1, "t", 0, 1, 3); code != 0 || a.ErrorCode != 0 {
		t.Fatalf("%d %+v", code, a)
	}
	c.wantState("t", 1, "leader 2 epoch 1 isr [2]")
	rest = `{"version":1,"partitions":[{"topic":"t","partition":1,"replicas":[3]}]}`
	c.until("the finished one to be taken out", func() bool { return c.get("/admin/reassign_partitions") == rest })
	// Cancelled by the API, the last one goes too.
	if code := reassign(one.ctrl, "t", 1); code != 0 {
		t.Fatal(kerr.ErrorForCode(code))
	}
	c.until("the request znode to go", func() bool { return !c.exists("/admin/reassign_partitions") })
}
