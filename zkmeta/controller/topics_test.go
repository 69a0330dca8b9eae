package controller

import (
	"strings"
	"testing"

	"ottla/zkmeta"
)

func TestTopicGrows(t *testing.T) {
	c := newCluster(t)
	c.startBrokers(2)
	c.createTopic("t", []int32{1, 2})
	c.wantToldState("t", 0, 1, 2)
	for i, a := range []zkmeta.TopicAssignment{
		assignment("t", []int32{1, 2}, []int32{2, 1}),
		assignment("t", []int32{1, 2}, []int32{2, 1}, []int32{1}),
	} {
		c.set(zkmeta.Topic("t"), a.Encode())
		c.wantToldState("t", int32(i+1), 1)
	}
	c.wantState("t", 1, "leader 2 epoch 0 isr [2 1]")
	c.wantState("t", 2, "leader 1 epoch 0 isr [1]")
}

func TestTopicWithoutIDGetsOne(t *testing.T) {
	c := newCluster(t)
	c.startBrokers(1)
	c.create(zkmeta.Topic("old"), []byte(`{"version":1,"partitions":{"0":[1]}}`))
	c.wantState("old", 0, "leader 1 epoch 0 isr [1]")
	a, err := zkmeta.DecodeTopicAssignment([]byte(c.get(zkmeta.Topic("old"))))
	if err != nil || !a.HasTopicID() {
		t.Fatalf("%+v %v", a, err)
	}
	c.wantToldState("old", 0, 1)
}

func TestDamagedZNodesHurtNobodyElse(t *testing.T) {
	c := newCluster(t)
	c.create(zkmeta.Topic("early"), []byte("\x00nonsense"))
	c.create(zkmeta.Topic("badstate"), assignmentJSON("badstate", []int32{1}))
	c.create("/brokers/topics/badstate/partitions", nil)
	c.create("/brokers/topics/badstate/partitions/0", nil)
	c.create("/brokers/topics/badstate/partitions/0/state", []byte("{"))
	c.create("/log_dir_event_notification/log_dir_event_0000000000", []byte("?"))
	c.create("/admin/reassign_partitions", []byte("?"))
	c.create("/brokers/ids/7", []byte("?"))
	c.create("/brokers/ids/x", nil)
	one := c.join(1)
	c.until("election", one.ctrl.IsActive)
	c.createTopic("late", []int32{1})
	c.wantState("late", 0, "leader 1 epoch 0 isr [1]")
	for name, data := range map[string]string{"a": `{"partitions":{"0":[]}}`, "b": `{"partitions":{"0":[1,1]}}`, "c": `[]`, "d": `{"partitions":{"x":[1]}}`, "e": ``} {
		c.create(zkmeta.Topic(name), []byte(data))
	}
	c.create("/log_dir_event_notification/log_dir_event_0000000001", []byte("?"))
	c.create("/isr_change_notification/isr_change_0000000001", []byte("?"))
	c.createTopic("later", []int32{1})
	c.wantState("later", 0, "leader 1 epoch 0 isr [1]")
	c.until("damaged notifications to go", func() bool {
		return len(c.children("/log_dir_event_notification")) == 0 && len(c.children("/isr_change_notification")) == 0
	})
	// A topic that is put right is taken in, and deleted if somebody asked for that.
	c.set(zkmeta.Topic("early"), assignmentJSON("early", []int32{1}))
	c.wantState("early", 0, "leader 1 epoch 0 isr [1]")
	c.create("/admin/delete_topics/a", nil)
	c.set(zkmeta.Topic("a"), assignmentJSON("a", []int32{1}))
	c.until("topic a to be deleted", func() bool { return !c.exists("/admin/delete_topics/a") && !c.exists(zkmeta.Topic("a")) })
	if got := c.get("/brokers/topics/badstate/partitions/0/state"); got != "{" {
		t.Errorf("damaged state was overwritten: %s", got)
	}
}

func assignmentJSON(name string, replicas ...[]int32) []byte {
	a := assignment(name, replicas...)
	return a.Encode()
}

// Partition znodes that are there already are used, not an error.
func TestTopicWithLeftovers(t *testing.T) {
	c := newCluster(t)
	c.startBrokers(2)
	s := zkmeta.PartitionState{Leader: 2, LeaderEpoch: 4, ISR: []int32{2, 7}, ControllerEpoch: 1}
	c.create("/brokers/topics/hidden", nil) // keeps the children below from being looked at
	c.create("/brokers/topics/hidden/partitions", nil)
	c.create("/brokers/topics/hidden/partitions/0", nil)
	c.create("/brokers/topics/hidden/partitions/0/state", s.Encode())
	c.create("/brokers/topics/hidden/partitions/1", nil)
	c.set("/brokers/topics/hidden", assignmentJSON("hidden", []int32{1, 2}, []int32{1, 2}, []int32{2, 1}))
	c.wantState("hidden", 0, "leader 2 epoch 5 isr [2]")
	c.wantState("hidden", 1, "leader 1 epoch 0 isr [1 2]")
	c.wantState("hidden", 2, "leader 2 epoch 0 isr [2 1]")
	c.wantToldState("hidden", 0, 1, 2)
}

// A partition whose brokers are all absent waits for one of them; others of the topic, and other topics, do not.
func TestTopicOfAbsentBrokers(t *testing.T) {
	c := newCluster(t)
	c.startBrokers(2)
	c.create(zkmeta.Topic("absent"), assignmentJSON("absent", []int32{7, 8}, []int32{7, 1}))
	c.wantState("absent", 1, "leader 1 epoch 0 isr [1]")
	c.createTopic("t", []int32{2})
	c.wantState("t", 0, "leader 2 epoch 0 isr [2]")
	if _, there := c.state("absent", 0); there {
		t.Error("a partition without a live broker has a state")
	}
	c.register(8)
	c.wantState("absent", 0, "leader 8 epoch 0 isr [8]")
	c.wantToldState("absent", 0, 8)
}

func TestDeletionWaitsForABroker(t *testing.T) {
	c := newCluster(t)
	one := c.startBrokers(3)
	c.createTopic("t", []int32{1, 2}, []int32{2})
	c.wantToldState("t", 1, 2)
	c.wantToldState("t", 0, 1, 2)
	c.kill(c.broker(2))
	c.wantState("t", 0, "leader 1 epoch 1 isr [1]")
	c.create("/admin/delete_topics/t", nil)
	c.until("the live replica to be deleted", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return one.deleted[zkmeta.TP{Topic: "t"}] == 1
	})
	if !c.exists("/admin/delete_topics/t") || !c.exists(zkmeta.Topic("t")) || !one.ctrl.IsDeleting("t") || one.ctrl.IsDeleting("u") {
		t.Error("the topic went before its last replica")
	}
	c.register(2)
	c.until("the topic to go", func() bool { return !c.exists("/admin/delete_topics/t") })
	if one.ctrl.IsDeleting("t") && c.exists(zkmeta.Topic("t")) {
		t.Error("still being deleted")
	}
	// The same name again.
	c.createTopic("t", []int32{2, 1})
	c.wantState("t", 0, "leader 2 epoch 0 isr [2 1]")
}

func TestDeletionOfWhatDoesNotExist(t *testing.T) {
	c := newCluster(t)
	c.startBrokers(1)
	c.create("/admin/delete_topics/nothing", nil)
	c.until("the marker to go", func() bool { return !c.exists("/admin/delete_topics/nothing") })
}

func TestDeletionDisabled(t *testing.T) {
	c := newCluster(t)
	one := c.join(1, func(cfg *Config) { cfg.DeleteTopicEnable = false })
	c.until("election", one.ctrl.IsActive)
	c.createTopic("t", []int32{1})
	c.wantToldState("t", 0, 1)
	c.create("/admin/delete_topics/t", nil)
	c.until("the marker to go", func() bool { return !c.exists("/admin/delete_topics/t") })
	c.wantState("t", 0, "leader 1 epoch 0 isr [1]")
}

func TestDeletionRemovesWhatOthersPutThere(t *testing.T) {
	c := newCluster(t)
	c.startBrokers(1)
	c.createTopic("t", []int32{1})
	c.wantToldState("t", 0, 1)
	c.create("/brokers/topics/t/partitions/0/state/odd", nil)
	c.create("/brokers/topics/t/partitions/5", nil)
	c.create("/brokers/topics/t/partitions/5/x", []byte("1"))
	c.create("/brokers/topics/t/extra", nil)
	c.create("/admin/delete_topics/t", nil)
	c.until("the marker to go", func() bool { return !c.exists("/admin/delete_topics/t") })
	if c.exists("/brokers/topics/t") || c.exists("/config/topics/t") {
		t.Error("something is left")
	}
}

func TestGrowthOfATopicBeingDeletedIsTakenBack(t *testing.T) {
	c := newCluster(t)
	c.startBrokers(2)
	c.createTopic("t", []int32{2})
	c.wantToldState("t", 0, 2)
	c.mu.Lock()
	c.brokers[2].refuseStop[zkmeta.TP{Topic: "t"}] = 56
	c.mu.Unlock()
	c.create("/admin/delete_topics/t", nil)
	c.until("the refusal", func() bool { return c.count(c.broker(2), 5) > 0 })
	c.set(zkmeta.Topic("t"), assignmentJSON("t", []int32{2}, []int32{1}))
	c.until("the old assignment", func() bool { return c.get(zkmeta.Topic("t")) == string(assignmentJSON("t", []int32{2})) })
	if names := c.children("/brokers/topics/t/partitions"); strings.Join(names, " ") != "0" {
		t.Errorf("partitions %v", names)
	}
}
