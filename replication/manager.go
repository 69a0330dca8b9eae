package replication

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/storage"
)

// Manager holds the partitions that this broker has replicas of. Its methods may be called from any goroutine.
type Manager struct {
	cfg   Config
	deps  Deps
	log   zerolog.Logger
	start time.Time // zero of the clock

	table    partitionTable
	sessions *SessionCache
	isr      *isrSender
	fetchers *fetcherManager

	leaderQuota, followerQuota replicaQuota

	// stateMu serialises the controller's requests: LeaderAndIsr, StopReplica, and the check of the controller epoch of UpdateMetadata.
	stateMu         sync.Mutex
	controllerEpoch atomic.Int32
	frozen          atomic.Bool
	stopping        bool // by StopFollowing; guarded by stateMu
	unsure          atomic.Bool
	heard           hearing

	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// New starts a Manager without partitions; the controller's LeaderAndIsr requests bring them. Close stops it.
func New(cfg Config, deps Deps) *Manager {
	cfg = cfg.withDefaults()
	m := &Manager{cfg: cfg, deps: deps, log: cfg.Log, start: time.Now()}
	m.ctx, m.stop = context.WithCancel(context.Background())
	m.sessions = newSessionCache(cfg.SessionSlots, m.now, deps.Metadata)
	m.leaderQuota.rate.Store(unlimited)
	m.followerQuota.rate.Store(unlimited)
	m.isr = newISRSender(m)
	m.fetchers = newFetcherManager(m)
	m.wg.Go(m.isr.run)
	m.wg.Go(m.shrinkLoop)
	m.wg.Go(m.isolationLoop)
	return m
}

// Close stops the fetchers and the ISR changes and completes everything that waits, with NOT_LEADER_OR_FOLLOWER. Logs stay open:
// storage.Manager closes them.
func (m *Manager) Close() {
	m.stop()
	m.fetchers.close()
	m.wg.Wait()
	for _, p := range m.table.all() {
		p.resign(false)
	}
}

// now is the Manager's clock: monotonic, and zero when it started.
func (m *Manager) now() time.Duration { return time.Since(m.start) }

// Sessions are the fetch sessions of clients and followers (KIP-227).
func (m *Manager) Sessions() *SessionCache { return m.sessions }

// CheckControllerEpoch adopts the epoch of a request from the controller. Error: STALE_CONTROLLER_EPOCH if a newer one was seen.
func (m *Manager) CheckControllerEpoch(epoch int32) error {
	m.stateMu.Lock()
	defer m.stateMu.Unlock()
	return m.checkControllerEpochLocked(epoch)
}

// checkControllerEpochLocked needs stateMu.
func (m *Manager) checkControllerEpochLocked(epoch int32) error {
	if known := m.controllerEpoch.Load(); epoch < known {
		return fmt.Errorf("controller epoch %d is older than %d: %w", epoch, known, kerr.StaleControllerEpoch)
	}
	m.controllerEpoch.Store(epoch)
	return nil
}

// FreezeISR stops (true) or allows ISR changes and, on thaw, looks at them at once. A broker that cannot reach the metadata store freezes.
func (m *Manager) FreezeISR(frozen bool) {
	if m.frozen.Swap(frozen) && !frozen {
		m.isr.kick()
	}
}

// Unsure tells whether this broker's registration may have ended without its knowledge: from when it has lost the connection to the metadata
// store until it has one again.
func (m *Manager) Unsure(unsure bool) {
	if m.unsure.Swap(unsure) && !unsure {
		for _, p := range m.table.all() {
			p.advance() // mayAcknowledge
		}
	}
}

// BrokerGone has everything that may wait for a replica of a broker which is not alive any more look again: the high watermark, which waits for
// replicas that are about to join the ISR, and deletions.
func (m *Manager) BrokerGone() {
	for _, p := range m.table.all() {
		if p.IsLeader() {
			p.advance()
			p.checkDeletes()
		}
	}
}

// StopFollowing is called before this broker asks the controller to take its leaderships away: where it becomes a follower from now on, it
// fetches nothing. A follower that catches up and then stops would hold up the new leader's high watermark (ReplicaManager.makeFollowers).
func (m *Manager) StopFollowing() {
	m.stateMu.Lock() // behind a request under way
	defer m.stateMu.Unlock()
	m.stopping = true
}

// ResignAll ends leading and following of every partition until the next LeaderAndIsr, which is accepted whatever its leader epoch:
// for a broker whose registration expired and that no longer knows what the controller decided.
func (m *Manager) ResignAll() {
	m.stateMu.Lock()
	defer m.stateMu.Unlock()
	var changes []LeaderChange
	for _, p := range m.table.all() {
		m.fetchers.remove(p)
		epoch := p.role.Load().leaderEpoch
		if p.resign(true) {
			changes = append(changes, LeaderChange{p.tp, false, epoch})
		}
	}
	m.tellLeadership(changes)
}

// LogDirFailed takes the partitions of a failed log directory offline: they answer KAFKA_STORAGE_ERROR from now on.
func (m *Manager) LogDirFailed(dir string) {
	m.stateMu.Lock()
	defer m.stateMu.Unlock()
	var changes []LeaderChange
	for _, p := range m.table.all() {
		l := p.Log()
		if l == nil || l.Dir() != dir {
			continue
		}
		m.fetchers.remove(p)
		epoch := p.role.Load().leaderEpoch
		if p.goOffline() {
			changes = append(changes, LeaderChange{p.tp, false, epoch})
		}
	}
	m.tellLeadership(changes)
}

func (m *Manager) tellLeadership(changes []LeaderChange) {
	if len(changes) > 0 && m.deps.OnLeadership != nil {
		m.deps.OnLeadership(changes)
	}
}

// Partition returns the replica here, nil if there is none. It takes no lock and keeps nothing of topic, which may alias a request's frame.
func (m *Manager) Partition(topic string, partition int32) *Partition {
	return m.table.get(topic, partition)
}

// Partitions returns all replicas here.
func (m *Manager) Partitions() []*Partition { return m.table.all() }

// LeaderPartition returns the replica here if it leads. Errors: NOT_LEADER_OR_FOLLOWER if another broker leads or has the partition,
// UNKNOWN_TOPIC_OR_PARTITION, KAFKA_STORAGE_ERROR.
func (m *Manager) LeaderPartition(topic string, partition int32) (*Partition, error) {
	p, err := m.hosted(topic, partition)
	if err != nil {
		return nil, err
	}
	if r := p.role.Load(); !r.leader {
		return nil, p.notLeading(r)
	}
	return p, nil
}

// hosted returns the replica here or the error that a request for it gets.
func (m *Manager) hosted(topic string, partition int32) (*Partition, error) {
	p := m.table.get(topic, partition)
	if p == nil {
		if m.deps.Metadata.Contains(topic, partition) {
			return nil, fmt.Errorf("%s-%d has no replica here: %w", topic, partition, kerr.NotLeaderForPartition)
		}
		return nil, fmt.Errorf("%s-%d: %w", topic, partition, kerr.UnknownTopicOrPartition)
	}
	return p, nil
}

// partitionTable finds partitions by name without a lock: both levels are copied when they change.
type partitionTable struct {
	mu     sync.Mutex // writers
	topics atomic.Pointer[map[string]*topicTable]
}

type topicTable struct {
	name  string
	parts atomic.Pointer[map[int32]*Partition]
}

func (t *partitionTable) get(topic string, partition int32) *Partition {
	topics := t.topics.Load()
	if topics == nil {
		return nil
	}
	tt := (*topics)[topic]
	if tt == nil {
		return nil
	}
	return (*tt.parts.Load())[partition]
}

func (t *partitionTable) all() []*Partition {
	topics := t.topics.Load()
	if topics == nil {
		return nil
	}
	var all []*Partition
	for _, tt := range *topics {
		for _, p := range *tt.parts.Load() {
			all = append(all, p)
		}
	}
	return all
}

// update adds and removes partitions in one step for each topic, so that a request for thousands copies each map once.
func (t *partitionTable) update(add, remove []*Partition) {
	if len(add)+len(remove) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	topics := map[string]*topicTable{}
	if old := t.topics.Load(); old != nil {
		for name, tt := range *old {
			topics[name] = tt
		}
	}
	copied := map[string]map[int32]*Partition{}
	parts := func(topic string) map[int32]*Partition {
		m, ok := copied[topic]
		if !ok {
			m = map[int32]*Partition{}
			if tt := topics[topic]; tt != nil {
				for id, p := range *tt.parts.Load() {
					m[id] = p
				}
			}
			copied[topic] = m
		}
		return m
	}
	for _, p := range add {
		parts(p.tp.Topic)[p.tp.Partition] = p
	}
	for _, p := range remove {
		if m := parts(p.tp.Topic); m[p.tp.Partition] == p {
			delete(m, p.tp.Partition)
		}
	}
	for name, m := range copied {
		switch tt := topics[name]; {
		case len(m) == 0:
			delete(topics, name)
		case tt == nil:
			tt = &topicTable{name: name}
			tt.parts.Store(&m)
			topics[name] = tt
		default:
			tt.parts.Store(&m)
		}
	}
	t.topics.Store(&topics)
}

func storageError(tp storage.TopicPartition) error {
	return fmt.Errorf("%s: its log directory is offline: %w", tp, kerr.KafkaStorageError)
}
