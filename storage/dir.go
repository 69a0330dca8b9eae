package storage

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"ottla/storage/vfs"
)

// logDir is one of log.dirs. It fails alone: the first I/O error in it takes it offline, with all its logs, until the broker
// is started again. An fsync is never tried a second time: after a failure nobody knows what the page cache still says about the disk.
type logDir struct {
	m       *Manager
	path    string
	lock    io.Closer
	flusher *flusher
	clean   bool // the last stop was
	failure atomic.Pointer[error]

	logCount     atomic.Int64
	hwChanged    atomic.Bool
	startChanged atomic.Bool
	recovered    atomic.Bool              // some log was recovered and not flushed since
	loadedHW     map[TopicPartition]int64 // replication-offset-checkpoint as found

	cleanMu sync.Mutex               // before ckptMu
	cleaned map[TopicPartition]int64 // cleaner-offset-checkpoint

	ckptMu  sync.Mutex // one checkpoint at a time
	written map[string][sha256.Size]byte
	left    map[TopicPartition]struct{} // logs that the checkpoints on disk may name though they are not here any more: see arrive
}

func (d *logDir) offline() error {
	if p := d.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// fail takes the directory offline. Any goroutine may call it, with any lock held.
func (d *logDir) fail(err error) {
	if !d.failure.CompareAndSwap(nil, &err) {
		return
	}
	d.m.log.Error().Err(err).Str("dir", d.path).Msg("the log directory goes offline")
	d.m.wg.Go(func() {
		if f := d.m.cfg.OnDirFailure; f != nil {
			f(d.path, err)
		}
		d.m.mover.dirFailed(d)
	})
}

// each calls f with the logs of the directory, copies being made included: a log that is being swapped with its copy may come twice, never not at all.
func (d *logDir) each(f func(*Log)) {
	d.m.logs.each(func(l *Log) {
		if x := l.future.Load(); x != nil && x.dir() == d {
			f(x)
		}
		if l.dir() == d {
			f(l)
		}
	})
}

// readCheckpoint reads an offset checkpoint; a missing, empty or malformed one has no entries.
func (d *logDir) readCheckpoint(name string) (map[TopicPartition]int64, error) {
	path := join(d.path, name)
	data, err := vfs.ReadFile(d.m.cfg.FS, path, maxSmallFile)
	if err != nil {
		return nil, ignoreNotExist(err)
	}
	offsets, err := decodeCheckpoint(data)
	if err != nil {
		d.m.log.Warn().Err(err).Str("file", path).Msg("ignoring a malformed checkpoint")
		return nil, nil
	}
	return offsets, nil
}

// writeCheckpoint writes what value says of each log of the directory, atomically and durably, unless that is what the file says already.
func (d *logDir) writeCheckpoint(name string, value func(*Log) (offset int64, ok bool)) error {
	d.ckptMu.Lock()
	defer d.ckptMu.Unlock()
	if err := d.offline(); err != nil {
		return &storageError{"write " + name, err}
	}
	offsets := make(map[TopicPartition]int64)
	d.each(func(l *Log) {
		if off, ok := value(l); ok {
			offsets[l.tp] = off
		}
	})
	return d.writeOffsetsLocked(name, offsets)
}

func (d *logDir) writeOffsetsLocked(name string, offsets map[TopicPartition]int64) error {
	data := encodeCheckpoint(offsets)
	sum := sha256.Sum256(data)
	if d.written[name] == sum {
		return nil
	}
	if err := replaceFile(d.m.cfg.FS, join(d.path, name), data, true); err != nil {
		err = &storageError{"write " + name, err}
		d.fail(err)
		return err
	}
	d.written[name] = sum
	return nil
}

func (d *logDir) checkpointRecoveryPoints() error {
	return d.writeCheckpoint(recoveryPointFileName, func(l *Log) (int64, bool) {
		point := l.recoveryPoint.Load()
		l.writtenPoint.Store(point)
		return point, true
	})
}

// lowerRecoveryPoint brings a log's recovery point down to at most point, also on disk.
func (d *logDir) lowerRecoveryPoint(l *Log, point int64) error {
	d.ckptMu.Lock()
	l.recoveryPoint.Store(min(l.recoveryPoint.Load(), point))
	write := l.writtenPoint.Load() > point
	d.ckptMu.Unlock()
	if !write {
		return nil
	}
	return d.checkpointRecoveryPoints()
}

// maxLeft is how many logs may have left the directory before its checkpoints are written for that alone.
const maxLeft = 1000

// leave notes that a log is not in the directory any more: it was deleted, or has moved. The registry does not have it here.
func (d *logDir) leave(tp TopicPartition) {
	d.ckptMu.Lock()
	defer d.ckptMu.Unlock()
	if d.left == nil {
		d.left = make(map[TopicPartition]struct{})
	}
	d.left[tp] = struct{}{}
}

// arrive comes before a new log is made in the directory. What the checkpoints say of a former log of that name must go first: after a crash a recovery
// point would keep the new one's records from being checked, and a log start would hide them.
func (d *logDir) arrive(tp TopicPartition) error {
	d.ckptMu.Lock()
	_, known := d.left[tp]
	if !known && len(d.left) < maxLeft {
		d.ckptMu.Unlock()
		return nil
	}
	d.left = nil
	d.ckptMu.Unlock()
	return errors.Join(d.checkpointRecoveryPoints(), d.checkpointStarts(), d.checkpointHighWatermarks())
}

// checkpointStarts writes the log starts that the segments' names do not tell.
func (d *logDir) checkpointStarts() error {
	d.startChanged.Store(false)
	return d.writeCheckpoint(logStartFileName, func(l *Log) (int64, bool) {
		start := l.start.Load()
		return start, start > l.segmentList()[0].base
	})
}

func (d *logDir) checkpointHighWatermarks() error {
	d.hwChanged.Store(false)
	return d.writeCheckpoint(highWatermarkFileName, func(l *Log) (int64, bool) { return l.hw.Load(), true })
}

// takeCleanMarker says whether the last stop was clean, and removes the marker before anything is opened.
func (d *logDir) takeCleanMarker() error {
	path := join(d.path, cleanShutdownFileName)
	_, err := d.m.cfg.FS.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	d.clean = true
	if err := d.m.cfg.FS.Remove(path); err != nil {
		return err
	}
	return d.m.cfg.FS.SyncDir(d.path)
}

// putCleanMarker writes it, as Kafka 3.9 does.
func (d *logDir) putCleanMarker() error {
	path := join(d.path, cleanShutdownFileName)
	if err := replaceFile(d.m.cfg.FS, path, []byte(`{"version":0,"brokerEpoch":-1}`), true); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// unlock gives the directory up. Kafka removes the lock's file at a clean stop, too.
func (d *logDir) unlock() {
	if d.lock == nil {
		return
	}
	if d.offline() == nil {
		_ = d.m.cfg.FS.Remove(join(d.path, lockFileName))
	}
	d.unlockKeepingFile()
}

// unlockKeepingFile gives up a directory that was not closed cleanly.
func (d *logDir) unlockKeepingFile() {
	if d.lock != nil {
		_ = d.lock.Close()
		d.lock = nil
	}
}

func isLocked(err error) bool { return errors.Is(err, vfs.ErrLocked) }

// isIOError says that the operating system refused, as against a file that says something wrong.
func isIOError(err error) bool {
	var pe *fs.PathError
	var le *os.LinkError
	return errors.As(err, &pe) || errors.As(err, &le)
}
