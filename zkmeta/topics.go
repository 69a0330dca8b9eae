package zkmeta

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// CreateTopic writes the two nodes that make a topic: its overrides, then its assignment. The controller
// finds the latter by its watch. Any broker may do this; topic name, assignment and configs were checked
// by the caller.
//
// Errors: TOPIC_ALREADY_EXISTS; INVALID_TOPIC_EXCEPTION if the name differs from an existing one only by
// dots and underscores.
func CreateTopic(ctx context.Context, s Session, topic string, assignment map[int32][]int32, configs map[string]string, topicID [16]byte) error {
	fail := func(err error) error { return fmt.Errorf("create topic %s: %w", topic, err) }
	if _, exists, err := s.Exists(ctx, Topic(topic), nil); err != nil {
		return fail(err)
	} else if exists {
		return fail(kerr.TopicAlreadyExists)
	}
	if strings.ContainsAny(topic, "._") {
		names, err := Topics(ctx, s)
		if err != nil {
			return fail(err)
		}
		if other, ok := collision(topic, names); ok {
			return fail(fmt.Errorf("%w: the name collides with existing topic %s", kerr.InvalidTopicException, other))
		}
	}
	err := updateConfig(ctx, s, ConfigTopics+"/"+topic, func(current map[string]string) error {
		clear(current) // what an earlier topic of this name, or a failed creation, has left
		maps.Copy(current, configs)
		return nil
	})
	if err != nil {
		return fail(err)
	}
	node := TopicAssignment{Partitions: assignment, TopicID: topicID}
	lost := false
	err = untilKnown(ctx, s, func() error {
		err := createOnce(ctx, s, Topic(topic), node.Encode())
		if errors.Is(err, ErrConnectionLoss) {
			lost = true
		}
		return err
	})
	if errors.Is(err, ErrNodeExists) {
		if lost && node.HasTopicID() {
			if existing, _, readErr := ReadTopic(ctx, s, topic); readErr == nil && existing.TopicID == topicID {
				return nil // it was us, before the connection broke
			}
		}
		return fail(kerr.TopicAlreadyExists)
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

// collision finds a topic whose metrics would have the same names (Topic.hasCollision).
func collision(topic string, names []string) (string, bool) {
	unified := strings.ReplaceAll(topic, ".", "_")
	for _, name := range names {
		if name != topic && strings.ReplaceAll(name, ".", "_") == unified {
			return name, true
		}
	}
	return "", false
}

// Topics lists all topics, also those that are being deleted.
func Topics(ctx context.Context, s Session) ([]string, error) {
	names, _, err := s.Children(ctx, BrokersTopics, nil)
	if errors.Is(err, ErrNoNode) {
		return nil, nil
	}
	slices.Sort(names)
	return names, err
}

// ReadTopic reads a topic's assignment.
//
// Errors: UNKNOWN_TOPIC_OR_PARTITION.
func ReadTopic(ctx context.Context, s Session, topic string) (TopicAssignment, Stat, error) {
	data, stat, err := s.Get(ctx, Topic(topic), nil)
	if errors.Is(err, ErrNoNode) {
		err = fmt.Errorf("%w: %w", kerr.UnknownTopicOrPartition, err)
	}
	if err != nil {
		return TopicAssignment{}, Stat{}, fmt.Errorf("read topic %s: %w", topic, err)
	}
	a, err := DecodeTopicAssignment(data)
	if err != nil {
		err = fmt.Errorf("read topic %s: %w", topic, err)
	}
	return a, stat, err
}

// AddPartitions adds partitions to a topic. The controller finds them by its watch.
//
// Errors: UNKNOWN_TOPIC_OR_PARTITION; INVALID_PARTITIONS if one of them exists; REASSIGNMENT_IN_PROGRESS.
func AddPartitions(ctx context.Context, s Session, topic string, add map[int32][]int32) error {
	for lost := false; ; {
		a, stat, err := ReadTopic(ctx, s, topic)
		if err != nil {
			return fmt.Errorf("add partitions: %w", err)
		}
		if lost && containsAll(a.Partitions, add) {
			return nil // the write whose answer got lost
		}
		if len(nonEmpty(a.Adding)) > 0 || len(nonEmpty(a.Removing)) > 0 {
			return fmt.Errorf("add partitions to %s: %w", topic, kerr.ReassignmentInProgress)
		}
		for p, replicas := range add {
			if _, exists := a.Partitions[p]; exists {
				return fmt.Errorf("add partitions to %s: %w: partition %d exists", topic, kerr.InvalidPartitions, p)
			}
			a.Partitions[p] = replicas
		}
		_, err = s.Set(ctx, Topic(topic), a.Encode(), stat.Version)
		switch {
		case err == nil:
			return nil
		case mayRetry(ctx, err):
			lost = true
			if err := pause(ctx, s, lossPause); err != nil {
				return fmt.Errorf("add partitions to %s: %w", topic, err)
			}
		case errors.Is(err, ErrBadVersion):
		default:
			return fmt.Errorf("add partitions to %s: %w", topic, err)
		}
	}
}

func containsAll(have, want map[int32][]int32) bool {
	for p, replicas := range want {
		if !slices.Equal(have[p], replicas) {
			return false
		}
	}
	return true
}

// MarkTopicDeleted asks the controller to delete a topic. A second mark changes nothing.
//
// Errors: UNKNOWN_TOPIC_OR_PARTITION.
func MarkTopicDeleted(ctx context.Context, s Session, topic string) error {
	_, exists, err := s.Exists(ctx, Topic(topic), nil)
	if err == nil && !exists {
		err = kerr.UnknownTopicOrPartition
	}
	if err == nil {
		err = ensure(ctx, s, DeleteTopic(topic))
	}
	if err != nil {
		return fmt.Errorf("delete topic %s: %w", topic, err)
	}
	return nil
}

// ReadConsumerOffset reads an offset that a client stored with OffsetCommit version 0; false if there is no node or
// one with null data. Data that is no number, and none at all, is an error.
func ReadConsumerOffset(ctx context.Context, s Session, group, topic string, partition int32) (int64, bool, error) {
	data, _, err := s.Get(ctx, ConsumerOffset(group, topic, partition), nil)
	if errors.Is(err, ErrNoNode) || err == nil && data == nil {
		return 0, false, nil
	}
	var offset int64
	if err == nil {
		offset, err = DecodeConsumerOffset(data)
	}
	if err != nil {
		return 0, false, fmt.Errorf("offset of group %s for %s-%d: %w", group, topic, partition, err)
	}
	return offset, true, nil
}

// WriteConsumerOffset stores an offset of OffsetCommit version 0.
func WriteConsumerOffset(ctx context.Context, s Session, group, topic string, partition int32, offset int64) error {
	path, data := ConsumerOffset(group, topic, partition), EncodeConsumerOffset(offset)
	err := untilKnown(ctx, s, func() error {
		for {
			_, err := s.Set(ctx, path, data, AnyVersion)
			if !errors.Is(err, ErrNoNode) {
				return err
			}
			if err := CreateRecursive(ctx, s, path, data); !errors.Is(err, ErrNodeExists) {
				return err
			}
		}
	})
	if err != nil {
		return fmt.Errorf("offset of group %s for %s-%d: %w", group, topic, partition, err)
	}
	return nil
}
