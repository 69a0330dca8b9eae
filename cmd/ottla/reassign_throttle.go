package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
)

const (
	leaderThrottled   = "leader.replication.throttled.replicas"
	followerThrottled = "follower.replication.throttled.replicas"
	leaderRate        = "leader.replication.throttled.rate"
	followerRate      = "follower.replication.throttled.rate"
)

// move is one partition on its way: copied from sources to destinations.
type move struct{ sources, destinations []int32 }

// moves are the plan's copies, and those in progress. What is in progress goes on from the replicas that it began with.
func moves(p *plan, now map[topicPartition]kadm.PartitionDetail, running map[topicPartition]reassigning) map[topicPartition]move {
	all := map[topicPartition]move{}
	for tp, r := range running {
		all[tp] = move{sources: without(r.replicas, r.adding), destinations: r.adding}
	}
	for _, a := range p.Partitions {
		sources := now[a.of()].Replicas
		if r, ok := running[a.of()]; ok {
			sources = without(r.replicas, r.adding)
		}
		all[a.of()] = move{sources: sources, destinations: without(a.Replicas, sources)}
	}
	return all
}

func without(ids, others []int32) []int32 {
	return slices.DeleteFunc(slices.Clone(ids), func(id int32) bool { return slices.Contains(others, id) })
}

// throttle limits the copies to bytesPerSec for each broker, in both directions (ReassignPartitionsCommand): the replicas that are read
// and written are listed in their topics' configs, the rate in the brokers'.
func throttle(ctx context.Context, admin *kadm.Client, all map[topicPartition]move, bytesPerSec int64) error {
	leaders, followers, brokers := map[string][]string{}, map[string][]string{}, map[int32]bool{}
	sorted := slices.SortedFunc(maps.Keys(all), func(a, b topicPartition) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	})
	for _, tp := range sorted {
		m := all[tp]
		for _, id := range m.sources {
			leaders[tp.topic] = append(leaders[tp.topic], fmt.Sprintf("%d:%d", tp.partition, id))
			brokers[id] = true
		}
		for _, id := range m.destinations {
			followers[tp.topic] = append(followers[tp.topic], fmt.Sprintf("%d:%d", tp.partition, id))
			brokers[id] = true
		}
	}
	for topic := range leaders {
		var configs []kadm.AlterConfig
		for name, list := range map[string][]string{leaderThrottled: leaders[topic], followerThrottled: followers[topic]} {
			if len(list) > 0 {
				configs = append(configs, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: new(strings.Join(list, ","))})
			}
		}
		if err := altered(admin.AlterTopicConfigs(ctx, configs, topic)); err != nil {
			return err
		}
	}
	return setRate(ctx, admin, slices.Sorted(maps.Keys(brokers)), bytesPerSec)
}

func setRate(ctx context.Context, admin *kadm.Client, brokers []int32, bytesPerSec int64) error {
	value := strconv.FormatInt(bytesPerSec, 10)
	return altered(admin.AlterBrokerConfigs(ctx, []kadm.AlterConfig{
		{Op: kadm.SetConfig, Name: leaderRate, Value: &value}, {Op: kadm.SetConfig, Name: followerRate, Value: &value},
	}, brokers...))
}

// unthrottle takes the rates from every broker and the lists of replicas from the topics.
func unthrottle(ctx context.Context, admin *kadm.Client, topics []string) error {
	brokers, err := admin.ListBrokers(ctx)
	if err != nil {
		return err
	}
	return errors.Join(
		altered(admin.AlterBrokerConfigs(ctx, []kadm.AlterConfig{{Op: kadm.DeleteConfig, Name: leaderRate}, {Op: kadm.DeleteConfig, Name: followerRate}}, brokers.NodeIDs()...)),
		altered(admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.DeleteConfig, Name: leaderThrottled}, {Op: kadm.DeleteConfig, Name: followerThrottled}}, topics...)),
	)
}

func altered(rs kadm.AlterConfigsResponses, err error) error {
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range rs {
		if r.Err != nil {
			errs = append(errs, fmt.Errorf("configs of %s: %w", r.Name, withMessage(r.Err, r.ErrMessage)))
		}
	}
	return errors.Join(errs...)
}
