package group

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Records of __consumer_offsets (kafka.coordinator.group.GroupMetadataManager). Both key and value start with an int16 version; that of the
// key tells what the record is about:
//
//	0, 1   offset of a group for a partition (1 is written)   value 0-4; 3 is written, 1 if the commit names its own expiry
//	2      group and its members                              value 0-4; 3 is written
//	3-     the new group protocol and share groups (KIP-848, KIP-932): not written by a 3.9 coordinator, skipped
const (
	offsetKeyVersionOld   = 0
	offsetKeyVersion      = 1
	groupKeyVersion       = 2
	offsetValueVersion    = 3
	offsetValueWithExpiry = 1
	offsetValueNewest     = 4
	groupValueVersion     = 3
	groupValueNewest      = 4
	groupValueWithTimeout = 1 // first with a rebalance timeout
	groupValueWithStateMs = 2 // first with the state's timestamp
	noTimestampMs         = int64(-1)
	noLeaderEpoch         = int32(-1)
	minGroupMemberBytes   = 14 // of an encoded member of any version, to bound counts
)

var errRecordKey = errors.New("record of __consumer_offsets has no usable key")

// keyVersion returns the version that a record's key starts with.
func keyVersion(key []byte) (int16, error) {
	if len(key) < 2 {
		return 0, errRecordKey
	}
	return int16(binary.BigEndian.Uint16(key)), nil
}

// committed is an offset that a group committed for a partition.
type committed struct {
	offset      int64
	leaderEpoch int32 // of the record before offset, -1 unknown
	metadata    string
	commitMs    int64
	expireMs    int64 // own expiry, from clients below OffsetCommit v5 that gave a retention; -1 none
	record      int64 // offset of the record in __consumer_offsets; decides between a transaction's commit and a later plain one
}

func appendOffsetKey(dst []byte, group, topic string, partition int32) []byte {
	k := kmsg.OffsetCommitKey{Version: offsetKeyVersion, Group: group, Topic: topic, Partition: partition}
	return k.AppendTo(dst)
}

func appendOffsetValue(dst []byte, c *committed) []byte {
	v := kmsg.OffsetCommitValue{
		Version: offsetValueVersion, Offset: c.offset, LeaderEpoch: c.leaderEpoch, Metadata: c.metadata, CommitTimestamp: c.commitMs,
	}
	if c.expireMs != noTimestampMs {
		v.Version, v.ExpireTimestamp = offsetValueWithExpiry, c.expireMs
	}
	return v.AppendTo(dst)
}

// decodeOffsetValue reads a value of any version; metadata aliases value.
func decodeOffsetValue(value []byte) (committed, error) {
	var v kmsg.OffsetCommitValue
	if err := checkValueVersion(value, offsetValueNewest); err != nil {
		return committed{}, fmt.Errorf("offset value: %w", err)
	}
	if err := v.UnsafeReadFrom(value); err != nil {
		return committed{}, fmt.Errorf("offset value of version %d: %w", v.Version, err)
	}
	c := committed{offset: v.Offset, leaderEpoch: noLeaderEpoch, metadata: v.Metadata, commitMs: v.CommitTimestamp, expireMs: noTimestampMs}
	if v.Version >= 3 {
		c.leaderEpoch = v.LeaderEpoch
	}
	if v.Version == offsetValueWithExpiry {
		c.expireMs = v.ExpireTimestamp
	}
	return c, nil
}

func checkValueVersion(value []byte, newest int16) error {
	if len(value) < 2 {
		return fmt.Errorf("%d bytes are too few", len(value))
	}
	if v := int16(binary.BigEndian.Uint16(value)); v < 0 || v > newest {
		return fmt.Errorf("version %d is not known", v)
	}
	return nil
}

func appendGroupKey(dst []byte, group string) []byte {
	k := kmsg.GroupMetadataKey{Version: groupKeyVersion, Group: group}
	return k.AppendTo(dst)
}

// appendGroupValue encodes the group as it is, with the members' assignments from assign. The protocol of a group with members is set.
func (g *group) appendGroupValue(dst []byte, assign func(*member) []byte) []byte {
	v := kmsg.GroupMetadataValue{
		Version: groupValueVersion, ProtocolType: g.protocolType, Generation: g.generation, CurrentStateTimestamp: g.stateMs,
	}
	if g.protocol != "" {
		v.Protocol = &g.protocol
	}
	if g.leader != "" {
		v.Leader = &g.leader
	}
	v.Members = make([]kmsg.GroupMetadataValueMember, 0, len(g.order))
	for _, m := range g.order {
		v.Members = append(v.Members, kmsg.GroupMetadataValueMember{
			MemberID: m.id, InstanceID: m.instanceID, ClientID: m.clientID, ClientHost: m.clientHost,
			RebalanceTimeoutMillis: int32(m.rebalanceTimeout.Milliseconds()), SessionTimeoutMillis: int32(m.sessionTimeout.Milliseconds()),
			Subscription: notNil(m.metadata(g.protocol)), Assignment: notNil(assign(m)),
		})
	}
	return v.AppendTo(dst)
}

// decodeGroupValue reads a value of any version. Its strings are copies, its bytes alias value.
func decodeGroupValue(value []byte) (*kmsg.GroupMetadataValue, error) {
	if err := checkValueVersion(value, groupValueNewest); err != nil {
		return nil, fmt.Errorf("group value: %w", err)
	}
	if err := checkMemberCount(value); err != nil {
		return nil, fmt.Errorf("group value: %w", err)
	}
	v := new(kmsg.GroupMetadataValue)
	if err := v.ReadFrom(value); err != nil {
		return nil, fmt.Errorf("group value of version %d: %w", v.Version, err)
	}
	if v.Version < groupValueWithStateMs {
		v.CurrentStateTimestamp = noTimestampMs
	}
	if v.Version < groupValueWithTimeout {
		for i := range v.Members {
			v.Members[i].RebalanceTimeoutMillis = v.Members[i].SessionTimeoutMillis
		}
	}
	return v, nil
}

// checkMemberCount compares the member count of a group value with the bytes that follow it, before anything is allocated for it.
func checkMemberCount(value []byte) error {
	b := kbin.Reader{Src: value}
	version := b.Int16()
	var count int32
	if version >= 4 {
		b.UnsafeCompactString()
		b.Int32()
		b.UnsafeCompactNullableString()
		b.UnsafeCompactNullableString()
		b.Int64()
		count = b.CompactArrayLen()
	} else {
		b.UnsafeString()
		b.Int32()
		b.UnsafeNullableString()
		b.UnsafeNullableString()
		if version >= groupValueWithStateMs {
			b.Int64()
		}
		count = b.ArrayLen()
	}
	if int64(count)*minGroupMemberBytes > int64(len(b.Src)) {
		return fmt.Errorf("%d members in %d bytes", count, len(b.Src))
	}
	return nil
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
