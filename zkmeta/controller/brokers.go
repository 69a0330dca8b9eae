package controller

import (
	"errors"
	"fmt"
	"slices"

	"ottla/zkmeta"
)

// brokersChanged handles the child watch on /brokers/ids: brokers came, went, or came back before anybody
// looked, which shows in another epoch (KafkaController.processBrokerChange).
func (m *Machine) brokersChanged() error {
	c := m.term
	results, err := m.do(Request{Kind: ReadChildren, Path: zkmeta.BrokersIDs, Watch: true})
	if err != nil {
		return err
	}
	if err := results[0].Err; err != nil {
		return fmt.Errorf("read %s: %w", zkmeta.BrokersIDs, err)
	}
	// Registrations are read again even if they are known: the epoch tells whether they are the same.
	brokers, err := m.readBrokers(results[0].Children)
	if err != nil {
		return err
	}
	registered := map[int32]*broker{}
	for _, b := range brokers {
		registered[b.info.ID] = b
	}
	var gone, come []int32
	for _, id := range c.brokerIDs() {
		if b := registered[id]; b == nil || b.epoch != c.brokers[id].epoch {
			gone = append(gone, id)
		}
	}
	for _, b := range brokers {
		if old := c.brokers[b.info.ID]; old == nil || old.epoch != b.epoch {
			come = append(come, b.info.ID)
		}
	}
	slices.Sort(come)
	if len(gone) == 0 && len(come) == 0 {
		return nil
	}
	m.log.Info().Ints32("gone", gone).Ints32("come", come).Msg("brokers changed")
	if err := m.brokersGone(gone); err != nil {
		return err
	}
	for _, id := range come {
		c.brokers[id] = registered[id]
		m.openChannel(registered[id])
	}
	return m.brokersCame(come)
}

// brokersGone moves leaderships away from brokers that are no longer registered, and takes them out of the
// ISRs (KafkaController.onBrokerFailure).
func (m *Machine) brokersGone(ids []int32) error {
	if len(ids) == 0 {
		return nil
	}
	for _, id := range ids {
		delete(m.term.brokers, id)
		m.sends = append(m.sends, Send{Kind: CloseChannel, Broker: id})
	}
	m.deletionsLost(ids)
	var finish []*partition
	for p := range m.term.reassigning {
		for _, id := range ids {
			if p.removedReplicaGone(id) {
				finish = append(finish, p)
			}
		}
	}
	affected := m.term.partitionsNotDeleting(func(p *partition) bool { return hosts(p, ids) })
	if err := m.settleAndTell(affected); err != nil {
		return err
	}
	slices.SortFunc(finish, (*partition).compare)
	return m.reassignFinish(finish)
}

// brokersCame gives new brokers their replicas and the cluster's metadata, and partitions that waited for
// them a leader (KafkaController.onBrokerStartup).
func (m *Machine) brokersCame(ids []int32) error {
	if len(ids) == 0 {
		return nil
	}
	c := m.term
	m.sendMetadata(without(c.brokerIDs(), ids), nil)
	all := map[*partition]struct{}{}
	for _, p := range c.partitions(func(*partition) bool { return true }) {
		all[p] = struct{}{}
	}
	m.sendMetadata(ids, all)

	hosted := c.partitionsNotDeleting(func(p *partition) bool { return hosts(p, ids) })
	changed, created, err := m.settlePartitions(hosted)
	if err != nil {
		return err
	}
	b := m.newBatch()
	for _, p := range hosted {
		if p.written {
			b.tellReplicas(p, filter(p.replicas, func(id int32) bool { return slices.Contains(ids, id) }), isOld)
		}
	}
	for _, p := range changed {
		b.tellReplicas(p, m.onlineReplicas(p), isOld)
	}
	for _, p := range created {
		b.tellReplicas(p, m.onlineReplicas(p), isNew)
	}
	b.flush()
	if err := m.resumeReassignments(func(p *partition) bool { return hosts(p, ids) || p.completing != nil }); err != nil {
		return err
	}
	return m.advanceDeletions()
}

// settleAndTell settles partitions and sends what changed. Every broker gets at least the list of brokers.
func (m *Machine) settleAndTell(ps []*partition) error {
	changed, created, err := m.settlePartitions(ps)
	if err != nil {
		return err
	}
	b := m.newBatch()
	b.brokersChanged = true
	for _, p := range changed {
		b.tellReplicas(p, m.onlineReplicas(p), isOld)
	}
	for _, p := range created {
		b.tellReplicas(p, m.onlineReplicas(p), isNew)
	}
	// The replicas that are gone show in the metadata even where the state did not change.
	for _, p := range ps {
		b.tellAll(p)
	}
	b.flush()
	return m.continueReassignments(changed)
}

func hosts(p *partition, ids []int32) bool {
	return slices.ContainsFunc(ids, func(id int32) bool { return slices.Contains(p.replicas, id) })
}

// brokerChanged handles the data watch on a registration: its endpoints changed, or it went, which the
// child watch reports too.
func (m *Machine) brokerChanged(id int32) error {
	results, err := m.do(Request{Kind: ReadData, Path: zkmeta.Broker(id), Watch: true})
	if err != nil {
		return err
	}
	r := results[0]
	old := m.term.brokers[id]
	switch {
	case errors.Is(r.Err, zkmeta.ErrNoNode) || old == nil:
		return nil
	case r.Err != nil:
		return fmt.Errorf("read %s: %w", zkmeta.Broker(id), r.Err)
	case r.Stat.Czxid != old.epoch:
		return nil // another registration: the child watch tells
	}
	info, err := zkmeta.DecodeBroker(id, r.Data)
	if err != nil {
		return fmt.Errorf("read %s: %w", zkmeta.Broker(id), err)
	}
	if sameBroker(info, old.info) {
		return nil
	}
	m.log.Info().Int32("broker", id).Msg("broker changed its registration")
	info.Epoch = old.epoch
	old.info = info
	m.sends = append(m.sends, Send{Kind: UpdateChannel, Broker: id, Info: info})
	m.sendMetadata(m.term.brokerIDs(), nil)
	return nil
}

// brokerAnswered looks at what a broker answered.
func (m *Machine) brokerAnswered(ev BrokerAnswered) error {
	if m.term == nil || !m.term.registered(ev.Broker) {
		return nil
	}
	return m.answered(ev)
}

// logDirReplicas handles replicas that a broker has lost with a log directory (KAFKA_STORAGE_ERROR in its
// answer to LeaderAndIsr), and those that it has after all.
func (m *Machine) logDirReplicas(id int32, failed, fine []*partition) error {
	b := m.term.brokers[id]
	for _, p := range fine {
		delete(b.offline, p)
	}
	var lost []*partition
	for _, p := range failed {
		if _, known := b.offline[p]; !known {
			b.offline[p] = struct{}{}
			if !p.topic.deleting() {
				lost = append(lost, p)
			}
		}
	}
	if len(lost) == 0 {
		return nil
	}
	m.log.Warn().Int32("broker", id).Int("partitions", len(lost)).Msg("replicas are offline after a log directory failure")
	return m.settleAndTell(lost)
}
