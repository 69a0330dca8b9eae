package config

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
)

// validateChange checks a dynamic change as a whole, with the layers it would give (DynamicBrokerConfig.validate).
func (d *Dynamic) validateChange(props map[string]string, perBroker bool) error {
	if err := validateDynamic(props, perBroker); err != nil {
		return err
	}
	now := d.Snapshot()
	layers := [2]map[string]string{now.dynamicDefault, now.dynamicBroker}
	if perBroker {
		layers[1] = props
	} else {
		layers[0] = props
	}
	next, problems := assemble(now.static, layers[0], layers[1])
	if len(problems) > 0 {
		return refuse(kerr.InvalidRequest, "%s", problems[0])
	}
	if reason := unfit(now, next); reason != "" {
		return refuse(kerr.InvalidRequest, "Invalid value org.apache.kafka.common.config.ConfigException: %s for configuration Invalid dynamic configuration", reason)
	}
	for _, k := range []*Key[string]{Listeners, ListenerSecurityProtocolMap, AdvertisedListeners} {
		if Get(now, k) != Get(next, k) {
			return refuse(kerr.InvalidConfig, "%s cannot be changed while the broker runs yet: change the configuration file and restart it", k.Name)
		}
	}
	return nil
}

// unfit holds the limits of one step of change (DynamicThreadPool, LogCleaner, SocketServer .validateReconfiguration).
func unfit(now, next *Snapshot) string {
	for _, k := range []*Key[int32]{NumIoThreads, NumReplicaFetchers, NumRecoveryThreadsPerDataDir, BackgroundThreads, NumNetworkThreads} {
		before, after := Get(now, k), Get(next, k)
		text := fmt.Sprintf("Dynamic thread count update validation failed for %s=%d", k.Name, after)
		switch {
		case after == before:
		case after <= 0:
			return text + ", value should be at least 1"
		case after < before/2:
			return fmt.Sprintf("%s, value should be at least half the current value %d", text, before)
		case int64(after) > 2*int64(before):
			return fmt.Sprintf("%s, value should not be greater than double the current value %d", text, before)
		}
	}
	before, after := Get(now, LogCleanerThreads), Get(next, LogCleanerThreads)
	switch {
	case after < before/2:
		return fmt.Sprintf("Log cleaner threads cannot be reduced to less than half the current value %d", before)
	case int64(after) > 2*int64(before):
		return fmt.Sprintf("Log cleaner threads cannot be increased to more than double the current value %d", before)
	}
	if a, b := Get(now, MetricReporters), Get(next, MetricReporters); !slices.Equal(a, b) && len(b) > 0 {
		return "Validation of dynamic config update of Set(metric.reporters) failed with class class kafka.server.DynamicMetricsReporters"
	}
	return ""
}
