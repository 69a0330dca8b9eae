package config

import (
	"errors"
	"maps"
	"slices"
	"strings"
)

// Snapshot is one consistent set of values: defaults, under the static configuration, under the cluster's dynamic defaults, under this
// broker's dynamic configs. It never changes; all methods are safe for concurrent use.
type Snapshot struct {
	static         map[string]string // as configured at start, by canonical name
	dynamicDefault map[string]string
	dynamicBroker  map[string]string

	props  map[string]string // what is in effect, still as text; also unknown and listener-prefixed keys
	values []any             // of brokerKeys, by index; nil: null
	topics []any             // defaults of topicKeys, by index

	listeners, advertised []Listener
	interBroker           Listener
}

// Get is the value of k. A key without default that is not set gives the zero value; Lookup tells the difference.
func Get[T value](s *Snapshot, k *Key[T]) T {
	v, _ := s.values[k.def.index].(T)
	return v
}

// Lookup is the value of k and whether it has one: false only for a key without default that is not set.
func Lookup[T value](s *Snapshot, k *Key[T]) (T, bool) {
	v, ok := s.values[k.def.index].(T)
	return v, ok
}

// IsSet says whether k was configured, statically or dynamically, rather than left at its default.
func IsSet[T value](s *Snapshot, k *Key[T]) bool {
	_, ok := s.props[k.Name]
	return ok
}

// GetFor is the value of k for one listener: that of listener.name.<listener>.<k> if it is set (KIP-103), otherwise Get.
func GetFor[T value](s *Snapshot, listener string, k *Key[T]) T {
	if raw, ok := s.props[listenerPrefix+strings.ToLower(listener)+"."+k.Name]; ok {
		if v, err := k.def.parse(raw); err == nil {
			return v.(T)
		}
	}
	return Get(s, k)
}

// Raw is the text of any key in effect, also of an unknown one (super.users, what a plug-in reads). Secrets come out unmasked.
func (s *Snapshot) Raw(name string) (string, bool) {
	v, ok := s.props[name]
	return v, ok
}

var defaultValues []any // of brokerKeys, by index; package variables, and so all keys, are there before init runs

func init() {
	defaultValues = make([]any, len(brokerKeys.defs))
	for _, d := range brokerKeys.defs {
		defaultValues[d.index] = d.dflt
	}
}

// assemble layers the maps as Kafka does (DynamicBrokerConfig.updateCurrentConfig) and checks the result. The snapshot is complete
// when the errors are empty. All maps are by canonical name and are kept.
func assemble(static, dynamicDefault, dynamicBroker map[string]string) (*Snapshot, []error) {
	s := &Snapshot{static: static, dynamicDefault: dynamicDefault, dynamicBroker: dynamicBroker, values: slices.Clone(defaultValues)}
	s.props = maps.Clone(static)
	if s.props == nil {
		s.props = map[string]string{}
	}
	override(s.props, dynamicDefault)
	override(s.props, dynamicBroker)

	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s.props)) {
		d := brokerKeys.get(name)
		if d == nil {
			if base := baseOf(name); base != nil {
				if _, err := base.parse(s.props[name]); err != nil {
					errs = append(errs, named(err, name))
				}
			}
			continue
		}
		v, err := d.parse(s.props[name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.values[d.index] = v
	}
	if len(errs) > 0 {
		return s, errs
	}
	errs = s.checkRules()
	if len(errs) == 0 {
		s.topics = s.topicDefaults()
	}
	return s, errs
}

// named gives a value error of a base key the name that was actually used.
func named(err error, name string) error {
	var v *ValueError
	if errors.As(err, &v) {
		c := *v
		c.Name = name
		return &c
	}
	return err
}

// override puts a layer over props. A key hides its whole synonym chain in the layers below: log.roll.hours from above wins over
// log.roll.ms from below although the latter comes first within one layer.
func override(props, layer map[string]string) {
	for name := range layer {
		for _, syn := range synonyms(name, false) {
			delete(props, syn)
		}
	}
	maps.Copy(props, layer)
}

// Changed lists the keys whose values differ between two snapshots, sorted; unknown and listener-prefixed keys included.
func Changed(before, after *Snapshot) []string {
	var names []string
	for _, d := range brokerKeys.defs {
		if a, b := before.values[d.index], after.values[d.index]; (a == nil) != (b == nil) || d.text(a) != d.text(b) {
			names = append(names, d.Name)
		}
	}
	other := map[string]bool{}
	for _, props := range []map[string]string{before.props, after.props} {
		for name := range props {
			other[name] = brokerKeys.get(name) == nil
		}
	}
	for name, is := range other {
		if !is {
			continue
		}
		a, inA := before.props[name]
		b, inB := after.props[name]
		if a != b || inA != inB {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (d *Def) text(v any) string {
	if v == nil {
		return ""
	}
	return format(v)
}
