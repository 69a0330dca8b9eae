package group

import (
	"time"

	"ottla/coordinator"
)

// newMemberJoinTimeout bounds how long a new member's JoinGroup is parked: it has no session yet, and a client that went away cannot be told
// from one that waits (GroupCoordinator.NewMemberJoinTimeoutMs).
const newMemberJoinTimeout = 5 * time.Minute

// rejoinRetryMin keeps a group whose members ask for no rebalance timeout from spinning while nobody rejoins.
const rejoinRetryMin = time.Second

// pendingGrace is how much longer a group's first rebalance waits for clients that were given a member id and have not come back with it yet.
// Kafka does not wait for them (InitialDelayedJoin); with group.initial.rebalance.delay.ms=0 the first of many clients would become a group of its
// own, and learn of the others by its next heartbeat.
const pendingGrace = 100 * time.Millisecond

// newMember makes mb's session timer.
func (m *machine) newMember(g *group, mb *member) *member {
	mb.session.Fire = func(now time.Time) { m.sessionTimeout(now, g, mb) }
	return mb
}

// touch starts the member's session anew.
func (m *machine) touch(now time.Time, mb *member) {
	m.timers.Set(&mb.session, now.Add(mb.sessionTimeout))
}

// park keeps the member's JoinGroup until the rebalance ends. A JoinGroup of the same member that was parked before has been given up
// by its client.
func (m *machine) park(g *group, mb *member, e *joinEvent) {
	m.answerJoin(g, mb, func(old *joinEvent) { old.fail(codeRebalanceInProgress, mb.id) })
	mb.joinWait = e
	g.awaitingJoin++
}

// answerJoin answers the member's parked JoinGroup, if there is one.
func (m *machine) answerJoin(g *group, mb *member, answer func(*joinEvent)) {
	if e := mb.joinWait; e != nil {
		mb.joinWait = nil
		g.awaitingJoin--
		answer(e)
	}
}

// answerSync answers the member's parked SyncGroup, if there is one, and tells whether there was.
func (m *machine) answerSync(mb *member, answer func(*syncEvent)) bool {
	e := mb.syncWait
	if e == nil {
		return false
	}
	mb.syncWait = nil
	answer(e)
	return true
}

// updateMember takes over what a rejoining member says about itself.
func (g *group) updateMember(mb *member, e *joinEvent) {
	g.support(mb.protocols, -1)
	mb.protocols = e.protocols()
	g.support(mb.protocols, 1)
	mb.rebalanceTimeout, mb.sessionTimeout = e.rebalanceTimeout(), e.sessionTimeout()
}

// removeMember takes a member out for whatever reason and lets the group go on without it.
func (m *machine) removeMember(now time.Time, g *group, mb *member, reason string) {
	m.takeOut(g, mb)
	switch g.state {
	case stable, completingRebalance:
		m.prepareRebalance(now, g, reason)
	case preparingRebalance:
		m.tryCompleteJoin(now, g)
	}
}

// takeOut removes the member and answers what it has parked; the client of a new member that timed out tries again.
func (m *machine) takeOut(g *group, mb *member) {
	m.answerJoin(g, mb, func(e *joinEvent) { e.fail(codeUnknownMemberID, "") })
	m.answerSync(mb, func(e *syncEvent) { e.fail(codeUnknownMemberID) })
	m.timers.Stop(&mb.session)
	g.drop(mb)
}

// prepareRebalance begins a rebalance: members have until the longest of their rebalance timeouts to join. A group that was empty
// waits group.initial.rebalance.delay.ms for more members first (KIP-134).
func (m *machine) prepareRebalance(now time.Time, g *group, reason string) {
	switch g.state {
	case completingRebalance:
		m.resetAssignment(now, g, codeRebalanceInProgress)
	case stable: // who still waits for the assignment to be committed need not any more
		for _, mb := range g.order {
			m.answerSync(mb, func(e *syncEvent) { e.fail(codeRebalanceInProgress) })
		}
	}
	clear(g.pendingSync)
	m.timers.Stop(&g.sync)
	timeout := g.rebalanceTimeout()
	wait := timeout
	g.initial = g.state == empty
	if g.initial {
		wait = m.cfg.InitialRebalanceDelay
		g.initialDelay, g.initialRemaining = wait, max(timeout-wait, 0)
		g.newMemberAdded = false
	}
	m.log.Debug().Str("group", g.id).Stringer("state", g.state).Int32("generation", g.generation).Str("reason", reason).
		Msg("preparing to rebalance group")
	m.enter(now, g, preparingRebalance)
	m.timers.Set(&g.join, now.Add(wait))
	m.tryCompleteJoin(now, g)
}

// tryCompleteJoin ends the joining phase if all have joined and no initial delay runs.
func (m *machine) tryCompleteJoin(now time.Time, g *group) {
	if g.state == preparingRebalance && !g.initial && g.allJoined() {
		m.completeJoin(now, g)
	}
}

// joinTimeout is the end of the time to join, or of a piece of the initial delay, which new members extend.
func (m *machine) joinTimeout(now time.Time, g *group) {
	if g.state != preparingRebalance {
		return
	}
	if g.initial && g.newMemberAdded && g.initialRemaining != 0 {
		g.newMemberAdded = false
		delay := min(m.cfg.InitialRebalanceDelay, g.initialRemaining)
		g.initialRemaining = max(g.initialRemaining-g.initialDelay, 0)
		g.initialDelay = delay
		m.timers.Set(&g.join, now.Add(delay))
		return
	}
	if g.initial && len(g.pending) > 0 {
		g.initial = false
		m.timers.Set(&g.join, now.Add(pendingGrace))
		return
	}
	m.completeJoin(now, g)
}

// completeJoin ends the joining phase: dynamic members that did not join are out, static ones stay until their session ends
// (KIP-345). If nobody joined, the static members get more time.
func (m *machine) completeJoin(now time.Time, g *group) {
	for _, mb := range append([]*member(nil), g.order...) {
		if mb.joinWait == nil && !mb.isStatic() {
			m.takeOut(g, mb)
		}
	}
	if len(g.members) > 0 && !g.electLeader() {
		g.initial = false
		m.timers.Set(&g.join, now.Add(max(g.rebalanceTimeout(), rejoinRetryMin)))
		return
	}
	m.timers.Stop(&g.join)
	g.initial, g.newMemberAdded = false, false
	g.generation++
	clear(g.pendingSync)
	if len(g.members) == 0 {
		g.protocol, g.leader = "", ""
		g.computeTopics()
		m.enter(now, g, empty)
		m.storeEmpty(g)
		return
	}
	g.protocol = g.selectProtocol()
	g.computeTopics()
	m.enter(now, g, completingRebalance)
	if g.pendingSync == nil {
		g.pendingSync = make(map[string]struct{}, len(g.members))
	}
	m.log.Debug().Str("group", g.id).Int32("generation", g.generation).Int("members", len(g.members)).Msg("group joined")
	for _, mb := range g.order {
		m.answerJoin(g, mb, func(e *joinEvent) { e.succeed(g, mb, joinAnswer{leader: g.leader, members: g.isLeader(mb.id)}) })
		m.touch(now, mb)
		mb.isNew = false
		g.pendingSync[mb.id] = struct{}{}
	}
	m.timers.Set(&g.sync, now.Add(g.rebalanceTimeout()))
}

// electLeader keeps the leader if it has joined, else takes the first member that has. False if none has.
func (g *group) electLeader() bool {
	if l := g.members[g.leader]; l != nil && l.joinWait != nil {
		return true
	}
	for _, mb := range g.order {
		if mb.joinWait != nil {
			g.leader = mb.id
			return true
		}
	}
	return false
}

// storeEmpty writes the record of a group without members. If it cannot be written, the generation before becomes active again at
// the next load, and times out.
func (m *machine) storeEmpty(g *group) {
	m.emit(appendGroupKey(nil, g.id), g.appendGroupValue(nil, nil))
	m.out.Split = true // the records of several groups in one tick do not depend on each other
	if m.out.Done == nil {
		m.out.Done = m.warnNotStored
	}
}

func (m *machine) warnNotStored(_ time.Time, err error) {
	if err != nil {
		m.log.Warn().Err(err).Msg("could not store that a group is empty")
	}
}

// resetAssignment takes back all assignments and fails the parked SyncGroups.
func (m *machine) resetAssignment(now time.Time, g *group, code int16) {
	for _, mb := range g.order {
		mb.assignment = nil
		if m.answerSync(mb, func(e *syncEvent) { e.fail(code) }) {
			m.touch(now, mb)
		}
	}
}

// syncTimeout removes the members that have not sent SyncGroup in time.
func (m *machine) syncTimeout(now time.Time, g *group) {
	if g.state != completingRebalance && g.state != stable || len(g.pendingSync) == 0 {
		return
	}
	for _, mb := range append([]*member(nil), g.order...) {
		if _, ok := g.pendingSync[mb.id]; ok {
			m.takeOut(g, mb)
		}
	}
	m.prepareRebalance(now, g, "members did not send SyncGroup in time")
}

// synced notes that the member has sent SyncGroup.
func (m *machine) synced(g *group, mb *member) {
	delete(g.pendingSync, mb.id)
	if len(g.pendingSync) == 0 {
		m.timers.Stop(&g.sync)
	}
}

// sessionTimeout removes a member that was not heard of. One with a parked request is alive, except for a new member, whose
// parked JoinGroup is what timed out.
func (m *machine) sessionTimeout(now time.Time, g *group, mb *member) {
	if !mb.isNew && (mb.joinWait != nil || mb.syncWait != nil) {
		return
	}
	m.log.Info().Str("group", g.id).Str("member", mb.id).Int32("generation", g.generation).Msg("member of group failed, removing it")
	m.removeMember(now, g, mb, "session of member "+mb.id+" ended")
}

// addPending hands out a member id that the client has to come back with.
func (m *machine) addPending(now time.Time, g *group, id string, timeout time.Duration) {
	p := &pendingMember{timer: coordinator.Timer{Fire: func(now time.Time) {
		delete(g.pending, id)
		m.pendingGone(now, g)
	}}}
	if g.pending == nil {
		g.pending = make(map[string]*pendingMember)
	}
	g.pending[id] = p
	m.timers.Set(&p.timer, now.Add(timeout))
}

// removePending takes a pending member id back and tells whether it was one.
func (m *machine) removePending(g *group, id string) bool {
	p := g.pending[id]
	if p == nil {
		return false
	}
	m.timers.Stop(&p.timer)
	delete(g.pending, id)
	return true
}

// pendingGone goes on after a pending member has left or timed out.
func (m *machine) pendingGone(now time.Time, g *group) {
	if g.state == preparingRebalance {
		m.tryCompleteJoin(now, g)
		return
	}
	if !g.recorded() && g.deletable() { // nobody has ever joined, nothing was written
		m.forget(g)
	}
}
