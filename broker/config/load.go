package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Load reads and checks the configuration. Precedence: Sets, environment, file, defaults. Everything that is wrong is in the error, one
// *Problem each, joined.
func Load(src Sources) (*Static, []Warning, error) {
	l := loader{src: src, settings: map[string]Setting{}}
	l.load()
	if len(l.problems) > 0 {
		return nil, l.warnings, joined(l.problems)
	}
	snapshot, errs := assemble(l.values(), nil, nil)
	for _, err := range errs {
		l.problem(err)
	}
	if len(errs) == 0 {
		l.checkServed(snapshot)
	}
	if len(l.problems) > 0 {
		return nil, l.warnings, joined(l.problems)
	}
	return &Static{settings: l.settings, snapshot: snapshot}, l.warnings, nil
}

// loader gathers settings, one source over the other.
type loader struct {
	src      Sources
	settings map[string]Setting // by canonical name
	warnings []Warning
	problems []*Problem
}

func joined(problems []*Problem) error {
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = p
	}
	return errors.Join(errs...)
}

func (l *loader) load() {
	file := l.src.File
	if file == "" && l.src.Container {
		file = containerFile(l.src.Root)
	}
	if file != "" {
		settings, doubles, err := readFile(file)
		if err != nil {
			l.problems = append(l.problems, &Problem{Text: fmt.Sprintf("configuration file: %s", err)})
			return
		}
		l.warnings = append(l.warnings, doubles...)
		for _, s := range settings {
			l.put(s)
		}
	}
	env := newEnvironment(l.src.Env)
	l.applyEnvironment(env)
	for _, set := range l.src.Sets {
		name, value, ok := strings.Cut(set, "=")
		if name = strings.TrimSpace(name); !ok || name == "" {
			l.problems = append(l.problems, &Problem{Where: "--set", Text: fmt.Sprintf("%q is not key=value", set)})
			continue
		}
		l.put(Setting{Name: name, Value: value, Where: "--set"})
	}
	l.deriveListeners(env)
	if l.src.Container {
		l.containerDefaults()
	}
	l.problems = append(l.problems, resolveVariables(l.settings, env.lookup)...)
	l.mirrorIDs()
	l.warn()
}

// put sets a value over what lower sources gave.
func (l *loader) put(s Setting) {
	s.Name = canonical(s.Name)
	l.settings[s.Name] = s
}

func (l *loader) has(name string) bool {
	_, ok := l.settings[name]
	return ok
}

func (l *loader) values() map[string]string {
	values := make(map[string]string, len(l.settings))
	for name, s := range l.settings {
		values[name] = s.Value
	}
	return values
}

// mirrorIDs gives broker.id to node.id or the other way round (KafkaConfig.populateSynonyms).
func (l *loader) mirrorIDs() {
	id, hasID := l.settings["broker.id"]
	node, hasNode := l.settings["node.id"]
	switch {
	case hasID && !hasNode:
		l.put(Setting{Name: "node.id", Value: id.Value, Where: id.Where})
	case hasNode && !hasID:
		l.put(Setting{Name: "broker.id", Value: node.Value, Where: node.Where})
	}
}

// javaLists name Java classes that would do something in Kafka and do not here.
var javaLists = []string{"metric.reporters", "kafka.metrics.reporters", "security.providers"}

func (l *loader) warn() {
	for _, name := range slices.Sorted(maps.Keys(l.settings)) {
		s := l.settings[name]
		d := brokerKeys.get(name)
		switch {
		case d == nil && baseOf(name) == nil && !outside(name):
			l.warnings = append(l.warnings, unknownKey(name, s.Where))
		case d != nil && d.Mode == DynamicOnly:
			l.warnings = append(l.warnings, Warning{Key: name, Where: s.Where, Text: name + " is meant to be changed while the broker runs, Kafka does not read it from a file"})
		case slices.Contains(javaLists, name) && s.Value != "":
			l.warnings = append(l.warnings, Warning{Key: name, Where: s.Where, Text: fmt.Sprintf("%s=%s has no effect: %s", name, s.Value, d.Doc)})
		}
	}
}

// problem adds the place and, for a single value, what is allowed.
func (l *loader) problem(err error) {
	p := &Problem{Text: err.Error()}
	var value *ValueError
	var rule *ruleError
	switch {
	case errors.As(err, &value):
		p.Key = value.Name
		p.Text = fmt.Sprintf("%s; allowed: %s", value.Error(), value.Words)
	case errors.As(err, &rule):
		p.Text = rule.text
		for _, name := range rule.keys {
			if p.Key = name; l.has(name) {
				break
			}
		}
	}
	p.Where = l.settings[p.Key].Where
	l.problems = append(l.problems, p)
}

// checkServed refuses what is not served yet, so that nothing is dropped silently.
func (l *loader) checkServed(s *Snapshot) {
	for _, name := range slices.Sorted(maps.Keys(l.settings)) {
		set := l.settings[name]
		d, key := brokerKeys.get(name), name
		if d == nil {
			d = baseOf(name)
		}
		if d == nil {
			continue
		}
		v, err := d.parse(set.Value)
		if err != nil || !d.refused(v) {
			continue
		}
		l.problems = append(l.problems, &Problem{Key: key, Where: set.Where, Text: strings.Replace(laterText(d, set.Value), d.Name, key, 1)})
	}
}
