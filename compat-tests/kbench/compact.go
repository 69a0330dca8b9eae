package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// cmdCompact writes a topic of few keys and measures what its compaction takes. The broker should clean eagerly; both Ottla and Kafka do with
// log.cleaner.backoff.ms=200.
//
// It cannot see the cleaner work: the time ends when the size of the log has not changed for a while, that while not counted. Then
// everything is read, and every key must be there with its last value.
func cmdCompact(ctx context.Context, o *options, args []string) ([]*Result, error) {
	records := o.Int64("records", 10_000_000, "records to write")
	keys := o.Int64("keys", 1_000_000, "different keys")
	value := o.Int("value", 100, "`bytes` of a value, at least 8")
	segment := byteSize(64 << 20)
	o.Var(&segment, "segment", "segment.bytes of the topic")
	still := o.Duration("still", 10*time.Second, "how long the log has to keep its size to count as compacted")
	if err := o.parse(args); err != nil {
		return nil, err
	}
	if *value < 8 || *keys < 1 || *records < *keys {
		return nil, fmt.Errorf("%d records, %d keys, values of %d bytes: want records >= keys >= 1 and values of at least 8 bytes", *records, *keys, *value)
	}
	pids, err := o.pidList()
	if err != nil {
		return nil, err
	}
	// The last segment is never compacted, so the topic becomes compacted when it is full, and one more record rolls it.
	o.config = append(o.config, "cleanup.policy=delete", "retention.ms=-1", "segment.bytes="+strconv.FormatInt(int64(segment), 10), "min.cleanable.dirty.ratio=0.001")
	r := o.result("compact")
	err = o.withTopic(ctx, "compact", func(topic string) error {
		c, err := newCompaction(o.addr, topic, *keys, *value)
		if err != nil {
			return err
		}
		defer c.cl.Close()
		begin := time.Now()
		if err := c.fill(ctx, *records); err != nil {
			return err
		}
		r.Add("fill", time.Since(begin).Seconds(), "s", info)
		if r.Notes, err = c.measure(ctx, r, pids, *still); err != nil {
			return err
		}
		return c.check(ctx, r)
	})
	return []*Result{r}, err
}

type compaction struct {
	addr  string
	cl    *kgo.Client
	adm   *kadm.Client
	topic string
	value int
	last  []int64 // by key: the number of the record that wrote it last
	ends  map[int32]int64
}

func newCompaction(addr, topic string, keys int64, value int) (*compaction, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerLinger(5*time.Millisecond), kgo.MaxBufferedRecords(100_000))
	if err != nil {
		return nil, err
	}
	return &compaction{addr: addr, cl: cl, adm: kadm.NewClient(cl), topic: topic, value: value, last: make([]int64, keys)}, nil
}

// fill writes n records, their keys in a fixed order that looks random. The value begins with the record's number.
func (c *compaction) fill(ctx context.Context, n int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			cancel(err)
		}
	}
	x := uint64(1)
	for i := range n {
		x = x*6364136223846793005 + 1442695040888963407
		key := int64(x>>33) % int64(len(c.last))
		if i < int64(len(c.last)) {
			key = i // each at least once
		}
		c.last[key] = i
		v := make([]byte, c.value)
		binary.BigEndian.PutUint64(v, uint64(i))
		c.cl.Produce(ctx, &kgo.Record{Key: binary.BigEndian.AppendUint64(nil, uint64(key)), Value: v}, done)
	}
	if err := c.cl.Flush(ctx); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// measure makes the topic a compacted one and waits until its log keeps its size.
func (c *compaction) measure(ctx context.Context, r *Result, pids []int, still time.Duration) (notes []string, err error) {
	before, err := c.size(ctx)
	if err != nil {
		return nil, err
	}
	probe := startProbe(pids)
	begin := time.Now()
	policy := "compact"
	if _, err := c.adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "cleanup.policy", Value: &policy}}, c.topic); err != nil {
		return nil, err
	}
	changed, size := time.Now(), before
	for size == before || time.Since(changed) < still {
		if time.Since(begin) > 10*time.Minute {
			return nil, fmt.Errorf("the log of %d bytes was not compacted in 10 minutes", before)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		now, err := c.size(ctx)
		if err != nil {
			return nil, err
		}
		if now != size {
			size, changed = now, time.Now()
		}
	}
	probe.Stop()
	r.Add("compact", changed.Sub(begin).Seconds(), "s", lower)
	r.Add("before", float64(before)/1e6, "MB", info)
	r.Add("after", float64(size)/1e6, "MB", lower)
	if len(pids) > 0 {
		r.Add("compact_cpu", probe.end.cpu-probe.begin.cpu, "s", lower)
	}
	probe.Report(r, 0, 0)
	return []string{"CPU and memory include the wait for the log to keep its size, and Kafka's cleaner deletes old segments after file.delete.delay.ms"}, nil
}

func (c *compaction) size(ctx context.Context) (n int64, err error) {
	dirs, err := c.adm.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		return 0, err
	}
	dirs.Each(func(d kadm.DescribedLogDir) {
		if d.Err != nil {
			err = d.Err
		}
		d.Topics.Each(func(p kadm.DescribedLogDirPartition) {
			if p.Topic == c.topic {
				n += p.Size
			}
		})
	})
	return n, err
}

// check reads the topic: every key must end with the value that was written last.
func (c *compaction) check(ctx context.Context, r *Result) error {
	ends, err := c.adm.ListEndOffsets(ctx, c.topic)
	if err != nil {
		return err
	}
	left := 0
	c.ends = map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if c.ends[o.Partition] = o.Offset; o.Offset > 0 {
			left++
		}
	})
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.addr), kgo.ConsumeTopics(c.topic))
	if err != nil {
		return err
	}
	defer cl.Close()
	found := make([]int64, len(c.last))
	for i := range found {
		found[i] = -1
	}
	var kept int64
	for left > 0 {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			return err
		}
		fs.EachRecord(func(rec *kgo.Record) {
			kept++
			if key := binary.BigEndian.Uint64(rec.Key); key < uint64(len(found)) {
				found[key] = int64(binary.BigEndian.Uint64(rec.Value))
			}
			if rec.Offset == c.ends[rec.Partition]-1 {
				left--
			}
		})
	}
	for key, n := range c.last {
		if found[key] != n {
			return fmt.Errorf("key %d: record %d is its last in the compacted log, record %d was written last", key, found[key], n)
		}
	}
	r.Add("kept", float64(kept), "records", lower)
	return nil
}
