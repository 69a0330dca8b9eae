package config

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// effective are the settings that Load made of the environment, by name.
func effective(t *testing.T, src Sources) map[string]string {
	t.Helper()
	st, _, err := Load(src)
	if err != nil {
		t.Fatal(err)
	}
	return st.Snapshot().static
}

func TestEnvironmentIsMappedAsTheImagesDo(t *testing.T) {
	file := write(t, "secret", "from file\r\n")
	for name, c := range map[string]struct {
		env  []string
		want map[string]string
	}{
		"the rule":              {[]string{"KAFKA_LOG_RETENTION_HOURS=3", "PATH=/bin", "NOKAFKA_X=1", "BROKER_ID=9"}, map[string]string{"log.retention.hours": "3"}},
		"case of known keys":    {[]string{"KAFKA_ZOOKEEPER_CLIENTCNXNSOCKET=x"}, map[string]string{"zookeeper.clientCnxnSocket": "x"}},
		"two underscores":       {[]string{"KAFKA_LISTENER_NAME_MY__NET_MAX_CONNECTIONS=3"}, map[string]string{"listener.name.my_net.max.connections": "3"}},
		"three underscores":     {[]string{"KAFKA_FOO___BAR__BAZ_X=3"}, map[string]string{"foo-bar_baz.x": "3"}},
		"prefix inside":         {[]string{"KAFKA_KAFKA_METRICS_POLLING_INTERVAL_SECS=3"}, map[string]string{"kafka.metrics.polling.interval.secs": "3"}},
		"bitnami":               {[]string{"KAFKA_CFG_NUM_PARTITIONS=3", "KAFKA_NUM_PARTITIONS=4", "KAFKA_CFG_FOO_SASL_SSL_BAR=x", "KAFKA_CFG_FOO_SASL_PLAINTEXT=y"}, map[string]string{"num.partitions": "3", "foo.sasl_ssl.bar": "x", "foo.sasl_plaintext": "y"}},
		"bitnami's aliases":     {[]string{"KAFKA_LOGS_DIRS=/a", "KAFKA_SEGMENT_BYTES=100", "KAFKA_MAX_MESSAGE_BYTES=200", "KAFKA_ZOOKEEPER_CONNECT_TIMEOUT_MS=5"}, map[string]string{"log.dirs": "/a", "log.segment.bytes": "100", "message.max.bytes": "200", "zookeeper.connection.timeout.ms": "5"}},
		"not mapped":            {[]string{"KAFKA_VERSION=3", "KAFKA_HEAP_OPTS=-Xmx1g", "KAFKA_OPTS=x", "KAFKA_LOG4J_LOGGERS=x", "KAFKA_JMX_PORT=9999", "KAFKA_HOME=/x", "KAFKA_CREATE_TOPICS=a:1:1"}, map[string]string{}},
		"service links":         {[]string{"KAFKA_SERVICE_HOST=10.0.0.1", "KAFKA_SERVICE_PORT=9092", "KAFKA_SERVICE_PORT_HTTP=9092", "KAFKA_PORT=tcp://10.0.0.1:9092", "KAFKA_PORT_9092_TCP=tcp://10.0.0.1:9092", "KAFKA_PORT_9092_TCP_ADDR=10.0.0.1", "KAFKA_PORT_9092_TCP_PROTO=tcp", "KAFKA_UI_SERVICE_HOST=x", "KAFKA_UI_PORT=tcp://x"}, map[string]string{}},
		"file":                  {[]string{"KAFKA_BROKER_RACK_FILE=" + file}, map[string]string{"broker.rack": "from file"}},
		"file that is not":      {[]string{"KAFKA_FOO_FILE=/no/such"}, map[string]string{"foo.file": "/no/such"}},
		"cluster id":            {[]string{"KAFKA_CLUSTER_ID=abc"}, map[string]string{"ottla.cluster.id": "abc"}},
		"node id":               {[]string{"KAFKA_NODE_ID=4"}, map[string]string{"node.id": "4", "broker.id": "4"}},
		"listeners derived":     {[]string{"KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://kafka:29092,HOST://localhost:9092", "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=PLAINTEXT:PLAINTEXT,HOST:PLAINTEXT"}, map[string]string{"advertised.listeners": "PLAINTEXT://kafka:29092,HOST://localhost:9092", "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,HOST:PLAINTEXT", "listeners": "PLAINTEXT://0.0.0.0:29092,HOST://0.0.0.0:9092"}},
		"listeners given":       {[]string{"KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://kafka:29092", "KAFKA_LISTENERS=PLAINTEXT://:1"}, map[string]string{"advertised.listeners": "PLAINTEXT://kafka:29092", "listeners": "PLAINTEXT://:1"}},
		"host name and port":    {[]string{"KAFKA_ADVERTISED_HOST_NAME=kafka", "KAFKA_ADVERTISED_PORT=9094"}, map[string]string{"advertised.listeners": "PLAINTEXT://kafka:9094", "listeners": "PLAINTEXT://:9092"}},
		"host name alone":       {[]string{"KAFKA_ADVERTISED_HOST_NAME=kafka", "KAFKA_PORT=1234"}, map[string]string{"advertised.listeners": "PLAINTEXT://kafka:1234", "listeners": "PLAINTEXT://:1234"}},
		"a service link's port": {[]string{"KAFKA_ADVERTISED_HOST_NAME=kafka", "KAFKA_PORT=tcp://10.0.0.1:5"}, map[string]string{"advertised.listeners": "PLAINTEXT://kafka:9092", "listeners": "PLAINTEXT://:9092"}},
	} {
		t.Run(name, func(t *testing.T) { want(t, "settings", effective(t, Sources{Env: c.env}), c.want) })
	}
}

func TestShellCommandsInTheEnvironmentAreRefused(t *testing.T) {
	_, _, err := Load(Sources{Env: []string{"KAFKA_BROKER_ID_COMMAND=hostname"}})
	if err == nil || !strings.Contains(err.Error(), "the broker runs none") {
		t.Errorf("error %v", err)
	}
}

func TestContainerDefaults(t *testing.T) {
	root := t.TempDir()
	mkdir := func(path string) {
		if err := os.MkdirAll(filepath.Join(root, path), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	mkdir("var/lib/kafka/data")
	src := Sources{Container: true, Root: root, Env: []string{"BROKER_ID=7", "ZOOKEEPER_CONNECT=zk:2181", "HOST_NAME=me", "ADVERTISED_HOST_NAME=out", "PORT=5"}}
	want(t, "without prefix", effective(t, src), map[string]string{"broker.id": "7", "node.id": "7", "zookeeper.connect": "zk:2181",
		"advertised.listeners": "PLAINTEXT://out:5", "listeners": "PLAINTEXT://me:5", "log.dirs": root + "/var/lib/kafka/data"})

	src.Env = nil
	mkdir("bitnami/kafka/data/topic-0")
	want(t, "a directory with data", effective(t, src), map[string]string{"log.dirs": root + "/bitnami/kafka/data"})
	src.Env = []string{"KAFKA_LOG_DIR=/x"}
	want(t, "a directory that is set", effective(t, src), map[string]string{"log.dir": "/x"})

	mkdir("etc/kafka")
	if err := os.WriteFile(filepath.Join(root, "etc/kafka/server.properties"), []byte("log.dirs=/from/file"), 0o600); err != nil {
		t.Fatal(err)
	}
	src.Env = nil
	want(t, "a mounted file", effective(t, src), map[string]string{"log.dirs": "/from/file"})
}

func TestOneNodeKRaftContainerRunsStandalone(t *testing.T) {
	env := []string{"KAFKA_PROCESS_ROLES=broker,controller", "KAFKA_NODE_ID=1", "KAFKA_LISTENERS=PLAINTEXT://:9092,CONTROLLER://:9093",
		"KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:9092", "KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER", "KAFKA_CONTROLLER_QUORUM_VOTERS=1@localhost:9093",
		"KAFKA_LOG_DIRS=/d", "CLUSTER_ID=5L6g3nShT-eMCtK--X86sw"}
	st, warnings, err := Load(Sources{Container: true, Root: t.TempDir(), Env: env})
	if err != nil {
		t.Fatal(err)
	}
	s := st.Snapshot()
	want(t, "listeners", s.Listeners(), []Listener{{"PLAINTEXT", "", 9092, Plaintext}})
	want(t, "broker.id", s.BrokerID(), 1)
	want(t, "cluster id", Get(s, OttlaClusterId), "5L6g3nShT-eMCtK--X86sw")
	if len(warnings) != 1 || !strings.Contains(warnings[0].Text, "CONTROLLER://:9093") {
		t.Errorf("warnings %v", warnings)
	}
	for what, more := range map[string]string{
		"there is no KRaft quorum to take part in": "KAFKA_PROCESS_ROLES=controller",
		"names 2 voters": "KAFKA_CONTROLLER_QUORUM_VOTERS=1@a:9093,2@b:9093",
	} {
		_, _, err := Load(Sources{Container: true, Root: t.TempDir(), Env: append(slices.Clone(env), more)})
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: error %v", more, err)
		}
	}
	if _, _, err := Load(Sources{Env: env}); err == nil || !strings.Contains(err.Error(), "CONTROLLER") {
		t.Errorf("outside a container: %v", err)
	}
	file := write(t, "server.properties", "process.roles=broker\n")
	if _, _, err := Load(Sources{Container: true, Root: t.TempDir(), File: file}); err == nil || !strings.Contains(err.Error(), "process.roles=broker is not served") {
		t.Errorf("from a file: %v", err)
	}
}

func TestEnvironmentWinsByOrder(t *testing.T) {
	e := newEnvironment([]string{"A=1", "A=2", "malformed"})
	want(t, "values", maps.Collect(maps.All(e.values)), map[string]string{"A": "2"})
}
