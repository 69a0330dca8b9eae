package main

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/rs/zerolog"
)

// setMemoryLimit gives the collector the container's memory as its limit, less a tenth for what it does not count. Go does not do that by
// itself. GOMEMLIMIT wins.
func setMemoryLimit(log zerolog.Logger) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil || limit <= 0 || limit >= 1<<60 { // "max", or the largest page-aligned number: no limit
			return
		}
		debug.SetMemoryLimit(limit / 10 * 9)
		log.Debug().Int64("bytes", limit/10*9).Str("from", path).Msg("memory limit set")
		return
	}
}
