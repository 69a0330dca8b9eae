package ensemble

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-zookeeper/zk"

	"ottla/zkmeta"
)

const (
	// retryPause is the wait before a request is sent again.
	retryPause = 50 * time.Millisecond
	// maxBrokenReads ends the repetition of a read that breaks the connection each time (an answer larger
	// than we accept).
	maxBrokenReads = 10
)

// errAbandoned: the caller's context ended while the request was under way.
var errAbandoned = errors.New("abandoned")

// call runs f in a goroutine of its own, within the bound on requests in flight. f is run again if the
// request was not sent and, if it may be repeated (again), if the connection broke.
func call[T any](ctx context.Context, s *session, again bool, f func(c *zk.Conn) (T, error)) (T, error) {
	for losses := 0; ; {
		v, err := callOnce(ctx, s, f)
		switch {
		case err == nil:
			return v, nil
		case errors.Is(err, zk.ErrNoServer): // was never sent
		case again && broken(err) && losses < maxBrokenReads:
			losses++
		default:
			return v, s.explain(ctx, err)
		}
		pause := time.NewTimer(retryPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
		case <-s.expired:
		}
		pause.Stop()
	}
}

func callOnce[T any](ctx context.Context, s *session, f func(c *zk.Conn) (T, error)) (zero T, _ error) {
	if s.over() {
		return zero, zkmeta.ErrSessionExpired
	}
	if err := ctx.Err(); err != nil {
		return zero, err
	}
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return zero, ctx.Err()
	case <-s.expired:
		return zero, zkmeta.ErrSessionExpired
	}
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	start := time.Now()
	go func() {
		v, err := f(s.conn)
		<-s.slots
		if s.store.cfg.OnRequest != nil {
			s.store.cfg.OnRequest(time.Since(start))
		}
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		return zero, errAbandoned
	case <-s.expired:
	}
	// The Conn is being closed and fails what it has; an answer that came before counts.
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		return zero, errAbandoned
	case <-time.After(time.Second):
		return zero, zk.ErrConnectionClosed
	}
}

// explain turns an error of callOnce into zkmeta's.
func (s *session) explain(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, errAbandoned):
		return fmt.Errorf("%w: %w", zkmeta.ErrConnectionLoss, ctx.Err())
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, zkmeta.ErrSessionExpired):
		return err
	}
	err = translate(err)
	if s.over() && errors.Is(err, zkmeta.ErrConnectionLoss) {
		return fmt.Errorf("%w: %w", zkmeta.ErrSessionExpired, err)
	}
	return err
}
