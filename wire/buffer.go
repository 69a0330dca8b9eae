package wire

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Pooled buffers come in powers of two. Larger ones than maxPooled are left to the garbage collector.
const (
	minPooledShift = 10 // 1 KiB
	maxPooledShift = 20 // 1 MiB
	maxPooled      = 1 << maxPooledShift
)

var bufferPools [maxPooledShift - minPooledShift + 1]sync.Pool

// buffer is a pooled slice with a count of those who use it: the connection that reads into it, and calls that were
// detached. The last one to let go returns it to the pool, and what it was charged to the budget.
type buffer struct {
	b       []byte
	refs    atomic.Int32
	class   int8 // index of the pool, -1 for none
	size    int  // bytes in use, where the user keeps it here
	budget  *frameBudget
	charged int64
}

// newBuffer returns a buffer of at least size bytes with one reference. Its content is whatever was there.
func newBuffer(size int) *buffer {
	class := int8(-1)
	if size <= maxPooled {
		class = int8(max(bits.Len(uint(size-1)), minPooledShift) - minPooledShift)
		if f, _ := bufferPools[class].Get().(*buffer); f != nil {
			f.refs.Store(1)
			return f
		}
		size = 1 << (class + minPooledShift)
	}
	f := &buffer{b: make([]byte, size), class: class}
	f.refs.Store(1)
	return f
}

func (f *buffer) retain() { f.refs.Add(1) }

// shared says whether somebody other than the caller holds the buffer.
func (f *buffer) shared() bool { return f.refs.Load() > 1 }

func (f *buffer) release() {
	switch n := f.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("wire: a frame was released twice")
	}
	f.uncharge()
	if f.class >= 0 {
		bufferPools[f.class].Put(f)
	}
}

// uncharge gives back what the buffer was charged.
func (f *buffer) uncharge() {
	if f.budget != nil {
		f.budget.release(f.charged)
		f.budget, f.charged = nil, 0
	}
}

// outPool holds the slices that answers are encoded into.
var outPool = sync.Pool{New: func() any { return new([]byte) }}

// maxPooledOut is the largest answer whose memory is kept for others.
const maxPooledOut = 512 << 10

func getOut() *[]byte { return outPool.Get().(*[]byte) }

func putOut(p *[]byte) {
	if cap(*p) <= maxPooledOut {
		*p = (*p)[:0]
		outPool.Put(p)
	}
}
