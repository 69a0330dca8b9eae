package storage

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ottla/storage/vfs"
	"ottla/wire/batch"
)

// modelBatch is a batch as it is expected in the log.
type modelBatch struct {
	base, next int64
	ts         int64
	bytes      []byte
}

// model is a log as a slice of batches.
type model struct {
	start, end int64
	batches    []modelBatch
	epoch      int32
}

func (m *model) clone() *model {
	c := *m
	c.batches = slices.Clone(m.batches)
	return &c
}

// append notes what AppendAsLeader made of records, which it edited in place.
func (m *model) append(records []byte) {
	rest := bytes.Clone(records)
	for len(rest) > 0 {
		v, tail, err := batch.Next(rest)
		if err != nil {
			panic(err)
		}
		m.batches = append(m.batches, modelBatch{v.BaseOffset(), v.NextOffset(), v.MaxTimestamp(), v})
		m.end = v.NextOffset()
		rest = tail
	}
}

func (m *model) truncate(off int64) {
	if off >= m.end {
		return
	}
	m.end = off
	m.batches = slices.DeleteFunc(slices.Clone(m.batches), func(b modelBatch) bool {
		if b.next > off {
			m.end = min(m.end, b.base)
			return true
		}
		return false
	})
	if m.start > m.end {
		m.start = m.end
	}
}

// from lists the bytes of the batches that hold offsets of [off, upTo).
func (m *model) from(off, upTo int64) []byte {
	var out []byte
	for _, b := range m.batches {
		if b.next > off && b.next <= upTo {
			out = append(out, b.bytes...)
		}
	}
	return out
}

// checkRead compares one read with the model.
func (m *model) checkRead(l *Log, off int64, maxBytes int, upTo int64, minOne bool) error {
	r, err := l.Read(off, maxBytes, upTo, minOne)
	if off < m.start || off > m.end {
		if err == nil {
			return fmt.Errorf("read at %d outside [%d, %d]: no error", off, m.start, m.end)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read at %d: %w", off, err)
	}
	want := m.from(off, min(upTo, m.end))
	if r == nil {
		if len(want) == 0 {
			return nil
		}
		v, _, err := batch.Next(want)
		if err != nil {
			return err
		}
		if minOne || len(v) <= maxBytes {
			return fmt.Errorf("read at %d up to %d of %d bytes: nothing, though a batch of %d is there", off, upTo, maxBytes, len(v))
		}
		return nil
	}
	defer r.Release()
	p := make([]byte, r.Len())
	if n, err := r.ReadAt(p, 0); n != len(p) {
		return err
	}
	if !bytes.HasPrefix(want, p) {
		return fmt.Errorf("read at %d up to %d: other bytes than were written", off, upTo)
	}
	v, rest, err := batch.Next(p)
	if err != nil {
		return err
	}
	if len(p) > maxBytes && (!minOne || len(rest) > 0) {
		return fmt.Errorf("read at %d: %d bytes, at most %d were wanted", off, len(p), maxBytes)
	}
	for len(rest) > 0 {
		if v, rest, err = batch.Next(rest); err != nil {
			return fmt.Errorf("read at %d: %w", off, err)
		}
	}
	// What would still have fitted must be in another segment.
	if nextBatch := want[len(p):]; len(nextBatch) > 0 {
		w, _, _ := batch.Next(nextBatch)
		sameSegment := floorSegment(l.segmentList(), w.BaseOffset()) == floorSegment(l.segmentList(), v.BaseOffset())
		if sameSegment && len(p)+len(w) <= maxBytes {
			return fmt.Errorf("read at %d: %d bytes, another batch of %d fits %d", off, len(p), len(w), maxBytes)
		}
		if r.NextOffset() > w.BaseOffset() {
			return fmt.Errorf("read at %d: next offset %d is beyond the next batch at %d", off, r.NextOffset(), w.BaseOffset())
		}
	}
	if r.NextOffset() < v.NextOffset() {
		return fmt.Errorf("read at %d: next offset %d, the last batch ends at %d", off, r.NextOffset(), v.NextOffset())
	}
	return nil
}

// check compares everything.
func (m *model) check(l *Log) error {
	if l.StartOffset() != m.start || l.EndOffset() != m.end {
		return fmt.Errorf("log is [%d, %d], want [%d, %d]", l.StartOffset(), l.EndOffset(), m.start, m.end)
	}
	if hw := l.HighWatermark(); hw < m.start || hw > m.end {
		return fmt.Errorf("high watermark %d outside [%d, %d]", hw, m.start, m.end)
	}
	for off := m.start; off < m.end; {
		if err := m.checkRead(l, off, 300, m.end, true); err != nil {
			return err
		}
		r, err := l.Read(off, 300, m.end, true)
		if err != nil {
			return err
		}
		if r == nil {
			if len(m.from(off, m.end)) > 0 {
				return fmt.Errorf("nothing at %d of [%d, %d]", off, m.start, m.end)
			}
			break
		}
		off = r.NextOffset()
		r.Release()
	}
	return nil
}

// checkTimestamp compares a lookup by timestamp with a search of all records.
func (m *model) checkTimestamp(l *Log, ts int64) error {
	wantOff, wantTs := int64(-1), int64(-1)
	for _, b := range m.batches {
		if wantOff >= 0 {
			break
		}
		_ = batch.View(b.bytes).Walk(func(r *batch.Record) error {
			if wantOff < 0 && r.Timestamp >= ts && r.Offset >= m.start {
				wantOff, wantTs = r.Offset, r.Timestamp
			}
			return nil
		})
	}
	off, found, _, ok, err := l.OffsetForTimestamp(ts, m.end)
	if err != nil {
		return err
	}
	if off != wantOff || found != wantTs || ok != (wantOff >= 0) {
		return fmt.Errorf("offset for timestamp %d: %d, %d, want %d, %d", ts, off, found, wantOff, wantTs)
	}
	return nil
}

func modelConfig() LogConfig {
	c := testConfig()
	c.SegmentBytes = 2000
	c.IndexIntervalBytes = 300
	c.FileDeleteDelayMs = 0
	return c
}

func TestLogAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := newEnv(t, vfs.NewMem())
		defer e.abandon()
		e.mod = func(c *ManagerConfig) { c.manual = true }
		e.cfg["t"] = modelConfig()
		e.open()
		l := e.log("t", 0)
		m := &model{}
		var held []*Range
		var heldBytes [][]byte
		defer func() {
			for _, r := range held {
				r.Release()
			}
		}()
		letGo := func() { // ranges do not outlive their manager's log
			for _, r := range held {
				r.Release()
			}
			held, heldBytes = nil, nil
		}
		offset := func(name string) int64 { return rapid.Int64Range(max(0, m.start-3), m.end+3).Draw(rt, name) }
		must := func(err error) {
			if err != nil {
				rt.Fatal(err)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				var p []byte
				for range rapid.IntRange(1, 3).Draw(rt, "batches") {
					p = append(p, plainBatch(rapid.IntRange(1, 5).Draw(rt, "records"), rapid.IntRange(0, 80).Draw(rt, "size"), rapid.Int64Range(0, 1000).Draw(rt, "ts"))...)
				}
				_, err := l.AppendAsLeader(p, AppendOptions{LeaderEpoch: m.epoch})
				must(err)
				m.append(p)
			},
			"follow": func(rt *rapid.T) {
				v := batch.View(plainBatch(rapid.IntRange(1, 5).Draw(rt, "records"), rapid.IntRange(0, 80).Draw(rt, "size"), 7))
				v.SetBaseOffset(m.end + rapid.Int64Range(0, 20).Draw(rt, "gap"))
				v.SetLeaderEpoch(m.epoch)
				_, err := l.AppendAsFollower(v)
				must(err)
				m.append(v)
			},
			"epoch": func(rt *rapid.T) {
				m.epoch++
				must(l.AssignEpoch(m.epoch, m.end))
			},
			"read": func(rt *rapid.T) {
				must(m.checkRead(l, offset("offset"), rapid.IntRange(0, 1500).Draw(rt, "max"), offset("upTo"), rapid.Bool().Draw(rt, "minOne")))
			},
			"hold": func(rt *rapid.T) {
				if m.start == m.end {
					return
				}
				r, err := l.Read(rapid.Int64Range(m.start, m.end-1).Draw(rt, "offset"), 1000, m.end, true)
				must(err)
				if r == nil {
					return
				}
				p := make([]byte, r.Len())
				_, err = r.ReadAt(p, 0)
				must(err)
				held, heldBytes = append(held, r), append(heldBytes, p)
			},
			"truncate": func(rt *rapid.T) {
				off := offset("offset")
				first := l.segmentList()[0].base
				must(l.TruncateTo(off))
				if off < first && off < m.end {
					m.batches, m.start, m.end = nil, off, off
				}
				was := m.end
				m.truncate(off)
				if off < was {
					// In a gap the log ends where its last batch does.
					last := int64(0)
					if n := len(m.batches); n > 0 {
						last = m.batches[n-1].next
					}
					if end := l.EndOffset(); end > m.end || end < last {
						rt.Fatalf("log ends at %d after truncation to %d, its last batch at %d", end, off, last)
					}
					m.end = l.EndOffset()
					m.start = min(m.start, m.end)
				}
				m.epoch = max(m.epoch, l.LatestEpoch())
			},
			"start anew": func(rt *rapid.T) {
				if rapid.IntRange(0, 3).Draw(rt, "rarely") > 0 {
					return
				}
				off := offset("offset")
				must(l.TruncateFullyTo(off))
				m.batches, m.start, m.end = nil, off, off
			},
			"advance start": func(rt *rapid.T) {
				hw := l.SetHighWatermark(rapid.Int64Range(0, m.end).Draw(rt, "hw"))
				off := rapid.Int64Range(0, hw).Draw(rt, "offset")
				must(l.AdvanceStartOffset(off))
				m.start = max(m.start, off)
			},
			"retain": func(rt *rapid.T) {
				_, err := l.retain(time.Now())
				must(err)
				first := l.segmentList()[0].base
				m.batches = slices.DeleteFunc(slices.Clone(m.batches), func(b modelBatch) bool { return b.next <= first })
			},
			"roll":       func(rt *rapid.T) { must(l.Roll()) },
			"flush":      func(rt *rapid.T) { must(l.Flush()) },
			"drain":      func(rt *rapid.T) { e.m.dirs[0].flusher.drain() },
			"close idle": func(rt *rapid.T) { e.m.closeIdle(); e.m.closeIdle() },
			"timestamp":  func(rt *rapid.T) { must(m.checkTimestamp(l, rapid.Int64Range(0, 1100).Draw(rt, "ts"))) },
			"reopen": func(rt *rapid.T) {
				letGo()
				e.close()
				e.open()
				l = e.m.Log(TopicPartition{"t", 0})
			},
			"kill": func(rt *rapid.T) {
				letGo()
				must(e.m.Checkpoint()) // the log start is remembered by checkpoints only
				e.fs = e.fs.(*vfs.Mem).CrashClone(vfs.KeepAll, rand.New(rand.NewPCG(0, 0)))
				e.abandon()
				e.open()
				l = e.m.Log(TopicPartition{"t", 0})
			},
			"": func(rt *rapid.T) {
				must(m.check(l))
				for i, r := range held {
					p := make([]byte, r.Len())
					_, err := r.ReadAt(p, 0)
					must(err)
					if !bytes.Equal(p, heldBytes[i]) {
						rt.Fatalf("a range held since offset %d turned into other bytes", batch.View(heldBytes[i]).BaseOffset())
					}
				}
			},
		})
	})
}
