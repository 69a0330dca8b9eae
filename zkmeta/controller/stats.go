package controller

// Stats are the numbers behind Kafka's kafka.controller:type=KafkaController gauges.
type Stats struct {
	Active                           bool
	ActiveBrokers                    int
	Topics, Partitions               int
	OfflinePartitions                int
	PreferredReplicaImbalance        int
	TopicsToDelete, ReplicasToDelete int
	ReassigningPartitions            int
}

// ReadStats asks for Stats.
type ReadStats struct{ Reply func(Stats) }

func (ReadStats) event() {}

func (m *Machine) stats() Stats {
	c := m.term
	if c == nil {
		return Stats{}
	}
	s := Stats{Active: true, ActiveBrokers: len(c.liveIDs()), Topics: len(c.topics), ReassigningPartitions: len(c.reassigning)}
	for _, t := range c.topics {
		s.Partitions += len(t.parts)
		if t.deleting() {
			s.TopicsToDelete++
			for _, p := range t.parts {
				s.ReplicasToDelete += len(p.replicas)
			}
			s.ReplicasToDelete -= len(t.deletion.done)
			continue
		}
		for _, p := range t.parts {
			if !p.written || p.state.leader == noLeader || !c.reachable(p, p.state.leader) {
				s.OfflinePartitions++
			}
			if p.written && p.state.leader != p.replicas[0] {
				s.PreferredReplicaImbalance++
			}
		}
	}
	return s
}

// Deleting are the names of the topics being deleted; nil if there are none. The map is never changed.
func (m *Machine) Deleting() *map[string]struct{} {
	if m.term == nil {
		return nil
	}
	return m.term.deletingNames
}

// noteDeleting publishes which topics are being deleted.
func (c *term) noteDeleting() {
	if len(c.deleting) == 0 {
		c.deletingNames = nil
		return
	}
	names := make(map[string]struct{}, len(c.deleting))
	for name := range c.deleting {
		names[name] = struct{}{}
	}
	c.deletingNames = &names
}
