package group

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator/logtest"
)

// simMember is a client of the random test: it joins, syncs, heartbeats, commits, and now and then crashes, leaves, pauses or comes back.
type simMember struct {
	r        *rig
	rng      *rand.Rand
	group    string
	instance string // static if not empty
	version  int16
	world    *simWorld

	id         string
	generation int32
}

// simWorld checks what all members see.
type simWorld struct {
	t *testing.T
	// By group and generation. Synctest runs goroutines one at a time only at rest, so this is guarded by a channel lock.
	lock      chan struct{}
	leaders   map[string]string // generation → leader that was told to assign
	planned   map[string]string // assignment that a leader sent → generation and member it is for
	assigned  map[string]string // generation and member → assignment that the member got
	committed map[string]int64  // group → highest offset acknowledged
}

func (w *simWorld) with(f func()) {
	w.lock <- struct{}{}
	defer func() { <-w.lock }()
	f()
}

func (m *simMember) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		if !m.joinAndSync() {
			time.Sleep(time.Duration(1+m.rng.IntN(500)) * time.Millisecond)
			continue
		}
		m.work(stop)
	}
}

func (m *simMember) joinAndSync() bool {
	req := joinReq(m.group, m.id)
	req.RebalanceTimeoutMillis = 20_000
	if m.instance != "" {
		req = static(req, m.instance)
	}
	j := m.r.c.Join(ctx(), Client{ID: "sim", Host: "/h"}, m.version, req)
	switch j.ErrorCode {
	case codeMemberIDRequired:
		m.id = j.MemberID
		return false
	case 0:
	default:
		if j.ErrorCode == codeUnknownMemberID || j.ErrorCode == codeFencedInstance {
			m.id = ""
		}
		return false
	}
	m.id, m.generation = j.MemberID, j.Generation
	gen := fmt.Sprint(m.group, " ", j.Generation)
	sreq := &kmsg.SyncGroupRequest{Group: m.group, MemberID: m.id, Generation: j.Generation}
	if j.LeaderID == m.id && !j.SkipAssignment {
		plan := map[string]string{}
		for i, o := range j.Members {
			plan[o.MemberID] = fmt.Sprintf("part %d of %s, %d", i, gen, m.rng.Int())
			sreq.GroupAssignment = append(sreq.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: o.MemberID, MemberAssignment: []byte(plan[o.MemberID])})
		}
		m.world.with(func() {
			if len(j.Members) > 0 {
				m.world.leaders[gen] = m.id
			}
			for id, a := range plan {
				m.world.planned[a] = gen + id
			}
		})
	}
	s := m.r.c.Sync(ctx(), tester, 3, sreq)
	if s.ErrorCode != 0 {
		if s.ErrorCode == codeUnknownMemberID {
			m.id = ""
		}
		return false
	}
	m.world.with(func() {
		got := string(s.MemberAssignment)
		if m.instance == "" { // a static member keeps the part that was planned for its former id
			if got != "" && m.world.planned[got] != gen+m.id {
				m.world.t.Errorf("%s got %q in %s, which was planned for %s", m.id, got, gen, m.world.planned[got])
			}
		}
		if old, ok := m.world.assigned[gen+m.id]; ok && old != got {
			m.world.t.Errorf("%s got %q and then %q in %s", m.id, old, got, gen)
		}
		m.world.assigned[gen+m.id] = got
	})
	return true
}

// work heartbeats and commits until a rebalance, or until the member does something rash.
func (m *simMember) work(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(500+m.rng.IntN(2500)) * time.Millisecond):
		}
		switch m.rng.IntN(40) {
		case 0: // crash; a static one comes back with its instance id, another as a new member
			m.id = ""
			time.Sleep(time.Duration(m.rng.IntN(15)) * time.Second)
			return
		case 1:
			if m.instance == "" {
				m.r.c.Leave(ctx(), tester, 4, &kmsg.LeaveGroupRequest{Group: m.group, Members: []kmsg.LeaveGroupRequestMember{{MemberID: m.id}}})
				m.id = ""
				return
			}
		case 2: // a long pause
			time.Sleep(12 * time.Second)
		}
		switch c := m.r.heartbeat(m.group, m.id, m.generation); c {
		case 0:
		case codeRebalanceInProgress, codeIllegalGeneration:
			return
		default:
			m.id = ""
			return
		}
		if m.rng.IntN(3) == 0 {
			var off int64
			m.world.with(func() { off = m.world.committed[m.group] + 1 })
			if m.r.commit(m.group, m.id, m.generation, "t", off, 0) == 0 {
				m.world.with(func() { m.world.committed[m.group] = max(m.world.committed[m.group], off) })
			}
		}
	}
}

// TestRandomMembers lets members of three groups churn for hours of virtual time while the partition moves between coordinators. In every
// generation there is one assignment, everybody gets its part of it, acknowledged commits are never lost, and once the
// trouble is over each group becomes stable with all its members.
func TestRandomMembers(t *testing.T) {
	from, to := uint64(1), uint64(5)
	if s := os.Getenv("GROUP_SEED"); s != "" { // one number, to see a failure again
		from, _ = strconv.ParseUint(s, 10, 64)
		to = from
	}
	for seed := from; seed <= to; seed++ {
		t.Run(fmt.Sprint("GROUP_SEED=", seed), func(t *testing.T) { randomMembers(t, seed) })
	}
}

func randomMembers(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, 0))
		log := logtest.New()
		r := newRig(t, log, Config{InitialRebalanceDelay: 3 * time.Second}).elect(1)
		defer r.c.Close()
		w := &simWorld{
			t: t, lock: make(chan struct{}, 1), leaders: map[string]string{}, planned: map[string]string{}, assigned: map[string]string{}, committed: map[string]int64{},
		}
		stop := make(chan struct{})
		groups := []string{"a", "b", "c"}
		for gi, g := range groups {
			for i := range 6 {
				m := &simMember{r: r, rng: rand.New(rand.NewPCG(seed, uint64(1+gi*10+i))), group: g, world: w, version: []int16{3, 4, 9}[i%3]}
				if i >= 4 {
					m.instance, m.version = fmt.Sprint("static-", i), 9
				}
				go m.run(stop)
			}
		}
		check := func() {
			for _, g := range groups {
				var want int64
				w.with(func() { want = w.committed[g] })
				resp := r.c.FetchOffsets(ctx(), tester, 5, &kmsg.OffsetFetchRequest{Group: g, Topics: []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0}}}})
				p := resp.Topics
				if resp.ErrorCode != 0 {
					continue
				}
				if got := p[0].Partitions[0].Offset; got < want && want > 0 && got >= 0 || got == -1 && want > 0 {
					t.Errorf("group %s: offset %d was acknowledged, %d is there", g, want, got)
				}
			}
		}
		for epoch := int32(2); epoch < 40; epoch++ {
			time.Sleep(time.Duration(20+rng.IntN(60)) * time.Second)
			check()
			switch rng.IntN(3) {
			case 0: // the partition goes away and comes back
				r.c.Resigned(0, 3*epoch)
				time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
				r.c.Elected(0, 3*epoch+1)
			case 1: // commits stall
				log.HoldHighWatermark(true)
				time.Sleep(time.Duration(rng.IntN(8000)) * time.Millisecond)
				log.HoldHighWatermark(false)
			}
			synctest.Wait()
			check()
		}
		close(stop)
		time.Sleep(10 * time.Minute) // all sessions end
		synctest.Wait()
		for _, g := range groups {
			r.wantState(g, "Empty")
		}
		check()
		sameAfterFailover(t, r)
		t.Logf("%d generations, %d assignments, %d commits", len(w.leaders), len(w.assigned), r.c.Stats().OffsetCommits)
		if len(w.leaders) < 30 {
			t.Errorf("only %d generations", len(w.leaders))
		}
		if s := r.c.Stats(); s.CompletedRebalances < 30 || s.Groups != 3 || s.GroupsEmpty != 3 {
			t.Errorf("%+v", s)
		}
	})
}
