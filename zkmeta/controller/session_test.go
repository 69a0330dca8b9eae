package controller

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"ottla/zkmeta"
)

func TestFencedControllerResigns(t *testing.T) {
	c := newCluster(t)
	one := c.startBrokers(1)
	// Another controller, of whatever make, takes the office.
	usurper := c.connect()
	info := zkmeta.ControllerInfo{BrokerID: 42, TimestampMs: 1, KRaftControllerEpoch: -1}
	if _, err := usurper.Multi(context.Background(), zkmeta.DeleteOp("/controller", zkmeta.AnyVersion),
		zkmeta.SetOp("/controller_epoch", []byte("2"), 1),
		zkmeta.CreateOp("/controller", info.Encode(), zkmeta.Ephemeral, nil)); err != nil {
		t.Fatal(err)
	}
	c.until("broker 1 to follow it", func() bool { return one.ctrl.ActiveID() == 42 })
	c.createTopic("t", []int32{1})
	if _, _, err := one.ctrl.AllocateProducerIDs(context.Background(), 1, one.epoch); err == nil {
		t.Error("still serves")
	}
	usurper.Close()
	c.until("broker 1 to be elected again", one.ctrl.IsActive)
	if got := c.get("/controller_epoch"); got != "3" {
		t.Errorf("epoch %s", got)
	}
	c.wantState("t", 0, "leader 1 epoch 0 isr [1]")
}

// The epoch alone moved: the controller's next write fails, and it has to be elected anew.
func TestFencedByEpochAlone(t *testing.T) {
	c := newCluster(t)
	one := c.startBrokers(1)
	c.set("/controller_epoch", []byte("7"))
	c.createTopic("t", []int32{1})
	c.wantState("t", 0, "leader 1 epoch 0 isr [1]")
	s, _ := c.state("t", 0)
	if s.ControllerEpoch != 8 || c.get("/controller_epoch") != "8" || !one.ctrl.IsActive() {
		t.Errorf("state %+v, epoch %s", s, c.get("/controller_epoch"))
	}
}

// A state of a later controller than the epoch admits: the epoch znode was lost, or set back.
func TestStateOfALaterControllerIsNotOverwritten(t *testing.T) {
	c := newCluster(t)
	c.create(zkmeta.Topic("t"), assignmentJSON("t", []int32{5, 1}))
	s := zkmeta.PartitionState{Leader: 5, ISR: []int32{5, 1}, ControllerEpoch: 3}
	c.create("/brokers/topics/t/partitions", nil)
	c.create("/brokers/topics/t/partitions/0", nil)
	c.create("/brokers/topics/t/partitions/0/state", s.Encode())
	c.join(1)
	c.wantState("t", 0, "leader 1 epoch 1 isr [1]")
	if got, _ := c.state("t", 0); got.ControllerEpoch < 3 {
		t.Errorf("state %+v", got)
	}
}

func TestExpiredSession(t *testing.T) {
	c := newCluster(t)
	one := c.startBrokers(1)
	two := c.join(2)
	c.createTopic("t", []int32{1, 2})
	c.wantToldState("t", 0, 1, 2)
	c.expire(one.session)
	c.until("broker 2 to take over", two.ctrl.IsActive)
	c.until("broker 1 to know of nothing", func() bool { return one.ctrl.ActiveID() == -1 })
	c.wantState("t", 0, "leader 2 epoch 1 isr [2]")
	// Broker 1 registers anew and follows.
	again := c.register(1)
	one.ctrl.Start(again.session)
	c.until("broker 1 to see the controller", func() bool { return one.ctrl.ActiveID() == 2 })
	c.wantToldState("t", 0, 1, 2)
	two.ctrl.Resign()
	if two.ctrl.IsActive() {
		t.Error("active after Resign")
	}
	c.expire(two.session)
	c.until("broker 1 to take over", one.ctrl.IsActive)
}

// A session whose server went quiet: the controller resigns, and takes the office anew when it is back.
type quietSession struct {
	zkmeta.Session
	quiet atomic.Bool
}

func (s *quietSession) Silent() bool { return s.quiet.Load() }

func TestSilentSession(t *testing.T) {
	c := newCluster(t)
	b := c.register(1)
	s := &quietSession{Session: b.session}
	b.ctrl = New(testConfig(1, c.log), Deps{Brokers: c})
	b.ctrl.Start(s)
	t.Cleanup(b.ctrl.Close)
	c.until("election", b.ctrl.IsActive)
	s.quiet.Store(true)
	c.until("resignation", func() bool { return !b.ctrl.IsActive() })
	c.createTopic("t", []int32{1})
	s.quiet.Store(false)
	c.wantState("t", 0, "leader 1 epoch 0 isr [1]")
	if got := c.get("/controller_epoch"); got != "2" {
		t.Errorf("epoch %s", got)
	}
}

// A flakySession loses every n-th answer or so, of reads and writes, before or after they take effect.
type flakySession struct {
	zkmeta.Session
	mu  sync.Mutex
	rng *rand.Rand
}

func (s *flakySession) lot() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.IntN(10)
}

func (s *flakySession) Multi(ctx context.Context, ops ...zkmeta.Op) ([]zkmeta.OpResult, error) {
	switch s.lot() {
	case 0:
		return nil, zkmeta.ErrConnectionLoss
	case 1:
		_, _ = s.Session.Multi(ctx, ops...)
		return nil, zkmeta.ErrConnectionLoss
	}
	return s.Session.Multi(ctx, ops...)
}

func (s *flakySession) Get(ctx context.Context, path string, w *zkmeta.Watch) ([]byte, zkmeta.Stat, error) {
	switch s.lot() {
	case 0:
		return nil, zkmeta.Stat{}, zkmeta.ErrConnectionLoss
	case 1:
		_, _, _ = s.Session.Get(ctx, path, w)
		return nil, zkmeta.Stat{}, zkmeta.ErrConnectionLoss
	}
	return s.Session.Get(ctx, path, w)
}

func (s *flakySession) Children(ctx context.Context, path string, w *zkmeta.Watch) ([]string, zkmeta.Stat, error) {
	if s.lot() == 0 {
		return nil, zkmeta.Stat{}, zkmeta.ErrConnectionLoss
	}
	return s.Session.Children(ctx, path, w)
}

func TestLostAnswersChangeNothing(t *testing.T) {
	for seed := range uint64(3) {
		c := newCluster(t)
		b := c.register(9)
		b.ctrl = New(testConfig(9, c.log), Deps{Brokers: c})
		b.ctrl.Start(&flakySession{Session: b.session, rng: rand.New(rand.NewPCG(seed, 1))})
		t.Cleanup(b.ctrl.Close)
		c.until("election", b.ctrl.IsActive)
		for id := int32(1); id <= 3; id++ {
			c.register(id)
		}
		c.until("brokers to be known", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return len(b.live) == 4
		})
		c.createTopic("t", repeat(70, 1, 2, 3)...)
		c.createTopic("u", []int32{1})
		c.wantState("t", 69, "leader 1 epoch 0 isr [1 2 3]")
		c.wantToldState("t", 69, 1, 2, 3)
		c.kill(c.broker(1))
		for p := range int32(70) {
			// Not more than one write took effect, and it was recognised.
			c.wantState("t", p, "leader 2 epoch 1 isr [2 3]")
		}
		c.wantState("u", 0, "leader -1 epoch 1 isr [1]")
		c.wantToldState("t", 69, 2, 3)
		c.create("/admin/delete_topics/t", nil)
		c.register(1)
		c.until("the topic to go", func() bool { return !c.exists("/admin/delete_topics/t") })
		if c.exists(zkmeta.Topic("t")) || c.exists("/config/topics/t") {
			t.Errorf("seed %d: something is left", seed)
		}
		c.wantState("u", 0, "leader 1 epoch 2 isr [1]")
		b.ctrl.Close()
	}
}

// Watches that have not fired are not set twice, or a topic's would pile up with each look at it.
func TestOneWatchPerPath(t *testing.T) {
	c := newCluster(t)
	one := c.startBrokers(3)
	for range 20 {
		c.register(4)
		c.until("broker 4", func() bool { return c.count(c.broker(4), 6) > 0 })
		c.kill(c.broker(4))
		c.until("its death", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return len(one.live) == 3
		})
	}
	one.ctrl.mu.Lock()
	x := one.ctrl.session.x
	one.ctrl.mu.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	if n := len(x.watches); n > 12 {
		t.Errorf("%d watches", n)
	}
}
