package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Metadata asks a broker; the topics may be none.
func (b *Broker) Metadata(ctx context.Context, topics ...string) (*kmsg.MetadataResponse, error) {
	// A paused broker accepts connections and answers nothing.
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.RetryTimeout(time.Millisecond), kgo.Dialer((&net.Dialer{Timeout: time.Second}).DialContext))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, topic := range topics {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = kmsg.StringPtr(topic)
		req.Topics = append(req.Topics, rt)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	resp, err := cl.SeedBrokers()[0].Request(ctx, req)
	if err != nil {
		return nil, err
	}
	return resp.(*kmsg.MetadataResponse), nil
}

// AwaitBrokers waits until every running broker knows n brokers, and all agree on a controller among them.
func (c *Cluster) AwaitBrokers(t testing.TB, n int) {
	t.Helper()
	c.Await(t, startLimit, fmt.Sprintf("%d brokers and a controller that all know", n), func() error {
		controllers := map[int32]bool{}
		for _, b := range c.running() {
			m, err := b.Metadata(t.Context())
			if err != nil {
				return err
			}
			if len(m.Brokers) != n {
				return fmt.Errorf("broker %d knows %d brokers", b.ID, len(m.Brokers))
			}
			controllers[m.ControllerID] = true
		}
		if len(controllers) != 1 || controllers[-1] {
			return fmt.Errorf("controllers %v", controllers)
		}
		return nil
	})
}

// Controller returns the broker that is the controller.
func (c *Cluster) Controller(t testing.TB) *Broker {
	t.Helper()
	var controller *Broker
	c.Await(t, startLimit, "a controller", func() error {
		var last error
		for _, b := range c.running() {
			m, err := b.Metadata(t.Context())
			if err == nil && m.ControllerID > 0 {
				controller = c.Broker(m.ControllerID)
				return nil
			}
			last = errors.Join(last, err)
		}
		return fmt.Errorf("no broker names one: %w", last)
	})
	return controller
}

// Leader returns the broker that leads a partition, as the other brokers say.
func (c *Cluster) Leader(t testing.TB, topic string, partition int32) *Broker {
	t.Helper()
	var leader *Broker
	c.Await(t, startLimit, fmt.Sprintf("a leader of %s-%d", topic, partition), func() error {
		p, err := c.partition(t.Context(), topic, partition)
		if err == nil && p.Leader < 0 {
			err = errors.New("no leader")
		}
		if err == nil {
			leader = c.Broker(p.Leader)
		}
		return err
	})
	return leader
}

// AwaitISR waits until every partition of a topic has n replicas in its ISR.
func (c *Cluster) AwaitISR(t testing.TB, topic string, n int) {
	t.Helper()
	c.Await(t, startLimit, fmt.Sprintf("%d replicas in sync for %s", n, topic), func() error {
		for _, b := range c.running() {
			m, err := b.Metadata(t.Context(), topic)
			if err != nil {
				return err
			}
			if t := m.Topics[0]; t.ErrorCode != 0 || len(t.Partitions) == 0 {
				return fmt.Errorf("broker %d: error code %d, %d partitions", b.ID, t.ErrorCode, len(t.Partitions))
			}
			for _, p := range m.Topics[0].Partitions {
				if len(p.ISR) != n || p.Leader < 0 {
					return fmt.Errorf("broker %d: partition %d has leader %d, ISR %v", b.ID, p.Partition, p.Leader, p.ISR)
				}
			}
		}
		return nil
	})
}

func (c *Cluster) partition(ctx context.Context, topic string, partition int32) (p kmsg.MetadataResponseTopicPartition, err error) {
	err = errors.New("no broker answers")
	for _, b := range c.running() {
		m, askErr := b.Metadata(ctx, topic)
		if askErr != nil {
			continue
		}
		for _, p := range m.Topics[0].Partitions {
			if p.Partition == partition {
				return p, nil
			}
		}
		err = fmt.Errorf("broker %d does not know the partition", b.ID)
	}
	return p, err
}

// running lists the brokers whose process runs and is not paused.
func (c *Cluster) running() (bs []*Broker) {
	for _, b := range c.Brokers {
		if b.proc.alive() && !b.paused {
			bs = append(bs, b)
		}
	}
	return bs
}

// Await waits for a condition, and ends the test if it does not come about within limit.
func (c *Cluster) Await(t testing.TB, limit time.Duration, what string, cond func() error) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		err := cond()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s: %v", limit, what, err)
		}
	}
}
