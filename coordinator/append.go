package coordinator

import (
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// recordOverhead bounds what a record adds to a batch beside key and value: length, attributes, deltas, lengths, header count.
const recordOverhead = 32

// batchOverhead is a batch's header.
const batchOverhead = 61

// sharedBatch collects the records of consecutive events until they are appended.
type sharedBatch struct {
	records []KeyValue
	entries []batchEntry
	bytes   int
}

// batchEntry is one event's part of a sharedBatch.
type batchEntry struct {
	records int // how many
	applied func(now time.Time)
	done    func(now time.Time, err error)
}

func sizeOf(records []KeyValue) int {
	n := 0
	for _, r := range records {
		n += len(r.Key) + len(r.Value) + recordOverhead
	}
	return n
}

// fits tells whether records can join the batch.
func (b *sharedBatch) fits(records []KeyValue, limit int) bool {
	return len(b.records) == 0 || batchOverhead+b.bytes+sizeOf(records) <= limit
}

func (b *sharedBatch) add(res Result) {
	b.records = append(b.records, res.Records...)
	b.bytes += sizeOf(res.Records)
	b.entries = append(b.entries, batchEntry{records: len(res.Records), applied: res.Applied, done: res.Done})
}

// addDone adds an event that wrote nothing.
func (b *sharedBatch) addDone(done func(time.Time, error)) {
	b.entries = append(b.entries, batchEntry{done: done})
}

func (b *sharedBatch) reset() {
	clear(b.records)
	clear(b.entries)
	b.records, b.entries, b.bytes = b.records[:0], b.entries[:0], 0
}

// flush appends the shared batch and replays it. If it was refused for its size, every event's records are appended alone.
func (s *shard) flush(now time.Time) {
	b := &s.batch
	if len(b.entries) == 0 {
		return
	}
	defer b.reset()
	if len(b.records) == 0 {
		for _, e := range b.entries {
			s.await(now, e.done)
		}
		return
	}
	err := s.append(now, b.records, nil)
	if err != nil && tooLarge(err) && len(b.entries) > 1 {
		records := b.records
		for _, e := range b.entries {
			var err error
			if e.records > 0 {
				err = s.append(now, records[:e.records], nil)
				records = records[e.records:]
			}
			s.settle(now, e.applied, e.done, err)
		}
		return
	}
	for _, e := range b.entries {
		if e.records == 0 {
			s.settle(now, nil, e.done, nil)
			continue
		}
		s.settle(now, e.applied, e.done, err)
	}
}

// appendAlone appends the records of one event in batches of their own: one, or as many as needed if they may be split.
func (s *shard) appendAlone(now time.Time, res Result) {
	if !res.Split {
		s.settle(now, res.Applied, res.Done, s.append(now, res.Records, res.Transaction))
		return
	}
	var first error
	for rest := res.Records; len(rest) > 0; {
		n, bytes := 1, batchOverhead+sizeOf(rest[:1])
		for n < len(rest) && bytes+sizeOf(rest[n:n+1]) <= s.rt.cfg.MaxBatchBytes {
			bytes += sizeOf(rest[n : n+1])
			n++
		}
		err := s.append(now, rest[:n], res.Transaction)
		if err != nil && tooLarge(err) && n > 1 {
			err = nil
			for i := range n {
				if e := s.append(now, rest[i:i+1], res.Transaction); e != nil && err == nil {
					err = e
				}
			}
		}
		if err != nil && first == nil {
			first = err
		}
		rest = rest[n:]
	}
	s.settle(now, res.Applied, res.Done, first)
}

// settle ends an event after its append: its answer waits for the commit, or fails at once.
func (s *shard) settle(now time.Time, applied func(time.Time), done func(time.Time, error), err error) {
	if err != nil {
		if done != nil {
			done(now, err)
		}
		return
	}
	if applied != nil {
		applied(now)
	}
	s.await(now, done)
}

// append writes one batch and replays it. After an error nothing was replayed.
func (s *shard) append(now time.Time, records []KeyValue, txn *Transaction) error {
	if s.stopped() {
		return s.failure()
	}
	if s.reload != nil {
		return kerr.CoordinatorLoadInProgress
	}
	nowMs := now.UnixMilli()
	b, err := encodeBatch(s.buf[:0], records, nowMs, s.rt.cfg.Codec, txn)
	if err != nil {
		return err
	}
	end, err := s.rt.log.Append(s.partition, s.epoch.Load(), b, txn)
	if cap(b) <= 1<<20 {
		s.buf = b[:0]
	}
	if err != nil {
		if AsKerr(err) == nil {
			s.reload = err
		}
		return err
	}
	s.rt.Stats.Appends.Add(1)
	s.rt.Stats.Records.Add(int64(len(records)))
	s.end = end
	rec := Record{Offset: end - int64(len(records)), TimestampMs: nowMs, ProducerID: NoProducerID, ProducerEpoch: -1}
	if txn != nil {
		rec.ProducerID, rec.ProducerEpoch = txn.ProducerID, txn.ProducerEpoch
	}
	for _, kv := range records {
		rec.Key, rec.Value = kv.Key, kv.Value
		if err := s.machine.Replay(rec); err != nil {
			// What the machine wrote it must be able to read.
			s.log.Error().Err(err).Int64("offset", rec.Offset).Msg("coordinator cannot replay its own record")
		}
		rec.Offset++
	}
	return nil
}

// tooLarge tells whether a smaller batch might be accepted.
func tooLarge(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge)
}
