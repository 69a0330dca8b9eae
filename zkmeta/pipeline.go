package zkmeta

import (
	"context"
	"errors"
	"sync"
	"time"
)

// pipelineWidth is how many requests of one list are under way together; the session bounds them too.
const pipelineWidth = 256

// Pipeline calls f for 0 to n-1 from several goroutines and returns when all have returned. The first
// error (in the order of i) is returned; once ctx has ended no further f starts.
func Pipeline(ctx context.Context, n int, f func(i int) error) error {
	if n == 1 {
		return f(0)
	}
	var (
		mu    sync.Mutex
		next  int
		first = n
		err   error
		wg    sync.WaitGroup
	)
	fail := func(i int, e error) {
		mu.Lock()
		defer mu.Unlock()
		if i < first {
			first, err = i, e
		}
	}
	for range min(n, pipelineWidth) {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= n {
					return
				}
				if e := ctx.Err(); e != nil {
					fail(i, e)
					return
				}
				if e := f(i); e != nil {
					fail(i, e)
				}
			}
		})
	}
	wg.Wait()
	return err
}

// Node is a node that was read; Err is ErrNoNode or another error about this node alone.
type Node struct {
	Data []byte
	Stat Stat
	Err  error
}

// GetAll reads many nodes, pipelined. The error is about the session; what is wrong with one node is in
// its Node.
func GetAll(ctx context.Context, s Session, paths []string) ([]Node, error) {
	nodes := make([]Node, len(paths))
	err := Pipeline(ctx, len(paths), func(i int) error {
		n := &nodes[i]
		n.Data, n.Stat, n.Err = s.Get(ctx, paths[i], nil)
		if n.Err != nil && Terminal(n.Err) {
			return n.Err
		}
		return nil
	})
	return nodes, err
}

// lossPause is the wait before asking what became of a write.
const lossPause = 50 * time.Millisecond

// untilKnown repeats f as long as its outcome is unknown. f must be such that a repetition does no harm
// if the write before it happened.
func untilKnown(ctx context.Context, s Session, f func() error) error {
	for {
		err := f()
		if !mayRetry(ctx, err) {
			return err
		}
		if waitErr := pause(ctx, s, lossPause); waitErr != nil {
			return err
		}
	}
}

// mayRetry says that the connection broke under a request while session and ctx go on.
func mayRetry(ctx context.Context, err error) bool {
	return errors.Is(err, ErrConnectionLoss) && !errors.Is(err, ErrSessionExpired) && ctx.Err() == nil
}

// pause waits, unless ctx or the session ends first.
func pause(ctx context.Context, s Session, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.Expired():
		return ErrSessionExpired
	}
}

// CreateRecursive creates a persistent node and the parents that are missing, these with null data.
//
// Errors: ErrNodeExists (also if it was this call that created the node and the answer got lost).
func CreateRecursive(ctx context.Context, s Session, path string, data []byte) error {
	return untilKnown(ctx, s, func() error { return createOnce(ctx, s, path, data) })
}

// createOnce is CreateRecursive that reports a lost answer.
func createOnce(ctx context.Context, s Session, path string, data []byte) error {
	_, err := s.Create(ctx, path, data, Persistent, nil)
	if !errors.Is(err, ErrNoNode) || path == "/" {
		return err
	}
	if err := ensure(ctx, s, Parent(path)); err != nil {
		return err
	}
	_, err = s.Create(ctx, path, data, Persistent, nil)
	return err
}

// ensure makes sure that a directory node exists.
func ensure(ctx context.Context, s Session, path string) error {
	err := CreateRecursive(ctx, s, path, nil)
	if errors.Is(err, ErrNodeExists) {
		return nil
	}
	return err
}
