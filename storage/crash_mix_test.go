package storage

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"ottla/wire/batch"
)

// Beside the logs of crashTopic, a run compacts one and deletes and creates another again and again.
const (
	keyedTopic   = "keyed"
	deletedTopic = "deleted"
)

// keyedValue is a record of the compacted log.
type keyedValue struct {
	offset     int64
	key, value string
}

// keyedTrack is what was written to the compacted log, whose records do not have to stay, but the last of each key does.
type keyedTrack struct {
	written  []keyedValue // the last ones may be under way
	end      int64        // of what was written before the operation under way
	promised int64

	// as of the crash
	atCrash  []keyedValue
	atPledge int64
}

// stepKeyed appends to the compacted log, rolls it, or compacts it.
func (c *crashRun) stepKeyed(m *Manager) error {
	t := &c.keyed
	l, err := m.Create(TopicPartition{keyedTopic, 0}, [16]byte{2}, true)
	if err != nil {
		return err
	}
	switch c.rnd.IntN(8) {
	case 0:
		c.doing = "compact"
		l.SetHighWatermark(l.EndOffset())
		m.Compact(context.Background())
		err = l.Offline()
	case 1:
		c.doing = "roll"
		err = l.Roll()
	case 2:
		c.doing = "flush"
		if err = l.Flush(); err == nil && c.clone == nil {
			t.promised = t.end
		}
	default:
		c.doing = "append"
		b := batch.NewBuilder(batch.NewBuilderOptions(0))
		for range 1 + c.rnd.IntN(4) {
			v := keyedValue{int64(len(t.written)), fmt.Sprint("key-", c.rnd.IntN(9)), strings.Repeat(string(rune('a'+c.rnd.IntN(26))), 1+c.rnd.IntN(90))}
			b.Add(int64(len(t.written)), []byte(v.key), []byte(v.value), nil)
			t.written = append(t.written, v)
		}
		_, err = l.AppendAsLeader(b.Build(), AppendOptions{Origin: OriginCoordinator})
		t.end = int64(len(t.written))
	}
	c.trace = append(c.trace, "keyed: "+c.doing)
	if err == nil && c.sync && c.clone == nil {
		t.promised = max(t.promised, l.DurableEndOffset())
	}
	return err
}

// verify checks that each record is one that was written where it is, and that of what was promised the last of each key is there.
func (t *keyedTrack) verify(l *Log) error {
	end := l.EndOffset()
	if end < t.atPledge {
		return fmt.Errorf("the log ends at %d, %d was promised", end, t.atPledge)
	}
	if end > int64(len(t.atCrash)) {
		return fmt.Errorf("the log ends at %d, %d were written", end, len(t.atCrash))
	}
	last := map[string]keyedValue{}
	for _, v := range t.atCrash[:end] {
		last[v.key] = v
	}
	for rest := readBatches(l, l.StartOffset()); len(rest) > 0; {
		v, tail, err := batch.Next(rest)
		if err != nil {
			return err
		}
		rest = tail
		err = v.Walk(func(r *batch.Record) error {
			if w := t.atCrash[r.Offset]; w.key != string(r.Key) || w.value != string(r.Value) {
				return fmt.Errorf("offset %d has %s=%s, want %s=%s", r.Offset, r.Key, r.Value, w.key, w.value)
			}
			if last[string(r.Key)].offset == r.Offset {
				delete(last, string(r.Key))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, v := range last {
		// Above what was flushed a power cut may leave the end of one segment out and keep the next one: in a compacted log nothing tells that
		// hole from the cleaner's.
		if v.offset < t.atPledge {
			return fmt.Errorf("the last value of %s, at %d, is lost; the log ends at %d, %d was promised", v.key, v.offset, end, t.atPledge)
		}
	}
	return nil
}

// deletedTrack is a log that is deleted and created again, with a new topic id each time.
type deletedTrack struct {
	now, next *life
	promised  int64

	// as of the crash
	atCrash  []*life
	atPledge int64
}

// life is one of the logs of that name, nil or number 0 for none.
type life struct {
	number  byte
	records model
}

func (c *crashRun) stepDeleted(m *Manager) error {
	t := &c.deleted
	tp := TopicPartition{deletedTopic, 0}
	if t.now == nil {
		t.now = &life{}
	}
	if t.now.number%2 == 1 && c.rnd.IntN(4) == 0 {
		c.doing = "delete"
		c.trace = append(c.trace, "delete")
		t.next, t.promised = &life{number: t.now.number + 1}, 0
		err := m.Delete(tp)
		if c.clone == nil {
			t.now = t.next
		}
		return err
	}
	c.doing = "create"
	number := t.now.number | 1
	t.next = &life{number: number, records: *t.now.records.clone()}
	l, err := m.Create(tp, [16]byte{3, number}, true)
	if err != nil {
		return err
	}
	c.doing = "append"
	p := plainBatch(1+c.rnd.IntN(3), 10*int(number), int64(number))
	batch.View(p).SetBaseOffset(t.now.records.end)
	batch.View(p).SetLeaderEpoch(0)
	t.next.records.append(p)
	c.trace = append(c.trace, fmt.Sprintf("append to life %d [,%d)", number, t.next.records.end))
	if _, err = l.AppendAsLeader(p, AppendOptions{Origin: OriginCoordinator}); err == nil && c.rnd.IntN(3) == 0 {
		c.doing = "flush"
		if err = l.Flush(); err == nil && c.clone == nil {
			t.promised = t.next.records.end
		}
	}
	if c.clone == nil {
		t.now = t.next
		if c.sync {
			t.promised = max(t.promised, l.DurableEndOffset())
		}
	}
	return err
}

// verify checks that a log that is there is the latest, or the one of before the operation under way, and that what was promised is there.
func (t *deletedTrack) verify(l *Log) error {
	if l == nil {
		if t.atPledge > 0 {
			return fmt.Errorf("it is gone, %d offsets were promised", t.atPledge)
		}
		return nil
	}
	if l.EndOffset() < t.atPledge {
		return fmt.Errorf("the log ends at %d, %d was promised", l.EndOffset(), t.atPledge)
	}
	got := readBatches(l, 0)
	for _, f := range t.atCrash {
		if f != nil && bytes.HasPrefix(f.records.from(0, f.records.end), got) && (len(got) > 0 || f.number > 0 || l.EndOffset() == 0) {
			return nil
		}
	}
	return fmt.Errorf("%d bytes up to %d are not of the latest log", len(got), l.EndOffset())
}
