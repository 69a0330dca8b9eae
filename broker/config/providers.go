package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Variables in values are resolved as Kafka's ConfigTransformer does (KIP-297, KIP-421): config.providers names providers,
// config.providers.<name>.class says which of the three built-in ones each is, and ${name:key} or ${name:path:key} in any value is
// replaced. Without config.providers nothing is replaced. A reference that leads nowhere is an error here, where Kafka would go on
// with the text of the reference, as a password for example.

// variable has Kafka's syntax: ${provider:path:key}, path optional.
var variable = regexp.MustCompile(`\$\{([^}]*?):(([^}]*?):)?([^}]*?)\}`)

const (
	providersKey      = "config.providers"
	envProvider       = "org.apache.kafka.common.config.provider.EnvVarConfigProvider"
	fileProvider      = "org.apache.kafka.common.config.provider.FileConfigProvider"
	directoryProvider = "org.apache.kafka.common.config.provider.DirectoryConfigProvider"
)

// provider looks one variable up.
type provider func(path, key string) (string, error)

// resolveVariables replaces the variables in all settings, in place.
func resolveVariables(settings map[string]Setting, env func(string) (string, bool)) []*Problem {
	list, ok := settings[providersKey]
	if !ok {
		return nil
	}
	providers := map[string]provider{}
	var problems []*Problem
	for _, name := range splitList(list.Value) {
		p, err := newProvider(settings, name, env)
		if err != nil {
			problems = append(problems, &Problem{Key: providersKey, Where: list.Where, Text: err.Error()})
			continue
		}
		providers[name] = p
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		s := settings[name]
		if strings.HasPrefix(name, providersKey) || !strings.Contains(s.Value, "${") {
			continue
		}
		s.Value = variable.ReplaceAllStringFunc(s.Value, func(ref string) string {
			m := variable.FindStringSubmatch(ref)
			p := providers[m[1]]
			if p == nil {
				return ref
			}
			value, err := p(m[3], m[4])
			if err != nil {
				problems = append(problems, &Problem{Key: name, Where: s.Where, Text: fmt.Sprintf("%s: the variable %s cannot be resolved: %s", name, ref, err)})
			}
			return value
		})
		settings[name] = s
	}
	return problems
}

func newProvider(settings map[string]Setting, name string, env func(string) (string, bool)) (provider, error) {
	prefix := providersKey + "." + name
	class := settings[prefix+".class"].Value
	allowed := splitList(settings[prefix+".param.allowed.paths"].Value)
	switch class {
	case envProvider:
		return newEnvProvider(settings[prefix+".param.allowlist.pattern"].Value, env)
	case fileProvider:
		return func(path, key string) (string, error) {
			if err := checkPath(path, allowed); err != nil {
				return "", err
			}
			b, err := readSmall(path)
			if err != nil {
				return "", err
			}
			all, err := decodeProperties(b)
			if err != nil {
				return "", err
			}
			value, ok := all[key]
			if !ok {
				return "", fmt.Errorf("%s has no key %s", path, key)
			}
			return value, nil
		}, nil
	case directoryProvider:
		return func(path, key string) (string, error) {
			if key != filepath.Base(key) {
				return "", fmt.Errorf("%s is not the name of a file", key)
			}
			file := filepath.Join(path, key)
			if err := checkPath(file, allowed); err != nil {
				return "", err
			}
			b, err := readSmall(file)
			return string(b), err
		}, nil
	case "":
		return nil, fmt.Errorf("config.providers names %s, but %s.class is not set", name, prefix)
	}
	return nil, fmt.Errorf("%s.class=%s cannot be loaded: only %s, %s and %s are known", prefix, class, envProvider, fileProvider, directoryProvider)
}

func newEnvProvider(pattern string, env func(string) (string, bool)) (provider, error) {
	var allow *regexp.Regexp
	if pattern != "" {
		var err error
		if allow, err = regexp.Compile(`^(?:` + pattern + `)$`); err != nil {
			return nil, fmt.Errorf("allowlist.pattern of the environment provider: %w", err)
		}
	}
	return func(path, key string) (string, error) {
		if path != "" {
			return "", fmt.Errorf("environment variables have no path")
		}
		value, ok := env(key)
		if !ok || allow != nil && !allow.MatchString(key) {
			return "", fmt.Errorf("the environment variable %s is not set or not allowed", key)
		}
		return value, nil
	}, nil
}

// checkPath keeps a provider within its allowed.paths.
func checkPath(path string, allowed []string) error {
	if len(allowed) == 0 {
		return nil
	}
	clean := filepath.Clean(path)
	for _, dir := range allowed {
		rel, err := filepath.Rel(filepath.Clean(dir), clean)
		if err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
			return nil
		}
	}
	return fmt.Errorf("%s is not in the provider's allowed.paths", path)
}

// readSmall reads a file that holds a value or a few.
func readSmall(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFileBytes {
		return nil, fmt.Errorf("%s is not a regular file of at most %d bytes", path, maxFileBytes)
	}
	return os.ReadFile(path)
}
