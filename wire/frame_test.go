package wire

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"
)

// pieces is a source that gives its stream in pieces of the sizes in turn.
type pieces struct {
	stream  []byte
	sizes   []int
	charged int
	noBulk  bool
	reads   int
}

func (p *pieces) readSome(get func() []byte) (int, error) {
	if len(p.stream) == 0 {
		return 0, io.EOF
	}
	p.reads++
	n := max(1, p.sizes[0])
	p.sizes = append(p.sizes[1:], p.sizes[0])
	n = copy(get(), p.stream[:min(n, len(p.stream))])
	p.stream = p.stream[n:]
	return n, nil
}

func (p *pieces) bulk(*buffer) bool { return !p.noBulk }
func (p *pieces) partial()          {}

func (p *pieces) charge(n int, f *buffer) error { p.charged += n; return nil }
func (p *pieces) complete()                     {}

func TestFrameReaderGivesBackEveryFrame(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var stream []byte
		var want [][]byte
		for range rng.IntN(30) + 1 {
			size := rng.IntN(200)
			if rng.IntN(8) == 0 {
				size = rng.IntN(300_000)
			}
			frame := bytes.Repeat([]byte{byte(rng.Uint32())}, size)
			want = append(want, frame)
			stream = append(binary.BigEndian.AppendUint32(stream, uint32(size)), frame...)
		}
		src := &pieces{stream: stream, noBulk: rng.IntN(3) == 0}
		for range 7 {
			src.sizes = append(src.sizes, rng.IntN([]int{3, 100, 70_000, 1 << 20}[rng.IntN(4)])+1)
		}
		var fr frameReader
		fr.init(src, 1<<20)
		type held struct {
			want, frame []byte
			in          *buffer
		}
		var keep []held
		for i, w := range want {
			frame, in, err := fr.next()
			if err != nil || !bytes.Equal(frame, w) {
				t.Fatalf("frame %d of %d: %d bytes, %v, want %d", i, len(want), len(frame), err, len(w))
			}
			if rng.IntN(3) == 0 { // detached
				keep = append(keep, held{w, frame, in})
			} else {
				in.release()
			}
		}
		if _, _, err := fr.next(); err != io.EOF {
			t.Fatalf("after the last frame: %v", err)
		}
		for i, k := range keep {
			if !bytes.Equal(k.want, k.frame) {
				t.Fatalf("detached frame %d of %d bytes was overwritten", i, len(k.want))
			}
			k.in.release()
		}
		fr.close()
	}
}

func TestFrameReaderErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		stream []byte
		want   string
	}{
		{"nothing", nil, "EOF"},
		{"part of a size", []byte{0, 0}, "unexpected EOF"},
		{"part of a frame", []byte{0, 0, 0, 9, 1}, "unexpected EOF"},
		{"part of a large frame", append([]byte{0, 2, 0, 0}, make([]byte, 50_000)...), "unexpected EOF"},
		{"negative", []byte{0x80, 0, 0, 0, 1}, "is negative"},
		{"too large", []byte{0, 0x20, 0, 0, 1}, "above the limit"},
	} {
		var fr frameReader
		fr.init(&pieces{stream: tt.stream, sizes: []int{10_000}}, 1<<20)
		_, _, err := fr.next()
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		fr.close()
	}
}

func FuzzFrameReader(f *testing.F) {
	f.Add([]byte{0, 0, 0, 2, 1, 2, 0, 0, 0, 0}, uint16(3))
	f.Add([]byte{0, 0, 0xff, 0xff}, uint16(1))
	f.Fuzz(func(t *testing.T, stream []byte, size uint16) {
		var fr frameReader
		fr.init(&pieces{stream: stream, sizes: []int{int(size) + 1}}, 1<<17)
		defer fr.close()
		for rest := stream; ; {
			frame, in, err := fr.next()
			if err != nil {
				return
			}
			if n := int(binary.BigEndian.Uint32(rest)); n != len(frame) || !bytes.Equal(rest[4:4+n], frame) {
				t.Fatal("frame differs from the stream")
			}
			rest = rest[4+len(frame):]
			in.release()
		}
	})
}

func TestAnnouncedFramesCostNothing(t *testing.T) {
	ts := startServer(t, ServerConfig{QueuedMaxBytes: 64 << 20}, ListenerConfig{}, echoHeartbeat())
	const n = 40
	var conns []*rawConn
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range n {
		c := ts.dial(t)
		c.send([]byte{100 << 20 >> 24, 100 << 20 >> 16 & 0xff, 0, 0}, make([]byte, 1000))
		conns = append(conns, c)
	}
	eventually(t, "all are connected", func() bool { return ts.Connections() == n })
	probe := ts.dial(t)
	probe.send(frameOf(heartbeat("x"), 1))
	probe.recv()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("%d announced frames of 100 MiB hold %d KiB", n, grown>>10)
	}
	if ts.budget.used != 0 {
		t.Errorf("%d bytes of the budget are taken", ts.budget.used)
	}
	_ = conns
}

func TestIdleConnectionsHoldNoBuffers(t *testing.T) {
	ts := startServer(t, ServerConfig{}, ListenerConfig{}, echoHeartbeat())
	const n = 200
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range n {
		c := ts.dial(t)
		c.send(frameOf(heartbeat("x"), 1))
		c.recv()
	}
	runtime.GC() // twice: pools keep what they hold over one
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > n*12<<10 { // both ends are in this process
		t.Errorf("%d bytes for each of %d idle connections", grown/n, n)
	}
}

func TestSmallRequestsHoldSmallBuffers(t *testing.T) {
	frame := func(size int) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(size)), make([]byte, size)...)
	}
	var stream []byte
	var sizes []int   // of the pieces
	var buffers []int // that their frames lie in
	add := func(times, buffer int, frames ...int) {
		for range times {
			var piece []byte
			for _, n := range frames {
				piece = append(piece, frame(n)...)
				buffers = append(buffers, buffer)
			}
			sizes = append(sizes, len(piece))
			stream = append(stream, piece...)
		}
	}
	add(3, smallBufferSize, 200)                                   // a new connection
	add(1, smallBufferSize, 1000, 1000, 1000)                      // much at once
	add(calmReads, readBufferSize, 100)                            // for a while
	add(2, smallBufferSize, 100)                                   // calm again
	sizes = append(sizes, smallBufferSize, 6000-smallBufferSize+4) // larger than a small buffer, in two reads
	stream = append(stream, frame(6000)...)
	buffers = append(buffers, readBufferSize)
	add(1, readBufferSize, 100)
	var fr frameReader
	fr.init(&pieces{stream: stream, sizes: sizes}, 1<<20)
	for i, want := range buffers {
		_, in, err := fr.next()
		if err != nil {
			t.Fatal(err)
		}
		if len(in.b) != want {
			t.Errorf("frame %d lies in a buffer of %d bytes, want %d", i, len(in.b), want)
		}
		in.release()
	}
}

func TestStalledFramesAreClosedWhenMemoryIsShort(t *testing.T) {
	ts := startServer(t, ServerConfig{QueuedMaxBytes: 2 << 20}, ListenerConfig{}, echoHeartbeat())
	stalled := ts.dial(t)
	half := make([]byte, 200_000)
	stalled.send(binary.BigEndian.AppendUint32(nil, 3<<19), half) // 1.5 MiB, most of the budget
	eventually(t, "the half-read frame is charged", func() bool {
		ts.budget.mu.Lock()
		defer ts.budget.mu.Unlock()
		return ts.budget.used == 3<<19
	})
	other := ts.dial(t)
	req := heartbeat("x")
	req.MemberID = strings.Repeat("m", 1<<20)
	req.Version = 4
	start := time.Now()
	other.send(frameOf(req, 1))
	if id, _ := other.recv(); id != 1 {
		t.Fatal("no answer")
	}
	if d := time.Since(start); d > 5*stallGrace {
		t.Errorf("waited %v for the stalled frame's memory", d)
	}
	stalled.wantClosed()
	eventually(t, "all memory is given back", func() bool {
		ts.budget.mu.Lock()
		defer ts.budget.mu.Unlock()
		return ts.budget.used == 0 && len(ts.budget.partial) == 0
	})
}

// After a large frame, several like it are read at once, in place.
func TestBulkFramesAreReadTogether(t *testing.T) {
	const frames, size = 31, 66_000
	var stream []byte
	for i := range frames {
		stream = binary.BigEndian.AppendUint32(stream, size)
		stream = append(stream, bytes.Repeat([]byte{byte(i)}, size)...)
	}
	for _, tt := range []struct {
		name            string
		noBulk          bool
		charged, atMost int
	}{{"with a budget", false, size, 12 + 2}, {"without", true, frames * size, 2*frames + 1}} {
		t.Run(tt.name, func(t *testing.T) {
			src := &pieces{stream: stream, sizes: []int{1 << 20}, noBulk: tt.noBulk}
			var fr frameReader
			fr.init(src, 1<<20)
			defer fr.close()
			for i := range frames {
				frame, in, err := fr.next()
				if err != nil || len(frame) != size || frame[0] != byte(i) || frame[size-1] != byte(i) {
					t.Fatalf("frame %d: %d bytes, %v", i, len(frame), err)
				}
				in.release()
			}
			if src.charged != tt.charged || src.reads > tt.atMost {
				t.Errorf("%d bytes charged for frames of their own, want %d; %d reads, want %d at most", src.charged, tt.charged, src.reads, tt.atMost)
			}
		})
	}
}

// A connection that stalls inside a frame in a bulk buffer is closed when another needs the memory.
func TestStalledBulkBufferIsTakenBack(t *testing.T) {
	ts := startServer(t, ServerConfig{QueuedMaxBytes: 2 << 20}, ListenerConfig{}, echoHeartbeat())
	req := heartbeat("x")
	req.MemberID = strings.Repeat("m", 70_000)
	frame := frameOf(req, 1)
	stalled := ts.dial(t)
	stalled.send(frame)
	stalled.recv()
	stalled.send(frame[:60_000])
	held := func(bytes int64, conns int) func() bool {
		return func() bool {
			ts.budget.mu.Lock()
			defer ts.budget.mu.Unlock()
			return ts.budget.used == bytes && len(ts.budget.partial) == conns
		}
	}
	eventually(t, "the part of a frame is charged", held(bulkBufferSize, 1))
	req.MemberID = strings.Repeat("m", 2<<20-100)
	other := ts.dial(t)
	other.send(frameOf(req, 1))
	other.recv()
	stalled.wantClosed()
	eventually(t, "everything is given back", held(0, 0))
}

func TestFrameLargerThanTheBudgetIsServed(t *testing.T) {
	ts := startServer(t, ServerConfig{QueuedMaxBytes: 1 << 20}, ListenerConfig{}, echoHeartbeat())
	c := ts.dial(t)
	req := heartbeat("x")
	req.MemberID = strings.Repeat("m", 5<<20)
	c.send(frameOf(req, 1))
	c.recv()
}

func TestBufferReleasedTwicePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	f := newBuffer(2 << 20)
	f.release()
	f.release()
}
