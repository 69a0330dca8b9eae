package consumer

import (
	"hash/fnv"
	"iter"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kbin"
)

// Topics is a snapshot of the cluster's topics. It does not change.
type Topics interface {
	// Version is another number for each snapshot, and not 0.
	Version() uint64
	ByName(name string) (Topic, bool)
	ByID(id TopicID) (Topic, bool)
	Names() iter.Seq[string]
	// Racks are those of a partition's replicas, in order.
	Racks(name string, partition int32) []string
}

// Topic is what an assignment needs to know of a topic.
type Topic struct {
	Name       string
	ID         TopicID
	Partitions int32
}

// hashTopics is a number that changes with the topics of those names: ids, partitions, racks (KIP-1101). Topics that do not exist do not count.
// 0 is none.
func hashTopics(topics Topics, names map[string]struct{}) int64 {
	h := fnv.New64a()
	any := false
	var buf []byte
	for _, name := range slices.Sorted(maps.Keys(names)) {
		t, ok := topics.ByName(name)
		if !ok {
			continue
		}
		any = true
		buf = append(buf[:0], t.ID[:]...)
		buf = kbin.AppendCompactString(buf, name)
		buf = kbin.AppendInt32(buf, t.Partitions)
		for p := range t.Partitions {
			racks := topics.Racks(name, p)
			buf = kbin.AppendUvarint(buf, uint32(len(racks)))
			for _, r := range racks {
				buf = kbin.AppendCompactString(buf, r)
			}
		}
		h.Write(buf)
	}
	if !any {
		return 0
	}
	return int64(h.Sum64())
}
