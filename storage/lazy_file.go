package storage

import (
	"errors"
	"os"
	"sync/atomic"

	"ottla/storage/vfs"
)

// fileRef is an open file with its users counted. The last to leave closes it; the lazyFile that opened it counts as one.
type fileRef struct {
	f    vfs.File
	refs atomic.Int32
	used atomic.Bool // since the last sweep for idle files
}

func newFileRef(f vfs.File, refs int32) *fileRef {
	r := &fileRef{f: f}
	r.refs.Store(refs)
	r.used.Store(true)
	return r
}

// tryAcquire fails once the file is closed.
func (r *fileRef) tryAcquire() bool {
	for {
		n := r.refs.Load()
		if n <= 0 {
			return false
		}
		if r.refs.CompareAndSwap(n, n+1) {
			if !r.used.Load() {
				r.used.Store(true)
			}
			return true
		}
	}
}

// claim closes the books if nobody but the lazyFile uses the file: tryAcquire fails from then on.
func (r *fileRef) claim() bool { return r.refs.CompareAndSwap(1, 0) }

func (r *fileRef) release() {
	if r.refs.Add(-1) == 0 {
		// Everything that matters was synced or is checked by recovery; there is nothing to do about an error here.
		_ = r.f.Close()
	}
}

// lazyFile is a file of a segment, opened when it is used and closed when it has not been for a while: a broker has many more
// segments than it uses. acquire is lock-free while the file is open; opening, renaming and replacing it happens under segment.mu.
type lazyFile struct {
	seg    *segment
	suffix string
	ref    atomic.Pointer[fileRef]
}

// acquire returns the open file; the caller releases it. It creates a missing file if create is set.
func (l *lazyFile) acquire(create bool) (*fileRef, error) {
	if r := l.ref.Load(); r != nil && r.tryAcquire() {
		return r, nil
	}
	l.seg.mu.Lock()
	defer l.seg.mu.Unlock()
	return l.acquireLocked(create)
}

// acquireLocked is acquire with segment.mu held.
func (l *lazyFile) acquireLocked(create bool) (*fileRef, error) {
	if r := l.ref.Load(); r != nil && r.tryAcquire() {
		return r, nil
	}
	if l.seg.removed {
		return nil, &storageError{"open " + l.pathLocked(), errClosed}
	}
	flag := os.O_RDWR
	if create {
		flag |= os.O_CREATE
	}
	f, err := l.seg.log.fs().OpenFile(l.pathLocked(), flag, 0o644)
	if err != nil {
		return nil, err
	}
	r := newFileRef(f, 2)
	l.ref.Store(r)
	return r, nil
}

func (l *lazyFile) pathLocked() string {
	return join(l.seg.log.path(), offsetName(l.seg.base)+l.suffix+l.seg.state)
}

func (l *lazyFile) path() string {
	l.seg.mu.Lock()
	defer l.seg.mu.Unlock()
	return l.pathLocked()
}

// closeLocked lets go of the open file; users that have it keep it. The caller holds segment.mu.
func (l *lazyFile) closeLocked() {
	if r := l.ref.Swap(nil); r != nil {
		r.release()
	}
}

// closeUnusedLocked closes the file unless somebody has it: while a range is held, a truncation must find it here. The caller holds segment.mu.
func (l *lazyFile) closeUnusedLocked() {
	if r := l.ref.Load(); r != nil && r.claim() {
		l.ref.Store(nil)
		_ = r.f.Close()
	}
}

// closeIfIdleLocked is closeUnusedLocked for files that nobody acquired since the last call.
func (l *lazyFile) closeIfIdleLocked() {
	if r := l.ref.Load(); r != nil && !r.used.Swap(false) {
		l.closeUnusedLocked()
	}
}

// sync makes the file's contents durable. A file that does not exist is none to sync.
func (l *lazyFile) sync() error {
	r, err := l.acquire(false)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	defer r.release()
	return r.f.Sync()
}
