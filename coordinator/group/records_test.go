package group

import (
	"bytes"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator"
	"ottla/coordinator/logtest"
	"ottla/wire/batch"
)

// records returns copies of all data records of a partition.
func records(log *logtest.Log, partition int32) []coordinator.Record {
	var rs []coordinator.Record
	for _, b := range log.Batches(partition) {
		if b.IsControl() {
			continue
		}
		pid := coordinator.NoProducerID
		if b.IsTransactional() {
			pid = b.ProducerID()
		}
		err := b.Walk(func(r *batch.Record) error {
			rs = append(rs, coordinator.Record{
				Offset: r.Offset, TimestampMs: r.Timestamp, Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value), ProducerID: pid,
			})
			return nil
		})
		if err != nil {
			panic(err)
		}
	}
	return rs
}

func TestOffsetValueVersions(t *testing.T) {
	for v := int16(0); v <= 4; v++ {
		in := kmsg.OffsetCommitValue{Version: v, Offset: 5, LeaderEpoch: 3, Metadata: "m", CommitTimestamp: 100, ExpireTimestamp: 200}
		c, err := decodeOffsetValue(in.AppendTo(nil))
		if err != nil {
			t.Fatal(err)
		}
		want := committed{offset: 5, leaderEpoch: -1, metadata: "m", commitMs: 100, expireMs: -1}
		if v >= 3 {
			want.leaderEpoch = 3
		}
		if v == 1 {
			want.expireMs = 200
		}
		if c != want {
			t.Errorf("version %d: %+v, want %+v", v, c, want)
		}
	}
	c := committed{offset: 5, leaderEpoch: 3, metadata: "m", commitMs: 100, expireMs: 200}
	if b := appendOffsetValue(nil, &c); b[1] != 1 {
		t.Errorf("a commit with an expiry is written in version %d", b[1])
	}
	c.expireMs = -1
	if b := appendOffsetValue(nil, &c); b[1] != 3 {
		t.Errorf("a commit is written in version %d", b[1])
	}
}

func TestGroupValueVersions(t *testing.T) {
	inst := "i"
	for v := int16(0); v <= 4; v++ {
		in := kmsg.GroupMetadataValue{
			Version: v, ProtocolType: "consumer", Generation: 7, Protocol: kmsg.StringPtr("range"), Leader: kmsg.StringPtr("m"), CurrentStateTimestamp: 9,
			Members: []kmsg.GroupMetadataValueMember{{
				MemberID: "m", InstanceID: &inst, ClientID: "c", ClientHost: "/h", RebalanceTimeoutMillis: 2, SessionTimeoutMillis: 3,
				Subscription: []byte("s"), Assignment: []byte("a"),
			}},
		}
		got, err := decodeGroupValue(in.AppendTo(nil))
		if err != nil {
			t.Fatal(err)
		}
		m := got.Members[0]
		wantRebalance, wantState := int32(2), int64(9)
		if v == 0 {
			wantRebalance = 3
		}
		if v < 2 {
			wantState = -1
		}
		if m.RebalanceTimeoutMillis != wantRebalance || got.CurrentStateTimestamp != wantState || (m.InstanceID != nil) != (v >= 3) || string(m.Assignment) != "a" {
			t.Errorf("version %d: %+v", v, got)
		}
	}
}

func TestUnknownKeysAreSkippedAndBadOnesReported(t *testing.T) {
	m := newMachine(&Config{}, new(Deps), new(Stats), zerologNop())
	for _, c := range []struct {
		name       string
		key, value []byte
		bad        bool
	}{
		{"epoch of a consumer group cut short", []byte{0, 3, 0, 1, 'n'}, []byte{1}, true},
		{"share group", []byte{0, 15, 9}, nil, false},
		{"no key", nil, nil, true},
		{"short key", []byte{0}, nil, true},
		{"offset key cut short", []byte{0, 1, 0, 5, 'g'}, []byte{0, 3}, true},
		{"offset value cut short", appendOffsetKey(nil, "g", "t", 0), []byte{0, 3, 0}, true},
		{"offset value of the future", appendOffsetKey(nil, "g", "t", 0), []byte{0, 9, 0, 0, 0, 0, 0, 0, 0, 0}, true},
		{"group value empty", appendGroupKey(nil, "g"), []byte{}, true},
		{"group value with a huge count", appendGroupKey(nil, "g"), append([]byte{0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff}, 0, 0, 1, 0, 1, 2, 3, 4), true},
	} {
		err := m.Replay(coordinator.Record{Key: c.key, Value: c.value, ProducerID: -1})
		if (err != nil) != c.bad {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if len(m.groups) != 0 {
		t.Errorf("%d groups", len(m.groups))
	}
}

// FuzzReplay feeds a loading machine with any record.
func FuzzReplay(f *testing.F) {
	f.Add(appendOffsetKey(nil, "g", "t", 1), appendOffsetValue(nil, &committed{offset: 1, expireMs: -1}), int64(-1))
	g := &group{id: "g", members: map[string]*member{}, supported: map[string]int{}}
	g.add(&member{id: "m", instanceID: kmsg.StringPtr("i"), protocols: []protocol{{"range", subscription("t")}}}, "consumer")
	g.protocol = "range"
	f.Add(appendGroupKey(nil, "g"), g.appendGroupValue(nil, func(*member) []byte { return nil }), int64(4))
	f.Add(appendGroupKey(nil, "g"), []byte(nil), int64(4))
	f.Fuzz(func(t *testing.T, key, value []byte, pid int64) {
		cfg := Config{}.withDefaults()
		m := newMachine(&cfg, new(Deps), new(Stats), zerologNop())
		_ = m.Replay(coordinator.Record{Key: key, Value: value, ProducerID: max(pid, -1)})
		_ = m.Replay(coordinator.Record{Key: key, Value: value, ProducerID: max(pid, -1), Offset: 1})
		_ = m.Replay(coordinator.Record{Marker: coordinator.CommitMarker, ProducerID: pid})
		m.Loaded(m.Deadline())
		m.Unload(errRecordKey)
	})
}

func FuzzSubscription(f *testing.F) {
	f.Add(subscription("a", "b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		topics := map[string]struct{}{}
		if subscribedTopics(b, topics) && len(topics) > len(b) {
			t.Errorf("%d topics in %d bytes", len(topics), len(b))
		}
	})
}
