package storage

import (
	"sync"
)

// flusher syncs the logs of one directory in the background. Commits, which somebody waits for, go in rounds: all logs that
// asked before a round starts are synced in it, side by side, so that the filesystem's journal is committed once for many of them; those that ask
// meanwhile form the next round. Whole flushes, after a roll, have a goroutine of their own and do not hold up commits.
type flusher struct {
	mu       sync.Mutex // leaf
	commits  []*Log
	flushes  []*Log
	closed   bool
	commitCh chan struct{} // capacity 1
	flushCh  chan struct{}
	wg       sync.WaitGroup
}

// parallelSyncs is how many files of a directory are synced at a time.
const parallelSyncs = 16

func newFlusher(manual bool) *flusher {
	f := &flusher{commitCh: make(chan struct{}, 1), flushCh: make(chan struct{}, 1)}
	if manual {
		return f
	}
	f.wg.Go(func() { f.run(f.commitCh, f.takeCommits, (*Log).commit, parallelSyncs) })
	f.wg.Go(func() { f.run(f.flushCh, f.takeFlushes, (*Log).Flush, 1) })
	return f
}

// commit asks for the log's records to be made durable.
func (f *flusher) commit(l *Log) {
	if !l.commitQueued.Swap(true) {
		f.add(&f.commits, f.commitCh, l)
	}
}

// flush asks for a whole flush.
func (f *flusher) flush(l *Log) {
	if !l.flushQueued.Swap(true) {
		f.add(&f.flushes, f.flushCh, l)
	}
}

func (f *flusher) add(queue *[]*Log, ch chan struct{}, l *Log) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	*queue = append(*queue, l)
	select {
	case ch <- struct{}{}:
	default:
	}
}

func (f *flusher) takeCommits() (l []*Log) { return f.take(&f.commits) }
func (f *flusher) takeFlushes() (l []*Log) { return f.take(&f.flushes) }

func (f *flusher) take(queue *[]*Log) []*Log {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := *queue
	*queue = nil
	return q
}

func (f *flusher) run(ch chan struct{}, take func() []*Log, sync func(*Log) error, parallel int) {
	for range ch {
		syncAll(take(), sync, parallel)
	}
}

// drain does what was asked for, in the caller's goroutine.
func (f *flusher) drain() {
	syncAll(f.takeCommits(), (*Log).commit, 1)
	syncAll(f.takeFlushes(), (*Log).Flush, 1)
}

// syncAll runs sync for each log, some at a time. Errors have taken the directory offline already.
func syncAll(logs []*Log, sync func(*Log) error, parallel int) {
	if len(logs) == 1 || parallel == 1 {
		for _, l := range logs {
			_ = sync(l)
		}
		return
	}
	each(parallel, logs, func(l *Log) { _ = sync(l) })
}

// each calls f for every item, with n goroutines.
func each[T any](n int, items []T, f func(T)) {
	var wg sync.WaitGroup
	ch := make(chan T)
	for range min(n, len(items)) {
		wg.Go(func() {
			for x := range ch {
				f(x)
			}
		})
	}
	for _, x := range items {
		ch <- x
	}
	close(ch)
	wg.Wait()
}

// close syncs what was asked for and stops.
func (f *flusher) close() {
	f.mu.Lock()
	if !f.closed {
		f.closed = true
		close(f.commitCh)
		close(f.flushCh)
	}
	f.mu.Unlock()
	f.wg.Wait()
}
