package controller

import (
	"testing"
	"time"

	"github.com/rs/zerolog"

	"ottla/zkmeta"
	"ottla/zkmeta/ensemble"
	"ottla/zkmeta/zktest"
)

// newEnsembleCluster is a cluster on a real ZooKeeper, below a path of its own.
func newEnsembleCluster(t testing.TB, server *zktest.Server, chroot string) *cluster {
	t.Helper()
	store, err := ensemble.New(ensemble.Config{Servers: []string{server.Addr}, Chroot: chroot, SessionTimeout: 6 * time.Second, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	return newClusterOn(t, store, func(s zkmeta.Session) { s.Close() })
}

// The same as on the embedded store, on a real ZooKeeper.
func TestOnZooKeeper(t *testing.T) {
	c := newEnsembleCluster(t, zktest.StartZooKeeper(t), "/kafka")
	one := c.startBrokers(3)
	two := c.join(4)
	c.createTopic("t", repeat(100, 1, 2, 3)...)
	c.createTopic("u", []int32{2, 3})
	c.wantState("t", 99, "leader 1 epoch 0 isr [1 2 3]")
	c.wantToldState("t", 99, 1, 2, 3)
	c.wantToldState("u", 0, 2, 3)
	if code := reassign(one.ctrl, "u", 0, 1, 2); code != 0 {
		t.Fatal(code)
	}
	c.wantToldState("u", 0, 1, 2, 3)
	c.kill(one)
	c.until("broker 4 to take over", two.ctrl.IsActive)
	for p := range int32(100) {
		c.wantState("t", p, "leader 2 epoch 1 isr [2 3]")
	}
	c.wantToldState("t", 99, 2, 3)
	c.join(1)
	c.until("replica 1 of u to be in sync", func() bool { return c.leaderWantsISR("u", 0, 2, 3, 1) })
	c.until("the reassignment to end", func() bool { return c.get(zkmeta.Topic("u")) == string(assignmentJSON("u", []int32{1, 2})) })
	c.create("/admin/delete_topics/t", nil)
	c.until("the topic to go", func() bool {
		return !c.exists("/admin/delete_topics/t") && !c.exists(zkmeta.Topic("t")) && !c.exists("/config/topics/t")
	})
	if got := c.get("/controller_epoch"); got != "2" {
		t.Errorf("epoch %s", got)
	}
}
