package config

import "math"

// Tiered storage (KIP-405).

var RemoteFetchMaxWaitMs = define(areaTiered, Key[int32]{
	Name: "remote.fetch.max.wait.ms", Default: 500,
	Check:  AtLeast[int32](1),
	Update: ClusterWide, Importance: Medium, Mark: Later,
	Doc: "Longest wait for tiered data in a fetch, in milliseconds; tiered storage is not served yet.",
})

var RemoteLogIndexFileCacheTotalSizeBytes = define(areaTiered, Key[int64]{
	Name: "remote.log.index.file.cache.total.size.bytes", Default: 1024 << 20,
	Check:  AtLeast[int64](1),
	Update: ClusterWide, Mark: Later,
	Doc: "Disk space for index files of tiered segments; tiered storage is not served yet.",
})

var RemoteLogManagerCopierThreadPoolSize = define(areaTiered, Key[int32]{
	Name: "remote.log.manager.copier.thread.pool.size", Default: -1,
	Check:      PositiveOrMinusOne(),
	Importance: Medium, Mark: Later,
	Doc: "Threads that copy segments to tiered storage, which is not served yet.",
})

var RemoteLogManagerCopyMaxBytesPerSecond = define(areaTiered, Key[int64]{
	Name: "remote.log.manager.copy.max.bytes.per.second", Default: math.MaxInt64,
	Check:  AtLeast[int64](1),
	Update: ClusterWide, Importance: Medium, Mark: Later,
	Doc: "Bytes per second copied to tiered storage, which is not served yet.",
})

var RemoteLogManagerCopyQuotaWindowNum = define(areaTiered, Key[int32]{
	Name: "remote.log.manager.copy.quota.window.num", Default: 11,
	Check:      AtLeast[int32](1),
	Importance: Medium, Mark: Later,
	Doc: "Windows kept to measure copies to tiered storage, which is not served yet.",
})

var RemoteLogManagerCopyQuotaWindowSizeSeconds = define(areaTiered, Key[int32]{
	Name: "remote.log.manager.copy.quota.window.size.seconds", Default: 1,
	Check:      AtLeast[int32](1),
	Importance: Medium, Mark: Later,
	Doc: "Length of a window to measure copies to tiered storage, which is not served yet.",
})

var RemoteLogManagerExpirationThreadPoolSize = define(areaTiered, Key[int32]{
	Name: "remote.log.manager.expiration.thread.pool.size", Default: -1,
	Check:      PositiveOrMinusOne(),
	Importance: Medium, Mark: Later,
	Doc: "Threads that delete expired segments from tiered storage, which is not served yet.",
})

var RemoteLogManagerFetchMaxBytesPerSecond = define(areaTiered, Key[int64]{
	Name: "remote.log.manager.fetch.max.bytes.per.second", Default: math.MaxInt64,
	Check:  AtLeast[int64](1),
	Update: ClusterWide, Importance: Medium, Mark: Later,
	Doc: "Bytes per second read from tiered storage, which is not served yet.",
})

var RemoteLogManagerFetchQuotaWindowNum = define(areaTiered, Key[int32]{
	Name: "remote.log.manager.fetch.quota.window.num", Default: 11,
	Check:      AtLeast[int32](1),
	Importance: Medium, Mark: Later,
	Doc: "Windows kept to measure reads from tiered storage, which is not served yet.",
})

var RemoteLogManagerFetchQuotaWindowSizeSeconds = define(areaTiered, Key[int32]{
	Name: "remote.log.manager.fetch.quota.window.size.seconds", Default: 1,
	Check:      AtLeast[int32](1),
	Importance: Medium, Mark: Later,
	Doc: "Length of a window to measure reads from tiered storage, which is not served yet.",
})

var RemoteLogManagerTaskIntervalMs = define(areaTiered, Key[int64]{
	Name: "remote.log.manager.task.interval.ms", Default: 30_000,
	Check: AtLeast[int64](1),
	Mark:  Later,
	Doc:   "How often segments are looked at for tiered storage, which is not served yet.",
})

var RemoteLogManagerTaskRetryBackoffMaxMs = define(areaTiered, Key[int64]{
	Name: "remote.log.manager.task.retry.backoff.max.ms", Default: 30_000,
	Check:    AtLeast[int64](1),
	Internal: true, Mark: Later,
	Doc: "Longest pause after a failure of tiered storage, which is not served yet.",
})

var RemoteLogManagerTaskRetryBackoffMs = define(areaTiered, Key[int64]{
	Name: "remote.log.manager.task.retry.backoff.ms", Default: 500,
	Check:    AtLeast[int64](1),
	Internal: true, Mark: Later,
	Doc: "First pause after a failure of tiered storage, which is not served yet.",
})

var RemoteLogManagerTaskRetryJitter = define(areaTiered, Key[float64]{
	Name: "remote.log.manager.task.retry.jitter", Default: 0.2,
	Check:    Between[float64](0, 0.5),
	Internal: true, Mark: Later,
	Doc: "Random part of the pause after a failure of tiered storage, which is not served yet.",
})

var RemoteLogManagerThreadPoolSize = define(areaTiered, Key[int32]{
	Name: "remote.log.manager.thread.pool.size", Default: 10,
	Check:      AtLeast[int32](1),
	Importance: Medium, Mark: Later,
	Doc: "Threads for the work of tiered storage, which is not served yet.",
})

var RemoteLogMetadataCustomMetadataMaxBytes = define(areaTiered, Key[int32]{
	Name: "remote.log.metadata.custom.metadata.max.bytes", Default: 128,
	Check: AtLeast[int32](0),
	Mark:  Later,
	Doc:   "Largest custom metadata of a tiered segment; tiered storage is not served yet.",
})

var RemoteLogMetadataManagerClassName = define(areaTiered, Key[string]{
	Name: "remote.log.metadata.manager.class.name", Default: "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager",
	Check:      NonEmpty(),
	Importance: Medium, Mark: Later,
	Doc: "Java class that keeps the metadata of tiered segments; tiered storage is not served yet.",
})

var RemoteLogMetadataManagerClassPath = define(areaTiered, Key[string]{
	Name: "remote.log.metadata.manager.class.path", Null: true,
	Importance: Medium, Mark: Later,
	Doc: "Class path of that metadata class; tiered storage is not served yet.",
})

var RemoteLogMetadataManagerImplPrefix = define(areaTiered, Key[string]{
	Name: "remote.log.metadata.manager.impl.prefix", Default: "rlmm.config.",
	Check:      NonEmpty(),
	Importance: Medium, Mark: Later,
	Doc: "Prefix of the keys that are handed to the metadata class; tiered storage is not served yet.",
})

var RemoteLogMetadataManagerListenerName = define(areaTiered, Key[string]{
	Name: "remote.log.metadata.manager.listener.name", Null: true,
	Check:      NonEmpty(),
	Importance: Medium, Mark: Later,
	Doc: "Listener that the metadata class connects to; tiered storage is not served yet.",
})

var RemoteLogReaderMaxPendingTasks = define(areaTiered, Key[int32]{
	Name: "remote.log.reader.max.pending.tasks", Default: 100,
	Check:      AtLeast[int32](1),
	Importance: Medium, Mark: Later,
	Doc: "Reads from tiered storage that may wait; tiered storage is not served yet.",
})

var RemoteLogReaderThreads = define(areaTiered, Key[int32]{
	Name: "remote.log.reader.threads", Default: 10,
	Check:      AtLeast[int32](1),
	Importance: Medium, Mark: Later,
	Doc: "Threads that read from tiered storage, which is not served yet.",
})

var RemoteLogStorageManagerClassName = define(areaTiered, Key[string]{
	Name: "remote.log.storage.manager.class.name", Null: true,
	Check:      NonEmpty(),
	Importance: Medium, Mark: Later,
	Doc: "Java class that stores tiered segments; tiered storage is not served yet.",
})

var RemoteLogStorageManagerClassPath = define(areaTiered, Key[string]{
	Name: "remote.log.storage.manager.class.path", Null: true,
	Importance: Medium, Mark: Later,
	Doc: "Class path of that storage class; tiered storage is not served yet.",
})

var RemoteLogStorageManagerImplPrefix = define(areaTiered, Key[string]{
	Name: "remote.log.storage.manager.impl.prefix", Default: "rsm.config.",
	Check:      NonEmpty(),
	Importance: Medium, Mark: Later,
	Doc: "Prefix of the keys that are handed to the storage class; tiered storage is not served yet.",
})

var RemoteLogStorageSystemEnable = define(areaTiered, Key[bool]{
	Name:       "remote.log.storage.system.enable",
	Importance: Medium, Mark: Later,
	Doc: "Switches tiered storage on (KIP-405), which is not served yet.",
})
