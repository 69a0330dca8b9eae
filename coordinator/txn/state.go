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
	// The producer id and epoch before the last InitProducerId, by which its repetition is recognised (KIP-360).
	lastProducerID    int64
	lastProducerEpoch int16
	// sent are the markers of the present PrepareX that have been handed to the senders, nil before.
	sent *markers
}
