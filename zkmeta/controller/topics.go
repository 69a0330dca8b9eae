package controller

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"

	"ottla/zkmeta"
)

// loadTopics takes topics and the states of their partitions into the context. It sets a data watch on
// each topic.
func (m *Machine) loadTopics(names []string) error {
	slices.Sort(names)
	topics, err := m.readTopics(names)
	if err != nil {
		return err
	}
	if err := m.addTopicIDs(topics); err != nil {
		return err
	}
	m.term.addTopics(topics)
	var ps []*partition
	for _, t := range topics {
		ps = append(ps, t.parts...)
	}
	for _, p := range ps {
		if p.beingReassigned() {
			m.term.reassigning[p] = struct{}{}
		}
	}
	return m.reread(ps)
}

// readTopics reads topic znodes with a watch on each. Those that are gone are left out; so are damaged
// ones, until their znode changes.
func (m *Machine) readTopics(names []string) ([]*topic, error) {
	reqs := make([]Request, len(names))
	for i, name := range names {
		reqs[i] = Request{Kind: ReadData, Path: zkmeta.Topic(name), Watch: true}
	}
	results, err := m.do(reqs...)
	if err != nil {
		return nil, err
	}
	var topics []*topic
	for i, r := range results {
		name := names[i]
		switch {
		case errors.Is(r.Err, zkmeta.ErrNoNode):
			continue
		case r.Err != nil:
			return nil, fmt.Errorf("read %s: %w", reqs[i].Path, r.Err)
		}
		a, err := zkmeta.DecodeTopicAssignment(r.Data)
		if err == nil {
			err = checkAssignment(a)
		}
		if err != nil {
			m.log.Error().Err(err).Str("topic", name).Msg("topic znode is damaged; the topic is left alone until it changes")
			m.term.unreadable[name] = struct{}{}
			continue
		}
		delete(m.term.unreadable, name)
		topics = append(topics, newTopic(name, a, r.Stat.Version))
	}
	return topics, nil
}

// checkAssignment finds what no controller writes.
func checkAssignment(a zkmeta.TopicAssignment) error {
	for id, replicas := range a.Partitions {
		switch {
		case id < 0:
			return fmt.Errorf("partition %d", id)
		case len(replicas) == 0:
			return fmt.Errorf("partition %d has no replicas", id)
		}
		for i, r := range replicas {
			if r < 0 || slices.Contains(replicas[:i], r) {
				return fmt.Errorf("partition %d has replicas %v", id, replicas)
			}
		}
	}
	return nil
}

func newTopic(name string, a zkmeta.TopicAssignment, version int32) *topic {
	t := &topic{name: name, version: version, id: a.TopicID, hasID: a.TopicID != [16]byte{}}
	for id := range a.Partitions {
		t.parts = append(t.parts, newPartition(t, id, a))
	}
	slices.SortFunc(t.parts, func(p, o *partition) int { return cmp.Compare(p.id, o.id) })
	return t
}

func newPartition(t *topic, id int32, a zkmeta.TopicAssignment) *partition {
	return &partition{topic: t, id: id, replicas: a.Partitions[id], adding: a.Adding[id], removing: a.Removing[id]}
}

// assignment is t as its znode should have it.
func (t *topic) assignment() zkmeta.TopicAssignment {
	a := zkmeta.TopicAssignment{
		Partitions: map[int32][]int32{},
		Adding:     map[int32][]int32{},
		Removing:   map[int32][]int32{},
		TopicID:    t.id,
	}
	for _, p := range t.parts {
		replicas, adding, removing := p.replicas, p.adding, p.removing
		if p.completing != nil {
			replicas, adding, removing = p.completing.replicas, p.completing.adding, p.completing.removing
		}
		a.Partitions[p.id], a.Adding[p.id], a.Removing[p.id] = replicas, adding, removing
	}
	return a
}

// writeTopics writes the znodes of topics from the context. If somebody added partitions meanwhile (which
// any broker may do), they are taken in and the write is repeated; those partitions are answered, to be
// created by the caller. failed has the topics that could not be written.
func (m *Machine) writeTopics(topics []*topic) (added []*partition, failed map[*topic]error, err error) {
	failed = map[*topic]error{}
	for try := 0; len(topics) > 0; try++ {
		reqs := make([]Request, len(topics))
		for i, t := range topics {
			a := t.assignment()
			reqs[i] = m.fenced(zkmeta.SetOp(zkmeta.Topic(t.name), a.Encode(), t.version))
		}
		results, err := m.do(reqs...)
		if err != nil {
			return added, failed, err
		}
		var stale []*topic
		for i, r := range results {
			t := topics[i]
			switch {
			case r.Err == nil:
				t.version = r.Written[0].Stat.Version
			case errors.Is(r.Err, zkmeta.ErrBadVersion) && try < maxRereads:
				stale = append(stale, t)
			default:
				failed[t] = fmt.Errorf("write assignment of topic %s: %w", t.name, r.Err)
				m.log.Error().Err(r.Err).Str("topic", t.name).Msg("topic assignment could not be written")
			}
		}
		topics = nil
		for _, t := range stale {
			ps, err := m.rereadTopic(t)
			switch {
			case err != nil && endsTerm(err):
				return added, failed, err
			case err != nil:
				failed[t] = err
				m.log.Error().Err(err).Str("topic", t.name).Msg("topic assignment could not be read")
				continue
			}
			added = append(added, ps...)
			topics = append(topics, t)
		}
	}
	return added, failed, nil
}

// rereadTopic takes partitions that others added to t's znode into the context, and its version.
func (m *Machine) rereadTopic(t *topic) (added []*partition, err error) {
	results, err := m.do(Request{Kind: ReadData, Path: zkmeta.Topic(t.name)})
	if err != nil {
		return nil, err
	}
	if err := results[0].Err; err != nil {
		return nil, fmt.Errorf("read %s: %w", zkmeta.Topic(t.name), err)
	}
	a, err := zkmeta.DecodeTopicAssignment(results[0].Data)
	if err == nil {
		err = checkAssignment(a)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", zkmeta.Topic(t.name), err)
	}
	t.version = results[0].Stat.Version
	return addPartitions(t, a), nil
}

// addPartitions adds those of a that t does not have.
func addPartitions(t *topic, a zkmeta.TopicAssignment) (added []*partition) {
	for _, id := range slices.Sorted(maps.Keys(a.Partitions)) {
		if t.partition(id) == nil {
			p := newPartition(t, id, a)
			t.addPartition(p)
			added = append(added, p)
		}
	}
	return added
}

// addTopicIDs gives topics an id that were created without (by brokers before Kafka 2.8).
func (m *Machine) addTopicIDs(topics []*topic) error {
	var bare []*topic
	for _, t := range topics {
		if !t.hasID {
			t.id, t.hasID = newTopicID(), true
			bare = append(bare, t)
		}
	}
	if len(bare) == 0 {
		return nil
	}
	m.log.Info().Int("topics", len(bare)).Msg("topics without an id get one")
	_, _, err := m.writeTopics(bare)
	return err
}

// newTopicID is a random (version 4) UUID that does not look like an option on a command line
// (org.apache.kafka.common.Uuid.randomUuid).
func newTopicID() [16]byte {
	for {
		var id [16]byte
		_, _ = rand.Read(id[:]) // never fails
		id[6] = id[6]&0x0f | 0x40
		id[8] = id[8]&0x3f | 0x80
		if id[0]>>2 != 62 { // 62 is '-' in URL-safe base64
			return id
		}
	}
}

// topicsChanged handles the child watch on /brokers/topics: topics are created, by whoever wrote their
// znodes, and disappear.
func (m *Machine) topicsChanged() error {
	results, err := m.do(Request{Kind: ReadChildren, Path: zkmeta.BrokersTopics, Watch: true})
	if err != nil {
		return err
	}
	if err := results[0].Err; err != nil {
		return fmt.Errorf("read %s: %w", zkmeta.BrokersTopics, err)
	}
	there := make(map[string]struct{}, len(results[0].Children))
	var names []string
	for _, name := range results[0].Children {
		there[name] = struct{}{}
		_, bad := m.term.unreadable[name]
		if m.term.topics[name] == nil && !bad {
			names = append(names, name)
		}
	}
	var markers []string // of deletions that are thereby over
	for _, name := range slices.Clone(m.term.names) {
		if _, ok := there[name]; !ok {
			m.log.Warn().Str("topic", name).Msg("topic znode was removed by somebody else")
			if m.term.topics[name].deleting() {
				markers = append(markers, zkmeta.DeleteTopic(name))
			}
			m.term.removeTopic(m.term.topics[name])
		}
	}
	if err := m.deleteNodes(markers); err != nil {
		return err
	}
	maps.DeleteFunc(m.term.unreadable, func(name string, _ struct{}) bool {
		_, ok := there[name]
		return !ok
	})
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return m.takeInTopics(names)
}

// takeInTopics takes new topics into the context and creates their partitions.
func (m *Machine) takeInTopics(names []string) error {
	topics, err := m.readTopics(names)
	if err != nil {
		return err
	}
	if err := m.addTopicIDs(topics); err != nil {
		return err
	}
	var ps []*partition
	for _, t := range topics {
		m.term.addTopic(t)
		ps = append(ps, t.parts...)
	}
	return m.createPartitions(ps)
}

// createPartitions writes the first states of partitions and starts their replicas.
func (m *Machine) createPartitions(ps []*partition) error {
	created, err := m.create(ps)
	if err != nil {
		return err
	}
	// A state that was there already may not fit who is there now.
	if _, err := m.update(created, func(p *partition) (partitionState, bool) { return m.term.settled(p, false) }); err != nil {
		return err
	}
	b := m.newBatch()
	for _, p := range created {
		b.tellReplicas(p, m.onlineReplicas(p), isNew)
	}
	b.flush()
	return nil
}

// topicChanged handles the data watch on a topic: partitions were added, by any broker, or this controller
// wrote the assignment itself.
func (m *Machine) topicChanged(name string) error {
	if _, bad := m.term.unreadable[name]; bad {
		delete(m.term.unreadable, name)
		if err := m.takeInTopics([]string{name}); err != nil {
			return err
		}
		return m.deletionsRequested() // which could not be done until now
	}
	results, err := m.do(Request{Kind: ReadData, Path: zkmeta.Topic(name), Watch: true})
	if err != nil {
		return err
	}
	t := m.term.topics[name]
	r := results[0]
	switch {
	case errors.Is(r.Err, zkmeta.ErrNoNode) || t == nil:
		return nil // the child watch on /brokers/topics tells
	case r.Err != nil:
		return fmt.Errorf("read %s: %w", zkmeta.Topic(name), r.Err)
	}
	a, err := zkmeta.DecodeTopicAssignment(r.Data)
	if err == nil {
		err = checkAssignment(a)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", zkmeta.Topic(name), err)
	}
	if t.deleting() {
		for id := range a.Partitions {
			if t.partition(id) == nil {
				m.log.Warn().Str("topic", name).Msg("partitions were added to a topic that is being deleted; they are taken back")
				t.version = r.Stat.Version
				return m.restoreTopic(t)
			}
		}
		return nil
	}
	if a.TopicID != [16]byte{} && a.TopicID != t.id {
		// The topic was removed and made again between two looks at it.
		m.log.Warn().Str("topic", name).Msg("topic was replaced by another with the same name")
		m.term.removeTopic(t)
		return m.takeInTopics([]string{name})
	}
	t.version = r.Stat.Version
	return m.createPartitions(addPartitions(t, a))
}

// restoreTopic writes t's assignment over one that somebody extended. If it changes once more meanwhile,
// that comes as another event.
func (m *Machine) restoreTopic(t *topic) error {
	a := t.assignment()
	results, err := m.do(m.fenced(zkmeta.SetOp(zkmeta.Topic(t.name), a.Encode(), t.version)))
	if err == nil && results[0].Err == nil {
		t.version = results[0].Written[0].Stat.Version
	}
	return err
}
