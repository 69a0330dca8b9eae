package group

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestFirstJoinWaitsInitialDelayAndNewMembersExtendIt(t *testing.T) {
	bubble(t, Config{InitialRebalanceDelay: 3 * time.Second}, func(t *testing.T, r *rig) {
		start := time.Now()
		a := r.join(3, joinReq("g", ""))
		sleep(2 * time.Second)
		b := r.join(3, joinReq("g", ""))
		sleep(2 * time.Second) // the delay was extended by b
		if a.done() || b.done() {
			t.Fatal("joined before the extended delay")
		}
		ra, rb := a.wait(), b.wait()
		if d := time.Since(start); d != 6*time.Second {
			t.Errorf("joined after %v", d)
		}
		if ra.Generation != 1 || rb.Generation != 1 || ra.LeaderID != ra.MemberID || rb.LeaderID != ra.MemberID {
			t.Errorf("%+v, %+v", ra, rb)
		}
		if len(ra.Members) != 2 || len(rb.Members) != 0 || *ra.Protocol != "range" {
			t.Errorf("leader got %d members, the other %d, protocol %v", len(ra.Members), len(rb.Members), *ra.Protocol)
		}
		if !strings.HasPrefix(ra.MemberID, "tester-") || len(ra.MemberID) != len("tester-")+36 {
			t.Errorf("member id %q", ra.MemberID)
		}
		r.wantState("g", "CompletingRebalance")
	})
}

func TestInitialDelayIsBoundedByRebalanceTimeout(t *testing.T) {
	bubble(t, Config{InitialRebalanceDelay: 3 * time.Second}, func(t *testing.T, r *rig) {
		start := time.Now()
		req := func() *kmsg.JoinGroupRequest {
			req := joinReq("g", "")
			req.RebalanceTimeoutMillis = 10_000
			return req
		}
		first := r.join(3, req())
		var others []*joining
		for !first.done() {
			others = append(others, r.join(3, req()))
			sleep(time.Second)
		}
		if d := time.Since(start); d < 9*time.Second || d > 13*time.Second {
			t.Errorf("joined after %v", d)
		}
		for _, j := range others {
			j.wait()
		}
	})
}

func TestFirstRebalanceWaitsForPendingMembers(t *testing.T) {
	for _, comes := range []bool{true, false} {
		bubble(t, Config{}, func(t *testing.T, r *rig) {
			start := time.Now()
			first, second := r.joinNow(4, joinReq("g", "")), r.joinNow(4, joinReq("g", ""))
			a := r.join(4, joinReq("g", first.MemberID))
			sleep(pendingGrace / 2)
			if a.done() {
				t.Fatal("the first rebalance did not wait for the second client")
			}
			members, after := 1, pendingGrace
			if comes {
				members, after = 2, pendingGrace/2
				r.join(4, joinReq("g", second.MemberID))
			}
			if got := a.wait(); got.Generation != 1 || len(got.Members) != members || time.Since(start) != after {
				t.Errorf("generation %d of %d members after %v, want 1, %d, %v", got.Generation, len(got.Members), time.Since(start), members, after)
			}
		})
	}
}

func TestMemberIDRequired(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		first := r.joinNow(4, joinReq("g", ""))
		if first.ErrorCode != codeMemberIDRequired || first.MemberID == "" || first.Generation != -1 {
			t.Fatalf("%+v", first)
		}
		r.wantState("g", "Empty")
		resp := r.join(4, joinReq("g", first.MemberID)).wait()
		if resp.ErrorCode != 0 || resp.MemberID != first.MemberID || resp.Generation != 1 {
			t.Fatalf("%+v", resp)
		}

		// A pending id is good for one session timeout, and a rebalance waits for it.
		pending := r.joinNow(4, joinReq("g", ""))
		again := r.join(4, joinReq("g", first.MemberID)) // same metadata in CompletingRebalance
		if !again.done() || again.resp.Generation != 1 || len(again.resp.Members) != 1 {
			t.Fatalf("rejoin of the leader: %+v", again.resp)
		}
		r.sync("g", first.MemberID, 1, nil).wait()
		rejoin := r.join(4, joinReq("g", first.MemberID)) // the leader of a stable group rebalances it
		if rejoin.done() {
			t.Fatal("the rebalance did not wait for the pending member")
		}
		start := time.Now()
		if rejoin.wait().Generation != 2 || time.Since(start) != 10*time.Second {
			t.Errorf("generation %d after %v", rejoin.resp.Generation, time.Since(start))
		}
		if gone := r.joinNow(4, joinReq("g", pending.MemberID)); gone.ErrorCode != codeUnknownMemberID {
			t.Errorf("expired pending id: %+v", gone)
		}
	})
}

func TestPendingGroupLeavesNothingBehind(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		p := r.joinNow(4, joinReq("g", ""))
		q := r.joinNow(4, joinReq("g", ""))
		r.wantCodes("leave of a pending member", r.leave("g", p.MemberID), 0)
		r.wantState("g", "Empty")
		sleep(11 * time.Second)
		r.wantState("g", "Dead")
		if resp := r.joinNow(4, joinReq("g", q.MemberID)); resp.ErrorCode != codeUnknownMemberID {
			t.Error(resp.ErrorCode)
		}
		if n := r.log.End(0); n != 0 {
			t.Errorf("%d records were written", n)
		}
	})
}

func TestJoinErrors(t *testing.T) {
	other := "other"
	for _, c := range []struct {
		name    string
		version int16
		change  func(*kmsg.JoinGroupRequest)
		want    int16
	}{
		{"empty group id", 9, func(r *kmsg.JoinGroupRequest) { r.Group = "" }, 24},
		{"session timeout too short", 9, func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 5_999 }, 26},
		{"session timeout too long", 9, func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1_800_001 }, 26},
		{"negative session timeout", 9, func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = -1 }, 26},
		{"unknown member id", 9, func(r *kmsg.JoinGroupRequest) { r.MemberID = "who" }, 25},
		{"unknown member id of an unknown group", 9, func(r *kmsg.JoinGroupRequest) { r.Group, r.MemberID = "h", "who" }, 25},
		{"other protocol type", 9, func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" }, 23},
		{"empty protocol type", 9, func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "" }, 23},
		{"empty protocol type, new group", 3, func(r *kmsg.JoinGroupRequest) { r.Group, r.ProtocolType = "h", "" }, 23},
		{"no protocols, new group", 3, func(r *kmsg.JoinGroupRequest) { r.Group, r.Protocols = "h", nil }, 23},
		{"no common protocol", 9, func(r *kmsg.JoinGroupRequest) { r.Protocols[0].Name = "sticky" }, 23},
		{"no common protocol, known member", 9, func(r *kmsg.JoinGroupRequest) { r.MemberID, r.Protocols[0].Name = "@", "sticky" }, 23},
		{"unknown instance id with a member id", 9, func(r *kmsg.JoinGroupRequest) { r.MemberID, r.InstanceID = "@", &other }, 25},
		{"protocol name too long", 9, func(r *kmsg.JoinGroupRequest) { r.Protocols[0].Name = strings.Repeat("x", 32768) }, 42},
		{"group id too long", 9, func(r *kmsg.JoinGroupRequest) { r.Group = strings.Repeat("x", 32768) }, 42},
		{"instance id too long for a member id", 9, func(r *kmsg.JoinGroupRequest) { l := strings.Repeat("x", 32767); r.InstanceID = &l }, 42},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, Config{}, func(t *testing.T, r *rig) {
				ms, _ := r.stableGroup("g", 1)
				req := joinReq("g", "")
				c.change(req)
				if req.MemberID == "@" {
					req.MemberID = ms[0]
				}
				resp := r.joinNow(c.version, req)
				if resp.ErrorCode != c.want || resp.Generation != -1 || resp.LeaderID != "" || len(resp.Members) != 0 {
					t.Errorf("%+v, want error %d", resp, c.want)
				}
				if (resp.Protocol == nil) != (c.version >= 7) {
					t.Errorf("protocol is %v in version %d", resp.Protocol, c.version)
				}
				r.wantState("g", "Stable")
			})
		})
	}
}

func TestNewMemberRebalancesStableGroup(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		ms, gen := r.stableGroup("g", 2)
		if c := r.heartbeat("g", ms[1], gen); c != 0 {
			t.Fatal(c)
		}
		third := r.join(3, joinReq("g", ""))
		r.wantState("g", "PreparingRebalance")
		for _, m := range ms {
			if c := r.heartbeat("g", m, gen); c != codeRebalanceInProgress {
				t.Errorf("heartbeat: %d", c)
			}
		}
		s := r.sync("g", ms[1], gen, nil)
		if s.wait().ErrorCode != codeRebalanceInProgress {
			t.Errorf("sync: %d", s.resp.ErrorCode)
		}
		a, b := r.join(3, joinReq("g", ms[0])), r.join(3, joinReq("g", ms[1])) // in PreparingRebalance already
		for _, j := range []*joining{third, a, b} {
			resp := j.wait()
			if resp.ErrorCode != 0 || resp.Generation != gen+1 || resp.LeaderID != ms[0] {
				t.Errorf("%+v", resp)
			}
		}
		if len(a.resp.Members) != 3 {
			t.Errorf("leader got %d members", len(a.resp.Members))
		}
		if c := r.heartbeat("g", ms[0], gen); c != codeIllegalGeneration {
			t.Errorf("old generation: %d", c)
		}
		if c := r.heartbeat("g", ms[0], gen+1); c != 0 {
			t.Errorf("heartbeat in CompletingRebalance: %d", c)
		}
	})
}

func TestMembersThatDoNotRejoinAreRemoved(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		ms, gen := r.stableGroup("g", 3)
		start := time.Now()
		b := r.join(3, joinReq("g", ms[1])) // unchanged follower: answered at once
		if !b.done() || b.resp.Generation != gen || b.resp.LeaderID != ms[0] {
			t.Fatalf("%+v", b.resp)
		}
		changed := joinReq("g", ms[1])
		changed.Protocols[0].Metadata = subscription("t", "u")
		b = r.join(3, changed)
		var stop atomic.Bool
		go func() { // keeps the sessions of those that do not rejoin alive
			for !stop.Load() {
				r.heartbeat("g", ms[0], gen)
				r.heartbeat("g", ms[2], gen)
				time.Sleep(3 * time.Second)
			}
		}()
		resp := b.wait()
		stop.Store(true)
		if d := time.Since(start); d != time.Minute || resp.Generation != gen+1 || resp.LeaderID != ms[1] || len(resp.Members) != 1 {
			t.Errorf("after %v: %+v", d, resp)
		}
		if c := r.heartbeat("g", ms[0], gen); c != codeUnknownMemberID {
			t.Errorf("removed member: %d", c)
		}
		sleep(4 * time.Second)
	})
}

func TestSessionTimeoutRemovesMember(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		ms, gen := r.stableGroup("g", 1)
		for range 5 {
			sleep(9 * time.Second)
			if c := r.heartbeat("g", ms[0], gen); c != 0 {
				t.Fatal(c)
			}
		}
		r.wantState("g", "Stable")
		sleep(9 * time.Second)
		if c := r.commit("g", ms[0], gen, "t", 1, 0); c != 0 { // a commit keeps the session too
			t.Fatal(c)
		}
		sleep(9 * time.Second)
		r.wantState("g", "Stable")
		sleep(2 * time.Second)
		r.wantState("g", "Empty")
		if d := r.describe("g"); d.ProtocolType != "consumer" || len(d.Members) != 0 {
			t.Errorf("%+v", d)
		}
		last := lastGroupValue(t, r)
		if last.Generation != gen+1 || len(last.Members) != 0 || last.Protocol != nil || last.Leader != nil {
			t.Errorf("%+v", last)
		}
	})
}

func TestMemberThatNeverSyncsIsRemoved(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		ms, _ := r.stableGroup("g", 2)
		a := r.join(3, joinReq("g", ms[0]))
		synctest.Wait()
		b := r.join(3, joinReq("g", ms[1]))
		gen := a.wait().Generation
		b.wait()
		if resp := r.sync("g", ms[0], gen, map[string]string{ms[0]: "x"}).wait(); resp.ErrorCode != 0 || string(resp.MemberAssignment) != "x" {
			t.Fatalf("%+v", resp)
		}
		for range 59 {
			sleep(time.Second)
			for _, m := range ms {
				if c := r.heartbeat("g", m, gen); c != 0 {
					t.Fatal(c)
				}
			}
		}
		sleep(time.Second)
		if c := r.heartbeat("g", ms[1], gen); c != codeUnknownMemberID {
			t.Errorf("the member that did not sync: %d", c)
		}
		if c := r.heartbeat("g", ms[0], gen); c != codeRebalanceInProgress {
			t.Errorf("the other: %d", c)
		}
	})
}

func TestNewMemberWaitsFiveMinutesAtMost(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		slow := joinReq("g", "")
		slow.RebalanceTimeoutMillis = 600_000
		m := r.join(3, slow).wait().MemberID
		r.sync("g", m, 1, nil).wait()
		start := time.Now()
		j := r.join(3, joinReq("g", ""))
		for !j.done() && time.Since(start) < 10*time.Minute {
			r.heartbeat("g", m, 1)
			sleep(time.Second)
		}
		if j.resp == nil || j.resp.ErrorCode != codeUnknownMemberID || j.resp.MemberID != "" || time.Since(start).Round(time.Minute) != 5*time.Minute {
			t.Errorf("after %v: %+v", time.Since(start), j.resp)
		}
		if n := len(r.describe("g").Members); n != 1 {
			t.Errorf("%d members", n)
		}
	})
}

func TestGroupMaxSize(t *testing.T) {
	bubble(t, Config{MaxSize: 2}, func(t *testing.T, r *rig) {
		ms, gen := r.stableGroup("g", 2)
		if resp := r.joinNow(3, joinReq("g", "")); resp.ErrorCode != codeGroupMaxSize || resp.MemberID != "" {
			t.Errorf("%+v", resp)
		}
		if c := r.heartbeat("g", ms[0], gen); c != 0 {
			t.Errorf("the group was disturbed: %d", c)
		}
		pending := joinReq("g", "")
		if resp := r.joinNow(9, pending); resp.ErrorCode != codeGroupMaxSize {
			t.Errorf("%+v", resp)
		}
	})
}

func TestProtocolIsChosenByVotes(t *testing.T) {
	bubble(t, Config{InitialRebalanceDelay: time.Second}, func(t *testing.T, r *rig) {
		with := func(names ...string) *joining {
			req := joinReq("g", "")
			req.Protocols = nil
			for _, n := range names {
				req.Protocols = append(req.Protocols, kmsg.JoinGroupRequestProtocol{Name: n, Metadata: []byte(n)})
			}
			j := r.join(7, req)
			if j.done() { // version 4 and later: come back with the id
				req.MemberID = j.resp.MemberID
				j = r.join(7, req)
			}
			sleep(0)
			return j
		}
		a := with("a", "b", "c")
		b := with("c", "b", "x")
		c := with("x", "c", "b")
		d := with("c", "b", "a")
		if resp := a.wait(); *resp.Protocol != "c" || *resp.ProtocolType != "consumer" || string(resp.Members[3].ProtocolMetadata) != "c" {
			t.Errorf("protocol %q", *resp.Protocol) // votes: b, c, c, c
		}
		b.wait()
		c.wait()
		d.wait()
	})
}

func TestLeave(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		ms, gen := r.stableGroup("g", 3)
		r.wantCodes("unknown group", r.leave("h", ms[0]), codeUnknownMemberID)
		r.wantCodes("batch", r.leave("g", ms[1], "who", ms[1]), 0, codeUnknownMemberID, codeUnknownMemberID)
		r.wantState("g", "PreparingRebalance")
		if resp := r.c.Leave(ctx(), tester, 2, &kmsg.LeaveGroupRequest{Group: "g", MemberID: "who"}); resp.ErrorCode != codeUnknownMemberID {
			t.Error(resp.ErrorCode)
		}
		if resp := r.c.Leave(ctx(), tester, 0, &kmsg.LeaveGroupRequest{Group: "g", MemberID: ms[2]}); resp.ErrorCode != 0 || len(resp.Members) != 0 {
			t.Errorf("%+v", resp)
		}
		j := r.join(3, joinReq("g", ms[0]))
		if !j.done() || j.resp.Generation != gen+1 || len(j.resp.Members) != 1 {
			t.Fatalf("%+v", j.resp)
		}
		r.wantCodes("last", r.leave("g", ms[0]), 0)
		r.wantState("g", "Empty")
		if resp := r.c.Leave(ctx(), tester, 3, &kmsg.LeaveGroupRequest{}); resp.ErrorCode != codeInvalidGroupID {
			t.Error(resp.ErrorCode)
		}
	})
}

func TestLeavingMemberEndsWaitOfTheOthers(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		ms, gen := r.stableGroup("g", 3)
		a := r.join(3, joinReq("g", ms[0]))
		if a.done() {
			t.Fatal("joined without the others")
		}
		b := r.join(3, joinReq("g", ms[1]))
		if b.done() {
			t.Fatal("joined without the third")
		}
		r.leave("g", ms[2])
		if !a.done() || !b.done() || a.resp.Generation != gen+1 {
			t.Error("the rebalance still waits for a member that left")
		}
	})
}

func TestSyncErrors(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		ms, gen := r.stableGroup("g", 1)
		consumer, connect, rangeName := "consumer", "connect", "range"
		for _, c := range []struct {
			name    string
			version int16
			req     kmsg.SyncGroupRequest
			want    int16
		}{
			{"empty group id", 4, kmsg.SyncGroupRequest{}, 24},
			{"unknown group", 4, kmsg.SyncGroupRequest{Group: "h", MemberID: ms[0]}, 25},
			{"unknown member", 4, kmsg.SyncGroupRequest{Group: "g", MemberID: "who", Generation: gen}, 25},
			{"old generation", 4, kmsg.SyncGroupRequest{Group: "g", MemberID: ms[0], Generation: gen - 1}, 22},
			{"version 5 without protocol", 5, kmsg.SyncGroupRequest{Group: "g", MemberID: ms[0], Generation: gen}, 23},
			{"other protocol type", 5, kmsg.SyncGroupRequest{Group: "g", MemberID: ms[0], Generation: gen, ProtocolType: &connect, Protocol: &rangeName}, 23},
			{"other protocol", 5, kmsg.SyncGroupRequest{Group: "g", MemberID: ms[0], Generation: gen, ProtocolType: &consumer, Protocol: &connect}, 23},
			{"right", 5, kmsg.SyncGroupRequest{Group: "g", MemberID: ms[0], Generation: gen, ProtocolType: &consumer, Protocol: &rangeName}, 0},
		} {
			resp := r.c.Sync(ctx(), tester, c.version, &c.req)
			if resp.ErrorCode != c.want {
				t.Errorf("%s: error %d, want %d", c.name, resp.ErrorCode, c.want)
			}
			if ok := resp.ErrorCode == 0; ok != (resp.Protocol != nil) || ok != (resp.ProtocolType != nil) || resp.MemberAssignment == nil {
				t.Errorf("%s: %+v", c.name, resp)
			}
		}
	})
}

func TestHeartbeatErrors(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		ms, gen := r.stableGroup("g", 1)
		got := []int16{r.heartbeat("", ms[0], gen), r.heartbeat("h", ms[0], gen), r.heartbeat("g", "who", gen), r.heartbeat("g", ms[0], gen+1), r.heartbeat("g", ms[0], gen)}
		r.wantCodes("heartbeats", got, 24, 25, 25, 22, 0)
	})
}

// anyTags leaves tagged fields out of comparisons.
var anyTags = cmp.Comparer(func(a, b kmsg.Tags) bool { return true })

// lastGroupValue decodes the last group record that was written.
func lastGroupValue(t *testing.T, r *rig) *kmsg.GroupMetadataValue {
	t.Helper()
	vs := groupValues(t, r)
	return vs[len(vs)-1]
}

func groupValues(t *testing.T, r *rig) []*kmsg.GroupMetadataValue {
	t.Helper()
	var vs []*kmsg.GroupMetadataValue
	for _, rec := range records(r.log, 0) {
		if v, _ := keyVersion(rec.Key); v != groupKeyVersion || rec.Value == nil {
			continue
		}
		v, err := decodeGroupValue(rec.Value)
		if err != nil {
			t.Fatal(err)
		}
		vs = append(vs, v)
	}
	return vs
}

func TestGroupRecordIsWrittenWhenKafkaWritesIt(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		j := r.join(3, joinReq("g", ""))
		m := j.wait().MemberID
		if n := r.log.End(0); n != 0 {
			t.Errorf("a join wrote %d records", n)
		}
		joined := time.Now().UnixMilli()
		sleep(time.Second)
		r.sync("g", m, 1, map[string]string{m: "a", "stranger": "b"}).wait()
		want := &kmsg.GroupMetadataValue{
			Version: 3, ProtocolType: "consumer", Generation: 1, Protocol: kmsg.StringPtr("range"), Leader: &m, CurrentStateTimestamp: joined,
			Members: []kmsg.GroupMetadataValueMember{{
				MemberID: m, ClientID: "tester", ClientHost: "/127.0.0.1", RebalanceTimeoutMillis: 60_000, SessionTimeoutMillis: 10_000,
				Subscription: subscription("t"), Assignment: []byte("a"),
			}},
		}
		if d := cmp.Diff(want, lastGroupValue(t, r), anyTags); d != "" {
			t.Error(d)
		}
		r.heartbeat("g", m, 1)
		r.leave("g", m) // answered before the record is written
		synctest.Wait()
		left := time.Now().UnixMilli()
		want = &kmsg.GroupMetadataValue{Version: 3, ProtocolType: "consumer", Generation: 2, CurrentStateTimestamp: left}
		if d := cmp.Diff(want, lastGroupValue(t, r), anyTags); d != "" {
			t.Error(d)
		}
		if n := r.log.End(0); n != 2 {
			t.Errorf("%d records", n)
		}
	})
}
