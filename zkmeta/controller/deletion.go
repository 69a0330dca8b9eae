package controller

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/zkmeta"
)

// deletionRetry is the pause before a replica is asked again to be deleted after the broker answered with
// an error. (Kafka waits for the broker to restart.)
const deletionRetry = 10 * time.Second

// A deletion is a topic on its way out. Every replica has to confirm that it is gone before the znodes go:
// the marker in /admin/delete_topics is the promise that the rest will be done, by this controller or a
// later one.
type deletion struct {
	// announced is set when the brokers have been told that the topic is gone.
	announced bool
	// done and asked are by replica. What is in neither waits: for its broker, or for retryAt.
	done, asked map[replica]struct{}
	retryAt     time.Time
}

type replica struct {
	partition, broker int32
}

// deletionsRequested handles the child watch on /admin/delete_topics.
func (m *Machine) deletionsRequested() error {
	results, err := m.do(Request{Kind: ReadChildren, Path: zkmeta.DeleteTopics, Watch: true})
	if err != nil {
		return err
	}
	if err := results[0].Err; err != nil {
		return fmt.Errorf("read %s: %w", zkmeta.DeleteTopics, err)
	}
	// A topic may be so new that its own event is still to come.
	if slices.ContainsFunc(results[0].Children, func(n string) bool { return m.term.topics[n] == nil }) {
		if err := m.topicsChanged(); err != nil {
			return err
		}
	}
	topics, err := m.acceptDeletions(results[0].Children)
	if err != nil {
		return err
	}
	for _, t := range topics {
		if err := m.advanceDeletion(t); err != nil {
			return err
		}
	}
	return nil
}

// acceptDeletions marks topics as being deleted, and answers with those that were not so marked before.
// Markers of unknown topics are removed, and all markers if delete.topic.enable is false.
func (m *Machine) acceptDeletions(names []string) ([]*topic, error) {
	slices.Sort(names)
	var topics []*topic
	var drop []string
	for _, name := range names {
		t := m.term.topics[name]
		_, bad := m.term.unreadable[name]
		switch {
		case !m.cfg.DeleteTopicEnable:
			m.log.Info().Str("topic", name).Msg("topic deletion is disabled; the request is dropped")
			drop = append(drop, zkmeta.DeleteTopic(name))
		case t == nil && bad:
			m.log.Warn().Str("topic", name).Msg("topic cannot be deleted while its znode is damaged")
		case t == nil:
			m.log.Warn().Str("topic", name).Msg("topic to be deleted does not exist")
			drop = append(drop, zkmeta.DeleteTopic(name))
		case t.deletion == nil:
			m.log.Info().Str("topic", name).Int("partitions", len(t.parts)).Msg("deleting topic")
			t.deletion = &deletion{done: map[replica]struct{}{}, asked: map[replica]struct{}{}}
			m.term.deleting[name] = t
			topics = append(topics, t)
			// What a reassignment was about to do to the topic no longer matters.
			for _, p := range t.parts {
				delete(m.term.reassigning, p)
				p.completing = nil
			}
		}
	}
	m.term.noteDeleting()
	return topics, m.deleteNodes(drop)
}

// advanceDeletions goes on with all deletions.
func (m *Machine) advanceDeletions() error {
	for _, name := range slices.Sorted(maps.Keys(m.term.deleting)) {
		if err := m.advanceDeletion(m.term.deleting[name]); err != nil {
			return err
		}
	}
	return nil
}

// advanceDeletion does what can be done now: it asks the replicas that can be asked, and removes the
// znodes once all have confirmed.
func (m *Machine) advanceDeletion(t *topic) error {
	d := t.deletion
	b := m.newBatch()
	if !d.announced {
		d.announced = true
		for _, p := range t.parts {
			b.tellAll(p)
		}
	}
	missing := 0
	for _, p := range t.parts {
		for _, id := range p.replicas {
			r := replica{p.id, id}
			if _, done := d.done[r]; done {
				continue
			}
			missing++
			if _, asked := d.asked[r]; !asked && m.term.registered(id) {
				d.asked[r] = struct{}{}
				b.stopReplica(p, id, true)
			}
		}
	}
	b.flush()
	if missing > 0 {
		return nil
	}
	return m.removeTopic(t)
}

// replicasStopped takes the answer to StopReplica: replicas of topics that are being deleted are gone, or
// have to be asked again; those that a reassignment removed are gone, or nothing can be done about them.
func (m *Machine) replicasStopped(id int32, req *kmsg.StopReplicaRequest, resp *kmsg.StopReplicaResponse) error {
	type key struct {
		topic     string
		partition int32
	}
	errs := make(map[key]int16, len(resp.Partitions))
	for _, a := range resp.Partitions {
		errs[key{a.Topic, a.Partition}] = a.ErrorCode
	}
	var finish []*partition
	for _, rt := range req.Topics {
		t := m.term.topics[rt.Topic]
		if t == nil {
			continue
		}
		if !t.deleting() {
			for _, s := range rt.PartitionStates {
				if p := t.partition(s.Partition); p != nil && s.Delete && p.removedReplicaGone(id) {
					finish = append(finish, p)
				}
			}
			continue
		}
		for _, s := range rt.PartitionStates {
			r := replica{s.Partition, id}
			if _, asked := t.deletion.asked[r]; !asked || !s.Delete {
				continue
			}
			delete(t.deletion.asked, r)
			code, answered := errs[key{rt.Topic, s.Partition}]
			if resp.ErrorCode == 0 && answered && code == 0 {
				t.deletion.done[r] = struct{}{}
				continue
			}
			if code == 0 {
				code = resp.ErrorCode
			}
			m.log.Warn().Str("topic", t.name).Int32("partition", s.Partition).Int32("broker", id).Int16("error_code", code).
				Msg("replica could not be deleted; it will be tried again")
			t.deletion.retryAt = earlier(t.deletion.retryAt, m.now.Add(deletionRetry))
		}
		// Nothing failed, or the retry is pending: only go on if that can complete the deletion.
		if t.deletion.retryAt.IsZero() {
			if err := m.advanceDeletion(t); err != nil {
				return err
			}
		}
	}
	return m.reassignFinish(finish)
}

// deletionsLost forgets what was asked of brokers that are gone; it is asked again when they are back.
func (m *Machine) deletionsLost(ids []int32) {
	for _, t := range m.term.deleting {
		for r := range t.deletion.asked {
			if slices.Contains(ids, r.broker) {
				delete(t.deletion.asked, r)
			}
		}
	}
}

// deletionRetryAt is when a refused deletion is to be tried again, or zero.
func (m *Machine) deletionRetryAt() time.Time {
	var at time.Time
	for _, t := range m.term.deleting {
		at = earlier(at, t.deletion.retryAt)
	}
	return at
}

func (m *Machine) retryDeletions() error {
	for _, name := range slices.Sorted(maps.Keys(m.term.deleting)) {
		t := m.term.deleting[name]
		if t.deletion.retryAt.IsZero() || m.now.Before(t.deletion.retryAt) {
			continue
		}
		t.deletion.retryAt = time.Time{}
		if err := m.advanceDeletion(t); err != nil {
			return err
		}
	}
	return nil
}

// removeTopic removes the znodes of a topic whose replicas are gone, bottom up. The last three, topic,
// configuration and marker, go together: a topic of the same name that somebody creates right after keeps
// its configuration. If the controller dies before that, the marker makes its successor start again.
func (m *Machine) removeTopic(t *topic) error {
	reqs := make([]Request, len(t.parts))
	for i, p := range t.parts {
		reqs[i] = m.fenced(zkmeta.DeleteOp(statePath(p), zkmeta.AnyVersion), zkmeta.DeleteOp(partitionPath(p), zkmeta.AnyVersion))
	}
	results, err := m.do(reqs...)
	if err != nil {
		return err
	}
	var odd []string
	for i, r := range results {
		if r.Err != nil { // one of the two is not there, or there is something else
			odd = append(odd, partitionPath(t.parts[i]))
		}
	}
	if err := m.deleteTrees(odd); err != nil {
		return err
	}
	if err := m.deleteTrees([]string{partitionsPath(t.name)}); err != nil {
		return err
	}
	results, err = m.do(m.fenced(
		zkmeta.DeleteOp(zkmeta.Topic(t.name), zkmeta.AnyVersion),
		zkmeta.DeleteOp(topicConfigPath(t.name), zkmeta.AnyVersion),
		zkmeta.DeleteOp(zkmeta.DeleteTopic(t.name), zkmeta.AnyVersion),
	))
	if err != nil {
		return err
	}
	if results[0].Err != nil { // one of them is not there, or the topic has other children
		if err := m.deleteTrees([]string{zkmeta.Topic(t.name)}); err != nil {
			return err
		}
		if err := m.deleteNodes([]string{topicConfigPath(t.name)}); err != nil {
			return err
		}
		if err := m.deleteNodes([]string{zkmeta.DeleteTopic(t.name)}); err != nil {
			return err
		}
	}
	m.term.removeTopic(t)
	m.log.Info().Str("topic", t.name).Msg("topic deleted")
	return nil
}

// deleteTrees deletes znodes, and what is below them if there should be something.
func (m *Machine) deleteTrees(paths []string) error {
	reqs := make([]Request, len(paths))
	for i, path := range paths {
		reqs[i] = m.fenced(zkmeta.DeleteOp(path, zkmeta.AnyVersion))
	}
	results, err := m.do(reqs...)
	if err != nil {
		return err
	}
	for i, r := range results {
		switch {
		case r.Err == nil || errors.Is(r.Err, zkmeta.ErrNoNode):
		case errors.Is(r.Err, zkmeta.ErrNotEmpty):
			if err := m.deleteTree(paths[i]); err != nil {
				return err
			}
		default:
			return fmt.Errorf("delete %s: %w", paths[i], r.Err)
		}
	}
	return nil
}

func (m *Machine) deleteTree(path string) error {
	results, err := m.do(Request{Kind: ReadChildren, Path: path})
	if err != nil {
		return err
	}
	if err := results[0].Err; err != nil && !errors.Is(err, zkmeta.ErrNoNode) {
		return fmt.Errorf("read children of %s: %w", path, err)
	}
	paths := make([]string, len(results[0].Children))
	for i, n := range results[0].Children {
		paths[i] = path + "/" + n
	}
	if err := m.deleteTrees(paths); err != nil {
		return err
	}
	return m.deleteNodes([]string{path})
}
