package coordinator

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/wire/batch"
)

// Config is the static part of a Runtime. NewRuntime fills in defaults for what is zero.
type Config struct {
	// Topic is the internal topic, for log lines.
	Topic string
	// CommitTimeout is how long an answer waits for the high watermark: offsets.commit.timeout.ms, 5 s.
	CommitTimeout time.Duration
	// MaxBatchBytes bounds a batch that several events share: the topic's max.message.bytes, 1,048,588. An event whose own
	// records are larger still gets its own append, so that the log decides.
	MaxBatchBytes int
	// LoadBytes is how much is read at a time when loading: offsets.load.buffer.size, 5 MiB.
	LoadBytes int
	// Codec compresses the batches: offsets.topic.compression.codec.
	Codec batch.Codec
	Log   zerolog.Logger
}

func (c Config) withDefaults() Config {
	if c.CommitTimeout <= 0 {
		c.CommitTimeout = 5 * time.Second
	}
	if c.MaxBatchBytes <= 0 {
		c.MaxBatchBytes = 1<<20 + 12
	}
	if c.LoadBytes <= 0 {
		c.LoadBytes = 5 << 20
	}
	return c
}

// Runtime holds the shards of the partitions that this broker leads. Its methods may be called from any goroutine and do not wait,
// except Close.
type Runtime struct {
	cfg        Config
	log        Log
	newMachine func(partition int32) Machine

	mu     sync.Mutex // serializes changes of shards and closed
	closed bool
	shards atomic.Pointer[map[int32]*shard] // immutable
	wg     sync.WaitGroup

	// Stats are the counters of all shards since the start.
	Stats Stats
}

// Stats counts what the shards did.
type Stats struct {
	Appends     atomic.Int64 // batches written
	Records     atomic.Int64 // records written
	Loads       atomic.Int64 // partitions loaded
	LoadNanos   atomic.Int64 // time spent loading
	LoadedBytes atomic.Int64
	Skipped     atomic.Int64 // records that could not be read
}

// NewRuntime returns a Runtime that leads nothing yet. newMachine makes the machine of a partition each time it is loaded.
func NewRuntime(cfg Config, log Log, newMachine func(partition int32) Machine) *Runtime {
	r := &Runtime{cfg: cfg.withDefaults(), log: log, newMachine: newMachine}
	r.shards.Store(&map[int32]*shard{})
	return r
}

// Elected says that this broker leads the partition since leaderEpoch. An epoch that is not newer than the known one is ignored.
func (r *Runtime) Elected(partition, leaderEpoch int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if old := (*r.shards.Load())[partition]; old != nil {
		epoch := old.epoch.Load()
		if leaderEpoch <= epoch {
			return
		}
		if leaderEpoch == epoch+1 {
			old.epoch.Store(leaderEpoch)
			return
		}
		old.stop(kerr.CoordinatorLoadInProgress)
	}
	s := newShard(r, partition, leaderEpoch)
	r.replaceLocked(partition, s)
	r.wg.Go(s.run)
}

// Resigned says that this broker does not lead the partition any more; leaderEpoch is the epoch of the new leader, -1 if there is none to
// compare with. An older epoch than the shard's is ignored.
func (r *Runtime) Resigned(partition, leaderEpoch int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := (*r.shards.Load())[partition]
	if s == nil || leaderEpoch != -1 && leaderEpoch < s.epoch.Load() {
		return
	}
	r.replaceLocked(partition, nil)
	s.stop(kerr.NotCoordinator)
}

// replaceLocked publishes a new set of shards; mu is held.
func (r *Runtime) replaceLocked(partition int32, s *shard) {
	m := maps.Clone(*r.shards.Load())
	if s == nil {
		delete(m, partition)
	} else {
		m[partition] = s
	}
	r.shards.Store(&m)
}

// Close drops all shards, answers what is parked with COORDINATOR_NOT_AVAILABLE, and waits for the goroutines.
func (r *Runtime) Close() {
	r.mu.Lock()
	r.closed = true
	for _, s := range *r.shards.Load() {
		s.stop(kerr.CoordinatorNotAvailable)
	}
	r.shards.Store(&map[int32]*shard{})
	r.mu.Unlock()
	r.wg.Wait()
}

// Post gives an event to the partition's machine, or fails it at once: NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS, or
// COORDINATOR_NOT_AVAILABLE after Close or when too many events wait.
func (r *Runtime) Post(partition int32, ev Event) {
	s := (*r.shards.Load())[partition]
	if s == nil {
		r.mu.Lock()
		closed := r.closed
		r.mu.Unlock()
		if closed {
			ev.Fail(kerr.CoordinatorNotAvailable)
			return
		}
		ev.Fail(kerr.NotCoordinator)
		return
	}
	if err := s.post(ev); err != nil {
		ev.Fail(err)
	}
}

// Partitions returns the partitions led here, in order, those that are loading included.
func (r *Runtime) Partitions() []int32 {
	return slices.Sorted(maps.Keys(*r.shards.Load()))
}

// Loading tells whether the partition is led here and not loaded yet.
func (r *Runtime) Loading(partition int32) bool {
	s := (*r.shards.Load())[partition]
	return s != nil && !s.loaded.Load()
}

// Leads tells whether the partition is led here and loaded.
func (r *Runtime) Leads(partition int32) bool {
	s := (*r.shards.Load())[partition]
	return s != nil && s.loaded.Load()
}

// Epoch is the leader epoch in which the partition is led here; false if it is not.
func (r *Runtime) Epoch(partition int32) (int32, bool) {
	s := (*r.shards.Load())[partition]
	if s == nil {
		return -1, false
	}
	return s.epoch.Load(), true
}

// Closed tells whether Close was called.
func (r *Runtime) Closed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// AsKerr returns the Kafka error that err carries, nil if it carries none.
func AsKerr(err error) *kerr.Error {
	if e, ok := errors.AsType[*kerr.Error](err); ok {
		return e
	}
	return nil
}
