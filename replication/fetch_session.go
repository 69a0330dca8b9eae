package replication

import (
	"math"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxSessionPartitions bounds what one client can have a session remember. Kafka has no bound; a client beyond it sends full requests.
const maxSessionPartitions = 100_000

// session is one incremental fetch session (KIP-227): what the client asks for and what it was told last.
type session struct {
	id         int32
	privileged bool // a follower's
	byID       bool // its topics are named by id: created by a request of version 13 or higher
	created    time.Duration

	mu       sync.Mutex
	epoch    int32 // of the next request
	lastUsed time.Duration
	order    []*sessionPartition // in the order to read; those that returned data go to the end
	index    map[sessionKey]*sessionPartition
}

// sessionKey names a partition by topic or, with the topic empty, by topic id.
type sessionKey struct {
	topic     string
	id        [16]byte
	partition int32
}

func keyOf(fp *FetchPartition) sessionKey {
	if fp.TopicID != ([16]byte{}) {
		return sessionKey{id: fp.TopicID, partition: fp.Partition}
	}
	return sessionKey{topic: fp.Topic, partition: fp.Partition}
}

// sessionPartition is a partition of a session. Guarded by session.mu.
type sessionPartition struct {
	ask           FetchPartition
	highWatermark int64 // last told; -1 forces the next answer
	logStart      int64
	returnedData  bool // in the answer under way
}

// tell reports whether the result is news for the client and remembers it as told (CachedPartition.maybeUpdateResponseData).
func (sp *sessionPartition) tell(r *FetchResult) (news bool) {
	news = r.Size() > 0 || r.HighWatermark != sp.highWatermark || r.LogStartOffset != sp.logStart || r.PreferredReplica >= 0
	sp.highWatermark, sp.logStart = r.HighWatermark, r.LogStartOffset
	if r.Err != nil || r.Diverging != nil {
		sp.highWatermark = -1 // so that the partition is sent again when the error is gone
		return true
	}
	return news
}

// put adds or changes a partition. Needs mu. It reports whether there was room.
func (s *session) put(fp *FetchPartition) bool {
	if sp := s.index[keyOf(fp)]; sp != nil {
		topic := sp.ask.Topic
		sp.ask = *fp
		sp.ask.Topic = topic
		return true
	}
	if len(s.order) >= maxSessionPartitions {
		return false
	}
	sp := &sessionPartition{ask: *fp, highWatermark: -1, logStart: -1}
	if n := len(s.order); n > 0 && s.order[n-1].ask.Topic == fp.Topic {
		sp.ask.Topic = s.order[n-1].ask.Topic
	} else {
		sp.ask.Topic = strings.Clone(fp.Topic)
	}
	s.order = append(s.order, sp)
	s.index[keyOf(&sp.ask)] = sp
	return true
}

// forget removes partitions. Needs mu.
func (s *session) forget(topics []kmsg.FetchRequestForgottenTopic) {
	gone := map[*sessionPartition]bool{}
	for i := range topics {
		t := &topics[i]
		for _, id := range t.Partitions {
			key := keyOf(&FetchPartition{Topic: t.Topic, TopicID: t.TopicID, Partition: id})
			if sp := s.index[key]; sp != nil {
				gone[sp] = true
				delete(s.index, key)
			}
		}
	}
	if len(gone) == 0 {
		return
	}
	kept := s.order[:0]
	for _, sp := range s.order {
		if !gone[sp] {
			kept = append(kept, sp)
		}
	}
	clear(s.order[len(kept):])
	s.order = kept
}

// rotate puts the partitions that returned data last, so that a busy one does not starve others. Needs mu.
func (s *session) rotate() {
	var moved []*sessionPartition
	kept := s.order[:0]
	for _, sp := range s.order {
		if sp.returnedData {
			sp.returnedData = false
			moved = append(moved, sp)
		} else {
			kept = append(kept, sp)
		}
	}
	s.order = append(kept, moved...)
}

func nextSessionEpoch(epoch int32) int32 {
	if epoch == math.MaxInt32 {
		return 1
	}
	return epoch + 1
}

// FetchContext is one Fetch request with its session resolved. Release gives its memory back.
type FetchContext struct {
	cache *SessionCache
	kind  contextKind
	sess  *session // incremental
	epoch int32    // of the session after this request
	req   struct {
		privileged, byID bool
	}
	parts   []FetchPartition
	cached  []*sessionPartition // incremental: of each of parts
	results []FetchResult
}

type contextKind int8

const (
	sessionless contextKind = iota
	fullFetch
	incremental
)

var fetchContexts = sync.Pool{New: func() any { return new(FetchContext) }}

// Partitions are what to read, in order. Valid until Release; topics may alias the request.
func (c *FetchContext) Partitions() []FetchPartition { return c.parts }

// Scratch is memory for the results of Partitions (FetchRequest.Results), valid until Release.
func (c *FetchContext) Scratch() []FetchResult {
	if cap(c.results) < len(c.parts) {
		c.results = make([]FetchResult, len(c.parts))
	}
	return c.results[:len(c.parts)]
}

// Release gives the context and its memory back, when the answer was encoded.
func (c *FetchContext) Release() {
	if cap(c.parts) > pooledWatches {
		return
	}
	clear(c.results[:min(cap(c.results), len(c.parts))])
	clear(c.parts)
	clear(c.cached)
	*c = FetchContext{parts: c.parts[:0], cached: c.cached[:0], results: c.results[:0]}
	fetchContexts.Put(c)
}

// Update takes the results of Partitions, sets Omit on those that an incremental answer leaves out, and returns the session id and
// error code of the answer. A full request creates its session now, if there is room. With a code no partition is sent.
func (c *FetchContext) Update(results []FetchResult) (sessionID int32, code int16) {
	switch c.kind {
	case fullFetch:
		return c.cache.create(c, results), 0
	case incremental:
		return c.sess.id, c.updateIncremental(results)
	}
	return 0, 0
}

func (c *FetchContext) updateIncremental(results []FetchResult) (code int16) {
	s := c.sess
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != c.epoch {
		for i := range results {
			results[i].Omit = true
		}
		return kerr.InvalidFetchSessionEpoch.Code
	}
	var data bool
	for i := range results {
		sp := c.cached[i]
		results[i].Omit = !sp.tell(&results[i])
		sp.returnedData = results[i].Size() > 0
		sp.ask.known = results[i].at
		data = data || sp.returnedData
	}
	if data {
		s.rotate()
	}
	return 0
}

// Throttled is Update for an answer without partitions, of a client over its quota: nothing is remembered as told and no session created.
func (c *FetchContext) Throttled() (sessionID int32, code int16) {
	if c.kind != incremental {
		return 0, 0
	}
	c.sess.mu.Lock()
	defer c.sess.mu.Unlock()
	if c.sess.epoch != c.epoch {
		return c.sess.id, kerr.InvalidFetchSessionEpoch.Code
	}
	return c.sess.id, 0
}
