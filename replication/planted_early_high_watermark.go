//go:build planted_early_high_watermark && !planted_no_truncation

package replication

// Bugs for the simulation to find (make sim-planted); only builds with their tags have them.
const (
	// plantedNoTruncation: a replica that becomes a follower keeps what its leader does not have.
	plantedNoTruncation = false
	// plantedEarlyHighWatermark: a leader's high watermark does not wait for the ISR.
	plantedEarlyHighWatermark = true
)
