package storage

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
)

// offsetMap remembers the latest offset of each key that a pass of compaction saw (SkimpyOffsetMap): a hash table with open addressing whose
// slots hold the MD5 of the key and the offset, 24 bytes, whatever the key's length. Two keys with the same MD5 would
// be taken for one, as in Kafka.
//
// It grows by doubling up to its memory; while it moves, the old table is there, too.
type offsetMap struct {
	slots  []byte
	used   int
	limit  int   // keys that fit slots
	most   int64 // slots at most
	load   float64
	latest int64 // last offset seen, of any record; -1 none
}

const offsetMapSlot = md5.Size + 8

// newOffsetMap makes a map of at most memory bytes that is filled to no more than load.
func newOffsetMap(memory int64, load float64) *offsetMap {
	m := &offsetMap{most: max(memory/offsetMapSlot, 2), load: load, latest: -1}
	m.resize(min(m.most, 1024))
	return m
}

func (m *offsetMap) resize(slots int64) {
	old := m.slots
	m.slots = make([]byte, slots*offsetMapSlot)
	m.limit = max(1, min(int(float64(slots)*m.load), int(slots)-1))
	for ; len(old) > 0; old = old[offsetMapSlot:] {
		if s := old[:offsetMapSlot]; binary.BigEndian.Uint64(s[md5.Size:]) != 0 {
			copy(m.find((*[md5.Size]byte)(s)), s)
		}
	}
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
			slots := int64(len(m.slots) / offsetMapSlot)
			if slots == m.most {
				return false
			}
			m.resize(min(2*slots, m.most))
			s = m.find(&sum)
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
