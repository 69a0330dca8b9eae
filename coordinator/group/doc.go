// Package group is the group coordinator: classic groups (KIP-62 and what followed) and committed offsets, with the state of Kafka
// 3.9's coordinator in ZooKeeper mode, record for record, so that either can take over from the other; and groups of the new consumer
// protocol (KIP-848), as Kafka 4.3 has them. What a group of the new protocol is and what becomes of it is decided in package consumer; this
// one brings it requests, timers and the log. Kafka 3.9 skips its records, which it does not know.
//
// A Coordinator answers the group APIs. Each group belongs to one partition of __consumer_offsets and lives in the machine of
// that partition's shard (package coordinator): all that is decided about a group is decided in one goroutine. A request becomes an
// event; the caller waits until it is answered or its context ends.
//
// # What is written, and when
//
// Offsets: one record per committed partition. Groups: when the leader's SyncGroup brings the assignment, when a static member
// rejoins a stable group, and when a group becomes empty. Tombstones: when offsets expire or are deleted, and when a group
// without members and offsets goes. Members that join or leave change no record by themselves: after a change of coordinator
// they are found as the last assignment left them, and time out if they are gone.
//
// Groups of the new protocol: whatever changes them, before it does. A Tick that ends several of their members' sessions takes one at a
// time, since each decision rests on the records of the one before. A group changes its protocol in one batch: the tombstones of what it
// was and the records of what it becomes. The offsets stay.
//
// # What waits for the commit
//
// Answers that promise something durable or show it: OffsetCommit, TxnOffsetCommit, OffsetFetch, SyncGroup, a static member's rejoin,
// DeleteGroups, OffsetDelete, ConsumerGroupHeartbeat, ConsumerGroupDescribe. JoinGroup, Heartbeat, LeaveGroup, DescribeGroups and ListGroups are answered at once, as Kafka does.
// Unlike Kafka, which serves the old offset until a commit is replicated, OffsetFetch waits for it; if that takes longer than the
// commit timeout it answers COORDINATOR_LOAD_IN_PROGRESS, which every client retries.
//
// # What survives a crash
//
// What the records say. Lost are: the joining members and pending member ids, the rebalance in progress, and session timers,
// which start anew when a partition is loaded.
package group
