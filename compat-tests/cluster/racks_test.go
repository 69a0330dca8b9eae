package cluster

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/compat-tests/harness"
)

// TestRacks has three brokers in three racks: consumers read from the replica in theirs (KIP-392), and what only the controller does is
// refused by the other brokers.
func TestRacks(t *testing.T) {
	c := harness.StartCluster(t, harness.ClusterConfig{
		SessionTimeout: sessionTimeout, Racks: []string{"r1", "r2", "r3"},
		Settings: []string{
			"replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector", "controlled.shutdown.retry.backoff.ms=200",
		},
	})
	createTopic(t, c)
	c.AwaitISR(t, faultTopic, 3)
	t.Run("requests to the controller", func(t *testing.T) { onlyTheController(t, c) })
	t.Run("fetch from followers", func(t *testing.T) { fetchFromFollowers(t, c) })
}

// onlyTheController sends what is for the controller to every broker. Nothing is forwarded in ZooKeeper mode.
func onlyTheController(t *testing.T, c *harness.Cluster) {
	refused := kmsg.NewCreateTopicsRequestTopic()
	refused.Topic, refused.NumPartitions, refused.ReplicationFactor = "refused", 1, 1
	controller := c.Controller(t).ID
	for _, tt := range []struct {
		name string
		req  kmsg.Request
		code func(kmsg.Response) int16
	}{
		{"CreateTopics", &kmsg.CreateTopicsRequest{Version: 7, ValidateOnly: true, TimeoutMillis: 1000,
			Topics: []kmsg.CreateTopicsRequestTopic{refused}},
			func(r kmsg.Response) int16 { return r.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode }},
		{"DeleteTopics", &kmsg.DeleteTopicsRequest{Version: 6, TimeoutMillis: 1000,
			Topics: []kmsg.DeleteTopicsRequestTopic{{Topic: kmsg.StringPtr("none")}}},
			func(r kmsg.Response) int16 { return r.(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode }},
		{"CreatePartitions", &kmsg.CreatePartitionsRequest{Version: 3, ValidateOnly: true, TimeoutMillis: 1000,
			Topics: []kmsg.CreatePartitionsRequestTopic{{Topic: faultTopic, Count: faultPartitions + 1}}},
			func(r kmsg.Response) int16 { return r.(*kmsg.CreatePartitionsResponse).Topics[0].ErrorCode }},
		{"ElectLeaders", &kmsg.ElectLeadersRequest{Version: 2, TimeoutMillis: 1000,
			Topics: []kmsg.ElectLeadersRequestTopic{{Topic: faultTopic, Partitions: []int32{0}}}},
			func(r kmsg.Response) int16 {
				resp := r.(*kmsg.ElectLeadersResponse)
				for _, t := range resp.Topics {
					for _, p := range t.Partitions {
						if p.ErrorCode != kerr.ElectionNotNeeded.Code {
							return p.ErrorCode
						}
					}
				}
				return resp.ErrorCode
			}},
		{"AlterPartitionReassignments", &kmsg.AlterPartitionAssignmentsRequest{TimeoutMillis: 1000},
			func(r kmsg.Response) int16 { return r.(*kmsg.AlterPartitionAssignmentsResponse).ErrorCode }},
		{"ListPartitionReassignments", &kmsg.ListPartitionReassignmentsRequest{TimeoutMillis: 1000},
			func(r kmsg.Response) int16 { return r.(*kmsg.ListPartitionReassignmentsResponse).ErrorCode }},
		{"AlterPartition", &kmsg.AlterPartitionRequest{Version: 3, BrokerID: 1},
			func(r kmsg.Response) int16 { return r.(*kmsg.AlterPartitionResponse).ErrorCode }},
		{"AllocateProducerIds", &kmsg.AllocateProducerIDsRequest{BrokerID: 1},
			func(r kmsg.Response) int16 { return r.(*kmsg.AllocateProducerIDsResponse).ErrorCode }},
		{"ControlledShutdown", &kmsg.ControlledShutdownRequest{Version: 3, BrokerID: 99},
			func(r kmsg.Response) int16 { return r.(*kmsg.ControlledShutdownResponse).ErrorCode }},
	} {
		for _, b := range c.Brokers {
			cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := cl.SeedBrokers()[0].Request(t.Context(), tt.req)
			cl.Close()
			if err != nil {
				t.Errorf("%s to broker %d: %v", tt.name, b.ID, err)
				continue
			}
			want := kerr.NotController.Code
			if tt.name == "ControlledShutdown" {
				want = kerr.StaleControllerEpoch.Code
			}
			if code := tt.code(resp); (code == want) != (b.ID != controller) {
				t.Errorf("%s to broker %d, the controller is %d: error code %d", tt.name, b.ID, controller, code)
			}
		}
	}
}

// fetches counts, by broker, the answers to Fetch that are large enough to have records.
type fetches struct {
	mu   sync.Mutex
	from map[int32]int
}

func (f *fetches) OnBrokerE2E(meta kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	if key != int16(kmsg.Fetch) || e2e.Err() != nil || e2e.BytesRead < 500 {
		return
	}
	f.mu.Lock()
	f.from[meta.NodeID]++
	f.mu.Unlock()
}

func (f *fetches) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.from = map[int32]int{}
}

func (f *fetches) most() (broker int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, n := range f.from {
		if n > f.from[broker] {
			broker = id
		}
	}
	return broker
}

func (f *fetches) count(broker int32) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.from[broker]
}

// fetchFromFollowers reads a partition from a rack other than its leader's, stops that replica and starts it again.
func fetchFromFollowers(t *testing.T, c *harness.Cluster) {
	leader := c.Leader(t, faultTopic, 0)
	follower := c.Broker(leader.ID%3 + 1)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	f := &fetches{from: map[int32]int{}}
	reader, err := kgo.NewClient(kgo.SeedBrokers(c.Seeds()...), kgo.Rack(fmt.Sprintf("r%d", follower.ID)), kgo.WithHooks(f),
		kgo.MetadataMaxAge(time.Second), kgo.MetadataMinAge(100*time.Millisecond), kgo.AlwaysRetryEOF(),
		kgo.RecheckPreferredReplicaInterval(time.Second),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{faultTopic: {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	writer, err := kgo.NewClient(kgo.SeedBrokers(c.Seeds()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.DefaultProduceTopic(faultTopic), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.AlwaysRetryEOF())
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	next := int64(0)
	// pass writes and reads records one by one, until done says so.
	pass := func(what string, done func() bool) {
		t.Helper()
		for ; !done(); next++ {
			value := binary.BigEndian.AppendUint64(make([]byte, 0, 1000), uint64(next))[:1000]
			if err := writer.ProduceSync(ctx, &kgo.Record{Value: value}).FirstErr(); err != nil {
				t.Fatalf("%s: write record %d: %v", what, next, err)
			}
			for read := false; !read; {
				fs := reader.PollFetches(ctx)
				if ctx.Err() != nil {
					t.Fatalf("%s: record %d is not read; fetches %v", what, next, f.from)
				}
				fs.EachRecord(func(r *kgo.Record) {
					if n := int64(binary.BigEndian.Uint64(r.Value)); n != next || r.Offset != next {
						t.Fatalf("%s: record %d at offset %d, want %d", what, n, r.Offset, next)
					}
					read = true
				})
			}
		}
	}
	fromRack := func() bool { return f.most() == follower.ID && f.count(follower.ID) >= 50 }
	pass("from the rack", fromRack)
	if err := follower.Stop(stopLimit); err != nil {
		t.Fatal(err)
	}
	f.reset()
	pass("without the replica of the rack", func() bool { return f.most() == leader.ID && f.count(leader.ID) >= 20 })
	if err := follower.Start(); err != nil {
		t.Fatal(err)
	}
	c.AwaitISR(t, faultTopic, 3)
	f.reset()
	pass("from the rack again", fromRack)
	t.Logf("%d records", next)
}
