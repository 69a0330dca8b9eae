package behaviour

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// newTopic is a topic of a CreateTopics request; configs are name, value, ...; "null" is the null value.
func newTopic(name string, partitions int32, factor int16, configs ...string) kmsg.CreateTopicsRequestTopic {
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, partitions, factor
	for i := 0; i+1 < len(configs); i += 2 {
		c := kmsg.CreateTopicsRequestTopicConfig{Name: configs[i], Value: &configs[i+1]}
		if configs[i+1] == "null" {
			c.Value = nil
		}
		rt.Configs = append(rt.Configs, c)
	}
	return rt
}

// assigned gives a topic replicas by partition, in place of counts.
func assigned(name string, replicas map[int32][]int32) kmsg.CreateTopicsRequestTopic {
	rt := newTopic(name, -1, -1)
	for p := range int32(20) {
		if r, ok := replicas[p]; ok {
			rt.ReplicaAssignment = append(rt.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: p, Replicas: r})
		}
	}
	return rt
}

// create records a CreateTopics answer. Configs are left out but for those named.
func (e *env) create(label string, version int16, validate bool, timeoutMs int32, configs []string, topics ...kmsg.CreateTopicsRequestTopic) {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics, req.TimeoutMillis, req.ValidateOnly = topics, timeoutMs, validate
	resp, err := e.exchange(e.conn(), version, req, answerLimit)
	if err == nil {
		r := resp.(*kmsg.CreateTopicsResponse)
		slices.SortStableFunc(r.Topics, func(x, y kmsg.CreateTopicsResponseTopic) int { return cmp.Compare(x.Topic, y.Topic) })
		for i := range r.Topics {
			if configs != nil {
				r.Topics[i].Configs = slices.DeleteFunc(r.Topics[i].Configs, func(c kmsg.CreateTopicsResponseTopicConfig) bool { return !slices.Contains(configs, c.Name) })
			}
			slices.SortFunc(r.Topics[i].Configs, func(x, y kmsg.CreateTopicsResponseTopicConfig) int { return cmp.Compare(x.Name, y.Name) })
		}
	} else {
		e.main = nil
	}
	e.recordAnswer(label, resp, err)
}

func topicCases() []scenario {
	some := []string{"retention.ms", "cleanup.policy"}
	var cases []scenario
	for v := range int16(8) {
		cases = append(cases, scenario{name: fmt.Sprintf("create topics/v%d", v), do: func(e *env) {
			name := e.slug("")
			e.create("validate only", v, true, 10000, some, newTopic(name, 3, 1, "retention.ms", "1000"))
			e.create("create", v, false, 10000, some, newTopic(name, 3, 1, "retention.ms", "1000"))
			e.create("again", v, false, 10000, some, newTopic(name, 3, 1))
			e.create("again, validate only", v, true, 10000, some, newTopic(name, 3, 1))
			e.create("defaults", v, false, 10000, some, newTopic(name+"-defaults", -1, -1))
			e.create("no time", v, false, 0, some, newTopic(name+"-zero", 1, 1))
			e.create("negative time", v, false, -1, some, newTopic(name+"-negative", 1, 1))
			e.create("no time, an error", v, false, 0, some, newTopic(name, 1, 1))
			e.create("assignment", v, false, 10000, some, assigned(name+"-assigned", map[int32][]int32{0: {1}, 1: {1}}))
			e.create("no topics", v, false, 10000, some)
			e.create("one good, one bad, one twice", v, false, 10000, some,
				newTopic(name+"-good", 1, 1), newTopic("bad name", 1, 1), newTopic(name+"-twice", 1, 1), newTopic(name+"-twice", 2, 1))
			e.metadata("metadata", 9, metadataRequest(false, name, name+"-defaults", name+"-assigned", name+"-good", name+"-twice"), false)
		}})
	}
	for _, tt := range []struct {
		name  string
		topic func(name string) kmsg.CreateTopicsRequestTopic
	}{
		{"factor too large", func(n string) kmsg.CreateTopicsRequestTopic { return newTopic(n, 1, 3) }},
		{"factor 0", func(n string) kmsg.CreateTopicsRequestTopic { return newTopic(n, 1, 0) }},
		{"factor -2", func(n string) kmsg.CreateTopicsRequestTopic { return newTopic(n, 1, -2) }},
		{"no partitions", func(n string) kmsg.CreateTopicsRequestTopic { return newTopic(n, 0, 1) }},
		{"partitions -2", func(n string) kmsg.CreateTopicsRequestTopic { return newTopic(n, -2, 1) }},
		{"no partitions, factor 0", func(n string) kmsg.CreateTopicsRequestTopic { return newTopic(n, 0, 0) }},
		{"space in the name", func(string) kmsg.CreateTopicsRequestTopic { return newTopic("bad name", 1, 1) }},
		{"umlaut in the name", func(string) kmsg.CreateTopicsRequestTopic { return newTopic("ä", 1, 1) }},
		{"slash in the name", func(string) kmsg.CreateTopicsRequestTopic { return newTopic("a/b", 1, 1) }},
		{"empty name", func(string) kmsg.CreateTopicsRequestTopic { return newTopic("", 1, 1) }},
		{"dot", func(string) kmsg.CreateTopicsRequestTopic { return newTopic(".", 1, 1) }},
		{"two dots", func(string) kmsg.CreateTopicsRequestTopic { return newTopic("..", 1, 1) }},
		{"long name", func(string) kmsg.CreateTopicsRequestTopic { return newTopic(strings.Repeat("x", 250), 1, 1) }},
		{"collision", func(string) kmsg.CreateTopicsRequestTopic { return newTopic("__consumer.offsets", 1, 1) }},
		{"bad name and factor", func(string) kmsg.CreateTopicsRequestTopic { return newTopic("bad name", 1, 3) }},
		{"bad name and config", func(string) kmsg.CreateTopicsRequestTopic { return newTopic("bad name", 1, 1, "x", "y") }},
		{"internal", func(string) kmsg.CreateTopicsRequestTopic { return newTopic("__consumer_offsets", 1, 1) }},
		{"cluster metadata", func(string) kmsg.CreateTopicsRequestTopic { return newTopic("__cluster_metadata", 1, 1) }},
		{"unknown config", func(n string) kmsg.CreateTopicsRequestTopic { return newTopic(n, 1, 1, "no.such.config", "1") }},
		{"two unknown configs", func(n string) kmsg.CreateTopicsRequestTopic {
			return newTopic(n, 1, 1, "b.no.such", "1", "a.no.such", "1")
		}},
		{"no number", func(n string) kmsg.CreateTopicsRequestTopic { return newTopic(n, 1, 1, "retention.ms", "abc") }},
		{"number below", func(n string) kmsg.CreateTopicsRequestTopic { return newTopic(n, 1, 1, "segment.bytes", "1") }},
		{"number above", func(n string) kmsg.CreateTopicsRequestTopic {
			return newTopic(n, 1, 1, "min.cleanable.dirty.ratio", "1.5")
		}},
		{"number too long", func(n string) kmsg.CreateTopicsRequestTopic { return newTopic(n, 1, 1, "segment.bytes", "99999999999") }},
		{"number with spaces", func(n string) kmsg.CreateTopicsRequestTopic { return newTopic(n, 1, 1, "retention.ms", " 5 ") }},
		{"no boolean", func(n string) kmsg.CreateTopicsRequestTopic { return newTopic(n, 1, 1, "preallocate", "maybe") }},
		{"boolean in capitals", func(n string) kmsg.CreateTopicsRequestTopic { return newTopic(n, 1, 1, "preallocate", "TRUE") }},
		{"no policy", func(n string) kmsg.CreateTopicsRequestTopic { return newTopic(n, 1, 1, "cleanup.policy", "foo") }},
		{"two policies, one unknown", func(n string) kmsg.CreateTopicsRequestTopic {
			return newTopic(n, 1, 1, "cleanup.policy", "compact,foo")
		}},
		{"empty policy", func(n string) kmsg.CreateTopicsRequestTopic { return newTopic(n, 1, 1, "cleanup.policy", "") }},
		{"no compression", func(n string) kmsg.CreateTopicsRequestTopic { return newTopic(n, 1, 1, "compression.type", "brotli") }},
		{"no timestamp type", func(n string) kmsg.CreateTopicsRequestTopic { return newTopic(n, 1, 1, "message.timestamp.type", "x") }},
		{"gzip level", func(n string) kmsg.CreateTopicsRequestTopic { return newTopic(n, 1, 1, "compression.gzip.level", "20") }},
		{"throttled replicas", func(n string) kmsg.CreateTopicsRequestTopic {
			return newTopic(n, 1, 1, "leader.replication.throttled.replicas", "x")
		}},
		{"throttled replicas, all", func(n string) kmsg.CreateTopicsRequestTopic {
			return newTopic(n, 1, 1, "leader.replication.throttled.replicas", "*", "follower.replication.throttled.replicas", "0:1,1:1")
		}},
		{"message format", func(n string) kmsg.CreateTopicsRequestTopic {
			return newTopic(n, 1, 1, "message.format.version", "0.10.0")
		}},
		{"no message format", func(n string) kmsg.CreateTopicsRequestTopic {
			return newTopic(n, 1, 1, "message.format.version", "9.9")
		}},
		{"remote storage", func(n string) kmsg.CreateTopicsRequestTopic {
			return newTopic(n, 1, 1, "remote.storage.enable", "true")
		}},
		{"max compaction lag below min", func(n string) kmsg.CreateTopicsRequestTopic {
			return newTopic(n, 1, 1, "min.compaction.lag.ms", "10", "max.compaction.lag.ms", "5")
		}},
		{"local retention above retention", func(n string) kmsg.CreateTopicsRequestTopic {
			return newTopic(n, 1, 1, "retention.ms", "5", "local.retention.ms", "10")
		}},
		{"null config", func(n string) kmsg.CreateTopicsRequestTopic {
			return newTopic(n, 1, 1, "retention.ms", "null", "cleanup.policy", "null")
		}},
		{"config twice", func(n string) kmsg.CreateTopicsRequestTopic {
			return newTopic(n, 1, 1, "retention.ms", "1", "retention.ms", "2")
		}},
		{"assignment and counts", func(n string) kmsg.CreateTopicsRequestTopic {
			t := assigned(n, map[int32][]int32{0: {1}})
			t.NumPartitions = 1
			return t
		}},
		{"assignment and factor", func(n string) kmsg.CreateTopicsRequestTopic {
			t := assigned(n, map[int32][]int32{0: {1}})
			t.ReplicationFactor = 1
			return t
		}},
		{"assignment with a duplicate", func(n string) kmsg.CreateTopicsRequestTopic { return assigned(n, map[int32][]int32{0: {1, 1}}) }},
		{"assignment uneven", func(n string) kmsg.CreateTopicsRequestTopic {
			return assigned(n, map[int32][]int32{0: {1, 2}, 1: {1}})
		}},
		{"assignment with a gap", func(n string) kmsg.CreateTopicsRequestTopic {
			return assigned(n, map[int32][]int32{0: {1}, 2: {1}})
		}},
		{"assignment not from 0", func(n string) kmsg.CreateTopicsRequestTopic { return assigned(n, map[int32][]int32{1: {1}}) }},
		{"assignment without replicas", func(n string) kmsg.CreateTopicsRequestTopic { return assigned(n, map[int32][]int32{0: {}}) }},
		{"assignment to a negative broker", func(n string) kmsg.CreateTopicsRequestTopic {
			return assigned(n, map[int32][]int32{0: {-5}})
		}},
	} {
		cases = append(cases, scenario{name: "create topics/" + tt.name, do: func(e *env) {
			e.create("validate only", 7, true, 5000, []string{}, tt.topic(e.slug("")))
			e.create("create", 7, false, 5000, []string{}, tt.topic(e.slug("")))
		}})
	}
	cases = append(cases, scenario{name: "create topics/all configs", do: func(e *env) {
		e.create("create", 7, false, 10000, nil, newTopic(e.slug(""), 1, 1, "retention.ms", "1000", "cleanup.policy", "compact,delete"))
	}}, scenario{name: "create topics/unknown broker in assignment", do: func(e *env) {
		e.create("validate only", 7, true, 500, []string{}, assigned(e.slug(""), map[int32][]int32{0: {99}}))
	}})
	for v := range int16(7) {
		cases = append(cases, deleteTopicsCase(v))
	}
	return cases
}

func deleteTopicsCase(v int16) scenario {
	return scenario{name: fmt.Sprintf("delete topics/v%d", v), do: func(e *env) {
		remove := func(label string, timeoutMs int32, topics ...kmsg.DeleteTopicsRequestTopic) {
			req := kmsg.NewPtrDeleteTopicsRequest()
			req.Topics, req.TimeoutMillis = topics, timeoutMs
			for _, t := range topics {
				if t.Topic != nil {
					req.TopicNames = append(req.TopicNames, *t.Topic)
				}
			}
			resp, err := e.exchange(e.conn(), v, req, answerLimit)
			if err == nil {
				name := func(t kmsg.DeleteTopicsResponseTopic) string {
					if t.Topic == nil {
						return ""
					}
					return *t.Topic
				}
				r := resp.(*kmsg.DeleteTopicsResponse)
				slices.SortStableFunc(r.Topics, func(x, y kmsg.DeleteTopicsResponseTopic) int { return cmp.Compare(name(x), name(y)) })
			} else {
				e.main = nil
			}
			e.recordAnswer(label, resp, err)
		}
		named := func(name string) kmsg.DeleteTopicsRequestTopic { return kmsg.DeleteTopicsRequestTopic{Topic: &name} }
		first, second, third := e.topic("-1", 1), e.topic("-2", 1), e.topic("-3", 1)
		remove("one", 10000, named(first))
		e.metadata("metadata", 9, metadataRequest(false, first, second), false)
		remove("unknown", 10000, named(e.slug("-none")))
		remove("one good, one unknown", 10000, named(second), named(e.slug("-none")))
		remove("no topics", 10000)
		remove("invalid name", 10000, named("bad name"))
		if v >= 6 {
			id := e.topicID(third)
			both := named(third)
			both.TopicID = id
			remove("name and id", 10000, both, named(e.slug("-none")))
			remove("unknown id", 10000, kmsg.DeleteTopicsRequestTopic{TopicID: [16]byte{5}})
			remove("zero id", 10000, kmsg.DeleteTopicsRequestTopic{})
			remove("by id", 10000, kmsg.DeleteTopicsRequestTopic{TopicID: id})
		} else {
			remove("twice in a request", 10000, named(third), named(third))
		}
		remove("no time", 0, named(e.topic("-4", 1)))
		remove("no time, unknown", 0, named(e.slug("-none")))
	}}
}

// partitionCases are CreatePartitions.
func partitionCases() []scenario {
	var cases []scenario
	for v := range int16(4) {
		cases = append(cases, scenario{name: fmt.Sprintf("create partitions/v%d", v), do: func(e *env) {
			topic := e.topic("", 2)
			grow := func(label string, validate bool, timeoutMs int32, topics ...kmsg.CreatePartitionsRequestTopic) {
				req := kmsg.NewPtrCreatePartitionsRequest()
				req.Topics, req.TimeoutMillis, req.ValidateOnly = topics, timeoutMs, validate
				resp, err := e.exchange(e.conn(), v, req, answerLimit)
				if err == nil {
					r := resp.(*kmsg.CreatePartitionsResponse)
					slices.SortStableFunc(r.Topics, func(x, y kmsg.CreatePartitionsResponseTopic) int { return cmp.Compare(x.Topic, y.Topic) })
				} else {
					e.main = nil
				}
				e.recordAnswer(label, resp, err)
			}
			to := func(topic string, n int32, assignment ...[]int32) kmsg.CreatePartitionsRequestTopic {
				t := kmsg.CreatePartitionsRequestTopic{Topic: topic, Count: n}
				for _, a := range assignment {
					t.Assignment = append(t.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: a})
				}
				return t
			}
			none := to(topic, 3)
			none.Assignment = []kmsg.CreatePartitionsRequestTopicAssignment{}
			grow("fewer", false, 10000, to(topic, 1))
			grow("the same", false, 10000, to(topic, 2))
			grow("zero", false, 10000, to(topic, 0))
			grow("negative", false, 10000, to(topic, -1))
			grow("unknown topic", false, 10000, to(e.slug("-none"), 3))
			grow("invalid topic", false, 10000, to("bad name", 3))
			grow("twice", false, 10000, to(topic, 3), to(topic, 4))
			grow("validate only", true, 10000, to(topic, 3))
			grow("unknown broker", false, 10000, to(topic, 3, []int32{99}))
			grow("duplicate broker", false, 10000, to(topic, 3, []int32{1, 1}))
			grow("other factor", false, 10000, to(topic, 3, []int32{1, 2}))
			grow("no replicas", false, 10000, to(topic, 3, []int32{}))
			grow("too few assignments", false, 10000, to(topic, 4, []int32{1}))
			grow("too many assignments", false, 10000, to(topic, 3, []int32{1}, []int32{1}))
			grow("empty assignment", false, 10000, none)
			grow("no topics", false, 10000)
			grow("one more", false, 10000, to(topic, 3))
			grow("assigned, and an unknown topic", false, 10000, to(topic, 5, []int32{1}, []int32{1}), to(e.slug("-none"), 2))
			e.metadata("metadata", 9, metadataRequest(false, topic), false)
			grow("no time", false, 0, to(topic, 6)) // last: when its partition appears is anyone's guess
		}})
	}
	return cases
}
