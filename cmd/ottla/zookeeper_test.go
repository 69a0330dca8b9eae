package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/zkmeta"
	"ottla/zkmeta/ensemble"
)

var trees atomic.Int64

// beside are the arguments of a broker process with its metadata in a ZooKeeper tree.
func beside(chroot string, id int, session time.Duration, more ...string) []string {
	args := []string{
		"--set", "zookeeper.connect=" + zooKeeper.Addr + chroot, "--set", fmt.Sprintf("broker.id=%d", id),
		"--set", fmt.Sprintf("zookeeper.session.timeout.ms=%d", session.Milliseconds()), "--set", "controlled.shutdown.retry.backoff.ms=200",
	}
	for _, m := range more {
		args = append(args, "--set", m)
	}
	return args
}

func newTree(t *testing.T) (chroot string) {
	t.Helper()
	if zooKeeper == nil {
		t.Skip(noZooKeeper)
	}
	return fmt.Sprintf("/process-test/%d", trees.Add(1))
}

func look(t *testing.T, chroot string) zkmeta.Session {
	t.Helper()
	store, err := ensemble.New(ensemble.Config{Servers: []string{zooKeeper.Addr}, Chroot: chroot, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	s, err := store.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestRestartAfterKillTakesOver: neither the registration nor the controllership of the killed process holds its successor up for
// the rest of the session timeout.
func TestRestartAfterKillTakesOver(t *testing.T) {
	t.Parallel()
	chroot := newTree(t)
	const session = 10 * time.Second // the most that the server grants
	dir := t.TempDir()
	s := startBroker(t, dir, beside(chroot, 1, session)...)
	z := look(t, chroot)
	var acked acks
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := s.client()
	produceEndlessly(ctx, c, &acked)
	eventually(t, "5,000 acknowledged records", acked.atLeast(5_000))
	before, _, err := z.Exists(t.Context(), zkmeta.Broker(1), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.kill()
	cancel()
	c.Close()
	killed := time.Now()
	s = startBroker(t, dir, beside(chroot, 1, session)...)
	acked.check(t, s)
	produceOne(t, s) // a topic is created: there is a controller
	if took := time.Since(killed); took > session/2 {
		t.Errorf("it took %v", took)
	}
	after, exists, err := z.Exists(t.Context(), zkmeta.Broker(1), nil)
	if err != nil || !exists || after.Czxid <= before.Czxid {
		t.Errorf("the registration is %+v, was %+v, %v", after, before, err)
	}

	s.term()
	for _, path := range []string{zkmeta.Broker(1), zkmeta.Controller} {
		if _, exists, err := z.Exists(t.Context(), path, nil); err != nil || exists {
			t.Errorf("%s after SIGTERM: exists %v, %v", path, exists, err)
		}
	}
}

// TestThreeProcessesSurviveTheLeader kills the leader of partitions with three replicas while records are written with acks=all.
func TestThreeProcessesSurviveTheLeader(t *testing.T) {
	t.Parallel()
	chroot := newTree(t)
	const session = 2 * time.Second
	settings := []string{"min.insync.replicas=2", "default.replication.factor=3", "num.partitions=3", "offsets.topic.replication.factor=3", "replica.lag.time.max.ms=3000"}
	brokers := map[int32]*server{}
	dirs := map[int32]string{}
	var seeds []string
	for id := int32(1); id <= 3; id++ {
		dirs[id] = t.TempDir()
		brokers[id] = startBroker(t, dirs[id], beside(chroot, int(id), session, settings...)...)
		seeds = append(seeds, brokers[id].addr)
	}
	admin := func() *kadm.Client { return kadm.NewClient(brokers[3].client(kgo.SeedBrokers(seeds...))) }
	eventually(t, "three brokers", func() error {
		m, err := admin().BrokerMetadata(t.Context())
		if err == nil && (len(m.Brokers) != 3 || m.Controller < 0) {
			err = fmt.Errorf("%+v", m)
		}
		return err
	})
	if _, err := admin().CreateTopic(t.Context(), 3, 3, nil, "kept"); err != nil {
		t.Fatal(err)
	}
	var acked acks
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := brokers[3].client(kgo.SeedBrokers(seeds...), kgo.RequiredAcks(kgo.AllISRAcks()))
	produceEndlessly(ctx, c, &acked)
	eventually(t, "5,000 acknowledged records", acked.atLeast(5_000))
	m, err := admin().ListTopics(t.Context(), "kept")
	if err != nil {
		t.Fatal(err)
	}
	// The controller, which leads one of the partitions, dies, and comes back.
	meta, err := admin().BrokerMetadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	victim := meta.Controller
	led := 0
	for _, p := range m["kept"].Partitions {
		if p.Leader == victim {
			led++
		}
	}
	if led == 0 {
		t.Fatalf("controller %d leads nothing: %+v", victim, m["kept"].Partitions)
	}
	brokers[victim].kill()
	at := acked.count()
	eventually(t, "leaders on the two others", func() error {
		m, err := admin().ListTopics(t.Context(), "kept")
		if err != nil {
			return err
		}
		for _, p := range m["kept"].Partitions {
			if p.Leader < 0 || p.Leader == victim {
				return fmt.Errorf("partition %d has leader %d", p.Partition, p.Leader)
			}
		}
		return nil
	})
	eventually(t, "20,000 more records", acked.atLeast(at+20_000))
	brokers[victim] = startBroker(t, dirs[victim], beside(chroot, int(victim), session, settings...)...)
	seeds[victim-1] = brokers[victim].addr
	at = acked.count()
	eventually(t, "10,000 more records", acked.atLeast(at+10_000))
	cancel()
	c.Close()
	eventually(t, "full ISRs", func() error {
		m, err := admin().ListTopics(t.Context(), "kept")
		if err != nil {
			return err
		}
		for _, p := range m["kept"].Partitions {
			if len(p.ISR) != 3 {
				return fmt.Errorf("partition %d has ISR %v", p.Partition, p.ISR)
			}
		}
		return nil
	})
	t.Logf("%d records acknowledged", acked.count())
	acked.check(t, brokers[victim])

	// A clean stop moves the leaders first, so that nothing is ever without one.
	next := victim%3 + 1
	if took := brokers[next].term(); took > 10*time.Second {
		t.Errorf("the controlled shutdown took %v", took)
	}
	if strings.Contains(brokers[next].out.String(), "could not be handed over") {
		t.Error("the controlled shutdown did not move everything")
	}
	acked.check(t, brokers[victim])
}
