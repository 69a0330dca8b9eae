package group

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator/group/consumer"
	"ottla/wire/batch"
)

// fixedTopics are topics "t" with 6 partitions and "u" with 2.
type fixedTopics struct {
	version uint64
	topics  map[string]consumer.Topic
}

func testTopics() *fixedTopics {
	return &fixedTopics{1, map[string]consumer.Topic{
		"t": {Name: "t", ID: consumer.TopicID{1}, Partitions: 6}, "u": {Name: "u", ID: consumer.TopicID{2}, Partitions: 2},
	}}
}

func (f *fixedTopics) Version() uint64              { return f.version }
func (f *fixedTopics) Names() iter.Seq[string]      { return maps.Keys(f.topics) }
func (f *fixedTopics) Racks(string, int32) []string { return nil }
func (f *fixedTopics) ByName(name string) (consumer.Topic, bool) {
	t, ok := f.topics[name]
	return t, ok
}

func (f *fixedTopics) ByID(id consumer.TopicID) (consumer.Topic, bool) {
	for _, t := range f.topics {
		if t.ID == id {
			return t, true
		}
	}
	return consumer.Topic{}, false
}

// modern is a member of the new protocol.
type modern struct {
	r        *rig
	group    string
	id       string
	instance *string
	topics   []string
	epoch    int32
	has      map[consumer.TopicID][]int32
	interval time.Duration
}

func (r *rig) modern(group, id string, topics ...string) *modern {
	return &modern{r: r, group: group, id: id, topics: topics}
}

// beat sends a heartbeat, whole when it joins, and takes over what it is answered. It returns the error.
func (m *modern) beat() int16 { return m.send(func(*kmsg.ConsumerGroupHeartbeatRequest) {}).ErrorCode }

func (m *modern) send(edit func(*kmsg.ConsumerGroupHeartbeatRequest)) *kmsg.ConsumerGroupHeartbeatResponse {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.MemberEpoch, req.InstanceID = 1, m.group, m.id, m.epoch, m.instance
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	if m.epoch == 0 {
		m.has = nil
		req.RebalanceTimeoutMillis, req.SubscribedTopicNames = 20_000, m.topics
	}
	for t, ps := range m.has {
		req.Topics = append(req.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t, Partitions: ps})
	}
	edit(req)
	resp := m.r.c.ConsumerHeartbeat(ctx(), tester, 1, req)
	if resp.ErrorCode == 0 {
		m.epoch, m.interval = resp.MemberEpoch, time.Duration(resp.HeartbeatIntervalMillis)*time.Millisecond
		if resp.Assignment != nil {
			m.has = map[consumer.TopicID][]int32{}
			for _, t := range resp.Assignment.Topics {
				m.has[t.TopicID] = t.Partitions
			}
		}
	}
	return resp
}

func (m *modern) count() (n int) {
	for _, ps := range m.has {
		n += len(ps)
	}
	return n
}

// leave leaves for good.
func (m *modern) leave(epoch int32) int16 {
	return m.send(func(req *kmsg.ConsumerGroupHeartbeatRequest) {
		req.MemberEpoch, req.Topics, req.SubscribedTopicNames, req.RebalanceTimeoutMillis = epoch, nil, nil, -1
	}).ErrorCode
}

// settle lets members send heartbeats until all have their target.
func settle(t *testing.T, members ...*modern) {
	t.Helper()
	for range 6 {
		for _, m := range members {
			if c := m.beat(); c != 0 {
				t.Fatalf("%s: error %d", m.id, c)
			}
		}
	}
}

func (r *rig) describeConsumer(group string) kmsg.ConsumerGroupDescribeResponseGroup {
	return r.c.DescribeConsumers(ctx(), tester, 1, &kmsg.ConsumerGroupDescribeRequest{Groups: []string{group}}).Groups[0]
}

func (r *rig) wantConsumer(group, state string, members int) {
	r.t.Helper()
	if d := r.describeConsumer(group); d.State != state || len(d.Members) != members || d.ErrorCode != 0 {
		r.t.Errorf("group %s is %s with %d members (error %d), want %s with %d", group, d.State, len(d.Members), d.ErrorCode, state, members)
	}
}

func TestConsumersShareAndTakeOver(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		a, b := r.modern("g", "a", "t"), r.modern("g", "b", "t")
		if c := a.beat(); c != 0 || a.epoch != 2 || a.count() != 6 || a.interval != 5*time.Second {
			t.Fatalf("error %d, epoch %d, %v, every %v", c, a.epoch, a.has, a.interval)
		}
		r.wantConsumer("g", "Stable", 1)
		if c := b.beat(); c != 0 || b.count() != 0 {
			t.Fatalf("error %d: b has %v while a has all", c, b.has)
		}
		r.wantConsumer("g", "Reconciling", 2)
		settle(t, a, b)
		if a.count() != 3 || b.count() != 3 || a.epoch != 3 || b.epoch != 3 {
			t.Errorf("a has %v at %d, b has %v at %d", a.has, a.epoch, b.has, b.epoch)
		}
		r.wantConsumer("g", "Stable", 2)
		b.leave(-1)
		settle(t, a)
		if a.count() != 6 {
			t.Errorf("a has %v after b left", a.has)
		}
		sameAfterFailover(t, r)
		r.wantConsumer("g", "Stable", 1)
		if c := a.beat(); c != 0 {
			t.Errorf("error %d after the failover", c)
		}
		sleep(44 * time.Second)
		r.wantConsumer("g", "Stable", 1)
		sleep(2 * time.Second)
		r.wantConsumer("g", "Empty", 0)
		if c := a.beat(); c != kerr.UnknownMemberID.Code {
			t.Errorf("error %d for a member that timed out", c)
		}
		if s := r.c.Stats(); s.Groups != 1 || s.ConsumerGroups != 1 || s.ConsumerRebalances == 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestConsumerThatDoesNotGiveUpIsFenced(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		a, b := r.modern("g", "a", "t"), r.modern("g", "b", "t")
		a.beat()
		b.beat()
		kept := a.has
		for range 6 { // a goes on with what it had
			a.beat()
			a.has = kept
			b.beat()
			sleep(4 * time.Second)
		}
		if d := r.describeConsumer("g"); len(d.Members) != 1 || d.Members[0].MemberID != "b" {
			t.Fatalf("%+v", d.Members)
		}
		settle(t, b)
		if b.count() != 6 {
			t.Errorf("b has %v", b.has)
		}
	})
}

func TestStaticConsumerComesBack(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		a, b := r.modern("g", "a", "t"), r.modern("g", "b", "t")
		a.instance = kmsg.StringPtr("i")
		a.beat()
		settle(t, a, b)
		had, epoch := fmt.Sprint(a.has), a.epoch
		again := r.modern("g", "a2", "t")
		again.instance = a.instance
		if c := again.beat(); c != kerr.UnreleasedInstanceID.Code {
			t.Errorf("error %d while the instance id is in use", c)
		}
		if c := a.leave(-2); c != 0 {
			t.Fatalf("error %d", c)
		}
		if c := again.beat(); c != 0 || fmt.Sprint(again.has) != had || again.epoch != epoch {
			t.Errorf("error %d: it comes back to %v at epoch %d, had %s at %d", c, again.has, again.epoch, had, epoch)
		}
		if a.epoch = epoch; a.beat() != kerr.FencedInstanceID.Code {
			t.Errorf("the former member is not fenced")
		}
		r.wantConsumer("g", "Stable", 2)
		again.leave(-2)
		sleep(30 * time.Second)
		b.beat()
		r.wantConsumer("g", "Reconciling", 2) // it is awaited
		sleep(16 * time.Second)
		settle(t, b)
		if b.count() != 6 {
			t.Errorf("b has %v", b.has)
		}
	})
}

func TestConsumerCommitsByEpoch(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		a := r.modern("g", "a", "t")
		a.beat()
		commit := func(version int16, member string, epoch int32, partition int32) int16 {
			return r.c.CommitOffsets(ctx(), tester, version, commitReq("g", member, epoch, "t", 5, partition)).Topics[0].Partitions[0].ErrorCode
		}
		fetch := func(member *string, epoch int32) int16 {
			req := kmsg.NewPtrOffsetFetchRequest()
			g := kmsg.NewOffsetFetchRequestGroup()
			g.Group, g.MemberID, g.MemberEpoch = "g", member, epoch
			req.Groups = append(req.Groups, g)
			return r.c.FetchOffsets(ctx(), tester, 9, req).Groups[0].ErrorCode
		}
		r.wantCodes("commits", []int16{
			commit(9, "a", 2, 0), commit(9, "a", 3, 0), commit(9, "x", 2, 0), commit(8, "a", 2, 0), commit(9, "", -1, 0),
		}, 0, kerr.StaleMemberEpoch.Code, kerr.UnknownMemberID.Code, kerr.UnsupportedVersion.Code, kerr.UnknownMemberID.Code)
		r.wantCodes("fetches", []int16{fetch(&a.id, 2), fetch(&a.id, 1), fetch(kmsg.StringPtr("x"), 2), fetch(nil, -1)},
			0, kerr.StaleMemberEpoch.Code, kerr.UnknownMemberID.Code, 0)
		// With an older epoch it may commit for what it has had since then, and for nothing else (KIP-1251).
		b := r.modern("g", "b", "t")
		b.beat()
		settle(t, a, b)
		mine, other := a.has[consumer.TopicID{1}][0], b.has[consumer.TopicID{1}][0]
		r.wantCodes("commits with the former epoch", []int16{commit(9, "a", 2, mine), commit(9, "a", 2, other), commit(9, "b", 2, other)},
			0, kerr.StaleMemberEpoch.Code, kerr.StaleMemberEpoch.Code)
		r.wantCodes("a group that is not there", []int16{
			r.c.CommitOffsets(ctx(), tester, 9, commitReq("nobody", "a", 1, "t", 5, 0)).Topics[0].Partitions[0].ErrorCode,
			r.c.CommitOffsets(ctx(), tester, 8, commitReq("nobody", "a", 1, "t", 5, 0)).Topics[0].Partitions[0].ErrorCode,
		}, kerr.GroupIDNotFound.Code, kerr.IllegalGeneration.Code)
	})
}

func TestConsumerGroupsInListsAndDeletes(t *testing.T) {
	bubble(t, Config{OffsetsRetention: time.Hour, OffsetsRetentionCheckInterval: time.Minute}, func(t *testing.T, r *rig) {
		a := r.modern("new", "a", "t")
		a.beat()
		r.stableGroup("old", 1)
		list := func(types ...string) (got []string) {
			for _, g := range r.c.List(ctx(), tester, 5, &kmsg.ListGroupsRequest{TypesFilter: types}).Groups {
				got = append(got, fmt.Sprint(g.Group, " ", g.GroupType, " ", g.GroupState, " ", g.ProtocolType))
			}
			return got
		}
		for _, c := range []struct {
			types []string
			want  []string
		}{
			{nil, []string{"new consumer Stable consumer", "old classic Stable consumer"}},
			{[]string{"Consumer"}, []string{"new consumer Stable consumer"}},
			{[]string{"classic"}, []string{"old classic Stable consumer"}},
			{[]string{"share"}, nil},
		} {
			if got := list(c.types...); !slices.Equal(got, c.want) {
				t.Errorf("of types %v: %v, want %v", c.types, got, c.want)
			}
		}
		r.wantState("new", "Dead") // for DescribeGroups
		if d := r.describeConsumer("old"); d.ErrorCode != kerr.GroupIDNotFound.Code || *d.ErrorMessage != "Group old is not a consumer group." {
			t.Errorf("%+v", d)
		}
		del := func() int16 {
			return r.c.Delete(ctx(), tester, 2, &kmsg.DeleteGroupsRequest{Groups: []string{"new"}}).Groups[0].ErrorCode
		}
		offsetDelete := func() int16 {
			req := &kmsg.OffsetDeleteRequest{Group: "new", Topics: []kmsg.OffsetDeleteRequestTopic{
				{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}}}}
			return r.c.DeleteOffsets(ctx(), tester, 0, req).Topics[0].Partitions[0].ErrorCode
		}
		commit := func() {
			r.c.CommitOffsets(ctx(), tester, 9, commitReq("new", "a", a.epoch, "t", 5, 0))
			r.c.CommitOffsets(ctx(), tester, 9, commitReq("new", "a", a.epoch, "u", 5, 0))
		}
		commit()
		r.wantCodes("with a member", []int16{del(), offsetDelete()}, codeNonEmptyGroup, codeGroupSubscribed)
		for range 250 { // of the topic that it does not read the offset expires
			a.beat()
			sleep(15 * time.Second)
		}
		r.wantOffsets("new", "t-0@5")
		a.leave(-1)
		r.wantCodes("without", []int16{offsetDelete(), del()}, 0, codeGroupIDNotFound) // its last offset takes the group with it
		a.epoch = 0
		a.beat()
		a.leave(-1)
		r.wantCodes("without offsets", []int16{del(), del()}, 0, codeGroupIDNotFound)
		a.epoch = 0
		a.beat()
		commit()
		a.leave(-1)
		sleep(2 * time.Hour) // all that is left of it expires
		if d := r.describeConsumer("new"); d.ErrorCode != kerr.GroupIDNotFound.Code {
			t.Errorf("%+v", d)
		}
		sameAfterFailover(t, r)
	})
}

func TestConsumerHeartbeatRefusals(t *testing.T) {
	bubble(t, Config{Consumer: ConsumerConfig{MaxSize: 1}}, func(t *testing.T, r *rig) {
		ok := r.modern("g", "a", "t")
		ok.beat()
		for _, c := range []struct {
			name string
			edit func(*kmsg.ConsumerGroupHeartbeatRequest)
			code *kerr.Error
			text string
		}{
			{"no group", func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.Group = "" }, kerr.InvalidRequest, "GroupId can't be empty."},
			{"no member", func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.MemberID = " " }, kerr.InvalidRequest, "MemberId can't be empty."},
			{"no timeout", func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.RebalanceTimeoutMillis = -1 }, kerr.InvalidRequest, "RebalanceTimeoutMs must be provided in first request."},
			{"no list of partitions", func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.Topics = nil }, kerr.InvalidRequest, "TopicPartitions must be empty when (re-)joining."},
			{"no subscription", func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.SubscribedTopicNames = nil }, kerr.InvalidRequest,
				"Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining."},
			{"epoch", func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.MemberEpoch = -3 }, kerr.InvalidRequest, "MemberEpoch is invalid."},
			{"static leave of a dynamic member", func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.MemberEpoch = -2 }, kerr.InvalidRequest, "InstanceId can't be null."},
			{"assignor", func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.ServerAssignor = kmsg.StringPtr("x") }, kerr.UnsupportedAssignor,
				"ServerAssignor x is not supported. Supported assignors: uniform, range."},
			{"no such group", func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.Group, q.MemberEpoch = "x", 4 }, kerr.GroupIDNotFound, "Consumer group x not found."},
			{"no such member", func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.Group, q.MemberEpoch, q.MemberID = "g", 4, "m" }, kerr.GroupMaxSizeReached,
				"The consumer group has reached its maximum capacity of 1 members."},
			{"epoch of the future", func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.Group, q.MemberEpoch, q.MemberID = "g", 4, "a" }, kerr.FencedMemberEpoch,
				"The consumer group member has a greater member epoch (4) than the one known by the group coordinator (2). The member must abandon all its partitions and rejoin."},
			{"regular expression", func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.SubscribedTopicRegex = kmsg.StringPtr("a)(b") }, kerr.InvalidRegularExpression, ""},
		} {
			resp := r.modern("h", "a", "t").send(c.edit)
			if resp.ErrorCode != c.code.Code || resp.ErrorMessage == nil || c.text != "" && *resp.ErrorMessage != c.text {
				t.Errorf("%s: error %d, %v", c.name, resp.ErrorCode, resp.ErrorMessage)
			}
		}
	})
}

func TestRegularExpressionFollowsTopics(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		a := r.modern("g", "a")
		if c := a.send(func(q *kmsg.ConsumerGroupHeartbeatRequest) {
			q.SubscribedTopicNames, q.SubscribedTopicRegex = nil, kmsg.StringPtr("t|t2")
		}).ErrorCode; c != 0 || a.count() != 6 {
			t.Fatalf("error %d, %v", c, a.has)
		}
		more := testTopics()
		more.topics["t2"] = consumer.Topic{Name: "t2", ID: consumer.TopicID{3}, Partitions: 4}
		more.topics["t22"] = consumer.Topic{Name: "t22", ID: consumer.TopicID{4}, Partitions: 9}
		more.version++
		r.topics.Store(more)
		settle(t, a)
		if a.count() != 10 {
			t.Errorf("%v after a topic was created", a.has)
		}
		if d := r.describeConsumer("g"); *d.Members[0].SubscribedTopicRegex != "t|t2" {
			t.Errorf("%+v", d.Members[0])
		}
		sameAfterFailover(t, r)
	})
}

func TestGroupChangesProtocolWithMembers(t *testing.T) {
	both := ConsumerConfig{Migration: MigrationPolicy{Upgrade: true, Downgrade: true}}
	bubble(t, Config{Consumer: both}, func(t *testing.T, r *rig) {
		old := joinReq("g", "")
		j := r.joinNow(3, old)
		assign := kmsg.ConsumerMemberAssignment{Topics: []kmsg.ConsumerMemberAssignmentTopic{{Topic: "t", Partitions: []int32{0, 1, 2, 3, 4, 5}}}}
		if s := r.sync("g", j.MemberID, j.Generation, map[string]string{j.MemberID: string(assign.AppendTo(nil))}).wait(); s.ErrorCode != 0 {
			t.Fatal(s.ErrorCode)
		}
		r.commit("g", j.MemberID, j.Generation, "t", 7, 1)
		a := r.modern("g", "a", "t")
		if c := a.beat(); c != 0 || a.count() != 0 {
			t.Fatalf("error %d: %v while the classic member has all", c, a.has)
		}
		r.wantConsumer("g", "Reconciling", 2)
		r.wantOffsets("g", "t-1@7")
		sameAfterFailover(t, r)
		a.beat()
		// The classic member is told to rejoin, gives up its half, rejoins, and has the rest.
		r.wantCodes("heartbeat of the classic member", []int16{r.heartbeat("g", j.MemberID, j.Generation)}, codeRebalanceInProgress)
		rejoin := func(owned ...int32) (assigned []int32, generation int32) {
			t.Helper()
			req := joinReq("g", j.MemberID)
			md := kmsg.ConsumerMemberMetadata{Version: 1, Topics: []string{"t"}, UserData: []byte{}}
			if len(owned) > 0 {
				md.OwnedPartitions = []kmsg.ConsumerMemberMetadataOwnedPartition{{Topic: "t", Partitions: owned}}
			}
			req.Protocols[0].Metadata = md.AppendTo(nil)
			jr := r.joinNow(5, req)
			if jr.ErrorCode != 0 || *jr.Protocol != "range" || len(jr.Members) != 0 {
				t.Fatalf("%+v", jr)
			}
			s := r.sync("g", j.MemberID, jr.Generation, nil).wait()
			var as kmsg.ConsumerMemberAssignment
			if err := as.ReadFrom(s.MemberAssignment); s.ErrorCode != 0 || err != nil {
				t.Fatalf("%+v, %v", s, err)
			}
			for _, at := range as.Topics {
				assigned = append(assigned, at.Partitions...)
			}
			return assigned, jr.Generation
		}
		got, generation := rejoin(0, 1, 2, 3, 4, 5)
		if len(got) != 3 {
			t.Fatalf("the classic member keeps %v", got)
		}
		r.wantCodes("heartbeat", []int16{r.heartbeat("g", j.MemberID, generation)}, codeRebalanceInProgress)
		got, generation = rejoin(got...)
		r.wantCodes("heartbeat", []int16{r.heartbeat("g", j.MemberID, generation)}, 0)
		settle(t, a)
		if len(got) != 3 || a.count() != 3 {
			t.Errorf("the classic member has %v, the other %v", got, a.has)
		}
		r.wantConsumer("g", "Stable", 2)
		for _, m := range r.describeConsumer("g").Members {
			if (m.MemberType == memberTypeConsumer) != (m.MemberID == "a") {
				t.Errorf("%s is of type %d", m.MemberID, m.MemberType)
			}
		}
		r.wantCodes("commit of the classic member", []int16{r.commit("g", j.MemberID, generation, "t", 8, 1)}, 0)
		// The last member of the new protocol goes: the group is classic again and rebalances.
		a.leave(-1)
		r.wantState("g", "PreparingRebalance")
		jr := r.joinNow(3, joinReq("g", j.MemberID))
		r.sync("g", j.MemberID, jr.Generation, map[string]string{j.MemberID: "x"}).wait()
		r.wantState("g", "Stable")
		r.wantOffsets("g", "t-1@8")
		sameAfterFailover(t, r)
	})
}

func TestGroupKeepsItsProtocol(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		r.stableGroup("old", 1)
		a := r.modern("old", "a", "t")
		if c := a.beat(); c != kerr.GroupIDNotFound.Code {
			t.Errorf("error %d for a classic group while upgrades are disabled", c)
		}
		r.wantState("old", "Stable")
		r.commit("empty", "", -1, "t", 3, 0) // a group without members becomes one of the new protocol, and back
		b := r.modern("empty", "b", "t")
		if c := b.beat(); c != 0 {
			t.Fatalf("error %d", c)
		}
		r.wantConsumer("empty", "Stable", 1)
		r.wantOffsets("empty", "t-0@3")
		sameAfterFailover(t, r)
		b.leave(-1)
		members, _ := r.stableGroup("empty", 1)
		r.wantState("empty", "Stable")
		r.wantOffsets("empty", "t-0@3")
		sameAfterFailover(t, r)
		r.leave("empty", members...)
		b.epoch = 0
		if c := b.beat(); c != 0 {
			t.Errorf("error %d", c)
		}
		r.wantConsumer("empty", "Stable", 1)
		r.wantOffsets("empty", "t-0@3")
		sameAfterFailover(t, r)
	})
}

// TestCoordinatorWithoutTopicsTakesNothingAway: a broker that has just started knows of no topics yet.
func TestCoordinatorWithoutTopicsTakesNothingAway(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		a := r.modern("g", "a", "t")
		a.beat()
		topics := r.topics.Load()
		r.topics.Store(nil)
		r.c.Resigned(0, 3)
		r.c.Elected(0, 4)
		sleep(time.Second)
		r.wantCodes("requests", []int16{
			a.beat(), r.modern("g", "b", "t").beat(), r.describeConsumer("g").ErrorCode, r.joinNow(3, joinReq("g", "")).ErrorCode,
		}, codeLoadInProgress, codeLoadInProgress, codeLoadInProgress, codeLoadInProgress)
		r.topics.Store(topics)
		if c := a.beat(); c != 0 || a.count() != 6 || a.epoch != 2 {
			t.Errorf("error %d: %v at epoch %d", c, a.has, a.epoch)
		}
		r.topics.Store(nil)
		sleep(50 * time.Second) // sessions end all the same
		r.topics.Store(topics)
		r.wantConsumer("g", "Empty", 0)
	})
}

// failNext lets the next append fail.
func (r *rig) failNext(err error) {
	failed := false
	r.log.FailAppends(func(int32, batch.View) error {
		if failed {
			return nil
		}
		failed = true
		return err
	})
}

// TestConsumerRecordsThatFail: what cannot be written has not happened.
func TestConsumerRecordsThatFail(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		a, b := r.modern("g", "a", "t"), r.modern("g", "b", "t")
		a.beat()
		r.failNext(kerr.NotEnoughReplicas)
		if c := b.beat(); c != codeNotAvailable {
			t.Errorf("error %d", c)
		}
		r.wantConsumer("g", "Stable", 1)
		settle(t, a, b)
		r.wantConsumer("g", "Stable", 2)
		r.failNext(kerr.NotEnoughReplicas)
		sleep(45 * time.Second) // the fence of a fails, and is tried again
		sleep(3 * time.Second)
		r.wantConsumer("g", "Empty", 0)
		sameAfterFailover(t, r)
	})
}

// TestGroupConfigsBoundMembers: a group's own timeouts count, within the broker's bounds.
func TestGroupConfigsBoundMembers(t *testing.T) {
	cfg := Config{Consumer: ConsumerConfig{SessionTimeoutMin: time.Second, HeartbeatMin: time.Second}}
	bubble(t, cfg, func(t *testing.T, r *rig) {
		r.c.deps.GroupConfig = func(group string) (session, heartbeat time.Duration) {
			if group == "own" {
				return 10 * time.Second, 40 * time.Second
			}
			return 0, 0
		}
		a, b := r.modern("own", "a", "t"), r.modern("other", "b", "t")
		a.beat()
		b.beat()
		if a.interval != 15*time.Second || b.interval != 5*time.Second {
			t.Errorf("intervals %v and %v", a.interval, b.interval)
		}
		sleep(11 * time.Second)
		r.wantConsumer("own", "Empty", 0)
		r.wantConsumer("other", "Stable", 1)
	})
}
