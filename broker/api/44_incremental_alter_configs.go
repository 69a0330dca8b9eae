package api

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/broker/config"
	"ottla/wire"
)

// IncrementalAlterConfigs, versions 0-1, of topics, this broker, the cluster's broker defaults and this broker's loggers (KIP-339,
// KIP-412). v1: flexible. The change reaches every broker by its notification in the metadata store.
//
// Errors, per resource: UNKNOWN_TOPIC_OR_PARTITION, INVALID_CONFIG, INVALID_REQUEST.
func incrementalAlterConfigs(a *API, c *wire.Call, req *kmsg.IncrementalAlterConfigsRequest, resp *kmsg.IncrementalAlterConfigsResponse) error {
	seen := make(map[configResource]int)
	for _, r := range req.Resources {
		seen[configResource{r.ResourceType, r.ResourceName}]++
	}
	for _, r := range req.Resources {
		changes := make([]config.Change, len(r.Configs))
		for i, kv := range r.Configs {
			changes[i] = config.Change{Name: kv.Name, Value: kv.Value, Op: config.Op(kv.Op)}
		}
		res := configResource{r.ResourceType, r.ResourceName}
		var err error
		if seen[res] > 1 {
			err = fail(kerr.InvalidRequest, "Each resource must appear at most once.")
		} else {
			err = a.alterConfigs(c.Context(), res, changes, false, req.ValidateOnly)
		}
		out := kmsg.IncrementalAlterConfigsResponseResource{ResourceType: r.ResourceType, ResourceName: r.ResourceName}
		out.ErrorCode, out.ErrorMessage = a.codeAndMessage(err)
		resp.Resources = append(resp.Resources, out)
	}
	return nil
}

// rootLogger is the logger whose level the others have that have none of their own (Log4jController.ROOT_LOGGER).
const rootLogger = "root"

// alterLevels changes the levels of this broker's loggers.
func (a *API) alterLevels(name string, changes []config.Change, validateOnly bool) error {
	if err := a.checkNodeName(name, fmt.Sprintf("Unexpected node id. Expected %d, but received %s", a.BrokerID, name)); err != nil {
		return err
	}
	known := a.Levels.All()
	for _, ch := range changes {
		if _, ok := known[ch.Name]; !ok {
			return fail(kerr.InvalidConfig, fmt.Sprintf("Logger %s does not exist!", ch.Name))
		}
		switch ch.Op {
		case config.OpSet:
		case config.OpDelete:
			if ch.Name == rootLogger {
				return fail(kerr.InvalidRequest, "Removing the log level of the root logger is not allowed")
			}
		case config.OpAppend:
			return fail(kerr.InvalidRequest, "APPEND operation is not allowed for the BROKER_LOGGER resource")
		default:
			return fail(kerr.InvalidRequest, "SUBTRACT operation is not allowed for the BROKER_LOGGER resource")
		}
		if ch.Op == config.OpSet && ch.Value == nil {
			return fail(kerr.InvalidRequest, "Null value not supported for : "+ch.Name)
		}
	}
	if validateOnly {
		return nil
	}
	for _, ch := range changes {
		var err error
		if ch.Op == config.OpDelete {
			err = a.Levels.Unset(ch.Name)
		} else {
			err = a.Levels.Set(ch.Name, *ch.Value)
		}
		if err != nil {
			return fail(kerr.InvalidConfig, "Cannot set the log level of "+ch.Name+": "+err.Error())
		}
	}
	return nil
}
