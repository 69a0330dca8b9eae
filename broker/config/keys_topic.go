package config

import "math"

// Configs of topics. Broker names the keys whose values are the defaults.

var TopicCleanupPolicy = defineTopic(TopicKey[[]string]{
	Name: "cleanup.policy", Default: []string{"delete"},
	Check:  EachOf("compact", "delete"),
	Broker: []string{"log.cleanup.policy"}, Importance: Medium,
	Doc: "What happens to old records: delete drops whole segments, compact keeps the newest record of each key, both may be given.",
})

var TopicCompressionGzipLevel = defineTopic(TopicKey[int32]{
	Name: "compression.gzip.level", Default: -1,
	Check:  GzipLevel(),
	Broker: []string{"compression.gzip.level"}, Importance: Medium,
	Doc: "Gzip level for batches that the broker compresses again; -1 is the library's default.",
})

var TopicCompressionLz4Level = defineTopic(TopicKey[int32]{
	Name: "compression.lz4.level", Default: 9,
	Check:  Between[int32](1, 17),
	Broker: []string{"compression.lz4.level"}, Importance: Medium,
	Doc: "LZ4 level for batches that the broker compresses again.",
})

var TopicCompressionType = defineTopic(TopicKey[string]{
	Name: "compression.type", Default: "producer",
	Check:  OneOf("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"),
	Broker: []string{"compression.type"}, Importance: Medium,
	Doc: "Compression of stored batches: producer keeps what arrived, anything else makes the broker compress again.",
})

var TopicCompressionZstdLevel = defineTopic(TopicKey[int32]{
	Name: "compression.zstd.level", Default: 3,
	Check:  Between[int32](-131072, 22),
	Broker: []string{"compression.zstd.level"}, Importance: Medium,
	Doc: "Zstandard level for batches that the broker compresses again, mapped to the nearest speed of the library.",
})

var TopicDeleteRetentionMs = defineTopic(TopicKey[int64]{
	Name: "delete.retention.ms", Default: 86_400_000,
	Check:  AtLeast[int64](0),
	Broker: []string{"log.cleaner.delete.retention.ms"}, Importance: Medium,
	Doc: "How long tombstones and transaction markers stay after compaction, in milliseconds.",
})

var TopicFileDeleteDelayMs = defineTopic(TopicKey[int64]{
	Name: "file.delete.delay.ms", Default: 60_000,
	Check:  AtLeast[int64](0),
	Broker: []string{"log.segment.delete.delay.ms"}, Importance: Medium,
	Doc: "Time between taking a segment out of the log and deleting its files, in milliseconds.",
})

var TopicFlushMessages = defineTopic(TopicKey[int64]{
	Name: "flush.messages", Default: math.MaxInt64,
	Check:  AtLeast[int64](1),
	Broker: []string{"log.flush.interval.messages"}, Importance: Medium,
	Doc: "Records after which the log is synced to disk.",
})

var TopicFlushMs = defineTopic(TopicKey[int64]{
	Name: "flush.ms", Default: math.MaxInt64,
	Check:  AtLeast[int64](0),
	Broker: []string{"log.flush.interval.ms", "log.flush.scheduler.interval.ms"}, Importance: Medium,
	Doc: "Time after which the log is synced to disk, in milliseconds.",
})

var TopicFollowerReplicationThrottledReplicas = defineTopic(TopicKey[[]string]{
	Name:       "follower.replication.throttled.replicas",
	Check:      ThrottledReplicas(),
	Importance: Medium,
	Doc:        "Replicas whose fetching is throttled on followers, as partition:broker with commas between, or * for all.",
})

var TopicIndexIntervalBytes = defineTopic(TopicKey[int32]{
	Name: "index.interval.bytes", Default: 4 << 10,
	Check:  AtLeast[int32](0),
	Broker: []string{"log.index.interval.bytes"}, Importance: Medium,
	Doc: "Bytes of records between two entries of a segment's offset index.",
})

var TopicLeaderReplicationThrottledReplicas = defineTopic(TopicKey[[]string]{
	Name:       "leader.replication.throttled.replicas",
	Check:      ThrottledReplicas(),
	Importance: Medium,
	Doc:        "Replicas whose fetching is throttled on leaders, as partition:broker with commas between, or * for all.",
})

var TopicLocalRetentionBytes = defineTopic(TopicKey[int64]{
	Name: "local.retention.bytes", Default: -2,
	Check:  AtLeast[int64](-2),
	Broker: []string{"log.local.retention.bytes"}, Importance: Medium, Mark: Accept,
	Doc: "Size of a tiered log that stays on local disk; without effect while tiered storage is not served.",
})

var TopicLocalRetentionMs = defineTopic(TopicKey[int64]{
	Name: "local.retention.ms", Default: -2,
	Check:  AtLeast[int64](-2),
	Broker: []string{"log.local.retention.ms"}, Importance: Medium, Mark: Accept,
	Doc: "Age of tiered records that stay on local disk; without effect while tiered storage is not served.",
})

var TopicMaxCompactionLagMs = defineTopic(TopicKey[int64]{
	Name: "max.compaction.lag.ms", Default: math.MaxInt64,
	Check:  AtLeast[int64](1),
	Broker: []string{"log.cleaner.max.compaction.lag.ms"}, Importance: Medium,
	Doc: "A record older than this makes the log due for compaction, in milliseconds.",
})

var TopicMaxMessageBytes = defineTopic(TopicKey[int32]{
	Name: "max.message.bytes", Default: 1_048_588,
	Check:  AtLeast[int32](0),
	Broker: []string{"message.max.bytes"}, Importance: Medium,
	Doc: "Largest record batch that the topic takes, compressed, in bytes.",
})

var TopicMessageDownconversionEnable = defineTopic(TopicKey[bool]{
	Name: "message.downconversion.enable", Default: true,
	Broker: []string{"log.message.downconversion.enable"},
	Doc:    "Converts records for consumers that know only the oldest record formats.",
})

var TopicMessageFormatVersion = defineTopic(TopicKey[string]{
	Name: "message.format.version", Default: "3.0-IV1",
	Check:  KnownVersion(),
	Broker: []string{"log.message.format.version"}, Importance: Medium, Mark: Accept,
	Doc: "Record format of the topic in Kafka before 3.0; only checked and reported, as in Kafka since then.",
})

var TopicMessageTimestampAfterMaxMs = defineTopic(TopicKey[int64]{
	Name: "message.timestamp.after.max.ms", Default: math.MaxInt64,
	Check:  AtLeast[int64](0),
	Broker: []string{"log.message.timestamp.after.max.ms"}, Importance: Medium,
	Doc: "How far a record's timestamp may lie in the future before it is refused, in milliseconds.",
})

var TopicMessageTimestampBeforeMaxMs = defineTopic(TopicKey[int64]{
	Name: "message.timestamp.before.max.ms", Default: math.MaxInt64,
	Check:  AtLeast[int64](0),
	Broker: []string{"log.message.timestamp.before.max.ms"}, Importance: Medium,
	Doc: "How far a record's timestamp may lie in the past before it is refused, in milliseconds.",
})

var TopicMessageTimestampDifferenceMaxMs = defineTopic(TopicKey[int64]{
	Name: "message.timestamp.difference.max.ms", Default: math.MaxInt64,
	Check:  AtLeast[int64](0),
	Broker: []string{"log.message.timestamp.difference.max.ms"}, Importance: Medium,
	Doc: "Old form of the two limits on timestamps: counts for each of them that is left at its default, in milliseconds.",
})

var TopicMessageTimestampType = defineTopic(TopicKey[string]{
	Name: "message.timestamp.type", Default: "CreateTime",
	Check:  OneOf("CreateTime", "LogAppendTime"),
	Broker: []string{"log.message.timestamp.type"}, Importance: Medium,
	Doc: "CreateTime keeps the producer's timestamps, LogAppendTime replaces them by the broker's clock.",
})

var TopicMinCleanableDirtyRatio = defineTopic(TopicKey[float64]{
	Name: "min.cleanable.dirty.ratio", Default: 0.5,
	Check:  Between[float64](0, 1),
	Broker: []string{"log.cleaner.min.cleanable.ratio"}, Importance: Medium,
	Doc: "Share of the log that must be uncompacted before compaction is worth it.",
})

var TopicMinCompactionLagMs = defineTopic(TopicKey[int64]{
	Name:   "min.compaction.lag.ms",
	Check:  AtLeast[int64](0),
	Broker: []string{"log.cleaner.min.compaction.lag.ms"}, Importance: Medium,
	Doc: "Records younger than this are left uncompacted, in milliseconds.",
})

var TopicMinInsyncReplicas = defineTopic(TopicKey[int32]{
	Name: "min.insync.replicas", Default: 1,
	Check:  AtLeast[int32](1),
	Broker: []string{"min.insync.replicas"}, Importance: Medium,
	Doc: "In-sync replicas needed to accept a write with acks=all.",
})

var TopicPreallocate = defineTopic(TopicKey[bool]{
	Name:   "preallocate",
	Broker: []string{"log.preallocate"}, Importance: Medium,
	Doc: "Reserves disk space for a whole segment when it is created.",
})

var TopicRemoteLogCopyDisable = defineTopic(TopicKey[bool]{
	Name:       "remote.log.copy.disable",
	Importance: Medium, Mark: Later,
	Doc: "Makes a tiered topic read-only in its remote part; tiered storage is not served yet.",
})

var TopicRemoteLogDeleteOnDisable = defineTopic(TopicKey[bool]{
	Name:       "remote.log.delete.on.disable",
	Importance: Medium, Mark: Later,
	Doc: "Deletes tiered data when tiering of a topic ends; tiered storage is not served yet.",
})

var TopicRemoteStorageEnable = defineTopic(TopicKey[bool]{
	Name:       "remote.storage.enable",
	Importance: Medium, Mark: Later,
	Doc: "Keeps old segments of the topic in tiered storage, which is not served yet.",
})

var TopicRetentionBytes = defineTopic(TopicKey[int64]{
	Name: "retention.bytes", Default: -1,
	Broker: []string{"log.retention.bytes"}, Importance: Medium,
	Doc: "Size per partition above which the oldest segments are deleted; -1 means no limit.",
})

var TopicRetentionMs = defineTopic(TopicKey[int64]{
	Name: "retention.ms", Default: 604_800_000,
	Check:  AtLeast[int64](-1),
	Broker: []string{"log.retention.ms", "log.retention.minutes", "log.retention.hours"}, Importance: Medium,
	Doc: "Age at which segments are deleted, in milliseconds; -1 means never.",
})

var TopicSegmentBytes = defineTopic(TopicKey[int32]{
	Name: "segment.bytes", Default: 1024 << 20,
	Check:  AtLeast[int32](14),
	Broker: []string{"log.segment.bytes"}, Importance: Medium,
	Doc: "Size at which a new segment is started, in bytes.",
})

var TopicSegmentIndexBytes = defineTopic(TopicKey[int32]{
	Name: "segment.index.bytes", Default: 10 << 20,
	Check:  AtLeast[int32](4),
	Broker: []string{"log.index.size.max.bytes"}, Importance: Medium,
	Doc: "Largest size of a segment's index files, in bytes; a full index makes the segment roll.",
})

var TopicSegmentJitterMs = defineTopic(TopicKey[int64]{
	Name:   "segment.jitter.ms",
	Check:  AtLeast[int64](0),
	Broker: []string{"log.roll.jitter.ms", "log.roll.jitter.hours"}, Importance: Medium,
	Doc: "Random time by which segments roll earlier, in milliseconds.",
})

var TopicSegmentMs = defineTopic(TopicKey[int64]{
	Name: "segment.ms", Default: 604_800_000,
	Check:  AtLeast[int64](1),
	Broker: []string{"log.roll.ms", "log.roll.hours"}, Importance: Medium,
	Doc: "Age at which a new segment is started, in milliseconds.",
})

var TopicUncleanLeaderElectionEnable = defineTopic(TopicKey[bool]{
	Name:   "unclean.leader.election.enable",
	Broker: []string{"unclean.leader.election.enable"}, Importance: Medium,
	Doc: "Allows a replica that is not in sync to become leader when no other is left, which loses records.",
})
