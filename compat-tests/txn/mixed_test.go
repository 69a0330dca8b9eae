package txn

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/compat-tests/harness"
)

// offered tells whether a broker offers transactions of version 2 to those who connect now.
func offered(ctx context.Context, addr string) (bool, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return false, err
	}
	defer cl.Close()
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "test", "1"
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return false, err
	}
	for _, f := range resp.FinalizedFeatures {
		if f.Name == "transaction.version" && f.MaxVersionLevel >= 2 {
			return true, nil
		}
	}
	return false, nil
}

// pair is a client with a record of what it did.
type pair struct {
	cl   *kgo.Client
	last int16 // epoch
}

// commit runs a transaction in each partition and says whether it was of version 2.
func (p *pair) commit(t *testing.T, partitions int32, value string) (version2 bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := p.cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	p.write(t, partitions, value)
	return p.end(t, ctx)
}

func (p *pair) write(t *testing.T, partitions int32, value string) {
	t.Helper()
	for n := range partitions {
		if err := p.cl.ProduceSync(t.Context(), &kgo.Record{Partition: n, Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	_, p.last, _ = p.cl.ProducerID(t.Context())
}

func (p *pair) end(t *testing.T, ctx context.Context) (version2 bool) {
	t.Helper()
	if err := p.cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	_, epoch, err := p.cl.ProducerID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return epoch != p.last
}

// TestKafkaJoins has a real Kafka 3.9 join two Ottlas: it does not know transactions of version 2. What is open ends, what begins is of
// version 1, and Kafka coordinates and ends what was stored of version 2.
func TestKafkaJoins(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a real Kafka")
	}
	c := harness.StartCluster(t, harness.ClusterConfig{
		Kinds:          []harness.Kind{harness.Ottla, harness.Ottla, harness.Kafka},
		SessionTimeout: 6 * time.Second,
		Settings:       []string{"transaction.state.log.num.partitions=4", "controlled.shutdown.retry.backoff.ms=200", "min.insync.replicas=1", "transaction.state.log.min.isr=1"},
	})
	const name, partitions = "both", int32(4)
	adm := kadm.NewClient(client(t, c.Broker(1).Addr))
	if _, err := adm.CreateTopic(t.Context(), partitions, 3, nil, name); err != nil {
		t.Fatal(err)
	}
	awaitOffer := func(want bool) {
		t.Helper()
		for id := range int32(2) {
			wait(t, fmt.Sprintf("broker %d offers transactions of version 2: %v", id+1, want), func() error {
				if got, err := offered(t.Context(), c.Broker(id+1).Addr); err != nil || got != want {
					return fmt.Errorf("it is %v, %v", got, err)
				}
				return nil
			})
		}
	}
	producer := func(id string) *pair {
		return &pair{cl: client(t, c.Broker(1).Addr+","+c.Broker(2).Addr, kgo.TransactionalID(id), kgo.DefaultProduceTopic(name), kgo.RecordPartitioner(kgo.ManualPartitioner()))}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	committed := 0
	commits := func(p *pair, version2 bool) {
		t.Helper()
		if got := p.commit(t, partitions, fmt.Sprint(committed)); got != version2 {
			t.Errorf("transaction %d: version 2 was used: %v, want %v", committed, got, version2)
		}
		committed++
	}

	awaitOffer(false)
	commits(producer("with-kafka"), false)
	must(c.Broker(3).Stop(time.Minute))
	c.AwaitBrokers(t, 2)
	awaitOffer(true)
	for n := range 8 { // in several partitions of __transaction_state
		commits(producer(fmt.Sprintf("without-kafka-%d", n)), true)
	}
	open := producer("open")
	must(open.cl.BeginTransaction())
	open.write(t, partitions, fmt.Sprint(committed))
	abandoned := producer("abandoned")
	must(abandoned.cl.BeginTransaction())
	abandoned.write(t, partitions, "never committed")

	must(c.Broker(3).Start())
	c.AwaitBrokers(t, 3)
	awaitOffer(false)
	if !open.end(t, t.Context()) {
		t.Error("what was begun with version 2 was ended with version 1")
	}
	committed++
	commits(producer("joined"), false)
	c.AwaitISR(t, "__transaction_state", 3)
	c.AwaitISR(t, name, 3)

	// Kafka leads all of it.
	must(c.Broker(1).Stop(time.Minute))
	must(c.Broker(2).Stop(time.Minute))
	kafka := c.Broker(3)
	ids := []string{"open", "abandoned", "joined"}
	for n := range 8 {
		ids = append(ids, fmt.Sprintf("without-kafka-%d", n))
	}
	wait(t, "Kafka knows the transactional ids", func() error {
		cl, err := kgo.NewClient(kgo.SeedBrokers(kafka.Addr)) // one client would remember coordinators that are gone
		if err != nil {
			return err
		}
		defer cl.Close()
		all, err := kadm.NewClient(cl).DescribeTransactions(t.Context(), ids...)
		if err != nil {
			return err
		}
		for _, id := range ids {
			x, want := all[id], "CompleteCommit"
			if id == "abandoned" {
				want = "Ongoing"
			}
			if x.Err != nil || x.State != want {
				return fmt.Errorf("%s is %q, want %s: %w", id, x.State, want, errors.Join(x.Err))
			}
		}
		return nil
	})
	for _, id := range []string{"abandoned", "open"} { // fences what is open
		cl := client(t, kafka.Addr)
		init := kmsg.NewPtrInitProducerIDRequest()
		init.TransactionalID, init.TransactionTimeoutMillis = &id, 60_000
		wait(t, "Kafka gives "+id+" a new epoch", func() error {
			resp, err := init.RequestWith(t.Context(), cl)
			if err == nil {
				err = kerr.ErrorForCode(resp.ErrorCode)
			}
			return err
		})
	}
	reader := client(t, kafka.Addr, kgo.ConsumeTopics(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	counts := map[string]int{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for left := committed * int(partitions); left > 0 && ctx.Err() == nil; {
		reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) { counts[string(r.Value)]++; left-- })
	}
	for n := range committed {
		if counts[fmt.Sprint(n)] != int(partitions) {
			t.Errorf("transaction %d: %d records are visible, want %d", n, counts[fmt.Sprint(n)], partitions)
		}
	}
	if counts["never committed"] != 0 {
		t.Error("what was aborted is visible")
	}

	must(c.Broker(1).Start())
	must(c.Broker(2).Start())
	c.AwaitBrokers(t, 3)
	must(kafka.Stop(time.Minute))
	awaitOffer(true)
	commits(producer("open"), true)
}
