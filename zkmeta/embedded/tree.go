package embedded

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"ottla/zkmeta"
)

// maxDataBytes bounds the data of one node: the jute.maxbuffer that Kafka's own client sets.
const maxDataBytes = 4 << 20

// node is one znode. data is never changed in place.
type node struct {
	data     []byte // nil and empty differ
	acl      []zkmeta.ACL
	czxid    int64
	mzxid    int64
	pzxid    int64
	ctimeMs  int64
	mtimeMs  int64
	version  int32
	creates  int32 // children ever created: ZooKeeper's stored cversion and the next sequence number
	aversion int32
	owner    int64 // session of an ephemeral node, else 0
	children map[string]struct{}
}

func (n *node) stat() zkmeta.Stat {
	kids := int32(len(n.children))
	return zkmeta.Stat{
		Czxid: n.czxid, Mzxid: n.mzxid, Pzxid: n.pzxid, CtimeMs: n.ctimeMs, MtimeMs: n.mtimeMs,
		Version: n.version, Cversion: n.creates*2 - kids, Aversion: n.aversion,
		EphemeralOwner: n.owner, DataLength: int32(len(n.data)), NumChildren: kids,
	}
}

// tree is the znode tree without locks, sessions or disk.
type tree struct {
	nodes map[string]*node
	zxid  int64 // of the last transaction
}

func newTree() *tree {
	return &tree{nodes: map[string]*node{"/": {data: []byte{}, acl: zkmeta.OpenACL()}}}
}

// txn is a transaction being applied.
type txn struct {
	zxid    int64
	nowMs   int64
	session int64
	undo    []func()       // in reverse order takes everything back; kept only if there may be a failure
	events  []zkmeta.Event // what watches are told, in order
	touched []string       // nodes to be written or removed in the file
}

// apply does all of ops or none. The results are in the form of Session.Multi; a failure is at index.
func (t *tree) apply(session, nowMs int64, ops []zkmeta.Op) (x *txn, results []zkmeta.OpResult, index int, err error) {
	x = &txn{zxid: t.zxid + 1, nowMs: nowMs, session: session}
	results = make([]zkmeta.OpResult, len(ops))
	for i := range ops {
		if err := t.applyOp(x, &ops[i], &results[i], len(ops) > 1); err != nil {
			for _, f := range slices.Backward(x.undo) {
				f()
			}
			return nil, nil, i, err
		}
	}
	t.zxid = x.zxid
	return x, results, 0, nil
}

func (t *tree) applyOp(x *txn, op *zkmeta.Op, res *zkmeta.OpResult, undoable bool) error {
	if err := zkmeta.ValidatePath(op.Path, op.Kind == zkmeta.OpCreate && op.Mode.Sequential()); err != nil {
		return err
	}
	if len(op.Data) > maxDataBytes {
		return fmt.Errorf("%w: %d bytes of data, at most %d", zkmeta.ErrTooLarge, len(op.Data), maxDataBytes)
	}
	switch op.Kind {
	case zkmeta.OpCreate:
		return t.create(x, op, res, undoable)
	case zkmeta.OpSet:
		return t.set(x, op, res, undoable)
	case zkmeta.OpDelete:
		return t.delete(x, op, undoable)
	case zkmeta.OpCheck:
		n := t.nodes[op.Path]
		if n == nil {
			return zkmeta.ErrNoNode
		}
		return checkVersion(n.version, op.Version)
	}
	return fmt.Errorf("%w: operation %d", zkmeta.ErrBadArguments, op.Kind)
}

func checkVersion(have, want int32) error {
	if want != zkmeta.AnyVersion && want != have {
		return fmt.Errorf("%w: version is %d, not %d", zkmeta.ErrBadVersion, have, want)
	}
	return nil
}

func (t *tree) create(x *txn, op *zkmeta.Op, res *zkmeta.OpResult, undoable bool) error {
	if !op.Mode.Valid() {
		return fmt.Errorf("%w: create mode %d", zkmeta.ErrBadArguments, op.Mode)
	}
	path := op.Path
	if path == "/" {
		return zkmeta.ErrNodeExists
	}
	parentPath := zkmeta.Parent(path)
	parent := t.nodes[parentPath]
	if parent == nil {
		return zkmeta.ErrNoNode
	}
	if op.Mode.Sequential() {
		path += fmt.Sprintf("%010d", parent.creates)
	}
	if t.nodes[path] != nil {
		return zkmeta.ErrNodeExists
	}
	if parent.owner != 0 {
		return zkmeta.ErrNoChildrenForEphemerals
	}
	acl := op.ACL
	if acl == nil {
		acl = zkmeta.OpenACL()
	} else if len(acl) == 0 {
		return zkmeta.ErrInvalidACL
	}
	n := &node{
		data: bytes.Clone(op.Data), acl: slices.Clone(acl),
		czxid: x.zxid, mzxid: x.zxid, pzxid: x.zxid, ctimeMs: x.nowMs, mtimeMs: x.nowMs,
	}
	if op.Mode.Ephemeral() {
		n.owner = x.session
	}
	name := path[strings.LastIndexByte(path, '/')+1:]
	if undoable {
		creates, pzxid := parent.creates, parent.pzxid
		x.undo = append(x.undo, func() {
			delete(t.nodes, path)
			delete(parent.children, name)
			parent.creates, parent.pzxid = creates, pzxid
		})
	}
	t.nodes[path] = n
	if parent.children == nil {
		parent.children = make(map[string]struct{})
	}
	parent.children[name] = struct{}{}
	parent.creates++
	parent.pzxid = x.zxid
	x.touched = append(x.touched, path, parentPath)
	x.events = append(x.events, zkmeta.Event{Type: zkmeta.EventCreated, Path: path},
		zkmeta.Event{Type: zkmeta.EventChildrenChanged, Path: parentPath})
	res.Path, res.Stat = path, n.stat()
	return nil
}

func (t *tree) set(x *txn, op *zkmeta.Op, res *zkmeta.OpResult, undoable bool) error {
	n := t.nodes[op.Path]
	if n == nil {
		return zkmeta.ErrNoNode
	}
	if err := checkVersion(n.version, op.Version); err != nil {
		return err
	}
	if undoable {
		data, version, mzxid, mtimeMs := n.data, n.version, n.mzxid, n.mtimeMs
		x.undo = append(x.undo, func() { n.data, n.version, n.mzxid, n.mtimeMs = data, version, mzxid, mtimeMs })
	}
	n.data = bytes.Clone(op.Data)
	n.version++
	n.mzxid, n.mtimeMs = x.zxid, x.nowMs
	x.touched = append(x.touched, op.Path)
	x.events = append(x.events, zkmeta.Event{Type: zkmeta.EventDataChanged, Path: op.Path})
	res.Path, res.Stat = op.Path, n.stat()
	return nil
}

func (t *tree) delete(x *txn, op *zkmeta.Op, undoable bool) error {
	path := op.Path
	if path == "/" {
		return fmt.Errorf("%w: the root cannot be deleted", zkmeta.ErrBadArguments)
	}
	n := t.nodes[path]
	if n == nil {
		return zkmeta.ErrNoNode
	}
	if err := checkVersion(n.version, op.Version); err != nil {
		return err
	}
	if len(n.children) > 0 {
		return zkmeta.ErrNotEmpty
	}
	parentPath := zkmeta.Parent(path)
	parent := t.nodes[parentPath]
	name := path[strings.LastIndexByte(path, '/')+1:]
	if undoable {
		pzxid := parent.pzxid
		x.undo = append(x.undo, func() {
			t.nodes[path] = n
			parent.children[name] = struct{}{}
			parent.pzxid = pzxid
		})
	}
	delete(t.nodes, path)
	delete(parent.children, name)
	parent.pzxid = x.zxid
	x.touched = append(x.touched, path, parentPath)
	x.events = append(x.events, zkmeta.Event{Type: zkmeta.EventDeleted, Path: path},
		zkmeta.Event{Type: zkmeta.EventChildrenChanged, Path: parentPath})
	return nil
}

// setACL is not part of a Multi.
func (t *tree) setACL(path string, acl []zkmeta.ACL, version int32) (*txn, zkmeta.Stat, error) {
	n := t.nodes[path]
	if n == nil {
		return nil, zkmeta.Stat{}, zkmeta.ErrNoNode
	}
	if len(acl) == 0 {
		return nil, zkmeta.Stat{}, zkmeta.ErrInvalidACL
	}
	if err := checkVersion(n.aversion, version); err != nil {
		return nil, zkmeta.Stat{}, err
	}
	t.zxid++
	n.acl = slices.Clone(acl)
	n.aversion++
	return &txn{zxid: t.zxid, touched: []string{path}}, n.stat(), nil
}

// visibleFrom is the zxid from which on the absence of path can be seen: the last change of the children
// of its nearest ancestor.
func (t *tree) visibleFrom(path string) int64 {
	for p := zkmeta.Parent(path); p != ""; p = zkmeta.Parent(p) {
		if n := t.nodes[p]; n != nil {
			return n.pzxid
		}
	}
	return t.zxid
}
