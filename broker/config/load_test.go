package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
)

func load(t *testing.T, src Sources) (*Snapshot, []Warning) {
	t.Helper()
	s, warnings, err := Load(src)
	if err != nil {
		t.Fatal(err)
	}
	return s.Snapshot(), warnings
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func want[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestServerPropertiesOfKafkaLoads(t *testing.T) {
	s, warnings := load(t, Sources{File: "testdata/server.properties"})
	want(t, "broker.id", Get(s, BrokerId), 1)
	want(t, "broker.id.generation.enable", Get(s, BrokerIdGenerationEnable), false)
	want(t, "node.id", Get(s, NodeId), 1)
	want(t, "log.dirs", s.LogDirs(), []string{"/var/lib/kafka/a", "/var/lib/kafka/b"})
	want(t, "num.partitions", Get(s, NumPartitions), 3)
	want(t, "max.connections", Get(s, MaxConnections), 4000)
	want(t, "max.connections.per.ip", Get(s, MaxConnectionsPerIp), 300)
	want(t, "overrides", s.MaxConnectionsPerIPOverrides(), map[string]int{"10.0.0.1": 5, "10.0.0.2": 7})
	want(t, "max.connections of INTERNAL", GetFor(s, "INTERNAL", MaxConnections), 50)
	want(t, "max.connections of PLAINTEXT", GetFor(s, "PLAINTEXT", MaxConnections), 4000)
	want(t, "log.segment.bytes", Get(s, LogSegmentBytes), 1<<30)
	want(t, "zookeeper.clientCnxnSocket", Get(s, ZookeeperClientCnxnSocket), "org.apache.zookeeper.ClientCnxnSocketNetty")
	want(t, "broker.rack is set", IsSet(s, BrokerRack), true)
	want(t, "broker.rack", Get(s, BrokerRack), "")
	want(t, "inter-broker listener", s.InterBroker(), Listener{"INTERNAL", "127.0.0.1", 19092, Plaintext})
	want(t, "listeners", s.Listeners(), []Listener{{"PLAINTEXT", "", 9092, Plaintext}, {"INTERNAL", "127.0.0.1", 19092, Plaintext}})
	servers, chroot := s.ZooKeeperConnect()
	want(t, "zookeeper.connect", servers, []string{"localhost:2181", "other:2181"})
	want(t, "chroot", chroot, "/kafka/a")
	for name, value := range map[string]string{"super.users": "User:a${b;User:c", "my.plugin.template": "${HOME}/${file:/etc/passwd:root}/p${q",
		"my.plugin.MixedACase": "grüß"} {
		got, _ := s.Raw(name)
		want(t, name, got, value)
	}
	var texts []string
	for _, w := range warnings {
		texts = append(texts, w.String())
	}
	want(t, "warnings", texts, []string{
		"testdata/server.properties:41: log.segment.bytes is given more than once, also on line 40; the last one counts",
		"testdata/server.properties:55: unknown configuration key my.plugin.MixedACase is kept but has no effect",
		"testdata/server.properties:54: unknown configuration key my.plugin.template is kept but has no effect",
	})
}

func TestPrecedenceOfSources(t *testing.T) {
	file := write(t, "server.properties", "num.partitions=2\nlog.retention.hours=5\nnum.io.threads=9\n")
	s, _ := load(t, Sources{File: file, Env: []string{"KAFKA_NUM_PARTITIONS=3", "KAFKA_LOG_RETENTION_HOURS=6"}, Sets: []string{"num.partitions=4"}})
	want(t, "num.partitions", Get(s, NumPartitions), 4)
	want(t, "log.retention.hours", Get(s, LogRetentionHours), 6)
	want(t, "num.io.threads", Get(s, NumIoThreads), 9)
	want(t, "num.network.threads", Get(s, NumNetworkThreads), 3)
}

func TestNamesAreFoundInAnyCase(t *testing.T) {
	s, warnings := load(t, Sources{Sets: []string{"NUM.Partitions=7", "zookeeper.clientcnxnsocket=x", "Listener.Name.PLAINTEXT.Max.Connections=3"}})
	want(t, "num.partitions", Get(s, NumPartitions), 7)
	want(t, "zookeeper.clientCnxnSocket", Get(s, ZookeeperClientCnxnSocket), "x")
	want(t, "of the listener", GetFor(s, "plaintext", MaxConnections), 3)
	want(t, "warnings", warnings, nil)
}

func TestOtherFormats(t *testing.T) {
	for name, content := range map[string]string{
		"flat.yaml":   "broker.id: 5\nbroker.id.generation.enable: false\nlog.cleaner.min.cleanable.ratio: 0.25\nlog.cleanup.policy: [compact, delete]\nzookeeper.clientCnxnSocket: Foo\nmy.Own: x\nbroker.rack:\n",
		"nested.yml":  "broker:\n  id: 5\n  id.generation.enable: false\nlog:\n  cleaner:\n    min.cleanable.ratio: 0.25\n  cleanup.policy: compact, delete\nzookeeper:\n  clientCnxnSocket: Foo\nmy:\n  Own: x\n",
		"flat.toml":   "\"broker.id\" = 5\n\"broker.id.generation.enable\" = false\n\"log.cleaner.min.cleanable.ratio\" = 0.25\n\"log.cleanup.policy\" = [\"compact\", \"delete\"]\n\"zookeeper.clientCnxnSocket\" = \"Foo\"\n\"my.Own\" = \"x\"\n",
		"nested.toml": "[broker]\nid = 5\n\"id.generation.enable\" = false\n[log]\n\"cleaner.min.cleanable.ratio\" = 0.25\n\"cleanup.policy\" = \"compact,delete\"\n[zookeeper]\nclientCnxnSocket = \"Foo\"\n[my]\nOwn = \"x\"\n",
		"flat.json":   `{"broker.id": 5, "broker.id.generation.enable": false, "log.cleaner.min.cleanable.ratio": 0.25, "log.cleanup.policy": ["compact", "delete"], "zookeeper.clientCnxnSocket": "Foo", "my.Own": "x"}`,
		"nested.json": `{"broker": {"id": 5, "id.generation.enable": false}, "log": {"cleaner": {"min.cleanable.ratio": 0.25}, "cleanup.policy": "compact,delete"}, "zookeeper": {"clientCnxnSocket": "Foo"}, "my": {"Own": "x"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := load(t, Sources{File: write(t, name, content)})
			want(t, "broker.id", Get(s, BrokerId), 5)
			want(t, "broker.id.generation.enable", Get(s, BrokerIdGenerationEnable), false)
			want(t, "ratio", Get(s, LogCleanerMinCleanableRatio), 0.25)
			want(t, "log.cleanup.policy", Get(s, LogCleanupPolicy), []string{"compact", "delete"})
			want(t, "zookeeper.clientCnxnSocket", Get(s, ZookeeperClientCnxnSocket), "Foo")
			own, _ := s.Raw("my.Own")
			want(t, "my.Own", own, "x")
			want(t, "broker.rack is set", IsSet(s, BrokerRack), false)
		})
	}
}

func TestProblemsNameKeyValuePlaceAndWhatIsAllowed(t *testing.T) {
	properties := "broker.id=1\n\nlog.segment.bytes=\\\n  abc\nlog.cleanup.policy=keep\nlisteners=SSL://:9093\nssl.keystore.password=secret\n" +
		"security.inter.broker.protocol=SSL\nlog.retention.ms=0\nunclean.leader.election.enable=maybe\n"
	file := write(t, "server.properties", properties)
	yaml := write(t, "server.yaml", "num:\n  partitions: 0\n")
	for name, c := range map[string]struct {
		src  Sources
		want []string
	}{
		"values": {Sources{File: file}, []string{
			file + ":5: Invalid value keep for configuration log.cleanup.policy: String must be one of: compact, delete; allowed: a list of compact, delete",
			file + ":3: Invalid value abc for configuration log.segment.bytes: Not a number of type INT; allowed: a whole number of type INT, at least 14",
			file + ":10: Invalid value maybe for configuration unclean.leader.election.enable: Expected value to be either true or false; allowed: true or false",
		}},
		"rules": {Sources{File: file, Env: []string{"KAFKA_LOG_CLEANUP_POLICY=delete"}, Sets: []string{"log.segment.bytes=100", "unclean.leader.election.enable=true"}}, []string{
			file + ":9: log.retention.ms must be unlimited (-1) or, greater than or equal to 1",
			file + ":6: listener SSL uses the security protocol SSL, which is not served yet: only PLAINTEXT is",
		}},
		"not served": {Sources{Sets: []string{"ssl.keystore.password=secret", "process.roles=broker", "authorizer.class.name=kafka.security.authorizer.AclAuthorizer",
			"listener.name.plaintext.ssl.truststore.password=secret"}}, []string{
			"--set: authorizer.class.name=kafka.security.authorizer.AclAuthorizer is not served: only the default, '', is. Java name of the authorizer; empty allows everything to everybody, and access control lists are not served yet.",
			"--set: listener.name.plaintext.ssl.truststore.password=[hidden] is not served: leave it out. Password of the truststore file; TLS is not served yet.",
			"--set: process.roles=broker is not served: only the default, '', is. Roles under KRaft; this broker runs with ZooKeeper or standalone, so any role is refused.",
			"--set: ssl.keystore.password=[hidden] is not served: leave it out. Password of the keystore file; TLS is not served yet.",
		}},
		"yaml":      {Sources{File: yaml}, []string{yaml + ":2: Invalid value 0 for configuration num.partitions: Value must be at least 1; allowed: a whole number of type INT, at least 1"}},
		"env":       {Sources{Env: []string{"KAFKA_BROKER_ID=none"}}, []string{"environment variable KAFKA_BROKER_ID: Invalid value none for configuration broker.id: Not a number of type INT; allowed: a whole number of type INT", "environment variable KAFKA_BROKER_ID: Invalid value none for configuration node.id: Not a number of type INT; allowed: a whole number of type INT"}},
		"no pair":   {Sources{Sets: []string{"broker.id"}}, []string{`--set: "broker.id" is not key=value`}},
		"no file":   {Sources{File: "/no/such/file"}, []string{"configuration file: open /no/such/file: no such file or directory"}},
		"two ids":   {Sources{Sets: []string{"broker.id=1", "node.id=2"}}, []string{"--set: You must set `node.id` to the same value as `broker.id`."}},
		"no listen": {Sources{Sets: []string{"listeners="}}, []string{"--set: listeners names no listener"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Load(c.src)
			if err == nil {
				t.Fatal("accepted")
			}
			want(t, "error", strings.Split(err.Error(), "\n"), c.want)
			var p *Problem
			if !errors.As(err, &p) || !errors.Is(err, kerr.InvalidConfig) {
				t.Errorf("%T carries no Problem or no INVALID_CONFIG", err)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Error("a password is shown")
			}
		})
	}
}

func TestRulesBetweenKeys(t *testing.T) {
	for _, c := range []struct{ sets, want string }{
		{"broker.id=1001", "broker.id must be greater than or equal to -1 and not greater than reserved.broker.max.id"},
		{"broker.id.generation.enable=false", "broker.id must be greater than or equal to 0"},
		{"log.cleaner.threads=0", "Log cleaner threads should be at least 1"},
		{"log.cleaner.threads=200", "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread."},
		{"log.dirs= , ", "At least one log directory must be defined via log.dirs or log.dir."},
		{"replica.fetch.wait.max.ms=40000 replica.lag.time.max.ms=90000", "replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms to prevent unnecessary socket timeouts"},
		{"replica.fetch.wait.max.ms=400 replica.lag.time.max.ms=300", "replica.fetch.wait.max.ms should always be less than or equal to replica.lag.time.max.ms to prevent frequent changes in ISR"},
		{"queued.max.request.bytes=5", "queued.max.request.bytes must be larger or equal to socket.request.max.bytes"},
		{"max.connections.per.ip=0", "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set."},
		{"connections.max.idle.ms=100", "connection.failed.authentication.delay.ms should always be less than connections.max.idle.ms to prevent failed authentication responses from timing out"},
		{"offsets.commit.required.acks=5", "offsets.commit.required.acks must be greater or equal -1 and less or equal to offsets.topic.replication.factor"},
		{"log.retention.hours=0", "log.retention.ms must be unlimited (-1) or, greater than or equal to 1"},
		{"log.roll.ms=0", "log.roll.ms must be greater than or equal to 1"},
		{"advertised.listeners=PLAINTEXT://0.0.0.0:9092", "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address."},
		{"listeners=PLAINTEXT://0.0.0.0:9092", "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address."},
		{"listeners=FOO://:9092", "Error creating broker listeners from 'FOO://:9092': No security protocol defined for listener FOO"},
		{"listeners=PLAINTEXT:9092", "Error creating broker listeners from 'PLAINTEXT:9092': Unable to parse PLAINTEXT:9092 to a broker endpoint"},
		{"listeners=PLAINTEXT://:70000", "Error creating broker listeners from 'PLAINTEXT://:70000': port 70000 of PLAINTEXT://:70000 is not between 0 and 65535"},
		{"listeners=PLAINTEXT://:9092,PLAINTEXT://:9093", "Each listener must have a different name, listeners: PLAINTEXT://:9092,PLAINTEXT://:9093"},
		{"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,B:PLAINTEXT listeners=PLAINTEXT://:9092,B://:9092",
			"Each listener must have a different port unless exactly one listener has an IPv4 address and the other IPv6 address, listeners: PLAINTEXT://:9092,B://:9092"},
		{"listener.security.protocol.map=PLAINTEXT:PLAIN", "Invalid value PLAIN for configuration listener.security.protocol.map: String must be one of: PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"},
		{"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,B:PLAINTEXT inter.broker.listener.name=B", "inter.broker.listener.name must be a listener name defined in advertised.listeners. The valid options based on currently configured listeners are PLAINTEXT"},
		{"inter.broker.listener.name=B", "Listener with name B defined in inter.broker.listener.name not found in listener.security.protocol.map."},
		{"inter.broker.listener.name=PLAINTEXT security.inter.broker.protocol=PLAINTEXT", "Only one of inter.broker.listener.name and security.inter.broker.protocol should be set."},
		{"zookeeper.connect=a:1 inter.broker.protocol.version=4.0-IV0", "Invalid value 4.0-IV0 for configuration inter.broker.protocol.version: Version 4.0-IV0 was never released; allowed: a Kafka version from 0.8.0 to 3.9, such as 3.9 or 3.9-IV0"},
	} {
		var sets []string
		for _, s := range strings.Split(c.sets, " ") {
			if strings.Contains(s, "=") {
				sets = append(sets, s)
			} else {
				sets[len(sets)-1] += " " + s
			}
		}
		_, _, err := Load(Sources{Sets: sets})
		if err == nil {
			t.Errorf("%s is accepted", c.sets)
			continue
		}
		if first := strings.TrimPrefix(strings.Split(err.Error(), "\n")[0], "--set: "); first != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.sets, first, c.want)
		}
	}
}

func TestListenersThatAreFine(t *testing.T) {
	for list, wantList := range map[string][]Listener{
		"PLAINTEXT://:0": {{"PLAINTEXT", "", 0, Plaintext}},
		"plaintext://[::1]:9092, B://127.0.0.1:9092": {{"PLAINTEXT", "::1", 9092, Plaintext}, {"B", "127.0.0.1", 9092, Plaintext}},
		"PLAINTEXT://my-host.example.org:1,B://:0":   {{"PLAINTEXT", "my-host.example.org", 1, Plaintext}, {"B", "", 0, Plaintext}},
	} {
		s, _ := load(t, Sources{Sets: []string{"listeners=" + list, "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,b:PLAINTEXT"}})
		want(t, list, s.Listeners(), wantList)
		want(t, "advertised "+list, s.Advertised(), wantList)
	}
	want(t, "text", Listener{"A", "::1", 5, SSL}.String(), "A://[::1]:5")
	want(t, "address", Listener{"A", "::1", 5, SSL}.Address(), "[::1]:5")
}

func TestUnknownKeyIsWarnedAboutWithNearestName(t *testing.T) {
	for name, near := range map[string]string{
		"log.retention.hour":  "did you mean log.retention.hours?",
		"nmu.partitions":      "did you mean num.partitions?",
		"zookeper.connect":    "did you mean zookeeper.connect?",
		"cleanup.policy":      "it is a topic config, its default for all topics is log.cleanup.policy",
		"retention.ms":        "it is a topic config, its default for all topics is log.retention.ms",
		"entirely.else.where": "",
	} {
		_, warnings := load(t, Sources{Sets: []string{name + "=1"}})
		if len(warnings) != 1 || !strings.HasSuffix(warnings[0].Text, near) || near == "" && strings.Contains(warnings[0].Text, "mean") {
			t.Errorf("%s: %v, want %s", name, warnings, near)
		}
	}
}

func TestSettingsMaskSecrets(t *testing.T) {
	st, _, err := Load(Sources{Sets: []string{"password.encoder.secret=", "my.password=x", "super.users=User:a", "broker.id=3"}})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "settings", st.Settings(), []Setting{{"broker.id", "3", "--set"}, {"my.password", Mask, "--set"}, {"node.id", "3", "--set"},
		{"password.encoder.secret", Mask, "--set"}, {"super.users", "User:a", "--set"}})
	p := Password{"x"}
	if s := fmt.Sprintf("%v %+v %#v %s", p, p, p, p); strings.Contains(s, "x") {
		t.Errorf("printed as %s", s)
	}
}

func TestVariablesAreResolvedByConfigProviders(t *testing.T) {
	dir := t.TempDir()
	secrets := filepath.Join(dir, "secrets.properties")
	for path, content := range map[string]string{secrets: "rack=r1\nmulti\\ word=x", filepath.Join(dir, "own"): "from-a-file\n"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	providers := []string{"config.providers=env, file,dir", "config.providers.env.class=" + envProvider, "config.providers.file.class=" + fileProvider,
		"config.providers.dir.class=" + directoryProvider, "config.providers.dir.param.allowed.paths=" + dir, "config.providers.env.param.allowlist.pattern=MY_.*"}
	env := []string{"MY_ID=7", "OTHER=8"}
	s, warnings := load(t, Sources{Env: env, Sets: append(slices.Clone(providers), "broker.id=${env:MY_ID}", "broker.rack=<${file:"+secrets+":rack}>",
		"a.b=${dir:"+dir+":own}${vault:x}${env:MY_ID}", "c.d=$${x}")})
	want(t, "broker.id", Get(s, BrokerId), 7)
	want(t, "broker.rack", Get(s, BrokerRack), "<r1>")
	got, _ := s.Raw("a.b")
	want(t, "a.b", got, "from-a-file\n${vault:x}7")
	if len(warnings) != 2 {
		t.Errorf("warnings %v", warnings)
	}
	for set, text := range map[string]string{
		"broker.rack=${env:OTHER}":           "--set: broker.rack: the variable ${env:OTHER} cannot be resolved: the environment variable OTHER is not set or not allowed",
		"broker.rack=${file:/no/such:x}":     "--set: broker.rack: the variable ${file:/no/such:x} cannot be resolved: stat /no/such: no such file or directory",
		"broker.rack=${dir:/etc:passwd}":     "--set: broker.rack: the variable ${dir:/etc:passwd} cannot be resolved: /etc/passwd is not in the provider's allowed.paths",
		"config.providers=x":                 "--set: config.providers names x, but config.providers.x.class is not set",
		"config.providers.env.class=org.foo": "--set: config.providers.env.class=org.foo cannot be loaded: only " + envProvider + ", " + fileProvider + " and " + directoryProvider + " are known",
	} {
		_, _, err := Load(Sources{Env: env, Sets: append(slices.Clone(providers), set)})
		if err == nil || err.Error() != text {
			t.Errorf("%s: %v, want %s", set, err, text)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	env := os.Environ()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Load(Sources{File: "testdata/server.properties", Env: env}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	s := pristine()
	b.ReportAllocs()
	for b.Loop() {
		if Get(s, LogSegmentBytes) == 0 || Get(s, SocketRequestMaxBytes) == 0 {
			b.Fatal()
		}
	}
}
