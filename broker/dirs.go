package broker

import (
	"context"
	"errors"
	"time"

	"ottla/zkmeta"
)

// dirFailed takes the partitions of a failed log directory offline and tells the controller. Without a directory left the broker stops.
func (b *Broker) dirFailed(dir string, cause error) {
	b.log.Error().Err(cause).Str("dir", dir).Msg("log directory is offline")
	if r := b.replication.Load(); r != nil {
		r.LogDirFailed(dir)
	}
	online := 0
	for _, d := range b.logs.Dirs() {
		if d.Offline == nil {
			online++
		}
	}
	if online == 0 {
		b.fail(errors.New("all log directories are offline"))
		return
	}
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	event := zkmeta.LogDirEvent{Broker: b.id}.Encode()
	if _, err := b.Session().Create(ctx, zkmeta.LogDirEventNotification+"/"+zkmeta.LogDirEventPrefix, event, zkmeta.PersistentSequential, nil); err != nil {
		b.log.Error().Err(err).Msg("the controller could not be told of the failed log directory")
	}
}
