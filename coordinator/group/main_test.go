package group

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"ottla/coordinator/group/consumer"
	"ottla/coordinator/logtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a coordinator over an in-memory log, with one partition unless said otherwise.
type rig struct {
	t      testing.TB
	log    *logtest.Log
	c      *Coordinator
	topics atomic.Pointer[fixedTopics]
}

func newRig(t testing.TB, log *logtest.Log, cfg Config) *rig {
	if cfg.Log.GetLevel() == zerolog.TraceLevel {
		cfg.Log = zerolog.Nop()
	}
	r := &rig{t: t, log: log}
	r.topics.Store(testTopics())
	r.c = New(cfg, log, Deps{
		Partitions: func() int32 { return 1 },
		Topics: func() consumer.Topics {
			if topics := r.topics.Load(); topics != nil {
				return topics
			}
			return nil
		},
		TopicExists: func(topic string, partition int32) bool { return topic != "nope" && partition < 100 },
	})
	return r
}

// elect makes the coordinator lead its partition and waits until it is loaded.
func (r *rig) elect(epoch int32) *rig {
	r.c.Elected(0, epoch)
	synctest.Wait()
	return r
}

// bubble runs f with a loaded coordinator in virtual time. The initial rebalance delay is zero unless cfg has one.
func bubble(t *testing.T, cfg Config, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, logtest.New(), cfg).elect(1)
		defer r.c.Close()
		f(t, r)
	})
}

var tester = Client{ID: "tester", Host: "/127.0.0.1"}

func ctx() context.Context { return context.Background() }

func joinReq(group, memberID string) *kmsg.JoinGroupRequest {
	return &kmsg.JoinGroupRequest{
		Group: group, SessionTimeoutMillis: 10_000, RebalanceTimeoutMillis: 60_000, MemberID: memberID, ProtocolType: "consumer",
		Protocols: []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: subscription("t")}},
	}
}

func static(req *kmsg.JoinGroupRequest, instance string) *kmsg.JoinGroupRequest {
	req.InstanceID = &instance
	return req
}

// subscription is a consumer's metadata of version 0.
func subscription(topics ...string) []byte {
	m := kmsg.ConsumerMemberMetadata{Topics: topics, UserData: []byte{}}
	return m.AppendTo(nil)
}

// joining is a JoinGroup on its way.
type joining struct {
	c    chan *kmsg.JoinGroupResponse
	resp *kmsg.JoinGroupResponse
}

func (r *rig) join(version int16, req *kmsg.JoinGroupRequest) *joining {
	j := &joining{c: make(chan *kmsg.JoinGroupResponse, 1)}
	go func() { j.c <- r.c.Join(ctx(), tester, version, req) }()
	return j
}

func (j *joining) done() bool {
	synctest.Wait()
	select {
	case j.resp = <-j.c:
		return true
	default:
		return j.resp != nil
	}
}

func (j *joining) wait() *kmsg.JoinGroupResponse {
	if j.resp == nil {
		j.resp = <-j.c
	}
	return j.resp
}

// joinNow is a join that is expected to be answered without time passing.
func (r *rig) joinNow(version int16, req *kmsg.JoinGroupRequest) *kmsg.JoinGroupResponse {
	r.t.Helper()
	j := r.join(version, req)
	if !j.done() {
		r.t.Fatalf("JoinGroup of %q is parked", req.MemberID)
	}
	return j.resp
}

type syncing struct {
	c    chan *kmsg.SyncGroupResponse
	resp *kmsg.SyncGroupResponse
}

func (r *rig) sync(group, member string, generation int32, assign map[string]string) *syncing {
	req := &kmsg.SyncGroupRequest{Group: group, MemberID: member, Generation: generation}
	for m, a := range assign {
		req.GroupAssignment = append(req.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: m, MemberAssignment: []byte(a)})
	}
	s := &syncing{c: make(chan *kmsg.SyncGroupResponse, 1)}
	go func() { s.c <- r.c.Sync(ctx(), tester, 3, req) }()
	return s
}

func (s *syncing) done() bool {
	synctest.Wait()
	select {
	case s.resp = <-s.c:
		return true
	default:
		return s.resp != nil
	}
}

func (s *syncing) wait() *kmsg.SyncGroupResponse {
	if s.resp == nil {
		s.resp = <-s.c
	}
	return s.resp
}

func (r *rig) heartbeat(group, member string, generation int32) int16 {
	return r.c.Heartbeat(ctx(), tester, 4, &kmsg.HeartbeatRequest{Group: group, MemberID: member, Generation: generation}).ErrorCode
}

func (r *rig) leave(group string, members ...string) []int16 {
	req := &kmsg.LeaveGroupRequest{Group: group}
	for _, m := range members {
		req.Members = append(req.Members, kmsg.LeaveGroupRequestMember{MemberID: m})
	}
	resp := r.c.Leave(ctx(), tester, 5, req)
	codes := []int16{}
	for _, m := range resp.Members {
		codes = append(codes, m.ErrorCode)
	}
	if resp.ErrorCode != 0 {
		codes = append(codes, resp.ErrorCode)
	}
	return codes
}

// stableGroup joins n dynamic members without the detour of version 4 and assigns. The first is the leader.
func (r *rig) stableGroup(group string, n int) (members []string, generation int32) {
	r.t.Helper()
	var js []*joining
	for i := range n {
		js = append(js, r.join(3, joinReq(group, "")))
		synctest.Wait()
		if i == 0 && r.c.cfg.InitialRebalanceDelay == 0 {
			first := js[0].wait()
			if n == 1 {
				break
			}
			members = append(members, first.MemberID)
			continue
		}
	}
	if len(members) > 0 { // the group is completing its first generation: the leader has to join the next
		js[0] = r.join(3, joinReq(group, members[0]))
	}
	members = nil
	assign := map[string]string{}
	leader := ""
	for _, j := range js {
		resp := j.wait()
		if resp.ErrorCode != 0 {
			r.t.Fatalf("join: error %d", resp.ErrorCode)
		}
		members = append(members, resp.MemberID)
		assign[resp.MemberID] = "assignment of " + resp.MemberID
		generation, leader = resp.Generation, resp.LeaderID
	}
	if leader != members[0] {
		r.t.Fatalf("leader is %q, want %q", leader, members[0])
	}
	var ss []*syncing
	for i := len(members) - 1; i >= 0; i-- {
		var a map[string]string
		if i == 0 {
			a = assign
		}
		ss = append(ss, r.sync(group, members[i], generation, a))
	}
	for i, s := range ss {
		m := members[len(members)-1-i]
		if resp := s.wait(); resp.ErrorCode != 0 || string(resp.MemberAssignment) != assign[m] {
			r.t.Fatalf("sync of %s: error %d, %q", m, resp.ErrorCode, resp.MemberAssignment)
		}
	}
	return members, generation
}

func (r *rig) describe(group string) kmsg.DescribeGroupsResponseGroup {
	return r.c.Describe(ctx(), tester, 5, &kmsg.DescribeGroupsRequest{Groups: []string{group}}).Groups[0]
}

func (r *rig) wantState(group, state string) {
	r.t.Helper()
	synctest.Wait()
	if d := r.describe(group); d.State != state || d.ErrorCode != 0 {
		r.t.Errorf("group %s is %s (error %d), want %s", group, d.State, d.ErrorCode, state)
	}
}

func (r *rig) wantCodes(what string, got []int16, want ...int16) {
	r.t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		r.t.Errorf("%s: errors %v, want %v", what, got, want)
	}
}

// commitReq is a commit of offset for partitions of topic.
func commitReq(group, member string, generation int32, topic string, offset int64, partitions ...int32) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.Generation = group, member, generation
	t := kmsg.OffsetCommitRequestTopic{Topic: topic}
	for _, p := range partitions {
		rp := kmsg.NewOffsetCommitRequestTopicPartition()
		rp.Partition, rp.Offset = p, offset
		t.Partitions = append(t.Partitions, rp)
	}
	req.Topics = []kmsg.OffsetCommitRequestTopic{t}
	return req
}

// commit returns the code of the first partition.
func (r *rig) commit(group, member string, generation int32, topic string, offset int64, partitions ...int32) int16 {
	return r.c.CommitOffsets(ctx(), tester, 7, commitReq(group, member, generation, topic, offset, partitions...)).Topics[0].Partitions[0].ErrorCode
}

// offsets returns all offsets of a group as "topic-partition@offset".
func (r *rig) offsets(group string) []string {
	resp := r.c.FetchOffsets(ctx(), tester, 8, &kmsg.OffsetFetchRequest{Groups: []kmsg.OffsetFetchRequestGroup{{Group: group}}})
	got := []string{}
	for _, t := range resp.Groups[0].Topics {
		for _, p := range t.Partitions {
			got = append(got, fmt.Sprintf("%s-%d@%d", t.Topic, p.Partition, p.Offset))
		}
	}
	if c := resp.Groups[0].ErrorCode; c != 0 {
		got = append(got, fmt.Sprint("error ", c))
	}
	return got
}

func (r *rig) wantOffsets(group string, want ...string) {
	r.t.Helper()
	if got := r.offsets(group); fmt.Sprint(got) != fmt.Sprint(want) {
		r.t.Errorf("offsets of %s: %v, want %v", group, got, want)
	}
}

func sleep(d time.Duration) { time.Sleep(d); synctest.Wait() }

func zerologNop() zerolog.Logger { return zerolog.Nop() }
