package coordinator

import (
	"math"
	"unicode/utf8"
)

// PartitionFor returns the partition, of n, of the internal topic that a group or transactional id belongs to:
// Java's String.hashCode of the key, made positive as Kafka does (org.apache.kafka.common.utils.Utils.abs). It returns -1 if n < 1.
func PartitionFor(key string, n int32) int32 {
	if n < 1 {
		return -1
	}
	h := javaHash(key)
	switch {
	case h == math.MinInt32:
		h = 0
	case h < 0:
		h = -h
	}
	return h % n
}

// javaHash is String.hashCode: over UTF-16 units, wrapping at 32 bits. Bytes that are not UTF-8 count as U+FFFD, which is how
// Java decodes them.
func javaHash(s string) int32 {
	var h int32
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return javaHashRunes(h, s[i:])
		}
		h = 31*h + int32(s[i])
	}
	return h
}

func javaHashRunes(h int32, s string) int32 {
	for _, r := range s {
		if r >= 0x10000 {
			r -= 0x10000
			h = 31*h + (0xd800 + r>>10)
			h = 31*h + (0xdc00 + r&0x3ff)
			continue
		}
		h = 31*h + r
	}
	return h
}
