package process

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/compat-tests/harness"
)

// znode is one node as it is compared. Transaction ids, and what differs between two runs of one broker, are left out.
type znode struct {
	Path      string   `json:"path"`
	Data      any      `json:"data"` // JSON where it is; null for no data
	Ephemeral bool     `json:"ephemeral"`
	Version   int32    `json:"version"`
	Cversion  int32    `json:"cversion"`
	ACL       []string `json:"acl"`
}

// TestZnodes does the same things with a broker as were done with Apache Kafka and compares the trees that both leave in
// a real ZooKeeper, field by field, at several moments.
func TestZnodes(t *testing.T) {
	server := harness.NewZooKeeper(t)
	// An empty chroot that the broker creates, as in most shared ensembles.
	cfg := harness.Config{ID: 3, ZooKeeper: server.Addr + "/kafka/cluster", Settings: []string{
		"offsets.topic.num.partitions=2", "broker.rack=r1", "auto.create.topics.enable=true"}}
	conn := connect(t, server.Addr)
	b := harness.NewBroker(t, cfg)
	got := map[string][]znode{}
	port := b.Addr[strings.LastIndex(b.Addr, ":")+1:]
	snapshot := func(when string) { got[when] = tree(t, conn, port) }

	snapshot("1 started on an empty ensemble")
	adm := kadm.NewClient(client(t, b))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()

	must(t)(adm.CreateTopic(ctx, 2, 1, map[string]*string{"retention.ms": kadm.StringPtr("1000000")}, "with-config"))
	must(t)(adm.CreateTopic(ctx, 1, 1, nil, "without-config"))
	waitLeaders(t, conn, "with-config", 2)
	waitLeaders(t, conn, "without-config", 1)
	snapshot("2 two topics created")

	must(t)(adm.UpdatePartitions(ctx, 3, "with-config"))
	waitLeaders(t, conn, "with-config", 3)
	set := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "segment.bytes", Value: kadm.StringPtr("1048576")}}
	must(t)(adm.AlterTopicConfigs(ctx, set, "with-config"))
	must(t)(adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.DeleteConfig, Name: "retention.ms"}}, "with-config"))
	snapshot("3 partitions added and configurations changed")

	must(t)(adm.AlterBrokerConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "background.threads", Value: kadm.StringPtr("8")}}, 3))
	must(t)(adm.AlterBrokerConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "log.cleaner.backoff.ms", Value: kadm.StringPtr("14000")}}))
	snapshot("4 configurations of broker and cluster changed")

	producer := client(t, b, kgo.DefaultProduceTopic("auto-created"), kgo.AllowAutoTopicCreation())
	must(t)(0, producer.ProduceSync(ctx, kgo.StringRecord("v")).FirstErr())
	snapshot("5 an idempotent producer wrote to a topic that was created for it")

	must(t)(0, adm.CommitAllOffsets(ctx, "group", kadm.Offsets{"auto-created": {0: {Topic: "auto-created", At: 1, LeaderEpoch: -1}}}))
	snapshot("6 a group committed")

	must(t)(adm.DeleteTopic(ctx, "with-config"))
	waitFor(t, "the deletion", func() bool {
		children, _, err := conn.Children(root + "/admin/delete_topics")
		return err == nil && len(children) == 0
	})
	snapshot("7 a topic deleted")

	if err := b.Stop(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	snapshot("8 stopped")
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	snapshot("9 started again")

	golden := filepath.Join("testdata", "znodes-kafka-"+harness.KafkaVersion+".json")
	if *update {
		if b.Kind != harness.Kafka {
			t.Fatal("-update is for BROKER=kafka")
		}
		raw, err := json.MarshalIndent(got, "", " ")
		if err == nil {
			err = os.WriteFile(golden, append(raw, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	compare(t, golden, got)
}

func compare(t *testing.T, golden string, got map[string][]znode) {
	t.Helper()
	raw, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]znode{}
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	var moments []string
	for when := range want {
		moments = append(moments, when)
	}
	sort.Strings(moments)
	for _, when := range moments {
		t.Run("znodes equal Kafka's: "+when[2:], func(t *testing.T) {
			w, g := byPath(t, want[when]), byPath(t, got[when])
			for p, text := range w {
				switch other, there := g[p]; {
				case !there:
					t.Errorf("missing: %s", text)
				case other != text:
					t.Errorf("differs:\n  Kafka: %s\n  here:  %s", text, other)
				}
			}
			for p, text := range g {
				if _, there := w[p]; !there {
					t.Errorf("Kafka has no such node: %s", text)
				}
			}
		})
	}
}

func byPath(t *testing.T, nodes []znode) map[string]string {
	m := map[string]string{}
	for _, n := range nodes {
		text, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		m[n.Path] = string(text)
	}
	return m
}

func must(t *testing.T) func(any, error) {
	return func(v any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

const root = "/kafka/cluster"

func connect(t *testing.T, addr string) *zk.Conn {
	t.Helper()
	conn, _, err := zk.Connect([]string{addr}, 10*time.Second, zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// waitLeaders waits until the partitions of a topic have a state.
func waitLeaders(t *testing.T, conn *zk.Conn, topic string, n int) {
	t.Helper()
	waitFor(t, "partition states of "+topic, func() bool {
		for p := range n {
			if ok, _, err := conn.Exists(fmt.Sprintf("%s/brokers/topics/%s/partitions/%d/state", root, topic, p)); err != nil || !ok {
				return false
			}
		}
		return true
	})
}

// tree returns all nodes below the chroot, without ZooKeeper's own.
func tree(t *testing.T, conn *zk.Conn, port string) []znode {
	t.Helper()
	// Notifications and the broker's own changes are written after the answer: wait until nothing changes any more.
	last, since := "", time.Now()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		nodes := walk(t, conn, root, port)
		raw, _ := json.Marshal(nodes)
		if string(raw) != last {
			last, since = string(raw), time.Now()
		} else if time.Since(since) > 700*time.Millisecond {
			return nodes
		}
	}
	t.Fatal("the tree does not come to rest")
	return nil
}

func walk(t *testing.T, conn *zk.Conn, p, port string) []znode {
	t.Helper()
	data, stat, err := conn.Get(p)
	if err == zk.ErrNoNode {
		return nil // deleted meanwhile
	}
	if err != nil {
		t.Fatalf("get %s: %v", p, err)
	}
	acls, _, err := conn.GetACL(p)
	if err != nil && err != zk.ErrNoNode {
		t.Fatalf("acl of %s: %v", p, err)
	}
	n := znode{Path: strings.TrimPrefix(p, root), Ephemeral: stat.EphemeralOwner != 0, Version: stat.Version, Cversion: stat.Cversion}
	for _, a := range acls {
		n.ACL = append(n.ACL, fmt.Sprintf("%s:%s:%d", a.Scheme, a.ID, a.Perms))
	}
	n.Data = normalise(data, port)
	nodes := []znode{n}
	children, _, err := conn.Children(p)
	if err != nil && err != zk.ErrNoNode {
		t.Fatalf("children of %s: %v", p, err)
	}
	sort.Strings(children)
	for _, c := range children {
		nodes = append(nodes, walk(t, conn, path.Join(p, c), port)...)
	}
	return nodes
}

var id22 = regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`)

// normalise replaces ports, times and ids, and takes out the feature that Ottla registers with and Kafka 3.9 does not have.
func normalise(data []byte, port string) any {
	if data == nil {
		return nil
	}
	var v any
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return string(data)
	}
	return normaliseValue("", v, port)
}

func normaliseValue(key string, v any, port string) any {
	switch x := v.(type) {
	case map[string]any:
		for k := range x {
			x[k] = normaliseValue(k, x[k], port)
		}
		delete(x, "transaction.version")
		return x
	case []any:
		for i := range x {
			x[i] = normaliseValue(key, x[i], port)
		}
		return x
	case json.Number:
		if key == "port" && x.String() == port {
			return "PORT"
		}
		return "number " + x.String()
	case string:
		switch {
		case key == "timestamp":
			return "TIME"
		case (key == "topic_id" || key == "id") && id22.MatchString(x):
			return "ID"
		}
		return strings.ReplaceAll(x, port, "PORT")
	default:
		return v
	}
}
