package storage

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"testing"

	"ottla/storage/vfs"
	"ottla/wire/batch"
)

// salvageAll reads a log as a coordinator does: Read, and Salvage where Read fails or a checksum is wrong. It returns the base offsets
// of the batches and the positions of the damage.
func salvageAll(t *testing.T, l *Log, maxBytes int) (bases []int64, damage []string) {
	t.Helper()
	next, salvage := l.StartOffset(), false
	for range 10_000 {
		var r *Range
		var err error
		if salvage {
			var d *CorruptionError
			if r, d, err = l.Salvage(next, maxBytes); d != nil {
				damage = append(damage, fmt.Sprintf("%s@%d", path.Base(d.Path), d.Position))
			}
			if err != nil {
				t.Fatal(err)
			}
		} else if r, err = l.Read(next, maxBytes, l.EndOffset(), true); err != nil && !isCorrupt(err) {
			t.Fatal(err)
		}
		if r == nil && (err == nil || salvage) {
			return bases, damage
		}
		if r == nil {
			salvage = true
			continue
		}
		p := make([]byte, r.Len())
		if n, err := r.ReadAt(p, 0); n != len(p) {
			t.Fatalf("%d of %d bytes: %v", n, len(p), err)
		}
		r.Release()
		salvaged, before := salvage, next
		salvage = false
		for len(p) > 0 && !salvage {
			v, rest, err := batch.Next(p)
			if err == nil {
				err = v.VerifyCRC()
			}
			if salvage = err != nil || v.LastOffset() >= l.EndOffset(); salvage && salvaged && len(p) == r.Len() {
				t.Fatalf("the first batch that was salvaged is no batch: %v", err)
			}
			if !salvage {
				if v.LastOffset() >= next {
					bases, next = append(bases, v.BaseOffset()), v.NextOffset()
				}
				p = rest
			}
		}
		salvage = salvage || next == before // batches of offsets that were read already
	}
	t.Fatal("no end")
	return nil, nil
}

// TestSalvage damages batches in every field and finds all the others, whatever the index says.
func TestSalvage(t *testing.T) {
	const batches = 60
	type spoil struct {
		name string
		do   func(p []byte, rnd *rand.Rand)
	}
	spoils := []spoil{
		{"zeros", func(p []byte, _ *rand.Rand) { clear(p) }},
		{"a length that leads to a later batch", func(p []byte, _ *rand.Rand) { p[10], p[11] = 0x03, 0x00 }},
		{"zeroed header", func(p []byte, _ *rand.Rand) { clear(p[:batch.HeaderSize]) }},
		{"noise", func(p []byte, rnd *rand.Rand) {
			for i := range p {
				p[i] = byte(rnd.Uint32())
			}
		}},
	}
	for at := range batch.HeaderSize {
		if at == 7 || at >= 12 && at < 16 {
			continue // which the checksum does not cover, and which are as good as any: a base offset nearby, a leader epoch
		}
		spoils = append(spoils, spoil{fmt.Sprintf("bit 7 of byte %d", at), func(p []byte, _ *rand.Rand) { p[at] ^= 0x80 }})
	}
	for _, s := range spoils {
		for _, indexed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s indexed=%t", s.name, indexed), func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(3, 4))
				fs := vfs.NewMem()
				e := newEnv(t, fs)
				cfg := testConfig()
				cfg.SegmentBytes = 8 << 10
				cfg.IndexIntervalBytes = 600
				if !indexed {
					cfg.IndexIntervalBytes = 1 << 20
				}
				e.cfg["t"] = cfg
				e.open()
				l := e.log("t", 0)
				var bases []int64
				for range batches {
					bases = append(bases, l.EndOffset())
					mustAppend(t, l, plainBatch(1+rnd.IntN(5), 1+rnd.IntN(200), 1))
				}
				segs := l.segmentList()
				bad := []int64{0, bases[20], bases[21], segs[2].base, segs[2].base - 1, bases[batches-1]}
				var want []int64
				for i, b := range bases {
					end := l.EndOffset()
					if i+1 < batches {
						end = bases[i+1]
					}
					if !slices.ContainsFunc(bad, func(o int64) bool { return o >= b && o < end }) {
						want = append(want, b)
					}
				}
				for _, seg := range segs {
					spoilSegment(t, fs, seg.data.path(), bad, func(p []byte) { s.do(p, rnd) })
				}
				for _, maxBytes := range []int{1, 700, 1 << 20} {
					got, damage := salvageAll(t, l, maxBytes)
					if !slices.Equal(got, want) {
						t.Fatalf("maxBytes %d: got batches %v, want %v", maxBytes, got, want)
					}
					if slices.Sort(damage); len(damage) == 0 || len(slices.Compact(slices.Clone(damage))) != len(damage) {
						t.Errorf("maxBytes %d: damage at %v", maxBytes, damage)
					}
				}
			})
		}
	}
}

// spoilSegment applies do to the batches of a segment file that hold one of the offsets.
func spoilSegment(t *testing.T, fs *vfs.Mem, file string, offsets []int64, do func([]byte)) {
	t.Helper()
	f, err := fs.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, size)
	if _, err := f.ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	for rest := p; len(rest) > 0; {
		v, tail, err := batch.Next(rest)
		if err != nil {
			t.Fatal(err)
		}
		base, last := v.BaseOffset(), v.LastOffset()
		if slices.ContainsFunc(offsets, func(o int64) bool { return o >= base && o <= last }) {
			do(v)
		}
		rest = tail
	}
	if _, err := f.WriteAt(p, 0); err != nil {
		t.Fatal(err)
	}
}
