package process

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-zookeeper/zk"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"ottla/compat-tests/harness"
)

// legacyRecord is what a broker answered to clients that keep their offsets in ZooKeeper, and the znodes that this left.
type legacyRecord struct {
	Answers []string `json:"answers"`
	Znodes  []znode  `json:"znodes"`
}

// legacy talks OffsetCommit and OffsetFetch to one broker and notes the answers.
type legacy struct {
	t    *testing.T
	cl   *kgo.Broker // as a client of Kafka 0.8.1
	now  *kgo.Broker // with the newest requests
	got  legacyRecord
	conn *zk.Conn
}

func (l *legacy) note(what string, items []string) {
	slices.Sort(items) // Kafka answers in the order of a hash map
	l.got.Answers = append(l.got.Answers, what+": "+strings.Join(items, ", "))
}

type legacyPartition struct {
	topic     string
	partition int32
	offset    int64
	metadata  *string
}

func (l *legacy) commit(what string, cl *kgo.Broker, group string, ps ...legacyPartition) {
	l.t.Helper()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = group, -1
	for _, p := range ps {
		rt := kmsg.NewOffsetCommitRequestTopic()
		rt.Topic = p.topic
		rp := kmsg.NewOffsetCommitRequestTopicPartition()
		rp.Partition, rp.Offset, rp.Metadata, rp.LeaderEpoch = p.partition, p.offset, p.metadata, -1
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
	}
	resp, err := req.RequestWith(l.t.Context(), cl)
	if err != nil {
		l.t.Fatalf("%s: %v", what, err)
	}
	var items []string
	for _, rt := range resp.Topics {
		for _, p := range rt.Partitions {
			items = append(items, fmt.Sprintf("%s-%d error %d", rt.Topic, p.Partition, p.ErrorCode))
		}
	}
	l.note(what, items)
}

func (l *legacy) fetch(what string, cl *kgo.Broker, group, topic string, partitions ...int32) {
	l.t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group
	req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: topic, Partitions: partitions}}
	g := kmsg.NewOffsetFetchRequestGroup() // of the newest versions
	g.Group, g.Topics = group, []kmsg.OffsetFetchRequestGroupTopic{{Topic: topic, Partitions: partitions}}
	req.Groups = append(req.Groups, g)
	resp, err := req.RequestWith(l.t.Context(), cl)
	if err != nil {
		l.t.Fatalf("%s: %v", what, err)
	}
	var items []string
	item := func(topic string, partition int32, offset int64, metadata *string, code int16) {
		text := "null"
		if metadata != nil {
			text = fmt.Sprintf("%q", *metadata)
		}
		items = append(items, fmt.Sprintf("%s-%d offset %d metadata %s error %d", topic, partition, offset, text, code))
	}
	for _, rt := range resp.Topics {
		for _, p := range rt.Partitions {
			item(rt.Topic, p.Partition, p.Offset, p.Metadata, p.ErrorCode)
		}
	}
	for _, g := range resp.Groups {
		for _, rt := range g.Topics {
			for _, p := range rt.Partitions {
				item(rt.Topic, p.Partition, p.Offset, p.Metadata, p.ErrorCode)
			}
		}
	}
	l.note(what, items)
}

// znode writes a node as an old consumer does.
func (l *legacy) znode(path string, data []byte, flags int32) {
	l.t.Helper()
	at := root
	names := strings.Split(path, "/")[1:]
	for i, name := range names {
		at += "/" + name
		d, f := []byte(nil), int32(0)
		if i == len(names)-1 {
			d, f = data, flags
		}
		if _, err := l.conn.Create(at, d, f, zk.WorldACL(zk.PermAll)); err != nil && (err != zk.ErrNodeExists || i == len(names)-1) {
			l.t.Fatalf("create %s: %v", at, err)
		}
	}
}

// TestLegacyOffsets keeps offsets in ZooKeeper, with the requests of Kafka 0.8.1, next to what an old consumer keeps there itself, and
// compares every answer and every znode with Apache Kafka's.
func TestLegacyOffsets(t *testing.T) {
	server := harness.NewZooKeeper(t)
	l := &legacy{t: t, conn: connect(t, server.Addr)}
	b := harness.NewBroker(t, harness.Config{ID: 3, ZooKeeper: server.Addr + root, Settings: []string{"offsets.topic.num.partitions=1"}})
	old := kversion.Stable()
	old.SetMaxKeyVersion(8, 0)
	old.SetMaxKeyVersion(9, 0)
	newest := client(t, b)
	l.cl, l.now = client(t, b, kgo.MaxVersions(old)).Broker(3), newest.Broker(3)
	createTopic(t, newest, "t", 3, nil)
	createTopic(t, newest, "u", 1, nil)
	waitLeaders(t, l.conn, "t", 3)
	waitLeaders(t, l.conn, "u", 1)

	text := func(s string) *string { return &s }
	const id = "old_host-1436000000000-01234567"
	l.znode("/consumers/old/ids/"+id, []byte(`{"version":1,"subscription":{"t":1},"pattern":"static","timestamp":"1436000000000"}`), zk.FlagEphemeral)
	l.znode("/consumers/old/owners/t/0", []byte(id+"-0"), zk.FlagEphemeral)
	l.znode("/consumers/old/offsets/t/2", []byte("7"), 0)

	l.fetch("nothing but what the old consumer wrote", l.cl, "old", "t", 0, 1, 2)
	l.commit("first", l.cl, "old", legacyPartition{"t", 0, 42, text("")}, legacyPartition{"t", 1, 0, text("some metadata")}, legacyPartition{"u", 0, 1 << 40, nil})
	l.commit("over both", l.cl, "old", legacyPartition{"t", 0, 43, text("")}, legacyPartition{"t", 2, 8, text("")})
	l.fetch("all", l.cl, "old", "t", 0, 1, 2)
	l.fetch("a large one", l.cl, "old", "u", 0)
	l.commit("negative", l.cl, "old", legacyPartition{"t", 1, -5, text("")})
	l.fetch("negative", l.cl, "old", "t", 1)
	l.commit("unknown", l.cl, "old", legacyPartition{"none", 0, 1, text("")}, legacyPartition{"t", 9, 1, text("")}, legacyPartition{"u", 0, 5, text("")})
	l.fetch("unknown topic", l.cl, "old", "none", 0)
	l.fetch("unknown partition", l.cl, "old", "t", 9, 0)
	l.fetch("unknown group", l.cl, "other", "t", 0)
	l.commit("metadata", l.cl, "sizes", legacyPartition{"t", 0, 1, text(strings.Repeat("x", 4096))}, legacyPartition{"t", 1, 1, text(strings.Repeat("x", 4097))},
		legacyPartition{"t", 2, 1, text(strings.Repeat("é", 4096))})
	l.commit("metadata in surrogate pairs", l.cl, "pairs", legacyPartition{"t", 0, 1, text(strings.Repeat("😀", 2048))}, legacyPartition{"t", 1, 1, text(strings.Repeat("😀", 2049))})
	l.commit("same partition twice", l.cl, "twice", legacyPartition{"t", 0, 1, text("")}, legacyPartition{"t", 0, 2, text("")})
	for _, group := range []string{"", "a/b", "/", "a/", ".", "..", "a\x00b", "ü", "a b"} {
		l.commit(fmt.Sprintf("group %q", group), l.cl, group, legacyPartition{"t", 0, 3, text("")})
		l.fetch(fmt.Sprintf("group %q", group), l.cl, group, "t", 0)
	}
	for i, data := range [][]byte{nil, []byte(""), []byte("x"), []byte(" 1"), []byte("+1"), []byte("-1"), []byte("007"), []byte("1\n"),
		[]byte("9223372036854775807"), []byte("9223372036854775808"), []byte("-9223372036854775808"), []byte("1_0"), []byte("0x1"), []byte("\xff")} {
		l.znode(fmt.Sprintf("/consumers/strange-%d/offsets/t/0", i), data, 0)
		l.fetch(fmt.Sprintf("node with %q", data), l.cl, fmt.Sprintf("strange-%d", i), "t", 0)
	}
	l.commit("over garbage", l.cl, "strange-2", legacyPartition{"t", 0, 4, text("")})
	l.commit("nothing", l.cl, "nothing")

	// What newer clients keep in the broker has nothing to do with it.
	waitFor(t, "a coordinator", func() bool {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorKeys = []string{"old"}
		resp, err := req.RequestWith(t.Context(), l.now)
		return err == nil && len(resp.Coordinators) == 1 && resp.Coordinators[0].ErrorCode == 0
	})
	l.commit("newest version", l.now, "old", legacyPartition{"t", 0, 1000, text("new")})
	l.fetch("newest version", l.now, "old", "t", 0, 1, 2)
	l.fetch("oldest version", l.cl, "old", "t", 0, 1, 2)
	port := b.Addr[strings.LastIndex(b.Addr, ":")+1:]
	for _, n := range tree(t, l.conn, port) {
		if strings.HasPrefix(n.Path, "/consumers") {
			if n.Data != nil { // as it is, byte for byte
				data, _, err := l.conn.Get(root + n.Path)
				if err != nil {
					t.Fatal(err)
				}
				n.Data = fmt.Sprintf("%q", data)
			}
			l.got.Znodes = append(l.got.Znodes, n)
		}
	}
	l.compare(b.Kind)
}

func (l *legacy) compare(kind harness.Kind) {
	golden := filepath.Join("testdata", "legacy-offsets-kafka-"+harness.KafkaVersion+".json")
	if *update {
		if kind != harness.Kafka {
			l.t.Fatal("-update is for BROKER=kafka")
		}
		raw, err := json.MarshalIndent(l.got, "", " ")
		if err == nil {
			err = os.WriteFile(golden, append(raw, '\n'), 0o644)
		}
		if err != nil {
			l.t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(golden)
	if err != nil {
		l.t.Fatal(err)
	}
	var want legacyRecord
	if err := json.Unmarshal(raw, &want); err != nil {
		l.t.Fatal(err)
	}
	for i, answer := range want.Answers {
		if i >= len(l.got.Answers) || l.got.Answers[i] != answer {
			l.t.Errorf("answer %d is %q, Kafka's %q", i, slices.Concat(l.got.Answers, make([]string, i+1))[i], answer)
		}
	}
	w, g := byPath(l.t, want.Znodes), byPath(l.t, l.got.Znodes)
	for p, text := range w {
		if g[p] != text {
			l.t.Errorf("znode:\n  Kafka: %s\n  here:  %s", text, g[p])
		}
	}
	for p, text := range g {
		if w[p] == "" {
			l.t.Errorf("Kafka has no such node: %s", text)
		}
	}
}
