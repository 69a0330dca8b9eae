package storage

import (
	"encoding/binary"
	"errors"
	"fmt"

	"ottla/wire/batch"
)

// batchFilter decides what compaction keeps of each batch and writes it (RecordFilter in Kafka's Cleaner).
type batchFilter struct {
	offsets         *offsetMap
	txns            *cleanedTxns
	lastOfProducer  map[int64]lastRecord
	nowMs           int64
	retentionMs     int64 // delete.retention.ms
	keepLegacyNulls bool  // tombstones of old formats in the segment at hand

	keep    []bool // of the records of the batch at hand
	builder *batch.Builder
	changed bool // something was dropped or rewritten
}

// lastRecord is the last batch of an active producer, which is kept, empty if need be, so that its sequence number and epoch are
// found again when the producer state is read from the log.
type lastRecord struct {
	lastOffset int64 // of its last data batch, -1 if it has none
	epoch      int16
}

func (f *batchFilter) isLast(v batch.View) bool {
	last, ok := f.lastOfProducer[v.ProducerID()]
	if v.ProducerID() < 0 || !ok {
		return false
	}
	if last.lastOffset >= 0 {
		return v.LastOffset() == last.lastOffset
	}
	return v.IsControl() && v.ProducerEpoch() == last.epoch
}

// retainRecord says whether a record of a batch that is not discarded stays. horizonMs is the batch's delete horizon if hasHorizon.
func (f *batchFilter) retainRecord(r *batch.Record, keepNull bool) bool {
	if r.Offset > f.offsets.latest {
		return true
	}
	if r.Key == nil {
		return false
	}
	return r.Offset >= f.offsets.get(r.Key) && (r.Value != nil || keepNull)
}

// appendKept appends to out what stays of a batch.
func (f *batchFilter) appendKept(out []byte, v batch.View) ([]byte, error) {
	m, err := parseMarker(v)
	if err != nil {
		return out, err
	}
	discardable := f.txns.batch(v, m)
	horizonMs, hasHorizon := v.DeleteHorizon()
	discard := discardable
	if v.IsControl() {
		// The marker of an emptied transaction waits as long as a tombstone does.
		discard = discardable && (v.Count() == 0 || hasHorizon && horizonMs <= f.nowMs)
	}
	if discard {
		f.changed = f.changed || v.Count() > 0
		if f.isLast(v) {
			return f.appendEmpty(out, v), nil
		}
		f.changed = true
		return out, nil
	}
	kept, tombstones := 0, false
	if v.IsControl() {
		kept = int(v.Count())
	} else if kept, tombstones, err = f.choose(v, !hasHorizon || f.nowMs < horizonMs); err != nil {
		return out, err
	}
	setHorizon := !hasHorizon && (tombstones || v.IsControl() && discardable)
	switch {
	case kept == 0 && f.isLast(v):
		f.changed = f.changed || v.Count() > 0
		return f.appendEmpty(out, v), nil
	case kept == 0:
		f.changed = true
		return out, nil
	case kept == int(v.Count()) && !setHorizon:
		return append(out, v...), nil
	}
	f.changed = true
	if setHorizon {
		horizonMs = f.nowMs + f.retentionMs
	}
	return f.appendRebuilt(out, v, horizonMs)
}

// choose fills keep with the fate of each record.
func (f *batchFilter) choose(v batch.View, keepNull bool) (kept int, tombstones bool, err error) {
	f.keep = f.keep[:0]
	err = v.Walk(func(r *batch.Record) error {
		k := f.retainRecord(r, keepNull)
		f.keep = append(f.keep, k)
		if k {
			kept++
			tombstones = tombstones || r.Value == nil
		}
		return nil
	})
	return kept, tombstones, err
}

// appendRebuilt appends the batch with the records that keep names, all of a control batch. Its offset range, producer and codec stay.
func (f *batchFilter) appendRebuilt(out []byte, v batch.View, horizonMs int64) ([]byte, error) {
	opt := batch.BuilderOptions{
		Codec: v.Codec(), Level: batch.LevelDefault, BaseOffset: v.BaseOffset(), LeaderEpoch: v.LeaderEpoch(), ProducerID: v.ProducerID(),
		Epoch: v.ProducerEpoch(), Sequence: v.BaseSequence(), Transactional: v.IsTransactional(), Control: v.IsControl(), DeleteHorizonMs: horizonMs,
	}
	if v.IsLogAppendTime() {
		opt.LogAppendTimeMs = v.MaxTimestamp()
	}
	if f.builder == nil {
		f.builder = batch.NewBuilder(opt)
	} else {
		f.builder.Reset(opt)
	}
	i := 0
	err := v.Walk(func(r *batch.Record) error {
		if v.IsControl() || f.keep[i] {
			f.builder.AddAt(r.Offset, r.Timestamp, r.Key, r.Value, r.Headers)
		}
		i++
		return nil
	})
	if err != nil {
		return out, err
	}
	f.builder.SetLastOffset(v.LastOffset())
	return f.builder.AppendTo(out), nil
}

// appendEmpty appends the batch without its records.
func (f *batchFilter) appendEmpty(out []byte, v batch.View) []byte {
	at := len(out)
	out = append(out, v[:batch.HeaderSize]...)
	e := batch.View(out[at:])
	const offLength, offAttributes, offBaseTimestamp, offCount = 8, 21, 27, 57
	binary.BigEndian.PutUint32(e[offLength:], batch.HeaderSize-batch.LogOverhead)
	binary.BigEndian.PutUint16(e[offAttributes:], uint16(e.Attributes()&^(batch.AttrCodecMask|batch.AttrDeleteHorizon)))
	binary.BigEndian.PutUint64(e[offBaseTimestamp:], ^uint64(0)) // -1
	binary.BigEndian.PutUint32(e[offCount:], 0)
	e.UpdateCRC()
	return out
}

// errKept ends the walk of a legacy message set at the first record that stays.
var errKept = errors.New("kept")

// appendKeptLegacy appends a message of magic 0 or 1, or a compressed set of them, if any of it stays. A set is not taken apart: what
// is superseded in it does no harm, and a cleaned log holds few of them.
func (f *batchFilter) appendKeptLegacy(out, p []byte) ([]byte, error) {
	m, _, err := batch.NextLegacy(p)
	if err != nil {
		return out, err
	}
	err = m.Walk(batch.DefaultDecompressLimit, func(r *batch.Record) error {
		if f.retainRecord(r, f.keepLegacyNulls) {
			return errKept
		}
		return nil
	})
	switch {
	case errors.Is(err, errKept):
		return append(out, p...), nil
	case err != nil:
		return out, fmt.Errorf("message set at offset %d: %w", m.Offset(), err)
	}
	f.changed = true
	return out, nil
}
