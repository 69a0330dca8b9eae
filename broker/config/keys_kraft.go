package config

import "math"

// Keys of KRaft, read so that mixed files load.

var BrokerHeartbeatIntervalMs = define(areaKRaft, Key[int32]{
	Name: "broker.heartbeat.interval.ms", Default: 2000,
	Importance: Medium, Mark: Accept,
	Doc: "How often a KRaft broker reports to its controller; without effect here.",
})

var BrokerSessionTimeoutMs = define(areaKRaft, Key[int32]{
	Name: "broker.session.timeout.ms", Default: 9000,
	Importance: Medium, Mark: Accept,
	Doc: "How long a KRaft controller waits for a broker's report; without effect here.",
})

var ControllerListenerNames = define(areaKRaft, Key[string]{
	Name: "controller.listener.names", Null: true,
	Importance: High, Mark: Accept,
	Doc: "Listeners of KRaft controllers; without effect here, kept so that mixed files load.",
})

var ControllerQuorumAppendLingerMs = define(areaKRaft, Key[int32]{
	Name: "controller.quorum.append.linger.ms", Default: 25,
	Importance: Medium, Mark: Accept,
	Doc: "How long a KRaft leader gathers records before a write; without effect here.",
})

var ControllerQuorumBootstrapServers = define(areaKRaft, Key[[]string]{
	Name:       "controller.quorum.bootstrap.servers",
	Check:      Addresses(false),
	Importance: High, Mark: Accept,
	Doc: "KRaft controllers to ask first; without effect here.",
})

var ControllerQuorumElectionBackoffMaxMs = define(areaKRaft, Key[int32]{
	Name: "controller.quorum.election.backoff.max.ms", Default: 1000,
	Importance: High, Mark: Accept,
	Doc: "Longest pause between KRaft elections; without effect here.",
})

var ControllerQuorumElectionTimeoutMs = define(areaKRaft, Key[int32]{
	Name: "controller.quorum.election.timeout.ms", Default: 1000,
	Importance: High, Mark: Accept,
	Doc: "How long a KRaft voter waits for votes; without effect here.",
})

var ControllerQuorumFetchTimeoutMs = define(areaKRaft, Key[int32]{
	Name: "controller.quorum.fetch.timeout.ms", Default: 2000,
	Importance: High, Mark: Accept,
	Doc: "How long a KRaft voter waits for its leader; without effect here.",
})

var ControllerQuorumRequestTimeoutMs = define(areaKRaft, Key[int32]{
	Name: "controller.quorum.request.timeout.ms", Default: 2000,
	Importance: Medium, Mark: Accept,
	Doc: "How long a KRaft voter waits for an answer; without effect here.",
})

var ControllerQuorumRetryBackoffMs = define(areaKRaft, Key[int32]{
	Name: "controller.quorum.retry.backoff.ms", Default: 20,
	Mark: Accept,
	Doc:  "Pause before a KRaft voter repeats a request; without effect here.",
})

var ControllerQuorumVoters = define(areaKRaft, Key[[]string]{
	Name:       "controller.quorum.voters",
	Check:      Addresses(true),
	Importance: High, Mark: Accept,
	Doc: "Voters of the KRaft quorum as id@host:port; without effect here, kept so that mixed files load.",
})

var EligibleLeaderReplicasEnable = define(areaKRaft, Key[bool]{
	Name:       "eligible.leader.replicas.enable",
	Importance: High, Mark: Accept,
	Doc: "Tracks replicas that may lead safely under KRaft (KIP-966); without effect here.",
})

var InitialBrokerRegistrationTimeoutMs = define(areaKRaft, Key[int32]{
	Name: "initial.broker.registration.timeout.ms", Default: 60_000,
	Importance: Medium, Mark: Accept,
	Doc: "How long a KRaft broker tries to register at start; without effect here.",
})

var MetadataLogDir = define(areaKRaft, Key[string]{
	Name: "metadata.log.dir", Null: true,
	Importance: High, Mark: Accept,
	Doc: "Directory of the KRaft metadata log; without effect here.",
})

var MetadataLogMaxRecordBytesBetweenSnapshots = define(areaKRaft, Key[int64]{
	Name: "metadata.log.max.record.bytes.between.snapshots", Default: 20 << 20,
	Check:      AtLeast[int64](1),
	Importance: High, Mark: Accept,
	Doc: "Bytes of KRaft metadata between two snapshots; without effect here.",
})

var MetadataLogMaxSnapshotIntervalMs = define(areaKRaft, Key[int64]{
	Name: "metadata.log.max.snapshot.interval.ms", Default: 3_600_000,
	Check:      AtLeast[int64](0),
	Importance: High, Mark: Accept,
	Doc: "Longest time between two KRaft snapshots; without effect here.",
})

var MetadataLogSegmentBytes = define(areaKRaft, Key[int32]{
	Name: "metadata.log.segment.bytes", Default: 1024 << 20,
	Check:      AtLeast[int32](12),
	Importance: High, Mark: Accept,
	Doc: "Segment size of the KRaft metadata log; without effect here.",
})

var MetadataLogSegmentMinBytes = define(areaKRaft, Key[int32]{
	Name: "metadata.log.segment.min.bytes", Default: 8 << 20,
	Check:      AtLeast[int32](12),
	Importance: High, Internal: true, Mark: Accept,
	Doc: "Smallest segment size of the KRaft metadata log; without effect here.",
})

var MetadataLogSegmentMs = define(areaKRaft, Key[int64]{
	Name: "metadata.log.segment.ms", Default: 604_800_000,
	Importance: High, Mark: Accept,
	Doc: "Age at which the KRaft metadata log rolls; without effect here.",
})

var MetadataMaxIdleIntervalMs = define(areaKRaft, Key[int32]{
	Name: "metadata.max.idle.interval.ms", Default: 500,
	Check: AtLeast[int32](0),
	Mark:  Accept,
	Doc:   "How often an idle KRaft controller writes a record; without effect here.",
})

var MetadataMaxRetentionBytes = define(areaKRaft, Key[int64]{
	Name: "metadata.max.retention.bytes", Default: 100 << 20,
	Importance: High, Mark: Accept,
	Doc: "Size of KRaft metadata that is kept; without effect here.",
})

var MetadataMaxRetentionMs = define(areaKRaft, Key[int64]{
	Name: "metadata.max.retention.ms", Default: 604_800_000,
	Importance: High, Mark: Accept,
	Doc: "Age of KRaft metadata that is kept; without effect here.",
})

var ProcessRoles = define(areaKRaft, Key[[]string]{
	Name:       "process.roles",
	Check:      EachOf("broker", "controller"),
	Importance: High, Mark: Later,
	Doc: "Roles under KRaft; this broker runs with ZooKeeper or standalone, so any role is refused.",
})

var ServerMaxStartupTimeMs = define(areaKRaft, Key[int64]{
	Name: "server.max.startup.time.ms", Default: math.MaxInt64,
	Check:      AtLeast[int64](0),
	Importance: Medium, Internal: true, Mark: Accept,
	Doc: "Longest start of a KRaft server; without effect here.",
})

var UnstableApiVersionsEnable = define(areaKRaft, Key[bool]{
	Name:       "unstable.api.versions.enable",
	Importance: High, Internal: true, Mark: Later,
	Doc: "Serves request versions that Kafka has not released; refused here.",
})

var UnstableFeatureVersionsEnable = define(areaKRaft, Key[bool]{
	Name:       "unstable.feature.versions.enable",
	Importance: High, Internal: true, Mark: Later,
	Doc: "Serves feature levels that Kafka has not released; refused here.",
})
