package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ottla/broker/config"
	"ottla/storage"
	"ottla/zkmeta"
	"ottla/zkmeta/embedded"
	"ottla/zkmeta/ensemble"
)

// openStore chooses the metadata store. It is the only place that knows which one it is.
func (b *Broker) openStore(dirs []string, meta storage.Meta) error {
	s := b.cfg.Snapshot()
	var err error
	if !standalone(s) {
		b.store, err = ensemble.New(b.ensembleConfig(s))
		return err
	}
	path := filepath.Join(dirs[0], embeddedFile)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && !b.opts.Adopt {
		if found := firstPartition(dirs); found != "" {
			return fmt.Errorf("%s holds topics of a cluster whose metadata is not here (cluster id %q): start with zookeeper.connect, "+
				"or with --adopt to take the topics over into a standalone broker, or on another log.dirs", found, meta.ClusterID)
		}
	}
	b.store, err = embedded.Open(embedded.Config{Path: path, OnFailure: b.fail, Log: b.opts.Levels.Logger("zkmeta")})
	return err
}

// connect opens the first session, within zookeeper.connection.timeout.ms.
func (b *Broker) connect(ctx context.Context) error {
	s := b.cfg.Snapshot()
	timeout := s.ZooKeeperConnectionTimeoutMs()
	bounded, stop := context.WithTimeout(ctx, time.Duration(timeout)*time.Millisecond)
	defer stop()
	session, err := b.store.Connect(bounded)
	if err != nil {
		return fmt.Errorf("connect to ZooKeeper at %s within %d ms: %w", config.Get(s, config.ZookeeperConnect), timeout, err)
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

// register writes this broker's znode and remembers its epoch. It waits for another owner of the id to go.
func (b *Broker) register(ctx context.Context) error {
	path := filepath.Join(logDirs(b.cfg.Snapshot())[0], sessionFile)
	if text, err := os.ReadFile(path); err == nil && b.prevOwn == 0 {
		b.prevOwn, _ = strconv.ParseInt(strings.TrimSpace(string(text)), 16, 64)
	}
	session := b.Session()
	if err := os.WriteFile(path, []byte(strconv.FormatInt(session.ID(), 16)+"\n"), 0o644); err != nil {
		return fmt.Errorf("remember the metadata session: %w", err)
	}
	epoch, err := zkmeta.Register(ctx, session, b.info(), b.prevOwn)
	if err != nil {
		return fmt.Errorf("register broker %d: %w", b.id, err)
	}
	b.prevOwn = session.ID()
	b.epoch.Store(epoch)
	return nil
}

// info is the registration, with the listeners as clients are to reach them.
func (b *Broker) info() zkmeta.BrokerInfo {
	s := b.cfg.Snapshot()
	info := zkmeta.BrokerInfo{ID: b.id, Version: 5, Rack: config.Get(s, config.BrokerRack), JMXPort: -1, TimestampMs: time.Now().UnixMilli()}
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

// sessionState freezes the ISR while the ensemble is silent: the session may have expired there, and another broker lead.
func (b *Broker) sessionState(_ int64, state ensemble.State) {
	if r := b.replication.Load(); r != nil {
		r.FreezeISR(state == ensemble.Silent)
	}
}

// followSession renews, when a session has expired, everything that ended with it: leadership, registration, candidacy, watches.
func (b *Broker) followSession(ctx context.Context) {
	for {
		session := b.Session()
		select {
		case <-ctx.Done():
			return
		case <-session.Expired():
		}
		b.log.Warn().Int64("session", session.ID()).Msg("metadata session expired; opening a new one")
		b.controller.Resign()
		b.replication.Load().ResignAll() // what the controller decided since is not known here
		for ctx.Err() == nil {
			err := b.renew(ctx)
			if err == nil {
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

const renewPause = time.Second

func (b *Broker) renew(ctx context.Context) error {
	session, err := b.store.Connect(ctx)
	if err != nil {
		return err
	}
	b.session.Store(&sessionBox{session})
	if err := b.register(ctx); err != nil {
		return err
	}
	b.controller.Start(session)
	b.watchConfigs(ctx, session)
	b.log.Info().Int64("session", session.ID()).Int64("broker_epoch", b.epoch.Load()).Msg("registered in a new metadata session")
	return nil
}
