package controller

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"

	"ottla/zkmeta"
)

// A deafSession does the first Multi but loses its answer.
type deafSession struct {
	zkmeta.Session
	lose atomic.Int32
}

func (s *deafSession) Multi(ctx context.Context, ops ...zkmeta.Op) ([]zkmeta.OpResult, error) {
	res, err := s.Session.Multi(ctx, ops...)
	if s.lose.Add(-1) >= 0 {
		return nil, fmt.Errorf("lost: %w", zkmeta.ErrConnectionLoss)
	}
	return res, err
}

func newTestExecutor(t *testing.T) (*cluster, *executor, *deafSession) {
	c := newCluster(t)
	c.create("/controller_epoch", []byte("1"))
	s := &deafSession{Session: c.connect()}
	return c, newExecutor(s, func(string) {}, zerolog.Nop()), s
}

func fencedWrite(ops ...zkmeta.Op) Request {
	return Request{Kind: Write, Ops: ops, Fenced: true}
}

// A fenced write that took effect is a success, though its answer was lost and its repetition failed.
func TestLostAnswersOfFencedWrites(t *testing.T) {
	c, x, s := newTestExecutor(t)
	ctx := context.Background()
	c.create("/a", []byte("0"))
	c.create("/b", nil)
	c.create("/c", []byte("0"))
	create := fencedWrite(zkmeta.CreateOp("/new", nil, zkmeta.Persistent, nil), zkmeta.CreateOp("/new/x", []byte("1"), zkmeta.Persistent, nil))
	set := fencedWrite(zkmeta.SetOp("/a", []byte("1"), 0))
	remove := fencedWrite(zkmeta.DeleteOp("/b", zkmeta.AnyVersion))
	for _, reqs := range [][]Request{{set}, {create, remove}} {
		s.lose.Store(1)
		for i, r := range x.do(ctx, reqs) {
			if r.Err != nil || len(r.Written) != len(reqs[i].Ops) {
				t.Errorf("request %d of %d: %+v", i, len(reqs), r)
			}
		}
	}
	// What somebody else wrote is not mistaken for it.
	s.lose.Store(0)
	c.set("/c", []byte("2"))
	s.lose.Store(1)
	r := x.do(ctx, []Request{fencedWrite(zkmeta.SetOp("/c", []byte("1"), 0))})[0]
	if !errors.Is(r.Err, zkmeta.ErrBadVersion) || !zkmeta.FailedAt(r.Err, 0) {
		t.Errorf("conflict: %+v", r)
	}
}

// Requests that share a multi get the results they would have got alone.
func TestJoinedWritesFailAlone(t *testing.T) {
	c, x, _ := newTestExecutor(t)
	c.create("/a", nil)
	var reqs []Request
	for i := range 500 {
		reqs = append(reqs, fencedWrite(zkmeta.CreateOp(fmt.Sprintf("/n%d", i), nil, zkmeta.Persistent, nil)))
	}
	reqs[250] = fencedWrite(zkmeta.SetOp("/a", nil, 7))
	reqs[251] = fencedWrite(zkmeta.CreateOp("/n0000", nil, zkmeta.Persistent, nil), zkmeta.DeleteOp("/none", zkmeta.AnyVersion))
	for i, r := range x.do(context.Background(), reqs) {
		switch i {
		case 250:
			if !errors.Is(r.Err, zkmeta.ErrBadVersion) || !zkmeta.FailedAt(r.Err, 0) {
				t.Errorf("%d: %+v", i, r)
			}
		case 251:
			if !errors.Is(r.Err, zkmeta.ErrNoNode) || !zkmeta.FailedAt(r.Err, 1) {
				t.Errorf("%d: %+v", i, r)
			}
		default:
			if r.Err != nil || r.Written[0].Path != fmt.Sprintf("/n%d", i) {
				t.Errorf("%d: %+v", i, r)
			}
		}
	}
	if c.exists("/n0000") {
		t.Error("half of a request was done")
	}
}

func TestFenceStopsEverything(t *testing.T) {
	c, x, s := newTestExecutor(t)
	c.create("/a", nil)
	c.set("/controller_epoch", []byte("2"))
	for _, lose := range []int32{0, 1} {
		s.lose.Store(lose)
		for _, r := range x.do(context.Background(), []Request{fencedWrite(zkmeta.SetOp("/a", nil, 0)), fencedWrite(zkmeta.DeleteOp("/a", 0))}) {
			if !errors.Is(r.Err, ErrFenced) {
				t.Errorf("%+v", r)
			}
		}
	}
	if !c.exists("/a") {
		t.Error("written in spite of the fence")
	}
}
