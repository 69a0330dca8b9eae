//go:build planted_no_truncation

package replication

// Bugs for the simulation to find (make sim-planted); only builds with their tags have them.
const (
	// plantedNoTruncation: a replica that becomes a follower keeps what its leader does not have.
	plantedNoTruncation = true
	// plantedEarlyHighWatermark: a leader's high watermark does not wait for the ISR.
	plantedEarlyHighWatermark = false
)
