//go:build planted_no_truncation || planted_early_high_watermark

package sim

import "testing"

// TestPlantedBugIsFound wants a build with a planted bug to break a promise; not to heal is not enough.
func TestPlantedBugIsFound(t *testing.T) {
	found := false
	ran := runSeeds(t, 1, func(r result) bool {
		if r.broken {
			found = true
			t.Logf("found by seed %d:\n%s", r.seed, r.output)
		}
		return r.broken
	})
	if t.Logf("%d seeds from %d on", ran, *firstFlag); !found {
		t.Error("the planted bug was not found")
	}
}
