package behaviour

import (
	"cmp"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// canonical gives an answer the order that Kafka leaves open: it collects partitions in maps, so that two entries of a request for
// one topic may be answered in one, and refused partitions may come first.
func canonical(resp kmsg.Response) {
	switch r := resp.(type) {
	case *kmsg.ProduceResponse:
		for i := 0; i < len(r.Topics); i++ {
			t := &r.Topics[i]
			for j := i + 1; j < len(r.Topics); j++ {
				if r.Topics[j].Topic == t.Topic {
					t.Partitions = append(t.Partitions, r.Topics[j].Partitions...)
					r.Topics = slices.Delete(r.Topics, j, j+1)
					j--
				}
			}
			slices.SortStableFunc(t.Partitions, func(x, y kmsg.ProduceResponseTopicPartition) int { return cmp.Compare(x.Partition, y.Partition) })
		}
		slices.SortStableFunc(r.Topics, func(x, y kmsg.ProduceResponseTopic) int { return cmp.Compare(x.Topic, y.Topic) })
	case *kmsg.OffsetCommitResponse:
		for _, t := range r.Topics {
			slices.SortStableFunc(t.Partitions, func(x, y kmsg.OffsetCommitResponseTopicPartition) int { return cmp.Compare(x.Partition, y.Partition) })
		}
	case *kmsg.OffsetDeleteResponse:
		for _, t := range r.Topics {
			slices.SortStableFunc(t.Partitions, func(x, y kmsg.OffsetDeleteResponseTopicPartition) int { return cmp.Compare(x.Partition, y.Partition) })
		}
	case *kmsg.AddPartitionsToTxnResponse:
		for _, t := range r.Topics {
			slices.SortStableFunc(t.Partitions, func(x, y kmsg.AddPartitionsToTxnResponseTopicPartition) int {
				return cmp.Compare(x.Partition, y.Partition)
			})
		}
		for _, x := range r.Transactions {
			for _, t := range x.Topics {
				slices.SortStableFunc(t.Partitions, func(x, y kmsg.AddPartitionsToTxnResponseTransactionTopicPartition) int {
					return cmp.Compare(x.Partition, y.Partition)
				})
			}
		}
	case *kmsg.WriteTxnMarkersResponse:
		for _, m := range r.Markers {
			for _, t := range m.Topics {
				slices.SortStableFunc(t.Partitions, func(x, y kmsg.WriteTxnMarkersResponseMarkerTopicPartition) int {
					return cmp.Compare(x.Partition, y.Partition)
				})
			}
		}
	case *kmsg.FetchResponse: // only where topics differ in being known: within known ones the order is a session's
		slices.SortStableFunc(r.Topics, func(x, y kmsg.FetchResponseTopic) int { return cmp.Compare(unknown(x), unknown(y)) })
	}
}

// unknown is the error of a topic of a Fetch answer that the broker does not know, else 0.
func unknown(t kmsg.FetchResponseTopic) int16 {
	if len(t.Partitions) > 0 && (t.Partitions[0].ErrorCode == 3 || t.Partitions[0].ErrorCode == 100) {
		return t.Partitions[0].ErrorCode
	}
	return 0
}
