// Package storage keeps the partitions' logs, in the files of Apache Kafka 3.9, so that a data directory can be taken over from Kafka and given
// back.
//
// A Manager owns the log directories and all logs in them. A Log is one partition: segments (a .log file of record batches
// with a sparse offset index, a sparse time index and an index of aborted transactions), the state of its producers, and its leader
// epochs. An append is one write to the active segment; a read is a Range of a segment's file, which the connection sends with sendfile.
// Nobody here knows who leads or what is replicated: the high watermark comes from outside and bounds what is deleted and compacted.
//
// # Files
//
// The layout of each file is drawn beside the code that reads it: sparse_index.go, txn_index.go, producer_snapshot.go,
// leader_epochs.go, checkpoint.go, partition_metadata.go, meta_properties.go. Differences from Kafka that can be seen in a directory:
// indexes are not preallocated, and a new partition is an empty directory until it is written to or the broker stops. Kafka takes both.
//
// Files and indexes are opened when they are used and closed when nobody used them for a while (closeIdle), so an idle partition costs
// a few hundred bytes and no descriptor. Indexes are read with pread; new entries wait in memory and are written by the page.
//
// # Goroutines
//
// Appends, reads and everything else run in the caller's goroutine. A Manager has, until Close: one timer loop per background task
// (retention, the four kinds of checkpoints and flushes, closing idle files, expiring producers), the remover, which unlinks what
// was marked deleted, the cleaner's threads, the mover's, which copy logs to other directories, and for each directory the flusher's two: commits, which somebody waits for with
// flush.messages=1, and whole flushes after a roll. OnDirFailure and OnDurable are called from any of them; OnDirFailure must not
// wait for Close.
//
// # Locks, in order
//
//	Manager.createMu, cleaner.mu    creation and deletion of logs; the choice of a log to compact
//	Log.flushMu         one flush, truncation or deletion of a log at a time; held over fsync
//	Log.moveMu          one step of copying a log to another directory; held over reading the log and writing the copy
//	Log.mu              every change of a log; held over the write of an append, and over an fsync of records only at the end of a move
//	Log.flushMu, Log.mu of its future log
//	logDir.cleanMu, logDir.ckptMu   one checkpoint at a time; held over its fsync
//	segmentIndex.mu, sparseIndex.pageMu
//	segment.mu          opening, renaming and replacing a segment's files
//
// Leaves: Log.hwMu, recentBatches.mu, registry.mu, flusher.mu, mover.mu, remover.mu, Manager.configMu. Readers take none of them but the index's
// and, to open a file, the segment's: they load the segment list, the log end with the size of the active segment (logEnd) and the file, which a fileRef keeps open, and look at Log.generation at the end: if it moved, a
// truncation, a deletion or a compaction interfered, and they look again.
//
// # What survives a crash
//
//   - With flush.messages=1: every record below DurableEndOffset.
//   - Otherwise what the kernel wrote: after a kill everything, after a power cut a prefix that holds at least what Flush, a roll's background
//     flush or flush.ms synced. The recovery point says up to where; recovery reads the rest, checks every batch, and cuts the log at the first that is
//     wrong. A record that was cut off, by recovery or TruncateTo, does not come back: both sync before anything is appended.
//   - Leader epochs and partition.metadata may be lost with the records that they are about, and are made again from the batches or by the controller.
//   - Checkpoints and the clean shutdown marker are replaced atomically, with fsync of file and directory. The log start and the high watermark may be those of
//     the last checkpoint.
//   - A compaction leaves the old segments or the new ones, which the next start puts in place. It flushes the log first: no record gives way
//     to a later one that a power cut can still take.
//   - A move to another directory leaves the log where it was, with a future log that the next start goes on filling, or only that, complete and synced,
//     which the next start makes the log.
//
// An I/O error takes its log directory offline (KAFKA_STORAGE_ERROR for its logs) until the next start; an fsync is never repeated. What is
// wrong in a file is a CorruptionError: recovery repairs the log by cutting it, indexes are rebuilt, damaged checkpoints and snapshots are ignored, each
// with one line in the log.
package storage
