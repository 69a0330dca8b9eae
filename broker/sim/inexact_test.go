//go:build !simruntime

package sim

// exact says that the runtime takes its choices from seedRuntime's seed (broker/sim/overlay).
const exact = false

func seedRuntime(uint64) {}
