package replication

import (
	"testing"
	"time"

	"ottla/storage"
)

// With flush.messages=1 acknowledgements, the high watermark and followers count only what is on disk.
func TestFlushMessagesOne(t *testing.T) {
	for _, acks := range []int16{1, -1} {
		for _, replicas := range [][]int32{{0}, {0, 1}} {
			c := newTestCluster(t, 2, nil)
			lc := storage.DefaultLogConfig()
			lc.FlushMessages = 1
			lc.MinInsyncReplicas = int32(len(replicas))
			c.logCfg.Store(&lc)
			c.create("t", 1, replicas...)
			p := c.partition(0, "t", 0)
			for range 5 {
				a, err := p.AppendAsLeader(records("x"), acks, storage.OriginClient)
				if err != nil {
					t.Fatal(err)
				}
				if w := p.m.WaitCommitted([]Appended{a}, 10*time.Second); w != nil {
					<-w.Done()
					if code := w.Errors()[0]; code != 0 {
						t.Fatalf("acks %d, %d replicas: code %d", acks, len(replicas), code)
					}
				}
				if durable := p.Log().DurableEndOffset(); durable < a.Required {
					t.Errorf("acks %d, %d replicas: acknowledged %d, on disk are %d", acks, len(replicas), a.Required, durable)
				}
			}
			if n := p.waits.produces.Load(); n != 0 {
				t.Errorf("%d produces wait", n)
			}
			if len(replicas) > 1 {
				eventually(t, "follower has it on disk", func() bool { return c.partition(1, "t", 0).Log().DurableEndOffset() == 5 })
			}
		}
	}
}
