package controller

import (
	"context"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/zkmeta"
)

func TestBrokerDeathMovesLeadersWithOneWrite(t *testing.T) {
	c := newCluster(t)
	c.startBrokers(3)
	c.createTopic("t", []int32{2, 3, 1}, []int32{3, 2, 1}, []int32{1, 3})
	c.wantToldState("t", 2, 1, 3)
	c.kill(c.broker(2))
	c.wantState("t", 0, "leader 3 epoch 1 isr [3 1]")
	c.wantState("t", 1, "leader 3 epoch 1 isr [3 1]")
	c.wantState("t", 2, "leader 1 epoch 0 isr [1 3]")
	for p := range int32(3) {
		c.wantToldState("t", p, 1, 3)
	}
	c.until("brokers 1 and 3 to know that 2 is gone", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		m := c.brokers[1].metadata[zkmeta.TP{Topic: "t"}]
		return slices.Equal(c.brokers[1].live, []int32{1, 3}) && slices.Equal(c.brokers[3].live, []int32{1, 3}) &&
			slices.Equal(m.OfflineReplicas, []int32{2})
	})
}

func TestLastInSyncReplicaReturns(t *testing.T) {
	c := newCluster(t)
	one := c.startBrokers(2)
	c.createTopic("t", []int32{2, 1})
	c.wantToldState("t", 0, 1, 2)
	if code, a := c.alterISR(one.ctrl, 2, "t", 0, 2); code != 0 || a.ErrorCode != 0 || a.PartitionEpoch != 1 {
		t.Fatalf("shrink: %d %+v", code, a)
	}
	c.wantState("t", 0, "leader 2 epoch 0 isr [2]")
	c.kill(c.broker(2))
	c.wantState("t", 0, "leader -1 epoch 1 isr [2]")
	c.wantToldState("t", 0, 1)
	c.register(2)
	c.wantState("t", 0, "leader 2 epoch 2 isr [2]")
	c.wantToldState("t", 0, 1, 2)
}

// A registration that comes back before the controller looked has another epoch and nothing else.
func TestBouncedBroker(t *testing.T) {
	c := newCluster(t)
	c.startBrokers(3)
	c.createTopic("t", []int32{2, 3})
	c.wantToldState("t", 0, 2, 3)
	old := c.broker(2)
	path := zkmeta.Broker(2)
	info := brokerInfo(2)
	res, err := old.session.Multi(context.Background(), zkmeta.DeleteOp(path, zkmeta.AnyVersion),
		zkmeta.CreateOp(path, nil, zkmeta.Ephemeral, nil), zkmeta.SetOp(path, info.Encode(), 0))
	if err != nil {
		t.Fatal(err)
	}
	c.wantState("t", 0, "leader 3 epoch 1 isr [3]")
	c.until("a LeaderAndIsr with the new epoch", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, r := range old.requests {
			if r, ok := r.(*kmsg.LeaderAndISRRequest); ok && r.BrokerEpoch == res[2].Stat.Czxid {
				return true
			}
		}
		return false
	})
}

func TestChangedEndpointsAreSpread(t *testing.T) {
	c := newCluster(t)
	c.startBrokers(2)
	info := brokerInfo(2)
	info.Endpoints[0].Port = 7777
	c.set(zkmeta.Broker(2), info.Encode())
	c.until("the new port", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		r, ok := c.brokers[1].requests[len(c.brokers[1].requests)-1].(*kmsg.UpdateMetadataRequest)
		return ok && len(r.LiveBrokers) == 2 && r.LiveBrokers[1].Endpoints[0].Port == 7777
	})
}

func TestNewBrokerGetsEverything(t *testing.T) {
	c := newCluster(t)
	c.startBrokers(2)
	c.createTopic("a", []int32{1, 3}, []int32{3})
	c.createTopic("b", []int32{1})
	c.wantState("a", 0, "leader 1 epoch 0 isr [1]")
	c.wantToldState("b", 0, 1)
	if _, ok := c.state("a", 1); ok {
		t.Error("a partition without a live replica has a state")
	}
	three := c.register(3)
	c.wantState("a", 1, "leader 3 epoch 0 isr [3]")
	c.wantToldState("a", 1, 3)
	c.until("broker 3 to have both replicas and all metadata", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(three.replicas) == 2 && len(three.metadata) == 3
	})
	if three.replicas[zkmeta.TP{Topic: "a"}].IsNew || !three.replicas[zkmeta.TP{Topic: "a", Partition: 1}].IsNew {
		t.Error("only the replica that was just made is new")
	}
}

func TestUncleanElectionByTopicConfiguration(t *testing.T) {
	c := newCluster(t)
	one := c.startBrokers(3)
	c.createTopic("no", []int32{2, 1})
	c.createTopic("yes", []int32{2, 1})
	c.set("/config/topics/yes", zkmeta.ConfigEntity{Config: map[string]string{"unclean.leader.election.enable": "true"}}.Encode())
	for _, topic := range []string{"no", "yes"} {
		c.wantToldState(topic, 0, 1, 2)
		c.alterISR(one.ctrl, 2, topic, 0, 2)
		c.wantState(topic, 0, "leader 2 epoch 0 isr [2]")
	}
	c.kill(c.broker(2))
	c.wantState("yes", 0, "leader 1 epoch 1 isr [1] recovering")
	c.wantState("no", 0, "leader -1 epoch 1 isr [2]")
	if got, want := c.get("/brokers/topics/yes/partitions/0/state"), `{"controller_epoch":1,"leader":1,"version":1,"leader_recovery_state":1,"leader_epoch":1,"isr":[1]}`; got != want {
		t.Errorf("state znode %s, want %s", got, want)
	}
	c.set("/config/topics/no", zkmeta.ConfigEntity{Config: map[string]string{"unclean.leader.election.enable": "true"}}.Encode())
	one.ctrl.UncleanElectionEnabled("no")
	c.wantState("no", 0, "leader 1 epoch 2 isr [1] recovering")
	// The new leader says that it has recovered, and the key goes.
	c.wantToldState("no", 0, 1)
	if code, a := c.alterISR(one.ctrl, 1, "no", 0, 1); code != 0 || a.ErrorCode != 0 {
		t.Errorf("recovery: %d %+v", code, a)
	}
	c.wantState("no", 0, "leader 1 epoch 2 isr [1]")
}

func TestLogDirFailure(t *testing.T) {
	c := newCluster(t)
	c.startBrokers(3)
	c.createTopic("t", []int32{2, 3}, []int32{2, 1}, []int32{2})
	c.wantToldState("t", 2, 2)
	c.wantToldState("t", 0, 2, 3)
	c.mu.Lock()
	c.brokers[2].failedDirs[zkmeta.TP{Topic: "t", Partition: 0}] = true
	c.brokers[2].failedDirs[zkmeta.TP{Topic: "t", Partition: 2}] = true
	c.mu.Unlock()
	if _, err := c.admin.Create(context.Background(), "/log_dir_event_notification/log_dir_event_", zkmeta.LogDirEvent{Broker: 2}.Encode(), zkmeta.PersistentSequential, nil); err != nil {
		t.Fatal(err)
	}
	c.wantState("t", 0, "leader 3 epoch 1 isr [3]")
	c.wantState("t", 1, "leader 2 epoch 0 isr [2 1]")
	c.wantState("t", 2, "leader -1 epoch 1 isr [2]")
	c.until("the event to be deleted", func() bool { return len(c.children("/log_dir_event_notification")) == 0 })
}

func TestISRNotificationOfOldBrokers(t *testing.T) {
	c := newCluster(t)
	c.startBrokers(2)
	c.createTopic("t", []int32{2, 1})
	c.wantToldState("t", 0, 1, 2)
	s := zkmeta.PartitionState{Leader: 2, ISR: []int32{2}, ControllerEpoch: 1}
	c.set(zkmeta.TopicPartitionState("t", 0), s.Encode())
	if _, err := c.admin.Create(context.Background(), "/isr_change_notification/isr_change_", zkmeta.IsrChange{Partitions: []zkmeta.TP{{Topic: "t"}, {Topic: "unknown"}}}.Encode(), zkmeta.PersistentSequential, nil); err != nil {
		t.Fatal(err)
	}
	c.until("metadata with the new ISR", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		m := c.brokers[1].metadata[zkmeta.TP{Topic: "t"}]
		return slices.Equal(m.ISR, []int32{2}) && m.ZKVersion == 1
	})
	c.until("the notification to be deleted", func() bool { return len(c.children("/isr_change_notification")) == 0 })
	// The next election starts from what was read.
	c.kill(c.broker(2))
	c.wantState("t", 0, "leader -1 epoch 1 isr [2]")
}
