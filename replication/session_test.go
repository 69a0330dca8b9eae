package replication

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// namesView knows topics by id and nothing else.
type namesView map[[16]byte]string

func (v namesView) Contains(string, int32) bool { return true }
func (v namesView) ContainsID(id [16]byte) (string, bool) {
	t, ok := v[id]
	return t, ok
}
func (v namesView) Alive(int32) bool                             { return true }
func (v namesView) Endpoint(int32) (string, int32, string, bool) { return "", 0, "", false }

type fetchOpt func(*kmsg.FetchRequest)

func withPartition(topic string, partition int32, offset int64) fetchOpt {
	return func(r *kmsg.FetchRequest) {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, 100
		t := kmsg.NewFetchRequestTopic()
		t.Topic, t.Partitions = topic, append(t.Partitions, p)
		if r.Version >= 13 {
			t.Topic, t.TopicID = "", [16]byte{topic[0]}
		}
		r.Topics = append(r.Topics, t)
	}
}

func forgetting(topic string, partitions ...int32) fetchOpt {
	return func(r *kmsg.FetchRequest) {
		t := kmsg.NewFetchRequestForgottenTopic()
		t.Topic, t.Partitions = topic, partitions
		if r.Version >= 13 {
			t.Topic, t.TopicID = "", [16]byte{topic[0]}
		}
		r.ForgottenTopics = append(r.ForgottenTopics, t)
	}
}

func fromFollower(id int32) fetchOpt {
	return func(r *kmsg.FetchRequest) { r.ReplicaState.ID = id; r.ReplicaID = id }
}

func fetchReq(version int16, id, epoch int32, opts ...fetchOpt) *kmsg.FetchRequest {
	r := kmsg.NewPtrFetchRequest()
	r.Version, r.SessionID, r.SessionEpoch = version, id, epoch
	for _, o := range opts {
		o(r)
	}
	return r
}

// resultsOf gives each partition the same harmless result.
func resultsOf(c *FetchContext, hw int64) []FetchResult {
	res := make([]FetchResult, len(c.Partitions()))
	for i := range res {
		res[i] = noResult
		res[i].HighWatermark, res[i].LogStartOffset = hw, 0
	}
	return res
}

type sessionTest struct {
	*testing.T
	c   *SessionCache
	now time.Duration
}

func newSessionTest(t *testing.T, slots int) *sessionTest {
	s := &sessionTest{T: t}
	s.c = newSessionCache(slots, func() time.Duration { return s.now }, namesView{{'a'}: "a", {'b'}: "b"})
	return s
}

func (s *sessionTest) full(opts ...fetchOpt) (id int32) {
	s.Helper()
	fc, code := s.c.Resolve(fetchReq(12, 0, 0, opts...))
	if code != 0 {
		s.Fatalf("full request: code %d", code)
	}
	id, code = fc.Update(resultsOf(fc, 5))
	if code != 0 {
		s.Fatalf("full answer: code %d", code)
	}
	fc.Release()
	return id
}

func (s *sessionTest) wantCode(code *kerr.Error, req *kmsg.FetchRequest) {
	s.Helper()
	fc, got := s.c.Resolve(req)
	if got != code.Code || fc != nil {
		s.Errorf("got code %d, want %v", got, code)
	}
}

func TestSessionErrors(t *testing.T) {
	s := newSessionTest(t, 100)
	id := s.full(withPartition("a", 0, 0))
	if id == 0 {
		t.Fatal("no session created")
	}
	s.wantCode(kerr.FetchSessionIDNotFound, fetchReq(12, id+1, 1))
	s.wantCode(kerr.InvalidFetchSessionEpoch, fetchReq(12, id, 2))
	s.wantCode(kerr.FetchSessionTopicIDError, fetchReq(13, id, 1))
	fc, code := s.c.Resolve(fetchReq(12, id, 1))
	if code != 0 {
		t.Fatalf("the next epoch got code %d", code)
	}
	if gotID, code := fc.Update(resultsOf(fc, 5)); gotID != id || code != 0 {
		t.Fatalf("got session %d code %d, want %d", gotID, code, id)
	}
	s.wantCode(kerr.InvalidFetchSessionEpoch, fetchReq(12, id, 1))
}

func TestSessionlessRequestClosesItsSession(t *testing.T) {
	s := newSessionTest(t, 100)
	id := s.full(withPartition("a", 0, 0))
	fc, _ := s.c.Resolve(fetchReq(12, id, -1, withPartition("a", 0, 0)))
	if got, _ := fc.Update(resultsOf(fc, 5)); got != 0 {
		t.Errorf("session id %d in a sessionless answer", got)
	}
	s.wantCode(kerr.FetchSessionIDNotFound, fetchReq(12, id, 1))
}

func TestOldVersionsHaveNoSession(t *testing.T) {
	s := newSessionTest(t, 100)
	fc, code := s.c.Resolve(fetchReq(6, 0, 0, withPartition("a", 0, 0)))
	if code != 0 {
		t.Fatal(code)
	}
	if id, _ := fc.Update(resultsOf(fc, 5)); id != 0 {
		t.Errorf("session %d at version 6", id)
	}
}

func TestIncrementalAnswersHoldNewsOnly(t *testing.T) {
	for _, tc := range []struct {
		name   string
		result func(*FetchResult)
		sent   bool
	}{
		{"nothing new", func(*FetchResult) {}, false},
		{"high watermark", func(r *FetchResult) { r.HighWatermark = 6 }, true},
		{"log start", func(r *FetchResult) { r.LogStartOffset = 1 }, true},
		{"error", func(r *FetchResult) { r.Err = kerr.NotLeaderForPartition }, true},
		{"preferred replica", func(r *FetchResult) { r.PreferredReplica = 3 }, true},
		{"divergence", func(r *FetchResult) { r.Diverging = &EpochEndOffset{1, 2} }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSessionTest(t, 100)
			id := s.full(withPartition("a", 0, 0), withPartition("a", 1, 0))
			fc, _ := s.c.Resolve(fetchReq(12, id, 1))
			res := resultsOf(fc, 5)
			tc.result(&res[1])
			if _, code := fc.Update(res); code != 0 {
				t.Fatal(code)
			}
			if !res[0].Omit || res[1].Omit == tc.sent {
				t.Errorf("omitted %v %v, want true %v", res[0].Omit, res[1].Omit, !tc.sent)
			}
			if !tc.sent {
				return
			}
			// An error is forgotten when it is gone: the partition is told again.
			fc, _ = s.c.Resolve(fetchReq(12, id, 2))
			again := resultsOf(fc, 5)
			fc.Update(again)
			if gone := res[1].Err != nil || res[1].Diverging != nil; gone && again[1].Omit {
				t.Error("partition not sent after its error was gone")
			}
		})
	}
}

func TestSessionAddsChangesAndForgetsPartitions(t *testing.T) {
	for _, version := range []int16{12, 17} {
		t.Run(fmt.Sprintf("version %d", version), func(t *testing.T) {
			s := newSessionTest(t, 100)
			fc, _ := s.c.Resolve(fetchReq(version, 0, 0, withPartition("a", 0, 0), withPartition("a", 1, 0)))
			id, _ := fc.Update(resultsOf(fc, 5))
			fc, code := s.c.Resolve(fetchReq(version, id, 1, withPartition("a", 1, 7), withPartition("b", 4, 9), forgetting("a", 0)))
			if code != 0 {
				t.Fatal(code)
			}
			got := fc.Partitions()
			if len(got) != 2 || got[0].Topic != "a" || got[0].Partition != 1 || got[0].FetchOffset != 7 || got[1].Topic != "b" || got[1].FetchOffset != 9 {
				t.Fatalf("partitions are %+v", got)
			}
			fc.Update(resultsOf(fc, 5))
			fc, code = s.c.Resolve(fetchReq(version, id, 2, forgetting("a", 1), forgetting("b", 4)))
			if code != 0 {
				t.Fatal(code)
			}
			if got, _ := fc.Update(nil); got != 0 {
				t.Errorf("emptied session answered with id %d", got)
			}
			s.wantCode(kerr.FetchSessionIDNotFound, fetchReq(version, id, 3))
			if n, _ := s.c.Len(); n != 0 {
				t.Errorf("%d sessions left", n)
			}
		})
	}
}

func TestUnknownTopicIDIsResolvedOnceKnown(t *testing.T) {
	names := namesView{}
	c := newSessionCache(10, func() time.Duration { return 0 }, names)
	fc, _ := c.Resolve(fetchReq(13, 0, 0, withPartition("z", 0, 0)))
	if got := fc.Partitions()[0].Topic; got != "" {
		t.Fatalf("topic %q for an unknown id", got)
	}
	id, _ := fc.Update(resultsOf(fc, -1))
	names[[16]byte{'z'}] = "zoo"
	fc, _ = c.Resolve(fetchReq(13, id, 1))
	if got := fc.Partitions()[0].Topic; got != "zoo" {
		t.Errorf("topic %q, want zoo", got)
	}
}

func TestEpochChangedWhileWaiting(t *testing.T) {
	s := newSessionTest(t, 100)
	id := s.full(withPartition("a", 0, 0))
	first, _ := s.c.Resolve(fetchReq(12, id, 1))
	second, _ := s.c.Resolve(fetchReq(12, id, 2))
	if _, code := first.Update(resultsOf(first, 5)); code != kerr.InvalidFetchSessionEpoch.Code {
		t.Errorf("got code %d for the request that was overtaken", code)
	}
	if _, code := second.Update(resultsOf(second, 5)); code != 0 {
		t.Errorf("got code %d", code)
	}
}

func TestSessionEpochWraps(t *testing.T) {
	if got := nextSessionEpoch(1<<31 - 1); got != 1 {
		t.Errorf("after the largest epoch comes %d", got)
	}
}

func TestSessionEviction(t *testing.T) {
	client := func(n int32) []fetchOpt {
		var o []fetchOpt
		for i := range n {
			o = append(o, withPartition("a", i, 0))
		}
		return o
	}
	follower := func(n int32) []fetchOpt { return append(client(n), fromFollower(1)) }
	for _, tc := range []struct {
		name    string
		present []fetchOpt
		age     time.Duration
		used    bool // by a request just now
		next    []fetchOpt
		evicted bool
	}{
		{"a young session is safe from a larger client", client(1), time.Second, false, client(5), false},
		{"a young client session gives way to a follower, however small", client(5), time.Second, false, follower(1), true},
		{"a stale session goes", client(5), 3 * time.Minute, false, client(1), true},
		{"an old used session gives way to a larger one", client(1), 3 * time.Minute, true, client(2), true},
		{"an old used session is kept from a smaller one", client(2), 3 * time.Minute, true, client(1), false},
		{"an old used follower is kept from a larger client", follower(1), 3 * time.Minute, true, client(9), false},
		{"a young follower is kept from a larger follower", follower(1), time.Second, true, follower(9), false},
		{"an old follower gives way to a larger follower", follower(1), 3 * time.Minute, true, follower(9), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSessionTest(t, 1)
			id := s.full(tc.present...)
			s.now += tc.age
			if tc.used {
				fc, code := s.c.Resolve(fetchReq(12, id, 1))
				if code != 0 {
					t.Fatal(code)
				}
				fc.Update(resultsOf(fc, 5))
			}
			if got := s.full(tc.next...) != 0; got != tc.evicted {
				t.Errorf("new session created: %v, want %v", got, tc.evicted)
			}
			if n, _ := s.c.Len(); n != 1 {
				t.Errorf("%d sessions in one slot", n)
			}
		})
	}
}

func TestSessionRotatesBusyPartitions(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	c.create("r", 3, 0)
	m := c.manager(0)
	for range 2 {
		mustProduce(t, c.partition(0, "r", 0), "x")
	}
	opts := []fetchOpt{}
	for i := range int32(3) {
		opts = append(opts, withPartition("r", i, 0))
	}
	m.sessions.names = namesView{}
	fc, _ := m.Sessions().Resolve(fetchReq(12, 0, 0, opts...))
	res := m.Fetch(t.Context(), &FetchRequest{ReplicaID: -1, Version: 12, MaxBytes: 1 << 20, Partitions: fc.Partitions()})
	id, _ := fc.Update(res)
	releaseAll(res)
	fc, _ = m.Sessions().Resolve(fetchReq(12, id, 1))
	res = m.Fetch(t.Context(), &FetchRequest{ReplicaID: -1, Version: 12, MaxBytes: 1 << 20, Partitions: fc.Partitions()})
	fc.Update(res)
	releaseAll(res)
	fc, _ = m.Sessions().Resolve(fetchReq(12, id, 2))
	if got := fc.Partitions()[2].Partition; got != 0 {
		t.Errorf("the busy partition is not last: %+v", fc.Partitions())
	}
}
