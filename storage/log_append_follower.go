package storage

import (
	"errors"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/wire/batch"
)

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
