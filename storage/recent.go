package storage

import "sync"

// recentBatches remembers where the newest batches begin, so that followers and consumers at the end of a log are
// served without a look at the index or the file. Its mutex is a leaf.
type recentBatches struct {
	mu   sync.Mutex
	next int
	at   [64]recentBatch
}

type recentBatch struct {
	seg    *segment
	offset int64
	pos    int64
}

func (r *recentBatches) add(seg *segment, offset, pos int64) {
	r.mu.Lock()
	r.at[r.next%len(r.at)] = recentBatch{seg, offset, pos}
	r.next++
	r.mu.Unlock()
}

// find returns the position of the batch that begins at offset, if it is one of the newest.
func (r *recentBatches) find(seg *segment, offset int64) (pos int64, ok bool) {
	if r == nil {
		return 0, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := r.next - 1; i >= 0 && i >= r.next-len(r.at); i-- {
		if b := &r.at[i%len(r.at)]; b.offset == offset && b.seg == seg {
			return b.pos, true
		} else if b.offset < offset {
			break
		}
	}
	return 0, false
}

// reset forgets all: the log was truncated.
func (r *recentBatches) reset() {
	if r == nil {
		return
	}
	r.mu.Lock()
	r.next = 0
	r.at = [len(r.at)]recentBatch{}
	r.mu.Unlock()
}
