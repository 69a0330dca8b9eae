package batch

import (
	"encoding/binary"
	"fmt"
)

// ControlType is what a control record says (ControlRecordType).
type ControlType int16

// The control records of transactions. Brokers skip types that they do not know.
const (
	ControlAbort  ControlType = 0
	ControlCommit ControlType = 1
)

func (t ControlType) String() string {
	switch t {
	case ControlAbort:
		return "abort"
	case ControlCommit:
		return "commit"
	}
	return fmt.Sprintf("control type %d", int16(t))
}

// ControlOptions describe a transaction marker.
type ControlOptions struct {
	Type             ControlType
	BaseOffset       int64
	LeaderEpoch      int32
	ProducerID       int64
	ProducerEpoch    int16
	CoordinatorEpoch int32
	TimestampMs      int64
}

// ControlBatch is the batch with one end-transaction marker that a partition leader writes for WriteTxnMarkers: key
// {version int16 0, type int16}, value {version int16 0, coordinatorEpoch int32}, base sequence -1.
func ControlBatch(o ControlOptions) []byte {
	key := binary.BigEndian.AppendUint16(make([]byte, 2, 4), uint16(o.Type))
	value := binary.BigEndian.AppendUint32(make([]byte, 2, 6), uint32(o.CoordinatorEpoch))
	b := NewBuilder(BuilderOptions{
		BaseOffset: o.BaseOffset, LeaderEpoch: o.LeaderEpoch, ProducerID: o.ProducerID, Epoch: o.ProducerEpoch,
		Sequence: -1, Transactional: true, Control: true,
	})
	b.Add(o.TimestampMs, key, value, nil)
	return b.Build()
}

// ParseControl reads the key of a control record. Later versions may add fields at the end.
func ParseControl(key []byte) (ControlType, error) {
	if len(key) < 4 {
		return 0, corrupt("control record key of %d bytes", len(key))
	}
	if version := int16(binary.BigEndian.Uint16(key)); version < 0 {
		return 0, corrupt("control record key version %d", version)
	}
	return ControlType(binary.BigEndian.Uint16(key[2:])), nil
}

// ParseEndTxnMarker reads the value of a commit or abort record.
func ParseEndTxnMarker(value []byte) (coordinatorEpoch int32, err error) {
	if len(value) < 6 {
		return 0, corrupt("transaction marker value of %d bytes", len(value))
	}
	if version := int16(binary.BigEndian.Uint16(value)); version < 0 {
		return 0, corrupt("transaction marker value version %d", version)
	}
	return int32(binary.BigEndian.Uint32(value[2:])), nil
}
