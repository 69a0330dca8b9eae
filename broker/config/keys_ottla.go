package config

// Keys of our own, under the prefix "ottla.".

var OttlaClusterId = define(areaOwn, Key[string]{
	Name: "ottla.cluster.id", Null: true,
	Importance: Low,
	Doc:        "Cluster id that a new standalone data directory gets; unset draws a random one. An existing directory keeps its own.",
})

var OttlaFailoverFast = define(areaOwn, Key[bool]{
	Name: "ottla.failover.fast", Default: true,
	Importance: Medium,
	Doc:        "Whether a broker whose connections have ended and whose port refuses new ones is replaced at once, as leader and as controller, rather than when its ZooKeeper session ends. Slow and cut-off brokers keep the session's patience.",
})

var OttlaIsolatedLeaderResign = define(areaOwn, Key[bool]{
	Name: "ottla.isolated.leader.resign", Default: true,
	Importance: Medium,
	Doc:        "Whether a broker that leads partitions and hears none of their followers for replica.lag.time.max.ms gives up its leaderships, if taking the followers out of the ISR is not possible or does not help, so that one of them can take over. Without it such partitions wait until the network is whole again, as in Kafka.",
})

var OttlaMaxInFlightProduceRequests = define(areaOwn, Key[int32]{
	Name: "ottla.max.in.flight.produce.requests", Default: 8,
	Check: AtLeast[int32](1),
	Doc:   "Produce requests of one connection that may wait for replication while the next ones are already being written.",
})

var OttlaProduceValidation = define(areaOwn, Key[string]{
	Name: "ottla.produce.validation", Default: "header",
	Check:      OneOf("header", "deep"),
	Importance: Medium,
	Doc:        "How record batches are checked before they are stored: header reads batch headers, checksums and uncompressed records; deep also decompresses compressed batches and reads every record, as Kafka does.",
})

var OttlaTransactionV2Enable = define(areaOwn, Key[bool]{
	Name: "ottla.transaction.v2.enable", Default: true,
	Importance: Medium,
	Doc:        "Whether this broker takes part in transactions of version 2 (KIP-890), which clients use when all registered brokers do: each transaction has an epoch of its own, and partitions are added to it by being written to. Kafka 3.9 does not know them; while one of its brokers is registered they are not offered.",
})

var OttlaZookeeperAuth = define(areaOwn, Key[Password]{
	Name: "ottla.zookeeper.auth", Null: true,
	Importance: Medium,
	Doc:        "Identity for ZooKeeper's digest scheme, user:password, which Kafka takes from a JAAS file; with zookeeper.set.acl the znodes belong to it.",
})
