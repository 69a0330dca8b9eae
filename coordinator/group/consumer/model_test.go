package consumer

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/coordinator/group/assignor"
)

// client is a consumer of the random test: it takes what it is given, gives up what it is told to, sometimes late, and loses answers.
type client struct {
	id, instance string
	epoch        int32
	topics       []string
	regex        string
	owned        map[string]bool // "topic id/partition": what its application works on
	given        assignor.Assignment
	full         bool // everything is to be said in the next heartbeat
	assignor     string
}

func (c *client) ownedReport() []TopicPartitions {
	o := Owned{}
	for k := range c.owned {
		var t TopicID
		var p int32
		fmt.Sscanf(k, "%d/%d", &t[15], &p)
		t[0] = 1
		o.put(t, p, 0)
	}
	r := []TopicPartitions{}
	for t, ps := range o.Assignment() {
		r = append(r, TopicPartitions{t, ps})
	}
	return r
}

func (c *client) revoke() {
	for k := range c.owned {
		var t TopicID
		var p int32
		fmt.Sscanf(k, "%d/%d", &t[15], &p)
		t[0] = 1
		if !c.given.Has(t, p) {
			delete(c.owned, k)
		}
	}
}

func (c *client) take() {
	for t, ps := range c.given {
		for _, p := range ps {
			c.owned[fmt.Sprintf("%d/%d", t[15], p)] = true
		}
	}
}

func (c *client) heartbeat() Heartbeat {
	h := again(c.id, c.epoch, nil)
	h.InstanceID, h.Owned = c.instance, c.ownedReport()
	if c.epoch == 0 || c.full {
		h.RebalanceTimeoutMs, h.Topics, h.Regex = 60_000, c.topics, &c.regex
		if h.Topics == nil {
			h.Topics = []string{}
		}
		if c.assignor != "" {
			h.Assignor = &c.assignor
		}
	}
	return h
}

// sameGroup compares what the records decide.
func sameGroup(a, b *Group) bool {
	x, y := *a, *b
	x.seen, y.seen = 0, 0
	return reflect.DeepEqual(&x, &y)
}

// TestRandomGroup drives a group with clients that join, leave, crash, lose answers, change subscriptions, and with topics that come, grow
// and go. No two clients ever work on the same partition, any prefix of the records gives the state that the requests gave, and once
// the trouble is over everybody has what it is to have.
func TestRandomGroup(t *testing.T) {
	for seed := range uint64(300) {
		randomGroup(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func randomGroup(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 2))
	r := newRig(t, topic("a", 1, 4), topic("ab", 2, 6), topic("b", 3, 1))
	names := []string{"a", "ab", "b", "gone", "later"}
	clients := map[string]*client{}
	nextID := 0
	newClient := func(instance string) {
		nextID++
		c := &client{id: fmt.Sprintf("m%03d", nextID), instance: instance, owned: map[string]bool{}}
		for _, n := range names {
			if rng.IntN(2) == 0 {
				c.topics = append(c.topics, n)
			}
		}
		c.regex = []string{"", "", "a.*", "b|later", "["}[rng.IntN(4)]
		c.assignor = []string{"", "range", "uniform"}[rng.IntN(3)]
		clients[c.id] = c
	}
	check := func(step int) {
		owner := map[string]string{}
		for _, c := range clients {
			for k := range c.owned {
				if owner[k] != "" {
					t.Fatalf("step %d: %s and %s both work on %s", step, owner[k], c.id, k)
				}
				owner[k] = c.id
			}
		}
	}
	beat := func(c *client, loseAnswer bool) {
		d, err := r.heartbeat(c.heartbeat())
		switch {
		case errors.Is(err, kerr.FencedMemberEpoch), errors.Is(err, kerr.UnknownMemberID):
			c.epoch, c.given, c.full = 0, nil, true
			clear(c.owned)
			return
		case errors.Is(err, kerr.UnreleasedInstanceID), errors.Is(err, kerr.FencedInstanceID):
			delete(clients, c.id)
			return
		case err != nil:
			t.Fatal(err)
		case loseAnswer:
			c.full = true
			return
		}
		c.epoch, c.full = d.Member.Epoch, false
		if d.Assignment != nil {
			c.given = d.Assignment
			c.take()
			if rng.IntN(3) > 0 { // at once; else with the next heartbeat
				c.revoke()
			}
		}
	}
	prefixes := []*Group{}
	ends := []int{}
	for step := range 120 {
		ids := slices.Sorted(maps.Keys(clients))
		var c *client
		if len(ids) > 0 {
			c = clients[ids[rng.IntN(len(ids))]]
		}
		switch x := rng.IntN(30); {
		case c == nil || x == 0:
			newClient([]string{"", "", "i1", "i2"}[rng.IntN(4)])
		case x == 1: // leaves
			epoch := leaveEpoch
			if c.instance != "" && rng.IntN(2) == 0 {
				epoch = staticLeaveEpoch
			}
			records, _, err := r.g.Leave(r.env(), c.id, c.instance, epoch)
			if err == nil {
				r.write(records)
			}
			delete(clients, c.id)
			if epoch == staticLeaveEpoch && err == nil {
				newClient(c.instance)
			}
		case x == 2: // crashes and is fenced
			if m := r.g.Member(c.id); m != nil {
				r.write(r.g.Fence(r.env(), []*Member{m}))
			}
			delete(clients, c.id)
		case x == 3: // changes its mind
			c.topics, c.full = []string{names[rng.IntN(len(names))]}, true
		case x == 4: // the cluster changes
			r.topics = topicsOf(r.topics.version+1, slices.Collect(maps.Values(r.topics.byName))...)
			switch rng.IntN(3) {
			case 0:
				r.topics.byName["later"] = topic("later", 9, 3)
			case 1:
				a := r.topics.byName["a"]
				r.topics.byName["a"] = topic("a", 1, a.Partitions+1)
			case 2:
				delete(r.topics.byName, "later")
			}
		default:
			c.revoke()
			beat(c, x == 5)
		}
		check(step)
		if rng.IntN(10) == 0 {
			snapshot := New("g")
			if err := snapshot.replayAll(r.records); err != nil {
				t.Fatal(err)
			}
			if !sameGroup(snapshot, r.g) {
				t.Fatalf("step %d: replay gives\n%+v, the requests gave\n%+v", step, snapshot, r.g)
			}
			prefixes, ends = append(prefixes, snapshot), append(ends, len(r.records))
		}
	}
	for i, want := range prefixes { // a snapshot is the same whatever came after
		got := New("g")
		if err := got.replayAll(r.records[:ends[i]]); err != nil || !sameGroup(got, want) {
			t.Fatalf("prefix of %d records: %v", ends[i], err)
		}
	}
	for _, m := range r.g.Members() { // those that nobody plays any more
		if clients[m.ID] == nil {
			r.write(r.g.Fence(r.env(), []*Member{m}))
		}
	}
	for range 12 {
		for _, id := range slices.Sorted(maps.Keys(clients)) {
			if c := clients[id]; c != nil {
				c.revoke()
				beat(c, false)
			}
		}
	}
	check(-1)
	if want := map[bool]string{true: Empty, false: StableGroup}[len(clients) == 0]; r.g.State() != want {
		t.Fatalf("%s at the end: %+v", r.g.State(), r.g)
	}
	for _, c := range clients {
		c.revoke()
		got := Owned{}
		for _, tp := range c.ownedReport() {
			for _, p := range tp.Partitions {
				got.put(tp.Topic, p, 0)
			}
		}
		if !got.Assignment().Equal(r.g.Target(c.id)) {
			t.Fatalf("%s has %v, its target is %v", c.id, got, r.g.Target(c.id))
		}
	}
}
