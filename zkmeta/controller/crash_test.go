package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"ottla/zkmeta"
)

// A dyingSession is the session of a controller that is killed at its n-th write, before or after the
// write has reached the store.
type dyingSession struct {
	zkmeta.Session
	kill func()

	mu      sync.Mutex
	armed   bool
	left    int
	after   bool
	dead    bool
	expired chan struct{}
}

func (s *dyingSession) arm(n int, after bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed, s.left, s.after = true, n, after
}

func (s *dyingSession) isDead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dead
}

// Multi lets only the last write through when it dies after it: what was on its way at the same time is lost.
func (s *dyingSession) Multi(ctx context.Context, ops ...zkmeta.Op) ([]zkmeta.OpResult, error) {
	s.mu.Lock()
	if s.dead {
		s.mu.Unlock()
		return nil, zkmeta.ErrSessionExpired
	}
	if s.armed {
		s.left--
	}
	if !s.armed || s.left > 0 {
		s.mu.Unlock()
		return s.Session.Multi(ctx, ops...)
	}
	s.dead = true
	s.mu.Unlock()
	if s.after {
		_, _ = s.Session.Multi(ctx, ops...)
	}
	close(s.expired)
	s.kill()
	return nil, zkmeta.ErrSessionExpired
}

func (s *dyingSession) Get(ctx context.Context, path string, w *zkmeta.Watch) ([]byte, zkmeta.Stat, error) {
	if s.isDead() {
		return nil, zkmeta.Stat{}, zkmeta.ErrSessionExpired
	}
	return s.Session.Get(ctx, path, w)
}

func (s *dyingSession) Expired() <-chan struct{} { return s.expired }

// joinDying is join with a session that can be armed.
func (c *cluster) joinDying(id int32) (*fakeBroker, *dyingSession) {
	b := c.register(id)
	s := &dyingSession{Session: b.session, expired: make(chan struct{})}
	s.kill = func() { c.kill(b) }
	b.ctrl = New(testConfig(id, c.log), Deps{Brokers: c})
	b.ctrl.Start(s)
	c.t.Cleanup(b.ctrl.Close)
	return b, s
}

// TestSuccessorFinishesWhatADeadControllerBegan kills the controller at each single write of each kind of
// work, before and after the write takes effect.
func TestSuccessorFinishesWhatADeadControllerBegan(t *testing.T) {
	many := 80 // more than fits one multi with the other znodes of a new topic
	works := []struct {
		name  string
		setUp func(c *cluster)
		start func(c *cluster)
		check func(c *cluster)
	}{
		{
			name:  "create",
			start: func(c *cluster) { c.createTopic("t", repeat(many, 1, 2, 3)...) },
			check: func(c *cluster) {
				for p := range many {
					c.wantState("t", int32(p), "leader 1 epoch 0 isr [1 2 3]")
				}
				c.wantToldState("t", int32(many-1), 1, 2, 3)
			},
		},
		{
			name:  "grow",
			setUp: func(c *cluster) { c.createTopic("t", []int32{1, 2}); c.wantState("t", 0, "leader 1 epoch 0 isr [1 2]") },
			start: func(c *cluster) {
				a := assignment("t", []int32{1, 2}, []int32{2, 3}, []int32{3, 1})
				c.set(zkmeta.Topic("t"), a.Encode())
			},
			check: func(c *cluster) {
				c.wantState("t", 1, "leader 2 epoch 0 isr [2 3]")
				c.wantState("t", 2, "leader 3 epoch 0 isr [3 1]")
				c.wantToldState("t", 2, 3, 1)
			},
		},
		{
			name:  "delete",
			setUp: func(c *cluster) { c.createTopic("t", repeat(many, 1, 2, 3)...); c.wantToldState("t", 0, 1, 2, 3) },
			start: func(c *cluster) { c.create("/admin/delete_topics/t", nil) },
			check: func(c *cluster) {
				c.until("marker to go", func() bool { return !c.exists("/admin/delete_topics/t") })
				for _, path := range []string{"/brokers/topics/t", "/config/topics/t"} {
					if c.exists(path) {
						c.t.Errorf("%s is left", path)
					}
				}
				for _, id := range []int32{1, 2, 3} {
					c.mu.Lock()
					if n := len(c.brokers[id].replicas); n > 0 {
						c.t.Errorf("broker %d still has %d replicas", id, n)
					}
					c.mu.Unlock()
				}
			},
		},
		{
			name:  "reassignment",
			setUp: func(c *cluster) { c.createTopic("t", []int32{1, 2}); c.wantToldState("t", 0, 1, 2) },
			start: func(c *cluster) {
				c.create("/admin/reassign_partitions", zkmeta.ReassignmentRequest{Partitions: []zkmeta.Reassignment{
					{TP: zkmeta.TP{Topic: "t", Partition: 0}, Replicas: []int32{3, 2}}}}.Encode())
			},
			check: func(c *cluster) {
				// The added replica catches up: the leader asks the controller of the moment to take it in.
				c.until("replica 3 in the ISR", func() bool { return c.leaderWantsISR("t", 0, 1, 2, 3) })
				c.until("assignment to be [3 2]", func() bool {
					want := assignment("t", []int32{3, 2})
					return c.get(zkmeta.Topic("t")) == string(want.Encode())
				})
				c.until("request znode to go", func() bool { return !c.exists("/admin/reassign_partitions") })
				s, _ := c.state("t", 0)
				if s.Leader != 3 || !sameSet(s.ISR, []int32{2, 3}) {
					c.t.Errorf("state is %+v", s)
				}
				c.until("old replica to be deleted", func() bool {
					c.mu.Lock()
					defer c.mu.Unlock()
					return c.brokers[1].deleted[zkmeta.TP{Topic: "t"}] > 0
				})
			},
		},
		{
			name:  "election",
			setUp: func(c *cluster) { c.createTopic("t", repeat(5, 1, 2, 3)...); c.wantToldState("t", 4, 1, 2, 3) },
			start: func(c *cluster) { c.kill(c.broker(1)) },
			check: func(c *cluster) {
				for p := range int32(5) {
					c.wantState("t", p, "leader 2 epoch 1 isr [2 3]")
				}
				c.wantToldState("t", 4, 2, 3)
			},
		},
		{
			name: "preferred election",
			setUp: func(c *cluster) {
				c.createTopic("t", repeat(5, 1, 2, 3)...)
				c.wantToldState("t", 4, 1, 2, 3)
				c.kill(c.broker(1))
				c.wantState("t", 4, "leader 2 epoch 1 isr [2 3]")
				c.register(1)
				for p := range int32(5) {
					c.until("replica 1 in the ISR", func() bool { return c.leaderWantsISR("t", p, 2, 3, 1) })
				}
			},
			start: func(c *cluster) {
				var e zkmeta.PreferredElection
				for p := range int32(5) {
					e.Partitions = append(e.Partitions, zkmeta.TP{Topic: "t", Partition: p})
				}
				c.create("/admin/preferred_replica_election", e.Encode())
			},
			check: func(c *cluster) {
				c.until("request znode to go", func() bool { return !c.exists("/admin/preferred_replica_election") })
				for p := range int32(5) {
					c.wantState("t", p, "leader 1 epoch 2 isr [2 3 1]")
				}
				c.wantToldState("t", 4, 1, 2, 3)
			},
		},
	}
	for _, w := range works {
		t.Run(w.name, func(t *testing.T) {
			for n := 1; ; n++ {
				died := false
				for _, after := range []bool{false, true} {
					t.Run(fmt.Sprintf("write=%d/after=%v", n, after), func(t *testing.T) {
						c := newCluster(t)
						old, session := c.joinDying(9)
						c.until("election", old.ctrl.IsActive)
						for id := int32(1); id <= 3; id++ {
							c.register(id)
						}
						successor := c.join(8)
						c.until("brokers to be known", func() bool {
							c.mu.Lock()
							defer c.mu.Unlock()
							return len(old.live) == 5 && len(c.brokers[3].live) == 5
						})
						if w.setUp != nil {
							w.setUp(c)
						}
						session.arm(n, after)
						w.start(c)
						w.check(c)
						if session.isDead() {
							died = true
							c.until("takeover", successor.ctrl.IsActive)
						}
					})
				}
				if !died {
					t.Logf("%d writes", n-1)
					if n < 2 {
						t.Error("the work made no write")
					}
					return
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// TestTakeoverIsFinishedByTheNextController kills a broker that is controller and leader, and then the one that takes over at each write of that,
// the election itself among them.
func TestTakeoverIsFinishedByTheNextController(t *testing.T) {
	for n := 1; ; n++ {
		died := false
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("write=%d/after=%v", n, after), func(t *testing.T) {
				c := newCluster(t)
				old := c.join(1)
				c.until("election", old.ctrl.IsActive)
				for id := int32(2); id <= 3; id++ {
					c.register(id)
				}
				second, session := c.joinDying(8)
				c.until("brokers to be known", func() bool {
					c.mu.Lock()
					defer c.mu.Unlock()
					return len(old.live) == 4 && len(second.live) == 4
				})
				c.createTopic("t", repeat(5, 1, 2, 3)...)
				c.createTopic("u", []int32{2, 3})
				c.wantToldState("t", 4, 1, 2, 3)
				c.wantToldState("u", 0, 2, 3)
				// What the dead one had not begun.
				session.arm(n, after)
				c.kill(old)
				c.create("/admin/delete_topics/u", nil)
				settled := func() bool {
					s, ok := c.state("t", 4)
					return ok && s.Leader == 2 && !c.exists("/brokers/topics/u")
				}
				c.until("the second controller to die or to be done", func() bool { return session.isDead() || settled() })
				if session.isDead() {
					died = true
					third := c.join(7)
					c.until("takeover", third.ctrl.IsActive)
				}
				for p := range int32(5) {
					c.wantState("t", p, "leader 2 epoch 1 isr [2 3]")
				}
				c.wantToldState("t", 4, 2, 3)
				c.until("the topic to go", func() bool { return !c.exists("/admin/delete_topics/u") && !c.exists("/brokers/topics/u") })
			})
		}
		if t.Failed() {
			return
		}
		if !died {
			t.Logf("%d writes", n-1)
			if n < 4 {
				t.Error("taking over made too few writes")
			}
			return
		}
	}
}

// wantToldState waits until the brokers have the partition's state as it is in its znode.
func (c *cluster) wantToldState(topic string, p int32, ids ...int32) {
	c.t.Helper()
	tp := zkmeta.TP{Topic: topic, Partition: p}
	for _, id := range ids {
		c.until(fmt.Sprintf("broker %d to be told of %s", id, tp), func() bool {
			s, ok := c.state(topic, p)
			b := c.broker(id)
			c.mu.Lock()
			defer c.mu.Unlock()
			r, told := b.replicas[tp]
			m, known := b.metadata[tp]
			return ok && told && known && r.Leader == s.Leader && r.LeaderEpoch == s.LeaderEpoch && slices.Equal(r.ISR, s.ISR) &&
				m.Leader == s.Leader && m.LeaderEpoch == s.LeaderEpoch && slices.Equal(m.ISR, s.ISR)
		})
	}
}
