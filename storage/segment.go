package storage

import (
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// segment is one .log file and the files that go with it. The last segment of a log is the active one, which grows.
//
// size is the number of bytes that are there for readers; whatever the file holds after them is not part of the log. The
// fields below it that are not atomic belong to Log.mu, or to segment.mu where noted.
type segment struct {
	log  *Log
	base int64
	size atomic.Int64

	data    lazyFile
	index   atomic.Pointer[segmentIndex] // nil until used
	aborted atomic.Pointer[[]abortedTxn] // nil until used

	// mu guards opening, renaming and replacing the segment's files. It is held over those system calls only, never over reading or
	// writing. Order: Log.mu, segmentIndex.mu, segment.mu.
	mu      sync.Mutex
	state   string // appended to the files' names: deletedSuffix, cleanedSuffix or swapSuffix; guarded by mu
	removed bool   // the files are gone or about to be; guarded by mu

	createdMs    int64
	modifiedMs   atomic.Int64 // the file's modification time as loaded; of the last append since
	largestMs    atomic.Int64 // of a sealed segment, for retention; unknownTime until it is looked up
	firstBatchMs int64        // timestamp of the first batch; unknownTime until it is looked up
	jitterMs     int64        // taken off segment.ms
	sinceIndex   int64        // bytes appended since the last index entry
	unsyncedName bool         // the name may not be durable yet

	// What segmentIndex knew and the files do not, while the active segment's index is dropped.
	heldTimestamp, heldTimestampOffset atomic.Int64
}

// unknownTime marks a timestamp that was not looked up yet.
const unknownTime = math.MinInt64

func newSegment(l *Log, base int64, cfg *LogConfig) *segment {
	s := &segment{log: l, base: base, createdMs: time.Now().UnixMilli(), firstBatchMs: unknownTime}
	s.modifiedMs.Store(s.createdMs)
	s.largestMs.Store(unknownTime)
	s.heldTimestamp.Store(-1)
	s.data = lazyFile{seg: s, suffix: logSuffix}
	if j := min(cfg.SegmentJitterMs, cfg.maxSegmentMs()); j > 0 {
		s.jitterMs = rand.Int64N(j)
	}
	return s
}

// indexes returns the segment's indexes, loaded, and rebuilt if that shows them to be damaged.
func (s *segment) indexes() (*segmentIndex, error) {
	if x := s.index.Load(); x != nil {
		return x, nil
	}
	x := newSegmentIndex(s)
	if err := x.load(); err != nil {
		if !isCorrupt(err) {
			return nil, err
		}
		return s.rebuildIndexes(err)
	}
	if s.index.CompareAndSwap(nil, x) {
		return x, nil
	}
	return s.index.Load(), nil
}

// rebuildMu keeps two goroutines from rebuilding the same index. It is one for all logs: this happens after damage only.
var rebuildMu sync.Mutex

// rebuildIndexes makes both indexes from the batches of the segment.
func (s *segment) rebuildIndexes(why error) (*segmentIndex, error) {
	rebuildMu.Lock()
	defer rebuildMu.Unlock()
	if x := s.index.Load(); x != nil {
		return x, nil
	}
	s.log.logger().Warn().Err(why).Int64("segment", s.base).Msg("rebuilding the indexes of a segment")
	x := newSegmentIndex(s)
	if err := x.clear(); err != nil {
		return nil, err
	}
	r, err := s.data.acquire(false)
	if err != nil {
		return nil, err
	}
	defer r.release()
	sc := newScanner(r.f, s.size.Load(), &lookupBuffers)
	defer sc.close()
	interval := int64(s.log.cfg.Load().IndexIntervalBytes)
	since := int64(0)
	for pos := int64(0); ; {
		b, ok, err := sc.header(pos)
		if err != nil {
			return nil, s.scanError(pos, err)
		}
		if !ok {
			break
		}
		if since, err = x.follow(&b, since, interval); err != nil {
			return nil, err
		}
		pos = b.end()
	}
	if err := x.finish(); err != nil {
		return nil, err
	}
	s.index.Store(x)
	return x, nil
}

// follow adds what the indexes should say of a batch, given the bytes since the last entry, which it returns anew.
func (x *segmentIndex) follow(b *batchInfo, since, interval int64) (int64, error) {
	x.noteTimestamp(b.maxTimestamp, b.last)
	if since > interval {
		if err := x.add(b.last, b.pos); err != nil {
			return 0, err
		}
		since = 0
	}
	return since + b.size, nil
}

// scanError tells reading from damage, with the place.
func (s *segment) scanError(pos int64, err error) error {
	var re *readError
	if errors.As(err, &re) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return &CorruptionError{Path: s.data.path(), Position: pos, Reason: err.Error()}
}

// firstTimestamp is that of the first batch, -1 if it has none or there is none. The caller holds Log.mu.
func (s *segment) firstTimestamp() (int64, error) {
	if s.firstBatchMs != unknownTime {
		return s.firstBatchMs, nil
	}
	if s.size.Load() == 0 {
		return -1, nil
	}
	r, err := s.data.acquire(false)
	if err != nil {
		return 0, err
	}
	defer r.release()
	sc := newScanner(r.f, s.size.Load(), &lookupBuffers)
	defer sc.close()
	b, ok, err := sc.header(0)
	if err != nil {
		return 0, s.scanError(0, err)
	}
	s.firstBatchMs = -1
	if ok {
		s.firstBatchMs = b.maxTimestamp
	}
	return s.firstBatchMs, nil
}

// largestTimestamp is the largest timestamp of the segment, or its file's modification time if it has none: what retention goes by. That of a
// sealed segment is remembered, so that retention does not keep the indexes of all segments in memory.
func (s *segment) largestTimestamp(sealed bool) (int64, error) {
	if ts := s.largestMs.Load(); sealed && ts != unknownTime {
		return ts, nil
	}
	loaded := s.index.Load() != nil
	x, err := s.indexes()
	if err != nil {
		return 0, err
	}
	ts, _ := x.largest()
	if ts < 0 {
		ts = s.modifiedMs.Load()
	}
	if sealed {
		s.largestMs.Store(ts)
		if !loaded {
			s.dropIndexes()
		}
	}
	return ts, nil
}

// dropIndexes frees the memory and files of the indexes of a sealed segment. They are loaded again when they are used.
func (s *segment) dropIndexes() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.index.Swap(nil); x != nil {
		x.closeLocked()
	}
}

// files are the suffixes of all files of a segment.
var segmentFiles = [...]string{logSuffix, indexSuffix, timeIndexSuffix, txnIndexSuffix}

// rename changes what follows the names of the segment's files. The .log comes last, so that a crash in between leaves a log without
// an index rather than an index without a log. Open files stay open.
func (s *segment) rename(state string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	fsys, dir, name := s.log.fs(), s.log.path(), offsetName(s.base)
	for i := len(segmentFiles) - 1; i >= 0; i-- {
		suffix := segmentFiles[i]
		err := fsys.Rename(join(dir, name+suffix+s.state), join(dir, name+suffix+state))
		if suffix != logSuffix {
			err = ignoreNotExist(err)
		}
		if err != nil {
			return err
		}
	}
	s.state = state
	return nil
}

// remove unlinks the segment's files. Ranges in use keep their bytes.
func (s *segment) remove() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removed = true
	s.closeLocked()
	var errs []error
	for _, suffix := range segmentFiles {
		errs = append(errs, ignoreNotExist(s.log.fs().Remove(join(s.log.path(), offsetName(s.base)+suffix+s.state))))
	}
	return errors.Join(errs...)
}

// touch creates the .log if it does not exist.
func (s *segment) touch() error {
	r, err := s.data.acquire(true)
	if err != nil {
		return err
	}
	r.release()
	return nil
}

// closeLocked lets go of the open files.
func (s *segment) closeLocked() {
	s.data.closeLocked()
	if x := s.index.Load(); x != nil {
		x.closeLocked()
	}
}

// closeFiles closes the files that nobody has, until they are used again.
func (s *segment) closeFiles() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data.closeUnusedLocked()
	if x := s.index.Load(); x != nil {
		x.offsets.file.closeUnusedLocked()
		x.times.file.closeUnusedLocked()
	}
}

// close lets go of the open files and refuses to open them again.
func (s *segment) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removed = true
	s.closeLocked()
}
