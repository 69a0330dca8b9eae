package group

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator"
)

// describeEvent describes one group for DescribeGroups, versions 0-6. v4: group instance ids. v6: an unknown group is an error instead
// of a dead group (KIP-1043).
type describeEvent struct {
	coordinator.Request
	version int16
	group   string
	resp    *kmsg.DescribeGroupsResponseGroup
}

func (e *describeEvent) Traits() coordinator.Traits { return 0 }

// Fail implements coordinator.Event.
func (e *describeEvent) Fail(err error) {
	e.resp.ErrorCode = appendCode(err)
	e.Finish()
}

func (e *describeEvent) handle(m *machine, _ time.Time) {
	defer e.Finish()
	g := m.groups[e.group]
	if g == nil {
		e.resp.State = "Dead"
		if e.version >= 6 {
			message := "Group " + e.group + " not found."
			e.resp.ErrorCode, e.resp.ErrorMessage = codeGroupIDNotFound, &message
		}
		return
	}
	e.resp.State, e.resp.ProtocolType = g.state.String(), g.protocolType
	if g.state == stable {
		e.resp.Protocol = g.protocol
	}
	e.resp.Members = make([]kmsg.DescribeGroupsResponseGroupMember, 0, len(g.order))
	for _, mb := range g.order {
		d := kmsg.DescribeGroupsResponseGroupMember{
			MemberID: mb.id, InstanceID: mb.instanceID, ClientID: mb.clientID, ClientHost: mb.clientHost,
			ProtocolMetadata: []byte{}, MemberAssignment: []byte{},
		}
		if g.state == stable { // before, assignment and metadata may not belong together
			d.ProtocolMetadata, d.MemberAssignment = notNil(mb.metadata(g.protocol)), notNil(mb.assignment)
		}
		e.resp.Members = append(e.resp.Members, d)
	}
}

// listEvent lists the groups of one partition for ListGroups.
type listEvent struct {
	coordinator.Request
	states []string // lower case; empty for all
	groups []kmsg.ListGroupsResponseGroup
	code   int16
}

func (e *listEvent) Traits() coordinator.Traits { return 0 }

// Fail implements coordinator.Event.
func (e *listEvent) Fail(err error) {
	e.code = appendCode(err)
	e.Finish()
}

// groupTypeClassic is what ListGroups version 5 calls the groups of this coordinator.
const groupTypeClassic = "classic"

func (e *listEvent) handle(m *machine, _ time.Time) {
	defer e.Finish()
	for _, id := range slices.Sorted(maps.Keys(m.groups)) {
		g := m.groups[id]
		if len(e.states) > 0 && !slices.Contains(e.states, strings.ToLower(g.state.String())) {
			continue
		}
		e.groups = append(e.groups, kmsg.ListGroupsResponseGroup{
			Group: g.id, ProtocolType: g.protocolType, GroupState: g.state.String(), GroupType: groupTypeClassic,
		})
	}
}
