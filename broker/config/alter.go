package config

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Op is what IncrementalAlterConfigs does with a value (KIP-339), numbered as on the wire.
type Op int8

const (
	OpSet Op = iota
	OpDelete
	OpAppend
	OpSubtract
)

// Change is one entry of AlterConfigs (always OpSet) or IncrementalAlterConfigs.
type Change struct {
	Name  string
	Value *string
	Op    Op
}

// AlterTopic gives the configs of a topic after incremental changes. current is not modified. Errors carry INVALID_CONFIG or
// INVALID_REQUEST and Kafka's texts.
func (s *Snapshot) AlterTopic(topic string, current map[string]string, changes []Change) (map[string]string, error) {
	next, err := applyChanges(topicKeys, "Unknown topic config name: ", current, changes)
	if err != nil {
		return nil, err
	}
	return next, forTopic(topic, s.ValidateTopicConfigs(next))
}

// ReplaceTopic gives the configs of a topic that AlterConfigs leaves: those of the request and no others.
func (s *Snapshot) ReplaceTopic(topic string, changes []Change) (map[string]string, error) {
	return s.AlterTopic(topic, nil, asSets(changes))
}

// forTopic puts the resource before a message about a value, as ZkAdminManager does; other messages stay as they are.
func forTopic(topic string, err error) error {
	var refused *Error
	if err == nil || errors.As(err, &refused) {
		return err
	}
	return refuse(kerr.InvalidConfig, "Invalid config value for resource ConfigResource(type=TOPIC, name='%s'): %s", topic, err)
}

// AlterBroker gives the dynamic configs of this broker (perBroker) or the cluster's defaults after incremental changes of current,
// which is what the metadata store holds. current is not modified, and nothing is applied: write the result to the store, and its
// change notification brings it back through SetBroker or SetDefault.
func (d *Dynamic) AlterBroker(perBroker bool, current map[string]string, changes []Change) (map[string]string, error) {
	next, err := applyChanges(brokerKeys, "Unknown config name: ", current, changes)
	if err != nil {
		return nil, err
	}
	// What was stored before and is ignored (written by a Kafka that serves more, say) stays in the store and does not block changes.
	counted := maps.Clone(next)
	for name, value := range current {
		if next[name] == value && ValidateDynamicBroker(name, value, perBroker) != nil {
			delete(counted, name)
		}
	}
	return next, d.validateChange(counted, perBroker)
}

// ReplaceBroker is AlterBroker for AlterConfigs: what the request does not name is gone.
func (d *Dynamic) ReplaceBroker(perBroker bool, changes []Change) (map[string]string, error) {
	return d.AlterBroker(perBroker, nil, asSets(changes))
}

func asSets(changes []Change) []Change {
	sets := slices.Clone(changes)
	for i := range sets {
		sets[i].Op = OpSet
	}
	return sets
}

// applyChanges is ConfigAdminManager.preprocess and prepareIncrementalConfigs.
func applyChanges(keys *registry, unknown string, current map[string]string, changes []Change) (map[string]string, error) {
	seen := make(map[string]bool, len(changes))
	var nulls []string
	for _, c := range changes {
		if seen[c.Name] {
			return nil, refuse(kerr.InvalidRequest, "Error due to duplicate config keys")
		}
		seen[c.Name] = true
		if c.Value == nil && c.Op != OpDelete {
			nulls = append(nulls, c.Name)
		}
	}
	if len(nulls) > 0 {
		return nil, refuse(kerr.InvalidRequest, "Null value not supported for : %s", strings.Join(nulls, ", "))
	}
	next := maps.Clone(current)
	if next == nil {
		next = make(map[string]string, len(changes))
	}
	for _, c := range changes {
		switch c.Op {
		case OpSet:
			next[c.Name] = *c.Value
		case OpDelete:
			delete(next, c.Name)
		case OpAppend, OpSubtract:
			verb := "append"
			if c.Op == OpSubtract {
				verb = "subtract"
			}
			d := keys.get(c.Name)
			if d == nil {
				return nil, refuse(kerr.InvalidConfig, "%s%s", unknown, c.Name)
			}
			if d.Type != List {
				return nil, refuse(kerr.InvalidConfig, "Config value %s is not allowed for config key: %s", verb, c.Name)
			}
			old, ok := next[c.Name]
			if !ok {
				old = d.Default
			}
			if c.Op == OpAppend {
				next[c.Name] = appendList(old, *c.Value)
			} else {
				next[c.Name] = subtractList(old, *c.Value)
			}
		default:
			return nil, refuse(kerr.InvalidRequest, "Unknown operations type %d", c.Op)
		}
	}
	return next, nil
}

// appendList adds the items of more that old does not have.
func appendList(old, more string) string {
	items := javaSplit(old)
	for _, item := range javaSplit(more) {
		if !slices.Contains(items, item) {
			items = append(items, item)
		}
	}
	return strings.Join(items, ",")
}

// subtractList takes one occurrence of each item of less away.
func subtractList(old, less string) string {
	items := javaSplit(old)
	for _, item := range javaSplit(less) {
		if i := slices.Index(items, item); i >= 0 {
			items = slices.Delete(items, i, i+1)
		}
	}
	return strings.Join(items, ",")
}

// javaSplit is String.split(","): trailing empty items are dropped. Blanks stay, as in Kafka.
func javaSplit(s string) []string {
	items := strings.Split(s, ",")
	for len(items) > 0 && items[len(items)-1] == "" {
		items = items[:len(items)-1]
	}
	return items
}
