package broker

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"ottla/broker/api"
	"ottla/broker/config"
	"ottla/coordinator/group"
	"ottla/coordinator/txn"
	"ottla/replication"
	"ottla/storage"
	"ottla/wire"
	"ottla/wire/batch"
	"ottla/zkmeta"
	"ottla/zkmeta/controller"
	"ottla/zkmeta/ensemble"
)

// offsetsTopic is the internal topic of group offsets.
const offsetsTopic = "__consumer_offsets"

func millis[T ~int32 | ~int64](n T) time.Duration { return time.Duration(n) * time.Millisecond }

func (b *Broker) openLogs(ctx context.Context, dirs []string, clusterID string) error {
	s := b.cfg.Snapshot()
	var err error
	b.logs, err = storage.Open(ctx, storage.ManagerConfig{
		Dirs: dirs, BrokerID: b.id, ClusterID: clusterID, FS: b.opts.FS,
		LogConfig:               b.topics.Log,
		RecoveryThreadsPerDir:   int(config.Get(s, config.NumRecoveryThreadsPerDataDir)),
		FlushCheckpointMs:       int64(config.Get(s, config.LogFlushOffsetCheckpointIntervalMs)),
		StartOffsetCheckpointMs: int64(config.Get(s, config.LogFlushStartOffsetCheckpointIntervalMs)),
		HWCheckpointMs:          config.Get(s, config.ReplicaHighWatermarkCheckpointIntervalMs),
		RetentionCheckMs:        config.Get(s, config.LogRetentionCheckIntervalMs),
		InitialTaskDelayMs:      config.Get(s, config.LogInitialTaskDelayMs),
		FlushSchedulerMs:        config.Get(s, config.LogFlushSchedulerIntervalMs),
		ProducerIDExpirationMs:  int64(config.Get(s, config.ProducerIdExpirationMs)),
		OnDirFailure:            b.dirFailed,
		Cleaner:                 cleanerConfig(s),
		MoveThreads:             moveThreads(s),
		MoveMaxBytesPerSec:      moveThrottle(s),
		Log:                     b.part("storage"),
	})
	return err
}

// part is the logger of a part of the broker.
func (b *Broker) part(name string) zerolog.Logger {
	return b.opts.Levels.Logger(name).With().Int32("broker", b.id).Logger()
}

// moveThreads is 0 for as many as directories.
func moveThreads(s *config.Snapshot) int {
	n, _ := config.Lookup(s, config.NumReplicaAlterLogDirsThreads)
	return int(n)
}

// moveThrottle is at least 1: Kafka, too, copies a little where the limit is 0.
func moveThrottle(s *config.Snapshot) int64 {
	return max(1, config.Get(s, config.ReplicaAlterLogDirsIoMaxBytesPerSecond))
}

func cleanerConfig(s *config.Snapshot) storage.CleanerConfig {
	return storage.CleanerConfig{
		Enable:           config.Get(s, config.LogCleanerEnable),
		Threads:          int(config.Get(s, config.LogCleanerThreads)),
		DedupeBufferSize: config.Get(s, config.LogCleanerDedupeBufferSize),
		IOBufferSize:     int(config.Get(s, config.LogCleanerIoBufferSize)),
		IOMaxBytesPerSec: config.Get(s, config.LogCleanerIoMaxBytesPerSecond),
		LoadFactor:       config.Get(s, config.LogCleanerIoBufferLoadFactor),
		BackoffMs:        config.Get(s, config.LogCleanerBackoffMs),
	}
}

func (b *Broker) ensembleConfig(s *config.Snapshot) (ensemble.Config, error) {
	servers, chroot := s.ZooKeeperConnect()
	c := ensemble.Config{
		Servers: servers, Chroot: chroot,
		SessionTimeout: millis(config.Get(s, config.ZookeeperSessionTimeoutMs)),
		MaxInFlight:    int(config.Get(s, config.ZookeeperMaxInFlightRequests)),
		SecureACLs:     config.Get(s, config.ZookeeperSetAcl),
		OnState:        b.sessionState,
		Log:            b.opts.Levels.Logger("zkmeta"),
	}
	if auth, ok := config.Lookup(s, config.OttlaZookeeperAuth); ok {
		c.Auth = []ensemble.Auth{{Scheme: "digest", Data: auth.Reveal()}}
	}
	var err error
	c.TLS, err = zooKeeperTLS(s)
	return c, err
}

func limits(s *config.Snapshot) wire.Limits {
	return wire.Limits{
		MaxConnections:            bound(config.Get(s, config.MaxConnections)),
		MaxConnectionsPerIP:       bound(config.Get(s, config.MaxConnectionsPerIp)),
		PerIPOverrides:            s.MaxConnectionsPerIPOverrides(),
		MaxConnectionCreationRate: bound(config.Get(s, config.MaxConnectionCreationRate)),
	}
}

// bound translates Kafka's "no limit", the largest int, to wire's.
func bound(n int32) int {
	if n == math.MaxInt32 {
		return 0
	}
	return int(n)
}

// assemble makes the parts and connects them. Nothing runs yet that could reach another broker or a client.
func (b *Broker) assemble(clusterID string) {
	s := b.cfg.Snapshot()
	b.changes = zkmeta.NewConfigChangeListener(b.configChanged)
	inter := s.InterBroker().Name
	b.peers = newPeers(b.part("peers"), b.id, inter, b.cache, b.opts.Dial, peerTimeouts{
		Setup:         millis(config.Get(s, config.SocketConnectionSetupTimeoutMs)),
		Control:       millis(config.Get(s, config.ControllerSocketTimeoutMs)),
		Request:       millis(config.Get(s, config.RequestTimeoutMs)),
		Fetch:         millis(config.Get(s, config.ReplicaSocketTimeoutMs)),
		ReceiveBuffer: int(config.Get(s, config.ReplicaSocketReceiveBufferBytes)),
	})
	b.api = &api.API{
		Log: b.part("api"), Standalone: standalone(s), BrokerID: b.id, ClusterID: clusterID, Config: b.cfg, Cache: b.cache, Logs: b.logs, Topics: b.topics,
		Session: b.Session, BrokerEpoch: b.epoch.Load, LostEpoch: b.lost.Load, Levels: b.opts.Levels,
		ProducerIDs: &api.ProducerIDs{Allocate: b.allocateProducerIDs}, ClassicGroupsOnly: !consumerProtocol(s),
		Features: b.finalizedFeatures,
	}
	r := replication.New(replicationConfig(s, b.id, b.part("replication")), replication.Deps{
		Logs: b.logs, BrokerEpoch: b.epoch.Load, Metadata: metadataView{b.cache, inter},
		AlterPartition: b.alterPartition, Dial: b.peers.dial, OnLeadership: b.leadershipChanged,
		OnIsolated: b.onIsolated(s),
	})
	r.SetReplicationThrottles(replicationThrottles(s))
	b.replication.Store(r)
	b.groups = group.New(groupConfig(s, b.part("group")), &coordinatorLog{offsetsTopic, r}, group.Deps{
		Partitions: func() int32 {
			if t := b.cache.Load().Topics[offsetsTopic]; t != nil {
				return int32(len(t.Partitions))
			}
			return 0
		},
		Topics:      b.groupTopics,
		GroupConfig: b.groupConfigs.get,
		TopicExists: func(topic string, partition int32) bool {
			_, ok := b.cache.Load().Partition(topic, partition)
			return ok
		},
	})
	b.txns = txn.New(txnConfig(s, b.part("txn")), &coordinatorLog{txn.Topic, r}, b.txnDeps())
	b.controller = controller.New(controller.Config{
		BrokerID:               b.id,
		InterBrokerListener:    inter,
		AutoRebalance:          config.Get(s, config.AutoLeaderRebalanceEnable),
		ImbalanceCheckInterval: time.Duration(config.Get(s, config.LeaderImbalanceCheckIntervalSeconds)) * time.Second,
		ImbalancePercent:       int(config.Get(s, config.LeaderImbalancePerBrokerPercentage)),
		DeleteTopicEnable:      config.Get(s, config.DeleteTopicEnable),
		UncleanDefault:         func() bool { return config.Get(b.cfg.Snapshot(), config.UncleanLeaderElectionEnable) },
		Log:                    b.part("controller"),
	}, controller.Deps{Brokers: &control{own: b.id, local: b.api.ControlRequest, peers: b.peers}})
	b.api.Replication, b.api.Groups, b.api.Txns, b.api.Controller = r, b.groups, b.txns, b.controller
	b.server = wire.NewServer(wire.ServerConfig{
		Log: b.part("wire"), Registry: b.api.Registry(),
		MaxRequestBytes:    config.Get(s, config.SocketRequestMaxBytes),
		QueuedMaxBytes:     config.Get(s, config.QueuedMaxRequestBytes),
		IdleTimeout:        millis(config.Get(s, config.ConnectionsMaxIdleMs)),
		Backlog:            int(config.Get(s, config.SocketListenBacklogSize)),
		SendBuffer:         int(config.Get(s, config.SocketSendBufferBytes)),
		ReceiveBuffer:      int(config.Get(s, config.SocketReceiveBufferBytes)),
		MaxInFlightProduce: int(config.Get(s, config.OttlaMaxInFlightProduceRequests)),
	})
	b.server.SetLimits(limits(s))
	b.cfg.OnChange(b.brokerConfigChanged)
}

func replicationConfig(s *config.Snapshot, id int32, log zerolog.Logger) replication.Config {
	return replication.Config{
		BrokerID: id, Log: log,
		LagTimeMax:             millis(config.Get(s, config.ReplicaLagTimeMaxMs)),
		Patience:               millis(config.Get(s, config.ZookeeperSessionTimeoutMs)),
		FetchMaxBytes:          config.Get(s, config.FetchMaxBytes),
		SessionSlots:           int(config.Get(s, config.MaxIncrementalFetchSessionCacheSlots)),
		Rack:                   config.Get(s, config.BrokerRack),
		RackAware:              strings.HasSuffix(config.Get(s, config.ReplicaSelectorClass), "RackAwareReplicaSelector"),
		Fetchers:               int(config.Get(s, config.NumReplicaFetchers)),
		FetchPartitionMaxBytes: config.Get(s, config.ReplicaFetchMaxBytes),
		FetchResponseMaxBytes:  config.Get(s, config.ReplicaFetchResponseMaxBytes),
		FetchMinBytes:          config.Get(s, config.ReplicaFetchMinBytes),
		FetchWaitMax:           millis(config.Get(s, config.ReplicaFetchWaitMaxMs)),
		FetchBackoff:           millis(config.Get(s, config.ReplicaFetchBackoffMs)),
		FetchTimeout:           millis(config.Get(s, config.ReplicaSocketTimeoutMs)),
	}
}

func replicationThrottles(s *config.Snapshot) (leader, follower int64) {
	return config.Get(s, config.LeaderReplicationThrottledRate), config.Get(s, config.FollowerReplicationThrottledRate)
}

func groupConfig(s *config.Snapshot, log zerolog.Logger) group.Config {
	return group.Config{
		SessionTimeoutMin:             millis(config.Get(s, config.GroupMinSessionTimeoutMs)),
		SessionTimeoutMax:             millis(config.Get(s, config.GroupMaxSessionTimeoutMs)),
		InitialRebalanceDelay:         millis(config.Get(s, config.GroupInitialRebalanceDelayMs)),
		MaxSize:                       int(config.Get(s, config.GroupMaxSize)),
		OffsetMetadataMaxSize:         int(config.Get(s, config.OffsetMetadataMaxBytes)),
		OffsetsRetention:              time.Duration(config.Get(s, config.OffsetsRetentionMinutes)) * time.Minute,
		OffsetsRetentionCheckInterval: millis(config.Get(s, config.OffsetsRetentionCheckIntervalMs)),
		CommitTimeout:                 millis(config.Get(s, config.OffsetsCommitTimeoutMs)),
		LoadBytes:                     int(config.Get(s, config.OffsetsLoadBufferSize)),
		Codec:                         batch.Codec(config.Get(s, config.OffsetsTopicCompressionCodec)),
		Consumer:                      consumerConfig(s),
		Log:                           log,
	}
}

// leadershipChanged tells the coordinators which partitions of their topics they have gained or lost.
func (b *Broker) leadershipChanged(changes []replication.LeaderChange) {
	for _, c := range changes {
		switch {
		case c.TopicPartition.Topic == offsetsTopic && c.Leader:
			b.groups.Elected(c.TopicPartition.Partition, c.Epoch)
		case c.TopicPartition.Topic == offsetsTopic:
			b.groups.Resigned(c.TopicPartition.Partition, c.Epoch)
		case c.TopicPartition.Topic == txn.Topic && c.Leader:
			b.txns.Elected(c.TopicPartition.Partition, c.Epoch)
		case c.TopicPartition.Topic == txn.Topic:
			b.txns.Resigned(c.TopicPartition.Partition, c.Epoch)
		}
	}
}
