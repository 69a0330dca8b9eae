package broker

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"strconv"
	"time"

	"ottla/broker/config"
	"ottla/storage"
	"ottla/wire"
	"ottla/zkmeta"
)

// A leader that hears none of its followers (replication.Deps.OnIsolated) ends its session. With that its registration goes, and the controllership
// if it has it, so that the others elect new leaders from the ISR. It comes back, with a new registration, when another broker answers it.

// onIsolated is nil if leaders are to stay whatever happens.
func (b *Broker) onIsolated(s *config.Snapshot) func() {
	if standalone(s) || !config.Get(s, config.OttlaIsolatedLeaderResign) {
		return nil
	}
	return func() {
		if b.stopping.Load() || !b.isolated.CompareAndSwap(false, true) {
			return
		}
		b.given = b.replication.Load().Shared()
		b.log.Warn().Int("partitions", len(b.given)).Msg("no follower has been heard for replica.lag.time.max.ms; giving up the leaderships of this broker")
		b.Session().Close() // followSession does the rest
	}
}

const (
	// peerAnswer is how long another broker may take to answer.
	peerAnswer = 2 * time.Second
	// peerRetry is the pause between two rounds of asking all brokers.
	peerRetry = 500 * time.Millisecond
	// successorPause is the wait between two looks at a partition's state.
	successorPause = 50 * time.Millisecond
)

// returnWhenReplaced makes a broker that gave up its leaderships wait until they are others', but no longer than a session would have lasted: a
// controller that is elected meanwhile takes a broker that is registered for one that leads. Then it waits for another broker's answer.
func (b *Broker) returnWhenReplaced(ctx context.Context, s zkmeta.Session) error {
	bounded, stop := context.WithTimeout(ctx, millis(config.Get(b.cfg.Snapshot(), config.ZookeeperSessionTimeoutMs)))
	defer stop()
	for _, tp := range b.given {
		if err := b.awaitSuccessor(bounded, s, tp); err != nil {
			if bounded.Err() == nil || ctx.Err() != nil {
				return err
			}
			break
		}
	}
	return b.awaitPeer(ctx, s)
}

// awaitSuccessor returns when the partition is no longer led by this broker, or is no more.
func (b *Broker) awaitSuccessor(ctx context.Context, s zkmeta.Session, tp storage.TopicPartition) error {
	for {
		data, _, err := s.Get(ctx, zkmeta.TopicPartitionState(tp.Topic, tp.Partition), nil)
		if errors.Is(err, zkmeta.ErrNoNode) {
			return nil
		}
		if err != nil {
			return err
		}
		if state, err := zkmeta.DecodePartitionState(data); err != nil || state.Leader != b.id {
			return nil // a damaged state is nobody's
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(successorPause):
		}
	}
}

// awaitPeer returns when another registered broker answers, or there is none. The session's end ends it with ErrSessionExpired.
func (b *Broker) awaitPeer(ctx context.Context, s zkmeta.Session) error {
	told := false
	for {
		brokers, _, err := zkmeta.ReadBrokers(ctx, s)
		if err != nil {
			return err
		}
		delete(brokers, b.id)
		for _, id := range slices.Sorted(maps.Keys(brokers)) {
			if b.answers(ctx, brokers[id]) {
				return nil
			}
		}
		if len(brokers) == 0 {
			return nil
		}
		if !told {
			told = true
			b.log.Warn().Int("brokers", len(brokers)).Msg("no other broker answers; not registering before one does")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.Expired():
			return zkmeta.ErrSessionExpired
		case <-time.After(peerRetry):
		}
	}
}

// answers says that a broker answers ApiVersions on the inter-broker listener.
func (b *Broker) answers(ctx context.Context, info zkmeta.BrokerInfo) bool {
	e, ok := info.Endpoint(b.peers.listener)
	if !ok {
		return false
	}
	ctx, stop := context.WithTimeout(ctx, peerAnswer)
	defer stop()
	c, err := wire.Dial(ctx, wire.ClientConfig{
		Addr: net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))), ClientID: b.peers.clientID,
		DialFunc: b.peers.connect(-1), Timeout: peerAnswer, ApiVersions: true, Log: b.log,
	})
	if err != nil {
		return false
	}
	c.Close()
	return true
}
