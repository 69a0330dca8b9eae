package config

import "strings"

// Several broker keys can stand for one setting. The chains are those of DynamicBrokerConfig.brokerConfigSynonyms, the first member
// with a value wins.
var chains = map[string][]string{}

func init() {
	for _, c := range [][]string{
		{"log.roll.ms", "log.roll.hours"},
		{"log.roll.jitter.ms", "log.roll.jitter.hours"},
		{"log.retention.ms", "log.retention.minutes", "log.retention.hours"},
	} {
		for _, name := range c {
			chains[name] = c
		}
	}
	// The scheduler's interval stands in for the flush interval, not the other way round.
	chains["log.flush.interval.ms"] = []string{"log.flush.interval.ms", "log.flush.scheduler.interval.ms"}
}

// synonyms are the names that give name its value, in order. With listeners set, the base key of a listener-prefixed one is included.
func synonyms(name string, listeners bool) []string {
	if c := chains[name]; c != nil {
		return c
	}
	if listeners {
		if base, ok := cutListener(name); ok {
			return []string{name, base}
		}
	}
	return []string{name}
}

// unitMs is the number of milliseconds in the unit that ends a key's name, 1 if it names none.
func unitMs(name string) int64 {
	switch {
	case strings.HasSuffix(name, ".hours"):
		return 60 * 60 * 1000
	case strings.HasSuffix(name, ".minutes"):
		return 60 * 1000
	}
	return 1
}

const listenerPrefix = "listener.name."

// mechanismKeys are set per listener and SASL mechanism: listener.name.<listener>.<mechanism>.<key>.
var mechanismKeys = []string{"sasl.jaas.config", "sasl.login.callback.handler.class", "sasl.login.class",
	"sasl.server.callback.handler.class", "connections.max.reauth.ms"}

// cutListener gives the base key of listener.name.<listener>.<key> and of listener.name.<listener>.<mechanism>.<key>.
func cutListener(name string) (base string, ok bool) {
	rest, ok := strings.CutPrefix(name, listenerPrefix)
	if !ok {
		return "", false
	}
	_, base, ok = strings.Cut(rest, ".")
	if !ok {
		return "", false
	}
	for _, key := range mechanismKeys {
		if strings.HasSuffix(base, key) {
			return key, true
		}
	}
	return base, true
}

// baseOf is the known key behind a listener-prefixed name, or nil.
func baseOf(name string) *Def {
	if base, ok := cutListener(name); ok {
		return brokerKeys.get(base)
	}
	return nil
}
