package controller

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"ottla/zkmeta"
)

// Bounds on what one step puts on the way to the metadata store.
const (
	// maxInFlight calls are made at once.
	maxInFlight = 1000
	// Fenced writes are joined to multis of this size; ZooKeeper's default limit (jute.maxbuffer) is 1 MiB.
	maxMultiOps   = 200
	maxMultiBytes = 256 << 10
)

// Pauses between attempts while the connection to the store is broken.
const (
	minIOBackoff = 20 * time.Millisecond
	maxIOBackoff = 500 * time.Millisecond
)

// An executor does a machine's requests over one session.
type executor struct {
	session zkmeta.Session
	changed func(path string)
	log     zerolog.Logger

	mu sync.Mutex
	// watches are those set and not fired yet. There is at most one for each path and kind.
	watches map[watchKey]*zkmeta.Watch
}

type watchKey struct {
	children bool
	path     string
}

func newExecutor(s zkmeta.Session, changed func(path string), log zerolog.Logger) *executor {
	return &executor{session: s, changed: changed, log: log, watches: map[watchKey]*zkmeta.Watch{}}
}

// do answers when all requests are done, or ctx ends. Reads and writes whose connection broke are repeated
// until the session is over.
func (x *executor) do(ctx context.Context, reqs []Request) []Result {
	results := make([]Result, len(reqs))
	var calls []func()
	var group []int
	ops, size := 0, 0
	cut := func() {
		if len(group) > 0 {
			g := group
			calls = append(calls, func() { x.fenced(ctx, reqs, results, g) })
		}
		group, ops, size = nil, 0, 0
	}
	for i := range reqs {
		r := &reqs[i]
		if r.Kind != Write || !r.Fenced {
			calls = append(calls, func() { results[i] = x.single(ctx, r) })
			continue
		}
		n := 0
		for _, op := range r.Ops {
			n += len(op.Path) + len(op.Data) + 64
		}
		if len(group) > 0 && (ops+len(r.Ops) > maxMultiOps || size+n > maxMultiBytes || reqs[group[0]].EpochVersion != r.EpochVersion) {
			cut()
		}
		group = append(group, i)
		ops, size = ops+len(r.Ops), size+n
	}
	cut()
	concurrently(calls)
	return results
}

// concurrently makes the calls, at most maxInFlight at once.
func concurrently(calls []func()) {
	if len(calls) == 1 {
		calls[0]()
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(len(calls), maxInFlight) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(calls) {
					return
				}
				calls[i]()
			}
		})
	}
	wg.Wait()
}

// single does a read or a write without a fence.
func (x *executor) single(ctx context.Context, r *Request) Result {
	var res Result
	x.retry(ctx, func() error {
		res = x.attempt(ctx, r)
		return res.Err
	})
	return res
}

func (x *executor) attempt(ctx context.Context, r *Request) (res Result) {
	if r.Kind == Write {
		res.Written, res.Err = x.session.Multi(ctx, r.Ops...)
		return res
	}
	key := watchKey{children: r.Kind == ReadChildren, path: r.Path}
	var w *zkmeta.Watch
	if r.Watch {
		w = x.arm(key)
	}
	switch r.Kind {
	case ReadData:
		res.Data, res.Stat, res.Err = x.session.Get(ctx, r.Path, w)
	case ReadChildren:
		res.Children, res.Stat, res.Err = x.session.Children(ctx, r.Path, w)
	case ReadExists:
		res.Stat, res.Exists, res.Err = x.session.Exists(ctx, r.Path, w)
	}
	if w != nil && res.Err != nil {
		x.disarm(key, w)
	}
	return res
}

// arm returns a watch to set, or nil if there is one that has not fired: it will, at the next change.
func (x *executor) arm(key watchKey) *zkmeta.Watch {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.watches[key] != nil {
		return nil
	}
	var w *zkmeta.Watch
	w = zkmeta.NewWatch(func(zkmeta.Event) {
		x.remove(key, w)
		x.changed(key.path)
	})
	x.watches[key] = w
	return w
}

func (x *executor) disarm(key watchKey, w *zkmeta.Watch) {
	w.Cancel()
	x.remove(key, w)
}

func (x *executor) remove(key watchKey, w *zkmeta.Watch) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.watches[key] == w {
		delete(x.watches, key)
	}
}

// fenced does the requests at the given places as one multi behind the check of the controller epoch. If
// that fails, because of one of them, each is done by itself.
func (x *executor) fenced(ctx context.Context, reqs []Request, results []Result, group []int) {
	ops := []zkmeta.Op{zkmeta.CheckOp(zkmeta.ControllerEpoch, reqs[group[0]].EpochVersion)}
	for _, i := range group {
		ops = append(ops, reqs[i].Ops...)
	}
	var written []zkmeta.OpResult
	uncertain := false
	err := x.retry(ctx, func() error {
		var err error
		written, err = x.session.Multi(ctx, ops...)
		uncertain = uncertain || errors.Is(err, zkmeta.ErrConnectionLoss)
		return err
	})
	switch {
	case err == nil:
		written = written[1:]
		for _, i := range group {
			n := len(reqs[i].Ops)
			results[i] = Result{Written: written[:n:n]}
			written = written[n:]
		}
	case zkmeta.FailedAt(err, 0):
		for _, i := range group {
			results[i] = Result{Err: errors.Join(ErrFenced, err)}
		}
	case len(group) > 1 && !endsTerm(err) && ctx.Err() == nil:
		calls := make([]func(), len(group))
		for k, i := range group {
			calls[k] = func() { x.fencedOne(ctx, reqs, results, i, uncertain) }
		}
		concurrently(calls)
	default:
		results[group[0]] = x.failed(ctx, reqs[group[0]].Ops, err, uncertain)
		for _, i := range group[1:] {
			results[i] = Result{Err: err}
		}
	}
}

func (x *executor) fencedOne(ctx context.Context, reqs []Request, results []Result, i int, uncertain bool) {
	x.fenced(ctx, reqs, results, []int{i})
	if r := &results[i]; uncertain && r.Err != nil && !endsTerm(r.Err) {
		*r = x.failed(ctx, reqs[i].Ops, r.Err, true)
	}
}

// failed is the result of a fenced write that failed with err. If an earlier attempt may have reached the
// store, the failure may be that very attempt's doing, which shows in the znodes: nobody else can have
// written the same in this controller epoch.
func (x *executor) failed(ctx context.Context, ops []zkmeta.Op, err error, uncertain bool) Result {
	if uncertain && !endsTerm(err) && ctx.Err() == nil {
		if written, ok := x.applied(ctx, ops); ok {
			return Result{Written: written}
		}
	}
	if m := (*zkmeta.MultiError)(nil); errors.As(err, &m) {
		err = &zkmeta.MultiError{Index: m.Index - 1, Op: m.Op, Err: m.Err}
	}
	return Result{Err: err}
}

// applied tells whether the store looks as if all ops had been done.
func (x *executor) applied(ctx context.Context, ops []zkmeta.Op) ([]zkmeta.OpResult, bool) {
	written := make([]zkmeta.OpResult, len(ops))
	for i, op := range ops {
		res := x.single(ctx, &Request{Kind: ReadData, Path: op.Path})
		switch op.Kind {
		case zkmeta.OpDelete:
			if !errors.Is(res.Err, zkmeta.ErrNoNode) {
				return nil, false
			}
		case zkmeta.OpCreate:
			if res.Err != nil || !bytes.Equal(res.Data, op.Data) || res.Stat.Version != 0 {
				return nil, false
			}
			written[i] = zkmeta.OpResult{Path: op.Path, Stat: res.Stat}
		case zkmeta.OpSet:
			if res.Err != nil || !bytes.Equal(res.Data, op.Data) || op.Version != zkmeta.AnyVersion && res.Stat.Version != op.Version+1 {
				return nil, false
			}
			written[i] = zkmeta.OpResult{Path: op.Path, Stat: res.Stat}
		default:
			return nil, false
		}
	}
	return written, true
}

// retry repeats call while the connection is broken. It gives up when the session or ctx ends.
func (x *executor) retry(ctx context.Context, call func() error) error {
	backoff := minIOBackoff
	for {
		err := call()
		if err == nil || !errors.Is(err, zkmeta.ErrConnectionLoss) {
			return err
		}
		x.log.Debug().Err(err).Msg("metadata store did not answer; trying again")
		select {
		case <-time.After(backoff):
			backoff = min(2*backoff, maxIOBackoff)
		case <-x.session.Expired():
			return errors.Join(zkmeta.ErrSessionExpired, err)
		case <-ctx.Done():
			return err
		}
	}
}
