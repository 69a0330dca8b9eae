package zkmeta

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

type dumpNode struct {
	Path string  `json:"path"`
	Data *string `json:"data"`
}

// kafkaNodes are the nodes of testdata/zk-dump.json: trees that Kafka 3.9.2 brokers wrote.
func kafkaNodes(t testing.TB) []dumpNode {
	text, err := os.ReadFile("testdata/zk-dump.json")
	if err != nil {
		t.Fatal(err)
	}
	var clusters map[string]json.RawMessage
	if err := json.Unmarshal(text, &clusters); err != nil {
		t.Fatal(err)
	}
	var all []dumpNode
	for name, raw := range clusters {
		var list []dumpNode
		var states map[string][]dumpNode
		if json.Unmarshal(raw, &list) == nil {
			all = append(all, list...)
		} else if err := json.Unmarshal(raw, &states); err == nil {
			for _, nodes := range states {
				all = append(all, nodes...)
			}
		} else {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return all
}

type encoder interface{ Encode() []byte }

func enc[T encoder](v T, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return v.Encode(), nil
}

// roundTrips decode what is under a path and encode it again.
var roundTrips = []struct {
	path *regexp.Regexp
	do   func(data []byte) ([]byte, error)
}{
	{regexp.MustCompile(`^/brokers/ids/\d+$`), func(d []byte) ([]byte, error) {
		b, err := DecodeBroker(1, d)
		return enc(&b, err)
	}},
	{regexp.MustCompile(`^/brokers/topics/[^/]+$`), func(d []byte) ([]byte, error) {
		a, err := DecodeTopicAssignment(d)
		return enc(&a, err)
	}},
	{regexp.MustCompile(`/state$`), func(d []byte) ([]byte, error) {
		s, err := DecodePartitionState(d)
		return enc(&s, err)
	}},
	{regexp.MustCompile(`^/cluster/id$`), func(d []byte) ([]byte, error) { return enc(DecodeClusterID(d)) }},
	{regexp.MustCompile(`^/config/changes/`), func(d []byte) ([]byte, error) { return enc(DecodeConfigChange(d)) }},
	{regexp.MustCompile(`^/config/`), func(d []byte) ([]byte, error) { return enc(DecodeConfig(d)) }},
	{regexp.MustCompile(`^/controller$`), func(d []byte) ([]byte, error) { return enc(DecodeController(d)) }},
	{regexp.MustCompile(`^/controller_epoch$`), func(d []byte) ([]byte, error) {
		e, err := DecodeControllerEpoch(d)
		return EncodeControllerEpoch(e), err
	}},
	{regexp.MustCompile(`^/delegation_token/tokens/`), func(d []byte) ([]byte, error) { return enc(DecodeDelegationToken(d)) }},
	{regexp.MustCompile(`^/feature$`), func(d []byte) ([]byte, error) { return enc(DecodeFeatures(d)) }},
	{regexp.MustCompile(`^/kafka-acl-changes/`), func(d []byte) ([]byte, error) { return enc(DecodeLiteralACLChange(d)) }},
	{regexp.MustCompile(`^/kafka-acl-extended-changes/`), func(d []byte) ([]byte, error) { return enc(DecodeExtendedACLChange(d)) }},
	{regexp.MustCompile(`^/kafka-acl`), func(d []byte) ([]byte, error) { return enc(DecodeACLSet(d)) }},
	{regexp.MustCompile(`^/latest_producer_id_block$`), func(d []byte) ([]byte, error) { return enc(DecodeProducerIDBlock(d)) }},
	{regexp.MustCompile(`^/isr_change_notification/`), func(d []byte) ([]byte, error) { return enc(DecodeIsrChange(d)) }},
	{regexp.MustCompile(`^/log_dir_event_notification/`), func(d []byte) ([]byte, error) { return enc(DecodeLogDirEvent(d)) }},
}

// plainText are nodes without JSON of their own type here.
var plainText = regexp.MustCompile(`^/delegation_token/token_changes/`)

func TestKafkasNodesEncodeBack(t *testing.T) {
	kinds := make(map[int]int)
	for _, n := range kafkaNodes(t) {
		if n.Data == nil || *n.Data == "" || plainText.MatchString(n.Path) {
			continue
		}
		found := false
		for i, r := range roundTrips {
			if !r.path.MatchString(n.Path) {
				continue
			}
			found = true
			kinds[i]++
			out, err := r.do([]byte(*n.Data))
			if err != nil {
				t.Errorf("%s: %v", n.Path, err)
			} else if !sameJSON(t, []byte(*n.Data), out) {
				t.Errorf("%s: %s became %s", n.Path, *n.Data, out)
			} else if !strings.HasPrefix(n.Path, "/config/") && string(out) != *n.Data {
				// The order of more than four configs is that of Java's hash map.
				t.Errorf("%s: other order of keys: %s became %s", n.Path, *n.Data, out)
			}
			break
		}
		if !found {
			t.Errorf("%s: no decoder for %s", n.Path, *n.Data)
		}
	}
	if len(kinds) < 12 {
		t.Errorf("only %d kinds of nodes in the dump: %v", len(kinds), kinds)
	}
}

func sameJSON(t testing.TB, a, b []byte) bool {
	var va, vb any
	if json.Unmarshal(a, &va) != nil || json.Unmarshal(b, &vb) != nil {
		return string(a) == string(b)
	}
	return reflect.DeepEqual(va, vb)
}

func TestSamplesEncodeBack(t *testing.T) {
	for _, test := range []struct {
		name, data string
		do         func(data []byte) ([]byte, error)
	}{
		{"recovering partition", `{"controller_epoch":3,"leader":2,"version":1,"leader_recovery_state":1,"leader_epoch":4,"isr":[2]}`, roundTrips[2].do},
		{"reassigned topic", `{"partitions":{"0":[1,2,3],"10":[1]},"topic_id":"mbLorFvNRluQSQCsTDk3sQ","adding_replicas":{"0":[1]},"removing_replicas":{"0":[3]},"version":3}`, roundTrips[1].do},
		{"reassign_partitions", `{"version":1,"partitions":[{"topic":"t2","partition":0,"replicas":[3,1]}]}`,
			func(d []byte) ([]byte, error) { return enc(DecodeReassignPartitions(d)) }},
		{"preferred election", `{"version":1,"partitions":[{"topic":"t2","partition":0}]}`,
			func(d []byte) ([]byte, error) { return enc(DecodePreferredElection(d)) }},
		{"isr change", `{"version":1,"partitions":[{"topic":"ot","partition":0}]}`,
			func(d []byte) ([]byte, error) { return enc(DecodeIsrChange(d)) }},
		{"log dir event", `{"version":1,"broker":3,"event":1}`, func(d []byte) ([]byte, error) { return enc(DecodeLogDirEvent(d)) }},
		{"features 1", `{"features":{"f":{"min_version_level":1,"max_version_level":3}},"version":1,"status":1}`, func(d []byte) ([]byte, error) { return enc(DecodeFeatures(d)) }},
		{"features 2", `{"features":{"f":3},"version":2,"status":0}`, func(d []byte) ([]byte, error) { return enc(DecodeFeatures(d)) }},
		{"broker features and IPv6", `{"features":{"f":{"min_version":1,"max_version":3}},"listener_security_protocol_map":{"A":"SSL"},"endpoints":["A://[::1]:9093"],"jmx_port":9999,"port":-1,"host":null,"version":5,"timestamp":"1"}`, roundTrips[0].do},
		{"escapes", `{"version":1,"config":{"a":"\"\\\n\r\t\b\f\u0001ä€😀/<>&"}}`, func(d []byte) ([]byte, error) { return enc(DecodeConfig(d)) }},
	} {
		out, err := test.do([]byte(test.data))
		if err != nil || string(out) != test.data {
			t.Errorf("%s:\n%s\n%s, %v", test.name, test.data, out, err)
		}
	}
}

func TestOlderVersionsAreRead(t *testing.T) {
	b, err := DecodeBroker(7, []byte(`{"version":1,"host":"h","port":9092,"jmx_port":-1,"timestamp":"5"}`))
	if err != nil || len(b.Endpoints) != 1 || b.Endpoints[0] != (Endpoint{"PLAINTEXT", "PLAINTEXT", "h", 9092}) || b.ID != 7 {
		t.Errorf("broker version 1: %+v, %v", b, err)
	}
	b, err = DecodeBroker(7, []byte(`{"version":2,"host":"h","port":9092,"jmx_port":9999,"timestamp":"5","endpoints":["PLAINTEXT://h1:9092","SSL://h1:9093"],"x":{}}`))
	if err != nil || len(b.Endpoints) != 2 || b.Endpoints[1] != (Endpoint{"SSL", "SSL", "h1", 9093}) || b.JMXPort != 9999 {
		t.Errorf("broker version 2: %+v, %v", b, err)
	}
	a, err := DecodeTopicAssignment([]byte(`{"version":1,"partitions":{"1":[2,3],"0":[1]}}`))
	if err != nil || len(a.Partitions) != 2 || a.HasTopicID() || !reflect.DeepEqual(a.Partitions[1], []int32{2, 3}) {
		t.Errorf("topic version 1: %+v, %v", a, err)
	}
	c, err := DecodeController([]byte(`{"version":1,"brokerid":3,"timestamp":"1"}`))
	if err != nil || c.BrokerID != 3 || c.KRaftControllerEpoch != -1 {
		t.Errorf("controller version 1: %+v, %v", c, err)
	}
	ch, err := DecodeConfigChange([]byte(`{"version":1,"entity_type":"topics","entity_name":"t"}`))
	if err != nil || ch.EntityPath != "topics/t" {
		t.Errorf("config change version 1: %+v, %v", ch, err)
	}
	tok, err := DecodeDelegationToken([]byte(`{"version":2,"owner":"User%3Aalice","renewers":[],"issueTimestamp":1,"maxTimestamp":3,"expiryTimestamp":2,"tokenId":"x"}`))
	if err != nil || tok.Owner != "User:alice" || tok.Requester != "User:alice" {
		t.Errorf("token version 2: %+v, %v", tok, err)
	}
	if cfg, err := DecodeConfig(nil); err != nil || len(cfg.Config) != 0 {
		t.Errorf("config of a node without data: %v, %v", cfg, err)
	}
}

func TestBadNodesAreErrors(t *testing.T) {
	decode := map[string]func(d []byte) error{
		"broker":     func(d []byte) error { _, err := DecodeBroker(1, d); return err },
		"topic":      func(d []byte) error { _, err := DecodeTopicAssignment(d); return err },
		"state":      func(d []byte) error { _, err := DecodePartitionState(d); return err },
		"controller": func(d []byte) error { _, err := DecodeController(d); return err },
		"epoch":      func(d []byte) error { _, err := DecodeControllerEpoch(d); return err },
		"cluster":    func(d []byte) error { _, err := DecodeClusterID(d); return err },
		"config":     func(d []byte) error { _, err := DecodeConfig(d); return err },
		"change":     func(d []byte) error { _, err := DecodeConfigChange(d); return err },
		"block":      func(d []byte) error { _, err := DecodeProducerIDBlock(d); return err },
		"feature":    func(d []byte) error { _, err := DecodeFeatures(d); return err },
		"acl":        func(d []byte) error { _, err := DecodeACLSet(d); return err },
		"token":      func(d []byte) error { _, err := DecodeDelegationToken(d); return err },
		"reassign":   func(d []byte) error { _, err := DecodeReassignPartitions(d); return err },
		"election":   func(d []byte) error { _, err := DecodePreferredElection(d); return err },
		"logdir":     func(d []byte) error { _, err := DecodeLogDirEvent(d); return err },
		"offset":     func(d []byte) error { _, err := DecodeConsumerOffset(d); return err },
		"aclchange":  func(d []byte) error { _, err := DecodeLiteralACLChange(d); return err },
		"extended":   func(d []byte) error { _, err := DecodeExtendedACLChange(d); return err },
	}
	for name, f := range decode {
		for _, data := range []string{"null", "[]", "{", `"x"`, "12x", "{}x", "\xff"} {
			if err := f([]byte(data)); err == nil {
				t.Errorf("%s: %s is read", name, data)
			}
		}
	}
	for _, test := range []struct{ name, data string }{
		{"broker", `{"version":0}`}, {"broker", `{"version":5,"jmx_port":1}`}, {"broker", `{"version":1}`},
		{"broker", `{"version":5,"endpoints":["x"]}`}, {"broker", `{"version":5,"endpoints":["A://h:x"]}`},
		{"broker", `{"version":5,"endpoints":["A://h:1"],"listener_security_protocol_map":{}}`},
		{"broker", `{"version":5,"endpoints":["A://h:1"],"listener_security_protocol_map":{"A":"TLS"}}`},
		{"topic", `{"partitions":{"x":[1]}}`}, {"topic", `{"partitions":{"-1":[1]}}`}, {"topic", `{"partitions":{"0":["a"]}}`},
		{"topic", `{"partitions":{},"topic_id":"short"}`}, {"topic", `{"partitions":{},"topic_id":"!!!!!!!!!!!!!!!!!!!!!!"}`},
		{"state", `{"leader":1,"leader_epoch":1,"isr":[1]}`}, {"state", `{"leader":1,"leader_epoch":1,"isr":[1],"controller_epoch":1,"leader_recovery_state":2}`},
		{"state", `{"leader":99999999999,"leader_epoch":1,"isr":[1],"controller_epoch":1}`},
		{"config", `{"config":{"a":null}}`}, {"config", `{"config":{"a":1}}`},
		{"change", `{"version":3,"entity_path":"a/b"}`}, {"change", `{"version":2,"entity_path":"a"}`},
		{"block", `{"broker":1,"block_start":"5","block_end":"4"}`}, {"block", `{"broker":1,"block_start":"x","block_end":"4"}`},
		{"feature", `{"version":2,"features":{}}`}, {"feature", `{"version":2,"features":{},"status":2}`}, {"feature", `{"version":2,"features":{"a":"b"},"status":1}`},
		{"acl", `{"version":2,"acls":[]}`}, {"acl", `{"version":1,"acls":[{"principal":"User:a"}]}`},
		{"token", `{"version":4}`}, {"token", `{"version":3,"tokenId":"a","owner":"%zz","issueTimestamp":1,"maxTimestamp":1,"expiryTimestamp":1}`},
		{"reassign", `{"partitions":[{"topic":"t","partition":0}]}`}, {"reassign", `{"partitions":[{"partition":0}]}`}, {"election", `{"partitions":[{"topic":"t","partition":-1}]}`},
		{"logdir", `{"event":1}`}, {"aclchange", `TOPIC`}, {"extended", `{"version":2}`},
	} {
		err := decode[test.name]([]byte(test.data))
		if err == nil {
			t.Errorf("%s: %s is read", test.name, test.data)
		}
	}
	err := decode["state"]([]byte(`{"a":"` + strings.Repeat("x", 10_000)))
	if err == nil || len(err.Error()) > 1000 {
		t.Errorf("error about a large node has %d bytes", len(err.Error()))
	}
}

// FuzzNodes decodes any bytes as any node; what decodes must encode to something that decodes to the same.
func FuzzNodes(f *testing.F) {
	for _, n := range kafkaNodes(f) {
		if n.Data != nil {
			f.Add([]byte(*n.Data))
		}
	}
	f.Add([]byte(`{"version":1,"partitions":[{"topic":"t2","partition":0,"replicas":[3,1]}]}`))
	all := append(roundTrips[:len(roundTrips):len(roundTrips)], struct {
		path *regexp.Regexp
		do   func(data []byte) ([]byte, error)
	}{nil, func(d []byte) ([]byte, error) { return enc(DecodeReassignPartitions(d)) }})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, r := range all {
			once, err := r.do(data)
			if err != nil {
				continue
			}
			twice, err := r.do(once)
			if err != nil || string(once) != string(twice) {
				t.Errorf("%v: %q became %q, then %q, %v", r.path, data, once, twice, err)
			}
		}
	})
}

func BenchmarkDecodePartitionState(b *testing.B) {
	data := []byte(`{"controller_epoch":1,"leader":2,"version":1,"leader_epoch":0,"isr":[2,3,1]}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodePartitionState(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodePartitionState(b *testing.B) {
	s := PartitionState{Leader: 2, ISR: []int32{1, 2, 3}}
	b.ReportAllocs()
	for b.Loop() {
		s.Encode()
	}
}
