package embedded

import (
	"bytes"
	"context"
	"slices"

	"ottla/zkmeta"
	"ottla/zkmeta/internal/deliver"
)

// session implements zkmeta.Session and zkmeta.ACLSession.
type session struct {
	store      *Store
	id         int64
	ephemerals map[string]struct{} // under store.mu
	expired    chan struct{}
	queue      *deliver.Queue
}

var (
	_ zkmeta.Store      = (*Store)(nil)
	_ zkmeta.Session    = (*session)(nil)
	_ zkmeta.ACLSession = (*session)(nil)
)

func newSession(s *Store, id int64) *session {
	return &session{
		store: s, id: id, ephemerals: make(map[string]struct{}),
		expired: make(chan struct{}), queue: deliver.New(),
	}
}

func (c *session) ID() int64                { return c.id }
func (c *session) Expired() <-chan struct{} { return c.expired }

// Silent is never true: the store is in the same process.
func (c *session) Silent() bool { return false }

func (c *session) Close() { c.store.Expire(c.id) }

// end marks the session; called once, with store.mu held.
func (c *session) end() {
	c.queue.End()
	close(c.expired)
}

// read looks at a node under the lock and waits until what was seen is durable.
func (c *session) read(ctx context.Context, op, path string, look func(n *node) (zxid int64, err error)) error {
	fail := func(err error) error { return &zkmeta.OpError{Op: op, Path: path, Err: err} }
	if err := zkmeta.ValidatePath(path, false); err != nil {
		return fail(err)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	s := c.store
	s.mu.Lock()
	if err := s.checkLocked(c); err != nil {
		s.mu.Unlock()
		return fail(err)
	}
	n := s.tree.nodes[path]
	zxid, err := int64(0), error(zkmeta.ErrNoNode)
	if n == nil {
		zxid = s.tree.visibleFrom(path)
	}
	if n != nil || op == "exists" {
		var seen int64
		seen, err = look(n)
		zxid = max(zxid, seen)
	}
	b := s.pendingLocked(zxid)
	s.mu.Unlock()
	if waitErr := s.await(ctx, b); waitErr != nil {
		return fail(waitErr)
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

func (c *session) Get(ctx context.Context, path string, w *zkmeta.Watch) (data []byte, stat zkmeta.Stat, err error) {
	err = c.read(ctx, "get", path, func(n *node) (int64, error) {
		data, stat = bytes.Clone(n.data), n.stat()
		if w != nil {
			c.store.watches.add(c.store.watches.data, path, c, w)
		}
		return max(n.mzxid, n.pzxid), nil
	})
	if err != nil {
		return nil, zkmeta.Stat{}, err
	}
	return data, stat, nil
}

func (c *session) Children(ctx context.Context, path string, w *zkmeta.Watch) (names []string, stat zkmeta.Stat, err error) {
	err = c.read(ctx, "children", path, func(n *node) (int64, error) {
		stat = n.stat()
		names = make([]string, 0, len(n.children))
		for name := range n.children {
			names = append(names, name)
		}
		if w != nil {
			c.store.watches.add(c.store.watches.child, path, c, w)
		}
		return max(n.mzxid, n.pzxid), nil
	})
	if err != nil {
		return nil, zkmeta.Stat{}, err
	}
	return names, stat, nil
}

func (c *session) Exists(ctx context.Context, path string, w *zkmeta.Watch) (stat zkmeta.Stat, exists bool, err error) {
	err = c.read(ctx, "exists", path, func(n *node) (int64, error) {
		if w != nil {
			c.store.watches.add(c.store.watches.data, path, c, w)
		}
		if n == nil {
			return 0, nil
		}
		stat, exists = n.stat(), true
		return max(n.mzxid, n.pzxid), nil
	})
	if err != nil {
		return zkmeta.Stat{}, false, err
	}
	return stat, exists, nil
}

// one runs a transaction of a single operation.
func (c *session) one(ctx context.Context, op zkmeta.Op) (zkmeta.OpResult, error) {
	results, _, err := c.store.write(ctx, c, []zkmeta.Op{op})
	if err != nil {
		return zkmeta.OpResult{}, &zkmeta.OpError{Op: op.Kind.String(), Path: op.Path, Err: err}
	}
	return results[0], nil
}

func (c *session) Create(ctx context.Context, path string, data []byte, mode zkmeta.Mode, acl []zkmeta.ACL) (string, error) {
	res, err := c.one(ctx, zkmeta.CreateOp(path, data, mode, acl))
	return res.Path, err
}

func (c *session) Set(ctx context.Context, path string, data []byte, version int32) (zkmeta.Stat, error) {
	res, err := c.one(ctx, zkmeta.SetOp(path, data, version))
	return res.Stat, err
}

func (c *session) Delete(ctx context.Context, path string, version int32) error {
	_, err := c.one(ctx, zkmeta.DeleteOp(path, version))
	return err
}

func (c *session) Multi(ctx context.Context, ops ...zkmeta.Op) ([]zkmeta.OpResult, error) {
	if len(ops) == 0 {
		return nil, nil
	}
	results, index, err := c.store.write(ctx, c, ops)
	if err == nil {
		for i := range results {
			if ops[i].Kind != zkmeta.OpSet {
				results[i].Stat = zkmeta.Stat{}
			}
			if ops[i].Kind != zkmeta.OpCreate {
				results[i].Path = ""
			}
		}
		return results, nil
	}
	if results != nil || ctx.Err() != nil || zkmeta.Terminal(err) {
		return nil, &zkmeta.OpError{Op: "multi", Path: ops[0].Path, Err: err}
	}
	return zkmeta.FailedMulti(ops, index, err)
}

func (c *session) GetACL(ctx context.Context, path string) (acl []zkmeta.ACL, stat zkmeta.Stat, err error) {
	err = c.read(ctx, "get ACL", path, func(n *node) (int64, error) {
		acl, stat = slices.Clone(n.acl), n.stat()
		return c.store.tree.zxid, nil
	})
	return acl, stat, err
}

func (c *session) SetACL(ctx context.Context, path string, acl []zkmeta.ACL, version int32) (zkmeta.Stat, error) {
	fail := func(err error) (zkmeta.Stat, error) {
		return zkmeta.Stat{}, &zkmeta.OpError{Op: "set ACL", Path: path, Err: err}
	}
	if err := zkmeta.ValidatePath(path, false); err != nil {
		return fail(err)
	}
	s := c.store
	s.mu.Lock()
	if err := s.checkLocked(c); err != nil {
		s.mu.Unlock()
		return fail(err)
	}
	x, stat, err := s.tree.setACL(path, acl, version)
	if err != nil {
		s.mu.Unlock()
		return fail(err)
	}
	b := s.enqueueLocked(x)
	s.mu.Unlock()
	if err := s.await(ctx, b); err != nil {
		return fail(err)
	}
	return stat, nil
}
