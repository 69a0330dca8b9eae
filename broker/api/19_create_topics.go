package api

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"ottla/broker/metadata"
	"ottla/wire"
)

// CreateTopics, versions 0-7, served by the controller. v1: validate only, messages. v4: -1 for the broker's defaults (accepted
// before, too, as Kafka does). v5: flexible, counts and configs in the answer (KIP-525). v7: topic ids.
//
// The answer waits until each partition has a leader, at most the request's timeout.
//
// Errors, per topic: NOT_CONTROLLER, INVALID_REQUEST, REQUEST_TIMED_OUT, and those of plan.
func createTopics(a *API, c *wire.Call, req *kmsg.CreateTopicsRequest, resp *kmsg.CreateTopicsResponse) error {
	resp.Topics = make([]kmsg.CreateTopicsResponseTopic, len(req.Topics))
	planned := make([]*newTopic, len(req.Topics))
	names := make(map[string]int, len(req.Topics))
	for i := range req.Topics {
		names[req.Topics[i].Topic]++
	}
	var g errgroup.Group
	g.SetLimit(parallelWrites)
	for i := range req.Topics {
		rt, r := &req.Topics[i], &resp.Topics[i]
		r.Default()
		r.Topic, r.Configs = rt.Topic, []kmsg.CreateTopicsResponseTopicConfig{} // null stands for configs that must not be seen
		switch {
		case !a.Controller.IsActive():
			r.ErrorCode = kerr.NotController.Code
			continue
		case names[rt.Topic] > 1:
			r.ErrorCode, r.ErrorMessage = a.codeAndMessage(fail(kerr.InvalidRequest, "Found multiple entries for this topic."))
			continue
		case rt.Topic == clusterMetadataTopic:
			r.ErrorCode, r.ErrorMessage = a.codeAndMessage(fail(kerr.InvalidRequest, "Creation of internal topic __cluster_metadata is prohibited."))
			continue
		}
		g.Go(func() error {
			t, err := a.planRequested(c, rt)
			if err == nil && !req.ValidateOnly {
				err = a.create(c.Context(), t)
			}
			if r.ErrorCode, r.ErrorMessage = a.codeAndMessage(err); err == nil {
				planned[i] = t
				a.describeNewTopic(r, t, req)
			}
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
	if !req.ValidateOnly {
		a.awaitLeaders(c.Context(), time.Duration(req.TimeoutMillis)*time.Millisecond, len(planned),
			func(i int) (name string, partitions int) {
				if planned[i] == nil {
					return "", 0
				}
				return planned[i].name, len(planned[i].assignment)
			},
			func(i int) {
				r := &resp.Topics[i]
				r.Default()
				r.Topic, r.TopicID, r.Configs = planned[i].name, planned[i].id, []kmsg.CreateTopicsResponseTopicConfig{}
				r.ErrorCode = kerr.RequestTimedOut.Code
			})
	}
	return nil
}

// parallelWrites bounds how many topics of one request are written to the metadata store at once.
const parallelWrites = 64

func (a *API) planRequested(c *wire.Call, rt *kmsg.CreateTopicsRequestTopic) (*newTopic, error) {
	var given map[int32][]int32
	if len(rt.ReplicaAssignment) > 0 {
		given = make(map[int32][]int32, len(rt.ReplicaAssignment))
		for _, as := range rt.ReplicaAssignment {
			given[as.Partition] = as.Replicas
		}
	}
	configs := make(map[string]*string, len(rt.Configs))
	var nulls []string
	for _, kv := range rt.Configs {
		if configs[kv.Name] = kv.Value; kv.Value == nil {
			nulls = append(nulls, kv.Name)
		}
	}
	return a.plan(c.Context(), rt.Topic, int(rt.NumPartitions), int(rt.ReplicationFactor), given, configs, nulls)
}

func (a *API) describeNewTopic(r *kmsg.CreateTopicsResponseTopic, t *newTopic, req *kmsg.CreateTopicsRequest) {
	if !req.ValidateOnly {
		r.TopicID = t.id
	}
	r.NumPartitions, r.ReplicationFactor = int32(len(t.assignment)), int16(t.replicationFactor())
	if req.Version < 5 {
		return
	}
	for _, e := range a.topicEntries(t.configs) {
		r.Configs = append(r.Configs, kmsg.CreateTopicsResponseTopicConfig{
			Name: e.Name, Value: e.Value, ReadOnly: e.ReadOnly, Source: int8(e.Source), IsSensitive: e.Sensitive,
		})
	}
}

// awaitLeaders waits until every partition of n topics has a leader in the metadata cache. late is called for the topics that have
// not when the time is up; item returns "" for a topic that needs no wait.
func (a *API) awaitLeaders(ctx context.Context, timeout time.Duration, n int, item func(i int) (string, int), late func(i int)) {
	ctx, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	for i := range n {
		name, partitions := item(i)
		if name == "" {
			continue
		}
		if timeout <= 0 {
			late(i)
			continue
		}
		if _, err := a.Cache.Wait(ctx, func(s *metadata.Snapshot) bool { return hasLeaders(s, name, partitions) }); err != nil {
			late(i)
		}
	}
}

func hasLeaders(s *metadata.Snapshot, topic string, partitions int) bool {
	t := s.Topics[topic]
	if t == nil || len(t.Partitions) < partitions {
		return false
	}
	for i := range t.Partitions[:partitions] {
		if t.Partitions[i].Leader < 0 || t.Partitions[i].Replicas == nil {
			return false
		}
	}
	return true
}
