package ensemble

import (
	"context"
	"fmt"
	"strings"

	"github.com/go-zookeeper/zk"

	"ottla/zkmeta"
)

// full puts the chroot before path.
func (s *session) full(path string) string {
	chroot := s.store.cfg.Chroot
	if path == "/" && chroot != "" {
		return chroot
	}
	return chroot + path
}

// strip takes the chroot away; false for paths outside of it.
func (s *session) strip(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, s.store.cfg.Chroot)
	switch {
	case !ok:
		return "", false
	case rest == "":
		return "/", true
	}
	return rest, rest[0] == '/'
}

// acl is what is sent for a new node; path is without chroot.
func (s *session) acl(path string, acl []zkmeta.ACL) []zk.ACL {
	if acl == nil {
		acl = zkmeta.DefaultACL(path, s.store.cfg.SecureACLs)
	}
	out := make([]zk.ACL, len(acl))
	for i, a := range acl {
		out[i] = zk.ACL{Perms: a.Perms, Scheme: a.Scheme, ID: a.ID}
	}
	return out
}

func toStat(s *zk.Stat) zkmeta.Stat {
	if s == nil {
		return zkmeta.Stat{}
	}
	return zkmeta.Stat{
		Czxid: s.Czxid, Mzxid: s.Mzxid, Pzxid: s.Pzxid, CtimeMs: s.Ctime, MtimeMs: s.Mtime,
		Version: s.Version, Cversion: s.Cversion, Aversion: s.Aversion,
		EphemeralOwner: s.EphemeralOwner, DataLength: s.DataLength, NumChildren: s.NumChildren,
	}
}

func opError(op, path string, err error) error {
	return &zkmeta.OpError{Op: op, Path: path, Err: err}
}

// checkRequest refuses what would break the connection.
func checkRequest(path string, sequential bool, size int) error {
	if err := zkmeta.ValidatePath(path, sequential); err != nil {
		return err
	}
	const overhead = 4096 // header, path, ACL
	if size > maxRequestBytes-overhead-len(path) {
		return fmt.Errorf("%w: %d bytes", zkmeta.ErrTooLarge, size)
	}
	return nil
}

// answer is the result of any read.
type answer struct {
	data     []byte
	children []string
	stat     zkmeta.Stat
	exists   bool
}

// read runs a read and sets w, if not nil, with it: plain is enough when the path is watched already.
// watching also says whether it has set a watch on the server.
func (s *session) read(ctx context.Context, op, path string, child bool, w *zkmeta.Watch,
	plain func(c *zk.Conn) (answer, error), watching func(c *zk.Conn) (a answer, set bool, err error)) (answer, error) {
	if err := zkmeta.ValidatePath(path, false); err != nil {
		return answer{}, opError(op, path, err)
	}
	run, undo := plain, func() {}
	if w != nil {
		r := s.watch.begin(watchKey{path, child}, w)
		undo = func() { s.watch.drop(r) }
		if !r.armed {
			run = func(c *zk.Conn) (answer, error) {
				a, set, err := watching(c)
				if set {
					s.watch.arm(r)
				}
				return a, err
			}
		}
	}
	a, err := call(ctx, s, true, run)
	if err != nil {
		undo()
		return answer{}, opError(op, path, err)
	}
	return a, nil
}

func (s *session) Get(ctx context.Context, path string, w *zkmeta.Watch) ([]byte, zkmeta.Stat, error) {
	full := s.full(path)
	a, err := s.read(ctx, "get", path, false, w,
		func(c *zk.Conn) (answer, error) {
			data, stat, err := c.Get(full)
			return answer{data: data, stat: toStat(stat)}, err
		},
		func(c *zk.Conn) (answer, bool, error) {
			data, stat, _, err := c.GetW(full)
			return answer{data: data, stat: toStat(stat)}, err == nil, err
		})
	return a.data, a.stat, err
}

func (s *session) Children(ctx context.Context, path string, w *zkmeta.Watch) ([]string, zkmeta.Stat, error) {
	full := s.full(path)
	a, err := s.read(ctx, "children", path, true, w,
		func(c *zk.Conn) (answer, error) {
			names, stat, err := c.Children(full)
			return answer{children: names, stat: toStat(stat)}, err
		},
		func(c *zk.Conn) (answer, bool, error) {
			names, stat, _, err := c.ChildrenW(full)
			return answer{children: names, stat: toStat(stat)}, err == nil, err
		})
	return a.children, a.stat, err
}

func (s *session) Exists(ctx context.Context, path string, w *zkmeta.Watch) (zkmeta.Stat, bool, error) {
	full := s.full(path)
	result := func(exists bool, stat *zk.Stat, err error) answer {
		if err != nil || !exists {
			return answer{}
		}
		return answer{exists: true, stat: toStat(stat)}
	}
	a, err := s.read(ctx, "exists", path, false, w,
		func(c *zk.Conn) (answer, error) {
			exists, stat, err := c.Exists(full)
			return result(exists, stat, err), err
		},
		func(c *zk.Conn) (answer, bool, error) {
			exists, stat, _, err := c.ExistsW(full)
			return result(exists, stat, err), err == nil, err
		})
	return a.stat, a.exists, err
}

func (s *session) Create(ctx context.Context, path string, data []byte, mode zkmeta.Mode, acl []zkmeta.ACL) (string, error) {
	err := checkRequest(path, mode.Sequential(), len(data))
	if err == nil && !mode.Valid() {
		err = zkmeta.ErrBadArguments
	}
	if err != nil {
		return "", opError("create", path, err)
	}
	created, err := call(ctx, s, false, func(c *zk.Conn) (string, error) {
		return c.Create(s.full(path), data, int32(mode), s.acl(path, acl))
	})
	if err != nil {
		return "", opError("create", path, err)
	}
	if out, ok := s.strip(created); ok {
		return out, nil
	}
	return "", opError("create", path, fmt.Errorf("%w: the server answers with the path %q", errProtocol, created))
}

func (s *session) Set(ctx context.Context, path string, data []byte, version int32) (zkmeta.Stat, error) {
	if err := checkRequest(path, false, len(data)); err != nil {
		return zkmeta.Stat{}, opError("set", path, err)
	}
	stat, err := call(ctx, s, false, func(c *zk.Conn) (zkmeta.Stat, error) {
		stat, err := c.Set(s.full(path), data, version)
		return toStat(stat), err
	})
	if err != nil {
		return zkmeta.Stat{}, opError("set", path, err)
	}
	return stat, nil
}

func (s *session) Delete(ctx context.Context, path string, version int32) error {
	if err := checkRequest(path, false, 0); err != nil {
		return opError("delete", path, err)
	}
	_, err := call(ctx, s, false, func(c *zk.Conn) (struct{}, error) {
		return struct{}{}, c.Delete(s.full(path), version)
	})
	if err != nil {
		return opError("delete", path, err)
	}
	return nil
}

func (s *session) Multi(ctx context.Context, ops ...zkmeta.Op) ([]zkmeta.OpResult, error) {
	if len(ops) == 0 {
		return nil, nil
	}
	requests, size := make([]any, len(ops)), 0
	for i, op := range ops {
		size += len(op.Data) + len(op.Path) + 64
		if err := checkRequest(op.Path, op.Kind == zkmeta.OpCreate && op.Mode.Sequential(), size); err != nil {
			return zkmeta.FailedMulti(ops, i, err)
		}
		path := s.full(op.Path)
		switch op.Kind {
		case zkmeta.OpCheck:
			requests[i] = &zk.CheckVersionRequest{Path: path, Version: op.Version}
		case zkmeta.OpSet:
			requests[i] = &zk.SetDataRequest{Path: path, Data: op.Data, Version: op.Version}
		case zkmeta.OpDelete:
			requests[i] = &zk.DeleteRequest{Path: path, Version: op.Version}
		case zkmeta.OpCreate:
			if !op.Mode.Valid() {
				return zkmeta.FailedMulti(ops, i, zkmeta.ErrBadArguments)
			}
			requests[i] = &zk.CreateRequest{Path: path, Data: op.Data, Acl: s.acl(op.Path, op.ACL), Flags: int32(op.Mode)}
		default:
			return zkmeta.FailedMulti(ops, i, zkmeta.ErrBadArguments)
		}
	}
	// Multi has errors in its results, also together with one of its own.
	type outcome struct {
		responses []zk.MultiResponse
		err       error
	}
	out, err := call(ctx, s, false, func(c *zk.Conn) (outcome, error) {
		responses, err := c.Multi(requests...)
		if len(responses) == len(ops) {
			return outcome{responses, err}, nil
		}
		if err == nil {
			err = fmt.Errorf("%w: %d results for %d operations", errProtocol, len(responses), len(ops))
		}
		return outcome{}, err
	})
	if err != nil {
		return nil, opError("multi", ops[0].Path, err)
	}
	results := make([]zkmeta.OpResult, len(ops))
	for i, r := range out.responses {
		// Operations before the failed one have no error, those after it have another (-2).
		if r.Error != nil {
			return zkmeta.FailedMulti(ops, i, translate(r.Error))
		}
		switch ops[i].Kind {
		case zkmeta.OpCreate:
			results[i].Path, _ = s.strip(r.String)
		case zkmeta.OpSet:
			results[i].Stat = toStat(r.Stat)
		}
	}
	if out.err != nil {
		return nil, opError("multi", ops[0].Path, s.explain(ctx, out.err))
	}
	return results, nil
}

func (s *session) GetACL(ctx context.Context, path string) ([]zkmeta.ACL, zkmeta.Stat, error) {
	if err := checkRequest(path, false, 0); err != nil {
		return nil, zkmeta.Stat{}, opError("get ACL", path, err)
	}
	type result struct {
		acl  []zk.ACL
		stat zkmeta.Stat
	}
	r, err := call(ctx, s, true, func(c *zk.Conn) (result, error) {
		acl, stat, err := c.GetACL(s.full(path))
		return result{acl, toStat(stat)}, err
	})
	if err != nil {
		return nil, zkmeta.Stat{}, opError("get ACL", path, err)
	}
	acl := make([]zkmeta.ACL, len(r.acl))
	for i, a := range r.acl {
		acl[i] = zkmeta.ACL{Perms: a.Perms, Scheme: a.Scheme, ID: a.ID}
	}
	return acl, r.stat, nil
}

func (s *session) SetACL(ctx context.Context, path string, acl []zkmeta.ACL, version int32) (zkmeta.Stat, error) {
	if err := checkRequest(path, false, 0); err != nil {
		return zkmeta.Stat{}, opError("set ACL", path, err)
	}
	stat, err := call(ctx, s, false, func(c *zk.Conn) (zkmeta.Stat, error) {
		stat, err := c.SetACL(s.full(path), s.acl(path, acl), version)
		return toStat(stat), err
	})
	if err != nil {
		return zkmeta.Stat{}, opError("set ACL", path, err)
	}
	return stat, nil
}
