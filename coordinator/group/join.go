package group

import (
	"crypto/rand"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator"
)

const (
	// maxPendingMembers bounds the member ids of one group that are handed out and not used yet.
	maxPendingMembers = 10_000
	// maxClientID is the longest client or instance id that a member id can be made of.
	maxClientID = math.MaxInt16 - 37
)

// joinEvent is a JoinGroup, versions 0-9. v1: rebalance timeout. v4: member id required (KIP-394). v5: group instance id (KIP-345).
// v7: protocol type in the answer. v8: reason (KIP-800). v9: skip assignment (KIP-814).
//
// Errors: UNKNOWN_MEMBER_ID, MEMBER_ID_REQUIRED, FENCED_INSTANCE_ID, INCONSISTENT_GROUP_PROTOCOL, INVALID_SESSION_TIMEOUT,
// GROUP_MAX_SIZE_REACHED, INVALID_GROUP_ID, and those of every group API: NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS,
// COORDINATOR_NOT_AVAILABLE.
type joinEvent struct {
	coordinator.Request
	client  Client
	version int16
	req     *kmsg.JoinGroupRequest // not to be read once handled
	resp    *kmsg.JoinGroupResponse
}

func (e *joinEvent) Traits() coordinator.Traits { return 0 }

// Fail implements coordinator.Event.
func (e *joinEvent) Fail(err error) { e.fail(appendCode(err), "") }

// fail answers with an error. In the answers that carry no member id Kafka sends "".
func (e *joinEvent) fail(code int16, memberID string) {
	e.resp.ErrorCode = code
	e.resp.Generation = -1
	e.resp.MemberID = strings.Clone(memberID)
	e.resp.Protocol = optional("", e.version >= 7)
	e.Finish()
}

// joinAnswer is what differs between successful answers.
type joinAnswer struct {
	leader         string
	members        bool // list the members
	skipAssignment bool
}

func (e *joinEvent) succeed(g *group, mb *member, a joinAnswer) {
	e.fill(g, mb, a)
	e.Finish()
}

func (e *joinEvent) fill(g *group, mb *member, a joinAnswer) {
	e.resp.Generation = g.generation
	e.resp.ProtocolType = optional(g.protocolType, true)
	e.resp.Protocol = optional(g.protocol, e.version >= 7)
	e.resp.LeaderID = a.leader
	e.resp.SkipAssignment = a.skipAssignment
	e.resp.MemberID = mb.id
	if !a.members {
		return
	}
	e.resp.Members = make([]kmsg.JoinGroupResponseMember, 0, len(g.order))
	for _, o := range g.order {
		e.resp.Members = append(e.resp.Members, kmsg.JoinGroupResponseMember{
			MemberID: o.id, InstanceID: o.instanceID, ProtocolMetadata: notNil(o.metadata(g.protocol)),
		})
	}
}

// optional is a nullable string: "" is null where the version knows null.
func optional(s string, nullable bool) *string {
	if s == "" && nullable {
		return nil
	}
	return &s
}

func (e *joinEvent) sessionTimeout() time.Duration { return millis(e.req.SessionTimeoutMillis) }

// rebalanceTimeout is the session timeout in version 0, which has none.
func (e *joinEvent) rebalanceTimeout() time.Duration {
	if e.version == 0 {
		return e.sessionTimeout()
	}
	return millis(max(e.req.RebalanceTimeoutMillis, 0))
}

// protocols copies the request's protocols.
func (e *joinEvent) protocols() []protocol {
	ps := make([]protocol, len(e.req.Protocols))
	for i, p := range e.req.Protocols {
		ps[i] = protocol{name: strings.Clone(p.Name), metadata: append([]byte{}, p.Metadata...)}
	}
	return ps
}

// aliased are the protocols without a copy, for comparing.
func (e *joinEvent) aliased() []protocol {
	ps := make([]protocol, len(e.req.Protocols))
	for i, p := range e.req.Protocols {
		ps[i] = protocol{name: p.Name, metadata: p.Metadata}
	}
	return ps
}

func (e *joinEvent) handle(m *machine, now time.Time) {
	req := e.req
	if t := e.sessionTimeout(); t < m.cfg.SessionTimeoutMin || t > m.cfg.SessionTimeoutMax {
		e.fail(codeInvalidSessionTimeout, req.MemberID)
		return
	}
	if !e.storable() {
		e.fail(codeInvalidRequest, "")
		return
	}
	g := m.groups[req.Group]
	if g != nil && g.consumer != nil {
		switch {
		case !g.vacant():
			e.joinConsumer(m, now, g)
			return
		case req.MemberID != "":
			e.fail(codeUnknownMemberID, req.MemberID)
			return
		case req.ProtocolType == "" || len(req.Protocols) == 0:
			e.fail(codeInconsistentProtocol, "")
			return
		}
		m.leaveConsumerProtocol(now, g)
	}
	if g == nil {
		if req.MemberID != "" {
			e.fail(codeUnknownMemberID, req.MemberID)
			return
		}
		if req.ProtocolType == "" || len(req.Protocols) == 0 { // do not keep a group that nobody can join
			e.fail(codeInconsistentProtocol, "")
			return
		}
		g = m.group(strings.Clone(req.Group), now.UnixMilli())
	}
	switch {
	case !m.accepts(g, req.MemberID):
		if mb := g.members[req.MemberID]; mb != nil {
			m.takeOut(g, mb)
		}
		m.removePending(g, req.MemberID)
		e.fail(codeGroupMaxSize, "")
	case req.MemberID == "":
		e.joinNew(m, now, g)
	default:
		e.joinCurrent(m, now, g)
	}
	m.tryCompleteJoin(now, g)
}

// storable tells whether a record can hold the request's strings.
func (e *joinEvent) storable() bool {
	ok := len(e.req.ProtocolType) <= maxString && len(e.req.MemberID) <= maxString && len(e.client.ID) <= maxString && len(e.client.Host) <= maxString &&
		(e.req.InstanceID == nil || len(*e.req.InstanceID) <= maxClientID)
	for i := range e.req.Protocols {
		ok = ok && len(e.req.Protocols[i].Name) <= maxString
	}
	return ok
}

// accepts applies group.max.size. While members are joining those count that have joined, so that of a group that is too large the
// last ones to rejoin are turned away.
func (m *machine) accepts(g *group, memberID string) bool {
	mb := g.members[memberID]
	switch g.state {
	case empty:
		return true
	case preparingRebalance:
		return mb != nil && mb.joinWait != nil || g.awaitingJoin < m.cfg.MaxSize
	default:
		return mb != nil || len(g.members) < m.cfg.MaxSize
	}
}

// joinNew is a join without a member id.
func (e *joinEvent) joinNew(m *machine, now time.Time, g *group) {
	req := e.req
	if !g.supports(req.ProtocolType, e.aliased()) {
		e.fail(codeInconsistentProtocol, "")
		return
	}
	prefix := e.client.ID
	if req.InstanceID != nil {
		prefix = *req.InstanceID
	}
	if len(prefix) > maxClientID { // the client id; an instance id was looked at before
		prefix = prefix[:maxClientID]
	}
	id := prefix + "-" + newUUID()
	switch {
	case req.InstanceID != nil && g.static[*req.InstanceID] != "":
		e.replaceStatic(m, now, g, g.members[g.static[*req.InstanceID]], id)
	case req.InstanceID == nil && e.version >= 4:
		if len(g.pending) >= maxPendingMembers {
			e.fail(codeGroupMaxSize, "")
			return
		}
		m.addPending(now, g, id, e.sessionTimeout())
		e.fail(codeMemberIDRequired, id)
	default:
		e.addMember(m, now, g, id)
	}
}

// addMember makes the client a new member and parks the request.
func (e *joinEvent) addMember(m *machine, now time.Time, g *group, id string) {
	if g.state == preparingRebalance && g.generation == 0 {
		g.newMemberAdded = true
	}
	m.removePending(g, id)
	mb := m.newMember(g, &member{
		id: strings.Clone(id), instanceID: cloneInstance(e.req.InstanceID), clientID: strings.Clone(e.client.ID), clientHost: strings.Clone(e.client.Host),
		rebalanceTimeout: e.rebalanceTimeout(), sessionTimeout: e.sessionTimeout(), protocols: e.protocols(), isNew: true,
	})
	g.add(mb, strings.Clone(e.req.ProtocolType))
	m.park(g, mb, e)
	m.timers.Set(&mb.session, now.Add(newMemberJoinTimeout))
	if g.state != preparingRebalance {
		m.prepareRebalance(now, g, "a member joined")
	}
}

// joinCurrent is a join with a member id: a pending one, or a member that rejoins.
func (e *joinEvent) joinCurrent(m *machine, now time.Time, g *group) {
	req := e.req
	ps := e.aliased()
	if !g.supports(req.ProtocolType, ps) {
		e.fail(codeInconsistentProtocol, req.MemberID)
		return
	}
	if g.pending[req.MemberID] != nil {
		if req.InstanceID != nil { // a static member is never pending
			e.fail(codeUnknownMemberID, req.MemberID)
			return
		}
		e.addMember(m, now, g, req.MemberID)
		return
	}
	if c := g.validate(req.MemberID, req.InstanceID); c != 0 {
		e.fail(c, req.MemberID)
		return
	}
	mb := g.members[req.MemberID]
	switch {
	case g.state == preparingRebalance:
		g.updateMember(mb, e)
		m.park(g, mb, e)
	case g.state == completingRebalance && mb.matches(ps):
		// The answer to its first JoinGroup got lost.
		e.succeed(g, mb, joinAnswer{leader: g.leader, members: g.isLeader(mb.id)})
	case g.state == stable && mb.matches(ps) && !g.isLeader(mb.id):
		e.succeed(g, mb, joinAnswer{leader: g.leader})
	case g.state == empty:
		e.fail(codeUnknownMemberID, req.MemberID)
	default:
		// Its metadata changed, or the leader wants a new assignment.
		g.updateMember(mb, e)
		m.parkAndRebalance(now, g, mb, e, "a member rejoined with a change")
	}
}

// parkAndRebalance begins a rebalance with the member as the first to have joined.
func (m *machine) parkAndRebalance(now time.Time, g *group, mb *member, e *joinEvent, reason string) {
	m.park(g, mb, e)
	m.prepareRebalance(now, g, reason)
}

// validate checks the member: UNKNOWN_MEMBER_ID, or FENCED_INSTANCE_ID if another client has taken over the instance id.
func (g *group) validate(memberID string, instanceID *string) int16 {
	if instanceID != nil {
		switch current, ok := g.static[*instanceID]; {
		case !ok:
			return codeUnknownMemberID
		case current != memberID:
			return codeFencedInstance
		}
	}
	if g.members[memberID] == nil {
		return codeUnknownMemberID
	}
	return 0
}

// replaceStatic gives a static member that has restarted a new member id; whoever used the old one is fenced. In a stable group whose
// protocol stays the same nobody else notices: the group's record is written with the new id, and the member is told the
// current generation.
func (e *joinEvent) replaceStatic(m *machine, now time.Time, g *group, mb *member, id string) {
	oldID, oldLeader, before := mb.id, g.leader, *mb
	m.answerJoin(g, mb, func(e *joinEvent) { e.fail(codeFencedInstance, oldID) })
	m.answerSync(mb, func(e *syncEvent) { e.fail(codeFencedInstance) })
	g.rename(mb, id)
	m.touch(now, mb)
	g.updateMember(mb, e)
	m.log.Debug().Str("group", g.id).Str("instance", *mb.instanceID).Str("member", id).Str("old_member", oldID).Msg("static member rejoined")
	switch g.state {
	case preparingRebalance:
		m.park(g, mb, e)
		return
	case completingRebalance:
		// The leader may have been told the old id.
		m.parkAndRebalance(now, g, mb, e, "a static member rejoined")
		return
	}
	if g.selectProtocol() != g.protocol {
		m.parkAndRebalance(now, g, mb, e, "a static member rejoined with other protocols")
		return
	}
	// Below version 9 a leader is told its old id, so that it does not assign: nobody would get that assignment. From
	// version 9 on it learns that it leads and is to skip the assignment, so that it goes on watching its topics (KIP-814).
	answer := joinAnswer{leader: oldLeader}
	if e.version >= 9 {
		lead := g.isLeader(id)
		answer = joinAnswer{leader: g.leader, members: lead, skipAssignment: lead}
	}
	e.fill(g, mb, answer)
	applied := false
	m.emit(appendGroupKey(nil, g.id), g.appendGroupValue(nil, func(mb *member) []byte { return mb.assignment }))
	m.out.Applied = func(time.Time) { applied = true }
	m.out.Done = func(now time.Time, err error) {
		if err == nil {
			e.Finish()
			return
		}
		if !applied && m.groups[g.id] == g && g.members[id] == mb { // nothing was written: the old member is back
			g.rename(mb, oldID)
			g.support(mb.protocols, -1)
			mb.protocols, mb.rebalanceTimeout, mb.sessionTimeout = before.protocols, before.rebalanceTimeout, before.sessionTimeout
			g.support(mb.protocols, 1)
			m.touch(now, mb)
		}
		*e.resp = kmsg.JoinGroupResponse{Version: e.resp.Version}
		e.fail(storeCode(err), "")
	}
}

// newUUID returns a random UUID (version 4).
func newUUID() string {
	var u [16]byte
	rand.Read(u[:])
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
