package replication

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	sessionShards = 8
	// sessionProtection is how long a session is safe from others (min.incremental.fetch.session.eviction.ms).
	sessionProtection = 2 * time.Minute
)

// SessionCache holds the incremental fetch sessions of a broker, in shards of equal size (max.incremental.fetch.session.cache.slots).
type SessionCache struct {
	now   func() time.Duration
	names MetadataView
	next  atomic.Uint32
	// shards[id % len] holds the session.
	shards []sessionShard

	evictions atomic.Int64
}

type sessionShard struct {
	mu       sync.Mutex
	slots    int
	sessions map[int32]*session
}

func newSessionCache(slots int, now func() time.Duration, names MetadataView) *SessionCache {
	c := &SessionCache{now: now, names: names}
	n := sessionShards
	if slots < n {
		n = 1
	}
	c.shards = make([]sessionShard, n)
	for i := range c.shards {
		c.shards[i].sessions = map[int32]*session{}
		if c.shards[i].slots = slots / n; i < slots%n {
			c.shards[i].slots++
		}
	}
	return c
}

// Len is the number of sessions and of partitions in them, Evictions the number of sessions that had to make room.
func (c *SessionCache) Len() (sessions, partitions int) {
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.Lock()
		for _, s := range sh.sessions {
			s.mu.Lock()
			sessions, partitions = sessions+1, partitions+len(s.order)
			s.mu.Unlock()
		}
		sh.mu.Unlock()
	}
	return sessions, partitions
}

// Evictions is the number of sessions that others displaced.
func (c *SessionCache) Evictions() int64 { return c.evictions.Load() }

func (c *SessionCache) shard(id int32) *sessionShard {
	return &c.shards[uint32(id)%uint32(len(c.shards))]
}

func (c *SessionCache) get(id int32) *session {
	sh := c.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.sessions[id]
}

func (c *SessionCache) remove(id int32) {
	sh := c.shard(id)
	sh.mu.Lock()
	delete(sh.sessions, id)
	sh.mu.Unlock()
}

// Resolve finds what a Fetch request asks for: itself, or its session changed by it. With a code (FETCH_SESSION_ID_NOT_FOUND,
// INVALID_FETCH_SESSION_EPOCH, FETCH_SESSION_TOPIC_ID_ERROR) the answer has that code, session id 0 and no topics, and there is no context.
func (c *SessionCache) Resolve(req *kmsg.FetchRequest) (*FetchContext, int16) {
	fc := fetchContexts.Get().(*FetchContext)
	fc.cache = c
	fc.req.privileged = ReplicaOf(req) >= 0
	fc.req.byID = req.Version >= 13
	if req.SessionEpoch != 0 && req.SessionEpoch != -1 && req.Version >= 7 {
		if code := fc.resolve(req); code != 0 {
			fc.Release()
			return nil, code
		}
		return fc, 0
	}
	if req.Version >= 7 && req.SessionID != 0 {
		c.remove(req.SessionID)
	}
	if req.Version >= 7 && req.SessionEpoch == 0 {
		fc.kind = fullFetch
	}
	fc.each(req, func(fp *FetchPartition) bool {
		fc.parts = append(fc.parts, *fp)
		return true
	})
	return fc, 0
}

// ReplicaOf is the broker id of the follower that sent the request, -1 or -2 for a consumer.
func ReplicaOf(req *kmsg.FetchRequest) int32 {
	if req.Version >= 15 {
		return req.ReplicaState.ID
	}
	return req.ReplicaID
}

// each calls f with every partition of the request, its topic id resolved, until f returns false. It reports whether f never did.
func (fc *FetchContext) each(req *kmsg.FetchRequest, f func(*FetchPartition) bool) bool {
	for i := range req.Topics {
		t := &req.Topics[i]
		topic := t.Topic
		if fc.req.byID {
			topic, _ = fc.cache.names.ContainsID(t.TopicID)
		}
		for j := range t.Partitions {
			p := &t.Partitions[j]
			fp := FetchPartition{
				Topic: topic, Partition: p.Partition, FetchOffset: p.FetchOffset, LogStartOffset: p.LogStartOffset,
				CurrentLeaderEpoch: p.CurrentLeaderEpoch, LastFetchedEpoch: p.LastFetchedEpoch, MaxBytes: p.PartitionMaxBytes,
			}
			if fc.req.byID {
				fp.TopicID = t.TopicID
			}
			if !f(&fp) {
				return false
			}
		}
	}
	return true
}

// resolve applies an incremental request to its session.
func (fc *FetchContext) resolve(req *kmsg.FetchRequest) (code int16) {
	s := fc.cache.get(req.SessionID)
	if s == nil {
		return kerr.FetchSessionIDNotFound.Code
	}
	code, drop := fc.resolveIn(s, req)
	if drop {
		fc.cache.remove(s.id)
	}
	return code
}

// resolveIn is resolve with the session found. The session's epoch moves on before anything is read. drop says that the session is over.
func (fc *FetchContext) resolveIn(s *session, req *kmsg.FetchRequest) (code int16, drop bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != req.SessionEpoch {
		return kerr.InvalidFetchSessionEpoch.Code, false
	}
	if s.byID != fc.req.byID {
		return kerr.FetchSessionTopicIDError.Code, false
	}
	if !fc.each(req, s.put) {
		return kerr.FetchSessionIDNotFound.Code, true
	}
	s.forget(req.ForgottenTopics)
	if len(s.order) == 0 {
		return 0, true // closed: answered without a session
	}
	s.lastUsed = fc.cache.now()
	s.epoch = nextSessionEpoch(s.epoch)
	fc.kind, fc.sess, fc.epoch = incremental, s, s.epoch
	for _, sp := range s.order {
		if sp.ask.Topic == "" {
			sp.ask.Topic, _ = fc.cache.names.ContainsID(sp.ask.TopicID) // known by now?
		}
		fc.parts = append(fc.parts, sp.ask)
		fc.cached = append(fc.cached, sp)
	}
	return 0, false
}

// create makes the session of a full request; 0 if there is no room for it.
func (c *SessionCache) create(fc *FetchContext, results []FetchResult) (id int32) {
	if len(fc.parts) > maxSessionPartitions {
		return 0
	}
	now := c.now()
	shard := c.next.Add(1) % uint32(len(c.shards))
	sh := &c.shards[shard]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if len(sh.sessions) >= sh.slots && !c.evict(sh, fc.req.privileged, len(fc.parts), now) {
		return 0
	}
	s := &session{privileged: fc.req.privileged, byID: fc.req.byID, created: now, lastUsed: now, epoch: 1, index: make(map[sessionKey]*sessionPartition, len(fc.parts))}
	for i := range fc.parts {
		s.put(&fc.parts[i])
		s.index[keyOf(&fc.parts[i])].tell(&results[i])
	}
	for s.id == 0 || sh.sessions[s.id] != nil {
		n := uint32(len(c.shards))
		s.id = int32(rand.Uint32N((1<<31-1)/n)*n + shard)
	}
	sh.sessions[s.id] = s
	return s.id
}

// evict makes room for a session of that worth: a stale session goes, otherwise the least valuable one that is not protected, if it is
// worth no more (FetchSessionCacheShard.tryEvict). Needs the shard's mu.
func (c *SessionCache) evict(sh *sessionShard, privileged bool, size int, now time.Duration) bool {
	var stale, least *session
	var staleUsed time.Duration
	var leastSize int
	for _, s := range sh.sessions {
		s.mu.Lock()
		used, n := s.lastUsed, len(s.order)
		s.mu.Unlock()
		if now-used > sessionProtection && (stale == nil || used < staleUsed) {
			stale, staleUsed = s, used
		}
		if old := now-s.created > sessionProtection; !old && (!privileged || s.privileged) {
			continue
		}
		if least == nil || worthLess(s.privileged, n, s.id, least.privileged, leastSize, least.id) {
			least, leastSize = s, n
		}
	}
	victim := stale
	if victim == nil {
		if least == nil || worthLess(privileged, size, 0, least.privileged, leastSize, least.id) {
			return false
		}
		victim = least
	}
	delete(sh.sessions, victim.id)
	c.evictions.Add(1)
	return true
}

// worthLess orders sessions for eviction: clients' before followers', small before large.
func worthLess(privileged bool, size int, id int32, otherPrivileged bool, otherSize int, otherID int32) bool {
	if privileged != otherPrivileged {
		return !privileged
	}
	if size != otherSize {
		return size < otherSize
	}
	return id < otherID
}
