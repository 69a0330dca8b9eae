package cluster

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/compat-tests/harness"
)

var (
	manyPartitions = flag.Int("partitions", 300, "partitions in the cluster of TestManyPartitions")
	manySession    = flag.Duration("session", sessionTimeout, "session timeout in TestManyPartitions")
	manyRounds     = flag.Int("rounds", 1, "how often TestManyPartitions kills each broker")
	manyPause      = flag.Bool("pause", false, "TestManyPartitions pauses brokers instead of killing them")
)

const (
	partitionsPerTopic = 1000
	// manyLimit is how long TestManyPartitions waits for anything: a JVM that opens thousands of logs on a busy machine.
	manyLimit = 10 * time.Minute
)

// TestManyPartitions kills -9 a broker of a cluster with many partitions, once one that is not the controller and once the
// controller, and prints how long it takes until the last partition is led again: until each partition's leader, as a broker that lives
// names it, answers for it. Ottla is measured with and without ottla.failover.fast.
//
//	go test ./cluster -run TestManyPartitions -timeout 60m -args -partitions=10000
//
// With KINDS=ottla,kafka in the environment both are measured in one run. -pause stops the process (SIGSTOP) instead, for a few partitions: what a client sees
// of that, which waits for the old leader's connection, is in TestFaults.
func TestManyPartitions(t *testing.T) {
	one, err := harness.KindFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	kinds := []harness.Kind{one}
	if list := os.Getenv("KINDS"); list != "" {
		kinds = nil
		for name := range strings.SplitSeq(list, ",") {
			kinds = append(kinds, harness.Kind(name))
		}
	}
	for range *manyRounds {
		for _, kind := range kinds {
			if kind == harness.Kafka {
				t.Run("kafka", func(t *testing.T) { failMany(t, kind, "session") })
				continue
			}
			if !testing.Short() {
				t.Run("ottla-session", func(t *testing.T) { failMany(t, kind, "session", "ottla.failover.fast=false") })
			}
			t.Run("ottla-fast", func(t *testing.T) { failMany(t, kind, "fast") })
		}
	}
}

func failMany(t *testing.T, kind harness.Kind, how string, settings ...string) {
	c := harness.StartCluster(t, harness.ClusterConfig{
		Kinds: []harness.Kind{kind, kind, kind}, SessionTimeout: *manySession, StartLimit: manyLimit, Settings: append([]string{
			"auto.leader.rebalance.enable=false", "log.index.size.max.bytes=4096", "num.recovery.threads.per.data.dir=4",
			"num.replica.fetchers=1", "controlled.shutdown.enable=false",
		}, settings...),
	})
	began := time.Now()
	topics := createMany(t, c, *manyPartitions)
	m := &many{c: c, topics: topics, total: *manyPartitions}
	m.await(t, "all partitions in sync", nil, m.inSync)
	t.Logf("%d partitions were there after %v", m.total, time.Since(began).Round(time.Millisecond))
	for _, controller := range []bool{false, true} {
		victim := c.Controller(t)
		if !controller {
			victim = c.Broker(victim.ID%3 + 1)
		}
		led := m.ledBy(t, victim)
		down, up, done := victim.Kill, victim.Start, "killed"
		if *manyPause {
			down, up, done = victim.Pause, victim.Continue, "paused"
		}
		killed := time.Now()
		if err := down(); err != nil {
			t.Fatal(err)
		}
		took := m.await(t, "a leader for all partitions", victim, m.allLed).Sub(killed)
		what := "broker"
		if controller {
			what = "controller"
		}
		fmt.Printf("%-5s %-7s %6d partitions: %-10s %s (led %5d): last partition led again after %6.2f s\n",
			kind, how, m.total, what, done, led, took.Seconds())
		if led == 0 {
			t.Error("the broker that was killed led nothing")
		}
		if err := up(); err != nil {
			t.Fatal(err)
		}
		m.await(t, "all partitions in sync", nil, m.inSync)
		if !controller {
			m.elect(t)
		}
	}
}

// createMany creates topics of at most partitionsPerTopic partitions, with three replicas.
func createMany(t *testing.T, c *harness.Cluster, n int) (topics []string) {
	for ; n > 0; n -= partitionsPerTopic {
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = fmt.Sprintf("many-%d", len(topics)), int32(min(n, partitionsPerTopic)), 3
		create(t, []kmsg.CreateTopicsRequestTopic{rt}, c.Seeds()...)
		topics = append(topics, rt.Topic)
	}
	return topics
}

// many looks at all partitions of a cluster.
type many struct {
	c      *harness.Cluster
	topics []string
	total  int
}

// await returns when cond held; down is a broker not to ask.
func (m *many) await(t *testing.T, what string, down *harness.Broker, cond func(context.Context, *kgo.Client, *kmsg.MetadataResponse, *harness.Broker) error) time.Time {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), manyLimit)
	defer cancel()
	for i := 0; ; i++ {
		b := m.c.Brokers[i%len(m.c.Brokers)]
		if b == down {
			continue
		}
		err := m.look(ctx, b, down, cond)
		if err == nil {
			return time.Now()
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited for %s: %v", what, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (m *many) look(ctx context.Context, b, down *harness.Broker, cond func(context.Context, *kgo.Client, *kmsg.MetadataResponse, *harness.Broker) error) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.RetryTimeout(time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	for _, topic := range m.topics {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = &topic
		req.Topics = append(req.Topics, rt)
	}
	resp, err := cl.SeedBrokers()[0].Request(ctx, req)
	if err != nil {
		return err
	}
	return cond(ctx, cl, resp.(*kmsg.MetadataResponse), down)
}

func (m *many) inSync(_ context.Context, _ *kgo.Client, meta *kmsg.MetadataResponse, _ *harness.Broker) error {
	n := 0
	for _, t := range meta.Topics {
		for _, p := range t.Partitions {
			if p.Leader >= 0 && len(p.ISR) == 3 {
				n++
			}
		}
	}
	if n != m.total {
		return fmt.Errorf("%d of %d partitions are in sync", n, m.total)
	}
	return nil
}

// allLed asks each partition's leader for its first offset.
func (m *many) allLed(ctx context.Context, _ *kgo.Client, meta *kmsg.MetadataResponse, down *harness.Broker) error {
	byLeader, n := map[int32]*kmsg.ListOffsetsRequest{}, 0
	for _, t := range meta.Topics {
		for _, p := range t.Partitions {
			if p.Leader < 0 || p.Leader == down.ID {
				return errors.New("some partition has no leader")
			}
			n++
			req := byLeader[p.Leader]
			if req == nil {
				req = kmsg.NewPtrListOffsetsRequest()
				req.ReplicaID = -1
				byLeader[p.Leader] = req
			}
			if k := len(req.Topics); k == 0 || req.Topics[k-1].Topic != *t.Topic {
				rt := kmsg.NewListOffsetsRequestTopic()
				rt.Topic = *t.Topic
				req.Topics = append(req.Topics, rt)
			}
			rp := kmsg.NewListOffsetsRequestTopicPartition()
			rp.Partition, rp.Timestamp = p.Partition, -2
			rt := &req.Topics[len(req.Topics)-1]
			rt.Partitions = append(rt.Partitions, rp)
		}
	}
	if n != m.total {
		return fmt.Errorf("%d of %d partitions are known", n, m.total)
	}
	for leader, req := range byLeader {
		cl, err := kgo.NewClient(kgo.SeedBrokers(m.c.Broker(leader).Addr), kgo.RetryTimeout(time.Millisecond))
		if err != nil {
			return err
		}
		resp, err := cl.SeedBrokers()[0].Request(ctx, req)
		cl.Close()
		if err != nil {
			return err
		}
		for _, t := range resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode != 0 {
					return fmt.Errorf("%s-%d: error code %d of its leader", t.Topic, p.Partition, p.ErrorCode)
				}
			}
		}
	}
	return nil
}

// ledBy counts the partitions that a broker leads.
func (m *many) ledBy(t *testing.T, b *harness.Broker) (n int) {
	m.await(t, "leaders", nil, func(_ context.Context, _ *kgo.Client, meta *kmsg.MetadataResponse, _ *harness.Broker) error {
		n = 0
		for _, t := range meta.Topics {
			for _, p := range t.Partitions {
				if p.Leader == b.ID {
					n++
				}
			}
		}
		return nil
	})
	return n
}

// elect gives the leaderships back to the preferred replicas. The controller may be another one than a client was told last.
func (m *many) elect(t *testing.T) {
	t.Helper()
	m.await(t, "the preferred leaders", nil, func(ctx context.Context, cl *kgo.Client, _ *kmsg.MetadataResponse, _ *harness.Broker) error {
		req := kmsg.NewPtrElectLeadersRequest()
		req.TimeoutMillis = int32(manyLimit.Milliseconds())
		resp, err := req.RequestWith(ctx, cl)
		if err == nil && resp.ErrorCode != 0 {
			err = fmt.Errorf("elect leaders: error code %d", resp.ErrorCode)
		}
		return err
	})
}
