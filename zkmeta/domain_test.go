package zkmeta_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/zkmeta"
	"ottla/zkmeta/embedded"
)

func openStore(t testing.TB) *embedded.Store {
	t.Helper()
	s, err := embedded.Open(embedded.Config{Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func connect(t testing.TB, s *embedded.Store) zkmeta.Session {
	t.Helper()
	c, err := s.Connect(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ready returns a session on a tree with a controller.
func ready(t testing.TB) (*embedded.Store, zkmeta.Session) {
	t.Helper()
	store := openStore(t)
	s := connect(t, store)
	if err := zkmeta.EnsurePersistent(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	electController(t, s)
	return store, s
}

func electController(t testing.TB, s zkmeta.Session) {
	t.Helper()
	info := zkmeta.ControllerInfo{BrokerID: 1, TimestampMs: 1, KRaftControllerEpoch: -1}
	if _, err := s.Create(context.Background(), zkmeta.Controller, info.Encode(), zkmeta.Ephemeral, nil); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, s zkmeta.Session, path string) string {
	t.Helper()
	data, _, err := s.Get(context.Background(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// lossy loses the answers of some writes: they happen and are reported as ErrConnectionLoss.
type lossy struct {
	zkmeta.Session
	only string // a path, or "" for all
	mu   sync.Mutex
	lose int
}

func (l *lossy) lost(path string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.only != "" && path != l.only {
		return false
	}
	l.lose--
	return l.lose >= 0
}

func (l *lossy) Create(ctx context.Context, path string, data []byte, mode zkmeta.Mode, acl []zkmeta.ACL) (string, error) {
	got, err := l.Session.Create(ctx, path, data, mode, acl)
	if err == nil && l.lost(path) {
		return "", fmt.Errorf("create %s: %w", path, zkmeta.ErrConnectionLoss)
	}
	return got, err
}

func (l *lossy) Set(ctx context.Context, path string, data []byte, version int32) (zkmeta.Stat, error) {
	got, err := l.Session.Set(ctx, path, data, version)
	if err == nil && l.lost(path) {
		return zkmeta.Stat{}, zkmeta.ErrConnectionLoss
	}
	return got, err
}

func (l *lossy) Multi(ctx context.Context, ops ...zkmeta.Op) ([]zkmeta.OpResult, error) {
	got, err := l.Session.Multi(ctx, ops...)
	if err == nil && l.lost(ops[len(ops)-1].Path) {
		return nil, zkmeta.ErrConnectionLoss
	}
	return got, err
}

func TestEnsurePersistent(t *testing.T) {
	s := connect(t, openStore(t))
	for range 2 {
		if err := zkmeta.EnsurePersistent(t.Context(), &lossy{Session: s, lose: 3}); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"/consumers", "/brokers/ids", "/brokers/topics", "/config/changes", "/admin/delete_topics", "/brokers/seqid",
		"/isr_change_notification", "/latest_producer_id_block", "/log_dir_event_notification", "/config/topics", "/config/clients",
		"/config/users", "/config/brokers", "/config/ips"} {
		if data, _, err := s.Get(t.Context(), path, nil); err != nil || data != nil {
			t.Errorf("%s: %q, %v", path, data, err)
		}
	}
}

func TestRegister(t *testing.T) {
	store, s := ready(t)
	info := zkmeta.BrokerInfo{ID: 1, JMXPort: -1, TimestampMs: 5, Endpoints: []zkmeta.Endpoint{{Listener: "PLAINTEXT", Protocol: "PLAINTEXT", Host: "h", Port: 9092}}}
	epoch, err := zkmeta.Register(t.Context(), s, info, 0)
	if err != nil {
		t.Fatal(err)
	}
	data, stat, err := s.Get(t.Context(), "/brokers/ids/1", nil)
	want := `{"features":{},"listener_security_protocol_map":{"PLAINTEXT":"PLAINTEXT"},"endpoints":["PLAINTEXT://h:9092"],"jmx_port":-1,"port":9092,"host":"h","version":5,"timestamp":"5"}`
	if err != nil || string(data) != want || stat.Czxid != epoch || stat.Version != 1 || stat.EphemeralOwner != s.ID() {
		t.Errorf("registered %s %+v, epoch %d, %v", data, stat, epoch, err)
	}
	// Again in the same session: an answer got lost.
	if again, err := zkmeta.Register(t.Context(), s, info, 0); err != nil || again != epoch {
		t.Errorf("again: epoch %d, want %d, %v", again, epoch, err)
	}
	info.Endpoints[0].Port = 9093
	if err := zkmeta.UpdateRegistration(t.Context(), s, info); err != nil {
		t.Fatal(err)
	}
	brokers, bad, err := zkmeta.ReadBrokers(t.Context(), s)
	if err != nil || len(bad) != 0 || len(brokers) != 1 || brokers[1].Epoch != epoch || brokers[1].Endpoints[0].Port != 9093 {
		t.Errorf("brokers: %+v, %v, %v", brokers, bad, err)
	}
	// The session of the last run is known: its node is replaced at once.
	next := connect(t, store)
	newEpoch, err := zkmeta.Register(t.Context(), next, info, s.ID())
	if err != nil || newEpoch <= epoch {
		t.Errorf("takeover: epoch %d after %d, %v", newEpoch, epoch, err)
	}
	// A lost answer to the registration itself.
	info.ID = 2
	lostEpoch, err := zkmeta.Register(t.Context(), &lossy{Session: next, lose: 1}, info, 0)
	if _, stat, _ := next.Get(t.Context(), "/brokers/ids/2", nil); err != nil || stat.Czxid != lostEpoch {
		t.Errorf("lost answer: epoch %d of %+v, %v", lostEpoch, stat, err)
	}
}

func TestRegisterWaitsForAnotherOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, s := ready(t)
		info := zkmeta.BrokerInfo{ID: 1, JMXPort: -1}
		epoch, err := zkmeta.Register(t.Context(), s, info, 0)
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		ctx, cancel := context.WithTimeout(zerolog.New(&log).WithContext(t.Context()), 12*time.Second)
		defer cancel()
		second := connect(t, store)
		_, err = zkmeta.Register(ctx, second, info, s.ID()+1000)
		if !errors.Is(err, kerr.DuplicateBrokerRegistration) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while another session holds it: %v", err)
		}
		if n := strings.Count(log.String(), "another session has registered"); n < 2 || n > 3 {
			t.Errorf("said %d times in 12 s: %s", n, log.String())
		}
		done := make(chan int64)
		start := time.Now()
		go func() {
			got, err := zkmeta.Register(t.Context(), second, info, 0)
			if err != nil {
				t.Error(err)
			}
			done <- got
		}()
		time.Sleep(6*time.Second + 300*time.Millisecond)
		store.Expire(s.ID())
		if got := <-done; got <= epoch || time.Since(start) > 6400*time.Millisecond {
			t.Errorf("registered with epoch %d after %v", got, time.Since(start))
		}
		store.Close()
	})
}

func TestRegisterEndsWithItsSession(t *testing.T) {
	store, s := ready(t)
	info := zkmeta.BrokerInfo{ID: 1}
	if _, err := zkmeta.Register(t.Context(), s, info, 0); err != nil {
		t.Fatal(err)
	}
	second := connect(t, store)
	errs := make(chan error)
	go func() {
		_, err := zkmeta.Register(t.Context(), second, info, 0)
		errs <- err
	}()
	second.Close()
	if err := <-errs; !errors.Is(err, zkmeta.ErrSessionExpired) {
		t.Error(err)
	}
}

func TestClusterID(t *testing.T) {
	store := openStore(t)
	var wg sync.WaitGroup
	ids := make([]string, 10)
	for i := range ids {
		s := &lossy{Session: connect(t, store), lose: i % 3}
		wg.Go(func() {
			var err error
			if ids[i], err = zkmeta.ClusterID(t.Context(), s, fmt.Sprintf("id%d", i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if slices.Sort(ids); ids[0] != ids[9] {
		t.Errorf("brokers disagree on the cluster id: %q", ids)
	}
	s := connect(t, store)
	if got := get(t, s, "/cluster/id"); got != `{"version":"1","id":"`+ids[0]+`"}` {
		t.Errorf("/cluster/id is %s", got)
	}
	if _, err := s.Set(t.Context(), "/cluster/id", []byte("{}"), -1); err != nil {
		t.Fatal(err)
	}
	if _, err := zkmeta.ClusterID(t.Context(), s, "x"); err == nil {
		t.Error("a cluster id without id is accepted")
	}
}

func TestGenerateBrokerID(t *testing.T) {
	s := connect(t, openStore(t))
	for want := int32(1001); want < 1004; want++ {
		if got, err := zkmeta.GenerateBrokerID(t.Context(), s, 1000); err != nil || got != want {
			t.Errorf("id %d, want %d, %v", got, want, err)
		}
	}
	if data, stat, _ := s.Get(t.Context(), "/brokers/seqid", nil); data == nil || len(data) != 0 || stat.Version != 3 {
		t.Errorf("/brokers/seqid: %#v %+v", data, stat)
	}
}

func TestConfigs(t *testing.T) {
	_, s := ready(t)
	ctx := t.Context()
	if c, err := zkmeta.ReadTopicConfig(ctx, s, "none"); err != nil || len(c) != 0 {
		t.Errorf("no node: %v, %v", c, err)
	}
	for _, config := range []map[string]string{{"retention.ms": "1", "segment.bytes": "2"}, {"a": "b"}, {}} {
		if err := zkmeta.ChangeTopicConfig(ctx, &lossy{Session: s, lose: 2}, "t", config); err != nil {
			t.Fatal(err)
		}
		if c, err := zkmeta.ReadTopicConfig(ctx, s, "t"); err != nil || !maps.Equal(c, config) {
			t.Errorf("read %v, wrote %v, %v", c, config, err)
		}
	}
	if got := get(t, s, "/config/topics/t"); got != `{"version":1,"config":{}}` {
		t.Errorf("a topic without overrides: %s", got)
	}
	if err := zkmeta.ChangeBrokerConfig(ctx, s, zkmeta.DefaultEntity, map[string]string{"log.cleaner.threads": "1"}); err != nil {
		t.Fatal(err)
	}
	if got := get(t, s, "/config/brokers/<default>"); got != `{"version":1,"config":{"log.cleaner.threads":"1"}}` {
		t.Errorf("default of brokers: %s", got)
	}
	all, err := zkmeta.ReadAllConfigs(ctx, s, zkmeta.ConfigBrokers)
	if err != nil || len(all) != 1 || all["<default>"]["log.cleaner.threads"] != "1" {
		t.Errorf("all broker configs: %v, %v", all, err)
	}
	names, _, err := s.Children(ctx, zkmeta.ConfigChangesRoot, nil)
	if err != nil || len(names) < 4 {
		t.Fatalf("notifications: %q, %v", names, err)
	}
	slices.Sort(names)
	if got := get(t, s, "/config/changes/"+names[len(names)-1]); got != `{"version":2,"entity_path":"brokers/<default>"}` {
		t.Errorf("last notification: %s", got)
	}
	// Concurrent read-modify-writes lose nothing.
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			err := zkmeta.UpdateConfig(ctx, s, "topics/busy", func(c map[string]string) error {
				c[fmt.Sprintf("k%d", i)] = "v"
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if c, err := zkmeta.ReadTopicConfig(ctx, s, "busy"); err != nil || len(c) != 20 {
		t.Errorf("%d of 20 changes are left: %v", len(c), err)
	}
	refused := errors.New("no")
	if err := zkmeta.UpdateConfig(ctx, s, "topics/busy", func(map[string]string) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("a refused change: %v", err)
	}
}

func TestQuotaNodesAreCleanedUp(t *testing.T) {
	_, s := ready(t)
	ctx := t.Context()
	quota := map[string]string{"producer_byte_rate": "1"}
	for _, path := range []string{"users/alice", "users/alice/clients/c1", "users/alice/clients/c2", "clients/c", "ips/::1"} {
		if err := zkmeta.ChangeConfig(ctx, s, path, quota); err != nil {
			t.Fatal(err)
		}
	}
	both, err := zkmeta.ReadUserClientConfigs(ctx, s)
	if err != nil || len(both) != 2 || both["alice/clients/c1"]["producer_byte_rate"] != "1" {
		t.Errorf("user/client quotas: %v, %v", both, err)
	}
	remove := func(path string, left ...string) {
		t.Helper()
		if err := zkmeta.ChangeConfig(ctx, s, path, nil); err != nil {
			t.Fatal(err)
		}
		for _, node := range []string{"/config/users/alice", "/config/users/alice/clients/c1", "/config/users/alice/clients/c2", "/config/clients/c", "/config/ips/::1"} {
			_, exists, err := s.Exists(ctx, node, nil)
			if err != nil || exists != slices.Contains(left, node) {
				t.Errorf("after %s: %s exists is %v, %v", path, node, exists, err)
			}
		}
	}
	const user, c1, c2, client, ip = "/config/users/alice", "/config/users/alice/clients/c1", "/config/users/alice/clients/c2", "/config/clients/c", "/config/ips/::1"
	remove("clients/c", user, c1, c2, ip)
	remove("ips/::1", user, c1, c2)
	remove("users/alice", user, c1, c2) // has children
	if got := get(t, s, user); got != `{"version":1,"config":{}}` {
		t.Errorf("user with clients: %s", got)
	}
	remove("users/alice/clients/c1", user, c2)
	remove("users/alice/clients/c2") // and its parents
	_ = client
}

func TestConfigWritesNeedAController(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		s := connect(t, store)
		if err := zkmeta.EnsurePersistent(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		err := zkmeta.ChangeTopicConfig(t.Context(), s, "t", nil)
		if !errors.Is(err, kerr.NotController) {
			t.Errorf("without a controller: %v", err)
		}
		go func() {
			time.Sleep(time.Second)
			electController(t, s)
		}()
		if err := zkmeta.ChangeTopicConfig(t.Context(), s, "t", nil); err != nil {
			t.Errorf("a controller is elected meanwhile: %v", err)
		}
		kraft := zkmeta.ControllerInfo{BrokerID: 3000, KRaftControllerEpoch: 1}
		if _, err := s.Set(t.Context(), zkmeta.Controller, kraft.Encode(), -1); err != nil {
			t.Fatal(err)
		}
		if err := zkmeta.ChangeTopicConfig(t.Context(), s, "t", nil); !errors.Is(err, kerr.NotController) {
			t.Errorf("KRaft controller: %v", err)
		}
		store.Close()
	})
}

func TestCreateTopic(t *testing.T) {
	_, s := ready(t)
	ctx := t.Context()
	id, err := zkmeta.DecodeTopicID("mbLorFvNRluQSQCsTDk3sQ")
	if err != nil {
		t.Fatal(err)
	}
	assignment := map[int32][]int32{0: {1, 2}, 1: {2, 3}}
	if err := zkmeta.CreateTopic(ctx, s, "a.b", assignment, map[string]string{"retention.ms": "1"}, id); err != nil {
		t.Fatal(err)
	}
	want := `{"partitions":{"0":[1,2],"1":[2,3]},"topic_id":"mbLorFvNRluQSQCsTDk3sQ","adding_replicas":{},"removing_replicas":{},"version":3}`
	if got := get(t, s, "/brokers/topics/a.b"); got != want {
		t.Errorf("topic: %s", got)
	}
	_, config, _ := s.Get(ctx, "/config/topics/a.b", nil)
	_, topic, _ := s.Get(ctx, "/brokers/topics/a.b", nil)
	if config.Czxid >= topic.Czxid {
		t.Error("the topic was written before its config")
	}
	if err := zkmeta.CreateTopic(ctx, s, "a.b", assignment, nil, zkmeta.NewUUID()); !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Errorf("again: %v", err)
	}
	if c, _ := zkmeta.ReadTopicConfig(ctx, s, "a.b"); c["retention.ms"] != "1" {
		t.Errorf("a refused creation changed the config to %v", c)
	}
	if err := zkmeta.CreateTopic(ctx, s, "a_b", assignment, nil, zkmeta.NewUUID()); !errors.Is(err, kerr.InvalidTopicException) {
		t.Errorf("colliding name: %v", err)
	}
	for lose := 1; lose < 4; lose++ {
		name := fmt.Sprintf("lost%d", lose)
		if err := zkmeta.CreateTopic(ctx, &lossy{Session: s, lose: lose}, name, assignment, nil, zkmeta.NewUUID()); err != nil {
			t.Errorf("with %d lost answers: %v", lose, err)
		}
	}
	err = zkmeta.CreateTopic(ctx, &lossy{Session: s, only: "/brokers/topics/lost4", lose: 1}, "lost4", assignment, nil, zkmeta.NewUUID())
	if err != nil {
		t.Errorf("with a lost answer to the creation of the topic: %v", err)
	}
	// Leftovers of an earlier topic do not come back.
	if err := zkmeta.ChangeTopicConfig(ctx, s, "old", map[string]string{"x": "y"}); err != nil {
		t.Fatal(err)
	}
	if err := zkmeta.CreateTopic(ctx, s, "old", assignment, map[string]string{"a": "b"}, zkmeta.NewUUID()); err != nil {
		t.Fatal(err)
	}
	if c, _ := zkmeta.ReadTopicConfig(ctx, s, "old"); !maps.Equal(c, map[string]string{"a": "b"}) {
		t.Errorf("config of the new topic: %v", c)
	}
	topics, err := zkmeta.Topics(ctx, s)
	if err != nil || !slices.Equal(topics, []string{"a.b", "lost1", "lost2", "lost3", "lost4", "old"}) {
		t.Errorf("topics: %q, %v", topics, err)
	}
}

func TestAddPartitions(t *testing.T) {
	_, s := ready(t)
	ctx := t.Context()
	if err := zkmeta.AddPartitions(ctx, s, "t", map[int32][]int32{1: {1}}); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("unknown topic: %v", err)
	}
	id := zkmeta.NewUUID()
	if err := zkmeta.CreateTopic(ctx, s, "t", map[int32][]int32{0: {1}}, nil, id); err != nil {
		t.Fatal(err)
	}
	if err := zkmeta.AddPartitions(ctx, &lossy{Session: s, lose: 1}, "t", map[int32][]int32{1: {2}, 2: {3}}); err != nil {
		t.Fatal(err)
	}
	a, _, err := zkmeta.ReadTopic(ctx, s, "t")
	if err != nil || len(a.Partitions) != 3 || a.TopicID != id {
		t.Errorf("after growth: %+v, %v", a, err)
	}
	if err := zkmeta.AddPartitions(ctx, s, "t", map[int32][]int32{2: {3}}); !errors.Is(err, kerr.InvalidPartitions) {
		t.Errorf("existing partition: %v", err)
	}
	a.Adding = map[int32][]int32{0: {2}}
	if _, err := s.Set(ctx, zkmeta.Topic("t"), a.Encode(), -1); err != nil {
		t.Fatal(err)
	}
	if err := zkmeta.AddPartitions(ctx, s, "t", map[int32][]int32{3: {3}}); !errors.Is(err, kerr.ReassignmentInProgress) {
		t.Errorf("while reassigning: %v", err)
	}
}

func TestMarkTopicDeleted(t *testing.T) {
	_, s := ready(t)
	ctx := t.Context()
	if err := zkmeta.MarkTopicDeleted(ctx, s, "t"); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("unknown topic: %v", err)
	}
	if err := zkmeta.CreateTopic(ctx, s, "t", map[int32][]int32{0: {1}}, nil, zkmeta.NewUUID()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := zkmeta.MarkTopicDeleted(ctx, s, "t"); err != nil {
			t.Fatal(err)
		}
	}
	if data, _, err := s.Get(ctx, "/admin/delete_topics/t", nil); err != nil || data != nil {
		t.Errorf("marker: %q, %v", data, err)
	}
}

func TestConsumerOffsets(t *testing.T) {
	_, s := ready(t)
	ctx := t.Context()
	if _, ok, err := zkmeta.ReadConsumerOffset(ctx, s, "g", "t", 0); ok || err != nil {
		t.Errorf("no offset: %v, %v", ok, err)
	}
	for _, want := range []int64{42, 43} {
		if err := zkmeta.WriteConsumerOffset(ctx, &lossy{Session: s, lose: 1}, "g", "t", 0, want); err != nil {
			t.Fatal(err)
		}
		if got, ok, err := zkmeta.ReadConsumerOffset(ctx, s, "g", "t", 0); got != want || !ok || err != nil {
			t.Errorf("offset %d, %v, %v, want %d", got, ok, err, want)
		}
	}
	if got := get(t, s, "/consumers/g/offsets/t/0"); got != "43" {
		t.Errorf("node is %q", got)
	}
	for _, data := range []string{"x", ""} {
		if _, err := s.Set(ctx, "/consumers/g/offsets/t/0", []byte(data), -1); err != nil {
			t.Fatal(err)
		}
		if _, _, err := zkmeta.ReadConsumerOffset(ctx, s, "g", "t", 0); err == nil {
			t.Errorf("%q was read as an offset", data)
		}
	}
}

func TestConfigChangesAreHandledOnceAndInOrder(t *testing.T) {
	store, s := ready(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	notify := func(i int) {
		t.Helper()
		if err := zkmeta.NotifyConfigChange(t.Context(), s, fmt.Sprintf("topics/t%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		notify(i)
	}
	got := make(chan string, 100)
	l := zkmeta.NewConfigChangeListener(func(path string) { got <- path })
	want := func(i int) {
		t.Helper()
		select {
		case path := <-got:
			if path != fmt.Sprintf("topics/t%d", i) {
				t.Fatalf("told of %s, want change %d", path, i)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("not told of change %d", i)
		}
	}
	first := connect(t, store)
	done := make(chan error)
	go func() { done <- l.Run(ctx, first) }()
	for i := range 3 { // those from before
		want(i)
	}
	for i := 3; i < 40; i++ {
		notify(i)
	}
	for i := 3; i < 40; i++ {
		want(i)
	}
	first.Close()
	if err := <-done; !errors.Is(err, zkmeta.ErrSessionExpired) {
		t.Errorf("end of the session: %v", err)
	}
	notify(40)
	if _, err := s.Create(ctx, "/config/changes/config_change_", []byte("nonsense"), zkmeta.PersistentSequential, nil); err != nil {
		t.Fatal(err)
	}
	notify(41)
	second := connect(t, store)
	go func() { done <- l.Run(ctx, second) }()
	want(40)
	want(41)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("end of the context: %v", err)
	}
	if len(got) > 0 {
		t.Errorf("told again of %s", <-got)
	}
}

func TestOldNotificationsAreDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, s := ready(t)
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 5 {
			if err := zkmeta.NotifyConfigChange(ctx, s, fmt.Sprintf("topics/t%d", i)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(4 * time.Minute)
		}
		var told []string
		done := make(chan error)
		go func() { done <- zkmeta.WatchConfigChanges(ctx, s, func(p string) { told = append(told, p) }) }()
		synctest.Wait()
		left, _, err := s.Children(ctx, zkmeta.ConfigChangesRoot, nil)
		if err != nil || len(left) != 3 || len(told) != 5 { // of 20, 16, 12, 8 and 4 minutes ago
			t.Errorf("left %q, told of %q, %v", left, told, err)
		}
		time.Sleep(time.Hour)
		if err := zkmeta.NotifyConfigChange(ctx, s, "topics/late"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		left, _, err = s.Children(ctx, zkmeta.ConfigChangesRoot, nil)
		if err != nil || !slices.Equal(left, []string{"config_change_0000000005"}) {
			t.Errorf("left %q, %v", left, err)
		}
		cancel()
		<-done
		store.Close()
	})
}

func TestPipeline(t *testing.T) {
	var mu sync.Mutex
	done := make(map[int]bool)
	boom := errors.New("boom")
	err := zkmeta.Pipeline(t.Context(), 2000, func(i int) error {
		mu.Lock()
		defer mu.Unlock()
		done[i] = true
		if i == 70 || i == 1500 {
			return fmt.Errorf("%d: %w", i, boom)
		}
		return nil
	})
	if len(done) != 2000 || err == nil || err.Error() != "70: boom" {
		t.Errorf("%d calls, %v", len(done), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := zkmeta.Pipeline(ctx, 10, func(int) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := zkmeta.Pipeline(ctx, 0, nil); err != nil {
		t.Error(err)
	}
	_, s := ready(t)
	nodes, err := zkmeta.GetAll(t.Context(), s, []string{"/brokers/ids", "/none"})
	if err != nil || nodes[0].Err != nil || !errors.Is(nodes[1].Err, zkmeta.ErrNoNode) {
		t.Errorf("GetAll: %+v, %v", nodes, err)
	}
	s.Close()
	if _, err := zkmeta.GetAll(t.Context(), s, []string{"/a", "/b"}); !errors.Is(err, zkmeta.ErrSessionExpired) {
		t.Errorf("GetAll of a dead session: %v", err)
	}
}
