package config

// Transactions and idempotent producers.

var ProducerIdExpirationCheckIntervalMs = define(areaTxn, Key[int32]{
	Name: "producer.id.expiration.check.interval.ms", Default: 600_000,
	Check:    AtLeast[int32](1),
	Internal: true, Mark: Accept,
	Doc: "How often Kafka looks for idle producers to forget, in milliseconds; without effect, since it is done with each retention check.",
})

var ProducerIdExpirationMs = define(areaTxn, Key[int32]{
	Name: "producer.id.expiration.ms", Default: 86_400_000,
	Check:  AtLeast[int32](1),
	Update: ClusterWide,
	Doc:    "How long a partition remembers an idle producer's sequence numbers, in milliseconds.",
})

var TransactionAbortTimedOutTransactionCleanupIntervalMs = define(areaTxn, Key[int32]{
	Name: "transaction.abort.timed.out.transaction.cleanup.interval.ms", Default: 10_000,
	Check: AtLeast[int32](1),
	Doc:   "How often overdue transactions are looked for, in milliseconds.",
})

var TransactionMaxTimeoutMs = define(areaTxn, Key[int32]{
	Name: "transaction.max.timeout.ms", Default: 900_000,
	Check:      AtLeast[int32](1),
	Importance: High,
	Doc:        "Longest transaction timeout that a producer may ask for, in milliseconds.",
})

var TransactionPartitionVerificationEnable = define(areaTxn, Key[bool]{
	Name: "transaction.partition.verification.enable", Default: true,
	Update: ClusterWide,
	Doc:    "Checks with the transaction coordinator that a partition belongs to a transaction before writing (KIP-890).",
})

var TransactionRemoveExpiredTransactionCleanupIntervalMs = define(areaTxn, Key[int32]{
	Name: "transaction.remove.expired.transaction.cleanup.interval.ms", Default: 3_600_000,
	Check: AtLeast[int32](1),
	Doc:   "How often expired transactional ids are removed, in milliseconds.",
})

var TransactionStateLogLoadBufferSize = define(areaTxn, Key[int32]{
	Name: "transaction.state.log.load.buffer.size", Default: 5 << 20,
	Check:      AtLeast[int32](1),
	Importance: High,
	Doc:        "Bytes read at a time while transactions are loaded.",
})

var TransactionStateLogMinIsr = define(areaTxn, Key[int32]{
	Name: "transaction.state.log.min.isr", Default: 2,
	Check:      AtLeast[int32](1),
	Importance: High,
	Doc:        "In-sync replicas needed to write to __transaction_state.",
})

var TransactionStateLogNumPartitions = define(areaTxn, Key[int32]{
	Name: "transaction.state.log.num.partitions", Default: 50,
	Check:      AtLeast[int32](1),
	Importance: High,
	Doc:        "Partitions of __transaction_state.",
})

var TransactionStateLogReplicationFactor = define(areaTxn, Key[int16]{
	Name: "transaction.state.log.replication.factor", Default: 3,
	Check:      AtLeast[int16](1),
	Importance: High,
	Doc:        "Replicas of __transaction_state.",
})

var TransactionStateLogSegmentBytes = define(areaTxn, Key[int32]{
	Name: "transaction.state.log.segment.bytes", Default: 100 << 20,
	Check:      AtLeast[int32](1),
	Importance: High,
	Doc:        "Segment size of __transaction_state, in bytes.",
})

var TransactionalIdExpirationMs = define(areaTxn, Key[int32]{
	Name: "transactional.id.expiration.ms", Default: 604_800_000,
	Check:      AtLeast[int32](1),
	Importance: High,
	Doc:        "How long an idle transactional id is remembered, in milliseconds.",
})
