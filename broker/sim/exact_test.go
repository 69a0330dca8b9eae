//go:build simruntime

package sim

import "testing"

// exact says that the runtime takes its choices from seedRuntime's seed (broker/sim/overlay).
const exact = true

// seedRuntime is in the runtime.
func seedRuntime(seed uint64)

// replayTries is how often a seed may be run until its first run comes again: on a machine with much other work about one run in a hundred
// differs (docs/simulation.md).
const replayTries = 4

// TestReplay runs seeds again and wants the same events in the same order.
func TestReplay(t *testing.T) {
	for seed := *firstFlag; seed < *firstFlag+uint64(min(20, *seedsFlag)); seed++ {
		first, again := runSeed(t, seed), result{}
		for range replayTries {
			if again = runSeed(t, seed); again.outcome == first.outcome {
				break
			}
			t.Logf("seed %d differs: %q and %q", seed, first.outcome, again.outcome)
		}
		if first.outcome == "" || first.outcome != again.outcome {
			t.Errorf("seed %d does not come again: %q and %q", seed, first.outcome, again.outcome)
		}
	}
}
