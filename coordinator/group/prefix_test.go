package group

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator/logtest"
)

// storyGroup is what the model knows of a group.
type storyGroup struct {
	classic  []string // member ids, the leader first
	instance map[string]string
	gen      int32
	assigned map[string]string
	modern   map[string]*modern
	consumer bool // the members were of the consumer protocol last
	offsets  map[string]storyOffset
	exists   bool
}

// storyOffset is a committed offset. seq orders commits, those of transactions by when they were made.
type storyOffset struct {
	at  int64
	seq int
}

type storyPending struct {
	group string
	part  string
	storyOffset
}

// story is a random sequence of requests to one coordinator, and a model of what they lead to.
type story struct {
	t      *testing.T
	r      *rig
	rng    *rand.Rand
	names  []string
	groups map[string]*storyGroup
	open   map[int64][]storyPending // transactions by producer id
	seq    int
	log    []string // what was done
}

func (s *story) did(format string, args ...any) { s.log = append(s.log, fmt.Sprintf(format, args...)) }

// want fails the test unless an answer is the expected one.
func (s *story) want(what string, got, want int16) {
	s.t.Helper()
	if got != want {
		s.t.Fatalf("%s: error %d, want %d, after\n%s", what, got, want, strings.Join(s.log, "\n"))
	}
}

func (s *story) put(g *storyGroup, part string, o storyOffset) {
	if g.offsets[part].seq < o.seq {
		g.offsets[part] = o
	}
	g.exists = true
}

// gone forgets the group if nothing is left of it: one that never had a member has no record of its own.
func (s *story) gone(name string) {
	g := s.groups[name]
	if len(g.offsets) > 0 || g.gen > 0 || g.consumer || len(g.classic)+len(g.modern) > 0 {
		return
	}
	if !s.pending(name, "") {
		s.groups[name] = newStoryGroup()
	}
}

func newStoryGroup() *storyGroup {
	return &storyGroup{instance: map[string]string{}, assigned: map[string]string{}, modern: map[string]*modern{}, offsets: map[string]storyOffset{}}
}

// rebalance lets everybody join, one more if extra is not nil, and the leader assign.
func (s *story) rebalance(name string, extra *kmsg.JoinGroupRequest) {
	g := s.groups[name]
	var joins []*joining
	start := func(req *kmsg.JoinGroupRequest) {
		joins = append(joins, s.r.join(5, req))
		synctest.Wait()
	}
	if extra != nil {
		start(extra)
	}
	for _, id := range g.classic {
		req := joinReq(name, id)
		if inst := g.instance[id]; inst != "" {
			req = static(req, inst)
		}
		start(req)
	}
	plan := map[string]string{}
	var ids []string
	var leader string
	for _, j := range joins {
		resp := j.wait()
		s.want("JoinGroup of "+name, resp.ErrorCode, 0)
		ids = append(ids, resp.MemberID)
		if extra != nil && j == joins[0] && extra.InstanceID != nil {
			g.instance[resp.MemberID] = *extra.InstanceID
		}
		g.gen, leader = resp.Generation, resp.LeaderID
		plan[resp.MemberID] = fmt.Sprint("plan ", s.rng.Int())
	}
	if !slices.Contains(ids, leader) {
		s.t.Fatalf("%s: leader %q is not among %q", name, leader, ids)
	}
	slices.SortFunc(ids, func(a, b string) int { // the leader first
		if a == leader || b == leader {
			return map[bool]int{true: -1, false: 1}[a == leader]
		}
		return strings.Compare(a, b)
	})
	for i := len(ids) - 1; i >= 0; i-- {
		var a map[string]string
		if i == 0 {
			a = plan
		}
		sy := s.r.sync(name, ids[i], g.gen, a)
		if i == 0 {
			s.want("SyncGroup of "+name, sy.wait().ErrorCode, 0)
		}
		synctest.Wait()
	}
	g.classic, g.assigned, g.consumer, g.exists = ids, plan, false, true
}

func (s *story) commit(name string, g *storyGroup) {
	part := fmt.Sprintf("%s-%d", []string{"t", "u"}[s.rng.IntN(2)], s.rng.IntN(3))
	var topic string
	var p int32
	fmt.Sscanf(strings.ReplaceAll(part, "-", " "), "%s %d", &topic, &p)
	s.seq++
	at := s.rng.Int64N(1000)
	member, gen, version := "", int32(-1), int16(7)
	switch {
	case len(g.classic) > 0:
		member, gen = g.classic[s.rng.IntN(len(g.classic))], g.gen
		if s.rng.IntN(8) == 0 {
			s.want("commit of an old generation", s.r.commit(name, member, gen-1, topic, at, p), codeIllegalGeneration)
			s.want("commit of a stranger", s.r.commit(name, "stranger", gen, topic, at, p), codeUnknownMemberID)
			return
		}
	case len(g.modern) > 0:
		ids := slices.Sorted(maps.Keys(g.modern))
		m := g.modern[ids[s.rng.IntN(len(ids))]]
		member, gen, version = m.id, m.epoch, 9
	}
	s.did("commit %s %s@%d", name, part, at)
	resp := s.r.c.CommitOffsets(ctx(), tester, version, commitReq(name, member, gen, topic, at, p))
	s.want("commit", resp.Topics[0].Partitions[0].ErrorCode, 0)
	s.put(g, part, storyOffset{at, s.seq})
}

func (s *story) endTxn(pid int64, commit bool) {
	s.did("end %d commit=%t", pid, commit)
	s.r.endTxn(pid, commit)
	synctest.Wait()
	txn := s.open[pid]
	delete(s.open, pid)
	for _, p := range txn {
		if commit {
			s.put(s.groups[p.group], p.part, p.storyOffset)
		}
	}
}

// silence lets so much time pass that all sessions end, and with long all offsets expire.
func (s *story) silence(long bool) {
	s.did("silence long=%t", long)
	if !long {
		sleep(2 * time.Minute)
	} else {
		sleep(3 * time.Hour)
	}
	for name, g := range s.groups {
		g.classic, g.assigned = nil, map[string]string{}
		clear(g.modern)
		clear(g.instance)
		if !long {
			continue
		}
		maps.DeleteFunc(g.offsets, func(part string, _ storyOffset) bool { return !s.pending(name, part) })
		if len(g.offsets) == 0 && !s.pending(name, "") {
			s.groups[name] = newStoryGroup()
		}
	}
}

// pending tells whether an open transaction has an offset for a part, "" for any.
func (s *story) pending(name, part string) bool {
	for _, txn := range s.open {
		if slices.ContainsFunc(txn, func(p storyPending) bool { return p.group == name && (part == "" || p.part == part) }) {
			return true
		}
	}
	return false
}

// forgetPending drops what transactions have pending for a part, "" for all.
func (s *story) forgetPending(name, part string) {
	for pid, txn := range s.open {
		s.open[pid] = slices.DeleteFunc(txn, func(p storyPending) bool { return p.group == name && (part == "" || p.part == part) })
	}
}

func (s *story) step() {
	name := s.names[s.rng.IntN(len(s.names))]
	g := s.groups[name]
	switch x := s.rng.IntN(20); {
	case x < 7:
		s.commit(name, g)
	case x < 10 && len(g.modern) == 0 && len(g.classic) < 4: // a classic member comes
		req := joinReq(name, "")
		if s.rng.IntN(3) == 0 {
			inst := fmt.Sprint("i", s.rng.IntN(100))
			if slices.Contains(slices.Collect(maps.Values(g.instance)), inst) {
				return
			}
			req = static(req, inst)
		}
		s.did("join %s", name)
		if req.InstanceID == nil { // version 5 asks it to come back with the id it is given
			resp := s.r.joinNow(5, req)
			s.want("JoinGroup", resp.ErrorCode, codeMemberIDRequired)
			req.MemberID = resp.MemberID
		}
		s.rebalance(name, req)
	case x == 10 && len(g.classic) > 0: // one goes
		id := g.classic[s.rng.IntN(len(g.classic))]
		s.did("leave %s %s", name, id)
		if inst := g.instance[id]; inst != "" {
			s.r.c.Leave(ctx(), tester, 5, &kmsg.LeaveGroupRequest{Group: name, Members: []kmsg.LeaveGroupRequestMember{{InstanceID: &inst}}})
		} else {
			s.r.wantCodes("leave", s.r.leave(name, id), 0)
		}
		delete(g.instance, id)
		g.classic = slices.DeleteFunc(g.classic, func(o string) bool { return o == id })
		if len(g.classic) > 0 {
			s.rebalance(name, nil)
		} else {
			synctest.Wait()
			g.assigned = map[string]string{}
			g.gen++
		}
	case x < 13 && len(g.classic) == 0 && len(g.modern) < 3: // a member of the consumer protocol comes
		s.seq++
		m := s.r.modern(name, fmt.Sprint("m", s.seq), "t")
		s.did("heartbeat %s %s", name, m.id)
		g.modern[m.id] = m
		s.settle(g)
		g.consumer, g.exists, g.gen = true, true, 0
	case x == 13 && len(g.modern) > 0:
		id := slices.Sorted(maps.Keys(g.modern))[0]
		s.did("leave %s %s", name, id)
		s.want("leave", g.modern[id].leave(-1), 0)
		delete(g.modern, id)
		s.settle(g)
	case x < 16: // a transaction
		pid, part := s.rng.Int64N(3), s.rng.Int32N(3)
		s.seq++
		at := s.rng.Int64N(1000)
		s.did("transaction %d: %s t-%d@%d", pid, name, part, at)
		s.want("TxnOffsetCommit", s.r.txnCommit(2, name, pid, at, part), 0)
		g.exists = true
		p := fmt.Sprint("t-", part)
		others := slices.DeleteFunc(s.open[pid], func(o storyPending) bool { return o.group == name && o.part == p })
		s.open[pid] = append(others, storyPending{name, p, storyOffset{at, s.seq}})
	case x == 16 && len(s.open) > 0:
		pids := slices.Sorted(maps.Keys(s.open))
		s.endTxn(pids[s.rng.IntN(len(pids))], s.rng.IntN(2) == 0)
	case x == 17:
		s.remove(name, g)
	case x == 18 && s.rng.IntN(4) == 0:
		s.did("topic u is deleted")
		s.r.c.OnTopicsDeleted([]string{"u"})
		synctest.Wait()
		for name, g := range s.groups {
			maps.DeleteFunc(g.offsets, func(part string, _ storyOffset) bool { return part[0] == 'u' })
			s.gone(name)
		}
	case x == 19 && s.rng.IntN(6) == 0:
		s.silence(s.rng.IntN(2) == 0)
	}
}

// remove deletes a group, or an offset of it.
func (s *story) remove(name string, g *storyGroup) {
	members := len(g.classic) + len(g.modern)
	if s.rng.IntN(2) == 0 {
		if members > 0 || !g.exists { // subscribed topics keep their offsets, which offsets_test.go is about
			return
		}
		s.did("delete offset %s t-0", name)
		req := &kmsg.OffsetDeleteRequest{
			Group: name, Topics: []kmsg.OffsetDeleteRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}}}}
		s.want("OffsetDelete", s.r.c.DeleteOffsets(ctx(), tester, 0, req).ErrorCode, 0)
		_, had := g.offsets["t-0"]
		had = had || s.pending(name, "t-0")
		delete(g.offsets, "t-0")
		s.forgetPending(name, "t-0")
		if had {
			s.gone(name)
		}
		return
	}
	want := int16(0)
	switch {
	case members > 0:
		want = 68 // NON_EMPTY_GROUP
	case !g.exists:
		want = 69 // GROUP_ID_NOT_FOUND
	}
	s.did("delete %s", name)
	s.want("DeleteGroups", s.r.c.Delete(ctx(), tester, 2, &kmsg.DeleteGroupsRequest{Groups: []string{name}}).Groups[0].ErrorCode, want)
	if want == 0 {
		s.groups[name] = newStoryGroup()
		s.forgetPending(name, "")
	}
}

func (s *story) settle(g *storyGroup) {
	var ms []*modern
	for _, id := range slices.Sorted(maps.Keys(g.modern)) {
		ms = append(ms, g.modern[id])
	}
	settle(s.t, ms...)
}

// check compares the coordinator with the model.
func (s *story) check() {
	s.t.Helper()
	for _, name := range s.names {
		g := s.groups[name]
		want := []string{}
		for _, part := range slices.Sorted(maps.Keys(g.offsets)) {
			want = append(want, fmt.Sprintf("%s@%d", part, g.offsets[part].at))
		}
		if got := s.r.offsets(name); !slices.Equal(got, want) {
			s.t.Fatalf("%s has %v, want %v, after\n%s", name, got, want, strings.Join(s.log, "\n"))
		}
		switch {
		case len(g.modern) > 0:
			d := s.r.describeConsumer(name)
			if d.State != "Stable" || len(d.Members) != len(g.modern) {
				s.t.Fatalf("%s is %s with %d members, want %d, after\n%s", name, d.State, len(d.Members), len(g.modern), strings.Join(s.log, "\n"))
			}
		case len(g.classic) > 0:
			got := map[string]string{}
			d := s.r.describe(name)
			for _, m := range d.Members {
				got[m.MemberID] = string(m.MemberAssignment)
			}
			if d.State != "Stable" || !maps.Equal(got, g.assigned) {
				s.t.Fatalf("%s is %s with %v, want %v, after\n%s", name, d.State, got, g.assigned, strings.Join(s.log, "\n"))
			}
		}
	}
}

// recorded is durable without groups of which no record says anything: those whose only transaction was aborted stay until the next expiry.
func recorded(r *rig) map[string]string {
	all := durable(r)
	maps.DeleteFunc(all, func(_, state string) bool { return state == "[] Empty  " })
	return all
}

// TestRandomRequestsAndEveryPrefix sends random requests of all kinds and compares the coordinator with a model after each. Then any prefix of
// the records, loaded by another coordinator, gives the state that the requests had given when they had written just these.
func TestRandomRequestsAndEveryPrefix(t *testing.T) {
	seeds := uint64(6)
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			bubble(t, Config{OffsetsRetention: time.Hour}, func(t *testing.T, r *rig) {
				s := &story{t: t, r: r, rng: rand.New(rand.NewPCG(seed, 9)), names: []string{"a", "b", "c", "d"},
					groups: map[string]*storyGroup{}, open: map[int64][]storyPending{}}
				for _, name := range s.names {
					s.groups[name] = newStoryGroup()
				}
				states := map[int64]map[string]string{}
				for range 250 {
					s.step()
					synctest.Wait()
					s.check()
					states[r.log.End(0)] = recorded(r)
				}
				for end, want := range states {
					log := logtest.New()
					r.log.Copy(0, log, end)
					next := newRig(t, log, r.c.cfg).elect(1)
					if d := cmp.Diff(want, recorded(next)); d != "" {
						t.Errorf("after %d of %d records (-live +loaded):\n%s", end, r.log.End(0), d)
					}
					if n := next.c.Runtime().Stats.Skipped.Load(); n != 0 {
						t.Errorf("%d records could not be read", n)
					}
					next.c.Close()
					if t.Failed() {
						t.Fatalf("the requests were\n%s", strings.Join(s.log, "\n"))
					}
				}
				if batches := r.log.Appends(); len(states) < batches/2 {
					t.Errorf("only %d prefixes of %d batches", len(states), batches)
				} else {
					t.Logf("%d prefixes of %d batches, %d records", len(states), batches, r.log.End(0))
				}
			})
		})
	}
}
