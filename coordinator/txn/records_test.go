package txn

import (
	"bytes"
	"os"
	"testing"

	"ottla/wire/batch"
)

// eachRecord goes through a segment of __transaction_state that Kafka 3.9.2 wrote.
func eachRecord(t testing.TB, file string, f func(key, value []byte)) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	for rest := data; len(rest) > 0; {
		var v batch.View
		if v, rest, err = batch.Next(rest); err != nil {
			t.Fatal(err)
		}
		if err := v.Walk(func(r *batch.Record) error { f(r.Key, r.Value); return nil }); err != nil {
			t.Fatal(err)
		}
	}
}

var kafkaSegments = []string{"clean-0.log", "clean-1.log", "unclean-0.log"}

func TestKafkasRecordsAreWrittenAsKafkaWritesThem(t *testing.T) {
	states := map[State]int{}
	for _, file := range kafkaSegments {
		eachRecord(t, file, func(key, value []byte) {
			id, ok, err := decodeKey(key)
			if err != nil || !ok {
				t.Fatalf("%s: key %x: %v, %v", file, key, ok, err)
			}
			if got := encodeKey(id); !bytes.Equal(got, key) {
				t.Errorf("%s: key of %q is %x, Kafka wrote %x", file, id, got, key)
			}
			if value == nil {
				return
			}
			d, err := decodeValue(value)
			if err != nil {
				t.Fatalf("%s: value %x: %v", file, value, err)
			}
			states[d.state]++
			if got := encodeValue(d); !bytes.Equal(got, value) {
				t.Errorf("%s: value of %q is %x, Kafka wrote %x", file, id, got, value)
			}
		})
	}
	for s := Empty; s <= CompleteAbort; s++ {
		if states[s] == 0 {
			t.Errorf("no record in state %v among Kafka's", s)
		}
	}
}

func TestDamagedRecordsAreRefused(t *testing.T) {
	d := metadata{producerID: 1, producerEpoch: 2, timeoutMs: 3, state: Ongoing, partitions: map[TopicPartition]struct{}{{"t", 0}: {}, {"t", 1}: {}}}
	whole := encodeValue(&d)
	for n := range whole {
		if _, err := decodeValue(whole[:n]); err == nil {
			t.Errorf("value cut to %d of %d bytes is accepted", n, len(whole))
		}
	}
	wide := bytes.Clone(whole)
	copy(wide[valueTopicsAt:], "\x7f\xff\xff\xff") // topics
	if _, err := decodeValue(wide); err == nil {
		t.Error("a count that does not fit is accepted")
	}
	unknown := bytes.Clone(whole)
	unknown[1] = 9
	if _, err := decodeValue(unknown); err == nil {
		t.Error("version 9 is accepted")
	}
}

// Apache Kafka 4.3.1 with transaction.version 2 writes version 1 for all; we write it for what its clients did with version 2.
func TestVersion2RecordsAreWrittenAsKafka4WritesThem(t *testing.T) {
	states, rotated := map[State]int{}, 0
	eachRecord(t, "kafka-4.3.1.log", func(key, value []byte) {
		id, ok, err := decodeKey(key)
		if err != nil || !ok {
			t.Fatalf("key %x: %v, %v", key, ok, err)
		}
		d, err := decodeValue(value)
		if err != nil {
			t.Fatalf("value %x: %v", value, err)
		}
		if d.version < V2 {
			if again, err := decodeValue(encodeValue(d)); err != nil || again.state != d.state || again.producerEpoch != d.producerEpoch {
				t.Errorf("%q: %+v became %+v, %v", id, d, again, err)
			}
			return
		}
		states[d.state]++
		if d.nextProducerID != noProducerID {
			rotated++
		}
		if got := encodeValue(d); !bytes.Equal(got, value) {
			t.Errorf("value of %q is %x, Kafka wrote %x", id, got, value)
		}
	})
	for s := Empty; s <= CompleteAbort; s++ {
		if states[s] == 0 {
			t.Errorf("no record in state %v among Kafka's", s)
		}
	}
	if rotated == 0 {
		t.Error("no record with a next producer id among Kafka's")
	}
}

func FuzzRecord(f *testing.F) {
	for _, file := range append(kafkaSegments, "kafka-4.3.1.log") {
		eachRecord(f, file, func(key, value []byte) { f.Add(bytes.Clone(key), bytes.Clone(value)) })
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		_, _, _ = decodeKey(key)
		d, err := decodeValue(value)
		if err != nil {
			return
		}
		again, err := decodeValue(encodeValue(d))
		if err != nil || d.state != Empty && len(again.partitions) != len(d.partitions) || again.producerID != d.producerID || again.state != d.state {
			t.Fatalf("%+v became %+v, %v", d, again, err)
		}
	})
}
