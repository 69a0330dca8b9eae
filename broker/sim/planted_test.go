//go:build planted_no_truncation || planted_early_high_watermark

package sim

// planted says that this build has a bug on purpose (replication/planted_*.go).
const planted = true
