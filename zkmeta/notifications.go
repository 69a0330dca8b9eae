package zkmeta

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"
)

// notificationAge is how long change notifications are kept (ZkNodeChangeNotificationListener).
const notificationAge = 15 * time.Minute

// ChangeListener follows a directory of sequential change notifications (/config/changes, the ACL and token
// changes): each is handled once, in order, on every broker. It outlives sessions: what was handled in one
// is not handled again in the next.
type ChangeListener struct {
	root, prefix string
	handle       func(data []byte) error
	last         int64 // highest number handled
}

// NewChangeListener returns a listener that has handled nothing; the first Run begins with everything that
// is there. An error of handle is logged, and the notification counts as handled.
func NewChangeListener(root, prefix string, handle func(data []byte) error) *ChangeListener {
	return &ChangeListener{root: root, prefix: prefix, handle: handle, last: -1}
}

// NewConfigChangeListener follows /config/changes.
func NewConfigChangeListener(f func(entityPath string)) *ChangeListener {
	return NewChangeListener(ConfigChangesRoot, ConfigChangePrefix, func(data []byte) error {
		c, err := DecodeConfigChange(data)
		if err != nil {
			return err
		}
		f(c.EntityPath)
		return nil
	})
}

// WatchConfigChanges calls f for each configuration change until ctx or the session ends, and returns why.
// To go on in the next session without handling everything again, keep a NewConfigChangeListener instead.
func WatchConfigChanges(ctx context.Context, s Session, f func(entityPath string)) error {
	return NewConfigChangeListener(f).Run(ctx, s)
}

// Run handles notifications until ctx or the session ends, and returns why. Only one Run at a time.
// Problems are logged to the logger of ctx (zerolog.Ctx).
func (l *ChangeListener) Run(ctx context.Context, s Session) error {
	log := zerolog.Ctx(ctx)
	changed := make(chan struct{}, 1)
	for {
		w := NewWatch(func(Event) {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
		err := l.catchUp(ctx, s, w)
		if err != nil {
			w.Cancel()
			if ctx.Err() != nil || errors.Is(err, ErrSessionExpired) {
				return fmt.Errorf("watch %s: %w", l.root, err)
			}
			log.Warn().Err(err).Str("path", l.root).Msg("cannot read change notifications, trying again")
			if err := pause(ctx, s, time.Second); err != nil {
				return fmt.Errorf("watch %s: %w", l.root, err)
			}
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			w.Cancel()
			return ctx.Err()
		case <-s.Expired():
			return fmt.Errorf("watch %s: %w", l.root, ErrSessionExpired)
		}
	}
}

type notification struct {
	number int64
	path   string
}

// catchUp handles what is new and deletes what is old.
func (l *ChangeListener) catchUp(ctx context.Context, s Session, w *Watch) error {
	names, _, err := s.Children(ctx, l.root, w)
	if errors.Is(err, ErrNoNode) {
		if err := ensure(ctx, s, l.root); err != nil {
			return err
		}
		names, _, err = s.Children(ctx, l.root, w)
	}
	if err != nil {
		return err
	}
	var all, fresh []notification
	for _, name := range names {
		if n, ok := SequenceNumber(name, l.prefix); ok {
			all = append(all, notification{n, l.root + "/" + name})
		}
	}
	slices.SortFunc(all, func(a, b notification) int { return cmp.Compare(a.number, b.number) })
	for i, n := range all {
		if n.number > l.last {
			fresh = all[i:]
			break
		}
	}
	if err := l.handleAll(ctx, s, fresh); err != nil {
		return err
	}
	return purge(ctx, s, all)
}

func (l *ChangeListener) handleAll(ctx context.Context, s Session, fresh []notification) error {
	paths := make([]string, len(fresh))
	for i, n := range fresh {
		paths[i] = n.path
	}
	nodes, err := GetAll(ctx, s, paths)
	if err != nil {
		return err
	}
	for i, n := range nodes {
		if n.Err == nil {
			n.Err = l.handle(n.Data)
		}
		if n.Err != nil && !errors.Is(n.Err, ErrNoNode) {
			zerolog.Ctx(ctx).Error().Err(n.Err).Str("path", paths[i]).Msg("change notification cannot be handled")
		}
		l.last = fresh[i].number
	}
	return nil
}

// purge deletes notifications, oldest first, until one is young enough. Any broker may be faster.
func purge(ctx context.Context, s Session, all []notification) error {
	for _, n := range all {
		stat, exists, err := s.Exists(ctx, n.path, nil)
		if err != nil {
			return err
		}
		if !exists {
			continue
		}
		if time.Since(time.UnixMilli(stat.CtimeMs)) <= notificationAge {
			return nil
		}
		if err := s.Delete(ctx, n.path, AnyVersion); err != nil && !errors.Is(err, ErrNoNode) {
			return err
		}
	}
	return nil
}
