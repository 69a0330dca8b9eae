package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator"
	"ottla/coordinator/group/consumer"
	"ottla/storage"
)

// notAnswered stands in a response's partitions for those that the machine has to decide about.
const notAnswered int16 = -32768

// commitEvent is an OffsetCommit, versions 1-9 (version 0 is for ZooKeeper). v1: generation and member, time of the commit. v2-4:
// retention time. v6: leader epoch. v7: group instance id. v9: member epochs of the new protocol.
//
// Errors, per partition: UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION, FENCED_INSTANCE_ID, REBALANCE_IN_PROGRESS, STALE_MEMBER_EPOCH,
// GROUP_ID_NOT_FOUND (from v9 on), UNKNOWN_TOPIC_OR_PARTITION, OFFSET_METADATA_TOO_LARGE, INVALID_COMMIT_OFFSET_SIZE, REQUEST_TIMED_OUT.
type commitEvent struct {
	coordinator.Request
	version int16
	req     *kmsg.OffsetCommitRequest
	resp    *kmsg.OffsetCommitResponse // as req; what is not answered yet is notAnswered
}

// Traits implements coordinator.Event: commits check members and generation, which commits do not change.
func (e *commitEvent) Traits() coordinator.Traits { return coordinator.Batching }

// Fail implements coordinator.Event.
func (e *commitEvent) Fail(err error) { e.finish(commitCode(err)) }

// finish answers the partitions that are left.
func (e *commitEvent) finish(code int16) {
	for i := range e.resp.Topics {
		ps := e.resp.Topics[i].Partitions
		for j := range ps {
			if ps[j].ErrorCode == notAnswered {
				ps[j].ErrorCode = code
			}
		}
	}
	e.Finish()
}

// each calls f for the partitions that are to be committed, until it returns an error.
func (e *commitEvent) each(f func(topic string, partition int32) error) error {
	for i := range e.req.Topics {
		for j := range e.req.Topics[i].Partitions {
			if e.resp.Topics[i].Partitions[j].ErrorCode != notAnswered {
				continue
			}
			if err := f(e.req.Topics[i].Topic, e.req.Topics[i].Partitions[j].Partition); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *commitEvent) handle(m *machine, now time.Time) {
	req := e.req
	g := m.groups[req.Group]
	if g == nil && req.Generation >= 0 {
		e.finish(unknownGroupCode(e.version))
		return
	}
	if g != nil && g.consumer != nil {
		if c := m.validateConsumerCommit(g, consumer.Commit{
			Version: e.version, MemberID: req.MemberID, InstanceID: req.InstanceID != nil, Epoch: req.Generation,
		}, e.each); c != 0 {
			e.finish(c)
			return
		}
	} else if g != nil {
		if c := g.validateCommit(req.MemberID, req.InstanceID, req.Generation, false); c != 0 {
			e.finish(c)
			return
		}
		switch g.state {
		case completingRebalance: // the member knows the new generation and should have sent SyncGroup
			e.finish(codeRebalanceInProgress)
			return
		case stable, preparingRebalance:
			m.touch(now, g.members[req.MemberID])
		}
	}
	nowMs := now.UnixMilli()
	c := committed{expireMs: noTimestampMs}
	if e.version >= 2 && e.version <= 4 && req.RetentionTimeMillis != -1 {
		c.expireMs = nowMs + req.RetentionTimeMillis
	}
	w := offsetWriter{m: m, group: req.Group}
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			p, answer := &t.Partitions[j], &e.resp.Topics[i].Partitions[j]
			if answer.ErrorCode != notAnswered {
				continue
			}
			c.offset, c.leaderEpoch, c.metadata, c.commitMs = p.Offset, p.LeaderEpoch, "", nowMs
			if p.Metadata != nil {
				c.metadata = *p.Metadata
			}
			if e.version == 1 && p.Timestamp != -1 {
				c.commitMs = p.Timestamp
			}
			if !w.write(t.Topic, p.Partition, &c) {
				answer.ErrorCode = codeMetadataTooLarge
			}
		}
	}
	if w.n == 0 {
		e.finish(0)
		return
	}
	m.out.Done = func(_ time.Time, err error) {
		if err != nil {
			e.Fail(err)
			return
		}
		m.stats.commits.Add(int64(w.n))
		e.finish(0)
	}
}

// validateCommit decides who may commit (GroupCoordinator.validateOffsetCommit): members with the current generation; anyone without a
// generation while the group is empty; and transactional producers of old clients, which say nothing about themselves.
func (g *group) validateCommit(memberID string, instanceID *string, generation int32, txn bool) int16 {
	switch {
	case generation < 0 && g.state == empty:
		return 0
	case generation >= 0 || memberID != "" || instanceID != nil:
		if c := g.validate(memberID, instanceID); c != 0 {
			return c
		}
		if generation != g.generation {
			return codeIllegalGeneration
		}
		return 0
	case !txn && g.state != empty:
		return codeUnknownMemberID
	}
	return 0
}

// offsetWriter makes the records of one commit.
type offsetWriter struct {
	m     *machine
	group string
	n     int
	buf   []byte
}

// write adds a record; false if the metadata is longer than offset.metadata.max.bytes allows.
func (w *offsetWriter) write(topic string, partition int32, c *committed) bool {
	if len(c.metadata) > maxString || !MetadataFits(c.metadata, w.m.cfg.OffsetMetadataMaxSize) {
		return false
	}
	if w.buf == nil {
		w.buf = make([]byte, 0, 64+len(w.group)+len(topic)+len(c.metadata))
	}
	start := len(w.buf)
	w.buf = appendOffsetKey(w.buf, w.group, topic, partition)
	end := len(w.buf)
	w.buf = appendOffsetValue(w.buf, c)
	w.m.emit(w.buf[start:end:end], w.buf[end:len(w.buf):len(w.buf)])
	w.n++
	return true
}

// MetadataFits tells whether the metadata of an offset is not longer than offset.metadata.max.bytes allows. Kafka counts what Java
// counts, UTF-16 code units.
func MetadataFits(metadata string, limit int) bool {
	if len(metadata) <= limit {
		return true
	}
	n := 0
	for _, r := range metadata {
		n++
		if r > 0xffff {
			n++
		}
	}
	return n <= limit
}

// txnCommitEvent is a TxnOffsetCommit, versions 0-5. v2: leader epoch. v3: member, generation and group instance id (KIP-447).
// v4: TRANSACTION_ABORTABLE is understood. v5: the offsets become part of the transaction (KIP-890). The offsets count once the transaction's commit marker is written.
type txnCommitEvent struct {
	coordinator.Request
	version int16
	req     *kmsg.TxnOffsetCommitRequest
	resp    *kmsg.TxnOffsetCommitResponse // as req; what is not answered yet is notAnswered

	verified bool // see coordinator.Transaction
	guard    *storage.VerificationGuard
}

func (e *txnCommitEvent) Traits() coordinator.Traits { return 0 }

// Fail implements coordinator.Event. Clients below version 2 do not know COORDINATOR_LOAD_IN_PROGRESS here.
func (e *txnCommitEvent) Fail(err error) { e.finish(commitCode(err)) }

func (e *txnCommitEvent) finish(code int16) {
	if e.version < 2 && code == codeLoadInProgress {
		code = codeNotAvailable
	}
	for i := range e.resp.Topics {
		ps := e.resp.Topics[i].Partitions
		for j := range ps {
			if ps[j].ErrorCode == notAnswered {
				ps[j].ErrorCode = code
			}
		}
	}
	e.Finish()
}

// each is that of commitEvent.
func (e *txnCommitEvent) each(f func(topic string, partition int32) error) error {
	for i := range e.req.Topics {
		for j := range e.req.Topics[i].Partitions {
			if e.resp.Topics[i].Partitions[j].ErrorCode != notAnswered {
				continue
			}
			if err := f(e.req.Topics[i].Topic, e.req.Topics[i].Partitions[j].Partition); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *txnCommitEvent) handle(m *machine, now time.Time) {
	req := e.req
	generation, memberID, instanceID := req.Generation, req.MemberID, req.InstanceID
	if e.version < 3 {
		generation, memberID, instanceID = -1, "", nil
	}
	if g := m.groups[req.Group]; g != nil && g.consumer != nil {
		if c := m.validateConsumerCommit(g, consumer.Commit{
			MemberID: memberID, InstanceID: instanceID != nil, Epoch: generation, Txn: true,
		}, e.each); c != 0 {
			e.finish(c)
			return
		}
	} else if g != nil {
		if c := g.validateCommit(memberID, instanceID, generation, true); c != 0 {
			e.finish(c)
			return
		}
	} else if c := (&group{}).validateCommit(memberID, instanceID, generation, true); c != 0 {
		e.finish(c)
		return
	}
	w := offsetWriter{m: m, group: req.Group}
	c := committed{expireMs: noTimestampMs, commitMs: now.UnixMilli()}
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			p, answer := &t.Partitions[j], &e.resp.Topics[i].Partitions[j]
			if answer.ErrorCode != notAnswered {
				continue
			}
			c.offset, c.leaderEpoch, c.metadata = p.Offset, p.LeaderEpoch, ""
			if p.Metadata != nil {
				c.metadata = *p.Metadata
			}
			if !w.write(t.Topic, p.Partition, &c) {
				answer.ErrorCode = codeMetadataTooLarge
			}
		}
	}
	if w.n == 0 {
		e.finish(0)
		return
	}
	m.out.Transaction = &coordinator.Transaction{
		ProducerID: req.ProducerID, ProducerEpoch: req.ProducerEpoch, Verified: e.verified, Guard: e.guard,
	}
	m.out.Done = func(_ time.Time, err error) {
		if err != nil {
			e.Fail(err)
			return
		}
		m.stats.commits.Add(int64(w.n))
		e.finish(0)
	}
}

func (e *completeTxnEvent) handle(m *machine, _ time.Time) {
	m.completeTxn(e.producerID, e.commit)
	e.Finish()
}
