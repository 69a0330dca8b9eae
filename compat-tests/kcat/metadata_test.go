package kcat

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"ottla/compat-tests/harness"
)

// metadata is the answer of kcat -L -J.
type metadata struct {
	OriginatingBroker struct {
		ID   int32  `json:"id"`
		Name string `json:"name"`
	} `json:"originating_broker"`
	ControllerID int32 `json:"controllerid"`
	Brokers      []struct {
		ID   int32  `json:"id"`
		Name string `json:"name"`
	} `json:"brokers"`
	Topics []struct {
		Topic      string `json:"topic"`
		Error      string `json:"error"`
		Partitions []struct {
			Partition int32                `json:"partition"`
			Leader    int32                `json:"leader"`
			Error     string               `json:"error"`
			Replicas  []struct{ ID int32 } `json:"replicas"`
			ISRs      []struct{ ID int32 } `json:"isrs"`
		} `json:"partitions"`
	} `json:"topics"`
}

func describe(t *testing.T, args ...string) metadata {
	t.Helper()
	var m metadata
	out := ok(t, "", append([]string{"-L", "-J"}, args...)...)
	if err := json.Unmarshal([]byte(out), &m); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return m
}

func TestMetadata(t *testing.T) {
	t.Run("-L -J: the broker at its advertised address, and a controller", func(t *testing.T) {
		m := describe(t)
		for _, b := range m.Brokers {
			if b.Name == harness.Bootstrap(t) {
				if m.ControllerID < 0 {
					t.Fatalf("controller %d", m.ControllerID)
				}
				return
			}
		}
		t.Fatalf("%s is not among %v", harness.Bootstrap(t), m.Brokers)
	})
	t.Run("-L: the human form names brokers, topics and partitions", func(t *testing.T) {
		tp := topic(t, 2)
		out := ok(t, "", "-L", "-t", tp)
		for _, want := range []string{"brokers:", "(controller)", `topic "` + tp + `" with 2 partitions:`, "partition 1, leader"} {
			if !strings.Contains(out, want) {
				t.Fatalf("no %q in\n%s", want, out)
			}
		}
	})
	t.Run("-L -t: one topic with leader, replicas and in-sync replicas of each partition", func(t *testing.T) {
		tp := topic(t, 3)
		m := describe(t, "-t", tp)
		eq(t, "topics", len(m.Topics), 1)
		eq(t, "partitions", len(m.Topics[0].Partitions), 3)
		for i, p := range m.Topics[0].Partitions {
			eq(t, "partition", p.Partition, int32(i))
			eq(t, "replicas", len(p.Replicas), 1)
			eq(t, "in-sync replicas", len(p.ISRs), 1)
			eq(t, "leader", p.Leader, p.Replicas[0].ID)
			eq(t, "error", p.Error, "")
		}
	})
	t.Run("-L: every topic is listed", func(t *testing.T) {
		a, b := topic(t, 1), topic(t, 1)
		found := 0
		for _, tp := range describe(t).Topics {
			if tp.Topic == a || tp.Topic == b {
				found++
			}
		}
		eq(t, "found", found, 2)
	})
	t.Run("-L -t: a topic that does not exist", func(t *testing.T) {
		m := describe(t, "-t", name(), "-X", "allow.auto.create.topics=false")
		eq(t, "error", m.Topics[0].Error, "Broker: Unknown topic or partition")
	})
	t.Run("-L -t: a name that is not allowed", func(t *testing.T) {
		m := describe(t, "-t", "not/allowed", "-X", "allow.auto.create.topics=true")
		eq(t, "error", m.Topics[0].Error, "Broker: Invalid topic")
	})
	t.Run("producing to a topic that does not exist creates it", func(t *testing.T) {
		tp := name()
		produce(t, tp, "first\n")
		t.Cleanup(func() { admin(t).DeleteTopics(t.Context(), tp) })
		eqLines(t, consume(t, tp), "first")
		eq(t, "partitions", len(describe(t, "-t", tp).Topics[0].Partitions), 1)
	})
	t.Run("consuming from a topic that does not exist does not create it", func(t *testing.T) {
		tp := name()
		fails(t, "Unknown topic or partition", "", "-C", "-t", tp, "-e", "-X", "allow.auto.create.topics=false")
		for _, have := range describe(t).Topics {
			if have.Topic == tp {
				t.Fatal("it is there")
			}
		}
	})
	t.Run("a deleted topic is gone and can be made again, empty", func(t *testing.T) {
		tp := topic(t, 1)
		produce(t, tp, "old\n")
		adm := admin(t)
		if _, err := adm.DeleteTopic(t.Context(), tp); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
			_, err := adm.CreateTopic(t.Context(), 1, 1, nil, tp)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
		produce(t, tp, "new\n")
		eqLines(t, consume(t, tp, "-f", `%o %s\n`), "0 new")
	})
}
