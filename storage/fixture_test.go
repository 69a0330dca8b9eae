package storage

import (
	"encoding/hex"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ottla/storage/vfs"
	"ottla/wire/batch"
)

// text renders a key or value as expected.json does.
func text(p []byte, asHex bool) *string {
	if p == nil {
		return nil
	}
	s := string(p)
	if asHex {
		s = "hex:" + hex.EncodeToString(p)
	}
	return &s
}

// recordsOf decodes what readAll returned, from an offset on.
func recordsOf(t testing.TB, topic string, p []byte, from int64) []expectedRecord {
	t.Helper()
	out := []expectedRecord{}
	for len(p) > 0 {
		v, rest, err := batch.Next(p)
		if err != nil {
			t.Fatal(err)
		}
		p = rest
		asHex := strings.HasPrefix(topic, "__") || v.IsControl()
		err = v.Walk(func(r *batch.Record) error {
			if r.Offset < from {
				return nil
			}
			e := expectedRecord{
				Offset: r.Offset, Timestamp: r.Timestamp, LeaderEpoch: v.LeaderEpoch(), ProducerID: v.ProducerID(), ProducerEpoch: v.ProducerEpoch(),
				Codec: int(v.Codec()), Key: text(r.Key, asHex), Value: text(r.Value, asHex), Transactional: v.IsTransactional(), Control: v.IsControl(),
			}
			if v.IsLogAppendTime() {
				e.TimestampType = 1
			}
			for _, h := range r.Headers {
				k := string(h.Key)
				e.Headers = append(e.Headers, []*string{&k, text(h.Value, false)})
			}
			out = append(out, e)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func checkExpected(t *testing.T, m *Manager, want map[string]expectedPartition, clean bool) {
	t.Helper()
	for name, w := range want {
		tp, _, err := parseDirName(name)
		if err != nil {
			t.Fatal(err)
		}
		l := m.Log(tp)
		if l == nil {
			t.Errorf("%s is missing", name)
			continue
		}
		if clean && (l.StartOffset() != w.LogStartOffset || l.EndOffset() != w.LogEndOffset || l.HighWatermark() != w.HighWatermark || l.LastStableOffset() != w.LastStableOffset) {
			t.Errorf("%s: start %d end %d hw %d lso %d, want %d %d %d %d", name, l.StartOffset(), l.EndOffset(), l.HighWatermark(), l.LastStableOffset(),
				w.LogStartOffset, w.LogEndOffset, w.HighWatermark, w.LastStableOffset)
		}
		if l.StartOffset() != w.LogStartOffset || l.EndOffset() != w.LogEndOffset {
			t.Errorf("%s: start %d end %d, want %d %d", name, l.StartOffset(), l.EndOffset(), w.LogStartOffset, w.LogEndOffset)
		}
		if uuid(l.TopicID()) != w.TopicID {
			t.Errorf("%s: topic id %s, want %s", name, uuid(l.TopicID()), w.TopicID)
		}
		for _, maxBytes := range []int{1, 700, 5000, 1 << 20} {
			got := recordsOf(t, tp.Topic, readAll(t, l, l.StartOffset(), l.EndOffset(), maxBytes), l.StartOffset())
			if w.Records == nil {
				w.Records = []expectedRecord{}
			}
			for i := range w.Records {
				if len(w.Records[i].Headers) == 0 {
					w.Records[i].Headers = nil
				}
			}
			if diff := cmp.Diff(w.Records, got); diff != "" {
				t.Errorf("%s read by %d bytes (-want +got):\n%s", name, maxBytes, diff)
				break
			}
		}
		var aborted []AbortedTxn
		for _, a := range w.Aborted {
			aborted = append(aborted, AbortedTxn{a.ProducerID, a.FirstOffset})
		}
		list, err := l.AbortedTransactions(l.StartOffset(), l.EndOffset())
		if err != nil {
			t.Error(err)
		}
		if len(list) == 0 {
			list = nil
		}
		if diff := cmp.Diff(aborted, list); diff != "" {
			t.Errorf("%s aborted (-want +got):\n%s", name, diff)
		}
	}
}

func TestServesKafkaDirectory(t *testing.T) {
	want := expected(t)["kafka-3.9-datadir"]
	dir := untar(t, "kafka-3.9-datadir")
	e := newEnv(t, vfs.OS, dir)
	checkExpected(t, e.open(), want.Partitions, true)
	if got := len(e.m.Logs()); got != len(want.Partitions) {
		t.Errorf("%d logs, want %d", got, len(want.Partitions))
	}
	e.close()
	// What was closed by us opens again, the same.
	checkExpected(t, e.open(), want.Partitions, true)
	e.close()
}

func TestServesKafkaDirectoryWithoutIndexes(t *testing.T) {
	want := expected(t)["kafka-3.9-datadir"]
	dir := untar(t, "kafka-3.9-datadir")
	for _, pattern := range []string{"*.index", "*.timeindex"} {
		files, _ := filepath.Glob(filepath.Join(dir, "*", pattern))
		for _, f := range files {
			if err := vfs.OS.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	e := newEnv(t, vfs.OS, dir)
	checkExpected(t, e.open(), want.Partitions, true)
	e.close()
}

func TestRecoversKafkaDirectoryAfterKill(t *testing.T) {
	want := expected(t)["kafka-3.9-datadir-unclean"]
	dir := untar(t, "kafka-3.9-datadir-unclean")
	e := newEnv(t, vfs.OS, dir)
	meta, err := PeekMeta(vfs.OS, e.dirs)
	if err != nil {
		t.Fatal(err)
	}
	e.mod = func(c *ManagerConfig) { c.ClusterID = meta.ClusterID }
	checkExpected(t, e.open(), want.AfterRecovery.Partitions, false)
	e.close()
	checkExpected(t, e.open(), want.AfterRecovery.Partitions, false)
	e.close()
}
