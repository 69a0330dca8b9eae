package cluster

import (
	"context"
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// writer is the only producer of a partition. It numbers its records from 0 and never gives one up, so the record at an
// offset has the number of that offset, if none was lost, doubled or moved.
type writer struct {
	partition int32

	mu     sync.Mutex
	acked  int64     // records acknowledged
	last   time.Time // of the last acknowledgement
	stall  time.Duration
	failed error
}

// startWriters writes to every partition of a topic until stop is called; stop waits for the last acknowledgements.
func startWriters(t *testing.T, seeds []string, topic string, partitions int32) (ws []*writer, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for p := range partitions {
		cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(0), kgo.MetadataMinAge(20*time.Millisecond), kgo.MetadataMaxAge(5*time.Second),
			kgo.ProduceRequestTimeout(2*time.Second), kgo.RequestTimeoutOverhead(time.Second), kgo.RetryTimeout(3*time.Second), kgo.UnknownTopicRetries(-1),
			kgo.AlwaysRetryEOF(), // a broker that ends between accept and the first answer is not one that wants SASL
			kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.Dialer((&net.Dialer{Timeout: time.Second}).DialContext))
		if err != nil {
			t.Fatal(err)
		}
		w := &writer{partition: p, last: time.Now()}
		ws = append(ws, w)
		wg.Go(func() {
			defer cl.Close()
			w.run(ctx, cl)
		})
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			wg.Wait()
		})
	}
	t.Cleanup(stop)
	return ws, stop
}

// pace is the pause between two records of a partition: two cores run three brokers beside the producers.
const pace = 2 * time.Millisecond

func (w *writer) run(ctx context.Context, cl *kgo.Client) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for i := int64(0); ctx.Err() == nil; i++ {
		value := binary.BigEndian.AppendUint64(make([]byte, 0, 100), uint64(i))
		// Not with ctx: records under way at the end are waited for.
		cl.Produce(context.Background(), &kgo.Record{Partition: w.partition, Value: append(value, make([]byte, 92)...)}, w.done)
		<-tick.C
	}
	flush, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := cl.Flush(flush); err != nil {
		w.fail(err)
	}
}

func (w *writer) done(_ *kgo.Record, err error) {
	if err != nil {
		w.fail(err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.stall, w.last = max(w.stall, now.Sub(w.last)), now
	w.acked++
}

func (w *writer) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil {
		w.failed = err
	}
}

// state returns how many records are acknowledged and the first error.
func (w *writer) state() (acked int64, failed error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked, w.failed
}

// reset begins a new measurement of the longest stall.
func (w *writer) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stall, w.last = 0, time.Now()
}

// longest is the longest time without an acknowledgement since reset, counting the one that goes on.
func (w *writer) longest() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return max(w.stall, time.Since(w.last))
}
