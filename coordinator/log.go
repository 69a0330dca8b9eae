package coordinator

// Log is the internal topic whose partitions the shards write to.
type Log interface {
	// Append writes one batch as the leader of leaderEpoch and returns the offset after the batch's last record. It edits
	// the batch's header in place and does not keep it. txn is nil for records outside of transactions. An error that carries a *kerr.Error says that nothing was written;
	// after any other error the outcome is unknown and the shard is loaded again.
	Append(partition, leaderEpoch int32, batch []byte, txn *Transaction) (end int64, err error)

	// Read returns whole batches from the one that contains offset from on, up to the log end (not the high watermark), in
	// memory that the caller may keep. At least one batch is returned if there is one, even if it is larger than maxBytes;
	// nothing at the log end. A storage.CorruptionError says that there is no batch where one is to be.
	Read(partition int32, from int64, maxBytes int) (records []byte, err error)

	// Salvage is Read past damage: what it returns begins with the first batch with records from an offset on that is whole and has the
	// right checksum. What was passed over before it is told as damage, nil for nothing. No records: nothing readable follows.
	Salvage(partition int32, from int64, maxBytes int) (records []byte, damage, err error)

	// Bounds returns the log start offset, the log end offset and the high watermark.
	Bounds(partition int32) (start, end, hw int64, err error)

	// OnHighWatermark calls f, from any goroutine, each time the high watermark advances while this broker is the
	// partition's leader. f does not block. It must not be called with the high watermark of a follower: after a change of
	// leader that watermark may have passed offsets whose records were truncated.
	OnHighWatermark(partition int32, f func(hw int64)) (cancel func())
}
