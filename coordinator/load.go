package coordinator

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"ottla/wire/batch"
)

// Pauses and limits of loading.
const (
	loadRetryMin      = 250 * time.Millisecond
	loadRetryMax      = 10 * time.Second
	loadProgressEvery = 10 * time.Second
	maxSkipLines      = 20 // log lines about unreadable records of one load; the rest is counted
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
	l.next = start
	for old := s.hw.Load(); hw > old && !s.hw.CompareAndSwap(old, hw); old = s.hw.Load() {
	}
	// Transaction markers may still be appended by others while we read, so the end is where a read finds nothing.
	for {
		if s.stopped() {
			return errLoadStopped
		}
		records, err := s.rt.log.Read(s.partition, l.next, s.rt.cfg.LoadBytes)
		if err != nil {
			return fmt.Errorf("read %s-%d at offset %d: %w", s.rt.cfg.Topic, s.partition, l.next, err)
		}
		if len(records) == 0 {
			l.next = max(l.next, end)
			return nil
		}
		before := l.next
		l.bytes += int64(len(records))
		s.rt.Stats.LoadedBytes.Add(int64(len(records)))
		if err := l.replay(records); err != nil {
			return err
		}
		if l.next <= before {
			return fmt.Errorf("read %s-%d at offset %d: got only older records", s.rt.cfg.Topic, s.partition, before)
		}
		if now := time.Now(); now.Sub(l.progress) >= loadProgressEvery {
			l.progress = now
			s.log.Info().Int64("offset", l.next).Int64("log_end_offset", end).Int64("bytes", l.bytes).Msg("loading coordinator partition")
		}
	}
}

// replay goes through whole batches. Batches of the formats before magic 2 are converted first.
func (l *loader) replay(records []byte) error {
	for len(records) > 0 {
		size, magic, err := batch.PeekSize(records)
		if err == nil && size > len(records) {
			err = batch.ErrTruncated
		}
		if err != nil {
			return fmt.Errorf("%s-%d after offset %d: %w", l.shard.rt.cfg.Topic, l.shard.partition, l.next, err)
		}
		one := records[:size:size]
		records = records[size:]
		if magic < 2 {
			l.replayLegacy(one)
			continue
		}
		v, _, err := batch.Next(one)
		if err != nil {
			return fmt.Errorf("%s-%d after offset %d: %w", l.shard.rt.cfg.Topic, l.shard.partition, l.next, err)
		}
		l.replayBatch(v)
	}
	return nil
}

// replayLegacy replays one message of magic 0 or 1, which may hold compressed others (topics older than Kafka 0.11).
func (l *loader) replayLegacy(message []byte) {
	m, _, err := batch.NextLegacy(message)
	if err == nil {
		err = m.VerifyCRC()
	}
	offset := int64(binary.BigEndian.Uint64(message))
	defer func() { l.next = max(l.next, offset+1) }()
	if err == nil {
		err = m.Walk(batch.DefaultDecompressLimit, func(r *batch.Record) error {
			l.record(Record{Offset: r.Offset, TimestampMs: r.Timestamp, Key: r.Key, Value: r.Value, ProducerID: NoProducerID, ProducerEpoch: -1})
			return nil
		})
	}
	if err != nil {
		l.skip(offset, err)
	}
}

// replayBatch replays one batch of magic 2. Records below the offset that was asked for are replayed too: the first batch may start before it,
// and replaying twice changes nothing.
func (l *loader) replayBatch(v batch.View) {
	next := v.NextOffset()
	defer func() { l.next = max(l.next, next) }()
	if err := v.VerifyCRC(); err != nil {
		l.skip(v.BaseOffset(), err)
		return
	}
	rec := Record{ProducerID: NoProducerID, ProducerEpoch: -1}
	if v.IsTransactional() {
		rec.ProducerID, rec.ProducerEpoch = v.ProducerID(), v.ProducerEpoch()
	}
	control := v.IsControl()
	err := v.Walk(func(r *batch.Record) error {
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
}

func (l *loader) record(r Record) {
	if err := l.machine.Replay(r); err != nil {
		l.skip(r.Offset, err)
	}
}

// skip notes a record that could not be read.
func (l *loader) skip(offset int64, err error) {
	l.skipped++
	l.shard.rt.Stats.Skipped.Add(1)
	if l.skipped <= maxSkipLines {
		l.shard.log.Warn().Err(err).Int64("offset", offset).Msg("skipped unreadable coordinator record")
	}
}
