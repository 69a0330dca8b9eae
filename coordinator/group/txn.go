package group

import "ottla/coordinator"

// txnOffsets returns the table of a producer's open transaction in g.
func (m *machine) txnOffsets(g *group, producerID int64) *offsetTable {
	t := g.txns[producerID]
	if t == nil {
		if g.txns == nil {
			g.txns = make(map[int64]*offsetTable)
		}
		t = new(offsetTable)
		g.txns[producerID] = t
		groups := m.txns[producerID]
		if groups == nil {
			groups = make(map[string]struct{})
			m.txns[producerID] = groups
		}
		groups[g.id] = struct{}{}
	}
	return t
}

// completeTxn ends a producer's transaction: its offsets count, unless a later plain commit has been written since, or are dropped.
func (m *machine) completeTxn(producerID int64, commit bool) {
	for id := range m.txns[producerID] {
		g := m.groups[id]
		t := g.txns[producerID]
		delete(g.txns, producerID)
		if !commit {
			continue
		}
		for _, to := range t.topics {
			for p, c := range to.partitions {
				if old := g.offsets.get(to.name, p); old == nil || old.record < c.record {
					m.putOffset(g, to.name, p, *c)
				}
			}
		}
	}
	delete(m.txns, producerID)
}

func (m *machine) dropEmptyTxn(g *group, producerID int64, t *offsetTable) {
	if t.n == 0 {
		delete(g.txns, producerID)
		m.forgetTxn(producerID, g.id)
	}
}

func (m *machine) forgetTxn(producerID int64, id string) {
	delete(m.txns[producerID], id)
	if len(m.txns[producerID]) == 0 {
		delete(m.txns, producerID)
	}
}

// unstable tells whether an open transaction has an offset for the partition (KIP-447).
func (g *group) unstable(topic string, partition int32) bool {
	for _, t := range g.txns {
		if t.get(topic, partition) != nil {
			return true
		}
	}
	return false
}

// completeTxnEvent is a transaction's end, after its marker was written to the partition.
type completeTxnEvent struct {
	coordinator.Request
	producerID int64
	commit     bool
}

func (e *completeTxnEvent) Traits() coordinator.Traits { return coordinator.AwaitsLoad }
func (e *completeTxnEvent) Fail(error)                 { e.Finish() }
