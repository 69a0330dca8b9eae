package kcat

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// ten is a topic of one partition with the records v0 to v9, each a batch, at different milliseconds.
func ten(t *testing.T) string {
	t.Helper()
	tp := topic(t, 1)
	for i := range 10 {
		produce(t, tp, fmt.Sprintf("v%d\n", i))
	}
	return tp
}

func values(from, to int) []string {
	var l []string
	for i := from; i < to; i++ {
		l = append(l, fmt.Sprintf("v%d", i))
	}
	return l
}

func TestOffsets(t *testing.T) {
	tp := ten(t)
	read := func(t *testing.T, offset string, args ...string) string {
		return ok(t, "", append([]string{"-C", "-t", tp, "-p", "0", "-e", "-q", "-o", offset}, args...)...)
	}
	all := consumeJSON(t, tp)
	t.Run("-o beginning", func(t *testing.T) { eqLines(t, read(t, "beginning"), values(0, 10)...) })
	t.Run("-o an offset", func(t *testing.T) { eqLines(t, read(t, "7"), values(7, 10)...) })
	t.Run("-o -3: the last three", func(t *testing.T) { eqLines(t, read(t, "-3"), values(7, 10)...) })
	t.Run("-o -30 of ten: all", func(t *testing.T) { eqLines(t, read(t, "-30"), values(0, 10)...) })
	t.Run("-o end: nothing", func(t *testing.T) { eq(t, "output", read(t, "end"), "") })
	t.Run("-c stops after so many", func(t *testing.T) { eqLines(t, read(t, "2", "-c", "3"), values(2, 5)...) })
	t.Run("-o s@timestamp: from the first record at or after it", func(t *testing.T) {
		eqLines(t, read(t, fmt.Sprintf("s@%d", all[4].Ts)), values(4, 10)...)
		eqLines(t, read(t, fmt.Sprintf("s@%d", all[4].Ts+1)), values(5, 10)...)
	})
	t.Run("-o s@timestamp -o e@timestamp: up to before the second", func(t *testing.T) {
		eqLines(t, read(t, fmt.Sprintf("s@%d", all[2].Ts), "-o", fmt.Sprintf("e@%d", all[6].Ts)), values(2, 6)...)
	})
	t.Run("-o s@ a time to come: nothing", func(t *testing.T) {
		eq(t, "output", read(t, fmt.Sprintf("s@%d", time.Now().Add(time.Hour).UnixMilli())), "")
	})
	t.Run("an offset out of range with auto.offset.reset=earliest starts at the beginning", func(t *testing.T) {
		eqLines(t, read(t, "5000", "-X", "topic.auto.offset.reset=earliest"), values(0, 10)...)
	})
	t.Run("an offset out of range with auto.offset.reset=latest starts at the end", func(t *testing.T) {
		eq(t, "output", read(t, "5000", "-X", "topic.auto.offset.reset=latest"), "")
	})
	t.Run("an offset out of range with auto.offset.reset=error is an error", func(t *testing.T) {
		fails(t, "Offset out of range", "", "-C", "-t", tp, "-p", "0", "-e", "-q", "-o", "5000", "-X", "topic.auto.offset.reset=error")
	})
	t.Run("the end of the partition is reported at the log end offset", func(t *testing.T) {
		r := kcat(t, "", "-C", "-t", tp, "-p", "0", "-e", "-o", "beginning")
		eq(t, "exit code", r.code, 0)
		if want := "Reached end of topic " + tp + " [0] at offset 10"; !strings.Contains(r.err, want) {
			t.Fatalf("want %q in %q", want, r.err)
		}
	})
}

func TestQuery(t *testing.T) {
	tp := ten(t)
	all := consumeJSON(t, tp)
	t.Run("-Q: beginning and end", func(t *testing.T) {
		eq(t, "beginning", queryOffset(t, tp, 0, -2), 0)
		eq(t, "end", queryOffset(t, tp, 0, -1), 10)
	})
	t.Run("-Q: a timestamp gives the first offset at or after it", func(t *testing.T) {
		for _, e := range all {
			eq(t, fmt.Sprintf("offset at %d", e.Ts), queryOffset(t, tp, 0, e.Ts), e.Offset)
			eq(t, fmt.Sprintf("offset before %d", e.Ts), queryOffset(t, tp, 0, e.Ts-1), first(all, e.Ts-1))
		}
	})
	t.Run("-Q: a time after the last record gives the end", func(t *testing.T) {
		eq(t, "offset", queryOffset(t, tp, 0, time.Now().Add(time.Hour).UnixMilli()), -1)
	})
	t.Run("-Q: an empty partition", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		eq(t, "beginning", queryOffset(t, tp, 0, -2), 0)
		eq(t, "end", queryOffset(t, tp, 0, -1), 0)
		eq(t, "a time", queryOffset(t, tp, 0, 1), -1)
	})
	t.Run("-Q: the topic of a query must exist", func(t *testing.T) {
		t.Parallel()
		r := kcat(t, "", "-Q", "-t", name()+":0:-1")
		if r.code == 0 && !strings.Contains(r.out+r.err, "Unknown") {
			t.Fatalf("out %q, err %q", r.out, r.err)
		}
	})
}

// first is the offset of the first record at or after ts.
func first(all []envelope, ts int64) int64 {
	for _, e := range all {
		if e.Ts >= ts {
			return e.Offset
		}
	}
	return -1
}

func TestConsume(t *testing.T) {
	t.Run("check.crcs: checksums are right", func(t *testing.T) {
		t.Parallel()
		tp, data := topic(t, 1), lines(5000, 60)
		produce(t, tp, data, "-z", "snappy")
		same(t, consume(t, tp, "-X", "check.crcs=true"), data)
	})
	t.Run("many partitions: every record once", func(t *testing.T) {
		t.Parallel()
		tp, data := topic(t, 50), lines(5000, 60)
		produce(t, tp, data, "-p", "-1", "-X", "sticky.partitioning.linger.ms=0")
		sameUnordered(t, consume(t, tp), data)
	})
	t.Run("offsets of a partition are without gaps", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		produce(t, tp, lines(1000, 20), "-z", "gzip")
		produce(t, tp, lines(1000, 20))
		for i, e := range consumeJSON(t, tp) {
			eq(t, "offset", e.Offset, int64(i))
		}
	})
	t.Run("a waiting consumer gets a record at once", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		produce(t, tp, "before\n", "-p", "0")
		c := start(t, nil, "-C", "-t", tp, "-o", "beginning", "-u", "-X", "fetch.wait.max.ms=60000")
		c.until(t, "the first record", func() bool { return c.out.String() == "before\n" })
		begin := time.Now()
		produce(t, tp, "now\n", "-p", "0")
		c.until(t, "the record", func() bool { return c.out.String() == "before\nnow\n" })
		if d := time.Since(begin); d > 20*time.Second {
			t.Fatalf("it took %v: only at the end of fetch.wait.max.ms", d)
		}
		c.cmd.Process.Kill() // it would wait for its fetch
		c.cmd.Wait()
	})
	t.Run("fetch.min.bytes: a waiting fetch is answered after fetch.wait.max.ms", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		produce(t, tp, "few bytes\n")
		eqLines(t, consume(t, tp, "-X", "fetch.min.bytes=100000", "-X", "fetch.wait.max.ms=300"), "few bytes")
	})
	t.Run("isolation.level: without transactions both levels read all", func(t *testing.T) {
		t.Parallel()
		tp, data := topic(t, 1), lines(100, 30)
		produce(t, tp, data)
		same(t, consume(t, tp, "-X", "isolation.level=read_uncommitted"), data)
		same(t, consume(t, tp, "-X", "isolation.level=read_committed"), data)
	})
	t.Run("the format fields of a record", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		produce(t, tp, "key:value\n", "-K", ":", "-H", "h=1")
		eqLines(t, consume(t, tp, "-f", `%t [%p] %o %k %K %s %S %h\n`), tp+" [0] 0 key 3 value 5 h=1")
	})
	t.Run("the fields of the JSON envelope", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		produce(t, tp, "key:value\n", "-K", ":", "-H", "h=1")
		e := consumeJSON(t, tp)[0]
		eq(t, "envelope", fmt.Sprintf("%s %d %d %s %s %s %v", e.Topic, e.Partition, e.Offset, e.TsType, *e.Key, *e.Payload, e.Headers),
			tp+" 0 0 create key value [h 1]")
	})
	t.Run("several topics in one consumer of a group", func(t *testing.T) {
		t.Parallel()
		a, b := topic(t, 2), topic(t, 3)
		produce(t, a, "in a\n")
		produce(t, b, "in b\n")
		got := ok(t, "", "-G", name(), "-o", "beginning", "-q", "-e", "-X", "auto.offset.reset=earliest", a, b)
		sameUnordered(t, got, "in a\nin b\n")
	})
}
