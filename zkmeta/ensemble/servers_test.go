package ensemble

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"ottla/zkmeta"
	"ottla/zkmeta/zktest"
)

var maxServers = flag.Int("servers", 3, "largest ensemble that is tested, 3 or 5")

// TestServersOfAnEnsembleDie kills as many servers as an ensemble can lose, its leader first. The session lives on below a chroot and with its identity:
// ephemeral nodes, watches and the right to write are there afterwards.
func TestServersOfAnEnsembleDie(t *testing.T) {
	for n := 3; n <= *maxServers; n += 2 {
		t.Run(fmt.Sprintf("servers=%d", n), func(t *testing.T) {
			servers := zktest.StartEnsemble(t, n)
			tree := newTree(t)
			tree.cfg.Servers, tree.cfg.SessionTimeout = nil, 40*time.Second // an election on a busy machine
			for _, s := range servers {
				tree.cfg.Servers = append(tree.cfg.Servers, s.Addr)
			}
			tree.cfg.SecureACLs, tree.cfg.Auth = true, []Auth{{"digest", "kafka:secret"}}
			c := tree.Connect(t)
			id := c.ID()
			if err := zkmeta.EnsurePersistent(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			create(t, c, "/brokers/ids/1", zkmeta.Ephemeral)
			changed := make(chan zkmeta.Event, 1)
			if _, _, err := c.Children(t.Context(), "/brokers/topics", zkmeta.NewWatch(func(ev zkmeta.Event) { changed <- ev })); err != nil {
				t.Fatal(err)
			}
			for killed := range (n - 1) / 2 {
				leader := -1
				eventually(t, "a leader", func() bool {
					for i, s := range servers {
						if s.Leads() {
							leader = i
						}
					}
					return leader >= 0
				})
				servers[leader].Stop()
				path := fmt.Sprintf("/brokers/topics/t%d", killed)
				eventually(t, "a write with the others", func() bool {
					if _, err := c.Create(t.Context(), path, nil, zkmeta.Persistent, nil); err == nil {
						return true
					}
					_, exists, err := c.Exists(t.Context(), path, nil) // by an attempt whose answer was lost
					return err == nil && exists
				})
				if stat, exists, err := c.Exists(t.Context(), "/brokers/ids/1", nil); err != nil || !exists || stat.EphemeralOwner != id {
					t.Errorf("after %d deaths the ephemeral node is there: %v, %+v, %v", killed+1, exists, stat, err)
				}
			}
			select {
			case ev := <-changed:
				if ev.Path != "/brokers/topics" {
					t.Errorf("event %+v", ev)
				}
			case <-time.After(20 * time.Second):
				t.Error("the watch did not fire")
			}
			if c.ID() != id {
				t.Errorf("session %x became %x", id, c.ID())
			}
		})
	}
}
