package config

import "math"

// Consumer groups and committed offsets.

var GroupConsumerAssignors = define(areaGroups, Key[[]string]{
	Name: "group.consumer.assignors", Default: []string{"org.apache.kafka.coordinator.group.assignor.UniformAssignor", "org.apache.kafka.coordinator.group.assignor.RangeAssignor"},
	Check:      KnownAssignors(),
	Importance: Medium,
	Doc:        "Assignors of groups under the consumer protocol (KIP-848), by name (uniform, range) or by Kafka's class; the first is the default.",
})

var GroupConsumerHeartbeatIntervalMs = define(areaGroups, Key[int32]{
	Name: "group.consumer.heartbeat.interval.ms", Default: 5000,
	Check:      AtLeast[int32](1),
	Importance: Medium,
	Doc:        "Heartbeat interval that members under the consumer protocol (KIP-848) are given, in milliseconds.",
})

var GroupConsumerMaxHeartbeatIntervalMs = define(areaGroups, Key[int32]{
	Name: "group.consumer.max.heartbeat.interval.ms", Default: 15_000,
	Check:      AtLeast[int32](1),
	Importance: Medium,
	Doc:        "Upper bound of the heartbeat interval that a group may configure for itself, in milliseconds.",
})

var GroupConsumerMaxSessionTimeoutMs = define(areaGroups, Key[int32]{
	Name: "group.consumer.max.session.timeout.ms", Default: 60_000,
	Check:      AtLeast[int32](1),
	Importance: Medium,
	Doc:        "Upper bound of the session timeout that a group may configure for itself, in milliseconds.",
})

var GroupConsumerMaxSize = define(areaGroups, Key[int32]{
	Name: "group.consumer.max.size", Default: math.MaxInt32,
	Check:      AtLeast[int32](1),
	Importance: Medium,
	Doc:        "Most members of a group under the consumer protocol (KIP-848).",
})

var GroupConsumerMigrationPolicy = define(areaGroups, Key[string]{
	Name: "group.consumer.migration.policy", Default: "bidirectional",
	Check:      OneOfFold("DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"),
	Importance: Medium, Internal: true,
	Doc: "In which directions a group with members may change between the classic and the consumer protocol (KIP-848). Default: that of Kafka 4, since the protocol is served here as by Kafka 4.",
})

var GroupConsumerMinHeartbeatIntervalMs = define(areaGroups, Key[int32]{
	Name: "group.consumer.min.heartbeat.interval.ms", Default: 5000,
	Check:      AtLeast[int32](1),
	Importance: Medium,
	Doc:        "Lower bound of the heartbeat interval that a group may configure for itself, in milliseconds.",
})

var GroupConsumerMinSessionTimeoutMs = define(areaGroups, Key[int32]{
	Name: "group.consumer.min.session.timeout.ms", Default: 45_000,
	Check:      AtLeast[int32](1),
	Importance: Medium,
	Doc:        "Lower bound of the session timeout that a group may configure for itself, in milliseconds.",
})

var GroupConsumerSessionTimeoutMs = define(areaGroups, Key[int32]{
	Name: "group.consumer.session.timeout.ms", Default: 45_000,
	Check:      AtLeast[int32](1),
	Importance: Medium,
	Doc:        "Session timeout of members under the consumer protocol (KIP-848), in milliseconds.",
})

var GroupCoordinatorAppendLingerMs = define(areaGroups, Key[int32]{
	Name: "group.coordinator.append.linger.ms", Default: 10,
	Check:      AtLeast[int32](0),
	Importance: Medium, Mark: Accept,
	Doc: "How long Kafka's new coordinator gathers records before a write; without effect here.",
})

var GroupCoordinatorNewEnable = define(areaGroups, Key[bool]{
	Name:       "group.coordinator.new.enable",
	Importance: Medium, Internal: true, Mark: Later,
	Doc: "Switches Kafka's new group coordinator on, which belongs to KRaft.",
})

var GroupCoordinatorRebalanceProtocols = define(areaGroups, Key[[]string]{
	Name: "group.coordinator.rebalance.protocols", Default: []string{"classic", "consumer"},
	Check:      also(EachOf("consumer", "classic", "share", "unknown"), Only("only the classic and the consumer protocol are served", "classic", "consumer")),
	Importance: Medium,
	Doc:        "Group protocols that the broker serves. Classic always is; without consumer the APIs of KIP-848 are not advertised. Default: like Kafka 4, which serves both; Kafka 3.9 needs KRaft for consumer.",
})

var GroupCoordinatorThreads = define(areaGroups, Key[int32]{
	Name: "group.coordinator.threads", Default: 1,
	Check:      AtLeast[int32](1),
	Importance: Medium, Mark: Accept,
	Doc: "Threads of Kafka's new coordinator; without effect here.",
})

var GroupInitialRebalanceDelayMs = define(areaGroups, Key[int32]{
	Name: "group.initial.rebalance.delay.ms", Default: 3000,
	Importance: Medium,
	Doc:        "How long a new group waits for more members before its first rebalance, in milliseconds.",
})

var GroupMaxSessionTimeoutMs = define(areaGroups, Key[int32]{
	Name: "group.max.session.timeout.ms", Default: 1_800_000,
	Importance: Medium,
	Doc:        "Longest session timeout that a group member may ask for, in milliseconds.",
})

var GroupMaxSize = define(areaGroups, Key[int32]{
	Name: "group.max.size", Default: math.MaxInt32,
	Check:      AtLeast[int32](1),
	Importance: Medium,
	Doc:        "Most members of a consumer group.",
})

var GroupMinSessionTimeoutMs = define(areaGroups, Key[int32]{
	Name: "group.min.session.timeout.ms", Default: 6000,
	Importance: Medium,
	Doc:        "Shortest session timeout that a group member may ask for, in milliseconds.",
})

var GroupShareDeliveryCountLimit = define(areaGroups, Key[int32]{
	Name: "group.share.delivery.count.limit", Default: 5,
	Check:      Between[int32](2, 10),
	Importance: Medium, Mark: Accept,
	Doc: "Deliveries of a record in a share group; share groups need KRaft, so it has no effect.",
})

var GroupShareEnable = define(areaGroups, Key[bool]{
	Name:       "group.share.enable",
	Importance: Medium, Internal: true, Mark: Accept,
	Doc: "Switches share groups on; they need KRaft, so it has no effect.",
})

var GroupShareHeartbeatIntervalMs = define(areaGroups, Key[int32]{
	Name: "group.share.heartbeat.interval.ms", Default: 5000,
	Check:      AtLeast[int32](1),
	Importance: Medium, Mark: Accept,
	Doc: "Heartbeat interval of share group members; share groups need KRaft, so it has no effect.",
})

var GroupShareMaxGroups = define(areaGroups, Key[int16]{
	Name: "group.share.max.groups", Default: 10,
	Check:      Between[int16](1, 100),
	Importance: Medium, Mark: Accept,
	Doc: "Most share groups; share groups need KRaft, so it has no effect.",
})

var GroupShareMaxHeartbeatIntervalMs = define(areaGroups, Key[int32]{
	Name: "group.share.max.heartbeat.interval.ms", Default: 15_000,
	Check:      AtLeast[int32](1),
	Importance: Medium, Mark: Accept,
	Doc: "Upper bound of the share group heartbeat interval; share groups need KRaft, so it has no effect.",
})

var GroupShareMaxRecordLockDurationMs = define(areaGroups, Key[int32]{
	Name: "group.share.max.record.lock.duration.ms", Default: 60_000,
	Check:      Between[int32](30000, 3600000),
	Importance: Medium, Mark: Accept,
	Doc: "Upper bound of record locks in share groups; share groups need KRaft, so it has no effect.",
})

var GroupShareMaxSessionTimeoutMs = define(areaGroups, Key[int32]{
	Name: "group.share.max.session.timeout.ms", Default: 60_000,
	Check:      AtLeast[int32](1),
	Importance: Medium, Mark: Accept,
	Doc: "Upper bound of the share group session timeout; share groups need KRaft, so it has no effect.",
})

var GroupShareMaxSize = define(areaGroups, Key[int16]{
	Name: "group.share.max.size", Default: 200,
	Check:      Between[int16](10, 1000),
	Importance: Medium, Mark: Accept,
	Doc: "Most members of a share group; share groups need KRaft, so it has no effect.",
})

var GroupShareMinHeartbeatIntervalMs = define(areaGroups, Key[int32]{
	Name: "group.share.min.heartbeat.interval.ms", Default: 5000,
	Check:      AtLeast[int32](1),
	Importance: Medium, Mark: Accept,
	Doc: "Lower bound of the share group heartbeat interval; share groups need KRaft, so it has no effect.",
})

var GroupShareMinRecordLockDurationMs = define(areaGroups, Key[int32]{
	Name: "group.share.min.record.lock.duration.ms", Default: 15_000,
	Check:      Between[int32](1000, 30000),
	Importance: Medium, Mark: Accept,
	Doc: "Lower bound of record locks in share groups; share groups need KRaft, so it has no effect.",
})

var GroupShareMinSessionTimeoutMs = define(areaGroups, Key[int32]{
	Name: "group.share.min.session.timeout.ms", Default: 45_000,
	Check:      AtLeast[int32](1),
	Importance: Medium, Mark: Accept,
	Doc: "Lower bound of the share group session timeout; share groups need KRaft, so it has no effect.",
})

var GroupSharePartitionMaxRecordLocks = define(areaGroups, Key[int32]{
	Name: "group.share.partition.max.record.locks", Default: 200,
	Check:      Between[int32](100, 10000),
	Importance: Medium, Mark: Accept,
	Doc: "Records of a partition that a share group may hold locked; share groups need KRaft, so it has no effect.",
})

var GroupShareRecordLockDurationMs = define(areaGroups, Key[int32]{
	Name: "group.share.record.lock.duration.ms", Default: 30_000,
	Check:      Between[int32](1000, 60000),
	Importance: Medium, Mark: Accept,
	Doc: "How long a share group holds a record locked; share groups need KRaft, so it has no effect.",
})

var GroupShareSessionTimeoutMs = define(areaGroups, Key[int32]{
	Name: "group.share.session.timeout.ms", Default: 45_000,
	Check:      AtLeast[int32](1),
	Importance: Medium, Mark: Accept,
	Doc: "Session timeout of share group members; share groups need KRaft, so it has no effect.",
})

var OffsetMetadataMaxBytes = define(areaGroups, Key[int32]{
	Name: "offset.metadata.max.bytes", Default: 4 << 10,
	Importance: High,
	Doc:        "Longest text that may be stored with a committed offset, in bytes.",
})

var OffsetsCommitRequiredAcks = define(areaGroups, Key[int16]{
	Name: "offsets.commit.required.acks", Default: -1,
	Importance: High, Mark: Accept,
	Doc: "Acknowledgements for writes to __consumer_offsets; the broker always waits for all in-sync replicas, which is the default.",
})

var OffsetsCommitTimeoutMs = define(areaGroups, Key[int32]{
	Name: "offsets.commit.timeout.ms", Default: 5000,
	Check:      AtLeast[int32](1),
	Importance: High,
	Doc:        "A commit fails when its replication takes longer than this, in milliseconds.",
})

var OffsetsLoadBufferSize = define(areaGroups, Key[int32]{
	Name: "offsets.load.buffer.size", Default: 5 << 20,
	Check:      AtLeast[int32](1),
	Importance: High,
	Doc:        "Bytes read at a time while groups are loaded from __consumer_offsets.",
})

var OffsetsRetentionCheckIntervalMs = define(areaGroups, Key[int64]{
	Name: "offsets.retention.check.interval.ms", Default: 600_000,
	Check:      AtLeast[int64](1),
	Importance: High,
	Doc:        "How often the broker looks for committed offsets that have expired, in milliseconds.",
})

var OffsetsRetentionMinutes = define(areaGroups, Key[int32]{
	Name: "offsets.retention.minutes", Default: 10_080,
	Check:      AtLeast[int32](1),
	Importance: High,
	Doc:        "How long committed offsets stay after a group is empty or has unsubscribed, in minutes.",
})

var OffsetsTopicCompressionCodec = define(areaGroups, Key[int32]{
	Name:       "offsets.topic.compression.codec",
	Check:      KnownCodecs(),
	Importance: High,
	Doc:        "Codec of batches in __consumer_offsets by its id: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.",
})

var OffsetsTopicNumPartitions = define(areaGroups, Key[int32]{
	Name: "offsets.topic.num.partitions", Default: 50,
	Check:      AtLeast[int32](1),
	Importance: High,
	Doc:        "Partitions of __consumer_offsets; must not change once the topic exists.",
})

var OffsetsTopicReplicationFactor = define(areaGroups, Key[int16]{
	Name: "offsets.topic.replication.factor", Default: 3,
	Check:      AtLeast[int16](1),
	Importance: High,
	Doc:        "Replicas of __consumer_offsets; the topic is not created before so many brokers are up.",
})

var OffsetsTopicSegmentBytes = define(areaGroups, Key[int32]{
	Name: "offsets.topic.segment.bytes", Default: 100 << 20,
	Check:      AtLeast[int32](1),
	Importance: High,
	Doc:        "Segment size of __consumer_offsets, in bytes.",
})
