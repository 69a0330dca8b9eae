package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/storage"
	"ottla/zkmeta"
)

// firstPartition returns the path of a partition directory below dirs, "" if there is none.
func firstPartition(dirs []string) string {
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // storage.Open says what is wrong with it
		}
		for _, e := range entries {
			if _, _, ok := partitionDir(e); ok {
				return filepath.Join(dir, e.Name())
			}
		}
	}
	return ""
}

// partitionDir parses "<topic>-<partition>".
func partitionDir(e os.DirEntry) (topic string, partition int32, ok bool) {
	i := strings.LastIndexByte(e.Name(), '-')
	if !e.IsDir() || i <= 0 {
		return "", 0, false
	}
	n, err := strconv.ParseInt(e.Name()[i+1:], 10, 32)
	return e.Name()[:i], int32(n), err == nil && n >= 0
}

// adopt writes the znodes of topics whose logs are here but which the metadata store does not know: a data directory that Kafka left, without
// its ZooKeeper. Topic ids come from partition.metadata. Topic configurations lived in ZooKeeper and are lost, but for the internal
// topics', which are always compacted; replicas on other brokers cannot be known either.
func (b *Broker) adopt(ctx context.Context) error {
	type found struct {
		id         [16]byte
		partitions map[int32]bool
	}
	topics := make(map[string]*found)
	for _, l := range b.logs.Logs() {
		tp := l.TopicPartition()
		t := topics[tp.Topic]
		if t == nil {
			t = &found{partitions: make(map[int32]bool)}
			topics[tp.Topic] = t
		}
		if id := l.TopicID(); id != [16]byte{} {
			if t.id != [16]byte{} && t.id != id {
				return fmt.Errorf("--adopt: the partitions of topic %s have different topic ids in partition.metadata", tp.Topic)
			}
			t.id = id
		}
		t.partitions[tp.Partition] = true
	}
	for name, t := range topics {
		assignment := make(map[int32][]int32, len(t.partitions))
		for p := range int32(len(t.partitions)) {
			if !t.partitions[p] {
				return fmt.Errorf("--adopt: topic %s has %d partitions here, but %s is missing", name, len(t.partitions), storage.TopicPartition{Topic: name, Partition: p})
			}
			assignment[p] = []int32{b.id}
		}
		configs := map[string]string{}
		if name == "__consumer_offsets" || name == "__transaction_state" {
			configs["cleanup.policy"] = "compact"
		}
		if t.id == [16]byte{} {
			t.id = zkmeta.NewUUID()
		}
		err := zkmeta.CreateTopic(ctx, b.Session(), name, assignment, configs, t.id)
		switch {
		case errors.Is(err, kerr.TopicAlreadyExists):
			continue
		case err != nil:
			return fmt.Errorf("--adopt: topic %s: %w", name, err)
		}
		b.topics.Set(name, configs)
		b.logs.UpdateConfig(name)
		b.log.Info().Str("topic", name).Int("partitions", len(assignment)).Msg("adopted topic")
	}
	return nil
}
