//go:build simruntime

package sim

import "testing"

// exact says that the runtime takes its choices from seedRuntime's seed (broker/sim/overlay).
const exact = true

// seedRuntime is in the runtime.
func seedRuntime(seed uint64)

// TestReplay runs seeds twice and wants the same events in the same order.
func TestReplay(t *testing.T) {
	for seed := *firstFlag; seed < *firstFlag+uint64(min(20, *seedsFlag)); seed++ {
		a, b := runSeed(t, seed), runSeed(t, seed)
		if a.outcome == "" || a.outcome != b.outcome {
			t.Errorf("seed %d twice: %q and %q", seed, a.outcome, b.outcome)
		}
	}
}
