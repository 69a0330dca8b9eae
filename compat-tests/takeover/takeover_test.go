package takeover

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ottla/compat-tests/harness"
)

// settings make logs roll, compact and write their checkpoints within a test.
var settings = []string{
	"offsets.topic.num.partitions=3",
	"transaction.state.log.num.partitions=2",
	"transaction.state.log.replication.factor=1",
	"transaction.state.log.min.isr=1",
	"log.cleaner.backoff.ms=100",
	"log.flush.start.offset.checkpoint.interval.ms=200",
	"log.initial.task.delay.ms=100",
	"auto.create.topics.enable=false",
	"num.recovery.threads.per.data.dir=2",
}

// TestTakeover fills a directory with one broker, serves it with the other, which writes some more, and goes back.
func TestTakeover(t *testing.T) {
	for _, c := range []struct {
		name  string
		order [3]harness.Kind
		kill  bool
	}{
		{"from Ottla to Kafka and back, stopped", [3]harness.Kind{harness.Ottla, harness.Kafka, harness.Ottla}, false},
		{"from Ottla to Kafka and back, killed", [3]harness.Kind{harness.Ottla, harness.Kafka, harness.Ottla}, true},
		{"from Kafka to Ottla and back, stopped", [3]harness.Kind{harness.Kafka, harness.Ottla, harness.Kafka}, false},
		{"from Kafka to Ottla and back, killed", [3]harness.Kind{harness.Kafka, harness.Ottla, harness.Kafka}, true},
	} {
		t.Run(c.name, func(t *testing.T) { takeover(t, c.order, c.kill) })
	}
}

func takeover(t *testing.T, order [3]harness.Kind, kill bool) {
	dir, zk := filepath.Join(harness.Dir(t), "broker"), harness.NewZooKeeper(t)
	var before *view
	for i, kind := range order {
		begin := time.Now()
		b := harness.NewBroker(t, harness.Config{
			Kind: kind, Dir: dir, ID: 1, ZooKeeper: zk.Addr, SessionTimeout: 4 * time.Second, Settings: settings,
		})
		s := newSession(t, b)
		if i == 0 {
			for _, set := range sets {
				s.create(set)
				set.fill(s, set.topic)
			}
		} else {
			s.wantView(fmt.Sprintf("%s serves what %s wrote", kind, order[i-1]), before)
			for _, set := range sets {
				set.goOn(s, set.topic)
			}
		}
		before = s.view()
		t.Logf("%s: %d batches in %d partitions, %v", kind, before.batches, len(before.logs), time.Since(begin).Round(time.Millisecond))
		s.awaitCheckpoint(filepath.Join(dir, "data"))
		s.close()
		if kill {
			if err := b.Kill(); err != nil {
				t.Fatal(err)
			}
			tear(t, filepath.Join(dir, "data", tornTopic+"-0"))
		} else if err := b.Stop(time.Minute); err != nil {
			t.Fatal(err)
		}
		if kind == harness.Ottla {
			dump(t, filepath.Join(dir, "data"), kill)
		}
		if t.Failed() {
			return
		}
	}
}

// tear leaves half of a batch at the end of a log, as a kill in the middle of a write would.
func tear(t *testing.T, dir string) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	active := logs[len(logs)-1]
	p, err := os.ReadFile(active)
	if err == nil {
		err = os.WriteFile(active, append(p, p[:min(90, len(p)-1)]...), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// awaitCheckpoint waits until the log start that DeleteRecords moved is remembered in a file: a kill would forget it, in Kafka too.
func (s *session) awaitCheckpoint(data string) {
	s.t.Helper()
	want := fmt.Sprintf("%s 0 %d\n", deletedTopic, deletedTo)
	s.await("the checkpoint of log start offsets", func() error {
		p, err := os.ReadFile(filepath.Join(data, "log-start-offset-checkpoint"))
		if err == nil && !strings.Contains(string(p), want) {
			err = fmt.Errorf("it holds %q", p)
		}
		return err
	})
}
