package broker_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire/batch"
)

// transaction produces records k(from) to k(to-1) and ends the transaction.
func transaction(t *testing.T, c *kgo.Client, topic string, from, to int, end kgo.TransactionEndTry) {
	t.Helper()
	if err := c.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	produce(t, c, topic, from, to)
	if err := c.EndTransaction(t.Context(), end); err != nil {
		t.Fatal(err)
	}
}

func TestReadCommittedSeesCommittedTransactionsOnly(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir())
	b.create("t", 3, nil)
	c := b.client(kgo.TransactionalID("id"))
	transaction(t, c, "t", 0, 50, kgo.TryCommit)
	transaction(t, c, "t", 1000, 1050, kgo.TryAbort)
	transaction(t, c, "t", 50, 100, kgo.TryCommit)
	if err := c.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	produce(t, c, "t", 2000, 2010) // stays open
	seen := map[string]bool{}
	for _, r := range consume(t, b.client(kgo.ConsumeTopics("t"), kgo.FetchIsolationLevel(kgo.ReadCommitted())), 100) {
		seen[string(r.Key)] = true
	}
	for i := range 100 {
		if !seen[fmt.Sprintf("k%d", i)] {
			t.Errorf("k%d is missing", i)
		}
	}
	if len(seen) != 100 {
		t.Errorf("%d records are visible", len(seen))
	}
}

// initProducer makes a transactional id known.
func (r *running) initProducer(c *kgo.Client, id string) (pid int64, epoch int16) {
	r.t.Helper()
	eventually(r.t, "InitProducerId", func() error {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID, req.TransactionTimeoutMillis = &id, 60_000
		resp, err := req.RequestWith(r.t.Context(), c)
		if err != nil {
			return err
		}
		pid, epoch = resp.ProducerID, resp.ProducerEpoch
		return kerr.ErrorForCode(resp.ErrorCode)
	})
	return pid, epoch
}

// A transaction's batches are checked with its coordinator, so what was never added is refused, and nothing hangs (KIP-890).
func TestProduceOutsideOfTheTransactionIsRefused(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir())
	b.create("t", 1, nil)
	id := "id"
	pid, epoch := b.initProducer(b.client(), id)
	for version, want := range map[int16]*kerr.Error{9: kerr.InvalidTxnState, 11: kerr.TransactionAbortable} {
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.TransactionID, req.Acks, req.TimeoutMillis = version, &id, -1, 5000
		p := kmsg.NewProduceRequestTopicPartition()
		o := batch.NewBuilderOptions(0)
		o.ProducerID, o.Epoch, o.Sequence, o.Transactional = pid, epoch, 0, true
		records := batch.NewBuilder(o)
		records.Add(time.Now().UnixMilli(), nil, []byte("v"), nil)
		p.Records = records.Build()
		req.Topics = []kmsg.ProduceRequestTopic{{Topic: "t", Partitions: []kmsg.ProduceRequestTopicPartition{p}}}
		conn := dial(t, b.addr)
		conn.send(req)
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		conn.receive(resp)
		if got := resp.Topics[0].Partitions[0].ErrorCode; got != want.Code {
			t.Errorf("version %d: error %d, want %d", version, got, want.Code)
		}
	}
	ends, err := b.admin().ListEndOffsets(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	if o, _ := ends.Lookup("t", 0); o.Offset != 0 {
		t.Errorf("the log ends at %d", o.Offset)
	}
}

// The leader of a partition is away when its transaction is committed, so the marker has to wait; then the coordinator goes as well.
// Whoever coordinates next brings the marker as soon as the leader is back.
func TestCoordinatorMovesBetweenPrepareAndComplete(t *testing.T) {
	t.Parallel()
	chroot := newTree(t)
	more := []string{"transaction.state.log.replication.factor=3", "transaction.state.log.min.isr=1", "transaction.state.log.num.partitions=3"}
	dirs := map[int32]string{}
	brokers := map[int32]*running{}
	for id := range int32(3) {
		dirs[id] = t.TempDir()
		brokers[id] = start(t, dirs[id], beside(zooKeeper.Addr, chroot, int(id), more...)...)
	}
	var addrs []string
	for _, b := range brokers {
		addrs = append(addrs, b.addr)
	}
	eventually(t, "three brokers", func() error {
		m, err := brokers[0].admin().BrokerMetadata(t.Context())
		if err == nil && len(m.Brokers) < 3 {
			err = fmt.Errorf("%d brokers", len(m.Brokers))
		}
		return err
	})
	var coordinator int32
	eventually(t, "coordinator", func() error {
		found := brokers[0].admin().FindTxnCoordinators(t.Context(), "id")
		coordinator = found["id"].NodeID
		return found["id"].Err
	})
	leader, third := (coordinator+1)%3, (coordinator+2)%3
	create := kmsg.NewPtrCreateTopicsRequest()
	create.TimeoutMillis = 10_000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "t", -1, -1
	topic.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Partition: 0, Replicas: []int32{leader}}, {Partition: 1, Replicas: []int32{third}}}
	create.Topics = []kmsg.CreateTopicsRequestTopic{topic}
	if resp, err := create.RequestWith(t.Context(), brokers[0].client()); err != nil || resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("create: %v, %+v", err, resp)
	}
	c := brokers[0].client(kgo.SeedBrokers(addrs...), kgo.TransactionalID("id"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := c.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for p := range int32(2) {
		if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Partition: p, Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	brokers[leader].stop()
	if err := c.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	state := func(b *running) (kadm.DescribedTransaction, error) {
		ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
		defer stop()
		ds, err := b.admin().DescribeTransactions(ctx, "id")
		if err == nil {
			err = ds["id"].Err
		}
		return ds["id"], err
	}
	if d, err := state(brokers[coordinator]); err != nil || d.State != "PrepareCommit" {
		t.Fatalf("state %q, %v", d.State, err)
	}
	brokers[coordinator].stop()
	eventually(t, "the third broker coordinates", func() error {
		d, err := state(brokers[third])
		if err == nil && d.State != "PrepareCommit" {
			t.Fatalf("state %q", d.State)
		}
		return err
	})
	brokers[leader] = start(t, dirs[leader], beside(zooKeeper.Addr, chroot, int(leader), more...)...)
	eventually(t, "the transaction completes", func() error {
		d, err := state(brokers[third])
		if err == nil && d.State != "CompleteCommit" {
			err = fmt.Errorf("state %s", d.State)
		}
		return err
	})
	consumer := brokers[third].client(kgo.ConsumeTopics("t"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if n := len(consume(t, consumer, 2)); n != 2 {
		t.Errorf("%d records are visible", n)
	}
}
