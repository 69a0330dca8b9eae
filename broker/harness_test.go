package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/broker"
	"ottla/broker/config"
	"ottla/broker/logging"
	"ottla/storage/vfs"
)

// running is a broker in this process, on a free port of loopback.
type running struct {
	*broker.Broker
	t    testing.TB
	dir  string
	addr string
	logs *output
}

// output collects what a broker logs.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start runs a broker on dir, which may hold the data of an earlier one.
func start(t testing.TB, dir string, sets ...string) *running {
	t.Helper()
	r, err := try(t, t.Context(), dir, sets...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// try is start for a broker that may not come up.
func try(t testing.TB, ctx context.Context, dir string, sets ...string) (*running, error) {
	t.Helper()
	return tryLogging(t, ctx, &output{}, dir, sets...)
}

func tryLogging(t testing.TB, ctx context.Context, logs *output, dir string, sets ...string) (*running, error) {
	t.Helper()
	return tryOn(t, ctx, nil, logs, dir, sets...)
}

// tryOn is tryLogging with the logs on a filesystem of the test's own.
func tryOn(t testing.TB, ctx context.Context, fsys vfs.FS, logs *output, dir string, sets ...string) (*running, error) {
	t.Helper()
	sets = append([]string{
		"log.dirs=" + filepath.Join(dir, "data"), "listeners=PLAINTEXT://127.0.0.1:0", "group.initial.rebalance.delay.ms=0",
	}, sets...)
	static, _, err := config.Load(config.Sources{Sets: sets})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("broker on %s:\n%s", dir, logs)
		}
	})
	levels := logging.New(logs, false, zerolog.InfoLevel)
	b, err := broker.Start(ctx, broker.Options{Config: static, Log: levels.Logger("broker"), Levels: levels, FS: fsys})
	if err != nil {
		return nil, err
	}
	r := &running{Broker: b, t: t, dir: dir, addr: b.Addr("PLAINTEXT").String(), logs: logs}
	t.Cleanup(r.stop)
	return r, nil
}

// stop shuts the broker down cleanly; a second call does nothing.
func (r *running) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := r.Stop(ctx); err != nil {
		r.t.Errorf("stop: %v", err)
	}
}

func (r *running) client(opts ...kgo.Opt) *kgo.Client {
	r.t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(r.addr), kgo.AllowAutoTopicCreation(), kgo.RetryTimeout(20 * time.Second), kgo.MetadataMinAge(50 * time.Millisecond)}, opts...)...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Close)
	return c
}

func (r *running) admin() *kadm.Client { return kadm.NewClient(r.client()) }

func (r *running) create(topic string, partitions int32, configs map[string]*string) {
	r.t.Helper()
	if _, err := r.admin().CreateTopic(r.t.Context(), partitions, 1, configs, topic); err != nil {
		r.t.Fatal(err)
	}
}

func produce(t testing.TB, c *kgo.Client, topic string, from, to int) {
	t.Helper()
	var records []*kgo.Record
	for i := from; i < to; i++ {
		records = append(records, &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "k%d", i), Value: fmt.Appendf(nil, "v%d", i)})
	}
	if err := c.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// consume polls until n records have come.
func consume(t testing.TB, c *kgo.Client, n int) []*kgo.Record {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	var records []*kgo.Record
	for len(records) < n {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", len(records), n, err)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

// wantRecords reads a topic from its start and wants k0=v0 to k(n-1)=v(n-1), each once.
func wantRecords(t testing.TB, r *running, topic string, n int) {
	t.Helper()
	seen := make(map[string]string)
	for _, rec := range consume(t, r.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), n) {
		if _, twice := seen[string(rec.Key)]; twice {
			t.Errorf("%s is there twice", rec.Key)
		}
		seen[string(rec.Key)] = string(rec.Value)
	}
	for i := range n {
		if got, want := seen[fmt.Sprintf("k%d", i)], fmt.Sprintf("v%d", i); got != want {
			t.Fatalf("k%d is %q, want %q", i, got, want)
		}
	}
}

// eventually waits for a condition that comes about by itself; it returns nil when it holds.
func eventually(t testing.TB, what string, holds func() error) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
