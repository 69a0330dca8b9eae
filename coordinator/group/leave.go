package group

import (
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator"
)

// leaveEvent is a LeaveGroup, versions 0-5. v3: several members, each by member id or, for an administrator, by group instance id
// with an empty member id. v5: reason (KIP-800).
//
// Errors, per member from version 3 on: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID.
type leaveEvent struct {
	coordinator.Request
	version int16
	req     *kmsg.LeaveGroupRequest
	resp    *kmsg.LeaveGroupResponse
}

func (e *leaveEvent) Traits() coordinator.Traits { return 0 }

// Fail implements coordinator.Event.
func (e *leaveEvent) Fail(err error) {
	e.resp.ErrorCode = appendCode(err)
	e.Finish()
}

func (e *leaveEvent) handle(m *machine, now time.Time) {
	members := e.req.Members
	if e.version < 3 {
		members = []kmsg.LeaveGroupRequestMember{{MemberID: e.req.MemberID}}
	}
	if g := m.groups[e.req.Group]; g != nil && g.consumer != nil {
		e.leaveConsumer(m, now, g, members)
		return
	}
	for _, l := range members {
		// A member that left before may have taken the group with it.
		c := codeUnknownMemberID
		if g := m.groups[e.req.Group]; g != nil {
			c = m.leave(now, g, l.MemberID, l.InstanceID)
		}
		if e.version < 3 {
			e.resp.ErrorCode = c
			break
		}
		e.resp.Members = append(e.resp.Members, kmsg.LeaveGroupResponseMember{
			MemberID: strings.Clone(l.MemberID), InstanceID: cloneInstance(l.InstanceID), ErrorCode: c,
		})
	}
	e.Finish()
}

func (m *machine) leave(now time.Time, g *group, memberID string, instanceID *string) int16 {
	switch {
	case memberID == "":
		if instanceID == nil || g.static[*instanceID] == "" {
			return codeUnknownMemberID
		}
		memberID = g.static[*instanceID]
	case m.removePending(g, memberID):
		m.pendingGone(now, g)
		return 0
	default:
		if c := g.validate(memberID, instanceID); c != 0 {
			return c
		}
	}
	mb := g.members[memberID]
	m.log.Debug().Str("group", g.id).Str("member", mb.id).Int32("generation", g.generation).Msg("member left group")
	m.removeMember(now, g, mb, "member "+mb.id+" left")
	return 0
}
