package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/zkmeta"
	"ottla/zkmeta/ensemble"
	"ottla/zkmeta/zktest"
)

var trees atomic.Int64

// newTree is a chroot of its own on the shared ZooKeeper server, as the path of zookeeper.connect.
func newTree(t *testing.T) string {
	t.Helper()
	if zooKeeper == nil {
		t.Skip(noZooKeeper)
	}
	return fmt.Sprintf("/broker-test/%d", trees.Add(1))
}

// look opens a session of the test's own in a chroot.
func look(t *testing.T, chroot string, auth ...ensemble.Auth) zkmeta.Session {
	t.Helper()
	store, err := ensemble.New(ensemble.Config{Servers: []string{zooKeeper.Addr}, Chroot: chroot, Auth: auth, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	s, err := store.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// beside are the settings of a broker that has its metadata in a ZooKeeper tree.
func beside(addr, chroot string, id int, more ...string) []string {
	return append([]string{
		"zookeeper.connect=" + addr + chroot, fmt.Sprintf("broker.id=%d", id),
		fmt.Sprintf("zookeeper.session.timeout.ms=%d", 4*zktest.TickTime.Milliseconds()), "zookeeper.connection.timeout.ms=20000",
		"controlled.shutdown.retry.backoff.ms=200", "offsets.topic.replication.factor=1", "offsets.topic.num.partitions=3",
	}, more...)
}

func TestRegistersAsKafkaDoes(t *testing.T) {
	t.Parallel()
	chroot := newTree(t) + "/a/b"
	before := time.Now().UnixMilli()
	b := start(t, t.TempDir(), beside(zooKeeper.Addr, chroot, 7, "broker.rack=r1",
		"listeners=PLAINTEXT://127.0.0.1:0,INSIDE://127.0.0.1:0", "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,INSIDE:PLAINTEXT",
		"inter.broker.listener.name=INSIDE", "advertised.listeners=PLAINTEXT://broker7.example:19092,INSIDE://127.0.0.1:29092")...)
	s := look(t, chroot)
	ctx := t.Context()

	data, stat, err := s.Get(ctx, zkmeta.Broker(7), nil)
	if err != nil {
		t.Fatal(err)
	}
	if stat.EphemeralOwner == 0 || stat.Version != 1 || stat.Czxid != stat.Mzxid {
		t.Errorf("stat %+v: want an ephemeral node that one transaction created and wrote", stat)
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	var at int64
	if _, err := fmt.Sscan(fmt.Sprint(got["timestamp"]), &at); err != nil || at < before || at > time.Now().UnixMilli() {
		t.Errorf("timestamp is %v", got["timestamp"])
	}
	if _, text := got["timestamp"].(string); !text {
		t.Error("timestamp is not a string")
	}
	delete(got, "timestamp")
	const want = `{"endpoints":["PLAINTEXT://broker7.example:19092","INSIDE://127.0.0.1:29092"],"features":{"transaction.version":{"max_version":2,"min_version":1}},"host":"broker7.example","jmx_port":-1,` +
		`"listener_security_protocol_map":{"INSIDE":"PLAINTEXT","PLAINTEXT":"PLAINTEXT"},"port":19092,"rack":"r1","version":5}`
	if text, _ := json.Marshal(got); string(text) != want {
		t.Errorf("the registration is\n%s, want\n%s", text, want)
	}

	for _, path := range []string{"/consumers", "/brokers/ids", "/brokers/topics", "/config/changes", "/admin/delete_topics", "/brokers/seqid",
		"/isr_change_notification", "/latest_producer_id_block", "/log_dir_event_notification",
		"/config/topics", "/config/clients", "/config/users", "/config/brokers", "/config/ips"} {
		if data, stat, err := s.Get(ctx, path, nil); err != nil || data != nil || stat.EphemeralOwner != 0 {
			t.Errorf("%s: data %q, %v: want a persistent node with null data", path, data, err)
		}
	}
	eventually(t, "controller", func() error {
		data, stat, err := s.Get(ctx, zkmeta.Controller, nil)
		if err != nil {
			return err
		}
		var c struct {
			Version, BrokerID, KraftControllerEpoch int
			Timestamp                               string
		}
		if err := json.Unmarshal(data, &c); err != nil || c.Version != 2 || c.BrokerID != 7 || c.KraftControllerEpoch != -1 || c.Timestamp == "" || stat.EphemeralOwner == 0 {
			t.Fatalf("/controller is %s, %v", data, err)
		}
		return nil
	})
	if data, _, err := s.Get(ctx, zkmeta.ControllerEpoch, nil); err != nil || string(data) != "1" {
		t.Errorf("/controller_epoch is %q, %v", data, err)
	}

	b.stop()
	for _, path := range []string{zkmeta.Broker(7), zkmeta.Controller} {
		if _, exists, err := s.Exists(ctx, path, nil); err != nil || exists {
			t.Errorf("%s after the stop: exists %v, %v", path, exists, err)
		}
	}
}

func TestDigestAuthOwnsTheZnodes(t *testing.T) {
	t.Parallel()
	chroot := newTree(t)
	start(t, t.TempDir(), beside(zooKeeper.Addr, chroot, 1, "zookeeper.set.acl=true", "ottla.zookeeper.auth=ottla:secret")...)
	stranger, owner := look(t, chroot), look(t, chroot, ensemble.Auth{Scheme: "digest", Data: "ottla:secret"})
	if _, err := stranger.Set(t.Context(), zkmeta.BrokersSeqID, nil, zkmeta.AnyVersion); !errors.Is(err, zkmeta.ErrNoAuth) {
		t.Errorf("a stranger writes: %v", err)
	}
	if _, _, err := stranger.Get(t.Context(), zkmeta.Broker(1), nil); err != nil {
		t.Errorf("a stranger reads: %v", err)
	}
	if _, err := owner.Set(t.Context(), zkmeta.BrokersSeqID, nil, zkmeta.AnyVersion); err != nil {
		t.Errorf("the owner writes: %v", err)
	}
}

func TestGivesUpWhenZooKeeperStaysAway(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()
	began, logs := time.Now(), &output{}
	_, err = tryLogging(t, t.Context(), logs, t.TempDir(), beside(nobody, "", 1, "zookeeper.connection.timeout.ms=1000")...)
	if err == nil || !strings.Contains(err.Error(), "zookeeper.connection.timeout.ms=1000") || !strings.Contains(err.Error(), nobody) ||
		!strings.Contains(err.Error(), "connection refused") {
		t.Errorf("error %v: want the setting, the server and the reason", err)
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("gave up after %v", took)
	}
	if !strings.Contains(logs.String(), "no connection to zookeeper, trying") {
		t.Errorf("nothing said that it waits:\n%s", logs)
	}
}

func TestStopDuringStartEndsTheWait(t *testing.T) {
	t.Parallel()
	p := newProxy(t, "127.0.0.1:1")
	p.cut()
	ctx, cancel := context.WithCancel(t.Context())
	logs := &output{}
	go func() {
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) && !strings.Contains(logs.String(), "trying"); {
			time.Sleep(5 * time.Millisecond)
		}
		cancel()
	}()
	if _, err := tryLogging(t, ctx, logs, t.TempDir(), beside(p.addr, "", 1)...); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestStartsOnceZooKeeperComes(t *testing.T) {
	t.Parallel()
	chroot := newTree(t)
	p := newProxy(t, zooKeeper.Addr)
	p.cut()
	logs := &output{}
	go func() {
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) && !strings.Contains(logs.String(), "trying"); {
			time.Sleep(5 * time.Millisecond)
		}
		p.mend()
	}()
	b, err := tryLogging(t, t.Context(), logs, t.TempDir(), beside(p.addr, chroot, 1)...)
	if err != nil {
		t.Fatal(err)
	}
	produce(t, b.client(), "t", 0, 10)
	wantRecords(t, b, "t", 10)
}

func TestSecondBrokerWithTheSameIDWaits(t *testing.T) {
	t.Parallel()
	chroot := newTree(t)
	first := start(t, t.TempDir(), beside(zooKeeper.Addr, chroot, 1)...)
	logs := &output{}
	type result struct {
		b   *running
		err error
	}
	second := make(chan result, 1)
	dir, ctx := t.TempDir(), t.Context()
	go func() {
		b, err := tryLogging(t, ctx, logs, dir, beside(zooKeeper.Addr, chroot, 1)...)
		second <- result{b, err}
	}()
	eventually(t, "the second says that it waits", func() error {
		if !strings.Contains(logs.String(), "another session has registered this broker id, waiting until it is gone") {
			return errors.New("not said")
		}
		return nil
	})
	produce(t, first.client(), "t", 0, 10) // not disturbed
	select {
	case r := <-second:
		t.Fatalf("the second broker started beside the first: %v", r.err)
	default:
	}
	first.stop()
	r := <-second
	if r.err != nil {
		t.Fatal(r.err)
	}
	if _, err := r.b.admin().ListTopics(t.Context(), "t"); err != nil {
		t.Error(err)
	}
}

func TestExpiredSessionIsRenewed(t *testing.T) {
	t.Parallel()
	chroot := newTree(t)
	s, p := look(t, chroot), newProxy(t, zooKeeper.Addr)
	b := start(t, t.TempDir(), beside(p.addr, chroot, 1)...)
	b.create("t", 1, nil)
	c := b.client()
	produce(t, c, "t", 0, 50)
	epoch := func() (int64, error) {
		stat, exists, err := s.Exists(t.Context(), zkmeta.Broker(1), nil)
		if err == nil && !exists {
			err = zkmeta.ErrNoNode
		}
		return stat.Czxid, err
	}
	before, err := epoch()
	if err != nil {
		t.Fatal(err)
	}
	p.cut()
	eventually(t, "the registration expires", func() error {
		if _, err := epoch(); !errors.Is(err, zkmeta.ErrNoNode) {
			return fmt.Errorf("still there, %v", err)
		}
		return nil
	})
	// A change that is made meanwhile, and whose notification nobody keeps, counts too.
	path := zkmeta.Config(zkmeta.ConfigTopics, "t")
	if _, err := s.Set(t.Context(), path, []byte(`{"version":1,"config":{"max.message.bytes":"1000"}}`), zkmeta.AnyVersion); err != nil {
		t.Fatal(err)
	}
	p.mend()
	eventually(t, "the broker registers again", func() error {
		after, err := epoch()
		if err == nil && after <= before {
			t.Fatalf("broker epoch %d after %d", after, before)
		}
		return err
	})
	produce(t, c, "t", 50, 100)
	wantRecords(t, b, "t", 100)
	eventually(t, "the topic's new limit", func() error {
		err := c.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte(strings.Repeat("abcdefgh", 4000))}).FirstErr()
		if !errors.Is(err, kerr.MessageTooLarge) {
			return fmt.Errorf("a large record: %v", err)
		}
		return nil
	})
	if !strings.Contains(b.logs.String(), "registered in a new metadata session") {
		t.Error("nothing was said of the new session")
	}
}

func TestThreeBrokersShareTheWork(t *testing.T) {
	t.Parallel()
	chroot := newTree(t)
	s := look(t, chroot)
	var brokers []*running
	for id := 1; id <= 3; id++ {
		brokers = append(brokers, start(t, t.TempDir(), beside(zooKeeper.Addr, chroot, id, "offsets.topic.replication.factor=3", "min.insync.replicas=2")...))
	}
	admin := brokers[0].admin()
	eventually(t, "three brokers", func() error {
		m, err := brokers[0].admin().BrokerMetadata(t.Context())
		if err == nil && len(m.Brokers) != 3 {
			err = fmt.Errorf("%v", m.Brokers)
		}
		return err
	})
	if _, err := admin.CreateTopic(t.Context(), 6, 3, nil, "t"); err != nil {
		t.Fatal(err)
	}
	c := brokers[0].client(kgo.SeedBrokers(brokers[0].addr, brokers[1].addr, brokers[2].addr), kgo.RequiredAcks(kgo.AllISRAcks()))
	produce(t, c, "t", 0, 300)
	leaders := func(b *running) map[int32]int {
		m, err := b.admin().ListTopics(t.Context(), "t")
		if err != nil {
			t.Fatal(err)
		}
		led := make(map[int32]int)
		for _, p := range m["t"].Partitions {
			led[p.Leader]++
		}
		return led
	}
	if led := leaders(brokers[0]); led[1] != 2 || led[2] != 2 || led[3] != 2 {
		t.Errorf("partitions led, by broker: %v", led)
	}

	// Broker 1 was first and is the controller: it hands over its partitions, stops, and another is elected.
	brokers[0].stop()
	if logs := brokers[0].logs.String(); strings.Contains(logs, "could not be handed over") {
		t.Error("the controlled shutdown did not move everything")
	}
	for p := range int32(6) {
		data, _, err := s.Get(t.Context(), zkmeta.TopicPartitionState("t", p), nil)
		if err != nil || strings.Contains(string(data), `"leader":1`) || strings.Contains(string(data), `"leader":-1`) {
			t.Errorf("state of t-%d after the stop: %s, %v", p, data, err)
		}
	}
	eventually(t, "a new controller", func() error {
		data, _, err := s.Get(t.Context(), zkmeta.Controller, nil)
		if err == nil && strings.Contains(string(data), `"brokerid":1,`) {
			err = errors.New("broker 1 still is")
		}
		return err
	})
	produce(t, c, "t", 300, 400)
	eventually(t, "the new controller creates topics", func() error {
		_, err := brokers[1].admin().CreateTopic(t.Context(), 2, 2, nil, "u")
		if errors.Is(err, kerr.TopicAlreadyExists) {
			err = nil
		}
		return err
	})
	wantRecords(t, brokers[2], "t", 400)

	// It comes back, catches up and is in every ISR again.
	back := start(t, brokers[0].dir, beside(zooKeeper.Addr, chroot, 1)...)
	eventually(t, "full ISRs", func() error {
		m, err := back.admin().ListTopics(t.Context(), "t")
		if err != nil {
			return err
		}
		for _, p := range m["t"].Partitions.Sorted() {
			if len(p.ISR) != 3 {
				return fmt.Errorf("t-%d has ISR %v", p.Partition, p.ISR)
			}
		}
		return nil
	})
	g := back.client(kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	consume(t, g, 400)
	if err := g.CommitUncommittedOffsets(t.Context()); err != nil {
		t.Fatal(err)
	}
	offsets, err := back.admin().FetchOffsets(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	offsets.Each(func(o kadm.OffsetResponse) { total += o.At })
	if total != 400 {
		t.Errorf("committed offsets add up to %d", total)
	}
}

// proxy passes connections on to addr until it is cut.
type proxy struct {
	addr string
	to   string
	l    net.Listener

	mu    sync.Mutex
	down  bool
	conns map[net.Conn]struct{}
	wg    sync.WaitGroup
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), to: to, l: l, conns: make(map[net.Conn]struct{})}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

// cut closes all connections, and new ones at once.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for c := range p.conns {
		c.Close()
	}
}

func (p *proxy) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

func (p *proxy) accept() {
	for {
		in, err := p.l.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.pass(in) })
	}
}

func (p *proxy) pass(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer out.Close()
	p.mu.Lock()
	if p.down {
		p.mu.Unlock()
		return
	}
	p.conns[in], p.conns[out] = struct{}{}, struct{}{}
	p.mu.Unlock()
	p.wg.Go(func() {
		_, _ = io.Copy(out, in)
		out.Close()
	})
	_, _ = io.Copy(in, out)
	p.mu.Lock()
	delete(p.conns, in)
	delete(p.conns, out)
	p.mu.Unlock()
}
