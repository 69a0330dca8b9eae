package admin

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const firstTimestampMs = 1_500_000_000_000

// produce puts n records on a partition, each in a batch, a second apart from firstTimestampMs on.
func (r *run) produce(topic string, partition int32, n int) error {
	for i := range n {
		rec := &kgo.Record{Topic: topic, Partition: partition, Value: fmt.Appendf(nil, "value %d", i), Timestamp: time.UnixMilli(firstTimestampMs + int64(i)*1000)}
		res := make(chan error, 1)
		r.cl.Produce(r.ctx, rec, func(_ *kgo.Record, err error) { res <- err })
		if err := r.cl.Flush(r.ctx); err != nil {
			return err
		}
		if err := <-res; err != nil {
			return err
		}
	}
	return nil
}

var recordSteps = []step{
	{"produce: twenty batches", func(r *run) any {
		return []any{answer(r.adm.CreateTopics(r.ctx, 2, 1, configs("retention.ms", "-1"), "admin-records")), r.produce("admin-records", 0, 20)}
	}},
	{"ListStartOffsets", func(r *run) any { return answer(r.adm.ListStartOffsets(r.ctx, "admin-records")) }},
	{"ListEndOffsets", func(r *run) any { return answer(r.adm.ListEndOffsets(r.ctx, "admin-records")) }},
	{"ListEndOffsets: topic does not exist", func(r *run) any { return answer(r.adm.ListEndOffsets(r.ctx, "admin-none")) }},
	{"ListCommittedOffsets", func(r *run) any { return answer(r.adm.ListCommittedOffsets(r.ctx, "admin-records")) }},
	{"ListMaxTimestampOffsets", func(r *run) any { return answer(r.adm.ListMaxTimestampOffsets(r.ctx, "admin-records")) }},
	{"ListLocalLogStartOffsets", func(r *run) any { return answer(r.adm.ListLocalLogStartOffsets(r.ctx, "admin-records")) }},
	{"ListLatestRemoteOffsets", func(r *run) any { return answer(r.adm.ListLatestRemoteOffsets(r.ctx, "admin-records")) }},
	{"ListOffsetsAfterMilli", func(r *run) any {
		all := map[string]any{}
		for _, after := range []int64{0, 1, 999, 1000, 10_500, 19_000, 19_001} {
			all[fmt.Sprint("first+", after)] = answer(r.adm.ListOffsetsAfterMilli(r.ctx, firstTimestampMs+after, "admin-records"))
		}
		return all
	}},
	{"DescribeAllLogDirs", func(r *run) any { return sizes(r) }},
	{"DescribeBrokerLogDirs: all topics, ours shown", func(r *run) any {
		dirs, err := r.adm.DescribeBrokerLogDirs(r.ctx, r.broker, nil)
		if err != nil {
			return err
		}
		found := []string{}
		for _, d := range dirs.Sorted() {
			for t := range d.Topics {
				if t == "admin-records" || t == "__consumer_offsets" {
					found = append(found, t)
				}
			}
		}
		return len(found)
	}},
	{"DeleteRecords", func(r *run) any {
		return answer(r.adm.DeleteRecords(r.ctx, kadm.Offsets{"admin-records": {0: {Topic: "admin-records", Partition: 0, At: 5}}}))
	}},
	{"DeleteRecords: above the high watermark", func(r *run) any {
		return answer(r.adm.DeleteRecords(r.ctx, kadm.Offsets{"admin-records": {0: {Topic: "admin-records", Partition: 0, At: 21}}}))
	}},
	{"DeleteRecords: a partition that does not exist", func(r *run) any {
		return answer(r.adm.DeleteRecords(r.ctx, kadm.Offsets{"admin-records": {9: {Topic: "admin-records", Partition: 9, At: 1}}}))
	}},
	{"DeleteRecords: below the log start", func(r *run) any {
		return answer(r.adm.DeleteRecords(r.ctx, kadm.Offsets{"admin-records": {0: {Topic: "admin-records", Partition: 0, At: 2}}}))
	}},
	{"DeleteRecords: all (-1)", func(r *run) any {
		if err := r.produce("admin-records", 1, 3); err != nil {
			return err
		}
		return answer(r.adm.DeleteRecords(r.ctx, kadm.Offsets{"admin-records": {1: {Topic: "admin-records", Partition: 1, At: -1}}}))
	}},
	{"DeleteRecords: a compacted topic", func(r *run) any {
		r.adm.CreateTopics(r.ctx, 1, 1, configs("cleanup.policy", "compact"), "admin-compact-only")
		return answer(r.adm.DeleteRecords(r.ctx, kadm.Offsets{"admin-compact-only": {0: {Topic: "admin-compact-only", At: 0}}}))
	}},
	{"ListStartOffsets: after DeleteRecords", func(r *run) any { return answer(r.adm.ListStartOffsets(r.ctx, "admin-records")) }},
	{"OffsetForLeaderEpoch", func(r *run) any {
		all := map[string]any{}
		for _, epoch := range []int32{-1, 0, 1} {
			var req kadm.OffsetForLeaderEpochRequest
			req.Add("admin-records", 0, epoch)
			all[fmt.Sprint("epoch ", epoch)] = answer(r.adm.OffsetForLeaderEpoch(r.ctx, req))
		}
		return all
	}},
	{"DescribeProducers: none", func(r *run) any {
		var s kadm.TopicsSet
		s.Add("admin-records", 0)
		return answer(r.adm.DescribeProducers(r.ctx, s))
	}},
	{"DescribeProducers: one idempotent producer", func(r *run) any {
		cl, err := kgo.NewClient(kgo.SeedBrokers(r.env.addr), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			return err
		}
		defer cl.Close()
		if err := cl.ProduceSync(r.ctx, &kgo.Record{Topic: "admin-records", Partition: 1, Value: []byte("v")}).FirstErr(); err != nil {
			return err
		}
		var s kadm.TopicsSet
		s.Add("admin-records", 1)
		all, err := r.adm.DescribeProducers(r.ctx, s)
		if err != nil {
			return err
		}
		ps := all["admin-records"].Partitions[1].ActiveProducers
		list := []any{}
		for _, p := range ps {
			list = append(list, p)
		}
		return list
	}},
}

// sizes are the bytes on disk of the topic with records; both brokers were sent the same batches.
func sizes(r *run) any {
	var s kadm.TopicsSet
	s.Add("admin-records", 0, 1)
	all, err := r.adm.DescribeAllLogDirs(r.ctx, s)
	if err != nil {
		return err
	}
	out := []any{}
	all.Each(func(d kadm.DescribedLogDir) {
		d.TotalBytes, d.UsableBytes = min(d.TotalBytes, 1), min(d.UsableBytes, 1)
		out = append(out, d)
	})
	return out
}
