package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// AlterReplicaLogDirs, versions 0-2 (KIP-113). v2: flexible. It is about the replicas of the broker that gets it, and is answered when the moves
// have begun: DescribeLogDirs tells how far they are. A partition that is named twice goes where it was named last.
//
// Errors, per partition: LOG_DIR_NOT_FOUND, KAFKA_STORAGE_ERROR, REPLICA_NOT_AVAILABLE, UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION.
func alterReplicaLogDirs(a *API, _ *wire.Call, req *kmsg.AlterReplicaLogDirsRequest, resp *kmsg.AlterReplicaLogDirsResponse) error {
	to := make(map[topicPartition]string)
	var order []topicPartition
	for _, d := range req.Dirs {
		for _, t := range d.Topics {
			for _, p := range t.Partitions {
				tp := topicPartition{t.Topic, p}
				if _, twice := to[tp]; !twice {
					order = append(order, tp)
				}
				to[tp] = d.Dir
			}
		}
	}
	at := make(map[string]int)
	for _, tp := range order {
		i, known := at[tp.topic]
		if !known {
			i = len(resp.Topics)
			at[tp.topic] = i
			resp.Topics = append(resp.Topics, kmsg.AlterReplicaLogDirsResponseTopic{Topic: tp.topic})
		}
		err := a.Replication.MoveReplica(tp.topic, tp.partition, to[tp])
		if err != nil {
			a.Log.Debug().Err(err).Str("topic", tp.topic).Int32("partition", tp.partition).Str("to", to[tp]).Msg("replica not moved")
		}
		t := &resp.Topics[i]
		t.Partitions = append(t.Partitions, kmsg.AlterReplicaLogDirsResponseTopicPartition{Partition: tp.partition, ErrorCode: a.code(err)})
	}
	return nil
}
