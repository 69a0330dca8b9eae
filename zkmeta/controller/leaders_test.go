package controller

import (
	"fmt"
	"testing"
)

// testTerm has the given brokers; those named in down are not registered, those in stopping shut down.
func testTerm(n int32, down, stopping []int32) *term {
	c := newTerm(7, 3)
	for id := int32(1); id <= n; id++ {
		c.brokers[id] = &broker{epoch: int64(id), offline: map[*partition]struct{}{}}
	}
	for _, id := range down {
		delete(c.brokers, id)
	}
	for _, id := range stopping {
		c.brokers[id].shuttingDown = true
	}
	return c
}

func show(s partitionState, changed bool) string {
	if !changed {
		return "same"
	}
	out := fmt.Sprintf("leader %d epoch %d isr %v", s.leader, s.leaderEpoch, s.isr)
	if s.recovering {
		out += " recovering"
	}
	if s.controllerEpoch != 7 {
		out += " by another controller"
	}
	return out
}

func TestSettledState(t *testing.T) {
	for _, tt := range []struct {
		name           string
		down, stopping []int32
		offline        []int32
		replicas       []int32
		leader         int32
		isr            []int32
		unclean        bool
		want           string
	}{
		{name: "nothing happened", replicas: []int32{1, 2, 3}, leader: 1, isr: []int32{1, 2, 3}, want: "same"},
		{name: "a follower died", down: []int32{3}, replicas: []int32{1, 2, 3}, leader: 1, isr: []int32{1, 3, 2}, want: "leader 1 epoch 6 isr [1 2]"},
		{name: "the leader died, the first in the assignment follows", down: []int32{1}, replicas: []int32{1, 2, 3}, leader: 1, isr: []int32{3, 1, 2}, want: "leader 2 epoch 6 isr [3 2]"},
		{name: "a replica out of sync does not follow", down: []int32{1}, replicas: []int32{1, 2, 3}, leader: 1, isr: []int32{1, 3}, want: "leader 3 epoch 6 isr [3]"},
		{name: "nobody in sync is left, the ISR is kept", down: []int32{1}, replicas: []int32{1, 2}, leader: 1, isr: []int32{1}, want: "leader -1 epoch 6 isr [1]"},
		{name: "the whole ISR died at once", down: []int32{1, 2}, replicas: []int32{1, 2, 3}, leader: 1, isr: []int32{1, 2}, want: "leader -1 epoch 6 isr [1 2]"},
		{name: "nobody to elect, again", down: []int32{1}, replicas: []int32{1, 2}, leader: -1, isr: []int32{1}, want: "same"},
		{name: "unclean: first live replica, alone and recovering", down: []int32{1}, replicas: []int32{1, 2, 3}, leader: -1, isr: []int32{1}, unclean: true, want: "leader 2 epoch 6 isr [2] recovering"},
		{name: "unclean is not needed", down: []int32{1}, replicas: []int32{1, 2, 3}, leader: 1, isr: []int32{1, 3}, unclean: true, want: "leader 3 epoch 6 isr [3]"},
		{name: "the last in sync is back", replicas: []int32{1, 2}, leader: -1, isr: []int32{1}, want: "leader 1 epoch 6 isr [1]"},
		{name: "a stopping leader without successor goes on", stopping: []int32{1}, replicas: []int32{1, 2}, leader: 1, isr: []int32{1}, unclean: true, want: "same"},
		{name: "a stopping leader with successor", stopping: []int32{1}, replicas: []int32{1, 2}, leader: 1, isr: []int32{1, 2}, want: "leader 2 epoch 6 isr [2]"},
		{name: "the leader's directory failed", offline: []int32{1}, replicas: []int32{1, 2}, leader: 1, isr: []int32{1, 2}, want: "leader 2 epoch 6 isr [2]"},
		{name: "the only replica's directory failed", offline: []int32{1}, replicas: []int32{1}, leader: 1, isr: []int32{1}, want: "leader -1 epoch 6 isr [1]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := testTerm(3, tt.down, tt.stopping)
			p := &partition{replicas: tt.replicas, written: true,
				state: partitionState{leader: tt.leader, leaderEpoch: 5, isr: tt.isr, controllerEpoch: 6}}
			for _, id := range tt.offline {
				c.brokers[id].offline[p] = struct{}{}
			}
			if got := show(c.settled(p, tt.unclean)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestOtherElections(t *testing.T) {
	p := &partition{replicas: []int32{1, 2, 3}, written: true, state: partitionState{leader: 2, leaderEpoch: 5, isr: []int32{2, 1}}}
	for _, tt := range []struct {
		name string
		got  func() (partitionState, bool)
		want string
	}{
		{"preferred", func() (partitionState, bool) { return testTerm(3, nil, nil).preferred(p) }, "leader 1 epoch 6 isr [2 1]"},
		{"preferred is down", func() (partitionState, bool) { return testTerm(3, []int32{1}, nil).preferred(p) }, "same"},
		{"preferred is out of sync", func() (partitionState, bool) {
			q := *p
			q.state.isr = []int32{2, 3}
			return testTerm(3, nil, nil).preferred(&q)
		}, "same"},
		{"handed over", func() (partitionState, bool) { return testTerm(3, nil, []int32{2}).handedOver(p) }, "leader 1 epoch 6 isr [1]"},
		{"nobody to hand over to", func() (partitionState, bool) { return testTerm(3, nil, []int32{1, 2}).handedOver(p) }, "same"},
		{"reassigned, leader stays", func() (partitionState, bool) { return testTerm(3, nil, nil).reassigned(p, []int32{3, 2}) }, "leader 2 epoch 6 isr [2]"},
		{"reassigned, leader goes", func() (partitionState, bool) { return testTerm(3, nil, nil).reassigned(p, []int32{3, 1}) }, "leader 1 epoch 6 isr [1]"},
		{"follower leaves", func() (partitionState, bool) { return testTerm(3, nil, nil).withoutFollower(p, 1) }, "leader 2 epoch 6 isr [2]"},
		{"the leader is not a follower", func() (partitionState, bool) { return testTerm(3, nil, nil).withoutFollower(p, 2) }, "same"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := show(tt.got()); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
