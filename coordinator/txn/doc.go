// Package txn is the transaction coordinator (KIP-98, KIP-360, KIP-664, KIP-890), with the state and the records of Kafka's, so that either can
// take over from the other.
//
// A Coordinator answers the transaction APIs. Each transactional id belongs to one partition of __transaction_state and lives in the
// machine of that partition's shard (package coordinator): all that is decided about it is decided in one goroutine. A request becomes
// an event; the caller waits until it is answered or its context ends.
//
// # A transaction's way
//
//	Empty, CompleteCommit, CompleteAbort --AddPartitionsToTxn--> Ongoing --EndTxn--> PrepareCommit or PrepareAbort
//	PrepareX --all markers written--> CompleteX
//
// Every transition is a record, the whole state of the transactional id, and is answered when the record is committed. Markers are
// sent once the record of PrepareX is committed: from then on the outcome stands, whoever coordinates. They are sent by the senders
// (markers.go) to the leaders of the partitions, again and again until each has answered or its topic is gone; the last answer makes
// the event that writes CompleteX. A coordinator that loads a transaction in PrepareX sends its markers anew: a marker that finds no
// open transaction does no harm.
//
// Fencing (a new InitProducerId while a transaction is open, a timeout) is a PrepareAbort with the epoch raised by one, so that what the old
// producer may still write is refused by the leaders that saw the marker. Kafka's PrepareEpochFence is the moment before that record; here
// it is one decision and never seen.
//
// # Version 2
//
// Which version of the protocol a transaction has is up to its client, request by request: the version of EndTxn says how it ends, and what a
// leader adds for a producer is V2. With V2 PrepareX has the next epoch, which the markers carry and the producer is told, and an end that
// comes with the epoch before is a repetition. Where the epochs are used up PrepareX also has the producer id that CompleteX takes over
// (nextProducerID). An abort of nothing is an end, too: it is how a producer gets past writes whose fate it does not know.
//
// # Goroutines and locks
//
// One goroutine for each shard, and one for each broker that markers are on their way to, for as long as there are any. senders.mu guards
// the queues of markers and is a leaf.
//
// # What survives a crash
//
// What the records say. Lost are, as with Kafka, the previous producer id and epoch, by which a repeated InitProducerId is recognised.
package txn
