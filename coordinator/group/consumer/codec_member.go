package consumer

import (
	"github.com/twmb/franz-go/pkg/kbin"
)

// appendMember writes the value of a member record:
//
//	nullable instance id | nullable rack | client id | client host | [topic] | nullable regular expression | int32 rebalance timeout |
//	nullable assignor | tag 0: byte 0; of classic members byte 1 | int32 session timeout | [protocol, bytes metadata]
func appendMember(dst []byte, m *Member) []byte {
	dst = kbin.AppendCompactNullableString(dst, optional(m.InstanceID))
	dst = kbin.AppendCompactNullableString(dst, optional(m.RackID))
	dst = kbin.AppendCompactString(dst, m.ClientID)
	dst = kbin.AppendCompactString(dst, m.ClientHost)
	dst = appendStrings(dst, m.Topics)
	dst = kbin.AppendCompactNullableString(dst, &m.Regex) // Kafka's is empty, not null
	dst = kbin.AppendInt32(dst, m.RebalanceTimeoutMs)
	dst = kbin.AppendCompactNullableString(dst, optional(m.Assignor))
	if m.Classic == nil { // Kafka writes the tag all the same
		return appendTag(kbin.AppendUvarint(dst, 1), 0, []byte{0})
	}
	classic := []byte{1}
	classic = kbin.AppendInt32(classic, m.Classic.SessionTimeoutMs)
	classic = kbin.AppendCompactArrayLen(classic, len(m.Classic.Protocols))
	for _, p := range m.Classic.Protocols {
		classic = kbin.AppendCompactString(classic, p.Name)
		classic = kbin.AppendCompactBytes(classic, p.Metadata)
		classic = noTags(classic)
	}
	return appendTag(kbin.AppendUvarint(dst, 1), 0, noTags(classic))
}

func appendStrings(dst []byte, ss []string) []byte {
	dst = kbin.AppendCompactArrayLen(dst, len(ss))
	for _, s := range ss {
		dst = kbin.AppendCompactString(dst, s)
	}
	return dst
}

func (v *value) strings() []string {
	ss := make([]string, v.count(1))
	for i := range ss {
		ss[i] = v.CompactString()
	}
	return ss
}

// parseMember reads the value into a copy of m.
func parseMember(b []byte, m Member) (Member, error) {
	v := readValue(b)
	m.InstanceID, m.RackID = v.nullable(), v.nullable()
	m.ClientID, m.ClientHost = v.CompactString(), v.CompactString()
	m.Topics = sortedSet(v.strings())
	m.Regex = v.nullable()
	m.RebalanceTimeoutMs = v.Int32()
	m.Assignor = v.nullable()
	m.Classic = nil
	v.tags(func(tag uint32, v *value) {
		if tag == 0 {
			m.Classic = v.classic()
		}
	})
	return m, v.end()
}

func (v *value) classic() *Classic {
	if v.Uvarint() == 0 {
		return nil
	}
	c := &Classic{SessionTimeoutMs: v.Int32()}
	for n := v.count(3); n > 0 && v.Ok(); n-- {
		c.Protocols = append(c.Protocols, Protocol{Name: v.CompactString(), Metadata: append([]byte{}, v.CompactBytes()...)})
		v.tags(nil)
	}
	v.tags(nil)
	return c
}

// Resolved is a regular expression with the topics that match it.
type Resolved struct {
	Topics  []string // in order
	Version int64    // of the metadata that it was resolved with
	AtMs    int64
}

// appendRegex writes the value of a regular expression record: [topic] | int64 version | int64 time.
func appendRegex(dst []byte, r *Resolved) []byte {
	dst = appendStrings(dst, r.Topics)
	dst = kbin.AppendInt64(dst, r.Version)
	return noTags(kbin.AppendInt64(dst, r.AtMs))
}

func parseRegex(b []byte) (*Resolved, error) {
	v := readValue(b)
	r := &Resolved{Topics: sortedSet(v.strings()), Version: v.Int64(), AtMs: v.Int64()}
	v.tags(nil)
	return r, v.end()
}
