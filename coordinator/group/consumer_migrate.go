package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/coordinator"
	"ottla/coordinator/group/consumer"
)

// This file changes the protocol of groups. A group without members goes either way without a question; one with members if
// group.consumer.migration.policy allows it.

// toConsumer makes a consumer group of a classic one, to which a member of the new protocol is about to be added. Nothing has changed until the
// records are written.
//
// Error: GROUP_ID_NOT_FOUND if the group is not to be converted.
func (m *machine) toConsumer(now time.Time, g *group) (*consumer.Group, []coordinator.KeyValue, error) {
	var tombstone []coordinator.KeyValue
	if g.generation > 0 {
		tombstone = append(tombstone, coordinator.KeyValue{Key: appendGroupKey(nil, g.id)})
	}
	if g.state == empty {
		return consumer.New(g.id), tombstone, nil
	}
	reason := ""
	switch {
	case !m.cfg.Consumer.Migration.Upgrade:
		reason = "online upgrade is disabled"
	case g.protocolType != consumerProtocol:
		reason = "the group does not use the consumer embedded protocol"
	case len(g.members) > m.cfg.Consumer.MaxSize:
		reason = "the group size exceeds the consumer group maximum size"
	}
	if reason != "" {
		return nil, nil, refuse(kerr.GroupIDNotFound, "Cannot upgrade classic group %s to consumer group because %s.", g.id, reason)
	}
	members := make([]consumer.ClassicMember, 0, len(g.order))
	for _, mb := range g.order {
		cm := consumer.ClassicMember{
			ID: mb.id, ClientID: mb.clientID, ClientHost: mb.clientHost, RebalanceTimeoutMs: int32(mb.rebalanceTimeout.Milliseconds()),
			Classic:  consumer.Classic{SessionTimeoutMs: int32(mb.sessionTimeout.Milliseconds())},
			Metadata: mb.metadata(g.protocol), Assignment: mb.assignment,
		}
		if mb.instanceID != nil {
			cm.InstanceID = *mb.instanceID
		}
		for _, p := range mb.protocols {
			cm.Classic.Protocols = append(cm.Classic.Protocols, consumer.Protocol{Name: p.name, Metadata: p.metadata})
		}
		if g.protocol == "" { // the first generation is still joining
			cm.Metadata = mb.protocols[0].metadata
		}
		members = append(members, cm)
	}
	cg, records, err := consumer.FromClassic(g.id, g.generation, members, m.env(now))
	if err != nil {
		m.log.Warn().Err(err).Str("group", g.id).Msg("classic group cannot become a consumer group")
		return nil, nil, refuse(kerr.GroupIDNotFound,
			"Cannot upgrade classic group %s to consumer group because the embedded consumer protocol is malformed.", g.id)
	}
	return cg, append(tombstone, records...), nil
}

// leaveClassicProtocol ends what is left of the classic group once its records are those of a consumer group: its members rejoin.
func (m *machine) leaveClassicProtocol(now time.Time, g *group) {
	if g.state == empty && len(g.pending) == 0 && g.generation == 0 {
		return
	}
	m.timers.Stop(&g.join)
	m.timers.Stop(&g.sync)
	for _, mb := range g.order {
		m.answerJoin(g, mb, func(e *joinEvent) { e.fail(codeRebalanceInProgress, mb.id) })
		m.answerSync(mb, func(e *syncEvent) { e.fail(codeRebalanceInProgress) })
		m.timers.Stop(&mb.session)
	}
	for id := range g.pending {
		m.removePending(g, id)
	}
	clear(g.pendingSync)
	g.initial, g.newMemberAdded = false, false
	m.unloadMembers(g)
	for _, mb := range g.consumer.Members() {
		m.touchConsumer(now, g, mb)
	}
	m.log.Info().Str("group", g.id).Int("members", g.consumer.Len()).Msg("classic group became a consumer group")
}

// leaveConsumerProtocol makes a consumer group without members a classic one, for a member that joins it.
func (m *machine) leaveConsumerProtocol(now time.Time, g *group) {
	m.emitAll(g.consumer.Tombstones())
	m.dropConsumer(g)
	g.stateMs = now.UnixMilli()
	m.out.Done = func(_ time.Time, err error) {
		if err != nil { // the record of the classic group will come after those of the consumer group, and counts
			m.log.Warn().Err(err).Str("group", g.id).Msg("could not remove the records of a consumer group")
		}
	}
}

// maybeDowngrade makes a classic group of one whose last member of the new protocol has gone.
func (m *machine) maybeDowngrade(g *group) {
	if m.downgradable(g) {
		m.jobs = append(m.jobs, func(now time.Time) {
			if m.groups[g.id] == g && m.downgradable(g) {
				m.toClassic(now, g)
			}
		})
	}
}

func (m *machine) downgradable(g *group) bool {
	return m.cfg.Consumer.Migration.Downgrade && g.consumer != nil && g.consumer.AllClassic() && g.consumer.Len() <= m.cfg.MaxSize
}

// toClassic writes the group as a classic one in which everybody has what it had, and begins a rebalance.
func (m *machine) toClassic(now time.Time, g *group) {
	topics := m.deps.Topics()
	if topics == nil { // it can stay as it is: a consumer group serves classic members
		return
	}
	c := &group{id: g.id, state: stable, stateMs: now.UnixMilli(), generation: g.consumer.TargetEpoch()} // where the members are
	for _, mb := range g.consumer.Members() {
		cm := &member{
			id: mb.ID, clientID: mb.ClientID, clientHost: mb.ClientHost, rebalanceTimeout: millis(mb.RebalanceTimeoutMs),
			sessionTimeout: millis(mb.Classic.SessionTimeoutMs), assignment: consumer.EncodeAssignment(mb, topics),
		}
		if mb.InstanceID != "" {
			cm.instanceID = &mb.InstanceID
		}
		for _, p := range mb.Classic.Protocols {
			cm.protocols = append(cm.protocols, protocol{name: p.Name, metadata: p.Metadata})
		}
		c.add(m.newMember(g, cm), consumerProtocol)
	}
	c.protocol = c.selectProtocol()
	m.emitAll(g.consumer.Tombstones())
	m.emit(appendGroupKey(nil, g.id), c.appendGroupValue(nil, func(mb *member) []byte { return mb.assignment }))
	m.converting = g.id
	m.out.Applied = func(now time.Time) {
		m.converting = ""
		g.generation, g.protocolType, g.protocol, g.leader = c.generation, c.protocolType, c.protocol, c.leader
		g.members, g.order, g.static, g.supported = c.members, c.order, c.static, c.supported
		m.enter(now, g, stable)
		g.computeTopics()
		for _, mb := range g.order {
			m.touch(now, mb)
		}
		m.log.Info().Str("group", g.id).Int("members", len(g.members)).Msg("consumer group became a classic group")
		m.prepareRebalance(now, g, "the last member of the new protocol has gone")
	}
	m.out.Done = func(_ time.Time, err error) {
		m.converting = ""
		if err != nil {
			m.log.Warn().Err(err).Str("group", g.id).Msg("could not make a classic group of a consumer group")
		}
	}
}
