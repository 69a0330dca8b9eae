package api

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"ottla/broker/config"
	"ottla/broker/metadata"
	"ottla/wire"
	"ottla/zkmeta"
)

// DeleteTopics, versions 0-6, served by the controller. v4: flexible. v5: messages, which stay null as Kafka's do on ZooKeeper. v6: by name or topic id (KIP-516).
//
// The answer waits until the topic is gone from the metadata cache and its name is free again, at most the request's timeout. (Kafka's
// does not wait for the second: there, creating the topic again right away fails.)
//
// Errors, per topic: NOT_CONTROLLER, TOPIC_DELETION_DISABLED (INVALID_REQUEST below v3), UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID,
// INVALID_REQUEST if name and id are both set, REQUEST_TIMED_OUT.
func deleteTopics(a *API, c *wire.Call, req *kmsg.DeleteTopicsRequest, resp *kmsg.DeleteTopicsResponse) error {
	asked := req.Topics
	if req.Version < 6 {
		asked = make([]kmsg.DeleteTopicsRequestTopic, len(req.TopicNames))
		for i := range req.TopicNames {
			asked[i].Topic = &req.TopicNames[i]
		}
	}
	resp.Topics = make([]kmsg.DeleteTopicsResponseTopic, len(asked))
	refused := a.deletionRefused(req.Version, asked)
	deleting := make([]string, len(asked))
	s := a.Cache.Load()
	var g errgroup.Group
	g.SetLimit(parallelWrites)
	for i := range asked {
		r := &resp.Topics[i]
		r.Topic, r.TopicID = asked[i].Topic, asked[i].TopicID
		if refused != nil {
			r.ErrorCode = a.code(refused)
			continue
		}
		name, err := topicToDelete(s, asked[i])
		if err != nil {
			r.ErrorCode = a.code(err)
			continue
		}
		r.Topic = &name
		g.Go(func() error {
			if r.ErrorCode = a.code(zkmeta.MarkTopicDeleted(c.Context(), a.Session(), name)); r.ErrorCode == 0 {
				deleting[i] = name
			}
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
	a.awaitDeletion(c.Context(), time.Duration(req.TimeoutMillis)*time.Millisecond, deleting, resp)
	return nil
}

// deletionRefused is the error that holds for every topic of the request.
func (a *API) deletionRefused(version int16, asked []kmsg.DeleteTopicsRequestTopic) error {
	if !a.Controller.IsActive() {
		return kerr.NotController
	}
	if !config.Get(a.Config.Snapshot(), config.DeleteTopicEnable) {
		if version < 3 {
			return fail(kerr.InvalidRequest, "Topic deletion is disabled.")
		}
		return fail(kerr.TopicDeletionDisabled, "Topic deletion is disabled.")
	}
	for _, t := range asked {
		if t.Topic != nil && t.TopicID != [16]byte{} {
			return fail(kerr.InvalidRequest, "Topic name and topic ID can not both be specified.")
		}
	}
	return nil
}

func topicToDelete(s *metadata.Snapshot, t kmsg.DeleteTopicsRequestTopic) (string, error) {
	if t.Topic != nil {
		if s.Topics[*t.Topic] == nil {
			return "", fail(kerr.UnknownTopicOrPartition, "This server does not host this topic-partition.")
		}
		return *t.Topic, nil
	}
	if found := s.IDs[t.TopicID]; found != nil {
		return found.Name, nil
	}
	return "", fail(kerr.UnknownTopicID, "This server does not host this topic ID.")
}

func (a *API) awaitDeletion(ctx context.Context, timeout time.Duration, deleting []string, resp *kmsg.DeleteTopicsResponse) {
	ctx, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	for i, name := range deleting {
		if name == "" {
			continue
		}
		_, err := a.Cache.Wait(ctx, func(s *metadata.Snapshot) bool { return s.Topics[name] == nil })
		if err == nil {
			err = a.awaitNoNode(ctx, zkmeta.Topic(name))
		}
		if err != nil || timeout <= 0 {
			resp.Topics[i].ErrorCode = kerr.RequestTimedOut.Code
		}
	}
}

// awaitNoNode waits until a znode is gone.
func (a *API) awaitNoNode(ctx context.Context, path string) error {
	for {
		changed := make(chan struct{})
		_, exists, err := a.Session().Exists(ctx, path, zkmeta.NewWatch(func(zkmeta.Event) { close(changed) }))
		if err != nil || !exists {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
