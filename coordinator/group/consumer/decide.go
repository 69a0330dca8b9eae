package consumer

import (
	"iter"
	"maps"
	"slices"

	"ottla/coordinator"
	"ottla/coordinator/group/assignor"
)

// Env is what a decision rests on beside the group.
type Env struct {
	NowMs    int64
	Topics   Topics
	Assignor string // of groups whose members want none
	MaxSize  int
}

// change is a decision in the making: the group as it will be once the records are replayed, as far as that matters.
type change struct {
	g       *Group
	env     Env
	records []coordinator.KeyValue

	members map[string]*Member   // after the change
	regexes map[string]*Resolved // after the change
	old     *Member              // the member whose request it is, before; nil if it is new or there is none
	updated *Member              // and after

	bump bool // the group epoch is to grow
}

func (g *Group) change(env Env) *change {
	return &change{g: g, env: env, members: maps.Clone(g.members), regexes: maps.Clone(g.regexes)}
}

func (c *change) key(version int16, sub string) Key {
	return Key{Version: version, Group: c.g.id, Sub: sub}
}

func (c *change) emit(kv coordinator.KeyValue) { c.records = append(c.records, kv) }

func (c *change) emitMember(m *Member) {
	c.emit(c.key(keyMember, m.ID).record(func(b []byte) []byte { return appendMember(b, m) }))
}

func (c *change) emitCurrent(m *Member) {
	c.emit(c.key(keyCurrent, m.ID).record(func(b []byte) []byte { return appendCurrent(b, m) }))
}

func (c *change) emitTarget(id string, a assignor.Assignment) {
	c.emit(c.key(keyTarget, id).record(func(b []byte) []byte { return appendTarget(b, a) }))
}

func (c *change) emitEpoch(epoch int32, hash int64) {
	c.emit(c.key(keyGroupEpoch, "").record(epochValue{epoch, hash}.append))
}

func (c *change) emitTargetEpoch(epoch int32, atMs int64) {
	c.emit(c.key(keyTargetEpoch, "").record(func(b []byte) []byte { return appendTargetEpoch(b, epoch, atMs) }))
}

// remove writes the tombstones of a member, in the order that replaying needs.
func (c *change) remove(id string) {
	c.emit(c.key(keyCurrent, id).tombstone())
	c.emit(c.key(keyTarget, id).tombstone())
	c.emit(c.key(keyMember, id).tombstone())
	delete(c.members, id)
}

// set makes m the member after the change and writes its record if it is another than before.
func (c *change) set(m *Member) {
	if before := c.members[m.ID]; before == nil || !before.sameMetadata(m) {
		c.emitMember(m)
	}
	c.members[m.ID], c.updated = m, m
}

// expressions are the regular expressions that members are subscribed to.
func (c *change) expressions() []string {
	set := make(map[string]struct{})
	for _, m := range c.members {
		if m.Regex != "" {
			set[m.Regex] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// refreshRegexes resolves the regular expressions that are new, or all of them if the topics are not those of the last time, and forgets
// those that nobody wants any more.
func (c *change) refreshRegexes() {
	wanted := c.expressions()
	for _, expr := range slices.Sorted(maps.Keys(c.regexes)) {
		if !slices.Contains(wanted, expr) {
			c.emit(c.key(keyRegex, expr).tombstone())
			delete(c.regexes, expr)
		}
	}
	for _, expr := range wanted {
		before := c.regexes[expr]
		if before != nil && c.g.seen == c.env.Topics.Version() {
			continue
		}
		r := resolve(expr, c.env.Topics, c.env.NowMs)
		if before != nil && slices.Equal(before.Topics, r.Topics) {
			continue
		}
		c.emit(c.key(keyRegex, expr).record(func(b []byte) []byte { return appendRegex(b, r) }))
		c.regexes[expr] = r
		c.bump = true
	}
}

// subscription is the names that the member is subscribed to.
func (c *change) subscription(m *Member) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, n := range m.Topics {
			if !yield(n) {
				return
			}
		}
		if r := c.regexes[m.Regex]; r != nil && m.Regex != "" {
			for _, n := range r.Topics {
				if !yield(n) {
					return
				}
			}
		}
	}
}

// topicIDs are the existing topics that the member is subscribed to.
func (c *change) topicIDs(m *Member) map[TopicID]struct{} {
	ids := make(map[TopicID]struct{})
	for n := range c.subscription(m) {
		if t, ok := c.env.Topics.ByName(n); ok {
			ids[t.ID] = struct{}{}
		}
	}
	return ids
}

// hash is that of all topics that the group is subscribed to.
func (c *change) hash() int64 {
	names := make(map[string]struct{})
	for _, m := range c.members {
		for n := range c.subscription(m) {
			names[n] = struct{}{}
		}
	}
	return hashTopics(c.env.Topics, names)
}

// updateEpoch compares the topics of the group with those at its epoch, if there is a reason to, and bumps the epoch if need be. It
// returns the epoch after.
func (c *change) updateEpoch() int32 {
	if !c.bump && c.g.seen == c.env.Topics.Version() {
		return c.g.epoch
	}
	hash := c.hash()
	if hash != c.g.hash {
		c.bump = true
	}
	if !c.bump {
		return c.g.epoch
	}
	c.emitEpoch(c.g.epoch+1, hash)
	if c.g.oldTopics {
		c.emit(c.key(keyTopics, "").tombstone())
	}
	return c.g.epoch + 1
}

// updateTarget computes the target for the epoch and writes what is different. targets are those before, by the members' ids after.
func (c *change) updateTarget(epoch int32, targets map[string]assignor.Assignment) map[string]assignor.Assignment {
	spec := assignor.Spec{Partitions: make(map[TopicID]int32)}
	for _, id := range slices.Sorted(maps.Keys(c.members)) {
		m := c.members[id]
		am := assignor.Member{ID: id, InstanceID: m.InstanceID, Topics: c.topicIDs(m), Current: targets[id]}
		for t := range am.Topics {
			if _, ok := spec.Partitions[t]; !ok {
				topic, _ := c.env.Topics.ByID(t)
				spec.Partitions[t] = topic.Partitions
			}
		}
		spec.Members = append(spec.Members, am)
	}
	assign := assignor.Get(preferredAssignor(maps.Values(c.members)))
	if assign == nil {
		assign = assignor.Get(c.env.Assignor)
	}
	next := assign(spec)
	for _, id := range slices.Sorted(maps.Keys(next)) {
		if before, ok := targets[id]; !ok || !before.Equal(next[id]) {
			c.emitTarget(id, next[id])
		}
	}
	c.emitTargetEpoch(epoch, c.env.NowMs)
	return next
}

// preferredAssignor is the one that most members want, of equals the first by name.
func preferredAssignor(members iter.Seq[*Member]) string {
	wanted := make(map[string]int)
	for m := range members {
		if m.Assignor != "" {
			wanted[m.Assignor]++
		}
	}
	best := ""
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if wanted[name] > wanted[best] {
			best = name
		}
	}
	return best
}
