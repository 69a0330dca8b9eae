package broker

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"ottla/broker/api"
	"ottla/broker/config"
	"ottla/broker/logging"
	"ottla/broker/metadata"
	"ottla/broker/topicconfig"
	"ottla/coordinator/group"
	"ottla/coordinator/txn"
	"ottla/replication"
	"ottla/storage"
	"ottla/storage/vfs"
	"ottla/wire"
	"ottla/zkmeta"
	"ottla/zkmeta/controller"
	"ottla/zkmeta/ensemble"
)

// Options are what a broker is started with.
type Options struct {
	Config *config.Static
	Log    zerolog.Logger
	// Levels makes the loggers of the broker's parts.
	Levels *logging.Levels
	// PortsFile gets a line "NAME host:port" for each listener once it is bound, for port 0. Empty for none.
	PortsFile string
	// Adopt takes over the topics in log directories that belong to no metadata store, in standalone mode.
	Adopt bool
	// Version is what the start-up line says.
	Version string
	// FS holds the log directories; nil is the operating system's. Tests give one that fails or crashes.
	FS vfs.FS
	// Ensemble makes the client of zookeeper.connect; nil is ensemble.New. Simulations give a store of their own.
	Ensemble func(ensemble.Config) (zkmeta.Store, error)
	// Listen and Dial open listeners and connections to other brokers; nil is TCP. Addresses are *net.TCPAddr.
	Listen func(ctx context.Context, addr string) (net.Listener, error)
	Dial   func(ctx context.Context, network, addr string) (net.Conn, error)
}

func (o *Options) fillIn() {
	if o.FS == nil {
		o.FS = vfs.OS
	}
	if o.Ensemble == nil {
		o.Ensemble = func(c ensemble.Config) (zkmeta.Store, error) { return ensemble.New(c) }
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
}

// Broker is one running broker.
type Broker struct {
	log   zerolog.Logger
	opts  Options
	cfg   *config.Dynamic
	id    int32
	epoch atomic.Int64 // of the present registration, -1 before; above it once it is lost
	lost  atomic.Int64 // epoch when the last registration was lost, 0 if none was

	store   zkmeta.Store
	session atomic.Pointer[sessionBox]
	changes *zkmeta.ChangeListener // of /config/changes; outlives sessions
	prevOwn int64                  // session id that this broker had in its last life, 0 if none

	cache        *metadata.Cache
	topics       *topicconfig.Store
	groupConfigs groupConfigs
	logs         *storage.Manager
	replication  atomic.Pointer[replication.Manager] // nil until assembled
	groups       *group.Coordinator
	controller   *controller.Controller
	api          *api.API
	peers        *peers
	server       *wire.Server
	listeners    []*listener
	txns         *txn.Coordinator
	features     atomic.Pointer[api.Features] // nil until the registrations were read

	ctx         context.Context // of the goroutines in wg, and of what they ask of the metadata store
	stop        context.CancelFunc
	wg          sync.WaitGroup
	dirFailures chan dirFailure          // log directories that went offline, each once
	failed      chan error               // a reason to stop, from inside
	stopping    atomic.Bool              // Stop was called
	isolated    atomic.Bool              // the session was given up because no follower was heard
	given       []storage.TopicPartition // what this broker led then
	stopped     sync.Once
}

// sessionBox lets a Session interface live in an atomic.Pointer.
type sessionBox struct{ zkmeta.Session }

// standalone says that no ZooKeeper is configured, so that the metadata store is embedded.
func standalone(s *config.Snapshot) bool {
	servers, _ := s.ZooKeeperConnect()
	return len(servers) == 0
}

// embeddedFile holds the embedded metadata store, in the first log directory. Kafka ignores files that it does not know there.
const embeddedFile = "ottla-metadata.db"

// sessionFile keeps the id of the metadata session, in the first log directory, under its lock.
const sessionFile = "ottla-session"

// Start brings a broker up and returns when it serves requests. ctx bounds the start only.
//
// Errors name what is wrong and where: a log directory that is locked, of another cluster or broker, or not readable; a metadata
// store that cannot be reached in time; a port that is taken; a broker id that another live broker has.
func Start(ctx context.Context, opts Options) (_ *Broker, err error) {
	began := time.Now()
	opts.fillIn()
	b := &Broker{log: opts.Log, opts: opts, cfg: config.NewDynamic(opts.Config), cache: metadata.New(), failed: make(chan error, 1)}
	b.epoch.Store(-1)
	b.ctx, b.stop = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			b.abandon()
		}
	}()
	dirs := logDirs(b.cfg.Snapshot())
	b.dirFailures = make(chan dirFailure, len(dirs))
	meta, err := peekMeta(opts.FS, dirs)
	if err != nil {
		return nil, err
	}
	if err := b.openStore(dirs, meta); err != nil {
		return nil, err
	}
	if err := b.connect(ctx); err != nil {
		return nil, err
	}
	clusterID, err := b.identify(ctx, meta)
	if err != nil {
		return nil, err
	}
	b.log = b.log.With().Int32("broker", b.id).Logger()
	if err := b.loadConfigs(ctx); err != nil {
		return nil, err
	}
	if err := b.openLogs(ctx, dirs, clusterID); err != nil {
		return nil, err
	}
	b.assemble(clusterID)
	if err := b.bind(ctx); err != nil {
		return nil, err
	}
	if err := b.enter(ctx); err != nil {
		return nil, err
	}
	b.wg.Go(func() { b.followSession(b.ctx) })
	b.wg.Go(func() { b.followPeers(b.ctx) })
	b.wg.Go(func() { b.followDirs(b.ctx) })
	b.wg.Go(func() { b.readMissedConfigs(b.ctx) })
	b.controller.Start(b.Session())
	b.watchConfigs(b.ctx, b.Session())
	b.startFeatures(ctx)
	if opts.Adopt {
		if err := b.adopt(ctx); err != nil {
			return nil, err
		}
	}
	b.serve()
	if err := writePortsFile(opts.PortsFile, b.listeners); err != nil {
		return nil, err
	}
	mode := "zookeeper"
	if standalone(b.cfg.Snapshot()) {
		mode = "standalone"
	}
	b.log.Info().Str("version", opts.Version).Str("cluster_id", clusterID).Str("metadata", mode).
		Strs("listeners", listenerTexts(b.listeners)).Dur("took", time.Since(began)).Msg("broker started")
	return b, nil
}

// Session is the present metadata session; it may have ended.
func (b *Broker) Session() zkmeta.Session { return b.session.Load().Session }

// ID is the broker id.
func (b *Broker) ID() int32 { return b.id }

// Replica is this broker's replica of a partition, nil if it has none. Simulations look inside by it.
func (b *Broker) Replica(topic string, partition int32) *replication.Partition {
	return b.replication.Load().Partition(topic, partition)
}

// Failed delivers an error that the broker cannot go on after; the caller is to stop it.
func (b *Broker) Failed() <-chan error { return b.failed }

func (b *Broker) fail(err error) {
	select {
	case b.failed <- err:
	default: // one reason is enough
	}
}

// Addr is where a listener is bound, by its name; nil if there is none.
func (b *Broker) Addr(name string) net.Addr {
	for _, l := range b.listeners {
		if l.name == name {
			return l.Addr()
		}
	}
	return nil
}

// logDirs are the absolute paths of log.dirs.
func logDirs(s *config.Snapshot) []string {
	var dirs []string
	for _, d := range s.LogDirs() {
		dirs = append(dirs, absolute(d))
	}
	return dirs
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
