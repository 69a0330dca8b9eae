package controller

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/zkmeta"
)

// controlledShutdown moves everything that can be moved away from a broker that wants to stop, and answers
// with the partitions that it still leads (KafkaController.doControlledShutdown). The broker counts as
// shutting down until its registration goes: it is not elected and not taken into an ISR.
//
// Errors: STALE_CONTROLLER_EPOCH if another broker is the controller (Kafka's ControllerMovedException), STALE_BROKER_EPOCH,
// BROKER_NOT_AVAILABLE.
func (m *Machine) controlledShutdown(ev ControlledShutdown) error {
	if m.term == nil {
		ev.Reply(nil, errControllerMoved)
		return nil
	}
	c := m.term
	b := c.brokers[ev.Broker]
	switch {
	case b == nil:
		ev.Reply(nil, fmt.Errorf("controlled shutdown: broker %d is not registered: %w", ev.Broker, kerr.BrokerNotAvailable))
		return nil
	case ev.Epoch >= 0 && ev.Epoch < b.epoch:
		ev.Reply(nil, fmt.Errorf("controlled shutdown: broker %d has epoch %d, the request says %d: %w",
			ev.Broker, b.epoch, ev.Epoch, kerr.StaleBrokerEpoch))
		return nil
	}
	m.log.Info().Int32("broker", ev.Broker).Msg("broker is shutting down")
	b.shuttingDown = true
	remaining, err := m.moveAway(ev.Broker)
	if err != nil {
		if endsTerm(err) {
			ev.Reply(nil, errControllerMoved)
		} else {
			ev.Reply(nil, fmt.Errorf("controlled shutdown of broker %d: %w: %w", ev.Broker, err, kerr.UnknownServerError))
		}
		return err
	}
	ev.Reply(remaining, nil)
	return nil
}

var errControllerMoved = fmt.Errorf("controlled shutdown: this broker is not the controller: %w", kerr.StaleControllerEpoch)

func (m *Machine) moveAway(id int32) (remaining []zkmeta.TP, err error) {
	c := m.term
	var led, followed []*partition
	for _, p := range c.partitionsNotDeleting(func(p *partition) bool {
		return p.written && len(p.replicas) > 1 && hosts(p, []int32{id})
	}) {
		if p.state.leader == id {
			led = append(led, p)
		} else {
			followed = append(followed, p)
		}
	}
	moved, err := m.update(led, c.handedOver)
	if err != nil {
		return nil, err
	}
	batch := m.newBatch()
	for _, p := range moved {
		// The old leader is told too: it becomes a follower.
		batch.tellReplicas(p, filter(p.replicas, func(id int32) bool { return c.reachable(p, id) }), isOld)
	}
	for _, p := range followed {
		batch.stopReplica(p, id, false)
	}
	batch.flush()
	shrunk, err := m.update(followed, func(p *partition) (partitionState, bool) { return c.withoutFollower(p, id) })
	if err != nil {
		return nil, err
	}
	batch = m.newBatch()
	for _, p := range shrunk {
		batch.tellReplicas(p, m.onlineReplicas(p), isOld)
	}
	batch.flush()
	for _, p := range led {
		if p.state.leader == id {
			remaining = append(remaining, zkmeta.TP{Topic: p.topic.name, Partition: p.id})
		}
	}
	return remaining, nil
}
