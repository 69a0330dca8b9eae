package txn

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// workload is the programs whose history is checked.
type workload struct {
	addr       string
	source     string // written by producers, with partitions 0 to partitions-1
	copies     string // written by copiers: a copy of each record of source
	partitions int32
	dirty      atomic.Int64 // transactions whose end is unknown to their producer
	crashes    atomic.Int64 // programs closed in the middle of a transaction
}

func (r record) encode() []byte { return fmt.Appendf(nil, "%d %d %d", r.Producer, r.Txn, r.N) }

func decode(b []byte) (r record, err error) {
	_, err = fmt.Sscanf(string(b), "%d %d %d", &r.Producer, &r.Txn, &r.N)
	return r, err
}

// options are those of a transactional client. The timeout ends what a crashed program left open. Every other client uses transactions of
// version 1, as all did before Kafka 4, beside those that use what the brokers offer.
func (w *workload) options(id string, n int) []kgo.Opt {
	max := kversion.Stable()
	if n%2 == 1 {
		max.SetMaxKeyVersion(int16(kmsg.Produce), 11)
	}
	return []kgo.Opt{kgo.MaxVersions(max), kgo.SeedBrokers(w.seeds()...), kgo.TransactionalID(id), kgo.TransactionTimeout(15 * time.Second), kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RecordDeliveryTimeout(20 * time.Second), kgo.RetryTimeout(20 * time.Second)}
}

func (w *workload) seeds() []string { return splitAddrs(w.addr) }

// produce runs transactions until ctx ends. A client that failed is replaced by one with the same transactional id, which
// fences it; now and then one is left in the middle of a transaction for no reason.
func (w *workload) produce(ctx context.Context, t *testing.T, producer int) []transaction {
	rng := rand.New(rand.NewPCG(uint64(producer), 1))
	var all []transaction
	var cl *kgo.Client
	drop := func() {
		if cl != nil {
			cl.Close()
			cl = nil
		}
	}
	defer drop()
	for n := 0; ctx.Err() == nil; n++ {
		if cl == nil {
			var err error
			cl, err = kgo.NewClient(append(w.options(fmt.Sprintf("producer-%d", producer), producer), kgo.DefaultProduceTopic(w.source), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
			if err != nil {
				t.Error(err)
				return all
			}
		}
		tx, healthy := w.transact(cl, rng, producer, n)
		all = append(all, tx)
		if !healthy {
			drop()
		}
		time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond) // an application's own work
	}
	return all
}

// transact runs one transaction. It is finished also when the run is over, so that little stays unknown.
func (w *workload) transact(cl *kgo.Client, rng *rand.Rand, producer, n int) (tx transaction, healthy bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tx = transaction{producer: producer, n: n, end: aborted}
	if err := cl.BeginTransaction(); err != nil {
		return tx, false
	}
	var records []*kgo.Record
	for i := range 1 + rng.IntN(12) {
		r := record{producer, n, i}
		tx.writes = append(tx.writes, write{r, int32(rng.IntN(int(w.partitions))), -1})
		records = append(records, &kgo.Record{Partition: tx.writes[i].partition, Value: r.encode()})
	}
	if rng.IntN(50) == 0 {
		w.crashes.Add(1)
		for _, r := range records {
			cl.Produce(ctx, r, nil)
		}
		return tx, false
	}
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return tx, false
	}
	_, epoch, _ := cl.ProducerID(ctx)
	raised := func() bool { // the end was one of version 2
		_, now, err := cl.ProducerID(ctx)
		return err == nil && now != epoch
	}
	if rng.IntN(6) == 0 {
		healthy = cl.EndTransaction(ctx, kgo.TryAbort) == nil
		tx.version2 = healthy && raised()
		return tx, healthy
	}
	for i, r := range records {
		tx.writes[i].offset = r.Offset
	}
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		w.dirty.Add(1)
		tx.end = unknown
		return tx, false
	}
	tx.end, tx.version2 = committed, raised()
	return tx, true
}

// consume reads source as it is written, until ctx ends.
func (w *workload) consume(ctx context.Context, t *testing.T) []read {
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.seeds()...), kgo.ConsumeTopics(w.source), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Error(err)
		return nil
	}
	defer cl.Close()
	var reads []read
	for ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if v, err := decode(r.Value); err != nil {
				t.Errorf("at %d-%d: %v", r.Partition, r.Offset, err)
			} else if v.Producer >= 0 {
				reads = append(reads, read{v, r.Partition, r.Offset})
			}
		})
	}
	return reads
}

// copyAll copies records from source to copies within transactions that also commit the offsets, as a member of a group,
// until ctx ends.
func (w *workload) copyAll(ctx context.Context, t *testing.T, member int) {
	rng := rand.New(rand.NewPCG(uint64(member), 2))
	for ctx.Err() == nil {
		s, err := kgo.NewGroupTransactSession(append(w.options(fmt.Sprintf("copier-%d", member), member), kgo.ConsumerGroup("copiers"), kgo.ConsumeTopics(w.source),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DefaultProduceTopic(w.copies), kgo.SessionTimeout(8*time.Second), kgo.RebalanceTimeout(8*time.Second),
			kgo.FetchMaxPartitionBytes(4<<10))...)
		if err != nil {
			t.Error(err)
			return
		}
		for w.copySome(ctx, s, rng) {
		}
		s.Close()
	}
}

func (w *workload) copySome(ctx context.Context, s *kgo.GroupTransactSession, rng *rand.Rand) (healthy bool) {
	fetches := s.PollRecords(ctx, 200)
	if ctx.Err() != nil {
		return false
	}
	if fetches.NumRecords() == 0 {
		return true
	}
	if err := s.Begin(); err != nil {
		return false
	}
	end, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var records []*kgo.Record
	fetches.EachRecord(func(r *kgo.Record) {
		if len(r.Value) > 0 && r.Value[0] != '-' {
			records = append(records, &kgo.Record{Key: r.Value, Value: r.Value})
		}
	})
	err := s.ProduceSync(end, records...).FirstErr()
	if err == nil && rng.IntN(100) == 0 {
		w.crashes.Add(1)
		return false
	}
	_, err2 := s.End(end, kgo.TransactionEndTry(err == nil))
	return err == nil && err2 == nil
}

// readAll gets everything committed in a topic: it writes a last record to each partition, in a transaction, and reads up to
// those.
func (w *workload) readAll(t *testing.T, topic string) []read {
	t.Helper()
	cl, err := kgo.NewClient(append(w.options("reader", 0), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	stamp := int(rand.Int32())
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for p := range w.partitions {
		if err := cl.ProduceSync(ctx, &kgo.Record{Partition: p, Value: record{-1, stamp, int(p)}.encode()}).FirstErr(); err != nil {
			t.Fatalf("write the last record of %s-%d: %v", topic, p, err)
		}
	}
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		t.Fatalf("commit the last records of %s: %v", topic, err)
	}
	var reads []read
	for left := w.partitions; left > 0; {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("the end of %d partitions of %s is not readable: a transaction hangs?", left, topic)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			v, err := decode(r.Value)
			switch {
			case err != nil:
				t.Errorf("%s-%d at %d: %v", topic, r.Partition, r.Offset, err)
			case v.Producer >= 0:
				reads = append(reads, read{v, r.Partition, r.Offset})
			case v.Txn == stamp:
				left--
			}
		})
	}
	return reads
}

// run runs producers, consumers and copiers while faults does its work, and returns what happened.
func (w *workload) run(t *testing.T, producers int, faults func()) *history {
	h := &history{transactions: []transaction{}, copies: []record{}}
	var mu sync.Mutex
	var writers, readers sync.WaitGroup
	writing, stopWriting := context.WithCancel(t.Context())
	defer stopWriting()
	reading, stopReading := context.WithCancel(t.Context())
	defer stopReading()
	for p := range producers {
		writers.Go(func() {
			all := w.produce(writing, t, p)
			mu.Lock()
			defer mu.Unlock()
			h.transactions = append(h.transactions, all...)
		})
	}
	for range 2 {
		readers.Go(func() {
			reads := w.consume(reading, t)
			mu.Lock()
			defer mu.Unlock()
			h.sessions = append(h.sessions, reads)
		})
	}
	for m := range 2 {
		readers.Go(func() { w.copyAll(reading, t, m) })
	}
	defer func() { // also when a step below gives up
		stopWriting()
		stopReading()
		writers.Wait()
		readers.Wait()
	}()
	faults()
	stopWriting()
	writers.Wait()
	h.final = w.readAll(t, w.source)
	deadline := time.Now().Add(2 * time.Minute)
	for {
		copies := w.readAll(t, w.copies)
		if len(copies) >= len(h.final) || time.Now().After(deadline) {
			h.copies = h.copies[:0]
			for _, c := range copies {
				h.copies = append(h.copies, c.record)
			}
			break
		}
		time.Sleep(time.Second)
	}
	stopReading()
	readers.Wait()
	return h
}
