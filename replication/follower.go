package replication

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/storage"
	"ottla/wire/batch"
)

// errNotFollowing says that the partition's role is no longer the one that a fetched answer is for.
var errNotFollowing = errors.New("the replica follows another leader or epoch by now")

// asFollower calls f with the log while the partition follows that leader epoch; a change of role waits until f has returned.
func (p *Partition) asFollower(epoch int32, f func(l *storage.Log) error) error {
	p.roleMu.RLock()
	defer p.roleMu.RUnlock()
	if r := p.role.Load(); r.leader || r.stopped || r.offline || r.leaderEpoch != epoch {
		return errNotFollowing
	}
	return f(p.Log())
}

// position finds the first offset to fetch: the log end, or without an epoch to compare the high watermark, cutting off what is beyond.
func (f *fetcher) position(s *fetchState) {
	err := s.p.asFollower(s.epoch, func(l *storage.Log) error {
		if l.LatestEpoch() < 0 && l.HighWatermark() < l.EndOffset() {
			f.log.Info().Stringer("partition", s.p.tp).Int64("high_watermark", l.HighWatermark()).Int64("log_end_offset", l.EndOffset()).
				Msg("log has no leader epochs, truncating to the high watermark")
			if err := l.TruncateTo(l.HighWatermark()); err != nil {
				return err
			}
		}
		s.offset = l.EndOffset()
		return nil
	})
	s.ready = err == nil
	if err != nil {
		f.failed(s, err)
	}
}

// apply takes the leader's answer for one partition.
func (f *fetcher) apply(s *fetchState, rp *kmsg.FetchResponseTopicPartition) {
	switch rp.ErrorCode {
	case 0:
		if err := f.accept(s, rp); err != nil {
			f.failed(s, err)
			return
		}
		s.retries = 0
	case kerr.OffsetOutOfRange.Code:
		if err := f.relocate(s); err != nil {
			f.failed(s, err)
		}
	case kerr.FencedLeaderEpoch.Code:
		// The controller has decided anew: the next LeaderAndIsr says what.
		f.log.Info().Stringer("partition", s.p.tp).Int32("leader_epoch", s.epoch).Msg("leader has a newer epoch, waiting for the controller")
		s.failed = true
	default:
		f.log.Debug().Stringer("partition", s.p.tp).Int32("leader_epoch", s.epoch).Err(kerr.ErrorForCode(rp.ErrorCode)).Msg("leader refused the fetch, trying later")
		f.later(s)
	}
}

// failed decides what becomes of a partition after an error here.
func (f *fetcher) failed(s *fetchState, err error) {
	switch {
	case errors.Is(err, errNotFollowing):
		s.failed = true // removed, or about to be
	case errors.Is(err, kerr.KafkaStorageError):
		f.log.Error().Err(err).Stringer("partition", s.p.tp).Msg("follower stopped: its log cannot be written")
		s.failed = true
	default:
		f.later(s)
		if s.retries < 4 || s.retries%64 == 0 { // a leader's bad batch stays bad: say so, but not for ever
			f.log.Error().Err(err).Stringer("partition", s.p.tp).Int64("offset", s.offset).Msg("follower cannot take what the leader sent, trying again")
		}
	}
}

// accept appends the records, or truncates where the logs diverge, and takes over high watermark and log start.
func (f *fetcher) accept(s *fetchState, rp *kmsg.FetchResponseTopicPartition) error {
	var ev hwEvent
	err := s.p.asFollower(s.epoch, func(l *storage.Log) error {
		if d := rp.DivergingEpoch; d.Epoch >= 0 || d.EndOffset >= 0 {
			return f.truncate(s, l, d.Epoch, d.EndOffset)
		}
		n, err := appendFetched(s.p, l, rp.RecordBatches)
		if err != nil {
			return err
		}
		s.p.waits.appended(int64(n))
		s.offset = l.EndOffset()
		s.inSync = s.offset >= rp.HighWatermark
		if s.p.throttledAtFollower() {
			f.m.followerQuota.passed(n)
		}
		ev, err = s.p.follow(l, rp.HighWatermark, rp.LogStartOffset)
		return err
	})
	s.p.publish(ev)
	return err
}

// appendFetched appends whole batches from the log's end on, and returns their size. Only an empty log's end may lie inside the first one.
// A batch cut short at the end of an answer is fetched again.
func appendFetched(p *Partition, l *storage.Log, records []byte) (whole int, err error) {
	next := l.EndOffset()
	empty := l.StartOffset() == next
	for rest := records; len(rest) > 0; {
		v, after, err := batch.Next(rest)
		if errors.Is(err, batch.ErrTruncated) {
			break
		}
		if err != nil {
			return 0, fmt.Errorf("%s at offset %d: %w", p.tp, next, err)
		}
		// A compacted leader log has gaps: offsets rise, but need not follow each other.
		if v.LastOffset() < next || whole == 0 && v.BaseOffset() < next && !empty {
			return 0, fmt.Errorf("%s: leader sent offsets %d to %d, the log ends at %d", p.tp, v.BaseOffset(), v.LastOffset(), next)
		}
		next = v.NextOffset()
		whole += len(v)
		rest = after
	}
	if whole == 0 {
		return 0, nil
	}
	_, err = l.AppendCopied(records[:whole])
	return whole, err
}

// follow takes over the leader's high watermark and log start as far as this log reaches. A high watermark never goes back.
func (p *Partition) follow(l *storage.Log, leaderHW, leaderStart int64) (ev hwEvent, err error) {
	p.mu.Lock()
	if hw := min(leaderHW, l.DurableEndOffset()); hw > l.HighWatermark() {
		r := p.role.Load()
		ev = hwEvent{moved: true, hw: l.SetHighWatermark(hw), tenure: r.tenure, log: l}
	}
	p.mu.Unlock()
	if start := min(leaderStart, l.HighWatermark()); start > l.StartOffset() {
		err = l.AdvanceStartOffset(start)
	}
	return ev, err
}

// truncate cuts the log back to where it agrees with the leader's, or nearer to it, after the leader said that its largest epoch not after
// ours is epoch and ends at end (KIP-101, KIP-279, KIP-595: getOffsetTruncationState).
func (f *fetcher) truncate(s *fetchState, l *storage.Log, epoch int32, end int64) error {
	leo := l.EndOffset()
	to := min(end, leo)
	own, ownEnd := l.EpochEndOffset(epoch)
	switch {
	case end < 0:
		to = l.HighWatermark()
	case own < 0 || ownEnd < 0: // no epochs that old here: the leader's end is all there is to go by
	case own == epoch:
		to = min(end, ownEnd, leo)
	default:
		to = min(ownEnd, leo) // we lack that epoch: go to the end of the one before it and ask again
	}
	if to < leo {
		e := f.log.Info()
		if to < l.HighWatermark() {
			e = f.log.Warn() // only after an unclean election
		}
		e.Stringer("partition", s.p.tp).Int64("offset", to).Int64("log_end_offset", leo).Int64("high_watermark", l.HighWatermark()).
			Int32("diverging_epoch", epoch).Int64("diverging_end", end).Msg("log diverges from the leader's, truncating")
		if err := l.TruncateTo(to); err != nil {
			return err
		}
	} else if own >= 0 && l.LatestEpoch() > own {
		// The records agree, but this broker led in an epoch, without records, that the leader does not know. Assigning the epoch of the
		// records again drops the later one; otherwise the leader would answer the same for ever.
		start := l.StartOffset()
		if own > 0 {
			_, start = l.EpochEndOffset(own - 1)
		}
		if err := l.AssignEpoch(own, start); err != nil {
			return err
		}
	}
	s.offset = l.EndOffset()
	return nil
}

// relocate finds a fetch offset after OFFSET_OUT_OF_RANGE: the leader's log ends before ours (after an unclean election), or begins after it.
func (f *fetcher) relocate(s *fetchState) error {
	end, err := f.leaderOffset(s, LatestOffset)
	if err != nil {
		return err
	}
	l := s.p.Log()
	if end < l.EndOffset() {
		return s.p.asFollower(s.epoch, func(l *storage.Log) error {
			f.log.Warn().Stringer("partition", s.p.tp).Int64("log_end_offset", l.EndOffset()).Int64("leader_log_end_offset", end).
				Msg("leader's log ends before this one, truncating")
			if err := l.TruncateTo(max(end, l.StartOffset())); err != nil {
				return err
			}
			s.offset = l.EndOffset()
			return nil
		})
	}
	start, err := f.leaderOffset(s, EarliestOffset)
	if err != nil {
		return err
	}
	return s.p.asFollower(s.epoch, func(l *storage.Log) error {
		if start > l.EndOffset() {
			f.log.Warn().Stringer("partition", s.p.tp).Int64("log_end_offset", l.EndOffset()).Int64("leader_log_start_offset", start).
				Msg("leader's log begins after this one ends, starting anew")
			if err := l.TruncateFullyTo(start); err != nil {
				return err
			}
		}
		s.offset = l.EndOffset()
		return nil
	})
}

// leaderOffset asks the leader for its log end (LatestOffset) or log start (EarliestOffset).
func (f *fetcher) leaderOffset(s *fetchState, timestamp int64) (int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version = 9
	if f.m.cfg.FetchVersion < 17 {
		req.Version = 5
	}
	req.ReplicaID = f.m.cfg.BrokerID
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.CurrentLeaderEpoch, p.Timestamp = s.p.tp.Partition, s.epoch, timestamp
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic, t.Partitions = s.p.tp.Topic, append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	r, release, err := f.exchange(req, false)
	if err != nil {
		return -1, err
	}
	defer release()
	resp := r.(*kmsg.ListOffsetsResponse)
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return -1, fmt.Errorf("broker %d answered ListOffsets of %s without that partition", f.leader, s.p.tp)
	}
	a := resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(a.ErrorCode); err != nil {
		return -1, fmt.Errorf("offset of %s at broker %d: %w", s.p.tp, f.leader, err)
	}
	return a.Offset, nil
}
