package coordinator

import (
	"time"

	"ottla/storage"
)

// Machine is the state machine of one partition. All its methods run in the shard's goroutine.
type Machine interface {
	// Handle decides about one event. It may read all state and change soft state (what no record holds), does no I/O, and
	// returns the records to write. It keeps nothing that the event's request points to.
	Handle(now time.Time, ev Event) Result

	// Replay applies one record that is in the log: after its append, and when loading. Transaction markers arrive as
	// records with a Marker. Key and Value are not to be kept. An error is logged with the record's offset and the record
	// is skipped; loading goes on.
	Replay(r Record) error

	// Loaded is called once, after the log was replayed and before the first event.
	Loaded(now time.Time)

	// Deadline is when Handle wants a Tick, or zero.
	Deadline() time.Time

	// Unload answers everything that is parked in the machine with err. The machine is not used afterwards.
	Unload(err error)
}

// KeyValue is a record to write. A nil Value is a tombstone.
type KeyValue struct{ Key, Value []byte }

// Marker says what kind of transaction marker a record is.
type Marker int8

// The markers.
const (
	NoMarker Marker = iota
	CommitMarker
	AbortMarker
)

// NoProducerID is the producer id of records outside of transactions.
const NoProducerID int64 = -1

// Record is a record in the log.
type Record struct {
	Offset      int64
	TimestampMs int64
	Key, Value  []byte
	// ProducerID is NoProducerID unless the record is part of a transaction or is a marker.
	ProducerID    int64
	ProducerEpoch int16
	Marker        Marker
}

// Transaction makes the records of a Result part of a producer's transaction.
type Transaction struct {
	ProducerID    int64
	ProducerEpoch int16
	// Verified says that the transaction coordinator was asked whether the partition is part of the transaction (KIP-890); the
	// log refuses the batch unless the transaction is open in it or Guard still stands.
	Verified bool
	Guard    *storage.VerificationGuard
}

// Result is what a machine decided about an event. The zero Result asks for nothing.
type Result struct {
	// Records are appended in one batch, all or none.
	Records []KeyValue
	// Transaction is nil for records that count at once.
	Transaction *Transaction
	// Split allows the records to go into several batches where one would be too large. Each record then stands or falls
	// alone, and Done is given the first error.
	Split bool
	// Applied runs after the records were appended and replayed, before the next event is handled. It does not run if the
	// append failed, in whole or in part.
	Applied func(now time.Time)
	// Done runs once: with nil when all is committed, else with an error (see the package comment). It may change soft state.
	Done func(now time.Time, err error)
}

// Tick is the event that a machine is given when its Deadline has passed.
type Tick struct{}

// Traits of Tick.
func (Tick) Traits() Traits { return 0 }

// Begin of Tick: it is always handled.
func (Tick) Begin() bool { return true }

// End of Tick.
func (Tick) End() {}

// Fail of Tick: nobody waits for it.
func (Tick) Fail(error) {}
