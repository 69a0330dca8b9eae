package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"ottla/broker"
	"ottla/broker/config"
	"ottla/broker/logging"
	"ottla/storage/vfs"
	"ottla/zkmeta"
	"ottla/zkmeta/ensemble"
)

// node is a machine that runs one broker.
type node struct {
	w      *world
	id     int32
	host   string
	rnd    *rand.Rand
	static *config.Static
	paused atomic.Bool

	mu   sync.Mutex
	disk *vfs.Mem
	proc *process // nil while there is none
	lost bool     // the last process ended with the machine's power
}

// process is one life of a broker.
type process struct {
	node     *node
	dead     atomic.Bool        // from here on nothing that it does reaches anything
	starting context.CancelFunc // gives the start up
	done     chan struct{}      // closed when it has started, or given up
	life     context.Context    // ends when it is killed
	kill     context.CancelFunc
	stopping atomic.Bool // Stop was called
	zk       atomic.Pointer[client]
	b        atomic.Pointer[broker.Broker] // nil until it has started
	disk     *vfs.Mem
}

func newNode(w *world, id int32) *node {
	n := &node{w: w, id: id, host: fmt.Sprintf("10.0.0.%d", id), disk: vfs.NewMem()}
	n.rnd = w.stream("disk of " + n.host)
	n.static = w.settings(n)
	return n
}

// start runs a broker on the machine's disk, unless one runs. A start that fails is tried again, as a supervisor does.
func (n *node) start() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc != nil {
		return
	}
	if n.lost {
		n.lost = false
		n.w.net.power(n.host)
	}
	p := &process{node: n, done: make(chan struct{}), disk: n.disk}
	p.life, p.kill = context.WithCancel(context.Background())
	var ctx context.Context
	ctx, p.starting = context.WithCancel(p.life)
	n.proc = p
	n.w.note("start broker %d", n.id)
	n.w.wg.Go(func() {
		defer close(p.done)
		for !p.dead.Load() && ctx.Err() == nil {
			b, err := p.run(ctx)
			if err == nil {
				p.b.Store(b)
				return
			}
			n.w.note("broker %d did not start: %v", n.id, err)
			if !sleep(ctx, time.Second) {
				return
			}
		}
	})
}

func (p *process) run(ctx context.Context) (*broker.Broker, error) {
	n := p.node
	levels := logging.New(logWriter{p}, false, zerolog.InfoLevel)
	return broker.Start(ctx, broker.Options{
		Config: n.static, Log: levels.Logger("broker"), Levels: levels, FS: p.disk,
		Ensemble: func(cfg ensemble.Config) (zkmeta.Store, error) {
			c := &client{z: n.w.zoo, p: p, cfg: cfg}
			p.zk.Store(c)
			return c, nil
		},
		Listen: func(_ context.Context, addr string) (net.Listener, error) { return n.w.net.listen(p, addr) },
		Dial: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return n.w.net.dial(ctx, p, n.host, addr)
		},
	})
}

// crash kills the process. Without powerLost the page cache stays; with it the disk keeps what was synced and some of the rest.
func (n *node) crash(powerLost bool) {
	n.mu.Lock()
	p := n.proc
	if p == nil {
		n.mu.Unlock()
		return
	}
	n.proc, n.lost = nil, powerLost
	p.dead.Store(true)
	mode := vfs.KeepAll
	if powerLost {
		mode = vfs.CrashMode(n.rnd.IntN(3))
	}
	n.w.note("crash of broker %d: %s", n.id, mode)
	n.disk = n.disk.CrashClone(mode, n.rnd)
	n.mu.Unlock()
	n.w.net.crash(p, powerLost)
	n.w.zoo.mu.Lock()
	n.w.zoo.wakeLocked()
	n.w.zoo.mu.Unlock()
	p.bury(n.w)
}

// bury ends the goroutines of a dead process.
func (p *process) bury(w *world) {
	p.kill()
	w.wg.Go(func() {
		<-p.done
		if b := p.b.Load(); b != nil && !p.stopping.Swap(true) {
			_ = b.Stop(p.life)
		}
	})
}

// stop shuts the broker down as SIGTERM does.
func (n *node) stop() {
	n.mu.Lock()
	p := n.proc
	n.mu.Unlock()
	if p == nil {
		return
	}
	n.w.note("stop broker %d", n.id)
	p.starting()
	<-p.done
	if b := p.b.Load(); b != nil && !p.stopping.Swap(true) {
		ctx, cancel := context.WithTimeout(p.life, 20*time.Second)
		defer cancel()
		if err := b.Stop(ctx); err != nil && !p.dead.Load() {
			n.w.fail("broker %d did not stop: %v", n.id, err)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc == p { // it may have been killed meanwhile
		n.proc = nil
	}
	n.w.note("broker %d stopped", n.id)
}

// running is the broker that runs, or nil.
func (n *node) running() *broker.Broker {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc == nil {
		return nil
	}
	return n.proc.b.Load()
}
