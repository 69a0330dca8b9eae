package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/broker/config"
	"ottla/broker/metadata"
	"ottla/wire"
	"ottla/zkmeta"
	"ottla/zkmeta/controller"
)

// newTopic is a topic that is to be created, checked.
type newTopic struct {
	name       string
	id         [16]byte
	assignment map[int32][]int32 // replicas by partition
	configs    map[string]string
}

func (t *newTopic) replicationFactor() int { return len(t.assignment[0]) }

// create writes the topic's znodes; the controller does the rest.
//
// Errors: TOPIC_ALREADY_EXISTS.
func (a *API) create(ctx context.Context, t *newTopic) error {
	err := zkmeta.CreateTopic(ctx, a.Session(), t.name, t.assignment, t.configs, t.id)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return topicExists(t.name)
	}
	return err
}

func topicExists(name string) error {
	return fail(kerr.TopicAlreadyExists, "Topic '"+name+"' already exists.")
}

// plan checks a topic in the order of kafka.server.ZkAdminManager and places its replicas. With a given assignment both counts are
// -1; otherwise -1 stands for the broker's default. nulls are the names of configs without a value, which are refused.
//
// Errors: TOPIC_ALREADY_EXISTS, INVALID_REQUEST, INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR, INVALID_TOPIC_EXCEPTION,
// INVALID_REPLICA_ASSIGNMENT, INVALID_CONFIG.
func (a *API) plan(ctx context.Context, name string, partitions, replicationFactor int, given map[int32][]int32, configs map[string]*string, nulls []string) (*newTopic, error) {
	s := a.Cache.Load()
	if s.Topics[name] != nil {
		return nil, topicExists(name)
	}
	if len(nulls) > 0 {
		return nil, fail(kerr.InvalidConfig, "Null value not supported for topic configs: "+strings.Join(nulls, ","))
	}
	t := &newTopic{name: name, assignment: given, configs: make(map[string]string, len(configs))}
	for k, v := range configs {
		t.configs[k] = *v
	}
	if len(given) > 0 {
		if partitions != -1 || replicationFactor != -1 {
			return nil, fail(kerr.InvalidRequest, "Both numPartitions or replicationFactor and replicasAssignments were set. Both cannot be used at the same time.")
		}
	} else {
		snapshot := a.Config.Snapshot()
		if partitions == -1 {
			partitions = int(config.Get(snapshot, config.NumPartitions))
		}
		if replicationFactor == -1 {
			replicationFactor = int(config.Get(snapshot, config.DefaultReplicationFactor))
		}
		var err error
		if t.assignment, err = place(s, partitions, replicationFactor); err != nil {
			return nil, err
		}
	}
	if err := checkTopicName(name); err != nil {
		return nil, err
	}
	if err := a.checkUnused(ctx, s, name); err != nil {
		return nil, err
	}
	if len(given) > 0 {
		if err := checkAssignment(given); err != nil {
			return nil, err
		}
	}
	if err := a.Config.Snapshot().ValidateTopicConfigs(t.configs); err != nil {
		return nil, err
	}
	t.id = zkmeta.NewUUID()
	return t, nil
}

// checkUnused looks for the name, and for names that collide with it, also among topics that the cache does not show yet.
func (a *API) checkUnused(ctx context.Context, s *metadata.Snapshot, name string) error {
	if _, exists, err := a.Session().Exists(ctx, zkmeta.Topic(name), nil); err != nil {
		return err
	} else if exists {
		if a.Controller.IsDeleting(name) {
			return fail(kerr.TopicAlreadyExists, "Topic '"+name+"' is marked for deletion.")
		}
		return topicExists(name)
	}
	if others := collisions(name, s.Topics); len(others) > 0 {
		return fail(kerr.InvalidTopicException, "Topic '"+name+"' collides with existing topics: "+strings.Join(others, ", "))
	}
	return nil
}

// place spreads replicas over the live brokers, by rack where brokers have one.
func place(s *metadata.Snapshot, partitions, replicationFactor int) (map[int32][]int32, error) {
	switch {
	case partitions <= 0:
		return nil, fail(kerr.InvalidPartitions, "Number of partitions must be larger than 0.")
	case replicationFactor <= 0:
		return nil, fail(kerr.InvalidReplicationFactor, "Replication factor must be larger than 0.")
	case replicationFactor > len(s.Brokers):
		return nil, fail(kerr.InvalidReplicationFactor, fmt.Sprintf("Replication factor: %d larger than available brokers: %d.", replicationFactor, len(s.Brokers)))
	case partitions > maxPartitions:
		return nil, fail(kerr.InvalidPartitions, fmt.Sprintf("Number of partitions must be at most %d.", maxPartitions))
	}
	replicas, err := controller.Assign(brokerRacks(s), partitions, replicationFactor, nil)
	return numbered(replicas, 0), err
}

// numbered gives replica lists the partition numbers from first on.
func numbered(replicas [][]int32, first int) map[int32][]int32 {
	assignment := make(map[int32][]int32, len(replicas))
	for i, r := range replicas {
		assignment[int32(first+i)] = r
	}
	return assignment
}

// maxPartitions bounds what one request may make us do. Kafka has no bound and runs out of memory instead.
const maxPartitions = 1_000_000

func brokerRacks(s *metadata.Snapshot) []controller.BrokerRack {
	var brokers []controller.BrokerRack
	for _, id := range slices.Sorted(maps.Keys(s.Brokers)) {
		b := controller.BrokerRack{ID: id}
		if r := s.Brokers[id].Rack; r != nil {
			b.Rack = *r
		}
		brokers = append(brokers, b)
	}
	return brokers
}

// checkAssignment wants the same number of distinct replicas for each of the partitions 0 to n-1.
func checkAssignment(given map[int32][]int32) error {
	partitions := slices.Sorted(maps.Keys(given))
	for _, p := range partitions {
		if len(given[p]) != len(given[partitions[0]]) {
			return fail(kerr.InvalidReplicaAssignment, "All partitions should have the same number of replicas")
		}
	}
	for _, p := range partitions {
		if ids := slices.Sorted(slices.Values(given[p])); len(slices.Compact(ids)) != len(given[p]) {
			return fail(kerr.InvalidReplicaAssignment, "Duplicate replica assignment found: "+scalaMap(given))
		}
	}
	for i, p := range partitions {
		if int(p) != i {
			return fail(kerr.InvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence")
		}
	}
	if len(given[0]) == 0 {
		return fail(kerr.InvalidReplicationFactor, "Replication factor must be larger than 0.")
	}
	return nil
}

// scalaMap prints an assignment as Kafka's message does.
func scalaMap(given map[int32][]int32) string {
	var b strings.Builder
	for i, p := range slices.Sorted(maps.Keys(given)) {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d -> ArrayBuffer(%s)", p, joinInts(given[p], ", "))
	}
	return "HashMap(" + b.String() + ")"
}

func joinInts(ids []int32, sep string) string {
	parts := make([]string, len(ids))
	for i, id := range ids {
		parts[i] = itoa(id)
	}
	return strings.Join(parts, sep)
}

// autoCreate creates a topic that a client named, with the broker's defaults or, for internal topics, the coordinators' settings. It
// always ends in an error: LEADER_NOT_AVAILABLE says that the topic is on its way.
func (a *API) autoCreate(c *wire.Call, name string) error {
	snapshot := a.Config.Snapshot()
	partitions, factor := -1, -1
	var configs map[string]*string
	switch name {
	case offsetsTopic:
		partitions = int(config.Get(snapshot, config.OffsetsTopicNumPartitions))
		factor = int(config.Get(snapshot, config.OffsetsTopicReplicationFactor))
		if a.Standalone && !config.IsSet(snapshot, config.OffsetsTopicReplicationFactor) {
			factor = 1 // the default of 3 could never be met
		}
		configs = internalConfigs("compact", "producer", int64(config.Get(snapshot, config.OffsetsTopicSegmentBytes)))
	case transactionsTopic:
		partitions = int(config.Get(snapshot, config.TransactionStateLogNumPartitions))
		factor = int(config.Get(snapshot, config.TransactionStateLogReplicationFactor))
		minISR := itoa(config.Get(snapshot, config.TransactionStateLogMinIsr))
		if a.Standalone && !config.IsSet(snapshot, config.TransactionStateLogReplicationFactor) {
			factor = 1
		}
		if a.Standalone && !config.IsSet(snapshot, config.TransactionStateLogMinIsr) {
			minISR = "1"
		}
		never := "false"
		configs = internalConfigs("compact", "uncompressed", int64(config.Get(snapshot, config.TransactionStateLogSegmentBytes)))
		configs["min.insync.replicas"], configs["unclean.leader.election.enable"] = &minISR, &never
	case clusterMetadataTopic:
		return fail(kerr.InvalidTopicException, "Creation of internal topic __cluster_metadata is prohibited.")
	}
	t, err := a.plan(c.Context(), name, partitions, factor, nil, configs, nil)
	if err == nil {
		err = a.create(c.Context(), t)
	}
	switch code := a.code(err); {
	case err == nil, code == kerr.TopicAlreadyExists.Code:
		return kerr.LeaderNotAvailable
	case code == kerr.InvalidReplicationFactor.Code && isInternal(name):
		return fmt.Errorf("%w: %v", kerr.CoordinatorNotAvailable, err)
	}
	return err
}

func internalConfigs(policy, compression string, segmentBytes int64) map[string]*string {
	segment := itoa(segmentBytes)
	return map[string]*string{"cleanup.policy": &policy, "compression.type": &compression, "segment.bytes": &segment}
}
