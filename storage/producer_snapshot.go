package storage

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// A producer snapshot (<offset>.snapshot) is the producer state as of an offset (ProducerStateManager), big-endian:
//
//	0  version int16 1
//	2  crc     uint32  CRC-32C of everything from byte 6
//	6  count   int32
//	10 entries of 46 bytes:
//	   0 producerId int64            26 timestamp int64
//	   8 producerEpoch int16         34 coordinatorEpoch int32
//	  10 lastSequence int32          38 currentTxnFirstOffset int64, -1 none
//	  14 lastOffset int64
//	  22 offsetDelta int32           of the last batch
const (
	snapshotVersion    = 1
	snapshotHeaderSize = 10
	snapshotEntrySize  = 46
)

// snapshotEntry is one producer with at most one batch, or more in memory.
type snapshotEntry struct {
	producerID int64
	producerEntry
}

func encodeSnapshot(entries []snapshotEntry) []byte {
	out := make([]byte, snapshotHeaderSize, snapshotHeaderSize+len(entries)*snapshotEntrySize)
	binary.BigEndian.PutUint16(out, snapshotVersion)
	binary.BigEndian.PutUint32(out[6:], uint32(len(entries)))
	for i := range entries {
		e := &entries[i]
		last := producerBatch{lastSeq: -1, lastOffset: -1}
		if e.n > 0 {
			last = e.batches[e.n-1]
		}
		out = binary.BigEndian.AppendUint64(out, uint64(e.producerID))
		out = binary.BigEndian.AppendUint16(out, uint16(e.epoch))
		out = binary.BigEndian.AppendUint32(out, uint32(last.lastSeq))
		out = binary.BigEndian.AppendUint64(out, uint64(last.lastOffset))
		out = binary.BigEndian.AppendUint32(out, uint32(last.offsetDelta))
		out = binary.BigEndian.AppendUint64(out, uint64(e.lastTimestamp))
		out = binary.BigEndian.AppendUint32(out, uint32(e.coordinatorEpoch))
		out = binary.BigEndian.AppendUint64(out, uint64(e.txnFirstOffset))
	}
	binary.BigEndian.PutUint32(out[2:], crc32.Checksum(out[6:], castagnoli))
	return out
}

func decodeSnapshot(data []byte) ([]snapshotEntry, error) {
	if len(data) < snapshotHeaderSize {
		return nil, fmt.Errorf("%d bytes are fewer than the header", len(data))
	}
	if v := binary.BigEndian.Uint16(data); v != snapshotVersion {
		return nil, fmt.Errorf("unknown version %d", v)
	}
	if want, got := binary.BigEndian.Uint32(data[2:]), crc32.Checksum(data[6:], castagnoli); want != got {
		return nil, fmt.Errorf("crc is %08x, its bytes give %08x", want, got)
	}
	n := int64(binary.BigEndian.Uint32(data[6:]))
	if n*snapshotEntrySize != int64(len(data)-snapshotHeaderSize) {
		return nil, fmt.Errorf("%d entries do not make %d bytes", n, len(data))
	}
	entries := make([]snapshotEntry, n)
	for i := range entries {
		p := data[snapshotHeaderSize+i*snapshotEntrySize:]
		e := &entries[i]
		e.producerID = int64(binary.BigEndian.Uint64(p))
		e.epoch = int16(binary.BigEndian.Uint16(p[8:]))
		last := producerBatch{
			lastSeq:     int32(binary.BigEndian.Uint32(p[10:])),
			lastOffset:  int64(binary.BigEndian.Uint64(p[14:])),
			offsetDelta: int32(binary.BigEndian.Uint32(p[22:])),
			timestamp:   int64(binary.BigEndian.Uint64(p[26:])),
		}
		if last.lastOffset >= 0 {
			e.n, e.batches[0] = 1, last
		}
		e.lastTimestamp = last.timestamp
		e.coordinatorEpoch = int32(binary.BigEndian.Uint32(p[34:]))
		e.txnFirstOffset = int64(binary.BigEndian.Uint64(p[38:]))
	}
	return entries, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
