package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// readBufferSize is the pooled buffer that a connection reads into while requests arrive; frames that fit are used in place.
	readBufferSize = 64 << 10
	// smallBufferSize is what it reads into instead after calmReads reads in a row that brought half of that at most, and at first: a request
	// holds its buffer until it is answered, and a broker has thousands of clients that wait in a Fetch or a JoinGroup of a few hundred bytes.
	smallBufferSize = 4 << 10
	calmReads       = 8
	// bulkBufferSize is what a connection reads into instead after a frame of more than half a read buffer: several such frames in one
	// system call, answered in one, and none of them copied. It is charged to the budget; without room there it is done without.
	bulkBufferSize = 256 << 10
	// takeAtOnce is the largest frame that gets its whole buffer before its bytes are there.
	takeAtOnce = 1 << 20
	// shrinkBelow and shrunkSize: a connection that waits for the rest of a frame keeps a small buffer if it has little.
	shrinkBelow = 768
	shrunkSize  = 1 << 10
)

// frameSizeError refuses a length prefix.
type frameSizeError struct{ size, limit int32 }

func (e *frameSizeError) Error() string {
	if e.size < 0 {
		return fmt.Sprintf("request size %d is negative", e.size)
	}
	return fmt.Sprintf("request size %d is above the limit of %d", e.size, e.limit)
}

// source is where a frameReader gets bytes from.
type source interface {
	// readSome waits for bytes and reads at least one. get is called to get the memory once there are bytes, or before if
	// the source cannot tell.
	readSome(get func() []byte) (int, error)
	// bulk charges a buffer of bulkBufferSize, if that needs no waiting; partial says that such a buffer waits for the rest of a frame.
	bulk(f *buffer) bool
	partial()
	// charge asks for n bytes of memory for a frame; nil is a refusal that err explains. complete ends both.
	charge(n int, f *buffer) error
	complete()
}

// frameReader splits a stream into frames. It is used by one goroutine.
type frameReader struct {
	src   source
	limit int32
	buf   *buffer // nil while nothing is buffered
	r, w  int     // unread bytes are buf.b[r:w]
	last  int     // size of the last frame, with its length
	calm  int     // reads in a row that brought little, counted up to calmReads
	held  bool    // source.partial was called
	get   func() []byte
}

func (fr *frameReader) init(src source, limit int32) {
	fr.src, fr.limit, fr.calm = src, limit, calmReads
	fr.get = fr.space
}

// buffered is the number of bytes read but not returned.
func (fr *frameReader) buffered() int { return fr.w - fr.r }

// peek returns the next frame if it is already there, without taking it.
func (fr *frameReader) peek() (frame []byte, ok bool) {
	if fr.buffered() < 4 {
		return nil, false
	}
	size := int32(binary.BigEndian.Uint32(fr.buf.b[fr.r:]))
	if size < 0 || size > fr.limit || int64(fr.buffered()-4) < int64(size) {
		return nil, false
	}
	return fr.buf.b[fr.r+4 : fr.r+4+int(size)], true
}

// next returns the next frame without its length, and the buffer it lies in with a reference for the caller.
// Errors: io.EOF between frames, io.ErrUnexpectedEOF inside one, *frameSizeError, those of the source.
func (fr *frameReader) next() (frame []byte, in *buffer, err error) {
	for fr.buffered() < 4 {
		if err := fr.fill(); err != nil {
			return nil, nil, err
		}
	}
	size := int32(binary.BigEndian.Uint32(fr.buf.b[fr.r:]))
	if size < 0 || size > fr.limit {
		return nil, nil, &frameSizeError{size, fr.limit}
	}
	for fr.buffered() < 4+int(size) {
		if int(size) > fr.room() {
			return fr.large(int(size))
		}
		if err := fr.fill(); err != nil {
			return nil, nil, err
		}
	}
	if fr.held {
		fr.src.complete()
		fr.held = false
	}
	fr.last = 4 + int(size)
	frame = fr.buf.b[fr.r+4 : fr.r+4+int(size) : fr.r+4+int(size)]
	fr.r += 4 + int(size)
	in = fr.buf
	if fr.r == fr.w { // nothing left: the caller's reference is the only one
		fr.buf, fr.r, fr.w = nil, 0, 0
	} else {
		in.retain()
	}
	return frame, in, nil
}

// bulky says that the next frame is likely to be as large as the last, and that one was worth a bulk buffer.
func (fr *frameReader) bulky() bool { return fr.last > readBufferSize/2 && fr.last <= bulkBufferSize }

// room is the largest frame that is read in place.
func (fr *frameReader) room() int {
	if fr.bulky() && (fr.buf == nil || len(fr.buf.b) != readBufferSize) {
		return bulkBufferSize - 4
	}
	return readBufferSize - 4
}

// take returns a buffer to read into, a bulk one if that is wanted and may be had.
func (fr *frameReader) take(size int) *buffer {
	f := newBuffer(size)
	if size == bulkBufferSize && !fr.src.bulk(f) && fr.buffered() < readBufferSize {
		f.release()
		f = newBuffer(readBufferSize)
	}
	return f
}

// fill reads more bytes into buf, of which the caller needs at least one.
func (fr *frameReader) fill() error {
	if fr.buf != nil && fr.buffered() < shrinkBelow {
		// Most of the buffer is free: wait with a small one, read into a large one.
		fr.shrink()
	}
	had := fr.buffered()
	n, err := fr.src.readSome(fr.get)
	fr.w += n
	if n > smallBufferSize/2 {
		fr.calm = 0
	} else {
		fr.calm = min(fr.calm+1, calmReads)
	}
	if err != nil && n == 0 {
		if fr.buffered() == 0 && fr.buf != nil {
			fr.buf.release()
			fr.buf, fr.r, fr.w = nil, 0, 0
		}
		if errors.Is(err, io.EOF) && had > 0 {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	return nil
}

// space returns where to read to: at least the rest of a frame that fits the buffer, in a bulk buffer up to where a frame is likely to end.
func (fr *frameReader) space() []byte {
	size := readBufferSize
	switch {
	case fr.bulky():
		size = bulkBufferSize
	case fr.calm == calmReads && fr.buf == nil:
		size = smallBufferSize
	}
	if fr.buf == nil {
		fr.buf, fr.r, fr.w = fr.take(size), 0, 0
	} else if len(fr.buf.b) < readBufferSize || fr.buf.shared() || fr.r > 0 && len(fr.buf.b)-fr.w < readBufferSize/2 {
		fr.move(size)
	}
	end := len(fr.buf.b)
	if fr.bulky() {
		if whole := fr.r + (end-fr.r)/fr.last*fr.last; whole > fr.w {
			end = whole
		}
	}
	return fr.buf.b[fr.w:end]
}

// rest is called before the connection waits: an almost empty buffer goes back to the pool, and a bulk one that holds part of a frame is known
// to those who need memory.
func (fr *frameReader) rest() {
	switch {
	case fr.buf == nil:
	case fr.buffered() < shrinkBelow:
		fr.shrink()
	case len(fr.buf.b) == bulkBufferSize && !fr.held:
		fr.held = true
		fr.src.partial()
	}
}

// shrink keeps the unread bytes in a buffer of their own size while the connection waits.
func (fr *frameReader) shrink() {
	switch {
	case fr.buffered() == 0:
		fr.buf.release()
		fr.buf, fr.r, fr.w = nil, 0, 0
	case len(fr.buf.b) > shrunkSize:
		fr.move(shrunkSize)
	}
}

// move takes the unread bytes to the start of a buffer of the given size, the same one if nobody else uses it.
func (fr *frameReader) move(size int) {
	if len(fr.buf.b) == size && !fr.buf.shared() {
		fr.w = copy(fr.buf.b, fr.buf.b[fr.r:fr.w])
		fr.r = 0
		return
	}
	to := fr.take(size)
	fr.w = copy(to.b, fr.buf.b[fr.r:fr.w])
	fr.r = 0
	fr.buf.release()
	fr.buf = to
}

// large reads a frame that does not fit the read buffer into one of its own.
func (fr *frameReader) large(size int) (frame []byte, in *buffer, err error) {
	// Wait for a fair part in the read buffer first: a length alone reserves nothing.
	for fr.buffered() < readBufferSize/2 {
		if err := fr.fill(); err != nil {
			return nil, nil, err
		}
	}
	f := newBuffer(min(size, takeAtOnce))
	have := copy(f.b[:min(size, len(f.b))], fr.buf.b[fr.r+4:fr.w])
	fr.r += 4 + have
	if fr.r == fr.w { // a bulk buffer always: nobody waits for the budget while holding a part of it
		fr.buf.release()
		fr.buf, fr.r, fr.w = nil, 0, 0
	}
	fr.held = false
	if err := fr.src.charge(size, f); err != nil {
		f.release()
		return nil, nil, err
	}
	defer fr.src.complete()
	fr.last = 4 + size
	get := func() []byte { return f.b[have:min(size, len(f.b))] }
	for have < size {
		if have == len(f.b) {
			f.grow(min(size, 2*len(f.b)))
		}
		n, err := fr.src.readSome(get)
		have += n
		if err != nil && n == 0 {
			f.release()
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, nil, err
		}
	}
	return f.b[:size:size], f, nil
}

// grow replaces the memory of a buffer that only its caller uses.
func (f *buffer) grow(size int) {
	b := make([]byte, size)
	copy(b, f.b)
	f.b, f.class = b, -1
}

// close gives the buffer back.
func (fr *frameReader) close() {
	if fr.held {
		fr.src.complete()
		fr.held = false
	}
	if fr.buf != nil {
		fr.buf.release()
		fr.buf, fr.r, fr.w = nil, 0, 0
	}
}
