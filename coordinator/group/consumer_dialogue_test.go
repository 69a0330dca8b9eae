package group

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator/group/consumer"
)

// talk is a dialogue under the consumer protocol, whose answers name topics by id.
type talk struct {
	script
	ids map[consumer.TopicID]string
}

// partitions prints what is owned or assigned in an order of its own.
func (k *talk) partitions(id [16]byte, ps []int32) string {
	ps = slices.Clone(ps)
	slices.Sort(ps)
	return fmt.Sprint(k.ids[id], ps)
}

// beat is a heartbeat. What it does not name is null or -1: a field that has not changed.
type beat struct {
	group, id string
	epoch     int32
	instance  string
	rebalance int32    // 0 for -1
	topics    []string // subscription
	regex     string
	assignor  string
	owned     map[string][]int32 // nil for null
	rack      string
}

func (k *talk) beat(name string, b beat) *kmsg.ConsumerGroupHeartbeatResponse {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.MemberEpoch = 1, b.group, b.id, b.epoch
	opt := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	req.InstanceID, req.ServerAssignor, req.SubscribedTopicRegex, req.RackID = opt(b.instance), opt(b.assignor), opt(b.regex), opt(b.rack)
	if b.rebalance != 0 {
		req.RebalanceTimeoutMillis = b.rebalance
	}
	req.SubscribedTopicNames = b.topics
	if b.owned != nil {
		req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		for id, name := range k.ids {
			if ps, ok := b.owned[name]; ok {
				req.Topics = append(req.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: id, Partitions: ps})
			}
		}
	}
	resp := k.s.do("c", req).(*kmsg.ConsumerGroupHeartbeatResponse)
	d := fmt.Sprintf("err=%d %s me=%s epoch=%d every=%d", resp.ErrorCode, p(resp.ErrorMessage), p(resp.MemberID), resp.MemberEpoch, resp.HeartbeatIntervalMillis)
	if resp.Assignment != nil {
		var all []string
		for _, t := range resp.Assignment.Topics {
			all = append(all, k.partitions(t.TopicID, t.Partitions))
		}
		slices.Sort(all)
		d += fmt.Sprint(" has ", all)
	}
	k.lines = append(k.lines, name+": "+k.norm(d))
	return resp
}

func (k *talk) describe(name, group string) {
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Version, req.Groups = 1, []string{group}
	for _, g := range k.s.do("c", req).(*kmsg.ConsumerGroupDescribeResponse).Groups {
		d := fmt.Sprintf("err=%d %s %s epoch=%d assigned=%d by %q", g.ErrorCode, p(g.ErrorMessage), g.State, g.Epoch, g.AssignmentEpoch, g.AssignorName)
		slices.SortFunc(g.Members, func(a, b kmsg.ConsumerGroupDescribeResponseGroupMember) int {
			return strings.Compare(a.MemberID, b.MemberID)
		})
		for _, m := range g.Members {
			slices.Sort(m.SubscribedTopics) // Kafka's are in the order of a hash set
			d += fmt.Sprintf(" [%s %s %s epoch=%d %v regex=%s type=%d",
				m.MemberID, p(m.InstanceID), p(m.RackID), m.MemberEpoch, m.SubscribedTopics, p(m.SubscribedTopicRegex), m.MemberType)
			for _, a := range [][]kmsg.AssignmentTopicPartition{m.Assignment.TopicPartitions, m.TargetAssignment.TopicPartitions} {
				d += " /"
				for _, t := range a {
					d += " " + k.partitions(t.TopicID, t.Partitions)
				}
			}
			d += "]"
		}
		k.lines = append(k.lines, name+": "+k.norm(d))
	}
}

func (k *talk) commit(name, group, member string, epoch int32, off int64) {
	k.run("commit "+name, "c", 9, commitReq(group, member, epoch, "t", off, 0, 3))
}

func (k *talk) fetch(name, group string, member *string, epoch int32) {
	req := &kmsg.OffsetFetchRequest{Groups: []kmsg.OffsetFetchRequestGroup{{
		Group: group, MemberID: member, MemberEpoch: epoch, Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", Partitions: []int32{0, 3}}}}}}
	k.run("fetch "+name, "c", 9, req)
}

// converse touches what requests right and wrong lead to.
func (k *talk) converse() {
	join := func(id string) beat {
		return beat{group: "g", id: id, rebalance: 20_000, topics: []string{"t"}, owned: map[string][]int32{}}
	}
	with := func(b beat, edit func(*beat)) beat { edit(&b); return b }
	// What is refused.
	k.beat("no group", with(join("a"), func(b *beat) { b.group = "" }))
	k.beat("no member id", join(""))
	k.beat("no rebalance timeout", with(join("a"), func(b *beat) { b.rebalance = 0 }))
	k.beat("no subscription", with(join("a"), func(b *beat) { b.topics = nil }))
	k.beat("owned partitions not said", with(join("a"), func(b *beat) { b.owned = nil }))
	k.beat("joins with partitions", with(join("a"), func(b *beat) { b.owned = map[string][]int32{"t": {1}} }))
	k.beat("unknown assignor", with(join("a"), func(b *beat) { b.assignor = "sticky" }))
	k.beat("bad regex", with(join("a"), func(b *beat) { b.topics, b.regex = nil, "[" }))
	k.beat("epoch of an unknown member", with(join("a"), func(b *beat) { b.epoch = 3 }))
	k.beat("static leave without an instance", with(join("a"), func(b *beat) { b.epoch = -2 }))
	k.beat("epoch -3", with(join("a"), func(b *beat) { b.epoch = -3 }))
	k.beat("leaves an unknown group", beat{group: "none", id: "a", epoch: -1})
	k.describe("unknown group", "none")
	k.describe("no group id", "")
	k.commit("with an epoch to an unknown group", "none", "a", 1, 5)
	k.fetch("with an epoch from an unknown group", "none", new("a"), 1)
	k.fetch("from an unknown group", "none", nil, -1)
	// One member.
	a := k.beat("a joins", join("a"))
	k.describe("one member", "g")
	k.beat("nothing new", beat{group: "g", id: "a", epoch: a.MemberEpoch})
	k.beat("says what it has", beat{group: "g", id: "a", epoch: a.MemberEpoch, owned: map[string][]int32{"t": {0, 1, 2, 3, 4, 5}}})
	k.beat("an epoch of the future", beat{group: "g", id: "a", epoch: a.MemberEpoch + 1})
	k.beat("an epoch of the past", beat{
		group: "g", id: "a", epoch: a.MemberEpoch - 1, rebalance: 20_000, topics: []string{"t"}, owned: map[string][]int32{"t": {0}}})
	a = k.beat("a joins again", join("a"))
	k.beat("unknown topics", beat{group: "g", id: "a", epoch: a.MemberEpoch, topics: []string{"t", "nope"}})
	a = k.beat("nothing", beat{group: "g", id: "a", epoch: a.MemberEpoch, owned: map[string][]int32{"t": {0, 1, 2, 3, 4, 5}}})
	k.commit("of a", "g", "a", a.MemberEpoch, 5)
	k.commit("of the future", "g", "a", a.MemberEpoch+1, 6)
	k.commit("of the past", "g", "a", a.MemberEpoch-1, 7)
	k.commit("without an epoch", "g", "a", -1, 8)
	k.commit("of a stranger", "g", "x", a.MemberEpoch, 8)
	k.commit("of nobody", "g", "", -1, 8)
	k.run("commit v8", "c", 8, commitReq("g", "a", a.MemberEpoch, "t", 9, 0))
	k.fetch("by a", "g", new("a"), a.MemberEpoch)
	k.fetch("in a stale epoch", "g", new("a"), a.MemberEpoch-1)
	k.fetch("by a stranger", "g", new("x"), a.MemberEpoch)
	k.fetch("by nobody", "g", nil, -1)
	// Another one takes half.
	b := k.beat("b joins", join("b"))
	k.describe("b waits", "g")
	a = k.beat("a is told to give up", beat{group: "g", id: "a", epoch: a.MemberEpoch, owned: map[string][]int32{"t": {0, 1, 2, 3, 4, 5}}})
	k.describe("a revokes", "g")
	k.commit("of what is revoked", "g", "a", a.MemberEpoch, 9)
	b = k.beat("b still waits", beat{group: "g", id: "b", epoch: b.MemberEpoch, owned: map[string][]int32{}})
	has := func(resp *kmsg.ConsumerGroupHeartbeatResponse) map[string][]int32 {
		all := map[string][]int32{}
		if resp.Assignment != nil {
			for _, t := range resp.Assignment.Topics {
				all[k.ids[t.TopicID]] = t.Partitions
			}
		}
		return all
	}
	owns := has(a)
	old := a.MemberEpoch
	a = k.beat("a has given up", beat{group: "g", id: "a", epoch: a.MemberEpoch, owned: owns})
	b = k.beat("b gets them", beat{group: "g", id: "b", epoch: b.MemberEpoch, owned: map[string][]int32{}})
	k.describe("shared", "g")
	k.commit("of an old epoch: the one it kept, the one it lost", "g", "a", old, 11)
	k.run("list", "c", 5, &kmsg.ListGroupsRequest{})
	k.run("list consumers that are stable", "c", 5, &kmsg.ListGroupsRequest{TypesFilter: []string{"Consumer"}, StatesFilter: []string{"stable"}})
	k.run("classic describe", "c", 6, &kmsg.DescribeGroupsRequest{Groups: []string{"g"}})
	k.run("classic heartbeat", "c", 4, &kmsg.HeartbeatRequest{Group: "g", MemberID: "a", Generation: a.MemberEpoch})
	k.run("classic leave", "c", 5, &kmsg.LeaveGroupRequest{Group: "g", Members: []kmsg.LeaveGroupRequestMember{{MemberID: "who"}}})
	k.run("delete", "c", 2, &kmsg.DeleteGroupsRequest{Groups: []string{"g"}})
	k.run("delete offsets", "c", 0, &kmsg.OffsetDeleteRequest{
		Group: "g", Topics: []kmsg.OffsetDeleteRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}}}})
	k.beat("b changes the assignor", beat{group: "g", id: "b", epoch: b.MemberEpoch, assignor: "range", owned: has(b)})
	k.beat("b leaves", beat{group: "g", id: "b", epoch: -1})
	k.beat("b leaves again", beat{group: "g", id: "b", epoch: -1})
	k.beat("a gets all", beat{group: "g", id: "a", epoch: a.MemberEpoch, owned: owns})
	k.beat("a leaves", beat{group: "g", id: "a", epoch: -1})
	k.describe("empty", "g")
	k.commit("to the empty group", "g", "", -1, 12)
	k.commit("of a former member", "g", "a", 3, 13)
	k.run("delete the empty group", "c", 2, &kmsg.DeleteGroupsRequest{Groups: []string{"g"}})
	// Static members.
	static := func(id string) beat {
		return with(join(id), func(b *beat) { b.group, b.instance = "s", "i"; b.rack = "r" })
	}
	a = k.beat("i joins as a", static("a"))
	k.beat("i joins as b while a is there", static("b"))
	k.beat("a's epoch with another instance", beat{group: "s", id: "a", epoch: a.MemberEpoch, instance: "j"})
	k.beat("a says nothing of its instance", beat{group: "s", id: "a", epoch: a.MemberEpoch})
	k.beat("a goes for a while", beat{group: "s", id: "a", epoch: -2, instance: "i"})
	k.describe("i is away", "s")
	k.beat("i comes back as b", static("b"))
	k.beat("a is fenced", beat{group: "s", id: "a", epoch: a.MemberEpoch, instance: "i"})
	k.describe("i is back", "s")
	k.beat("i leaves for good", beat{group: "s", id: "b", epoch: -1, instance: "i"})
	k.describe("nobody", "s")
	// A classic member in a group of the consumer protocol, and the other way round.
	k.run("a classic member joins a consumer group that is empty", "a", 3, joinReq("s", ""))
	k.describe("it is classic now", "s")
}

const talkFile = "testdata/dialogue-kafka-4.3.1.txt"

// recordTalk asks a Kafka broker and writes its answers to talkFile. The broker is fresh, alone, and has offsets.topic.num.partitions=1 and
// group.initial.rebalance.delay.ms=0.
func recordTalk(t *testing.T, addr string) {
	side := &kafkaSide{addr: addr, conns: map[string]net.Conn{}}
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Version = 7
	for n, count := range map[string]int32{"t": 6, "u": 2} {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = n, count, 1
		create.Topics = append(create.Topics, topic)
	}
	k := &talk{script: script{s: side}, ids: map[consumer.TopicID]string{}}
	for _, topic := range side.do("x", create).(*kmsg.CreateTopicsResponse).Topics {
		k.ids[topic.TopicID] = topic.Topic
	}
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.Version, find.CoordinatorKey = 2, "g"
	for side.do("x", find).(*kmsg.FindCoordinatorResponse).ErrorCode != 0 {
		time.Sleep(500 * time.Millisecond)
	}
	time.Sleep(3 * time.Second) // until the partition is loaded
	k.converse()
	for _, c := range side.conns {
		_ = c.Close()
	}
	if err := os.WriteFile(talkFile, []byte(strings.Join(k.lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestConsumerDialogueIsKafkas compares the answers to consumer groups of both protocols with those of Kafka 4.3.1. With
// GROUP_RECORD_FROM_4=host:port they are recorded anew.
func TestConsumerDialogueIsKafkas(t *testing.T) {
	if addr := os.Getenv("GROUP_RECORD_FROM_4"); addr != "" {
		recordTalk(t, addr)
	}
	want, err := os.ReadFile(talkFile)
	if err != nil {
		t.Fatal(err)
	}
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		k := &talk{script: script{s: &ourSide{r.c}}, ids: map[consumer.TopicID]string{}}
		for _, topic := range testTopics().topics {
			k.ids[topic.ID] = topic.Name
		}
		k.converse()
		if d := cmp.Diff(strings.Split(strings.TrimSpace(string(want)), "\n"), k.lines); d != "" {
			t.Errorf("-Kafka +ours\n%s", d)
		}
		synctest.Wait()
	})
}
