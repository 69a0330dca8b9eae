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
	// charge asks for n bytes of memory for a frame; nil is a refusal that err explains. complete ends it.
	charge(n int, f *buffer) error
	complete()
}

// frameReader splits a stream into frames. It is used by one goroutine.
type frameReader struct {
	src   source
	limit int32
	buf   *buffer // nil while nothing is buffered
	r, w  int     // unread bytes are buf.b[r:w]
	get   func() []byte
}

func (fr *frameReader) init(src source, limit int32) {
	fr.src, fr.limit = src, limit
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
	if int(size) > readBufferSize-4 {
		return fr.large(int(size))
	}
	for fr.buffered() < 4+int(size) {
		if err := fr.fill(); err != nil {
			return nil, nil, err
		}
	}
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

// fill reads more bytes into buf, of which the caller needs at least one.
func (fr *frameReader) fill() error {
	if fr.buf != nil && fr.buffered() < shrinkBelow {
		// Most of the buffer is free: wait with a small one, read into a large one.
		fr.shrink()
	}
	had := fr.buffered()
	n, err := fr.src.readSome(fr.get)
	fr.w += n
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

// space returns where to read to: at least the rest of a frame that fits the buffer.
func (fr *frameReader) space() []byte {
	if fr.buf == nil {
		fr.buf, fr.r, fr.w = newBuffer(readBufferSize), 0, 0
	} else if len(fr.buf.b) < readBufferSize || fr.buf.shared() || fr.r > 0 && len(fr.buf.b)-fr.w < readBufferSize/2 {
		fr.move(readBufferSize)
	}
	return fr.buf.b[fr.w:]
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
	to := newBuffer(size)
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
	if err := fr.src.charge(size, f); err != nil {
		f.release()
		return nil, nil, err
	}
	defer fr.src.complete()
	have := copy(f.b[:min(size, len(f.b))], fr.buf.b[fr.r+4:fr.w])
	fr.r += 4 + have
	if fr.r == fr.w {
		fr.buf.release()
		fr.buf, fr.r, fr.w = nil, 0, 0
	}
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
	if fr.buf != nil {
		fr.buf.release()
		fr.buf, fr.r, fr.w = nil, 0, 0
	}
}
