package storage

import "errors"

// Salvage reads on where Read stops at damage: it returns the first batch with records from an offset on that is whole and whose
// checksum is right, with those behind it up to about maxBytes or the next header that cannot be one. What it passed over on the
// way is told as damage, nil for nothing. The range is nil if nothing readable follows. The batches behind the first are as they
// are on disk: the caller checks them.
//
// Errors: KAFKA_STORAGE_ERROR.
func (l *Log) Salvage(from int64, maxBytes int) (r *Range, damage *CorruptionError, err error) {
	if err = l.usable(); err != nil {
		return nil, nil, err
	}
	for {
		g := l.stableGeneration()
		r, damage, err = l.salvageOnce(from, int64(maxBytes))
		if l.generation.Load() != g {
			r.Release()
			continue
		}
		return r, damage, l.readFailed(err)
	}
}

func (l *Log) salvageOnce(from, maxBytes int64) (r *Range, damage *CorruptionError, err error) {
	segs := l.segmentList()
	end, activeSize := l.end.load(segs[len(segs)-1])
	for i := floorSegment(segs, from); i < len(segs); i++ {
		s := salvage{seg: segs[i], size: activeSize, segEnd: end, from: from, damage: damage}
		if i < len(segs)-1 {
			s.size, s.segEnd = segs[i].size.Load(), segs[i+1].base
		}
		if s.size == 0 {
			continue
		}
		r, err := s.run(maxBytes)
		damage = s.damage
		if err != nil || r != nil {
			return r, damage, err
		}
	}
	return nil, damage, nil
}

// salvage is Salvage in one segment.
type salvage struct {
	seg    *segment
	size   int64 // of the segment
	segEnd int64 // the offset after it
	from   int64
	damage *CorruptionError // found since the last good batch below from

	scan scanner
}

func (s *salvage) run(maxBytes int64) (r *Range, err error) {
	file, err := s.seg.data.acquire(false)
	if err != nil {
		return nil, err
	}
	defer func() {
		if r == nil {
			file.release()
		}
	}()
	s.scan = newScanner(file.f, s.size, &recoverBuffers)
	defer s.scan.close()
	for pos := s.start(); pos < s.size; {
		b, err := s.batch(pos)
		switch {
		case err == nil && b.last >= s.from:
			return s.rest(file, &b, maxBytes), nil
		case err == nil:
			s.damage = nil
			pos = b.end()
			continue
		case !isCorrupt(err):
			return nil, err
		}
		if s.damage == nil && !errors.As(err, &s.damage) {
			return nil, err
		}
		pos++ // a damaged length would lead past good batches
	}
	return nil, nil
}

// start is where the index says that the batch of the first offset is near, or 0 if no batch is there.
func (s *salvage) start() int64 {
	index, err := s.seg.indexes()
	if err != nil {
		return 0
	}
	pos, err := index.position(s.from)
	if err != nil {
		return 0
	}
	if b, err := s.batch(pos); err != nil || b.base > s.from {
		return 0
	}
	return pos
}

// header is what stands at pos if it can be a batch of this segment.
func (s *salvage) header(pos int64) (batchInfo, error) {
	b, ok, err := s.scan.header(pos)
	switch {
	case err != nil:
		return b, s.seg.scanError(pos, err)
	case !ok:
		return b, s.seg.scanError(pos, errTorn)
	case b.base < s.seg.base || b.last >= s.segEnd:
		return b, &CorruptionError{Path: s.seg.data.path(), Position: pos, Reason: "offsets of another segment"}
	}
	return b, nil
}

// batch is header with the checksum.
func (s *salvage) batch(pos int64) (batchInfo, error) {
	b, err := s.header(pos)
	if err != nil {
		return b, err
	}
	p, err := s.scan.whole(&b)
	if err == nil {
		err = verify(&b, p)
	}
	if err != nil {
		return b, s.seg.scanError(pos, err)
	}
	return b, nil
}

// rest is the range from a batch on.
func (s *salvage) rest(file *fileRef, first *batchInfo, maxBytes int64) *Range {
	last := *first
	for {
		b, err := s.header(last.end())
		if err != nil || b.base < last.next() || b.end()-first.pos > maxBytes {
			return newRange(file, first.pos, int(last.end()-first.pos), last.next())
		}
		last = b
	}
}
