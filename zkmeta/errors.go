package zkmeta

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Errors of the store, for errors.Is. Sessions wrap them with operation and path (*OpError).
var (
	ErrNoNode                  = errors.New("node does not exist")
	ErrNodeExists              = errors.New("node already exists")
	ErrBadVersion              = errors.New("version conflict")
	ErrNotEmpty                = errors.New("node has children")
	ErrNoChildrenForEphemerals = errors.New("ephemeral nodes may not have children")
	ErrNoAuth                  = errors.New("not authorized")
	ErrAuthFailed              = errors.New("authentication failed")
	ErrInvalidACL              = errors.New("invalid ACL")
	ErrInvalidPath             = errors.New("invalid path")
	ErrBadArguments            = errors.New("bad arguments")
	ErrTooLarge                = errors.New("request is larger than the store accepts")

	// ErrSessionExpired: the session is over, nothing can be done with it any more.
	ErrSessionExpired = errors.New("session expired")
	// ErrConnectionLoss: the connection broke, or the caller's context ended, before the answer came. The
	// outcome of a write is unknown.
	ErrConnectionLoss = errors.New("connection lost, outcome unknown")
	// ErrNotApplied marks the other operations of a Multi that failed.
	ErrNotApplied = errors.New("not applied, another operation of the multi failed")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("metadata store is closed")
)

// OpError says which operation failed on which node.
type OpError struct {
	Op   string // get, children, exists, create, set, delete, multi, ...
	Path string
	Err  error
}

func (e *OpError) Error() string { return fmt.Sprintf("znode %s: %s: %v", e.Path, e.Op, e.Err) }

func (e *OpError) Unwrap() error { return e.Err }

// MultiError is the error of a Multi whose operation Index failed: nothing was applied.
type MultiError struct {
	Index int
	Op    Op
	Err   error
}

func (e *MultiError) Error() string {
	return fmt.Sprintf("multi: operation %d (%s %s): %v", e.Index, e.Op.Kind, e.Op.Path, e.Err)
}

func (e *MultiError) Unwrap() error { return e.Err }

// FailedAt says that err is the failure of operation index of a Multi.
func FailedAt(err error, index int) bool {
	var m *MultiError
	return errors.As(err, &m) && m.Index == index
}

// Terminal says that err is not about the operation but about session or store: it was not carried out
// there, or nobody knows.
func Terminal(err error) bool {
	for _, e := range []error{ErrSessionExpired, ErrConnectionLoss, ErrClosed, context.Canceled,
		context.DeadlineExceeded, kerr.KafkaStorageError} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// FailedMulti makes the results and the error of a Multi whose operation index failed. It is for
// implementations of Session.
func FailedMulti(ops []Op, index int, err error) ([]OpResult, error) {
	results := make([]OpResult, len(ops))
	for i := range results {
		results[i].Err = ErrNotApplied
	}
	results[index].Err = err
	return results, &MultiError{Index: index, Op: ops[index], Err: err}
}
