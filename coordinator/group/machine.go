package group

import (
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator"
	"ottla/coordinator/group/consumer"
)

// machine is the state of one partition of __consumer_offsets: its groups. It implements coordinator.Machine.
type machine struct {
	cfg    *Config
	deps   *Deps
	log    zerolog.Logger
	stats  *Stats
	groups map[string]*group
	// txns finds the groups that an open transaction has offsets in, by producer id.
	txns   map[int64]map[string]struct{}
	timers coordinator.Timers
	expiry coordinator.Timer

	loading bool
	out     coordinator.Result // what the event being handled has led to so far

	// jobs are decisions about consumer groups that rest on each other's records: one for each Tick.
	jobs []func(now time.Time)
	// converting is the group that changes its protocol with the records being appended: their tombstones do not end it.
	converting string
}

func newMachine(cfg *Config, deps *Deps, stats *Stats, log zerolog.Logger) *machine {
	m := &machine{
		cfg: cfg, deps: deps, stats: stats, log: log, loading: true,
		groups: make(map[string]*group), txns: make(map[int64]map[string]struct{}),
	}
	m.expiry.Fire = m.expire
	return m
}

// event is what the machine handles beside ticks.
type event interface {
	coordinator.Event
	handle(m *machine, now time.Time)
}

// Handle implements coordinator.Machine.
func (m *machine) Handle(now time.Time, ev coordinator.Event) coordinator.Result {
	switch ev := ev.(type) {
	case event:
		ev.handle(m, now)
	case coordinator.Tick:
		m.tick(now)
	default:
		panic(fmt.Sprintf("group: unknown event %T", ev))
	}
	res := m.out
	m.out = coordinator.Result{}
	return res
}

// Deadline implements coordinator.Machine.
func (m *machine) Deadline() time.Time {
	if len(m.out.Records) > 0 || len(m.jobs) > 0 { // records that a Done wrote go out with the next event
		return time.Unix(0, 1)
	}
	return m.timers.Next()
}

// emit adds a record to what the event writes.
func (m *machine) emit(key, value []byte) {
	m.out.Records = append(m.out.Records, coordinator.KeyValue{Key: key, Value: value})
}

// group returns the group, making it if need be.
func (m *machine) group(id string, nowMs int64) *group {
	if g := m.groups[id]; g != nil {
		return g
	}
	g := &group{id: id, state: empty, stateMs: nowMs}
	g.join.Fire = func(now time.Time) { m.joinTimeout(now, g) }
	g.sync.Fire = func(now time.Time) { m.syncTimeout(now, g) }
	m.groups[id] = g
	m.count(g, 1)
	return g
}

// forget takes the group out of the machine.
func (m *machine) forget(g *group) {
	delete(m.groups, g.id)
	m.timers.Stop(&g.join)
	m.timers.Stop(&g.sync)
	for _, mb := range g.order {
		m.timers.Stop(&mb.session)
	}
	for _, p := range g.pending {
		m.timers.Stop(&p.timer)
	}
	for pid := range g.txns {
		m.forgetTxn(pid, g.id)
	}
	m.stopConsumer(g)
	m.count(g, -1)
	m.stats.offsets.Add(-int64(g.offsets.n))
}

// count adds the group to the number of groups in its state, or takes it away.
func (m *machine) count(g *group, by int64) {
	if g.consumer != nil {
		m.stats.consumerGroups.Add(by)
		return
	}
	m.stats.groups[g.state].Add(by)
}

// enter changes the group's state.
func (m *machine) enter(now time.Time, g *group, s state) {
	m.count(g, -1)
	g.state, g.stateMs = s, now.UnixMilli()
	m.count(g, 1)
}

// Replay implements coordinator.Machine.
func (m *machine) Replay(r coordinator.Record) error {
	if r.Marker != coordinator.NoMarker {
		m.completeTxn(r.ProducerID, r.Marker == coordinator.CommitMarker)
		return nil
	}
	version, err := keyVersion(r.Key)
	if err != nil {
		return err
	}
	switch version {
	case offsetKeyVersionOld, offsetKeyVersion:
		return m.replayOffset(r)
	case groupKeyVersion:
		return m.replayGroup(r)
	}
	if consumer.IsKey(version) {
		return m.replayConsumer(r)
	}
	return nil // of a coordinator that knows more
}

func (m *machine) replayOffset(r coordinator.Record) error {
	var k kmsg.OffsetCommitKey
	if err := k.UnsafeReadFrom(r.Key); err != nil {
		return fmt.Errorf("offset key: %w", err)
	}
	if r.Value == nil {
		m.removeOffset(k.Group, k.Topic, k.Partition, r.ProducerID)
		return nil
	}
	c, err := decodeOffsetValue(r.Value)
	if err != nil {
		return fmt.Errorf("group %q, %s-%d: %w", k.Group, k.Topic, k.Partition, err)
	}
	c.record = r.Offset
	g := m.groups[k.Group]
	if g == nil {
		g = m.group(string([]byte(k.Group)), r.TimestampMs)
	}
	if r.ProducerID != coordinator.NoProducerID {
		m.txnOffsets(g, r.ProducerID).put(k.Topic, k.Partition, c)
		return nil
	}
	m.putOffset(g, k.Topic, k.Partition, c)
	return nil
}

func (m *machine) putOffset(g *group, topic string, partition int32, c committed) {
	before := g.offsets.n
	g.offsets.put(topic, partition, c)
	m.stats.offsets.Add(int64(g.offsets.n - before))
}

// removeOffset applies a tombstone: the offset goes, and what open transactions have pending for the partition. One inside a transaction
// only takes back what that transaction had pending.
func (m *machine) removeOffset(id, topic string, partition int32, producerID int64) {
	g := m.groups[id]
	if g == nil {
		return
	}
	if producerID != coordinator.NoProducerID {
		if t := g.txns[producerID]; t != nil {
			t.remove(topic, partition)
			m.dropEmptyTxn(g, producerID, t)
		}
		return
	}
	if g.offsets.remove(topic, partition) {
		m.stats.offsets.Add(-1)
	}
	for pid, t := range g.txns {
		if t.remove(topic, partition) {
			m.dropEmptyTxn(g, pid, t)
		}
	}
	// A group of generation 0 has no record whose tombstone would end it.
	if !m.loading && !g.recorded() && g.deletable() {
		m.forget(g)
	}
}

// replayGroup applies a group record. On the leader the group's own state led to the record, and only a tombstone has something to
// do; Result.Applied does the rest.
func (m *machine) replayGroup(r coordinator.Record) error {
	var k kmsg.GroupMetadataKey
	if err := k.UnsafeReadFrom(r.Key); err != nil {
		return fmt.Errorf("group key: %w", err)
	}
	g := m.groups[k.Group]
	if r.Value == nil {
		switch {
		case g == nil:
		case m.loading:
			m.unloadMembers(g)
		case g.consumer == nil && g.state == empty && !g.hasOffsets() && m.converting != g.id:
			m.forget(g)
		}
		return nil
	}
	if !m.loading {
		return nil
	}
	v, err := decodeGroupValue(r.Value)
	if err != nil {
		return fmt.Errorf("group %q: %w", k.Group, err)
	}
	if g == nil {
		g = m.group(string([]byte(k.Group)), r.TimestampMs)
	}
	m.dropConsumer(g)
	m.loadGroup(g, v)
	return nil
}

// loadGroup makes the group what its record says; offsets stay.
func (m *machine) loadGroup(g *group, v *kmsg.GroupMetadataValue) {
	m.unloadMembers(g)
	g.generation = v.Generation
	g.protocolType = v.ProtocolType
	if v.Protocol != nil {
		g.protocol = *v.Protocol
	}
	if v.Leader != nil {
		g.leader = *v.Leader
	}
	for i := range v.Members {
		vm := &v.Members[i]
		if g.members[vm.MemberID] != nil {
			continue
		}
		g.add(m.newMember(g, &member{
			id: vm.MemberID, instanceID: vm.InstanceID, clientID: vm.ClientID, clientHost: vm.ClientHost,
			rebalanceTimeout: millis(vm.RebalanceTimeoutMillis), sessionTimeout: millis(vm.SessionTimeoutMillis),
			protocols:  []protocol{{name: g.protocol, metadata: append([]byte(nil), vm.Subscription...)}},
			assignment: append([]byte(nil), vm.Assignment...),
		}), v.ProtocolType)
	}
	if g.leader != "" && g.members[g.leader] == nil { // never written like that, but a leader must be a member
		g.leader = ""
		if len(g.order) > 0 {
			g.leader = g.order[0].id
		}
	}
	s := empty
	if len(g.members) > 0 {
		s = stable
	}
	m.count(g, -1)
	g.state, g.stateMs = s, v.CurrentStateTimestamp
	m.count(g, 1)
	g.computeTopics()
}

// unloadMembers brings the group back to one that only has offsets.
func (m *machine) unloadMembers(g *group) {
	m.count(g, -1)
	g.state = empty
	m.count(g, 1)
	g.generation, g.protocolType, g.protocol, g.leader = 0, "", "", ""
	g.members, g.order, g.static, g.supported = nil, nil, nil, nil
	g.topics, g.topicsKnown = nil, false
}

// Loaded implements coordinator.Machine: sessions start, groups of which nothing is left go, oversized ones rebalance.
func (m *machine) Loaded(now time.Time) {
	m.loading = false
	for _, g := range m.groups {
		if !g.recorded() && g.deletable() {
			m.forget(g)
			continue
		}
		if g.consumer != nil {
			m.consumerLoaded(now, g)
			continue
		}
		for _, mb := range g.order {
			m.touch(now, mb)
		}
		if len(g.members) > m.cfg.MaxSize {
			m.prepareRebalance(now, g, "the loaded group is larger than group.max.size")
		}
	}
	m.timers.Set(&m.expiry, now.Add(m.cfg.OffsetsRetentionCheckInterval))
}

// Unload implements coordinator.Machine.
func (m *machine) Unload(err error) {
	for _, g := range m.groups {
		for _, mb := range g.order {
			m.answerJoin(g, mb, func(e *joinEvent) { e.Fail(err) })
			m.answerSync(mb, func(e *syncEvent) { e.Fail(err) })
		}
		m.count(g, -1)
		m.stats.offsets.Add(-int64(g.offsets.n))
	}
	m.groups = nil
}

func millis(ms int32) time.Duration { return time.Duration(ms) * time.Millisecond }
