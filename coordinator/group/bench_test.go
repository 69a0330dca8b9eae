package group

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator/logtest"
)

// benchRig is a loaded coordinator in real time.
func benchRig(b *testing.B) *rig {
	r := newRig(b, logtest.New(), Config{MaxMessageBytes: 1 << 20, InitialRebalanceDelay: 300 * time.Millisecond})
	r.c.Elected(0, 1)
	for r.c.Runtime().Loading(0) {
		time.Sleep(time.Millisecond)
	}
	b.Cleanup(r.c.Close)
	return r
}

// BenchmarkCommit is OffsetCommit of one partition through one shard, over a log in memory, by as many clients at once.
func BenchmarkCommit(b *testing.B) {
	for _, clients := range []int{1, 64} {
		b.Run(fmt.Sprint("clients=", clients), func(b *testing.B) {
			r := benchRig(b)
			b.ReportAllocs()
			b.SetParallelism(clients)
			var mu sync.Mutex
			next := 0
			b.RunParallel(func(pb *testing.PB) {
				mu.Lock()
				next++
				req := commitReq(fmt.Sprint("group-", next), "", -1, "topic", 1, 0)
				mu.Unlock()
				for pb.Next() {
					req.Topics[0].Partitions[0].Offset++
					if c := r.c.CommitOffsets(ctx(), tester, 8, req).Topics[0].Partitions[0].ErrorCode; c != 0 {
						b.Errorf("error %d", c)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
			b.ReportMetric(float64(b.N)/float64(max(r.log.Appends(), 1)), "commits/append")
		})
	}
}

func BenchmarkHeartbeat(b *testing.B) {
	r := benchRig(b)
	j := r.c.Join(ctx(), tester, 3, joinReq("g", ""))
	req := &kmsg.HeartbeatRequest{Group: "g", MemberID: j.MemberID, Generation: j.Generation}
	b.ReportAllocs()
	for b.Loop() {
		if c := r.c.Heartbeat(ctx(), tester, 4, req).ErrorCode; c != 0 {
			b.Fatal(c)
		}
	}
}

// BenchmarkJoin20 is a whole rebalance of 20 members: all rejoin, the leader assigns, all sync.
func BenchmarkJoin20(b *testing.B) {
	r := benchRig(b)
	ids := make([]string, 20)
	round := 0
	rebalance := func() {
		round++
		var joined, synced sync.WaitGroup
		resps := make([]*kmsg.JoinGroupResponse, len(ids))
		for i := range ids {
			joined.Go(func() {
				for resps[i] == nil || resps[i].ErrorCode == codeMemberIDRequired {
					req := joinReq("g", ids[i])
					req.Protocols[0].Metadata = fmt.Appendf(subscription("t"), "%d", round) // a change: everybody joins the new generation
					resps[i] = r.c.Join(ctx(), tester, 4, req)
					ids[i] = resps[i].MemberID
				}
				if c := resps[i].ErrorCode; c != 0 {
					b.Errorf("round %d: join: error %d", round, c)
				}
			})
		}
		joined.Wait()
		for i := range ids {
			synced.Go(func() {
				req := &kmsg.SyncGroupRequest{Group: "g", MemberID: ids[i], Generation: resps[i].Generation}
				for _, m := range resps[i].Members {
					req.GroupAssignment = append(req.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: m.MemberID, MemberAssignment: []byte("x")})
				}
				if c := r.c.Sync(ctx(), tester, 3, req).ErrorCode; c != 0 {
					b.Errorf("round %d: sync: error %d", round, c)
				}
			})
		}
		synced.Wait()
	}
	rebalance() // the initial delay lets all join the first generation
	b.ReportAllocs()
	for b.Loop() {
		rebalance()
	}
}

func BenchmarkLoad(b *testing.B) {
	r := benchRig(b)
	for i := range 2000 {
		r.c.CommitOffsets(ctx(), tester, 8, commitReq(fmt.Sprint("group-", i%50), "", -1, "topic", int64(i), 0, 1, 2, 3, 4))
	}
	b.ReportAllocs()
	for b.Loop() {
		r.c.Resigned(0, -1)
		r.c.Elected(0, 1)
		for r.c.Runtime().Loading(0) {
			time.Sleep(50 * time.Microsecond)
		}
	}
	b.ReportMetric(10_000*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
