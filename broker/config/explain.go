package config

import (
	"fmt"
	"math"
	"strings"
)

// Explain describes a key for people: `ottla config explain KEY`. A name that is both a broker's and a topic's is explained as both.
func Explain(name string) (string, error) {
	var parts []string
	for _, keys := range []*registry{brokerKeys, topicKeys, entityKeys} {
		if d := keys.fold(name); d != nil {
			parts = append(parts, d.explain())
		}
	}
	if len(parts) > 0 {
		return strings.Join(parts, "\n"), nil
	}
	if full := canonical(name); baseOf(full) != nil {
		base := baseOf(full)
		return fmt.Sprintf("%s\n  %s for one listener.\n\n%s", full, base.Name, base.explain()), nil
	}
	if near := nearest(name, brokerKeys); near != "" {
		return "", fmt.Errorf("there is no configuration key %s; did you mean %s?", name, near)
	}
	if near := nearest(name, topicKeys); near != "" {
		return "", fmt.Errorf("there is no configuration key %s; did you mean %s?", name, near)
	}
	return "", fmt.Errorf("there is no configuration key %s", name)
}

func (d *Def) explain() string {
	var b strings.Builder
	kind := "broker config"
	switch {
	case d.Mode == PerTopic:
		kind = "topic config"
	case d.Mode == DynamicOnly:
		kind = "config of " + d.Entity + ", dynamic only"
	}
	fmt.Fprintf(&b, "%s (%s)\n  %s\n\n", d.Name, kind, d.Doc)
	line := func(label, text string) {
		if text != "" {
			fmt.Fprintf(&b, "  %-10s %s\n", label, text)
		}
	}
	line("type", d.Type.String())
	line("default", d.shownDefault())
	line("allowed", d.words())
	if d.Mode <= ClusterWide {
		line("change", modeWords[d.Mode])
	}
	line("importance", d.Importance.String())
	line("status", d.Mark.String())
	line("topic", d.Topic)
	if len(d.Broker) > 0 {
		line("broker", strings.Join(d.Broker, ", then "))
	}
	if chain := synonyms(d.Name, false); d.Mode <= ClusterWide && len(chain) > 1 {
		line("synonyms", strings.Join(chain, ", then "))
	}
	return b.String()
}

var modeWords = map[Mode]string{
	ReadOnly:    "read-only: in the configuration file, with a restart",
	PerBroker:   "per-broker: while the broker runs, for one broker",
	ClusterWide: "cluster-wide: while the brokers run, for one or for all",
}

func (d *Def) shownDefault() string {
	switch {
	case d.dflt == nil:
		return "unset"
	case d.Default == "":
		return "empty"
	}
	switch v := d.dflt.(type) {
	case int64:
		if v == math.MaxInt64 {
			return d.Default + " (no limit)"
		}
	case int32:
		if v == math.MaxInt32 {
			return d.Default + " (no limit)"
		}
	}
	return d.Default
}
