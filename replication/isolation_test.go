package replication

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/storage"
)

// TestIsolatedLeader cuts a leader off from its followers, which live.
func TestIsolatedLeader(t *testing.T) {
	for _, tt := range []struct {
		name      string
		minInsync int32
		frozen    bool  // nothing is heard from the metadata store
		refuse    int16 // what the controller answers to a smaller ISR
		dead      bool  // the followers are not registered either
		isolated  bool  // otherwise the ISR is shrunk
	}{
		{name: "a smaller isr is no way to go on", minInsync: 2, isolated: true},
		{name: "a smaller isr is one", minInsync: 1},
		{name: "the controller does not accept a smaller isr", minInsync: 1, refuse: kerr.StaleBrokerEpoch.Code, isolated: true},
		{name: "the metadata store is silent too", minInsync: 1, frozen: true, isolated: true},
		{name: "the followers are dead", minInsync: 2, dead: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const lag = 800 * time.Millisecond // longer than a fetch waits
			c := newTestCluster(t, 3, func(c *Config) { c.LagTimeMax, c.Patience = lag, lag })
			lc := storage.DefaultLogConfig()
			lc.MinInsyncReplicas = tt.minInsync
			c.logCfg.Store(&lc)
			var isolated atomic.Bool
			c.brokers[0].stop()
			c.brokers[0].onIsolated = func() { isolated.Store(true) }
			c.brokers[0].start()
			c.create("t", 2, 0, 1, 2)
			p := c.partition(0, "t", 0)
			mustProduce(t, p, "a")
			if tt.refuse != 0 {
				c.mu.Lock()
				c.refuse = func(int32, *kmsg.AlterPartitionRequestTopicPartition) int16 { return tt.refuse }
				c.mu.Unlock()
			}
			c.manager(0).FreezeISR(tt.frozen)
			if tt.dead {
				c.isolate(1, true)
				c.isolate(2, true)
			} else {
				c.deafen(0)
			}
			if _, err := p.AppendAsLeader(records("b"), 1, storage.OriginClient); err != nil { // who has all there is does not lag
				t.Fatal(err)
			}
			eventually(t, "a decision", func() bool { return isolated.Load() || len(c.isrOf("t", 0)) == 1 })
			if isolated.Load() != tt.isolated {
				t.Errorf("isolated: %v, ISR %v", isolated.Load(), c.isrOf("t", 0))
			}
			if tt.isolated && len(c.isrOf("t", 0)) < 3 {
				t.Errorf("the ISR is %v: nobody is left to take over", c.isrOf("t", 0))
			}
			if got := c.manager(0).Shared(); tt.isolated && len(got) != 2 {
				t.Errorf("shared partitions are %v, want both", got)
			}
		})
	}
}

// TestOneFollowerIsEnough has one of two followers go on fetching.
func TestOneFollowerIsEnough(t *testing.T) {
	const lag = 800 * time.Millisecond
	c := newTestCluster(t, 3, func(c *Config) { c.LagTimeMax = lag })
	lc := storage.DefaultLogConfig()
	lc.MinInsyncReplicas = 3
	c.logCfg.Store(&lc)
	c.brokers[0].stop()
	c.brokers[0].onIsolated = func() { t.Error("isolated") }
	c.brokers[0].start()
	c.create("t", 1, 0, 1, 2)
	mustProduce(t, c.partition(0, "t", 0), "a")
	c.brokers[2].stop() // it is registered still
	if _, err := c.partition(0, "t", 0).AppendAsLeader(records("b"), 1, storage.OriginClient); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the silent one out of the isr", func() bool { return slices.Equal(c.isrOf("t", 0), []int32{0, 1}) })
}

// TestAloneAndUnsureAcknowledgesNothing: where unclean elections are allowed somebody else may lead.
func TestAloneAndUnsureAcknowledgesNothing(t *testing.T) {
	for _, unclean := range []bool{true, false} {
		c := newTestCluster(t, 2, nil)
		lc := storage.DefaultLogConfig()
		lc.UncleanLeaderElection = unclean
		c.logCfg.Store(&lc)
		c.create("t", 1, 0, 1)
		p := c.partition(0, "t", 0)
		mustProduce(t, p, "a")
		c.isolate(1, true)
		c.elect("t", 0, 0, 0)
		mustProduce(t, p, "b")
		c.manager(0).Unsure(true)
		a, err := p.AppendAsLeader(records("c"), -1, storage.OriginClient)
		if err != nil {
			t.Fatal(err)
		}
		if w := p.m.WaitCommitted([]Appended{a}, 10*time.Second); (w != nil) != unclean {
			t.Errorf("unclean elections %v: waits %v", unclean, w != nil)
		} else if w != nil {
			c.manager(0).Unsure(false)
			<-w.Done()
			if got := w.Errors(); got[0] != 0 {
				t.Errorf("code %d when the metadata store answers again", got[0])
			}
		}
	}
}
