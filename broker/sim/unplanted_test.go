//go:build !planted_no_truncation && !planted_early_high_watermark

package sim

import (
	"fmt"
	"testing"
	"time"
)

// TestSeeds runs many seeds.
func TestSeeds(t *testing.T) {
	began := time.Now()
	ran := runSeeds(t, 5, func(r result) bool {
		if r.failed {
			t.Errorf("seed %d:\n%s\n%s", r.seed, r.output, replay(r.seed))
		} else if *everyFlag {
			t.Log(r.outcome)
		}
		return r.failed
	})
	t.Logf("%d seeds from %d on in %s", ran, *firstFlag, time.Since(began).Round(time.Millisecond))
}

func replay(seed uint64) string {
	if exact {
		return fmt.Sprintf("again, with all that happens: make sim SEED=%d", seed)
	}
	return fmt.Sprintf("this run was not exact; perhaps again: make sim SEED=%d", seed)
}
