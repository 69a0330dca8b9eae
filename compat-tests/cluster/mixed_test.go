package cluster

import (
	"fmt"
	"testing"

	"ottla/compat-tests/harness"
)

// TestMixed runs two Ottla brokers and a real Kafka as one cluster. Each broker in turn is stopped and started again,
// so that partitions are led by, and the controller is, a broker of either kind; writers go on meanwhile.
func TestMixed(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a real Kafka")
	}
	c := harness.StartCluster(t, harness.ClusterConfig{
		Kinds:          []harness.Kind{harness.Ottla, harness.Ottla, harness.Kafka},
		SessionTimeout: sessionTimeout, Settings: []string{"controlled.shutdown.retry.backoff.ms=200"},
	})
	createTopic(t, c)
	c.AwaitISR(t, faultTopic, 3)
	ws, stop := startWriters(t, c.Seeds(), faultTopic, faultPartitions)
	f := &faults{Cluster: c, t: t, ws: ws}
	f.awaitProgress()

	led, controlled := map[harness.Kind]bool{}, map[harness.Kind]bool{}
	note := func() {
		t.Helper()
		for p := range int32(faultPartitions) {
			led[c.Leader(t, faultTopic, p).Kind] = true
		}
		controlled[c.Controller(t).Kind] = true
		fmt.Printf("mixed: controller is %s\n", c.Controller(t).Kind)
	}
	note()
	whole := func() {
		t.Helper()
		c.AwaitBrokers(t, 3)
		c.AwaitISR(t, faultTopic, 3)
		f.awaitProgress()
	}
	// Without both Ottlas Kafka would have to be elected: min.insync.replicas is 2, so the writers wait meanwhile.
	f.must(c.Broker(1).Stop(stopLimit))
	f.must(c.Broker(2).Stop(stopLimit))
	c.AwaitBrokers(t, 1)
	f.must(c.Broker(1).Start())
	f.must(c.Broker(2).Start())
	whole()
	note()
	for _, b := range c.Brokers {
		f.stop(b)
		whole()
		note()
		f.kill(b)
		whole()
		note()
	}
	for _, kind := range []harness.Kind{harness.Ottla, harness.Kafka} {
		if !led[kind] || !controlled[kind] {
			t.Errorf("%s: led a partition: %v, was the controller: %v, want both", kind, led[kind], controlled[kind])
		}
	}
	stop()
	c.AwaitISR(t, faultTopic, 3)
	readBack(t, c, faultTopic, ws)
	sameReplicas(t, c, faultTopic, faultPartitions)
}
