package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type topicPartition struct {
	topic     string
	partition int32
}

func (tp topicPartition) String() string { return fmt.Sprintf("%s-%d", tp.topic, tp.partition) }

// from is where to start to read: the value of --from.
type from struct {
	what fromKind
	n    int64     // of an offset, or how many before the end
	at   time.Time // of a time
}

type fromKind int

const (
	fromBeginning fromKind = iota
	fromEnd
	fromOffset
	fromBeforeEnd
	fromTime
)

// parseFrom reads --from.
func parseFrom(text string) (from, error) {
	switch {
	case text == "beginning":
		return from{what: fromBeginning}, nil
	case text == "end":
		return from{what: fromEnd}, nil
	case strings.HasPrefix(text, "@"):
		t, err := parseTime(text[1:])
		if err != nil {
			return from{}, fmt.Errorf("--from: %w", err)
		}
		return from{what: fromTime, at: t}, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		return from{}, fmt.Errorf("--from: %q is none of beginning, end, an offset, -N, @time", text)
	case n < 0:
		return from{what: fromBeforeEnd, n: -n}, nil
	}
	return from{what: fromOffset, n: n}, nil
}

// offset is where a group starts in a partition without a committed offset.
func (f from) offset() kgo.Offset {
	o := kgo.NewOffset()
	switch f.what {
	case fromBeginning:
		return o.AtStart()
	case fromBeforeEnd:
		return o.AtEnd().Relative(-f.n)
	case fromTime:
		return o.AfterMilli(f.at.UnixMilli())
	case fromOffset:
		return o.At(f.n)
	}
	return o.AtEnd()
}

// position is the offset in a partition with these bounds; after is that of the first record from the time on.
func (f from) position(tp topicPartition, start, end, after int64) (int64, error) {
	switch f.what {
	case fromBeginning:
		return start, nil
	case fromBeforeEnd:
		return max(start, end-f.n), nil
	case fromTime:
		return after, nil
	case fromOffset:
		if f.n < start || f.n > end {
			return 0, fmt.Errorf("--from: %s has the offsets %d to %d, and %d is none of them", tp, start, end, f.n)
		}
		return f.n, nil
	}
	return end, nil
}

// assign looks the partitions up and starts to read them.
func (c *consumer) assign(ctx context.Context, topics []string) error {
	start, err := parseFrom(c.flags.from)
	if err != nil {
		return err
	}
	admin := kadm.NewClient(c.client)
	partitions, err := c.partitions(ctx, admin, topics)
	if err != nil {
		return err
	}
	starts, err := admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return err
	}
	list := admin.ListEndOffsets
	if c.flags.isolation == "read_committed" {
		list = admin.ListCommittedOffsets
	}
	ends, err := list(ctx, topics...)
	if err != nil {
		return err
	}
	afters := ends
	if start.what == fromTime {
		if afters, err = admin.ListOffsetsAfterMilli(ctx, start.at.UnixMilli(), topics...); err != nil {
			return err
		}
	}
	assignment := make(map[string]map[int32]kgo.Offset)
	c.next, c.until = make(map[topicPartition]int64), make(map[topicPartition]int64)
	for _, tp := range partitions {
		var bounds [3]int64
		for i, list := range []kadm.ListedOffsets{starts, ends, afters} {
			o, ok := list.Lookup(tp.topic, tp.partition)
			if !ok {
				o.Err = kerr.UnknownTopicOrPartition
			}
			if o.Err != nil {
				return fmt.Errorf("offsets of %s: %w", tp, o.Err)
			}
			bounds[i] = o.Offset
		}
		at, err := start.position(tp, bounds[0], bounds[1], bounds[2])
		if err != nil {
			return err
		}
		c.next[tp] = at
		if c.flags.exitAtEnd {
			if at >= bounds[1] {
				continue
			}
			c.until[tp] = bounds[1]
		}
		if assignment[tp.topic] == nil {
			assignment[tp.topic] = make(map[int32]kgo.Offset)
		}
		assignment[tp.topic][tp.partition] = kgo.NewOffset().At(at)
	}
	c.client.AddConsumePartitions(assignment)
	return nil
}

// partitions lists what is to be read: all partitions of the topics, or those that were asked for.
func (c *consumer) partitions(ctx context.Context, admin *kadm.Client, topics []string) ([]topicPartition, error) {
	meta, err := admin.ListTopicsWithInternal(ctx, topics...)
	if err != nil {
		return nil, err
	}
	var list []topicPartition
	for _, t := range meta.Sorted() {
		if t.Err != nil {
			return nil, fmt.Errorf("topic %s: %w", t.Topic, t.Err)
		}
		for _, p := range c.flags.partitions {
			if _, ok := t.Partitions[p]; !ok {
				return nil, fmt.Errorf("topic %s has no partition %d", t.Topic, p)
			}
		}
		for _, p := range t.Partitions.Sorted() {
			if len(c.flags.partitions) == 0 || slices.Contains(c.flags.partitions, p.Partition) {
				list = append(list, topicPartition{t.Topic, p.Partition})
			}
		}
	}
	return list, nil
}

// skipEmpty forgets the partitions that have no record left before their end, only offsets of transaction markers or of records that
// compaction removed. The client library does not tell its position there, so the broker is asked.
func (c *consumer) skipEmpty(ctx context.Context) error {
	meta, err := kadm.NewClient(c.client).Metadata(ctx, topicsOf(c.until)...)
	if err != nil {
		return err
	}
	for tp, end := range c.until {
		topic := meta.Topics[tp.topic]
		p, ok := topic.Partitions[tp.partition]
		if !ok || p.Leader < 0 {
			continue // the library waits for a leader too
		}
		empty, err := c.empty(ctx, p.Leader, tp, topic.ID, end)
		if err != nil {
			return fmt.Errorf("read %s at offset %d: %w", tp, c.next[tp], err)
		}
		if empty {
			delete(c.until, tp)
		}
	}
	return nil
}

// emptyProbeBytes is how much is read to look for a record; a batch that is larger comes whole.
const emptyProbeBytes = 64 << 10

// empty says that there is no record from the next offset of tp up to end.
func (c *consumer) empty(ctx context.Context, leader int32, tp topicPartition, topicID [16]byte, end int64) (bool, error) {
	opts := kgo.ProcessFetchPartitionOpts{Topic: tp.topic, Partition: tp.partition, Offset: c.next[tp]}
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes, req.SessionEpoch = emptyProbeBytes, -1
	if c.flags.isolation == "read_committed" {
		req.IsolationLevel, opts.IsolationLevel = 1, kgo.ReadCommitted()
	}
	for opts.Offset < end {
		topic, partition := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
		topic.Topic, topic.TopicID = tp.topic, topicID // the former up to version 12
		partition.Partition, partition.FetchOffset, partition.PartitionMaxBytes = tp.partition, opts.Offset, emptyProbeBytes
		topic.Partitions = []kmsg.FetchRequestTopicPartition{partition}
		req.Topics = []kmsg.FetchRequestTopic{topic}
		raw, err := c.client.Broker(int(leader)).RetriableRequest(ctx, req)
		if err != nil {
			return false, err
		}
		resp := raw.(*kmsg.FetchResponse)
		if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
			return false, nil
		}
		fetched, next := kgo.ProcessFetchPartition(opts, &resp.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
		switch {
		case fetched.Err != nil, next <= opts.Offset:
			return false, nil // the library meets it too, and knows what to do
		case len(fetched.Records) > 0:
			return fetched.Records[0].Offset >= end, nil
		}
		opts.Offset = next
	}
	return true, nil
}

func topicsOf(partitions map[topicPartition]int64) []string {
	var topics []string
	for tp := range partitions {
		if !slices.Contains(topics, tp.topic) {
			topics = append(topics, tp.topic)
		}
	}
	return topics
}
