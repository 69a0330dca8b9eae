package controller

import (
	"errors"
	"fmt"
	"slices"

	"ottla/zkmeta"
)

// maxRereads bounds how often a state znode that somebody else keeps changing is read and tried again.
const maxRereads = 5

// maxCreateOps bounds the ops of the one multi that creates a small topic's znodes.
const maxCreateOps = 128

// A decision answers the state that a partition should have, and false if it should stay as it is. It may
// be asked again if the state znode turns out to have changed.
type decision func(*partition) (partitionState, bool)

// update writes the states that decide asks for, and takes into the context what was written. It answers
// with the partitions that changed, in the order of ps. A partition whose write failed is logged and left
// as it is.
func (m *Machine) update(ps []*partition, decide decision) (changed []*partition, err error) {
	for try := 0; len(ps) > 0; try++ {
		var todo []*partition
		var states []partitionState
		var reqs []Request
		for _, p := range ps {
			if s, ok := decide(p); ok {
				todo = append(todo, p)
				states = append(states, s)
				reqs = append(reqs, m.fenced(zkmeta.SetOp(statePath(p), encodeState(s), p.version)))
			}
		}
		results, err := m.do(reqs...)
		if err != nil {
			return changed, err
		}
		var stale []*partition
		for i, r := range results {
			p := todo[i]
			switch {
			case r.Err == nil:
				p.state, p.version = states[i], r.Written[0].Stat.Version
				changed = append(changed, p)
			case errors.Is(r.Err, zkmeta.ErrBadVersion) && try < maxRereads:
				stale = append(stale, p)
			default:
				m.log.Error().Err(r.Err).Str("topic", p.topic.name).Int32("partition", p.id).Msg("partition state could not be written")
			}
		}
		if err := m.reread(stale); err != nil {
			return changed, err
		}
		ps = stale
	}
	slices.SortFunc(changed, (*partition).compare)
	return changed, nil
}

// reread loads the states of partitions from their znodes.
func (m *Machine) reread(ps []*partition) error {
	reqs := make([]Request, len(ps))
	for i, p := range ps {
		reqs[i] = Request{Kind: ReadData, Path: statePath(p)}
	}
	results, err := m.do(reqs...)
	if err != nil {
		return err
	}
	for i, r := range results {
		if err := m.loadState(ps[i], r); err != nil {
			return err
		}
	}
	return nil
}

// loadState takes a read state znode into the context. What cannot be understood is logged and treated as
// a partition without a state that is known; a state written by a later controller ends the term.
func (m *Machine) loadState(p *partition, r Result) error {
	log := m.log.With().Str("topic", p.topic.name).Int32("partition", p.id).Logger()
	p.unreadable = false
	switch {
	case errors.Is(r.Err, zkmeta.ErrNoNode):
		p.written = false
		return nil
	case r.Err != nil:
		return fmt.Errorf("read state of %s-%d: %w", p.topic.name, p.id, r.Err)
	}
	s, err := decodeState(r.Data)
	if err != nil {
		log.Error().Err(err).Msg("partition state znode is damaged; the partition is left alone")
		p.written, p.unreadable = false, true
		return nil
	}
	if s.controllerEpoch > m.term.epoch {
		return fmt.Errorf("state of %s-%d has controller epoch %d, ours is %d: %w", p.topic.name, p.id, s.controllerEpoch, m.term.epoch, ErrFenced)
	}
	p.written, p.state, p.version = true, s, r.Stat.Version
	return nil
}

// create writes the first states of partitions that have none, and answers with those that have one now
// and those that were made here. Partitions without a live replica stay without a state.
func (m *Machine) create(ps []*partition) (created []*partition, err error) {
	var todo []*partition
	states := map[*partition]partitionState{}
	for _, p := range ps {
		s, ok := m.term.firstState(p)
		if !ok {
			m.log.Warn().Str("topic", p.topic.name).Int32("partition", p.id).Ints32("replicas", p.replicas).
				Msg("partition has no live replica and is not created yet")
			continue
		}
		todo = append(todo, p)
		states[p] = s
	}
	todo, created, err = m.createWhole(todo, states)
	if err != nil {
		return created, err
	}
	more, err := m.createSingly(todo, states)
	created = append(created, more...)
	slices.SortFunc(created, (*partition).compare)
	return created, err
}

// createWhole creates the znodes of each small topic in one multi, which takes one round trip instead of
// two. It answers with the partitions that are left to be created.
func (m *Machine) createWhole(ps []*partition, states map[*partition]partitionState) (left, created []*partition, err error) {
	byTopic := map[*topic][]*partition{}
	var topics []*topic
	for _, p := range ps {
		if byTopic[p.topic] == nil {
			topics = append(topics, p.topic)
		}
		byTopic[p.topic] = append(byTopic[p.topic], p)
	}
	var whole []*topic
	var reqs []Request
	for _, t := range topics {
		group := byTopic[t]
		if len(group) != len(t.parts) || 1+2*len(group) > maxCreateOps {
			left = append(left, group...)
			continue
		}
		ops := []zkmeta.Op{m.createOp(partitionsPath(t.name), nil)}
		for _, p := range group {
			ops = append(ops, m.createOp(partitionPath(p), nil), m.createOp(statePath(p), encodeState(states[p])))
		}
		whole = append(whole, t)
		reqs = append(reqs, m.fenced(ops...))
	}
	// Larger topics start with their common parent.
	parents := map[*topic]bool{}
	for _, p := range left {
		if !parents[p.topic] {
			parents[p.topic] = true
			reqs = append(reqs, m.fenced(m.createOp(partitionsPath(p.topic.name), nil)))
		}
	}
	results, err := m.do(reqs...)
	if err != nil {
		return nil, nil, err
	}
	for i, t := range whole {
		if results[i].Err != nil {
			left = append(left, byTopic[t]...) // something of it exists: go through it one by one
			continue
		}
		for j, p := range byTopic[t] {
			p.written, p.state, p.version = true, states[p], results[i].Written[2+2*j].Stat.Version
			created = append(created, p)
		}
	}
	return left, created, nil
}

// createSingly creates partitions whose topic may have some of its znodes already.
func (m *Machine) createSingly(ps []*partition, states map[*partition]partitionState) (created []*partition, err error) {
	reqs := make([]Request, len(ps))
	for i, p := range ps {
		reqs[i] = m.fenced(m.createOp(partitionPath(p), nil), m.createOp(statePath(p), encodeState(states[p])))
	}
	results, err := m.do(reqs...)
	if err != nil {
		return nil, err
	}
	var again []*partition
	for i, r := range results {
		p := ps[i]
		switch {
		case r.Err == nil:
			p.written, p.state, p.version = true, states[p], r.Written[1].Stat.Version
			created = append(created, p)
		case errors.Is(r.Err, zkmeta.ErrNodeExists), errors.Is(r.Err, zkmeta.ErrNoNode):
			again = append(again, p)
		default:
			m.log.Error().Err(r.Err).Str("topic", p.topic.name).Int32("partition", p.id).Msg("partition could not be created")
		}
	}
	if len(again) == 0 {
		return created, nil
	}
	more, err := m.createRest(again, states)
	return append(created, more...), err
}

// createRest creates what is missing of partitions of which something exists: a controller stopped half way,
// or somebody made the znodes by hand.
func (m *Machine) createRest(ps []*partition, states map[*partition]partitionState) (created []*partition, err error) {
	for _, level := range []func(*partition) string{
		func(p *partition) string { return partitionsPath(p.topic.name) },
		partitionPath,
	} {
		var reqs []Request
		seen := map[string]bool{}
		for _, p := range ps {
			if path := level(p); !seen[path] {
				seen[path] = true
				reqs = append(reqs, m.fenced(m.createOp(path, nil)))
			}
		}
		if _, err := m.do(reqs...); err != nil { // what went wrong shows below
			return nil, err
		}
	}
	reqs := make([]Request, len(ps))
	for i, p := range ps {
		reqs[i] = m.fenced(m.createOp(statePath(p), encodeState(states[p])))
	}
	results, err := m.do(reqs...)
	if err != nil {
		return nil, err
	}
	var exist []*partition
	for i, r := range results {
		p := ps[i]
		switch {
		case r.Err == nil:
			p.written, p.state, p.version = true, states[p], r.Written[0].Stat.Version
			created = append(created, p)
		case errors.Is(r.Err, zkmeta.ErrNodeExists):
			exist = append(exist, p)
		default:
			m.log.Error().Err(r.Err).Str("topic", p.topic.name).Int32("partition", p.id).Msg("partition could not be created")
		}
	}
	if err := m.reread(exist); err != nil {
		return created, err
	}
	for _, p := range exist {
		if p.written {
			created = append(created, p)
		}
	}
	return created, nil
}

func (m *Machine) createOp(path string, data []byte) zkmeta.Op {
	return zkmeta.CreateOp(path, data, zkmeta.Persistent, nil)
}

// settlePartitions gives each of ps the state it should have, given who is there (see settled), and creates
// those that have none. It answers with the partitions that changed and those that are new.
func (m *Machine) settlePartitions(ps []*partition) (changed, created []*partition, err error) {
	var old, missing []*partition
	for _, p := range ps {
		switch {
		case p.topic.deleting() || p.unreadable:
		case p.written:
			old = append(old, p)
		default:
			missing = append(missing, p)
		}
	}
	unclean, err := m.uncleanTopics(old)
	if err != nil {
		return nil, nil, err
	}
	changed, err = m.update(old, func(p *partition) (partitionState, bool) {
		return m.term.settled(p, unclean[p.topic])
	})
	if err != nil {
		return changed, nil, err
	}
	for _, p := range changed {
		m.logChange(p)
	}
	created, err = m.create(missing)
	return changed, created, err
}

func (m *Machine) logChange(p *partition) {
	e := m.log.Debug()
	switch {
	case p.state.recovering:
		e = m.log.Warn()
	case p.state.leader == noLeader:
		e = m.log.Error()
	}
	e.Str("topic", p.topic.name).Int32("partition", p.id).Int32("leader", p.state.leader).
		Int32("leader_epoch", p.state.leaderEpoch).Ints32("isr", p.state.isr).Bool("unclean", p.state.recovering).
		Msg("partition state changed")
}

// uncleanTopics answers which topics of the partitions that only an unclean election can help allow one.
func (m *Machine) uncleanTopics(ps []*partition) (map[*topic]bool, error) {
	ask := map[*topic]bool{}
	var topics []*topic
	var reqs []Request
	for _, p := range ps {
		if !m.term.needsUnclean(p) {
			continue
		}
		if _, ok := ask[p.topic]; !ok {
			ask[p.topic] = false
			topics = append(topics, p.topic)
			reqs = append(reqs, Request{Kind: ReadData, Path: topicConfigPath(p.topic.name)})
		}
	}
	results, err := m.do(reqs...)
	if err != nil {
		return nil, err
	}
	for i, r := range results {
		allowed := m.cfg.UncleanDefault != nil && m.cfg.UncleanDefault()
		if r.Err != nil && !errors.Is(r.Err, zkmeta.ErrNoNode) {
			m.log.Error().Err(r.Err).Str("topic", topics[i].name).Msg("topic configuration could not be read; no unclean election")
			continue
		}
		if r.Err == nil {
			v, ok, err := uncleanSetting(r.Data)
			if err != nil {
				m.log.Error().Err(err).Str("topic", topics[i].name).Msg("topic configuration is damaged; no unclean election")
				continue
			}
			if ok {
				allowed = v
			}
		}
		ask[topics[i]] = allowed
	}
	return ask, nil
}
