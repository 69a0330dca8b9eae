package config

import (
	"maps"
	"slices"
)

// Source says where a value comes from, numbered as in DescribeConfigs responses.
type Source int8

const (
	SourceUnknown        Source = 0
	SourceTopic          Source = 1
	SourceDynamicBroker  Source = 2
	SourceDynamicDefault Source = 3
	SourceStatic         Source = 4
	SourceDefault        Source = 5
	SourceBrokerLogger   Source = 6
	SourceGroup          Source = 8
)

func (s Source) String() string {
	return [...]string{"UNKNOWN", "DYNAMIC_TOPIC_CONFIG", "DYNAMIC_BROKER_CONFIG", "DYNAMIC_DEFAULT_BROKER_CONFIG", "STATIC_BROKER_CONFIG",
		"DEFAULT_CONFIG", "DYNAMIC_BROKER_LOGGER_CONFIG", "DYNAMIC_CLIENT_METRICS_CONFIG", "DYNAMIC_GROUP_CONFIG"}[s]
}

// Entry is one config of a DescribeConfigs or CreateTopics response.
type Entry struct {
	Name      string
	Value     *string // nil: unset, or must not be shown
	Type      Type
	Source    Source
	Sensitive bool
	ReadOnly  bool
	Synonyms  []Synonym
	Doc       string // empty for keys in no table: send null
}

// Synonym is one place where a value, or one that it hides, was given. The first is the one in effect.
type Synonym struct {
	Name   string
	Value  *string
	Source Source
}

// DescribeBroker describes this broker (ConfigHelper.createBrokerConfigEntry), sorted by name. names limits the answer, nil means all;
// unknown names are left out. Keys of our own appear only when they are set.
func (s *Snapshot) DescribeBroker(names []string) []Entry {
	all := make(map[string]*Def, len(brokerKeys.defs)+len(s.props))
	for _, d := range brokerKeys.defs {
		if !d.Internal && d.Mode != DynamicOnly && d.Area != areaOwn {
			all[d.Name] = d
		}
	}
	for name := range s.props {
		all[name] = brokerKeys.get(name)
	}
	entries := make([]Entry, 0, len(all))
	for _, name := range wanted(all, names) {
		d := all[name]
		e := brokerEntry(name, d)
		switch {
		case e.Sensitive:
		case d != nil && s.values[d.index] != nil:
			e.Value = ptr(format(s.values[d.index]))
		case d == nil:
			e.Value = ptr(s.props[name])
		}
		e.setSynonyms(s.brokerSynonyms(name, e.Sensitive))
		entries = append(entries, e)
	}
	return entries
}

// DescribeDefault describes the cluster's dynamic broker configs, the resource with the empty name.
func (s *Snapshot) DescribeDefault(names []string) []Entry {
	entries := make([]Entry, 0, len(s.dynamicDefault))
	for _, name := range wanted(s.dynamicDefault, names) {
		e := brokerEntry(name, brokerKeys.get(name))
		if !e.Sensitive {
			e.Value = ptr(s.dynamicDefault[name])
		}
		e.setSynonyms(slices.DeleteFunc(s.brokerSynonyms(name, e.Sensitive), func(y Synonym) bool { return y.Source != SourceDynamicDefault }))
		entries = append(entries, e)
	}
	return entries
}

// DescribeTopic describes a topic that has these configs of its own (ConfigHelper.createTopicConfigEntry), sorted by name.
func (s *Snapshot) DescribeTopic(overrides map[string]string, names []string) []Entry {
	t, _ := s.Topic(overrides) // what is malformed shows the value in effect
	entries := make([]Entry, 0, len(topicKeys.defs))
	for _, name := range wanted(topicKeys.names, names) {
		entries = append(entries, s.topicEntry(t, topicKeys.names[name]))
	}
	return entries
}

func (s *Snapshot) topicEntry(t *Topic, d *Def) Entry {
	e := Entry{Name: d.Name, Type: d.Type, Value: ptr(format(t.values[d.index])), Doc: d.Doc}
	var all []Synonym
	if _, ok := t.overrides[d.Name]; ok {
		all = append(all, Synonym{d.Name, e.Value, SourceTopic})
	}
	if len(d.Broker) > 0 {
		all = append(all, s.brokerSynonyms(d.Broker[0], false)...)
	}
	e.setSynonyms(all)
	return e
}

func brokerEntry(name string, d *Def) Entry {
	e := Entry{Name: name, ReadOnly: true}
	known := d
	if d != nil {
		e.ReadOnly = d.Mode != PerBroker && d.Mode != ClusterWide
		e.Doc = d.Doc
	} else {
		known = baseOf(name)
	}
	if known != nil {
		e.Type = known.Type
	}
	e.Sensitive = e.Type == PasswordType || e.Type == Unknown
	return e
}

func (e *Entry) setSynonyms(all []Synonym) {
	e.Synonyms, e.Source = all, SourceDefault
	if len(all) > 0 {
		e.Source = all[0].Source
	}
}

// brokerSynonyms lists where name or a synonym of it has a value, layer by layer. What stands before the first entry of name itself is
// dropped, as Kafka does (ConfigHelper.configSynonyms): log.retention.minutes alone makes retention.ms show no synonym.
func (s *Snapshot) brokerSynonyms(name string, sensitive bool) []Synonym {
	chain := synonyms(name, true)
	var all []Synonym
	add := func(name, value string, source Source) {
		y := Synonym{Name: name, Source: source}
		if !sensitive {
			y.Value = ptr(value)
		}
		all = append(all, y)
	}
	for _, layer := range []struct {
		props  map[string]string
		source Source
	}{{s.dynamicBroker, SourceDynamicBroker}, {s.dynamicDefault, SourceDynamicDefault}, {s.static, SourceStatic}} {
		for _, n := range chain {
			if v, ok := layer.props[n]; ok {
				add(n, v, layer.source)
			}
		}
	}
	for _, n := range chain {
		if d := brokerKeys.get(n); d != nil && d.dflt != nil && d.Mode != DynamicOnly {
			add(n, d.Default, SourceDefault)
		}
	}
	for len(all) > 0 && all[0].Name != name {
		all = all[1:]
	}
	return all
}

// wanted are the keys of all that are in names, sorted; nil names means all.
func wanted[V any](all map[string]V, names []string) []string {
	if len(names) == 0 {
		return slices.Sorted(maps.Keys(all))
	}
	var some []string
	for _, n := range names {
		if _, ok := all[n]; ok {
			some = append(some, n)
		}
	}
	slices.Sort(some)
	return slices.Compact(some)
}

func ptr(s string) *string { return &s }
