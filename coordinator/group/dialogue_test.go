package group

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator/logtest"
)

// side answers the requests of a dialogue: Kafka, or this package.
type side interface {
	do(conn string, req kmsg.Request) kmsg.Response
}

// kafkaSide has one connection to a broker per name, since requests of a connection are answered in turn.
type kafkaSide struct {
	addr  string
	conns map[string]net.Conn
}

func (k *kafkaSide) do(conn string, req kmsg.Request) kmsg.Response {
	c := k.conns[conn]
	if c == nil {
		var err error
		if c, err = net.Dial("tcp", k.addr); err != nil {
			panic(err)
		}
		k.conns[conn] = c
	}
	b := kmsg.NewRequestFormatter(kmsg.FormatterClientID("tester")).AppendRequest(nil, req, 1)
	if _, err := c.Write(b); err != nil {
		panic(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		panic(err)
	}
	var sz [4]byte
	if _, err := io.ReadFull(c, sz[:]); err != nil {
		panic(fmt.Sprintf("%T: %v", req, err))
	}
	body := make([]byte, binary.BigEndian.Uint32(sz[:]))
	if _, err := io.ReadFull(c, body); err != nil {
		panic(err)
	}
	body = body[4:]
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if resp.IsFlexible() && resp.Key() != 18 {
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		panic(err)
	}
	return resp
}

// ourSide gives requests and answers through their encoding of the version.
type ourSide struct{ c *Coordinator }

func (o *ourSide) do(_ string, req kmsg.Request) kmsg.Response {
	b := req.AppendTo(nil)
	clone := kmsg.RequestForKey(req.Key())
	clone.SetVersion(req.GetVersion())
	if err := clone.ReadFrom(b); err != nil {
		panic(err)
	}
	v := req.GetVersion()
	var resp kmsg.Response
	switch r := clone.(type) {
	case *kmsg.JoinGroupRequest:
		resp = o.c.Join(ctx(), tester, v, r)
	case *kmsg.SyncGroupRequest:
		resp = o.c.Sync(ctx(), tester, v, r)
	case *kmsg.HeartbeatRequest:
		resp = o.c.Heartbeat(ctx(), tester, v, r)
	case *kmsg.LeaveGroupRequest:
		resp = o.c.Leave(ctx(), tester, v, r)
	case *kmsg.OffsetCommitRequest:
		resp = o.c.CommitOffsets(ctx(), tester, v, r)
	case *kmsg.OffsetFetchRequest:
		resp = o.c.FetchOffsets(ctx(), tester, v, r)
	case *kmsg.DescribeGroupsRequest:
		resp = o.c.Describe(ctx(), tester, v, r)
	case *kmsg.ListGroupsRequest:
		resp = o.c.List(ctx(), tester, v, r)
	case *kmsg.DeleteGroupsRequest:
		resp = o.c.Delete(ctx(), tester, v, r)
	case *kmsg.OffsetDeleteRequest:
		resp = o.c.DeleteOffsets(ctx(), tester, v, r)
	case *kmsg.ConsumerGroupHeartbeatRequest:
		resp = o.c.ConsumerHeartbeat(ctx(), tester, v, r)
	case *kmsg.ConsumerGroupDescribeRequest:
		resp = o.c.DescribeConsumers(ctx(), tester, v, r)
	}
	out := req.ResponseKind()
	out.SetVersion(v)
	if err := out.ReadFrom(resp.AppendTo(nil)); err != nil {
		panic(err)
	}
	return out
}

// script runs a dialogue and notes the answers, with generated member ids replaced by numbers.
type script struct {
	s     side
	lines []string
	ids   []string
}

var uuidRe = regexp.MustCompile(`[A-Za-z0-9]+-[0-9a-zA-Z_-]{8}-[0-9a-zA-Z_-]{4}-[0-9a-zA-Z_-]{4}-[0-9a-zA-Z_-]{4}-[0-9a-zA-Z_-]{12}`)

func (s *script) norm(str string) string {
	return uuidRe.ReplaceAllStringFunc(str, func(id string) string {
		for i, o := range s.ids {
			if o == id {
				return fmt.Sprint("<", i, ">")
			}
		}
		s.ids = append(s.ids, id)
		return fmt.Sprint("<", len(s.ids)-1, ">")
	})
}

// p prints a nullable string.
func p(s *string) string {
	if s == nil {
		return "null"
	}
	return fmt.Sprintf("%q", *s)
}

func (s *script) log(name string, resp kmsg.Response) {
	var d string
	switch r := resp.(type) {
	case *kmsg.JoinGroupResponse:
		d = fmt.Sprintf("err=%d gen=%d pt=%s p=%s leader=%q skip=%v me=%q", r.ErrorCode, r.Generation, p(r.ProtocolType), p(r.Protocol), r.LeaderID, r.SkipAssignment, r.MemberID)
		d += fmt.Sprint(" members=", len(r.Members))
	case *kmsg.SyncGroupResponse:
		d = fmt.Sprintf("err=%d pt=%s p=%s a=%q", r.ErrorCode, p(r.ProtocolType), p(r.Protocol), r.MemberAssignment)
	case *kmsg.HeartbeatResponse:
		d = fmt.Sprint("err=", r.ErrorCode)
	case *kmsg.LeaveGroupResponse:
		d = fmt.Sprint("err=", r.ErrorCode)
		for _, m := range r.Members {
			d += fmt.Sprintf(" %q/%s:%d", m.MemberID, p(m.InstanceID), m.ErrorCode)
		}
	case *kmsg.OffsetCommitResponse:
		for _, t := range r.Topics {
			slices.SortFunc(t.Partitions, func(a, b kmsg.OffsetCommitResponseTopicPartition) int { return int(a.Partition - b.Partition) })
			for _, q := range t.Partitions {
				d += fmt.Sprintf("%s-%d:%d ", t.Topic, q.Partition, q.ErrorCode)
			}
		}
	case *kmsg.OffsetFetchResponse:
		d = fmt.Sprint("err=", r.ErrorCode)
		for _, t := range r.Topics {
			slices.SortFunc(t.Partitions, func(a, b kmsg.OffsetFetchResponseTopicPartition) int { return int(a.Partition - b.Partition) })
			for _, q := range t.Partitions {
				d += fmt.Sprintf(" %s-%d:%d/%d/%s/%d", t.Topic, q.Partition, q.Offset, q.LeaderEpoch, p(q.Metadata), q.ErrorCode)
			}
		}
		for _, g := range r.Groups {
			d += fmt.Sprintf(" G %s %d", g.Group, g.ErrorCode)
			for _, t := range g.Topics {
				slices.SortFunc(t.Partitions, func(a, b kmsg.OffsetFetchResponseGroupTopicPartition) int { return int(a.Partition - b.Partition) })
				for _, q := range t.Partitions {
					d += fmt.Sprintf(" %s-%d:%d/%d/%s/%d", t.Topic, q.Partition, q.Offset, q.LeaderEpoch, p(q.Metadata), q.ErrorCode)
				}
			}
		}
	case *kmsg.DescribeGroupsResponse:
		for _, g := range r.Groups {
			d += fmt.Sprintf("%s err=%d %q %q %q ops=%d", g.Group, g.ErrorCode, g.State, g.ProtocolType, g.Protocol, g.AuthorizedOperations)
			if len(g.Members) == 1 {
				for _, m := range g.Members {
					d += fmt.Sprintf(" [%q %s %q %q %q %q]", m.MemberID, p(m.InstanceID), m.ClientID, m.ClientHost, m.ProtocolMetadata, m.MemberAssignment)
				}
			} else {
				d += fmt.Sprint(" n=", len(g.Members))
			}
		}
	case *kmsg.ListGroupsResponse:
		d = fmt.Sprint("err=", r.ErrorCode)
		for _, g := range r.Groups {
			d += fmt.Sprintf(" %s/%s/%s/%s", g.Group, g.ProtocolType, g.GroupState, g.GroupType)
		}
	case *kmsg.DeleteGroupsResponse:
		for _, g := range r.Groups {
			d += fmt.Sprintf("%s:%d ", g.Group, g.ErrorCode)
		}
	case *kmsg.OffsetDeleteResponse:
		d = fmt.Sprint("err=", r.ErrorCode)
		slices.SortFunc(r.Topics, func(a, b kmsg.OffsetDeleteResponseTopic) int { return strings.Compare(a.Topic, b.Topic) })
		for _, t := range r.Topics {
			for _, q := range t.Partitions {
				d += fmt.Sprintf(" %s-%d:%d", t.Topic, q.Partition, q.ErrorCode)
			}
		}
	}
	s.lines = append(s.lines, name+": "+s.norm(d))
}

func (s *script) run(name, conn string, v int16, req kmsg.Request) kmsg.Response {
	req.SetVersion(v)
	resp := s.s.do(conn, req)
	s.log(fmt.Sprintf("%s v%d", name, v), resp)
	return resp
}

// later is a request that is parked.
type later struct {
	name string
	v    int16
	c    chan kmsg.Response
}

func (s *script) start(name, conn string, v int16, req kmsg.Request) *later {
	req.SetVersion(v)
	l := &later{name, v, make(chan kmsg.Response, 1)}
	go func() { l.c <- s.s.do(conn, req) }()
	time.Sleep(100 * time.Millisecond)
	return l
}

func (s *script) end(l *later) kmsg.Response {
	select {
	case r := <-l.c:
		s.log(fmt.Sprintf("%s v%d", l.name, l.v), r)
		return r
	case <-time.After(25 * time.Second):
		s.lines = append(s.lines, l.name+": NO ANSWER")
		return nil
	}
}

// dialogue is a conversation about groups that touches what the specifications leave open.
func (s *script) dialogue() {
	desc := func(g string) { s.run("describe "+g, "d", 5, &kmsg.DescribeGroupsRequest{Groups: []string{g}}) }
	hb := func(g, m string, gen int32) {
		s.run("heartbeat", "d", 4, &kmsg.HeartbeatRequest{Group: g, MemberID: m, Generation: gen})
	}
	commit := func(name string, v int16, g, m string, gen int32, topic string, off int64, ps ...int32) {
		s.run("commit "+name, "d", v, commitReq(g, m, gen, topic, off, ps...))
	}
	leave := func(v int16, g string, ms ...kmsg.LeaveGroupRequestMember) {
		s.run("leave", "d", v, &kmsg.LeaveGroupRequest{Group: g, Members: ms})
	}
	inst := func(i string) *string { return &i }
	desc("none")
	s.run("join empty group", "a", 5, joinReq("", ""))
	bad := joinReq("g", "")
	bad.SessionTimeoutMillis = 1
	s.run("join session", "a", 7, bad)
	s.run("join session v6", "a", 6, bad)
	s.run("join unknown", "a", 9, joinReq("g", "who"))
	j := s.run("join dyn", "a", 9, joinReq("g", "")).(*kmsg.JoinGroupResponse)
	desc("g")
	l := s.start("join pending", "a", 9, joinReq("g", j.MemberID))
	desc("g")
	a := s.end(l).(*kmsg.JoinGroupResponse)
	desc("g")
	hb("g", a.MemberID, 1)
	commit("completing", 8, "g", a.MemberID, 1, "t", 1, 0)
	con, rng := "consumer", "range"
	s.run("sync no proto", "a", 5, &kmsg.SyncGroupRequest{Group: "g", MemberID: a.MemberID, Generation: 1})
	s.run("sync wrong gen", "a", 3, &kmsg.SyncGroupRequest{Group: "g", MemberID: a.MemberID, Generation: 2})
	s.run("sync", "a", 5, &kmsg.SyncGroupRequest{Group: "g", MemberID: a.MemberID, Generation: 1, ProtocolType: &con, Protocol: &rng, GroupAssignment: []kmsg.SyncGroupRequestGroupAssignment{{MemberID: a.MemberID, MemberAssignment: []byte("xyz")}}})
	desc("g")
	for v := int16(3); v <= 5; v++ {
		s.run("list", "d", v, &kmsg.ListGroupsRequest{})
	}
	s.run("list states", "d", 4, &kmsg.ListGroupsRequest{StatesFilter: []string{"STABLE"}})
	s.run("list types", "d", 5, &kmsg.ListGroupsRequest{TypesFilter: []string{"CLASSIC"}})
	s.run("list types2", "d", 5, &kmsg.ListGroupsRequest{TypesFilter: []string{"consumer"}})
	s.run("list types3", "d", 5, &kmsg.ListGroupsRequest{TypesFilter: []string{"nonsense"}})
	commit("ok", 8, "g", a.MemberID, 1, "t", 5, 0, 1)
	commit("unknown topic", 8, "g", a.MemberID, 1, "nope", 5, 0)
	commit("unknown partition", 8, "g", a.MemberID, 1, "t", 5, 0, 77777)
	commit("simple on members", 8, "g", "", -1, "t", 5, 0)
	commit("member no gen", 8, "g", a.MemberID, -1, "t", 5, 0)
	commit("who", 8, "g", "who", 1, "t", 5, 0)
	commit("simple", 2, "simple", "", -1, "t", 5, 0)
	commit("simple gen", 2, "simple", "x", 4, "t", 5, 0)
	commit("simple member", 2, "simple", "x", -1, "t", 6, 0)
	commit("unknown gen", 2, "unk", "x", 4, "t", 5, 0)
	commit("empty group", 2, "", "", -1, "t", 5, 0)
	commit("negative offset", 8, "simple", "", -1, "t", -5, 1)
	big := commitReq("simple", "", -1, "t", 9, 2)
	big.Topics[0].Partitions[0].Metadata = inst(strings.Repeat("x", 4097))
	s.run("commit metadata", "d", 8, big)
	for v := int16(1); v <= 7; v++ {
		req := &kmsg.OffsetFetchRequest{Group: "g", Topics: []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0, 2}}, {Topic: "nope", Partitions: []int32{0}}}}
		s.run("fetch", "d", v, req)
	}
	s.run("fetch all", "d", 7, &kmsg.OffsetFetchRequest{Group: "simple", RequireStable: true})
	s.run("fetch none", "d", 7, &kmsg.OffsetFetchRequest{Group: "simple", Topics: []kmsg.OffsetFetchRequestTopic{}})
	s.run("fetch many", "d", 8, &kmsg.OffsetFetchRequest{Groups: []kmsg.OffsetFetchRequestGroup{{Group: "simple"}, {Group: "nogroup"}, {Group: "nogroup2", Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", Partitions: []int32{0}}}}}})
	s.run("fetch empty group id", "d", 7, &kmsg.OffsetFetchRequest{Group: ""})
	// second member
	j = s.run("join2", "b", 5, joinReq("g", "")).(*kmsg.JoinGroupResponse)
	l = s.start("join2 pending", "b", 5, joinReq("g", j.MemberID))
	hb("g", a.MemberID, 1)
	s.run("sync preparing", "c", 3, &kmsg.SyncGroupRequest{Group: "g", MemberID: a.MemberID, Generation: 1})
	desc("g")
	commit("preparing", 8, "g", a.MemberID, 1, "t", 6, 0)
	s.run("deleteoffsets preparing", "d", 0, &kmsg.OffsetDeleteRequest{Group: "g", Topics: []kmsg.OffsetDeleteRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}}}})
	la := s.start("rejoin", "a", 7, joinReq("g", a.MemberID))
	s.end(la)
	b := s.end(l).(*kmsg.JoinGroupResponse)
	s.run("join completing same", "a", 7, joinReq("g", a.MemberID))
	s.run("join completing same b", "b", 7, joinReq("g", b.MemberID))
	lb := s.start("sync b", "b", 3, &kmsg.SyncGroupRequest{Group: "g", MemberID: b.MemberID, Generation: 2})
	s.run("sync a", "a", 3, &kmsg.SyncGroupRequest{Group: "g", MemberID: a.MemberID, Generation: 2, GroupAssignment: []kmsg.SyncGroupRequestGroupAssignment{{MemberID: a.MemberID, MemberAssignment: []byte("only a")}}})
	s.end(lb)
	s.run("resync b", "b", 3, &kmsg.SyncGroupRequest{Group: "g", MemberID: b.MemberID, Generation: 2})
	s.run("follower rejoin", "b", 7, joinReq("g", b.MemberID))
	s.run("delete nonempty", "d", 2, &kmsg.DeleteGroupsRequest{Groups: []string{"g"}})
	s.run("deleteoffsets", "d", 0, &kmsg.OffsetDeleteRequest{Group: "g", Topics: []kmsg.OffsetDeleteRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}}, {Topic: "u", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}}}})
	s.run("deleteoffsets none", "d", 0, &kmsg.OffsetDeleteRequest{Group: "nogroup"})
	s.run("leave unknown v2", "d", 2, &kmsg.LeaveGroupRequest{Group: "g", MemberID: "who"})
	leave(5, "g", kmsg.LeaveGroupRequestMember{MemberID: "who"}, kmsg.LeaveGroupRequestMember{MemberID: b.MemberID}, kmsg.LeaveGroupRequestMember{MemberID: b.MemberID})
	leave(5, "nogroup", kmsg.LeaveGroupRequestMember{MemberID: "who"})
	leave(5, "", kmsg.LeaveGroupRequestMember{MemberID: "who"})
	leave(5, "g")
	s.run("leave unknown group v1", "d", 1, &kmsg.LeaveGroupRequest{Group: "nogroup", MemberID: "who"})
	s.run("rejoin a", "a", 7, joinReq("g", a.MemberID))
	s.run("leave a v0", "d", 0, &kmsg.LeaveGroupRequest{Group: "g", MemberID: a.MemberID})
	desc("g")
	hb("g", a.MemberID, 3)
	commit("to empty", 8, "g", "", -1, "t", 8, 0)
	commit("old member to empty", 8, "g", a.MemberID, 3, "t", 8, 0)
	s.run("join empty with id", "a", 7, joinReq("g", a.MemberID))
	s.run("deleteoffsets empty", "d", 0, &kmsg.OffsetDeleteRequest{Group: "g", Topics: []kmsg.OffsetDeleteRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 1}, {Partition: 2}}}}})
	s.run("fetch after", "d", 7, &kmsg.OffsetFetchRequest{Group: "g"})
	s.run("delete", "d", 2, &kmsg.DeleteGroupsRequest{Groups: []string{"g"}})
	s.run("delete again", "d", 2, &kmsg.DeleteGroupsRequest{Groups: []string{"g"}})
	s.run("delete empty", "d", 2, &kmsg.DeleteGroupsRequest{Groups: []string{""}})
	// static
	for _, v := range []int16{5, 8, 9} {
		g := fmt.Sprint("s", v)
		l1 := s.start("static a", "a", v, static(joinReq(g, ""), "ia"))
		l2 := s.start("static b", "b", v, static(joinReq(g, ""), "ib"))
		a := s.end(l1).(*kmsg.JoinGroupResponse)
		b := s.end(l2).(*kmsg.JoinGroupResponse)
		lb := s.start("sync b", "b", 3, &kmsg.SyncGroupRequest{Group: g, MemberID: b.MemberID, Generation: 1})
		s.run("sync a", "a", 3, &kmsg.SyncGroupRequest{Group: g, MemberID: a.MemberID, Generation: 1, GroupAssignment: []kmsg.SyncGroupRequestGroupAssignment{{MemberID: a.MemberID, MemberAssignment: []byte("A")}, {MemberID: b.MemberID, MemberAssignment: []byte("B")}}})
		s.end(lb)
		n := s.run("static a again", "a", v, static(joinReq(g, ""), "ia")).(*kmsg.JoinGroupResponse)
		s.run("sync a again", "a", 3, &kmsg.SyncGroupRequest{Group: g, MemberID: n.MemberID, Generation: 1})
		s.run("static b again", "b", v, static(joinReq(g, ""), "ib"))
		desc(g)
		s.run("hb fenced", "d", 4, &kmsg.HeartbeatRequest{Group: g, MemberID: a.MemberID, Generation: 1, InstanceID: inst("ia")})
		s.run("hb unknown inst", "d", 4, &kmsg.HeartbeatRequest{Group: g, MemberID: n.MemberID, Generation: 1, InstanceID: inst("ix")})
		s.run("hb old", "d", 4, &kmsg.HeartbeatRequest{Group: g, MemberID: a.MemberID, Generation: 1})
		s.run("join old", "a", v, static(joinReq(g, a.MemberID), "ia"))
		s.run("join id without instance", "c", v, joinReq(g, "zzz"))
		fc := commitReq(g, a.MemberID, 1, "t", 4, 0)
		fc.InstanceID = inst("ia")
		s.run("commit fenced", "d", 7, fc)
		leave(5, g, kmsg.LeaveGroupRequestMember{InstanceID: inst("ix")}, kmsg.LeaveGroupRequestMember{MemberID: a.MemberID, InstanceID: inst("ia")}, kmsg.LeaveGroupRequestMember{InstanceID: inst("ib")}, kmsg.LeaveGroupRequestMember{})
		desc(g)
		ra := s.start("static a completes", "a", v, static(joinReq(g, n.MemberID), "ia"))
		s.end(ra)
		ra2 := s.start("static a in completing", "c", v, static(joinReq(g, ""), "ia"))
		s.end(ra2)
		leave(4, g, kmsg.LeaveGroupRequestMember{InstanceID: inst("ia")})
		desc(g)
	}
	con2 := joinReq("conn", "")
	con2.ProtocolType = "connect"
	s.run("join connect", "a", 3, con2)
	s.run("deleteoffsets connect", "d", 0, &kmsg.OffsetDeleteRequest{Group: "conn", Topics: []kmsg.OffsetDeleteRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}}}})
	s.run("join other type", "b", 3, joinReq("conn", ""))
	con3 := joinReq("conn", "")
	con3.ProtocolType = "connect"
	con3.Protocols[0].Name = "other"
	s.run("join other protocol", "b", 8, con3)
	desc("conn")
}

const dialogueFile = "testdata/dialogue-kafka-3.9.2.txt"

// recordDialogue asks a Kafka broker and writes its answers to dialogueFile. The broker is fresh, alone, and has
// group.initial.rebalance.delay.ms=500 and offsets.topic.num.partitions=1.
func recordDialogue(t *testing.T, addr string) {
	k := &kafkaSide{addr: addr, conns: map[string]net.Conn{}}
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Version = 3
	for _, n := range []string{"t", "u"} {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = n, 3, 1
		create.Topics = append(create.Topics, topic)
	}
	k.do("x", create)
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.Version, find.CoordinatorKey = 2, "g"
	for k.do("x", find).(*kmsg.FindCoordinatorResponse).ErrorCode != 0 {
		time.Sleep(500 * time.Millisecond)
	}
	time.Sleep(2 * time.Second) // until the partition is loaded
	s := &script{s: k}
	s.dialogue()
	for _, c := range k.conns {
		_ = c.Close()
	}
	if err := os.WriteFile(dialogueFile, []byte(strings.Join(s.lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestDialogueIsKafkas compares the answers of a long conversation with those of Kafka 3.9.2. With GROUP_RECORD_FROM=host:port they
// are recorded anew.
func TestDialogueIsKafkas(t *testing.T) {
	if addr := os.Getenv("GROUP_RECORD_FROM"); addr != "" {
		recordDialogue(t, addr)
	}
	want, err := os.ReadFile(dialogueFile)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{InitialRebalanceDelay: 500 * time.Millisecond}, logtest.New(), Deps{
			Partitions:  func() int32 { return 1 },
			TopicExists: func(topic string, p int32) bool { return (topic == "t" || topic == "u") && p < 3 },
		})
		defer c.Close()
		c.Elected(0, 1)
		synctest.Wait()
		s := &script{s: &ourSide{c}}
		s.dialogue()
		if d := cmp.Diff(strings.Split(strings.TrimSpace(string(want)), "\n"), s.lines); d != "" {
			t.Errorf("-Kafka +ours\n%s", d)
		}
	})
}
