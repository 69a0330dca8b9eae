package versions

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"ottla/compat-tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

type age struct {
	name     string
	versions *kversion.Versions
	groups   bool // consumer groups on the broker (0.9)
	format   int  // message format: 0 before 0.10, 1 before 0.11, 2
	admin    bool // CreateTopics (0.10.1)
}

var ages = []age{
	{"0.8.0", kversion.V0_8_0(), false, 0, false},
	{"0.8.1", kversion.V0_8_1(), false, 0, false},
	{"0.8.2", kversion.V0_8_2(), false, 0, false},
	{"0.9.0", kversion.V0_9_0(), true, 0, false},
	{"0.10.0", kversion.V0_10_0(), true, 1, false},
	{"0.10.1", kversion.V0_10_1(), true, 1, true},
	{"0.10.2", kversion.V0_10_2(), true, 1, true},
	{"0.11.0", kversion.V0_11_0(), true, 2, true},
	{"1.0", kversion.V1_0_0(), true, 2, true},
	{"1.1", kversion.V1_1_0(), true, 2, true},
	{"2.0", kversion.V2_0_0(), true, 2, true},
	{"2.1", kversion.V2_1_0(), true, 2, true},
	{"2.2", kversion.V2_2_0(), true, 2, true},
	{"2.3", kversion.V2_3_0(), true, 2, true},
	{"2.4", kversion.V2_4_0(), true, 2, true},
	{"2.5", kversion.V2_5_0(), true, 2, true},
	{"2.6", kversion.V2_6_0(), true, 2, true},
	{"2.7", kversion.V2_7_0(), true, 2, true},
	{"2.8", kversion.V2_8_0(), true, 2, true},
	{"3.0", kversion.V3_0_0(), true, 2, true},
	{"3.1", kversion.V3_1_0(), true, 2, true},
	{"3.2", kversion.V3_2_0(), true, 2, true},
	{"3.3", kversion.V3_3_0(), true, 2, true},
	{"3.4", kversion.V3_4_0(), true, 2, true},
	{"3.5", kversion.V3_5_0(), true, 2, true},
	{"3.6", kversion.V3_6_0(), true, 2, true},
	{"3.7", kversion.V3_7_0(), true, 2, true},
	{"3.8", kversion.V3_8_0(), true, 2, true},
	{"3.9", kversion.V3_9_0(), true, 2, true},
	{"4.0", kversion.V4_0_0(), true, 2, true},
	{"newest", kversion.Stable(), true, 2, true},
}

func (a age) client(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	base := []kgo.Opt{kgo.SeedBrokers(harness.Bootstrap(t)), kgo.MaxVersions(a.versions), kgo.FetchMaxWait(200 * time.Millisecond),
		kgo.MetadataMinAge(20 * time.Millisecond), kgo.RecordRetries(20), kgo.RetryTimeout(30 * time.Second)}
	if a.format < 2 {
		base = append(base, kgo.DisableIdempotentWrite())
	}
	cl, err := kgo.NewClient(append(base, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

var newest = ages[len(ages)-1]

func topic(t *testing.T) string {
	t.Helper()
	adm := kadm.NewClient(newest.client(t))
	name := fmt.Sprintf("versions-%x", rand.Uint64())
	if _, err := adm.CreateTopic(t.Context(), 1, 1, nil, name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { adm.DeleteTopics(context.Background(), name) })
	return name
}

const perCodec = 40

// begin is the timestamp of the first records: not so old that a client or the retention gives them up.
var begin = time.Now().UnixMilli() - 5000

var codecs = []struct {
	name  string
	codec kgo.CompressionCodec
}{{"none", kgo.NoCompression()}, {"gzip", kgo.GzipCompression()}, {"snappy", kgo.SnappyCompression()}, {"lz4", kgo.Lz4Compression()}}

// fill produces records of several codecs and returns what a reader must see.
func (a age) fill(t *testing.T, topic string, reader age) []string {
	t.Helper()
	var want []string
	for _, c := range codecs {
		if c.name == "lz4" && min(a.format, reader.format) == 0 {
			continue // LZ4 frames of format 0 have a wrong checksum on purpose (KAFKA-3160), which franz-go does not read
		}
		cl := a.client(t, kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(c.codec), kgo.ProducerLinger(20*time.Millisecond))
		var rs []*kgo.Record
		for i := range perCodec {
			r := &kgo.Record{Key: fmt.Appendf(nil, "key %d", i), Value: []byte(strings.Repeat(c.name+" ", i+1)), Timestamp: time.UnixMilli(begin + int64(i))}
			if i%10 == 9 {
				r.Value = nil
			}
			if a.format == 2 {
				r.Headers = []kgo.RecordHeader{{Key: "age", Value: []byte(a.name)}}
			}
			rs = append(rs, r)
			want = append(want, a.text(r, a.format))
		}
		if err := cl.ProduceSync(t.Context(), rs...).FirstErr(); err != nil {
			t.Fatalf("produce with %s: %v", c.name, err)
		}
		cl.Close()
	}
	return want
}

// text is what a record of a message format holds.
func (age) text(r *kgo.Record, format int) string {
	s := fmt.Sprintf("%q %q", r.Key, r.Value)
	if r.Value == nil {
		s = fmt.Sprintf("%q null", r.Key)
	}
	if format >= 1 {
		s += fmt.Sprintf(" at %d", r.Timestamp.UnixMilli())
	}
	if format == 2 {
		s += fmt.Sprintf(" %v", r.Headers)
	}
	return s
}

// read consumes n records, through a group where there are groups.
func (a age) read(t *testing.T, topic, group string, n, format int) []string {
	t.Helper()
	opts := []kgo.Opt{kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
	if group != "" {
		opts = append(opts, kgo.ConsumerGroup(group), kgo.DisableAutoCommit(), kgo.Balancers(kgo.RangeBalancer()))
	}
	cl := a.client(t, opts...)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var got []string
	for len(got) < n {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", len(got), n, err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			if r.Offset != int64(len(got)) {
				t.Fatalf("offset %d, want %d", r.Offset, len(got))
			}
			got = append(got, a.text(r, format))
		})
	}
	if group != "" {
		if err := cl.CommitUncommittedOffsets(ctx); err != nil {
			t.Fatalf("commit: %v", err)
		}
	}
	cl.Close()
	return got
}

func same(t *testing.T, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("%d records, want %d; record %d: %.200s, want %.200s", len(got), len(want), i, at(got, i), at(want, i))
		}
	}
}

func at(l []string, i int) string {
	if i < len(l) {
		return l[i]
	}
	return "nothing"
}

func TestVersions(t *testing.T) {
	for _, a := range ages {
		t.Run(a.name+": what it produces is read by it and by a current client", func(t *testing.T) {
			t.Parallel()
			tp := topic(t)
			want := a.fill(t, tp, a)
			same(t, newest.read(t, tp, "", len(want), a.format), want)
			same(t, a.read(t, tp, "", len(want), a.format), want)
		})
		t.Run(a.name+": it reads what a current client produces", func(t *testing.T) {
			t.Parallel()
			tp := topic(t)
			var want []string
			for _, w := range newest.fill(t, tp, a) {
				if a.format < 2 { // no headers
					w = w[:strings.Index(w, " [{")]
				}
				if a.format < 1 { // no timestamps
					w = w[:strings.LastIndex(w, " at ")]
				}
				want = append(want, w)
			}
			same(t, a.read(t, tp, "", len(want), a.format), want)
		})
		if a.groups {
			t.Run(a.name+": it joins a group, commits, and its offset is seen", func(t *testing.T) {
				t.Parallel()
				tp := topic(t)
				want := a.fill(t, tp, a)
				group := tp + "-group"
				same(t, a.read(t, tp, group, len(want), a.format), want)
				offs, err := kadm.NewClient(newest.client(t)).FetchOffsets(t.Context(), group)
				if err != nil {
					t.Fatal(err)
				}
				if o, ok := offs.Lookup(tp, 0); !ok || o.At != int64(len(want)) {
					t.Fatalf("committed offset %v (%v), want %d", o.At, ok, len(want))
				}
			})
		}
		if a.admin {
			t.Run(a.name+": it creates, describes and deletes a topic", func(t *testing.T) {
				t.Parallel()
				adm, name := kadm.NewClient(a.client(t)), fmt.Sprintf("versions-%x", rand.Uint64())
				if rs, err := adm.CreateTopics(t.Context(), 2, 1, nil, name); err != nil || rs[name].Err != nil {
					t.Fatal(err, rs[name].Err)
				}
				ts, err := adm.ListTopics(t.Context(), name)
				if err != nil || len(ts[name].Partitions) != 2 {
					t.Fatalf("%v, %d partitions", err, len(ts[name].Partitions))
				}
				if rs, err := adm.DeleteTopics(t.Context(), name); err != nil || rs[name].Err != nil {
					t.Fatal(err, rs[name].Err)
				}
			})
		}
	}
}
