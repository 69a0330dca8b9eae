package controller

import (
	"strings"
	"testing"

	"ottla/zkmeta"
)

func TestFirstBrokerIsElectedAndOthersFollow(t *testing.T) {
	c := newCluster(t)
	one := c.join(1)
	c.until("election", one.ctrl.IsActive)
	two := c.join(2)
	c.until("broker 2 to see the controller", func() bool { return two.ctrl.ActiveID() == 1 })
	if got := c.get("/controller_epoch"); got != "1" {
		t.Errorf("/controller_epoch is %s", got)
	}
	if got := c.get("/controller"); !strings.HasPrefix(got, `{"version":2,"brokerid":1,"timestamp":"`) || !strings.HasSuffix(got, `","kraftControllerEpoch":-1}`) {
		t.Errorf("/controller is %s", got)
	}
	c.until("the controller to set up /feature", func() bool { return c.exists("/feature") })
	if got := c.get("/feature"); got != `{"features":{},"version":2,"status":1}` {
		t.Errorf("/feature is %s", got)
	}
	c.kill(one)
	c.until("takeover", two.ctrl.IsActive)
	if got := c.get("/controller_epoch"); got != "2" {
		t.Errorf("/controller_epoch is %s after failover", got)
	}
}

func TestTopicIsCreatedAndDeleted(t *testing.T) {
	c := newCluster(t)
	c.startBrokers(3)
	c.createTopic("t", []int32{1, 2, 3}, []int32{2, 3, 1})
	c.wantState("t", 0, "leader 1 epoch 0 isr [1 2 3]")
	c.wantState("t", 1, "leader 2 epoch 0 isr [2 3 1]")
	if got := c.get("/brokers/topics/t/partitions/1/state"); got != `{"controller_epoch":1,"leader":2,"version":1,"leader_epoch":0,"isr":[2,3,1]}` {
		t.Errorf("state znode is %s", got)
	}
	tp := zkmeta.TP{Topic: "t", Partition: 1}
	for _, id := range []int32{1, 2, 3} {
		b := c.broker(id)
		c.until("LeaderAndIsr and UpdateMetadata", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return len(b.replicas) == 2 && len(b.metadata) == 2
		})
		if r := b.replicas[tp]; !r.IsNew || r.Leader != 2 || r.ControllerEpoch != 1 {
			t.Errorf("broker %d was told %+v", id, r)
		}
	}
	c.create("/admin/delete_topics/t", nil)
	c.until("marker to go", func() bool { return !c.exists("/admin/delete_topics/t") })
	for _, path := range []string{"/brokers/topics/t", "/config/topics/t"} {
		if c.exists(path) {
			t.Errorf("%s is left", path)
		}
	}
	for _, id := range []int32{1, 2, 3} {
		b := c.broker(id)
		if len(b.replicas) != 0 || len(b.metadata) != 0 || b.deleted[tp] != 1 {
			t.Errorf("broker %d has %v %v, deleted %v", id, b.replicas, b.metadata, b.deleted)
		}
	}
}
