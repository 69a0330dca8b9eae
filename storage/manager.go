package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/storage/vfs"
)

// ManagerConfig configures a Manager. Zero values of the times and of the cleaner stand for Kafka's defaults.
type ManagerConfig struct {
	Dirs      []string
	BrokerID  int32
	ClusterID string
	FS        vfs.FS                       // nil: the operating system's
	LogConfig func(topic string) LogConfig // nil: DefaultLogConfig for all

	RecoveryThreadsPerDir   int   // num.recovery.threads.per.data.dir
	FlushCheckpointMs       int64 // log.flush.offset.checkpoint.interval.ms
	StartOffsetCheckpointMs int64 // log.flush.start.offset.checkpoint.interval.ms
	HWCheckpointMs          int64 // replica.high.watermark.checkpoint.interval.ms
	RetentionCheckMs        int64 // log.retention.check.interval.ms
	InitialTaskDelayMs      int64 // log.initial.task.delay.ms
	FlushSchedulerMs        int64 // log.flush.scheduler.interval.ms
	ProducerIDExpirationMs  int64 // producer.id.expiration.ms

	// OnDirFailure is called once for each directory that goes offline, from a goroutine of its own.
	OnDirFailure func(dir string, err error)
	Log          zerolog.Logger
	Cleaner      CleanerConfig

	MoveThreads        int   // num.replica.alter.log.dirs.threads; 0: as many as directories
	MoveMaxBytesPerSec int64 // replica.alter.log.dirs.io.max.bytes.per.second; 0: no limit

	manual bool // tests: no background work; flushes wait for flusher.drain
}

// CleanerConfig configures compaction (log.cleaner.*).
type CleanerConfig struct {
	Enable           bool
	Threads          int
	DedupeBufferSize int64 // of all threads together
	IOBufferSize     int   // of all threads together
	IOMaxBytesPerSec float64
	LoadFactor       float64
	BackoffMs        int64
}

func (c *ManagerConfig) setDefaults() {
	if c.FS == nil {
		c.FS = vfs.OS
	}
	if c.LogConfig == nil {
		c.LogConfig = func(string) LogConfig { return DefaultLogConfig() }
	}
	c.RecoveryThreadsPerDir = max(1, c.RecoveryThreadsPerDir)
	for _, d := range []struct {
		at  *int64
		def int64
	}{
		{&c.FlushCheckpointMs, 60_000}, {&c.StartOffsetCheckpointMs, 60_000}, {&c.HWCheckpointMs, 5_000},
		{&c.RetentionCheckMs, 300_000}, {&c.InitialTaskDelayMs, 30_000}, {&c.FlushSchedulerMs, 1 << 62},
		{&c.ProducerIDExpirationMs, 86_400_000},
	} {
		if *d.at <= 0 {
			*d.at = d.def
		}
	}
	c.Cleaner.setDefaults()
}

func (c *CleanerConfig) setDefaults() {
	c.Threads = max(1, c.Threads)
	if c.DedupeBufferSize <= 0 {
		c.DedupeBufferSize = 128 << 20
	}
	if c.BackoffMs <= 0 {
		c.BackoffMs = 15_000
	}
	if c.IOBufferSize <= 0 {
		c.IOBufferSize = 512 << 10
	}
	if c.LoadFactor <= 0 || c.LoadFactor > 1 {
		c.LoadFactor = 0.9
	}
}

// Manager owns the log directories and all logs in them.
type Manager struct {
	cfg     ManagerConfig
	log     zerolog.Logger
	dirs    []*logDir
	logs    *registry
	remover *remover
	cleaner *cleaner
	mover   *mover

	configMu sync.Mutex // leaf
	configs  map[string]*LogConfig

	createMu sync.Mutex // creation and deletion of logs; before Log.flushMu
	ctx      context.Context
	stop     context.CancelFunc
	tasks    sync.WaitGroup // background tasks
	wg       sync.WaitGroup // calls of OnDirFailure
	closed   bool           // guarded by createMu

	preferred map[TopicPartition]*logDir // where Move wants logs that do not exist yet; guarded by createMu
}

// topicConfig returns the configuration that all logs of a topic share.
func (m *Manager) topicConfig(topic string) *LogConfig {
	m.configMu.Lock()
	defer m.configMu.Unlock()
	c := m.configs[topic]
	if c == nil {
		v := m.cfg.LogConfig(topic)
		c = &v
		m.configs[topic] = c
	}
	return c
}

// Log returns a log, nil if there is none. It takes no lock and keeps nothing of tp.
func (m *Manager) Log(tp TopicPartition) *Log { return m.logs.get(tp) }

// Logs lists all logs by name, those of offline directories too.
func (m *Manager) Logs() []*Log { return m.logs.all() }

// Create returns the log of a partition, made if there is none, in the directory that Prefer named or the one that has the fewest. A log with an id of its own does not take
// another; one without takes topicID. isNew says that the partition holds no data yet anywhere: a partition that is not new may be in a directory that is offline,
// and is not made anew while there is one.
//
// Errors: INCONSISTENT_TOPIC_ID, KAFKA_STORAGE_ERROR.
func (m *Manager) Create(tp TopicPartition, topicID [16]byte, isNew bool) (*Log, error) {
	m.createMu.Lock()
	defer m.createMu.Unlock()
	if m.closed {
		return nil, &storageError{"create " + tp.String(), errClosed}
	}
	if l := m.logs.get(tp); l != nil {
		if topicID != ([16]byte{}) && l.TopicID() != topicID {
			if err := l.SetTopicID(topicID); err != nil {
				return nil, err
			}
		}
		if err := l.usable(); err != nil {
			return nil, err
		}
		return l, nil
	}
	if tp.Partition < 0 || tp.Topic == "" {
		return nil, fmt.Errorf("create a log for topic %q partition %d: %w", tp.Topic, tp.Partition, kerr.InvalidTopicException)
	}
	dir, err := m.chooseDir(tp, isNew)
	if err == nil {
		err = dir.arrive(tp)
	}
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", tp, err)
	}
	l, err := createLog(m, dir, tp, tp.String(), topicID)
	if err != nil {
		err = &storageError{"create " + tp.String(), err}
		if !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrInvalid) {
			dir.fail(err)
		}
		return nil, err
	}
	m.logs.put(l)
	dir.logCount.Add(1)
	delete(m.preferred, tp)
	return l, nil
}

// chooseDir returns the directory that Prefer named, if it is online, or the online one with the fewest logs.
func (m *Manager) chooseDir(tp TopicPartition, isNew bool) (*logDir, error) {
	var best *logDir
	for _, d := range m.dirs {
		if err := d.offline(); err != nil {
			if !isNew {
				return nil, &storageError{fmt.Sprintf("the partition may be in %s, which is offline", d.path), err}
			}
			continue
		}
		if best == nil || d.logCount.Load() < best.logCount.Load() {
			best = d
		}
	}
	if d := m.preferred[tp]; d != nil && d.offline() == nil {
		return d, nil
	}
	if best == nil {
		return nil, fmt.Errorf("all log directories are offline: %w", kerr.KafkaStorageError)
	}
	return best, nil
}

// Delete takes a log away: its directory is renamed now and removed after file.delete.delay.ms. Ranges in use keep their bytes. A missing log
// is no error.
func (m *Manager) Delete(tp TopicPartition) error {
	m.createMu.Lock()
	defer m.createMu.Unlock()
	l := m.logs.get(tp)
	if l == nil {
		return nil
	}
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	if f := l.future.Load(); f != nil {
		_ = l.dropFuture(f) // an error has taken its directory offline
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	l.abortCleaningLocked()
	to, err := m.trash(l.dir(), tp, l.path(), l.deleteDelay())
	if err != nil {
		return l.failed("rename the directory to delete it", err)
	}
	l.closed.Store(true)
	l.where.Store(&to)
	l.generation.Add(2)
	for _, s := range l.segmentList() {
		s.close()
	}
	if m.logs.remove(l) {
		m.configMu.Lock()
		delete(m.configs, tp.Topic)
		m.configMu.Unlock()
	}
	l.dir().logCount.Add(-1)
	l.dir().leave(tp)
	if err := l.dir().setCleanedTo(tp, -1); err != nil {
		return err
	}
	m.log.Info().Str("topic", tp.Topic).Int32("partition", tp.Partition).Str("dir", l.dir().path).Msg("deleted a log")
	return nil
}

// UpdateConfig asks for the configuration of a topic again and applies it to its logs.
func (m *Manager) UpdateConfig(topic string) {
	c := m.cfg.LogConfig(topic)
	m.configMu.Lock()
	if _, known := m.configs[topic]; known {
		m.configs[topic] = &c
	}
	m.configMu.Unlock()
	m.logs.topic(topic).each(func(l *Log) {
		l.cfg.Store(&c)
		if f := l.future.Load(); f != nil {
			f.cfg.Store(&c)
		}
		if l.EndOffset()-l.durable.Load() >= c.FlushMessages {
			l.dir().flusher.commit(l)
		}
	})
}

// SetCleaner changes the compactor's configuration while it runs; Enable is looked at, but does not stop threads that run.
func (m *Manager) SetCleaner(c CleanerConfig) {
	c.setDefaults()
	m.cleaner.configure(c)
}

// UpdateAllConfigs is UpdateConfig for every topic: the broker's defaults changed.
func (m *Manager) UpdateAllConfigs() {
	m.configMu.Lock()
	topics := make([]string, 0, len(m.configs))
	for t := range m.configs {
		topics = append(topics, t)
	}
	m.configMu.Unlock()
	for _, t := range topics {
		m.UpdateConfig(t)
	}
}

// CheckpointedHighWatermark is what replication-offset-checkpoint says of a partition, as the log has it since it was loaded.
func (m *Manager) CheckpointedHighWatermark(tp TopicPartition) (int64, bool) {
	l := m.logs.get(tp)
	if l == nil {
		return 0, false
	}
	hw, ok := l.dir().loadedHW[tp]
	return hw, ok
}

// DirInfo is the state of a log directory.
type DirInfo struct {
	Path                    string
	Offline                 error // nil: online
	TotalBytes, UsableBytes int64 // of the volume; -1 unknown
}

// Dirs lists the log directories as configured.
func (m *Manager) Dirs() []DirInfo {
	out := make([]DirInfo, len(m.dirs))
	for i, d := range m.dirs {
		out[i] = DirInfo{Path: d.path, Offline: d.offline(), TotalBytes: -1, UsableBytes: -1}
		if out[i].Offline != nil {
			continue
		}
		if total, usable, err := m.cfg.FS.Usage(d.path); err == nil {
			out[i].TotalBytes, out[i].UsableBytes = total, usable
		}
	}
	return out
}

// Retain runs retention on all logs now.
func (m *Manager) Retain() {
	now := time.Now()
	for _, l := range m.logs.all() {
		if l.Offline() != nil {
			continue
		}
		if _, err := l.retain(now); err != nil && l.Offline() == nil && !l.closed.Load() {
			l.logger().Error().Err(err).Msg("retention failed")
		}
	}
}

// Checkpoint writes all checkpoints of all directories now.
func (m *Manager) Checkpoint() error {
	var errs []error
	for _, d := range m.dirs {
		if d.offline() == nil {
			errs = append(errs, d.checkpointRecoveryPoints(), d.checkpointStarts(), d.checkpointHighWatermarks())
		}
	}
	return errors.Join(errs...)
}

// onlineDirs lists the directories that work.
func (m *Manager) onlineDirs() []*logDir {
	return slices.DeleteFunc(slices.Clone(m.dirs), func(d *logDir) bool { return d.offline() != nil })
}
