package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TxnConfig describes a load of transactions: each producer writes one batch to every partition and commits, again and again.
type TxnConfig struct {
	Addr, Topic string
	Producers   int
	PerTxn      int // records of a transaction, spread evenly over the partitions
	RecordSize  int
	Version     int // of transactions: 1 or 2, 0 for 2 where the broker offers it
	Warmup      time.Duration
	Duration    time.Duration
}

// TxnStats are the figures of transactions.
type TxnStats struct {
	Version   int // of transactions, as used
	Committed int64
	Retries   int64 // requests that were told to wait for the transaction before
	Seconds   float64
	Latency   Histogram // from the first request of a transaction to the answer to its commit
}

// Codes that a producer waits on, as Java's does, before it asks again.
const (
	codeConcurrent        = 51
	codeNotEnoughReplicas = 19 // what a leader answers that cannot add to the transaction yet
	txnBackoff            = 20 * time.Millisecond
)

// cmdTxn is the cost of transactions.
func cmdTxn(ctx context.Context, o *options, args []string) ([]*Result, error) {
	cfg := TxnConfig{}
	o.IntVar(&cfg.Producers, "producers", 8, "producers, each with a transactional id and a connection")
	o.IntVar(&cfg.PerTxn, "records", 100, "records in a transaction, spread evenly over the partitions")
	o.IntVar(&cfg.RecordSize, "record-size", 100, "`bytes` of each value")
	o.IntVar(&cfg.Version, "version", 0, "of transactions: 1 or 2 (KIP-890), 0 for what the broker offers")
	o.DurationVar(&cfg.Warmup, "warmup", 2*time.Second, "load before the measured part")
	o.DurationVar(&cfg.Duration, "duration", 10*time.Second, "length of the measured part")
	o.Lookup("partitions").Value.Set("10")
	if err := o.parse(args); err != nil {
		return nil, err
	}
	if cfg.PerTxn < o.partitions || cfg.Producers < 1 {
		return nil, fmt.Errorf("%d records over %d partitions by %d producers", cfg.PerTxn, o.partitions, cfg.Producers)
	}
	pids, err := o.pidList()
	if err != nil {
		return nil, err
	}
	r := o.result("txn")
	err = o.withTopic(ctx, "txn", func(topic string) error {
		cfg.Addr, cfg.Topic = o.addr, topic
		var probe *Probe
		st, err := runTxn(ctx, cfg, func() { probe = startProbe(pids) }, func() { probe.Stop() })
		if err != nil {
			return err
		}
		r.Add("transactions", float64(st.Committed)/st.Seconds, "txn/s", higher)
		r.AddLatency("", &st.Latency)
		if cpu := probe.end.cpu - probe.begin.cpu; len(pids) > 0 && cpu > 0 {
			r.Add("txn_per_cpu", float64(st.Committed)/cpu, "txn/CPU s", higher)
		}
		r.Add("waits", float64(st.Retries)/float64(max(st.Committed, 1)), "/txn", info)
		r.Add("version", float64(st.Version), "", info)
		probe.Report(r, 0, st.Committed*int64(cfg.PerTxn))
		return nil
	})
	return []*Result{r}, err
}

// txnProducer is one producer. All partitions and its coordinator are on the brokers that it has a connection to.
type txnProducer struct {
	cfg     *TxnConfig
	id      string
	coord   *Conn
	leaders map[*Conn][]int32
	batches map[int32][]byte
	version int

	producerID int64
	epoch      int16
	seq        int32 // of the next record in every partition
	retries    int64
	committed  int64 // in all
	latency    Histogram
}

func newTxnProducer(cfg *TxnConfig, cl *Cluster, n, version int) (p *txnProducer, err error) {
	p = &txnProducer{cfg: cfg, id: fmt.Sprintf("%s-%d", cfg.Topic, n), version: version, leaders: map[*Conn][]int32{}, batches: map[int32][]byte{}}
	at, err := coordinatorOf(cfg.Addr, p.id, 1)
	if err != nil {
		return nil, err
	}
	if p.coord, err = dial(at); err != nil {
		return nil, err
	}
	for addr, parts := range cl.byLeader() {
		c := p.coord
		if addr != at {
			if c, err = dial(addr); err != nil {
				return p, err
			}
		}
		p.leaders[c] = parts
	}
	return p, p.init()
}

func (p *txnProducer) close() {
	if p == nil || p.coord == nil {
		return
	}
	p.coord.Close()
	for c := range p.leaders {
		c.Close()
	}
}

// init gets the producer id and builds the batches with it.
func (p *txnProducer) init() error {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID, req.TransactionTimeoutMillis = &p.id, 60_000
		r, err := p.coord.RequestAt(req, 4)
		if err != nil {
			return err
		}
		resp := r.(*kmsg.InitProducerIDResponse)
		switch code := resp.ErrorCode; {
		case code == 0:
			p.producerID, p.epoch = resp.ProducerID, resp.ProducerEpoch
			return p.build()
		case time.Now().After(deadline), code != codeLoading && code != codeNotAvailable && code != codeNotCoordinator:
			return fmt.Errorf("InitProducerId of %s: %w", p.id, kerror(code))
		}
	}
}

func (p *txnProducer) build() error {
	n := 0
	for _, parts := range p.leaders {
		n += len(parts)
	}
	for _, parts := range p.leaders {
		for _, part := range parts {
			spec := BatchSpec{Records: p.cfg.PerTxn / n, RecordSize: p.cfg.RecordSize, Entropy: 0.5, Codec: "none", ProducerID: p.producerID, Epoch: p.epoch, Seed: uint64(part)}
			b, err := spec.Build()
			if err != nil {
				return err
			}
			b[offAttributes+1] |= 0x10 // transactional
			p.batches[part] = b
		}
	}
	return nil
}

// transact runs one transaction.
func (p *txnProducer) transact() error {
	if p.version < 2 {
		if err := p.add(); err != nil {
			return err
		}
	}
	for c, parts := range p.leaders {
		if err := p.write(c, parts); err != nil {
			return err
		}
	}
	p.seq += int32(p.cfg.PerTxn / len(p.batches))
	return p.end()
}

// add is AddPartitionsToTxn; the last transaction may still be being completed.
func (p *txnProducer) add() error {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = p.id, p.producerID, p.epoch
	t := kmsg.AddPartitionsToTxnRequestTopic{Topic: p.cfg.Topic}
	for part := range p.batches {
		t.Partitions = append(t.Partitions, part)
	}
	req.Topics = append(req.Topics, t)
	for {
		r, err := p.coord.RequestAt(req, 3)
		if err != nil {
			return err
		}
		code := r.(*kmsg.AddPartitionsToTxnResponse).Topics[0].Partitions[0].ErrorCode
		if code != codeConcurrent {
			return wrapCode("AddPartitionsToTxn", code)
		}
		p.retries++
		time.Sleep(txnBackoff)
	}
}

// write is one Produce with a batch for each of a leader's partitions.
func (p *txnProducer) write(c *Conn, parts []int32) error {
	for {
		req := kmsg.NewPtrProduceRequest()
		req.TransactionID, req.Acks, req.TimeoutMillis = &p.id, -1, 30_000
		topic := kmsg.NewProduceRequestTopic()
		topic.Topic = p.cfg.Topic
		for _, part := range parts {
			b := p.batches[part]
			putEpoch(b, p.epoch)
			putInt32(b[offSequence:], p.seq)
			setCRC(b)
			rp := kmsg.NewProduceRequestTopicPartition()
			rp.Partition, rp.Records = part, b
			topic.Partitions = append(topic.Partitions, rp)
		}
		req.Topics = append(req.Topics, topic)
		r, err := c.RequestAt(req, int16(10+p.version))
		if err != nil {
			return err
		}
		parts = parts[:0:0]
		for _, rp := range r.(*kmsg.ProduceResponse).Topics[0].Partitions {
			switch rp.ErrorCode {
			case 0:
			case codeNotEnoughReplicas, codeConcurrent: // the last transaction is still being completed; the first up to Produce 11
				parts = append(parts, rp.Partition)
			default:
				return wrapCode("Produce", rp.ErrorCode)
			}
		}
		if len(parts) == 0 {
			return nil
		}
		p.retries++
		time.Sleep(txnBackoff)
	}
}

func putEpoch(b []byte, epoch int16) {
	b[offEpoch], b[offEpoch+1] = byte(uint16(epoch)>>8), byte(epoch)
}

func (p *txnProducer) end() error {
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = p.id, p.producerID, p.epoch, true
	for {
		r, err := p.coord.RequestAt(req, int16(3+p.version))
		if err != nil {
			return err
		}
		resp := r.(*kmsg.EndTxnResponse)
		switch {
		case resp.ErrorCode == codeConcurrent:
			p.retries++
			time.Sleep(txnBackoff)
			continue
		case resp.ErrorCode != 0:
			return wrapCode("EndTxn", resp.ErrorCode)
		}
		p.committed++
		if p.version < 2 {
			return nil
		}
		p.epoch, p.seq = resp.ProducerEpoch, 0
		if resp.ProducerID != p.producerID {
			p.producerID = resp.ProducerID
			return p.build()
		}
		return nil
	}
}

func wrapCode(what string, code int16) error {
	if code == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w", what, kerror(code))
}

// offersV2 says whether the broker finalizes transaction.version 2.
func offersV2(addr string) (bool, error) {
	c, err := dial(addr)
	if err != nil {
		return false, err
	}
	defer c.Close()
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = clientID, "1"
	r, err := c.RequestAt(req, 3)
	if err != nil {
		return false, err
	}
	for _, f := range r.(*kmsg.ApiVersionsResponse).FinalizedFeatures {
		if f.Name == "transaction.version" && f.MaxVersionLevel >= 2 {
			return true, nil
		}
	}
	return false, nil
}

// runTxn runs the producers. It fails unless every partition has grown by what was committed, with a marker for each transaction.
func runTxn(ctx context.Context, cfg TxnConfig, onStart, onEnd func()) (*TxnStats, error) {
	version := cfg.Version
	if version == 0 {
		v2, err := offersV2(cfg.Addr)
		if err != nil {
			return nil, err
		}
		if version = 1; v2 {
			version = 2
		}
	}
	c, err := dial(cfg.Addr)
	if err != nil {
		return nil, err
	}
	cl, err := metadata(c, cfg.Topic)
	c.Close()
	if err != nil {
		return nil, err
	}
	if _, err := endOffsets(cl, cfg.Topic, -1); err != nil { // waits for the leaders
		return nil, err
	}
	var producers []*txnProducer
	defer func() {
		for _, p := range producers {
			p.close()
		}
	}()
	for n := range cfg.Producers {
		p, err := newTxnProducer(&cfg, cl, n, version)
		producers = append(producers, p)
		if err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var measuring atomic.Bool
	var counted, waited atomic.Int64
	var wg sync.WaitGroup
	for _, p := range producers {
		wg.Go(func() {
			for ctx.Err() == nil {
				begin, counts, retries := clock(), measuring.Load(), p.retries
				if err := p.transact(); err != nil {
					cancel(fmt.Errorf("%s: %w", p.id, err))
					return
				}
				if counts && measuring.Load() {
					p.latency.Record(time.Duration(clock() - begin))
					counted.Add(1)
					waited.Add(p.retries - retries)
				}
			}
		})
	}
	sleepCtx(ctx, cfg.Warmup)
	onStart()
	began := clock()
	measuring.Store(true)
	sleepCtx(ctx, cfg.Duration)
	measuring.Store(false)
	st := &TxnStats{Version: version, Seconds: float64(clock()-began) / 1e9}
	onEnd()
	failed := context.Cause(ctx)
	cancel(nil)
	wg.Wait()
	if failed != nil {
		return nil, failed
	}
	var all int64
	for _, p := range producers {
		st.Latency.Merge(&p.latency)
		all += p.committed
	}
	st.Committed, st.Retries = counted.Load(), waited.Load()
	want := all * int64(cfg.PerTxn/len(cl.Leaders)+1)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		ends, err := endOffsets(cl, cfg.Topic, -1)
		if err != nil {
			return nil, err
		}
		err = nil
		for p, end := range ends {
			if end != want {
				err = errors.Join(err, fmt.Errorf("partition %d ends at %d, want %d after %d transactions", p, end, want, all))
			}
		}
		if err == nil {
			return st, nil
		}
		if time.Now().After(deadline) {
			return nil, err
		}
	}
}
