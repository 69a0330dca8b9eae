package wire

import (
	"io"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// fetchSender writes a response that has cuts. A connection makes one at its first such response and keeps it.
type fetchSender struct {
	fetchEncoder
	c    *Conn
	pos  int // bytes of out that are written
	next int // index of the cut that comes next
	err  error
	step func(fd uintptr) bool // send, bound once
}

// copyChunk is how much of a region is copied at a time where sendfile cannot be used.
const copyChunk = 128 << 10

// sendfileChunk is the most that one sendfile call is asked for.
const sendfileChunk = 1 << 20

// sendfileSlots bounds the threads that sendfile may block at once on pages that are not in the cache.
var sendfileSlots = make(chan struct{}, 16+4*runtime.GOMAXPROCS(0))

// writeFetch encodes and writes a Fetch response and releases its regions. One without large regions only joins the
// other answers in c.out.
func (c *Conn) writeFetch(h Header, f *FetchResponse) error {
	defer f.release()
	if c.out == nil {
		c.out = getOut()
	}
	s := c.fetch
	if s == nil {
		s = &fetchSender{c: c}
		s.step = s.send
		c.fetch = s
	}
	s.out, s.cuts, s.cutSize, s.inlined = *c.out, s.cuts[:0], 0, 0
	err := s.encode(h, f)
	*c.out = s.out
	if err == nil && len(s.cuts) > 0 {
		err = s.run()
		*c.out = (*c.out)[:0]
		putOut(c.out)
		c.out = nil
	}
	s.out = nil
	clear(s.cuts)
	return err
}

// run writes the buffer with its cuts filled in.
func (s *fetchSender) run() error {
	s.pos, s.next, s.err = 0, 0, nil
	now := time.Now().UnixNano()
	s.c.writeSince.Store(now)
	s.c.lastActive.Store(now)
	defer s.c.writeSince.Store(0)
	if s.c.raw == nil {
		return s.copyAll()
	}
	if err := s.c.raw.Write(s.step); err != nil {
		return err
	}
	return s.err
}

// send is the callback of RawConn.Write: it writes until all is written or the socket is full (false).
func (s *fetchSender) send(fd uintptr) bool {
	for {
		end, flags := len(s.out), unix.MSG_NOSIGNAL
		if s.next < len(s.cuts) {
			end, flags = s.cuts[s.next].at, flags|unix.MSG_MORE // headers travel with the records behind them
		}
		for s.pos < end {
			n, err := unix.SendmsgN(int(fd), s.out[s.pos:end], nil, nil, flags)
			if err != nil {
				if err == unix.EINTR {
					continue
				}
				return s.failed(err)
			}
			s.pos += n
		}
		if s.next == len(s.cuts) {
			return true
		}
		cut := &s.cuts[s.next]
		for cut.sent < cut.n {
			if err := s.sendCut(int(fd), cut); err != nil {
				if err == unix.EINTR {
					continue
				}
				return s.failed(err)
			}
		}
		s.next++
		// A slow client is one that takes nothing for the idle timeout, not one that takes long for all of it.
		s.c.writeSince.Store(time.Now().UnixNano())
	}
}

// failed notes an error; false if it only says that the socket is full.
func (s *fetchSender) failed(err error) bool {
	if err == unix.EAGAIN {
		return false
	}
	s.err = err
	return true
}

// sendCut writes some of a cut.
func (s *fetchSender) sendCut(fd int, cut *cut) error {
	if cut.region != nil && !cut.copied {
		if file, pos, ok := cut.region.File(); ok {
			pos += int64(cut.sent)
			sendfileSlots <- struct{}{}
			n, err := unix.Sendfile(fd, int(file.Fd()), &pos, min(cut.n-cut.sent, sendfileChunk))
			<-sendfileSlots
			runtime.KeepAlive(file)
			switch {
			case err == unix.EINVAL || err == unix.ENOSYS || err == unix.EOPNOTSUPP:
				// The file system cannot do it.
			case err != nil:
				return err
			case n == 0:
				return io.ErrUnexpectedEOF // the file is shorter than its region: a half-sent answer must not be completed
			default:
				cut.sent += n
				return nil
			}
		}
		cut.copied = true
	}
	p := cut.bytes
	if cut.region != nil {
		buf := newBuffer(copyChunk)
		defer buf.release()
		p = buf.b[:min(len(buf.b), cut.n-cut.sent)]
		if err := readFull(cut.region, p, int64(cut.sent)); err != nil {
			return err
		}
	} else {
		p = p[cut.sent:]
	}
	n, err := unix.SendmsgN(fd, p, nil, nil, unix.MSG_NOSIGNAL)
	if err == nil {
		cut.sent += n
	}
	return err
}

// copyAll writes to a connection without descriptor.
func (s *fetchSender) copyAll() error {
	for i := range s.cuts {
		cut := &s.cuts[i]
		if _, err := s.c.conn.Write(s.out[s.pos:cut.at]); err != nil {
			return err
		}
		s.pos = cut.at
		if err := s.copyCut(cut); err != nil {
			return err
		}
		s.c.writeSince.Store(time.Now().UnixNano())
	}
	_, err := s.c.conn.Write(s.out[s.pos:])
	return err
}

func (s *fetchSender) copyCut(cut *cut) error {
	if cut.region == nil {
		_, err := s.c.conn.Write(cut.bytes)
		return err
	}
	buf := newBuffer(copyChunk)
	defer buf.release()
	for off := 0; off < cut.n; {
		p := buf.b[:min(len(buf.b), cut.n-off)]
		if err := readFull(cut.region, p, int64(off)); err != nil {
			return err
		}
		if _, err := s.c.conn.Write(p); err != nil {
			return err
		}
		off += len(p)
	}
	return nil
}

func readFull(r Region, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}
