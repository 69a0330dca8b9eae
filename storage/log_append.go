package storage

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/wire/batch"
)

// AppendOptions say on whose behalf a leader appends.
type AppendOptions struct {
	// LeaderEpoch is stamped on the batches. The append is refused if the log knows a later epoch; a later one than the log knows is assigned.
	LeaderEpoch int32
	Origin      Origin
	// Guard is what StartVerification returned, for transactional batches of clients and coordinators if RequireVerified is set: such a
	// batch is refused unless its transaction is open in this log or Guard still stands.
	Guard           *VerificationGuard
	RequireVerified bool
	// RaisesEpoch says that a transaction marker is one of a transaction of version 2: its epoch is higher than that of the transaction.
	RaisesEpoch bool
}

// AppendInfo is the outcome of an append.
type AppendInfo struct {
	FirstOffset, LastOffset int64
	LogAppendTime           int64 // ms; -1 with create time
	LogStartOffset          int64
	Duplicate               bool // nothing was written: the offsets are those of the same batch's first append
	MaxTimestamp            int64
	Bytes                   int
}

// AppendAsLeader assigns offsets to the batches in records and writes them to the active segment with one write.
// It edits records in place: base offset and leader epoch lie outside the CRC, so the payload is neither copied nor summed
// again (KIP-98), unless the topic wants another codec or its own timestamps. Nothing of records is kept.
//
// Errors, with nothing written: CORRUPT_MESSAGE, INVALID_RECORD and INVALID_TIMESTAMP (perhaps a *RecordError), MESSAGE_TOO_LARGE,
// RECORD_LIST_TOO_LARGE, UNSUPPORTED_COMPRESSION_TYPE, INVALID_PRODUCER_EPOCH, OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_TXN_STATE,
// TRANSACTION_COORDINATOR_FENCED, NOT_LEADER_OR_FOLLOWER for an old LeaderEpoch, KAFKA_STORAGE_ERROR.
func (l *Log) AppendAsLeader(records []byte, o AppendOptions) (AppendInfo, error) {
	cfg := l.cfg.Load()
	nowMs := time.Now().UnixMilli()
	records, err := l.prepare(records, &o, cfg, nowMs)
	if err != nil {
		return AppendInfo{}, err
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return AppendInfo{}, err
	}
	if latest := l.epochs.latest(); o.LeaderEpoch < latest {
		return AppendInfo{}, fmt.Errorf("append to %s: leader epoch %d is over, %d began: %w", l.tp, o.LeaderEpoch, latest, kerr.NotLeaderForPartition)
	}
	if dup, ok, err := l.checkProducersLocked(records, &o); err != nil || ok {
		return dup, err
	}
	if o.LeaderEpoch > l.epochs.latest() {
		if err := l.assignEpochLocked(o.LeaderEpoch, l.EndOffset()); err != nil {
			return AppendInfo{}, err
		}
	}
	next := l.EndOffset()
	info := AppendInfo{FirstOffset: next, LogAppendTime: -1, LogStartOffset: l.StartOffset(), MaxTimestamp: -1, Bytes: len(records)}
	if cfg.LogAppendTime {
		info.LogAppendTime = nowMs
	}
	for rest := records; len(rest) > 0; {
		var v batch.View
		v, rest, _ = batch.Next(rest)
		v.SetBaseOffset(next)
		v.SetLeaderEpoch(o.LeaderEpoch)
		next = v.NextOffset()
		info.MaxTimestamp = max(info.MaxTimestamp, v.MaxTimestamp())
	}
	info.LastOffset = next - 1
	begun := l.begunLocked(records, &o)
	if err := l.writeLocked(records, info.FirstOffset, next, info.MaxTimestamp, cfg); err != nil {
		return AppendInfo{}, err
	}
	if begun != nil {
		l.producers.verification[batch.View(records).ProducerID()] = begun
	}
	return info, nil
}

// prepare does all that needs no lock: sizes, CRC, validation, timestamps, compression.
func (l *Log) prepare(records []byte, o *AppendOptions, cfg *LogConfig, nowMs int64) ([]byte, error) {
	if len(records) == 0 {
		return nil, fmt.Errorf("append to %s: no record batch: %w", l.tp, kerr.InvalidRecord)
	}
	opt := batch.ValidateOptions{
		Topic: l.tp.Topic, Partition: l.tp.Partition, Client: o.Origin == OriginClient, Compacted: cfg.Compact,
		LogAppendTime: cfg.LogAppendTime, NowMs: nowMs, TimestampBeforeMaxMs: cfg.TimestampBeforeMaxMs,
		TimestampAfterMaxMs: cfg.TimestampAfterMaxMs, Deep: cfg.DeepValidation,
	}
	codec, recompress := targetCodec(cfg)
	var out []byte // where recompression writes
	for rest := records; len(rest) > 0; {
		v, tail, err := batch.Next(rest)
		if err != nil {
			return nil, fmt.Errorf("append to %s: %w: %w", l.tp, err, kerr.CorruptMessage)
		}
		if err := l.checkSize(v.Size(), cfg); err != nil {
			return nil, err
		}
		if err := v.VerifyCRC(); err != nil {
			return nil, fmt.Errorf("append to %s: %w: %w", l.tp, err, kerr.CorruptMessage)
		}
		if err := batch.Validate(v, opt); err != nil {
			return nil, fmt.Errorf("append to %s: %w", l.tp, err)
		}
		if v.LastOffsetDelta() < 0 || v.Count() <= 0 {
			return nil, fmt.Errorf("append to %s: batch with %d records, last offset delta %d: %w", l.tp, v.Count(), v.LastOffsetDelta(), kerr.InvalidRecord)
		}
		if recompress && v.Codec() != codec && !v.IsControl() {
			if out == nil {
				out = append(make([]byte, 0, len(records)), records[:len(records)-len(rest)]...)
			}
			at := len(out)
			if out, err = appendRecompressed(out, v, codec, cfg.CompressionLevel); err != nil {
				return nil, fmt.Errorf("append to %s: compress with %s: %w", l.tp, codec, err)
			}
			v = batch.View(out[at:])
			if err := l.checkSize(v.Size(), cfg); err != nil {
				return nil, err
			}
		} else if out != nil {
			at := len(out)
			out = append(out, v...)
			v = batch.View(out[at:])
		}
		if cfg.LogAppendTime {
			v.SetLogAppendTime(nowMs)
		}
		rest = tail
	}
	if out != nil {
		records = out
	}
	if int64(len(records)) > int64(cfg.SegmentBytes) {
		return nil, fmt.Errorf("append to %s: %d bytes of batches, a segment holds %d: %w", l.tp, len(records), cfg.SegmentBytes, kerr.RecordListTooLarge)
	}
	return records, nil
}

func (l *Log) checkSize(n int, cfg *LogConfig) error {
	if n > int(cfg.MaxMessageBytes) {
		return fmt.Errorf("append to %s: batch of %d bytes, max.message.bytes is %d: %w", l.tp, n, cfg.MaxMessageBytes, kerr.MessageTooLarge)
	}
	return nil
}

// targetCodec is the codec that compression.type asks for; ok is false if it is the producer's choice.
func targetCodec(cfg *LogConfig) (codec batch.Codec, ok bool) {
	switch cfg.Compression {
	case "uncompressed":
		return batch.None, true
	case "gzip":
		return batch.Gzip, true
	case "snappy":
		return batch.Snappy, true
	case "lz4":
		return batch.LZ4, true
	case "zstd":
		return batch.Zstd, true
	}
	return 0, false
}

// appendRecompressed appends v with its records in another codec.
func appendRecompressed(out []byte, v batch.View, codec batch.Codec, level int) ([]byte, error) {
	b := batch.NewBuilder(batch.BuilderOptions{
		Codec: codec, Level: level, BaseOffset: v.BaseOffset(), LeaderEpoch: v.LeaderEpoch(), ProducerID: v.ProducerID(),
		Epoch: v.ProducerEpoch(), Sequence: v.BaseSequence(), Transactional: v.IsTransactional(),
	})
	err := v.Walk(func(r *batch.Record) error {
		b.AddAt(r.Offset, r.Timestamp, r.Key, r.Value, r.Headers)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return b.AppendTo(out), nil
}

// writeLocked writes batches that have their offsets, first to next-1, rolling before if need be, and tells everyone.
func (l *Log) writeLocked(records []byte, first, next, maxTimestamp int64, cfg *LogConfig) error {
	seg, err := l.rollIfNeededLocked(int64(len(records)), first, next-1, maxTimestamp, cfg)
	if err != nil {
		return err
	}
	index, err := seg.indexes()
	if err != nil {
		return l.failed("read the index", err)
	}
	if l.unwrittenEpoch || l.unwrittenMeta {
		if err := l.writePendingLocked(); err != nil {
			return err
		}
	}
	pos := seg.size.Load()
	if pos == 0 && seg.base == 0 && cfg.Preallocate {
		if err := seg.preallocate(cfg); err != nil {
			return l.failed("preallocate the first segment", err)
		}
	}
	if err := l.pwrite(seg, records, pos); err != nil {
		return err
	}
	nowMs := time.Now().UnixMilli()
	if pos == 0 {
		seg.createdMs = nowMs
	}
	seg.modifiedMs.Store(nowMs)
	seg.largestMs.Store(unknownTime)
	recent := l.recent.Load()
	if recent == nil {
		recent = new(recentBatches)
		l.recent.Store(recent)
	}
	unstable := false
	at := pos
	for rest := records; len(rest) > 0; {
		var v batch.View
		v, rest, _ = batch.Next(rest)
		if seg.firstBatchMs == unknownTime && at == 0 {
			seg.firstBatchMs = v.MaxTimestamp()
		}
		b := batchInfo{pos: at, size: int64(len(v)), base: v.BaseOffset(), last: v.LastOffset(), maxTimestamp: v.MaxTimestamp()}
		if seg.sinceIndex, err = index.follow(&b, seg.sinceIndex, int64(cfg.IndexIntervalBytes)); err != nil {
			return l.failed("write the index", err)
		}
		recent.add(seg, b.base, at)
		if v.ProducerID() >= 0 {
			unstable = true
			if err := l.applyProducerLocked(seg, v); err != nil {
				return err
			}
		}
		at += int64(len(v))
	}
	if unstable {
		l.noteUnstableLocked()
	}
	l.end.publish(seg, at, next)
	if next-l.durable.Load() >= cfg.FlushMessages {
		l.dir().flusher.commit(l)
	}
	return nil
}

// pwrite writes to the end of a segment. If that fails, what did reach the file is cut off again, and the directory goes offline: a
// disk that refuses a write is not one to go on with, and readers never see bytes past the published size.
func (l *Log) pwrite(seg *segment, p []byte, pos int64) error {
	r, err := seg.data.acquire(true)
	if err != nil {
		return l.failed("open the active segment", err)
	}
	defer r.release()
	if _, err := r.f.WriteAt(p, pos); err != nil {
		_ = r.f.Truncate(pos) // if this fails too, recovery finds the torn batch
		return l.failed(fmt.Sprintf("write %d bytes at %d to the active segment", len(p), pos), err)
	}
	return nil
}
