package consumer

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kbin"

	"ottla/coordinator"
	"ottla/coordinator/group/assignor"
)

// Key versions of the records.
const (
	keyGroupEpoch  int16 = 3
	keyTopics      int16 = 4
	keyMember      int16 = 5
	keyTargetEpoch int16 = 6
	keyTarget      int16 = 7
	keyCurrent     int16 = 8
	keyRegex       int16 = 16
)

// IsKey tells whether a key of this version is of a record of consumer groups.
func IsKey(version int16) bool {
	return version >= keyGroupEpoch && version <= keyCurrent || version == keyRegex
}

// Key is a record's key:
//
//	int16 version | string group | string member id (5, 7, 8) or regular expression (16)
type Key struct {
	Version int16
	Group   string
	Sub     string
}

// ParseKey reads a key that IsKey. Its strings are copies.
func ParseKey(key []byte) (Key, error) {
	b := kbin.Reader{Src: key}
	k := Key{Version: b.Int16(), Group: b.String()}
	if k.hasSub() {
		k.Sub = b.String()
	}
	if err := b.Complete(); err != nil {
		return Key{}, fmt.Errorf("key of version %d: %w", k.Version, err)
	}
	if !IsKey(k.Version) {
		return Key{}, fmt.Errorf("key of version %d is not one of a consumer group", k.Version)
	}
	return k, nil
}

func (k Key) hasSub() bool {
	return k.Version == keyMember || k.Version == keyTarget || k.Version == keyCurrent || k.Version == keyRegex
}

func (k Key) append(dst []byte) []byte {
	dst = kbin.AppendInt16(dst, k.Version)
	dst = kbin.AppendString(dst, k.Group)
	if k.hasSub() {
		dst = kbin.AppendString(dst, k.Sub)
	}
	return dst
}

// RemovesGroup tells whether the record is the one that ends a group.
func (k Key) RemovesGroup(value []byte) bool { return k.Version == keyGroupEpoch && value == nil }

func (k Key) tombstone() coordinator.KeyValue { return coordinator.KeyValue{Key: k.append(nil)} }

// record is a record with an encoded value; values start with version 0, the only one.
func (k Key) record(value func(dst []byte) []byte) coordinator.KeyValue {
	return coordinator.KeyValue{Key: k.append(nil), Value: value([]byte{0, 0})}
}

var (
	errShort   = errors.New("value ends early or is too long")
	errVersion = errors.New("value of an unknown version")
	errCount   = errors.New("more elements than bytes")
)

// value is a reader of a record's value. Its errors are found by end.
type value struct {
	kbin.Reader
	err error
}

func readValue(b []byte) *value {
	v := &value{Reader: kbin.Reader{Src: b}}
	if v.Int16() != 0 && v.Ok() {
		v.err = errVersion
	}
	return v
}

// count reads the length of an array whose elements take at least size bytes; null counts as none.
func (v *value) count(size int) int {
	n := int(v.CompactArrayLen())
	if n < 0 {
		n = 0
	}
	if n*size > len(v.Src) {
		v.err = errCount
		return 0
	}
	return n
}

func (v *value) nullable() string {
	if s := v.CompactNullableString(); s != nil {
		return *s
	}
	return ""
}

// tags reads tagged fields; read is given those that it may know, and reads from the value.
func (v *value) tags(read func(tag uint32, v *value)) {
	for n := v.Uvarint(); n > 0 && v.Ok() && v.err == nil; n-- {
		tag, size := v.Uvarint(), v.Uvarint()
		if uint64(size) > uint64(len(v.Src)) {
			v.err = errShort
			return
		}
		field := &value{Reader: kbin.Reader{Src: v.Span(int(size))}}
		if read != nil {
			read(tag, field)
			if field.err != nil || !field.Ok() {
				v.err = errors.Join(errShort, field.err)
			}
		}
	}
}

func (v *value) end() error {
	if v.err != nil {
		return v.err
	}
	if v.Complete() != nil {
		return errShort
	}
	return nil
}

// noTags is the end of a structure without tagged fields.
func noTags(dst []byte) []byte { return append(dst, 0) }

// appendTag writes one tagged field.
func appendTag(dst []byte, tag uint32, field []byte) []byte {
	dst = kbin.AppendUvarint(dst, tag)
	dst = kbin.AppendUvarint(dst, uint32(len(field)))
	return append(dst, field...)
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// epochValue is the value of a group epoch record: int32 epoch | tag 0: int64 hash of the topics.
type epochValue struct {
	epoch int32
	hash  int64
}

func (e epochValue) append(dst []byte) []byte {
	dst = kbin.AppendInt32(dst, e.epoch)
	if e.hash == 0 {
		return noTags(dst)
	}
	return appendTag(kbin.AppendUvarint(dst, 1), 0, kbin.AppendInt64(nil, e.hash))
}

func parseEpoch(b []byte) (e epochValue, err error) {
	v := readValue(b)
	e.epoch = v.Int32()
	v.tags(func(tag uint32, v *value) {
		if tag == 0 {
			e.hash = v.Int64()
		}
	})
	return e, v.end()
}

// appendTargetEpoch writes the value of an assignment epoch record: int32 epoch | tag 0: int64 time of the computation.
func appendTargetEpoch(dst []byte, epoch int32, atMs int64) []byte {
	dst = kbin.AppendInt32(dst, epoch)
	if atMs == 0 {
		return noTags(dst)
	}
	return appendTag(kbin.AppendUvarint(dst, 1), 0, kbin.AppendInt64(nil, atMs))
}

func parseTargetEpoch(b []byte) (epoch int32, err error) {
	v := readValue(b)
	epoch = v.Int32()
	v.tags(nil)
	return epoch, v.end()
}

// appendTarget writes the value of a target record: [topic id, [int32 partition]].
func appendTarget(dst []byte, a assignor.Assignment) []byte {
	dst = kbin.AppendCompactArrayLen(dst, len(a))
	for _, t := range a.SortedTopics() {
		dst = kbin.AppendUuid(dst, t)
		dst = appendInts(dst, a[t])
		dst = noTags(dst)
	}
	return noTags(dst)
}

func appendInts(dst []byte, ints []int32) []byte {
	dst = kbin.AppendCompactArrayLen(dst, len(ints))
	for _, i := range ints {
		dst = kbin.AppendInt32(dst, i)
	}
	return dst
}

func (v *value) ints() []int32 {
	ints := make([]int32, v.count(4))
	for i := range ints {
		ints[i] = v.Int32()
	}
	return ints
}

func parseTarget(b []byte) (assignor.Assignment, error) {
	v := readValue(b)
	a := make(assignor.Assignment)
	for n := v.count(18); n > 0; n-- {
		t, ps := v.Uuid(), v.ints()
		v.tags(nil)
		ps = append(a[t], ps...)
		if len(ps) > 0 {
			slices.Sort(ps)
			a[t] = slices.Compact(ps)
		}
	}
	v.tags(nil)
	return a, v.end()
}

// appendCurrent writes the value of a current assignment record:
//
//	int32 epoch | int32 previous epoch | int8 state | assigned | to be revoked
//
// each of the latter two [topic id, [int32 partition] | tag 0: [int32 epoch of assignment]].
func appendCurrent(dst []byte, m *Member) []byte {
	dst = kbin.AppendInt32(dst, m.Epoch)
	dst = kbin.AppendInt32(dst, m.PreviousEpoch)
	dst = kbin.AppendInt8(dst, int8(m.State))
	dst = m.Assigned.append(dst)
	dst = m.Revoking.append(dst)
	return noTags(dst)
}

func (o Owned) append(dst []byte) []byte {
	dst = kbin.AppendCompactArrayLen(dst, len(o))
	for _, t := range o.Assignment().SortedTopics() {
		ps := slices.Sorted(maps.Keys(o[t]))
		epochs := make([]int32, len(ps))
		for i, p := range ps {
			epochs[i] = o[t][p]
		}
		dst = kbin.AppendUuid(dst, t)
		dst = appendInts(dst, ps)
		dst = appendTag(kbin.AppendUvarint(dst, 1), 0, appendInts(nil, epochs))
	}
	return dst
}

// owned reads partitions; those without an epoch of assignment, as before Kafka 4.3, have the member's.
func (v *value) owned(memberEpoch int32) Owned {
	o := make(Owned)
	for n := v.count(18); n > 0; n-- {
		t, ps := v.Uuid(), v.ints()
		var epochs []int32
		v.tags(func(tag uint32, v *value) {
			if tag == 0 {
				epochs = v.ints()
			}
		})
		for i, p := range ps {
			e := memberEpoch
			if len(epochs) == len(ps) {
				e = epochs[i]
			}
			o.put(t, p, e)
		}
	}
	return o
}

// parseCurrent reads the value into a copy of m.
func parseCurrent(b []byte, m Member) (Member, error) {
	v := readValue(b)
	m.Epoch, m.PreviousEpoch, m.State = v.Int32(), v.Int32(), State(v.Int8())
	m.Assigned = v.owned(m.Epoch)
	m.Revoking = v.owned(m.Epoch)
	v.tags(nil)
	return m, v.end()
}
