package config

// Topics, replication and leadership.

var AlterConfigPolicyClassName = define(areaTopics, Key[string]{
	Name: "alter.config.policy.class.name", Class: true, Null: true,
	Check: KnownClass(),
	Mark:  Later,
	Doc:   "Java class that decides on changes of configuration; Java plug-ins cannot be loaded, and dropping a policy silently would be unsafe.",
})

var AlterConfigPolicyKraftCompatibilityEnable = define(areaTopics, Key[bool]{
	Name: "alter.config.policy.kraft.compatibility.enable",
	Mark: Accept,
	Doc:  "How a Java policy class sees changes under KRaft; without effect here.",
})

var AutoCreateTopicsEnable = define(areaTopics, Key[bool]{
	Name: "auto.create.topics.enable", Default: true,
	Importance: High,
	Doc:        "Creates a topic when a client asks for the metadata of one that does not exist.",
})

var AutoIncludeJmxReporter = define(areaTopics, Key[bool]{
	Name: "auto.include.jmx.reporter", Default: true,
	Mark: Accept,
	Doc:  "Adds Kafka's JMX reporter; there is no JMX here, metrics are served over HTTP.",
})

var AutoLeaderRebalanceEnable = define(areaTopics, Key[bool]{
	Name: "auto.leader.rebalance.enable", Default: true,
	Importance: High,
	Doc:        "Lets the controller move leadership back to preferred replicas by itself.",
})

var CompressionGzipLevel = define(areaTopics, Key[int32]{
	Name: "compression.gzip.level", Default: -1,
	Check:  GzipLevel(),
	Update: ClusterWide, Importance: Medium, Topic: "compression.gzip.level",
	Doc: "Gzip level for batches that the broker compresses again; -1 is the library's default.",
})

var CompressionLz4Level = define(areaTopics, Key[int32]{
	Name: "compression.lz4.level", Default: 9,
	Check:  Between[int32](1, 17),
	Update: ClusterWide, Importance: Medium, Topic: "compression.lz4.level",
	Doc: "LZ4 level for batches that the broker compresses again.",
})

var CompressionType = define(areaTopics, Key[string]{
	Name: "compression.type", Default: "producer",
	Check:  OneOf("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"),
	Update: ClusterWide, Importance: High, Topic: "compression.type",
	Doc: "Compression of stored batches: producer keeps what arrived, anything else makes the broker compress again.",
})

var CompressionZstdLevel = define(areaTopics, Key[int32]{
	Name: "compression.zstd.level", Default: 3,
	Check:  Between[int32](-131072, 22),
	Update: ClusterWide, Importance: Medium, Topic: "compression.zstd.level",
	Doc: "Zstandard level for batches that the broker compresses again, mapped to the nearest speed of the library.",
})

var ControlledShutdownEnable = define(areaTopics, Key[bool]{
	Name: "controlled.shutdown.enable", Default: true,
	Importance: Medium,
	Doc:        "Moves leadership to other brokers before this one stops.",
})

var ControlledShutdownMaxRetries = define(areaTopics, Key[int32]{
	Name: "controlled.shutdown.max.retries", Default: 3,
	Importance: Medium,
	Doc:        "Tries of handing leadership over before the broker stops anyway.",
})

var ControlledShutdownRetryBackoffMs = define(areaTopics, Key[int64]{
	Name: "controlled.shutdown.retry.backoff.ms", Default: 5000,
	Importance: Medium,
	Doc:        "Pause between tries of handing leadership over, in milliseconds.",
})

var ControllerSocketTimeoutMs = define(areaTopics, Key[int32]{
	Name: "controller.socket.timeout.ms", Default: 30_000,
	Importance: Medium,
	Doc:        "Time that the controller waits for a broker's answer, in milliseconds.",
})

var CreateTopicPolicyClassName = define(areaTopics, Key[string]{
	Name: "create.topic.policy.class.name", Class: true, Null: true,
	Check: KnownClass(),
	Mark:  Later,
	Doc:   "Java class that decides on new topics; Java plug-ins cannot be loaded, and dropping a policy silently would be unsafe.",
})

var DefaultReplicationFactor = define(areaTopics, Key[int32]{
	Name: "default.replication.factor", Default: 1,
	Importance: Medium,
	Doc:        "Replicas of a topic that is created without saying how many.",
})

var DeleteRecordsPurgatoryPurgeIntervalRequests = define(areaTopics, Key[int32]{
	Name: "delete.records.purgatory.purge.interval.requests", Default: 1,
	Importance: Medium, Mark: Accept,
	Doc: "How often Kafka clears finished DeleteRecords out of its waiting list; here they leave it at once.",
})

var DeleteTopicEnable = define(areaTopics, Key[bool]{
	Name: "delete.topic.enable", Default: true,
	Importance: High,
	Doc:        "Allows topics to be deleted.",
})

var LeaderImbalanceCheckIntervalSeconds = define(areaTopics, Key[int64]{
	Name: "leader.imbalance.check.interval.seconds", Default: 300,
	Check:      AtLeast[int64](1),
	Importance: High,
	Doc:        "How often the controller looks for leaders that are not the preferred replica, in seconds.",
})

var LeaderImbalancePerBrokerPercentage = define(areaTopics, Key[int32]{
	Name: "leader.imbalance.per.broker.percentage", Default: 10,
	Importance: High,
	Doc:        "Share of a broker's partitions led elsewhere, in percent, above which leadership is moved back.",
})

var MinInsyncReplicas = define(areaTopics, Key[int32]{
	Name: "min.insync.replicas", Default: 1,
	Check:  AtLeast[int32](1),
	Update: ClusterWide, Importance: High, Topic: "min.insync.replicas",
	Doc: "In-sync replicas needed to accept a write with acks=all.",
})

var NumPartitions = define(areaTopics, Key[int32]{
	Name: "num.partitions", Default: 1,
	Check:      AtLeast[int32](1),
	Importance: Medium,
	Doc:        "Partitions of a topic that is created without saying how many.",
})

var NumReplicaAlterLogDirsThreads = define(areaTopics, Key[int32]{
	Name: "num.replica.alter.log.dirs.threads", Null: true,
	Importance: High,
	Doc:        "Replicas that move between log directories at a time; unset means as many as there are log directories.",
})

var NumReplicaFetchers = define(areaTopics, Key[int32]{
	Name: "num.replica.fetchers", Default: 1,
	Update: ClusterWide, Importance: High,
	Doc: "Fetch loops per broker that this one follows.",
})

var ProducerPurgatoryPurgeIntervalRequests = define(areaTopics, Key[int32]{
	Name: "producer.purgatory.purge.interval.requests", Default: 1000,
	Importance: Medium, Mark: Accept,
	Doc: "How often Kafka clears finished produce requests out of its waiting list; here they leave it at once.",
})

var ReplicaFetchBackoffMs = define(areaTopics, Key[int32]{
	Name: "replica.fetch.backoff.ms", Default: 1000,
	Check:      AtLeast[int32](0),
	Importance: Medium,
	Doc:        "Pause before a follower asks again for a partition that failed, in milliseconds.",
})

var ReplicaFetchMaxBytes = define(areaTopics, Key[int32]{
	Name: "replica.fetch.max.bytes", Default: 1 << 20,
	Check:      AtLeast[int32](0),
	Importance: Medium,
	Doc:        "Bytes that a follower asks for per partition; the first batch comes even when it is larger.",
})

var ReplicaFetchMinBytes = define(areaTopics, Key[int32]{
	Name: "replica.fetch.min.bytes", Default: 1,
	Importance: High,
	Doc:        "Bytes that must be there before a leader answers a follower's fetch.",
})

var ReplicaFetchResponseMaxBytes = define(areaTopics, Key[int32]{
	Name: "replica.fetch.response.max.bytes", Default: 10 << 20,
	Check:      AtLeast[int32](0),
	Importance: Medium,
	Doc:        "Bytes that a follower asks for in one fetch.",
})

var ReplicaFetchWaitMaxMs = define(areaTopics, Key[int32]{
	Name: "replica.fetch.wait.max.ms", Default: 500,
	Importance: High,
	Doc:        "Longest that a leader may hold a follower's fetch back, in milliseconds; must not exceed replica.lag.time.max.ms.",
})

var ReplicaHighWatermarkCheckpointIntervalMs = define(areaTopics, Key[int64]{
	Name: "replica.high.watermark.checkpoint.interval.ms", Default: 5000,
	Importance: High,
	Doc:        "How often high watermarks are written to disk, in milliseconds.",
})

var ReplicaLagTimeMaxMs = define(areaTopics, Key[int64]{
	Name: "replica.lag.time.max.ms", Default: 30_000,
	Importance: High,
	Doc:        "A follower that has not caught up for this long leaves the in-sync replicas, in milliseconds.",
})

var ReplicaSelectorClass = define(areaTopics, Key[string]{
	Name: "replica.selector.class", Null: true,
	Check:      KnownClass("org.apache.kafka.common.replica.LeaderSelector", "org.apache.kafka.common.replica.RackAwareReplicaSelector"),
	Importance: Medium,
	Doc:        "Java name of the rule that picks the replica a consumer should read from; the two built-in ones are known here.",
})

var ReplicaSocketReceiveBufferBytes = define(areaTopics, Key[int32]{
	Name: "replica.socket.receive.buffer.bytes", Default: 64 << 10,
	Importance: High,
	Doc:        "Receive buffer of connections to leaders (SO_RCVBUF), in bytes.",
})

var ReplicaSocketTimeoutMs = define(areaTopics, Key[int32]{
	Name: "replica.socket.timeout.ms", Default: 30_000,
	Importance: High,
	Doc:        "Time that a follower waits for the leader's answer, in milliseconds; at least replica.fetch.wait.max.ms.",
})

var UncleanLeaderElectionEnable = define(areaTopics, Key[bool]{
	Name:   "unclean.leader.election.enable",
	Update: ClusterWide, Importance: High, Topic: "unclean.leader.election.enable",
	Doc: "Allows a replica that is not in sync to become leader when no other is left, which loses records.",
})

var UncleanLeaderElectionIntervalMs = define(areaTopics, Key[int64]{
	Name: "unclean.leader.election.interval.ms", Default: 300_000,
	Check:      AtLeast[int64](1),
	Importance: Medium, Internal: true, Mark: Accept,
	Doc: "How often a KRaft controller looks for partitions to elect uncleanly; without effect here.",
})
