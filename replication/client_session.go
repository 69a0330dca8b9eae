package replication

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// clientSession is a fetcher's end of its fetch session (KIP-227, FetchSessionHandler): which partitions the leader's end has, as asked last.
type clientSession struct {
	id    int32
	epoch int32 // of the next request; 0: a full one
	byID  bool
	sent  map[sessionKey]*sentPartition
	round int64
}

type sentPartition struct {
	state *fetchState
	ask   FetchPartition
	round int64 // of the last request that wanted it
}

// reset makes the next request a full one; with closeOld it names the old session, which the leader then drops.
func (c *clientSession) reset(closeOld bool) {
	if !closeOld {
		c.id = 0
	}
	c.epoch, c.sent = 0, nil
}

// answered takes the session id of an answer without error.
func (c *clientSession) answered(id int32) {
	switch {
	case id == 0: // the leader has no session for us, or closed it
		c.reset(false)
	case c.epoch == 0:
		c.id, c.epoch = id, 1
	default:
		c.epoch = nextSessionEpoch(c.epoch)
	}
}

func (c *clientSession) state(key sessionKey) *fetchState {
	if sp := c.sent[key]; sp != nil {
		return sp.state
	}
	return nil
}

// request builds the Fetch for states, which are in the order of topics.
func (c *clientSession) request(m *Manager, states []*fetchState, wait time.Duration) *kmsg.FetchRequest {
	byID := m.cfg.FetchVersion >= 13
	for _, s := range states {
		byID = byID && s.p.TopicID() != [16]byte{}
	}
	if byID != c.byID {
		c.reset(true)
		c.byID = byID
	}
	req := kmsg.NewPtrFetchRequest()
	req.Version = m.cfg.FetchVersion
	if !byID {
		req.Version = min(req.Version, 12)
	}
	req.ReplicaID = -1
	if req.Version >= 15 {
		req.ReplicaState.ID, req.ReplicaState.Epoch = m.cfg.BrokerID, m.deps.BrokerEpoch()
	} else {
		req.ReplicaID = m.cfg.BrokerID
	}
	req.MaxWaitMillis = int32(wait.Milliseconds())
	req.MinBytes, req.MaxBytes = m.cfg.FetchMinBytes, m.cfg.FetchResponseMaxBytes
	req.SessionID, req.SessionEpoch = c.id, c.epoch
	if c.sent == nil {
		c.sent = make(map[sessionKey]*sentPartition, len(states))
	}
	c.round++
	quota, _ := m.followerQuota.allowed(m.now())
	for _, s := range states {
		c.want(m, req, s, quota)
	}
	if len(c.sent) > len(states) {
		c.forget(req)
	}
	return req
}

// want adds a partition to the request unless the leader's session has it as it is. quota is what throttled partitions may fetch.
func (c *clientSession) want(m *Manager, req *kmsg.FetchRequest, s *fetchState, quota int64) {
	l := s.p.Log()
	ask := FetchPartition{
		Topic: s.p.tp.Topic, Partition: s.p.tp.Partition, FetchOffset: s.offset, LogStartOffset: l.StartOffset(),
		CurrentLeaderEpoch: s.epoch, LastFetchedEpoch: l.LatestEpoch(), MaxBytes: m.cfg.FetchPartitionMaxBytes,
	}
	if !s.inSync && s.p.throttledAtFollower() {
		ask.MaxBytes = int32(min(int64(ask.MaxBytes), max(1, quota))) // the leader sends a whole batch in any case
	}
	if plantedNoTruncation {
		ask.LastFetchedEpoch = -1 // the leader does not see that the logs diverge
	}
	if c.byID {
		ask.TopicID = l.TopicID()
	}
	key := keyOf(&ask)
	sp := c.sent[key]
	if sp != nil && sp.ask == ask {
		sp.state, sp.round = s, c.round
		return
	}
	if sp == nil {
		sp = &sentPartition{}
		c.sent[key] = sp
	}
	sp.state, sp.ask, sp.round = s, ask, c.round
	if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != ask.Topic {
		t := kmsg.NewFetchRequestTopic()
		t.Topic, t.TopicID = ask.Topic, ask.TopicID
		req.Topics = append(req.Topics, t)
	}
	t := &req.Topics[len(req.Topics)-1]
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.CurrentLeaderEpoch, p.FetchOffset, p.LastFetchedEpoch = ask.Partition, ask.CurrentLeaderEpoch, ask.FetchOffset, ask.LastFetchedEpoch
	p.LogStartOffset, p.PartitionMaxBytes = ask.LogStartOffset, ask.MaxBytes
	t.Partitions = append(t.Partitions, p)
}

// forget takes what is no longer wanted out of the session.
func (c *clientSession) forget(req *kmsg.FetchRequest) {
	for key, sp := range c.sent {
		if sp.round == c.round {
			continue
		}
		delete(c.sent, key)
		t := kmsg.NewFetchRequestForgottenTopic()
		t.Topic, t.TopicID, t.Partitions = sp.ask.Topic, sp.ask.TopicID, []int32{sp.ask.Partition}
		req.ForgottenTopics = append(req.ForgottenTopics, t)
	}
}
