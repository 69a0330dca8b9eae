package ensemble

import (
	"errors"
	"fmt"

	"github.com/go-zookeeper/zk"

	"ottla/zkmeta"
)

var errorTable = []struct{ from, to error }{
	{zk.ErrNoNode, zkmeta.ErrNoNode},
	{zk.ErrNodeExists, zkmeta.ErrNodeExists},
	{zk.ErrBadVersion, zkmeta.ErrBadVersion},
	{zk.ErrNotEmpty, zkmeta.ErrNotEmpty},
	{zk.ErrNoChildrenForEphemerals, zkmeta.ErrNoChildrenForEphemerals},
	{zk.ErrNoAuth, zkmeta.ErrNoAuth},
	{zk.ErrAuthFailed, zkmeta.ErrAuthFailed},
	{zk.ErrInvalidACL, zkmeta.ErrInvalidACL},
	{zk.ErrInvalidPath, zkmeta.ErrInvalidPath},
	{zk.ErrBadArguments, zkmeta.ErrBadArguments},
	{zk.ErrShortBuffer, zkmeta.ErrTooLarge},
	{zk.ErrSessionExpired, zkmeta.ErrSessionExpired},
	{zk.ErrConnectionClosed, zkmeta.ErrConnectionLoss},
	{zk.ErrClosing, zkmeta.ErrConnectionLoss},
	{zk.ErrNoServer, zkmeta.ErrConnectionLoss},
	{zk.ErrSessionMoved, zkmeta.ErrConnectionLoss},
}

// translate turns go-zookeeper's errors into zkmeta's.
func translate(err error) error {
	if err == nil {
		return nil
	}
	for _, e := range errorTable {
		if errors.Is(err, e.from) {
			return e.to
		}
	}
	if broken(err) {
		return fmt.Errorf("%w: %w", zkmeta.ErrConnectionLoss, err)
	}
	return fmt.Errorf("zookeeper: %w", err)
}

// broken says that the connection broke under a request: what became of it is unknown.
func broken(err error) bool {
	var w *writeError
	return errors.Is(err, zk.ErrConnectionClosed) || errors.Is(err, zk.ErrSessionMoved) || errors.As(err, &w)
}
