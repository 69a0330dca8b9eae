package storage

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
)

// offsetMap remembers the latest offset of each key that a pass of compaction saw (SkimpyOffsetMap): a hash table with open addressing whose
// slots hold the MD5 of the key and the offset, 24 bytes, whatever the key's length. Two keys with the same MD5 would
// be taken for one, as in Kafka.
type offsetMap struct {
	slots  []byte
	used   int
	limit  int   // keys that fit
	latest int64 // last offset seen, of any record; -1 none
}

const offsetMapSlot = md5.Size + 8

// newOffsetMap makes a map for up to keys keys in at most memory bytes, filled to no more than load.
func newOffsetMap(keys int64, memory int64, load float64) *offsetMap {
	slots := max(min(int64(float64(keys)/load)+1, memory/offsetMapSlot), 2)
	m := &offsetMap{slots: make([]byte, slots*offsetMapSlot), latest: -1}
	m.limit = max(1, min(int(float64(slots)*load), int(slots)-1))
	return m
}

// find returns the slot of a key, or the empty one where it would go. An empty slot holds offset -1, stored as 0.
func (m *offsetMap) find(sum *[md5.Size]byte) []byte {
	n := uint64(len(m.slots) / offsetMapSlot)
	for i := binary.BigEndian.Uint64(sum[:]) % n; ; i = (i + 1) % n {
		s := m.slots[i*offsetMapSlot:][:offsetMapSlot]
		if binary.BigEndian.Uint64(s[md5.Size:]) == 0 || bytes.Equal(s[:md5.Size], sum[:]) {
			return s
		}
	}
}

// put notes that a key occurs at an offset; ok is false if there is no room for a new key.
func (m *offsetMap) put(key []byte, offset int64) (ok bool) {
	sum := md5.Sum(key)
	s := m.find(&sum)
	if binary.BigEndian.Uint64(s[md5.Size:]) == 0 {
		if m.used >= m.limit {
			return false
		}
		m.used++
		copy(s, sum[:])
	}
	binary.BigEndian.PutUint64(s[md5.Size:], uint64(offset)+1)
	return true
}

// get is the latest offset of a key, -1 if it was not seen.
func (m *offsetMap) get(key []byte) int64 {
	sum := md5.Sum(key)
	return int64(binary.BigEndian.Uint64(m.find(&sum)[md5.Size:])) - 1
}
