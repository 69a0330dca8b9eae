package broker

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"ottla/storage"
	"ottla/storage/vfs"
	"ottla/zkmeta"
)

// dirFailure is a log directory that went offline.
type dirFailure struct {
	dir   string
	cause error
}

// dirFailed is called by the storage when a log directory goes offline, once for each, also while the logs are being opened.
func (b *Broker) dirFailed(dir string, cause error) { b.dirFailures <- dirFailure{dir, cause} }

// followDirs takes the partitions of failed log directories offline and tells the controller. Without a directory left the broker stops.
func (b *Broker) followDirs(ctx context.Context) {
	for {
		select {
		case f := <-b.dirFailures:
			b.replication.Load().LogDirFailed(f.dir)
			if b.onlineDir() == "" {
				b.fail(errors.New("all log directories are offline"))
				return
			}
			b.tellLogDirEvent(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// tellLogDirEvent writes the notification that makes the controller ask this broker for its replicas, until it is written.
func (b *Broker) tellLogDirEvent(ctx context.Context) {
	event := zkmeta.LogDirEvent{Broker: b.id}.Encode()
	for {
		_, err := b.Session().Create(ctx, zkmeta.LogDirEventNotification+"/"+zkmeta.LogDirEventPrefix, event, zkmeta.PersistentSequential, nil)
		if err == nil || ctx.Err() != nil {
			return
		}
		b.log.Warn().Err(err).Msg("the controller could not be told of the failed log directory; trying again")
		select {
		case <-time.After(renewPause):
		case <-ctx.Done():
			return
		}
	}
}

// onlineDir is the first log directory that works, "" if none does.
func (b *Broker) onlineDir() string {
	for _, d := range b.logs.Dirs() {
		if d.Offline == nil {
			return d.Path
		}
	}
	return ""
}

// peekMeta reads whose the log directories are. One that cannot be read does not count: it goes offline when the logs are opened, and
// the others serve.
func peekMeta(fsys vfs.FS, dirs []string) (storage.Meta, error) {
	readable := slices.DeleteFunc(slices.Clone(dirs), func(dir string) bool {
		_, err := storage.PeekMeta(fsys, []string{dir})
		var unreadable *fs.PathError
		return errors.As(err, &unreadable)
	})
	return storage.PeekMeta(fsys, readable)
}
