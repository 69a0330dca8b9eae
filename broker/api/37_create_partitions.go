package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
	"ottla/zkmeta"
	"ottla/zkmeta/controller"
)

// CreatePartitions, versions 0-3, served by the controller (KIP-195). v2: flexible. v3: as v2.
//
// The answer waits until each new partition has a leader, at most the request's timeout.
//
// Errors, per topic: NOT_CONTROLLER, UNKNOWN_TOPIC_OR_PARTITION, INVALID_PARTITIONS, INVALID_REPLICA_ASSIGNMENT,
// REASSIGNMENT_IN_PROGRESS, INVALID_REQUEST, REQUEST_TIMED_OUT.
func createPartitions(a *API, c *wire.Call, req *kmsg.CreatePartitionsRequest, resp *kmsg.CreatePartitionsResponse) error {
	names := make(map[string]int, len(req.Topics))
	for i := range req.Topics {
		names[req.Topics[i].Topic]++
	}
	// A topic named twice is answered once.
	answered := make(map[string]bool, len(req.Topics))
	req.Topics = slices.DeleteFunc(req.Topics, func(t kmsg.CreatePartitionsRequestTopic) bool {
		again := answered[t.Topic]
		answered[t.Topic] = true
		return again
	})
	resp.Topics = make([]kmsg.CreatePartitionsResponseTopic, len(req.Topics))
	grown := make([]bool, len(req.Topics))
	for i := range req.Topics {
		rt := &req.Topics[i]
		var err error
		switch {
		case !a.Controller.IsActive():
			err = kerr.NotController
		case names[rt.Topic] > 1:
			err = fail(kerr.InvalidRequest, "Duplicate topic in request.")
		case a.Controller.IsDeleting(rt.Topic):
			err = fail(kerr.InvalidTopicException, "The topic is queued for deletion.")
		default:
			err = a.grow(c.Context(), rt, req.ValidateOnly)
		}
		resp.Topics[i].Topic = rt.Topic
		resp.Topics[i].ErrorCode, resp.Topics[i].ErrorMessage = a.codeAndMessage(err)
		grown[i] = err == nil
	}
	if !req.ValidateOnly {
		a.awaitLeaders(c.Context(), time.Duration(req.TimeoutMillis)*time.Millisecond, len(grown),
			func(i int) (string, int) {
				if !grown[i] {
					return "", 0
				}
				return req.Topics[i].Topic, int(req.Topics[i].Count)
			},
			func(i int) {
				resp.Topics[i].ErrorCode = kerr.RequestTimedOut.Code
			})
	}
	return nil
}

// grow adds partitions to a topic. What exists is never moved.
func (a *API) grow(ctx context.Context, rt *kmsg.CreatePartitionsRequestTopic, validateOnly bool) error {
	current, _, err := zkmeta.ReadTopic(ctx, a.Session(), rt.Topic)
	if errors.Is(err, zkmeta.ErrNoNode) {
		return fail(kerr.UnknownTopicOrPartition, "The topic '"+rt.Topic+"' does not exist.")
	} else if err != nil {
		return err
	}
	if len(current.Adding) > 0 || len(current.Removing) > 0 {
		return fail(kerr.ReassignmentInProgress, "A partition reassignment is in progress for the topic '"+rt.Topic+"'.")
	}
	have, want := len(current.Partitions), int(rt.Count)
	switch {
	case want < have:
		return fail(kerr.InvalidPartitions, fmt.Sprintf("Topic currently has %d partitions, which is higher than the requested %d.", have, want))
	case want == have:
		return fail(kerr.InvalidPartitions, fmt.Sprintf("Topic already has %d partitions.", have))
	case want > maxPartitions:
		return fail(kerr.InvalidPartitions, fmt.Sprintf("Number of partitions must be at most %d.", maxPartitions))
	}
	s := a.Cache.Load()
	var added map[int32][]int32
	if rt.Assignment != nil {
		if added, err = givenPartitions(rt, current.Partitions, brokerRacks(s)); err != nil {
			return err
		}
	} else {
		more, err := controller.AssignMore(brokerRacks(s), current.Partitions[0], have, want-have)
		if err != nil {
			return err
		}
		added = numbered(more, have)
	}
	if validateOnly {
		return nil
	}
	return zkmeta.AddPartitions(ctx, a.Session(), rt.Topic, added)
}

// givenPartitions takes the assignment of the new partitions from the request.
func givenPartitions(rt *kmsg.CreatePartitionsRequestTopic, have map[int32][]int32, brokers []controller.BrokerRack) (map[int32][]int32, error) {
	if n := int(rt.Count) - len(have); len(rt.Assignment) != n {
		return nil, fail(kerr.InvalidReplicaAssignment, fmt.Sprintf("Increasing the number of partitions by %d but %d assignments provided.", n, len(rt.Assignment)))
	}
	factor := len(have[0])
	added := make(map[int32][]int32, len(rt.Assignment))
	var unknown []int32
	for i, as := range rt.Assignment {
		if len(as.Replicas) == 0 {
			return nil, fail(kerr.InvalidReplicaAssignment, "Cannot have replication factor of 0 for partition id "+itoa(len(have)+i)+".")
		}
		if ids := slices.Sorted(slices.Values(as.Replicas)); len(slices.Compact(ids)) != len(as.Replicas) {
			return nil, fail(kerr.InvalidReplicaAssignment, "Duplicate brokers not allowed in replica assignment: "+joinInts(as.Replicas, ", ")+" for partition id "+itoa(len(have)+i)+".")
		}
		for _, id := range as.Replicas {
			if !slices.ContainsFunc(brokers, func(b controller.BrokerRack) bool { return b.ID == id }) {
				unknown = append(unknown, id)
			}
		}
		added[int32(len(have)+i)] = as.Replicas
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return nil, fail(kerr.InvalidReplicaAssignment, "Unknown broker(s) in replica assignment: "+joinInts(slices.Compact(unknown), ", ")+".")
	}
	for i, as := range rt.Assignment {
		if len(as.Replicas) != factor {
			return nil, fail(kerr.InvalidReplicaAssignment, fmt.Sprintf("Inconsistent replication factor between partitions, partition 0 has %d while partitions [%d] have replication factors [%d], respectively.", factor, len(have)+i, len(as.Replicas)))
		}
	}
	return added, nil
}
