package controller

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"ottla/zkmeta"
)

// firstRebalance is how long after the start of a term leaders are first balanced
// (KafkaController.scheduleAutoLeaderRebalanceTask at failover).
const firstRebalance = 5 * time.Second

// failover loads the cluster, tells every broker about it and finishes what earlier controllers may have
// left undone (KafkaController.onControllerFailover). Watches are set with the reads, so nothing that
// happens meanwhile is missed; it arrives as the next events.
func (m *Machine) failover() error {
	c := m.term
	results, err := m.do(
		Request{Kind: ReadData, Path: zkmeta.Feature},
		Request{Kind: ReadChildren, Path: zkmeta.BrokersIDs, Watch: true},
		Request{Kind: ReadChildren, Path: zkmeta.BrokersTopics, Watch: true},
		Request{Kind: ReadChildren, Path: zkmeta.DeleteTopics, Watch: true},
		Request{Kind: ReadChildren, Path: zkmeta.LogDirEventNotification, Watch: true},
		Request{Kind: ReadChildren, Path: zkmeta.IsrChangeNotification, Watch: true},
	)
	if err != nil {
		return err
	}
	for i, path := range []string{zkmeta.Feature, zkmeta.BrokersIDs, zkmeta.BrokersTopics, zkmeta.DeleteTopics,
		zkmeta.LogDirEventNotification, zkmeta.IsrChangeNotification} {
		if e := results[i].Err; e != nil && (i > 0 || !errors.Is(e, zkmeta.ErrNoNode)) {
			return fmt.Errorf("read %s: %w", path, e)
		}
	}
	if err := m.setUpFeatures(results[0]); err != nil {
		return err
	}
	if err := m.dropNotifications(results[4].Children, results[5].Children); err != nil {
		return err
	}
	brokers, err := m.readBrokers(results[1].Children)
	if err != nil {
		return err
	}
	if err := m.loadTopics(results[2].Children); err != nil {
		return err
	}
	for _, b := range brokers {
		c.brokers[b.info.ID] = b
		m.openChannel(b)
	}
	if _, err := m.acceptDeletions(results[3].Children); err != nil {
		return err
	}

	// Brokers first, without partitions: a follower can only start fetching from a leader it knows of.
	m.sendMetadata(c.brokerIDs(), nil)

	all := c.partitionsNotDeleting(func(*partition) bool { return true })
	_, created, err := m.settlePartitions(all)
	if err != nil {
		return err
	}
	isCreated := map[*partition]bool{}
	for _, p := range created {
		isCreated[p] = true
	}
	b := m.newBatch()
	for _, p := range all {
		if p.written {
			made := isCreated[p]
			b.tellReplicas(p, m.onlineReplicas(p), func(int32) bool { return made })
		}
	}
	b.flush()

	if err := m.resumeReassignments(func(*partition) bool { return true }); err != nil {
		return err
	}
	if err := m.reassignmentZNode(); err != nil {
		return err
	}
	if err := m.advanceDeletions(); err != nil {
		return err
	}
	if err := m.electionZNode(); err != nil {
		return err
	}
	if m.cfg.AutoRebalance {
		m.rebalanceAt = m.now.Add(firstRebalance)
	}
	return nil
}

// setUpFeatures makes sure that /feature exists and is enabled, as a controller with
// inter.broker.protocol.version 3.9 does. Finalized features in it are kept, none is ever added.
func (m *Machine) setUpFeatures(r Result) error {
	if errors.Is(r.Err, zkmeta.ErrNoNode) {
		results, err := m.do(Request{Kind: Write, Ops: []zkmeta.Op{m.createOp(zkmeta.Feature, zkmeta.Features{Version: 2, Enabled: true}.Encode())}})
		if err != nil {
			return err
		}
		if e := results[0].Err; e != nil && !errors.Is(e, zkmeta.ErrNodeExists) {
			return fmt.Errorf("create %s: %w", zkmeta.Feature, e)
		}
		return nil
	}
	f, err := zkmeta.DecodeFeatures(r.Data)
	if err != nil {
		return fmt.Errorf("read %s: %w", zkmeta.Feature, err)
	}
	if f.Enabled && f.Version >= 2 {
		return nil
	}
	if !f.Enabled {
		f.Levels = nil // what a disabled feature znode names does not count
	}
	f.Version, f.Enabled = 2, true
	results, err := m.do(m.fenced(zkmeta.SetOp(zkmeta.Feature, f.Encode(), r.Stat.Version)))
	if err != nil {
		return err
	}
	if e := results[0].Err; e != nil {
		return fmt.Errorf("write %s: %w", zkmeta.Feature, e)
	}
	return nil
}

// dropNotifications deletes what was addressed to earlier controllers: everything is read anew.
func (m *Machine) dropNotifications(logDirs, isrs []string) error {
	paths := make([]string, 0, len(logDirs)+len(isrs))
	for _, n := range logDirs {
		paths = append(paths, zkmeta.LogDirEventNotification+"/"+n)
	}
	for _, n := range isrs {
		paths = append(paths, zkmeta.IsrChangeNotification+"/"+n)
	}
	return m.deleteNodes(paths)
}

// deleteNodes deletes znodes without children; those that are gone already do not matter.
func (m *Machine) deleteNodes(paths []string) error {
	reqs := make([]Request, len(paths))
	for i, path := range paths {
		reqs[i] = m.fenced(zkmeta.DeleteOp(path, zkmeta.AnyVersion))
	}
	results, err := m.do(reqs...)
	if err != nil {
		return err
	}
	for i, r := range results {
		if r.Err != nil && !errors.Is(r.Err, zkmeta.ErrNoNode) {
			return fmt.Errorf("delete %s: %w", paths[i], r.Err)
		}
	}
	return nil
}

// readBrokers reads registrations, with a watch on each. Those that are gone by then, or damaged, are
// left out.
func (m *Machine) readBrokers(children []string) ([]*broker, error) {
	var ids []int32
	var reqs []Request
	for _, s := range children {
		id, err := strconv.ParseInt(s, 10, 32)
		if err != nil || id < 0 {
			m.log.Warn().Str("znode", zkmeta.BrokersIDs+"/"+s).Msg("znode is not named by a broker id; it is ignored")
			continue
		}
		ids = append(ids, int32(id))
		reqs = append(reqs, Request{Kind: ReadData, Path: zkmeta.Broker(int32(id)), Watch: true})
	}
	results, err := m.do(reqs...)
	if err != nil {
		return nil, err
	}
	var brokers []*broker
	for i, r := range results {
		switch {
		case errors.Is(r.Err, zkmeta.ErrNoNode):
			continue
		case r.Err != nil:
			return nil, fmt.Errorf("read %s: %w", reqs[i].Path, r.Err)
		}
		info, err := zkmeta.DecodeBroker(ids[i], r.Data)
		if err != nil {
			m.log.Error().Err(err).Int32("broker", ids[i]).Msg("broker registration is damaged; the broker is treated as absent")
			continue
		}
		info.Epoch = r.Stat.Czxid
		brokers = append(brokers, &broker{info: info, epoch: r.Stat.Czxid, offline: map[*partition]struct{}{}})
	}
	return brokers, nil
}

// onlineReplicas are the replicas of p on brokers that can serve them.
func (m *Machine) onlineReplicas(p *partition) []int32 {
	return filter(p.replicas, func(id int32) bool { return m.term.online(p, id) })
}

func (m *Machine) openChannel(b *broker) {
	m.sends = append(m.sends, Send{Kind: OpenChannel, Broker: b.info.ID, Info: b.info})
}
