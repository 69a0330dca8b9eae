package broker_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"

	"ottla/broker"
	"ottla/broker/config"
	"ottla/broker/logging"
	"ottla/zkmeta"
	"ottla/zkmeta/embedded"
	"ottla/zkmeta/ensemble"
)

// deafStore is a store whose sessions cannot read the configs of topics while deaf is set.
type deafStore struct {
	zkmeta.Store
	deaf  *atomic.Bool
	asked *atomic.Int64
}

type deafSession struct {
	zkmeta.Session
	store *deafStore
}

func (s *deafStore) Connect(ctx context.Context) (zkmeta.Session, error) {
	session, err := s.Store.Connect(ctx)
	return &deafSession{session, s}, err
}

func (s *deafSession) Get(ctx context.Context, path string, w *zkmeta.Watch) ([]byte, zkmeta.Stat, error) {
	if strings.HasPrefix(path, zkmeta.ConfigRoot+"/"+zkmeta.ConfigTopics+"/") && s.store.deaf.Load() {
		s.store.asked.Add(1)
		return nil, zkmeta.Stat{}, zkmeta.ErrConnectionLoss
	}
	return s.Session.Get(ctx, path, w)
}

// Found by the simulation (seed 51054): a broker that lost its connection to ZooKeeper while a topic was created used the topic with its own
// defaults, min.insync.replicas=1 among them, until its next session.
func TestConfigsOfNewTopicAreReadAfterAll(t *testing.T) {
	t.Parallel()
	tree, err := embedded.Open(embedded.Config{Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	store := &deafStore{tree, &atomic.Bool{}, &atomic.Int64{}}
	static, _, err := config.Load(config.Sources{Sets: []string{
		"log.dirs=" + filepath.Join(t.TempDir(), "data"), "listeners=PLAINTEXT://127.0.0.1:0", "zookeeper.connect=given:2181", "broker.id=1",
	}})
	if err != nil {
		t.Fatal(err)
	}
	levels := logging.New(&output{}, false, zerolog.InfoLevel)
	b, err := broker.Start(t.Context(), broker.Options{Config: static, Log: levels.Logger("broker"), Levels: levels,
		Ensemble: func(ensemble.Config) (zkmeta.Store, error) { return store, nil }})
	if err != nil {
		t.Fatal(err)
	}
	r := &running{Broker: b, t: t, addr: b.Addr("PLAINTEXT").String()}
	t.Cleanup(r.stop)

	store.deaf.Store(true)
	another, err := tree.Connect(t.Context())
	if err == nil {
		err = zkmeta.CreateTopic(t.Context(), another, "t", map[int32][]int32{0: {1}}, map[string]string{"min.insync.replicas": "2"}, zkmeta.NewUUID())
	}
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the log of the new topic", func() error {
		if p := b.Replica("t", 0); p == nil || p.Log() == nil || store.asked.Load() == 0 {
			return errors.New("it is not there")
		}
		return nil
	})
	if got := b.Replica("t", 0).Log().Config().MinInsyncReplicas; got != 1 {
		t.Fatalf("min.insync.replicas is %d before it could be read", got)
	}
	store.deaf.Store(false)
	eventually(t, "the topic's configs", func() error {
		if b.Replica("t", 0).Log().Config().MinInsyncReplicas != 2 {
			return errors.New("the log has the broker's defaults")
		}
		return nil
	})
}
