// Package coordinator is the runtime under the coordinators of a broker: the partitions of an internal topic
// (__consumer_offsets, __transaction_state) as replicated state machines.
//
// A Runtime holds one shard for each partition that this broker leads. A shard is a goroutine that owns a Machine: requests
// come to it as events, the machine decides and names the records to write, the shard appends them, replays them into the
// machine, and answers once the high watermark has passed them. A machine has no goroutines, no locks and no I/O of its own.
//
// # Order
//
// Events are handled one by one in the order they were posted. The records of an event are appended and replayed before the
// next event is handled, with one exception: consecutive events that say they are Batching (offset commits, heartbeats) are
// decided one after the other and share one append. Their decisions do not rest on each other's records. A failed append
// replays nothing. When the append failed because the shared batch was too large, each event's records are appended again by
// themselves, so that the oversized one fails alone.
//
// # Answers
//
// Result.Done runs when the high watermark has passed the log end as it was after the event, also if the event wrote nothing:
// its answer may rest on records that are not committed yet. It runs with REQUEST_TIMED_OUT if that takes longer than
// Config.CommitTimeout (the records may still be committed later), with the append's error if nothing was written, and with
// NOT_COORDINATOR if leadership ended. Soft state (members that join, heartbeats) is answered by the machine at once.
//
// # Leadership
//
// Elected starts a shard, which loads: it replays the partition from its start to its end, while requests are answered with
// COORDINATOR_LOAD_IN_PROGRESS. A record that cannot be read is skipped with a log line that names partition and offset, and so
// is a stretch of bytes that is no batch (Log.Salvage finds the next one). If the log cannot be read the load starts over, with a
// pause. Resigned drops a shard. An epoch that follows the shard's own
// directly cannot hide another leader, so the shard keeps its state; after a gap it is loaded anew. Every append names the
// leader epoch, so a deposed shard cannot write. An append whose outcome is not known reloads the shard.
//
// # Goroutines and locks
//
// One goroutine per shard, ended by Resigned or Close; Close waits for all. Runtime.mu guards the set of shards (readers use a
// snapshot). shard.mailbox.mu guards the queue of events and is a leaf, held for a few instructions. Request.mu is held while an event is
// handled, so that a caller that gives up waiting knows that its request is no longer looked at.
//
// # What survives a crash
//
// What was replayed from committed records. Everything else (members that are joining, timers, pending member ids) is rebuilt
// by the clients' retries, as with Kafka.
package coordinator
