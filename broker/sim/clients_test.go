package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
	"ottla/wire/batch"
)

// user is a client program with a connection to each broker.
type user struct {
	w      *world
	host   string
	rnd    *rand.Rand
	conns  map[int32]*wire.Client
	leader int32
}

func (w *world) newUser(name, host string) *user {
	u := &user{w: w, host: host, rnd: w.stream(name), conns: map[int32]*wire.Client{}}
	u.leader = u.anyBroker()
	return u
}

func (u *user) anyBroker() int32 { return 1 + u.rnd.Int32N(brokers) }

func (u *user) close() {
	for id := range int32(brokers) {
		u.drop(id + 1)
	}
}

func (u *user) drop(id int32) {
	if c := u.conns[id]; c != nil {
		c.Close()
		delete(u.conns, id)
	}
}

// ask sends a request to a broker and waits at most that long for the answer.
func (u *user) ask(id int32, req kmsg.Request, most time.Duration) (kmsg.Response, error) {
	ctx, cancel := context.WithTimeout(u.w.over, most)
	defer cancel()
	c := u.conns[id]
	if c == nil {
		var err error
		c, err = wire.Dial(ctx, wire.ClientConfig{
			Addr: net.JoinHostPort(u.w.nodes[id-1].host, "9092"), ClientID: "user", Log: zerolog.Nop(),
			DialFunc: func(ctx context.Context, _, addr string) (net.Conn, error) {
				return u.w.net.dial(ctx, nil, u.host, addr)
			},
		})
		if err != nil {
			return nil, err
		}
		u.conns[id] = c
	}
	resp, err := c.Request(ctx, req)
	if err != nil {
		u.drop(id)
	}
	return resp, err
}

// findLeader asks a broker who leads a partition, and keeps to the last answer otherwise.
func (u *user) findLeader(partition int32) {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 9
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = kmsg.StringPtr(topic)
	req.Topics = append(req.Topics, t)
	r, err := u.ask(u.anyBroker(), req, time.Second)
	if err != nil {
		return
	}
	for _, t := range r.(*kmsg.MetadataResponse).Topics {
		for _, p := range t.Partitions {
			if p.Partition == partition && p.Leader > 0 {
				u.leader = p.Leader
			}
		}
	}
}

// createTopic makes the topic of the run, each partition on all brokers.
func (w *world) createTopic() bool {
	u := w.newUser("creator", "10.0.1.1")
	defer u.close()
	for range 300 {
		req := kmsg.NewPtrCreateTopicsRequest()
		req.Version, req.TimeoutMillis = 5, 5000
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = topic, -1, -1
		for p := range w.plan.partitions {
			a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
			a.Partition, a.Replicas = p, w.everywhere(p)
			t.ReplicaAssignment = append(t.ReplicaAssignment, a)
		}
		configs := [][2]string{{"min.insync.replicas", strconv.Itoa(int(w.plan.minISR))}, {"segment.bytes", "16384"}, {"index.interval.bytes", "256"}}
		if w.plan.durable {
			configs = append(configs, [2]string{"flush.messages", "1"})
		}
		for _, kv := range configs {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name, c.Value = kv[0], kmsg.StringPtr(kv[1])
			t.Configs = append(t.Configs, c)
		}
		req.Topics = append(req.Topics, t)
		r, err := u.ask(u.anyBroker(), req, 6*time.Second)
		if err == nil {
			switch code := r.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode; kerr.ErrorForCode(code) {
			case nil, kerr.TopicAlreadyExists:
				return true
			}
		}
		if !w.sleep(100 * time.Millisecond) {
			break
		}
	}
	w.fail("the topic could not be created")
	return false
}

// produce writes records to a partition until the faults are over, most of them with acks=all.
func (w *world) produce(partition int32) {
	u := w.newUser(fmt.Sprintf("producer %d", partition), "10.0.1.2")
	defer u.close()
	for n := 0; ; n++ {
		select {
		case <-w.quiet:
			return
		default:
		}
		var values []string
		b := batch.NewBuilder(batch.NewBuilderOptions(0))
		for i := range 1 + u.rnd.IntN(3) {
			v := fmt.Sprintf("%d-%d-%d-%s", partition, n, i, strings.Repeat("x", u.rnd.IntN(100)))
			values = append(values, v)
			b.Add(time.Now().UnixMilli(), nil, []byte(v), nil)
		}
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.Acks, req.TimeoutMillis = 9, -1, 2000
		if u.rnd.IntN(10) == 0 {
			req.Acks = 1
		}
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = partition, b.Build()
		t := kmsg.NewProduceRequestTopic()
		t.Topic, t.Partitions = topic, append(t.Partitions, p)
		req.Topics = append(req.Topics, t)
		pause := between(u.rnd, time.Millisecond, 80*time.Millisecond)
		if err := u.send(req, partition, values); err != nil {
			w.note("produce %s to broker %d: %v", values[0][:min(12, len(values[0]))], u.leader, err)
			u.findLeader(partition)
			pause = between(u.rnd, 10*time.Millisecond, 300*time.Millisecond)
		}
		if !w.sleep(pause) {
			return
		}
	}
}

func (u *user) send(req *kmsg.ProduceRequest, partition int32, values []string) error {
	r, err := u.ask(u.leader, req, 4*time.Second)
	if err != nil {
		return err
	}
	p := r.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
		return err
	}
	if req.Acks == -1 {
		u.w.hist.acknowledged(partition, p.BaseOffset, values)
	}
	return nil
}

// consume reads a partition over and over, and compares what it reads with what was read before.
func (w *world) consume(partition int32) {
	u := w.newUser(fmt.Sprintf("consumer %d", partition), "10.0.1.3")
	defer u.close()
	var next int64
	for {
		select {
		case <-w.quiet:
			return
		default:
		}
		after, err := u.fetch(partition, next)
		switch {
		case err != nil:
			w.note("consume %d from %d at broker %d: %v", partition, next, u.leader, err)
			u.findLeader(partition)
		case u.rnd.IntN(40) == 0:
			after = max(0, after-u.rnd.Int64N(300))
			fallthrough
		default:
			next = after
		}
		if !w.sleep(between(u.rnd, 10*time.Millisecond, 300*time.Millisecond)) {
			return
		}
	}
}

func (u *user) fetch(partition int32, from int64) (next int64, err error) {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 11, 500, 1, 1<<20, -1
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = partition, from, 8<<10, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	r, err := u.ask(u.leader, req, 3*time.Second)
	if err != nil {
		return from, err
	}
	resp := r.(*kmsg.FetchResponse)
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return from, errors.Join(errors.New("an answer without the partition"), kerr.ErrorForCode(resp.ErrorCode))
	}
	rp := resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(rp.ErrorCode); err != nil {
		return from, err
	}
	next = from
	err = eachRecord(rp.RecordBatches, func(_ batch.View, r *batch.Record, offset int64) {
		if offset >= from {
			u.w.hist.readable(fmt.Sprintf("a consumer at broker %d", u.leader), partition, offset, string(r.Value))
			next = offset + 1
		}
	})
	return next, err
}

// eachRecord visits the records of whole batches.
func eachRecord(records []byte, f func(v batch.View, r *batch.Record, offset int64)) error {
	for len(records) > 0 {
		v, rest, err := batch.Next(records)
		if errors.Is(err, batch.ErrTruncated) {
			return nil
		}
		if err == nil {
			err = v.VerifyCRC()
		}
		if err == nil {
			err = v.Walk(func(r *batch.Record) error { f(v, r, r.Offset); return nil })
		}
		if err != nil {
			return err
		}
		records = rest
	}
	return nil
}
