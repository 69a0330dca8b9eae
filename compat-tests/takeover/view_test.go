package takeover

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// view is what a client can see of a broker's logs, a line for each thing.
type view struct {
	logs    map[string][]string // by partition; offsets of the group under its name
	batches int
}

// logView is one partition.
type logView struct {
	start, end int64
	records    int
	epochs     []int32
	times      []int64
	lines      []string
}

const offsetsTopic = "__consumer_offsets"

func (s *session) view() *view {
	s.t.Helper()
	v := &view{logs: map[string][]string{}}
	all := append(slices.Clone(sets), set{topic: offsetsTopic, partitions: 3})
	for _, c := range all {
		for p := range c.partitions {
			l := s.log(c.topic, p)
			v.batches += len(l.lines)
			l.lines = append(l.lines, fmt.Sprintf("starts at %d, ends at %d", l.start, l.end))
			l.lines = append(l.lines, s.epochs(c.topic, p, l)...)
			l.lines = append(l.lines, s.times(c.topic, p, l)...)
			if c.topic != offsetsTopic {
				l.lines = append(l.lines, s.producers(c.topic, p)...)
			}
			v.logs[fmt.Sprintf("%s-%d", c.topic, p)] = l.lines
		}
	}
	v.logs["committed offsets"] = s.committed()
	v.logs["topic ids"] = s.topicIDs()
	return v
}

// wantView compares; a broker that has just started is asked until it leads everything.
func (s *session) wantView(what string, want *view) {
	s.t.Helper()
	got := s.view()
	for name, lines := range want.logs {
		if slices.Equal(lines, got.logs[name]) {
			continue
		}
		shown := 0
		for _, l := range lines {
			if !slices.Contains(got.logs[name], l) && shown < 5 {
				s.t.Errorf("%s, but not in %s: %s", what, name, l)
				shown++
			}
		}
		for _, l := range got.logs[name] {
			if !slices.Contains(lines, l) && shown < 10 {
				s.t.Errorf("%s, but in %s there is: %s", what, name, l)
				shown++
			}
		}
		if shown == 0 {
			s.t.Errorf("%s, but in another order: %s", what, name)
		}
	}
}

// log reads all batches of a partition.
func (s *session) log(topic string, partition int32) logView {
	s.t.Helper()
	l := logView{start: s.offset(topic, partition, -2).Offset}
	seen := map[int32]bool{}
	for next := l.start; ; {
		p := s.fetch(topic, partition, next)
		l.end = p.HighWatermark
		if len(p.RecordBatches) == 0 {
			if next < l.end && topic != offsetsTopic && !isCompacted(topic) {
				s.t.Fatalf("%s-%d: nothing at %d, it ends at %d", topic, partition, next, l.end)
			}
			break
		}
		if len(l.lines) == 0 {
			l.lines = append(l.lines, fmt.Sprintf("last stable offset %d, start %d", p.LastStableOffset, p.LogStartOffset))
		}
		for _, a := range p.AbortedTransactions {
			l.lines = append(l.lines, fmt.Sprintf("aborted: producer %d from %d", a.ProducerID, a.FirstOffset))
		}
		for rest := p.RecordBatches; len(rest) > 12; {
			size := 12 + int(binary.BigEndian.Uint32(rest[8:]))
			if size > len(rest) {
				break
			}
			var b kmsg.RecordBatch
			if err := b.ReadFrom(rest[:size]); err != nil {
				s.t.Fatalf("%s-%d at %d: %v", topic, partition, next, err)
			}
			if uint32(b.CRC) != crc32.Checksum(rest[21:size], crc32.MakeTable(crc32.Castagnoli)) {
				s.t.Fatalf("%s-%d at %d: wrong CRC", topic, partition, b.FirstOffset)
			}
			sum := sha256.Sum256(b.Records)
			b.Records = nil
			l.lines = append(l.lines, fmt.Sprintf("batch %+v %x", b, sum[:6]))
			if !seen[b.PartitionLeaderEpoch] {
				seen[b.PartitionLeaderEpoch] = true
				l.epochs = append(l.epochs, b.PartitionLeaderEpoch)
			}
			l.records += int(b.NumRecords)
			l.times = append(l.times, b.MaxTimestamp)
			next, rest = b.FirstOffset+int64(b.LastOffsetDelta)+1, rest[size:]
		}
	}
	return l
}

func (s *session) fetch(topic string, partition int32, at int64) kmsg.FetchResponseTopicPartition {
	s.t.Helper()
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes, req.IsolationLevel = 10<<20, 1
	rt, rp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	rt.Topic, rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = topic, partition, at, 100_000
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	var p kmsg.FetchResponseTopicPartition
	s.await("a fetch", func() error {
		p = ask[*kmsg.FetchResponse](s, req).Topics[0].Partitions[0]
		return retriable(p.ErrorCode)
	})
	if p.ErrorCode != 0 {
		s.t.Fatalf("fetch %s-%d at %d: %v", topic, partition, at, kerr.ErrorForCode(p.ErrorCode))
	}
	return p
}

// offset asks for the offset of a time.
func (s *session) offset(topic string, partition int32, timestamp int64) kmsg.ListOffsetsResponseTopicPartition {
	s.t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	rt, rp := kmsg.NewListOffsetsRequestTopic(), kmsg.NewListOffsetsRequestTopicPartition()
	rt.Topic, rp.Partition, rp.Timestamp = topic, partition, timestamp
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	var p kmsg.ListOffsetsResponseTopicPartition
	s.await("an offset of "+topic, func() error {
		p = ask[*kmsg.ListOffsetsResponse](s, req).Topics[0].Partitions[0]
		return retriable(p.ErrorCode)
	})
	if p.ErrorCode != 0 {
		s.t.Fatalf("offset of %d in %s-%d: %v", timestamp, topic, partition, kerr.ErrorForCode(p.ErrorCode))
	}
	return p
}

// times are lookups by time: the largest, and some that are in batches, before and after them.
func (s *session) times(topic string, partition int32, l logView) []string {
	s.t.Helper()
	at := []int64{-3}
	if !isCompacted(topic) {
		at = append(at, start.UnixMilli(), start.Add(2*time.Hour).UnixMilli())
	}
	for i := 0; i < len(l.times) && !isCompacted(topic); i += 1 + len(l.times)/8 {
		at = append(at, l.times[i]-1, l.times[i], l.times[i]+1)
	}
	var lines []string
	for _, ts := range at {
		p := s.offset(topic, partition, ts)
		lines = append(lines, fmt.Sprintf("time %d: offset %d, time %d, epoch %d", ts, p.Offset, p.Timestamp, p.LeaderEpoch))
	}
	return lines
}

// epochs says where each epoch that has batches ends.
func (s *session) epochs(topic string, partition int32, l logView) []string {
	s.t.Helper()
	var lines []string
	for _, epoch := range l.epochs {
		req := kmsg.NewPtrOffsetForLeaderEpochRequest()
		req.ReplicaID = -1
		rt, rp := kmsg.NewOffsetForLeaderEpochRequestTopic(), kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		rt.Topic, rp.Partition, rp.LeaderEpoch = topic, partition, epoch
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		p := ask[*kmsg.OffsetForLeaderEpochResponse](s, req).Topics[0].Partitions[0]
		lines = append(lines, fmt.Sprintf("epoch %d: %d ends at %d, %v", epoch, p.LeaderEpoch, p.EndOffset, kerr.ErrorForCode(p.ErrorCode)))
	}
	return lines
}

func (s *session) producers(topic string, partition int32) []string {
	s.t.Helper()
	req := kmsg.NewPtrDescribeProducersRequest()
	rt := kmsg.NewDescribeProducersRequestTopic()
	rt.Topic, rt.Partitions = topic, []int32{partition}
	req.Topics = append(req.Topics, rt)
	p := ask[*kmsg.DescribeProducersResponse](s, req).Topics[0].Partitions[0]
	lines := []string{fmt.Sprintf("producers: %v", kerr.ErrorForCode(p.ErrorCode))}
	for _, a := range p.ActiveProducers {
		lines = append(lines, fmt.Sprintf("producer %+v", a))
	}
	slices.Sort(lines)
	return lines
}

func (s *session) committed() []string {
	s.t.Helper()
	var lines []string
	s.await("committed offsets", func() error {
		lines = nil
		offsets, err := s.adm.FetchOffsets(s.ctx, group)
		for _, o := range offsets.Sorted() {
			lines = append(lines, fmt.Sprintf("%s-%d: %d, epoch %d, %q, %v", o.Topic, o.Partition, o.At, o.LeaderEpoch, o.Metadata, o.Err))
		}
		if err == nil && len(lines) == 0 {
			err = fmt.Errorf("none")
		}
		return err
	})
	return lines
}

func (s *session) topicIDs() []string {
	s.t.Helper()
	topics, err := s.adm.ListTopicsWithInternal(s.ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	var lines []string
	for _, d := range topics.Sorted() {
		lines = append(lines, fmt.Sprintf("%s has id %s", d.Topic, d.ID))
	}
	return lines
}
