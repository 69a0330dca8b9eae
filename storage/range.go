package storage

import (
	"io"
	"os"
	"sync"
)

// Range is whole batches of a segment, ready to be sent. The bytes never change, whatever happens to the log: it counts as a user of
// the open file, so that truncation puts a new file in its place and deletion only unlinks it. Release it once, soon.
type Range struct {
	file *fileRef
	pos  int64
	n    int
	next int64
}

var rangePool = sync.Pool{New: func() any { return new(Range) }}

func newRange(file *fileRef, pos int64, n int, next int64) *Range {
	r := rangePool.Get().(*Range)
	*r = Range{file: file, pos: pos, n: n, next: next}
	return r
}

// Len is the number of bytes.
func (r *Range) Len() int { return r.n }

// NextOffset is an offset above the last batch's and at most the base of the one that follows.
func (r *Range) NextOffset() int64 { return r.next }

// ReadAt implements io.ReaderAt within the range.
func (r *Range) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(r.n) {
		return 0, io.EOF
	}
	short := int64(len(p)) > int64(r.n)-off
	if short {
		p = p[:int64(r.n)-off]
	}
	n, err := r.file.f.ReadAt(p, r.pos+off)
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

// File is where the bytes are, for sendfile; ok is false if the file is not the operating system's.
func (r *Range) File() (f *os.File, pos int64, ok bool) {
	f = r.file.f.OS()
	return f, r.pos, f != nil
}

// Release gives the range back; it is not to be used afterwards.
func (r *Range) Release() {
	if r == nil || r.file == nil {
		return
	}
	f := r.file
	*r = Range{}
	f.release()
	rangePool.Put(r)
}
