package storage

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ottla/storage/vfs"
	"ottla/wire/batch"
)

// dump runs kafka.tools.DumpLogSegments of a real Kafka on files. OTTLA_KAFKA_LIBS is the directory with Kafka's jars.
func dump(t *testing.T, args ...string) string {
	t.Helper()
	libs := os.Getenv("OTTLA_KAFKA_LIBS")
	if libs == "" {
		t.Skip("OTTLA_KAFKA_LIBS does not say where Kafka's jars are")
	}
	java, err := exec.LookPath("java")
	if err != nil {
		t.Skip("there is no java")
	}
	out, err := exec.Command(java, append([]string{"-Xmx256m", "-cp", libs + "/*", "kafka.tools.DumpLogSegments"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("DumpLogSegments %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// writeVaried fills a log with all kinds of batches over several segments.
func writeVaried(t *testing.T, e *env) {
	t.Helper()
	c := testConfig()
	c.SegmentBytes, c.IndexIntervalBytes = 6000, 200
	e.cfg["varied"] = c
	l := e.log("varied", 0)
	for i := range 60 {
		opt := batch.NewBuilderOptions(0)
		opt.Codec = batch.Codec(i % 5)
		b := batch.NewBuilder(opt)
		for j := range 5 {
			b.Add(1_700_000_000_000+int64(i*37%60), []byte{byte('a' + i%7)}, []byte(strings.Repeat("x", 10*j)), []batch.Header{{Key: "h", Value: []byte{1}}})
		}
		mustAppend(t, l, b.Build())
	}
	if err := l.TruncateTo(270); err != nil {
		t.Fatal(err)
	}
	if err := l.AssignEpoch(4, 270); err != nil {
		t.Fatal(err)
	}
	seq := int32(0)
	for i := range 12 {
		opt := batch.NewBuilderOptions(0)
		opt.ProducerID, opt.Epoch, opt.Sequence, opt.Transactional = 77, 1, seq, true
		b := batch.NewBuilder(opt)
		b.Add(1_700_000_100_000+int64(i), []byte("k"), []byte("v"), nil)
		seq++
		mustAppend(t, l, b.Build())
		if i%3 == 2 {
			m := batch.ControlBatch(batch.ControlOptions{Type: batch.ControlType(i % 2), ProducerID: 77, ProducerEpoch: 1, CoordinatorEpoch: 3, TimestampMs: 1_700_000_100_000})
			if _, err := l.AppendAsLeader(m, AppendOptions{Origin: OriginTxnMarker, LeaderEpoch: 4}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// writeCompacted fills a log and compacts it.
func writeCompacted(t *testing.T, e *env) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(5, 5))
	c := keyedConfig(rnd)
	c.SegmentBytes, c.IndexIntervalBytes = 4000, 200
	e.cfg["compacted"] = c
	k := &keyedRun{rnd: rnd, l: e.log("compacted", 0), seqs: map[int64]int32{}, open: map[int64]bool{}, ts: 1_700_000_000_000}
	for range 3 {
		k.write(t, 60)
		e.m.Compact(context.Background())
	}
	if k.l.SegmentCount() < 3 || e.m.dirs[0].cleanedTo(k.l.tp) == 0 {
		t.Fatalf("%d segments, cleaned to %d", k.l.SegmentCount(), e.m.dirs[0].cleanedTo(k.l.tp))
	}
}

func TestKafkaReadsWhatWeWrite(t *testing.T) {
	e := newEnv(t, vfs.OS, t.TempDir())
	e.open()
	writeVaried(t, e)
	writeCompacted(t, e)
	e.close()
	check := func(pattern string, args ...string) string {
		files, err := filepath.Glob(filepath.Join(e.dirs[0], "*", pattern))
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, files, err)
		}
		out := dump(t, append(args, "--files", strings.Join(files, ","))...)
		for _, bad := range []string{"isvalid: false", "Mismatches", "Found timestamp mismatch", "Index entry", "not found", "Exception", "Non-consecutive offsets in " + e.dirs[0] + "/varied"} {
			if strings.Contains(out, bad) {
				t.Errorf("%s: %q in\n%s", pattern, bad, out)
			}
		}
		return out
	}
	check("*.log", "--deep-iteration")
	check("*.index", "--verify-index-only")
	if out := check("*.index", "--index-sanity-check"); !strings.Contains(out, "passed sanity check") {
		t.Error(out)
	}
	check("*.timeindex", "--verify-index-only")
	if out := check("*.timeindex", "--index-sanity-check"); !strings.Contains(out, "passed sanity check") {
		t.Error(out)
	}
	if out := check("*.txnindex"); !strings.Contains(out, "producerId: 77") {
		t.Error(out)
	}
	if out := check("*.snapshot"); !strings.Contains(out, "producerId: 77 producerEpoch: 1") {
		t.Error(out)
	}
}
