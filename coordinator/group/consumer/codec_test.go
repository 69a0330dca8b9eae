package consumer

import (
	"bytes"
	"reflect"
	"testing"

	"ottla/coordinator"
)

// TestRecordsRoundTrip: a group's records, replayed and written again, are the same bytes.
func TestRecordsRoundTrip(t *testing.T) {
	m := &Member{
		ID: "m", InstanceID: "i", RackID: "r", ClientID: "c", ClientHost: "/h", RebalanceTimeoutMs: 5, Topics: []string{"a", "b"}, Regex: "x.*",
		Assignor: "range", Classic: &Classic{SessionTimeoutMs: 7, Protocols: []Protocol{{"range", []byte{1}}, {"sticky", []byte{}}}},
		Epoch: 3, PreviousEpoch: 2, State: UnrevokedPartitions,
		Assigned: Owned{{1}: {0: 3, 5: 2}, {2}: {1: 1}}, Revoking: Owned{{1}: {7: 1}},
	}
	value := append([]byte{0, 0}, appendMember(nil, m)...)
	got, err := parseMember(value, Member{ID: "m"})
	if err != nil || !got.sameMetadata(m) {
		t.Errorf("%+v, %v", got, err)
	}
	value = append([]byte{0, 0}, appendCurrent(nil, m)...)
	got, err = parseCurrent(value, *m)
	if err != nil || !reflect.DeepEqual(&got, m) {
		t.Errorf("%+v, %v", got, err)
	}
	if a, err := parseTarget(append([]byte{0, 0}, appendTarget(nil, m.Assigned.Assignment())...)); err != nil || !a.Equal(m.Assigned.Assignment()) {
		t.Errorf("%v, %v", a, err)
	}
	r := &Resolved{Topics: []string{"xa", "xb"}, Version: 4, AtMs: 5}
	if got, err := parseRegex(append([]byte{0, 0}, appendRegex(nil, r)...)); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, e := range []epochValue{{4, 0}, {5, -77}} {
		if got, err := parseEpoch(e.append([]byte{0, 0})); err != nil || got != e {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

// TestReadsWhatKafka40Wrote: partitions without epochs of assignment, an epoch without a hash, a record of topics.
func TestReadsWhatKafka40Wrote(t *testing.T) {
	g := New("g")
	topics := Key{Version: keyTopics, Group: "g"}
	current := []byte{0, 0, 0, 0, 0, 4, 0, 0, 0, 3, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0}
	for _, kv := range []coordinator.KeyValue{
		{Key: topics.append(nil), Value: []byte{0, 0, 1, 0}},
		{Key: Key{Version: keyGroupEpoch, Group: "g"}.append(nil), Value: []byte{0, 0, 0, 0, 0, 4, 0}},
		{Key: Key{Version: keyCurrent, Group: "g", Sub: "m"}.append(nil), Value: current},
	} {
		if err := g.replayAll([]coordinator.KeyValue{kv}); err != nil {
			t.Fatal(err)
		}
	}
	id := TopicID{0: 1, 15: 9}
	if m := g.Member("m"); m == nil || !m.Assigned.equal(Owned{id: {0: 4, 2: 4}}) || m.PreviousEpoch != 3 || g.Epoch() != 4 || !g.oldTopics {
		t.Fatalf("%+v, %+v", g, g.Member("m"))
	}
	d, err := g.Heartbeat(Env{Topics: topicsOf(1, topic("a", 9, 3)), Assignor: "uniform", MaxSize: 9}, join("n", "a"))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.replayAll(d.Records); err != nil || g.oldTopics {
		t.Errorf("the record of topics is still there; %v", err)
	}
}

// FuzzReplay feeds keys and values from outside: no panic, no more memory than the bytes justify, and what is read is written and read again
// the same.
func FuzzReplay(f *testing.F) {
	r := newRig(f, topic("a", 1, 3))
	h := join("m", "a")
	expr := "a|b"
	h.Regex, h.InstanceID = &expr, "i"
	if _, err := r.heartbeat(h); err != nil {
		f.Fatal(err)
	}
	for _, kv := range r.records {
		f.Add(kv.Key, kv.Value)
		f.Add(kv.Key, []byte(nil))
	}
	c := &Classic{SessionTimeoutMs: 1, Protocols: []Protocol{{"range", []byte{0, 1}}}}
	f.Add(Key{Version: keyMember, Group: "g", Sub: "c"}.append(nil), append([]byte{0, 0}, appendMember(nil, &Member{Classic: c})...))
	for _, r := range kafkaRecords(f) {
		f.Add(r.key, r.value)
	}
	f.Fuzz(func(t *testing.T, key, val []byte) {
		k, err := ParseKey(key)
		if err != nil {
			return
		}
		if again, err := ParseKey(k.append(nil)); err != nil || again != k {
			t.Fatalf("%+v, %+v, %v", k, again, err)
		}
		if len(val) == 0 {
			val = nil
		}
		g := New("g")
		if k.RemovesGroup(val) || g.Replay(k, val) != nil || val == nil {
			return
		}
		h := New("g")
		for _, m := range g.Members() {
			must(t, h.Replay(Key{Version: keyMember, Group: "g", Sub: m.ID}, append([]byte{0, 0}, appendMember(nil, m)...)))
			must(t, h.Replay(Key{Version: keyCurrent, Group: "g", Sub: m.ID}, append([]byte{0, 0}, appendCurrent(nil, m)...)))
		}
		for id, a := range g.targets {
			must(t, h.Replay(Key{Version: keyTarget, Group: "g", Sub: id}, append([]byte{0, 0}, appendTarget(nil, a)...)))
		}
		for expr, r := range g.regexes {
			must(t, h.Replay(Key{Version: keyRegex, Group: "g", Sub: expr}, append([]byte{0, 0}, appendRegex(nil, r)...)))
		}
		h.epoch, h.hash, h.targetEpoch, h.oldTopics = g.epoch, g.hash, g.targetEpoch, g.oldTopics
		for id, m := range g.members {
			if o := h.members[id]; o == nil || !o.sameMetadata(m) || !o.sameAssignment(m) {
				t.Fatalf("%+v, %+v", m, o)
			}
		}
		if !reflect.DeepEqual(g.targets, h.targets) || !reflect.DeepEqual(g.owners, h.owners) {
			t.Fatalf("%+v, %+v", g, h)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// FuzzSubscription reads what classic members bring.
func FuzzSubscription(f *testing.F) {
	topics := topicsOf(1, topic("a", 1, 3))
	f.Add([]byte{0, 3, 0, 0, 0, 1, 0, 1, 'a', 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 'a', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 'r'}, []byte{0, 0, 0, 0, 0, 1, 0, 1, 'a', 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, metadata, assignment []byte) {
		cm := ClassicMember{ID: "m", Metadata: metadata, Assignment: assignment, Classic: Classic{Protocols: []Protocol{{"range", metadata}}}}
		g, records, err := FromClassic("g", 3, []ClassicMember{cm}, Env{Topics: topics, MaxSize: 9})
		if err != nil {
			return
		}
		if len(records) != 5 || g.Len() != 1 || g.State() != StableGroup {
			t.Fatalf("%d records, %s", len(records), g.State())
		}
		if m := g.Member("m"); !bytes.Equal(EncodeAssignment(m, topics), EncodeAssignment(m, topics)) {
			t.Fatal("not the same twice")
		}
	})
}
