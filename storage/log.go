package storage

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/storage/vfs"
)

// Log is one partition. Readers take no lock: they load the segment list and the log end atomically, and look at generation
// afterwards to see whether a truncation interfered. Everything that changes the log holds mu.
type Log struct {
	tp      TopicPartition
	m       *Manager
	home    atomic.Pointer[logDir] // a move to another log directory changes it
	where   atomic.Pointer[string] // the partition's directory; a deletion renames it
	cfg     atomic.Pointer[LogConfig]
	topicID atomic.Pointer[[16]byte]
	closed  atomic.Bool // deleted, or the manager is closed

	segments   atomic.Pointer[[]*segment] // never empty; the last one is active. Copied to change
	end        logEnd
	generation atomic.Uint32 // odd while a truncation is under way

	start         atomic.Int64
	hw            atomic.Int64
	hwMu          sync.Mutex   // leaf: high watermark changes, so that it never ends above the log end
	firstUnstable atomic.Int64 // of producerState, noOffset if none
	firstHeld     atomic.Int64 // producerState.firstUnreplicated

	durable       atomic.Int64 // everything below is on disk
	recoveryPoint atomic.Int64 // the same, with indexes: recovery need not look below it
	writtenPoint  atomic.Int64 // the recovery point that the checkpoint on disk has, at most; changes with logDir.ckptMu held
	onDurable     atomic.Pointer[func()]
	commitQueued  atomic.Bool // waiting in flusher.commits
	flushQueued   atomic.Bool // waiting in flusher.flushes
	lastFlushMs   atomic.Int64

	epochs epochCache
	recent atomic.Pointer[recentBatches] // nil until the first append

	// mu guards all changes. It is held over the write of an append but not over an fsync.
	mu             sync.Mutex
	producers      producerState
	snapshots      []int64 // offsets of the .snapshot files, ascending
	unsyncedSnaps  []int64 // those not yet synced
	unsyncedEpochs bool    // leader-epoch-checkpoint is not yet synced
	unsyncedMeta   bool    // neither is partition.metadata
	unwrittenMeta  bool    // partition.metadata is to be written before the first record
	unwrittenEpoch bool    // and so is leader-epoch-checkpoint, before the first record of the epoch
	unsyncedName   bool    // nor the directory's own name
	unsyncedDir    bool    // nor some name in it
	truncations    uint64  // counted for the cleaner, which must not undo one

	flushMu sync.Mutex // one flush at a time. Order: flushMu, moveMu, mu

	future  atomic.Pointer[Log] // the copy being made in another log directory; changes with flushMu held. Futures have none
	moveMu  sync.Mutex          // held over a step of that copy, so that a truncation does not come between reading and writing
	stalled atomic.Bool         // of a future log: an error ended the mover's work on it
}

// logEnd is the log end offset and the size of the active segment at that offset, which readers need as a pair: a
// sequence lock. Writers hold Log.mu.
type logEnd struct {
	seq    atomic.Uint32 // odd while it changes
	offset atomic.Int64
}

// publish sets the log end offset together with the size of the active segment.
func (e *logEnd) publish(active *segment, size, offset int64) {
	e.seq.Add(1)
	active.size.Store(size)
	e.offset.Store(offset)
	e.seq.Add(1)
}

// load returns the log end offset and the size that a segment had at that moment.
func (e *logEnd) load(s *segment) (offset, size int64) {
	for {
		seq := e.seq.Load()
		offset, size = e.offset.Load(), s.size.Load()
		if seq&1 == 0 && e.seq.Load() == seq {
			return offset, size
		}
	}
}

func (l *Log) fs() vfs.FS   { return l.m.cfg.FS }
func (l *Log) path() string { return *l.where.Load() }

// dir is the log directory that holds the log.
func (l *Log) dir() *logDir { return l.home.Load() }

func (l *Log) logger() *zerolog.Logger {
	log := l.m.log.With().Str("topic", l.tp.Topic).Int32("partition", l.tp.Partition).Str("dir", l.dir().path).Logger()
	return &log
}

func (l *Log) segmentList() []*segment { return *l.segments.Load() }

func (l *Log) setSegments(s []*segment) { l.segments.Store(&s) }

func (l *Log) active() *segment {
	s := l.segmentList()
	return s[len(s)-1]
}

// floorSegment is the index of the last segment that begins at or before offset, 0 if all begin after it.
func floorSegment(segs []*segment, offset int64) int {
	i, found := slices.BinarySearchFunc(segs, offset, func(s *segment, off int64) int {
		switch {
		case s.base < off:
			return -1
		case s.base > off:
			return 1
		}
		return 0
	})
	if !found && i > 0 {
		i--
	}
	return i
}

// TopicPartition names the log.
func (l *Log) TopicPartition() TopicPartition { return l.tp }

// TopicID is the topic's id, zero if it is not known.
func (l *Log) TopicID() [16]byte {
	if id := l.topicID.Load(); id != nil {
		return *id
	}
	return [16]byte{}
}

// SetTopicID stores the topic's id if the log has none. Errors: INCONSISTENT_TOPIC_ID if it has another one, KAFKA_STORAGE_ERROR.
func (l *Log) SetTopicID(id [16]byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old := l.TopicID(); old == id || id == ([16]byte{}) {
		return nil
	} else if old != ([16]byte{}) {
		return fmt.Errorf("%s has topic id %s, not %s: %w", l.tp, uuid(old), uuid(id), kerr.InconsistentTopicID)
	}
	if err := l.usable(); err != nil {
		return err
	}
	l.topicID.Store(&id)
	l.unwrittenMeta = true
	if l.EndOffset() == 0 {
		return nil
	}
	return l.writePendingLocked()
}

// writePendingLocked writes partition.metadata and leader-epoch-checkpoint if they are out of date. A new log is no more than a directory until it is
// written to: thousands of partitions are created at once, and what these files say of an empty log, the controller
// says again after a crash. They are not synced until the log is.
func (l *Log) writePendingLocked() error {
	if l.unwrittenMeta {
		if err := replaceFile(l.fs(), join(l.path(), partitionMetadataName), encodePartitionMetadata(l.TopicID()), false); err != nil {
			return l.failed("write partition.metadata", err)
		}
		l.unwrittenMeta, l.unsyncedMeta, l.unsyncedDir = false, true, true
	}
	if l.unwrittenEpoch {
		return l.writeEpochsLocked()
	}
	return nil
}

// Dir is the log directory that holds the log.
func (l *Log) Dir() string { return l.dir().path }

func (l *Log) deleteDelay() time.Duration {
	return time.Duration(l.cfg.Load().FileDeleteDelayMs) * time.Millisecond
}

// Config is the configuration in effect.
func (l *Log) Config() LogConfig { return *l.cfg.Load() }

// Size is the number of bytes in the log's segments.
func (l *Log) Size() (n int64) {
	for _, s := range l.segmentList() {
		n += s.size.Load()
	}
	return n
}

// SegmentCount is the number of segments.
func (l *Log) SegmentCount() int { return len(l.segmentList()) }

// Offline is why the log's directory is offline, nil if it is not.
func (l *Log) Offline() error { return l.dir().offline() }

// StartOffset is the first offset that may be read.
func (l *Log) StartOffset() int64 { return l.start.Load() }

// EndOffset is the log end offset: that of the next record.
func (l *Log) EndOffset() int64 { return l.end.offset.Load() }

// HighWatermark is the first offset that is not known to be replicated: consumers read below it.
func (l *Log) HighWatermark() int64 { return l.hw.Load() }

// LastStableOffset is the first offset that belongs to a transaction that is not over and replicated, at most the high watermark.
func (l *Log) LastStableOffset() int64 {
	hw := l.hw.Load() // first: transactions below it are in firstUnstable already, later ones do not matter
	return min(hw, l.firstUnstable.Load())
}

// DurableEndOffset is the log end offset that acknowledgements and the high watermark may count: EndOffset, unless
// flush.messages is 1, when it is the offset up to which everything is on disk.
func (l *Log) DurableEndOffset() int64 {
	if l.cfg.Load().FlushMessages == 1 {
		return l.durable.Load()
	}
	return l.EndOffset()
}

// OnDurable sets the function that is called, from any goroutine, when DurableEndOffset advances
// without an append: after an fsync with flush.messages=1. What recovery found and flush.messages wants on disk is asked for, too: without
// further appends nothing else would.
func (l *Log) OnDurable(f func()) {
	l.onDurable.Store(&f)
	if l.EndOffset()-l.durable.Load() >= l.cfg.Load().FlushMessages {
		l.dir().flusher.commit(l)
	}
}

// raiseDurable notes that the log is on disk up to end, and returns what tells those who wait for it. The caller holds flushMu.
func (l *Log) raiseDurable(end int64) (tell func()) {
	before := l.DurableEndOffset()
	l.durable.Store(max(l.durable.Load(), end))
	if f := l.onDurable.Load(); f != nil && l.DurableEndOffset() > before {
		return *f
	}
	return func() {}
}

// SetHighWatermark moves the high watermark, clamped to [start, end], and returns it. That it must not go back on a leader is
// the caller's rule.
func (l *Log) SetHighWatermark(off int64) (hw int64) {
	l.hwMu.Lock()
	hw = min(max(off, l.start.Load()), l.end.offset.Load())
	old := l.hw.Load()
	l.hw.Store(hw)
	l.hwMu.Unlock()
	if hw != old {
		l.dir().hwChanged.Store(true)
	}
	if l.firstHeld.Load() < hw {
		l.mu.Lock()
		l.noteUnstableLocked()
		l.mu.Unlock()
	}
	return hw
}

// clampHighWatermark brings it back into [start, end] after one of them moved.
func (l *Log) clampHighWatermark() {
	l.hwMu.Lock()
	defer l.hwMu.Unlock()
	if hw := min(max(l.hw.Load(), l.start.Load()), l.end.offset.Load()); hw != l.hw.Load() {
		l.hw.Store(hw)
		l.dir().hwChanged.Store(true)
	}
}

// noteUnstableLocked releases the transactions whose markers the high watermark has passed, and publishes what the producer state says
// about the last stable offset. Of what is appended it is called before the new end is published, so that no high watermark can have
// passed it unseen.
func (l *Log) noteUnstableLocked() {
	for {
		hw := l.hw.Load()
		l.producers.replicated(hw)
		l.firstUnstable.Store(max(l.producers.firstUnstable(), l.start.Load()))
		l.firstHeld.Store(l.producers.firstUnreplicated())
		if l.hw.Load() <= hw { // otherwise SetHighWatermark may have looked at the firstHeld of before
			return
		}
	}
}

// usable is nil if the log can be changed.
func (l *Log) usable() error {
	if l.closed.Load() {
		return &storageError{l.tp.String(), errClosed}
	}
	if err := l.dir().offline(); err != nil {
		return &storageError{fmt.Sprintf("log directory %s is offline", l.dir().path), err}
	}
	return nil
}

// failed takes the log directory offline because of an I/O error, unless the log was closed meanwhile and its files were taken away.
// Errors about what is in a file do not: the rest of the directory may be well.
func (l *Log) failed(what string, err error) error {
	if l.closed.Load() {
		return &storageError{fmt.Sprintf("%s: %s", l.tp, what), errClosed}
	}
	var se *storageError
	if errors.As(err, &se) || isCorrupt(err) {
		return fmt.Errorf("%s: %s: %w", l.tp, what, err)
	}
	err = &storageError{fmt.Sprintf("%s: %s", l.tp, what), err}
	l.dir().fail(err)
	return err
}

// LatestEpoch is the last leader epoch that the log knows, -1 if none.
func (l *Log) LatestEpoch() int32 { return l.epochs.latest() }

// EpochEndOffset is the largest epoch at or below the asked one and the offset where it ends, -1, -1 if unknown.
func (l *Log) EpochEndOffset(epoch int32) (foundEpoch int32, end int64) {
	return l.epochs.endOffset(epoch, l.EndOffset())
}

// AssignEpoch notes that a leader epoch begins at an offset: the log end when a leader takes over, before it appends. The file is
// written with the first record of the epoch.
func (l *Log) AssignEpoch(epoch int32, start int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.assignEpochLocked(epoch, start)
}

func (l *Log) assignEpochLocked(epoch int32, start int64) error {
	if epoch < 0 || start < 0 {
		return fmt.Errorf("assign epoch %d at offset %d to %s: %w", epoch, start, l.tp, kerr.InvalidRequest)
	}
	if err := l.usable(); err != nil {
		return err
	}
	if l.epochs.assign(epoch, start) {
		l.unwrittenEpoch = true
	}
	return nil
}

// writeEpochsLocked writes leader-epoch-checkpoint. It is not synced until the log is: what recovery needs of it, it can read from
// the batches past the recovery point.
func (l *Log) writeEpochsLocked() error {
	if err := replaceFile(l.fs(), join(l.path(), epochFileName), l.epochs.encode(), false); err != nil {
		return l.failed("write leader epochs", err)
	}
	l.unwrittenEpoch, l.unsyncedEpochs, l.unsyncedDir = false, true, true
	return nil
}

// ProducerInfo is one producer in DescribeProducers.
type ProducerInfo struct {
	ProducerID            int64
	Epoch                 int16
	LastSequence          int32 // -1 none
	LastTimestamp         int64
	CoordinatorEpoch      int32
	CurrentTxnFirstOffset int64 // -1 none
}

// Producers lists the producers whose state the log holds, by id.
func (l *Log) Producers() []ProducerInfo {
	l.mu.Lock()
	snap := l.producers.snapshot()
	l.mu.Unlock()
	out := make([]ProducerInfo, len(snap))
	for i := range snap {
		e := &snap[i]
		out[i] = ProducerInfo{ProducerID: e.producerID, Epoch: e.epoch, LastSequence: e.lastSeq(), LastTimestamp: e.lastTimestamp,
			CoordinatorEpoch: e.coordinatorEpoch, CurrentTxnFirstOffset: e.txnFirstOffset}
	}
	return out
}
