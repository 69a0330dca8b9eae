package txn

import (
	"context"
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"ottla/compat-tests/harness"
)

var minutes = flag.Float64("minutes", 0.5, "how long TestHistory takes brokers down")

func splitAddrs(addr string) []string { return strings.Split(addr, ",") }

// TestHistory is what `make eos` runs: transactional producers, read_committed consumers, and programs that read, process and
// write within transactions, on three brokers that are killed in turn.
func TestHistory(t *testing.T) {
	t.Run("three brokers killed in turn: nothing lost, aborted data unseen, nothing twice, all in order", func(t *testing.T) {
		length := time.Duration(*minutes * float64(time.Minute))
		if testing.Short() {
			length = min(length, 15*time.Second)
		}
		c := harness.NewCluster(t, 3)
		w := &workload{addr: c.Bootstrap(), source: "source", copies: "copies", partitions: 6}
		adm := kadm.NewClient(client(t, c.Bootstrap()))
		for _, name := range []string{w.source, w.copies} {
			if _, err := adm.CreateTopic(t.Context(), w.partitions, 3, nil, name); err != nil {
				t.Fatal(err)
			}
		}
		faults := 0
		h := w.run(t, 4, func() {
			ctx, stop := context.WithTimeout(t.Context(), length)
			defer stop()
			var err error
			if faults, err = c.Faults(ctx, 2*time.Second, 3*time.Second); err != nil {
				t.Error(err)
			}
		})
		n, versions := map[outcome]int{}, map[bool]int{}
		for _, tx := range h.transactions {
			if n[tx.end]++; tx.end == committed {
				versions[tx.version2]++
			}
		}
		found := check(h)
		t.Logf("%v: %d transactions (%d committed, %d of them with version 2, %d aborted, %d of unknown end), %d records visible, %d copied, %d brokers taken down, %d programs crashed, %d anomalies",
			length, len(h.transactions), n[committed], versions[true], n[aborted], n[unknown], len(h.final), len(h.copies), faults, w.crashes.Load(), len(found))
		if n[committed] == 0 || faults == 0 {
			t.Errorf("nothing was tested")
		}
		if versions[true] == 0 || versions[false] == 0 {
			t.Errorf("%d commits of version 2, %d of version 1: want both", versions[true], versions[false])
		}
		for i, a := range found {
			if i == 20 {
				t.Errorf("and %d more", len(found)-i)
				break
			}
			t.Errorf("%s: %s", a.kind, a.detail)
		}
	})
}
