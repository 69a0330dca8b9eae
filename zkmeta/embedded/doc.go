// Package embedded is a metadata store in the broker's own process: ZooKeeper's tree with its versions,
// zxids, ephemeral and sequential nodes, multi-operations and one-shot watches, for a broker that runs
// without an ensemble. Seen through zkmeta.Session it behaves as a ZooKeeper server does; zkmeta/zktest
// holds it to that.
//
// # What is durable, and when
//
// The tree lives in memory under one mutex. A write changes it there at once and then waits until a commit
// has put it into the file; one commit takes everything that was written since the previous one began
// (group commit), so thousands of concurrent writes share two fsyncs. Reads show the newest tree but also
// wait until what they show is in the file, and watches fire only after the commit: nobody acts on a
// change that a crash could take back. Transactions are never split over commits.
//
// Ephemeral nodes are not written to the file, since no session outlives the process. What they leave
// behind, the zxid and the parent's counters, is: broker epochs (czxid) and sequence numbers only grow.
//
// A commit that fails ends the store: every session expires, every call fails from then on. An fsync
// is not retried.
//
// # The file
//
// A bbolt file (one B+tree, copy on write, locked against other processes). Bucket "nodes" maps a path
// to a node, each with its own CRC-32C; bucket "meta" has the format version and the last zxid. Open
// reads all of it and checks it: a damaged file is an error (*CorruptError), not a smaller tree.
//
// # Goroutines and locks
//
// One committer per store, one goroutine per session that calls watches. Store.mu is the only lock that is
// held while anything else is taken: under it, a session's delivery queue, a leaf. No I/O happens
// with either held.
package embedded
