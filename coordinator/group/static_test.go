package group

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire/batch"
)

// staticGroup has two static members, "a" leading.
func staticGroup(t *testing.T, r *rig) (a, b string, gen int32) {
	t.Helper()
	ja := r.join(5, static(joinReq("s", ""), "a"))
	synctest.Wait()
	jb := r.join(5, static(joinReq("s", ""), "b"))
	a, b, gen = ja.wait().MemberID, jb.wait().MemberID, ja.wait().Generation
	sb := r.sync("s", b, gen, nil)
	synctest.Wait()
	if c := r.sync("s", a, gen, map[string]string{a: "A", b: "B"}).wait().ErrorCode; c != 0 {
		t.Fatal(c)
	}
	if string(sb.wait().MemberAssignment) != "B" {
		t.Fatal("b got no assignment")
	}
	return a, b, gen
}

var withDelay = Config{InitialRebalanceDelay: time.Second}

func TestStaticMemberRejoinsStableGroupUnnoticed(t *testing.T) {
	for _, version := range []int16{5, 8, 9} {
		for _, instance := range []string{"a", "b"} {
			t.Run(fmt.Sprintf("version=%d/instance=%s", version, instance), func(t *testing.T) {
				bubble(t, withDelay, func(t *testing.T, r *rig) {
					a, b, gen := staticGroup(t, r)
					old := map[string]string{"a": a, "b": b}[instance]
					resp := r.joinNow(version, static(joinReq("s", ""), instance))
					if resp.ErrorCode != 0 || resp.MemberID == old || resp.Generation != gen {
						t.Fatalf("%+v", resp)
					}
					leads := instance == "a"
					wantLeader, wantMembers := a, 0
					if version >= 9 && leads {
						wantLeader, wantMembers = resp.MemberID, 2
					}
					if resp.LeaderID != wantLeader || len(resp.Members) != wantMembers || resp.SkipAssignment != (version >= 9 && leads) {
						t.Errorf("%+v, want leader %s", resp, wantLeader)
					}
					if s := r.sync("s", resp.MemberID, gen, nil).wait(); s.ErrorCode != 0 || string(s.MemberAssignment) != map[string]string{"a": "A", "b": "B"}[instance] {
						t.Errorf("%+v", s)
					}
					r.wantState("s", "Stable")

					// The old id is fenced where the instance id comes along, and unknown where not.
					hb := r.c.Heartbeat(ctx(), tester, 4, &kmsg.HeartbeatRequest{Group: "s", MemberID: old, InstanceID: &instance, Generation: gen})
					r.wantCodes("old id", []int16{hb.ErrorCode, r.heartbeat("s", old, gen)}, codeFencedInstance, codeUnknownMemberID)
					if c := r.joinNow(version, static(joinReq("s", old), instance)).ErrorCode; c != codeFencedInstance {
						t.Errorf("join with the old id: %d", c)
					}
					req := commitReq("s", old, gen, "t", 1, 0)
					req.InstanceID = &instance
					if c := r.c.CommitOffsets(ctx(), tester, 7, req).Topics[0].Partitions[0].ErrorCode; c != codeFencedInstance {
						t.Errorf("commit with the old id: %d", c)
					}

					// And the record knows the new id.
					v := lastGroupValue(t, r)
					for _, m := range v.Members {
						if *m.InstanceID == instance && (m.MemberID != resp.MemberID || string(m.Assignment) != map[string]string{"a": "A", "b": "B"}[instance]) {
							t.Errorf("%+v", m)
						}
					}
				})
			})
		}
	}
}

func TestStaticMemberWithOtherProtocolRebalances(t *testing.T) {
	bubble(t, withDelay, func(t *testing.T, r *rig) {
		ja := r.join(5, static(withProtocols(joinReq("s", ""), "x", "y"), "a"))
		a := ja.wait().MemberID
		r.sync("s", a, 1, nil).wait()
		resp := r.joinNow(5, static(withProtocols(joinReq("s", ""), "y", "x"), "a"))
		if resp.Generation != 2 || *resp.Protocol != "y" {
			t.Errorf("%+v", resp)
		}
	})
}

func withProtocols(req *kmsg.JoinGroupRequest, names ...string) *kmsg.JoinGroupRequest {
	req.Protocols = nil
	for _, n := range names {
		req.Protocols = append(req.Protocols, kmsg.JoinGroupRequestProtocol{Name: n, Metadata: subscription("t")})
	}
	return req
}

func TestStaticMemberStaysUntilItsSessionEnds(t *testing.T) {
	bubble(t, withDelay, func(t *testing.T, r *rig) {
		a, b, gen := staticGroup(t, r)
		req := static(joinReq("s", a), "a")
		req.SessionTimeoutMillis = 600_000
		j := r.join(5, req) // b does not rejoin, but is kept past the rebalance timeout as its session goes on
		for range 70 {
			if j.done() {
				break
			}
			r.heartbeat("s", b, gen)
			sleep(time.Second)
		}
		if !j.done() || j.resp.Generation != gen+1 || len(j.resp.Members) != 2 {
			t.Fatalf("%+v", j.resp)
		}
		r.sync("s", a, gen+1, nil).wait()
		sleep(11 * time.Second)
		r.wantState("s", "PreparingRebalance") // b's session ended
		if n := len(r.describe("s").Members); n != 1 {
			t.Errorf("%d members", n)
		}
	})
}

func TestStaticMemberDuringRebalance(t *testing.T) {
	bubble(t, withDelay, func(t *testing.T, r *rig) {
		a, b, gen := staticGroup(t, r)
		ja := r.join(5, static(joinReq("s", a), "a"))
		if ja.done() {
			t.Fatal("joined alone")
		}
		// a restarts while its first request is parked: that one is fenced.
		ja2 := r.join(5, static(joinReq("s", ""), "a"))
		if !ja.done() || ja.resp.ErrorCode != codeFencedInstance {
			t.Fatalf("%+v", ja.resp)
		}
		jb := r.join(5, static(joinReq("s", b), "b"))
		a = ja2.wait().MemberID
		if jb.wait().Generation != gen+1 || ja2.resp.LeaderID != a || len(ja2.resp.Members) != 2 {
			t.Fatalf("%+v", ja2.resp)
		}
		// In CompletingRebalance the leader may know the old id: everybody starts over.
		sb := r.sync("s", b, gen+1, nil)
		if sb.done() {
			t.Fatal("synced before the leader")
		}
		ja3 := r.join(5, static(joinReq("s", ""), "a"))
		if !sb.done() || sb.resp.ErrorCode != codeRebalanceInProgress {
			t.Errorf("%+v", sb.resp)
		}
		r.wantState("s", "PreparingRebalance")
		jb = r.join(5, static(joinReq("s", b), "b"))
		if ja3.wait().Generation != gen+2 || jb.wait().Generation != gen+2 {
			t.Errorf("%+v", ja3.resp)
		}
	})
}

func TestAdministratorRemovesStaticMember(t *testing.T) {
	bubble(t, withDelay, func(t *testing.T, r *rig) {
		a, b, _ := staticGroup(t, r)
		instA, instB, who := "a", "b", "who"
		resp := r.c.Leave(ctx(), tester, 5, &kmsg.LeaveGroupRequest{Group: "s", Members: []kmsg.LeaveGroupRequestMember{
			{InstanceID: &who}, {MemberID: ""}, {MemberID: b, InstanceID: &instA}, {MemberID: a, InstanceID: &who}, {InstanceID: &instB}, {MemberID: a, InstanceID: &instA},
		}})
		got := []int16{}
		for _, m := range resp.Members {
			got = append(got, m.ErrorCode)
		}
		r.wantCodes("leave", got, 25, 25, codeFencedInstance, 25, 0, 0)
		r.wantState("s", "Empty")
	})
}

func TestStaticRejoinIsTakenBackIfItCannotBeStored(t *testing.T) {
	bubble(t, withDelay, func(t *testing.T, r *rig) {
		a, _, gen := staticGroup(t, r)
		r.log.FailAppends(func(int32, batch.View) error { return kerr.NotEnoughReplicas })
		resp := r.joinNow(9, static(joinReq("s", ""), "a"))
		if resp.ErrorCode != codeNotAvailable || resp.MemberID != "" || len(resp.Members) != 0 {
			t.Errorf("%+v", resp)
		}
		if c := r.heartbeat("s", a, gen); c != 0 {
			t.Errorf("old member: %d", c)
		}
		r.log.FailAppends(nil)
		if resp := r.joinNow(9, static(joinReq("s", ""), "a")); resp.ErrorCode != 0 || resp.Generation != gen {
			t.Errorf("%+v", resp)
		}
	})
}

func TestAssignmentErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int16
	}{
		{kerr.UnknownTopicOrPartition, 15}, {kerr.NotEnoughReplicas, 15}, {kerr.NotEnoughReplicasAfterAppend, 15}, {kerr.NotLeaderForPartition, 16},
		{kerr.KafkaStorageError, 16}, {kerr.RequestTimedOut, 27}, {kerr.MessageTooLarge, -1}, {kerr.RecordListTooLarge, -1}, {kerr.InvalidProducerEpoch, 47},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			bubble(t, Config{}, func(t *testing.T, r *rig) {
				m := r.join(3, joinReq("g", "")).wait().MemberID
				r.log.FailAppends(func(int32, batch.View) error { return fmt.Errorf("append: %w", c.err) })
				if resp := r.sync("g", m, 1, nil).wait(); resp.ErrorCode != c.want {
					t.Errorf("error %d, want %d", resp.ErrorCode, c.want)
				}
				r.wantState("g", "PreparingRebalance")
				r.log.FailAppends(nil)
				if j := r.joinNow(3, joinReq("g", m)); j.Generation != 2 {
					t.Errorf("%+v", j)
				}
			})
		})
	}
}

func TestAssignmentThatIsNotCommittedInTime(t *testing.T) {
	bubble(t, withDelay, func(t *testing.T, r *rig) {
		ms, _ := r.stableGroup("g", 2)
		ja := r.join(3, joinReq("g", ms[0]))
		synctest.Wait()
		jb := r.join(3, joinReq("g", ms[1]))
		gen := ja.wait().Generation
		jb.wait()
		r.log.HoldHighWatermark(true)
		sa := r.sync("g", ms[0], gen, map[string]string{ms[0]: "new"})
		if sa.done() {
			t.Fatal("answered before the commit")
		}
		sb := r.sync("g", ms[1], gen, nil) // rests on the same record
		if sb.done() {
			t.Fatal("answered before the commit")
		}
		if c := r.heartbeat("g", ms[1], gen); c != 0 {
			t.Errorf("heartbeat: %d", c)
		}
		start := time.Now()
		if c := sa.wait().ErrorCode; c != codeRebalanceInProgress || time.Since(start) != 5*time.Second {
			t.Errorf("error %d after %v", c, time.Since(start))
		}
		if c := sb.wait().ErrorCode; c != codeRebalanceInProgress {
			t.Errorf("error %d", c)
		}
		r.log.HoldHighWatermark(false)
		r.wantState("g", "PreparingRebalance")
	})
}

func TestRebalanceAnswersThoseWhoWaitForACommit(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		m := r.join(3, joinReq("g", "")).wait().MemberID
		r.log.HoldHighWatermark(true)
		s := r.sync("g", m, 1, map[string]string{m: "x"})
		synctest.Wait()
		j := r.join(3, joinReq("g", ""))
		if !s.done() || s.resp.ErrorCode != codeRebalanceInProgress {
			t.Errorf("%+v", s.resp)
		}
		r.log.HoldHighWatermark(false)
		r.join(3, joinReq("g", m)).wait()
		j.wait()
	})
}

func TestMovingPartitionAnswersParkedRequests(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		ms, gen := r.stableGroup("g", 2)
		j := r.join(3, joinReq("g", ""))
		synctest.Wait()
		r.c.Resigned(0, 2)
		if resp := j.wait(); resp.ErrorCode != codeNotCoordinator || resp.Generation != -1 {
			t.Errorf("%+v", resp)
		}
		r.wantCodes("not coordinator", []int16{
			r.heartbeat("g", ms[0], gen), r.sync("g", ms[0], gen, nil).wait().ErrorCode, r.joinNow(3, joinReq("g", "")).ErrorCode, r.commit("g", ms[0], gen, "t", 1, 0),
			r.describe("g").ErrorCode, r.leave("g", ms[0])[0],
		}, 16, 16, 16, 16, 16, 16)
		if got := r.offsets("g"); fmt.Sprint(got) != "[error 16]" {
			t.Error(got)
		}

		r.log.FailReads(errors.New("asleep"))
		r.c.Elected(0, 5)
		synctest.Wait()
		r.wantCodes("loading", []int16{
			r.heartbeat("g", ms[0], gen), r.sync("g", ms[0], gen, nil).wait().ErrorCode, r.joinNow(3, joinReq("g", "")).ErrorCode, r.commit("g", ms[0], gen, "t", 1, 0),
			r.describe("g").ErrorCode, r.leave("g", ms[0])[0], r.c.List(ctx(), tester, 4, &kmsg.ListGroupsRequest{}).ErrorCode,
		}, 0, 27, 14, 14, 14, 14, 14)
		r.log.FailReads(nil)
		sleep(time.Second)
		r.wantState("g", "Stable")
		if c := r.heartbeat("g", ms[0], gen); c != 0 {
			t.Errorf("heartbeat after loading: %d", c)
		}
		r.c.Close()
		r.wantCodes("closed", []int16{r.heartbeat("g", ms[0], gen), r.c.List(ctx(), tester, 4, &kmsg.ListGroupsRequest{}).ErrorCode}, 15, 15)
	})
}
