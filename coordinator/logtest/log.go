// Package logtest has an in-memory coordinator.Log for tests: its high watermark follows the log end or is moved by hand, and
// appends can be made to fail.
package logtest

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/coordinator"
	"ottla/storage"
	"ottla/wire/batch"
)

// Log implements coordinator.Log. Make one with New.
type Log struct {
	mu         sync.Mutex
	partitions map[int32]*partition
	manual     bool
	maxBatch   int
	failAppend func(partition int32, b batch.View) error
	failRead   error
	appends    int
	watchers   int
}

type partition struct {
	epoch    int32 // appends of other epochs are refused, -1 for any
	batches  []batch.View
	ends     []int64 // the offset after each batch, whatever happens to its bytes
	end, hw  int64
	watchers map[int]func(int64)
}

// New returns a log without partitions limits: any partition exists and is empty.
func New() *Log { return &Log{partitions: make(map[int32]*partition)} }

func (l *Log) partitionLocked(p int32) *partition {
	if l.partitions[p] == nil {
		l.partitions[p] = &partition{epoch: -1, watchers: make(map[int]func(int64))}
	}
	return l.partitions[p]
}

// Append implements coordinator.Log.
func (l *Log) Append(p int32, leaderEpoch int32, b []byte, _ *coordinator.Transaction) (int64, error) {
	l.mu.Lock()
	v, rest, err := batch.Next(slices.Clone(b))
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("more than one batch")
	}
	if err == nil {
		err = v.VerifyCRC()
	}
	if err == nil && l.failAppend != nil {
		err = l.failAppend(p, v)
	}
	if err == nil && l.maxBatch > 0 && len(b) > l.maxBatch {
		err = fmt.Errorf("batch of %d bytes: %w", len(b), kerr.MessageTooLarge)
	}
	part := l.partitionLocked(p)
	if err == nil && part.epoch != -1 && part.epoch != leaderEpoch {
		err = fmt.Errorf("epoch %d, leader has %d: %w", leaderEpoch, part.epoch, kerr.NotLeaderForPartition)
	}
	if err != nil {
		l.mu.Unlock()
		return 0, err
	}
	l.appends++
	end := part.appendLocked(v, leaderEpoch)
	var notify []func(int64)
	if !l.manual {
		notify = part.advanceLocked(end)
	}
	l.mu.Unlock()
	for _, f := range notify {
		f(end)
	}
	return end, nil
}

func (p *partition) appendLocked(v batch.View, epoch int32) int64 {
	v.SetBaseOffset(p.end)
	v.SetLeaderEpoch(epoch)
	p.batches = append(p.batches, v)
	p.end = v.NextOffset()
	p.ends = append(p.ends, p.end)
	return p.end
}

func (p *partition) advanceLocked(hw int64) []func(int64) {
	if hw <= p.hw {
		return nil
	}
	p.hw = hw
	return slices.Collect(maps.Values(p.watchers))
}

// Put appends batches as they are, without a coordinator: markers, records of other brokers. The high watermark follows.
func (l *Log) Put(p int32, b []byte) int64 {
	l.mu.Lock()
	part := l.partitionLocked(p)
	end := part.appendLocked(batch.View(slices.Clone(b)), 0)
	notify := part.advanceLocked(end)
	l.mu.Unlock()
	for _, f := range notify {
		f(end)
	}
	return end
}

// Load replaces a partition's content by that of a segment file.
func (l *Log) Load(p int32, segment []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	part := l.partitionLocked(p)
	part.batches, part.ends = nil, nil
	for rest := segment; len(rest) > 0; {
		size, _, err := batch.PeekSize(rest)
		if err != nil {
			return err
		}
		v := batch.View(slices.Clone(rest[:size]))
		part.batches = append(part.batches, v)
		rest = rest[size:]
		if v.Magic() == 2 {
			part.end = v.NextOffset()
		} else {
			part.end = v.BaseOffset() + 1
		}
		part.ends = append(part.ends, part.end)
	}
	part.hw = part.end
	return nil
}

// Copy gives partition p of to the content of l's, cut before offset end; -1 for all.
func (l *Log) Copy(p int32, to *Log, end int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := l.partitionLocked(p)
	to.mu.Lock()
	defer to.mu.Unlock()
	part := to.partitionLocked(p)
	part.batches, part.ends, part.end, part.hw = nil, nil, 0, 0
	for _, b := range from.batches {
		if end >= 0 && b.NextOffset() > end {
			break
		}
		part.batches = append(part.batches, slices.Clone(b))
		part.end = b.NextOffset()
		part.ends = append(part.ends, part.end)
		part.hw = part.end
	}
}

// Read implements coordinator.Log.
func (l *Log) Read(p int32, from int64, maxBytes int) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failRead != nil {
		return nil, l.failRead
	}
	var out []byte
	part := l.partitionLocked(p)
	for i, b := range part.batches {
		if part.ends[i] <= from {
			continue
		}
		if len(out) > 0 && len(out)+len(b) > maxBytes {
			break
		}
		out = append(out, b...)
	}
	return out, nil
}

// Salvage implements coordinator.Log.
func (l *Log) Salvage(p int32, from int64, maxBytes int) (records []byte, damage, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	part := l.partitionLocked(p)
	for i, b := range part.batches {
		if _, rest, err := batch.Next(b); err != nil || len(rest) > 0 || b.VerifyCRC() != nil || b.LastOffset() >= part.end {
			if damage == nil {
				damage = &storage.CorruptionError{Path: "log", Position: int64(i), Reason: "damaged by the test"}
			}
			continue
		}
		if b.LastOffset() >= from {
			return slices.Clone(b), damage, nil
		}
		damage = nil
	}
	return nil, damage, nil
}

// Bounds implements coordinator.Log.
func (l *Log) Bounds(p int32) (start, end, hw int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	part := l.partitionLocked(p)
	if len(part.batches) > 0 {
		start = part.batches[0].BaseOffset()
	}
	return start, part.end, part.hw, nil
}

// OnHighWatermark implements coordinator.Log.
func (l *Log) OnHighWatermark(p int32, f func(hw int64)) func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers++
	id := l.watchers
	l.partitionLocked(p).watchers[id] = f
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.partitions[p].watchers, id)
	}
}

// HoldHighWatermark stops the high watermarks from following, or lets them follow again and catch up.
func (l *Log) HoldHighWatermark(hold bool) {
	l.mu.Lock()
	l.manual = hold
	var calls []func()
	if !hold {
		for _, part := range l.partitions {
			end := part.end
			for _, f := range part.advanceLocked(end) {
				calls = append(calls, func() { f(end) })
			}
		}
	}
	l.mu.Unlock()
	for _, f := range calls {
		f()
	}
}

// SetHighWatermark moves a partition's high watermark.
func (l *Log) SetHighWatermark(p int32, hw int64) {
	l.mu.Lock()
	notify := l.partitionLocked(p).advanceLocked(hw)
	l.mu.Unlock()
	for _, f := range notify {
		f(hw)
	}
}

// SetEpoch makes the partition refuse appends of other epochs.
func (l *Log) SetEpoch(p, epoch int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partitionLocked(p).epoch = epoch
}

// SetMaxBatch refuses larger batches with MESSAGE_TOO_LARGE; 0 for no limit.
func (l *Log) SetMaxBatch(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.maxBatch = n
}

// FailAppends makes f decide whether an append fails; nil for none. FailReads makes reads fail.
func (l *Log) FailAppends(f func(partition int32, b batch.View) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failAppend = f
}

// FailReads makes all reads fail with err; nil lets them succeed.
func (l *Log) FailReads(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failRead = err
}

// Corrupt flips a byte of the i-th batch of a partition.
func (l *Log) Corrupt(p int32, i, at int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partitionLocked(p).batches[i][at] ^= 0xff
}

// Batches returns the partition's batches.
func (l *Log) Batches(p int32) []batch.View {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.partitionLocked(p).batches)
}

// Appends is how many appends succeeded.
func (l *Log) Appends() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.appends
}

// End is the partition's log end offset.
func (l *Log) End(p int32) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.partitionLocked(p).end
}
