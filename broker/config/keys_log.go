package config

import "math"

// Logs: segments, retention, compaction, syncing.

var LogCleanerBackoffMs = define(areaLog, Key[int64]{
	Name: "log.cleaner.backoff.ms", Default: 15_000,
	Check:  AtLeast[int64](0),
	Update: ClusterWide, Importance: Medium,
	Doc: "Pause of the compactor when no log needs it, in milliseconds.",
})

var LogCleanerDedupeBufferSize = define(areaLog, Key[int64]{
	Name: "log.cleaner.dedupe.buffer.size", Default: 128 << 20,
	Update: ClusterWide, Importance: Medium,
	Doc: "Memory for the key tables of all compaction workers together, in bytes.",
})

var LogCleanerDeleteRetentionMs = define(areaLog, Key[int64]{
	Name: "log.cleaner.delete.retention.ms", Default: 86_400_000,
	Check:  AtLeast[int64](0),
	Update: ClusterWide, Importance: Medium, Topic: "delete.retention.ms",
	Doc: "How long tombstones and transaction markers stay in a compacted topic, in milliseconds.",
})

var LogCleanerEnable = define(areaLog, Key[bool]{
	Name: "log.cleaner.enable", Default: true,
	Importance: Medium,
	Doc:        "Runs the compactor; without it compacted topics, __consumer_offsets among them, grow forever.",
})

var LogCleanerIoBufferLoadFactor = define(areaLog, Key[float64]{
	Name: "log.cleaner.io.buffer.load.factor", Default: 0.9,
	Update: ClusterWide, Importance: Medium,
	Doc: "Share of the key table that may fill before a compaction pass ends.",
})

var LogCleanerIoBufferSize = define(areaLog, Key[int32]{
	Name: "log.cleaner.io.buffer.size", Default: 512 << 10,
	Check:  AtLeast[int32](0),
	Update: ClusterWide, Importance: Medium,
	Doc: "Memory for the read and write buffers of all compaction workers together, in bytes.",
})

var LogCleanerIoMaxBytesPerSecond = define(areaLog, Key[float64]{
	Name: "log.cleaner.io.max.bytes.per.second", Default: math.MaxFloat64,
	Update: ClusterWide, Importance: Medium,
	Doc: "Most bytes per second that compaction reads and writes.",
})

var LogCleanerMaxCompactionLagMs = define(areaLog, Key[int64]{
	Name: "log.cleaner.max.compaction.lag.ms", Default: math.MaxInt64,
	Check:  AtLeast[int64](1),
	Update: ClusterWide, Importance: Medium, Topic: "max.compaction.lag.ms",
	Doc: "A record older than this makes its log due for compaction, in milliseconds.",
})

var LogCleanerMinCleanableRatio = define(areaLog, Key[float64]{
	Name: "log.cleaner.min.cleanable.ratio", Default: 0.5,
	Check:  Between[float64](0, 1),
	Update: ClusterWide, Importance: Medium, Topic: "min.cleanable.dirty.ratio",
	Doc: "Share of a log that must be uncompacted before compaction is worth it.",
})

var LogCleanerMinCompactionLagMs = define(areaLog, Key[int64]{
	Name:   "log.cleaner.min.compaction.lag.ms",
	Check:  AtLeast[int64](0),
	Update: ClusterWide, Importance: Medium, Topic: "min.compaction.lag.ms",
	Doc: "Records younger than this are left uncompacted, in milliseconds.",
})

var LogCleanerThreads = define(areaLog, Key[int32]{
	Name: "log.cleaner.threads", Default: 1,
	Check:  AtLeast[int32](0),
	Update: ClusterWide, Importance: Medium,
	Doc: "Workers that compact logs side by side.",
})

var LogCleanupPolicy = define(areaLog, Key[[]string]{
	Name: "log.cleanup.policy", Default: []string{"delete"},
	Check:  EachOf("compact", "delete"),
	Update: ClusterWide, Importance: Medium, Topic: "cleanup.policy",
	Doc: "What happens to old records: delete drops whole segments, compact keeps the newest record of each key, both may be given.",
})

var LogDir = define(areaLog, Key[string]{
	Name: "log.dir", Default: "/tmp/kafka-logs",
	Importance: High,
	Doc:        "Data directory when log.dirs is not set.",
})

var LogDirFailureTimeoutMs = define(areaLog, Key[int64]{
	Name: "log.dir.failure.timeout.ms", Default: 30_000,
	Check: AtLeast[int64](1),
	Mark:  Accept,
	Doc:   "How long a KRaft broker with a failed directory waits for the controller; without effect here.",
})

var LogDirs = define(areaLog, Key[string]{
	Name: "log.dirs", Null: true,
	Importance: High,
	Doc:        "Data directories with commas between; unset means log.dir. A failed one goes offline, and the broker stops when none is left.",
})

var LogFlushIntervalMessages = define(areaLog, Key[int64]{
	Name: "log.flush.interval.messages", Default: math.MaxInt64,
	Check:  AtLeast[int64](1),
	Update: ClusterWide, Importance: High, Topic: "flush.messages",
	Doc: "Records after which a log is synced to disk; by default that is left to the operating system and to replication.",
})

var LogFlushIntervalMs = define(areaLog, Key[int64]{
	Name: "log.flush.interval.ms", Null: true,
	Update: ClusterWide, Importance: High, Topic: "flush.ms",
	Doc: "Time after which a log is synced to disk, in milliseconds; unset means log.flush.scheduler.interval.ms.",
})

var LogFlushOffsetCheckpointIntervalMs = define(areaLog, Key[int32]{
	Name: "log.flush.offset.checkpoint.interval.ms", Default: 60_000,
	Check:      AtLeast[int32](0),
	Importance: High,
	Doc:        "How often recovery points are written to disk, in milliseconds.",
})

var LogFlushSchedulerIntervalMs = define(areaLog, Key[int64]{
	Name: "log.flush.scheduler.interval.ms", Default: math.MaxInt64,
	Importance: High, Topic: "flush.ms",
	Doc: "How often the broker looks for logs that are due to be synced, in milliseconds.",
})

var LogFlushStartOffsetCheckpointIntervalMs = define(areaLog, Key[int32]{
	Name: "log.flush.start.offset.checkpoint.interval.ms", Default: 60_000,
	Check:      AtLeast[int32](0),
	Importance: High,
	Doc:        "How often log start offsets are written to disk, in milliseconds.",
})

var LogIndexIntervalBytes = define(areaLog, Key[int32]{
	Name: "log.index.interval.bytes", Default: 4 << 10,
	Check:  AtLeast[int32](0),
	Update: ClusterWide, Importance: Medium, Topic: "index.interval.bytes",
	Doc: "Bytes of records between two entries of a segment's offset index.",
})

var LogIndexSizeMaxBytes = define(areaLog, Key[int32]{
	Name: "log.index.size.max.bytes", Default: 10 << 20,
	Check:  AtLeast[int32](4),
	Update: ClusterWide, Importance: Medium, Topic: "segment.index.bytes",
	Doc: "Largest size of a segment's index files, in bytes; a full index makes the segment roll.",
})

var LogInitialTaskDelayMs = define(areaLog, Key[int64]{
	Name: "log.initial.task.delay.ms", Default: 30_000,
	Check:    AtLeast[int64](0),
	Internal: true,
	Doc:      "Pause after start before background work on logs begins, in milliseconds.",
})

var LogLocalRetentionBytes = define(areaLog, Key[int64]{
	Name: "log.local.retention.bytes", Default: -2,
	Check:  AtLeast[int64](-2),
	Update: ClusterWide, Importance: Medium, Topic: "local.retention.bytes", Mark: Later,
	Doc: "Size of a tiered log that stays on local disk; tiered storage is not served yet.",
})

var LogLocalRetentionMs = define(areaLog, Key[int64]{
	Name: "log.local.retention.ms", Default: -2,
	Check:  AtLeast[int64](-2),
	Update: ClusterWide, Importance: Medium, Topic: "local.retention.ms", Mark: Later,
	Doc: "Age of tiered records that stay on local disk; tiered storage is not served yet.",
})

var LogMessageDownconversionEnable = define(areaLog, Key[bool]{
	Name: "log.message.downconversion.enable", Default: true,
	Update: ClusterWide, Topic: "message.downconversion.enable",
	Doc: "Converts records for consumers that know only the oldest record formats.",
})

var LogMessageFormatVersion = define(areaLog, Key[string]{
	Name: "log.message.format.version", Default: "3.0-IV1",
	Check:      KnownVersion(),
	Importance: Medium, Topic: "message.format.version", Mark: Accept,
	Doc: "Record format of topics in Kafka before 3.0; only checked and reported, as in Kafka since then.",
})

var LogMessageTimestampAfterMaxMs = define(areaLog, Key[int64]{
	Name: "log.message.timestamp.after.max.ms", Default: math.MaxInt64,
	Check:  AtLeast[int64](0),
	Update: ClusterWide, Importance: Medium, Topic: "message.timestamp.after.max.ms",
	Doc: "How far a record's timestamp may lie in the future before it is refused, in milliseconds.",
})

var LogMessageTimestampBeforeMaxMs = define(areaLog, Key[int64]{
	Name: "log.message.timestamp.before.max.ms", Default: math.MaxInt64,
	Check:  AtLeast[int64](0),
	Update: ClusterWide, Importance: Medium, Topic: "message.timestamp.before.max.ms",
	Doc: "How far a record's timestamp may lie in the past before it is refused, in milliseconds.",
})

var LogMessageTimestampDifferenceMaxMs = define(areaLog, Key[int64]{
	Name: "log.message.timestamp.difference.max.ms", Default: math.MaxInt64,
	Check:  AtLeast[int64](0),
	Update: ClusterWide, Importance: Medium, Topic: "message.timestamp.difference.max.ms",
	Doc: "Old form of the two limits on timestamps: counts for each of them that is left at its default, in milliseconds.",
})

var LogMessageTimestampType = define(areaLog, Key[string]{
	Name: "log.message.timestamp.type", Default: "CreateTime",
	Check:  OneOf("CreateTime", "LogAppendTime"),
	Update: ClusterWide, Importance: Medium, Topic: "message.timestamp.type",
	Doc: "CreateTime keeps the producer's timestamps, LogAppendTime replaces them by the broker's clock.",
})

var LogPreallocate = define(areaLog, Key[bool]{
	Name:   "log.preallocate",
	Update: ClusterWide, Importance: Medium, Topic: "preallocate",
	Doc: "Reserves disk space for a whole segment when it is created.",
})

var LogRetentionBytes = define(areaLog, Key[int64]{
	Name: "log.retention.bytes", Default: -1,
	Update: ClusterWide, Importance: High, Topic: "retention.bytes",
	Doc: "Size per partition above which the oldest segments are deleted; -1 means no limit.",
})

var LogRetentionCheckIntervalMs = define(areaLog, Key[int64]{
	Name: "log.retention.check.interval.ms", Default: 300_000,
	Check:      AtLeast[int64](1),
	Importance: Medium,
	Doc:        "How often logs are checked for segments to delete, in milliseconds.",
})

var LogRetentionHours = define(areaLog, Key[int32]{
	Name: "log.retention.hours", Default: 168,
	Importance: High, Topic: "retention.ms",
	Doc: "Age at which segments are deleted, in hours; log.retention.ms and log.retention.minutes come first.",
})

var LogRetentionMinutes = define(areaLog, Key[int32]{
	Name: "log.retention.minutes", Null: true,
	Importance: High, Topic: "retention.ms",
	Doc: "Age at which segments are deleted, in minutes; log.retention.ms comes first.",
})

var LogRetentionMs = define(areaLog, Key[int64]{
	Name: "log.retention.ms", Null: true,
	Update: ClusterWide, Importance: High, Topic: "retention.ms",
	Doc: "Age at which segments are deleted, in milliseconds; -1 means never. Unset means log.retention.minutes, then log.retention.hours.",
})

var LogRollHours = define(areaLog, Key[int32]{
	Name: "log.roll.hours", Default: 168,
	Check:      AtLeast[int32](1),
	Importance: High, Topic: "segment.ms",
	Doc: "Age at which a new segment is started, in hours; log.roll.ms comes first.",
})

var LogRollJitterHours = define(areaLog, Key[int32]{
	Name:       "log.roll.jitter.hours",
	Check:      AtLeast[int32](0),
	Importance: High, Topic: "segment.jitter.ms",
	Doc: "Random time by which segments roll earlier, in hours; log.roll.jitter.ms comes first.",
})

var LogRollJitterMs = define(areaLog, Key[int64]{
	Name: "log.roll.jitter.ms", Null: true,
	Update: ClusterWide, Importance: High, Topic: "segment.jitter.ms",
	Doc: "Random time by which segments roll earlier, in milliseconds; unset means log.roll.jitter.hours.",
})

var LogRollMs = define(areaLog, Key[int64]{
	Name: "log.roll.ms", Null: true,
	Update: ClusterWide, Importance: High, Topic: "segment.ms",
	Doc: "Age at which a new segment is started, in milliseconds; unset means log.roll.hours.",
})

var LogSegmentBytes = define(areaLog, Key[int32]{
	Name: "log.segment.bytes", Default: 1024 << 20,
	Check:  AtLeast[int32](14),
	Update: ClusterWide, Importance: High, Topic: "segment.bytes",
	Doc: "Size at which a new segment is started, in bytes.",
})

var LogSegmentDeleteDelayMs = define(areaLog, Key[int64]{
	Name: "log.segment.delete.delay.ms", Default: 60_000,
	Check:  AtLeast[int64](0),
	Update: ClusterWide, Importance: High, Topic: "file.delete.delay.ms",
	Doc: "Time between taking a segment out of its log and deleting its files, in milliseconds.",
})

var NumRecoveryThreadsPerDataDir = define(areaLog, Key[int32]{
	Name: "num.recovery.threads.per.data.dir", Default: 1,
	Check:  AtLeast[int32](1),
	Update: ClusterWide, Importance: High,
	Doc: "Logs per data directory that are opened side by side at start and synced side by side at the end.",
})
