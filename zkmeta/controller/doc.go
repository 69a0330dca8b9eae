// Package controller is the cluster's controller: the one broker that notices which brokers are there,
// elects leaders, creates, grows, reassigns and deletes partitions, and tells all brokers what it decided.
// It keeps Kafka 3.9's contract in ZooKeeper mode, so that the office can pass between Kafka brokers and
// ours: the same znodes, the same requests at the same versions, the same order.
//
// # Parts
//
// Machine decides, without I/O: one event goes in; out come reads and writes of the metadata store and
// requests to brokers; the results go in again, until the event is done. Handlers are straight-line code in
// a coroutine (iter.Pull) that is suspended during the I/O. The rules for leaders and ISRs (leaders.go) are
// pure functions. Given the same events and results a Machine does the same; only ids of topics that were
// created without one are random.
//
// Controller is the loop around it: a queue of events, the executor that does the I/O, a channel per broker.
//
// # Order of things
//
// Per event: decide; write, every write in a multi behind a check of /controller_epoch's version; take into
// the context (type term) what was written, and only that; tell the brokers, LeaderAndIsr first, then
// UpdateMetadata, then StopReplica, batched per broker. Writes that do not depend on each other are pipelined
// and share multis; if one of a shared multi fails, each is done alone. A write whose connection broke is
// repeated; if it then fails, the znodes show whether the first attempt had gone through.
//
// # What survives a crash
//
// Nothing here is kept but in the znodes. Each piece of work leaves a mark that a successor finds until it
// is done: a topic znode without partition states (creation), /admin/delete_topics/<t> (deletion), adding
// and removing replicas in the topic znode (reassignment), a state that does not fit the live brokers
// (election). Where Kafka could lose track, the order is chosen so that this cannot: the topic znode of a
// finished reassignment is written after the removed replicas have answered, and the marker of a deletion
// goes in the same multi as the topic znode.
//
// # Differences from Kafka
//
// Those that can be seen in znodes or requests: a failover that finds dead brokers writes each partition
// once, not twice; a partition whose ISR died as a whole keeps all of it, not just one member; the end of a
// reassignment is one state write; a deletion sends StopReplica once, does not write the partitions' states,
// is not held up by a reassignment, and asks again when a broker refused; a reassignment that would leave no
// replica in sync is refused; placement ignores racks if only some brokers have one.
//
// # Goroutines and locks
//
// The loop owns the Machine and the map of channels; each channel has a goroutine, and each session one that
// looks for its end. Controller.mu guards the queue and which session is current, channel.mu a channel's
// queue, executor.mu the watches. All three are leaves: nothing is called with one of them held.
package controller
