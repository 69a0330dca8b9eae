package storage

import (
	"maps"
	"math"
	"slices"

	"ottla/wire/batch"
)

// producerState is what a log knows of its producers: for idempotence the last batches of each, for transactions
// the open ones and those whose markers are not yet below the high watermark (ProducerStateManager). It follows from the log's batches;
// snapshots only save replaying them. Guarded by Log.mu. Its maps are made when there is something to keep.
type producerState struct {
	entries map[int64]*producerEntry
	// ongoing are the open transactions, by first offset.
	ongoing []openTxn
	// unreplicated are the ended ones whose markers the high watermark has not passed, by first offset: they hold the last stable offset too.
	unreplicated []completedTxn
	verification map[int64]*VerificationGuard
}

type openTxn struct {
	producerID  int64
	firstOffset int64
}

// completedTxn is a transaction whose marker is in the log.
type completedTxn struct {
	producerID  int64
	firstOffset int64
	lastOffset  int64 // of the marker
	aborted     bool
}

// noOffset stands for "there is no such offset" where the smallest of several is wanted.
const noOffset = math.MaxInt64

// entry returns a producer's state to change, made if need be.
func (s *producerState) entry(producerID int64) *producerEntry {
	e := s.entries[producerID]
	if e == nil {
		if s.entries == nil {
			s.entries = make(map[int64]*producerEntry)
		}
		fresh := newProducerEntry()
		e = &fresh
		s.entries[producerID] = e
	}
	return e
}

// peek returns a copy of a producer's state.
func (s *producerState) peek(producerID int64) producerEntry {
	if e := s.entries[producerID]; e != nil {
		return *e
	}
	return newProducerEntry()
}

// apply notes a batch that is in the log. done is the transaction that it ended, if ended.
func (s *producerState) apply(v batch.View, m marker) (done completedTxn, ended bool) {
	id := v.ProducerID()
	if id < 0 {
		return completedTxn{}, false
	}
	if !v.IsControl() {
		if s.entry(id).applyData(v) {
			s.ongoing = append(s.ongoing, openTxn{id, v.BaseOffset()})
		}
		if s.verification != nil && v.IsTransactional() {
			delete(s.verification, id)
		}
		return completedTxn{}, false
	}
	if !m.ends {
		return completedTxn{}, false
	}
	if s.verification != nil {
		delete(s.verification, id)
	}
	first := s.entry(id).applyMarker(v, m.coordinatorEpoch)
	if first < 0 {
		return completedTxn{}, false
	}
	return completedTxn{producerID: id, firstOffset: first, lastOffset: v.LastOffset(), aborted: m.aborts}, true
}

// complete moves an ended transaction from the open ones to the unreplicated ones, and returns the last stable offset that its
// .txnindex entry records: where the next open transaction begins, or the offset after the marker.
func (s *producerState) complete(t completedTxn) (lastStableOffset int64) {
	s.ongoing = slices.DeleteFunc(s.ongoing, func(o openTxn) bool { return o.producerID == t.producerID })
	i, _ := slices.BinarySearchFunc(s.unreplicated, t.firstOffset, func(c completedTxn, off int64) int { return int(min(max(c.firstOffset-off, -1), 1)) })
	s.unreplicated = slices.Insert(s.unreplicated, i, t)
	if len(s.ongoing) > 0 {
		return s.ongoing[0].firstOffset
	}
	return t.lastOffset + 1
}

// replicated forgets the ended transactions whose markers lie below offset.
func (s *producerState) replicated(offset int64) {
	s.unreplicated = slices.DeleteFunc(s.unreplicated, func(c completedTxn) bool { return c.lastOffset < offset })
	if len(s.unreplicated) == 0 {
		s.unreplicated = nil
	}
}

// firstUnstable is the first offset of a transaction that is not over and replicated, noOffset if there is none.
func (s *producerState) firstUnstable() int64 {
	off := int64(noOffset)
	if len(s.ongoing) > 0 {
		off = s.ongoing[0].firstOffset
	}
	if len(s.unreplicated) > 0 {
		off = min(off, s.unreplicated[0].firstOffset)
	}
	return off
}

// firstUnreplicated is the smallest offset whose passing by the high watermark releases a transaction.
func (s *producerState) firstUnreplicated() int64 {
	off := int64(noOffset)
	for _, c := range s.unreplicated {
		off = min(off, c.lastOffset)
	}
	return off
}

// expire forgets producers that wrote nothing since before, unless they have a transaction open.
func (s *producerState) expire(before int64) (n int) {
	maps.DeleteFunc(s.entries, func(_ int64, e *producerEntry) bool {
		gone := e.lastTimestamp < before && e.txnFirstOffset < 0
		if gone {
			n++
		}
		return gone
	})
	if len(s.entries) == 0 {
		s.entries = nil
	}
	maps.DeleteFunc(s.verification, func(_ int64, g *VerificationGuard) bool { return g.createdMs < before })
	return n
}

// load replaces the state by a snapshot's. Producers older than expireBefore are left out.
func (s *producerState) load(snap []snapshotEntry, expireBefore int64) {
	*s = producerState{verification: s.verification}
	for _, x := range snap {
		if x.lastTimestamp < expireBefore && x.txnFirstOffset < 0 {
			continue
		}
		*s.entry(x.producerID) = x.producerEntry
		if x.txnFirstOffset >= 0 {
			s.ongoing = append(s.ongoing, openTxn{x.producerID, x.txnFirstOffset})
		}
	}
	slices.SortFunc(s.ongoing, func(a, b openTxn) int { return int(min(max(a.firstOffset-b.firstOffset, -1), 1)) })
}

// snapshot lists the state as a .snapshot file holds it, by producer id.
func (s *producerState) snapshot() []snapshotEntry {
	out := make([]snapshotEntry, 0, len(s.entries))
	for id, e := range s.entries {
		out = append(out, snapshotEntry{producerID: id, producerEntry: *e})
	}
	slices.SortFunc(out, func(a, b snapshotEntry) int { return int(min(max(a.producerID-b.producerID, -1), 1)) })
	return out
}
