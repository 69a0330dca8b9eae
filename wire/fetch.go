package wire

import "os"

// FetchResponse is a Fetch response of version 0 to 17 whose records are regions of files or memory. It is encoded to the
// same bytes as kmsg.FetchResponse.
type FetchResponse struct {
	ThrottleMillis int32
	ErrorCode      int16 // version 7+
	SessionID      int32 // version 7+
	Topics         []FetchTopic
	// NodeEndpoints are sent at version 16+, where current leaders are given (KIP-951).
	NodeEndpoints []FetchNode
	// Release, if set, is called once after the response was written or given up.
	Release func()
}

// FetchTopic has a name up to version 12, an id from 13 on.
type FetchTopic struct {
	Name       string
	ID         [16]byte
	Partitions []FetchPartition
}

// FetchPartition is one partition's part of the response.
type FetchPartition struct {
	Partition        int32
	ErrorCode        int16
	HighWatermark    int64
	LastStableOffset int64           // version 4+
	LogStartOffset   int64           // version 5+
	Diverging        *EpochEndOffset // version 12+, nil if the follower does not diverge
	CurrentLeader    *LeaderIDEpoch  // version 12+, nil if not given
	Aborted          []AbortedTxn    // version 4+, nil for null
	PreferredReplica int32           // version 11+, -1 for none
	// Records are what was read. The encoder releases them, once.
	Records Region
	// Bytes are records in memory, if Records is nil. Both nil is encoded as empty, not as null.
	Bytes []byte
}

// EpochEndOffset tells a follower where its log parts from the leader's (KIP-595).
type EpochEndOffset struct {
	Epoch     int32
	EndOffset int64
}

// LeaderIDEpoch is the leader that a client should ask instead.
type LeaderIDEpoch struct {
	LeaderID    int32
	LeaderEpoch int32
}

// AbortedTxn is an aborted transaction that overlaps the records.
type AbortedTxn struct {
	ProducerID  int64
	FirstOffset int64
}

// FetchNode is the endpoint of a current leader.
type FetchNode struct {
	NodeID int32
	Host   string
	Port   int32
	Rack   *string
}

// Region is a run of record bytes that stays as it is until Release.
type Region interface {
	// Len is the number of bytes.
	Len() int
	// ReadAt reads from off bytes after the start of the region.
	ReadAt(p []byte, off int64) (int, error)
	// File is where the bytes lie, for sendfile; ok is false if they are not in a file of the operating system.
	File() (f *os.File, pos int64, ok bool)
	// Release is called once, when the bytes are not needed any more.
	Release()
}
