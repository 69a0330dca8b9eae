package coordinator

import (
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"ottla/storage"
	"ottla/wire/batch"
)

// Pauses and limits of loading.
const (
	loadRetryMin      = 250 * time.Millisecond
	loadRetryMax      = 10 * time.Second
	loadProgressEvery = 10 * time.Second
	maxSkipLines      = 20 // log lines about unreadable parts of one load; the rest is counted
)

// load replays the partition into a new machine, as often as it takes. It returns false if the shard was stopped first.
func (s *shard) load() bool {
	for pause := loadRetryMin; !s.stopped(); pause = min(2*pause, loadRetryMax) {
		started := time.Now()
		l := loader{shard: s, machine: s.rt.newMachine(s.partition), started: started, progress: started}
		err := l.run()
		if err == nil {
			took := time.Since(started)
			s.rt.Stats.Loads.Add(1)
			s.rt.Stats.LoadNanos.Add(int64(took))
			s.machine, s.end = l.machine, l.next
			s.machine.Loaded(time.Now())
			s.loaded.Store(true)
			level := zerolog.InfoLevel
			if l.bytes == 0 { // most of a new topic's partitions
				level = zerolog.DebugLevel
			}
			s.log.WithLevel(level).Int32("leader_epoch", s.epoch.Load()).Int64("log_end_offset", s.end).Int64("bytes", l.bytes).
				Int("skipped", l.skipped).Dur("took", took).Msg("loaded coordinator partition")
			return true
		}
		if s.stopped() {
			return false
		}
		s.log.Error().Err(err).Dur("retry_in", pause).Msg("cannot load coordinator partition")
		select {
		case <-time.After(pause):
		case <-s.halt:
		}
	}
	return false
}

var errLoadStopped = errors.New("stopped while loading")

// loader is one attempt to load.
type loader struct {
	shard    *shard
	machine  Machine
	next     int64 // offset after what was replayed
	end      int64 // the log end offset, last time we looked
	bytes    int64
	skipped  int
	started  time.Time
	progress time.Time
}

func (l *loader) run() error {
	s := l.shard
	start, end, hw, err := s.rt.log.Bounds(s.partition)
	if err != nil {
		return fmt.Errorf("read bounds of %s-%d: %w", s.rt.cfg.Topic, s.partition, err)
	}
	l.next, l.end = start, end
	for old := s.hw.Load(); hw > old && !s.hw.CompareAndSwap(old, hw); old = s.hw.Load() {
	}
	// Transaction markers may still be appended by others while we read, so the end is where a read finds nothing.
	for damaged := false; ; {
		if s.stopped() {
			return errLoadStopped
		}
		records, err := l.read(damaged)
		if err != nil {
			return err
		}
		if len(records) == 0 {
			l.next = max(l.next, l.end)
			return nil
		}
		l.bytes += int64(len(records))
		s.rt.Stats.LoadedBytes.Add(int64(len(records)))
		before, salvaged := l.next, damaged
		if damaged, err = l.replay(records); err != nil {
			return err
		}
		if l.next <= before {
			if salvaged {
				return fmt.Errorf("read %s-%d at offset %d: nothing new behind damage", s.rt.cfg.Topic, s.partition, before)
			}
			damaged = true
		}
		if now := time.Now(); now.Sub(l.progress) >= loadProgressEvery {
			l.progress = now
			s.log.Info().Int64("offset", l.next).Int64("log_end_offset", l.end).Int64("bytes", l.bytes).Msg("loading coordinator partition")
		}
	}
}

// read returns the next batches, those behind the damage if there is some.
func (l *loader) read(damaged bool) (records []byte, err error) {
	s := l.shard
	if !damaged {
		records, err = s.rt.log.Read(s.partition, l.next, s.rt.cfg.LoadBytes)
		var corrupt *storage.CorruptionError
		damaged = errors.As(err, &corrupt)
	}
	if damaged {
		var damage error
		if records, damage, err = s.rt.log.Salvage(s.partition, l.next, s.rt.cfg.LoadBytes); damage != nil {
			l.skip(l.next, damage)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read %s-%d at offset %d: %w", s.rt.cfg.Topic, s.partition, l.next, err)
	}
	return records, nil
}

// replay goes through whole batches, up to one that is damaged. Batches of the formats before magic 2 are converted first.
func (l *loader) replay(records []byte) (damaged bool, err error) {
	for len(records) > 0 {
		size, magic, err := batch.PeekSize(records)
		if err != nil || size > len(records) {
			return true, nil
		}
		one := records[:size:size]
		records = records[size:]
		if magic < 2 {
			damaged, err = l.replayLegacy(one)
		} else {
			damaged, err = l.replayBatch(one)
		}
		if damaged || err != nil {
			return damaged, err
		}
	}
	return false, nil
}

// within tells whether an offset lies below the log end, which moves while we read.
func (l *loader) within(offset int64) (bool, error) {
	if offset < l.end {
		return true, nil
	}
	s := l.shard
	_, end, _, err := s.rt.log.Bounds(s.partition)
	if err != nil {
		return false, fmt.Errorf("read bounds of %s-%d: %w", s.rt.cfg.Topic, s.partition, err)
	}
	l.end = end
	return offset < end, nil
}

// replayLegacy replays one message of magic 0 or 1, which may hold compressed others (topics older than Kafka 0.11).
func (l *loader) replayLegacy(message []byte) (damaged bool, err error) {
	m, _, err := batch.NextLegacy(message)
	if err != nil || m.VerifyCRC() != nil {
		return true, nil
	}
	offset := m.Offset()
	if ok, err := l.within(offset); err != nil || !ok {
		return true, err
	}
	err = m.Walk(batch.DefaultDecompressLimit, func(r *batch.Record) error {
		l.record(Record{Offset: r.Offset, TimestampMs: r.Timestamp, Key: r.Key, Value: r.Value, ProducerID: NoProducerID, ProducerEpoch: -1})
		return nil
	})
	if err != nil {
		l.skip(offset, err)
	}
	l.next = max(l.next, offset+1)
	return false, nil
}

// replayBatch replays one batch of magic 2. Records below the offset that was asked for are replayed too: the first batch may start before it,
// and replaying twice changes nothing.
func (l *loader) replayBatch(p []byte) (damaged bool, err error) {
	v, _, err := batch.Next(p)
	if err != nil || v.VerifyCRC() != nil {
		return true, nil
	}
	if ok, err := l.within(v.LastOffset()); err != nil || !ok {
		return true, err
	}
	rec := Record{ProducerID: NoProducerID, ProducerEpoch: -1}
	if v.IsTransactional() {
		rec.ProducerID, rec.ProducerEpoch = v.ProducerID(), v.ProducerEpoch()
	}
	control := v.IsControl()
	err = v.Walk(func(r *batch.Record) error {
		rec.Offset, rec.TimestampMs, rec.Key, rec.Value, rec.Marker = r.Offset, r.Timestamp, r.Key, r.Value, NoMarker
		if control {
			marker, err := markerOf(r.Key)
			if err != nil {
				l.skip(r.Offset, err)
				return nil
			}
			if rec.Marker = marker; marker == NoMarker {
				return nil
			}
		}
		l.record(rec)
		return nil
	})
	if err != nil {
		l.skip(v.BaseOffset(), err)
	}
	l.next = max(l.next, v.NextOffset())
	return false, nil
}

func (l *loader) record(r Record) {
	if err := l.machine.Replay(r); err != nil {
		l.skip(r.Offset, err)
	}
}

// skip notes a record, or all from offset to the next readable batch, that could not be read.
func (l *loader) skip(offset int64, err error) {
	l.skipped++
	l.shard.rt.Stats.Skipped.Add(1)
	if l.skipped <= maxSkipLines {
		l.shard.log.Warn().Err(err).Int64("offset", offset).Msg("skipped unreadable coordinator record")
	}
}
