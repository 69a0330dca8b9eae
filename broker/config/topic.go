package config

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Topic is the effective configuration of one topic: its own configs over the broker's defaults. Immutable.
type Topic struct {
	overrides map[string]string
	values    []any // of topicKeys, by index
}

// TopicGet is the value of k for the topic.
func TopicGet[T value](t *Topic, k *TopicKey[T]) T { return t.values[k.def.index].(T) }

// Topic lays a topic's configs, as they are kept in the metadata store, over the broker's defaults. What is stored but unknown or
// malformed is left at the default and returned in the error; the Topic is usable in any case.
func (s *Snapshot) Topic(overrides map[string]string) (*Topic, error) {
	t := &Topic{overrides: overrides, values: s.topics}
	if len(overrides) == 0 {
		return t, nil
	}
	t.values = slices.Clone(s.topics)
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		d := topicKeys.get(name)
		if d == nil {
			errs = append(errs, unknownTopicKey(name))
			continue
		}
		v, err := d.parse(overrides[name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		t.values[d.index] = v
	}
	return t, errors.Join(errs...)
}

// TopicValue is the text of one topic config in effect and where it comes from.
func TopicValue(s *Snapshot, overrides map[string]string, name string) (string, Source) {
	d := topicKeys.get(name)
	if d == nil {
		return "", SourceUnknown
	}
	t, _ := s.Topic(overrides)
	e := s.topicEntry(t, d)
	return *e.Value, e.Source
}

// Has says whether a cleanup.policy contains policy: compact, delete.
func (t *Topic) Has(policy string) bool {
	return slices.Contains(TopicGet(t, TopicCleanupPolicy), policy)
}

// TimestampBeforeMaxMs is how far back a CreateTime may lie. While message.timestamp.before.max.ms is at its default the older
// message.timestamp.difference.max.ms counts (KIP-937).
func (t *Topic) TimestampBeforeMaxMs() int64 {
	return unlessDefault(TopicGet(t, TopicMessageTimestampBeforeMaxMs), TopicGet(t, TopicMessageTimestampDifferenceMaxMs))
}

// TimestampAfterMaxMs is how far ahead a CreateTime may lie, by the rule of TimestampBeforeMaxMs.
func (t *Topic) TimestampAfterMaxMs() int64 {
	return unlessDefault(TopicGet(t, TopicMessageTimestampAfterMaxMs), TopicGet(t, TopicMessageTimestampDifferenceMaxMs))
}

func unlessDefault(v, older int64) int64 {
	if v != math.MaxInt64 {
		return v
	}
	return older
}

// CompressionLevel is the level of the topic's compression.type, if that is a codec with levels.
func (t *Topic) CompressionLevel() (level int, ok bool) {
	switch TopicGet(t, TopicCompressionType) {
	case "gzip":
		return int(TopicGet(t, TopicCompressionGzipLevel)), true
	case "lz4":
		return int(TopicGet(t, TopicCompressionLz4Level)), true
	case "zstd":
		return int(TopicGet(t, TopicCompressionZstdLevel)), true
	}
	return 0, false
}

// topicDefaults are the values of topics without configs of their own (KafkaConfig.extractLogConfigMap).
func (s *Snapshot) topicDefaults() []any {
	values := make([]any, len(topicKeys.defs))
	for _, d := range topicKeys.defs {
		values[d.index] = d.dflt
		if len(d.Broker) == 0 {
			continue
		}
		broker := brokerKeys.get(d.Broker[0])
		switch {
		case chains[broker.Name] != nil:
			values[d.index] = s.chainMs(broker)
		case s.values[broker.index] != nil:
			values[d.index] = s.values[broker.index]
		}
	}
	values[TopicRetentionMs.def.index] = s.LogRetentionMs()
	older := Get(s, LogMessageTimestampDifferenceMaxMs)
	values[TopicMessageTimestampBeforeMaxMs.def.index] = unlessDefault(Get(s, LogMessageTimestampBeforeMaxMs), older)
	values[TopicMessageTimestampAfterMaxMs.def.index] = unlessDefault(Get(s, LogMessageTimestampAfterMaxMs), older)
	return values
}

func unknownTopicKey(name string) error {
	return refuse(kerr.InvalidConfig, "Unknown topic config name: %s", name)
}

// ValidateTopic checks one topic config. Errors carry INVALID_CONFIG and Kafka's text.
func ValidateTopic(name, value string) error {
	d := topicKeys.get(name)
	if d == nil {
		return unknownTopicKey(name)
	}
	_, err := d.parse(value)
	return err
}

// ValidateTopicConfigs checks the configs of a topic over the broker's defaults, as CreateTopics does (LogConfig.validate). Errors carry
// INVALID_CONFIG and Kafka's text.
func (s *Snapshot) ValidateTopicConfigs(configs map[string]string) error {
	names := slices.Sorted(maps.Keys(configs))
	for _, name := range names {
		if topicKeys.get(name) == nil {
			return unknownTopicKey(name)
		}
	}
	for _, name := range names {
		if err := ValidateTopic(name, configs[name]); err != nil {
			return err
		}
	}
	t, err := s.Topic(configs)
	if err != nil {
		return err
	}
	if low, high := TopicGet(t, TopicMinCompactionLagMs), TopicGet(t, TopicMaxCompactionLagMs); low > high {
		return refuse(kerr.InvalidConfig, "conflict topic config setting %s (%d) > %s (%d)",
			TopicMinCompactionLagMs.Name, low, TopicMaxCompactionLagMs.Name, high)
	}
	if TopicGet(t, TopicRemoteStorageEnable) {
		return &ruleError{text: "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."}
	}
	for _, name := range names {
		if d := topicKeys.get(name); d.Mark == Later && format(t.values[d.index]) != d.Default {
			return &ruleError{text: laterText(d, configs[name])}
		}
	}
	return nil
}

// ValidateTopicConfigs is Snapshot.ValidateTopicConfigs over Kafka's own defaults.
func ValidateTopicConfigs(configs map[string]string) error {
	return pristine().ValidateTopicConfigs(configs)
}

func laterText(d *Def, value string) string {
	only := "leave it out"
	if !d.Null {
		only = fmt.Sprintf("only the default, '%s', is", d.Default)
	}
	return fmt.Sprintf("%s=%s is not served: %s. %s", d.Name, d.masked(value), only, d.Doc)
}

func (d *Def) masked(value string) string {
	if d.Sensitive() {
		return Mask
	}
	return value
}
