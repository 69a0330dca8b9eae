package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// lines are those of a command's output, sorted: partitions come in any order.
func lines(text string) []string {
	list := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	slices.Sort(list)
	return list
}

func wantLines(t *testing.T, what, got string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(lines(got), want) {
		t.Errorf("%s: %q, want %q", what, lines(got), want)
	}
}

// TestProduceAndConsume runs every flag of both commands against a broker.
func TestProduceAndConsume(t *testing.T) {
	t.Parallel()
	s := startBroker(t, t.TempDir())
	all := []string{"--from", "beginning", "--exit-at-end"}
	consume := func(topic string, args ...string) string {
		t.Helper()
		return s.ok("", append(append([]string{"consume", topic}, all...), args...)...)
	}

	s.ok("one\ntwo\n", "produce", "lines") // a topic that is not there is made, as by Kafka's console producer
	wantLines(t, "lines", consume("lines"), "one", "two")

	s.ok("k1:v1\nk2:v:2\nk3:NULL\n", "produce", "pairs", "--format", "key-value", "--null", "NULL", "--acks", "1", "--codec", "zstd", "--client-id", "x")
	wantLines(t, "pairs", consume("pairs", "--template", "{{.Key}}={{.Value}} {{.ValueNull}}"), "k1=v1 false", "k2=v:2 false", "k3= true")
	wantLines(t, "pairs as text", consume("pairs"), "v1", "v:2", "null")
	s.ok("a|b\n", "produce", "delimited", "--format", "key-value", "--delimiter", "|", "--acks", "0", "--idempotent=false", "--quiet")
	eventually(t, "acks=0 arrives", func() error {
		if got := consume("delimited", "--template", "{{.Key}}/{{.Value}}"); got != "a/b\n" {
			return fmt.Errorf("%q", got)
		}
		return nil
	})

	file := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(file, []byte("from a file\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.ok("", "produce", "file", "-f", file, "--key", "k", "--header", "h=1", "--header", "i=x=y", "--timestamp", "2023-11-14T22:13:20Z", "--codec", "gzip",
		"--retries", "3", "--delivery-timeout", "20s", "--timeout", "20s")
	var got struct {
		Topic, Key, Value            string
		Partition, Offset, Timestamp int64
		Headers                      []struct{ Key, Value string }
	}
	if err := json.Unmarshal([]byte(consume("file", "-o", "json")), &got); err != nil {
		t.Fatal(err)
	}
	if got.Topic != "file" || got.Key != "k" || got.Value != "from a file" || got.Timestamp != 1700000000000 || len(got.Headers) != 2 || got.Headers[1].Value != "x=y" {
		t.Errorf("JSON output %+v", got)
	}
	if text := consume("file", "--template", "{{.Topic}} {{.Partition}} {{.Offset}} {{.Timestamp}} {{range .Headers}}{{.Key}}:{{.Value}},{{end}}"); text != "file 0 0 1700000000000 h:1,i:x=y,\n" {
		t.Errorf("template output %q", text)
	}
	s.ok(consume("file", "-o", "json"), "produce", "copy", "--format", "json", "--codec", "lz4")
	if a, b := consume("file", "-o", "json"), consume("copy", "-o", "json"); strings.Replace(b, `"copy"`, `"file"`, 1) != a {
		t.Errorf("the copy of %s is %s", a, b)
	}

	for _, tt := range []struct{ serde, text string }{
		{"int", "-7"}, {"long", "9007199254740993"}, {"double", "-2.5"}, {"hex", "00ff10"}, {"base64", "AP8Q"}, {"json", `{"a":[1,2]}`}, {"string", "é 😀"},
	} {
		topic := "serde-" + tt.serde
		s.ok(tt.text+"|"+tt.text+"\n", "produce", topic, "--format", "key-value", "--delimiter", "|", "--key-type", tt.serde, "--value-type", tt.serde, "--codec", "snappy")
		if got := consume(topic, "--key-type", tt.serde, "--value-type", tt.serde, "--template", "{{.Key}}|{{.Value}}"); got != tt.text+"|"+tt.text+"\n" {
			t.Errorf("%s: %q came back as %q", tt.serde, tt.text, got)
		}
	}
	if got := consume("serde-int", "--value-type", "hex"); got != "fffffff9\n" {
		t.Errorf("an int is %s", got)
	}
}

func TestConsumeFrom(t *testing.T) {
	t.Parallel()
	s := startBroker(t, t.TempDir())
	for i := range 10 {
		s.ok(fmt.Sprintf("r%d\n", i), "produce", "t", "--timestamp", fmt.Sprint(1000+i))
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--from", "beginning"}, "r0 r1 r2 r3 r4 r5 r6 r7 r8 r9"},
		{[]string{"--from", "end"}, ""},
		{[]string{}, ""},
		{[]string{"--from", "7"}, "r7 r8 r9"},
		{[]string{"--from", "10"}, ""},
		{[]string{"--from", "-2"}, "r8 r9"},
		{[]string{"--from", "-100"}, "r0 r1 r2 r3 r4 r5 r6 r7 r8 r9"},
		{[]string{"--from", "@1006"}, "r6 r7 r8 r9"},
		{[]string{"--from", "@2024-01-02T03:04:05Z"}, ""},
		{[]string{"--from", "2", "--max", "3"}, "r2 r3 r4"},
		{[]string{"--from", "8", "--partitions", "0"}, "r8 r9"},
		{[]string{"--from", "8", "--isolation", "read_committed"}, "r8 r9"},
	} {
		got := strings.Join(strings.Fields(s.ok("", append([]string{"consume", "t", "--exit-at-end"}, tt.args...)...)), " ")
		if got != tt.want {
			t.Errorf("%v: %q, want %q", tt.args, got, tt.want)
		}
	}
	began := time.Now()
	if got := s.ok("", "consume", "t", "--idle-timeout", "300ms"); got != "" || time.Since(began) > 20*time.Second {
		t.Errorf("--idle-timeout: %q after %v", got, time.Since(began))
	}
	if r := s.cli("", "consume", "t", "--from", "11", "-e"); r.code != 1 || !strings.Contains(r.errOut, "t-0 has the offsets 0 to 10") {
		t.Errorf("an offset out of range: exit %d, %s", r.code, r.errOut)
	}
}

func TestConsumeInAGroup(t *testing.T) {
	t.Parallel()
	s := startBroker(t, t.TempDir())
	s.ok("1\n2\n3\n4\n5\n", "produce", "t")
	wantLines(t, "the first three", s.ok("", "consume", "t", "--group", "g", "--from", "beginning", "--commit", "manual", "-n", "3"), "1", "2", "3")
	if text := s.ok("", "group", "describe", "g", "-o", "json"); !strings.Contains(text, `"committed": 3`) || !strings.Contains(text, `"lag": 2`) {
		t.Errorf("group g: %s", text)
	}
	wantLines(t, "the others", s.ok("", "consume", "t", "--group", "g", "--commit", "auto", "-n", "2"), "4", "5")
	if text := s.ok("", "group", "describe", "g"); !strings.Contains(text, "COMMITTED") || !strings.Contains(text, "Empty") {
		t.Errorf("group g as a table: %s", text)
	}
	if text := s.ok("", "group", "list", "--state", "Empty", "-o", "yaml"); !strings.Contains(text, "group: g") {
		t.Errorf("group list: %s", text)
	}
	if text := s.ok("", "group", "list"); !strings.Contains(text, "TYPE") || !strings.Contains(text, "classic") {
		t.Errorf("group list: %s", text)
	}
	if text := s.ok("", "group", "list", "--type", "consumer", "-o", "json"); strings.TrimSpace(text) != "[]" {
		t.Errorf("group list: %s", text)
	}
	if text := s.ok("", "group", "list", "--state", "Stable", "-o", "json"); strings.TrimSpace(text) != "[]" {
		t.Errorf("stable groups: %s", text)
	}
}

// TestHashIsJavas: vectors of org.apache.kafka.common.utils.Utils.murmur2 (UtilsTest.testMurmur2), made positive and modulo the partitions
// as BuiltInPartitioner does.
func TestHashIsJavas(t *testing.T) {
	t.Parallel()
	s := startBroker(t, t.TempDir())
	const partitions = 97
	s.ok("", "topic", "create", "t", "--partitions", fmt.Sprint(partitions))
	hashes := map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
	}
	var in strings.Builder
	var want []string
	for key, hash := range hashes {
		fmt.Fprintf(&in, "%s:x\n", key)
		want = append(want, fmt.Sprintf("%s %d", key, int(hash&0x7fffffff)%partitions))
	}
	s.ok(in.String(), "produce", "t", "--format", "key-value", "--partitioner", "hash")
	wantLines(t, "partitions", s.ok("", "consume", "t", "--from", "beginning", "-e", "--template", "{{.Key}} {{.Partition}}"), want...)
}

func TestOtherPartitioners(t *testing.T) {
	t.Parallel()
	s := startBroker(t, t.TempDir())
	counts := func(topic string) map[string]int {
		n := map[string]int{}
		for _, p := range lines(s.ok("", "consume", topic, "--from", "beginning", "-e", "--template", "{{.Partition}}")) {
			n[p]++
		}
		return n
	}
	for _, topic := range []string{"direct", "json", "robin", "sticky"} {
		s.ok("", "topic", "create", topic, "-p", "3")
	}
	s.ok("k:1\nk:2\n", "produce", "direct", "--partitioner", "direct", "--partition", "2", "--format", "key-value")
	if n := counts("direct"); n["2"] != 2 || len(n) != 1 {
		t.Errorf("direct: %v", n)
	}
	s.ok(`{"value":"a","partition":1}`+"\n"+`{"value":"b","partition":2}`+"\n", "produce", "json", "--partitioner", "direct", "--format", "json")
	if n := counts("json"); n["1"] != 1 || n["2"] != 1 {
		t.Errorf("direct, from JSON: %v", n)
	}
	s.ok(strings.Repeat("k:v\n", 9), "produce", "robin", "--partitioner", "round-robin", "--format", "key-value")
	if n := counts("robin"); n["0"] != 3 || n["1"] != 3 || n["2"] != 3 {
		t.Errorf("round-robin: %v", n)
	}
	s.ok("a\nb\nc\n", "produce", "sticky", "--partitioner", "sticky")
	if n := counts("sticky"); len(n) != 1 {
		t.Errorf("sticky: %v", n)
	}
}

func TestTopicCommands(t *testing.T) {
	t.Parallel()
	s := startBroker(t, t.TempDir())
	if text := s.ok("", "topic", "create", "a", "b", "--partitions", "2", "--replication-factor", "1", "--config", "retention.ms=1000", "-o", "json"); !strings.Contains(text, `"name": "a"`) || !strings.Contains(text, `"partitions": 2`) {
		t.Errorf("create: %s", text)
	}
	s.ok("", "topic", "create", "dry", "--dry-run")
	s.ok("", "topic", "create", "a", "--if-not-exists")
	var list []topicRow
	if err := json.Unmarshal([]byte(s.ok("", "topic", "list", "-o", "json")), &list); err != nil || len(list) != 2 || list[1].Name != "b" {
		t.Errorf("list: %+v, %v", list, err)
	}
	s.ok("x\n", "produce", "a")
	s.ok("", "consume", "a", "--group", "g", "--from", "beginning", "-n", "1")
	if text := s.ok("", "topic", "list", "--internal"); !strings.Contains(text, "__consumer_offsets") {
		t.Errorf("list --internal: %s", text)
	}
	s.ok("", "topic", "alter", "a", "--config", "retention.ms=3600000", "--config", "max.message.bytes=2000", "--partitions", "4")
	describe := func() topicRow {
		t.Helper()
		var d []topicRow
		if err := json.Unmarshal([]byte(s.ok("", "topic", "describe", "a", "-o", "json")), &d); err != nil || len(d) != 1 {
			t.Fatalf("describe: %+v, %v", d, err)
		}
		return d[0]
	}
	eventually(t, "altered", func() error {
		if d := describe(); d.Configs["retention.ms"] != "3600000" || d.Configs["max.message.bytes"] != "2000" || len(d.Assignment) != 4 || d.Assignment[3].Leader != 0 {
			return fmt.Errorf("%+v", d)
		}
		return nil
	})
	s.ok("", "topic", "alter", "a", "--unset", "max.message.bytes")
	eventually(t, "unset", func() error {
		if d := describe(); len(d.Configs) != 1 {
			return fmt.Errorf("%+v", d)
		}
		return nil
	})
	if text := s.ok("", "topic", "describe", "a", "b", "-o", "table"); !strings.Contains(text, "retention.ms=3600000") {
		t.Errorf("describe as a table: %s", text)
	}
	s.ok("", "topic", "delete", "b")
	s.ok("", "topic", "delete", "b", "--if-exists")
	s.ok("", "health", "--bootstrap", s.addr, "--timeout", "20s")
	s.ok("", "health")
}

// TestFailuresExitWithOne: each says what went wrong, in one line that names it.
func TestFailuresExitWithOne(t *testing.T) {
	t.Parallel()
	s := startBroker(t, t.TempDir(), "--set", "auto.create.topics.enable=false")
	s.ok("", "topic", "create", "t", "--config", "max.message.bytes=1000")
	for _, tt := range []struct {
		args  string
		stdin string
		want  string
	}{
		{"produce nowhere --delivery-timeout 1s", "x\n", "UNKNOWN_TOPIC_OR_PARTITION"},
		{"produce t", strings.Repeat("abcdefgh", 400) + "\n", "1 records were not delivered; the first: line 1: MESSAGE_TOO_LARGE"},
		{"produce t --partitioner direct --partition 9", "x\n", "9"},
		{"produce t --partitioner direct", "x\n", "--partition"},
		{"produce t --partition 0", "x\n", "--partitioner direct"},
		{"produce t --partitioner random", "x\n", "random"},
		{"produce t --acks 2", "x\n", "--acks"},
		{"produce t --codec rar", "x\n", "rar"},
		{"produce t --format xml", "x\n", "xml"},
		{"produce t --format key-value", "no delimiter\n", "line 1"},
		{"produce t --format json", "{\n", "line 1"},
		{"produce t --value-type int", "x\n", "line 1: value as int"},
		{"produce t --value-type avro", "x\n", "avro"},
		{"produce t --header x", "x\n", "--header"},
		{"produce t --timestamp noon", "x\n", "--timestamp"},
		{"produce t --file /nonexistent/file", "", "no such file"},
		{"produce t --bootstrap 127.0.0.1:1 --delivery-timeout 1s", "x\n", "connection refused"},
		{"produce", "", "arg"},
		{"consume nowhere -e", "", "topic nowhere: UNKNOWN_TOPIC_OR_PARTITION"},
		{"consume t --partitions 7", "", "no partition 7"},
		{"consume t --group g -e", "", "--exit-at-end"},
		{"consume t --from start", "", "start"},
		{"consume t --commit never", "", "never"},
		{"consume t --isolation none", "", "none"},
		{"consume t --output xml", "", "xml"},
		{"consume t -o template", "", "--template"},
		{"consume t --template {{.Nope", "", "--template"},
		{"consume t --bootstrap 127.0.0.1:1 --timeout 1s", "", "connection refused"},
		{"topic create t", "", "already exists"},
		{"topic create bad/name", "", "bad/name"},
		{"topic create u --replication-factor 3", "", "INVALID_REPLICATION_FACTOR"},
		{"topic create u --config nonsense", "", "key=value"},
		{"topic create u --config retention.ms=soon", "", "retention.ms"},
		{"topic describe nowhere", "", "nowhere"},
		{"topic alter t", "", "nothing to change"},
		{"topic alter t --partitions 1", "", "t:"},
		{"topic alter nowhere --config retention.ms=1", "", "nowhere"},
		{"topic delete nowhere", "", "nowhere"},
		{"topic list -o xml", "", "xml"},
		{"group describe nobody", "", "nobody does not exist"},
		{"health --bootstrap 127.0.0.1:1 --timeout 1s", "", "does not answer"},
		{"config explain no.such.key", "", "no.such.key"},
		{"nonsense", "", "nonsense"},
	} {
		r := s.cli(tt.stdin, strings.Fields(tt.args)...)
		if r.code != 1 || !strings.Contains(r.errOut, tt.want) {
			t.Errorf("ottla %s: exit %d, %q; want exit 1 and %q", tt.args, r.code, r.errOut, tt.want)
		}
	}
	// What stands before a bad line is delivered, and counted.
	if r := s.cli("{\"value\":\"small\"}\n{\n", "produce", "t", "--format", "json"); r.code != 1 || !strings.Contains(r.errOut, "1 records delivered") || !strings.Contains(r.errOut, "line 2") {
		t.Errorf("exit %d, %q", r.code, r.errOut)
	}
	if got := s.ok("", "consume", "t", "--from", "beginning", "-e"); got != "small\n" {
		t.Errorf("the topic holds %q", got)
	}
}

func TestHelpCompletionAndConfig(t *testing.T) {
	t.Parallel()
	none := &server{process: &process{t: t}} // no broker
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if text := none.ok("", "completion", shell); !strings.Contains(text, "ottla") {
			t.Errorf("completion %s: %.100s", shell, text)
		}
	}
	if text := none.ok("", "__complete", "topic", "list", "--output", ""); !strings.Contains(text, "yaml") {
		t.Errorf("completion of --output: %s", text)
	}
	for _, args := range [][]string{{"--help"}, {"broker", "-h"}, {"produce", "-h"}, {"consume", "-h"}, {"topic", "create", "-h"}, {"group", "describe", "-h"}} {
		if text := none.ok("", args...); !strings.Contains(text, "ottla") || args[0] != "--help" && !strings.Contains(text, "Examples:") {
			t.Errorf("%v: %s", args, text)
		}
	}
	if text := none.ok("", "--version"); !strings.Contains(text, "dev") {
		t.Errorf("version: %s", text)
	}
	if text := none.ok("", "config", "explain", "log.retention.ms"); !strings.Contains(text, "log.retention.ms") {
		t.Errorf("explain: %s", text)
	}
	if text := none.ok("", "config", "reference"); !strings.Contains(text, "log.segment.bytes") {
		t.Errorf("reference: %.100s", text)
	}
}

// TestReadme runs the README's commands for this program as they stand there.
func TestReadme(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	s := startBroker(t, t.TempDir())
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(os.Args[0], filepath.Join(dir, "bin", "ottla")); err != nil {
		t.Fatal(err)
	}
	ran, out := 0, ""
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "    ") || !strings.Contains(line, "bin/ottla") || strings.Contains(line, "bin/ottla broker") {
			continue
		}
		cmd := exec.Command("bash", "-c", line)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), runMain+"=1", raceAtOnce, bootstrapEnv+"="+s.addr)
		b, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		ran, out = ran+1, string(b)
	}
	if ran < 3 || out != "hello\n" {
		t.Errorf("%d commands ran, the last printed %q", ran, out)
	}
}
