package java

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/compat-tests/harness"
)

// eosRun is an application on three brokers: the brokers and the application's instances are killed in turn.
type eosRun struct {
	cluster *harness.Cluster
	in, out string
	length  time.Duration

	lines    []string // every line written to in, complete when feed has returned
	faults   int
	restarts int
}

const eosPartitions = 4

// newEOSRun starts the brokers. The quick run has each application with one version only.
func newEOSRun(t *testing.T, version, quick string) *eosRun {
	t.Helper()
	if testing.Short() && version != quick {
		t.Skipf("the quick run has this with the Java client %s", quick)
	}
	r := &eosRun{cluster: harness.NewCluster(t, 3), in: "lines", out: "out", length: time.Duration(*eosMinutes * float64(time.Minute))}
	if testing.Short() {
		r.length = min(r.length, 15*time.Second)
	}
	adm := kadm.NewClient(r.client(t))
	for _, name := range []string{r.in, r.out} {
		if _, err := adm.CreateTopic(t.Context(), eosPartitions, 3, nil, name); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r *eosRun) client(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(strings.Split(r.cluster.Bootstrap(), ",")...), kgo.MetadataMinAge(100 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

var vocabulary = strings.Fields("offset epoch leader replica segment index batch record marker fence commit abort group member log snapshot")

// run feeds the application and kills brokers and instances until the time is over; start runs an instance.
func (r *eosRun) run(t *testing.T, instances int, start func(i int) (*harness.JavaProgram, error)) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), r.length)
	defer stop()
	programs := make([]*harness.JavaProgram, instances)
	for i := range programs {
		p, err := start(i)
		if err != nil {
			t.Fatal(err)
		}
		programs[i] = p
	}
	var wg sync.WaitGroup
	wg.Go(func() { r.feed(ctx, t) })
	wg.Go(func() {
		var err error
		if r.faults, err = r.cluster.Faults(ctx, 2*time.Second, 4*time.Second); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-time.After(7 * time.Second):
			}
			p := programs[i%instances]
			err := p.Kill()
			if err == nil {
				programs[i%instances], err = start(i % instances)
			}
			if err != nil {
				t.Error(err)
				return
			}
			r.restarts++
		}
	})
	wg.Wait()
	t.Cleanup(func() {
		for _, p := range programs {
			if t.Failed() {
				t.Logf("last messages of an instance:\n%s", p.Messages(30))
			}
			if p.Alive() {
				if err := p.Kill(); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// feed writes lines of words, idempotently, until ctx ends.
func (r *eosRun) feed(ctx context.Context, t *testing.T) {
	cl := r.client(t, kgo.DefaultProduceTopic(r.in), kgo.ProducerLinger(10*time.Millisecond))
	rng := rand.New(rand.NewPCG(1, 2))
	for n := 0; ctx.Err() == nil; n++ {
		words := []string{fmt.Sprintf("n%d", n)}
		for range 1 + rng.IntN(5) {
			words = append(words, vocabulary[rng.IntN(len(vocabulary))])
		}
		line := strings.Join(words, " ")
		r.lines = append(r.lines, line)
		cl.Produce(t.Context(), &kgo.Record{Key: strconv.AppendInt(nil, int64(n%50), 10), Value: []byte(line)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Errorf("write a line: %v", err)
			}
		})
		time.Sleep(5 * time.Millisecond)
	}
	if err := cl.Flush(t.Context()); err != nil {
		t.Error(err)
	}
}

// collect reads the output, committed records only, until enough says so or nothing is left to wait for.
func (r *eosRun) collect(t *testing.T, add func(key, value string), enough func() bool) {
	t.Helper()
	cl := r.client(t, kgo.ConsumeTopics(r.out), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
	defer stop()
	settle := time.Time{} // after what was awaited, anything too much would come soon
	for ctx.Err() == nil {
		poll, cancel := context.WithTimeout(ctx, time.Second)
		cl.PollFetches(poll).EachRecord(func(rec *kgo.Record) { add(string(rec.Key), string(rec.Value)) })
		cancel()
		switch {
		case !enough():
			settle = time.Time{}
		case settle.IsZero():
			settle = time.Now().Add(5 * time.Second)
		case time.Now().After(settle):
			return
		}
	}
}

func TestReadProcessWrite(t *testing.T) {
	eachVersion(t, "read, process and write in transactions, brokers and instances killed in turn: each record once", func(t *testing.T, j *harness.JavaClients) {
		r := newEOSRun(t, j.Version, harness.JavaVersions[0])
		dir := harness.Dir(t)
		r.run(t, 2, func(i int) (*harness.JavaProgram, error) {
			return j.StartIn(dir, "ExactlyOnce", "bootstrap="+r.cluster.Bootstrap(), "in="+r.in, "out="+r.out, "group=copiers", fmt.Sprintf("id=copier-%d", i))
		})
		got := map[string]int{}
		r.collect(t, func(_, value string) { got[value]++ }, func() bool { return len(got) >= len(r.lines) })
		want := map[string]int{}
		for _, line := range r.lines {
			want[strings.ToUpper(line)]++
		}
		r.compare(t, got, want)
		r.wantVersion2(t, j.Version != harness.KafkaVersion)
	})
}

func TestStreams(t *testing.T) {
	eachVersion(t, "Kafka Streams counts words exactly once (EOS v2) while brokers and instances are killed in turn", func(t *testing.T, j *harness.JavaClients) {
		r := newEOSRun(t, j.Version, harness.JavaVersions[1])
		dir := harness.Dir(t)
		r.run(t, 2, func(i int) (*harness.JavaProgram, error) {
			return j.StartIn(dir, "WordCount", "bootstrap="+r.cluster.Bootstrap(), "in="+r.in, "out="+r.out, "application=wordcount", "replicas=3",
				"state="+filepath.Join(dir, fmt.Sprintf("state-%d", i)))
		})
		want := map[string]int{}
		for _, line := range r.lines {
			for _, w := range strings.Split(line, " ") {
				want[w]++
			}
		}
		got := map[string]int{}
		r.collect(t, func(word, count string) {
			n, err := strconv.Atoi(count)
			// Counts of a word are in one partition, so they come one after the other; the cache leaves some out.
			if err != nil || n <= got[word] {
				t.Errorf("count %q of %q after %d", count, word, got[word])
			}
			got[word] = n
		}, func() bool { return maps.Equal(got, want) })
		r.compare(t, got, want)
		r.wantVersion2(t, j.Version != harness.KafkaVersion)
	})
}

// wantVersion2 looks at what the coordinators stored: clients since Kafka 4 use transactions of version 2 when they are offered, older
// ones do not know them.
func (r *eosRun) wantVersion2(t *testing.T, want bool) {
	t.Helper()
	if kind, _ := harness.KindFromEnv(); kind != harness.Ottla {
		return
	}
	const topic = "__transaction_state"
	cl := r.client(t)
	ends, err := kadm.NewClient(cl).ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
			cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {o.Partition: kgo.NewOffset().AtStart()}})
		}
	})
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	commits := map[bool]int{}
	for len(left) > 0 && ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(rec *kgo.Record) {
			v := kmsg.NewTxnMetadataValue()
			if err := v.ReadFrom(rec.Value); rec.Value != nil && err != nil {
				t.Errorf("%s-%d at %d: %v", topic, rec.Partition, rec.Offset, err)
			}
			if rec.Value != nil && v.State == kmsg.TransactionStateCompleteCommit {
				commits[v.ClientTransactionVersion >= 2]++
			}
			if rec.Offset+1 >= left[rec.Partition] {
				delete(left, rec.Partition)
			}
		})
	}
	t.Logf("commits stored: %d of version 2, %d of version 1", commits[true], commits[false])
	if len(left) > 0 || commits[want] == 0 || commits[!want] > 0 {
		t.Errorf("want all commits with version 2: %v; partitions not read: %v", want, left)
	}
}

func (r *eosRun) compare(t *testing.T, got, want map[string]int) {
	t.Helper()
	t.Logf("%v: %d lines, %d different results, %d brokers taken down, %d instances killed", r.length, len(r.lines), len(got), r.faults, r.restarts)
	if r.faults == 0 || len(r.lines) == 0 {
		t.Error("nothing was tested")
	}
	shown := 0
	for key := range want {
		if got[key] != want[key] && shown < 10 {
			t.Errorf("%q: %d, want %d", key, got[key], want[key])
			shown++
		}
	}
	for key := range got {
		if want[key] == 0 && shown < 10 {
			t.Errorf("%q: %d, want none", key, got[key])
			shown++
		}
	}
	if t.Failed() {
		r.explain(t)
	}
}

// explain logs where the application stands: its groups, its transactions, and what they keep readers of committed records from.
func (r *eosRun) explain(t *testing.T) {
	t.Helper()
	adm := kadm.NewClient(r.client(t))
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	txns, err := adm.DescribeTransactions(ctx)
	t.Logf("transactions (error %v):", err)
	for _, x := range txns.Sorted() {
		t.Logf("  %+v", x)
	}
	lags, err := adm.Lag(ctx)
	t.Logf("groups (error %v):", err)
	for _, g := range lags.Sorted() {
		t.Logf("  %s is %s, %d members", g.Group, g.State, len(g.Members))
		for _, l := range g.Lag.Sorted() {
			t.Logf("    %s-%d: committed %d, end %d, error %v", l.Topic, l.Partition, l.Commit.At, l.End.Offset, l.Err)
		}
	}
	ends, err := adm.ListEndOffsets(ctx)
	stable, err2 := adm.ListCommittedOffsets(ctx)
	t.Logf("end and last stable offsets, where they differ (errors %v, %v):", err, err2)
	ends.Each(func(o kadm.ListedOffset) {
		if l, ok := stable.Lookup(o.Topic, o.Partition); !ok || l.Offset != o.Offset {
			t.Logf("  %s-%d: %+v, %+v", o.Topic, o.Partition, o, l)
		}
	})
	producers, err := adm.DescribeProducers(ctx, nil)
	t.Logf("open transactions of producers (error %v):", err)
	producers.EachProducer(func(p kadm.DescribedProducer) {
		if p.CurrentTxnStartOffset >= 0 {
			t.Logf("  %+v", p)
		}
	})
}
