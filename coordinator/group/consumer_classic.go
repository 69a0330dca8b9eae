package group

import (
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator/group/consumer"
)

// This file is the classic protocol as spoken by members of a consumer group: the member epoch is their generation, nobody leads, and the
// assignment is the broker's (GroupMetadataManager.classicGroupJoinToConsumerGroup and its neighbours).

// joinConsumer is a JoinGroup to a consumer group that has members.
func (e *joinEvent) joinConsumer(m *machine, now time.Time, g *group) {
	req, cg := e.req, g.consumer
	topics := m.deps.Topics()
	if topics == nil {
		e.Fail(kerr.CoordinatorLoadInProgress)
		return
	}
	names := make([]string, len(req.Protocols))
	for i := range req.Protocols {
		names[i] = req.Protocols[i].Name
	}
	id := req.MemberID
	switch {
	case cg.Len() >= m.cfg.Consumer.MaxSize && cg.Member(id) == nil:
		e.fail(codeGroupMaxSize, "")
		return
	case req.ProtocolType != consumerProtocol || len(names) == 0 || !cg.SupportsClassic(names):
		e.fail(codeInconsistentProtocol, id)
		return
	case id == "" && req.InstanceID == nil && e.version >= 4:
		e.fail(codeMemberIDRequired, e.newID())
		return
	}
	sub, err := consumer.ParseSubscription(req.Protocols[0].Metadata, topics)
	if err != nil {
		e.fail(codeInconsistentProtocol, id)
		return
	}
	isNew := id == ""
	if isNew {
		id = e.newID()
	}
	noRegex := ""
	h := consumer.Heartbeat{
		MemberID: id, Epoch: -1, RackID: sub.Rack, ClientID: e.client.ID, ClientHost: e.client.Host, New: isNew,
		RebalanceTimeoutMs: int32(e.rebalanceTimeout().Milliseconds()), Topics: sub.Topics, Regex: &noRegex, Owned: sub.Owned,
		Classic: &consumer.Classic{SessionTimeoutMs: req.SessionTimeoutMillis},
	}
	if req.InstanceID != nil {
		h.InstanceID = *req.InstanceID
	}
	for _, p := range e.protocols() {
		h.Classic.Protocols = append(h.Classic.Protocols, consumer.Protocol{Name: p.name, Metadata: p.metadata})
	}
	env := m.env(now)
	replaced := cg.Static(h.InstanceID)
	d, err := cg.Heartbeat(env, h)
	if err != nil {
		e.fail(code(err), id)
		return
	}
	e.resp.MemberID, e.resp.Generation = d.Member.ID, d.Member.Epoch
	e.resp.ProtocolType, e.resp.Protocol = optional(consumerProtocol, true), &d.Member.Classic.Protocols[0].Name
	m.emitAll(d.Records)
	m.out.Applied = func(now time.Time) {
		cg.Seen(env.Topics)
		t := m.timersOf(g, d.Member.ID)
		m.timers.Stop(&t.join)
		m.timers.Stop(&t.rebalance)
		m.touchConsumer(now, g, d.Member)
		m.timers.Set(&t.sync, now.Add(millis(max(d.Member.RebalanceTimeoutMs, 0))))
		if replaced != nil && replaced.Classic == nil {
			m.maybeDowngrade(g)
		}
	}
	m.out.Done = func(_ time.Time, err error) {
		if err != nil {
			*e.resp = kmsg.JoinGroupResponse{Version: e.resp.Version}
			e.fail(storeCode(err), "")
			return
		}
		e.Finish()
	}
}

// newID makes up a member id.
func (e *joinEvent) newID() string {
	prefix := e.client.ID
	if e.req.InstanceID != nil {
		prefix = *e.req.InstanceID
	}
	if len(prefix) > maxClientID { // the client id; an instance id was looked at before
		prefix = prefix[:maxClientID]
	}
	return prefix + "-" + newUUID()
}

// classicMember returns the classic member of a consumer group that a request is from.
func (g *group) classicMember(memberID string, instanceID *string) (*consumer.Member, int16) {
	if instanceID != nil {
		switch mb := g.consumer.Static(*instanceID); {
		case mb == nil:
			return nil, codeUnknownMemberID
		case mb.ID != memberID:
			return nil, codeFencedInstance
		}
	}
	mb := g.consumer.Member(memberID)
	if mb == nil || mb.Classic == nil {
		return nil, codeUnknownMemberID
	}
	return mb, 0
}

// awaitRejoin gives a classic member that was told to rejoin its rebalance timeout to do so.
func (m *machine) awaitRejoin(now time.Time, g *group, mb *consumer.Member) {
	if t := m.timersOf(g, mb.ID); !t.join.Active() {
		m.timers.Set(&t.join, now.Add(millis(max(mb.RebalanceTimeoutMs, 0))))
	}
}

// syncConsumer tells a classic member what it has in its epoch.
func (e *syncEvent) syncConsumer(m *machine, now time.Time, g *group) {
	topics := m.deps.Topics()
	if topics == nil {
		e.Fail(kerr.CoordinatorLoadInProgress)
		return
	}
	mb, c := g.classicMember(e.req.MemberID, e.req.InstanceID)
	if c != 0 {
		e.fail(c)
		return
	}
	name := mb.Classic.Protocols[0].Name
	switch {
	case e.req.Generation != mb.Epoch:
		e.fail(codeIllegalGeneration)
		return
	case e.req.ProtocolType != nil && *e.req.ProtocolType != consumerProtocol, e.req.Protocol != nil && *e.req.Protocol != name:
		e.fail(codeInconsistentProtocol)
		return
	case g.consumer.Epoch() > mb.Epoch && mb.State != consumer.UnrevokedPartitions:
		m.awaitRejoin(now, g, mb)
		e.fail(codeRebalanceInProgress)
		return
	}
	m.timers.Stop(&m.timersOf(g, mb.ID).sync)
	m.touchConsumer(now, g, mb)
	assignment := consumer.EncodeAssignment(mb, topics)
	m.out.Done = func(_ time.Time, err error) {
		if err != nil {
			e.fail(storeCode(err))
			return
		}
		e.succeed(consumerProtocol, name, assignment)
	}
}

// beatConsumer tells a classic member to rejoin if the group has moved on, if it is to give up partitions, or if some that it waits for are
// free.
func (e *heartbeatEvent) beatConsumer(m *machine, now time.Time, g *group) int16 {
	mb, c := g.classicMember(e.req.MemberID, e.req.InstanceID)
	if c != 0 {
		return c
	}
	if e.req.Generation != mb.Epoch {
		return codeIllegalGeneration
	}
	m.touchConsumer(now, g, mb)
	if mb.Epoch < g.consumer.Epoch() || mb.State == consumer.UnrevokedPartitions ||
		mb.State == consumer.UnreleasedPartitions && !g.consumer.WaitsForOthers(mb) {
		m.awaitRejoin(now, g, mb)
		return codeRebalanceInProgress
	}
	return 0
}

// leaveConsumer takes classic members out of a consumer group, and whatever static members an administrator names by their instance ids.
func (e *leaveEvent) leaveConsumer(m *machine, now time.Time, g *group, leaving []kmsg.LeaveGroupRequestMember) {
	var gone []*consumer.Member
	for _, l := range leaving {
		var mb *consumer.Member
		c := codeUnknownMemberID
		if l.MemberID == "" && l.InstanceID != nil {
			if mb = g.consumer.Static(*l.InstanceID); mb != nil {
				c = 0
			}
		} else if l.MemberID != "" {
			mb, c = g.classicMember(l.MemberID, l.InstanceID)
		}
		if c == 0 && !containsMember(gone, mb) {
			gone = append(gone, mb)
		}
		if e.version < 3 {
			e.resp.ErrorCode = c
			break
		}
		e.resp.Members = append(e.resp.Members, kmsg.LeaveGroupResponseMember{
			MemberID: strings.Clone(l.MemberID), InstanceID: cloneInstance(l.InstanceID), ErrorCode: c,
		})
	}
	if len(gone) == 0 {
		e.Finish()
		return
	}
	m.fence(now, g, gone)
	m.out.Done = func(_ time.Time, err error) {
		if err != nil {
			e.resp.Members = nil
			e.Fail(err)
			return
		}
		e.Finish()
	}
}

func containsMember(list []*consumer.Member, mb *consumer.Member) bool {
	for _, l := range list {
		if l == mb {
			return true
		}
	}
	return false
}
