package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ottla/broker/config"
	"ottla/storage"
	"ottla/storage/vfs"
	"ottla/zkmeta"
	"ottla/zkmeta/embedded"
	"ottla/zkmeta/ensemble"
)

// openStore chooses the metadata store. It is the only place that knows which one it is.
func (b *Broker) openStore(dirs []string, meta storage.Meta) error {
	s := b.cfg.Snapshot()
	if !standalone(s) {
		cfg, err := b.ensembleConfig(s)
		if err != nil {
			return err
		}
		store, err := b.opts.Ensemble(cfg)
		if err == nil {
			b.store = store
		}
		return err
	}
	if err := os.MkdirAll(dirs[0], 0o755); err != nil {
		return fmt.Errorf("log.dirs: %w", err)
	}
	path := filepath.Join(dirs[0], embeddedFile)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && !b.opts.Adopt {
		if found := firstPartition(dirs); found != "" {
			return fmt.Errorf("%s holds topics of a cluster whose metadata is not here (cluster id %q): start with zookeeper.connect, "+
				"or with --adopt to take the topics over into a standalone broker, or on another log.dirs", found, meta.ClusterID)
		}
	}
	store, err := embedded.Open(embedded.Config{Path: path, OnFailure: b.fail, Log: b.opts.Levels.Logger("zkmeta")})
	switch {
	case errors.Is(err, embedded.ErrInUse):
		return fmt.Errorf("the log directory is in use, is another broker running on it?: %w", err)
	case err == nil:
		b.store = store
	}
	return err
}

// connect opens the first session, within zookeeper.connection.timeout.ms.
func (b *Broker) connect(ctx context.Context) error {
	s := b.cfg.Snapshot()
	timeout := s.ZooKeeperConnectionTimeoutMs()
	bounded, stop := context.WithTimeout(ctx, millis(timeout))
	defer stop()
	session, err := b.store.Connect(bounded)
	if err != nil {
		if ctx.Err() != nil {
			return err // it was not the time
		}
		return fmt.Errorf("zookeeper.connection.timeout.ms=%d has passed: %w", timeout, err)
	}
	b.session.Store(&sessionBox{session})
	return zkmeta.EnsurePersistent(ctx, session)
}

// identify settles cluster id and broker id: what meta.properties says must agree with the store and the configuration.
func (b *Broker) identify(ctx context.Context, meta storage.Meta) (clusterID string, err error) {
	proposed := meta.ClusterID
	if proposed == "" {
		proposed = config.Get(b.cfg.Snapshot(), config.OttlaClusterId)
	}
	if proposed == "" {
		proposed = zkmeta.EncodeTopicID(zkmeta.NewUUID())
	}
	if clusterID, err = zkmeta.ClusterID(ctx, b.Session(), proposed); err != nil {
		return "", fmt.Errorf("cluster id: %w", err)
	}
	if meta.ClusterID != "" && meta.ClusterID != clusterID {
		return "", fmt.Errorf("the cluster id is %s but meta.properties of the log directories says %s: "+
			"the broker is joining the wrong cluster, or the log directories are another cluster's", clusterID, meta.ClusterID)
	}
	s := b.cfg.Snapshot()
	b.id = s.BrokerID()
	switch {
	case b.id >= 0 && meta.BrokerID >= 0 && b.id != meta.BrokerID:
		return "", fmt.Errorf("broker.id is %d but meta.properties of the log directories says %d", b.id, meta.BrokerID)
	case b.id < 0 && meta.BrokerID >= 0:
		b.id = meta.BrokerID
	case b.id < 0 && standalone(s):
		b.id = 0
	case b.id < 0 && !config.Get(s, config.BrokerIdGenerationEnable):
		return "", errors.New("broker.id is not set and broker.id.generation.enable is false")
	case b.id < 0:
		if b.id, err = zkmeta.GenerateBrokerID(ctx, b.Session(), int32(config.Get(s, config.ReservedBrokerMaxId))); err != nil {
			return "", fmt.Errorf("generate a broker id: %w", err)
		}
	}
	return clusterID, nil
}

// enter registers the broker, in a new session if the first one has ended meanwhile: logs may take long to recover.
func (b *Broker) enter(ctx context.Context) error {
	for {
		err := b.register(ctx)
		if ctx.Err() != nil || !errors.Is(err, zkmeta.ErrSessionExpired) {
			return err
		}
		b.log.Warn().Err(err).Msg("metadata session expired before the broker was registered; opening a new one")
		if err := b.connect(ctx); err != nil {
			return err
		}
	}
}

// register writes this broker's znode and remembers its epoch. It waits for another owner of the id to go.
func (b *Broker) register(ctx context.Context) error {
	session := b.Session()
	b.recallSession(session.ID())
	ctx = b.log.WithContext(ctx) // for what zkmeta has to say while it waits
	epoch, err := zkmeta.Register(ctx, session, b.info(), b.prevOwn)
	if err != nil {
		return err
	}
	if err := b.freeController(ctx, session); err != nil {
		b.log.Warn().Err(err).Msg("the controllership of this broker's last run stays until its session has expired")
	}
	b.prevOwn = session.ID()
	b.epoch.Store(epoch)
	return nil
}

// recallSession reads which session this broker had in its last life, and writes the present one down for the next. What belongs to the
// former can be taken over at once, without it after the session timeout.
func (b *Broker) recallSession(present int64) {
	dir := b.onlineDir()
	if dir == "" {
		return
	}
	path := filepath.Join(dir, sessionFile)
	if text, err := vfs.ReadFile(b.opts.FS, path, 1<<10); err == nil && b.prevOwn == 0 {
		b.prevOwn, _ = strconv.ParseInt(strings.TrimSpace(string(text)), 16, 64)
	}
	if err := vfs.WriteFile(b.opts.FS, path, []byte(strconv.FormatInt(present, 16)+"\n"), false); err != nil {
		b.log.Warn().Err(err).Msg("the metadata session could not be written down; after a crash a restart waits for it to expire")
	}
}

// freeController deletes /controller if this broker's last life left it, as the session's end would do. The check of the epoch's version makes
// sure that nobody else is deposed: an election writes both.
func (b *Broker) freeController(ctx context.Context, s zkmeta.Session) error {
	if b.prevOwn == 0 {
		return nil
	}
	_, epoch, err := s.Get(ctx, zkmeta.ControllerEpoch, nil)
	if errors.Is(err, zkmeta.ErrNoNode) {
		return nil
	}
	if err != nil {
		return err
	}
	stat, exists, err := s.Exists(ctx, zkmeta.Controller, nil)
	if err != nil || !exists || stat.EphemeralOwner != b.prevOwn {
		return err
	}
	_, err = s.Multi(ctx, zkmeta.CheckOp(zkmeta.ControllerEpoch, epoch.Version), zkmeta.DeleteOp(zkmeta.Controller, zkmeta.AnyVersion))
	if errors.Is(err, zkmeta.ErrNoNode) || errors.Is(err, zkmeta.ErrBadVersion) {
		return nil // it is gone, or another's
	}
	return err
}

// info is the registration, with the listeners as clients are to reach them.
func (b *Broker) info() zkmeta.BrokerInfo {
	s := b.cfg.Snapshot()
	info := zkmeta.BrokerInfo{Features: supportedFeatures(s), ID: b.id, Version: 5, Rack: config.Get(s, config.BrokerRack), JMXPort: -1, TimestampMs: time.Now().UnixMilli()}
	for _, l := range b.listeners {
		if l.advertised.Host == "" {
			continue // bound but not told to anybody
		}
		info.Endpoints = append(info.Endpoints, zkmeta.Endpoint{
			Listener: l.name, Protocol: l.protocol, Host: l.advertised.Host, Port: l.advertised.Port,
		})
	}
	return info
}

// sessionState freezes the ISR while the ensemble is silent: the session may have expired there, and another broker lead. A connection is lost,
// at the latest, when nothing was heard for two thirds of the session timeout, and so before the session can end.
func (b *Broker) sessionState(_ int64, state ensemble.State) {
	if r := b.replication.Load(); r != nil {
		r.FreezeISR(state == ensemble.Silent)
		r.Unsure(state != ensemble.Connected)
	}
}

// followSession renews, when a session has expired, everything that ended with it: leadership, registration, candidacy, watches.
func (b *Broker) followSession(ctx context.Context) {
	for {
		session := b.Session()
		select {
		case <-ctx.Done():
			return
		case <-b.watchRegistration(ctx, session):
			b.reenter(ctx, session)
			continue
		case <-session.Expired():
		}
		b.log.Warn().Hex("session", sessionBytes(session)).Msg("metadata session expired; opening a new one")
		b.controller.Resign()
		b.lose()
		for {
			err := b.renew(ctx)
			if err == nil || ctx.Err() != nil {
				break
			}
			b.log.Warn().Err(err).Msg("metadata session could not be renewed; trying again")
			select {
			case <-ctx.Done():
			case <-time.After(renewPause):
			}
		}
	}
}

// lose ends everything that rested on the registration, which is gone. What the controller decided since is not known here, and what it has sent to
// the former registration, and is still on its way, is refused: a leadership in it may be another's by now.
func (b *Broker) lose() {
	b.lost.Store(b.epoch.Add(1)) // below that of any later registration: removing the former one was a transaction, too
	b.replication.Load().ResignAll()
}

// renewPause is the wait before a request to the metadata store that failed is made again.
const renewPause = time.Second

func (b *Broker) renew(ctx context.Context) error {
	b.Session().Close()
	session, err := b.store.Connect(ctx)
	if err != nil {
		return err
	}
	b.session.Store(&sessionBox{session})
	if b.isolated.Load() {
		if err := b.returnWhenReplaced(ctx, session); err != nil {
			return err
		}
	}
	if err := b.register(ctx); err != nil {
		return err
	}
	b.isolated.Store(false)
	b.controller.Start(session)
	b.watchConfigs(ctx, session)
	b.reloadConfigs(ctx)
	b.log.Info().Hex("session", sessionBytes(session)).Int64("broker_epoch", b.epoch.Load()).Msg("registered in a new metadata session")
	return nil
}

// sessionBytes is a session's id for a log line, in hexadecimal as ZooKeeper prints it.
func sessionBytes(s zkmeta.Session) []byte { return binary.BigEndian.AppendUint64(nil, uint64(s.ID())) }
