package api

import (
	"cmp"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/storage"
	"ottla/wire"
)

// DescribeLogDirs, versions 0-4 (KIP-113). v2: flexible. v3: top-level error. v4: sizes of the file systems (KIP-827). Null topics
// ask for all; a directory without one of them is listed empty. The copy of a log that is being moved is listed where it will be, as future key.
//
// Errors, per directory: KAFKA_STORAGE_ERROR for an offline one.
func describeLogDirs(a *API, _ *wire.Call, req *kmsg.DescribeLogDirsRequest, resp *kmsg.DescribeLogDirsResponse) error {
	asked := make(map[topicPartition]bool)
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			asked[topicPartition{t.Topic, p}] = true
		}
	}
	byDir := make(map[string]map[string][]kmsg.DescribeLogDirsResponseDirTopicPartition)
	list := func(l *storage.Log, lag int64, future bool) {
		if l.Offline() != nil {
			return
		}
		topics := byDir[l.Dir()]
		if topics == nil {
			topics = make(map[string][]kmsg.DescribeLogDirsResponseDirTopicPartition)
			byDir[l.Dir()] = topics
		}
		tp := l.TopicPartition()
		topics[tp.Topic] = append(topics[tp.Topic], kmsg.DescribeLogDirsResponseDirTopicPartition{
			Partition: tp.Partition, Size: l.Size(), OffsetLag: lag, IsFuture: future,
		})
	}
	for _, l := range a.Logs.Logs() {
		tp := l.TopicPartition()
		if req.Topics != nil && !asked[topicPartition{tp.Topic, tp.Partition}] {
			continue
		}
		list(l, max(0, l.HighWatermark()-l.EndOffset()), false)
		if f := l.Future(); f != nil {
			list(f, futureLag(l, f), true)
		}
	}
	for _, d := range a.Logs.Dirs() {
		r := kmsg.DescribeLogDirsResponseDir{Dir: d.Path, TotalBytes: d.TotalBytes, UsableBytes: d.UsableBytes}
		if d.Offline != nil {
			r.ErrorCode, r.TotalBytes, r.UsableBytes = kerr.KafkaStorageError.Code, -1, -1
		}
		for topic, partitions := range byDir[d.Path] {
			slices.SortFunc(partitions, func(x, y kmsg.DescribeLogDirsResponseDirTopicPartition) int {
				return cmp.Compare(x.Partition, y.Partition)
			})
			r.Topics = append(r.Topics, kmsg.DescribeLogDirsResponseDirTopic{Topic: topic, Partitions: partitions})
		}
		slices.SortFunc(r.Topics, func(x, y kmsg.DescribeLogDirsResponseDirTopic) int { return cmp.Compare(x.Topic, y.Topic) })
		resp.Dirs = append(resp.Dirs, r)
	}
	return nil
}

// futureLag is how much of a log its copy does not have, -1 if the log is offline.
func futureLag(l, future *storage.Log) int64 {
	if l.Offline() != nil {
		return -1
	}
	return max(0, l.EndOffset()-future.EndOffset())
}
