package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"ottla/storage/vfs"
)

// loadOptions are what the log directory's checkpoints say about a log.
type loadOptions struct {
	clean         bool
	recoveryPoint int64
	start         int64 // -1: not checkpointed
	highWatermark int64
	recovering    chan struct{} // a slot is taken to recover: num.recovery.threads.per.data.dir
}

// newLog makes the Log of a directory, without segments.
func newLog(m *Manager, dir *logDir, tp TopicPartition, path string) *Log {
	l := &Log{tp: tp, m: m}
	l.home.Store(dir)
	l.where.Store(&path)
	l.cfg.Store(m.topicConfig(tp.Topic))
	l.firstUnstable.Store(noOffset)
	l.firstHeld.Store(noOffset)
	return l
}

// createLog makes the directory of a new log and nothing in it: see Log.writePendingLocked.
func createLog(m *Manager, dir *logDir, tp TopicPartition, name string, topicID [16]byte) (*Log, error) {
	l := newLog(m, dir, tp, join(dir.path, name))
	if err := l.fs().Mkdir(l.path(), 0o755); err != nil {
		return nil, err
	}
	if topicID != ([16]byte{}) {
		l.topicID.Store(&topicID)
		l.unwrittenMeta = true
	}
	l.setSegments([]*segment{l.futureSegment(0, l.cfg.Load())})
	l.unsyncedName, l.unsyncedDir = true, true
	return l, nil
}

// futureSegment is a segment whose .log the first append creates.
func (l *Log) futureSegment(base int64, cfg *LogConfig) *segment {
	s := newSegment(l, base, cfg)
	s.unsyncedName = true
	s.aborted.Store(&noneAborted)
	return s
}

// loadLog opens the log in a directory, finishing what was interrupted, and recovers it if need be.
func loadLog(m *Manager, dir *logDir, tp TopicPartition, path string, o loadOptions) (*Log, error) {
	l := newLog(m, dir, tp, path)
	files, err := l.settleFiles()
	if err != nil {
		return nil, err
	}
	if err := l.loadMetadata(); err != nil {
		return nil, err
	}
	epochsMissing, err := l.loadEpochs()
	if err != nil {
		return nil, err
	}
	if err := l.loadSegments(files, o.start); err != nil {
		return nil, err
	}
	if err := l.findEnd(&o, files); err != nil {
		return nil, err
	}
	end := l.EndOffset()
	l.start.Store(max(o.start, l.segmentList()[0].base))
	if end < l.start.Load() {
		l.logger().Warn().Int64("log_end_offset", end).Int64("log_start_offset", l.start.Load()).
			Msg("the log ends before its start offset: all of it is dropped")
		start := l.start.Load()
		if err := l.startAnewLocked(start); err != nil {
			return nil, err
		}
		l.hw.Store(start)
		return l, nil
	}
	if epochsMissing && end > l.start.Load() {
		if err := l.rebuildEpochs(); err != nil {
			return nil, err
		}
	}
	changed := l.epochs.truncateFromEnd(end)
	if l.epochs.truncateFromStart(l.start.Load()) || changed {
		if err := l.writeEpochsLocked(); err != nil {
			return nil, err
		}
	}
	l.hw.Store(min(max(o.highWatermark, l.start.Load()), end))
	l.noteUnstableLocked()
	return l, nil
}

// segmentFile is a .log file as the directory listing shows it.
type segmentFile struct {
	base       int64
	size       int64
	modifiedMs int64
}

// dirFiles is what a partition directory holds once it is settled.
type dirFiles struct {
	logs       []segmentFile
	txnIndexes []int64
}

func (d *dirFiles) has(base int64) bool {
	_, found := slices.BinarySearchFunc(d.logs, base, func(f segmentFile, b int64) int { return int(min(max(f.base-b, -1), 1)) })
	return found
}

// settleFiles finishes or undoes what a crash interrupted: removes what was marked deleted and unfinished copies, completes swaps whose output is
// complete (LogLoader.load). Files it does not know stay.
func (l *Log) settleFiles() (dirFiles, error) {
	files, swaps, err := l.listFiles()
	if err != nil || len(swaps) == 0 {
		return files, err
	}
	if err := l.finishSwaps(swaps, files.logs); err != nil {
		return files, err
	}
	files, _, err = l.listFiles()
	return files, err
}

// listFiles reads the directory and removes what has no use. swaps are the bases of complete outputs of compaction.
func (l *Log) listFiles() (files dirFiles, swaps []int64, err error) {
	entries, err := l.fs().ReadDir(l.path())
	if err != nil {
		return files, nil, err
	}
	l.snapshots = l.snapshots[:0]
	var orphans []string            // index files, by name: removed unless their log is there
	minCleaned := int64(noOffset)   // an unfinished compaction's first output
	var allSwaps, removals []string // names
	for _, e := range entries {
		name := e.Name()
		base, suffix, ok := parseOffsetName(name)
		switch {
		case name == epochFileName+".tmp" || name == partitionMetadataName+".tmp":
			removals = append(removals, name)
		case !ok || e.IsDir():
		case strings.HasSuffix(suffix, deletedSuffix), strings.HasSuffix(suffix, cutSuffix), suffix == snapshotSuffix+".tmp":
			removals = append(removals, name)
		case strings.HasSuffix(suffix, cleanedSuffix):
			minCleaned = min(minCleaned, base)
			removals = append(removals, name)
		case strings.HasSuffix(suffix, swapSuffix):
			allSwaps = append(allSwaps, name)
		case suffix == logSuffix:
			info, err := e.Info()
			if err != nil {
				return files, nil, err
			}
			files.logs = append(files.logs, segmentFile{base, info.Size(), info.ModTime().UnixMilli()})
		case suffix == indexSuffix, suffix == timeIndexSuffix, suffix == txnIndexSuffix:
			orphans = append(orphans, name)
		case suffix == snapshotSuffix:
			l.snapshots = append(l.snapshots, base)
		}
	}
	slices.SortFunc(files.logs, func(a, b segmentFile) int { return int(min(max(a.base-b.base, -1), 1)) })
	slices.Sort(l.snapshots)
	for _, name := range allSwaps {
		base, suffix, _ := parseOffsetName(name)
		switch {
		case base >= minCleaned: // split output of which a later part is not complete: the originals are all there
			removals = append(removals, name)
		case suffix == logSuffix+swapSuffix:
			swaps = append(swaps, base)
		}
	}
	for _, name := range allSwaps { // Kafka renames the .log first: the rest of a swap that is done
		base, suffix, _ := parseOffsetName(name)
		if base >= minCleaned || suffix == logSuffix+swapSuffix || slices.Contains(swaps, base) {
			continue
		}
		if files.has(base) {
			if err := l.fs().Rename(join(l.path(), name), join(l.path(), strings.TrimSuffix(name, swapSuffix))); err != nil {
				return files, nil, err
			}
			orphans = append(orphans, strings.TrimSuffix(name, swapSuffix))
		} else {
			removals = append(removals, name)
		}
	}
	for _, name := range orphans {
		base, suffix, _ := parseOffsetName(name)
		has := files.has(base)
		if !has && len(swaps) == 0 {
			removals = append(removals, name)
		} else if has && suffix == txnIndexSuffix {
			files.txnIndexes = append(files.txnIndexes, base)
		}
	}
	for _, name := range removals {
		if err := ignoreNotExist(l.fs().Remove(join(l.path(), name))); err != nil {
			return files, nil, err
		}
	}
	slices.Sort(swaps)
	return files, swaps, nil
}

// finishSwaps puts complete outputs of compaction in the place of the segments that they replace, which are those from the
// output's base to the last offset in it.
func (l *Log) finishSwaps(swaps []int64, logs []segmentFile) error {
	for _, base := range swaps {
		s := newSegment(l, base, l.cfg.Load())
		s.state = swapSuffix
		st, err := l.fs().Stat(s.data.path())
		if err != nil {
			return err
		}
		s.size.Store(st.Size())
		next := base + 1
		if err := s.eachBatch(base, func(b *batchInfo, _ *scanner) error { next = b.next(); return nil }); err != nil {
			return fmt.Errorf("finish the compaction of %s: %w", l.tp, err)
		}
		for _, f := range logs {
			if f.base >= base && f.base < next {
				old := newSegment(l, f.base, l.cfg.Load())
				if err := old.remove(); err != nil {
					return err
				}
			}
		}
		s.close()
		s.removed = false
		if err := s.rename(""); err != nil {
			return err
		}
		l.logger().Info().Int64("segment", base).Int64("next_offset", next).Msg("finished an interrupted compaction")
	}
	return l.fs().SyncDir(l.path())
}

// loadMetadata reads partition.metadata. A missing or damaged one is written again when the controller names the topic's id.
func (l *Log) loadMetadata() error {
	path := join(l.path(), partitionMetadataName)
	data, err := vfs.ReadFile(l.fs(), path, 4096)
	if err != nil {
		return ignoreNotExist(err)
	}
	id, err := decodePartitionMetadata(data)
	if err != nil {
		l.logger().Warn().Err(err).Str("file", path).Msg("ignoring a damaged partition.metadata")
		return nil
	}
	l.topicID.Store(&id)
	return nil
}

// loadEpochs reads leader-epoch-checkpoint. missing says that the epochs must be read from the batches.
func (l *Log) loadEpochs() (missing bool, err error) {
	path := join(l.path(), epochFileName)
	data, err := vfs.ReadFile(l.fs(), path, maxSmallFile)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	entries, err := decodeEpochs(data)
	if err != nil {
		l.logger().Warn().Err(err).Str("file", path).Msg("ignoring a damaged leader epoch checkpoint")
		return true, nil
	}
	if len(entries) > 0 {
		l.epochs.set(entries)
	}
	return len(data) == 0, nil
}

// rebuildEpochs reads the leader epochs from the headers of all batches.
func (l *Log) rebuildEpochs() error {
	for _, s := range l.segmentList() {
		err := s.eachBatch(s.base, func(b *batchInfo, _ *scanner) error {
			if b.leaderEpoch > l.epochs.latest() {
				l.epochs.assign(b.leaderEpoch, b.base)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if l.epochs.latest() < 0 {
		return nil
	}
	l.logger().Info().Int32("leader_epoch", l.epochs.latest()).Msg("read the leader epochs from the log")
	return l.writeEpochsLocked()
}

// loadSegments makes the segments of the .log files, or an empty one at the log start if there are none.
func (l *Log) loadSegments(files dirFiles, start int64) error {
	cfg := l.cfg.Load()
	segs := make([]*segment, 0, max(1, len(files.logs)))
	for _, f := range files.logs {
		s := newSegment(l, f.base, cfg)
		s.size.Store(f.size)
		s.modifiedMs.Store(f.modifiedMs)
		if !slices.Contains(files.txnIndexes, f.base) {
			s.aborted.Store(&noneAborted)
		}
		segs = append(segs, s)
	}
	if len(segs) == 0 {
		if start > 0 {
			s, err := l.createSegment(start, cfg) // its name is all that says so
			if err != nil {
				return err
			}
			segs = append(segs, s)
		} else {
			segs = append(segs, l.futureSegment(0, cfg))
		}
		l.unsyncedDir = true
	}
	l.setSegments(segs)
	return nil
}

// noneAborted is shared by all segments without a .txnindex.
var noneAborted = []abortedTxn{}

// findEnd determines the log end, by recovery if the last stop was not clean or if something is not as a clean stop leaves it.
func (l *Log) findEnd(o *loadOptions, files dirFiles) error {
	l.recoveryPoint.Store(o.recoveryPoint)
	l.writtenPoint.Store(o.recoveryPoint)
	why, from := error(nil), o.recoveryPoint
	if o.clean {
		if why = l.checkTxnIndexes(files); why == nil {
			if why = l.readEnd(); why == nil {
				return l.loadProducersClean()
			}
		}
		var damaged *CorruptionError
		if !errors.As(why, &damaged) {
			return why
		}
		from = min(from, l.damagedFrom(damaged.Path))
	}
	if why != nil {
		l.logger().Warn().Err(why).Msg("the log is damaged though it was closed, recovering it")
	}
	if o.recovering != nil {
		o.recovering <- struct{}{}
		defer func() { <-o.recovering }()
	}
	return l.recover(from)
}

// damagedFrom is the base of the segment that a file belongs to, 0 if the name does not say.
func (l *Log) damagedFrom(path string) int64 {
	base, _, _ := parseOffsetName(path[strings.LastIndexByte(path, '/')+1:])
	return base
}

// checkTxnIndexes reads the transaction indexes that exist: nothing would tell later that one is damaged.
func (l *Log) checkTxnIndexes(files dirFiles) error {
	for _, base := range files.txnIndexes {
		segs := l.segmentList()
		s := segs[floorSegment(segs, base)]
		if _, err := s.abortedTxns(); err != nil {
			return err
		}
		s.aborted.Store(nil)
	}
	return nil
}

// readEnd reads the last segment from its last index entry on, checking each batch, and publishes the log end.
func (l *Log) readEnd() error {
	s := l.active()
	end := s.base
	if s.size.Load() > 0 {
		index, err := s.indexes()
		if err != nil {
			return err
		}
		defer s.dropIndexes()
		pos, err := index.position(noOffset / 2)
		if err != nil {
			return err
		}
		file, err := s.data.acquire(false)
		if err != nil {
			return err
		}
		defer func() {
			file.release()
			s.closeFiles()
		}()
		sc := newScanner(file.f, s.size.Load(), &lookupBuffers)
		defer sc.close()
		for {
			b, ok, err := sc.header(pos)
			if err == nil && ok {
				var p []byte
				if p, err = sc.whole(&b); err == nil {
					err = verify(&b, p)
				}
			}
			if err == nil && ok && b.base < end {
				err = fmt.Errorf("offset %d after %d", b.base, end-1)
			}
			if err != nil {
				return s.scanError(pos, err)
			}
			if !ok {
				break
			}
			end, pos = b.next(), b.end()
		}
	}
	l.end.publish(s, s.size.Load(), end)
	l.recoveryPoint.Store(end)
	l.durable.Store(end)
	return nil
}

// loadProducersClean loads the producer state after a clean stop: a log without any snapshot has no producers.
func (l *Log) loadProducersClean() error {
	end := l.EndOffset()
	if err := l.reloadProducersLocked(end, false); err != nil {
		return err
	}
	bases := make(map[int64]bool, len(l.segmentList()))
	for _, s := range l.segmentList() {
		bases[s.base] = true
	}
	newest := int64(-1)
	if n := len(l.snapshots); n > 0 {
		newest = l.snapshots[n-1]
	}
	return l.dropSnapshotsLocked(func(off int64) bool { return off > end || off != newest && !bases[off] })
}
