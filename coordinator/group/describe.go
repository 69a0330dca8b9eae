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
	if g == nil || g.consumer != nil { // a consumer group is no classic one
		e.resp.State = "Dead"
		if e.version >= 6 {
			message := "Group " + e.group + " not found."
			if g != nil {
				message = "Group " + e.group + " is not a classic group."
			}
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
	types  []string // lower case; empty for all
	groups []kmsg.ListGroupsResponseGroup
	code   int16
}

func (e *listEvent) Traits() coordinator.Traits { return 0 }

// Fail implements coordinator.Event.
func (e *listEvent) Fail(err error) {
	e.code = appendCode(err)
	e.Finish()
}

// What ListGroups version 5 calls the types of groups.
const (
	groupTypeClassic  = "classic"
	groupTypeConsumer = "consumer"
)

// kind gives the group's type, state and protocol type for lists.
func (g *group) kind() (kind, state, protocolType string) {
	if g.consumer != nil {
		return groupTypeConsumer, g.consumer.State(), consumerProtocol
	}
	return groupTypeClassic, g.state.String(), g.protocolType
}

func (e *listEvent) handle(m *machine, _ time.Time) {
	defer e.Finish()
	for _, id := range slices.Sorted(maps.Keys(m.groups)) {
		g := m.groups[id]
		kind, state, protocolType := g.kind()
		if len(e.states) > 0 && !slices.Contains(e.states, strings.ToLower(state)) || len(e.types) > 0 && !slices.Contains(e.types, kind) {
			continue
		}
		e.groups = append(e.groups, kmsg.ListGroupsResponseGroup{
			Group: g.id, ProtocolType: protocolType, GroupState: state, GroupType: kind,
		})
	}
}
