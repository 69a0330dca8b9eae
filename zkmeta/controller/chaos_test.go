package controller

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"ottla/zkmeta"
)

// TestEverythingSettles does random things to a cluster: topics come, grow, move and go, brokers and
// controllers die and return, at any moment. Afterwards, with everybody there, each piece of work must have
// been finished: nothing is pending, everyone is in sync, and every broker believes what the znodes say.
func TestEverythingSettles(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			c := newCluster(t)
			rng := rand.New(rand.NewPCG(seed, 7))
			const brokers, controllers = 4, 3
			for id := int32(1); id <= brokers; id++ {
				c.register(id)
			}
			for id := int32(11); id < 11+controllers; id++ {
				c.join(id)
			}
			replicas := func() []int32 {
				ids := []int32{1, 2, 3, 4}
				rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
				return ids[:1+rng.IntN(3)]
			}
			topics := map[string]int{} // partitions
			for step := range 120 {
				name := fmt.Sprintf("t%d", rng.IntN(8))
				n, there := topics[name]
				switch rng.IntN(12) {
				case 0, 1, 2:
					if there || c.exists(zkmeta.Topic(name)) {
						break
					}
					n := 1 + rng.IntN(90)
					rs := make([][]int32, n)
					for i := range rs {
						rs[i] = replicas()
					}
					if !c.exists("/config/topics/" + name) {
						c.createTopic(name, rs...)
						topics[name] = n
					}
				case 3:
					if there {
						c.create("/admin/delete_topics/"+name, nil)
						delete(topics, name)
					}
				case 4:
					if there {
						if ctrl := c.activeController(); ctrl != nil {
							reassign(ctrl, name, int32(rng.IntN(n)), replicas()...)
						}
					}
				case 5, 6:
					if b := c.broker(int32(1 + rng.IntN(brokers))); b != nil {
						c.kill(b)
					}
				case 7, 8:
					if id := int32(1 + rng.IntN(brokers)); c.broker(id) == nil {
						c.register(id)
					}
				case 9:
					if b := c.broker(int32(11 + rng.IntN(controllers))); b != nil {
						c.kill(b)
						b.ctrl.Close()
					}
				case 10:
					if id := int32(11 + rng.IntN(controllers)); c.broker(id) == nil {
						c.join(id)
					}
				case 11:
					time.Sleep(time.Duration(rng.IntN(3)) * time.Millisecond)
				}
				if step%10 == 0 {
					c.catchUp(topics)
				}
			}
			for id := int32(1); id <= brokers; id++ {
				if c.broker(id) == nil {
					c.register(id)
				}
			}
			if c.broker(11) == nil {
				c.join(11)
			}
			var why string
			c.until("everything to settle", func() bool {
				why = c.catchUp(topics)
				return why == ""
			}, func() string { return why })
		})
	}
}

// catchUp has the leaders take replicas that follow them into the ISR. It answers with what is not settled.
func (c *cluster) catchUp(topics map[string]int) (unsettled string) {
	ctrl := c.activeController()
	if ctrl == nil {
		return "no controller"
	}
	if names := c.children("/admin/delete_topics"); len(names) > 0 {
		unsettled = fmt.Sprintf("deletion of %v", names)
	}
	if names := c.children("/brokers/topics"); len(names) != len(topics) {
		unsettled = fmt.Sprintf("topics %v", names)
	}
	for name, n := range topics {
		a, err := zkmeta.DecodeTopicAssignment([]byte(c.get(zkmeta.Topic(name))))
		if err != nil {
			c.t.Fatal(err)
		}
		for p := range int32(n) {
			tp := zkmeta.TP{Topic: name, Partition: p}
			s, ok := c.state(name, p)
			if !ok || s.Leader < 0 {
				unsettled = fmt.Sprintf("%s has no leader", tp)
				continue
			}
			replicas := a.Partitions[p]
			if len(without(s.ISR, replicas)) > 0 {
				unsettled = fmt.Sprintf("ISR of %s is %v, replicas %v", tp, s.ISR, replicas)
			}
			if len(a.Adding[p])+len(a.Removing[p]) > 0 {
				unsettled = fmt.Sprintf("%s is being reassigned: %+v", tp, a)
			}
			leader := c.broker(s.Leader)
			if leader == nil {
				unsettled = fmt.Sprintf("leader of %s is dead", tp)
				continue
			}
			c.mu.Lock()
			told := leader.replicas[tp]
			isr := slices.Clone(told.ISR)
			for _, id := range told.Replicas {
				b := c.brokers[id]
				if b == nil {
					continue
				}
				r, ok := b.replicas[tp]
				if ok && r.Leader == s.Leader && r.LeaderEpoch == told.LeaderEpoch && !slices.Contains(isr, id) {
					isr = append(isr, id)
				}
				if !ok || r.LeaderEpoch != s.LeaderEpoch {
					unsettled = fmt.Sprintf("broker %d has %+v of %s, state %+v", id, r, tp, s)
				}
				if m := b.metadata[tp]; m.LeaderEpoch != s.LeaderEpoch || m.Leader != s.Leader || !slices.Equal(m.ISR, s.ISR) {
					unsettled = fmt.Sprintf("broker %d has metadata %+v of %s, state %+v", id, m, tp, s)
				}
			}
			c.mu.Unlock()
			if len(s.ISR) < len(replicas) {
				unsettled = fmt.Sprintf("ISR of %s is %v, replicas %v", tp, s.ISR, replicas)
			}
			if told.Leader == s.Leader && !sameSet(isr, s.ISR) {
				code, answer := c.alterISR(ctrl, s.Leader, name, p, isr...)
				if code == 0 && answer.ErrorCode == 0 {
					// A leader remembers the partition epoch of the answer, if it leads in that epoch still. (It may
					// have been told of another since we looked: then it asked, and was answered, in the new one.)
					c.mu.Lock()
					if now := leader.replicas[tp]; now.LeaderEpoch == answer.LeaderEpoch && now.ZKVersion < answer.PartitionEpoch {
						now.ISR, now.ZKVersion = answer.ISR, answer.PartitionEpoch
						leader.replicas[tp] = now
					}
					c.mu.Unlock()
				}
			}
		}
	}
	return unsettled
}
