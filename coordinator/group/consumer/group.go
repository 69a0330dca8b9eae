package consumer

import (
	"maps"
	"slices"

	"ottla/coordinator/group/assignor"
)

// Group is the state of one consumer group. Only Replay changes it, except for seen, which is soft.
type Group struct {
	id          string
	epoch       int32
	hash        int64 // of the topics that the group reads, as of epoch
	targetEpoch int32
	members     map[string]*Member
	static      map[string]string // instance id → member id
	targets     map[string]assignor.Assignment
	owners      map[TopicID]map[int32]string // partition → member that has it or is to give it up
	regexes     map[string]*Resolved
	oldTopics   bool // there is a record of the topics, as Kafka writes up to 4.0

	seen uint64 // version of the topics that hash and regexes were last compared with
}

// firstEpoch is that of a group without members that never had any: the first one to join makes it 2, as in Kafka 4.3.
const firstEpoch = 1

// New returns a group without members.
func New(id string) *Group {
	return &Group{
		id: id, epoch: firstEpoch, members: make(map[string]*Member), static: make(map[string]string), targets: make(map[string]assignor.Assignment),
		owners: make(map[TopicID]map[int32]string), regexes: make(map[string]*Resolved),
	}
}

// Epoch is the group epoch.
func (g *Group) Epoch() int32 { return g.epoch }

// TargetEpoch is the group epoch that the target assignment was computed for.
func (g *Group) TargetEpoch() int32 { return g.targetEpoch }

// Len is the number of members.
func (g *Group) Len() int { return len(g.members) }

// Member returns a member by its id, nil if there is none.
func (g *Group) Member(id string) *Member { return g.members[id] }

// Static returns the member with an instance id, nil if there is none.
func (g *Group) Static(instanceID string) *Member {
	if instanceID == "" {
		return nil
	}
	return g.members[g.static[instanceID]]
}

// Members returns the members in the order of their ids.
func (g *Group) Members() []*Member {
	ms := make([]*Member, 0, len(g.members))
	for _, id := range slices.Sorted(maps.Keys(g.members)) {
		ms = append(ms, g.members[id])
	}
	return ms
}

// Target is what the member is to have.
func (g *Group) Target(memberID string) assignor.Assignment { return g.targets[memberID] }

// The states of a group (ConsumerGroup.ConsumerGroupState).
const (
	Empty       = "Empty"
	Assigning   = "Assigning"   // the target of the group epoch is not computed yet
	Reconciling = "Reconciling" // members are on the way to the target
	StableGroup = "Stable"
)

// State is the group's state.
func (g *Group) State() string {
	switch {
	case len(g.members) == 0:
		return Empty
	case g.epoch > g.targetEpoch:
		return Assigning
	}
	for _, m := range g.members {
		if m.State != Stable || m.Epoch != g.targetEpoch {
			return Reconciling
		}
	}
	return StableGroup
}

// Assignor is the one that most members want, of equals the first by name; "" if none wants one.
func (g *Group) Assignor() string { return preferredAssignor(maps.Values(g.members)) }

// Subscribed tells whether a member is subscribed to the topic.
func (g *Group) Subscribed(topic string) bool {
	for _, m := range g.members {
		if _, ok := slices.BinarySearch(m.Topics, topic); ok {
			return true
		}
		if r := g.regexes[m.Regex]; r != nil {
			if _, ok := slices.BinarySearch(r.Topics, topic); ok {
				return true
			}
		}
	}
	return false
}

// AllClassic tells whether there are members and all of them use the classic protocol.
func (g *Group) AllClassic() bool {
	for _, m := range g.members {
		if m.Classic == nil {
			return false
		}
	}
	return len(g.members) > 0
}

// SupportsClassic tells whether one of the protocols is supported by all classic members.
func (g *Group) SupportsClassic(protocols []string) bool {
	classic := 0
	supported := make(map[string]int)
	for _, m := range g.members {
		if m.Classic == nil {
			continue
		}
		classic++
		for _, p := range m.Classic.Protocols {
			supported[p.Name]++
		}
	}
	return slices.ContainsFunc(protocols, func(p string) bool { return supported[p] >= classic })
}

// WaitsForOthers tells whether the member waits for partitions that other members still have.
func (g *Group) WaitsForOthers(m *Member) bool {
	if m.State != UnreleasedPartitions {
		return false
	}
	for t, ps := range g.targets[m.ID] {
		for _, p := range ps {
			if !m.Assigned.Has(t, p) && g.owners[t][p] != "" {
				return true
			}
		}
	}
	return false
}
