package admin

import (
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

func set(k, v string) kadm.AlterConfig {
	return kadm.AlterConfig{Op: kadm.SetConfig, Name: k, Value: kadm.StringPtr(v)}
}

func unset(k string) kadm.AlterConfig { return kadm.AlterConfig{Op: kadm.DeleteConfig, Name: k} }

// described drops keys that Kafka does not have, and those that say where a broker runs.
func described(rs kadm.ResourceConfigs, err error) any {
	for i := range rs {
		var kept []kadm.Config
		for _, c := range rs[i].Configs {
			switch {
			case strings.HasPrefix(c.Key, "ottla."), c.Key == "zookeeper.connect", c.Key == "zookeeper.session.timeout.ms", c.Key == "log.dirs":
			default:
				kept = append(kept, c)
			}
		}
		slices.SortFunc(kept, func(a, b kadm.Config) int { return strings.Compare(a.Key, b.Key) }) // Kafka's order is that of a hash map
		rs[i].Configs = kept
	}
	return answer(rs, err)
}

// settle waits until the broker has taken over a change of its dynamic configuration, which it does after its answer.
func (r *run) settle(key, want string, brokers ...int32) {
	for range 250 {
		got := ""
		rs, err := r.adm.DescribeBrokerConfigs(r.ctx, brokers...)
		if err == nil {
			for _, c := range rs[0].Configs {
				if c.Key == key {
					got = c.MaybeValue()
				}
			}
			if got == want {
				return
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
}

var configSteps = []step{
	{"DescribeTopicConfigs", func(r *run) any { return described(r.adm.DescribeTopicConfigs(r.ctx, "admin-a", "admin-defaults")) }},
	{"DescribeTopicConfigs: topic does not exist", func(r *run) any { return described(r.adm.DescribeTopicConfigs(r.ctx, "admin-none")) }},
	{"AlterTopicConfigs: set and delete", func(r *run) any {
		return answer(r.adm.AlterTopicConfigs(r.ctx, []kadm.AlterConfig{set("segment.bytes", "1048576"), unset("retention.ms")}, "admin-a"))
	}},
	{"AlterTopicConfigs: append to and subtract from a list", func(r *run) any {
		return []any{
			answer(r.adm.AlterTopicConfigs(r.ctx, []kadm.AlterConfig{{Op: kadm.AppendConfig, Name: "cleanup.policy", Value: kadm.StringPtr("compact")}}, "admin-a")),
			described(r.adm.DescribeTopicConfigs(r.ctx, "admin-a")),
			answer(r.adm.AlterTopicConfigs(r.ctx, []kadm.AlterConfig{{Op: kadm.SubtractConfig, Name: "cleanup.policy", Value: kadm.StringPtr("delete")}}, "admin-a")),
		}
	}},
	{"AlterTopicConfigs: append to what is not a list", func(r *run) any {
		return answer(r.adm.AlterTopicConfigs(r.ctx, []kadm.AlterConfig{{Op: kadm.AppendConfig, Name: "retention.ms", Value: kadm.StringPtr("1")}}, "admin-a"))
	}},
	{"AlterTopicConfigs: values that are not allowed", func(r *run) any {
		return []any{
			answer(r.adm.AlterTopicConfigs(r.ctx, []kadm.AlterConfig{set("retention.ms", "soon")}, "admin-a")),
			answer(r.adm.AlterTopicConfigs(r.ctx, []kadm.AlterConfig{set("no.such.key", "1")}, "admin-a")),
			answer(r.adm.AlterTopicConfigs(r.ctx, []kadm.AlterConfig{set("cleanup.policy", "burn")}, "admin-a")),
			answer(r.adm.AlterTopicConfigs(r.ctx, []kadm.AlterConfig{set("retention.ms", "1"), set("retention.ms", "2")}, "admin-a")),
			answer(r.adm.AlterTopicConfigs(r.ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms"}}, "admin-a")),
		}
	}},
	{"AlterTopicConfigs: topic does not exist", func(r *run) any {
		return answer(r.adm.AlterTopicConfigs(r.ctx, []kadm.AlterConfig{set("retention.ms", "1")}, "admin-none"))
	}},
	{"ValidateAlterTopicConfigs", func(r *run) any {
		return []any{
			answer(r.adm.ValidateAlterTopicConfigs(r.ctx, []kadm.AlterConfig{set("retention.ms", "77")}, "admin-a")),
			answer(r.adm.ValidateAlterTopicConfigs(r.ctx, []kadm.AlterConfig{set("retention.ms", "soon")}, "admin-a")),
		}
	}},
	{"DescribeTopicConfigs: after changes", func(r *run) any { return described(r.adm.DescribeTopicConfigs(r.ctx, "admin-a")) }},
	{"AlterTopicConfigsState: replaces all", func(r *run) any {
		return []any{
			answer(r.adm.AlterTopicConfigsState(r.ctx, []kadm.AlterConfig{set("retention.bytes", "1000000")}, "admin-a")),
			described(r.adm.DescribeTopicConfigs(r.ctx, "admin-a")),
		}
	}},
	{"ValidateAlterTopicConfigsState", func(r *run) any {
		return []any{
			answer(r.adm.ValidateAlterTopicConfigsState(r.ctx, []kadm.AlterConfig{set("retention.bytes", "5")}, "admin-a")),
			answer(r.adm.ValidateAlterTopicConfigsState(r.ctx, []kadm.AlterConfig{set("retention.bytes", "many")}, "admin-a")),
		}
	}},
	{"DescribeBrokerConfigs", func(r *run) any { return described(r.adm.DescribeBrokerConfigs(r.ctx, r.broker)) }},
	{"DescribeBrokerConfigs: the defaults of the cluster", func(r *run) any { return described(r.adm.DescribeBrokerConfigs(r.ctx)) }},
	{"DescribeBrokerConfigs: broker does not exist", func(r *run) any { return described(r.adm.DescribeBrokerConfigs(r.ctx, 4711)) }},
	{"AlterBrokerConfigs: of one broker", func(r *run) any {
		return answer(r.adm.AlterBrokerConfigs(r.ctx, []kadm.AlterConfig{set("background.threads", "8")}, r.broker))
	}},
	{"AlterBrokerConfigs: of the cluster", func(r *run) any {
		return answer(r.adm.AlterBrokerConfigs(r.ctx, []kadm.AlterConfig{set("log.cleaner.backoff.ms", "14000"), set("message.max.bytes", "1048600")}))
	}},
	{"AlterBrokerConfigs: keys that need a restart, or are not known", func(r *run) any {
		return []any{
			answer(r.adm.AlterBrokerConfigs(r.ctx, []kadm.AlterConfig{set("broker.id", "5")}, r.broker)),
			answer(r.adm.AlterBrokerConfigs(r.ctx, []kadm.AlterConfig{set("log.dirs", "/x")})),
			answer(r.adm.AlterBrokerConfigs(r.ctx, []kadm.AlterConfig{set("background.threads", "none")})),
			answer(r.adm.ValidateAlterBrokerConfigs(r.ctx, []kadm.AlterConfig{set("log.retention.ms", "-5")})),
			answer(r.adm.ValidateAlterBrokerConfigs(r.ctx, []kadm.AlterConfig{set("advertised.listeners", "PLAINTEXT://x:1")})),
		}
	}},
	{"DescribeBrokerConfigs: after changes", func(r *run) any {
		r.settle("background.threads", "8", r.broker)
		r.settle("message.max.bytes", "1048600")
		return []any{described(r.adm.DescribeBrokerConfigs(r.ctx)), changed(r.adm.DescribeBrokerConfigs(r.ctx, r.broker))}
	}},
	{"DescribeTopicConfigs: a change of the cluster shows as a default", func(r *run) any {
		return described(r.adm.DescribeTopicConfigs(r.ctx, "admin-defaults"))
	}},
	{"AlterBrokerConfigs: back", func(r *run) any {
		one := answer(r.adm.AlterBrokerConfigs(r.ctx, []kadm.AlterConfig{unset("background.threads")}, r.broker))
		all := answer(r.adm.AlterBrokerConfigs(r.ctx, []kadm.AlterConfig{unset("log.cleaner.backoff.ms"), unset("message.max.bytes")}))
		r.settle("background.threads", "10", r.broker)
		r.settle("message.max.bytes", "")
		return []any{one, all, described(r.adm.DescribeBrokerConfigs(r.ctx)), changed(r.adm.DescribeBrokerConfigs(r.ctx, r.broker))}
	}},
	{"AlterBrokerConfigsState", func(r *run) any {
		return []any{
			answer(r.adm.ValidateAlterBrokerConfigsState(r.ctx, []kadm.AlterConfig{set("background.threads", "9")}, r.broker)),
			answer(r.adm.AlterBrokerConfigsState(r.ctx, []kadm.AlterConfig{set("background.threads", "9")}, r.broker)),
			answer(r.adm.AlterBrokerConfigsState(r.ctx, nil, r.broker)),
		}
	}},
}

// changed keeps the keys that the steps before changed.
func changed(rs kadm.ResourceConfigs, err error) any {
	for i := range rs {
		var kept []kadm.Config
		for _, c := range rs[i].Configs {
			switch c.Key {
			case "background.threads", "log.cleaner.backoff.ms", "message.max.bytes":
				kept = append(kept, c)
			}
		}
		slices.SortFunc(kept, func(a, b kadm.Config) int { return strings.Compare(a.Key, b.Key) })
		rs[i].Configs = kept
	}
	return answer(rs, err)
}
