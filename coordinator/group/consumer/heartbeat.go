package consumer

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/coordinator"
	"ottla/coordinator/group/assignor"
)

// Heartbeat is what a member says: ConsumerGroupHeartbeat with an epoch of 0 or more, or a classic member's JoinGroup. Null fields mean
// that nothing has changed. Nothing of it is kept.
type Heartbeat struct {
	MemberID           string
	Epoch              int32
	InstanceID         string
	RackID             *string
	ClientID           string
	ClientHost         string
	RebalanceTimeoutMs int32 // -1 unchanged
	Topics             []string
	Regex              *string
	Assignor           *string
	Owned              []TopicPartitions

	// Classic is set for a JoinGroup. Epoch is not looked at then, and New tells whether the member id is one that has just been made up.
	Classic *Classic
	New     bool
}

// Decision is what to write and, once it is committed, to answer.
type Decision struct {
	Records  []coordinator.KeyValue
	Member   *Member // after
	Replaced string  // id of the static member that Member takes the place of, "" if there is none
	// Assignment is nil if the member knows it.
	Assignment assignor.Assignment
	Bumped     bool // the group epoch has grown
	Moved      bool // the current assignment has changed
}

// Heartbeat creates or updates a member, brings group epoch and target assignment up to date, and leads the member a step towards its
// target.
//
// Errors: UNKNOWN_MEMBER_ID, FENCED_MEMBER_EPOCH, UNRELEASED_INSTANCE_ID, FENCED_INSTANCE_ID, GROUP_MAX_SIZE_REACHED,
// INVALID_REGULAR_EXPRESSION.
func (g *Group) Heartbeat(env Env, h Heartbeat) (Decision, error) {
	if g.Len() >= env.MaxSize && g.members[h.MemberID] == nil {
		return Decision{}, fail(kerr.GroupMaxSizeReached, "The consumer group has reached its maximum capacity of %d members.", env.MaxSize)
	}
	base, err := g.find(&h)
	if err != nil {
		return Decision{}, err
	}
	if g.settled(env, base) && h.saysNothingNew(base) {
		return Decision{Member: base}, nil
	}
	c := g.change(env)
	targets := g.targets
	d := Decision{}
	if base.ID != h.MemberID { // a static member comes back under another id
		d.Replaced = base.ID
		targets = c.replace(base, h.MemberID)
		base = c.members[h.MemberID]
	}
	c.old = base
	next, err := h.update(base)
	if err != nil {
		return Decision{}, err
	}
	namesChanged := !slices.Equal(base.Topics, next.Topics)
	regexChanged := base.Regex != next.Regex
	c.set(&next)
	c.bump = g.epoch == 0 || namesChanged || regexChanged
	c.refreshRegexes()
	epoch := c.updateEpoch()
	target, targetEpoch := targets[next.ID], g.targetEpoch
	if epoch > g.targetEpoch {
		target, targetEpoch = c.updateTarget(epoch, targets)[next.ID], epoch
	}
	if namesChanged || regexChanged || next.State != Stable || next.Epoch != targetEpoch {
		r := reconciliation{
			member: c.updated, targetEpoch: targetEpoch, target: target, subscribed: c.topicIDs(c.updated), changed: namesChanged || regexChanged,
			reported: h.Owned, owner: func(t TopicID, p int32) string { return g.owners[t][p] },
		}
		c.updated = r.next()
		if !c.updated.sameAssignment(&next) {
			c.emitCurrent(c.updated)
			d.Moved = true
		}
	}
	d.Records, d.Member, d.Bumped = c.records, c.updated, c.bump
	full := h.RebalanceTimeoutMs != -1 && (h.Topics != nil || h.Regex != nil) && h.Owned != nil
	if h.Epoch == joinEpoch || full || !base.Assigned.samePartitions(c.updated.Assigned) {
		d.Assignment = c.updated.Assigned.Assignment()
	}
	return d, nil
}

// Seen notes the topics that the group has been compared with. It is called once the records of a decision are replayed.
func (g *Group) Seen(topics Topics) { g.seen = topics.Version() }

// settled tells whether a heartbeat by which nothing is new leads to nothing: the member has its target, the target is that of the group
// epoch, and the topics are those that the group was compared with.
func (g *Group) settled(env Env, m *Member) bool {
	return g.members[m.ID] == m && m.State == Stable && m.Epoch == g.targetEpoch && g.epoch == g.targetEpoch && g.seen == env.Topics.Version()
}

// saysNothingNew is a shortcut for nearly all heartbeats.
func (h *Heartbeat) saysNothingNew(m *Member) bool {
	return h.Epoch != joinEpoch && h.MemberID == m.ID && h.Classic == nil && m.Classic == nil && h.RackID == nil && h.RebalanceTimeoutMs == -1 &&
		h.Topics == nil && h.Regex == nil && h.Assignor == nil && h.ClientID == m.ClientID && h.ClientHost == m.ClientHost
}

// find returns the member that speaks, a new one, or the static member that it takes the place of.
func (g *Group) find(h *Heartbeat) (*Member, error) {
	join := h.Epoch == joinEpoch
	if h.Classic != nil {
		join = h.InstanceID == "" || h.New
	}
	fresh := &Member{ID: h.MemberID, RebalanceTimeoutMs: -1, Assigned: Owned{}, Revoking: Owned{}}
	if h.InstanceID == "" {
		m := g.members[h.MemberID]
		switch {
		case m == nil && !join:
			return nil, g.unknownMember(h.MemberID)
		case m == nil:
			return fresh, nil
		case h.Classic == nil:
			return m, checkEpoch(m, h)
		}
		return m, nil
	}
	m := g.Static(h.InstanceID)
	if !join {
		if err := g.checkInstance(m, h.MemberID, h.InstanceID); err != nil {
			return nil, err
		}
		if h.Classic == nil {
			return m, checkEpoch(m, h)
		}
		return m, nil
	}
	switch {
	case m == nil:
		if other := g.members[h.MemberID]; other != nil {
			return other, nil
		}
		return fresh, nil
	case h.Classic == nil && m.Classic == nil && m.Epoch != staticLeaveEpoch:
		return nil, fail(kerr.UnreleasedInstanceID, "Static member %s with instance id %s cannot join the group because the instance id is owned by %s member.",
			h.MemberID, h.InstanceID, m.ID)
	}
	return m, nil
}

func (g *Group) unknownMember(id string) error {
	return fail(kerr.UnknownMemberID, "Member %s is not a member of group %s.", id, g.id)
}

// checkInstance checks that the static member m is the one with that member id.
func (g *Group) checkInstance(m *Member, memberID, instanceID string) error {
	switch {
	case m == nil:
		return fail(kerr.UnknownMemberID, "Instance id %s is unknown.", instanceID)
	case m.ID != memberID:
		return fail(kerr.FencedInstanceID, "Static member %s with instance id %s was fenced by member %s.", memberID, instanceID, m.ID)
	}
	return nil
}

// checkEpoch fences members that are not where the coordinator thinks they are. The previous epoch is accepted from a member that has nothing
// but what it is assigned: the answer with its new epoch may have been lost.
func checkEpoch(m *Member, h *Heartbeat) error {
	switch {
	case h.Epoch == joinEpoch, h.Epoch == m.Epoch:
		return nil
	case h.Epoch > m.Epoch:
		return fail(kerr.FencedMemberEpoch, "The consumer group member has a greater member epoch (%d) than the one known by the group coordinator (%d). "+
			"The member must abandon all its partitions and rejoin.", h.Epoch, m.Epoch)
	case h.Epoch != m.PreviousEpoch, !reported(h.Owned).within(m.Assigned):
		return fail(kerr.FencedMemberEpoch, "The consumer group member has a smaller member epoch (%d) than the one known by the group coordinator (%d). "+
			"The member must abandon all its partitions and rejoin.", h.Epoch, m.Epoch)
	}
	return nil
}

// replace gives what a static member has to its next life, and returns the targets with the id changed.
func (c *change) replace(old *Member, id string) map[string]assignor.Assignment {
	targets := make(map[string]assignor.Assignment, len(c.g.targets))
	for k, a := range c.g.targets {
		targets[k] = a
	}
	target := targets[old.ID]
	delete(targets, old.ID)
	targets[id] = target
	m := *old
	m.ID, m.Epoch, m.PreviousEpoch = id, 0, 0
	c.remove(old.ID)
	c.emitMember(&m)
	c.emitTarget(id, target)
	c.emitCurrent(&m)
	c.members[id] = &m
	return targets
}

// update lays what the member says over what is known of it.
func (h *Heartbeat) update(m *Member) (Member, error) {
	next := *m
	next.ID = clone(h.MemberID)
	next.ClientID, next.ClientHost, next.Classic = clone(h.ClientID), clone(h.ClientHost), h.Classic
	if h.InstanceID != "" {
		next.InstanceID = clone(h.InstanceID)
	}
	if h.RackID != nil {
		next.RackID = clone(*h.RackID)
	}
	if h.RebalanceTimeoutMs != -1 {
		next.RebalanceTimeoutMs = h.RebalanceTimeoutMs
	}
	if h.Topics != nil {
		next.Topics = sortedSet(h.Topics)
	}
	if h.Assignor != nil {
		next.Assignor = clone(*h.Assignor)
	}
	if h.Regex != nil && *h.Regex != m.Regex {
		next.Regex = clone(*h.Regex)
		if next.Regex != "" {
			if _, err := compileRegex(next.Regex); err != nil {
				return next, err
			}
		}
	}
	return next, nil
}

func clone(s string) string { return string([]byte(s)) }
