package consumer

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

// kafkaRecord is a record of consumer groups that Kafka 4.3.1 wrote: clients of both protocols that share a group, static members, regular
// expressions, assignors, upgrades, downgrades, deletions.
type kafkaRecord struct{ key, value []byte }

func kafkaRecords(t testing.TB) (all []kafkaRecord) {
	t.Helper()
	f, err := os.Open("testdata/kafka-4.3.1-records.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		k, v, _ := strings.Cut(s.Text(), "\t")
		r := kafkaRecord{}
		if r.key, err = hex.DecodeString(k); err != nil {
			t.Fatal(err)
		}
		if v != "-" {
			if r.value, err = hex.DecodeString(v); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, r)
	}
	return all
}

// encodeAgain reads a value and writes it; ok is false for kinds that are not written.
func encodeAgain(t *testing.T, k Key, b []byte) (again []byte, ok bool) {
	t.Helper()
	out := []byte{0, 0}
	var err error
	switch k.Version {
	case keyGroupEpoch:
		var e epochValue
		e, err = parseEpoch(b)
		out = e.append(out)
	case keyMember:
		var m Member
		m, err = parseMember(b, Member{})
		out = appendMember(out, &m)
	case keyTarget:
		a, e := parseTarget(b)
		err, out = e, appendTarget(out, a)
	case keyCurrent:
		var m Member
		m, err = parseCurrent(b, Member{})
		out = appendCurrent(out, &m)
	case keyRegex:
		r, e := parseRegex(b)
		if err = e; err == nil {
			out = appendRegex(out, r)
		}
	default:
		return nil, false
	}
	if err != nil {
		t.Fatalf("%+v, %x: %v", k, b, err)
	}
	return out, true
}

// sameInOtherOrder tells whether two values of a current assignment say the same: Kafka's partitions are in the order of a hash map.
func sameInOtherOrder(k Key, a, b []byte) bool {
	if k.Version != keyCurrent || len(a) != len(b) {
		return false
	}
	x, errX := parseCurrent(a, Member{})
	y, errY := parseCurrent(b, Member{})
	return errX == nil && errY == nil && x.sameAssignment(&y)
}

// TestReadsAndWritesWhatKafkaWrites: what Kafka wrote is read, written again as the same bytes, and gives groups that make sense.
func TestReadsAndWritesWhatKafkaWrites(t *testing.T) {
	groups := map[string]*Group{}
	kinds := map[int16]int{}
	ended := 0
	for _, r := range kafkaRecords(t) {
		k, err := ParseKey(r.key)
		if err != nil || !bytes.Equal(k.append(nil), r.key) {
			t.Fatalf("key %x: %+v, %v", r.key, k, err)
		}
		kinds[k.Version]++
		if r.value != nil {
			if again, ok := encodeAgain(t, k, r.value); ok && !bytes.Equal(again, r.value) && !sameInOtherOrder(k, again, r.value) {
				t.Errorf("%+v\n%x, written again\n%x", k, r.value, again)
			}
		}
		g := groups[k.Group]
		if k.RemovesGroup(r.value) {
			if g != nil && g.Len() > 0 {
				t.Errorf("%s ends with %d members", k.Group, g.Len())
			}
			delete(groups, k.Group)
			ended++
			continue
		}
		if g == nil {
			if r.value == nil {
				continue
			}
			g = New(k.Group)
			groups[k.Group] = g
		}
		if err := g.Replay(k, r.value); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range []int16{keyGroupEpoch, keyMember, keyTargetEpoch, keyTarget, keyCurrent, keyRegex} {
		if kinds[v] == 0 {
			t.Errorf("no record of key version %d", v)
		}
	}
	for id, g := range groups {
		left := g.Len()
		for _, m := range g.Members() {
			if m.Epoch == staticLeaveEpoch { // will come back
				left--
			}
		}
		if left != 0 || len(g.targets) != g.Len() || len(g.static) != g.Len() || len(g.regexes) != 0 || len(g.owners) > g.Len() {
			t.Errorf("%s: %+v", id, g)
		}
	}
	if ended == 0 || len(groups) == 0 {
		t.Errorf("%d groups ended, %d are left", ended, len(groups))
	}
}
