package consumer

import (
	"bytes"
	"maps"
	"slices"

	"ottla/coordinator/group/assignor"
)

// TopicID is a topic's id.
type TopicID = assignor.TopicID

// State is where a member is on the way to its target (org.apache.kafka.coordinator.group.modern.MemberState), numbered as in records.
type State int8

// The states of a member.
const (
	Stable               State = 0 // has its target of its epoch
	UnrevokedPartitions  State = 1 // is to give up partitions
	UnreleasedPartitions State = 2 // waits for partitions that others still have
)

// Member epochs with a meaning of their own.
const (
	joinEpoch        int32 = 0
	leaveEpoch       int32 = -1
	staticLeaveEpoch int32 = -2 // of a static member that will come back
)

// Owned is partitions by topic, each with the member epoch at which it was assigned (KIP-1251).
type Owned map[TopicID]map[int32]int32

// Member is a member of a group. It is immutable.
type Member struct {
	ID                 string
	InstanceID         string // "" for a dynamic member
	RackID             string // "" if unknown
	ClientID           string
	ClientHost         string
	RebalanceTimeoutMs int32
	Topics             []string // subscribed by name, in order
	Regex              string   // subscribed by regular expression, "" if not
	Assignor           string   // wanted, "" for any
	Classic            *Classic // nil for members of the new protocol

	Epoch         int32
	PreviousEpoch int32 // of the answer before, which may have been lost
	State         State
	Assigned      Owned // what the member has or is to take
	Revoking      Owned // what it is to give up
}

// Classic is what a member that uses the classic protocol brought in its JoinGroup.
type Classic struct {
	SessionTimeoutMs int32
	Protocols        []Protocol
}

// Protocol is a client-side assignor of a classic member, with its metadata for it.
type Protocol struct {
	Name     string
	Metadata []byte
}

func (c *Classic) equal(o *Classic) bool {
	if c == nil || o == nil {
		return c == o
	}
	return c.SessionTimeoutMs == o.SessionTimeoutMs && slices.EqualFunc(c.Protocols, o.Protocols, func(a, b Protocol) bool {
		return a.Name == b.Name && bytes.Equal(a.Metadata, b.Metadata)
	})
}

// sameMetadata compares what a member's metadata record holds.
func (m *Member) sameMetadata(o *Member) bool {
	return m.ID == o.ID && m.InstanceID == o.InstanceID && m.RackID == o.RackID && m.ClientID == o.ClientID && m.ClientHost == o.ClientHost &&
		m.RebalanceTimeoutMs == o.RebalanceTimeoutMs && slices.Equal(m.Topics, o.Topics) && m.Regex == o.Regex && m.Assignor == o.Assignor &&
		m.Classic.equal(o.Classic)
}

// sameAssignment compares what a member's current assignment record holds.
func (m *Member) sameAssignment(o *Member) bool {
	return m.Epoch == o.Epoch && m.PreviousEpoch == o.PreviousEpoch && m.State == o.State && m.Assigned.equal(o.Assigned) && m.Revoking.equal(o.Revoking)
}

// atEpoch is a copy at another epoch.
func (m *Member) atEpoch(epoch int32) Member {
	c := *m
	c.PreviousEpoch, c.Epoch = m.Epoch, epoch
	return c
}

func (o Owned) equal(p Owned) bool {
	return maps.EqualFunc(o, p, func(a, b map[int32]int32) bool { return maps.Equal(a, b) })
}

// Has tells whether the partition is among them.
func (o Owned) Has(topic TopicID, partition int32) bool {
	_, ok := o[topic][partition]
	return ok
}

// Assignment drops the epochs.
func (o Owned) Assignment() assignor.Assignment {
	a := make(assignor.Assignment, len(o))
	for t, ps := range o {
		a[t] = slices.Sorted(maps.Keys(ps))
	}
	return a
}

// Holds is what the member is assigned and what it has not given up yet.
func (m *Member) Holds() assignor.Assignment {
	if len(m.Revoking) == 0 {
		return m.Assigned.Assignment()
	}
	all := Owned{}
	for _, o := range []Owned{m.Assigned, m.Revoking} {
		for t, ps := range o {
			for p, e := range ps {
				all.put(t, p, e)
			}
		}
	}
	return all.Assignment()
}

// samePartitions compares without the epochs.
func (o Owned) samePartitions(p Owned) bool {
	return maps.EqualFunc(o, p, func(a, b map[int32]int32) bool {
		if len(a) != len(b) {
			return false
		}
		for k := range a {
			if _, ok := b[k]; !ok {
				return false
			}
		}
		return true
	})
}

func (o Owned) put(topic TopicID, partition, epoch int32) {
	if o[topic] == nil {
		o[topic] = make(map[int32]int32)
	}
	o[topic][partition] = epoch
}

// sortedSet is names in order, each once; the strings are copies.
func sortedSet(names []string) []string {
	set := make([]string, 0, len(names))
	for _, n := range names {
		set = append(set, string([]byte(n)))
	}
	slices.Sort(set)
	return slices.Compact(set)
}
