package txn

import (
	"maps"
	"math"
	"slices"
	"strings"
)

// State is where a transaction stands. The numbers are those of the records (kafka.coordinator.transaction.TransactionState).
type State int8

// The states. PrepareEpochFence is never written.
const (
	Empty State = iota
	Ongoing
	PrepareCommit
	PrepareAbort
	CompleteCommit
	CompleteAbort
	Dead
	PrepareEpochFence
)

var stateNames = [...]string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead", "PrepareEpochFence"}

func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return "unknown"
	}
	return stateNames[s]
}

// stateNamed finds a state by the name that ListTransactions filters by.
func stateNamed(name string) (State, bool) {
	i := slices.Index(stateNames[:], name)
	return State(i), i >= 0
}

func (s State) preparing() bool { return s == PrepareCommit || s == PrepareAbort }

// completed is the state that follows the markers of s.
func (s State) completed() State {
	if s == PrepareCommit {
		return CompleteCommit
	}
	return CompleteAbort
}

// Values that say that there is none.
const (
	noProducerID    int64 = -1
	noProducerEpoch int16 = -1
	noTimestampMs   int64 = -1
)

// Version is that of the protocol between a client and the brokers (org.apache.kafka.server.common.TransactionVersion).
type Version int16

// The versions. With V2 a partition is added to a transaction by the leader that is written to, and each end of a transaction raises the
// epoch (KIP-890). Version 1 is V0 for clients.
const (
	V0 Version = 0
	V2 Version = 2
)

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

func comparePartitions(a, b TopicPartition) int {
	if c := strings.Compare(a.Topic, b.Topic); c != 0 {
		return c
	}
	return int(a.Partition) - int(b.Partition)
}

// metadata is what a record says of a transactional id.
type metadata struct {
	producerID    int64
	producerEpoch int16
	timeoutMs     int32
	state         State
	partitions    map[TopicPartition]struct{}
	lastUpdateMs  int64
	startMs       int64 // of the present or last transaction, -1 none yet

	// version is the transaction version of the client that made the last transition (KIP-890). What follows is stored with V2 only.
	version Version
	// prevProducerID is the producer id before the last transition, -1 if it is not known.
	prevProducerID int64
	// nextProducerID is what a transaction that is being ended continues with, -1 if that is its own producer id: its epochs are used up.
	nextProducerID int64
}

// newMetadata is a transactional id that has no producer yet.
func newMetadata(producerID, nowMs int64) metadata {
	return metadata{
		producerID: producerID, producerEpoch: noProducerEpoch, state: Empty, startMs: noTimestampMs, lastUpdateMs: nowMs,
		prevProducerID: noProducerID, nextProducerID: noProducerID,
	}
}

// next is what the producer has after the transaction: with V2 every end raises the epoch, and gives a new producer id instead where
// there is no epoch left.
func (d *metadata) next() (producerID int64, epoch int16) {
	if d.state.preparing() && d.version >= V2 && d.nextProducerID != noProducerID {
		return d.nextProducerID, 0
	}
	return d.producerID, d.producerEpoch
}

// exhausted tells whether the producer id has no epoch left: the last one is kept for fencing.
func (d *metadata) exhausted() bool { return epochExhausted(d.producerEpoch) }

func epochExhausted(epoch int16) bool { return epoch >= math.MaxInt16-1 }

func (d *metadata) sorted() []TopicPartition {
	return slices.SortedFunc(maps.Keys(d.partitions), comparePartitions)
}

// transaction is a transactional id.
type transaction struct {
	id string
	metadata
	// The producer id and epoch before the last InitProducerId or V2 end, by which a repeated InitProducerId is recognised (KIP-360).
	lastProducerID    int64
	lastProducerEpoch int16
	// sent are the markers of the present PrepareX that have been handed to the senders, nil before.
	sent *markers
}

// goesOn tells whether the producer is ahead of the transaction: it has the answer to its end, while the markers are still to be written.
func (t *transaction) goesOn(producerID int64, epoch int16) bool {
	nextID, nextEpoch := t.next()
	return t.state.preparing() && producerID == nextID && epoch == nextEpoch
}
