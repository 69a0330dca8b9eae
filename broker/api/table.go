package api

import (
	"context"
	"slices"
	"time"

	"ottla/broker/metadata"
	"ottla/wire"
)

// row is an API key with the versions that are served whole: those of Kafka 3.9 in ZooKeeper mode, which old clients need, and
// newer ones where their behaviour is built.
type row struct {
	key, min, max int16
	handler       func(*API) wire.Handler
}

func table() []row {
	return []row{
		{0, 0, 12, produce},
		{1, 0, 17, fetch},
		{2, 0, 9, on(listOffsets)},
		{3, 0, 12, on(describeMetadata)},
		{4, 0, 7, on(leaderAndISR)},
		{5, 0, 4, stopReplica},
		{6, 0, 8, on(updateMetadata)},
		{7, 0, 3, on(controlledShutdown)},
		{8, 0, 9, on(offsetCommit)},
		{9, 0, 9, on(offsetFetch)},
		{10, 0, 6, on(findCoordinator)},
		{11, 0, 9, on(joinGroup)},
		{12, 0, 4, on(heartbeat)},
		{13, 0, 5, on(leaveGroup)},
		{14, 0, 5, on(syncGroup)},
		{15, 0, 5, on(describeGroups)},
		{16, 0, 5, on(listGroups)},
		{18, 0, 4, on(apiVersions)},
		{19, 0, 7, on(createTopics)},
		{20, 0, 6, on(deleteTopics)},
		{21, 0, 2, on(deleteRecords)},
		{22, 0, 5, on(initProducerID)},
		{23, 0, 4, on(offsetForLeaderEpoch)},
		{24, 0, 5, on(addPartitionsToTxn)},
		{25, 0, 4, on(addOffsetsToTxn)},
		{26, 0, 5, on(endTxn)},
		{27, 0, 2, on(writeTxnMarkers)},
		{28, 0, 5, on(txnOffsetCommit)},
		{32, 0, 4, on(describeConfigs)},
		{33, 0, 2, on(alterConfigs)},
		{34, 0, 2, on(alterReplicaLogDirs)},
		{35, 0, 4, on(describeLogDirs)},
		{37, 0, 3, on(createPartitions)},
		{42, 0, 2, on(deleteGroups)},
		{43, 0, 2, on(electLeaders)},
		{44, 0, 1, on(incrementalAlterConfigs)},
		{45, 0, 0, on(alterPartitionReassignments)},
		{46, 0, 0, on(listPartitionReassignments)},
		{47, 0, 0, on(offsetDelete)},
		{56, 0, 3, on(alterPartition)},
		{60, 0, 1, on(describeCluster)},
		{61, 0, 0, on(describeProducers)},
		{65, 0, 0, on(describeTransactions)},
		{66, 0, 1, on(listTransactions)},
		{67, 0, 0, on(allocateProducerIDs)},
		{68, 0, 1, on(consumerGroupHeartbeat)},
		{69, 0, 1, on(consumerGroupDescribe)},
		{75, 0, 0, on(describeTopicPartitions)},
	}
}

// needMetadata are the keys whose answers rest on the whole cluster: Metadata, FindCoordinator, CreateTopics, DeleteTopics,
// CreatePartitions, DescribeCluster, DescribeTopicPartitions.
var needMetadata = []int16{3, 10, 19, 20, 37, 60, 75}

// metadataWait is how long such a request waits in a broker that has just started; then it is answered with what is known.
const metadataWait = 10 * time.Second

// afterMetadata holds requests until the controller has told this broker of the cluster. A client that got an answer without brokers
// would forget the ones it knows.
func (a *API) afterMetadata(h wire.Handler) wire.Handler {
	known := func(s *metadata.Snapshot) bool { return s.Brokers[a.BrokerID] != nil }
	return func(c *wire.Call) wire.Reply {
		if !known(a.Cache.Load()) {
			ctx, stop := context.WithTimeout(c.Context(), metadataWait)
			_, _ = a.Cache.Wait(ctx, known) // answered in any case
			stop()
		}
		return h(c)
	}
}

// Registry builds the table of handlers for the server.
func (a *API) Registry() *wire.Registry {
	rows := table()
	if a.ClassicGroupsOnly {
		rows = slices.DeleteFunc(rows, func(r row) bool { return r.key == 68 || r.key == 69 })
	}
	apis := make([]wire.API, len(rows))
	for i, r := range rows {
		apis[i] = wire.API{Key: r.key, Min: r.min, Max: r.max, Handle: r.handler(a)}
		if slices.Contains(needMetadata, r.key) {
			apis[i].Handle = a.afterMetadata(apis[i].Handle)
		}
		if first, ok := firstV2[r.key]; ok {
			apis[i].Handle = a.untilWithdrawn(first, apis[i].Handle)
		}
	}
	a.registry = wire.NewRegistry(apis...)
	return a.registry
}
