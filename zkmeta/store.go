package zkmeta

import (
	"context"
	"sync/atomic"
)

// Store is a metadata store: a ZooKeeper ensemble (zkmeta/ensemble) or the tree embedded in a
// standalone broker (zkmeta/embedded).
type Store interface {
	// Connect opens a new session. While no server answers it keeps trying, says so in the log, and
	// gives up when ctx ends.
	Connect(ctx context.Context) (Session, error)
	// Close ends the store and every session that is still open.
	Close() error
}

// Session is one ZooKeeper session, from its creation to its end. It never turns into another one: after
// expiry every call fails with ErrSessionExpired and the owner asks the Store for a new session.
//
// All methods may be called from any goroutine. Calls of one goroutine take effect in their order;
// calls of several goroutines are pipelined. A write that fails with ErrConnectionLoss (also when ctx
// ended first) may or may not have happened: read before deciding again.
type Session interface {
	// ID is the session id, the EphemeralOwner of what the session creates.
	ID() int64

	// Get reads data and Stat. A node made with null data reads as nil. w, if not nil, is set with the
	// read and fires once, on the next change of the data or the deletion. Nothing is set on an error.
	Get(ctx context.Context, path string, w *Watch) ([]byte, Stat, error)
	// Children lists the names (not paths) of the children, in no order. w fires once, when a child is
	// created or deleted or the node itself is deleted.
	Children(ctx context.Context, path string, w *Watch) ([]string, Stat, error)
	// Exists reads the Stat. w is also set on a node that does not exist, and then fires at its creation.
	Exists(ctx context.Context, path string, w *Watch) (Stat, bool, error)

	// Create makes a node and returns its path, which differs from path for the sequential modes. The
	// parent must exist. A nil acl is the session's rule for that path (see DefaultACL).
	Create(ctx context.Context, path string, data []byte, mode Mode, acl []ACL) (string, error)
	// Set replaces the data if the node's version is version, or always with AnyVersion.
	Set(ctx context.Context, path string, data []byte, version int32) (Stat, error)
	// Delete removes a node without children if its version is version, or always with AnyVersion.
	Delete(ctx context.Context, path string, version int32) error
	// Multi does all of ops or none of them, under one zxid. If one of them fails the error is a
	// *MultiError that names it, and the results say the same per operation.
	Multi(ctx context.Context, ops ...Op) ([]OpResult, error)

	// Expired is closed when the session is over: the server said so, or Close was called.
	Expired() <-chan struct{}
	// Silent says that nothing was heard from the ensemble for a whole session timeout. The session may
	// be alive still, but its ephemeral nodes must be taken as gone: resign, freeze the ISR.
	Silent() bool
	// Close ends the session; its ephemeral nodes are deleted.
	Close()
}

// ACLSession is the part of a session that reads and writes the ACL of nodes. Both stores have it;
// only tools (kafka's zookeeper-security-migration) need it.
type ACLSession interface {
	GetACL(ctx context.Context, path string) ([]ACL, Stat, error)
	// SetACL replaces the ACL if the node's ACL version (Stat.Aversion) is version, or always with AnyVersion.
	SetACL(ctx context.Context, path string, acl []ACL, version int32) (Stat, error)
}

// AnyVersion makes Set, Delete and CheckOp unconditional.
const AnyVersion int32 = -1

// Mode says how long a node lives and whether its name gets a number. The values are ZooKeeper's flags.
type Mode int32

const (
	Persistent           Mode = 0
	Ephemeral            Mode = 1
	PersistentSequential Mode = 2
	EphemeralSequential  Mode = 3
)

// Ephemeral says that the node is deleted at the end of the session that made it.
func (m Mode) Ephemeral() bool { return m&1 != 0 }

// Sequential says that ten digits are appended to the name: how many children the parent had before.
func (m Mode) Sequential() bool { return m&2 != 0 }

// Valid is false for anything but the four modes above.
func (m Mode) Valid() bool { return m >= 0 && m <= 3 }

// Stat is what the store knows about a node besides its data.
type Stat struct {
	Czxid          int64 // transaction that created the node; the broker epoch of /brokers/ids/<id>
	Mzxid          int64 // transaction that last wrote its data
	Pzxid          int64 // transaction that last created or deleted a child
	CtimeMs        int64
	MtimeMs        int64
	Version        int32 // writes of the data; the partition epoch of a partition's state
	Cversion       int32 // creations and deletions of children
	Aversion       int32 // writes of the ACL
	EphemeralOwner int64 // session id, 0 for persistent nodes
	DataLength     int32
	NumChildren    int32
}

// EventType says what happened to a watched node.
type EventType int32

// ZooKeeper's numbers.
const (
	EventCreated         EventType = 1
	EventDeleted         EventType = 2
	EventDataChanged     EventType = 3
	EventChildrenChanged EventType = 4
)

func (t EventType) String() string {
	switch t {
	case EventCreated:
		return "created"
	case EventDeleted:
		return "deleted"
	case EventDataChanged:
		return "data changed"
	case EventChildrenChanged:
		return "children changed"
	}
	return "unknown"
}

// Event is given to a watch.
type Event struct {
	Type EventType
	Path string
}

// Watch is a one-shot notification. Give a new one to each read that should set a watch, after the last
// one fired. A watch does not fire when its session ends: look at Session.Expired.
//
// It fires at least once for a change that the read did not show. When a change and the read cross on
// the way it may also fire for a change that the read shows already.
type Watch struct {
	f    func(Event)
	done atomic.Bool
}

// NewWatch returns a watch that calls f once, from the session's delivery goroutine, in the order in
// which the changes happened. f must not block and must not call the session: it posts to a queue.
func NewWatch(f func(Event)) *Watch { return &Watch{f: f} }

// Cancel makes sure that f is not called from now on. A call that runs already is not waited for.
func (w *Watch) Cancel() { w.done.Store(true) }

// Fire calls f unless the watch has fired or was cancelled. It is for implementations of Session.
func (w *Watch) Fire(ev Event) {
	if w.done.CompareAndSwap(false, true) {
		w.f(ev)
	}
}

// Done says that the watch has fired or was cancelled.
func (w *Watch) Done() bool { return w.done.Load() }

// OpKind is the kind of an Op.
type OpKind int8

const (
	OpCheck OpKind = iota + 1
	OpCreate
	OpSet
	OpDelete
)

func (k OpKind) String() string {
	switch k {
	case OpCheck:
		return "check"
	case OpCreate:
		return "create"
	case OpSet:
		return "set"
	case OpDelete:
		return "delete"
	}
	return "unknown"
}

// Op is one operation of a Multi; made by CheckOp, CreateOp, SetOp and DeleteOp.
type Op struct {
	Kind    OpKind
	Path    string
	Data    []byte
	Version int32
	Mode    Mode
	ACL     []ACL
}

// CheckOp fails with ErrBadVersion unless the node's version is version, and with ErrNoNode without it.
func CheckOp(path string, version int32) Op {
	return Op{Kind: OpCheck, Path: path, Version: version}
}

// CreateOp is Session.Create within a Multi.
func CreateOp(path string, data []byte, mode Mode, acl []ACL) Op {
	return Op{Kind: OpCreate, Path: path, Data: data, Mode: mode, ACL: acl}
}

// SetOp is Session.Set within a Multi.
func SetOp(path string, data []byte, version int32) Op {
	return Op{Kind: OpSet, Path: path, Data: data, Version: version}
}

// DeleteOp is Session.Delete within a Multi.
func DeleteOp(path string, version int32) Op {
	return Op{Kind: OpDelete, Path: path, Version: version}
}

// OpResult is the outcome of one operation of a Multi.
type OpResult struct {
	Path string // created path, for OpCreate
	Stat Stat   // after the write, for OpSet
	Err  error  // of a failed Multi: the cause at the operation that failed, ErrNotApplied at all others
}
