package storage

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"ottla/wire/batch"
)

// cleaning is the compaction of one log: a map of the latest offset of each key in the dirty part, then a copy of the segments from the
// start to the end of that part without what is superseded, swapped in group by group.
type cleaning struct {
	l           *Log
	ctx         context.Context
	throttle    func(ctx context.Context, n int) error
	cfg         *LogConfig
	truncations uint64 // of the log when it began: another number means that it must not swap
	dirty       int64  // first dirty offset
	end         int64  // first uncleanable offset
	offsets     *offsetMap
	filter      batchFilter
	stats       cleanStats
}

type cleanStats struct {
	bytesRead, bytesWritten int64
	records                 int64
}

// errCleaningAborted says that the log changed under the cleaner: it is not an error of the log.
var errCleaningAborted = errors.New("the log was truncated or deleted meanwhile")

// run cleans the log and returns the new first dirty offset.
func (c *cleaning) run(memory int64, load float64) (int64, error) {
	now := time.Now().UnixMilli()
	if err := c.buildMap(memory, load); err != nil {
		return 0, err
	}
	next := c.offsets.latest + 1
	if next <= c.dirty {
		return c.dirty, nil
	}
	c.filter = batchFilter{offsets: c.offsets, txns: newCleanedTxns(), lastOfProducer: c.l.lastRecords(), nowMs: now, retentionMs: c.cfg.DeleteRetentionMs}
	legacyHorizon := c.legacyHorizon()
	segs := c.l.segmentList()
	var sources []*segment
	for _, s := range segs[:len(segs)-1] {
		if s.base < next {
			sources = append(sources, s)
		}
	}
	for len(sources) > 0 {
		n := c.group(sources)
		if err := c.cleanGroup(sources[:n], legacyHorizon); err != nil {
			return 0, err
		}
		sources = sources[n:]
	}
	return next, nil
}

// legacyHorizon is the modification time from which on tombstones of old formats stay: that of the last clean segment less
// delete.retention.ms.
func (c *cleaning) legacyHorizon() int64 {
	segs := c.l.segmentList()
	i := floorSegment(segs, c.dirty)
	if segs[i].base >= c.dirty {
		i--
	}
	if i < 0 {
		return 0
	}
	return segs[i].modifiedMs.Load() - c.cfg.DeleteRetentionMs
}

// lastRecords lists the last batch of each producer that the log knows.
func (l *Log) lastRecords() map[int64]lastRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[int64]lastRecord, len(l.producers.entries))
	for id, e := range l.producers.entries {
		r := lastRecord{lastOffset: -1, epoch: e.epoch}
		if e.n > 0 {
			r.lastOffset = e.batches[e.n-1].lastOffset
		}
		out[id] = r
	}
	return out
}

// dirtySegments are those with offsets in [dirty, end); end is never inside the active segment.
func (c *cleaning) dirtySegments() []*segment {
	segs := c.l.segmentList()
	segs = segs[floorSegment(segs, c.dirty) : len(segs)-1]
	for i, s := range segs {
		if s.base >= c.end {
			return segs[:i]
		}
	}
	return segs
}

// buildMap reads the keys of the dirty part, as far as they fit the memory. Control batches and data of aborted transactions do not count.
func (c *cleaning) buildMap(memory int64, load float64) error {
	c.offsets = newOffsetMap(memory, load)
	c.offsets.latest = c.dirty - 1
	txns := newCleanedTxns()
	for _, s := range c.dirtySegments() {
		full, err := c.mapSegment(s, txns)
		if err != nil || full {
			return err
		}
	}
	return nil
}

var errMapFull = errors.New("the offset map is full")

func (c *cleaning) mapSegment(s *segment, txns *cleanedTxns) (full bool, err error) {
	if err := c.announce(s, txns); err != nil {
		return false, err
	}
	put := func(r *batch.Record) error {
		c.stats.records++
		if r.Key == nil || r.Offset < c.dirty {
			return nil
		}
		if !c.offsets.put(r.Key, r.Offset) {
			return errMapFull
		}
		c.offsets.latest = r.Offset
		return nil
	}
	err = c.read(s, c.dirty, func(b *batchInfo, p []byte) error {
		if b.base >= c.end {
			return errMapFull // not full, but no further
		}
		if b.magic != 2 {
			m, _, err := batch.NextLegacy(p)
			if err == nil {
				err = m.Walk(batch.DefaultDecompressLimit, put)
			}
			if err != nil {
				return err
			}
			c.offsets.latest = b.last
			return nil
		}
		v := batch.View(p)
		m, err := parseMarker(v)
		if err != nil {
			return err
		}
		discard := txns.batch(v, m)
		if !discard && !v.IsControl() {
			if err := v.Walk(put); err != nil {
				return err
			}
		}
		c.offsets.latest = b.last
		return nil
	})
	if errors.Is(err, errMapFull) {
		return true, nil
	}
	return false, err
}

// announce tells txns of the aborted transactions that have something in a segment.
func (c *cleaning) announce(s *segment, txns *cleanedTxns) error {
	segs := c.l.segmentList()
	next := c.l.EndOffset()
	if i := slices.Index(segs, s); i >= 0 && i+1 < len(segs) {
		next = segs[i+1].base
	}
	list, err := c.l.abortedIn(s.base, next)
	txns.add(list)
	return err
}

// read calls f with the batches of a segment from an offset on, whole and checked, at the pace that the throttle allows.
func (c *cleaning) read(s *segment, from int64, f func(*batchInfo, []byte) error) error {
	if s.size.Load() == 0 {
		return nil
	}
	pos := int64(0)
	if from > s.base {
		index, err := s.indexes()
		if err != nil {
			return err
		}
		if pos, err = index.position(from); err != nil {
			return err
		}
	}
	file, err := s.data.acquire(false)
	if err != nil {
		return err
	}
	defer file.release()
	sc := newScanner(file.f, s.size.Load(), &recoverBuffers)
	defer sc.close()
	for {
		b, ok, err := sc.header(pos)
		if err != nil {
			return s.scanError(pos, err)
		}
		if !ok {
			return nil
		}
		if b.last >= from {
			p, err := sc.whole(&b)
			if err == nil {
				err = verify(&b, p)
			}
			if err == nil {
				err = c.throttle(c.ctx, int(b.size))
			}
			if err == nil {
				c.stats.bytesRead += b.size
				err = f(&b, p)
			}
			switch {
			case err == nil:
			case errors.Is(err, errMapFull), c.ctx.Err() != nil:
				return err
			default:
				return s.scanError(pos, err)
			}
		}
		pos = b.end()
	}
}

// group is how many of the segments are merged into the next one: as many as stay within segment.bytes, the index's room, and the
// reach of a relative offset.
func (c *cleaning) group(segs []*segment) int {
	size, n := segs[0].size.Load(), 1
	for ; n < len(segs); n++ {
		last := c.end - 1
		if n+1 < len(segs) {
			last = segs[n+1].base - 1
		}
		if size+segs[n].size.Load() > int64(c.cfg.SegmentBytes) || last-segs[0].base > math.MaxInt32 {
			break
		}
		// An index entry stands for more than index.interval.bytes, so the room that it takes follows from the size.
		if interval := int64(max(c.cfg.IndexIntervalBytes, 1)); (size+segs[n].size.Load())/interval >= int64(c.cfg.indexEntries(timeEntrySize)) {
			break
		}
		size += segs[n].size.Load()
	}
	return n
}

// cleanGroup writes what stays of some segments to a new one and puts it in their place.
func (c *cleaning) cleanGroup(sources []*segment, legacyHorizon int64) error {
	out, err := c.newOutput(sources[0].base)
	if err != nil {
		return err
	}
	c.filter.changed = len(sources) > 1
	c.filter.txns.kept = nil
	for _, s := range sources {
		if err := c.announce(s, c.filter.txns); err != nil {
			return errors.Join(err, out.discard())
		}
		c.filter.keepLegacyNulls = s.modifiedMs.Load() > legacyHorizon
		err = c.read(s, s.base, func(b *batchInfo, p []byte) error {
			if b.magic != 2 {
				return out.add(b, p, c.filter.appendKeptLegacy)
			}
			return out.add(b, p, func(dst, p []byte) ([]byte, error) { return c.filter.appendKept(dst, batch.View(p)) })
		})
		if err != nil {
			return errors.Join(err, out.discard())
		}
	}
	if !c.filter.changed {
		return out.discard() // it would be the same again
	}
	if err := out.finish(c.filter.txns.kept, sources[len(sources)-1].modifiedMs.Load()); err != nil {
		return errors.Join(err, out.discard())
	}
	c.stats.bytesWritten += out.pos
	return c.l.replaceSegments(out.seg, sources, c.truncations)
}

// cleanOutput is a segment being written by compaction.
type cleanOutput struct {
	c     *cleaning
	seg   *segment
	index *segmentIndex
	file  *fileRef
	buf   []byte
	pos   int64 // in the file, of buf[0]
	since int64
}

func (c *cleaning) newOutput(base int64) (*cleanOutput, error) {
	s := newSegment(c.l, base, c.cfg)
	s.state = cleanedSuffix
	o := &cleanOutput{c: c, seg: s, index: newSegmentIndex(s)}
	if err := o.discard(); err != nil { // of an earlier attempt
		return nil, err
	}
	f, err := c.l.fs().OpenFile(s.data.path(), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	o.file = newFileRef(f, 2)
	s.data.ref.Store(o.file)
	s.index.Store(o.index)
	return o, nil
}

// add passes a batch through the filter.
func (o *cleanOutput) add(b *batchInfo, p []byte, keep func(dst, p []byte) ([]byte, error)) error {
	at := len(o.buf)
	var err error
	if o.buf, err = keep(o.buf, p); err != nil {
		return err
	}
	if len(o.buf) > at {
		kept, err := parseInfo(o.buf[at:], 0, int64(len(o.buf)-at))
		if err != nil {
			return fmt.Errorf("compaction made a batch that is none: %w", err)
		}
		kept.pos = o.pos + int64(at)
		if o.since, err = o.index.follow(&kept, o.since, int64(o.c.cfg.IndexIntervalBytes)); err != nil {
			return &readError{err}
		}
	}
	if len(o.buf) >= recoverBuffer {
		return o.write()
	}
	return nil
}

func (o *cleanOutput) write() error {
	if len(o.buf) == 0 {
		return nil
	}
	if err := o.c.throttle(o.c.ctx, len(o.buf)); err != nil {
		return err
	}
	if _, err := o.file.f.WriteAt(o.buf, o.pos); err != nil {
		return &readError{err}
	}
	o.pos += int64(len(o.buf))
	o.buf = o.buf[:0]
	return nil
}

// finish makes the output complete and durable, under names that a start takes for complete.
func (o *cleanOutput) finish(aborted []abortedTxn, modifiedMs int64) error {
	if err := o.write(); err != nil {
		return err
	}
	s, l := o.seg, o.c.l
	s.size.Store(o.pos)
	if err := o.index.finish(); err != nil {
		return err
	}
	if err := s.setAborted(aborted); err != nil {
		return err
	}
	if err := errors.Join(o.file.f.Sync(), o.index.sync(), s.syncAborted()); err != nil {
		return err
	}
	modified := time.UnixMilli(modifiedMs)
	if err := l.fs().Chtimes(s.data.path(), modified); err != nil {
		return err
	}
	s.modifiedMs.Store(modifiedMs)
	if err := l.fs().SyncDir(l.path()); err != nil {
		return err
	}
	if err := s.rename(swapSuffix); err != nil {
		return err
	}
	o.file.release()
	o.file = nil
	return l.fs().SyncDir(l.path())
}

// discard removes the output.
func (o *cleanOutput) discard() error {
	s := o.seg
	if o.file != nil {
		o.file.release()
		o.file = nil
	}
	s.mu.Lock()
	state := s.state
	s.closeLocked()
	s.mu.Unlock()
	var errs []error
	for _, suffix := range segmentFiles {
		errs = append(errs, ignoreNotExist(s.log.fs().Remove(join(s.log.path(), offsetName(s.base)+suffix+state))))
	}
	return errors.Join(errs...)
}

// replaceSegments puts a finished output of compaction in the place of its sources. A crash at any moment leaves either the sources, or the
// output as .swap with which the next start goes on.
func (l *Log) replaceSegments(out *segment, sources []*segment, truncations uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	segs := l.segmentList()
	at := slices.Index(segs, sources[0])
	if l.truncations != truncations || at < 0 || at+len(sources) >= len(segs) || !slices.Equal(segs[at:at+len(sources)], sources) {
		return errors.Join(errCleaningAborted, (&cleanOutput{seg: out}).discard())
	}
	if err := l.discardLocked(sources, l.deleteDelay()); err != nil {
		return l.failed("compaction", err)
	}
	if err := out.rename(""); err != nil {
		return l.failed("compaction", err)
	}
	next := slices.Concat(segs[:at], []*segment{out}, segs[at+len(sources):])
	l.setSegments(next)
	l.generation.Add(2)
	out.dropIndexes()
	out.closeFiles()
	if err := l.fs().SyncDir(l.path()); err != nil {
		return l.failed("compaction", err)
	}
	return nil
}
