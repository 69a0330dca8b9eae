package api

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/replication"
	"ottla/storage"
	"ottla/wire"
	"ottla/wire/batch"
)

// Produce, versions 0-12. v0-2: message sets of magic 0 and 1, converted to batches. v3: one batch of magic 2 for a partition,
// transactional id. v5: log start offset. v7: zstd. v8: record errors (KIP-467). v9: flexible. v10: current leader (KIP-951).
// v11: TRANSACTION_ABORTABLE is understood. v12: adds the partitions to the transaction (KIP-890).
//
// The handler is the first stage: it appends, in the order of the connection's requests. With acks=-1 and replicas still behind
// it answers with a Pending, and the connection goes on with its next request.
//
// Errors, per partition: INVALID_REQUIRED_ACKS, UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, INVALID_TOPIC_EXCEPTION for
// internal topics, TRANSACTIONAL_ID_AUTHORIZATION_FAILED, INVALID_TXN_STATE or, from version 11, TRANSACTION_ABORTABLE, and
// INVALID_PRODUCER_ID_MAPPING for transactional batches, INVALID_RECORD, CORRUPT_MESSAGE, MESSAGE_TOO_LARGE, INVALID_TIMESTAMP, UNSUPPORTED_COMPRESSION_TYPE,
// OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH, NOT_ENOUGH_REPLICAS, NOT_ENOUGH_REPLICAS_AFTER_APPEND,
// REQUEST_TIMED_OUT, KAFKA_STORAGE_ERROR. A request with acks=0 has no answer: any error closes the connection.
func produce(a *API) wire.Handler {
	return func(c *wire.Call) wire.Reply {
		s, ok := c.Conn.Scratch.(*produceScratch)
		if !ok {
			s = &produceScratch{}
			c.Conn.Scratch = s
		}
		s.req.SetVersion(c.Header.Version)
		if err := s.req.UnsafeReadFrom(c.Body); err != nil {
			return unreadable(c, err)
		}
		return a.produce(c, s)
	}
}

// produceScratch is reused by the Produce requests of one connection.
type produceScratch struct {
	req  kmsg.ProduceRequest
	apps []replication.Appended
	at   []*kmsg.ProduceResponseTopicPartition // where the answer of each element of apps lies
}

func (a *API) produce(c *wire.Call, s *produceScratch) wire.Reply {
	req := &s.req
	resp := &kmsg.ProduceResponse{Version: req.Version, Topics: make([]kmsg.ProduceResponseTopic, len(req.Topics))}
	s.apps, s.at = s.apps[:0], s.at[:0]
	var failed error
	known := a.verifyProduce(c, req)
	for i := range req.Topics {
		rt := &req.Topics[i]
		t := &resp.Topics[i]
		t.Partitions = make([]kmsg.ProduceResponseTopicPartition, len(rt.Partitions))
		for j := range rt.Partitions {
			rp := &rt.Partitions[j]
			p := &t.Partitions[j]
			p.Default()
			p.Partition = rp.Partition
			app, err := a.append(c, req, rt.Topic, rp, &known)
			if err != nil {
				failed = err
				a.produceError(c, resp, p, rt.Topic, err)
				if logStartIsTold(p.ErrorCode) && app.Partition != nil {
					p.LogStartOffset = app.LogStartOffset
				}
				continue
			}
			t.Topic = app.Partition.Topic() // the frame's own string ends with this call
			p.BaseOffset, p.LogAppendTime, p.LogStartOffset = app.FirstOffset, app.LogAppendTime, app.LogStartOffset
			if app.FirstOffset >= 0 { // else there was nothing to append
				s.apps, s.at = append(s.apps, app), append(s.at, p)
			}
		}
		if t.Topic == "" {
			t.Topic = strings.Clone(rt.Topic)
		}
	}
	switch {
	case req.Acks == 0 && failed != nil:
		return wire.Reply{Close: true, CloseReason: "produce with acks=0 failed: " + failed.Error()}
	case req.Acks == 0:
		return wire.Reply{}
	case len(s.apps) > 0: // with acks=1 there is nothing to wait for but a synced log (flush.messages=1)
		if w := a.Replication.WaitCommitted(s.apps, time.Duration(req.TimeoutMillis)*time.Millisecond); w != nil {
			p := &pendingProduce{ProduceWait: w, api: a, listener: c.Conn.Listener(), resp: resp, at: s.at}
			s.at = nil
			return wire.Reply{Pending: p}
		}
	}
	return wire.Reply{Response: resp}
}

// pendingProduce is the second stage of a Produce with acks=-1.
type pendingProduce struct {
	*replication.ProduceWait
	api      *API
	listener string // of the client's connection
	resp     *kmsg.ProduceResponse
	at       []*kmsg.ProduceResponseTopicPartition
}

func (p *pendingProduce) Finish() kmsg.Response {
	var moved bool
	for i, code := range p.Errors() {
		p.at[i].ErrorCode = code
		moved = moved || code == kerr.NotLeaderForPartition.Code
	}
	if !moved {
		return p.resp
	}
	for i := range p.resp.Topics {
		t := &p.resp.Topics[i]
		for j := range t.Partitions {
			if rp := &t.Partitions[j]; rp.ErrorCode == kerr.NotLeaderForPartition.Code {
				p.api.newLeader(p.listener, p.resp, rp, t.Topic)
			}
		}
	}
	return p.resp
}

// logStartIsTold says whether the answer of a partition that refused the records has its log start offset; with the other
// errors it is -1 (ReplicaManager.appendToLocalLog).
func logStartIsTold(code int16) bool {
	switch code {
	case kerr.UnknownTopicOrPartition.Code, kerr.NotLeaderForPartition.Code, kerr.MessageTooLarge.Code, kerr.RecordListTooLarge.Code,
		kerr.CorruptMessage.Code, kerr.KafkaStorageError.Code:
		return false
	}
	return true
}

// append checks what depends on the request's version and hands the records to the partition. With an error, the result has the
// partition and its log start offset if it was the partition that refused the records.
func (a *API) append(c *wire.Call, req *kmsg.ProduceRequest, topic string, rp *kmsg.ProduceRequestTopicPartition, known *verification) (replication.Appended, error) {
	none := replication.Appended{}
	if req.Acks < -1 || req.Acks > 1 {
		return none, kerr.InvalidRequiredAcks
	}
	if isInternal(topic) && c.Header.ClientID != adminClientID {
		return none, kerr.InvalidTopicException
	}
	p, err := a.Replication.LeaderPartition(topic, rp.Partition)
	if err != nil {
		return none, err
	}
	records := rp.Records
	switch size, magic, perr := batch.PeekSize(records); {
	case req.Version < 3 && records != nil && (errors.Is(perr, batch.ErrTruncated) || perr == nil && size > len(records)):
		// No whole message: Kafka drops what is cut, and appends nothing.
		return replication.Appended{Partition: p, AppendInfo: storage.AppendInfo{FirstOffset: -1, LastOffset: -1, LogAppendTime: -1}}, nil
	case req.Version < 3 && (perr != nil || magic < 2):
		if records, err = batch.Upconvert(records, batch.UpconvertOptions{}); err != nil {
			return none, recordsError(err)
		}
	default:
		if records, err = oneBatch(records, req); err != nil {
			return none, err
		}
	}
	o, err := known.options(topic, rp.Partition)
	if err != nil {
		return none, err
	}
	app, err := p.Append(records, replication.AppendOptions{Acks: req.Acks, AnyEpoch: true, Log: o})
	if err != nil {
		app = replication.Appended{Partition: p, AppendInfo: storage.AppendInfo{LogStartOffset: p.Log().StartOffset()}}
	}
	return app, err
}

// adminClientID may write to internal topics (kafka.server.KafkaApis, AdminUtils.ADMIN_CLIENT_ID).
const adminClientID = "__admin_client"

// oneBatch wants one batch of magic 2, as every Produce from version 3 has, and cuts off what follows it and is no batch
// (ProduceRequest.validateRecords, ByteBufferLogInputStream).
func oneBatch(records []byte, req *kmsg.ProduceRequest) (batch.View, error) {
	whole, err := wholeBatch(records)
	if err != nil {
		return nil, err
	}
	if !whole || records[magicOffset] != 2 {
		return nil, fail(kerr.InvalidRecord, "Produce requests with version "+itoa(req.Version)+" are only allowed to contain record batches with magic version 2")
	}
	v, rest, err := batch.Next(records)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", kerr.CorruptMessage, err)
	}
	another, err := wholeBatch(rest)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: after the first batch: %v", kerr.CorruptMessage, err)
	case another:
		return nil, fail(kerr.InvalidRecord, "Produce requests with version "+itoa(req.Version)+" are only allowed to contain exactly one record batch per partition")
	case v.Codec() == batch.Zstd && req.Version >= 3 && req.Version < 7:
		return nil, fail(kerr.UnsupportedCompressionType, "Produce requests with version "+itoa(req.Version)+" are not allowed to use ZStandard compression")
	case v.IsTransactional() && req.TransactionID == nil:
		return nil, kerr.TransactionalIDAuthorizationFailed // what Kafka says when the request names no transactional id
	}
	return v, nil
}

// Where every format since magic 0 has its length and its magic.
const (
	lengthOffset = 8
	magicOffset  = 16
)

// minMessage is the length of the smallest message behind its offset and length (LegacyRecord.RECORD_OVERHEAD_V0).
const minMessage = 14

// wholeBatch says whether b begins with a whole batch or message of any magic. Errors: CORRUPT_MESSAGE for a length or magic that
// no format has.
func wholeBatch(b []byte) (bool, error) {
	if len(b) <= magicOffset {
		return false, nil
	}
	size, magic := int32(binary.BigEndian.Uint32(b[lengthOffset:])), int8(b[magicOffset])
	if size < minMessage {
		return false, fail(kerr.CorruptMessage, fmt.Sprintf("Record size %d is less than the minimum record overhead (%d)", size, minMessage))
	}
	if magic < 0 || magic > 2 {
		return false, fail(kerr.CorruptMessage, fmt.Sprintf("Invalid magic found in record: %d", magic))
	}
	return int64(size) <= int64(len(b))-batch.LogOverhead, nil
}

// recordsError gives an undecodable message set its code.
func recordsError(err error) error {
	var k *kerr.Error
	if errors.As(err, &k) {
		return err
	}
	return fail(kerr.CorruptMessage, err.Error())
}

// produceError fills a partition's answer.
func (a *API) produceError(c *wire.Call, resp *kmsg.ProduceResponse, p *kmsg.ProduceResponseTopicPartition, topic string, err error) {
	p.ErrorCode = a.code(err)
	p.BaseOffset, p.LogAppendTime, p.LogStartOffset = -1, -1, -1
	var re *storage.RecordError
	if errors.As(err, &re) {
		text := re.Error()
		p.ErrorMessage = &text
		for _, e := range re.Errors {
			p.ErrorRecords = append(p.ErrorRecords, kmsg.ProduceResponseTopicPartitionErrorRecord{RelativeOffset: e.BatchIndex, ErrorMessage: &e.Message})
		}
	}
	var ae *apiError
	if (p.ErrorCode == kerr.CorruptMessage.Code || p.ErrorCode == kerr.InvalidTxnState.Code || p.ErrorCode == kerr.NotEnoughReplicas.Code) && errors.As(err, &ae) {
		p.ErrorMessage = &ae.message
	}
	if p.ErrorCode == kerr.NotLeaderForPartition.Code {
		a.newLeader(c.Conn.Listener(), resp, p, topic)
	}
}

// newLeader tells a producer which leader this broker knows for a partition, and where that one listens (KIP-951, KafkaApis.getCurrentLeader).
// The replica here hears of a new leader first, the metadata cache knows partitions without one.
func (a *API) newLeader(listener string, resp *kmsg.ProduceResponse, p *kmsg.ProduceResponseTopicPartition, topic string) {
	if resp.Version < 10 {
		return
	}
	s := a.Cache.Load()
	leader, epoch := int32(-1), int32(-1)
	if replica := a.Replication.Partition(topic, p.Partition); replica != nil {
		leader, epoch = replica.Leader()
	} else if known, ok := s.Partition(topic, p.Partition); ok {
		leader, epoch = known.Leader, known.LeaderEpoch
	}
	if leader < 0 {
		return
	}
	p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = leader, epoch
	e, ok := s.Endpoint(leader, listener)
	if !ok || slices.ContainsFunc(resp.Brokers, func(b kmsg.ProduceResponseBroker) bool { return b.NodeID == leader }) {
		return
	}
	resp.Brokers = append(resp.Brokers, kmsg.ProduceResponseBroker{NodeID: leader, Host: e.Host, Port: e.Port, Rack: s.Brokers[leader].Rack})
}
