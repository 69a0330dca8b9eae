package group

import (
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator"
)

// syncEvent is a SyncGroup, versions 0-5. v3: group instance id. v5: protocol type and name (KIP-559), both needed.
//
// Errors: UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS (also while loading: old clients do not know
// COORDINATOR_LOAD_IN_PROGRESS here), FENCED_INSTANCE_ID, INCONSISTENT_GROUP_PROTOCOL.
type syncEvent struct {
	coordinator.Request
	version int16
	req     *kmsg.SyncGroupRequest // not to be read once handled
	resp    *kmsg.SyncGroupResponse
}

func (e *syncEvent) Traits() coordinator.Traits { return 0 }

// Fail implements coordinator.Event.
func (e *syncEvent) Fail(err error) {
	c := storeCode(err)
	if c == codeLoadInProgress {
		c = codeRebalanceInProgress
	}
	e.fail(c)
}

func (e *syncEvent) fail(code int16) {
	e.resp.ErrorCode = code
	e.resp.ProtocolType, e.resp.Protocol = nil, nil
	e.resp.MemberAssignment = []byte{}
	e.Finish()
}

func (e *syncEvent) succeed(protocolType, protocol string, assignment []byte) {
	e.resp.ProtocolType, e.resp.Protocol = optional(protocolType, true), optional(protocol, true)
	e.resp.MemberAssignment = notNil(assignment)
	e.Finish()
}

func (e *syncEvent) handle(m *machine, now time.Time) {
	req := e.req
	g := m.groups[req.Group]
	if g == nil {
		e.fail(codeUnknownMemberID)
		return
	}
	if g.consumer != nil {
		e.syncConsumer(m, now, g)
		return
	}
	if c := e.validate(g); c != 0 {
		e.fail(c)
		return
	}
	mb := g.members[req.MemberID]
	switch g.state {
	case empty:
		e.fail(codeUnknownMemberID)
	case preparingRebalance:
		e.fail(codeRebalanceInProgress)
	case completingRebalance:
		m.answerSync(mb, func(old *syncEvent) { old.fail(codeRebalanceInProgress) }) // its client has given up on that one
		mb.syncWait = e
		m.synced(g, mb)
		if g.isLeader(mb.id) {
			e.assign(m, g)
		}
	case stable:
		m.synced(g, mb)
		m.touch(now, mb)
		protocolType, name, assignment := g.protocolType, g.protocol, mb.assignment
		m.out.Done = func(_ time.Time, err error) { // the assignment may not be committed yet
			if err != nil {
				e.fail(storeCode(err))
				return
			}
			e.succeed(protocolType, name, assignment)
		}
	}
}

func (e *syncEvent) validate(g *group) int16 {
	req := e.req
	if c := g.validate(req.MemberID, req.InstanceID); c != 0 {
		return c
	}
	switch {
	case req.Generation != g.generation:
		return codeIllegalGeneration
	case req.ProtocolType != nil && *req.ProtocolType != g.protocolType, req.Protocol != nil && *req.Protocol != g.protocol:
		return codeInconsistentProtocol
	}
	return 0
}

// assign takes the leader's assignment: members that it left out get an empty one. The group is stable once the record is written;
// the members are answered once it is committed. If that fails they start over.
func (e *syncEvent) assign(m *machine, g *group) {
	assignments := make(map[string][]byte, len(e.req.GroupAssignment))
	for _, a := range e.req.GroupAssignment {
		if g.members[a.MemberID] != nil {
			assignments[strings.Clone(a.MemberID)] = append([]byte{}, a.MemberAssignment...)
		}
	}
	generation := g.generation
	m.emit(appendGroupKey(nil, g.id), g.appendGroupValue(nil, func(mb *member) []byte { return assignments[mb.id] }))
	m.out.Applied = func(now time.Time) {
		for _, mb := range g.order {
			mb.assignment = notNil(assignments[mb.id])
		}
		m.enter(now, g, stable)
		m.stats.completedRebalances.Add(1)
	}
	m.out.Done = func(now time.Time, err error) { m.assigned(now, g, generation, err) }
}

// assigned answers the members that wait for the assignment of a generation.
func (m *machine) assigned(now time.Time, g *group, generation int32, err error) {
	if m.groups[g.id] != g || g.generation != generation || g.state != completingRebalance && g.state != stable {
		return // another rebalance has answered them
	}
	if err != nil {
		m.resetAssignment(now, g, storeCode(err))
		m.prepareRebalance(now, g, "the assignment could not be stored: "+err.Error())
		return
	}
	for _, mb := range g.order {
		if m.answerSync(mb, func(e *syncEvent) { e.succeed(g.protocolType, g.protocol, mb.assignment) }) {
			m.touch(now, mb)
		}
	}
}
