package behaviour

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func metadataRequest(create bool, topics ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = create
	req.Topics = []kmsg.MetadataRequestTopic{}
	for i := range topics {
		req.Topics = append(req.Topics, kmsg.MetadataRequestTopic{Topic: &topics[i]})
	}
	return req
}

// metadata records an answer with the topics of this scenario only, by name, and the partitions by number.
func (e *env) metadata(label string, version int16, req *kmsg.MetadataRequest, all bool) {
	resp, err := e.exchange(e.conn(), version, req, answerLimit)
	if err == nil {
		r := resp.(*kmsg.MetadataResponse)
		if all {
			r.Topics = slices.DeleteFunc(r.Topics, func(t kmsg.MetadataResponseTopic) bool {
				return t.Topic != nil && !strings.HasPrefix(*t.Topic, e.slug("")) && *t.Topic != "__consumer_offsets"
			})
		}
		name := func(t kmsg.MetadataResponseTopic) string {
			if t.Topic == nil {
				return ""
			}
			return *t.Topic
		}
		slices.SortStableFunc(r.Topics, func(x, y kmsg.MetadataResponseTopic) int { return strings.Compare(name(x), name(y)) })
		for _, t := range r.Topics {
			slices.SortFunc(t.Partitions, func(x, y kmsg.MetadataResponseTopicPartition) int { return int(x.Partition - y.Partition) })
		}
	} else {
		e.main = nil
	}
	e.recordAnswer(label, resp, err)
}

func metadataCases() []scenario {
	var cases []scenario
	for v := range int16(13) {
		cases = append(cases, scenario{name: fmt.Sprintf("metadata/v%d", v), do: func(e *env) {
			topic := e.topic("", 2)
			id := e.topicID(topic)
			e.metadata("by name", v, metadataRequest(false, topic), false)
			e.metadata("by name, twice", v, metadataRequest(false, topic, topic), false)
			e.metadata("no topics", v, metadataRequest(false), true)
			all := metadataRequest(false)
			all.Topics = nil
			e.metadata("all", v, all, true)
			req := metadataRequest(false, topic, "__consumer_offsets")
			req.IncludeClusterAuthorizedOperations, req.IncludeTopicAuthorizedOperations = true, true
			e.metadata("operations", v, req, false)
			e.metadata("unknown, not created", v, metadataRequest(false, e.slug("-none")), false)
			e.metadata("invalid", v, metadataRequest(false, "bad name", "", ".", strings.Repeat("y", 250)), false)
			e.metadata("invalid, created", v, metadataRequest(true, "bad name", "", "..", strings.Repeat("y", 250)), false)
			for _, tt := range []struct {
				name  string
				topic *string
				id    [16]byte
			}{
				{"by id", nil, id}, {"by unknown id", nil, [16]byte{7}}, {"null name, zero id", nil, [16]byte{}},
				{"name and id", &topic, id}, {"name and unknown id", &topic, [16]byte{7}},
			} {
				req := metadataRequest(false)
				req.Topics = []kmsg.MetadataRequestTopic{{Topic: tt.topic, TopicID: tt.id}}
				e.metadata(tt.name, v, req, false)
			}
			mixed := metadataRequest(false, topic, e.slug("-none2"))
			mixed.Topics = append(mixed.Topics, kmsg.MetadataRequestTopic{TopicID: id})
			e.metadata("name, unknown name and id", v, mixed, false)
		}}, scenario{name: fmt.Sprintf("metadata/created, v%d", v), do: func(e *env) {
			topic := e.slug("-auto")
			e.metadata("first", v, metadataRequest(true, topic), false)
			e.awaitTopic(topic)
			e.metadata("then", v, metadataRequest(true, topic), false)
			e.create("another", 7, false, 10000, []string{}, newTopic(e.slug("_x"), 1, 1))
			e.metadata("collides", v, metadataRequest(true, e.slug(".x")), false)
		}})
	}
	return cases
}

// awaitTopic asks until the topic has leaders.
func (e *env) awaitTopic(topic string) {
	for range 200 {
		t := ask[*kmsg.MetadataResponse](e, 7, metadataRequest(false, topic)).Topics[0]
		if t.ErrorCode == 0 && len(t.Partitions) > 0 && !slices.ContainsFunc(t.Partitions, func(p kmsg.MetadataResponseTopicPartition) bool { return p.ErrorCode != 0 }) {
			return
		}
		e.pause()
	}
	e.fail(fmt.Errorf("topic %s has no leaders", topic))
}
