package storage

import (
	"bytes"
	"fmt"
	"math"
	"sort"
	"strconv"
	"sync/atomic"
)

// epochEntry says that a leader epoch began at an offset.
type epochEntry struct {
	epoch int32
	start int64
}

// epochCache holds the leader epochs of a log, both columns strictly ascending (KIP-101, LeaderEpochFileCache). Readers see an
// immutable snapshot; changes need Log.mu. The log writes leader-epoch-checkpoint when a change says so.
type epochCache struct {
	entries atomic.Pointer[[]epochEntry]
}

func (c *epochCache) snapshot() []epochEntry {
	if p := c.entries.Load(); p != nil {
		return *p
	}
	return nil
}

func (c *epochCache) set(entries []epochEntry) { c.entries.Store(&entries) }

// latest is the last epoch, -1 if there is none.
func (c *epochCache) latest() int32 {
	if e := c.snapshot(); len(e) > 0 {
		return e[len(e)-1].epoch
	}
	return -1
}

// assign notes that epoch begins at start. Entries that contradict it go: those of this and later epochs, and those that begin at
// or after start. It returns false if nothing changed.
func (c *epochCache) assign(epoch int32, start int64) bool {
	old := c.snapshot()
	if n := len(old); n > 0 && old[n-1].epoch == epoch && old[n-1].start <= start {
		return false
	}
	kept := make([]epochEntry, 0, len(old)+1)
	for _, e := range old {
		if e.epoch < epoch && e.start < start {
			kept = append(kept, e)
		}
	}
	c.set(append(kept, epochEntry{epoch, start}))
	return true
}

// truncateFromEnd drops the epochs that begin at end or later.
func (c *epochCache) truncateFromEnd(end int64) bool {
	old := c.snapshot()
	n := sort.Search(len(old), func(i int) bool { return old[i].start >= end })
	if n == len(old) {
		return false
	}
	c.set(old[:n:n])
	return true
}

// truncateFromStart drops the epochs that lie wholly below start; the one that holds start begins there now.
func (c *epochCache) truncateFromStart(start int64) bool {
	old := c.snapshot()
	n := sort.Search(len(old), func(i int) bool { return old[i].start > start }) // the first that begins above
	if n == 0 || old[n-1].start == start && n == 1 {
		return false
	}
	kept := append([]epochEntry{{old[n-1].epoch, start}}, old[n:]...)
	c.set(kept)
	return true
}

// endOffset answers OffsetsForLeaderEpoch: the largest epoch that is not above the asked one, and where it ends, which is where the next one
// begins or, for the last, the log end. Asking for a later epoch than the last, or one before the first, gives -1, -1.
func (c *epochCache) endOffset(epoch int32, logEnd int64) (foundEpoch int32, end int64) {
	e := c.snapshot()
	if epoch < 0 || len(e) == 0 {
		return -1, -1
	}
	if last := e[len(e)-1].epoch; epoch == last {
		return last, logEnd
	} else if epoch > last {
		return -1, -1
	}
	i := sort.Search(len(e), func(i int) bool { return e[i].epoch > epoch }) // never len(e)
	if i == 0 {
		// A leader that never had the epoch answers with the start of its first one (KIP-279).
		return epoch, e[0].start
	}
	return e[i-1].epoch, e[i].start
}

// epochAt is the epoch of an offset, -1 if unknown.
func (c *epochCache) epochAt(offset int64) int32 {
	e := c.snapshot()
	i := sort.Search(len(e), func(i int) bool { return e[i].start > offset })
	if i == 0 {
		return -1
	}
	return e[i-1].epoch
}

// encode renders leader-epoch-checkpoint.
func (c *epochCache) encode() []byte {
	e := c.snapshot()
	out := append(make([]byte, 0, 8+16*len(e)), "0\n"...)
	out = append(strconv.AppendInt(out, int64(len(e)), 10), '\n')
	for _, x := range e {
		out = append(strconv.AppendInt(out, int64(x.epoch), 10), ' ')
		out = append(strconv.AppendInt(out, x.start, 10), '\n')
	}
	return out
}

func decodeEpochs(data []byte) ([]epochEntry, error) {
	lines, err := checkpointLines(data)
	if err != nil {
		return nil, err
	}
	entries := make([]epochEntry, 0, len(lines))
	prev := epochEntry{-1, math.MinInt64}
	for i, line := range lines {
		f := bytes.Fields(line)
		if len(f) != 2 {
			return nil, fmt.Errorf("entry %d has %d fields, not 2", i+1, len(f))
		}
		epoch, err := strconv.ParseInt(string(f[0]), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("entry %d: epoch: %w", i+1, err)
		}
		start, err := strconv.ParseInt(string(f[1]), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("entry %d: offset: %w", i+1, err)
		}
		e := epochEntry{int32(epoch), start}
		if e.epoch <= prev.epoch || e.start <= prev.start || e.start < 0 {
			return nil, fmt.Errorf("entry %d (%d %d) does not follow (%d %d)", i+1, e.epoch, e.start, prev.epoch, prev.start)
		}
		entries = append(entries, e)
		prev = e
	}
	return entries, nil
}
