package java

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/compat-tests/harness"
)

// groupCase is a group of two members.
type groupCase struct {
	what      string
	protocols [2]string
	assignors [2]string
	static    bool
}

func (c groupCase) run(t *testing.T, j *harness.JavaClients) {
	t.Parallel()
	const count = 600
	tp, where := topic(t, 6), "bootstrap="+harness.Bootstrap(t)
	j.Run(t, time.Minute, "Produce", where, "topic="+tp, fmt.Sprintf("count=%d", count))
	heartbeat := "client.heartbeat.interval.ms=300"
	if c.protocols != [2]string{"classic", "classic"} { // the broker says it
		heartbeat = "client.client.id=groups"
	}
	got := j.Run(t, 5*time.Minute, "Groups", where, heartbeat, "topic="+tp, "partitions=6", fmt.Sprintf("count=%d", count), "group="+tp,
		"protocol="+c.protocols[0], "protocol2="+c.protocols[1], "assignor="+c.assignors[0], "assignor2="+c.assignors[1], fmt.Sprintf("static=%t", c.static))
	back := "back"
	if c.static {
		back = "back to the same"
	}
	want := []string{"first has all", "shared", "all read", back, "second has all", fmt.Sprintf("committed %d", count)}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestClassicGroups: two members share a topic, one goes and comes back, the other goes, and everything is read and committed.
func TestClassicGroups(t *testing.T) {
	for _, assignor := range []string{"RangeAssignor", "RoundRobinAssignor", "StickyAssignor", "CooperativeStickyAssignor"} {
		c := groupCase{protocols: [2]string{"classic", "classic"}, assignors: [2]string{assignor, assignor}}
		eachVersion(t, assignor+": members of a classic group share, leave and come back", c.run)
	}
	c := groupCase{protocols: [2]string{"classic", "classic"}, assignors: [2]string{"RangeAssignor", "RangeAssignor"}, static: true}
	eachVersion(t, "a static member of a classic group comes back to what it had", c.run)
}

// servesConsumerGroups asks for version 1: Kafka 3.9 lists version 0 with ZooKeeper, and refuses it.
func servesConsumerGroups(t *testing.T) bool {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(harness.Bootstrap(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(t.Context(), cl)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range resp.ApiKeys {
		if k.ApiKey == kmsg.ConsumerGroupHeartbeat.Int16() {
			return k.MaxVersion >= 1
		}
	}
	return false
}

// TestConsumerGroups is TestClassicGroups under the consumer protocol (KIP-848), which Kafka 3.9 does not serve with ZooKeeper, and with members of both.
func TestConsumerGroups(t *testing.T) {
	if !servesConsumerGroups(t) {
		t.Skip("the broker does not serve KIP-848 groups (ConsumerGroupHeartbeat v1)")
	}
	consumer := [2]string{"consumer", "consumer"}
	for _, c := range []groupCase{
		{what: "uniform: members of a KIP-848 group share, leave and come back", protocols: consumer, assignors: [2]string{"uniform", "uniform"}},
		{what: "range: members of a KIP-848 group share, leave and come back", protocols: consumer, assignors: [2]string{"range", "range"}},
		{what: "a static member of a KIP-848 group comes back to what it had", protocols: consumer, static: true},
		{what: "a classic group becomes a KIP-848 group while it runs", protocols: [2]string{"classic", "consumer"}, assignors: [2]string{"CooperativeStickyAssignor", ""}},
		{what: "a KIP-848 group becomes a classic group while it runs", protocols: [2]string{"consumer", "classic"}, assignors: [2]string{"", "RangeAssignor"}},
	} {
		eachVersion(t, c.what, c.run)
	}
}
