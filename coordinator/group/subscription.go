package group

import "encoding/binary"

// subscribedTopics adds the topics of a consumer's metadata (ConsumerProtocolSubscription) to topics. Only the part that every version
// starts with is read: version int16, topics [string]. False says that the bytes are something else.
func subscribedTopics(metadata []byte, topics map[string]struct{}) bool {
	if len(metadata) < 6 || int16(binary.BigEndian.Uint16(metadata)) < 0 {
		return false
	}
	count := int32(binary.BigEndian.Uint32(metadata[2:]))
	rest := metadata[6:]
	if count < 0 || int64(count)*2 > int64(len(rest)) {
		return false
	}
	for range count {
		if len(rest) < 2 {
			return false
		}
		n := int(int16(binary.BigEndian.Uint16(rest)))
		if n < 0 || n > len(rest)-2 {
			return false
		}
		topics[string(rest[2:2+n])] = struct{}{}
		rest = rest[2+n:]
	}
	return true
}
