package replication

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/storage"
	"ottla/wire/batch"
)

// Timestamps of ListOffsets that are not timestamps.
const (
	LatestOffset        int64 = -1
	EarliestOffset      int64 = -2
	MaxTimestampOffset  int64 = -3 // KIP-734, version 7
	EarliestLocalOffset int64 = -4 // KIP-405, version 8
	LatestTieredOffset  int64 = -5 // KIP-1005, version 9
)

// ListOffsetRequest asks one partition for an offset.
type ListOffsetRequest struct {
	Timestamp          int64 // ms, or one of the constants
	CurrentLeaderEpoch int32 // -1 unknown
	Isolation          int8  // 1: read_committed
	ReplicaID          int32 // -1 consumer, -2 debugging consumer (any replica answers), else a follower
	Version            int16
}

// ListOffset answers with the offset, its timestamp in ms (-1 for the constants) and leader epoch; all -1 if there is none.
//
// Errors: NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, UNSUPPORTED_VERSION, KAFKA_STORAGE_ERROR;
// OFFSET_NOT_AVAILABLE (LEADER_NOT_AVAILABLE before version 5) while a new leader does not know the high watermark (KIP-207).
func (p *Partition) ListOffset(req ListOffsetRequest) (offset, timestampMs int64, epoch int32, err error) {
	r := p.role.Load()
	l, err := p.readable(r, req.CurrentLeaderEpoch, req.ReplicaID != -2)
	if err != nil {
		return -1, -1, -1, err
	}
	if !listable(req.Timestamp, req.Version) {
		return -1, -1, -1, fmt.Errorf("ListOffsets version %d has no timestamp %d: %w", req.Version, req.Timestamp, kerr.UnsupportedVersion)
	}
	end, lagging := p.listable(r, l, req)
	switch req.Timestamp {
	case LatestOffset:
		if lagging != nil {
			return -1, -1, -1, lagging
		}
		return end, -1, r.leaderEpoch, nil
	case EarliestOffset, EarliestLocalOffset:
		start := l.StartOffset()
		epoch, err = epochOf(l, start)
		return start, -1, epoch, err
	case LatestTieredOffset:
		return -1, -1, -1, nil // no tier
	case MaxTimestampOffset:
		offset, timestampMs, epoch, err = l.MaxTimestampOffset()
		if err != nil || offset < 0 {
			return -1, -1, -1, err
		}
	default:
		var ok bool
		offset, timestampMs, epoch, ok, err = l.OffsetForTimestamp(req.Timestamp, l.EndOffset())
		if err != nil {
			return -1, -1, -1, err
		}
		if !ok {
			return -1, -1, -1, lagging
		}
	}
	if offset >= end {
		return -1, -1, -1, lagging
	}
	return offset, timestampMs, epoch, nil
}

func listable(timestamp int64, version int16) bool {
	switch {
	case timestamp < LatestTieredOffset:
		return false
	case timestamp == LatestTieredOffset:
		return version >= 9
	case timestamp == EarliestLocalOffset:
		return version >= 8
	case timestamp == MaxTimestampOffset:
		return version >= 7
	}
	return true
}

// listable is the end of what the asker may see, and the error for what lies beyond it while the high watermark is still behind the
// start of the leader's epoch.
func (p *Partition) listable(r *role, l *storage.Log, req ListOffsetRequest) (end int64, lagging error) {
	if req.ReplicaID != -1 {
		return l.EndOffset(), nil
	}
	hw := l.HighWatermark()
	if r.leader && r.epochStart > hw {
		code := kerr.OffsetNotAvailable
		if req.Version < 5 {
			code = kerr.LeaderNotAvailable
		}
		lagging = fmt.Errorf("%s: high watermark %d is behind the start %d of leader epoch %d: %w", p.tp, hw, r.epochStart, r.leaderEpoch, code)
	}
	if req.Isolation == 1 {
		return l.LastStableOffset(), lagging
	}
	return hw, lagging
}

// LegacyOffsets answers ListOffsets version 0: up to n segment start offsets before the timestamp, the newest first.
// Errors: as ListOffset.
func (p *Partition) LegacyOffsets(timestamp int64, n int, replicaID int32) ([]int64, error) {
	l, err := p.readable(p.role.Load(), -1, replicaID != -2)
	if err != nil {
		return nil, err
	}
	end := l.EndOffset()
	if replicaID == -1 {
		end = l.HighWatermark()
	}
	return l.LegacyOffsetsBefore(timestamp, n, end), nil
}

// EpochEndOffset answers OffsetForLeaderEpoch (KIP-320): the largest epoch not after epoch, and where it ends. -1, -1 if there is none.
// Errors: NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, KAFKA_STORAGE_ERROR.
func (p *Partition) EpochEndOffset(currentEpoch, epoch int32) (int32, int64, error) {
	l, err := p.readable(p.role.Load(), currentEpoch, true)
	if err != nil {
		return -1, -1, err
	}
	found, end := l.EpochEndOffset(epoch)
	return found, end, nil
}

// epochOf is the leader epoch of the record at offset start, the first of the log.
func epochOf(l *storage.Log, start int64) (int32, error) {
	rng, err := l.Read(start, batch.HeaderSize, l.EndOffset(), true)
	if err != nil {
		return -1, err
	}
	if rng == nil {
		return l.LatestEpoch(), nil // an empty log: the next record's
	}
	defer rng.Release()
	var header [batch.HeaderSize]byte
	if rng.Len() < len(header) {
		return l.LatestEpoch(), nil
	}
	if _, err := rng.ReadAt(header[:], 0); err != nil {
		return -1, err
	}
	return batch.View(header[:]).LeaderEpoch(), nil
}
