package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/compat-tests/harness"
)

// readBack reads every partition and checks that the record at each offset is the one with that number, as far as the
// partition's writer has acknowledgements.
func readBack(t *testing.T, c *harness.Cluster, topic string, ws []*writer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Seeds()...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	next, want, left := make([]int64, len(ws)), make([]int64, len(ws)), int64(0)
	for i, w := range ws {
		acked, failed := w.state()
		if failed != nil {
			t.Errorf("partition %d: a record was given up: %v", i, failed)
		}
		want[i], left = acked, left+acked
	}
	total := left
	for left > 0 {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("read %v of %v acknowledged records", next, want)
		}
		fs.EachRecord(func(r *kgo.Record) {
			if n := int64(binary.BigEndian.Uint64(r.Value)); r.Offset != next[r.Partition] || n != r.Offset {
				t.Fatalf("partition %d: record %d at offset %d, want both to be %d", r.Partition, n, r.Offset, next[r.Partition])
			}
			if next[r.Partition]++; next[r.Partition] <= want[r.Partition] {
				left--
			}
		})
	}
	t.Logf("%d acknowledged records, each there once and in order", total)
}

// sameReplicas waits until the logs of a partition are the same bytes on all brokers, and at least one record long. The
// writers have ended and every replica is in sync, so the high watermark is the end of the log.
func sameReplicas(t *testing.T, c *harness.Cluster, topic string, partitions int32) {
	t.Helper()
	for p := range partitions {
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			err := compareReplicas(c, topic, p)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Errorf("partition %d: %v", p, err)
				break
			}
		}
	}
}

func compareReplicas(c *harness.Cluster, topic string, partition int32) error {
	var first []byte
	for i, b := range c.Brokers {
		log, err := readLog(filepath.Join(b.DataDir(), fmt.Sprintf("%s-%d", topic, partition)))
		switch {
		case err != nil:
			return err
		case i == 0:
			first = log
		case !bytes.Equal(first, log):
			return fmt.Errorf("logs of brokers %d (%d bytes) and %d (%d bytes) differ from byte %d on",
				c.Brokers[0].ID, len(first), b.ID, len(log), firstDifference(first, log))
		}
	}
	if len(first) == 0 {
		return fmt.Errorf("the logs are empty")
	}
	return nil
}

// readLog puts the segments of a log together: replicas need not have rolled at the same records.
func readLog(dir string) (log []byte, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		log = append(log, b...)
	}
	return log, nil
}

func firstDifference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
