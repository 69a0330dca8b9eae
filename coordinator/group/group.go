package group

import (
	"slices"
	"strings"
	"time"

	"ottla/coordinator"
	"ottla/coordinator/group/consumer"
)

// state of a group (kafka.coordinator.group.GroupState). Dead is not among them: a dead group is not in the machine.
type state int8

const (
	empty               state = iota // no members; may have offsets
	preparingRebalance               // members are to join
	completingRebalance              // members have joined, the leader's assignment is awaited
	stable                           // assigned
)

func (s state) String() string {
	switch s {
	case empty:
		return "Empty"
	case preparingRebalance:
		return "PreparingRebalance"
	case completingRebalance:
		return "CompletingRebalance"
	case stable:
		return "Stable"
	}
	return "Dead"
}

// consumerProtocol is the protocol type of consumers, whose metadata the coordinator reads for the topics.
const consumerProtocol = "consumer"

// group is one group. It belongs to its machine.
type group struct {
	id           string
	state        state
	stateMs      int64  // when state was entered, wall clock; -1 unknown (records below version 2)
	protocolType string // "" until a member joins
	protocol     string // chosen for this generation, "" if none
	generation   int32
	leader       string // member id, "" if none

	members      map[string]*member
	order        []*member         // the members as they joined
	static       map[string]string // group instance id → member id
	pending      map[string]*pendingMember
	awaitingJoin int            // members with a parked JoinGroup
	supported    map[string]int // protocol name → members that support it
	pendingSync  map[string]struct{}

	// topics that the members of a consumer group subscribe to; known is false if that cannot be told.
	topics      map[string]struct{}
	topicsKnown bool

	join             coordinator.Timer // end of PreparingRebalance
	sync             coordinator.Timer // end of waiting for SyncGroup of all members
	initial          bool              // join is an initial delay, not to be cut short (KIP-134)
	initialDelay     time.Duration
	initialRemaining time.Duration
	newMemberAdded   bool

	// consumer is the group under the new protocol, nil for a classic group, whose fields are the ones above; timers are those of
	// its members, by member id.
	consumer *consumer.Group
	timers   map[string]*consumerTimers

	offsets offsetTable
	// txns holds offsets of open transactions by producer id: they count once the commit marker is there.
	txns map[int64]*offsetTable
}

// member is one member of a group.
type member struct {
	id               string
	instanceID       *string // group.instance.id of a static member (KIP-345)
	clientID         string
	clientHost       string
	rebalanceTimeout time.Duration
	sessionTimeout   time.Duration
	protocols        []protocol
	assignment       []byte

	isNew    bool // has not completed a rebalance yet
	session  coordinator.Timer
	joinWait *joinEvent // parked JoinGroup
	syncWait *syncEvent // parked SyncGroup
}

// pendingMember is a member id handed out with MEMBER_ID_REQUIRED (KIP-394).
type pendingMember struct{ timer coordinator.Timer }

// protocol is one way of assigning that a member supports, with its metadata for it.
type protocol struct {
	name     string
	metadata []byte
}

func (m *member) metadata(name string) []byte {
	for _, p := range m.protocols {
		if p.name == name {
			return p.metadata
		}
	}
	return nil
}

func (m *member) matches(ps []protocol) bool {
	return slices.EqualFunc(m.protocols, ps, func(a, b protocol) bool { return a.name == b.name && string(a.metadata) == string(b.metadata) })
}

func (m *member) isStatic() bool { return m.instanceID != nil }

func (g *group) isLeader(id string) bool { return g.leader != "" && g.leader == id }

// add makes m a member. The caller has checked that its protocol fits.
func (g *group) add(m *member, protocolType string) {
	if g.members == nil {
		g.members = make(map[string]*member)
		g.supported = make(map[string]int)
	}
	if len(g.members) == 0 {
		g.protocolType = protocolType
	}
	if m.instanceID != nil {
		if g.static == nil {
			g.static = make(map[string]string)
		}
		g.static[*m.instanceID] = m.id
	}
	if g.leader == "" {
		g.leader = m.id
	}
	g.members[m.id] = m
	g.order = append(g.order, m)
	g.support(m.protocols, 1)
}

// drop removes the member from all tables. Parked requests and timers are the caller's.
func (g *group) drop(m *member) {
	delete(g.members, m.id)
	g.order = slices.DeleteFunc(g.order, func(o *member) bool { return o == m })
	g.support(m.protocols, -1)
	if m.instanceID != nil && g.static[*m.instanceID] == m.id {
		delete(g.static, *m.instanceID)
	}
	delete(g.pendingSync, m.id)
	if g.leader == m.id {
		g.leader = ""
		if len(g.order) > 0 {
			g.leader = g.order[0].id
		}
	}
}

// rename gives a static member a new member id and leaves all else as it is.
func (g *group) rename(m *member, id string) {
	old := m.id
	delete(g.members, old)
	m.id = id
	g.members[id] = m
	g.static[*m.instanceID] = id
	if g.leader == old {
		g.leader = id
	}
	if _, ok := g.pendingSync[old]; ok {
		delete(g.pendingSync, old)
		g.pendingSync[id] = struct{}{}
	}
}

// support counts a member's protocols; a name that it lists twice counts once.
func (g *group) support(ps []protocol, by int) {
	for i, p := range ps {
		if slices.ContainsFunc(ps[:i], func(q protocol) bool { return q.name == p.name }) {
			continue
		}
		if n := g.supported[p.name] + by; n > 0 {
			g.supported[p.name] = n
		} else {
			delete(g.supported, p.name)
		}
	}
}

// supports tells whether a member with these protocols could join.
func (g *group) supports(protocolType string, ps []protocol) bool {
	if g.state == empty {
		return protocolType != "" && len(ps) > 0
	}
	return g.protocolType == protocolType && slices.ContainsFunc(ps, func(p protocol) bool { return g.supported[p.name] == len(g.members) })
}

// selectProtocol lets every member vote for the first of its protocols that all support; most votes win, and the leader's
// order decides between equals. There is at least one member.
func (g *group) selectProtocol() string {
	votes := make(map[string]int)
	for _, m := range g.order {
		for _, p := range m.protocols {
			if g.supported[p.name] == len(g.members) {
				votes[p.name]++
				break
			}
		}
	}
	most := 0
	for _, n := range votes {
		most = max(most, n)
	}
	first := g.order[0]
	if l := g.members[g.leader]; l != nil {
		first = l
	}
	for _, p := range first.protocols {
		if votes[p.name] == most {
			return p.name
		}
	}
	return first.protocols[0].name
}

// rebalanceTimeout is the longest of the members'.
func (g *group) rebalanceTimeout() time.Duration {
	var d time.Duration
	for _, m := range g.order {
		d = max(d, m.rebalanceTimeout)
	}
	return d
}

func (g *group) allJoined() bool { return len(g.members) == g.awaitingJoin && len(g.pending) == 0 }

// hasOffsets tells whether the group holds offsets, those of open transactions included.
func (g *group) hasOffsets() bool { return g.offsets.n > 0 || len(g.txns) > 0 }

// vacant tells whether the group has no members.
func (g *group) vacant() bool {
	if g.consumer != nil {
		return g.consumer.Len() == 0
	}
	return g.state == empty
}

// deletable tells whether nothing is left of the group but its record.
func (g *group) deletable() bool {
	return g.vacant() && len(g.members) == 0 && len(g.pending) == 0 && !g.hasOffsets()
}

// recorded tells whether there are records of the group beside its offsets.
func (g *group) recorded() bool { return g.generation > 0 || g.consumer != nil }

// computeTopics finds what a consumer group is subscribed to, from the metadata of the chosen protocol.
func (g *group) computeTopics() {
	g.topics, g.topicsKnown = nil, false
	if g.protocolType != consumerProtocol {
		return
	}
	if len(g.members) == 0 {
		g.topicsKnown = true
		return
	}
	if g.protocol == "" {
		return
	}
	topics := make(map[string]struct{})
	for _, m := range g.order {
		if !subscribedTopics(m.metadata(g.protocol), topics) {
			return
		}
	}
	g.topics, g.topicsKnown = topics, true
}

// subscribed tells whether a member may be subscribed to the topic: true if the coordinator cannot tell.
func (g *group) subscribed(topic string) bool {
	if g.consumer != nil {
		return g.consumer.Subscribed(topic)
	}
	if !g.topicsKnown {
		return true
	}
	_, ok := g.topics[topic]
	return ok
}

func cloneInstance(id *string) *string {
	if id == nil {
		return nil
	}
	c := strings.Clone(*id)
	return &c
}
