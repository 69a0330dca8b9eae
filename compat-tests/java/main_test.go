package java

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/compat-tests/harness"
)

var eosMinutes = flag.Float64("minutes", 0.5, "how long the exactly-once applications run while processes are killed")

func TestMain(m *testing.M) {
	// Groups mostly wait for heartbeats: more of them than there are processors may do so at a time, unless -parallel says otherwise.
	_ = flag.Set("test.parallel", "5")
	harness.Main(m)
}

// eachVersion runs a check with each version of the Java clients. Titles are rows of the table: they begin with the
// version and say what holds.
func eachVersion(t *testing.T, what string, check func(t *testing.T, j *harness.JavaClients)) {
	t.Helper()
	for _, v := range harness.JavaVersions {
		t.Run("Java client "+v+": "+what, func(t *testing.T) { check(t, harness.NewJavaClients(t, v)) })
	}
}

// topic creates a topic on the broker under test for the length of the test.
func topic(t *testing.T, partitions int32) string {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(harness.Bootstrap(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	adm := kadm.NewClient(cl)
	name := fmt.Sprintf("java-%x", rand.Uint64())
	if _, err := adm.CreateTopic(t.Context(), partitions, 1, nil, name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { adm.DeleteTopics(context.Background(), name) })
	return name
}
