package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"ottla/storage/vfs"
)

// progressInterval is how often a long load says how far it is.
const progressInterval = 5 * time.Second

// Open locks the log directories, checks that they belong to this broker, loads all logs, recovering those that were not closed cleanly,
// and starts the background work. A directory that cannot be used goes offline; if none is left, or if one belongs to another
// broker or is in use, Open fails.
func Open(ctx context.Context, cfg ManagerConfig) (*Manager, error) {
	cfg.setDefaults()
	if len(cfg.Dirs) == 0 {
		return nil, errors.New("no log directory is configured")
	}
	m := &Manager{cfg: cfg, log: cfg.Log, logs: newRegistry(), remover: newRemover(), configs: map[string]*LogConfig{}}
	m.ctx, m.stop = context.WithCancel(context.Background())
	m.cleaner = newCleaner(m)
	m.mover = newMover(m)
	if err := m.open(ctx); err != nil {
		m.stop()
		for _, d := range m.dirs {
			d.flusher.close()
			d.unlockKeepingFile()
		}
		m.wg.Wait()
		return nil, err
	}
	if !cfg.manual {
		m.startTasks()
		m.cleaner.start()
		threads := cfg.MoveThreads
		if threads <= 0 {
			threads = len(cfg.Dirs)
		}
		m.mover.start(threads)
	}
	return m, nil
}

func (m *Manager) open(ctx context.Context) error {
	for _, path := range m.cfg.Dirs {
		d := &logDir{m: m, path: path, flusher: newFlusher(m.cfg.manual), written: map[string][32]byte{}}
		m.dirs = append(m.dirs, d)
		if err := d.open(Meta{BrokerID: m.cfg.BrokerID, ClusterID: m.cfg.ClusterID}); err != nil {
			var fatal *fatalError
			if errors.As(err, &fatal) {
				return fatal.err
			}
			d.fail(err)
		}
	}
	if err := m.anyOnline(); err != nil {
		return err
	}
	if err := m.load(ctx); err != nil {
		return err
	}
	return m.anyOnline()
}

func (m *Manager) anyOnline() error {
	if len(m.onlineDirs()) == 0 {
		return fmt.Errorf("no log directory can be used: %w", m.dirs[0].offline())
	}
	return nil
}

// fatalError is an error that must stop the broker, not only take a directory offline.
type fatalError struct{ err error }

func (e *fatalError) Error() string { return e.err.Error() }
func (e *fatalError) Unwrap() error { return e.err }

// open locks the directory and checks whose it is.
func (d *logDir) open(want Meta) error {
	if err := makeDir(d.m.cfg.FS, d.path); err != nil {
		return err
	}
	lock, err := d.m.cfg.FS.Lock(join(d.path, lockFileName))
	if err != nil {
		if isLocked(err) {
			return &fatalError{fmt.Errorf("the log directory is in use, is another broker running on it?: %w", err)}
		}
		return err
	}
	d.lock = lock
	if err := checkMeta(d.m.cfg.FS, d.path, want); err != nil {
		if isIOError(err) {
			return err
		}
		return &fatalError{err}
	}
	return d.takeCleanMarker()
}

// makeDir makes a log directory that does not exist, and its parents, durably.
func makeDir(fsys vfs.FS, dir string) error {
	if _, err := fsys.Stat(dir); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := path.Dir(dir)
	if parent != dir {
		if err := makeDir(fsys, parent); err != nil {
			return err
		}
	}
	if err := fsys.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return fsys.SyncDir(parent)
}

// loadJob is one partition directory to load.
type loadJob struct {
	dir  *logDir
	tp   TopicPartition
	path string
	kind dirKind
	opt  loadOptions
}

// load loads the logs of all directories side by side.
func (m *Manager) load(ctx context.Context) error {
	start := time.Now()
	var jobs [][]loadJob
	total := 0
	for _, d := range m.onlineDirs() {
		list, err := d.listLogs()
		if err != nil {
			d.fail(&storageError{"list " + d.path, err})
			continue
		}
		jobs = append(jobs, list)
		total += len(list)
	}
	var done atomic.Int64
	stopProgress := m.reportProgress(&done, total, start)
	defer stopProgress()

	var mu sync.Mutex
	var errs []error
	var futures []*Log
	each(m.threads(len(jobs)), jobs, func(list []loadJob) {
		threads := m.threads(max(m.cfg.RecoveryThreadsPerDir, min(4, runtime.GOMAXPROCS(0))))
		each(threads, list, func(j loadJob) {
			defer done.Add(1)
			if ctx.Err() != nil || j.dir.offline() != nil {
				return
			}
			future, err := m.loadOne(j)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
			}
			if future != nil {
				futures = append(futures, future)
			}
		})
	})
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("loading the logs was interrupted: %w", err)
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	if err := m.settleFutures(futures); err != nil {
		return err
	}
	m.log.Info().Int64("logs", m.logs.count.Load()).Dur("took_ms", time.Since(start)).Msg("loaded the logs")
	return nil
}

// threads is how many goroutines to use: n, or one in tests that must repeat exactly.
func (m *Manager) threads(n int) int {
	if m.cfg.manual {
		return 1
	}
	return n
}

// loadOne loads a log. A future log is returned, others are put in the registry. Only errors that must stop the broker are returned; others take
// the directory offline.
func (m *Manager) loadOne(j loadJob) (future *Log, err error) {
	l, err := loadLog(m, j.dir, j.tp, j.path, j.opt)
	if err != nil {
		j.dir.fail(&storageError{"load " + j.path, err})
		return nil, nil
	}
	if j.kind == dirFuture {
		j.dir.logCount.Add(1)
		return l, nil
	}
	if l.recoveryPoint.Load() < l.EndOffset() {
		j.dir.recovered.Store(true)
	}
	m.createMu.Lock()
	defer m.createMu.Unlock()
	if other := m.logs.get(j.tp); other != nil {
		return nil, fmt.Errorf("%s is in two log directories, %s and %s; one of them must go", j.tp, other.dir().path, j.dir.path)
	}
	m.logs.put(l)
	j.dir.logCount.Add(1)
	return nil, nil
}

// reportProgress logs how far the load is, if it takes long.
func (m *Manager) reportProgress(done *atomic.Int64, total int, start time.Time) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(progressInterval)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				m.log.Info().Int64("done", done.Load()).Int("logs", total).Dur("elapsed_ms", time.Since(start)).Msg("loading the logs")
			case <-ctx.Done():
				return
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}

// listLogs reads the checkpoints and the partition directories. Deleted ones are queued for removal.
func (d *logDir) listLogs() ([]loadJob, error) {
	points, err := d.readCheckpoint(recoveryPointFileName)
	if err != nil {
		return nil, err
	}
	starts, err := d.readCheckpoint(logStartFileName)
	if err != nil {
		return nil, err
	}
	if d.loadedHW, err = d.readCheckpoint(highWatermarkFileName); err != nil {
		return nil, err
	}
	if d.cleaned, err = d.readCheckpoint(cleanerOffsetsFileName); err != nil {
		return nil, err
	}
	entries, err := d.m.cfg.FS.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	for _, named := range []map[TopicPartition]int64{points, starts, d.loadedHW} {
		for tp := range named {
			d.leave(tp)
		}
	}
	recovering := make(chan struct{}, d.m.cfg.RecoveryThreadsPerDir)
	var jobs []loadJob
	for _, e := range entries {
		name := e.Name()
		if !e.IsDir() || name == remoteIndexCacheName || name == clusterMetadataDirectory {
			continue
		}
		path := join(d.path, name)
		tp, kind, err := parseDirName(name)
		switch {
		case err != nil:
			d.m.log.Warn().Err(err).Str("dir", d.path).Msg("ignoring a directory that is not a log")
			continue
		case kind == dirDelete:
			d.m.removeLater(d, path)
			continue
		case kind == dirStray:
			d.m.log.Warn().Str("dir", path).Msg("leaving a stray log alone")
			continue
		}
		delete(d.left, tp)
		start, ok := starts[tp]
		if !ok {
			start = -1
		}
		jobs = append(jobs, loadJob{d, tp, path, kind, loadOptions{
			clean: d.clean, recoveryPoint: points[tp], start: start, highWatermark: d.loadedHW[tp], recovering: recovering,
		}})
	}
	return jobs, nil
}

// removeLater removes the directory of a log that was deleted before the last stop.
func (m *Manager) removeLater(d *logDir, path string) {
	delay := time.Duration(DefaultLogConfig().FileDeleteDelayMs) * time.Millisecond
	m.remover.after(delay, func() error {
		if d.offline() != nil {
			return nil
		}
		return m.cfg.FS.RemoveAll(path)
	}, d)
}
