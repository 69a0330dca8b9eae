package behaviour

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// producer is a transactional producer of a scenario.
type producer struct {
	e     *env
	txnID string
	id    int64
	epoch int16
	seq   int32
}

// retried are the codes that a client waits on: coordinator loading, not available, not there; concurrent transactions.
func retried(code int16) bool { return code == 14 || code == 15 || code == 16 || code == 51 }

// producer initialises a transactional id.
func (e *env) producer(suffix string) *producer {
	p := &producer{e: e, txnID: e.slug("-tx" + suffix)}
	p.again()
	p.again() // so that there is an older epoch
	unknown := &kmsg.DescribeTransactionsRequest{TransactionalIDs: []string{p.txnID + "-none"}}
	for range 800 { // its partition loads, too
		if !retried(ask[*kmsg.DescribeTransactionsResponse](e, 0, unknown).TransactionStates[0].ErrorCode) {
			return p
		}
		e.pause()
	}
	e.fail(fmt.Errorf("coordinators do not load"))
	return nil
}

// again waits for the coordinator and takes a new epoch.
func (p *producer) again() {
	for range 800 {
		find := kmsg.NewPtrFindCoordinatorRequest()
		find.CoordinatorType, find.CoordinatorKey = 1, p.txnID
		if ask[*kmsg.FindCoordinatorResponse](p.e, 2, find).ErrorCode == 0 {
			r := ask[*kmsg.InitProducerIDResponse](p.e, 4, p.init())
			if r.ErrorCode == 0 {
				p.id, p.epoch, p.seq = r.ProducerID, r.ProducerEpoch, 0
				return
			}
			if !retried(r.ErrorCode) {
				p.e.fail(fmt.Errorf("init producer id: code %d", r.ErrorCode))
			}
		}
		p.e.pause()
	}
	p.e.fail(fmt.Errorf("no transaction coordinator"))
}

func (p *producer) init() *kmsg.InitProducerIDRequest {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.TransactionTimeoutMillis = &p.txnID, 60000
	return req
}

// add makes a request that is right in all versions.
func (p *producer) add(topic string, partitions ...int32) *kmsg.AddPartitionsToTxnRequest {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = p.txnID, p.id, p.epoch
	req.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: topic, Partitions: partitions}}
	t := kmsg.NewAddPartitionsToTxnRequestTransaction()
	t.TransactionalID, t.ProducerID, t.ProducerEpoch = p.txnID, p.id, p.epoch
	t.Topics = []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: topic, Partitions: partitions}}
	req.Transactions = []kmsg.AddPartitionsToTxnRequestTransaction{t}
	return req
}

func (p *producer) end(commit bool) *kmsg.EndTxnRequest {
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = p.txnID, p.id, p.epoch, commit
	return req
}

func (p *producer) produce(topic string, values ...string) *kmsg.ProduceRequest {
	b := batch{attributes: 0x10, idempotent: true, pid: p.id, epoch: p.epoch, seq: p.seq}
	req := produceRequest(-1, topic, 0, b.build(kv(values...)...))
	req.TransactionID = &p.txnID
	return req
}

// began adds partition 0 of the topic and writes a record.
func (p *producer) began(topic string) {
	r := ask[*kmsg.AddPartitionsToTxnResponse](p.e, 3, p.add(topic, 0))
	if code := r.Topics[0].Partitions[0].ErrorCode; code != 0 {
		p.e.fail(fmt.Errorf("add partitions: code %d", code))
	}
	w := ask[*kmsg.ProduceResponse](p.e, 11, p.produce(topic, "a"))
	if code := w.Topics[0].Partitions[0].ErrorCode; code != 0 {
		p.e.fail(fmt.Errorf("produce: code %d", code))
	}
	p.seq++
}

func (p *producer) describe() *kmsg.DescribeTransactionsRequest {
	return &kmsg.DescribeTransactionsRequest{TransactionalIDs: []string{p.txnID}}
}

// completed waits until the markers are written.
func (p *producer) completed() {
	for range 800 {
		s := ask[*kmsg.DescribeTransactionsResponse](p.e, 0, p.describe()).TransactionStates[0]
		if strings.HasPrefix(s.State, "Complete") {
			return
		}
		p.e.pause()
	}
	p.e.fail(fmt.Errorf("the transaction does not complete"))
}

// committed reads partition 0 as a read_committed consumer.
func (e *env) committed(label, topic string) {
	req := fetchRequest(e, 11, topic, 0)
	req.IsolationLevel = 1
	e.do(label, 11, req)
}

// offsets commits an offset inside the transaction.
func (p *producer) offsets(group, topic string) *kmsg.TxnOffsetCommitRequest {
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch = p.txnID, group, p.id, p.epoch
	part := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	part.Offset = 7
	req.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{part}}}
	return req
}

func (p *producer) addOffsets(group string) *kmsg.AddOffsetsToTxnRequest {
	req := kmsg.NewPtrAddOffsetsToTxnRequest()
	req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch = p.txnID, group, p.id, p.epoch
	return req
}

// wrong are the ways in which a producer can be another one than it says.
func (p *producer) wrong(try func(label string, p *producer)) {
	for _, w := range []struct {
		label string
		edit  func(p *producer)
	}{
		{"unknown transactional id", func(p *producer) { p.txnID += "-none" }},
		{"empty transactional id", func(p *producer) { p.txnID = "" }},
		{"another producer id", func(p *producer) { p.id = customProducerID }},
		{"negative producer id", func(p *producer) { p.id = -1 }},
		{"older epoch", func(p *producer) { p.epoch-- }},
		{"newer epoch", func(p *producer) { p.epoch++ }},
	} {
		other := *p
		w.edit(&other)
		try(w.label, &other)
	}
}

// others are those wrong producers that have a producer id.
func others(p *producer, try func(label string, p *producer)) {
	p.wrong(func(label string, p *producer) {
		if p.id >= 0 {
			try(label, p)
		}
	})
}

func transactionCases() []scenario {
	var cases []scenario
	add := func(name string, do func(e *env)) {
		cases = append(cases, scenario{name: "transactions/" + name, do: do})
	}
	// Kafka verifies several requests at once and answers them all as suits the first one's version: what is verified runs alone.
	alone := func(name string, do func(e *env)) {
		cases = append(cases, scenario{name: "transactions/" + name, alone: true, do: do})
	}
	for v := range int16(6) {
		add(fmt.Sprintf("init, v%d", v), func(e *env) {
			p := e.producer("")
			e.do("again", v, p.init())
			req := p.init()
			for _, ms := range []int32{0, -1, 900_001} {
				req.TransactionTimeoutMillis = ms
				e.do(fmt.Sprintf("timeout %d", ms), v, req)
			}
			if v < 3 {
				return
			}
			p.again()
			expecting := func(label string, id int64, epoch int16) {
				req := p.init()
				req.ProducerID, req.ProducerEpoch = id, epoch
				e.do(label, v, req)
			}
			expecting("with its epoch", p.id, p.epoch)
			expecting("repeated", p.id, p.epoch)
			expecting("with an old epoch", p.id, p.epoch-1)
			expecting("with an epoch to come", p.id, p.epoch+5)
			expecting("with another producer id", customProducerID, p.epoch)
			expecting("without an epoch", p.id, -1)
		})
	}
	for v := range int16(6) {
		add(fmt.Sprintf("add partitions, v%d", v), func(e *env) {
			topic := e.topic("", 3)
			p := e.producer("")
			p.wrong(func(label string, p *producer) { e.do(label, v, p.add(topic, 0)) })
			e.do("unknown partition beside a known one", v, p.add(topic, 0, 9))
			e.do("unknown topic", v, p.add(e.slug("-none"), 0))
			e.do("no partitions", v, p.add(topic))
			e.do("one", v, p.add(topic, 0))
			e.do("two, one again", v, p.add(topic, 0, 2))
			e.do("internal topic", v, p.add("__consumer_offsets", 0))
		})
	}
	for v := int16(4); v < 6; v++ {
		add(fmt.Sprintf("verify, v%d", v), func(e *env) {
			topic := e.topic("", 3)
			p := e.producer("")
			verify := func(label string, p *producer, partitions ...int32) {
				req := p.add(topic, partitions...)
				req.Transactions[0].VerifyOnly = true
				e.do(label, v, req)
			}
			verify("before a transaction", p, 0)
			p.began(topic)
			p.wrong(func(label string, p *producer) { verify(label, p, 0) })
			verify("what was added", p, 0)
			verify("what was not", p, 0, 1)
			verify("unknown partition", p, 0, 9)
			ask[*kmsg.EndTxnResponse](e, 3, p.end(true))
			p.completed()
			verify("after the transaction", p, 0)
		})
	}
	for v := range int16(5) {
		add(fmt.Sprintf("end, v%d", v), func(e *env) {
			topic := e.topic("", 1)
			p := e.producer("")
			e.do("without a transaction", v, p.end(true))
			p.began(topic)
			p.wrong(func(label string, p *producer) { e.do(label, v, p.end(true)) })
			e.committed("open", topic)
			e.do("commit", v, p.end(true))
			p.completed()
			e.do("commit again", v, p.end(true))
			e.do("abort after the commit", v, p.end(false))
			e.committed("committed", topic)
			p.began(topic)
			e.do("abort", v, p.end(false))
			p.completed()
			e.do("abort again", v, p.end(false))
			e.do("commit after the abort", v, p.end(true))
			e.committed("aborted", topic)
		})
		alone(fmt.Sprintf("offsets, v%d", v), func(e *env) {
			topic, group := e.topic("", 1), e.slug("")
			p := e.producer("")
			p.wrong(func(label string, p *producer) { e.do("add, "+label, v, p.addOffsets(group)) })
			e.do("commit before they were added", v, p.offsets(group, topic))
			e.do("add", v, p.addOffsets(group))
			p.wrong(func(label string, p *producer) { e.do("commit, "+label, v, p.offsets(group, topic)) })
			e.do("commit for an unknown topic", v, p.offsets(group, e.slug("-none")))
			e.do("commit", v, p.offsets(group, topic))
			e.fetchOffsets("pending", 7, group, topic, 0)
			ask[*kmsg.EndTxnResponse](e, 3, p.end(true))
			p.completed()
			e.fetchOffsets("committed", 7, group, topic, 0)
			ask[*kmsg.AddOffsetsToTxnResponse](e, 3, p.addOffsets(group))
			if v >= 3 {
				req := p.offsets(group, topic)
				req.MemberID, req.Generation = "nobody", 3
				e.do("commit by an unknown member", v, req)
			}
			ask[*kmsg.EndTxnResponse](e, 3, p.end(false))
			p.completed()
			e.fetchOffsets("aborted", 7, group, topic, 0)
		})
	}
	for _, v := range []int16{3, 9, 11} {
		alone(fmt.Sprintf("produce without a producer id, v%d", v), func(e *env) {
			topic := e.topic("", 1)
			p := e.producer("")
			p.id = -1
			e.do("negative producer id", v, p.produce(topic, "a"))
		})
	}
	for _, v := range []int16{3, 7, 9, 10, 11} {
		alone(fmt.Sprintf("produce, v%d", v), func(e *env) {
			topic := e.topic("", 1)
			p := e.producer("")
			e.do("never added", v, p.produce(topic, "a"))
			others(p, func(label string, p *producer) { e.do(label, v, p.produce(topic, "a")) })
			p.began(topic)
			others(p, func(label string, p *producer) { e.do("in a transaction, "+label, v, p.produce(topic, "a")) })
			plain := produceRequest(-1, topic, 0, batch{idempotent: true, pid: p.id, epoch: p.epoch, seq: p.seq}.build(kv("a")...))
			e.do("outside of the open transaction", v, plain)
			e.do("another batch", v, p.produce(topic, "b"))
			ask[*kmsg.EndTxnResponse](e, 3, p.end(true))
			p.completed()
			p.seq++
			e.do("after the end", v, p.produce(topic, "c"))
			e.committed("log", topic)
		})
	}
	for v := range int16(2) {
		add(fmt.Sprintf("write markers, v%d", v), func(e *env) {
			topic := e.topic("", 1)
			p := e.producer("")
			p.began(topic)
			producers := func(label string) {
				e.do(label, 0, &kmsg.DescribeProducersRequest{Topics: []kmsg.DescribeProducersRequestTopic{{Topic: topic, Partitions: []int32{0}}}})
			}
			producers("before")
			mark := func(label string, epoch int16, coordinatorEpoch int32, topic string, partitions ...int32) {
				req := kmsg.NewPtrWriteTxnMarkersRequest()
				req.Markers = []kmsg.WriteTxnMarkersRequestMarker{{
					ProducerID: p.id, ProducerEpoch: epoch, CoordinatorEpoch: coordinatorEpoch,
					Topics: []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: topic, Partitions: partitions}},
				}}
				e.do(label, v, req)
			}
			mark("older epoch", p.epoch-1, 0, topic, 0)
			mark("unknown topic", p.epoch, 0, e.slug("-none"), 0)
			mark("known and unknown partition", p.epoch, 5, topic, 0, 9)
			producers("after")
			e.committed("aborted", topic)
			mark("older coordinator", p.epoch, 4, topic, 0)
			mark("no partition", p.epoch, 5, topic)
			e.do("no marker", v, kmsg.NewPtrWriteTxnMarkersRequest())
		})
		add(fmt.Sprintf("list, v%d", v), func(e *env) {
			topic := e.topic("", 2)
			p := e.producer("")
			list := func(label string, states ...string) {
				req := kmsg.NewPtrListTransactionsRequest()
				req.ProducerIDFilters, req.StateFilters = []int64{p.id}, states
				e.do(label, v, req)
			}
			list("empty")
			e.do("describe the empty one", 0, p.describe())
			p.began(topic)
			list("ongoing", "Ongoing", "CompleteCommit")
			list("not ongoing", "Empty")
			list("unknown state", "Nonsense")
			list("known and unknown state", "Nonsense", "Ongoing")
			e.do("describe the ongoing one", 0, p.describe())
			p.wrong(func(label string, p *producer) {
				if label == "unknown transactional id" || label == "empty transactional id" {
					e.do("describe, "+label, 0, p.describe())
				}
			})
			if v >= 1 {
				req := kmsg.NewPtrListTransactionsRequest()
				req.ProducerIDFilters, req.DurationFilterMillis = []int64{p.id}, 3_600_000
				e.do("an hour old", v, req)
			}
			ask[*kmsg.EndTxnResponse](e, 3, p.end(true))
			p.completed()
			list("complete", "CompleteCommit")
			e.do("describe the complete one", 0, p.describe())
		})
	}
	add("fencing", func(e *env) {
		topic := e.topic("", 1)
		p := e.producer("")
		p.began(topic)
		old := *p
		e.do("init while a transaction is open", 4, p.init())
		p.again()
		e.do("the zombie adds", 3, old.add(topic, 0))
		e.do("the zombie produces", 11, old.produce(topic, "z"))
		e.do("the zombie ends", 3, old.end(true))
		e.do("the zombie initialises", 4, func() *kmsg.InitProducerIDRequest {
			req := old.init()
			req.ProducerID, req.ProducerEpoch = old.id, old.epoch
			return req
		}())
		p.began(topic)
		ask[*kmsg.EndTxnResponse](e, 3, p.end(true))
		p.completed()
		e.committed("log", topic)
	})
	return cases
}
