package api

import (
	"context"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/broker/config"
	"ottla/wire"
	"ottla/zkmeta"
)

// AlterConfigs, versions 0-2, of topics, this broker and the cluster's broker defaults (KIP-133). v2: flexible. What the request
// does not name goes back to its default.
//
// Errors, per resource: UNKNOWN_TOPIC_OR_PARTITION, INVALID_CONFIG, INVALID_REQUEST.
func alterConfigs(a *API, c *wire.Call, req *kmsg.AlterConfigsRequest, resp *kmsg.AlterConfigsResponse) error {
	for _, r := range req.Resources {
		changes := make([]config.Change, len(r.Configs))
		for i, kv := range r.Configs {
			changes[i] = config.Change{Name: kv.Name, Value: kv.Value}
		}
		err := a.alterConfigs(c.Context(), configResource{r.ResourceType, r.ResourceName}, changes, true, req.ValidateOnly)
		out := kmsg.AlterConfigsResponseResource{ResourceType: r.ResourceType, ResourceName: r.ResourceName}
		out.ErrorCode, out.ErrorMessage = a.codeAndMessage(err)
		resp.Resources = append(resp.Resources, out)
	}
	return nil
}

type configResource struct {
	kind kmsg.ConfigResourceType
	name string
}

// alterConfigs checks the changes of one resource and writes them to the metadata store.
func (a *API) alterConfigs(ctx context.Context, r configResource, changes []config.Change, replace, validateOnly bool) error {
	switch r.kind {
	case kmsg.ConfigResourceTypeTopic:
		return a.alterTopicConfigs(ctx, r.name, changes, replace, validateOnly)
	case kmsg.ConfigResourceTypeBroker:
		return a.alterBrokerConfigs(ctx, r.name, changes, replace, validateOnly)
	case kmsg.ConfigResourceTypeGroupConfig:
		return a.alterGroupConfigs(ctx, r.name, changes, replace, validateOnly)
	case kmsg.ConfigResourceTypeBrokerLogger:
		if !replace { // AlterConfigs does not know this type
			return a.alterLevels(r.name, changes, validateOnly)
		}
	case kmsg.ConfigResourceTypeClientMetrics:
		return fail(kerr.InvalidRequest, "AlterConfigs is only supported for topics and brokers, but resource type is CLIENT_METRICS")
	}
	return fail(kerr.InvalidRequest, "Unknown resource type "+itoa(int(r.kind)))
}

func (a *API) alterTopicConfigs(ctx context.Context, topic string, changes []config.Change, replace, validateOnly bool) error {
	if topic == "" {
		return fail(kerr.InvalidRequest, "Default topic resources are not allowed.")
	}
	if a.Cache.Load().Topics[topic] == nil {
		return fail(kerr.UnknownTopicOrPartition, "The topic '"+topic+"' does not exist.")
	}
	current, err := zkmeta.ReadTopicConfig(ctx, a.Session(), topic)
	if err != nil {
		return err
	}
	var next map[string]string
	if replace {
		next, err = a.Config.Snapshot().ReplaceTopic(topic, changes)
	} else {
		next, err = a.Config.Snapshot().AlterTopic(topic, current, changes)
	}
	if err != nil || validateOnly {
		return err
	}
	return zkmeta.ChangeTopicConfig(ctx, a.Session(), topic, next)
}

// checkNodeName is checkBrokerName in the words of requests that alter.
func (a *API) checkNodeName(name, unexpected string) error {
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return fail(kerr.InvalidRequest, "Node id must be an integer, but it is: "+name)
	}
	if int32(id) != a.BrokerID {
		return fail(kerr.InvalidRequest, unexpected)
	}
	return nil
}

func (a *API) alterBrokerConfigs(ctx context.Context, name string, changes []config.Change, replace, validateOnly bool) error {
	entity, perBroker := zkmeta.DefaultEntity, name != ""
	if perBroker {
		if err := a.checkNodeName(name, fmt.Sprintf("Unexpected broker id, expected %d, but received %s", a.BrokerID, name)); err != nil {
			return err
		}
		entity = strconv.Itoa(int(a.BrokerID))
	}
	current, err := zkmeta.ReadBrokerConfig(ctx, a.Session(), entity)
	if err != nil {
		return err
	}
	var next map[string]string
	if replace {
		next, err = a.Config.ReplaceBroker(perBroker, changes)
	} else {
		next, err = a.Config.AlterBroker(perBroker, current, changes)
	}
	if err != nil || validateOnly {
		return err
	}
	return zkmeta.ChangeBrokerConfig(ctx, a.Session(), entity, next)
}
