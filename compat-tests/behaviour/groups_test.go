package behaviour

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// firstCase comes before all others: it makes the broker create the topic of group offsets, and waits for it.
const firstCase = "find coordinator/first"

func coordinatorCases() []scenario {
	find := func(kind int8, key string, keys ...string) *kmsg.FindCoordinatorRequest {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorType, req.CoordinatorKey, req.CoordinatorKeys = kind, key, keys
		return req
	}
	cases := []scenario{{name: firstCase, alone: true, do: func(e *env) {
		e.do("v0", 0, find(0, "g"))
		e.awaitTopic("__consumer_offsets")
		for range 400 { // the coordinators load
			req := kmsg.NewPtrOffsetFetchRequest()
			ready := true
			for _, g := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
				req.Group = g
				req.Topics = []kmsg.OffsetFetchRequestTopic{}
				ready = ready && ask[*kmsg.OffsetFetchResponse](e, 5, req).ErrorCode == 0
			}
			id := kmsg.NewPtrInitProducerIDRequest()
			id.TransactionTimeoutMillis = 60000
			if ask[*kmsg.InitProducerIDResponse](e, 4, id).ErrorCode == 0 && ready { // the first block of ids has come, too
				return
			}
			e.pause()
		}
		e.fail(fmt.Errorf("coordinators do not load"))
	}}}
	for v := range int16(7) {
		cases = append(cases, scenario{name: fmt.Sprintf("find coordinator/v%d", v), do: func(e *env) {
			e.do("group", v, find(0, "g", "g"))
			e.do("empty group", v, find(0, "", ""))
			e.do("share", v, find(2, "g:AAAAAAAAAAAAAAAAAAAAAA:0", "g:AAAAAAAAAAAAAAAAAAAAAA:0"))
			if v > 0 {
				e.do("type 9", v, find(9, "g", "g"))
			}
			if v >= 4 {
				e.do("many", v, find(0, "", "g", "h", "g", ""))
				e.do("none", v, find(0, ""))
			}
		}})
	}
	return cases
}

// member is a group member as the client side sees it.
type member struct {
	e        *env
	group    string
	id       string
	instance *string
	gen      int32
}

func joinRequest(group, member string, version int16, protocols ...string) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.ProtocolType = group, member, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 10000, 8000
	if len(protocols) == 0 {
		protocols = []string{"range"}
	}
	for _, p := range protocols {
		req.Protocols = append(req.Protocols, kmsg.JoinGroupRequestProtocol{Name: p, Metadata: subscription(p)})
	}
	return req
}

// subscription is a consumer's to one topic, version 0, with user data. Kafka does not answer a member whose subscription it
// cannot read.
func subscription(topic string) []byte {
	b := append([]byte{0, 0, 0, 0, 0, 1, 0, byte(len(topic))}, topic...)
	return append(b, 0, 0, 0, 4, 'd', 'a', 't', 'a')
}

// join makes a member of the group at a version, recorded under the label; a required member id is used at once.
func (e *env) join(label string, version int16, req *kmsg.JoinGroupRequest) (*member, *kmsg.JoinGroupResponse) {
	resp, _ := e.do(label, version, req).(*kmsg.JoinGroupResponse)
	if resp != nil && resp.ErrorCode == 79 {
		req.MemberID = resp.MemberID
		resp, _ = e.do(label+", with the id", version, req).(*kmsg.JoinGroupResponse)
	}
	if resp == nil || resp.ErrorCode != 0 {
		e.fail(fmt.Errorf("%s: join failed: %s", label, encode(e.steps[len(e.steps)-1].Answer)))
	}
	return &member{e: e, group: req.Group, id: resp.MemberID, instance: req.InstanceID, gen: resp.Generation}, resp
}

func (m *member) syncRequest(assignments ...*member) *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.Generation, req.InstanceID = m.group, m.id, m.gen, m.instance
	kind, protocol := "consumer", "range"
	req.ProtocolType, req.Protocol = &kind, &protocol
	for _, a := range assignments {
		req.GroupAssignment = append(req.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: a.id, MemberAssignment: []byte("assigned")})
	}
	return req
}

func (m *member) heartbeat() *kmsg.HeartbeatRequest {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation, req.InstanceID = m.group, m.id, m.gen, m.instance
	return req
}

// leaveRequest works at every version.
func leaveRequest(group string, members ...kmsg.LeaveGroupRequestMember) *kmsg.LeaveGroupRequest {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.Members = group, members
	if len(members) > 0 {
		req.MemberID = members[0].MemberID
	}
	return req
}

func describeGroup(groups ...string) *kmsg.DescribeGroupsRequest {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = groups
	return req
}

// groupCases are one member's life at each version, and requests that are refused.
func groupCases() []scenario {
	var cases []scenario
	for v := range int16(10) {
		cases = append(cases, scenario{name: fmt.Sprintf("groups/life, v%d", v), do: func(e *env) {
			g := e.slug("")
			old := min(v, 5) // of SyncGroup, LeaveGroup
			m, _ := e.join("join", v, joinRequest(g, "", v, "range", "other"))
			e.do("described before sync", min(v, 5), describeGroup(g))
			e.do("heartbeat before sync", min(v, 4), m.heartbeat())
			e.do("commit before sync", min(v, 9), commitRequest(m, "", 0))
			e.do("sync", old, m.syncRequest(m))
			e.do("sync again", old, m.syncRequest())
			e.do("heartbeat", min(v, 4), m.heartbeat())
			e.do("described", min(v, 5), describeGroup(g))
			stale := *m
			stale.gen++
			e.do("heartbeat of the next generation", min(v, 4), stale.heartbeat())
			e.do("sync of the next generation", old, stale.syncRequest())
			stale = *m
			stale.id = "nobody"
			e.do("heartbeat of nobody", min(v, 4), stale.heartbeat())
			e.do("sync of nobody", old, stale.syncRequest())
			again, _ := e.join("leader joins again", v, joinRequest(g, m.id, v, "range", "other"))
			e.do("sync in the new generation", old, again.syncRequest(again))
			e.do("leave of nobody", old, leaveRequest(g, kmsg.LeaveGroupRequestMember{MemberID: "nobody"}))
			e.do("leave", old, leaveRequest(g, kmsg.LeaveGroupRequestMember{MemberID: again.id}))
			e.do("leave again", old, leaveRequest(g, kmsg.LeaveGroupRequestMember{MemberID: again.id}))
			e.do("described when empty", min(v, 5), describeGroup(g))
			e.do("heartbeat when empty", min(v, 4), m.heartbeat())
			e.do("sync when empty", old, m.syncRequest())
		}}, scenario{name: fmt.Sprintf("groups/refused, v%d", v), do: func(e *env) {
			g := e.slug("")
			refuse := func(label string, change func(req *kmsg.JoinGroupRequest)) {
				req := joinRequest(g, "", v)
				change(req)
				e.do(label, v, req)
			}
			refuse("empty group", func(r *kmsg.JoinGroupRequest) { r.Group = "" })
			refuse("short session", func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 5999 })
			refuse("long session", func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1800001 })
			refuse("unknown member", func(r *kmsg.JoinGroupRequest) { r.MemberID = "nobody" })
			refuse("no protocol type", func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "" })
			refuse("no protocols", func(r *kmsg.JoinGroupRequest) { r.Protocols = nil })
			nobody := &member{group: g, id: "nobody", gen: 1}
			e.do("heartbeat in no group", min(v, 4), nobody.heartbeat())
			e.do("sync in no group", min(v, 5), nobody.syncRequest())
			e.do("leave no group", min(v, 5), leaveRequest(g, kmsg.LeaveGroupRequestMember{MemberID: "nobody"}))
			e.do("leave without members", min(v, 5), leaveRequest(g))
			e.do("describe no group", min(v, 5), describeGroup(g))
			none := &member{id: "nobody", gen: 1}
			e.do("heartbeat, empty group", min(v, 4), none.heartbeat())
			e.do("sync, empty group", min(v, 5), none.syncRequest())
			e.do("leave, empty group", min(v, 5), leaveRequest("", kmsg.LeaveGroupRequestMember{MemberID: "nobody"}))
			m, _ := e.join("member", v, joinRequest(g, "", v))
			refuse("other protocol type", func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" })
			refuse("no common protocol", func(r *kmsg.JoinGroupRequest) { r.Protocols[0].Name = "x" })
			refuse("unknown member of the group", func(r *kmsg.JoinGroupRequest) { r.MemberID = "nobody" })
			e.do("still there", min(v, 5), m.syncRequest(m))
		}})
	}
	return cases
}

// memberCases are groups of two: rebalances, and who is told what.
func memberCases() []scenario {
	var cases []scenario
	for _, v := range []int16{0, 2, 4, 5, 7, 9} {
		cases = append(cases, scenario{name: fmt.Sprintf("group of two/v%d", v), do: func(e *env) {
			g := e.slug("")
			old := min(v, 5)
			leader, _ := e.join("first", v, joinRequest(g, "", v, "range", "other"))
			e.do("first syncs", old, leader.syncRequest(leader))
			second := joinRequest(g, "", v, "other", "range")
			if v >= 4 {
				resp, ok := e.do("second asks for an id", v, second).(*kmsg.JoinGroupResponse)
				if !ok || resp.ErrorCode != 79 {
					e.fail(errSilent)
				}
				second.MemberID = resp.MemberID
			}
			wait := e.later("second", v, second)
			e.awaitHeartbeat(leader, 27)
			e.do("heartbeat during the rebalance", min(v, 4), leader.heartbeat())
			e.do("sync during the rebalance", old, leader.syncRequest())
			e.do("described during the rebalance", min(v, 5), describeGroup(g))
			e.do("commit during the rebalance", min(v, 9), commitRequest(leader, "", 1))
			first, _ := e.join("first joins again", v, joinRequest(g, leader.id, v, "range", "other"))
			resp, ok := wait().(*kmsg.JoinGroupResponse)
			if !ok || resp.ErrorCode != 0 {
				e.fail(errSilent)
			}
			other := &member{e: e, group: g, id: resp.MemberID, gen: resp.Generation}
			waitSync := e.later("second syncs", old, other.syncRequest())
			e.do("second heartbeats before the assignment", min(v, 4), other.heartbeat())
			e.do("first assigns to the second only", old, first.syncRequest(other))
			waitSync()
			again, _ := e.join("second joins again, nothing changed", v, joinRequest(g, other.id, v, "other", "range"))
			_ = again
			if v >= 3 {
				e.do("both leave", old, leaveRequest(g, kmsg.LeaveGroupRequestMember{MemberID: first.id}, kmsg.LeaveGroupRequestMember{MemberID: other.id}))
			} else {
				e.do("first leaves", old, leaveRequest(g, kmsg.LeaveGroupRequestMember{MemberID: first.id}))
				e.do("second leaves", old, leaveRequest(g, kmsg.LeaveGroupRequestMember{MemberID: other.id}))
			}
			e.do("described", min(v, 5), describeGroup(g))
		}})
	}
	cases = append(cases, scenario{name: "group of two/second does not come back", do: func(e *env) {
		g := e.slug("")
		short := func(id string) *kmsg.JoinGroupRequest {
			r := joinRequest(g, id, 5)
			r.RebalanceTimeoutMillis, r.SessionTimeoutMillis = 300, 30000
			return r
		}
		first, _ := e.join("first", 3, short(""))
		e.do("first syncs", 3, first.syncRequest(first))
		wait := e.later("second", 3, short(""))
		resp, ok := wait().(*kmsg.JoinGroupResponse) // after the rebalance timeout of the first
		if !ok {
			e.fail(errSilent)
		}
		e.do("first was removed", 3, first.heartbeat())
		second := &member{e: e, group: g, id: resp.MemberID, gen: resp.Generation}
		e.do("second syncs", 3, second.syncRequest(second))
	}}, scenario{name: "group of two/leader does not sync", do: func(e *env) {
		g := e.slug("")
		req := joinRequest(g, "", 3)
		req.RebalanceTimeoutMillis, req.SessionTimeoutMillis = 300, 30000
		m, _ := e.join("join", 3, req)
		time.Sleep(time.Second) // beyond the rebalance timeout
		e.do("heartbeat", 3, m.heartbeat())
		e.do("sync", 3, m.syncRequest(m))
	}}, scenario{name: "group of two/session ends", do: func(e *env) {
		g := e.slug("")
		req := joinRequest(g, "", 3)
		req.SessionTimeoutMillis = 6000
		m, _ := e.join("join", 3, req)
		e.do("sync", 3, m.syncRequest(m))
		time.Sleep(7 * time.Second)
		e.do("heartbeat", 3, m.heartbeat())
		e.do("described", 5, describeGroup(g))
	}})
	return cases
}

// awaitHeartbeat asks until a member's heartbeat is answered with the code.
func (e *env) awaitHeartbeat(m *member, code int16) {
	for range 400 {
		if ask[*kmsg.HeartbeatResponse](e, 3, m.heartbeat()).ErrorCode == code {
			return
		}
		e.pause()
	}
	e.fail(fmt.Errorf("heartbeat of %s is not answered with %d", m.id, code))
}

// staticCases are members with an instance id (KIP-345).
func staticCases() []scenario {
	var cases []scenario
	for _, v := range []int16{5, 6, 8, 9} {
		cases = append(cases, scenario{name: fmt.Sprintf("static members/v%d", v), do: func(e *env) {
			g := e.slug("")
			id := "instance-1"
			static := func(member string) *kmsg.JoinGroupRequest {
				r := joinRequest(g, member, v)
				r.InstanceID = &id
				return r
			}
			m, _ := e.join("join", v, static(""))
			e.do("sync", 5, m.syncRequest(m))
			e.do("described", 5, describeGroup(g))
			next, _ := e.join("join without the id", v, static(""))
			e.do("sync of the new id", 5, next.syncRequest())
			e.do("heartbeat of the old id", 4, m.heartbeat())
			e.do("sync of the old id", 5, m.syncRequest())
			e.do("commit of the old id", 9, commitRequest(m, "", 0))
			e.do("join of the old id", v, static(m.id))
			bare := *m
			bare.instance = nil
			e.do("heartbeat of the old id without instance", 4, bare.heartbeat())
			unknown := *m
			other := "instance-9"
			unknown.instance = &other
			e.do("heartbeat of an unknown instance", 4, unknown.heartbeat())
			e.do("heartbeat of the new id", 4, next.heartbeat())
			changed := static("")
			changed.Protocols[0].Metadata = subscription("changed")
			after, _ := e.join("join with other metadata", v, changed)
			e.do("sync after the change", 5, after.syncRequest(after))
			e.do("leave with the old id", 5, leaveRequest(g, kmsg.LeaveGroupRequestMember{MemberID: m.id, InstanceID: &id}))
			e.do("leave of an unknown instance", 5, leaveRequest(g, kmsg.LeaveGroupRequestMember{InstanceID: &other}))
			e.do("leave by instance", 5, leaveRequest(g, kmsg.LeaveGroupRequestMember{InstanceID: &id}))
			e.do("heartbeat after that", 4, after.heartbeat())
		}})
	}
	return cases
}
