package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/zkmeta"
)

// compact is the text of a table with single spaces and without its header.
func compact(table string) string {
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSpace(table), "\n") {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines[min(1, len(lines)):], "\n")
}

// fill makes a topic of two partitions with ten records in the first, one for each second from 1000 on, and five in the other.
func fill(s *server, topic string) {
	s.t.Helper()
	s.ok("", "topic", "create", topic, "-p", "2", "--config", "retention.ms=-1") // the records are old
	for p, n := range []int{10, 5} {
		c := s.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
		for i := range n {
			r := &kgo.Record{Topic: topic, Partition: int32(p), Value: []byte("v"), Timestamp: time.UnixMilli(1000 * int64(i+1))}
			if err := c.ProduceSync(s.t.Context(), r).FirstErr(); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

func TestResetOffsets(t *testing.T) {
	t.Parallel()
	s := startBroker(t, t.TempDir())
	fill(s, "t")
	reset := func(args ...string) string {
		t.Helper()
		return compact(s.ok("", append([]string{"group", "reset-offsets", "g"}, args...)...))
	}
	all := []string{"--topic", "t"}
	for _, tt := range []struct {
		name string
		args []string
		want string // the new offsets, with notes
	}{
		{"the start, of a group that is not there", []string{"--to-earliest"}, "g t 0 - 0\ng t 1 - 0"},
		{"the end", []string{"--to-latest"}, "g t 0 - 10\ng t 1 - 5"},
		{"an offset", []string{"--to-offset", "7"}, "g t 0 - 7\ng t 1 - 5 was after the end of the log"},
		{"a time in UTC", []string{"--to-datetime", "1970-01-01T00:00:03.500"}, "g t 0 - 3\ng t 1 - 3"},
		{"a time with an offset", []string{"--to-datetime", "1970-01-01T02:00:06.000+02:00"}, "g t 0 - 5\ng t 1 - 5"},
		{"a time after the last record", []string{"--by-duration", "P1D"}, "g t 0 - 10\ng t 1 - 5"},
		{"where it is", []string{"--to-current"}, "g t 0 - 10 had no offset\ng t 1 - 5 had no offset"},
	} {
		if got := reset(append(tt.args, all...)...); got != tt.want {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
	if r := s.cli("", "group", "describe", "g"); r.code != 1 || !strings.Contains(r.errOut, "does not exist") {
		t.Fatalf("dry runs made the group: %+v", r)
	}
	if r := s.cli("", "group", "reset-offsets", "g", "--topic", "t", "--shift-by", "1"); r.code != 1 || !strings.Contains(r.errOut, "no committed offset") {
		t.Errorf("shifting nothing: %+v", r)
	}
	if r := s.cli("", "group", "reset-offsets", "g", "--topic", "t:1", "--to-offset", "2"); !strings.Contains(r.errOut, dryRunNote) || compact(r.out) != "g t 1 - 2" {
		t.Errorf("a dry run of one partition: %+v", r)
	}
	if r := s.cli("", "group", "reset-offsets", "g", "--topic", "t", "--to-offset", "4", "--execute"); r.code != 0 || strings.Contains(r.errOut, dryRunNote) {
		t.Fatalf("--execute: %+v", r)
	}
	if got := compact(s.ok("", "group", "describe", "g")); got != "g Empty t 0 4 10 6\ng Empty t 1 4 5 1" {
		t.Errorf("the group is\n%s", got)
	}
	if got := reset("--all-topics", "--shift-by", "-5"); got != "g t 0 4 0 was before the start of the log\ng t 1 4 0 was before the start of the log" {
		t.Errorf("shifted back:\n%s", got)
	}
	if got := reset("--topic", "t:0", "--shift-by", "3", "--execute"); got != "g t 0 4 7" {
		t.Errorf("shifted:\n%s", got)
	}
	if got := reset("--all-topics", "--to-current"); got != "g t 0 7 7\ng t 1 4 4" {
		t.Errorf("to current:\n%s", got)
	}

	for _, tt := range []struct {
		name, want string
		args       []string
	}{
		{"no partitions", "--topic or --all-topics", []string{"g", "--to-earliest"}},
		{"nothing to do", "to-earliest", []string{"g", "--topic", "t"}},
		{"two scenarios", "to-latest", []string{"g", "--topic", "t", "--to-earliest", "--to-latest"}},
		{"no group", "--all-groups", []string{"--topic", "t", "--to-earliest"}},
		{"an unknown topic", "UNKNOWN_TOPIC", []string{"g", "--topic", "none", "--to-earliest"}},
		{"an unknown partition", "no partition 2", []string{"g", "--topic", "t:2", "--to-earliest"}},
		{"both modes", "execute", []string{"g", "--topic", "t", "--to-earliest", "--execute", "--dry-run"}},
		{"a bad duration", "no duration", []string{"g", "--topic", "t", "--by-duration", "week"}},
	} {
		if r := s.cli("", append([]string{"group", "reset-offsets"}, tt.args...)...); r.code != 1 || !strings.Contains(r.errOut, tt.want) {
			t.Errorf("%s: %+v", tt.name, r)
		}
	}
}

func TestExportAndImportOffsets(t *testing.T) {
	t.Parallel()
	s := startBroker(t, t.TempDir())
	fill(s, "t")
	s.ok("", "group", "reset-offsets", "g", "--topic", "t", "--to-offset", "4", "--execute")
	s.ok("", "group", "reset-offsets", "h", "--topic", "t:0", "--to-offset", "1", "--execute")
	if got := s.ok("", "group", "export", "g"); got != "t,0,4\nt,1,4\n" {
		t.Errorf("export of one group: %q", got)
	}
	if got := s.ok("", "group", "export", "--all-groups"); got != "g,t,0,4\ng,t,1,4\nh,t,0,1\n" {
		t.Errorf("export of all: %q", got)
	}
	if got := s.ok("", "group", "reset-offsets", "--all-groups", "--all-topics", "--to-latest", "--export"); got != "g,t,0,10\ng,t,1,5\nh,t,0,10\n" {
		t.Errorf("export of a plan: %q", got)
	}
	file := filepath.Join(t.TempDir(), "offsets.csv")
	s.ok("", "group", "export", "g", "h", "--file", file)
	s.ok("", "group", "delete", "g", "h")
	if got := s.ok("", "group", "list", "-o", "json"); strings.TrimSpace(got) != "[]" {
		t.Fatalf("after delete: %s", got)
	}
	if got := compact(s.ok("", "group", "import", "--file", file)); got != "g t 0 - 4\ng t 1 - 4\nh t 0 - 1" {
		t.Errorf("preview of import:\n%s", got)
	}
	s.ok("", "group", "import", "--file", file, "--execute")
	if got := s.ok("", "group", "export", "g", "h"); got != "g,t,0,4\ng,t,1,4\nh,t,0,1\n" {
		t.Errorf("after import: %q", got)
	}
	s.ok("t,0,9\n", "group", "import", "new", "--execute")
	if got := s.ok("", "group", "export", "new"); got != "t,0,9\n" {
		t.Errorf("import from standard input: %q", got)
	}
	if r := s.cli("t,0,9\n", "group", "import"); r.code != 1 || !strings.Contains(r.errOut, "names no group") {
		t.Errorf("import without a group: %+v", r)
	}
	if r := s.cli("g,t,0,9\n", "group", "import", "other"); r.code != 1 || !strings.Contains(r.errOut, "no offsets of it") {
		t.Errorf("import of another group: %+v", r)
	}
	if got := compact(s.ok("g,t,0,99\n", "group", "reset-offsets", "g", "--from-file", "-")); got != "g t 0 4 10 was after the end of the log" {
		t.Errorf("an offset after the end:\n%s", got)
	}

	s.ok("", "group", "delete-offsets", "g", "--topic", "t:1")
	if got := s.ok("", "group", "export", "g", "-o", "json"); !strings.Contains(got, `"offset": 4`) || strings.Contains(got, `"partition": 1`) {
		t.Errorf("after delete-offsets: %s", got)
	}
	if r := s.cli("", "group", "delete-offsets", "none", "--topic", "t"); r.code != 1 || !strings.Contains(r.errOut, "GROUP_ID_NOT_FOUND") {
		t.Errorf("offsets of no group: %+v", r)
	}
	if r := s.cli("", "group", "delete", "none", "h"); r.code != 1 || !strings.Contains(r.errOut, "group none") || compact(r.out) != "h" {
		t.Errorf("deleting none and h: %+v", r)
	}
}

func TestGroupWithMembers(t *testing.T) {
	t.Parallel()
	s := startBroker(t, t.TempDir())
	fill(s, "t")
	c := s.client(kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.InstanceID("one"), kgo.ClientID("cl"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	eventually(t, "the member has its partitions", func() error {
		c.PollFetches(t.Context())
		got := compact(s.ok("", "group", "members", "g"))
		if f := strings.Fields(got); len(f) != 7 || f[2] != "one" || f[3] != "cl" || f[5] != "2" || f[6] != "t-0,t-1" {
			return fmt.Errorf("members: %q", got)
		}
		return nil
	})
	if got := compact(s.ok("", "group", "lag")); got != "g Stable t 2 15 0" {
		t.Errorf("lag of what is assigned and not committed: %q", got)
	}
	for _, args := range [][]string{
		{"reset-offsets", "g", "--topic", "t", "--to-earliest", "--execute"}, {"reset-offsets", "g", "--topic", "t", "--to-earliest"}, {"delete", "g"}, {"delete-offsets", "g", "--topic", "t"},
	} {
		if r := s.cli("", append([]string{"group"}, args...)...); r.code != 1 {
			t.Errorf("%v of an active group: %+v", args, r)
		}
	}
	if err := c.CommitUncommittedOffsets(t.Context()); err != nil {
		t.Fatal(err)
	}

	watched := ottlaFor(s, "group", "watch", "g", "--interval", "50ms")
	watched.said("g Stable t lag=")
	if err := s.client(kgo.RecordPartitioner(kgo.ManualPartitioner())).ProduceSync(t.Context(), &kgo.Record{Topic: "t", Partition: 1, Value: make([]byte, 10)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	watched.said("g Stable t lag=1 partitions=2")
	watched.term()
	var look struct {
		Time, Group, Topic string
		Lag                int64
	}
	if err := json.Unmarshal([]byte(s.ok("", "group", "watch", "g", "-n", "1", "-o", "json")), &look); err != nil || look.Group != "g" || look.Lag != 1 {
		t.Errorf("a look as JSON: %+v, %v", look, err)
	}
	if r := s.cli("", "group", "watch", "none"); r.code != 1 {
		t.Errorf("watching no group: %+v", r)
	}
}

// ottlaFor starts a command that runs until it is ended.
func ottlaFor(s *server, args ...string) *process {
	s.t.Helper()
	return ottla(s.t, nil, append(args, "--bootstrap", s.addr)...)
}

func TestMigrateOffsetsThroughTheBroker(t *testing.T) {
	t.Parallel()
	s := startBroker(t, t.TempDir()) // standalone: the store is embedded
	fill(s, "t")
	s.ok("", "group", "reset-offsets", "g", "--topic", "t", "--to-offset", "4", "--execute")
	back := []string{"group", "migrate-offsets", "g", "--from", "kafka", "--to", "zookeeper"}
	preview := "g t 0 - 4 to zookeeper\ng t 1 - 4 to zookeeper"
	for range 2 { // the first changes nothing
		if got := compact(s.ok("", back...)); got != preview {
			t.Errorf("preview:\n%s", got)
		}
	}
	s.ok("", append(back, "--execute", "--topic", "t:0")...)
	if got := compact(s.ok("", back...)); got != "g t 0 4 4 same\ng t 1 - 4 to zookeeper" {
		t.Errorf("after the first partition:\n%s", got)
	}
	s.ok("", append(back, "--execute")...)
	s.ok("", "group", "reset-offsets", "g", "--topic", "t:0", "--to-offset", "9", "--execute")
	s.ok("", "group", "delete-offsets", "g", "--topic", "t:1")
	forth := []string{"group", "migrate-offsets", "g", "--from", "zookeeper", "--to", "kafka"}
	if got := compact(s.ok("", forth...)); got != "g t 0 4 9 kept: further along\ng t 1 4 - to kafka" {
		t.Errorf("forth:\n%s", got)
	}
	if got := compact(s.ok("", append(forth, "--overwrite")...)); got != "g t 0 4 9 to kafka\ng t 1 4 - to kafka" {
		t.Errorf("with --overwrite:\n%s", got)
	}
	if got := compact(s.ok("", "group", "migrate-offsets", "g", "--to", "dual", "--execute")); got != "g t 0 4 9 to zookeeper\ng t 1 4 - to kafka" {
		t.Errorf("dual:\n%s", got)
	}
	if got := compact(s.ok("", "group", "migrate-offsets", "g", "--to", "dual")); got != "g t 0 9 9 same\ng t 1 4 4 same" {
		t.Errorf("after dual:\n%s", got)
	}
	follower := ottlaFor(s, "group", "migrate-offsets", "g", "--to", "dual", "--execute", "--follow", "20ms")
	follower.said("same")
	s.ok("", "group", "reset-offsets", "g", "--topic", "t:1", "--to-offset", "5", "--execute")
	follower.said("to zookeeper")
	follower.term()
	if got := compact(s.ok("", forth...)); got != "g t 0 9 9 same\ng t 1 5 5 same" {
		t.Errorf("after following:\n%s", got)
	}
	for _, args := range [][]string{
		{}, {"g", "--to", "kafka"}, {"g", "--from", "kafka", "--to", "kafka"}, {"--from", "kafka", "--to", "zookeeper"}, {"g", "--to", "dual", "--follow", "1s"},
	} {
		if r := s.cli("", append([]string{"group", "migrate-offsets"}, args...)...); r.code != 1 {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

func TestMigrateOffsetsInZooKeeper(t *testing.T) {
	t.Parallel()
	chroot := newTree(t)
	s := startBroker(t, t.TempDir(), beside(chroot, 1, 6*time.Second, "offsets.topic.replication.factor=1")...)
	fill(s, "t")
	z := look(t, chroot)
	ctx := t.Context()
	for group, tps := range map[string][]topicPartition{"g": {{"t", 0}, {"t", 1}, {"gone", 3}}, "live": {{"t", 0}}} {
		for _, tp := range tps {
			if err := zkmeta.WriteConsumerOffset(ctx, z, group, tp.topic, tp.partition, 3); err != nil {
				t.Fatal(err)
			}
		}
	}
	ids := zkmeta.ConsumersRoot + "/live/ids"
	if err := zkmeta.CreateRecursive(ctx, z, ids, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := z.Create(ctx, ids+"/live_host-1-00000000", []byte("{}"), zkmeta.Ephemeral, nil); err != nil {
		t.Fatal(err)
	}
	migrate := append([]string{"group", "migrate-offsets", "--zookeeper", zooKeeper.Addr + chroot}, "--from", "zookeeper", "--to", "kafka")
	want := "g gone 3 3 - left out: no such partition\ng t 0 3 - to kafka\ng t 1 3 - to kafka\nlive t 0 3 - to kafka"
	if got := compact(s.ok("", migrate...)); got != want {
		t.Errorf("preview:\n%s\nwant\n%s", got, want)
	}
	if r := s.cli("", "group", "migrate-offsets", "--zookeeper", zooKeeper.Addr+"/wrong-chroot", "--from", "zookeeper", "--to", "kafka"); r.code != 1 || !strings.Contains(r.errOut, "does not exist") {
		t.Errorf("a wrong chroot: %+v", r)
	}
	s.ok("", append(migrate, "--execute")...)
	if got := s.ok("", "group", "export", "--all-groups"); got != "g,t,0,3\ng,t,1,3\nlive,t,0,3\n" {
		t.Errorf("in Kafka: %q", got)
	}
	s.ok("", "group", "reset-offsets", "g", "live", "--all-topics", "--to-offset", "4", "--execute")
	back := []string{"group", "migrate-offsets", "g", "live", "--zookeeper", zooKeeper.Addr + chroot, "--from", "kafka", "--to", "zookeeper", "--execute"}
	r := s.cli("", back...)
	if r.code != 1 || !strings.Contains(r.errOut, "live_host-1-00000000") || strings.Contains(r.out, "live") {
		t.Errorf("under an old consumer: %+v", r)
	}
	for path, want := range map[string]string{zkmeta.ConsumerOffset("g", "t", 0): "4", zkmeta.ConsumerOffset("live", "t", 0): "3", zkmeta.ConsumerOffset("g", "gone", 3): "3"} {
		if data, _, err := z.Get(ctx, path, nil); err != nil || string(data) != want {
			t.Errorf("%s: %q, %v, want %q", path, data, err, want)
		}
	}
	s.ok("", append(back, "--force")...)
	if data, _, err := z.Get(ctx, zkmeta.ConsumerOffset("live", "t", 0), nil); err != nil || string(data) != "4" {
		t.Errorf("with --force: %q, %v", data, err)
	}
	if _, exists, err := z.Exists(ctx, ids+"/live_host-1-00000000", nil); err != nil || !exists {
		t.Errorf("the old consumer's node: %v, %v", exists, err)
	}
}
