package consumer

import (
	"iter"
	"maps"
	"testing"

	"go.uber.org/goleak"

	"ottla/coordinator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testTopics is a cluster's topics.
type testTopics struct {
	version uint64
	byName  map[string]Topic
}

func topicsOf(version uint64, topics ...Topic) *testTopics {
	t := &testTopics{version: version, byName: map[string]Topic{}}
	for _, tp := range topics {
		t.byName[tp.Name] = tp
	}
	return t
}

func topic(name string, id byte, partitions int32) Topic {
	return Topic{Name: name, ID: TopicID{0: 1, 15: id}, Partitions: partitions}
}

func (t *testTopics) Version() uint64         { return t.version }
func (t *testTopics) Names() iter.Seq[string] { return maps.Keys(t.byName) }
func (t *testTopics) ByName(name string) (Topic, bool) {
	tp, ok := t.byName[name]
	return tp, ok
}

func (t *testTopics) ByID(id TopicID) (Topic, bool) {
	for _, tp := range t.byName {
		if tp.ID == id {
			return tp, true
		}
	}
	return Topic{}, false
}

func (t *testTopics) Racks(string, int32) []string { return []string{"r1"} }

// rig is a group with the records that made it.
type rig struct {
	t       testing.TB
	g       *Group
	topics  *testTopics
	nowMs   int64
	records []coordinator.KeyValue
}

func newRig(t testing.TB, topics ...Topic) *rig {
	return &rig{t: t, g: New("g"), topics: topicsOf(1, topics...), nowMs: 1000}
}

func (r *rig) env() Env {
	return Env{NowMs: r.nowMs, Topics: r.topics, Assignor: "uniform", MaxSize: 100}
}

func (r *rig) write(records []coordinator.KeyValue) {
	r.t.Helper()
	if err := r.g.replayAll(records); err != nil {
		r.t.Fatal(err)
	}
	r.records = append(r.records, records...)
}

func (r *rig) heartbeat(h Heartbeat) (Decision, error) {
	r.t.Helper()
	d, err := r.g.Heartbeat(r.env(), h)
	if err != nil {
		return d, err
	}
	r.write(d.Records)
	r.g.Seen(r.topics)
	return d, nil
}

// join is a first heartbeat.
func join(id string, topics ...string) Heartbeat {
	if topics == nil {
		topics = []string{}
	}
	return Heartbeat{MemberID: id, ClientID: "c", ClientHost: "/h", RebalanceTimeoutMs: 60_000, Topics: topics, Owned: []TopicPartitions{}}
}

// again is a heartbeat in which nothing but what the member has is said.
func again(id string, epoch int32, owned Owned) Heartbeat {
	h := Heartbeat{MemberID: id, Epoch: epoch, ClientID: "c", ClientHost: "/h", RebalanceTimeoutMs: -1}
	if owned != nil {
		h.Owned = []TopicPartitions{}
		for t, ps := range owned.Assignment() {
			h.Owned = append(h.Owned, TopicPartitions{t, ps})
		}
	}
	return h
}
