package consumer

import (
	"fmt"
	"testing"
)

// BenchmarkHeartbeat is a heartbeat that says nothing new, which is what nearly all are.
func BenchmarkHeartbeat(b *testing.B) {
	for _, members := range []int{10, 1000} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			r := newRig(b, topic("a", 1, 100))
			env := r.env()
			env.MaxSize = members
			beat := func(h Heartbeat) Decision {
				d, err := r.g.Heartbeat(env, h)
				if err != nil {
					b.Fatal(err)
				}
				r.write(d.Records)
				r.g.Seen(env.Topics)
				return d
			}
			for i := range members {
				beat(join(fmt.Sprint("m", i), "a"))
			}
			for range 3 {
				for _, m := range r.g.Members() {
					beat(again(m.ID, m.Epoch, m.Assigned))
				}
			}
			m := r.g.Member("m0")
			h := again("m0", m.Epoch, m.Assigned)
			b.ReportAllocs()
			for b.Loop() {
				if d := beat(h); len(d.Records) != 0 {
					b.Fatal("something was written")
				}
			}
		})
	}
}
