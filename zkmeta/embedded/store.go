package embedded

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/zkmeta"
)

// Config of a store.
type Config struct {
	// Path is the file; its directory must exist. Without it the store lives in memory only, for
	// simulations and tests.
	Path string
	// LockTimeout is how long to wait for another process to let go of the file; default one second.
	LockTimeout time.Duration
	// OnFailure is called once if the file cannot be written. The store is of no use from then on.
	OnFailure func(error)
	Log       zerolog.Logger
}

// Store is the tree; it implements zkmeta.Store.
type Store struct {
	log       zerolog.Logger
	onFailure func(error)
	disk      persister
	wg        sync.WaitGroup // committer and deliveries

	mu       sync.Mutex
	tree     *tree
	sessions map[int64]*session
	nextID   int64
	watches  watchTable
	durable  int64  // zxid that is in the file
	filling  *batch // written to memory, waiting for the next commit
	flushing *batch // being committed, or nil
	failed   error  // the store is broken or closed
	closing  bool

	wake chan struct{} // to the committer: filling has something, or closing
}

// batch is what one commit makes durable.
type batch struct {
	zxid    int64
	touched map[string]struct{}
	fired   []firing
	done    chan struct{}
	err     error // set before done is closed
}

func newBatch() *batch {
	return &batch{touched: make(map[string]struct{}), done: make(chan struct{})}
}

// Open opens or creates a store.
//
// Errors: ErrInUse, *CorruptError, or the operating system's.
func Open(cfg Config) (*Store, error) {
	s := &Store{
		log: cfg.Log, onFailure: cfg.OnFailure, disk: memory{}, tree: newTree(),
		sessions: make(map[int64]*session),
		watches:  newWatchTable(),
		filling:  newBatch(),
		wake:     make(chan struct{}, 1),
		// As ZooKeeper makes them: time in the upper bits, so that no id comes twice on one disk.
		nextID: time.Now().UnixMilli() << 16,
	}
	if cfg.Path != "" {
		timeout := cfg.LockTimeout
		if timeout <= 0 {
			timeout = time.Second
		}
		file, t, err := openBolt(cfg.Path, timeout)
		if err != nil {
			return nil, err
		}
		s.disk, s.tree = file, t
		s.log.Info().Str("file", cfg.Path).Int("znodes", len(t.nodes)).Int64("zxid", t.zxid).Msg("opened embedded metadata store")
	}
	s.durable = s.tree.zxid
	s.wg.Go(s.commitLoop)
	return s, nil
}

// Connect opens a session. It does not expire by itself: it ends by Close, by Expire, or with the store.
func (s *Store) Connect(ctx context.Context) (zkmeta.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return nil, s.failed
	}
	if s.closing {
		return nil, zkmeta.ErrClosed
	}
	s.nextID++
	c := newSession(s, s.nextID)
	s.sessions[c.id] = c
	s.wg.Go(c.queue.Run)
	return c, nil
}

// Expire ends a session as a ZooKeeper server does when it has not heard from it: its ephemeral nodes
// are deleted. It is for tests and simulations.
func (s *Store) Expire(id int64) {
	s.mu.Lock()
	c := s.sessions[id]
	b := s.endSessionLocked(c)
	s.mu.Unlock()
	if b != nil {
		<-b.done
	}
}

// Close ends all sessions, writes what is left and closes the file.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		s.wg.Wait()
		return nil
	}
	for _, c := range s.sessions {
		s.endSessionLocked(c)
	}
	s.closing = true
	s.mu.Unlock()
	s.signal()
	s.wg.Wait()
	return s.disk.close()
}

// endSessionLocked deletes the ephemeral nodes of a session and says so to it. It returns the batch to
// wait for, or nil. s.mu is held.
func (s *Store) endSessionLocked(c *session) *batch {
	if c == nil || s.sessions[c.id] == nil {
		return nil
	}
	delete(s.sessions, c.id)
	c.end()
	s.watches.dropSession(c)
	if s.failed != nil {
		return nil
	}
	var ops []zkmeta.Op
	for path := range c.ephemerals {
		ops = append(ops, zkmeta.DeleteOp(path, zkmeta.AnyVersion))
	}
	if len(ops) == 0 {
		return nil
	}
	slices.SortFunc(ops, func(a, b zkmeta.Op) int { return strings.Compare(a.Path, b.Path) })
	x, _, _, err := s.tree.apply(c.id, time.Now().UnixMilli(), ops)
	if err != nil {
		panic(fmt.Sprintf("embedded store: delete ephemeral nodes %v: %v", ops, err)) // they exist and have no children
	}
	return s.enqueueLocked(x)
}

// write applies a transaction and waits until it is durable.
func (s *Store) write(ctx context.Context, c *session, ops []zkmeta.Op) ([]zkmeta.OpResult, int, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	s.mu.Lock()
	if err := s.checkLocked(c); err != nil {
		s.mu.Unlock()
		return nil, 0, err
	}
	x, results, index, err := s.tree.apply(c.id, time.Now().UnixMilli(), ops)
	if err != nil {
		// The failure may rest on a change that is not durable yet.
		b := s.pendingLocked(s.tree.zxid)
		s.mu.Unlock()
		if waitErr := s.await(ctx, b); waitErr != nil {
			return nil, index, waitErr
		}
		return nil, index, err
	}
	if len(x.touched) == 0 { // only checks
		s.tree.zxid--
		b := s.pendingLocked(s.tree.zxid)
		s.mu.Unlock()
		return results, 0, s.await(ctx, b)
	}
	b := s.enqueueLocked(x)
	s.mu.Unlock()
	return results, 0, s.await(ctx, b)
}

// checkLocked says whether c may still do anything. s.mu is held.
func (s *Store) checkLocked(c *session) error {
	if s.failed != nil {
		return s.failed
	}
	if s.sessions[c.id] == nil {
		return zkmeta.ErrSessionExpired
	}
	return nil
}

// enqueueLocked puts an applied transaction into the batch of the next commit. s.mu is held.
func (s *Store) enqueueLocked(x *txn) *batch {
	b := s.filling
	b.zxid = x.zxid
	for _, path := range x.touched {
		b.touched[path] = struct{}{}
		s.trackEphemeralLocked(path)
	}
	b.fired = s.watches.trigger(b.fired, x.events)
	s.signal()
	return b
}

// trackEphemeralLocked keeps the sessions' lists of their ephemeral nodes. s.mu is held.
func (s *Store) trackEphemeralLocked(path string) {
	n := s.tree.nodes[path]
	for id, c := range s.sessions {
		if n != nil && n.owner == id {
			c.ephemerals[path] = struct{}{}
		} else {
			delete(c.ephemerals, path)
		}
	}
}

func (s *Store) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// pendingLocked is the batch that makes zxid durable, or nil if it is. s.mu is held.
func (s *Store) pendingLocked(zxid int64) *batch {
	switch {
	case zxid <= s.durable:
		return nil
	case s.flushing != nil && zxid <= s.flushing.zxid:
		return s.flushing
	}
	return s.filling
}

// await waits for a batch.
func (s *Store) await(ctx context.Context, b *batch) error {
	if b == nil {
		return nil
	}
	select {
	case <-b.done:
		return b.err
	default:
	}
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", zkmeta.ErrConnectionLoss, ctx.Err())
	}
}

// commitLoop writes batch after batch until Close.
func (s *Store) commitLoop() {
	for range s.wake {
		s.mu.Lock()
		closing := s.closing
		b := s.filling
		if len(b.touched) == 0 || s.failed != nil {
			s.mu.Unlock()
			if closing {
				return
			}
			continue
		}
		s.filling, s.flushing = newBatch(), b
		changes := s.changesLocked(b)
		s.mu.Unlock()

		err := s.disk.commit(b.zxid, changes)

		s.mu.Lock()
		s.flushing = nil
		if err != nil {
			s.failLocked(b, err)
		} else {
			s.durable = b.zxid
			for _, f := range b.fired {
				f.session.queue.Post(f.watch, f.event)
			}
		}
		s.mu.Unlock()
		close(b.done)
		if err != nil && s.onFailure != nil {
			s.onFailure(err)
		}
		if closing {
			s.signal() // once more, for what came in meanwhile
		}
	}
}

// changesLocked encodes the nodes of a batch as they are now. s.mu is held.
func (s *Store) changesLocked(b *batch) []change {
	changes := make([]change, 0, len(b.touched))
	var buf []byte
	for path := range b.touched {
		n := s.tree.nodes[path]
		if n == nil || n.owner != 0 {
			changes = append(changes, change{path: path})
			continue
		}
		start := len(buf)
		buf = appendNode(buf, path, n)
		changes = append(changes, change{path, buf[start:len(buf):len(buf)]})
	}
	slices.SortFunc(changes, func(a, b change) int { return strings.Compare(a.path, b.path) })
	return changes
}

// failLocked ends the store: memory is ahead of the file and must not be believed. s.mu is held.
func (s *Store) failLocked(b *batch, err error) {
	s.failed = fmt.Errorf("embedded metadata store has failed: %w: %w", kerr.KafkaStorageError, err)
	s.log.Error().Err(err).Msg("embedded metadata store has failed, all its sessions end")
	b.err = s.failed
	s.filling.err = s.failed
	close(s.filling.done)
	s.filling = newBatch()
	for id, c := range s.sessions {
		delete(s.sessions, id)
		c.end()
	}
}
