package storage

import (
	"errors"
	"fmt"
	"math"
	"slices"
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
	if err := l.writeLocked(records, info.FirstOffset, next, info.MaxTimestamp, cfg); err != nil {
		return AppendInfo{}, err
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

// AppendAsFollower writes batches as the leader sent them: offsets, epochs and timestamps are theirs. The first must not lie below the log
// end; a gap is allowed, compaction makes them. Batches are checked again, since they crossed a network. A partial batch at the end is left out. If an error is found after some of the batches were
// written, those stay, and AppendInfo says which.
//
// Errors: CORRUPT_MESSAGE, OFFSET_OUT_OF_RANGE for batches out of order, KAFKA_STORAGE_ERROR.
func (l *Log) AppendAsFollower(records []byte) (AppendInfo, error) {
	cfg := l.cfg.Load()
	whole, err := l.checkReplicated(records)
	if err != nil {
		return AppendInfo{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return AppendInfo{}, err
	}
	info := AppendInfo{FirstOffset: -1, LastOffset: l.EndOffset() - 1, LogAppendTime: -1, LogStartOffset: l.StartOffset(), MaxTimestamp: -1}
	for len(whole) > 0 {
		c := nextChunk(whole, int(cfg.SegmentBytes))
		if c.first < l.EndOffset() {
			return info, fmt.Errorf("append to %s: batch at offset %d, the log ends at %d: %w", l.tp, c.first, l.EndOffset(), kerr.OffsetOutOfRange)
		}
		if c.epoch > l.epochs.latest() {
			if err := l.assignEpochLocked(c.epoch, c.first); err != nil {
				return info, err
			}
		}
		if err := l.writeLocked(c.records, c.first, c.next, c.maxTimestamp, cfg); err != nil {
			return info, err
		}
		if info.FirstOffset < 0 {
			info.FirstOffset = c.first
		}
		info.LastOffset, info.MaxTimestamp = c.next-1, max(info.MaxTimestamp, c.maxTimestamp)
		info.Bytes += len(c.records)
		whole = whole[len(c.records):]
	}
	return info, nil
}

// checkReplicated returns the whole batches of a fetch answer, checked.
func (l *Log) checkReplicated(records []byte) (whole []byte, err error) {
	prev := int64(-1)
	rest := records
	for len(rest) > 0 {
		v, tail, err := batch.Next(rest)
		if errors.Is(err, batch.ErrTruncated) {
			break
		}
		if err == nil {
			err = v.VerifyCRC()
		}
		if err == nil && (v.LastOffsetDelta() < 0 || v.BaseOffset() <= prev) {
			err = fmt.Errorf("offsets %d to %d after %d", v.BaseOffset(), v.LastOffset(), prev)
		}
		if err == nil && v.IsControl() {
			_, err = parseMarker(v)
		}
		if err != nil {
			return nil, fmt.Errorf("append to %s at byte %d of the fetched records: %w: %w", l.tp, len(records)-len(rest), err, kerr.CorruptMessage)
		}
		prev, rest = v.LastOffset(), tail
	}
	return records[:len(records)-len(rest)], nil
}

// chunk is some batches that fit one segment and belong to one leader epoch.
type chunk struct {
	records      []byte
	first, next  int64
	maxTimestamp int64
	epoch        int32
}

// nextChunk takes batches off checked records: one at least, and no more than limit bytes.
func nextChunk(records []byte, limit int) chunk {
	v, rest, _ := batch.Next(records)
	c := chunk{first: v.BaseOffset(), next: v.NextOffset(), maxTimestamp: v.MaxTimestamp(), epoch: v.LeaderEpoch()}
	n := len(v)
	for len(rest) > 0 {
		if v, rest, _ = batch.Next(rest); v.LeaderEpoch() != c.epoch || n+len(v) > limit || v.LastOffset()-c.first > math.MaxInt32 {
			break
		}
		n += len(v)
		c.next, c.maxTimestamp = v.NextOffset(), max(c.maxTimestamp, v.MaxTimestamp())
	}
	c.records = records[:n]
	return c
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
	l.end.publish(seg, at, next)
	if unstable {
		l.noteUnstableLocked()
	}
	if next-l.durable.Load() >= cfg.FlushMessages {
		l.dir.flusher.commit(l)
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

// applyProducerLocked notes a written batch in the producer state and an aborted transaction in the index.
func (l *Log) applyProducerLocked(seg *segment, v batch.View) error {
	m, err := parseMarker(v)
	if err != nil { // checked before it was written
		return fmt.Errorf("append to %s: control batch at offset %d: %w: %w", l.tp, v.BaseOffset(), err, kerr.CorruptMessage)
	}
	done, ended := l.producers.apply(v, m)
	if !ended {
		return nil
	}
	lso := l.producers.complete(done)
	if done.lastOffset < l.hw.Load() {
		l.producers.replicated(l.hw.Load())
	}
	if !done.aborted {
		return nil
	}
	if err := seg.addAborted(abortedTxn{done.producerID, done.firstOffset, done.lastOffset, lso}); err != nil {
		return l.failed("write the transaction index", err)
	}
	return nil
}

// checkProducersLocked checks the batches against the producer state. dup is the answer to a batch that was appended before.
func (l *Log) checkProducersLocked(records []byte, o *AppendOptions) (dup AppendInfo, isDup bool, err error) {
	// Several batches of one producer in one append build on each other: pending holds the state as it will be.
	type pendingEntry struct {
		id    int64
		entry producerEntry
	}
	var pending []pendingEntry
	next := l.EndOffset()
	for rest := records; len(rest) > 0; {
		var v batch.View
		v, rest, _ = batch.Next(rest)
		id := v.ProducerID()
		if id < 0 {
			if v.IsTransactional() || v.IsControl() && o.Origin != OriginTxnMarker {
				return dup, false, fmt.Errorf("append to %s: transactional or control batch without a producer id: %w", l.tp, kerr.InvalidRecord)
			}
			next += int64(v.LastOffsetDelta()) + 1
			continue
		}
		i := slices.IndexFunc(pending, func(p pendingEntry) bool { return p.id == id })
		var entry producerEntry
		if i >= 0 {
			entry = pending[i].entry
		} else {
			entry = l.producers.peek(id)
		}
		if o.Origin == OriginClient {
			if b, ok := entry.duplicate(v); ok && i < 0 {
				return AppendInfo{
					FirstOffset: b.lastOffset - int64(b.offsetDelta), LastOffset: b.lastOffset, LogAppendTime: b.timestamp,
					LogStartOffset: l.StartOffset(), Duplicate: true, MaxTimestamp: b.timestamp,
				}, true, nil
			}
		}
		m, err := l.checkProducerLocked(v, &entry, o)
		if err != nil {
			return dup, false, err
		}
		if len(rest) == 0 && len(pending) == 0 {
			break // the usual case: one batch
		}
		v.SetBaseOffset(next)
		if m.ends {
			entry.applyMarker(v, m.coordinatorEpoch)
		} else if !v.IsControl() {
			entry.applyData(v)
		}
		next = v.NextOffset()
		if i >= 0 {
			pending[i].entry = entry
		} else {
			pending = append(pending, pendingEntry{id, entry})
		}
	}
	return dup, false, nil
}

func (l *Log) checkProducerLocked(v batch.View, entry *producerEntry, o *AppendOptions) (m marker, err error) {
	if v.IsControl() {
		if m, err = parseMarker(v); err != nil {
			return m, fmt.Errorf("append to %s: control batch: %w: %w", l.tp, err, kerr.InvalidRecord)
		}
		if m.ends {
			err = entry.checkMarker(l.tp, v, m.coordinatorEpoch)
		}
		return m, err
	}
	if err := entry.checkData(l.tp, v, o.Origin); err != nil {
		return m, err
	}
	if v.IsTransactional() && (o.Origin == OriginClient || o.Origin == OriginCoordinator) {
		err = l.checkVerifiedLocked(v, entry, o)
	}
	return m, err
}

// checkVerifiedLocked refuses a transactional batch whose transaction is neither open here nor verified (KIP-890).
func (l *Log) checkVerifiedLocked(v batch.View, entry *producerEntry, o *AppendOptions) error {
	known := l.producers.verification[v.ProducerID()]
	if o.Origin == OriginClient && known != nil && v.BaseSequence() > known.lowestSeq {
		return producerError(l.tp, v, kerr.OutOfOrderSequenceNumber, "sequence %d before the verified %d", v.BaseSequence(), known.lowestSeq)
	}
	if !o.RequireVerified || entry.txnFirstOffset >= 0 && entry.epoch == v.ProducerEpoch() {
		return nil
	}
	if o.Guard == nil || o.Guard != known {
		return producerError(l.tp, v, kerr.InvalidTxnState, "the partition was not added to the transaction, or it ended while that was checked")
	}
	return nil
}

// StartVerification is called before the transaction coordinator is asked whether a producer's transaction includes this
// partition, and returns what the append must carry in AppendOptions.Guard. It is nil if there is nothing to ask: the transaction is open in the
// log already. baseSequence is that of the batch, -1 without one.
func (l *Log) StartVerification(producerID int64, epoch int16, baseSequence int32) *VerificationGuard {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.producers.entries[producerID]; e != nil && e.txnFirstOffset >= 0 && e.epoch == epoch {
		return nil
	}
	if l.producers.verification == nil {
		l.producers.verification = make(map[int64]*VerificationGuard)
	}
	lowest := baseSequence
	if lowest < 0 {
		lowest = math.MaxInt32
	}
	g := l.producers.verification[producerID]
	if g == nil || g.epoch < epoch {
		g = &VerificationGuard{createdMs: time.Now().UnixMilli(), epoch: epoch, lowestSeq: lowest}
		l.producers.verification[producerID] = g
	} else if g.epoch == epoch {
		g.lowestSeq = min(g.lowestSeq, lowest)
	}
	return g
}
