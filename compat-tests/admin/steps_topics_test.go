package admin

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
)

func configs(kv ...string) map[string]*string {
	m := map[string]*string{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = &kv[i+1]
	}
	return m
}

var topicSteps = []step{
	{"CreateTopics: two, with configuration", func(r *run) any {
		return answer(r.adm.CreateTopics(r.ctx, 3, 1, configs("retention.ms", "123456789", "max.message.bytes", "2000000"), "admin-a", "admin-b"))
	}},
	{"CreateTopics: the broker's defaults (-1, -1)", func(r *run) any { return answer(r.adm.CreateTopics(r.ctx, -1, -1, nil, "admin-defaults")) }},
	{"CreateTopics: compacted", func(r *run) any {
		return answer(r.adm.CreateTopics(r.ctx, 1, 1, configs("cleanup.policy", "compact,delete"), "admin-compact"))
	}},
	{"CreateTopics: exists", func(r *run) any { return answer(r.adm.CreateTopics(r.ctx, 1, 1, nil, "admin-a")) }},
	{"CreateTopics: names that are not allowed", func(r *run) any {
		return answer(r.adm.CreateTopics(r.ctx, 1, 1, nil, "", ".", "..", "admin/slash", "admin space", strings.Repeat("x", 250)))
	}},
	{"CreateTopics: a name that collides in metrics", func(r *run) any {
		r.adm.CreateTopics(r.ctx, 1, 1, nil, "admin-dot.ted")
		return answer(r.adm.CreateTopics(r.ctx, 1, 1, nil, "admin-dot_ted"))
	}},
	{"CreateTopics: no partitions", func(r *run) any { return answer(r.adm.CreateTopics(r.ctx, 0, 1, nil, "admin-none")) }},
	{"CreateTopics: more replicas than brokers", func(r *run) any { return answer(r.adm.CreateTopics(r.ctx, 1, 2, nil, "admin-none")) }},
	{"CreateTopics: no replicas", func(r *run) any { return answer(r.adm.CreateTopics(r.ctx, 1, 0, nil, "admin-none")) }},
	{"CreateTopics: a configuration that does not exist", func(r *run) any {
		return answer(r.adm.CreateTopics(r.ctx, 1, 1, configs("no.such.key", "1"), "admin-none"))
	}},
	{"CreateTopics: values that are not allowed", func(r *run) any {
		all := map[string]any{}
		for _, kv := range [][2]string{{"retention.ms", "soon"}, {"retention.ms", "-2"}, {"cleanup.policy", "burn"}, {"segment.bytes", "13"},
			{"compression.type", "rar"}, {"min.insync.replicas", "0"}, {"message.timestamp.type", "Never"}, {"flush.messages", "0"},
			{"min.cleanable.dirty.ratio", "1.5"}, {"preallocate", "perhaps"}, {"max.message.bytes", "-1"}, {"segment.bytes", "99999999999"}} {
			all[kv[0]+"="+kv[1]] = answer(r.adm.CreateTopics(r.ctx, 1, 1, configs(kv[0], kv[1]), "admin-none"))
		}
		return all
	}},
	{"ValidateCreateTopics", func(r *run) any { return answer(r.adm.ValidateCreateTopics(r.ctx, 2, 1, nil, "admin-dry", "admin-a")) }},
	{"Metadata: topics", func(r *run) any {
		m, err := r.adm.Metadata(r.ctx, "admin-a", "admin-compact", "admin-none", "admin-dry")
		return answer(m.Topics, err)
	}},
	{"ListTopics", func(r *run) any {
		m, err := r.adm.ListTopics(r.ctx)
		return answer(ours(m), err)
	}},
	{"ListTopicsWithInternal: the offsets topic", func(r *run) any {
		m, err := r.adm.ListTopicsWithInternal(r.ctx)
		d := m["__consumer_offsets"]
		return answer(map[string]any{"internal": d.IsInternal, "partitions": len(d.Partitions), "error": d.Err}, err)
	}},
	{"DescribeTopicConfigs: the offsets topic", func(r *run) any { return described(r.adm.DescribeTopicConfigs(r.ctx, "__consumer_offsets")) }},
	{"CreatePartitions: two more", func(r *run) any { return answer(r.adm.CreatePartitions(r.ctx, 2, "admin-b")) }},
	{"UpdatePartitions: to seven", func(r *run) any { return answer(r.adm.UpdatePartitions(r.ctx, 7, "admin-b")) }},
	{"UpdatePartitions: to as many as there are, and fewer", func(r *run) any {
		return []any{answer(r.adm.UpdatePartitions(r.ctx, 7, "admin-b")), answer(r.adm.UpdatePartitions(r.ctx, 3, "admin-b"))}
	}},
	{"UpdatePartitions: topic does not exist", func(r *run) any { return answer(r.adm.UpdatePartitions(r.ctx, 7, "admin-none")) }},
	{"ValidateCreatePartitions", func(r *run) any { return answer(r.adm.ValidateCreatePartitions(r.ctx, 1, "admin-b")) }},
	{"ValidateUpdatePartitions", func(r *run) any { return answer(r.adm.ValidateUpdatePartitions(r.ctx, 9, "admin-b", "admin-none")) }},
	{"Metadata: after adding partitions", func(r *run) any {
		m, err := r.adm.Metadata(r.ctx, "admin-b")
		return answer(m.Topics, err)
	}},
}

var deletionSteps = []step{
	{"DeleteTopics", func(r *run) any { return answer(r.adm.DeleteTopics(r.ctx, "admin-a", "admin-b", "admin-none")) }},
	{"DeleteTopic: again", func(r *run) any { return answer(r.adm.DeleteTopic(r.ctx, "admin-a")) }},
	{"ListTopics: after deletion", func(r *run) any {
		m, err := r.adm.ListTopics(r.ctx)
		return answer(kadm.TopicDetails(ours(m)), err)
	}},
}
