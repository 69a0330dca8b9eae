package api

import (
	"encoding/binary"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/replication"
	"ottla/wire"
	"ottla/wire/batch"
)

// Fetch, versions 0-17, of consumers and followers. v0-1: records of magic 0. v2-3: magic 1. v3: max bytes of the response. v4: magic 2,
// isolation level. v5: log start offset. v7: sessions (KIP-227). v9: current leader epoch (KIP-320). v10: zstd. v11: rack (KIP-392).
// v12: flexible, last fetched epoch. v13: topic ids (KIP-516). v15: replica state (KIP-903). v16: current leader (KIP-951). v17:
// replica directory id, without effect here.
//
// The handler waits up to max_wait_ms for min_bytes, as a part of the connection's order of requests.
//
// Errors: FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH, FETCH_SESSION_TOPIC_ID_ERROR for the session; per partition
// UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, INCONSISTENT_TOPIC_ID, NOT_LEADER_OR_FOLLOWER, OFFSET_OUT_OF_RANGE,
// FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, UNSUPPORTED_COMPRESSION_TYPE, UNSUPPORTED_VERSION, KAFKA_STORAGE_ERROR.
func fetch(a *API) wire.Handler {
	return func(c *wire.Call) wire.Reply {
		s := fetchScratches.Get().(*fetchScratch)
		s.req.SetVersion(c.Header.Version)
		if err := s.req.UnsafeReadFrom(c.Body); err != nil {
			return unreadable(c, err)
		}
		return wire.Reply{Fetch: a.fetch(c, s)}
	}
}

// fetchScratch is the memory of one Fetch, from its decoding until its answer is written.
type fetchScratch struct {
	req        kmsg.FetchRequest
	ask        replication.FetchRequest
	resp       wire.FetchResponse
	partitions []wire.FetchPartition
	first      []int // index in partitions of each topic's first
}

var fetchScratches = sync.Pool{New: func() any { return new(fetchScratch) }}

// pooledFetchPartitions is the largest answer whose memory is kept.
const pooledFetchPartitions = 1024

func (s *fetchScratch) release() {
	if cap(s.partitions) > pooledFetchPartitions || cap(s.ask.Results) > pooledFetchPartitions {
		return
	}
	clear(s.partitions)
	clear(s.resp.Topics)
	results := s.ask.Results[:cap(s.ask.Results)]
	clear(results)
	s.first = s.first[:0]
	s.partitions, s.resp, s.ask = s.partitions[:0], wire.FetchResponse{Topics: s.resp.Topics[:0]}, replication.FetchRequest{Results: results[:0]}
	fetchScratches.Put(s)
}

func (a *API) fetch(c *wire.Call, s *fetchScratch) *wire.FetchResponse {
	req := &s.req
	resp := &s.resp
	resp.Release = s.release
	session, code := a.Replication.Sessions().Resolve(req)
	if code != 0 {
		resp.ErrorCode = code
		return resp
	}
	defer session.Release()
	s.ask.ReplicaID, s.ask.ReplicaEpoch = replication.ReplicaOf(req), -1
	if req.Version >= 15 {
		s.ask.ReplicaEpoch = req.ReplicaState.Epoch
	}
	s.ask.MaxWait = time.Duration(req.MaxWaitMillis) * time.Millisecond
	s.ask.MinBytes, s.ask.MaxBytes = req.MinBytes, req.MaxBytes
	s.ask.Isolation, s.ask.Version, s.ask.Rack = req.IsolationLevel, req.Version, req.Rack
	s.ask.Partitions = session.Partitions()
	results := a.Replication.Fetch(c.Context(), &s.ask)
	s.ask.Results = results
	resp.SessionID, resp.ErrorCode = session.Update(results)
	for i := range results {
		r := &results[i]
		if r.Omit {
			if r.Records != nil {
				r.Records.Release()
			}
			continue
		}
		a.fetchPartition(c, s, &s.ask.Partitions[i], r)
	}
	s.group()
	return resp
}

// fetchPartition appends a partition's answer. Topics are kept in order and put around the partitions by group.
func (a *API) fetchPartition(c *wire.Call, s *fetchScratch, ask *replication.FetchPartition, r *replication.FetchResult) {
	version := s.req.Version
	p := wire.FetchPartition{
		Partition: ask.Partition, ErrorCode: a.code(r.Err),
		HighWatermark: r.HighWatermark, LastStableOffset: r.LastStableOffset, LogStartOffset: r.LogStartOffset, PreferredReplica: r.PreferredReplica,
	}
	if r.Diverging != nil {
		p.Diverging = &wire.EpochEndOffset{Epoch: r.Diverging.Epoch, EndOffset: r.Diverging.EndOffset}
	}
	if r.ReadCommitted {
		p.Aborted = make([]wire.AbortedTxn, len(r.Aborted))
		for i, t := range r.Aborted {
			p.Aborted[i] = wire.AbortedTxn{ProducerID: t.ProducerID, FirstOffset: t.FirstOffset}
		}
	}
	if r.Records != nil {
		p.Records = r.Records
	}
	if version < 10 && r.Err == nil {
		a.oldFormat(s, ask, &p)
	}
	if noAbortedList(p.ErrorCode) && p.Aborted == nil {
		p.Aborted = []wire.AbortedTxn{}
	}
	if r.LeaderID >= 0 && version >= 16 {
		p.CurrentLeader = &wire.LeaderIDEpoch{LeaderID: r.LeaderID, LeaderEpoch: r.LeaderEpoch}
		a.addNode(c, &s.resp, r.LeaderID)
	}
	if p.ErrorCode == kerr.KafkaStorageError.Code && version <= 5 {
		p.ErrorCode = kerr.NotLeaderForPartition.Code
	}
	name, id := "", ask.TopicID
	if version < 13 {
		name, id = a.stableName(ask), [16]byte{}
	}
	if n := len(s.resp.Topics); n == 0 || s.resp.Topics[n-1].Name != name || s.resp.Topics[n-1].ID != id {
		s.resp.Topics = append(s.resp.Topics, wire.FetchTopic{Name: name, ID: id})
		s.first = append(s.first, len(s.partitions))
	}
	s.partitions = append(s.partitions, p)
}

// group hands each topic its part of the partitions, once they have stopped to move.
func (s *fetchScratch) group() {
	for i := range s.resp.Topics {
		end := len(s.partitions)
		if i+1 < len(s.first) {
			end = s.first[i+1]
		}
		s.resp.Topics[i].Partitions = s.partitions[s.first[i]:end]
	}
}

// stableName is the topic's name in memory that outlives the request's frame.
func (a *API) stableName(ask *replication.FetchPartition) string {
	if p := a.Replication.Partition(ask.Topic, ask.Partition); p != nil {
		return p.Topic()
	}
	return strings.Clone(ask.Topic)
}

func (a *API) addNode(c *wire.Call, resp *wire.FetchResponse, id int32) {
	for _, n := range resp.NodeEndpoints {
		if n.NodeID == id {
			return
		}
	}
	snapshot := a.Cache.Load()
	if e, ok := snapshot.Endpoint(id, c.Conn.Listener()); ok {
		resp.NodeEndpoints = append(resp.NodeEndpoints, wire.FetchNode{NodeID: id, Host: e.Host, Port: e.Port, Rack: snapshot.Brokers[id].Rack})
	}
}

// oldFormat gives consumers of old versions what they can read: below version 4 records of magic 0 or 1, below 10 nothing of a topic that
// is compressed with zstd. Followers get the log's bytes.
func (a *API) oldFormat(s *fetchScratch, ask *replication.FetchPartition, p *wire.FetchPartition) {
	if s.ask.ReplicaID >= 0 {
		return
	}
	part := a.Replication.Partition(ask.Topic, ask.Partition)
	if part == nil {
		return
	}
	cfg := part.Log().Config()
	switch {
	case cfg.Compression == "zstd":
		refuse(p, kerr.UnsupportedCompressionType.Code)
	case s.req.Version >= 4:
	case !cfg.DownconversionEnable:
		refuse(p, kerr.UnsupportedVersion.Code)
	default:
		magic := int8(1)
		if s.req.Version < 2 {
			magic = 0
		}
		if p.Records == nil {
			return
		}
		records := make([]byte, p.Records.Len())
		_, err := p.Records.ReadAt(records, 0)
		if err == nil {
			records, err = batch.Downconvert(records, magic)
			records = skipMessages(records, ask.FetchOffset)
		}
		if err != nil {
			refuse(p, a.code(err))
			return
		}
		p.Records.Release()
		p.Records, p.Bytes = nil, records
	}
}

// skipMessages drops plain messages below an offset from the front of a message set, as Kafka does when it converts a batch that
// begins before the offset asked for (RecordsUtil.downConvert). A compressed message is not taken apart.
func skipMessages(set []byte, offset int64) []byte {
	for {
		size, magic, err := batch.PeekSize(set)
		if err != nil || size > len(set) || magic > 1 || set[magicOffset+1]&7 != 0 || int64(binary.BigEndian.Uint64(set)) >= offset {
			return set
		}
		set = set[size:]
	}
}

// noAbortedList says whether an error comes with an empty list of aborted transactions in place of a null one: those that Kafka
// finds before it reads the log, or after it.
func noAbortedList(code int16) bool {
	switch code {
	case kerr.UnknownTopicOrPartition.Code, kerr.UnknownTopicID.Code, kerr.InconsistentTopicID.Code,
		kerr.UnsupportedCompressionType.Code, kerr.UnsupportedVersion.Code:
		return true
	}
	return false
}

func refuse(p *wire.FetchPartition, code int16) {
	if p.Records != nil {
		p.Records.Release()
	}
	p.Records = nil
	p.ErrorCode = code
	p.HighWatermark, p.LastStableOffset, p.LogStartOffset = -1, -1, -1
}
