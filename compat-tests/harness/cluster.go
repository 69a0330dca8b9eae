package harness

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Cluster is some brokers, numbered from 1, on one ZooKeeper server.
type Cluster struct {
	ZK      *ZooKeeper
	Brokers []*Broker

	front, toZK []*Proxy // by broker; empty unless Proxied or Inside
	inside      bool
}

// NewCluster starts brokers for the length of a test, of the kind that BROKER names. Topics, the coordinators' too, have a
// replica on each broker and stay available without one of them.
func NewCluster(t testing.TB, brokers int, settings ...string) *Cluster {
	t.Helper()
	zk := NewZooKeeper(t)
	minISR := max(1, brokers-1)
	base := []string{
		fmt.Sprintf("default.replication.factor=%d", brokers),
		fmt.Sprintf("min.insync.replicas=%d", minISR),
		fmt.Sprintf("offsets.topic.replication.factor=%d", brokers),
		fmt.Sprintf("transaction.state.log.replication.factor=%d", brokers),
		fmt.Sprintf("transaction.state.log.min.isr=%d", minISR),
		"offsets.topic.num.partitions=5", "transaction.state.log.num.partitions=5",
	}
	c := &Cluster{ZK: zk}
	dir := Dir(t)
	for i := range brokers {
		id := int32(i + 1)
		c.Brokers = append(c.Brokers, NewBroker(t, Config{ID: id, Dir: filepath.Join(dir, fmt.Sprintf("broker-%d", id)), ZooKeeper: zk.Addr,
			SessionTimeout: 3 * time.Second, Settings: append(base, settings...)}))
	}
	return c
}

// Bootstrap are the addresses of all brokers.
func (c *Cluster) Bootstrap() string {
	var addrs []string
	for _, b := range c.Brokers {
		addrs = append(addrs, b.Addr)
	}
	return strings.Join(addrs, ",")
}

// AwaitInSync waits until every replica of every partition is in sync, as each broker sees it.
func (c *Cluster) AwaitInSync(ctx context.Context, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		err := c.inSync(ctx)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after %v: %w", limit, err)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (c *Cluster) inSync(ctx context.Context) error {
	for _, b := range c.Brokers {
		cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.RetryTimeout(time.Millisecond))
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		resp, err := cl.SeedBrokers()[0].Request(ctx, kmsg.NewPtrMetadataRequest())
		cancel()
		cl.Close()
		if err != nil {
			return err
		}
		meta := resp.(*kmsg.MetadataResponse)
		if len(meta.Brokers) != len(c.Brokers) {
			return fmt.Errorf("broker %d sees %d brokers", b.ID, len(meta.Brokers))
		}
		for _, t := range meta.Topics {
			for _, p := range t.Partitions {
				if len(p.ISR) < len(p.Replicas) || p.Leader < 0 {
					return fmt.Errorf("broker %d sees %s-%d with leader %d and ISR %v of %v", b.ID, *t.Topic, p.Partition, p.Leader, p.ISR, p.Replicas)
				}
			}
		}
	}
	return nil
}

// Faults takes the brokers down in turn until ctx ends: kill -9, and every third time SIGTERM; each stays down for about
// down and is followed by the next when every replica is in sync again. The cluster is whole when Faults returns the number
// of faults; an error says what did not come back.
func (c *Cluster) Faults(ctx context.Context, down, between time.Duration) (faults int, err error) {
	pause := func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
	for ; ; faults++ {
		pause(between)
		if ctx.Err() != nil {
			return faults, nil
		}
		b := c.Brokers[faults%len(c.Brokers)]
		if faults%3 == 2 {
			err = b.Stop(time.Minute)
		} else {
			err = b.Kill()
		}
		if err == nil {
			pause(down)
			err = b.Start()
		}
		if err == nil {
			// Not ctx: the last fault is followed by a whole cluster too.
			err = c.AwaitInSync(context.WithoutCancel(ctx), 2*time.Minute)
		}
		if err != nil {
			return faults, errors.Join(fmt.Errorf("fault %d, broker %d", faults+1, b.ID), err)
		}
	}
}
