package config

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
)

// The files named kafka-3.9.2-* were taken from Apache Kafka 3.9.2: what its ConfigDefs say to a set of values, what a broker with the
// layers of describeLayers answers to DescribeConfigs, and what it answers to a series of IncrementalAlterConfigs requests.

func readTSV(t *testing.T, file string) [][]string {
	t.Helper()
	f, err := os.Open("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var rows [][]string
	for s := bufio.NewScanner(f); s.Scan(); {
		rows = append(rows, strings.Split(s.Text(), "\t"))
	}
	return rows
}

// strict are keys where we refuse more than Kafka's parser does (Kafka fails later, or goes on with what it cannot do).
var strict = map[string]bool{
	"replica.selector.class":                true, // a class that cannot be loaded fails when the broker starts
	"group.coordinator.rebalance.protocols": true, // share needs KRaft
	"group.consumer.assignors":              true, // a class that cannot be loaded fails when the broker starts
	"offsets.topic.compression.codec":       true, // an unknown id fails when the coordinator starts
}

// ownWords are keys where our message differs from Kafka's.
var ownWords = map[string]bool{"controller.quorum.voters": true, "controller.quorum.bootstrap.servers": true}

func TestValuesAreJudgedAsByKafka(t *testing.T) {
	rows := readTSV(t, "kafka-3.9.2-values.tsv")
	if len(rows) < 1600 {
		t.Fatalf("only %d rows", len(rows))
	}
	for _, r := range rows {
		keys, name, value, verdict, want := brokerKeys, r[1], r[2], r[3], r[4]
		if r[0] == "topic" {
			keys = topicKeys
		}
		d := keys.get(name)
		if d == nil {
			t.Errorf("%s config %s is not declared", r[0], name)
			continue
		}
		v, err := d.parse(value)
		switch {
		case verdict == "ok" && value == "NaN" && d.Type == Double:
			if err == nil {
				t.Errorf("%s=NaN is accepted", name)
			}
		case verdict == "ok" && err != nil && !strict[name]:
			t.Errorf("%s=%s: refused (%s), Kafka takes it", name, value, err)
		case verdict == "ok" && err == nil && want != "=" && format(v) != want:
			t.Errorf("%s=%s: shown as %s, by Kafka as %s", name, value, format(v), want)
		case verdict == "err" && err == nil:
			t.Errorf("%s=%s: accepted, Kafka says %s", name, value, want)
		case verdict == "err" && err.Error() != want && !ownWords[name] && (d.Type != Class || value == javaTrim(value)):
			t.Errorf("%s=%s: %q, Kafka says %q", name, value, err, want)
		}
		if err != nil && !errors.Is(err, kerr.InvalidConfig) {
			t.Errorf("%s=%s: %v does not carry INVALID_CONFIG", name, value, err)
		}
	}
}

// describeLayers are the layers of the broker that kafka-3.9.2-describe.json was taken from.
func describeLayers() (static, byDefault, broker map[string]string) {
	static = map[string]string{"broker.id": "1", "node.id": "1", "zookeeper.connect": "127.0.0.1:2181", "listeners": "PLAINTEXT://127.0.0.1:9092",
		"log.dirs": "/data/kafka", "offsets.topic.replication.factor": "1", "transaction.state.log.replication.factor": "1",
		"transaction.state.log.min.isr": "1", "share.coordinator.state.topic.replication.factor": "1",
		"share.coordinator.state.topic.min.isr": "1", "group.initial.rebalance.delay.ms": "0", "foo.bar": "baz",
		"log.retention.minutes": "2880", "compression.type": "lz4"}
	byDefault = map[string]string{"compression.type": "gzip", "log.cleaner.threads": "2", "max.connections.per.ip": "800",
		"listener.name.plaintext.max.connections": "7000"}
	broker = map[string]string{"log.roll.ms": "1000000", "listener.name.plaintext.max.connections": "700", "log.cleaner.threads": "2",
		"max.connections.per.ip": "900", "listener.name.foo.ssl.keystore.type": "JKS", "listener.name.plaintext.no.such": "JKS",
		"max.connections.per.ip.overrides": "127.0.0.1:5", "leader.replication.throttled.rate": "5000000", "remote.fetch.max.wait.ms": "5"}
	return static, byDefault, broker
}

type goldenEntry struct {
	Name      string          `json:"name"`
	Value     *string         `json:"value"`
	ReadOnly  bool            `json:"readOnly"`
	Source    Source          `json:"source"`
	Sensitive bool            `json:"sensitive"`
	Type      Type            `json:"type"`
	Synonyms  []goldenSynonym `json:"synonyms"`
}

type goldenSynonym struct {
	Name   string  `json:"name"`
	Value  *string `json:"value"`
	Source Source  `json:"source"`
}

func golden(entries []Entry) []goldenEntry {
	var all []goldenEntry
	for _, e := range entries {
		g := goldenEntry{e.Name, e.Value, e.ReadOnly, e.Source, e.Sensitive, e.Type, nil}
		for _, y := range e.Synonyms {
			g.Synonyms = append(g.Synonyms, goldenSynonym(y))
		}
		all = append(all, g)
	}
	return all
}

func TestDescribeConfigsAnswersAsKafka(t *testing.T) {
	b, err := os.ReadFile("testdata/kafka-3.9.2-describe.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string][]goldenEntry
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	s, errs := assemble(describeLayers())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	topic := map[string]string{"retention.ms": "1000000", "cleanup.policy": "", "min.cleanable.dirty.ratio": "1e-1", "max.compaction.lag.ms": "5",
		"local.retention.ms": "99999999999", "local.retention.bytes": "100", "message.format.version": "0.10.0",
		"leader.replication.throttled.replicas": "0:1", "follower.replication.throttled.replicas": "*"}
	for i := range want["broker"] { // served here as by Kafka 4
		if e := &want["broker"][i]; e.Name == "group.coordinator.rebalance.protocols" {
			e.Value = ptr("classic,consumer")
			e.Synonyms[0].Value = e.Value
		}
	}
	for name, got := range map[string][]Entry{"broker": s.DescribeBroker(nil), "default": s.DescribeDefault(nil), "topic": s.DescribeTopic(topic, nil)} {
		if diff := cmp.Diff(want[name], golden(got)); diff != "" {
			t.Errorf("%s (-Kafka +ours):\n%s", name, diff)
		}
		for _, e := range got {
			if brokerKeys.get(e.Name) != nil && e.Doc == "" {
				t.Errorf("%s has no documentation", e.Name)
			}
		}
	}
}

// own are requests of kafka-3.9.2-alter.tsv that we answer otherwise, with the reason.
var own = map[string]struct {
	code int16
	text string
}{
	"no.such.append":           {kerr.InvalidConfig.Code, "Unknown config name: no.such.append"}, // Kafka fails with -1
	"no.such":                  {kerr.InvalidConfig.Code, "Unknown topic config name: no.such"},  // -1 for append and subtract
	"retention.ms/7":           {kerr.InvalidRequest.Code, "Unknown operations type 7"},          // -1 for topics
	"remote.fetch.max.wait.ms": {kerr.InvalidConfig.Code, "remote.fetch.max.wait.ms=5 is not served: only the default, '500', is. Longest wait for tiered data in a fetch, in milliseconds; tiered storage is not served yet."},
	"listener.name.plaintext.ssl.keystore.password": {kerr.InvalidConfig.Code, "listener.name.plaintext.ssl.keystore.password=[hidden] is not served: leave it out. Password of the keystore file; TLS is not served yet."},
	"sasl.enabled.mechanisms":                       {kerr.InvalidConfig.Code, "sasl.enabled.mechanisms=PLAIN is not served: only the default, 'GSSAPI', is. SASL mechanisms offered to clients; SASL is not served yet."},
	"listener.security.protocol.map":                {kerr.InvalidRequest.Code, "Error parsing configuration property 'listener.security.protocol.map': 'garbage' is not NAME:PROTOCOL"},
	"max.connections.per.ip.overrides":              {kerr.InvalidRequest.Code, "Error parsing configuration property 'max.connections.per.ip.overrides': 'a' is not host:count"},
}

func TestAlterConfigsAnswersAsKafka(t *testing.T) {
	static, _, _ := describeLayers()
	d := NewDynamic(newStatic(t, static))
	byDefault, broker := map[string]string{}, map[string]string{}
	topic := map[string]string{"retention.ms": "1000000", "cleanup.policy": "compact, delete", "min.cleanable.dirty.ratio": "0.10"}
	for _, r := range readTSV(t, "kafka-3.9.2-alter.tsv") {
		resource, op := r[1], r[2]
		key, value, _ := strings.Cut(r[3], "=")
		wantCode, _ := strconv.Atoi(r[4])
		wantText := r[5]
		if resource != "1" && resource != "" && resource != "t1" || r[0] == "2" && resource == "" {
			continue // which resource is meant is not for this package to say
		}
		n, _ := strconv.Atoi(op)
		c := Change{Name: key, Op: Op(n), Value: &value}
		if value == "null" {
			c.Value = nil
		}
		var next map[string]string
		var err error
		var apply func() error
		switch {
		case r[0] == "2":
			next, err = d.Snapshot().AlterTopic("t1", topic, []Change{c})
			apply = func() error { topic = next; return nil }
		case resource == "":
			next, err = d.AlterBroker(false, byDefault, []Change{c})
			apply = func() error { byDefault = next; return d.SetDefault(next) }
		default:
			next, err = d.AlterBroker(true, broker, []Change{c})
			apply = func() error { broker = next; return d.SetBroker(next) }
		}
		gotCode, gotText := 0, ""
		if err != nil {
			var k *kerr.Error
			if !errors.As(err, &k) {
				t.Fatalf("%v: %v carries no code", r, err)
			}
			gotCode, gotText = int(k.Code), err.Error()
		}
		if o, ok := own[key+"/"+op]; ok {
			wantCode, wantText = int(o.code), o.text
		} else if o, ok := own[key]; ok && (wantCode != 0 || strings.HasPrefix(key, "remote.")) {
			wantCode, wantText = int(o.code), o.text
		}
		if gotCode != wantCode || gotText != wantText {
			t.Errorf("%v\n got %d %s\nwant %d %s", r, gotCode, gotText, wantCode, wantText)
		}
		if err == nil {
			if err := apply(); err != nil {
				t.Errorf("%v: %v", r, err)
			}
		}
	}
}

// newStatic is a Static of settings, as Load makes it.
func newStatic(t *testing.T, props map[string]string) *Static {
	t.Helper()
	var sets []string
	for name, value := range props {
		sets = append(sets, name+"="+value)
	}
	slices.Sort(sets)
	s, _, err := Load(Sources{Sets: sets})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTableIsWhole(t *testing.T) {
	count := func(keys *registry, keep func(*Def) bool) (n int) {
		for _, d := range keys.defs {
			if keep(d) {
				n++
			}
		}
		return n
	}
	if n := count(brokerKeys, func(d *Def) bool { return d.Mode != DynamicOnly && d.Area != areaOwn }); n != 329 {
		t.Errorf("%d broker keys, Kafka 3.9.2 has 329", n)
	}
	if n := count(brokerKeys, func(d *Def) bool { return d.Internal }); n != 14 {
		t.Errorf("%d internal keys, Kafka 3.9.2 has 14", n)
	}
	if len(topicKeys.defs) != 36 {
		t.Errorf("%d topic keys, Kafka 3.9.2 has 36", len(topicKeys.defs))
	}
	if n := count(brokerKeys, func(d *Def) bool { return d.Mode == DynamicOnly }) + len(entityKeys.defs); n != 12 {
		t.Errorf("%d dynamic-only keys, Kafka 3.9.2 has 10, and two of groups", n)
	}
	for _, d := range Defs() {
		if !strings.HasSuffix(d.Doc, ".") || len(d.Doc) < 20 {
			t.Errorf("%s: documentation %q is no sentence", d.Name, d.Doc)
		}
		if d.dflt == nil {
			continue
		}
		if v, err := d.parse(d.Default); err != nil {
			t.Errorf("%s: its own default is refused: %v", d.Name, err)
		} else if format(v) != d.Default {
			t.Errorf("%s: default %s reads back as %s", d.Name, d.Default, format(v))
		}
	}
	for _, d := range brokerKeys.defs {
		if d.Topic == "" {
			continue
		}
		if other := topicKeys.get(d.Topic); other == nil || !slices.Contains(other.Broker, d.Name) {
			t.Errorf("%s names the topic config %s, which does not name it back", d.Name, d.Topic)
		}
	}
	for _, d := range topicKeys.defs {
		for _, name := range d.Broker {
			if other := brokerKeys.get(name); other == nil || other.Topic != d.Name {
				t.Errorf("topic config %s names %s, which does not name it back", d.Name, name)
			}
		}
	}
}
