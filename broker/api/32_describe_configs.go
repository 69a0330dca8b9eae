package api

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/broker/config"
	"ottla/wire"
	"ottla/zkmeta"
)

// DescribeConfigs, versions 0-4, of topics, this broker, the cluster's broker defaults (the broker with the empty name), this
// broker's loggers and groups (KIP-133, KIP-226, KIP-412, KIP-848). v1: source and synonyms. v3: type and documentation (KIP-569). v4: flexible.
// Null or no names ask for all; unknown ones are left out.
//
// Errors, per resource: UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION, INVALID_REQUEST.
func describeConfigs(a *API, c *wire.Call, req *kmsg.DescribeConfigsRequest, resp *kmsg.DescribeConfigsResponse) error {
	for i := range req.Resources {
		rr := &req.Resources[i]
		r := kmsg.DescribeConfigsResponseResource{ResourceType: rr.ResourceType, ResourceName: rr.ResourceName}
		names := rr.ConfigNames
		if len(names) == 0 {
			names = nil
		}
		entries, err := a.describeResource(c.Context(), rr.ResourceType, rr.ResourceName, names)
		if r.ErrorCode, r.ErrorMessage = a.codeAndMessage(err); err == nil || r.ErrorCode == kerr.UnknownTopicOrPartition.Code {
			r.ErrorMessage = new(string) // Kafka's is empty here, not null
		}
		for _, e := range entries {
			r.Configs = append(r.Configs, describeEntry(e, req))
		}
		resp.Resources = append(resp.Resources, r)
	}
	return nil
}

func (a *API) describeResource(ctx context.Context, kind kmsg.ConfigResourceType, name string, names []string) ([]config.Entry, error) {
	snapshot := a.Config.Snapshot()
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
		if err := checkTopicName(name); err != nil {
			return nil, err
		}
		if a.Cache.Load().Topics[name] == nil {
			return nil, fail(kerr.UnknownTopicOrPartition, "This server does not host this topic-partition.")
		}
		// From the store, as in Kafka: a change that was just answered shows before its notification has gone round.
		overrides, err := zkmeta.ReadTopicConfig(ctx, a.Session(), name)
		if err != nil {
			return nil, err
		}
		return snapshot.DescribeTopic(overrides, names), nil
	case kmsg.ConfigResourceTypeBroker:
		if name == "" {
			return snapshot.DescribeDefault(names), nil
		}
		if err := a.checkBrokerName(name, fmt.Sprintf("expected %d or empty string, but received", a.BrokerID)); err != nil {
			return nil, err
		}
		return snapshot.DescribeBroker(names), nil
	case kmsg.ConfigResourceTypeGroupConfig:
		return a.describeGroupConfigs(ctx, name, names)
	case kmsg.ConfigResourceTypeBrokerLogger:
		if err := a.checkLoggerBroker(name); err != nil {
			return nil, err
		}
		return a.loggerEntries(names), nil
	}
	if kind == kmsg.ConfigResourceTypeClientMetrics {
		return nil, fail(kerr.InvalidRequest, "Config type client-metrics is only supported on KRaft clusters")
	}
	return nil, fail(kerr.InvalidRequest, invalidRequestText)
}

// checkBrokerName wants this broker's id: clients send the configs of a broker to that broker.
func (a *API) checkBrokerName(name, expected string) error {
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return fail(kerr.InvalidRequest, "Broker id must be an integer, but it is: "+name)
	}
	if int32(id) != a.BrokerID {
		return fail(kerr.InvalidRequest, fmt.Sprintf("Unexpected broker id, %s %d", expected, id))
	}
	return nil
}

func (a *API) checkLoggerBroker(name string) error {
	if name == "" {
		return fail(kerr.InvalidRequest, "Broker id must not be empty")
	}
	return a.checkBrokerName(name, fmt.Sprintf("expected %d but received", a.BrokerID))
}

func (a *API) loggerEntries(names []string) []config.Entry {
	levels := a.Levels.All()
	var entries []config.Entry
	for _, name := range slices.Sorted(maps.Keys(levels)) {
		if names != nil && !slices.Contains(names, name) {
			continue
		}
		level := levels[name]
		entries = append(entries, config.Entry{Name: name, Value: &level, Type: config.String, Source: config.SourceBrokerLogger})
	}
	return entries
}

func describeEntry(e config.Entry, req *kmsg.DescribeConfigsRequest) kmsg.DescribeConfigsResponseResourceConfig {
	r := kmsg.NewDescribeConfigsResponseResourceConfig()
	r.Name, r.Value, r.ReadOnly, r.IsSensitive = e.Name, e.Value, e.ReadOnly, e.Sensitive
	r.IsDefault, r.Source = e.Source == config.SourceDefault, kmsg.ConfigSource(e.Source)
	if req.Version >= 3 {
		r.ConfigType = kmsg.ConfigType(e.Type)
		if req.IncludeDocumentation && e.Doc != "" {
			r.Documentation = &e.Doc
		}
	}
	if req.IncludeSynonyms {
		for _, y := range e.Synonyms {
			r.ConfigSynonyms = append(r.ConfigSynonyms, kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{Name: y.Name, Value: y.Value, Source: kmsg.ConfigSource(y.Source)})
		}
	}
	return r
}

// topicEntries are all configs of a topic with these of its own.
func (a *API) topicEntries(overrides map[string]string) []config.Entry {
	return a.Config.Snapshot().DescribeTopic(overrides, nil)
}
