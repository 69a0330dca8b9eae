package behaviour

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// describe records a DescribeConfigs answer, entries by name.
func (e *env) describe(label string, version int16, req *kmsg.DescribeConfigsRequest) {
	resp, err := e.exchange(e.conn(), version, req, answerLimit)
	if err == nil {
		r := resp.(*kmsg.DescribeConfigsResponse)
		slices.SortStableFunc(r.Resources, func(x, y kmsg.DescribeConfigsResponseResource) int {
			return cmp.Or(cmp.Compare(x.ResourceType, y.ResourceType), cmp.Compare(x.ResourceName, y.ResourceName))
		})
		for _, res := range r.Resources {
			slices.SortFunc(res.Configs, func(x, y kmsg.DescribeConfigsResponseResourceConfig) int { return cmp.Compare(x.Name, y.Name) })
		}
	} else {
		e.main = nil
	}
	e.recordAnswer(label, resp, err)
}

func describeRequest(kind kmsg.ConfigResourceType, name string, configs ...string) *kmsg.DescribeConfigsRequest {
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeSynonyms = true
	req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: name, ConfigNames: configs}}
	return req
}

const (
	topicResource  = kmsg.ConfigResourceTypeTopic
	brokerResource = kmsg.ConfigResourceTypeBroker
	loggerResource = kmsg.ConfigResourceTypeBrokerLogger
)

func configCases() []scenario {
	var cases []scenario
	for v := range int16(5) {
		cases = append(cases, scenario{name: fmt.Sprintf("describe configs/v%d", v), do: func(e *env) {
			topic := e.topic("", 1, "retention.ms", "1000", "max.message.bytes", "2000")
			names := []string{"retention.ms", "max.message.bytes", "segment.bytes", "cleanup.policy", "no.such.config"}
			e.describe("topic", v, describeRequest(topicResource, topic, names...))
			plain := describeRequest(topicResource, topic, names...)
			plain.IncludeSynonyms = false
			e.describe("no synonyms", v, plain)
			broker := []string{"log.dirs", "num.partitions", "broker.id", "ssl.key.password", "log.retention.ms", "message.max.bytes", "listeners", "log.segment.bytes", "zookeeper.connect"}
			e.describe("broker", v, describeRequest(brokerResource, "1", broker[1:8]...))
			e.describe("another broker", v, describeRequest(brokerResource, "99", broker...))
			e.describe("no broker", v, describeRequest(brokerResource, "abc", broker...))
			e.describe("defaults of brokers", v, describeRequest(brokerResource, "", broker...))
			e.describe("unknown topic", v, describeRequest(topicResource, e.slug("-none"), names...))
			e.describe("invalid topic", v, describeRequest(topicResource, "bad name", names...))
			e.describe("empty topic", v, describeRequest(topicResource, "", names...))
			for _, kind := range []kmsg.ConfigResourceType{0, 1, 3, 16, 32, 77} {
				e.describe(fmt.Sprintf("resource type %d", kind), v, describeRequest(kind, "x"))
			}
			e.describe("loggers of another broker", v, describeRequest(loggerResource, "99"))
			e.describe("loggers of no broker", v, describeRequest(loggerResource, ""))
			e.describe("loggers of abc", v, describeRequest(loggerResource, "abc"))
			e.describe("no resources", v, kmsg.NewPtrDescribeConfigsRequest())
			empty := describeRequest(topicResource, topic)
			empty.Resources[0].ConfigNames = []string{}
			e.describe("empty list of names", v, empty)
			two := describeRequest(topicResource, topic, "retention.ms")
			two.Resources = append(two.Resources, two.Resources[0], kmsg.DescribeConfigsRequestResource{ResourceType: topicResource, ResourceName: e.slug("-none")})
			e.describe("twice, and an unknown one", v, two)
		}})
	}
	set := func(name, value string) kmsg.IncrementalAlterConfigsRequestResourceConfig {
		return kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: name, Value: &value}
	}
	op := func(op kmsg.IncrementalAlterConfigOp, name, value string) kmsg.IncrementalAlterConfigsRequestResourceConfig {
		return kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: name, Op: op, Value: &value}
	}
	for v := range int16(2) {
		alter := func(e *env, label string, kind kmsg.ConfigResourceType, name string, validate bool, changes ...kmsg.IncrementalAlterConfigsRequestResourceConfig) {
			req := kmsg.NewPtrIncrementalAlterConfigsRequest()
			req.ValidateOnly = validate
			req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kind, ResourceName: name, Configs: changes}}
			e.do(label, v, req)
		}
		cases = append(cases, scenario{name: fmt.Sprintf("incremental alter configs/topic, v%d", v), do: func(e *env) {
			topic := e.topic("", 1)
			change := func(label string, changes ...kmsg.IncrementalAlterConfigsRequestResourceConfig) {
				alter(e, label, topicResource, topic, false, changes...)
			}
			change("set", set("retention.ms", "5000"), set("cleanup.policy", "compact"))
			e.awaitConfig(topic, "retention.ms", "5000")
			change("append", op(2, "cleanup.policy", "delete"))
			change("append again", op(2, "cleanup.policy", "delete"))
			change("subtract", op(3, "cleanup.policy", "compact"))
			change("subtract again", op(3, "cleanup.policy", "compact"))
			change("append to a number", op(2, "retention.ms", "1"))
			change("subtract from a number", op(3, "retention.ms", "1"))
			change("delete", op(1, "cleanup.policy", ""))
			change("delete what is not set", op(1, "segment.bytes", ""))
			change("null", kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: "retention.ms"})
			change("delete with null", kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: "flush.ms", Op: 1})
			change("operation 9", op(9, "retention.ms", "1"))
			change("bad value", set("retention.ms", "abc"))
			change("bad list", set("cleanup.policy", "foo"))
			change("out of range", set("segment.bytes", "1"))
			change("unknown config", set("no.such.config", "1"))
			change("delete an unknown config", op(1, "no.such.config", ""))
			change("append to an unknown config", op(2, "no.such.config", "x"))
			change("same config twice", set("retention.ms", "1"), set("retention.ms", "2"))
			change("nothing")
			change("lags that contradict", set("min.compaction.lag.ms", "10"), set("max.compaction.lag.ms", "5"))
			alter(e, "validate only", topicResource, topic, true, set("retention.ms", "77"))
			alter(e, "validate only, bad", topicResource, topic, true, set("retention.ms", "abc"))
			alter(e, "unknown topic", topicResource, e.slug("-none"), false, set("retention.ms", "77"))
			alter(e, "empty topic", topicResource, "", false, set("retention.ms", "77"))
			alter(e, "invalid topic", topicResource, "bad name", false, set("retention.ms", "77"))
			for _, kind := range []kmsg.ConfigResourceType{0, 1, 16, 32, 77} {
				alter(e, fmt.Sprintf("resource type %d", kind), kind, "x", false, set("a", "b"))
			}
			req := kmsg.NewPtrIncrementalAlterConfigsRequest()
			req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: topicResource, ResourceName: topic}, {ResourceType: topicResource, ResourceName: topic}}
			e.do("same resource twice", v, req)
			e.do("no resources", v, kmsg.NewPtrIncrementalAlterConfigsRequest())
			change("mark", set("flush.messages", "12345"))
			e.awaitConfig(topic, "flush.messages", "12345")
			e.describe("result", 2, describeRequest(topicResource, topic, "retention.ms", "cleanup.policy", "flush.messages"))
		}}, scenario{name: fmt.Sprintf("incremental alter configs/broker, v%d", v), alone: true, do: func(e *env) {
			alter(e, "read only", brokerResource, "1", false, set("broker.id", "5"))
			alter(e, "two read only", brokerResource, "1", false, set("zookeeper.connect", "x"), set("broker.id", "5"))
			alter(e, "another broker", brokerResource, "5", false, set("log.cleaner.threads", "2"))
			alter(e, "no broker", brokerResource, "abc", false, set("log.cleaner.threads", "2"))
			alter(e, "unknown", brokerResource, "1", false, set("no.such.config", "5"))
			alter(e, "bad value", brokerResource, "1", false, set("log.cleaner.threads", "x"))
			alter(e, "negative", brokerResource, "1", false, set("log.cleaner.threads", "-1"))
			alter(e, "per broker only, as default", brokerResource, "", false, set("ssl.keystore.location", "x"))
			alter(e, "validate only", brokerResource, "1", true, set("log.retention.bytes", "123456789"))
			alter(e, "set", brokerResource, "1", false, set("log.retention.bytes", "123456789"))
			alter(e, "set for all", brokerResource, "", false, set("log.retention.bytes", "987654321"))
			e.awaitBrokerConfig("log.retention.bytes", "123456789")
			e.awaitValue(describeRequest(brokerResource, "", "log.retention.bytes"), "987654321")
			e.describe("described", 4, describeRequest(brokerResource, "1", "log.retention.bytes"))
			e.describe("described for all", 4, describeRequest(brokerResource, "", "log.retention.bytes"))
			topic := e.topic("", 1)
			e.describe("described for a topic", 4, describeRequest(topicResource, topic, "retention.bytes"))
			alter(e, "delete", brokerResource, "1", false, op(1, "log.retention.bytes", ""))
			alter(e, "delete for all", brokerResource, "", false, op(1, "log.retention.bytes", ""))
			e.awaitBrokerConfig("log.retention.bytes", "-1")
			e.describe("described again", 4, describeRequest(brokerResource, "1", "log.retention.bytes"))
			alter(e, "logger of another broker", loggerResource, "5", false, set("root", "INFO"))
			alter(e, "unknown logger", loggerResource, "1", false, set("no.such.logger", "INFO"))
			alter(e, "append to a logger", loggerResource, "1", false, op(2, "root", "INFO"))
			alter(e, "logger of no broker", loggerResource, "", false, set("root", "INFO"))
			alter(e, "level that is none", loggerResource, "1", false, set("root", "LOUD"))
			alter(e, "delete the level of root", loggerResource, "1", false, op(1, "root", ""))
		}})
	}
	for v := range int16(3) {
		cases = append(cases, scenario{name: fmt.Sprintf("alter configs/v%d", v), do: func(e *env) {
			topic := e.topic("", 1, "flush.messages", "7")
			alter := func(label string, kind kmsg.ConfigResourceType, name string, validate bool, nameValues ...string) {
				req := kmsg.NewPtrAlterConfigsRequest()
				req.ValidateOnly = validate
				r := kmsg.AlterConfigsRequestResource{ResourceType: kind, ResourceName: name}
				for i := 0; i+1 < len(nameValues); i += 2 {
					r.Configs = append(r.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: nameValues[i], Value: &nameValues[i+1]})
					if nameValues[i+1] == "null" {
						r.Configs[len(r.Configs)-1].Value = nil
					}
				}
				req.Resources = []kmsg.AlterConfigsRequestResource{r}
				e.do(label, v, req)
			}
			alter("validate only", topicResource, topic, true, "retention.ms", "6000")
			alter("set", topicResource, topic, false, "retention.ms", "5000")
			e.awaitConfig(topic, "retention.ms", "5000")
			e.describe("result", 2, describeRequest(topicResource, topic, "retention.ms", "flush.messages"))
			alter("bad value", topicResource, topic, false, "retention.ms", "abc")
			alter("unknown config", topicResource, topic, false, "no.such.config", "1")
			alter("null", topicResource, topic, false, "retention.ms", "null")
			alter("twice", topicResource, topic, false, "retention.ms", "1", "retention.ms", "2")
			alter("unknown topic", topicResource, e.slug("-none"), false, "retention.ms", "1")
			alter("invalid topic", topicResource, "bad name", false, "retention.ms", "1")
			alter("empty topic", topicResource, "", false, "retention.ms", "1")
			alter("another broker", brokerResource, "9", false, "log.cleaner.threads", "1")
			alter("no broker", brokerResource, "abc", false, "log.cleaner.threads", "1")
			alter("read-only of the broker", brokerResource, "1", false, "broker.id", "4")
			alter("loggers", loggerResource, "1", false, "root", "INFO")
			alter("resource type 77", 77, "x", false, "a", "b")
			req := kmsg.NewPtrAlterConfigsRequest()
			req.Resources = []kmsg.AlterConfigsRequestResource{{ResourceType: topicResource, ResourceName: topic}, {ResourceType: topicResource, ResourceName: topic}}
			e.doBriefly("same resource twice", v, req)
		}})
	}
	cases = append(cases, scenario{name: "describe configs/all of a topic", do: func(e *env) {
		topic := e.topic("", 1, "retention.ms", "1000")
		req := describeRequest(topicResource, topic)
		req.Resources[0].ConfigNames = nil
		e.describe("all", 4, req)
	}})
	return cases
}

// awaitConfig asks until a topic's config has a value: changes reach the broker through ZooKeeper.
func (e *env) awaitConfig(topic, name, value string) {
	e.awaitValue(describeRequest(topicResource, topic, name), value)
}

func (e *env) awaitBrokerConfig(name, value string) {
	e.awaitValue(describeRequest(brokerResource, "1", name), value)
}

func (e *env) awaitValue(req *kmsg.DescribeConfigsRequest, value string) {
	for range 200 {
		for _, c := range ask[*kmsg.DescribeConfigsResponse](e, 2, req).Resources[0].Configs {
			if c.Value != nil && *c.Value == value {
				return
			}
		}
		e.pause()
	}
	e.fail(fmt.Errorf("%s is not %s", req.Resources[0].ConfigNames, value))
}
