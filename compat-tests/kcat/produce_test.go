package kcat

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestAcks(t *testing.T) {
	for _, acks := range []string{"1", "all"} {
		t.Run("acks="+acks+": records come back in order", func(t *testing.T) {
			t.Parallel()
			tp, data := topic(t, 1), lines(2000, 60)
			produce(t, tp, data, "-X", "acks="+acks)
			same(t, consume(t, tp), data)
		})
	}
	t.Run("acks=0: records come back in order", func(t *testing.T) {
		t.Parallel()
		tp, data := topic(t, 1), lines(2000, 60)
		produce(t, tp, data, "-X", "acks=0")
		// Nothing was promised for them: wait until the last one is there.
		for deadline := time.Now().Add(limit); queryOffset(t, tp, 0, -1) < 2000; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("records do not arrive")
			}
		}
		same(t, consume(t, tp), data)
	})
	t.Run("acks=all: min.insync.replicas above the number of replicas counts as that number", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1, "min.insync.replicas=2")
		produce(t, tp, "x\n", "-X", "acks=all", "-X", "retries=0")
		eqLines(t, consume(t, tp), "x")
	})
}

func TestIdempotence(t *testing.T) {
	t.Run("enable.idempotence: every record once and in order", func(t *testing.T) {
		t.Parallel()
		tp, data := topic(t, 1), lines(count(20_000), 60)
		produce(t, tp, data, "-X", "enable.idempotence=true")
		same(t, consume(t, tp), data)
	})
	t.Run("enable.idempotence: five requests of single records in flight", func(t *testing.T) {
		t.Parallel()
		tp, data := topic(t, 1), lines(1000, 20)
		produce(t, tp, data, "-X", "enable.idempotence=true", "-X", "batch.num.messages=1", "-X", "linger.ms=0",
			"-X", "max.in.flight.requests.per.connection=5")
		same(t, consume(t, tp), data)
	})
	t.Run("enable.idempotence: several partitions and a codec", func(t *testing.T) {
		t.Parallel()
		tp, data := topic(t, 4), lines(5000, 60)
		produce(t, tp, data, "-X", "enable.idempotence=true", "-z", "lz4", "-p", "-1")
		sameUnordered(t, consume(t, tp), data)
	})
	t.Run("two idempotent producers at once: each one's records in order", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		a := strings.ReplaceAll(lines(3000, 30), " ", "a")
		b := strings.ReplaceAll(lines(3000, 30), " ", "b")
		pa := start(t, strings.NewReader(a), "-P", "-t", tp, "-X", "enable.idempotence=true")
		pb := start(t, strings.NewReader(b), "-P", "-t", tp, "-X", "enable.idempotence=true")
		eq(t, "exit code", pa.wait(t, limit).code, 0)
		eq(t, "exit code", pb.wait(t, limit).code, 0)
		var gotA, gotB strings.Builder
		for l := range strings.Lines(consume(t, tp)) {
			if l[8] == 'a' {
				gotA.WriteString(l)
			} else {
				gotB.WriteString(l)
			}
		}
		same(t, gotA.String(), a)
		same(t, gotB.String(), b)
	})
}

func TestKeysAndValues(t *testing.T) {
	t.Run("keys split off with -K come back as keys", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		produce(t, tp, "k1:v1\nk2:v2\n:v3\n", "-K", ":")
		eqLines(t, consume(t, tp, "-K", "="), "k1=v1", "k2=v2", "=v3")
	})
	t.Run("one key for all records with -k", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		produce(t, tp, "a\nb\n", "-k", "fixed")
		eqLines(t, consume(t, tp, "-f", `%k/%s\n`), "fixed/a", "fixed/b")
	})
	t.Run("a null key is not an empty key", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		produce(t, tp, "no key\n")
		produce(t, tp, ":empty key\n", "-K", ":")
		all := consumeJSON(t, tp)
		eq(t, "records", len(all), 2)
		if all[0].Key != nil || all[1].Key == nil || *all[1].Key != "" {
			t.Fatalf("keys %v, %v; want null and empty", all[0].Key, all[1].Key)
		}
	})
	t.Run("a null value is not an empty value", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		produce(t, tp, "k:\n", "-K", ":")
		produce(t, tp, "k:\n", "-K", ":", "-Z")
		all := consumeJSON(t, tp)
		eq(t, "records", len(all), 2)
		if all[0].Payload == nil || *all[0].Payload != "" || all[1].Payload != nil {
			t.Fatalf("values %v, %v; want empty and null", all[0].Payload, all[1].Payload)
		}
	})
	t.Run("lengths of null key and value are -1", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		produce(t, tp, ":\n", "-K", ":", "-Z")
		eqLines(t, consume(t, tp, "-f", `%K %S\n`), "-1 -1")
	})
	t.Run("a compacted topic takes tombstones and refuses records without a key", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1, "cleanup.policy=compact")
		produce(t, tp, "k:1\nk:\n", "-K", ":", "-Z")
		fails(t, "Broker: Broker failed to validate record", "no key\n", "-P", "-t", tp)
		all := consumeJSON(t, tp)
		eq(t, "records", len(all), 2)
		if all[1].Payload != nil {
			t.Fatalf("second value %q, want null", *all[1].Payload)
		}
	})
	t.Run("binary values with every byte come back", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		all := make([]byte, 256)
		for i := range all {
			all[i] = byte(i)
		}
		file := filepath.Join(t.TempDir(), "bytes")
		if err := os.WriteFile(file, all, 0o644); err != nil {
			t.Fatal(err)
		}
		ok(t, "", "-P", "-t", tp, file)
		if got := consume(t, tp, "-D", ""); !bytes.Equal([]byte(got), all) {
			t.Fatalf("%d bytes %x", len(got), got)
		}
	})
	t.Run("records split at an own delimiter", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		produce(t, tp, "a\nb|c\nd", "-D", "|")
		eq(t, "output", consume(t, tp, "-D", "#"), "a\nb#c\nd#")
	})
	t.Run("files are sent as records in the order given", func(t *testing.T) {
		t.Parallel()
		tp, dir := topic(t, 1), t.TempDir()
		args := []string{"-P", "-t", tp}
		var want []string
		for i := range 5 {
			file, text := filepath.Join(dir, fmt.Sprint(i)), strings.Repeat(fmt.Sprint(i), 10_000)
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			args, want = append(args, file), append(want, text)
		}
		ok(t, "", args...)
		eqLines(t, consume(t, tp), want...)
	})
	t.Run("text outside ASCII comes back", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		produce(t, tp, "ключ:čtyři žluté koně 🐎\n", "-K", ":")
		eqLines(t, consume(t, tp, "-K", ":"), "ключ:čtyři žluté koně 🐎")
	})
}

func TestHeaders(t *testing.T) {
	t.Run("headers come back in order, repeated names kept", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		produce(t, tp, "v\n", "-H", "b=2", "-H", "a=1", "-H", "b=3")
		eqLines(t, consume(t, tp, "-f", `%h %s\n`), "b=2,a=1,b=3 v")
	})
	t.Run("a header with a null value is not one with an empty value", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		produce(t, tp, "v\n", "-H", "null", "-H", "empty=")
		all := consumeJSON(t, tp)
		eq(t, "headers", fmt.Sprint(all[0].Headers), "[null <nil> empty ]")
	})
	t.Run("headers survive every codec", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		for _, codec := range codecs {
			produce(t, tp, "v\nw\n", "-H", "codec="+codec, "-z", codec)
		}
		var want []string
		for _, codec := range codecs {
			want = append(want, "codec="+codec, "codec="+codec)
		}
		eqLines(t, consume(t, tp, "-f", `%h\n`), want...)
	})
	t.Run("a hundred headers on each record", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		args := []string{"-P", "-t", tp}
		var want []string
		for i := range 100 {
			h := fmt.Sprintf("h%d=%s", i, strings.Repeat("x", i))
			args, want = append(args, "-H", h), append(want, h)
		}
		ok(t, "v\n", args...)
		eqLines(t, consume(t, tp, "-f", `%h\n`), strings.Join(want, ","))
	})
}

func TestTimestamps(t *testing.T) {
	t.Run("create time is the producer's", func(t *testing.T) {
		t.Parallel()
		tp, before := topic(t, 1), time.Now().UnixMilli()
		produce(t, tp, "v\n")
		e := consumeJSON(t, tp)[0]
		eq(t, "timestamp type", e.TsType, "create")
		if after := time.Now().UnixMilli(); e.Ts < before || e.Ts > after {
			t.Fatalf("timestamp %d outside %d..%d", e.Ts, before, after)
		}
	})
	t.Run("message.timestamp.type=LogAppendTime: the broker's time, and said so", func(t *testing.T) {
		t.Parallel()
		tp, before := topic(t, 1, "message.timestamp.type=LogAppendTime"), time.Now().UnixMilli()
		for _, codec := range codecs {
			produce(t, tp, "v\nw\n", "-z", codec)
		}
		all, last := consumeJSON(t, tp), before
		eq(t, "records", len(all), 2*len(codecs))
		for _, e := range all {
			eq(t, "timestamp type", e.TsType, "logappend")
			if after := time.Now().UnixMilli(); e.Ts < last || e.Ts > after {
				t.Fatalf("timestamp %d outside %d..%d", e.Ts, last, after)
			}
			last = e.Ts
		}
	})
	t.Run("message.timestamp.type can be changed on a topic with records", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		produce(t, tp, "v\n")
		alter(t, tp, "message.timestamp.type=LogAppendTime")
		produce(t, tp, "w\n")
		all := consumeJSON(t, tp)
		eq(t, "types", all[0].TsType+" "+all[1].TsType, "create logappend")
	})
}

func TestPartitioners(t *testing.T) {
	const partitions = 7
	var input strings.Builder
	for i := range 200 {
		fmt.Fprintf(&input, "key-%d:value %d\n", i, i)
	}
	murmur2 := kgo.StickyKeyPartitioner(nil).ForTopic("")
	for _, p := range []struct {
		name string
		want func(key string) int
	}{
		{"murmur2_random", func(k string) int { return murmur2.Partition(&kgo.Record{Key: []byte(k)}, partitions) }},
		{"murmur2", func(k string) int { return murmur2.Partition(&kgo.Record{Key: []byte(k)}, partitions) }},
		{"consistent", func(k string) int { return int(crc32.ChecksumIEEE([]byte(k)) % partitions) }},
		{"consistent_random", func(k string) int { return int(crc32.ChecksumIEEE([]byte(k)) % partitions) }},
	} {
		t.Run("partitioner "+strings.ReplaceAll(p.name, "_", "-")+": keys are in the partitions of its hash", func(t *testing.T) {
			t.Parallel()
			tp := topic(t, partitions)
			produce(t, tp, input.String(), "-K", ":", "-X", "partitioner="+p.name)
			all := consumeJSON(t, tp)
			eq(t, "records", len(all), 200)
			for _, e := range all {
				eq(t, "partition of "+*e.Key, int(e.Partition), p.want(*e.Key))
			}
		})
	}
	t.Run("partitioner fnv1a-random: equal keys share a partition", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, partitions)
		produce(t, tp, input.String(), "-K", ":", "-X", "partitioner=fnv1a_random")
		produce(t, tp, input.String(), "-K", ":", "-X", "partitioner=fnv1a_random")
		at := map[string]int32{}
		for _, e := range consumeJSON(t, tp) {
			if p, seen := at[*e.Key]; seen {
				eq(t, "partition of "+*e.Key, e.Partition, p)
			}
			at[*e.Key] = e.Partition
		}
		eq(t, "keys", len(at), 200)
	})
	t.Run("partitioner random: every partition gets records", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, partitions)
		produce(t, tp, lines(700, 20), "-p", "-1", "-X", "partitioner=random", "-X", "sticky.partitioning.linger.ms=0")
		used := map[int32]bool{}
		for _, e := range consumeJSON(t, tp) {
			used[e.Partition] = true
		}
		eq(t, "partitions used", len(used), partitions)
	})
	t.Run("a partition given with -p gets all records", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, partitions)
		produce(t, tp, "a\nb\n", "-p", "3")
		eqLines(t, ok(t, "", "-C", "-t", tp, "-p", "3", "-e", "-q", "-f", `%p %o %s\n`), "3 0 a", "3 1 b")
	})
	t.Run("a partition that does not exist is refused", func(t *testing.T) {
		t.Parallel()
		fails(t, "Unknown partition", "x\n", "-P", "-t", topic(t, 2), "-p", "2")
	})
}
