package behaviour

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/compat-tests/harness"
)

// Transactions of version 2 (KIP-890, second part) need KRaft in Kafka, so their answers are those of Apache Kafka 4.3.1,
// recorded from a broker that runs already:
//
//	peers/kafka start 4.3.1 1 19092 offsets.topic.num.partitions=4 log.retention.ms=-1 transaction.abort.timed.out.transaction.cleanup.interval.ms=500
//	KAFKA4=127.0.0.1:19092 go test ./behaviour -run TestTransactions2 -update

// overdueEvery is how often overdue transactions are looked for.
const overdueEvery = "transaction.abort.timed.out.transaction.cleanup.interval.ms=500"

const golden2Path = "testdata/kafka-4.3.1.json"

func TestTransactions2(t *testing.T) {
	all := transaction2Cases()
	known := make(map[string]bool)
	for _, s := range all {
		known[s.name] = true
	}
	kind, r := harness.Ottla, (*run)(nil)
	if addr := os.Getenv("KAFKA4"); addr != "" {
		kind, r = harness.Kafka, runAt(t, addr)
	} else {
		r = startRun(t, overdueEvery)
	}
	if *update && kind != harness.Kafka {
		t.Fatal("golden answers are those of Apache Kafka: set KAFKA4")
	}
	results := execute(r, selected(all))
	if *update {
		writeGolden(t, golden2Path, results, known)
		return
	}
	want, err := readGolden(golden2Path)
	if err != nil {
		t.Fatal(err)
	}
	check(t, kind, want, results, deliberate2)
}

// end2 ends the transaction, records the answer and takes over what it says of producer id and epoch.
func (p *producer) end2(label string, commit bool) {
	if r, ok := p.e.do(label, 5, p.end(commit)).(*kmsg.EndTxnResponse); ok && r.ErrorCode == 0 {
		p.id, p.epoch, p.seq = r.ProducerID, r.ProducerEpoch, 0
	}
	p.completed()
}

// state records what the coordinator says.
func (p *producer) state(label string) { p.e.do(label, 0, p.describe()) }

// wrote produces with version 12 and records the answer.
func (p *producer) wrote(label string, topic string, values ...string) {
	r, ok := p.e.do(label, 12, p.produce(topic, values...)).(*kmsg.ProduceResponse)
	if ok && r.Topics[0].Partitions[0].ErrorCode == 0 {
		p.seq += int32(len(values))
	}
}

// ledTopic creates the scenario's topic and waits until its partition is led: Kafka 4 answers CreateTopics earlier.
func (e *env) ledTopic(partitions int32) string {
	topic := e.topic("", partitions)
	part := kmsg.NewListOffsetsRequestTopicPartition()
	part.Partition, part.Timestamp = partitions-1, -1
	req := kmsg.NewPtrListOffsetsRequest()
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{part}}}
	for range 800 {
		if ask[*kmsg.ListOffsetsResponse](e, 6, req).Topics[0].Partitions[0].ErrorCode == 0 {
			return topic
		}
		e.pause()
	}
	e.fail(fmt.Errorf("topic %s has no leader", topic))
	return ""
}

// coordinated waits until the group has a coordinator that has loaded.
func (e *env) coordinated(group string) {
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKey = group
	offsets := &kmsg.OffsetFetchRequest{Group: group}
	for range 800 {
		if ask[*kmsg.FindCoordinatorResponse](e, 2, find).ErrorCode == 0 && ask[*kmsg.OffsetFetchResponse](e, 5, offsets).ErrorCode == 0 {
			return
		}
		e.pause()
	}
	e.fail(fmt.Errorf("group %s has no coordinator", group))
}

func transaction2Cases() []scenario {
	var cases []scenario
	alone := func(name string, do func(e *env)) {
		cases = append(cases, scenario{name: "transactions 2/" + name, alone: true, do: do})
	}
	for v := int16(3); v < 5; v++ {
		alone(fmt.Sprintf("offered, v%d", v), func(e *env) {
			req := kmsg.NewPtrApiVersionsRequest()
			req.ClientSoftwareName, req.ClientSoftwareVersion = "behaviour", "1"
			resp := ask[*kmsg.ApiVersionsResponse](e, v, req)
			e.record("supported", "none")
			for _, f := range resp.SupportedFeatures {
				if f.Name == "transaction.version" {
					e.steps[0].Answer = fmt.Sprintf("%d to %d", f.MinVersion, f.MaxVersion)
				}
			}
			for _, f := range resp.FinalizedFeatures {
				if f.Name == "transaction.version" {
					e.record("finalized", fmt.Sprintf("%d to %d", f.MinVersionLevel, f.MaxVersionLevel))
				}
			}
			e.record("an epoch", resp.FinalizedFeaturesEpoch > 0)
		})
	}
	alone("end", func(e *env) {
		topic := e.ledTopic(1)
		p := e.producer("")
		e.do("commit without a transaction", 5, p.end(true))
		p.end2("abort without a transaction", false)
		p.state("after an abort of nothing")
		p.wrote("write", topic, "a")
		p.state("ongoing")
		p.wrong(func(label string, p *producer) { e.do(label, 5, p.end(true)) })
		e.committed("open", topic)
		before := *p
		p.end2("commit", true)
		p.state("committed")
		e.do("commit again, with the epoch before", 5, before.end(true))
		e.do("abort after the commit, with the epoch before", 5, before.end(false))
		e.do("commit of nothing after a commit", 5, p.end(true))
		e.committed("log", topic)
		before = *p
		p.end2("abort of nothing after a commit", false)
		e.do("abort again, with the epoch before", 5, before.end(false))
		e.do("commit after the abort, with the epoch before", 5, before.end(true))
		e.do("commit of nothing after an abort", 5, p.end(true))
		p.end2("abort of nothing after an abort", false)
		p.wrote("another", topic, "b")
		before = *p
		p.end2("abort", false)
		e.do("abort of the other again, with the epoch before", 5, before.end(false))
		e.committed("aborted", topic)
		before.epoch--
		e.do("an epoch long gone", 5, before.end(false))
		e.do("end of version 4 with the epoch before", 4, before.end(false))
	})
	alone("end, mixed versions", func(e *env) {
		topic := e.ledTopic(1)
		p := e.producer("")
		p.wrote("write", topic, "a")
		e.do("commit of version 4", 4, p.end(true))
		p.completed()
		p.state("committed")
		p.began(topic)
		p.end2("commit of version 5", true)
		p.state("committed with version 5")
		p.wrote("write in the new epoch", topic, "b")
		e.do("abort of version 4", 4, p.end(false))
		p.completed()
		e.do("abort of version 4 again", 4, p.end(false))
		p.state("aborted")
		e.do("commit of version 4 after it", 4, p.end(true))
		p.end2("abort of nothing of version 5", false)
		e.committed("log", topic)
	})
	alone("produce", func(e *env) {
		topic := e.ledTopic(2)
		p := e.producer("")
		others(p, func(label string, p *producer) { e.do(label, 12, p.produce(topic, "a")) })
		e.do("unknown topic", 12, p.produce(e.slug("-none"), "a"))
		p.state("before")
		p.wrote("never added", topic, "a")
		p.state("added")
		others(p, func(label string, p *producer) {
			if label != "newer epoch" {
				e.do("in a transaction, "+label, 12, p.produce(topic, "b"))
			}
		})
		p.seq++ // the transactional id of a transaction that is open in the log is not looked at
		plain := produceRequest(-1, topic, 0, batch{idempotent: true, pid: p.id, epoch: p.epoch, seq: p.seq}.build(kv("a")...))
		e.do("outside of the open transaction", 12, plain)
		gap := *p
		gap.seq += 5
		e.do("a gap", 12, gap.produce(topic, "g"))
		e.do("version 11 in it", 11, p.produce(topic, "b"))
		p.seq++
		again := *p
		again.seq--
		e.do("the same batch again", 12, again.produce(topic, "b"))
		newer := *p
		newer.epoch++
		e.do("in a transaction, newer epoch", 12, newer.produce(topic, "b"))
		before := *p
		p.end2("commit", true)
		e.do("with the epoch before", 12, before.produce(topic, "c"))
		gap = *p
		gap.seq = 3
		e.do("a gap at the start of the epoch", 12, gap.produce(topic, "g"))
		p.state("after the gap")
		p.wrote("in the new epoch", topic, "d")
		p.end2("abort", false)
		e.do("version 11, never added", 11, p.produce(topic, "e"))
		e.do("of no transaction", 12, produceRequest(-1, topic, 0, batch{idempotent: true, pid: p.id, epoch: p.epoch, seq: 0}.build(kv("f")...)))
		e.committed("log", topic)
	})
	alone("offsets", func(e *env) {
		topic, group := e.ledTopic(1), e.slug("")
		e.coordinated(group)
		p := e.producer("")
		p.wrong(func(label string, p *producer) { e.do("commit, "+label, 5, p.offsets(group, topic)) })
		e.do("commit for an unknown topic", 5, p.offsets(group, e.slug("-none")))
		p.state("before")
		e.do("commit", 5, p.offsets(group, topic))
		e.do("commit in the transaction", 5, p.offsets(group, topic))
		p.wrong(func(label string, p *producer) { e.do("in the transaction, "+label, 5, p.offsets(group, topic)) })
		e.fetchOffsets("pending", 7, group, topic, 0)
		before := *p
		p.end2("end", true)
		e.fetchOffsets("committed", 7, group, topic, 0)
		e.do("with the epoch before", 5, before.offsets(group, topic))
		req := p.offsets(group, topic)
		req.MemberID, req.Generation = "nobody", 3
		e.do("by an unknown member", 5, req)
		e.do("version 4, never added", 4, p.offsets(group, topic))
		p.end2("abort", false)
		e.fetchOffsets("aborted", 7, group, topic, 0)
	})
	alone("add partitions", func(e *env) {
		topic := e.ledTopic(3)
		p := e.producer("")
		for v := int16(4); v < 6; v++ {
			p.wrong(func(label string, p *producer) { e.do(fmt.Sprintf("v%d, %s", v, label), v, p.add(topic, 0)) })
			e.do(fmt.Sprintf("v%d", v), v, p.add(topic, int32(v-4)))
		}
		before := *p
		p.end2("end", true)
		e.do("with the epoch before", 5, before.add(topic, 0))
		req := before.add(topic, 0)
		req.Transactions[0].VerifyOnly = true
		e.do("verify with the epoch before", 5, req)
		req = p.add(topic, 0)
		req.Transactions[0].VerifyOnly = true
		e.do("verify after the end", 5, req)
	})
	alone("fencing", func(e *env) {
		topic := e.ledTopic(1)
		e.coordinated(e.slug(""))
		p := e.producer("")
		p.wrote("write", topic, "a")
		old := *p
		e.do("init while a transaction is open", 5, p.init())
		p.completed()
		p.state("fenced")
		e.do("the zombie commits", 5, old.end(true))
		e.do("the zombie aborts", 5, old.end(false))
		p.again()
		e.record("epochs later", p.epoch-old.epoch)
		e.do("the zombie produces", 12, old.produce(topic, "z"))
		e.do("the zombie commits offsets", 5, old.offsets(e.slug(""), topic))
		e.do("the zombie adds", 5, old.add(topic, 0))
		e.do("the zombie ends", 5, old.end(true))
		e.do("the zombie initialises", 5, func() *kmsg.InitProducerIDRequest {
			req := old.init()
			req.ProducerID, req.ProducerEpoch = old.id, old.epoch
			return req
		}())
		p.wrote("write again", topic, "b")
		p.end2("commit", true)
		keep := *p
		e.do("init with its epoch", 5, func() *kmsg.InitProducerIDRequest {
			req := keep.init()
			req.ProducerID, req.ProducerEpoch = keep.id, keep.epoch
			return req
		}())
		p.state("initialised")
		e.do("init again with that epoch", 5, func() *kmsg.InitProducerIDRequest {
			req := keep.init()
			req.ProducerID, req.ProducerEpoch = keep.id, keep.epoch
			return req
		}())
		e.committed("log", topic)
	})
	alone("overdue", func(e *env) {
		topic := e.ledTopic(1)
		p := e.producer("")
		init := p.init()
		init.TransactionTimeoutMillis = 500
		r := ask[*kmsg.InitProducerIDResponse](e, 5, init)
		p.id, p.epoch = r.ProducerID, r.ProducerEpoch
		p.wrote("write", topic, "a")
		p.completed()
		p.state("aborted")
		e.do("commit", 5, p.end(true))
		e.do("write in the old epoch", 12, p.produce(topic, "b"))
		e.do("offsets in the old epoch", 5, p.offsets(e.slug(""), topic))
		p.end2("abort", false)
		p.wrote("write in the new epoch", topic, "c")
		p.end2("commit in the new epoch", true)
		e.committed("log", topic)
	})
	alone("used up epochs", func(e *env) {
		topic := e.ledTopic(1)
		p := e.producer("")
		p.bumpTo(math.MaxInt16 - 2)
		p.wrote("write", topic, "a")
		p.end2("end", true)
		p.wrote("write with the last epoch", topic, "b")
		before := *p
		p.end2("end of the last epoch", true)
		p.state("ended")
		e.do("the end again", 5, before.end(true))
		e.do("the other end", 5, before.end(false))
		e.do("write with the last epoch after its end", 12, before.produce(topic, "c"))
		p.wrote("write with the new producer id", topic, "d")
		e.do("the end again in another transaction", 5, before.end(true))
		p.end2("end with the new producer id", true)
		p = e.producer("-fenced")
		p.bumpTo(math.MaxInt16 - 1)
		p.wrote("write with the last epoch", topic, "e")
		e.do("init while it is open", 5, p.init())
		p.completed()
		p.state("fenced")
		e.do("the fenced one aborts", 5, p.end(false))
		p.again()
		p.state("initialised")
		e.committed("log", topic)
	})
	return cases
}

// bumpTo takes new epochs until the producer has the one that is asked for.
func (p *producer) bumpTo(epoch int16) {
	for p.epoch < epoch {
		r := ask[*kmsg.InitProducerIDResponse](p.e, 4, p.init())
		if r.ErrorCode != 0 {
			p.e.fail(fmt.Errorf("init producer id: code %d", r.ErrorCode))
		}
		p.id, p.epoch, p.seq = r.ProducerID, r.ProducerEpoch, 0
	}
}

// deliberate2 is as deliberate.
var deliberate2 = []deviation{}

// runAt is a broker that runs already.
func runAt(t *testing.T, addr string) *run {
	t.Helper()
	r := &run{addr: addr, logDir: "unknown"}
	if _, err := fmt.Sscanf(addr[strings.LastIndexByte(addr, ':')+1:], "%d", &r.port); err != nil {
		t.Fatal(err)
	}
	r.askClusterID(t)
	return r
}
