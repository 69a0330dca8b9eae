package storage

import "math"

// LogConfig is the effective configuration of one topic's logs. The broker builds it from the topic's overrides and the
// broker's defaults; storage does not parse configuration.
type LogConfig struct {
	SegmentBytes           int32
	SegmentMs              int64
	SegmentJitterMs        int64
	SegmentIndexBytes      int32 // a full index rolls the segment
	IndexIntervalBytes     int32
	RetentionMs            int64 // -1: no limit
	RetentionBytes         int64 // -1: no limit
	FileDeleteDelayMs      int64
	FlushMessages          int64 // 1: DurableEndOffset counts synced bytes only
	FlushMs                int64
	MaxMessageBytes        int32
	Compact, Delete        bool
	MinCleanableDirtyRatio float64
	MinCompactionLagMs     int64
	MaxCompactionLagMs     int64
	DeleteRetentionMs      int64
	LogAppendTime          bool
	TimestampBeforeMaxMs   int64
	TimestampAfterMaxMs    int64
	Compression            string // producer, uncompressed, gzip, snappy, lz4 or zstd
	CompressionLevel       int    // of the codec in Compression; 0 is the codec's default
	Preallocate            bool
	DeepValidation         bool
	MinInsyncReplicas      int32
	UncleanLeaderElection  bool
	DownconversionEnable   bool
	// LeaderThrottledReplicas and FollowerThrottledReplicas are lists of partition:broker with commas between, or *.
	LeaderThrottledReplicas, FollowerThrottledReplicas string
}

// DefaultLogConfig is Kafka 3.9's default.
func DefaultLogConfig() LogConfig {
	const day = 24 * 60 * 60 * 1000
	return LogConfig{
		SegmentBytes: 1 << 30, SegmentMs: 7 * day, SegmentIndexBytes: 10 << 20, IndexIntervalBytes: 4096,
		RetentionMs: 7 * day, RetentionBytes: -1, FileDeleteDelayMs: 60_000,
		FlushMessages: math.MaxInt64, FlushMs: math.MaxInt64, MaxMessageBytes: 1048588, Delete: true,
		MinCleanableDirtyRatio: 0.5, MaxCompactionLagMs: math.MaxInt64, DeleteRetentionMs: day,
		TimestampBeforeMaxMs: math.MaxInt64, TimestampAfterMaxMs: math.MaxInt64,
		Compression: "producer", MinInsyncReplicas: 1, DownconversionEnable: true,
	}
}

// maxSegmentMs is how old a segment may grow: compaction needs sealed segments by max.compaction.lag.ms.
func (c *LogConfig) maxSegmentMs() int64 {
	if c.Compact {
		return min(c.SegmentMs, c.MaxCompactionLagMs)
	}
	return c.SegmentMs
}

// indexEntries is how many entries of a size an index file may hold.
func (c *LogConfig) indexEntries(entrySize int) int { return int(c.SegmentIndexBytes) / entrySize }
