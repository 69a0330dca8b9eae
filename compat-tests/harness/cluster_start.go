package harness

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// ClusterConfig says how the brokers of a cluster are run.
type ClusterConfig struct {
	Kinds          []Kind        // one for each broker; nil: three of the kind that BROKER names
	SessionTimeout time.Duration // as in Config
	Settings       []string      // further key=value lines, the same for all brokers
	Racks          []string      // broker.rack of each broker; nil: none
	StartLimit     time.Duration // as in Config
	// Proxied puts a Proxy between every broker and its ZooKeeper, and another in front of every broker's listener, which
	// is what the broker advertises: CutOff then separates a broker from everybody.
	Proxied bool
	// Inside gives every broker a listener for the other brokers, with a Proxy in front of it, beside the one for clients, and
	// a Proxy between it and ZooKeeper: CutFollowers and CutZooKeeper then separate brokers and leave the clients where they are.
	Inside bool
}

// StartCluster starts a cluster for the length of a test, its brokers at the same time, and waits until each knows all of
// them. The test is skipped when a program is not installed.
func StartCluster(t testing.TB, cfg ClusterConfig) *Cluster {
	t.Helper()
	if cfg.Kinds == nil {
		kind, err := KindFromEnv()
		if err != nil {
			t.Fatal(err)
		}
		cfg.Kinds = []Kind{kind, kind, kind}
	}
	c := &Cluster{inside: cfg.Inside, ZK: NewZooKeeper(t), Brokers: make([]*Broker, len(cfg.Kinds))}
	dir, errs := Dir(t), make([]error, len(cfg.Kinds))
	done := make(chan int)
	t.Cleanup(func() { c.close(t) })
	for i, kind := range cfg.Kinds {
		bc := Config{
			Kind: kind, ID: int32(i + 1), Dir: filepath.Join(dir, fmt.Sprintf("broker-%d", i+1)), ZooKeeper: c.ZK.Addr,
			SessionTimeout: cfg.SessionTimeout, Settings: slices.Concat(clusterSettings, cfg.Settings), StartLimit: cfg.StartLimit,
		}
		if cfg.Racks != nil {
			bc.Settings = append(bc.Settings, "broker.rack="+cfg.Racks[i])
		}
		if cfg.Proxied || cfg.Inside {
			if err := c.proxy(&bc); err != nil {
				t.Fatal(err)
			}
		}
		go func() {
			c.Brokers[i], errs[i] = StartBroker(bc)
			done <- i
		}()
	}
	for range cfg.Kinds {
		<-done
	}
	switch err := errors.Join(errs...); {
	case errors.Is(err, ErrMissing):
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
	c.AwaitBrokers(t, len(cfg.Kinds))
	return c
}

// clusterSettings come before those of the test.
var clusterSettings = []string{
	"default.replication.factor=3",
	"min.insync.replicas=2",
	"offsets.topic.replication.factor=3",
	"transaction.state.log.replication.factor=3",
	"transaction.state.log.min.isr=2",
}

// proxy changes a broker's configuration so that its connections lead through proxies.
func (c *Cluster) proxy(cfg *Config) error {
	port, err := FreePort()
	if err != nil {
		return err
	}
	front, err := NewProxy(fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	c.front = append(c.front, front)
	toZK, err := NewProxy(c.ZK.Addr)
	if err != nil {
		return err
	}
	c.toZK = append(c.toZK, toZK)
	cfg.ZooKeeper = toZK.Addr
	if !c.inside {
		cfg.Port = port
		cfg.Settings = append(slices.Clone(cfg.Settings), "advertised.listeners=PLAINTEXT://"+front.Addr)
		return nil
	}
	if cfg.Port, err = FreePort(); err != nil {
		return err
	}
	cfg.Settings = append(slices.Clone(cfg.Settings), "inter.broker.listener.name=INSIDE",
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,INSIDE:PLAINTEXT",
		fmt.Sprintf("listeners=PLAINTEXT://127.0.0.1:%d,INSIDE://127.0.0.1:%d", cfg.Port, port),
		fmt.Sprintf("advertised.listeners=PLAINTEXT://127.0.0.1:%d,INSIDE://%s", cfg.Port, front.Addr))
	return nil
}

func (c *Cluster) close(t testing.TB) {
	for _, b := range c.Brokers {
		if b == nil {
			continue
		}
		if t.Failed() {
			t.Logf("last output of broker %d:\n%s", b.ID, b.Tail(60))
		}
		if b.proc != nil && b.proc.alive() {
			if err := b.Kill(); err != nil { // it may be paused
				t.Error(err)
			}
		}
	}
	for _, p := range slices.Concat(c.front, c.toZK) {
		p.Close()
	}
}

// Broker returns the broker with an id.
func (c *Cluster) Broker(id int32) *Broker { return c.Brokers[id-1] }

// Seeds are the addresses of all brokers as clients are to use them.
func (c *Cluster) Seeds() (addrs []string) {
	for i, b := range c.Brokers {
		if c.front != nil && !c.inside {
			addrs = append(addrs, c.front[i].Addr)
		} else {
			addrs = append(addrs, b.Addr)
		}
	}
	return addrs
}

// CutOff separates a broker from ZooKeeper and everything from the broker: what it and others have sent is not delivered,
// and no connection is reset. The connections that the broker itself has opened to other brokers stay. Needs Proxied.
func (c *Cluster) CutOff(id int32) {
	c.front[id-1].Stall()
	c.toZK[id-1].Stall()
}

// CutFollowers separates a broker from the other brokers, in both directions, as CutOff does. Clients and ZooKeeper reach it. Needs Inside.
func (c *Cluster) CutFollowers(id int32) {
	for i, p := range c.front {
		if int32(i+1) == id {
			p.Stall()
		} else {
			p.StallFrom(c.Broker(id).Pid())
		}
	}
}

// CutZooKeeper separates a broker from ZooKeeper. Needs Proxied or Inside.
func (c *Cluster) CutZooKeeper(id int32) { c.toZK[id-1].Stall() }

// RejoinAll ends all cuts.
func (c *Cluster) RejoinAll() {
	for _, p := range slices.Concat(c.front, c.toZK) {
		p.Resume()
	}
}

// Rejoin ends CutOff; what was stalled is reset.
func (c *Cluster) Rejoin(id int32) {
	c.front[id-1].Resume()
	c.toZK[id-1].Resume()
}
