package controller

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
)

// A BrokerRack is a broker that replicas can be placed on. Rack is empty if it has none.
type BrokerRack struct {
	ID   int32
	Rack string
}

// Assign places the replicas of a new topic (org.apache.kafka.admin.AdminUtils.assignReplicasToBrokers).
// Leaders go round the brokers from a random one, the other replicas of a partition to the brokers after
// its leader, with a shift that grows each round, so that a failed broker's load spreads over all others.
// If every broker has a rack, a partition's replicas are on as many racks as possible. (If only some have
// one, Kafka refuses; here racks are then ignored.)
//
// rng is where the random start comes from; nil is the global source.
//
// Errors: INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR.
func Assign(brokers []BrokerRack, partitions, replicationFactor int, rng *rand.Rand) ([][]int32, error) {
	n := rand.IntN
	if rng != nil {
		n = rng.IntN
	}
	if err := checkPlacement(brokers, partitions, replicationFactor); err != nil {
		return nil, err
	}
	return place(brokers, partitions, replicationFactor, 0, n(len(brokers)), n(len(brokers))), nil
}

// AssignMore places the replicas of partitions added to a topic that has existing ones; first are the
// replicas of its partition 0, which give the replication factor and where to start
// (AdminZkClient.createNewPartitionsAssignment).
//
// Errors: INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR.
func AssignMore(brokers []BrokerRack, first []int32, existing, more int) ([][]int32, error) {
	if err := checkPlacement(brokers, more, len(first)); err != nil {
		return nil, err
	}
	brokers = sortedByID(brokers)
	start := slices.IndexFunc(brokers, func(b BrokerRack) bool { return b.ID >= first[0] })
	start = max(start, 0)
	return place(brokers, more, len(first), existing, start, start), nil
}

func checkPlacement(brokers []BrokerRack, partitions, replicationFactor int) error {
	switch {
	case partitions <= 0:
		return &wireError{kerr.InvalidPartitions, "Number of partitions must be larger than 0."}
	case replicationFactor <= 0:
		return &wireError{kerr.InvalidReplicationFactor, "Replication factor must be larger than 0."}
	case replicationFactor > len(brokers):
		return &wireError{kerr.InvalidReplicationFactor,
			fmt.Sprintf("Replication factor: %d larger than available brokers: %d.", replicationFactor, len(brokers))}
	}
	return nil
}

func sortedByID(brokers []BrokerRack) []BrokerRack {
	return slices.SortedFunc(slices.Values(brokers), func(a, b BrokerRack) int { return cmp.Compare(a.ID, b.ID) })
}

// place is the algorithm. firstID is the number of the first partition, start the index of the leader of
// partition 0, shift the distance from a leader to its first follower at partition 0, less one.
func place(brokers []BrokerRack, partitions, rf, firstID, start, shift int) [][]int32 {
	list, racks := alternateRacks(sortedByID(brokers))
	out := make([][]int32, partitions)
	for i := range out {
		id := firstID + i
		if id > 0 && id%len(list) == 0 {
			shift++
		}
		leader := (id + start) % len(list)
		replicas := make([]int32, 1, rf)
		replicas[0] = list[leader].ID
		seenRacks := map[string]bool{list[leader].Rack: true}
		for k := 0; len(replicas) < rf; k++ {
			// Each follower is one step further; racks is 1 when they do not matter.
			step := 1 + (shift*racks+k)%(len(list)-1)
			b := list[(leader+step)%len(list)]
			if racks > 1 && seenRacks[b.Rack] && len(seenRacks) < racks || slices.Contains(replicas, b.ID) {
				continue
			}
			replicas = append(replicas, b.ID)
			seenRacks[b.Rack] = true
		}
		out[i] = replicas
	}
	return out
}

// alternateRacks orders brokers so that neighbours are on different racks as long as there are brokers of
// different racks left: the first broker of each rack, in the racks' order, then the second of each, and so
// on. It also answers how many racks there are, 1 if not every broker has one.
func alternateRacks(brokers []BrokerRack) ([]BrokerRack, int) {
	byRack := map[string][]BrokerRack{}
	var names []string
	for _, b := range brokers {
		if b.Rack == "" {
			return brokers, 1
		}
		if byRack[b.Rack] == nil {
			names = append(names, b.Rack)
		}
		byRack[b.Rack] = append(byRack[b.Rack], b)
	}
	slices.Sort(names)
	out := make([]BrokerRack, 0, len(brokers))
	for i := 0; len(out) < len(brokers); i++ {
		for _, name := range names {
			if i < len(byRack[name]) {
				out = append(out, byRack[name][i])
			}
		}
	}
	return out, len(names)
}
