package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/compat-tests/harness"
)

const (
	moved          = 100       // partitions
	bytesPerMoved  = 256 << 10 // roughly
	reassignRate   = 2 << 20   // bytes per second
	reassignCrawl  = 64 << 10  // bytes per second, so slow that nothing is finished before it is cancelled
	reassignAround = 200 * time.Millisecond
	settleLimit    = 30 * time.Second // until all brokers know what has changed
)

// mover runs ottla partition reassign against a cluster.
type mover struct {
	*harness.Cluster
	t     *testing.T
	admin *kadm.Client
	dir   string
}

// TestReassign moves 100 partitions to other brokers under load, throttled and watched; cancels a second move, and has Kafka's tool
// do and undo a third.
func TestReassign(t *testing.T) {
	if testing.Short() {
		t.Skip("part of the long run")
	}
	c := harness.StartCluster(t, harness.ClusterConfig{SessionTimeout: sessionTimeout, Settings: []string{"min.insync.replicas=1"}})
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Seeds()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.DefaultProduceTopic(faultTopic), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	m := &mover{Cluster: c, t: t, admin: kadm.NewClient(cl), dir: t.TempDir()}
	m.create()
	value := bytes.Repeat([]byte("x"), 32<<10)
	for p := range int32(moved) {
		for range bytesPerMoved / len(value) {
			cl.Produce(t.Context(), &kgo.Record{Partition: p, Value: value}, nil)
		}
	}
	if err := cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	stopLoad := m.load(cl)
	defer stopLoad()

	// Every partition to two other brokers, one of them new to it: a copy each.
	first := m.plan(func(p int32) []int32 { return []int32{m.broker(p + 2), m.broker(p + 1)} })
	began := time.Now()
	looks, rows := m.watch(first, "--throttle", fmt.Sprint(reassignRate))
	took := time.Since(began)
	copied := looks[len(looks)-1].Copied
	// What each broker sends and takes is throttled, and there are three; a second's worth of each may come at once.
	least := time.Duration(float64(copied-3*reassignRate)/float64(3*reassignRate)*float64(time.Second)) * 8 / 10
	fmt.Printf("ottla partition reassign: %d partitions, %d MB, at most %d MB/s for each broker: %.1f s, %d looks\n",
		moved, copied>>20, reassignRate>>20, took.Seconds(), len(looks))
	if copied < moved*bytesPerMoved*9/10 || took < least {
		t.Errorf("%d bytes were copied in %v, want at least %v for them", copied, took, least)
	}
	for i, l := range looks {
		if i > 0 && (l.Copied < looks[i-1].Copied || l.Complete < looks[i-1].Complete) {
			t.Errorf("progress goes back: %+v after %+v", l, looks[i-1])
		}
	}
	if l := looks[len(looks)-1]; l.Complete != moved || l.Copied != l.Bytes || len(looks) < 3 {
		t.Errorf("%d looks, the last %+v", len(looks), l)
	}
	m.wantStates(rows, "complete", moved)
	m.wantReplicas(first)
	m.wantThrottled(false)

	// Back, too slowly: cancelled half-way.
	second := m.plan(func(p int32) []int32 { return []int32{m.broker(p), m.broker(p + 2)} })
	if out, err := m.run(second, "--execute", "--throttle", fmt.Sprint(reassignCrawl)); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	m.wantThrottled(true)
	if out, err := m.run(second, "--execute"); err == nil || !strings.Contains(out, "--additional") {
		t.Errorf("a second execution without --additional: %v\n%s", err, out)
	}
	out, err := m.run(second, "--verify")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(out, "in progress") {
		t.Errorf("verify of what is in progress: %v\n%s", err, out)
	}
	m.wantThrottled(true)
	if out, err := m.run(second, "--cancel"); err != nil || strings.Count(out, "cancelled") != moved {
		t.Errorf("%v\n%s", err, out)
	}
	m.wantReplicas(first)
	m.wantThrottled(false)
	if out, err := m.run("", "--list", "-o", "json"); err != nil || strings.TrimSpace(out) != "[]" {
		t.Errorf("%v, in progress after the cancellation: %s", err, out)
	}
	c.AwaitISR(t, faultTopic, 2)
	m.kafkaTool(second, first)
	stopLoad()
}

// kafkaTool does the same with Apache Kafka's kafka-reassign-partitions: executes a plan, cancels it and executes it again to the end.
func (m *mover) kafkaTool(plan, former string) {
	m.t.Helper()
	tool := func(args ...string) string {
		m.t.Helper()
		args = append([]string{"--bootstrap-server", strings.Join(m.Seeds(), ","), "--reassignment-json-file", plan}, args...)
		out, err := harness.KafkaTool("org.apache.kafka.tools.reassign.ReassignPartitionsCommand", args...)
		if errors.Is(err, harness.ErrMissing) {
			m.t.Skip("Kafka's tool: ", err)
		}
		if err != nil {
			m.t.Fatalf("kafka-reassign-partitions %v: %v\n%s", args, err, out)
		}
		return out
	}
	tool("--execute", "--throttle", fmt.Sprint(reassignCrawl))
	m.wantThrottled(true)
	if out := tool("--verify"); !strings.Contains(out, "is still in progress") {
		m.t.Errorf("Kafka's verify:\n%s", out)
	}
	tool("--cancel")
	m.wantReplicas(former)
	m.wantThrottled(false)
	tool("--execute")
	if out, err := m.run(plan, "--watch"); err != nil {
		m.t.Errorf("%v\n%s", err, out)
	}
	m.wantReplicas(plan) // Kafka's tool believes whichever broker it asks
	if out := tool("--verify"); strings.Count(out, "is completed") != moved {
		m.t.Errorf("Kafka's verify:\n%s", out)
	}
}

// broker goes round the three.
func (m *mover) broker(n int32) int32 { return n%3 + 1 }

// create makes the topic, each partition on two of the brokers.
func (m *mover) create() {
	m.t.Helper()
	rs, err := m.admin.CreateTopics(m.t.Context(), moved, 2, nil, faultTopic)
	if err != nil || rs[faultTopic].Err != nil {
		m.t.Fatal(err, rs[faultTopic].Err)
	}
	m.AwaitISR(m.t, faultTopic, 2)
	plan := m.plan(func(p int32) []int32 { return []int32{m.broker(p), m.broker(p + 1)} })
	if out, err := m.run(plan, "--execute", "--watch"); err != nil {
		m.t.Fatalf("%v\n%s", err, out)
	}
	m.AwaitISR(m.t, faultTopic, 2)
}

// load writes to every partition until the returned function is called, which fails the test for a record that was given up.
func (m *mover) load(cl *kgo.Client) (stop func()) {
	ctx, cancel := context.WithCancel(m.t.Context())
	done := make(chan error, 1)
	go func() {
		var failed error
		for n := int32(0); ctx.Err() == nil; n++ {
			cl.Produce(context.Background(), &kgo.Record{Partition: n % moved, Value: []byte("load")}, func(_ *kgo.Record, err error) {
				if err != nil {
					failed = err // callbacks come one at a time
				}
			})
			time.Sleep(pace)
		}
		if err := cl.Flush(context.Background()); err != nil {
			failed = err
		}
		done <- failed
	}()
	return func() {
		if ctx.Err() != nil {
			return
		}
		cancel()
		if err := <-done; err != nil {
			m.t.Errorf("a record was given up: %v", err)
		}
	}
}

// plan writes a plan for all partitions and returns its file.
func (m *mover) plan(replicas func(partition int32) []int32) string {
	m.t.Helper()
	type partition struct {
		Topic     string  `json:"topic"`
		Partition int32   `json:"partition"`
		Replicas  []int32 `json:"replicas"`
	}
	plan := struct {
		Version    int         `json:"version"`
		Partitions []partition `json:"partitions"`
	}{Version: 1}
	for p := range int32(moved) {
		plan.Partitions = append(plan.Partitions, partition{faultTopic, p, replicas(p)})
	}
	text, err := json.Marshal(plan)
	if err != nil {
		m.t.Fatal(err)
	}
	f, err := os.CreateTemp(m.dir, "plan-*.json")
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		m.t.Fatal(err)
	}
	return f.Name()
}

func (m *mover) command(plan string, args ...string) *exec.Cmd {
	m.t.Helper()
	bin, err := harness.OttlaBinary()
	if err != nil {
		m.t.Fatal(err)
	}
	args = append([]string{"partition", "reassign", "-b", strings.Join(m.Seeds(), ","), "--interval", reassignAround.String()}, args...)
	if plan != "" {
		args = append(args, plan)
	}
	return exec.Command(bin, args...)
}

func (m *mover) run(plan string, args ...string) (string, error) {
	m.t.Helper()
	out, err := m.command(plan, args...).CombinedOutput()
	return string(out), err
}

// look and state are what the command prints as JSON.
type look struct {
	Partitions, Complete int
	Bytes, Copied        int64
}

type state struct {
	Partition int32
	State     string
}

// watch executes a plan to its end and returns each look, and what became of the partitions.
func (m *mover) watch(plan string, args ...string) (looks []look, rows []state) {
	m.t.Helper()
	cmd := m.command(plan, append(args, "--execute", "--watch", "-o", "json")...)
	var notes bytes.Buffer
	cmd.Stderr = &notes
	out, err := cmd.Output()
	if err != nil {
		m.t.Fatalf("%v\n%s\n%s", err, notes.String(), out)
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var raw json.RawMessage
		if err := dec.Decode(&raw); errors.Is(err, io.EOF) {
			return looks, rows
		} else if err != nil {
			m.t.Fatalf("%v in\n%s", err, out)
		}
		if raw[0] == '[' {
			err = json.Unmarshal(raw, &rows)
		} else {
			var l look
			err = json.Unmarshal(raw, &l)
			looks = append(looks, l)
		}
		if err != nil {
			m.t.Fatalf("%v in\n%s", err, raw)
		}
	}
}

func (m *mover) wantStates(rows []state, want string, n int) {
	m.t.Helper()
	for _, r := range rows {
		if r.State != want {
			m.t.Errorf("partition %d: %s, want %s", r.Partition, r.State, want)
		}
	}
	if len(rows) != n {
		m.t.Errorf("%d partitions, want %d", len(rows), n)
	}
}

// wantReplicas waits until all brokers have the partitions as a plan has them.
func (m *mover) wantReplicas(plan string) {
	m.t.Helper()
	text, err := os.ReadFile(plan)
	if err != nil {
		m.t.Fatal(err)
	}
	var want struct {
		Partitions []struct {
			Partition int32
			Replicas  []int32
		}
	}
	if err := json.Unmarshal(text, &want); err != nil {
		m.t.Fatal(err)
	}
	m.Await(m.t, settleLimit, "the replicas of "+filepath.Base(plan)+" on all brokers", func() error {
		for _, b := range m.Brokers {
			meta, err := b.Metadata(m.t.Context(), faultTopic)
			if err != nil {
				return err
			}
			got := map[int32][]int32{}
			for _, p := range meta.Topics[0].Partitions {
				got[p.Partition] = p.Replicas
			}
			for _, p := range want.Partitions {
				if !slices.Equal(got[p.Partition], p.Replicas) {
					return fmt.Errorf("broker %d has partition %d on %v, want %v", b.ID, p.Partition, got[p.Partition], p.Replicas)
				}
			}
		}
		return nil
	})
}

// wantThrottled waits until the topic and every broker have the configs of a throttle, or none.
func (m *mover) wantThrottled(want bool) {
	m.t.Helper()
	configs := 0
	if want {
		configs = 2
	}
	m.Await(m.t, settleLimit, fmt.Sprintf("%d configs of a throttle", configs), func() error {
		topics, err := m.admin.DescribeTopicConfigs(m.t.Context(), faultTopic)
		if err != nil {
			return err
		}
		brokers, err := m.admin.DescribeBrokerConfigs(m.t.Context(), 1, 2, 3)
		if err != nil {
			return err
		}
		for _, r := range append(topics, brokers...) {
			found := 0
			for _, c := range r.Configs {
				if strings.Contains(c.Key, "replication.throttled.") && c.Source.String() != "DEFAULT_CONFIG" {
					found++
				}
			}
			if found != configs {
				return fmt.Errorf("%s has %d", r.Name, found)
			}
		}
		return nil
	})
}
