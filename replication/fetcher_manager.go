package replication

import (
	"cmp"
	"hash/fnv"
	"sync"

	"ottla/storage"
)

// fetcherManager runs the fetchers: one for each leader and each of num.replica.fetchers shares of its partitions.
type fetcherManager struct {
	m *Manager

	mu       sync.Mutex
	fetchers map[fetcherKey]*fetcher
	of       map[*Partition]*fetcher
	added    map[*fetcher]bool // have partitions that start was not called for
	closed   bool
	wg       sync.WaitGroup
}

type fetcherKey struct{ leader, share int32 }

func newFetcherManager(m *Manager) *fetcherManager {
	return &fetcherManager{m: m, fetchers: map[fetcherKey]*fetcher{}, of: map[*Partition]*fetcher{}, added: map[*fetcher]bool{}}
}

// add has a follower's partition fetched from the leader, from the next start on.
func (fm *fetcherManager) add(p *Partition, leader, leaderEpoch int32) {
	fm.mu.Lock()
	defer fm.mu.Unlock()
	if fm.closed {
		return
	}
	key := fetcherKey{leader, share(p.tp, fm.m.cfg.Fetchers)}
	f := fm.fetchers[key]
	if f == nil {
		f = newFetcher(fm.m, leader, key.share)
		fm.fetchers[key] = f
		fm.wg.Go(f.run)
	}
	f.add(p, leaderEpoch)
	fm.of[p] = f
	fm.added[f] = true
}

// start has the fetchers that got partitions fetch them now.
func (fm *fetcherManager) start() {
	fm.mu.Lock()
	defer fm.mu.Unlock()
	for f := range fm.added {
		f.kick()
	}
	clear(fm.added)
}

// remove ends the fetching of a partition. An answer under way is dropped, since the partition's role changes.
func (fm *fetcherManager) remove(p *Partition) {
	fm.mu.Lock()
	defer fm.mu.Unlock()
	f := fm.of[p]
	if f == nil {
		return
	}
	delete(fm.of, p)
	if f.remove(p) == 0 {
		f.stop()
		delete(fm.added, f)
		delete(fm.fetchers, fetcherKey{f.leader, f.share})
	}
}

func (fm *fetcherManager) close() {
	fm.mu.Lock()
	fm.closed = true
	for _, f := range fm.fetchers {
		f.stop()
	}
	fm.mu.Unlock()
	fm.wg.Wait()
}

func share(tp storage.TopicPartition, n int) int32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(tp.Topic))
	return int32((h.Sum32() + uint32(tp.Partition)) % uint32(n))
}

func compareTopicPartition(a, b storage.TopicPartition) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
}
