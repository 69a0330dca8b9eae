package storage

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// A log moves to another log directory by way of a copy there, the future log (KIP-113): a Log of its own in a directory named
// <topic>-<partition>.<32 hex>-future, which the mover fills from the current log (mover.go) and puts in its place once it has caught up
// (log_move.go). It is always a prefix of the current log: what truncates the current log truncates the copy before.

// maxNameBytes is how long the name of a directory may be.
const maxNameBytes = 255

// futureDirName is a fresh name for the directory of a future log.
func futureDirName(tp TopicPartition) string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return tp.Topic + "-" + strconv.Itoa(int(tp.Partition)) + "." + hex.EncodeToString(id[:]) + futureDirSuffix
}

// Future is the copy of the log that is being made in another log directory, nil if there is none. It is there to be looked at only.
func (l *Log) Future() *Log { return l.future.Load() }

// CheckMove says whether a log of that name could move to a directory, whether it exists or not.
//
// Errors: INVALID_TOPIC_EXCEPTION for a name too long to have a future log, LOG_DIR_NOT_FOUND, KAFKA_STORAGE_ERROR for an offline directory.
func (m *Manager) CheckMove(tp TopicPartition, dir string) error {
	if len(futureDirName(tp)) > maxNameBytes {
		return fmt.Errorf("move %s: the topic's name is too long: %w", tp, kerr.InvalidTopicException)
	}
	d := m.dirNamed(dir)
	if d == nil {
		return fmt.Errorf("move %s: log directory %q is not configured: %w", tp, dir, kerr.LogDirNotFound)
	}
	if err := d.offline(); err != nil {
		return &storageError{fmt.Sprintf("move %s: log directory %s is offline", tp, dir), err}
	}
	return nil
}

func (m *Manager) dirNamed(path string) *logDir {
	for _, d := range m.dirs {
		if d.path == path {
			return d
		}
	}
	return nil
}

// Move begins to move a log to another log directory. A move to elsewhere that is under way is given up; there is nothing else to do if the log is
// in that directory already. A move that stands still because of an error is tried again. Without a log it does what Prefer does.
//
// Errors: those of CheckMove, and KAFKA_STORAGE_ERROR if the log's directory is offline, or any other, which may hold a copy already.
func (m *Manager) Move(tp TopicPartition, dir string) error {
	if err := m.CheckMove(tp, dir); err != nil {
		return err
	}
	d := m.dirNamed(dir)
	m.createMu.Lock()
	defer m.createMu.Unlock()
	if m.closed {
		return &storageError{"move " + tp.String(), errClosed}
	}
	l := m.logs.get(tp)
	if l == nil {
		m.preferLocked(tp, d)
		return nil
	}
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if f := l.future.Load(); f != nil && f.dir() == d {
		if f.stalled.Swap(false) {
			m.mover.add(l)
		}
		return nil
	} else if f != nil {
		l.logger().Info().Str("to", f.Dir()).Msg("giving up the move of a log")
		if err := l.dropFuture(f); err != nil {
			return err
		}
	}
	if l.dir() == d {
		return nil
	}
	for _, other := range m.dirs {
		if err := other.offline(); err != nil {
			return &storageError{fmt.Sprintf("move %s: a copy of it may be in %s, which is offline", tp, other.path), err}
		}
	}
	if err := d.arrive(tp); err != nil {
		return err
	}
	f, err := createLog(m, d, tp, futureDirName(tp), l.TopicID())
	if err != nil {
		err = &storageError{"create the future log of " + tp.String(), err}
		d.fail(err)
		return err
	}
	d.logCount.Add(1)
	l.setFuture(f)
	l.logger().Info().Str("to", d.path).Msg("moving a log to another directory")
	return nil
}

// Prefer makes Create put a log that does not exist yet in a directory. It is forgotten with the broker (LogManager.maybeUpdatePreferredLogDir).
//
// Errors: those of CheckMove.
func (m *Manager) Prefer(tp TopicPartition, dir string) error {
	if err := m.CheckMove(tp, dir); err != nil {
		return err
	}
	m.createMu.Lock()
	defer m.createMu.Unlock()
	if m.logs.get(tp) == nil {
		m.preferLocked(tp, m.dirNamed(dir))
	}
	return nil
}

func (m *Manager) preferLocked(tp TopicPartition, d *logDir) {
	if m.preferred == nil {
		m.preferred = map[TopicPartition]*logDir{}
	}
	if _, known := m.preferred[tp]; known || len(m.preferred) < maxPreferred {
		m.preferred[tp] = d
	}
}

// maxPreferred bounds the memory for directories that were named before their partitions were there.
const maxPreferred = 100_000

// setFuture gives the log a copy to be filled. Compaction rests until it is in place: the copy holds what is not compacted.
func (l *Log) setFuture(f *Log) {
	l.mu.Lock()
	l.future.Store(f)
	l.abortCleaningLocked()
	l.mu.Unlock()
	l.m.mover.add(l)
}

// dropFuture ends a move: the copy is deleted. The caller holds flushMu.
func (l *Log) dropFuture(f *Log) error {
	l.moveMu.Lock()
	defer l.moveMu.Unlock()
	l.future.Store(nil)
	return f.discardDir()
}

// loseFuture ends a move whose copy is in a directory that went offline; the next start goes on with it if the directory is back.
func (l *Log) loseFuture(f *Log) {
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	l.moveMu.Lock()
	defer l.moveMu.Unlock()
	if !l.future.CompareAndSwap(f, nil) {
		return
	}
	f.shut()
	f.dir().logCount.Add(-1)
	l.logger().Error().Str("to", f.Dir()).Msg("the log stays where it is: the directory that it was moving to is offline")
}

// discardDir closes a future log and renames its directory, durably, or the next start would take it for the only copy of a log that is deleted next.
func (l *Log) discardDir() error {
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed.Swap(true) {
		return nil
	}
	l.generation.Add(2)
	for _, s := range l.segmentList() {
		s.close()
	}
	d := l.dir()
	d.logCount.Add(-1)
	d.leave(l.tp)
	if d.offline() != nil {
		return nil // the next start deals with it
	}
	if _, err := l.m.trash(d, l.tp, l.path(), l.deleteDelay()); err != nil {
		err = &storageError{"delete the future log of " + l.tp.String(), err}
		d.fail(err)
		return err
	}
	return d.setCleanedTo(l.tp, -1)
}

// trash renames a log's directory so that it is deleted, after a delay or by a later start.
func (m *Manager) trash(d *logDir, tp TopicPartition, path string, delay time.Duration) (to string, err error) {
	to = join(d.path, deletedDirName(tp))
	if err := m.cfg.FS.Rename(path, to); err != nil {
		return "", err
	}
	// Else a crash brings the log back, maybe beside a new topic of that name.
	if err := m.cfg.FS.SyncDir(d.path); err != nil {
		return "", err
	}
	m.remover.after(delay, func() error {
		if d.offline() != nil {
			return nil
		}
		return m.cfg.FS.RemoveAll(to)
	}, d)
	return to, nil
}

// settleFutures deals with the future logs that a start found, when all logs are loaded. One that belongs to a log goes on being filled, from
// where the two agree. One without a log is the log: the stop came in the middle of the swap, when the old one was given up and the copy
// was complete. That is certain only if every directory could be read; otherwise it is left alone.
func (m *Manager) settleFutures(futures []*Log) error {
	for _, f := range futures {
		l := m.logs.get(f.tp)
		switch {
		case l == nil && len(m.onlineDirs()) < len(m.dirs):
			m.log.Warn().Stringer("partition", f.tp).Str("dir", f.path()).
				Msg("leaving a future log alone: the log may be in a directory that is offline")
			f.shut()
		case l == nil:
			if err := f.promote(); err != nil {
				return err
			}
		case l.dir() == f.dir() || l.future.Load() != nil || f.strangerTo(l):
			m.log.Warn().Stringer("partition", f.tp).Str("dir", f.path()).
				Msg("deleting a future log: there is another, the log is in its directory, or it is of a former topic of that name")
			_ = f.discardDir() // an error has taken the directory offline
		case l.dir().offline() != nil || f.dir().offline() != nil:
			f.shut()
		default:
			if err := f.agreeWith(l); err != nil {
				l.logger().Error().Err(err).Str("to", f.Dir()).Msg("a move that was under way cannot go on")
				f.shut()
				continue
			}
			l.setFuture(f)
			l.logger().Info().Str("to", f.Dir()).Int64("offset", f.EndOffset()).Msg("going on with the move of a log")
		}
	}
	return nil
}

// strangerTo says that the two are of different topics.
func (l *Log) strangerTo(other *Log) bool {
	a, b := l.TopicID(), other.TopicID()
	return a != b && a != [16]byte{} && b != [16]byte{}
}

// promote makes a future log the log.
func (l *Log) promote() error {
	d, to := l.dir(), join(l.dir().path, l.tp.String())
	err := l.fs().Rename(l.path(), to)
	if err == nil {
		err = l.fs().SyncDir(d.path)
	}
	if err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("finish the move of %s: %w", l.tp, err)
		}
		d.fail(&storageError{"finish the move of " + l.tp.String(), err})
		l.shut()
		return nil
	}
	l.where.Store(&to)
	l.m.logs.put(l)
	l.logger().Info().Msg("finished the move of a log that was interrupted")
	return nil
}

// agreeWith cuts a future log, as found at the start, back to where it agrees with its log, by the leader epochs as a follower does. A crash may have left
// the log shorter than the copy, and if the copy's directory was away for a while, the log was truncated without it.
func (l *Log) agreeWith(current *Log) error {
	for {
		end, epoch := l.EndOffset(), l.LatestEpoch()
		if end <= l.StartOffset() {
			return nil
		}
		if epoch < 0 || current.LatestEpoch() < 0 {
			return l.TruncateFullyTo(current.StartOffset()) // nothing tells
		}
		to := min(end, current.EndOffset())
		known, knownEnd := current.EpochEndOffset(min(epoch, current.LatestEpoch()))
		if known == epoch {
			return l.TruncateTo(min(to, knownEnd))
		}
		// The largest epoch that the log knows: the copy agrees up to its end at most.
		if _, ownEnd := l.EpochEndOffset(known); ownEnd >= 0 {
			to = min(to, knownEnd, ownEnd)
		} else {
			to = l.StartOffset()
		}
		if err := l.TruncateTo(to); err != nil {
			return err
		}
		if l.EndOffset() == end && l.LatestEpoch() == epoch {
			return l.TruncateFullyTo(current.StartOffset())
		}
	}
}
