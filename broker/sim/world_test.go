package sim

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"ottla/broker/config"
)

// world is one run: everything that its seed decides.
type world struct {
	t     *testing.T
	seed  uint64
	plan  plan
	trace *trace
	net   *network
	zoo   *zoo
	nodes []*node
	hist  *history
	// over ends the world's own goroutines.
	over context.Context
	end  context.CancelFunc
	wg   sync.WaitGroup
	// quiet is closed when the faults have ended and clients are to stop.
	quiet chan struct{}
}

// plan is what kind of run the seed makes.
type plan struct {
	partitions int32
	minISR     int32
	// durable: flush.messages=1, and machines lose power; otherwise processes are killed and the page cache stays.
	durable      bool
	fastFailover bool
	lagMax       time.Duration
	faults       time.Duration // how long there are faults
	// late: the topic is created while there are faults.
	late bool
}

const (
	topic          = "t"
	brokers        = 3
	sessionTimeout = 6 * time.Second
)

func newPlan(rnd *rand.Rand) plan {
	p := plan{partitions: 1 + rnd.Int32N(2), minISR: 2, lagMax: time.Duration(2+rnd.IntN(6)) * time.Second, faults: 30 * time.Second}
	p.durable = rnd.IntN(4) == 0
	p.fastFailover = rnd.IntN(2) == 0
	if !p.durable && rnd.IntN(8) == 0 {
		p.minISR = 1
	}
	p.late = rnd.IntN(3) == 0
	return p
}

func newWorld(t *testing.T, seed uint64, tr *trace) *world {
	w := &world{t: t, seed: seed, trace: tr, quiet: make(chan struct{})}
	w.over, w.end = context.WithCancel(context.Background())
	w.plan = newPlan(w.stream("plan"))
	w.hist = newHistory(w)
	w.net = newNetwork(w)
	w.zoo = newZoo(w)
	for id := range int32(brokers) {
		w.nodes = append(w.nodes, newNode(w, id+1))
	}
	return w
}

// stream is a source of random numbers of its own for each name, so that one part's draws do not shift another's.
func (w *world) stream(name string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return rand.New(rand.NewPCG(w.seed, h.Sum64()))
}

// sleep returns false if the world ends first.
func (w *world) sleep(d time.Duration) bool { return sleep(w.over, d) }

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// between is evenly distributed.
func between(rnd *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(rnd.Int64N(int64(to-from)+1))
}

func (w *world) note(format string, args ...any) { w.trace.add(fmt.Sprintf(format, args...)) }

// fail records a broken promise; the run goes on to its end.
func (w *world) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.trace.fail(text)
}

// run is the whole of a simulation, in a bubble.
func (w *world) run() {
	w.note("seed %d: %+v", w.seed, w.plan)
	for _, n := range w.nodes {
		n.start()
	}
	if w.plan.late {
		w.wg.Go(w.use)
	} else {
		w.use()
	}
	w.disturb()
	w.heal()
	w.converge()
	for _, n := range w.nodes {
		n.stop()
	}
	w.end()
	w.wg.Wait()
	w.zoo.close()
}

// use creates the topic and starts its clients.
func (w *world) use() {
	if !w.createTopic() {
		return
	}
	for p := range w.plan.partitions {
		w.wg.Go(func() { w.produce(p) })
		w.wg.Go(func() { w.consume(p) })
	}
	w.wg.Go(w.watch)
}

// settings are a broker's configuration.
func (w *world) settings(n *node) *config.Static {
	static, _, err := config.Load(config.Sources{Sets: []string{
		fmt.Sprintf("broker.id=%d", n.id), "zookeeper.connect=zk:2181", "listeners=PLAINTEXT://" + n.host + ":9092", "log.dirs=/data",
		"ottla.cluster.id=simulation-cluster-id1", fmt.Sprintf("zookeeper.session.timeout.ms=%d", sessionTimeout.Milliseconds()),
		"zookeeper.connection.timeout.ms=60000", "log.cleaner.enable=false", "auto.create.topics.enable=false",
		fmt.Sprintf("replica.lag.time.max.ms=%d", w.plan.lagMax.Milliseconds()), "replica.socket.timeout.ms=5000",
		"controller.socket.timeout.ms=5000", "request.timeout.ms=5000", "socket.connection.setup.timeout.ms=2000",
		"controlled.shutdown.retry.backoff.ms=500", "leader.imbalance.check.interval.seconds=10",
		"replica.high.watermark.checkpoint.interval.ms=1000", "log.initial.task.delay.ms=500",
		fmt.Sprintf("ottla.failover.fast=%t", w.plan.fastFailover),
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	return static
}
