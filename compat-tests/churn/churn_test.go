package churn

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/compat-tests/harness"
)

const (
	topicName  = "churn"
	partitions = 12
)

// groupRun is one group under churn and what was seen of it.
type groupRun struct {
	name     string
	kinds    []starter // of members, in turns
	balancer kgo.GroupBalancer
	static   bool
	modern   bool // under the consumer protocol (KIP-848)

	mu        sync.Mutex
	seen      [partitions]map[int64]struct{}
	committed map[int32]int64
	unstable  time.Time // since when the group is not stable
	rebalance []time.Duration

	members []member // of the churning goroutine
}

func (g *groupRun) saw(partition int32, offset int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.seen[partition] == nil {
		g.seen[partition] = make(map[int64]struct{})
	}
	g.seen[partition][offset] = struct{}{}
}

// missing counts the records below the ends that no member has seen, and names the first.
func (g *groupRun) missing(ends map[int32]int64) (n int, first string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for p := range int32(partitions) {
		for o := range ends[p] {
			if _, ok := g.seen[p][o]; !ok {
				if n++; n == 1 {
					first = fmt.Sprintf("%s-%d at offset %d", topicName, p, o)
				}
			}
		}
	}
	return n, first
}

func envInt(t *testing.T, name string, standard int) int {
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 6 {
		t.Fatalf("%s=%s: want a number of at least 6", name, text)
	}
	return n
}

func TestGroupsSurviveChurn(t *testing.T) {
	length := 20 * time.Second
	if text := os.Getenv("CHURN_TIME"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	members := envInt(t, "CHURN_MEMBERS", 12)
	seed := rand.Uint64()
	if text := os.Getenv("CHURN_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	t.Logf("CHURN_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))

	kind, err := harness.KindFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	session := 2 * time.Second
	if kind == harness.Kafka {
		session = 6 * time.Second // which a JVM needs that starts on a busy machine
	}
	zk := harness.NewZooKeeper(t)
	dir := harness.Dir(t)
	var brokers []*harness.Broker
	var seeds []string
	for id := range int32(3) {
		b := harness.NewBroker(t, harness.Config{ID: id + 1, Dir: filepath.Join(dir, fmt.Sprint("broker-", id+1)), ZooKeeper: zk.Addr,
			SessionTimeout: session, Settings: []string{
				"offsets.topic.replication.factor=3", "offsets.topic.num.partitions=6", "min.insync.replicas=2", "default.replication.factor=3", "replica.lag.time.max.ms=4000",
				"group.consumer.min.session.timeout.ms=6000", "group.consumer.session.timeout.ms=6000",
				"group.consumer.min.heartbeat.interval.ms=1000", "group.consumer.heartbeat.interval.ms=1000",
				"zookeeper.connection.timeout.ms=60000"}})
		brokers, seeds = append(brokers, b), append(seeds, b.Addr)
	}
	w := &world{t: t, brokers: brokers, seeds: seeds, rng: rng, adm: kadm.NewClient(newClient(t, kgo.SeedBrokers(seeds...)))}
	if _, err := w.adm.CreateTopic(t.Context(), partitions, 3, nil, topicName); err != nil {
		t.Fatal(err)
	}
	classic, modern := w.processes(members >= 30)
	w.groups = []*groupRun{
		{name: "mixed", balancer: kgo.RangeBalancer(), kinds: classic},
		{name: "cooperative", balancer: kgo.CooperativeStickyBalancer(), kinds: []starter{startGo}},
		{name: "static", balancer: kgo.StickyBalancer(), kinds: []starter{startGo}, static: true},
	}
	if w.servesConsumerGroups() {
		w.groups = append(w.groups, &groupRun{name: "consumer", balancer: kgo.StickyBalancer(), kinds: modern, modern: true})
	}
	w.perGroup = members / len(w.groups)
	for _, g := range w.groups {
		g.committed = make(map[int32]int64)
	}
	w.run(length)
}

// processes are the kinds of members, classic ones and those under the consumer protocol, of groups that have more than franz-go's. A JVM
// takes seconds of CPU to start: few members means none.
func (w *world) processes(jvms bool) (classic, modern []starter) {
	old, current := starter(startGo), starter(startGo)
	if _, err := exec.LookPath("kcat"); err == nil {
		old = startKcat
	}
	if l, err := harness.FindLibrdkafka(); err == nil {
		current = librdkafkaStarter(l)
	} else if !errors.Is(err, harness.ErrMissing) {
		w.t.Fatal(err)
	}
	classic, modern = []starter{startGo, old}, []starter{startGo, current}
	if !jvms {
		return classic, modern
	}
	for _, v := range harness.JavaVersions {
		java := javaStarter(harness.NewJavaClients(w.t, v))
		classic, modern = append(classic, java, startGo, old), append(modern, java, startGo, current)
	}
	return classic, modern
}

// servesConsumerGroups asks for version 1: Kafka 3.9 lists version 0 with ZooKeeper, and refuses it.
func (w *world) servesConsumerGroups() bool {
	all, err := w.adm.ApiVersions(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, b := range all {
		if _, most, ok := b.KeyVersions(kmsg.ConsumerGroupHeartbeat.Int16()); !ok || most < 1 {
			return false
		}
	}
	return true
}

func newClient(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.MetadataMinAge(100 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// world is the cluster with everything that happens on it.
type world struct {
	t        *testing.T
	brokers  []*harness.Broker
	seeds    []string
	rng      *rand.Rand
	adm      *kadm.Client
	perGroup int
	groups   []*groupRun
	ending   sync.WaitGroup // of members that leave or have crashed
	next     int            // member number
	kills    int
	joins    int
	crashes  int
	pauses   int
}

func (w *world) run(length time.Duration) {
	t := w.t
	ctx, stop := context.WithCancel(t.Context())
	var background sync.WaitGroup
	var written int64
	defer func() { stop(); background.Wait() }()
	producing, stopProducing := context.WithCancel(ctx)
	defer stopProducing()
	producer := newClient(t, kgo.SeedBrokers(w.seeds...), kgo.DefaultProduceTopic(topicName))
	background.Go(func() { written = produce(producing, producer) })
	background.Go(func() { w.observe(ctx) })

	for _, g := range w.groups {
		for range w.perGroup {
			w.join(g)
		}
	}
	down, back := -1, time.Time{}
	nextKill := time.Now().Add(length / 5)
	for end := time.Now().Add(length); time.Now().Before(end); {
		time.Sleep(time.Duration(100+w.rng.IntN(900)) * time.Millisecond)
		g := w.groups[w.rng.IntN(len(w.groups))]
		switch {
		case down >= 0 && time.Now().After(back):
			if err := w.brokers[down].Start(); err != nil {
				t.Fatal(err)
			}
			down = -1
			nextKill = time.Now().Add(10 * time.Second)
		case down < 0 && time.Now().After(nextKill):
			down, back = w.coordinatorOf(g.name), time.Now().Add(4*time.Second)
			if err := w.brokers[down].Kill(); err != nil {
				t.Fatal(err)
			}
			w.kills++
		case len(g.members) < w.perGroup:
			w.join(g)
		default:
			w.disturb(g)
		}
	}
	if down >= 0 {
		if err := w.brokers[down].Start(); err != nil {
			t.Fatal(err)
		}
	}
	stopProducing()
	w.settle(func() { background.Wait() }, stop, &written)
}

func (w *world) join(g *groupRun) {
	w.next++
	m, err := g.kinds[w.next%len(g.kinds)](g, w.seeds, w.next)
	if err != nil {
		w.t.Fatal(err)
	}
	w.joins++
	g.members = append(g.members, m)
}

// disturb does something to one member.
func (w *world) disturb(g *groupRun) {
	i := w.rng.IntN(len(g.members))
	m := g.members[i]
	switch w.rng.IntN(3) {
	case 0:
		w.ending.Go(m.leave)
	case 1:
		w.ending.Go(m.crash)
		w.crashes++
	default:
		m.pause(sessionTimeout + 2*time.Second)
		w.pauses++
		return
	}
	g.members = slices.Delete(g.members, i, i+1)
}

// coordinatorOf is the index of the broker that coordinates the group, or a random one's.
func (w *world) coordinatorOf(group string) int {
	ctx, stop := context.WithTimeout(w.t.Context(), 5*time.Second)
	defer stop()
	if r, ok := w.adm.FindGroupCoordinators(ctx, group)[group]; ok && r.Err == nil {
		for i, b := range w.brokers {
			if b.ID == r.NodeID {
				return i
			}
		}
	}
	return w.rng.IntN(len(w.brokers))
}

// produce writes about 500 records a second until ctx ends, and tells how many were acknowledged.
func produce(ctx context.Context, cl *kgo.Client) (acked int64) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var mu sync.Mutex
	for {
		select {
		case <-ctx.Done():
			flush, stop := context.WithTimeout(context.Background(), 2*time.Minute)
			defer stop()
			_ = cl.Flush(flush) // what is not flushed was not acknowledged
			mu.Lock()
			defer mu.Unlock()
			return acked
		case <-tick.C:
		}
		for range 10 {
			cl.Produce(context.Background(), kgo.StringRecord("record"), func(_ *kgo.Record, err error) {
				if err == nil {
					mu.Lock()
					acked++
					mu.Unlock()
				}
			})
		}
	}
}

// observe watches committed offsets and states until ctx ends.
func (w *world) observe(ctx context.Context) {
	for ctx.Err() == nil {
		for _, g := range w.groups {
			rctx, stop := context.WithTimeout(ctx, 5*time.Second)
			offsets, err := w.adm.FetchOffsets(rctx, g.name)
			state, derr := w.state(rctx, g)
			stop()
			g.mu.Lock()
			if err == nil {
				offsets.Each(func(o kadm.OffsetResponse) {
					if o.Err != nil {
						return
					}
					if o.At < g.committed[o.Partition] {
						w.t.Errorf("group %s, %s-%d: offset %d was committed, and then %d", g.name, topicName, o.Partition, g.committed[o.Partition], o.At)
					}
					g.committed[o.Partition] = max(g.committed[o.Partition], o.At)
				})
			}
			if derr == nil {
				switch {
				case state != "Stable" && g.unstable.IsZero():
					g.unstable = time.Now()
				case state == "Stable" && !g.unstable.IsZero():
					g.rebalance = append(g.rebalance, time.Since(g.unstable))
					g.unstable = time.Time{}
				}
			}
			g.mu.Unlock()
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// settle leaves the groups alone and waits until each has read everything and is stable.
func (w *world) settle(join, stopObserving func(), written *int64) {
	t := w.t
	deadline := time.Now().Add(3 * time.Minute)
	var ends map[int32]int64
	var state string
	for ; ; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("three minutes after the end: %s", state)
		}
		if ends, state = w.ends(); state == "" {
			if state = w.unfinished(ends); state == "" {
				break
			}
		}
	}
	for _, g := range w.groups {
		for _, m := range g.members {
			w.ending.Go(m.leave)
		}
	}
	w.ending.Wait()
	stopObserving()
	join()
	var total int64
	for _, end := range ends {
		total += end
	}
	if total < *written {
		t.Errorf("%d records were acknowledged, %d are there", *written, total)
	}
	t.Logf("%d records; %d joins, %d crashes, %d pauses, %d coordinators killed", total, w.joins, w.crashes, w.pauses, w.kills)
	for _, g := range w.groups {
		if len(g.rebalance) > 0 {
			slices.Sort(g.rebalance)
			t.Logf("group %s: not stable %d times, for %v in the middle, %v at most", g.name, len(g.rebalance),
				g.rebalance[len(g.rebalance)/2].Round(10*time.Millisecond), g.rebalance[len(g.rebalance)-1].Round(10*time.Millisecond))
		}
	}
}

// state is what a description says of a group.
func (w *world) state(ctx context.Context, g *groupRun) (string, error) {
	if g.modern {
		all, err := w.adm.DescribeConsumerGroups(ctx, g.name)
		if err == nil {
			err = all[g.name].Err
		}
		return all[g.name].State, err
	}
	all, err := w.adm.DescribeGroups(ctx, g.name)
	if err == nil {
		err = all[g.name].Err
	}
	return all[g.name].State, err
}

func (w *world) ends() (map[int32]int64, string) {
	ctx, stop := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer stop()
	listed, err := w.adm.ListEndOffsets(ctx, topicName)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, err.Error()
	}
	ends := make(map[int32]int64)
	listed.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	return ends, ""
}

// unfinished says what a group still lacks, "" for nothing.
func (w *world) unfinished(ends map[int32]int64) string {
	ctx, stop := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer stop()
	for _, g := range w.groups {
		if n, first := g.missing(ends); n > 0 {
			return fmt.Sprintf("group %s has not seen %d records, the first is %s", g.name, n, first)
		}
		state, err := w.state(ctx, g)
		if err != nil {
			return err.Error()
		}
		if state != "Stable" {
			return fmt.Sprintf("group %s is %s", g.name, state)
		}
		offsets, err := w.adm.FetchOffsets(ctx, g.name)
		if err != nil {
			return err.Error()
		}
		for p, end := range ends {
			if o, ok := offsets.Lookup(topicName, p); end > 0 && (!ok || o.At != end) {
				return fmt.Sprintf("group %s has committed %d of %d in partition %d", g.name, o.At, end, p)
			}
		}
	}
	return ""
}
