package config

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

// The environment as the popular Kafka images read it: apache/kafka and confluentinc/cp-kafka (KAFKA_*), bitnami/kafka (KAFKA_CFG_* and
// aliases), wurstmeister/kafka (host name and port pairs), debezium/kafka (names without prefix, in containers only).

const (
	envPrefix = "KAFKA_"
	cfgPrefix = "KAFKA_CFG_"
)

// unmapped are KAFKA_* names that are no configuration keys: Java and logging options, and what entry points use themselves.
var unmapped = []string{"VERSION", "HOME", "HEAP_OPTS", "OPTS", "JVM_PERFORMANCE_OPTS", "GC_LOG_OPTS", "LOG4J_OPTS", "LOG4J_ROOT_LOGLEVEL",
	"LOG4J_LOGGERS", "TOOLS_LOG4J_LOGLEVEL", "CREATE_TOPICS", "CREATE_TOPICS_SEPARATOR", "ENABLE_KRAFT", "TLS_TRUSTSTORE_FILE",
	"ADVERTISED_HOST_NAME", "ADVERTISED_PORT", "HOST_NAME", "PORT", "PROTOCOL_NAME", "ADVERTISED_PROTOCOL_NAME"}

// jmxNames would make Kafka open a JMX port.
var jmxNames = []string{"JMX_PORT", "JMX_HOSTNAME", "JMX_OPTS"}

// envAliases are names that do not follow the rule.
var envAliases = map[string]string{
	"LOGS_DIRS":                        "log.dirs",
	"SEGMENT_BYTES":                    "log.segment.bytes",
	"MAX_MESSAGE_BYTES":                "message.max.bytes",
	"ZOOKEEPER_CONNECT_TIMEOUT_MS":     "zookeeper.connection.timeout.ms",
	"LOG_RETENTION_CHECK_INTERVALS_MS": "log.retention.check.interval.ms",
	"CLUSTER_ID":                       "ottla.cluster.id",
	"KRAFT_CLUSTER_ID":                 "ottla.cluster.id",
}

// bareNames are read without prefix in a container.
var bareNames = map[string]string{
	"BROKER_ID":         "broker.id",
	"NODE_ID":           "node.id",
	"ZOOKEEPER_CONNECT": "zookeeper.connect",
	"CLUSTER_ID":        "ottla.cluster.id",
}

// serviceLink matches what Kubernetes sets for services whose names begin with kafka: KAFKA_SERVICE_HOST, KAFKA_PORT_9092_TCP_ADDR.
var serviceLink = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_.*)?$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$`)

type environment struct {
	values map[string]string
	where  map[string]string // where NAME_FILE was read
}

func newEnvironment(list []string) *environment {
	e := &environment{values: make(map[string]string, len(list)), where: map[string]string{}}
	for _, item := range list {
		if name, value, ok := strings.Cut(item, "="); ok {
			e.values[name] = value
		}
	}
	return e
}

func (e *environment) lookup(name string) (string, bool) {
	v, ok := e.values[name]
	return v, ok
}

func (e *environment) place(name string) string {
	if w := e.where[name]; w != "" {
		return w
	}
	return "environment variable " + name
}

// readFiles gives NAME the content of the file that NAME_FILE names, without the newline at its end.
func (e *environment) readFiles() []*Problem {
	var problems []*Problem
	for _, name := range slices.Sorted(maps.Keys(e.values)) {
		target, ok := strings.CutSuffix(name, "_FILE")
		if !ok || !strings.HasPrefix(name, envPrefix) || slices.Contains(unmapped, strings.TrimPrefix(name, envPrefix)) {
			continue
		}
		path := e.values[name]
		if info, err := os.Stat(path); err != nil || info.IsDir() {
			continue // as the images do: the name was meant otherwise
		}
		b, err := readSmall(path)
		if err != nil {
			problems = append(problems, &Problem{Where: "environment variable " + name, Text: err.Error()})
			continue
		}
		e.values[target] = strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
		e.where[target] = fmt.Sprintf("environment variable %s (%s)", name, path)
		delete(e.values, name)
	}
	return problems
}

// envKey turns the name of a variable into that of a key: ___ is -, __ is _, _ is a dot, all lower case.
func envKey(name string) string {
	name = strings.ToLower(name)
	name = strings.ReplaceAll(name, "___", "\x01")
	name = strings.ReplaceAll(name, "__", "\x02")
	return strings.NewReplacer("_", ".", "\x01", "-", "\x02", "_").Replace(name)
}

// cfgKey is Bitnami's rule, where a single _ also stands inside the names of the two SASL protocols.
func cfgKey(name string) string {
	return strings.NewReplacer("sasl.ssl", "sasl_ssl", "sasl.plaintext", "sasl_plaintext").Replace(envKey(name))
}

// applyEnvironment maps the variables, the special names and aliases first, KAFKA_CFG_* last so that it wins.
func (l *loader) applyEnvironment(e *environment) {
	l.problems = append(l.problems, e.readFiles()...)
	names := slices.Sorted(maps.Keys(e.values))
	put := func(variable, key string) {
		l.put(Setting{Name: key, Value: e.values[variable], Where: e.place(variable)})
	}
	jmx := false
	var regular, cfg []string
	for _, name := range names {
		rest, ok := strings.CutPrefix(name, envPrefix)
		switch {
		case l.src.Container && bareNames[name] != "":
			put(name, bareNames[name])
		case l.src.Container && (name == "BROKER_ID_COMMAND" || name == "HOSTNAME_COMMAND" || name == "RACK_COMMAND"), ok && strings.HasSuffix(rest, "_COMMAND"):
			l.problems = append(l.problems, &Problem{Where: e.place(name), Text: name + " names a shell command, and the broker runs none: set the value itself"})
		case l.src.Container && name == "JMX_PORT":
			jmx = true
		case !ok || slices.Contains(unmapped, rest) || serviceLink.MatchString(name):
		case slices.Contains(jmxNames, rest):
			jmx = true
		case envAliases[rest] != "":
			put(name, envAliases[rest])
		case strings.HasPrefix(name, cfgPrefix):
			cfg = append(cfg, name)
		case strings.HasSuffix(name, "_PORT") && strings.HasPrefix(e.values[name], "tcp://"): // a service link as well
		default:
			regular = append(regular, name)
		}
	}
	for _, name := range regular {
		put(name, envKey(name[len(envPrefix):]))
	}
	for _, name := range cfg {
		put(name, cfgKey(name[len(cfgPrefix):]))
	}
	if jmx {
		l.warnings = append(l.warnings, Warning{Text: "there is no JMX port: metrics are served over HTTP at /metrics"})
	}
}

// deriveListeners does what the images' entry points do when only one side is given.
func (l *loader) deriveListeners(e *environment) {
	get := func(names ...string) (string, string) {
		for _, n := range names {
			if !strings.HasPrefix(n, envPrefix) && !l.src.Container {
				continue
			}
			if v := e.values[n]; v != "" && !strings.Contains(v, "://") { // KAFKA_PORT=tcp://... is a service link
				return v, n
			}
		}
		return "", ""
	}
	if !l.has("advertised.listeners") {
		host, hostVar := get("KAFKA_ADVERTISED_HOST_NAME", "ADVERTISED_HOST_NAME")
		port, portVar := get("KAFKA_ADVERTISED_PORT", "ADVERTISED_PORT")
		listenHost, _ := get("KAFKA_HOST_NAME", "HOST_NAME")
		listenPort, _ := get("KAFKA_PORT", "PORT")
		protocol, _ := get("KAFKA_ADVERTISED_PROTOCOL_NAME", "KAFKA_PROTOCOL_NAME")
		if listenPort == "" {
			listenPort = "9092"
		}
		if port == "" {
			port = listenPort
		}
		if protocol == "" {
			protocol = Plaintext
		}
		if host != "" || portVar != "" {
			where := "derived from " + strings.Trim(hostVar+" and "+portVar, " and")
			if host == "" {
				host = listenHost
			}
			l.put(Setting{Name: "advertised.listeners", Value: protocol + "://" + host + ":" + port, Where: where})
			if !l.has("listeners") {
				l.put(Setting{Name: "listeners", Value: protocol + "://" + listenHost + ":" + listenPort, Where: where})
			}
			return
		}
	}
	advertised := l.settings["advertised.listeners"]
	if l.has("listeners") || !strings.HasPrefix(advertised.Where, "environment variable ") {
		return
	}
	var own []string
	for _, item := range splitList(advertised.Value) {
		m := endpoint.FindStringSubmatch(item)
		if m == nil {
			return // advertised.listeners is refused with its own message
		}
		own = append(own, m[1]+"://0.0.0.0:"+m[3])
	}
	l.put(Setting{Name: "listeners", Value: strings.Join(own, ","), Where: "derived from " + strings.TrimPrefix(advertised.Where, "environment variable ")})
}
