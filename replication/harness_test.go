package replication

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/storage"
	"ottla/wire"
	"ottla/wire/batch"
)

// testCluster is a controller and brokers in one process. Brokers reach each other over loopback connections to a small server that does
// what the broker's Fetch handler does.
type testCluster struct {
	t       testing.TB
	cfg     func(*Config)
	logCfg  atomic.Pointer[storage.LogConfig]
	sending sync.Mutex
	mu      sync.Mutex
	brokers map[int32]*testBroker
	dead    map[int32]bool
	deaf    map[int32]bool // refuse connections, and yet live
	ids     map[[16]byte]string
	parts   map[storage.TopicPartition]*testPartition
	epoch   int32
	alters  atomic.Int64
	refuse  func(broker int32, p *kmsg.AlterPartitionRequestTopicPartition) int16
}

type testPartition struct {
	topicID                    [16]byte
	leader, leaderEpoch, epoch int32
	isr, replicas              []int32
}

type testBroker struct {
	c       *testCluster
	id      int32
	dir     string
	rack    string
	logs    *storage.Manager
	m       *Manager
	mu      sync.Mutex
	conns   map[net.Conn]int32 // from which broker
	changes []LeaderChange

	onIsolated func() // set before start
}

func newTestCluster(t testing.TB, brokers int, cfg func(*Config)) *testCluster {
	t.Helper()
	c := &testCluster{t: t, cfg: cfg, brokers: map[int32]*testBroker{}, dead: map[int32]bool{}, deaf: map[int32]bool{}, ids: map[[16]byte]string{},
		parts: map[storage.TopicPartition]*testPartition{}, epoch: 1}
	lc := storage.DefaultLogConfig()
	c.logCfg.Store(&lc)
	for id := range int32(brokers) {
		b := &testBroker{c: c, id: id, dir: t.TempDir(), rack: fmt.Sprintf("rack-%d", id)}
		c.brokers[id] = b
		b.start()
	}
	t.Cleanup(func() {
		for _, b := range c.brokers {
			b.stop()
		}
	})
	return c
}

func (b *testBroker) start() {
	b.c.t.Helper()
	var err error
	b.logs, err = storage.Open(context.Background(), storage.ManagerConfig{
		Dirs: []string{b.dir}, BrokerID: b.id, ClusterID: "test", Log: zerolog.Nop(), RecoveryThreadsPerDir: 1,
		LogConfig: func(string) storage.LogConfig { return *b.c.logCfg.Load() },
	})
	if err != nil {
		b.c.t.Fatal(err)
	}
	cfg := Config{BrokerID: b.id, Rack: b.rack, Log: zerolog.Nop(), FetchBackoff: 100 * time.Millisecond, AlterPartitionRetry: time.Millisecond}
	if testing.Verbose() {
		cfg.Log = zerolog.New(zerolog.NewTestWriter(b.c.t)).With().Int32("broker", b.id).Logger()
	}
	if b.c.cfg != nil {
		b.c.cfg(&cfg)
	}
	b.conns = map[net.Conn]int32{}
	m := New(cfg, Deps{
		Logs: b.logs, BrokerEpoch: func() int64 { return 1 }, Metadata: view{b.c},
		AlterPartition: func(_ context.Context, req *kmsg.AlterPartitionRequest) (*kmsg.AlterPartitionResponse, error) {
			return b.c.alterPartition(b.id, req)
		},
		Dial: func(ctx context.Context, to int32) (*wire.Client, error) {
			return wire.Dial(ctx, wire.ClientConfig{Addr: "test", ClientID: fmt.Sprintf("broker-%d-fetcher-0", b.id), Log: zerolog.Nop(),
				DialFunc: func(context.Context, string, string) (net.Conn, error) { return b.c.connect(b.id, to) }})
		},
		OnIsolated: b.onIsolated,
		OnLeadership: func(cs []LeaderChange) {
			b.mu.Lock()
			b.changes = append(b.changes, cs...)
			b.mu.Unlock()
		},
	})
	b.mu.Lock()
	b.m = m
	b.mu.Unlock()
}

// stop ends the broker and keeps its directory.
func (b *testBroker) stop() {
	b.mu.Lock()
	m, conns := b.m, b.conns
	b.m, b.conns = nil, nil
	b.mu.Unlock()
	if m == nil {
		return
	}
	for conn := range conns {
		_ = conn.Close()
	}
	m.Close()
	if err := b.logs.Close(context.Background()); err != nil {
		b.c.t.Error(err)
	}
}

// view is the cluster metadata, known to all brokers at once.
type view struct{ c *testCluster }

func (v view) Contains(topic string, partition int32) bool {
	v.c.mu.Lock()
	defer v.c.mu.Unlock()
	return v.c.parts[storage.TopicPartition{Topic: topic, Partition: partition}] != nil
}

func (v view) ContainsID(id [16]byte) (string, bool) {
	v.c.mu.Lock()
	defer v.c.mu.Unlock()
	t, ok := v.c.ids[id]
	return t, ok
}

func (v view) Alive(broker int32) bool {
	v.c.mu.Lock()
	defer v.c.mu.Unlock()
	return v.c.brokers[broker] != nil && !v.c.dead[broker]
}

func (v view) Endpoint(broker int32) (string, int32, string, bool) {
	v.c.mu.Lock()
	defer v.c.mu.Unlock()
	b := v.c.brokers[broker]
	if b == nil || v.c.dead[broker] {
		return "", 0, "", false
	}
	return "test", broker, b.rack, true
}

func (c *testCluster) connect(from, to int32) (net.Conn, error) {
	c.mu.Lock()
	b, dead := c.brokers[to], c.dead[to] || c.dead[from] || c.deaf[to]
	c.mu.Unlock()
	if b == nil || dead {
		return nil, errors.New("connection refused")
	}
	client, server := net.Pipe()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conns == nil {
		return nil, errors.New("connection refused")
	}
	b.conns[server] = from
	go b.serve(server, b.m)
	return client, nil
}

// deafen cuts a broker off from those that fetch from it, without anybody being seen as dead.
func (c *testCluster) deafen(id int32) {
	c.mu.Lock()
	c.deaf[id] = true
	b := c.brokers[id]
	c.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	for conn := range b.conns {
		_ = conn.Close()
	}
}

// isolate cuts all of a broker's connections, refuses new ones and has the others see it as dead; false heals.
func (c *testCluster) isolate(id int32, cut bool) {
	c.mu.Lock()
	c.dead[id] = cut
	brokers := make([]*testBroker, 0, len(c.brokers))
	for _, b := range c.brokers {
		brokers = append(brokers, b)
	}
	c.mu.Unlock()
	if !cut {
		return
	}
	for _, b := range brokers {
		b.mu.Lock()
		for conn, from := range b.conns {
			if b.id == id || from == id {
				_ = conn.Close()
			}
		}
		b.mu.Unlock()
	}
}

// serve answers Fetch and ListOffsets.
func (b *testBroker) serve(conn net.Conn, m *Manager) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer func() {
		_ = conn.Close()
		b.mu.Lock()
		delete(b.conns, conn)
		b.mu.Unlock()
	}()
	var size [4]byte
	for {
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(conn, frame); err != nil {
			return
		}
		key, version := int16(binary.BigEndian.Uint16(frame)), int16(binary.BigEndian.Uint16(frame[2:]))
		req := kmsg.RequestForKey(key)
		req.SetVersion(version)
		n := int16(binary.BigEndian.Uint16(frame[8:]))
		body := frame[10+max(0, n):]
		if req.IsFlexible() {
			body = body[1:] // no tags are sent
		}
		if err := req.ReadFrom(body); err != nil {
			b.c.t.Error(err)
			return
		}
		resp := b.handle(ctx, m, req)
		out := append([]byte{0, 0, 0, 0}, frame[4:8]...)
		if resp.IsFlexible() {
			out = append(out, 0)
		}
		out = resp.AppendTo(out)
		binary.BigEndian.PutUint32(out, uint32(len(out)-4))
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

func (b *testBroker) handle(ctx context.Context, m *Manager, req kmsg.Request) kmsg.Response {
	switch req := req.(type) {
	case *kmsg.FetchRequest:
		return serveFetch(ctx, b.c.t, m, req)
	case *kmsg.ListOffsetsRequest:
		resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
		for _, t := range req.Topics {
			rt := kmsg.NewListOffsetsResponseTopic()
			rt.Topic = t.Topic
			for _, p := range t.Partitions {
				rp := kmsg.NewListOffsetsResponseTopicPartition()
				rp.Partition = p.Partition
				part, err := m.LeaderPartition(t.Topic, p.Partition)
				if err == nil {
					rp.Offset, rp.Timestamp, rp.LeaderEpoch, err = part.ListOffset(ListOffsetRequest{Timestamp: p.Timestamp, CurrentLeaderEpoch: p.CurrentLeaderEpoch, ReplicaID: req.ReplicaID, Version: req.Version})
				}
				rp.ErrorCode = codeOf(err)
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp
	}
	b.c.t.Errorf("unexpected request %T", req)
	return req.ResponseKind()
}

func serveFetch(ctx context.Context, t testing.TB, m *Manager, req *kmsg.FetchRequest) *kmsg.FetchResponse {
	resp := req.ResponseKind().(*kmsg.FetchResponse)
	fc, code := m.Sessions().Resolve(req)
	if code != 0 {
		resp.ErrorCode = code
		return resp
	}
	defer fc.Release()
	fr := &FetchRequest{ReplicaID: ReplicaOf(req), ReplicaEpoch: req.ReplicaState.Epoch, MaxWait: time.Duration(req.MaxWaitMillis) * time.Millisecond,
		MinBytes: req.MinBytes, MaxBytes: req.MaxBytes, Isolation: req.IsolationLevel, Version: req.Version, Rack: req.Rack, Partitions: fc.Partitions(), Results: fc.Scratch()}
	results := m.Fetch(ctx, fr)
	resp.SessionID, resp.ErrorCode = fc.Update(results)
	for i := range results {
		r, fp := &results[i], &fr.Partitions[i]
		records := readRange(t, r.Records)
		if r.Omit {
			continue
		}
		if n := len(resp.Topics); n == 0 || resp.Topics[n-1].Topic != fp.Topic || resp.Topics[n-1].TopicID != fp.TopicID {
			rt := kmsg.NewFetchResponseTopic()
			rt.Topic, rt.TopicID = fp.Topic, fp.TopicID
			resp.Topics = append(resp.Topics, rt)
		}
		rt := &resp.Topics[len(resp.Topics)-1]
		rp := kmsg.NewFetchResponseTopicPartition()
		rp.Partition, rp.ErrorCode, rp.HighWatermark, rp.LastStableOffset, rp.LogStartOffset = fp.Partition, codeOf(r.Err), r.HighWatermark, r.LastStableOffset, r.LogStartOffset
		rp.PreferredReadReplica = r.PreferredReplica
		if r.Diverging != nil {
			rp.DivergingEpoch.Epoch, rp.DivergingEpoch.EndOffset = r.Diverging.Epoch, r.Diverging.EndOffset
		}
		rp.RecordBatches = records
		rt.Partitions = append(rt.Partitions, rp)
	}
	return resp
}

func readRange(t testing.TB, r *storage.Range) []byte {
	if r == nil {
		return []byte{}
	}
	defer r.Release()
	p := make([]byte, r.Len())
	if _, err := r.ReadAt(p, 0); err != nil {
		t.Error(err)
	}
	return p
}

// The controller.

func (c *testCluster) create(topic string, partitions int, replicas ...int32) {
	c.t.Helper()
	var id [16]byte
	copy(id[:], topic)
	id[15] = 1
	c.mu.Lock()
	c.ids[id] = topic
	var tps []storage.TopicPartition
	for p := range int32(partitions) {
		tp := storage.TopicPartition{Topic: topic, Partition: p}
		c.parts[tp] = &testPartition{topicID: id, leader: replicas[0], isr: slices.Clone(replicas), replicas: slices.Clone(replicas)}
		tps = append(tps, tp)
	}
	c.mu.Unlock()
	c.announce(true, tps...)
}

// announce sends LeaderAndIsr about the partitions to their living replicas.
func (c *testCluster) announce(isNew bool, tps ...storage.TopicPartition) {
	c.t.Helper()
	c.send(isNew, func(id int32) bool { return !c.dead[id] }, tps)
}

// announceTo sends a broker that started, or was cut off, the state of all its partitions.
func (c *testCluster) announceTo(broker int32) {
	c.t.Helper()
	c.mu.Lock()
	tps := slices.SortedFunc(maps.Keys(c.parts), compareTopicPartition)
	c.mu.Unlock()
	c.send(false, func(id int32) bool { return id == broker }, tps)
}

func (c *testCluster) send(isNew bool, to func(int32) bool, tps []storage.TopicPartition) {
	c.t.Helper()
	c.sending.Lock() // a controller's requests to a broker arrive in order
	defer c.sending.Unlock()
	c.mu.Lock()
	reqs := map[int32]*kmsg.LeaderAndISRRequest{}
	for _, tp := range tps {
		s := c.parts[tp]
		for _, id := range s.replicas {
			if !to(id) {
				continue
			}
			req := reqs[id]
			if req == nil {
				req = kmsg.NewPtrLeaderAndISRRequest()
				req.Version, req.ControllerEpoch, req.BrokerEpoch = 7, c.epoch, 1
				reqs[id] = req
			}
			if n := len(req.TopicStates); n == 0 || req.TopicStates[n-1].Topic != tp.Topic {
				t := kmsg.NewLeaderAndISRRequestTopicState()
				t.Topic, t.TopicID = tp.Topic, s.topicID
				req.TopicStates = append(req.TopicStates, t)
			}
			t := &req.TopicStates[len(req.TopicStates)-1]
			t.PartitionStates = append(t.PartitionStates, s.state(tp.Partition, isNew))
		}
	}
	c.mu.Unlock()
	for id, req := range reqs {
		m := c.manager(id)
		if m == nil {
			continue
		}
		resp := m.LeaderAndISR(req)
		if resp.ErrorCode != 0 {
			c.t.Errorf("broker %d: %v", id, kerr.ErrorForCode(resp.ErrorCode))
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode != 0 {
					c.t.Errorf("broker %d: partition %d: %v", id, p.Partition, kerr.ErrorForCode(p.ErrorCode))
				}
			}
		}
	}
}

func (s *testPartition) state(partition int32, isNew bool) kmsg.LeaderAndISRRequestTopicPartition {
	p := kmsg.NewLeaderAndISRRequestTopicPartition()
	p.Partition, p.Leader, p.LeaderEpoch, p.ISR, p.ZKVersion, p.Replicas, p.IsNew = partition, s.leader, s.leaderEpoch, slices.Clone(s.isr), s.epoch, s.replicas, isNew
	return p
}

func (c *testCluster) manager(id int32) *Manager {
	b := c.brokers[id]
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.m
}

func (c *testCluster) partition(broker int32, topic string, id int32) *Partition {
	c.t.Helper()
	p := c.manager(broker).Partition(topic, id)
	if p == nil {
		c.t.Fatalf("broker %d has no %s-%d", broker, topic, id)
	}
	return p
}

// elect makes broker the leader, in the ISR that is given or the present one.
func (c *testCluster) elect(topic string, partition, broker int32, isr ...int32) {
	c.t.Helper()
	tp := storage.TopicPartition{Topic: topic, Partition: partition}
	c.mu.Lock()
	s := c.parts[tp]
	s.leader = broker
	s.leaderEpoch++
	s.epoch++
	if isr != nil {
		s.isr = slices.Clone(isr)
	}
	c.mu.Unlock()
	c.announce(false, tp)
}

func (c *testCluster) alterPartition(broker int32, req *kmsg.AlterPartitionRequest) (*kmsg.AlterPartitionResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead[broker] {
		return nil, errors.New("controller cannot be reached")
	}
	c.alters.Add(1)
	resp := req.ResponseKind().(*kmsg.AlterPartitionResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewAlterPartitionResponseTopic()
		rt.TopidID = t.TopicID
		for i := range t.Partitions {
			p := &t.Partitions[i]
			rp := kmsg.NewAlterPartitionResponseTopicPartition()
			rp.Partition = p.Partition
			s := c.parts[storage.TopicPartition{Topic: c.ids[t.TopicID], Partition: p.Partition}]
			if c.refuse != nil {
				rp.ErrorCode = c.refuse(broker, p)
			}
			switch {
			case rp.ErrorCode != 0:
			case p.LeaderEpoch < s.leaderEpoch:
				rp.ErrorCode = kerr.FencedLeaderEpoch.Code
			case p.PartitionEpoch < s.epoch:
				rp.ErrorCode = kerr.InvalidUpdateVersion.Code
			default:
				var isr []int32
				for _, e := range p.NewEpochISR {
					if c.dead[e.BrokerID] {
						rp.ErrorCode = kerr.IneligibleReplica.Code
					}
					isr = append(isr, e.BrokerID)
				}
				if rp.ErrorCode == 0 {
					s.isr = isr
					s.epoch++
				}
			}
			rp.LeaderID, rp.LeaderEpoch, rp.ISR, rp.PartitionEpoch = s.leader, s.leaderEpoch, slices.Clone(s.isr), s.epoch
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, nil
}

func (c *testCluster) isrOf(topic string, partition int32) []int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	isr := slices.Clone(c.parts[storage.TopicPartition{Topic: topic, Partition: partition}].isr)
	slices.Sort(isr)
	return isr
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not reached in time: %s", what)
		}
	}
}

// records is one batch with a record for each value.
func records(values ...string) []byte {
	b := batch.NewBuilder(batch.NewBuilderOptions(0))
	for _, v := range values {
		b.Add(1000, nil, []byte(v), nil)
	}
	return b.Build()
}

// produce appends with acks=all and waits for the commit.
func produce(p *Partition, timeout time.Duration, values ...string) (Appended, error) {
	a, err := p.AppendAsLeader(records(values...), -1, storage.OriginClient)
	if err != nil {
		return a, err
	}
	w := p.m.WaitCommitted([]Appended{a}, timeout)
	if w == nil {
		return a, nil
	}
	select {
	case <-w.Done():
	case <-time.After(time.Until(w.Deadline())):
	}
	return a, kerr.ErrorForCode(w.Errors()[0])
}

func mustProduce(t testing.TB, p *Partition, values ...string) Appended {
	t.Helper()
	a, err := produce(p, 10*time.Second, values...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// contents are the values of a log from start to end.
func contents(t testing.TB, l *storage.Log) []string {
	t.Helper()
	var values []string
	for off := l.StartOffset(); off < l.EndOffset(); {
		rng, err := l.Read(off, 1<<20, l.EndOffset(), true)
		if err != nil {
			t.Fatal(err)
		}
		for rest := readRange(t, rng); len(rest) > 0; {
			v, after, err := batch.Next(rest)
			if err != nil {
				t.Fatal(err)
			}
			rest = after
			if err := v.Walk(func(r *batch.Record) error { values = append(values, string(r.Value)); return nil }); err != nil {
				t.Fatal(err)
			}
			off = v.NextOffset()
		}
	}
	return values
}
