package replication

import (
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/storage"
)

// MoveReplica begins to move the replica here to another log directory, or gives a move up (ReplicaManager.alterReplicaLogDirs). The directory is
// remembered for a replica that is not here yet: the error stands, but it will be made there.
//
// Errors: LOG_DIR_NOT_FOUND, KAFKA_STORAGE_ERROR if that directory or the replica is offline, or if another directory is and the move would
// begin now, INVALID_TOPIC_EXCEPTION for a name that is too long to move, REPLICA_NOT_AVAILABLE, UNKNOWN_TOPIC_OR_PARTITION.
func (m *Manager) MoveReplica(topic string, partition int32, dir string) error {
	tp := storage.TopicPartition{Topic: strings.Clone(topic), Partition: partition}
	m.stateMu.Lock() // the replica does not come or go meanwhile
	defer m.stateMu.Unlock()
	p, err := m.hosted(tp.Topic, partition)
	if err != nil {
		if preferErr := m.deps.Logs.Prefer(tp, dir); preferErr != nil {
			return preferErr
		}
		if errors.Is(err, kerr.NotLeaderForPartition) {
			return fmt.Errorf("%s has no replica here: %w", tp, kerr.ReplicaNotAvailable)
		}
		return err
	}
	if err := m.deps.Logs.CheckMove(tp, dir); err != nil {
		return err
	}
	if p.role.Load().offline {
		return storageError(tp)
	}
	return m.deps.Logs.Move(tp, dir)
}
