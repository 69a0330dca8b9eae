package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/zkmeta"
	"ottla/zkmeta/embedded"
)

// A cluster is an embedded store with brokers that are nothing but a registration and a record of what
// they were sent.
type cluster struct {
	t     testing.TB
	store zkmeta.Store
	// expire ends a session as if its broker had been gone for its timeout.
	expire func(zkmeta.Session)
	admin  zkmeta.Session
	log    zerolog.Logger

	mu      sync.Mutex
	brokers map[int32]*fakeBroker
}

type fakeBroker struct {
	id      int32
	session zkmeta.Session
	epoch   int64
	ctrl    *Controller

	// What it was sent, and what it believes. Guarded by cluster.mu.
	requests        []kmsg.Request
	controllerEpoch int32
	replicas        map[zkmeta.TP]kmsg.LeaderAndISRRequestTopicPartition
	metadata        map[zkmeta.TP]kmsg.UpdateMetadataRequestTopicPartition
	live            []int32
	deleted         map[zkmeta.TP]int
	failedDirs      map[zkmeta.TP]bool
	refuseStop      map[zkmeta.TP]int16
	down            bool
}

func newCluster(t testing.TB) *cluster {
	t.Helper()
	store, err := embedded.Open(embedded.Config{Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	return newClusterOn(t, store, func(s zkmeta.Session) { store.Expire(s.ID()) })
}

// newClusterOn makes a cluster in an empty store.
func newClusterOn(t testing.TB, store zkmeta.Store, expire func(zkmeta.Session)) *cluster {
	t.Helper()
	c := &cluster{t: t, store: store, expire: expire, brokers: map[int32]*fakeBroker{}, log: zerolog.Nop()}
	if testing.Verbose() {
		c.log = zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.InfoLevel)
	}
	c.admin = c.connect()
	t.Cleanup(func() { _ = store.Close() })
	for _, path := range []string{"/consumers", "/brokers", "/brokers/ids", "/brokers/topics", "/brokers/seqid", "/admin",
		"/admin/delete_topics", "/config", "/config/changes", "/config/topics", "/config/brokers", "/isr_change_notification",
		"/log_dir_event_notification", "/latest_producer_id_block"} {
		c.create(path, nil)
	}
	return c
}

func (c *cluster) connect() zkmeta.Session {
	c.t.Helper()
	s, err := c.store.Connect(context.Background())
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

func (c *cluster) create(path string, data []byte) {
	c.t.Helper()
	if _, err := c.admin.Create(context.Background(), path, data, zkmeta.Persistent, nil); err != nil {
		c.t.Fatalf("create %s: %v", path, err)
	}
}

func (c *cluster) set(path string, data []byte) {
	c.t.Helper()
	if _, err := c.admin.Set(context.Background(), path, data, zkmeta.AnyVersion); err != nil {
		c.t.Fatalf("set %s: %v", path, err)
	}
}

func (c *cluster) get(path string) string {
	c.t.Helper()
	data, _, err := c.admin.Get(context.Background(), path, nil)
	if err != nil {
		c.t.Fatalf("get %s: %v", path, err)
	}
	return string(data)
}

func (c *cluster) exists(path string) bool {
	c.t.Helper()
	_, ok, err := c.admin.Exists(context.Background(), path, nil)
	if err != nil {
		c.t.Fatalf("exists %s: %v", path, err)
	}
	return ok
}

func (c *cluster) children(path string) []string {
	c.t.Helper()
	names, _, err := c.admin.Children(context.Background(), path, nil)
	if err != nil {
		c.t.Fatalf("children %s: %v", path, err)
	}
	slices.Sort(names)
	return names
}

func (c *cluster) state(topic string, p int32) (zkmeta.PartitionState, bool) {
	c.t.Helper()
	data, _, err := c.admin.Get(context.Background(), zkmeta.TopicPartitionState(topic, p), nil)
	if errors.Is(err, zkmeta.ErrNoNode) {
		return zkmeta.PartitionState{}, false
	}
	if err != nil {
		c.t.Fatal(err)
	}
	s, err := zkmeta.DecodePartitionState(data)
	if err != nil {
		c.t.Fatal(err)
	}
	return s, true
}

func (c *cluster) wantState(topic string, p int32, want string) {
	c.t.Helper()
	var got string
	c.until(fmt.Sprintf("state of %s-%d to be %s", topic, p, want), func() bool {
		s, ok := c.state(topic, p)
		if !ok {
			got = "none"
			return want == got
		}
		got = fmt.Sprintf("leader %d epoch %d isr %v", s.Leader, s.LeaderEpoch, s.ISR)
		if s.Recovering {
			got += " recovering"
		}
		return got == want
	}, func() string { return got })
}

// until waits for cond; a controller that does nothing more fails the test after a while.
func (c *cluster) until(what string, cond func() bool, detail ...func() string) {
	c.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			d := ""
			for _, f := range detail {
				d += ": " + f()
			}
			c.t.Fatalf("waited in vain for %s%s", what, d)
		}
		time.Sleep(200 * time.Microsecond)
	}
}

// register puts a broker's registration into the tree, without a controller.
func (c *cluster) register(id int32) *fakeBroker {
	c.t.Helper()
	b := &fakeBroker{id: id, session: c.connect(), replicas: map[zkmeta.TP]kmsg.LeaderAndISRRequestTopicPartition{},
		metadata: map[zkmeta.TP]kmsg.UpdateMetadataRequestTopicPartition{}, deleted: map[zkmeta.TP]int{},
		failedDirs: map[zkmeta.TP]bool{}, refuseStop: map[zkmeta.TP]int16{}}
	info := brokerInfo(id)
	path := zkmeta.Broker(id)
	res, err := b.session.Multi(context.Background(), zkmeta.CreateOp(path, nil, zkmeta.Ephemeral, nil), zkmeta.SetOp(path, info.Encode(), 0))
	if err != nil {
		c.t.Fatal(err)
	}
	b.epoch = res[1].Stat.Czxid
	c.mu.Lock()
	c.brokers[id] = b
	c.mu.Unlock()
	return b
}

func brokerInfo(id int32) zkmeta.BrokerInfo {
	return zkmeta.BrokerInfo{ID: id, Version: 5, JMXPort: -1, Rack: "r" + strconv.Itoa(int(id)), TimestampMs: 1795374285512,
		Endpoints: []zkmeta.Endpoint{{Listener: "PLAINTEXT", Protocol: "PLAINTEXT", Host: "127.0.0.1", Port: 9092 + id}}}
}

func testConfig(id int32, log zerolog.Logger) Config {
	return Config{BrokerID: id, InterBrokerListener: "PLAINTEXT", DeleteTopicEnable: true, ImbalanceCheckInterval: 300 * time.Second,
		ImbalancePercent: 10, Log: log.With().Int32("me", id).Logger()}
}

// join registers a broker and starts its controller.
func (c *cluster) join(id int32, change ...func(*Config)) *fakeBroker {
	c.t.Helper()
	b := c.register(id)
	cfg := testConfig(id, c.log)
	for _, f := range change {
		f(&cfg)
	}
	b.ctrl = New(cfg, Deps{Brokers: c})
	b.ctrl.Start(b.session)
	c.t.Cleanup(b.ctrl.Close)
	return b
}

// startBrokers joins broker 1 and waits until it is the controller; then the others register.
func (c *cluster) startBrokers(n int32) *fakeBroker {
	c.t.Helper()
	b := c.join(1)
	for id := int32(2); id <= n; id++ {
		c.register(id)
	}
	c.until("broker 1 to know all brokers", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return b.ctrl.IsActive() && len(b.live) == int(n)
	})
	return b
}

// kill ends a broker without a word: its session is over, its controller stops in the middle.
func (c *cluster) kill(b *fakeBroker) {
	c.mu.Lock()
	b.down = true
	delete(c.brokers, b.id)
	c.mu.Unlock()
	c.expire(b.session)
}

func (c *cluster) broker(id int32) *fakeBroker {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.brokers[id]
}

// Send implements Brokers: it is the receiving side of every broker.
func (c *cluster) Send(ctx context.Context, info zkmeta.BrokerInfo, req kmsg.Request) (kmsg.Response, error) {
	// What is sent must survive its encoding.
	decoded := kmsg.RequestForKey(req.Key())
	decoded.SetVersion(req.GetVersion())
	if err := decoded.ReadFrom(req.AppendTo(nil)); err != nil {
		return nil, fmt.Errorf("decode what was sent: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.brokers[info.ID]
	if b == nil || b.down {
		return nil, fmt.Errorf("broker %d is down", info.ID)
	}
	b.requests = append(b.requests, decoded)
	return b.receive(decoded), nil
}

// receive does what a broker does with requests of the controller, as far as tests look at it.
func (b *fakeBroker) receive(req kmsg.Request) kmsg.Response {
	const stale = 11
	switch req := req.(type) {
	case *kmsg.LeaderAndISRRequest:
		resp := req.ResponseKind().(*kmsg.LeaderAndISRResponse)
		if req.ControllerEpoch < b.controllerEpoch {
			resp.ErrorCode = stale
			return resp
		}
		b.controllerEpoch = req.ControllerEpoch
		for _, t := range req.TopicStates {
			rt := kmsg.LeaderAndISRResponseTopic{TopicID: t.TopicID}
			for _, p := range t.PartitionStates {
				tp := zkmeta.TP{Topic: t.Topic, Partition: p.Partition}
				a := kmsg.LeaderAndISRResponseTopicPartition{Partition: p.Partition}
				switch old, ok := b.replicas[tp]; {
				case b.failedDirs[tp]:
					a.ErrorCode = 56
				case ok && p.LeaderEpoch < old.LeaderEpoch, ok && p.LeaderEpoch == old.LeaderEpoch && p.ZKVersion <= old.ZKVersion:
					a.ErrorCode = stale
				default:
					b.replicas[tp] = p
				}
				rt.Partitions = append(rt.Partitions, a)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp
	case *kmsg.UpdateMetadataRequest:
		resp := req.ResponseKind().(*kmsg.UpdateMetadataResponse)
		if req.ControllerEpoch < b.controllerEpoch {
			resp.ErrorCode = stale
			return resp
		}
		b.controllerEpoch = req.ControllerEpoch
		b.live = b.live[:0]
		for _, lb := range req.LiveBrokers {
			b.live = append(b.live, lb.ID)
		}
		for _, t := range req.TopicStates {
			for _, p := range t.PartitionStates {
				tp := zkmeta.TP{Topic: t.Topic, Partition: p.Partition}
				if p.Leader == leaderDuringDelete {
					delete(b.metadata, tp)
				} else {
					b.metadata[tp] = p
				}
			}
		}
		return resp
	case *kmsg.StopReplicaRequest:
		resp := req.ResponseKind().(*kmsg.StopReplicaResponse)
		for _, t := range req.Topics {
			for _, p := range t.PartitionStates {
				tp := zkmeta.TP{Topic: t.Topic, Partition: p.Partition}
				a := kmsg.StopReplicaResponsePartition{Topic: t.Topic, Partition: p.Partition, ErrorCode: b.refuseStop[tp]}
				if a.ErrorCode == 0 && p.Delete {
					delete(b.replicas, tp)
					b.deleted[tp]++
				}
				resp.Partitions = append(resp.Partitions, a)
			}
		}
		return resp
	}
	panic(fmt.Sprintf("unexpected %T", req))
}

// count is how many requests of a key the broker got.
func (c *cluster) count(b *fakeBroker, key int16) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, r := range b.requests {
		if r.Key() == key {
			n++
		}
	}
	return n
}

var testTopicID = [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

// topicID is different for each name.
func topicID(name string) [16]byte {
	id := testTopicID
	copy(id[4:], name)
	return id
}

func assignment(name string, replicas ...[]int32) zkmeta.TopicAssignment {
	a := zkmeta.TopicAssignment{Version: 3, Partitions: map[int32][]int32{}, TopicID: topicID(name)}
	for i, r := range replicas {
		a.Partitions[int32(i)] = r
	}
	return a
}

// createTopic writes the two znodes of a new topic, as a broker does that gets CreateTopics.
func (c *cluster) createTopic(name string, replicas ...[]int32) {
	c.t.Helper()
	c.create("/config/topics/"+name, zkmeta.ConfigEntity{}.Encode())
	a := assignment(name, replicas...)
	c.create(zkmeta.Topic(name), a.Encode())
}

func repeat(n int, replicas ...int32) [][]int32 {
	out := make([][]int32, n)
	for i := range out {
		out[i] = replicas
	}
	return out
}
