package replication

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/storage"
)

// FetchRequest is a Fetch of a consumer (ReplicaID < 0) or a follower, its session resolved.
type FetchRequest struct {
	ReplicaID    int32 // -1 consumer, -2 debugging consumer
	ReplicaEpoch int64 // broker epoch of the follower, -1 unknown
	MaxWait      time.Duration
	MinBytes     int32
	MaxBytes     int32 // of the whole answer; ignored below version 3
	Isolation    int8  // 1: read_committed
	Version      int16 // from 11 on consumers may read from followers (KIP-392)
	Rack         string
	Partitions   []FetchPartition
	// Results is memory for the answer, to be reused between requests; may be nil.
	Results []FetchResult
}

// FetchPartition is one partition of a FetchRequest. Topic may alias the request's frame; it is empty if the topic id is unknown.
type FetchPartition struct {
	Topic              string
	TopicID            [16]byte // zero: asked by name
	Partition          int32
	FetchOffset        int64
	LogStartOffset     int64 // followers: theirs; -1 otherwise
	CurrentLeaderEpoch int32 // -1 unknown
	LastFetchedEpoch   int32 // -1 none
	MaxBytes           int32

	known *Partition // found by an earlier fetch of the session
}

// EpochEndOffset says where an epoch of the leader's log ends.
type EpochEndOffset struct {
	Epoch     int32
	EndOffset int64
}

// FetchResult is the answer for one partition. The offsets are -1 with an error. Who got it releases Records, if there are any.
type FetchResult struct {
	Err              error
	HighWatermark    int64
	LastStableOffset int64
	LogStartOffset   int64
	Records          *storage.Range  // nil: none
	Diverging        *EpochEndOffset // truncate and ask again; no records
	Aborted          []storage.AbortedTxn
	ReadCommitted    bool  // Aborted is to be sent, even if empty
	PreferredReplica int32 // -1 none; otherwise there are no records
	LeaderID         int32 // with NOT_LEADER_OR_FOLLOWER and FENCED_LEADER_EPOCH (KIP-951), else -1
	LeaderEpoch      int32
	Throttled        bool // the bytes count against the leader's replication quota
	Omit             bool // set by FetchContext.Update: an incremental session leaves the partition out of the answer

	// What the look rested on, for the watch that may follow it. at is nil if it failed before the log.
	at      *Partition
	role    *role
	end     int64 // of what could be read
	counted int64 // waitList.bytes before the look
}

var noResult = FetchResult{HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1, PreferredReplica: -1, LeaderID: -1, LeaderEpoch: -1}

// Size is the number of bytes of records.
func (r *FetchResult) Size() int {
	if r.Records == nil {
		return 0
	}
	return r.Records.Len()
}

// readBound is how far a fetch may read.
type readBound int8

const (
	toHighWatermark readBound = iota
	toLastStable
	toLogEnd
)

func (b readBound) end(l *storage.Log) int64 {
	switch b {
	case toLastStable:
		return l.LastStableOffset()
	case toLogEnd:
		return l.EndOffset()
	}
	return l.HighWatermark()
}

func (req *FetchRequest) bound() readBound {
	switch {
	case req.ReplicaID >= 0:
		return toLogEnd
	case req.Isolation == 1:
		return toLastStable
	}
	return toHighWatermark
}

// fetchRead is the state of one look at the partitions of a fetch.
type fetchRead struct {
	bytes int64 // of records
	now   bool  // answer without waiting: an error, a divergence, a preferred replica, the end of an older segment
	news  bool  // a follower does not know the high watermark or the log start
}

// Fetch reads the partitions and waits up to MaxWait for MinBytes to be there. The results are in the order of the request, in
// req.Results if that is large enough. A done ctx ends the wait early with what there is.
func (m *Manager) Fetch(ctx context.Context, req *FetchRequest) []FetchResult {
	if cap(req.Results) < len(req.Partitions) {
		req.Results = make([]FetchResult, len(req.Partitions))
	}
	res := req.Results[:len(req.Partitions)]
	maxBytes := min(req.MaxBytes, m.cfg.FetchMaxBytes)
	if req.Version < 3 {
		maxBytes = m.cfg.FetchMaxBytes
	}
	minBytes := int64(min(req.MinBytes, maxBytes))
	if req.ReplicaID >= 0 && m.deps.Metadata.Alive(req.ReplicaID) {
		m.heard.note(req.ReplicaID, m.now())
	}

	read := m.readAll(req, res, maxBytes, true)
	if read.now || read.bytes >= minBytes || req.MaxWait <= 0 || len(res) == 0 {
		return m.answer(req, res)
	}
	w := newFetchWaiter(len(res), req.MaxWait)
	defer w.release()
	if read.news {
		w.news(m.cfg.NewsDelay)
	}
	for {
		releaseAll(res) // a waiting fetch must not keep segments open
		w.left.Store(max(1, minBytes-read.bytes))
		w.watchAll(res, req.bound())
		var over bool
		select {
		case <-w.wake:
		case <-w.timer.C:
			over = true
		case <-ctx.Done():
			over = true
		case <-m.ctx.Done():
			over = true
		}
		w.unwatch()
		if read = m.readAll(req, res, maxBytes, false); over || read.now || read.bytes >= minBytes {
			return m.answer(req, res)
		}
	}
}

func releaseAll(res []FetchResult) {
	for i := range res {
		if r := res[i].Records; r != nil {
			r.Release()
			res[i].Records = nil
		}
	}
}

// answer notes what followers are told.
func (m *Manager) answer(req *FetchRequest, res []FetchResult) []FetchResult {
	if req.ReplicaID < 0 {
		return res
	}
	for i := range res {
		if r := &res[i]; r.Err == nil && r.role != nil {
			if f := r.role.follower(req.ReplicaID); f != nil {
				f.told.Store(r.HighWatermark)
				f.toldStart.Store(r.LogStartOffset)
			}
			if r.Throttled {
				m.leaderQuota.passed(r.Size())
			}
		}
	}
	return res
}

// readAll reads every partition once. arrived is set for the first look only, which counts for a follower's state.
func (m *Manager) readAll(req *FetchRequest, res []FetchResult, maxBytes int32, arrived bool) (read fetchRead) {
	limit, minOne := maxBytes, true
	pr := partitionRead{m: m, req: req, bound: req.bound(), arrived: arrived, at: m.now()}
	if req.ReplicaID >= 0 {
		pr.quota, _ = m.leaderQuota.allowed(pr.at)
	}
	for i := range req.Partitions {
		out := &res[i]
		pr.fp, pr.res, pr.now, pr.news = &req.Partitions[i], out, false, false
		pr.read(limit, minOne)
		if n := out.Size(); n > 0 {
			read.bytes += int64(n)
			minOne = false
			limit = max(0, limit-int32(n))
			if out.Throttled {
				pr.quota -= int64(n)
			}
		}
		read.now = read.now || pr.now || out.Err != nil || out.Diverging != nil || out.PreferredReplica >= 0
		read.news = read.news || pr.news
	}
	return read
}

// partitionRead is one partition of one look.
type partitionRead struct {
	m       *Manager
	req     *FetchRequest
	fp      *FetchPartition
	res     *FetchResult
	bound   readBound
	arrived bool
	at      time.Duration // on Manager's clock
	quota   int64         // bytes that throttled partitions may still read

	now  bool
	news bool
}

func (pr *partitionRead) read(limit int32, minOne bool) {
	*pr.res = noResult
	if err := pr.tryRead(limit, minOne); err != nil {
		if r := pr.res.Records; r != nil {
			r.Release()
		}
		role := pr.res.role
		*pr.res = noResult
		pr.res.Err = err
		if code := codeOf(err); role != nil && (code == kerr.NotLeaderForPartition.Code || code == kerr.FencedLeaderEpoch.Code) {
			pr.res.LeaderID, pr.res.LeaderEpoch = role.leaderID, role.leaderEpoch
		}
	}
}

func (pr *partitionRead) tryRead(limit int32, minOne bool) error {
	fp, req := pr.fp, pr.req
	if fp.Topic == "" && req.Version >= 13 {
		return fmt.Errorf("topic id %x: %w", fp.TopicID, kerr.UnknownTopicID)
	}
	p := fp.known
	if p == nil || p.gone.Load() {
		var err error
		if p, err = pr.m.hosted(fp.Topic, fp.Partition); err != nil {
			return err
		}
	}
	r := p.role.Load()
	pr.res.role = r
	leaderOnly := req.ReplicaID >= 0 || req.Version < 11
	epoch := fp.CurrentLeaderEpoch
	if req.ReplicaID < 0 && r.leader && epoch >= r.since && epoch < r.leaderEpoch {
		epoch = r.leaderEpoch // it led then as it does now: nothing that a consumer has read can have changed
	}
	l, err := p.readable(r, epoch, leaderOnly)
	if err != nil {
		if req.movedAway(r, fp) {
			return p.notLeading(r)
		}
		return err
	}
	if fp.TopicID != ([16]byte{}) && l.TopicID() != fp.TopicID {
		return fmt.Errorf("%s has topic id %x, not %x: %w", p.tp, l.TopicID(), fp.TopicID, kerr.InconsistentTopicID)
	}
	var f *follower
	if req.ReplicaID >= 0 {
		if f = r.follower(req.ReplicaID); f == nil {
			return p.strangerError(fp, req.ReplicaID)
		}
	} else if r.leader && req.Version >= 11 && pr.m.cfg.RackAware && req.Rack != "" {
		if id := p.preferredReplica(r, l, req.Rack, fp.FetchOffset); id >= 0 {
			pr.res.PreferredReplica = id
			pr.offsets(l)
			return nil
		}
	}
	pr.res.at, pr.res.counted = p, p.waits.bytes.Load()
	start, end := l.StartOffset(), l.EndOffset()
	if fp.LastFetchedEpoch >= 0 {
		if fp.FetchOffset < start {
			return outOfRange(p, fp.FetchOffset, start, end)
		}
		epoch, epochEnd := l.EpochEndOffset(fp.LastFetchedEpoch)
		if epoch < 0 || epochEnd < 0 {
			return fmt.Errorf("%s: epoch %d is unknown and so are all before it: %w", p.tp, fp.LastFetchedEpoch, kerr.OffsetOutOfRange)
		}
		if epoch < fp.LastFetchedEpoch || epochEnd < fp.FetchOffset {
			pr.offsets(l)
			pr.res.Diverging = &EpochEndOffset{Epoch: epoch, EndOffset: epochEnd}
			return nil
		}
	}
	if fp.FetchOffset < start || fp.FetchOffset > end {
		return outOfRange(p, fp.FetchOffset, start, end)
	}
	if f != nil {
		if pr.arrived {
			p.followerFetched(r, f, l, fp, req.ReplicaEpoch, pr.at)
		}
		pr.news = l.HighWatermark() > f.told.Load() || start > f.toldStart.Load()
	}
	pr.offsets(l)
	pr.res.end = pr.bound.end(l)
	if f != nil && p.throttledAtLeader(r, l, req.ReplicaID) {
		pr.res.Throttled = true
		if pr.quota <= 0 {
			pr.res.at = nil // what is there to read must not end the wait
			return nil
		}
		limit = int32(min(int64(limit), pr.quota))
	}
	if fp.FetchOffset < pr.res.end && (limit > 0 || minOne) {
		if err := pr.records(l, limit, minOne); err != nil {
			return err
		}
	}
	if now := p.role.Load(); now != r && (now.leaderEpoch != r.leaderEpoch || now.leader != r.leader) {
		// The log may have been truncated and written anew under the read.
		if leaderOnly {
			return p.notLeading(now)
		}
	}
	return nil
}

func (pr *partitionRead) offsets(l *storage.Log) {
	// In this order each value is at most the next: start, last stable, high watermark.
	pr.res.ReadCommitted = pr.bound == toLastStable
	pr.res.HighWatermark = l.HighWatermark()
	pr.res.LastStableOffset = min(l.LastStableOffset(), pr.res.HighWatermark)
	pr.res.LogStartOffset = l.StartOffset()
}

// records reads up to limit bytes.
func (pr *partitionRead) records(l *storage.Log, limit int32, minOne bool) error {
	fp, end := pr.fp, pr.res.end
	rng, err := l.Read(fp.FetchOffset, int(min(fp.MaxBytes, limit)), end, minOne)
	if err != nil {
		return err
	}
	if rng == nil {
		return nil
	}
	if rng.Len() == 0 {
		rng.Release()
		return nil
	}
	pr.res.Records = rng
	// More is there, beyond a limit or in the next segment: waiting would not bring it.
	pr.now = rng.NextOffset() < end
	if pr.bound == toLastStable {
		// Without the list the reader would take aborted records for committed ones.
		if pr.res.Aborted, err = l.AbortedTransactions(fp.FetchOffset, rng.NextOffset()); err != nil {
			pr.res.Records = nil
			rng.Release()
			return err
		}
	}
	return nil
}

// movedAway says that a consumer asks with the epoch of a former leader, this broker, and can be told the new one. It gets
// NOT_LEADER_OR_FOLLOWER where Kafka says FENCED_LEADER_EPOCH: franz-go follows the hint with that error only (KIP-951), and else asks around for
// as long as other brokers do not know better, a second at a time. The Java client and librdkafka take both alike.
func (req *FetchRequest) movedAway(r *role, fp *FetchPartition) bool {
	return req.ReplicaID < 0 && req.Version >= 16 && !r.leader && !r.offline && r.leaderID >= 0 && fp.CurrentLeaderEpoch >= 0 && fp.CurrentLeaderEpoch < r.leaderEpoch
}

func outOfRange(p *Partition, offset, start, end int64) error {
	return fmt.Errorf("%s: offset %d is outside [%d, %d]: %w", p.tp, offset, start, end, kerr.OffsetOutOfRange)
}

// strangerError refuses a follower that the assignment as known here does not name; it may know a newer one.
func (p *Partition) strangerError(fp *FetchPartition, replica int32) error {
	code := kerr.NotLeaderForPartition
	if fp.CurrentLeaderEpoch >= 0 {
		code = kerr.UnknownLeaderEpoch
	}
	return fmt.Errorf("%s: broker %d is not a replica as far as its leader knows: %w", p.tp, replica, code)
}
