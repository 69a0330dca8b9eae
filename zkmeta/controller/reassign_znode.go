package controller

import (
	"errors"
	"fmt"
	"slices"

	"ottla/zkmeta"
)

// reassignmentZNode handles /admin/reassign_partitions, which tools older than Kafka 2.4 write. A partition
// stays in it until its reassignment is complete.
func (m *Machine) reassignmentZNode() error {
	wanted, err := m.readReassignmentZNode(true)
	if err != nil {
		return err
	}
	if wanted == nil {
		return nil
	}
	var rs []reassignment
	refused := map[zkmeta.TP]struct{}{}
	for _, w := range wanted {
		p, err := m.reassignable(w.Topic, w.Partition)
		if _, running := m.term.reassigning[p]; running && slices.Equal(p.target(), w.Replicas) {
			continue // the watch also reports what this controller takes out of the znode
		}
		if err == nil {
			err = m.checkTarget(p, w.Replicas)
		}
		if err != nil {
			m.log.Warn().Err(err).Str("topic", w.Topic).Int32("partition", w.Partition).Msg("reassignment in znode is refused")
			refused[w.TP] = struct{}{}
			continue
		}
		rs = append(rs, reassignment{p, w.Replicas})
	}
	if _, err := m.startReassignments(rs); err != nil {
		return err
	}
	return m.trimReassignmentZNode(func(topic string, partition int32) bool {
		if _, no := refused[zkmeta.TP{Topic: topic, Partition: partition}]; no {
			return true
		}
		p := m.term.partition(topic, partition)
		if p == nil {
			return true
		}
		_, running := m.term.reassigning[p]
		return !running
	})
}

// readReassignmentZNode answers nil if there is no such znode. A damaged one is removed, as nobody can
// fulfil it.
func (m *Machine) readReassignmentZNode(watch bool) ([]zkmeta.Reassignment, error) {
	results, err := m.do(Request{Kind: ReadExists, Path: zkmeta.ReassignPartitions, Watch: watch})
	if err != nil {
		return nil, err
	}
	if err := results[0].Err; err != nil {
		return nil, fmt.Errorf("read %s: %w", zkmeta.ReassignPartitions, err)
	}
	m.term.reassignmentZNode = results[0].Exists
	if !results[0].Exists {
		return nil, nil
	}
	results, err = m.do(Request{Kind: ReadData, Path: zkmeta.ReassignPartitions})
	if err != nil {
		return nil, err
	}
	switch err := results[0].Err; {
	case errors.Is(err, zkmeta.ErrNoNode):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", zkmeta.ReassignPartitions, err)
	}
	wanted, err := zkmeta.DecodeReassignPartitions(results[0].Data)
	if err != nil {
		m.log.Error().Err(err).Msg("reassignment znode is damaged and removed")
		return nil, m.deleteNodes([]string{zkmeta.ReassignPartitions})
	}
	if wanted.Partitions == nil {
		wanted.Partitions = []zkmeta.Reassignment{}
	}
	return wanted.Partitions, nil
}

// trimReassignmentZNode takes the partitions for which done answers true out of /admin/reassign_partitions,
// and removes it when it is empty.
func (m *Machine) trimReassignmentZNode(done func(topic string, partition int32) bool) error {
	if !m.term.reassignmentZNode {
		return nil
	}
	wanted, err := m.readReassignmentZNode(false)
	if err != nil || wanted == nil {
		return err
	}
	rest := slices.DeleteFunc(slices.Clone(wanted), func(w zkmeta.Reassignment) bool { return done(w.Topic, w.Partition) })
	switch {
	case len(rest) == 0:
		m.term.reassignmentZNode = false
		return m.deleteNodes([]string{zkmeta.ReassignPartitions})
	case len(rest) == len(wanted):
		return nil
	}
	results, err := m.do(m.fenced(zkmeta.SetOp(zkmeta.ReassignPartitions, zkmeta.ReassignmentRequest{Partitions: rest}.Encode(), zkmeta.AnyVersion)))
	if err != nil {
		return err
	}
	if err := results[0].Err; err != nil && !errors.Is(err, zkmeta.ErrNoNode) {
		return fmt.Errorf("write %s: %w", zkmeta.ReassignPartitions, err)
	}
	return nil
}
