package assignor

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
)

// TopicID is a topic's id.
type TopicID = [16]byte

// Assignment is the partitions of one member by topic. Partitions are in order and no topic is empty.
type Assignment map[TopicID][]int32

// Member is a member to assign to.
type Member struct {
	ID         string
	InstanceID string // "" for a dynamic member
	Topics     map[TopicID]struct{}
	Current    Assignment // the target so far
}

// Spec is what an assignment depends on.
type Spec struct {
	Members    []Member
	Partitions map[TopicID]int32 // how many each topic has; topics that are not in it do not exist
}

// The names of the assignors.
const (
	Uniform = "uniform"
	Range   = "range"
)

// Get returns the assignor of that name, nil if there is none.
func Get(name string) func(Spec) map[string]Assignment {
	switch name {
	case Uniform:
		return uniform
	case Range:
		return byRange
	}
	return nil
}

// Clone copies the assignment.
func (a Assignment) Clone() Assignment {
	c := make(Assignment, len(a))
	for t, ps := range a {
		c[t] = slices.Clone(ps)
	}
	return c
}

// Equal compares two assignments.
func (a Assignment) Equal(b Assignment) bool {
	return maps.EqualFunc(a, b, func(p, q []int32) bool { return slices.Equal(p, q) })
}

// Has tells whether the partition is assigned.
func (a Assignment) Has(t TopicID, partition int32) bool {
	_, ok := slices.BinarySearch(a[t], partition)
	return ok
}

// SortedTopics returns the ids in order.
func (a Assignment) SortedTopics() []TopicID { return sortedTopics(a) }

func sortedTopics[V any](m map[TopicID]V) []TopicID {
	return slices.SortedFunc(maps.Keys(m), func(a, b TopicID) int { return bytes.Compare(a[:], b[:]) })
}

// sortedMembers puts static members first, by instance id, so that their restart changes nothing, then the others by id.
func (s Spec) sortedMembers() []Member {
	return slices.SortedFunc(slices.Values(s.Members), func(a, b Member) int {
		switch {
		case (a.InstanceID == "") != (b.InstanceID == ""):
			if a.InstanceID != "" {
				return -1
			}
			return 1
		case a.InstanceID != b.InstanceID:
			return cmp.Compare(a.InstanceID, b.InstanceID)
		}
		return cmp.Compare(a.ID, b.ID)
	})
}

// subscribers lists for each existing topic the members that want it, as indexes.
func (s Spec) subscribers(members []Member) map[TopicID][]int {
	subs := make(map[TopicID][]int)
	for i := range members {
		for t := range members[i].Topics {
			if s.Partitions[t] > 0 {
				subs[t] = append(subs[t], i)
			}
		}
	}
	return subs
}

// result turns assignments by index into the answer: every member is in it.
func result(members []Member, assigned []Assignment) map[string]Assignment {
	r := make(map[string]Assignment, len(members))
	for i := range members {
		a := assigned[i]
		if a == nil {
			a = Assignment{}
		}
		for t, ps := range a {
			if len(ps) == 0 {
				delete(a, t)
				continue
			}
			slices.Sort(ps)
		}
		r[members[i].ID] = a
	}
	return r
}
