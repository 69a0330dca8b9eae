package behaviour

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/compat-tests/harness"
)

// TestDescribeTopicPartitions covers key 75, which Kafka serves with KRaft only: there is no golden answer.
func TestDescribeTopicPartitions(t *testing.T) {
	if kind, err := harness.KindFromEnv(); err != nil || kind != harness.Ottla {
		t.Skip("Kafka does not serve it on ZooKeeper", err)
	}
	r := startRun(t)
	var pages []string
	s := scenario{name: "pages", do: func(e *env) {
		first, second := e.topic("-a", 3), e.topic("-b", 2)
		req := kmsg.NewPtrDescribeTopicPartitionsRequest()
		req.ResponsePartitionLimit = 2
		for _, name := range []string{second, first, e.slug("-c-none"), first, "bad name"} {
			req.Topics = append(req.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: name})
		}
		for range 10 {
			resp := ask[*kmsg.DescribeTopicPartitionsResponse](e, 0, req)
			page := ""
			for _, topic := range resp.Topics {
				page += fmt.Sprintf("%s %d:", *topic.Topic, topic.ErrorCode)
				for _, p := range topic.Partitions {
					page += fmt.Sprintf(" %d", p.Partition)
					if p.EligibleLeaderReplicas == nil || p.LastKnownELR == nil {
						page += " null lists, which Java's admin client of 3.9 cannot take"
					}
				}
				page += "; "
			}
			pages = append(pages, page)
			if resp.NextCursor == nil {
				break
			}
			req.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: resp.NextCursor.Topic, Partition: resp.NextCursor.Partition}
		}
		req.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: first, Partition: -1}
		resp := ask[*kmsg.DescribeTopicPartitionsResponse](e, 0, req)
		pages = append(pages, fmt.Sprintf("negative: %d", resp.Topics[0].ErrorCode))
	}}
	if e := s.execute(r); e.err != nil {
		t.Fatal(e.err)
	}
	want := []string{"bad name 17:; pages-a 0: 0 1; ", "pages-a 0: 2; pages-b 0: 0; ", "pages-b 0: 1; pages-c-none 3:; ", "negative: 42"}
	if !slices.Equal(pages, want) {
		t.Fatalf("got %q\nwant %q", pages, want)
	}
}
