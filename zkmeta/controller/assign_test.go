package controller

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"pgregory.net/rapid"
)

func TestPlacementIsKafkas(t *testing.T) {
	plain := []BrokerRack{{ID: 0}, {ID: 1}, {ID: 2}, {ID: 3}, {ID: 4}}
	racked := []BrokerRack{{0, "rack1"}, {1, "rack3"}, {2, "rack3"}, {3, "rack2"}, {4, "rack2"}, {5, "rack1"}}
	for _, tt := range []struct {
		name              string
		brokers           []BrokerRack
		partitions, rf    int
		first, start, rot int
		want              [][]int32
	}{
		// The example in the comment of Kafka's AdminUtils: 5 brokers, 10 partitions, 3 replicas.
		{"no racks", plain, 10, 3, 0, 0, 0, [][]int32{
			{0, 1, 2}, {1, 2, 3}, {2, 3, 4}, {3, 4, 0}, {4, 0, 1}, {0, 2, 3}, {1, 3, 4}, {2, 4, 0}, {3, 0, 1}, {4, 1, 2}}},
		// And its rack-aware one: the order is 0, 3, 1, 5, 4, 2.
		{"racks", racked, 7, 3, 0, 0, 0, [][]int32{
			{0, 3, 1}, {3, 1, 5}, {1, 5, 4}, {5, 4, 2}, {4, 2, 0}, {2, 0, 3}, {0, 4, 2}}},
		{"growth goes on where the topic ended", plain, 2, 2, 4, 0, 0, [][]int32{{4, 0}, {0, 2}}},
		{"one broker", plain[:1], 2, 1, 0, 0, 0, [][]int32{{0}, {0}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := place(tt.brokers, tt.partitions, tt.rf, tt.first, tt.start, tt.rot)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestPlacementRefusesTooManyReplicas(t *testing.T) {
	if _, err := Assign([]BrokerRack{{ID: 1}}, 1, 2, nil); !errors.Is(err, kerr.InvalidReplicationFactor) {
		t.Error(err)
	}
	if _, err := Assign([]BrokerRack{{ID: 1}}, 1, 0, nil); !errors.Is(err, kerr.InvalidReplicationFactor) {
		t.Error(err)
	}
	if _, err := Assign([]BrokerRack{{ID: 1}}, 0, 1, nil); !errors.Is(err, kerr.InvalidPartitions) {
		t.Error(err)
	}
	if _, err := AssignMore(nil, nil, 1, 1); !errors.Is(err, kerr.InvalidReplicationFactor) {
		t.Error(err)
	}
}

func TestPlacementUsesEveryRackAndNoBrokerTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "brokers")
		racks := rapid.IntRange(1, 4).Draw(t, "racks")
		brokers := make([]BrokerRack, n)
		used := map[string]bool{}
		for i := range brokers {
			rack := string(rune('a' + rapid.IntRange(0, racks-1).Draw(t, "rack")))
			used[rack] = true
			brokers[i] = BrokerRack{int32(i * 3), rack}
		}
		rf := rapid.IntRange(1, n).Draw(t, "rf")
		got, err := Assign(brokers, rapid.IntRange(1, 40).Draw(t, "partitions"), rf, rand.New(rand.NewPCG(1, rapid.Uint64().Draw(t, "seed"))))
		if err != nil {
			t.Fatal(err)
		}
		for _, replicas := range got {
			if len(replicas) != rf || hasDuplicates(replicas) {
				t.Fatalf("replicas %v", replicas)
			}
			on := map[string]bool{}
			for _, id := range replicas {
				on[brokers[id/3].Rack] = true
			}
			if len(on) < min(rf, len(used)) {
				t.Fatalf("replicas %v are on %d of %d racks", replicas, len(on), len(used))
			}
		}
	})
}
