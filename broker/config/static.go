package config

import (
	"maps"
	"slices"
	"strings"
	"sync"
)

// Setting is one key as it was configured.
type Setting struct {
	Name  string // Kafka's spelling if the key is known
	Value string
	Where string // file:line, "environment variable X", "--set", or how it was derived
}

// Sources says where the configuration comes from, in rising precedence.
type Sources struct {
	File string   // properties, or by its ending YAML, TOML or JSON; empty: none
	Env  []string // NAME=value, as os.Environ gives them; only KAFKA_* is looked at, and more with Container
	Sets []string // key=value

	// Container adds what the entry points of the popular Kafka images do: variables without prefix, the choice of a data directory,
	// one-node KRaft settings read as standalone, and server.properties at the images' places if File is empty.
	Container bool
	Root      string // where the images' paths begin, for tests; empty: /
}

// Static is the configuration that the broker was started with. Immutable.
type Static struct {
	settings map[string]Setting // by canonical name
	snapshot *Snapshot
}

// Snapshot is the configuration without dynamic changes.
func (s *Static) Snapshot() *Snapshot { return s.snapshot }

// Settings lists what was configured, sorted by name, with secrets and the values of unknown keys masked: for the log line at start.
func (s *Static) Settings() []Setting {
	all := make([]Setting, 0, len(s.settings))
	for _, name := range slices.Sorted(maps.Keys(s.settings)) {
		set := s.settings[name]
		d := brokerKeys.get(name)
		if d == nil {
			d = baseOf(name)
		}
		if d == nil && !plainOutside(name) || d != nil && d.Sensitive() {
			set.Value = Mask
		}
		all = append(all, set)
	}
	return all
}

// Default is the configuration of a broker that was given none.
func Default() *Static { return &Static{settings: map[string]Setting{}, snapshot: pristine()} }

// pristine is the snapshot of all defaults.
var pristine = sync.OnceValue(func() *Snapshot {
	s, errs := assemble(nil, nil, nil)
	if len(errs) > 0 {
		panic("config: the defaults contradict themselves: " + errs[0].Error())
	}
	return s
})

// outsideKeys are read by Kafka although they are in no table: by the authorizer and by config providers.
var outsideKeys = []string{"super.users", "allow.everyone.if.no.acl.found"}

// outside says whether name is such a key; they are kept without a warning.
func outside(name string) bool {
	return plainOutside(name) || strings.HasPrefix(name, "authorizer.")
}

func plainOutside(name string) bool {
	return slices.Contains(outsideKeys, name) || name == providersKey || strings.HasPrefix(name, providersKey+".")
}

// canonical is Kafka's spelling of a key that was written in any case.
func canonical(name string) string {
	if d := brokerKeys.fold(name); d != nil {
		return d.Name
	}
	if len(name) <= len(listenerPrefix) || !strings.EqualFold(name[:len(listenerPrefix)], listenerPrefix) {
		return name
	}
	listener, key, ok := strings.Cut(name[len(listenerPrefix):], ".")
	if !ok {
		return name
	}
	low := listenerPrefix + strings.ToLower(listener) + "."
	if d := brokerKeys.fold(key); d != nil {
		return low + d.Name
	}
	for _, m := range mechanismKeys {
		if mechanism, ok := strings.CutSuffix(strings.ToLower(key), "."+m); ok {
			return low + mechanism + "." + m
		}
	}
	return low + key
}
