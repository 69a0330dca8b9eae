package storage

import (
	"ottla/wire/batch"
)

// Origin says who appends, which decides what is checked (Kafka's AppendOrigin).
type Origin int8

// The origins.
const (
	// OriginClient is a producer: everything is checked, its sequence numbers included.
	OriginClient Origin = iota
	// OriginCoordinator is a group or transaction coordinator of this broker: no sequence numbers.
	OriginCoordinator
	// OriginReplication is a leader elsewhere, which has checked already.
	OriginReplication
	// OriginTxnMarker is a transaction coordinator that ends a transaction.
	OriginTxnMarker
)

func (o Origin) String() string {
	return [...]string{"client", "coordinator", "replication", "transaction marker"}[o]
}

// VerificationGuard says that the transaction coordinator is being asked whether a producer's transaction includes this
// partition (KIP-890). The append that carries it is refused if the transaction ended meanwhile.
type VerificationGuard struct {
	createdMs int64
	epoch     int16
	lowestSeq int32
	adds      bool // what is written adds the partition to the transaction: transactions of version 2
}

// marker is what a control batch says. ends is false for control batches that end no transaction: an emptied one, a type that
// we do not know.
type marker struct {
	ends             bool
	aborts           bool
	coordinatorEpoch int32
}

// parseMarker reads the record of a control batch; other batches have none.
func parseMarker(v batch.View) (m marker, err error) {
	if !v.IsControl() || v.Count() == 0 {
		return m, nil
	}
	err = v.Walk(func(r *batch.Record) error {
		t, err := batch.ParseControl(r.Key)
		if err != nil {
			return err
		}
		if m.ends = t == batch.ControlAbort || t == batch.ControlCommit; !m.ends {
			return nil
		}
		m.aborts = t == batch.ControlAbort
		m.coordinatorEpoch, err = batch.ParseEndTxnMarker(r.Value)
		return err
	})
	return m, err
}
