package assignor

import (
	"cmp"
	"maps"
	"slices"
)

// uniform spreads the partitions evenly. If all members want the same topics no two differ by more than one partition; if not, no
// partition can go to a subscriber that has two or more less than its owner. Members keep what they have as far as that allows.
func uniform(s Spec) map[string]Assignment {
	members := s.sortedMembers()
	if len(members) == 0 {
		return map[string]Assignment{}
	}
	u := &uniformBuilder{spec: s, members: members, subs: s.subscribers(members), load: make([]int, len(members))}
	u.keep(s.sameTopics())
	u.handOut()
	u.level()
	assigned := make([]Assignment, len(members))
	for _, t := range sortedTopics(u.owner) {
		for p, i := range u.owner[t] {
			if assigned[i] == nil {
				assigned[i] = Assignment{}
			}
			assigned[i][t] = append(assigned[i][t], int32(p))
		}
	}
	return result(members, assigned)
}

func (s Spec) sameTopics() bool {
	for i := range s.Members[1:] {
		if !maps.Equal(s.Members[i].Topics, s.Members[i+1].Topics) {
			return false
		}
	}
	return true
}

const nobody = -1

type uniformBuilder struct {
	spec    Spec
	members []Member
	subs    map[TopicID][]int
	owner   map[TopicID][]int // index of the member by partition, or nobody
	load    []int             // partitions by member
}

// keep leaves members what they have and still want. With equal subscriptions it also takes away what is above a member's quota,
// so that the rest can be handed out without moving anything twice.
func (u *uniformBuilder) keep(equal bool) {
	u.owner = make(map[TopicID][]int, len(u.subs))
	total := 0
	for t := range u.subs {
		owner := make([]int, u.spec.Partitions[t])
		for p := range owner {
			owner[p] = nobody
		}
		u.owner[t] = owner
		total += len(owner)
	}
	share, extra := total/len(u.members), total%len(u.members)
	for i := range u.members {
		m := &u.members[i]
		have := 0
		for t, ps := range m.Current {
			if _, wanted := m.Topics[t]; wanted && u.owner[t] != nil {
				have += len(ps)
			}
		}
		quota := have
		if equal && have > share {
			quota = share
			if extra > 0 {
				quota++
				extra--
			}
		}
		u.keepUpTo(i, quota)
	}
}

// keepUpTo lets member i keep quota of its partitions. Above it those of the topics go first of which it has the most.
func (u *uniformBuilder) keepUpTo(i, quota int) {
	m := &u.members[i]
	kept := make(map[TopicID][]int32)
	n := 0
	for t, ps := range m.Current {
		owner := u.owner[t]
		if _, wanted := m.Topics[t]; !wanted || owner == nil {
			continue
		}
		for _, p := range ps {
			if p >= 0 && int(p) < len(owner) && owner[p] == nobody {
				owner[p] = i
				kept[t] = append(kept[t], p)
				n++
			}
		}
	}
	topics := sortedTopics(kept)
	for ; n > quota; n-- {
		most := slices.MaxFunc(topics, func(a, b TopicID) int { return cmp.Compare(len(kept[a]), len(kept[b])) })
		ps := kept[most]
		u.owner[most][ps[len(ps)-1]] = nobody
		kept[most] = ps[:len(ps)-1]
	}
	u.load[i] = n
}

// handOut gives every free partition to the subscriber that has least; topics with few subscribers go first, since those have less choice.
func (u *uniformBuilder) handOut() {
	topics := sortedTopics(u.owner)
	slices.SortStableFunc(topics, func(a, b TopicID) int { return cmp.Compare(len(u.subs[a]), len(u.subs[b])) })
	for _, t := range topics {
		var queue *loadQueue
		for p, o := range u.owner[t] {
			if o != nobody {
				continue
			}
			if queue == nil {
				queue = newLoadQueue(u.subs[t], u.load)
			}
			i := queue.least()
			u.owner[t][p] = i
			u.load[i]++
			queue.grown()
		}
	}
}

// level moves single partitions to subscribers that have at least two less than their owner, until there is no such move. Every move makes the
// sum of squares of the loads smaller, so it ends.
func (u *uniformBuilder) level() {
	topics := sortedTopics(u.owner)
	for moved := true; moved; {
		moved = false
		for _, t := range topics {
			for u.levelTopic(t) {
				moved = true
			}
		}
	}
}

// levelTopic moves one partition of the topic from its most loaded owner to the least loaded subscriber, if that is an improvement.
func (u *uniformBuilder) levelTopic(t TopicID) bool {
	from, to := nobody, nobody
	at := 0
	for p := len(u.owner[t]) - 1; p >= 0; p-- {
		if o := u.owner[t][p]; from == nobody || u.load[o] > u.load[from] {
			from, at = o, p
		}
	}
	for _, i := range u.subs[t] {
		if to == nobody || u.load[i] < u.load[to] {
			to = i
		}
	}
	if u.load[from] < u.load[to]+2 {
		return false
	}
	u.owner[t][at] = to
	u.load[from]--
	u.load[to]++
	return true
}
