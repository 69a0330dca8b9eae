package behaviour

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// commitRequest commits an offset for partition 0 of a topic; without a topic, for one that does not exist.
func commitRequest(m *member, topic string, offset int64) *kmsg.OffsetCommitRequest {
	if topic == "" {
		topic = m.group + "-none"
	}
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation, req.MemberID, req.InstanceID = m.group, m.gen, m.id, m.instance
	meta := "meta"
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset, p.Metadata, p.LeaderEpoch = offset, &meta, 0
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic, rt.Partitions = topic, []kmsg.OffsetCommitRequestTopicPartition{p}
	req.Topics = []kmsg.OffsetCommitRequestTopic{rt}
	return req
}

// fetchOffsets asks for partitions at any version; no partitions mean all topics.
func (e *env) fetchOffsets(label string, version int16, group, topic string, partitions ...int32) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	if len(partitions) > 0 {
		req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: topic, Partitions: partitions}}
		rt := kmsg.NewOffsetFetchRequestGroupTopic()
		rt.Topic, rt.Partitions = topic, partitions
		g.Topics = []kmsg.OffsetFetchRequestGroupTopic{rt}
	}
	req.Groups = []kmsg.OffsetFetchRequestGroup{g}
	resp, err := e.exchange(e.conn(), version, req, answerLimit)
	if err == nil {
		sortOffsets(resp.(*kmsg.OffsetFetchResponse))
	} else {
		e.main = nil
	}
	e.recordAnswer(label, resp, err)
}

func sortOffsets(r *kmsg.OffsetFetchResponse) {
	for _, t := range r.Topics {
		slices.SortFunc(t.Partitions, func(x, y kmsg.OffsetFetchResponseTopicPartition) int { return cmp.Compare(x.Partition, y.Partition) })
	}
	slices.SortFunc(r.Topics, func(x, y kmsg.OffsetFetchResponseTopic) int { return cmp.Compare(x.Topic, y.Topic) })
	for _, g := range r.Groups {
		for _, t := range g.Topics {
			slices.SortFunc(t.Partitions, func(x, y kmsg.OffsetFetchResponseGroupTopicPartition) int {
				return cmp.Compare(x.Partition, y.Partition)
			})
		}
		slices.SortFunc(g.Topics, func(x, y kmsg.OffsetFetchResponseGroupTopic) int { return cmp.Compare(x.Topic, y.Topic) })
	}
}

func commitCases() []scenario {
	var cases []scenario
	for v := range int16(10) {
		cases = append(cases, scenario{name: fmt.Sprintf("offsets/simple consumer, v%d", v), do: func(e *env) {
			topic := e.topic("", 3)
			m := &member{group: e.slug(""), gen: -1}
			e.fetchOffsets("fetch from no group", v, m.group, topic, 0)
			e.do("commit", v, commitRequest(m, topic, 5))
			e.fetchOffsets("fetch", v, m.group, topic, 0, 1, 7)
			e.fetchOffsets("fetch of an unknown topic", v, m.group, e.slug("-none"), 0)
			e.fetchOffsets("fetch all", v, m.group, "")
			e.do("commit to an unknown topic", v, commitRequest(m, e.slug("-none"), 5))
			req := commitRequest(m, topic, 6)
			req.Topics[0].Partitions[0].Partition = 9
			e.do("commit to an unknown partition", v, req)
			req = commitRequest(m, topic, 7)
			long := strings.Repeat("m", 4097)
			req.Topics[0].Partitions[0].Metadata = &long
			e.do("commit with long metadata", v, req)
			req = commitRequest(m, topic, 8)
			req.Topics[0].Partitions[0].Metadata = nil
			e.do("commit without metadata", v, req)
			req = commitRequest(m, topic, -1)
			req.Topics[0].Partitions[0].LeaderEpoch = -1
			e.do("commit -1", v, req)
			e.fetchOffsets("fetch after that", v, m.group, topic, 0)
			req = commitRequest(m, topic, 9)
			p := req.Topics[0].Partitions[0]
			p.Partition, p.Metadata = 2, &long
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, p)
			p.Partition = 11
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, p)
			e.do("one good, two bad", v, req)
			e.fetchOffsets("fetch the good one", v, m.group, topic, 0, 2)
			e.do("empty group", v, commitRequest(&member{gen: -1}, topic, 5))
			e.fetchOffsets("fetch of the empty group", v, "", topic, 0)
			e.do("generation without a group", v, commitRequest(&member{group: e.slug("-nobody"), gen: 1, id: "x"}, topic, 5))
			e.do("member without a generation", v, commitRequest(&member{group: e.slug("-nobody"), gen: -1, id: "x"}, topic, 5))
			none := commitRequest(m, topic, 5)
			none.Topics = nil
			e.do("no topics", v, none)
			e.do("described", 5, describeGroup(m.group))
		}})
	}
	for _, v := range []int16{1, 2, 5, 7, 9} {
		cases = append(cases, scenario{name: fmt.Sprintf("offsets/of members, v%d", v), do: func(e *env) {
			topic := e.topic("", 1)
			m, _ := e.join("join", 5, joinRequest(e.slug(""), "", 5))
			e.do("before sync", v, commitRequest(m, topic, 1))
			e.do("sync", 5, m.syncRequest(m))
			e.do("commit", v, commitRequest(m, topic, 2))
			wrong := *m
			wrong.gen = 7
			e.do("wrong generation", v, commitRequest(&wrong, topic, 3))
			wrong = *m
			wrong.id = "nobody"
			e.do("unknown member", v, commitRequest(&wrong, topic, 3))
			e.do("simple consumer", v, commitRequest(&member{group: m.group, gen: -1}, topic, 3))
			wrong = *m
			wrong.gen = -1
			e.do("member without a generation", v, commitRequest(&wrong, topic, 3))
			instance := "unknown"
			wrong = *m
			wrong.instance = &instance
			e.do("unknown instance", v, commitRequest(&wrong, topic, 3))
			e.fetchOffsets("fetch", v, m.group, topic, 0)
			e.do("leave", 5, leaveRequest(m.group, kmsg.LeaveGroupRequestMember{MemberID: m.id}))
			e.do("commit after the leave", v, commitRequest(m, topic, 4))
			e.do("simple commit after the leave", v, commitRequest(&member{group: m.group, gen: -1}, topic, 5))
			e.fetchOffsets("fetch after that", v, m.group, topic, 0)
		}})
	}
	for _, v := range []int16{8, 9} {
		cases = append(cases, scenario{name: fmt.Sprintf("offsets/many groups, v%d", v), do: func(e *env) {
			topic := e.topic("", 1)
			m := &member{group: e.slug(""), gen: -1}
			e.do("commit", 8, commitRequest(m, topic, 5))
			req := kmsg.NewPtrOffsetFetchRequest()
			for _, name := range []string{m.group, e.slug("-nobody"), "", m.group} {
				g := kmsg.NewOffsetFetchRequestGroup()
				g.Group = name
				rt := kmsg.NewOffsetFetchRequestGroupTopic()
				rt.Topic, rt.Partitions = topic, []int32{0}
				g.Topics = []kmsg.OffsetFetchRequestGroupTopic{rt}
				req.Groups = append(req.Groups, g)
			}
			req.RequireStable = true
			e.do("fetch", v, req)
			e.doBriefly("no groups", v, kmsg.NewPtrOffsetFetchRequest())
			stranger := "stranger"
			one := kmsg.NewPtrOffsetFetchRequest()
			one.Groups = req.Groups[:1]
			one.Groups[0].MemberID, one.Groups[0].MemberEpoch = &stranger, 5
			e.do("with a member and epoch", v, one)
		}})
	}
	cases = append(cases, scenario{name: "offsets/deleted with the topic", do: func(e *env) {
		topic, other := e.topic("", 1), e.topic("-other", 1)
		m := &member{group: e.slug(""), gen: -1}
		e.do("commit", 8, commitRequest(m, topic, 5))
		e.do("commit to another", 8, commitRequest(m, other, 6))
		del := kmsg.NewPtrDeleteTopicsRequest()
		del.TopicNames, del.TimeoutMillis = []string{topic}, 10000
		ask[*kmsg.DeleteTopicsResponse](e, 3, del)
		for range 200 {
			req := kmsg.NewPtrOffsetFetchRequest()
			req.Group = m.group
			if len(ask[*kmsg.OffsetFetchResponse](e, 5, req).Topics) == 1 {
				break
			}
			e.pause()
		}
		e.fetchOffsets("fetch all", 5, m.group, "")
	}})
	return cases
}

// groupAdminCases are ListGroups, DeleteGroups, OffsetDelete and DescribeGroups' flags.
func groupAdminCases() []scenario {
	var cases []scenario
	for v := range int16(6) {
		cases = append(cases, scenario{name: fmt.Sprintf("list groups/v%d", v), do: func(e *env) {
			m, _ := e.join("join", 3, joinRequest(e.slug("-stable"), "", 3))
			e.do("sync", 3, m.syncRequest(m))
			empty, _ := e.join("join", 3, joinRequest(e.slug("-empty"), "", 3))
			e.do("leave", 2, leaveRequest(empty.group, kmsg.LeaveGroupRequestMember{MemberID: empty.id}))
			topic := e.topic("", 1)
			e.do("commit", 8, commitRequest(&member{group: e.slug("-simple"), gen: -1}, topic, 5))
			e.join("join, no sync", 3, joinRequest(e.slug("-waiting"), "", 3))
			list := func(label string, states, types []string) {
				req := kmsg.NewPtrListGroupsRequest()
				req.StatesFilter, req.TypesFilter = states, types
				resp, err := e.exchange(e.conn(), v, req, answerLimit)
				if err == nil {
					r := resp.(*kmsg.ListGroupsResponse)
					r.Groups = slices.DeleteFunc(r.Groups, func(g kmsg.ListGroupsResponseGroup) bool { return !strings.HasPrefix(g.Group, e.slug("-")) })
					slices.SortFunc(r.Groups, func(x, y kmsg.ListGroupsResponseGroup) int { return cmp.Compare(x.Group, y.Group) })
				}
				e.recordAnswer(label, resp, err)
			}
			list("all", nil, nil)
			for _, s := range []string{"Stable", "stable", "Empty", "CompletingRebalance", "Dead", "unknown"} {
				list("state "+s, []string{s}, nil)
			}
			list("two states", []string{"Stable", "Empty"}, nil)
			for _, s := range []string{"classic", "Classic", "consumer", "unknown"} {
				list("type "+s, nil, []string{s})
			}
			list("state and type", []string{"Empty"}, []string{"classic"})
		}})
	}
	for v := range int16(3) {
		cases = append(cases, scenario{name: fmt.Sprintf("delete groups/v%d", v), do: func(e *env) {
			m, _ := e.join("join", 3, joinRequest(e.slug(""), "", 3))
			remove := func(label string, groups ...string) {
				req := kmsg.NewPtrDeleteGroupsRequest()
				req.Groups = groups
				resp, err := e.exchange(e.conn(), v, req, answerLimit)
				if err == nil {
					r := resp.(*kmsg.DeleteGroupsResponse)
					slices.SortStableFunc(r.Groups, func(x, y kmsg.DeleteGroupsResponseGroup) int { return cmp.Compare(x.Group, y.Group) })
				}
				e.recordAnswer(label, resp, err)
			}
			remove("not empty", m.group)
			remove("unknown", e.slug("-none"))
			remove("none")
			e.do("leave", 2, leaveRequest(m.group, kmsg.LeaveGroupRequestMember{MemberID: m.id}))
			remove("empty, and an unknown one", m.group, e.slug("-none"))
			remove("again", m.group)
			topic := e.topic("", 1)
			simple := &member{group: e.slug("-simple"), gen: -1}
			e.do("commit", 8, commitRequest(simple, topic, 5))
			remove("with offsets", simple.group)
			e.fetchOffsets("fetch", 5, simple.group, topic, 0)
			e.do("commit again", 8, commitRequest(simple, topic, 5))
			remove("twice in a request", simple.group, simple.group)
		}})
	}
	for v := range int16(6) {
		cases = append(cases, scenario{name: fmt.Sprintf("describe groups/v%d", v), do: func(e *env) {
			m, _ := e.join("join", 3, joinRequest(e.slug(""), "", 3))
			req := describeGroup(m.group, e.slug("-none"), m.group)
			req.IncludeAuthorizedOperations = true
			e.do("operations", v, req)
			e.do("none", v, describeGroup())
		}})
	}
	cases = append(cases, scenario{name: "offset delete/v0", do: func(e *env) {
		topic, other := e.topic("", 2), e.topic("-other", 1)
		remove := func(label, group string, topic string, partitions ...int32) {
			req := kmsg.NewPtrOffsetDeleteRequest()
			req.Group = group
			rt := kmsg.OffsetDeleteRequestTopic{Topic: topic}
			for _, p := range partitions {
				rt.Partitions = append(rt.Partitions, kmsg.OffsetDeleteRequestTopicPartition{Partition: p})
			}
			req.Topics = []kmsg.OffsetDeleteRequestTopic{rt}
			e.do(label, 0, req)
		}
		simple := &member{group: e.slug("-simple"), gen: -1}
		remove("no group", simple.group, topic, 0)
		remove("empty group", "", topic, 0)
		e.do("commit", 8, commitRequest(simple, topic, 5))
		remove("one, and an unknown partition", simple.group, topic, 0, 9)
		remove("unknown topic", simple.group, e.slug("-none"), 0)
		e.fetchOffsets("fetch", 5, simple.group, topic, 0)
		remove("without an offset", simple.group, topic, 1)
		req := joinRequest(e.slug(""), "", 3)
		req.Protocols[0].Metadata = subscription(topic)
		m, _ := e.join("join", 3, req)
		e.do("sync", 3, m.syncRequest(m))
		e.do("commit of the member", 8, commitRequest(m, topic, 5))
		e.do("commit of the member to another topic", 8, commitRequest(m, other, 5))
		remove("subscribed topic", m.group, topic, 0)
		remove("another topic", m.group, other, 0)
		connect := joinRequest(e.slug("-connect"), "", 3)
		connect.ProtocolType = "connect"
		c, _ := e.join("join of another type", 3, connect)
		remove("group of another type", c.group, topic, 0)
	}})
	return cases
}
