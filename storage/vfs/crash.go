package vfs

import (
	"math/rand/v2"
	"slices"
)

// CrashMode says what a crash leaves of what was not synced.
type CrashMode uint8

// The crash modes.
const (
	// LoseUnsynced leaves exactly what was synced.
	LoseUnsynced CrashMode = iota
	// KeepPrefix leaves, of each file and each directory, a random number of the oldest unsynced changes, the last of
	// them possibly torn.
	KeepPrefix
	// KeepAny leaves any of a file's unsynced writes, in pieces of sectors; what is missing below the end reads as
	// before, or as zeros. Directories keep a prefix, as a journalling filesystem does.
	KeepAny
	// KeepAll leaves everything: the process died, the machine did not.
	KeepAll
)

func (m CrashMode) String() string {
	return [...]string{"lose unsynced", "keep prefix", "keep any", "keep all"}[m]
}

const sectorSize = 512

// CrashClone returns the disk as a crash at this moment may leave it; m stays as it is. Everything in the clone counts
// as synced, and no lock is held.
func (m *Mem) CrashClone(mode CrashMode, rnd *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &crash{mode: mode, rnd: rnd, done: map[*memNode]*memNode{}}
	return &Mem{root: c.node(m.root), locks: map[string]bool{}, total: m.total}
}

type crash struct {
	mode CrashMode
	rnd  *rand.Rand
	done map[*memNode]*memNode
}

func (c *crash) node(n *memNode) *memNode {
	if out := c.done[n]; out != nil {
		return out
	}
	out := &memNode{isDir: n.isDir, modified: n.modified}
	c.done[n] = out
	if n.isDir {
		c.dir(n, out)
	} else {
		out.data = c.contents(n)
		out.synced = slices.Clone(out.data)
	}
	return out
}

func (c *crash) dir(n, out *memNode) {
	names := memNames{}
	for base, child := range n.saved {
		names[base] = child
	}
	keep := 0
	switch c.mode {
	case KeepAll:
		keep = len(n.moves)
	case KeepPrefix, KeepAny:
		keep = c.rnd.IntN(len(n.moves) + 1)
	}
	for _, mv := range n.moves[:keep] {
		n.apply(names, mv)
	}
	out.names, out.saved = memNames{}, memNames{}
	sorted := make([]string, 0, len(names))
	for base := range names {
		sorted = append(sorted, base)
	}
	slices.Sort(sorted) // the random choices must not depend on the order of a map
	for _, base := range sorted {
		child := c.node(names[base])
		out.names[base], out.saved[base] = child, child
	}
}

func (c *crash) contents(n *memNode) []byte {
	data := slices.Clone(n.synced)
	switch c.mode {
	case KeepAll:
		return slices.Clone(n.data)
	case KeepPrefix:
		keep := c.rnd.IntN(len(n.writes) + 1)
		for _, op := range n.writes[:keep] {
			data = applyOp(data, op)
		}
		if keep < len(n.writes) && n.writes[keep].data != nil && c.rnd.IntN(2) == 0 {
			op := n.writes[keep]
			if cut := c.rnd.IntN(len(op.data) + 1); cut > 0 {
				data = applyOp(data, memOp{off: op.off, data: op.data[:cut]})
			}
		}
	case KeepAny:
		for _, op := range n.writes {
			data = c.someOf(data, op)
		}
	}
	return data
}

// someOf applies a random choice of a write's sectors; the file may grow even where its bytes did not arrive.
func (c *crash) someOf(data []byte, op memOp) []byte {
	if op.data == nil {
		if c.rnd.IntN(2) == 0 {
			return applyOp(data, op)
		}
		return data
	}
	if end := op.off + int64(len(op.data)); end > int64(len(data)) && c.rnd.IntN(2) == 0 {
		data = applyOp(data, memOp{off: end})
	}
	for at := int64(0); at < int64(len(op.data)); {
		n := min(sectorSize-(op.off+at)%sectorSize, int64(len(op.data))-at)
		if c.rnd.IntN(2) == 0 {
			data = applyOp(data, memOp{off: op.off + at, data: op.data[at : at+n]})
		}
		at += n
	}
	return data
}
