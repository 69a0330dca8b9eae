package consumer

import "github.com/twmb/franz-go/pkg/kerr"

// modernCommit is the first version of OffsetCommit and OffsetFetch that knows member epochs.
const modernCommit = 9

// Commit is who commits or fetches offsets.
type Commit struct {
	Version    int16 // of the request; transactional commits have none
	MemberID   string
	InstanceID bool // whether there is one
	Epoch      int32
	Txn        bool
}

// ValidateCommit decides who may commit (ConsumerGroup.validateOffsetCommit): anyone while there are no members, transactional producers
// that say nothing about themselves, and members. A member that has moved on to a newer epoch may still commit for what it had at the
// one that it names (KIP-1251): then the returned function decides about each partition.
//
// Errors: UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH, ILLEGAL_GENERATION for classic members, UNSUPPORTED_VERSION.
func (g *Group) ValidateCommit(c Commit) (partition func(t TopicID, p int32) error, err error) {
	switch {
	case c.Epoch < 0 && len(g.members) == 0:
		return nil, nil
	case c.Txn && c.Epoch == -1 && c.MemberID == "" && !c.InstanceID:
		return nil, nil
	}
	m := g.members[c.MemberID]
	switch {
	case m == nil:
		return nil, g.unknownMember(c.MemberID)
	case !c.Txn && m.Classic == nil && c.Version < modernCommit:
		return nil, fail(kerr.UnsupportedVersion, "OffsetCommit version 9 or above must be used by members using the consumer group protocol")
	case c.Epoch == m.Epoch:
		return nil, nil
	case c.Epoch > m.Epoch:
		return nil, fail(m.staleCode(), "Received member epoch %d is newer than current member epoch %d.", c.Epoch, m.Epoch)
	}
	return func(t TopicID, p int32) error {
		at, ok := m.Assigned[t][p]
		if !ok {
			at, ok = m.Revoking[t][p]
		}
		switch {
		case !ok:
			return fail(m.staleCode(), "Partition %d is not assigned or pending revocation for member.", p)
		case c.Epoch < at:
			return fail(m.staleCode(), "Received member epoch %d is older than assignment epoch %d for partition %d.", c.Epoch, at, p)
		}
		return nil
	}, nil
}

// ValidateFetch decides who may read offsets (ConsumerGroup.validateOffsetFetch): members in their epoch, and whoever says nothing.
func (g *Group) ValidateFetch(memberID *string, epoch int32) error {
	if memberID == nil && epoch < 0 {
		return nil
	}
	id := ""
	if memberID != nil {
		id = *memberID
	}
	m := g.members[id]
	switch {
	case m == nil:
		return g.unknownMember(id)
	case epoch != m.Epoch:
		return fail(m.staleCode(), "The received member epoch %d does not match the expected member epoch %d.", epoch, m.Epoch)
	}
	return nil
}

func (m *Member) staleCode() *kerr.Error {
	if m.Classic != nil {
		return kerr.IllegalGeneration
	}
	return kerr.StaleMemberEpoch
}
