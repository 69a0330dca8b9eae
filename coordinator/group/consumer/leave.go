package consumer

import (
	"maps"
	"slices"

	"ottla/coordinator"
)

// Leave takes out the member that says so in a heartbeat of epoch -1, or lets a static one go for a while (-2). gone tells whether it is out.
//
// Errors: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID.
func (g *Group) Leave(env Env, memberID, instanceID string, epoch int32) (records []coordinator.KeyValue, gone *Member, err error) {
	m := g.members[memberID]
	if instanceID != "" {
		m = g.Static(instanceID)
		if err := g.checkInstance(m, memberID, instanceID); err != nil {
			return nil, nil, err
		}
	}
	if m == nil {
		return nil, nil, g.unknownMember(memberID)
	}
	if instanceID != "" && epoch == staticLeaveEpoch {
		c := g.change(env)
		next := *m
		next.Epoch, next.Revoking = staticLeaveEpoch, Owned{}
		c.emitCurrent(&next)
		return c.records, nil, nil
	}
	return g.Fence(env, []*Member{m}), m, nil
}

// Fence takes members out, whatever the reason; it does without topics if there are none yet. The group epoch grows, so that the next member that asks has the target computed anew.
func (g *Group) Fence(env Env, members []*Member) []coordinator.KeyValue {
	c := g.change(env)
	for _, m := range members {
		c.remove(m.ID)
	}
	wanted := c.expressions()
	for _, expr := range slices.Sorted(maps.Keys(c.regexes)) {
		if !slices.Contains(wanted, expr) {
			c.emit(c.key(keyRegex, expr).tombstone())
			delete(c.regexes, expr)
		}
	}
	hash := g.hash
	if env.Topics != nil {
		hash = c.hash()
	}
	c.emitEpoch(g.epoch+1, hash)
	return c.records
}

// Tombstones end the group.
func (g *Group) Tombstones() []coordinator.KeyValue {
	c := g.change(Env{})
	for _, version := range []int16{keyCurrent, keyTarget} {
		for _, m := range g.Members() {
			c.emit(c.key(version, m.ID).tombstone())
		}
	}
	for _, id := range slices.Sorted(maps.Keys(g.targets)) {
		if g.members[id] == nil {
			c.emit(c.key(keyTarget, id).tombstone())
		}
	}
	c.emit(c.key(keyTargetEpoch, "").tombstone())
	for _, m := range g.Members() {
		c.emit(c.key(keyMember, m.ID).tombstone())
	}
	for _, expr := range slices.Sorted(maps.Keys(g.regexes)) {
		c.emit(c.key(keyRegex, expr).tombstone())
	}
	if g.oldTopics {
		c.emit(c.key(keyTopics, "").tombstone())
	}
	c.emit(c.key(keyGroupEpoch, "").tombstone())
	return c.records
}
