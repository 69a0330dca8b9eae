package cluster

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/compat-tests/harness"
)

const (
	faultTopic      = "faults"
	faultPartitions = 6
	sessionTimeout  = 6 * time.Second
	// stopLimit is for a clean stop on a busy machine.
	stopLimit = 60 * time.Second
)

// A fault is done to a cluster and undone; between the two the writers go on or have stalled.
type fault struct {
	name  string
	short bool // part of the short run
	run   func(f *faults)
}

// faults is the cluster under test with its writers.
type faults struct {
	*harness.Cluster
	t  *testing.T
	ws []*writer
}

var allFaults = []fault{
	{"leader killed", true, func(f *faults) { f.kill(f.Leader(f.t, faultTopic, 0)) }},
	{"controller killed", true, func(f *faults) { f.kill(f.Controller(f.t)) }},
	{"leader killed and restarted at once", false, func(f *faults) { f.killAndRestart(f.Leader(f.t, faultTopic, 0)) }},
	{"broker 1 killed", false, func(f *faults) { f.kill(f.Broker(1)) }},
	{"broker 2 killed", false, func(f *faults) { f.kill(f.Broker(2)) }},
	{"broker 3 killed", false, func(f *faults) { f.kill(f.Broker(3)) }},
	{"leader paused past the session timeout", true, func(f *faults) { f.pause(f.Leader(f.t, faultTopic, 0)) }},
	{"controller paused past the session timeout", false, func(f *faults) { f.pause(f.Controller(f.t)) }},
	{"leader stopped and restarted", false, func(f *faults) { f.stop(f.Leader(f.t, faultTopic, 0)) }},
	{"controller stopped and restarted", false, func(f *faults) { f.stop(f.Controller(f.t)) }},
	{"ZooKeeper restarted", true, func(f *faults) { f.restartZooKeeper() }},
}

// TestFaults does one fault after the other to one cluster under load, waits after each until every replica is in sync
// again, and compares all replicas at the end.
func TestFaults(t *testing.T) {
	runFaults(t, harness.ClusterConfig{}, allFaults)
}

// TestCutOff is TestFaults with proxies around each broker, which cut it off. A port behind a proxy refuses nobody, so the
// session's end is waited for.
func TestCutOff(t *testing.T) {
	if testing.Short() {
		t.Skip("part of the long run")
	}
	runFaults(t, harness.ClusterConfig{Proxied: true}, []fault{
		{"leader cut off", false, func(f *faults) { f.cutOff(f.Leader(f.t, faultTopic, 0)) }},
	})
}

func runFaults(t *testing.T, cfg harness.ClusterConfig, all []fault) {
	cfg.SessionTimeout = sessionTimeout
	cfg.Settings = []string{"log.segment.bytes=1048576", "controlled.shutdown.retry.backoff.ms=200"}
	c := harness.StartCluster(t, cfg)
	createTopic(t, c)
	c.AwaitISR(t, faultTopic, 3)
	ws, stop := startWriters(t, c.Seeds(), faultTopic, faultPartitions)
	f := &faults{Cluster: c, t: t, ws: ws}
	f.awaitProgress()
	for _, fault := range all {
		if testing.Short() && !fault.short {
			continue
		}
		for _, w := range ws {
			w.reset()
		}
		fault.run(f)
		c.AwaitBrokers(t, 3)
		c.AwaitISR(t, faultTopic, 3)
		f.awaitProgress()
		fmt.Printf("%s: %-45s longest stall of a partition %6.2f s\n", c.Brokers[0].Kind, fault.name, f.longest().Seconds())
	}
	stop()
	c.AwaitISR(t, faultTopic, 3)
	readBack(t, c, faultTopic, ws)
	sameReplicas(t, c, faultTopic, faultPartitions)
}

func (f *faults) longest() (d time.Duration) {
	for _, w := range f.ws {
		d = max(d, w.longest())
	}
	return d
}

// awaitProgress waits until every partition has acknowledged something more.
func (f *faults) awaitProgress() {
	f.t.Helper()
	for _, w := range f.ws {
		before, _ := w.state()
		for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			acked, failed := w.state()
			if failed != nil {
				f.t.Fatalf("partition %d: a record was given up after %d: %v", w.partition, acked, failed)
			}
			if acked > before {
				break
			}
			if time.Now().After(deadline) {
				f.t.Fatalf("partition %d: nothing is acknowledged after record %d", w.partition, acked)
			}
		}
	}
}

// kill leaves the broker dead until the others have taken over.
func (f *faults) kill(b *harness.Broker) {
	f.must(b.Kill())
	f.awaitProgress()
	f.must(b.Start())
}

func (f *faults) killAndRestart(b *harness.Broker) {
	f.must(b.Kill())
	f.must(b.Start())
}

// pause stops a broker until the others have taken over and its session has surely ended.
func (f *faults) pause(b *harness.Broker) {
	f.must(b.Pause())
	f.AwaitBrokers(f.t, 2)
	f.awaitProgress()
	f.must(b.Continue())
}

func (f *faults) stop(b *harness.Broker) {
	f.must(b.Stop(stopLimit))
	f.awaitProgress()
	f.must(b.Start())
}

// restartZooKeeper stops it for less than the session timeout; the writers must not notice.
func (f *faults) restartZooKeeper() {
	f.must(f.ZK.Stop())
	f.awaitProgress()
	f.must(f.ZK.Start())
}

func (f *faults) cutOff(b *harness.Broker) {
	f.CutOff(b.ID)
	f.awaitProgress()
	f.Rejoin(b.ID)
}

func (f *faults) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func createTopic(t *testing.T, c *harness.Cluster) {
	t.Helper()
	createTopics(t, c, faultTopic)
}

func createTopics(t *testing.T, c *harness.Cluster, topics ...string) {
	t.Helper()
	var rts []kmsg.CreateTopicsRequestTopic
	for _, topic := range topics {
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, faultPartitions, 3
		rts = append(rts, rt)
	}
	create(t, rts, c.Seeds()...)
}

// createAssigned creates a topic of one partition with these replicas.
func createAssigned(t *testing.T, b *harness.Broker, topic string, replicas []int32) {
	t.Helper()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, -1, -1
	ra := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
	ra.Replicas = replicas
	rt.ReplicaAssignment = append(rt.ReplicaAssignment, ra)
	create(t, []kmsg.CreateTopicsRequestTopic{rt}, b.Addr)
}

func create(t *testing.T, rts []kmsg.CreateTopicsRequestTopic, seeds ...string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = rts
	const limit = 5 * time.Minute // for a thousand partitions on a JVM
	req.TimeoutMillis = int32(limit.Milliseconds())
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		t.Fatalf("create topics: %v", err)
	}
	for _, rt := range resp.Topics {
		if rt.ErrorCode != 0 {
			t.Fatalf("create topic %s: error code %d", rt.Topic, rt.ErrorCode)
		}
	}
}
