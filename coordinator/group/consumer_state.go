package group

import (
	"time"

	"ottla/coordinator"
	"ottla/coordinator/group/consumer"
)

// consumerTimers are the timers of one member of a consumer group.
type consumerTimers struct {
	session   coordinator.Timer // nothing was heard of it
	rebalance coordinator.Timer // it has not given up its partitions
	join      coordinator.Timer // a classic member has not rejoined
	sync      coordinator.Timer // a classic member has not sent SyncGroup
}

func (t *consumerTimers) all() []*coordinator.Timer {
	return []*coordinator.Timer{&t.session, &t.rebalance, &t.join, &t.sync}
}

// fenceRetry is when a member is fenced again whose records could not be written.
const fenceRetry = time.Second

func (m *machine) env(now time.Time) consumer.Env {
	return consumer.Env{NowMs: now.UnixMilli(), Topics: m.deps.Topics(), Assignor: m.cfg.Consumer.Assignors[0], MaxSize: m.cfg.Consumer.MaxSize}
}

// tick runs the timers, or one of the jobs that they and others have left.
func (m *machine) tick(now time.Time) {
	if len(m.jobs) == 0 {
		m.timers.Run(now)
	}
	if len(m.jobs) > 0 && len(m.out.Records) == 0 {
		job := m.jobs[0]
		if m.jobs = m.jobs[1:]; len(m.jobs) == 0 {
			m.jobs = nil
		}
		job(now)
	}
}

// emitAll writes the records of one decision: all or none.
func (m *machine) emitAll(records []coordinator.KeyValue) {
	m.out.Records = append(m.out.Records, records...)
	m.out.Split = false
}

// replayConsumer applies a record of a consumer group.
func (m *machine) replayConsumer(r coordinator.Record) error {
	k, err := consumer.ParseKey(r.Key)
	if err != nil {
		return err
	}
	g := m.groups[k.Group]
	switch {
	case g == nil && r.Value == nil:
		return nil
	case g == nil:
		g = m.group(k.Group, r.TimestampMs)
	case g.consumer == nil && r.Value == nil:
		return nil
	}
	if k.RemovesGroup(r.Value) {
		m.dropConsumer(g)
		if !m.loading && !g.recorded() && g.deletable() && m.converting != g.id {
			m.forget(g)
		}
		return nil
	}
	isNew := g.consumer == nil
	if isNew {
		if m.loading {
			m.unloadMembers(g)
		}
		m.count(g, -1)
		g.consumer = consumer.New(g.id)
		m.count(g, 1)
	}
	if err := g.consumer.Replay(k, r.Value); err != nil {
		if isNew {
			m.dropConsumer(g)
			if !g.recorded() && g.deletable() {
				m.forget(g)
			}
		}
		return err
	}
	if t := g.timers[k.Sub]; t != nil && r.Value == nil && g.consumer.Member(k.Sub) == nil {
		m.stopTimers(t)
		delete(g.timers, k.Sub)
	}
	return nil
}

// dropConsumer makes the group a classic one without members.
func (m *machine) dropConsumer(g *group) {
	if g.consumer == nil {
		return
	}
	m.stopConsumer(g)
	m.count(g, -1)
	g.consumer = nil
	m.count(g, 1)
}

func (m *machine) stopConsumer(g *group) {
	for _, t := range g.timers {
		m.stopTimers(t)
	}
	g.timers = nil
}

func (m *machine) stopTimers(t *consumerTimers) {
	for _, timer := range t.all() {
		m.timers.Stop(timer)
	}
}

// timersOf returns the timers of a member.
func (m *machine) timersOf(g *group, memberID string) *consumerTimers {
	if t := g.timers[memberID]; t != nil {
		return t
	}
	t := &consumerTimers{}
	fence := func(timer *coordinator.Timer, reason string) {
		timer.Fire = func(time.Time) { m.scheduleFence(g.id, memberID, reason, timer) }
	}
	fence(&t.session, "its session ended")
	fence(&t.rebalance, "it did not give up its partitions in time")
	fence(&t.join, "it did not rejoin in time")
	fence(&t.sync, "it did not send SyncGroup in time")
	if g.timers == nil {
		g.timers = make(map[string]*consumerTimers)
	}
	g.timers[memberID] = t
	return t
}

// touchConsumer starts the member's session anew.
func (m *machine) touchConsumer(now time.Time, g *group, mb *consumer.Member) {
	session, _ := m.timeouts(g.id)
	if mb.Classic != nil {
		session = millis(mb.Classic.SessionTimeoutMs)
	}
	m.timers.Set(&m.timersOf(g, mb.ID).session, now.Add(session))
}

// watchRevocation bounds how long a member of the new protocol may take to give up partitions.
func (m *machine) watchRevocation(now time.Time, g *group, mb *consumer.Member) {
	t := m.timersOf(g, mb.ID)
	if mb.State == consumer.UnrevokedPartitions && mb.Classic == nil {
		m.timers.Set(&t.rebalance, now.Add(millis(max(mb.RebalanceTimeoutMs, 0))))
		return
	}
	m.timers.Stop(&t.rebalance)
}

// consumerLoaded starts the timers of a group that was just loaded.
func (m *machine) consumerLoaded(now time.Time, g *group) {
	for _, mb := range g.consumer.Members() {
		m.touchConsumer(now, g, mb)
		m.watchRevocation(now, g, mb)
	}
}

// scheduleFence takes a member out whose timer has fired, unless it is heard of before its turn comes.
func (m *machine) scheduleFence(groupID, memberID, reason string, timer *coordinator.Timer) {
	m.jobs = append(m.jobs, func(now time.Time) {
		g := m.groups[groupID]
		if g == nil || g.consumer == nil || g.consumer.Member(memberID) == nil || timer.Active() {
			return
		}
		if t := g.timers[memberID]; timer == &t.rebalance && g.consumer.Member(memberID).State != consumer.UnrevokedPartitions {
			return
		}
		m.log.Info().Str("group", groupID).Str("member", memberID).Int32("group_epoch", g.consumer.Epoch()).Str("reason", reason).
			Msg("member of consumer group fenced")
		m.fence(now, g, []*consumer.Member{g.consumer.Member(memberID)})
		m.out.Done = func(now time.Time, err error) {
			if err == nil {
				return
			}
			m.log.Warn().Err(err).Str("group", groupID).Str("member", memberID).Msg("could not store that a member is fenced")
			if g := m.groups[groupID]; g != nil && g.consumer != nil && g.consumer.Member(memberID) != nil {
				m.timers.Set(&m.timersOf(g, memberID).session, now.Add(fenceRetry))
			}
		}
	})
}

// fence writes that members are out. If none of the new protocol is left the group may become a classic one.
func (m *machine) fence(now time.Time, g *group, members []*consumer.Member) {
	modern := false
	for _, mb := range members {
		modern = modern || mb.Classic == nil
	}
	m.emitAll(g.consumer.Fence(m.env(now), members))
	m.out.Applied = func(time.Time) {
		if modern {
			m.maybeDowngrade(g)
		}
	}
}

// validateConsumerCommit checks who commits to a consumer group, by partition if need be.
func (m *machine) validateConsumerCommit(g *group, c consumer.Commit, each func(func(topic string, partition int32) error) error) int16 {
	partition, err := g.consumer.ValidateCommit(c)
	if err == nil && partition != nil {
		topics := m.deps.Topics()
		if topics == nil {
			return codeLoadInProgress
		}
		err = each(func(topic string, p int32) error {
			t, _ := topics.ByName(topic)
			return partition(t.ID, p)
		})
	}
	return code(err)
}

// unknownGroupCode is the error of a commit with a generation or epoch to a group that does not exist: from version 9 on the epoch may be
// of a consumer group.
func unknownGroupCode(version int16) int16 {
	if version >= 9 {
		return codeGroupIDNotFound
	}
	return codeIllegalGeneration
}
