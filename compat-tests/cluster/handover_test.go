package cluster

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/compat-tests/harness"
)

// Limits of a stall that a clean stop may cause. The usual one is what is promised; the longest allows for a busy machine, and is below the
// clients' request timeout, which is how long they wait for a leader that cannot commit.
const (
	usualStall   = 200 * time.Millisecond
	longestStall = 1500 * time.Millisecond
)

// TestCleanStop stops the leader of a partition and the controller in turn with SIGTERM, while a producer with acks=all and a consumer
// are at work on the partition.
func TestCleanStop(t *testing.T) {
	stops := 6
	if testing.Short() {
		stops = 4
	}
	c := harness.StartCluster(t, harness.ClusterConfig{SessionTimeout: sessionTimeout})
	createTopic(t, c)
	c.AwaitISR(t, faultTopic, 3)
	ws, stop := startWriters(t, c.Seeds(), faultTopic, 1)
	f := &faults{Cluster: c, t: t, ws: ws}
	f.awaitProgress()
	var produced, consumed []time.Duration
	for i := range stops {
		what, b := "leader", c.Leader(t, faultTopic, 0)
		if i%2 == 1 {
			what, b = "controller", c.Controller(t)
		}
		// A reader for each stop: franz-go waits a second when it finds that an idle connection was closed by the stop before.
		r := startReader(t, c.Seeds(), faultTopic)
		r.await(t, ws[0])
		ws[0].reset()
		r.reset()
		f.must(b.Stop(stopLimit))
		f.awaitProgress()
		r.await(t, ws[0])
		p, q := f.longest(), r.longest()
		r.stop()
		produced, consumed = append(produced, p), append(consumed, q)
		fmt.Printf("%s: %-10s stopped: nothing acknowledged for %5.3f s, nothing read for %5.3f s\n", b.Kind, what, p.Seconds(), q.Seconds())
		f.must(b.Start())
		c.AwaitBrokers(t, 3)
		c.AwaitISR(t, faultTopic, 3)
	}
	stop()
	readBack(t, c, faultTopic, ws)
	if kind, _ := harness.KindFromEnv(); kind != harness.Ottla {
		return // measured for comparison
	}
	for what, stalls := range map[string][]time.Duration{"produce": produced, "consume": consumed} {
		slices.Sort(stalls)
		if usual := stalls[(len(stalls)-1)/2]; usual > usualStall {
			t.Errorf("%s: the usual stall is %v, want at most %v", what, usual, usualStall)
		}
		if longest := stalls[len(stalls)-1]; longest > longestStall {
			t.Errorf("%s: the longest stall is %v, want at most %v", what, longest, longestStall)
		}
	}
}

// reader reads partition 0 of a topic.
type reader struct {
	mu    sync.Mutex
	next  int64 // offset
	last  time.Time
	stall time.Duration
	err   error // the first that the client reports

	stop func()
}

// startReader reads until stop is called, or the test ends.
func startReader(t *testing.T, seeds []string, topic string) *reader {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}),
		kgo.MetadataMinAge(20*time.Millisecond), kgo.MetadataMaxAge(5*time.Second), kgo.AlwaysRetryEOF(),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.Dialer((&net.Dialer{Timeout: time.Second}).DialContext))
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{last: time.Now()}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		defer cl.Close()
		for ctx.Err() == nil {
			fs := cl.PollFetches(ctx)
			fs.EachRecord(r.read)
			fs.EachError(func(_ string, _ int32, err error) {
				if ctx.Err() == nil {
					r.fail(err)
				}
			})
		}
	})
	r.stop = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(r.stop)
	return r
}

func (r *reader) read(rec *kgo.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.next, r.stall, r.last = rec.Offset+1, max(r.stall, now.Sub(r.last)), now
}

func (r *reader) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) firstError() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// await waits until what the writer has written by now was read.
func (r *reader) await(t *testing.T, w *writer) {
	t.Helper()
	acked, _ := w.state()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		r.mu.Lock()
		next := r.next
		r.mu.Unlock()
		if next >= acked {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("read up to offset %d of %d", next, acked)
		}
	}
}

func (r *reader) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stall, r.last = 0, time.Now()
}

func (r *reader) longest() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(r.stall, time.Since(r.last))
}
