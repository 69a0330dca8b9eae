package config

import (
	"fmt"
	"slices"
	"strings"
)

// checkRules holds what no single key can say (KafkaConfig.validateValues of 3.9), and fills in the listeners. Texts are Kafka's where
// a client can come to see them through AlterConfigs.
func (s *Snapshot) checkRules() []error {
	var errs []error
	add := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	id, node := Get(s, BrokerId), Get(s, NodeId)
	if id != node {
		add(&ruleError{keys: []string{"node.id", "broker.id"}, text: "You must set `node.id` to the same value as `broker.id`."})
	}
	if Get(s, BrokerIdGenerationEnable) {
		add(require(id >= -1 && id <= Get(s, ReservedBrokerMaxId),
			"broker.id must be greater than or equal to -1 and not greater than reserved.broker.max.id", "broker.id"))
	} else {
		add(require(id >= 0, "broker.id must be greater than or equal to 0", "broker.id"))
	}
	add(require(s.LogRollMs() >= 1, "log.roll.ms must be greater than or equal to 1", "log.roll.ms"))
	add(require(s.LogRollJitterMs() >= 0, "log.roll.jitter.ms must be greater than or equal to 0", "log.roll.jitter.ms"))
	add(require(s.LogRetentionMs() != 0, "log.retention.ms must be unlimited (-1) or, greater than or equal to 1",
		"log.retention.ms", "log.retention.minutes", "log.retention.hours"))
	add(require(len(s.LogDirs()) > 0, "At least one log directory must be defined via log.dirs or log.dir.", "log.dirs", "log.dir"))
	if threads := Get(s, LogCleanerThreads); threads < 1 {
		add(&ruleError{keys: []string{"log.cleaner.threads"}, text: "Log cleaner threads should be at least 1"})
	} else {
		add(require(Get(s, LogCleanerDedupeBufferSize)/int64(threads) > 1<<20,
			"log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.", "log.cleaner.dedupe.buffer.size"))
	}
	add(require(Get(s, ReplicaFetchWaitMaxMs) <= Get(s, ReplicaSocketTimeoutMs),
		"replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms to prevent unnecessary socket timeouts",
		"replica.socket.timeout.ms", "replica.fetch.wait.max.ms"))
	add(require(int64(Get(s, ReplicaFetchWaitMaxMs)) <= Get(s, ReplicaLagTimeMaxMs),
		"replica.fetch.wait.max.ms should always be less than or equal to replica.lag.time.max.ms to prevent frequent changes in ISR",
		"replica.fetch.wait.max.ms", "replica.lag.time.max.ms"))
	add(require(Get(s, OffsetsCommitRequiredAcks) >= -1 && Get(s, OffsetsCommitRequiredAcks) <= Get(s, OffsetsTopicReplicationFactor),
		"offsets.commit.required.acks must be greater or equal -1 and less or equal to offsets.topic.replication.factor",
		"offsets.commit.required.acks"))
	if n := Get(s, QueuedMaxRequestBytes); n > 0 {
		add(require(n >= int64(Get(s, SocketRequestMaxBytes)),
			"queued.max.request.bytes must be larger or equal to socket.request.max.bytes", "queued.max.request.bytes"))
	}
	if _, err := parseCounts("max.connections.per.ip.overrides", Get(s, MaxConnectionsPerIpOverrides)); err != nil {
		add(err)
	} else if Get(s, MaxConnectionsPerIp) <= 0 {
		add(require(Get(s, MaxConnectionsPerIpOverrides) != "",
			"max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set.", "max.connections.per.ip"))
	}
	if idle := Get(s, ConnectionsMaxIdleMs); idle >= 0 {
		add(require(int64(Get(s, ConnectionFailedAuthenticationDelayMs)) < idle,
			"connection.failed.authentication.delay.ms should always be less than connections.max.idle.ms to prevent failed authentication responses from timing out",
			"connection.failed.authentication.delay.ms", "connections.max.idle.ms"))
	}
	add(require(Get(s, GroupMinSessionTimeoutMs) <= Get(s, GroupMaxSessionTimeoutMs),
		"group.min.session.timeout.ms must not be larger than group.max.session.timeout.ms", "group.min.session.timeout.ms"))
	for _, r := range []struct{ low, value, high *Key[int32] }{
		{GroupConsumerMinHeartbeatIntervalMs, GroupConsumerHeartbeatIntervalMs, GroupConsumerMaxHeartbeatIntervalMs},
		{GroupConsumerMinSessionTimeoutMs, GroupConsumerSessionTimeoutMs, GroupConsumerMaxSessionTimeoutMs},
	} {
		add(require(Get(s, r.high) >= Get(s, r.low), r.high.Name+" must be greater than or equal to "+r.low.Name, r.high.Name))
		add(require(Get(s, r.value) >= Get(s, r.low), r.value.Name+" must be greater than or equal to "+r.low.Name, r.value.Name))
		add(require(Get(s, r.value) <= Get(s, r.high), r.value.Name+" must be less than or equal to "+r.high.Name, r.value.Name))
	}
	return append(errs, s.resolveListeners()...)
}

// BrokerID is broker.id, or node.id: -1 asks for a generated one.
func (s *Snapshot) BrokerID() int32 { return Get(s, BrokerId) }

// LogDirs are the data directories.
func (s *Snapshot) LogDirs() []string {
	list, ok := Lookup(s, LogDirs)
	if !ok {
		list = Get(s, LogDir)
	}
	return slices.DeleteFunc(splitList(list), func(dir string) bool { return dir == "" })
}

// ZooKeeperConnect is zookeeper.connect split at the chroot; no servers means standalone.
func (s *Snapshot) ZooKeeperConnect() (servers []string, chroot string) {
	list := Get(s, ZookeeperConnect)
	if i := strings.IndexByte(list, '/'); i >= 0 {
		list, chroot = list[:i], strings.TrimRight(list[i:], "/")
	}
	return slices.DeleteFunc(splitList(list), func(server string) bool { return server == "" }), chroot
}

// ZooKeeperConnectionTimeoutMs is the longest wait for the first connection.
func (s *Snapshot) ZooKeeperConnectionTimeoutMs() int32 {
	if ms, ok := Lookup(s, ZookeeperConnectionTimeoutMs); ok {
		return ms
	}
	return Get(s, ZookeeperSessionTimeoutMs)
}

// MaxConnectionsPerIPOverrides is max.connections.per.ip.overrides by host.
func (s *Snapshot) MaxConnectionsPerIPOverrides() map[string]int {
	m, _ := parseCounts("max.connections.per.ip.overrides", Get(s, MaxConnectionsPerIpOverrides)) // checked when the snapshot was made
	return m
}

// LogRollMs is log.roll.ms or log.roll.hours.
func (s *Snapshot) LogRollMs() int64 { return s.chainMs(LogRollMs.def) }

// LogRollJitterMs is log.roll.jitter.ms or log.roll.jitter.hours.
func (s *Snapshot) LogRollJitterMs() int64 { return s.chainMs(LogRollJitterMs.def) }

// LogRetentionMs is log.retention.ms, .minutes or .hours; -1: records do not expire.
func (s *Snapshot) LogRetentionMs() int64 {
	if ms := s.chainMs(LogRetentionMs.def); ms >= 0 {
		return ms
	}
	return -1
}

// LogFlushIntervalMs is log.flush.interval.ms or the scheduler's interval.
func (s *Snapshot) LogFlushIntervalMs() int64 { return s.chainMs(LogFlushIntervalMs.def) }

// chainMs is the first value in d's synonym chain in milliseconds.
func (s *Snapshot) chainMs(d *Def) int64 {
	for _, name := range synonyms(d.Name, false) {
		switch v := s.values[brokerKeys.get(name).index].(type) {
		case int64:
			return v * unitMs(name)
		case int32:
			return int64(v) * unitMs(name)
		}
	}
	panic(fmt.Sprintf("config: no member of the synonym chain of %s has a default", d.Name))
}
