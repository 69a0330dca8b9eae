package wire

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// firstFlexible holds for each key of kmsg the first flexible version, or one above kmsg's last.
var firstFlexible = sync.OnceValue(func() *[maxKey]int16 {
	t := new([maxKey]int16)
	for key := range int16(maxKey) {
		t[key] = 1<<15 - 1
		if req := kmsg.RequestForKey(key); req != nil {
			t[key] = flexibleFrom(req, req.MaxVersion())
		}
	}
	return t
})

// isFlexible says whether a version of a key uses flexible headers and bodies.
func isFlexible(key, version int16) bool {
	return key >= 0 && key < maxKey && version >= firstFlexible()[key]
}
