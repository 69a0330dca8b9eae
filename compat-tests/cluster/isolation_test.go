package cluster

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/compat-tests/harness"
)

const (
	// isolationSession and isolationLag are short: what is measured is their sum.
	isolationSession = 4 * time.Second
	isolationLag     = 4 * time.Second
	// silence is how long a cut from ZooKeeper lasts at least: the session ends, and then nobody follows.
	silence = isolationSession + 2*isolationLag
	// cutLimit is how long a cut lasts that nobody gets over.
	cutLimit = 25 * time.Second
)

// An isolation cuts a broker off so that clients still reach it.
type isolation struct {
	name       string
	short      bool
	controller bool // the leader is the controller
	lasts      time.Duration
	cut        func(c *harness.Cluster, id int32)
}

var isolations = []isolation{
	{"its followers", true, false, 0, func(c *harness.Cluster, id int32) { c.CutFollowers(id) }},
	{"its followers, being the controller", false, true, 0, func(c *harness.Cluster, id int32) { c.CutFollowers(id) }},
	{"ZooKeeper", false, false, silence, func(c *harness.Cluster, id int32) { c.CutZooKeeper(id) }},
	{"all but its clients", false, false, silence, func(c *harness.Cluster, id int32) { c.CutFollowers(id); c.CutZooKeeper(id) }},
}

// TestIsolation cuts leaders off from others than their clients. Ottla's have been replaced within replica.lag.time.max.ms
// and a session timeout, where Kafka's clients wait for the end of the cut; and what such a leader acknowledges with acks=all
// to a client that talks to nobody else (KAFKA-14885) is there afterwards.
func TestIsolation(t *testing.T) {
	c := harness.StartCluster(t, harness.ClusterConfig{Inside: true, SessionTimeout: isolationSession, Settings: []string{
		fmt.Sprintf("replica.lag.time.max.ms=%d", isolationLag.Milliseconds()), "auto.leader.rebalance.enable=false",
	}})
	createTopic(t, c)
	c.AwaitISR(t, faultTopic, 3)
	ws, stop := startWriters(t, c.Seeds(), faultTopic, faultPartitions)
	f := &faults{Cluster: c, t: t, ws: ws}
	f.awaitProgress()
	for _, is := range isolations {
		if testing.Short() && !is.short {
			continue
		}
		leader := f.leaderThat(is.controller)
		for _, w := range ws {
			w.reset()
		}
		pinned := pin(t, leader)
		cut := time.Now()
		is.cut(c, leader.ID)
		time.Sleep(is.lasts)
		f.acknowledged(200, cut.Add(cutLimit))
		stalled := f.longest()
		c.RejoinAll()
		c.AwaitBrokers(t, 3)
		c.AwaitISR(t, faultTopic, 3)
		pinned.stop()
		f.awaitProgress()
		fmt.Printf("%s: leader cut off from %-38s longest stall of a partition %6.2f s, %d records acknowledged by the cut-off leader\n",
			leader.Kind, is.name, stalled.Seconds(), len(pinned.acked))
		// A second for the client, which asks for metadata and connects.
		if limit := isolationLag + isolationSession + time.Second; leader.Kind == harness.Ottla && stalled > limit {
			t.Errorf("leader cut off from %s: a partition took nothing for %v, want at most %v", is.name, stalled, limit)
		}
		pinned.check(t, c)
	}
	stop()
	c.AwaitISR(t, faultTopic, 3)
	readBack(t, c, faultTopic, ws)
	sameReplicas(t, c, faultTopic, faultPartitions)
}

// leaderThat returns a broker that leads partitions of both topics and is, or is not, the controller. Which brokers those are is changed by
// restarting them.
func (f *faults) leaderThat(controller bool) *harness.Broker {
	f.t.Helper()
	for range 20 {
		for p := range int32(faultPartitions) {
			if b := f.Leader(f.t, faultTopic, p); (b.ID == f.Controller(f.t).ID) == controller {
				return b
			}
		}
		b := f.Controller(f.t)
		f.must(b.Stop(stopLimit))
		f.must(b.Start())
		f.AwaitBrokers(f.t, 3)
		f.AwaitISR(f.t, faultTopic, 3)
	}
	f.t.Fatalf("no leader that is the controller: %v", controller)
	return nil
}

// acknowledged waits until every partition has acknowledged n more records, or the time has come.
func (f *faults) acknowledged(n int64, until time.Time) {
	for _, w := range f.ws {
		before, _ := w.state()
		for time.Now().Before(until) {
			if acked, failed := w.state(); failed != nil || acked >= before+n {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// pinnedWriter writes with acks=all to one broker, whatever metadata says, and keeps what was acknowledged.
type pinnedWriter struct {
	topic string
	stop  func()
	acked []string
}

// pin creates a topic of one partition that is led by a broker, and writes to it.
func pin(t *testing.T, b *harness.Broker) *pinnedWriter {
	t.Helper()
	w := &pinnedWriter{topic: fmt.Sprintf("pinned-%d", time.Now().UnixNano())}
	createAssigned(t, b, w.topic, []int32{b.ID, b.ID%3 + 1, (b.ID+1)%3 + 1})
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.DefaultProduceTopic(w.topic), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.DisableIdempotentWrite(),
		kgo.ProducerLinger(0), kgo.MetadataMinAge(20*time.Millisecond), kgo.RecordDeliveryTimeout(2*time.Second), kgo.ProduceRequestTimeout(time.Second),
		kgo.RequestTimeoutOverhead(time.Second), kgo.AlwaysRetryEOF(), kgo.UnknownTopicRetries(-1),
		kgo.Dialer(func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: time.Second}).DialContext(ctx, network, b.Addr)
		}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	began := make(chan struct{})
	wg.Go(func() {
		defer cl.Close()
		for i := 0; ctx.Err() == nil; i++ {
			value := fmt.Sprint(i)
			if cl.ProduceSync(context.Background(), &kgo.Record{Value: []byte(value)}).FirstErr() == nil {
				if w.acked = append(w.acked, value); len(w.acked) == 1 {
					close(began)
				}
			}
			time.Sleep(pace)
		}
	})
	w.stop = func() { cancel(); wg.Wait() }
	t.Cleanup(w.stop)
	select {
	case <-began:
	case <-time.After(time.Minute):
		t.Fatalf("broker %d acknowledges nothing in %s", b.ID, w.topic)
	}
	return w
}

// check reads the topic and wants what was acknowledged.
func (w *pinnedWriter) check(t *testing.T, c *harness.Cluster) {
	t.Helper()
	c.AwaitISR(t, w.topic, 3)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Seeds()...), kgo.ConsumeTopics(w.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	missing := map[string]bool{}
	for _, v := range w.acked {
		missing[v] = true
	}
	for len(missing) > 0 {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Errorf("%d of %d records that the cut-off leader acknowledged are not there", len(missing), len(w.acked))
			return
		}
		fs.EachRecord(func(r *kgo.Record) { delete(missing, string(r.Value)) })
	}
}
