package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"ottla/storage/vfs"
)

// AbortedTxn is an aborted transaction as a read_committed fetch reports it.
type AbortedTxn struct {
	ProducerID  int64
	FirstOffset int64
}

// abortedTxn is an entry of .txnindex, which lists the aborted transactions whose markers are in the segment (AbortedTxn):
//
//	0 version int16 0, 2 producerId int64, 10 firstOffset int64, 18 lastOffset int64 (the marker), 26 lastStableOffset int64
type abortedTxn struct {
	producerID       int64
	firstOffset      int64
	lastOffset       int64
	lastStableOffset int64
}

const txnEntrySize = 34

func (a abortedTxn) appendTo(p []byte) []byte {
	p = binary.BigEndian.AppendUint16(p, 0)
	p = binary.BigEndian.AppendUint64(p, uint64(a.producerID))
	p = binary.BigEndian.AppendUint64(p, uint64(a.firstOffset))
	p = binary.BigEndian.AppendUint64(p, uint64(a.lastOffset))
	return binary.BigEndian.AppendUint64(p, uint64(a.lastStableOffset))
}

// decodeTxnIndex reads a .txnindex of a segment that begins at base.
func decodeTxnIndex(p []byte, base int64) ([]abortedTxn, error) {
	if len(p)%txnEntrySize != 0 {
		return nil, fmt.Errorf("%d bytes are not a whole number of entries", len(p))
	}
	out := make([]abortedTxn, 0, len(p)/txnEntrySize)
	prev := base - 1
	for i := 0; len(p) > 0; i, p = i+1, p[txnEntrySize:] {
		a := abortedTxn{
			producerID:       int64(binary.BigEndian.Uint64(p[2:])),
			firstOffset:      int64(binary.BigEndian.Uint64(p[10:])),
			lastOffset:       int64(binary.BigEndian.Uint64(p[18:])),
			lastStableOffset: int64(binary.BigEndian.Uint64(p[26:])),
		}
		if v := binary.BigEndian.Uint16(p); v != 0 {
			return nil, fmt.Errorf("entry %d has version %d", i, v)
		}
		if a.producerID < 0 || a.firstOffset < 0 || a.firstOffset > a.lastOffset || a.lastOffset <= prev || a.lastStableOffset < 0 || a.lastStableOffset > a.lastOffset+1 {
			return nil, fmt.Errorf("entry %d (producer %d, offsets %d to %d, last stable %d) does not fit", i, a.producerID, a.firstOffset, a.lastOffset, a.lastStableOffset)
		}
		prev = a.lastOffset
		out = append(out, a)
	}
	return out, nil
}

// abortedTxns returns the segment's aborted transactions, by marker. They are read once: there are few or none.
func (s *segment) abortedTxns() ([]abortedTxn, error) {
	if p := s.aborted.Load(); p != nil {
		return *p, nil
	}
	s.mu.Lock()
	path := (&lazyFile{seg: s, suffix: txnIndexSuffix}).pathLocked()
	s.mu.Unlock()
	data, err := vfs.ReadFile(s.log.fs(), path, maxSmallFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	list, err := decodeTxnIndex(data, s.base)
	if err != nil {
		return nil, corruptFile(path, "%v", err)
	}
	s.aborted.CompareAndSwap(nil, &list)
	return *s.aborted.Load(), nil
}

// addAborted appends an entry. The caller holds Log.mu.
func (s *segment) addAborted(a abortedTxn) error {
	old, err := s.abortedTxns()
	if err != nil {
		return err
	}
	f := lazyFile{seg: s, suffix: txnIndexSuffix}
	r, err := f.acquire(true)
	if err != nil {
		return err
	}
	defer func() { // of what acquire counted: ours and the lazyFile's
		r.release()
		r.release()
	}()
	if _, err := r.f.WriteAt(a.appendTo(nil), int64(len(old)*txnEntrySize)); err != nil {
		return err
	}
	list := append(old[:len(old):len(old)], a)
	s.aborted.Store(&list)
	return nil
}

// setAborted replaces all entries. The caller holds Log.mu.
func (s *segment) setAborted(list []abortedTxn) error {
	f := lazyFile{seg: s, suffix: txnIndexSuffix}
	path := f.path()
	if len(list) == 0 {
		s.aborted.Store(&list)
		return ignoreNotExist(s.log.fs().Remove(path))
	}
	var data []byte
	for _, a := range list {
		data = a.appendTo(data)
	}
	if err := vfs.WriteFile(s.log.fs(), path, data, false); err != nil {
		return err
	}
	s.aborted.Store(&list)
	return nil
}
