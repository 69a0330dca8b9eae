package sim

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fault is one kind of disturbance: it begins, and what it returns ends it.
type fault struct {
	name   string
	weight int
	begin  func(d *disturber, n *node) (end func())
}

var faults = []fault{
	{"kill", 5, func(d *disturber, n *node) func() {
		n.crash(d.w.plan.durable && d.rnd.IntN(2) == 0)
		return n.start
	}},
	{"stop", 2, func(d *disturber, n *node) func() {
		done := make(chan struct{})
		d.w.wg.Go(func() { defer close(done); n.stop() })
		return func() { <-done; n.start() }
	}},
	{"pause", 4, func(d *disturber, n *node) func() {
		n.paused.Store(true)
		back := d.isolate(n, true, true)
		d.w.zoo.cut(n.host)
		return func() { back(); d.w.zoo.restore(n.host); n.paused.Store(false) }
	}},
	{"cut off from brokers and clients", 3, func(d *disturber, n *node) func() { return d.isolate(n, true, true) }},
	{"cannot be heard by brokers", 2, func(d *disturber, n *node) func() { return d.isolate(n, true, false) }},
	{"cannot hear brokers", 2, func(d *disturber, n *node) func() { return d.isolate(n, false, true) }},
	{"cut off from one broker", 3, func(d *disturber, n *node) func() {
		other := d.w.nodes[(int(n.id)+d.rnd.IntN(brokers-1))%brokers]
		d.w.net.cut(n.host, other.host)
		d.w.net.cut(other.host, n.host)
		return func() { d.w.net.restore(n.host, other.host); d.w.net.restore(other.host, n.host) }
	}},
	{"cut off from ZooKeeper", 4, func(d *disturber, n *node) func() {
		d.w.zoo.cut(n.host)
		return func() { d.w.zoo.restore(n.host) }
	}},
	{"cut off from everything", 3, func(d *disturber, n *node) func() {
		back := d.isolate(n, true, true)
		d.w.zoo.cut(n.host)
		return func() { back(); d.w.zoo.restore(n.host) }
	}},
	{"session expires", 3, func(d *disturber, n *node) func() {
		n.mu.Lock()
		p := n.proc
		n.mu.Unlock()
		if p != nil {
			if c := p.zk.Load(); c != nil {
				c.expireNow()
			}
		}
		return func() {}
	}},
	{"slow", 2, func(d *disturber, n *node) func() {
		d.w.net.setSlow(n.host, between(d.rnd, 20*time.Millisecond, 800*time.Millisecond))
		return func() { d.w.net.setSlow(n.host, 0) }
	}},
	{"connections reset", 2, func(d *disturber, n *node) func() {
		for _, other := range d.w.nodes {
			if other != n {
				d.w.net.breakAll(n.host, other.host)
			}
		}
		return func() {}
	}},
	{"preferred leaders", 2, func(d *disturber, _ *node) func() {
		d.w.wg.Go(d.w.electPreferred)
		return func() {}
	}},
	{"reassignment", 3, func(d *disturber, _ *node) func() {
		partition := d.rnd.Int32N(d.w.plan.partitions)
		var replicas []int32
		for _, i := range d.rnd.Perm(brokers)[:brokers-d.rnd.IntN(2)] {
			replicas = append(replicas, int32(i)+1)
		}
		d.w.note("reassign partition %d to %v", partition, replicas)
		d.w.wg.Go(func() { d.w.reassign(partition, replicas) })
		return func() {}
	}},
}

// disturber makes faults.
type disturber struct {
	w   *world
	rnd *rand.Rand
}

// isolate cuts a node's links to or from the other brokers and the clients.
func (d *disturber) isolate(n *node, out, in bool) (back func()) {
	hosts := []string{"10.0.1.1", "10.0.1.2", "10.0.1.3"}
	for _, other := range d.w.nodes {
		if other != n {
			hosts = append(hosts, other.host)
		}
	}
	each := func(f func(from, to string)) {
		for _, h := range hosts {
			if out {
				f(n.host, h)
			}
			if in {
				f(h, n.host)
			}
		}
	}
	each(d.w.net.cut)
	return func() { each(d.w.net.restore) }
}

// disturb makes faults for the time of the plan, several of them at once if it comes to that; all have ended when it returns.
func (w *world) disturb() {
	d := &disturber{w: w, rnd: w.stream("faults")}
	w.sleep(between(d.rnd, 500*time.Millisecond, 3*time.Second))
	weights := 0
	for _, f := range faults {
		weights += f.weight
	}
	var wg sync.WaitGroup
	for until := time.Now().Add(w.plan.faults); time.Now().Before(until); {
		pick := d.rnd.IntN(weights)
		i := 0
		for ; pick >= faults[i].weight; i++ {
			pick -= faults[i].weight
		}
		n := w.nodes[d.rnd.IntN(len(w.nodes))]
		lasts := between(d.rnd, 50*time.Millisecond, 2*time.Second)
		if d.rnd.IntN(2) == 0 {
			lasts = between(d.rnd, 2*time.Second, 14*time.Second)
		}
		w.note("fault: broker %d: %s for %s", n.id, faults[i].name, lasts)
		end := faults[i].begin(d, n)
		wg.Go(func() {
			w.sleep(lasts)
			w.note("fault ends: broker %d: %s", n.id, faults[i].name)
			end()
		})
		gap := between(d.rnd, 50*time.Millisecond, 4*time.Second)
		if d.rnd.IntN(3) == 0 {
			gap = between(d.rnd, time.Millisecond, 300*time.Millisecond)
		}
		w.sleep(gap)
	}
	wg.Wait()
}

// heal starts what does not run, puts every partition on all brokers and has the clients stop.
func (w *world) heal() {
	w.note("faults are over")
	for _, n := range w.nodes {
		n.start()
	}
	w.sleep(2 * time.Second)
	for deadline := time.Now().Add(patience); ; {
		done := true
		for p := range w.plan.partitions {
			done = w.reassign(p, w.everywhere(p)) && done
		}
		if done || time.Now().After(deadline) {
			break
		}
		w.sleep(time.Second)
	}
	close(w.quiet)
}

// everywhere is the assignment that a partition has at first: all brokers, another one first for each.
func (w *world) everywhere(partition int32) (replicas []int32) {
	for i := range int32(brokers) {
		replicas = append(replicas, 1+(partition+i)%brokers)
	}
	return replicas
}

// reassign asks the controller, whoever it is, for another set of replicas, and reports whether it agreed.
func (w *world) reassign(partition int32, replicas []int32) bool {
	u := w.newUser("reassignments", "10.0.1.1")
	defer u.close()
	agreed := false
	for id := range int32(brokers) {
		req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
		req.TimeoutMillis = 2000
		t := kmsg.NewAlterPartitionAssignmentsRequestTopic()
		t.Topic = topic
		p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
		p.Partition, p.Replicas = partition, replicas
		t.Partitions = append(t.Partitions, p)
		req.Topics = append(req.Topics, t)
		r, err := u.ask(id+1, req, 3*time.Second)
		if err != nil {
			continue
		}
		resp := r.(*kmsg.AlterPartitionAssignmentsResponse)
		agreed = agreed || resp.ErrorCode == 0 && len(resp.Topics) == 1 && resp.Topics[0].Partitions[0].ErrorCode == 0
	}
	return agreed
}

// electPreferred asks the controller, whoever it is, to elect the preferred leaders.
func (w *world) electPreferred() {
	u := w.newUser("elections", "10.0.1.1")
	defer u.close()
	for id := range int32(brokers) {
		req := kmsg.NewPtrElectLeadersRequest()
		req.Version, req.TimeoutMillis = 2, 2000
		_, _ = u.ask(id+1, req, 3*time.Second) // two of them answer that they are not the controller
	}
}
