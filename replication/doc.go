// Package replication decides what a broker's replicas are to their partitions, and what is committed.
//
// A Manager holds a Partition for every replica of this broker. The controller's LeaderAndIsr and StopReplica requests make it leader or
// follower. A leader appends what producers send, serves consumers and followers, keeps the in-sync replica set (ISR) with the
// controller, and moves the high watermark, the first offset that is not yet committed. A follower is kept at its leader's log by a fetcher.
// The bytes on disk belong to package storage; how requests look on the wire belongs to the handlers in broker/api.
//
// # Waiting
//
// There is no polling and no thread that completes operations (Kafka's purgatory with its timing wheel). Who waits is a goroutine that is
// there anyway; it links itself to the partitions that it waits for (waits.go) and is woken by the event: an append, a step of the high
// watermark, a change of role. It registers first and looks afterwards, while an event publishes first and looks for waiters afterwards, so
// none is missed. Results are written by the event that decides them (ProduceWait). What is completed, times out or is given up unlinks
// itself, so a partition on which nothing happens costs nothing however many fetches pass over it.
//
// # Goroutines
//
// One sends ISR changes (isrSender.run), one looks for lagging followers (shrinkLoop), and there is one for every leader and share of
// partitions that this broker follows (fetcher.run). Close ends all of them. Everything else runs in the caller's goroutine.
//
// # Locks, in order
//
//	Manager.stateMu       one controller request at a time
//	fetcherManager.mu     which fetcher has which partition
//	fetcher.mu            a fetcher's set of partitions
//	Partition.roleMu      read: appends; write: changes of role. The only lock held over I/O: the log's own append lock would serialise it anyway
//	Partition.mu          follower states, ISR proposals, steps of the high watermark
//	storage.Log           its own locks
//
// waitList.mu and isrSender.mu are leaves. In SessionCache a shard's lock comes before a session's. Readers take none of these: the role is an immutable snapshot behind an
// atomic pointer, the table of partitions is copied when it changes, and offsets are published by the log. Hooks (OnHighWatermark) and
// waiters are told with no lock held; OnLeadership is called with stateMu held, so that changes arrive in order, and must not call LeaderAndISR
// or StopReplica.
//
// # Safety
//
// An append holds roleMu for reading from the check of the role to the step of the high watermark, so a change of role waits for it: a
// deposed leader cannot append. A follower's append and truncation do the same with the leader epoch that the fetch was for. The high watermark
// of a leader never goes back and counts every member of the maximal ISR: the committed ISR and the member that a pending change would add.
//
// # What survives a crash
//
// Nothing here. Roles come again with LeaderAndIsr after the broker registers, logs, leader epochs and the checkpointed high watermark
// from storage. A high watermark read from a checkpoint may be old; a leader's followers bring it up to date with their first fetches, and until
// then latest-offset lookups get OFFSET_NOT_AVAILABLE (KIP-207).
package replication
