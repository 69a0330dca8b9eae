package config

import "math"

// Keys that live in the metadata store only (org.apache.kafka.server.config.QuotaConfigs, DynamicConfig). They are never read from a
// configuration file.

var LeaderReplicationThrottledRate = define(areaDynamic, Key[int64]{
	Name: "leader.replication.throttled.rate", Default: math.MaxInt64,
	Check:  AtLeast[int64](0),
	Update: DynamicOnly, Importance: Medium,
	Doc: "Bytes per second that this broker sends as a leader to throttled followers that are not in sync.",
})

var FollowerReplicationThrottledRate = define(areaDynamic, Key[int64]{
	Name: "follower.replication.throttled.rate", Default: math.MaxInt64,
	Check:  AtLeast[int64](0),
	Update: DynamicOnly, Importance: Medium,
	Doc: "Bytes per second that this broker fetches as a throttled follower that is not in sync.",
})

var ReplicaAlterLogDirsIoMaxBytesPerSecond = define(areaDynamic, Key[int64]{
	Name: "replica.alter.log.dirs.io.max.bytes.per.second", Default: math.MaxInt64,
	Check:  AtLeast[int64](0),
	Update: DynamicOnly, Importance: Medium,
	Doc: "Most bytes per second that moves of replicas between log directories copy, all together.",
})

const (
	entityUserClient = "user, client"
	entityUser       = "user"
	entityIP         = "ip"
)

var (
	ProducerByteRate = defineEntity(entityUserClient, "producer_byte_rate", int64(math.MaxInt64), false, Check[int64]{}, Later,
		"Bytes per second that a user or client may produce; quotas are not served yet.")
	ConsumerByteRate = defineEntity(entityUserClient, "consumer_byte_rate", int64(math.MaxInt64), false, Check[int64]{}, Later,
		"Bytes per second that a user or client may fetch; quotas are not served yet.")
	RequestPercentage = defineEntity(entityUserClient, "request_percentage", float64(math.MaxInt32), false, Check[float64]{}, Later,
		"Share of a handler's time that a user or client may use, in percent; quotas are not served yet.")
	ControllerMutationRate = defineEntity(entityUserClient, "controller_mutation_rate", float64(math.MaxInt32), false, Check[float64]{}, Later,
		"Partitions per second that a user or client may create or delete; quotas are not served yet.")
	ConnectionCreationRate = defineEntity(entityIP, "connection_creation_rate", int32(math.MaxInt32), false, AtLeast[int32](0), Later,
		"New connections per second from one address; quotas are not served yet.")
	ScramSHA256 = defineEntity(entityUser, "SCRAM-SHA-256", "", true, Check[string]{}, Later,
		"Stored SCRAM-SHA-256 credential of a user; SASL is not served yet.")
	ScramSHA512 = defineEntity(entityUser, "SCRAM-SHA-512", "", true, Check[string]{}, Later,
		"Stored SCRAM-SHA-512 credential of a user; SASL is not served yet.")
)
