package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
)

// topicScope is a value of --topic: a topic, or some of its partitions.
type topicScope struct {
	topic      string
	partitions []int32 // none: all
}

// parseScope reads TOPIC or TOPIC:0,1,2, as kafka-consumer-groups.sh does.
func parseScope(text string) (topicScope, error) {
	topic, list, some := strings.Cut(text, ":")
	s := topicScope{topic: topic}
	if topic == "" {
		return s, fmt.Errorf("--topic: %q names no topic", text)
	}
	if !some {
		return s, nil
	}
	for item := range strings.SplitSeq(list, ",") {
		p, err := strconv.ParseInt(strings.TrimSpace(item), 10, 32)
		if err != nil || p < 0 {
			return s, fmt.Errorf("--topic: %q is no partition of %s", item, topic)
		}
		s.partitions = append(s.partitions, int32(p))
	}
	return s, nil
}

func parseScopes(texts []string) ([]topicScope, error) {
	var list []topicScope
	for _, text := range texts {
		s, err := parseScope(text)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// scopedPartitions lists the partitions of the scopes. One that does not exist is an error.
func scopedPartitions(ctx context.Context, admin *kadm.Client, scopes []topicScope) ([]topicPartition, error) {
	var list []topicPartition
	if len(scopes) == 0 {
		return nil, nil
	}
	names := make([]string, len(scopes))
	for i, s := range scopes {
		names[i] = s.topic
	}
	topics, err := admin.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return nil, err
	}
	for _, s := range scopes {
		t := topics[s.topic]
		if t.Err != nil {
			return nil, fmt.Errorf("topic %s: %w", s.topic, t.Err)
		}
		for _, p := range s.partitions {
			if _, ok := t.Partitions[p]; !ok {
				return nil, fmt.Errorf("topic %s has no partition %d", s.topic, p)
			}
			list = append(list, topicPartition{s.topic, p})
		}
		if len(s.partitions) == 0 {
			for _, p := range t.Partitions.Sorted() {
				list = append(list, topicPartition{s.topic, p.Partition})
			}
		}
	}
	slices.SortFunc(list, comparePartitions)
	return slices.Compact(list), nil
}
