package storage

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"ottla/storage/vfs"
	"ottla/wire/batch"
)

// damage spoils the bytes of a file.
var damages = map[string]func(p []byte, rnd *rand.Rand) []byte{
	"empty":     func([]byte, *rand.Rand) []byte { return nil },
	"half":      func(p []byte, _ *rand.Rand) []byte { return p[:len(p)/2] },
	"one less":  func(p []byte, _ *rand.Rand) []byte { return p[:max(0, len(p)-1)] },
	"zeros":     func(p []byte, _ *rand.Rand) []byte { return make([]byte, len(p)) },
	"zero tail": func(p []byte, _ *rand.Rand) []byte { return append(append([]byte{}, p...), make([]byte, 300)...) },
	"garbage": func(p []byte, rnd *rand.Rand) []byte {
		out := append([]byte{}, p...)
		for range 100 {
			out = append(out, byte(rnd.Uint32()))
		}
		return out
	},
	"foreign": func([]byte, *rand.Rand) []byte { return []byte("0\n2\nother 0 7\nanother 3 12\n") },
	"foreign binary": func([]byte, *rand.Rand) []byte {
		return append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), plainBatch(3, 30, 1)...)
	},
	"random": func(_ []byte, rnd *rand.Rand) []byte {
		out := make([]byte, 1+rnd.IntN(3000))
		for i := range out {
			out[i] = byte(rnd.Uint32())
		}
		return out
	},
	"flip": func(p []byte, rnd *rand.Rand) []byte {
		out := append([]byte{}, p...)
		if len(out) > 0 {
			out[rnd.IntN(len(out))] ^= 1 << rnd.IntN(8)
		}
		return out
	},
	"zero hole": func(p []byte, rnd *rand.Rand) []byte {
		out := append([]byte{}, p...)
		if len(out) > 0 {
			at := rnd.IntN(len(out))
			clear(out[at:min(len(out), at+200)])
		}
		return out
	},
}

// originals lists the batches of a partition directory of a fixture by base offset.
func originals(t *testing.T, dir string) map[int64]batch.View {
	t.Helper()
	out := map[int64]batch.View{}
	logs, _ := filepath.Glob(filepath.Join(dir, "*"+logSuffix))
	for _, f := range logs {
		rest, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for len(rest) > 0 {
			v, tail, err := batch.Next(rest)
			if err != nil {
				break // the torn end of the unclean fixture
			}
			out[v.BaseOffset()], rest = v, tail
		}
	}
	return out
}

// Whatever happens to any file: no panic, a log that opens or a directory that says why not, and no batch that passes for one it is not.
func TestDamagedFiles(t *testing.T) {
	for _, fixture := range []string{"kafka-3.9-datadir", "kafka-3.9-datadir-unclean"} {
		dir := untar(t, fixture)
		for _, partition := range []string{"codec-none-0", "txn-0", "compacted-0", "deleted-records-0", "plain-0", "torn-0"} {
			from := filepath.Join(dir, partition)
			if _, err := os.Stat(from); err != nil {
				continue
			}
			want := originals(t, from)
			files, err := os.ReadDir(from)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				for name, spoil := range damages {
					rounds := 2 // after a clean stop, and after a kill
					if name == "flip" || name == "zero hole" || name == "random" {
						rounds = 6
					}
					for round := range rounds {
						rnd := rand.New(rand.NewPCG(uint64(round), uint64(len(f.Name()))))
						unclean := strings.HasSuffix(fixture, "unclean") || round%2 == 1
						err := openDamaged(t, from, partition, f.Name(), unclean, func(p []byte) []byte { return spoil(p, rnd) }, want)
						if err != nil {
							t.Errorf("%s/%s/%s, %s, round %d: %v", fixture, partition, f.Name(), name, round, err)
						}
					}
				}
			}
		}
	}
}

// The files beside the partitions: the directory opens and serves what it holds, or says why it does not.
func TestDamagedFilesOfTheDirectory(t *testing.T) {
	for _, fixture := range []string{"kafka-3.9-datadir", "kafka-3.9-datadir-unclean"} {
		dir := untar(t, fixture)
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		partitions := map[TopicPartition]map[int64]batch.View{}
		for _, e := range entries {
			if tp, kind, err := parseDirName(e.Name()); e.IsDir() && err == nil && kind == dirLog {
				partitions[tp] = originals(t, filepath.Join(dir, e.Name()))
			}
		}
		files := []string{
			"meta.properties", "recovery-point-offset-checkpoint", "log-start-offset-checkpoint", "replication-offset-checkpoint",
			"cleaner-offset-checkpoint", cleanShutdownFileName,
		}
		for _, file := range files {
			for name, spoil := range damages {
				for round := range 2 {
					what := fmt.Sprintf("%s/%s, %s, round %d", fixture, file, name, round)
					m := copyToMem(t, dir, "/data")
					p, _ := vfs.ReadFile(m, "/data/"+file, 1<<20)
					rnd := rand.New(rand.NewPCG(uint64(round), uint64(len(file))))
					if err := vfs.WriteFile(m, "/data/"+file, spoil(p, rnd), true); err != nil {
						t.Fatal(err)
					}
					if file != cleanShutdownFileName && round == 1 {
						_ = m.Remove("/data/" + cleanShutdownFileName)
					}
					if err := openWhole(m, partitions); err != nil {
						t.Errorf("%s: %v", what, err)
					}
				}
			}
		}
	}
}

func openWhole(m *vfs.Mem, partitions map[TopicPartition]map[int64]batch.View) error {
	cfg := testConfig()
	mgr, err := Open(context.Background(), ManagerConfig{
		Dirs: []string{"/data"}, FS: m, LogConfig: func(string) LogConfig { return cfg }, ProducerIDExpirationMs: forever, manual: true,
	})
	if err != nil {
		return nil // it said so
	}
	defer func() { abandon(mgr) }()
	if mgr.Dirs()[0].Offline != nil {
		return nil
	}
	for tp, want := range partitions {
		l := mgr.Log(tp)
		if l == nil {
			return fmt.Errorf("%s is missing, and no reason", tp)
		}
		if err := checkServed(l, want); err != nil {
			return fmt.Errorf("%s: %w", tp, err)
		}
		if start, end := l.StartOffset(), l.EndOffset(); start < 0 || start > end || l.HighWatermark() > end {
			return fmt.Errorf("%s starts at %d, ends at %d, high watermark %d", tp, start, end, l.HighWatermark())
		}
	}
	return nil
}

func openDamaged(t *testing.T, from, partition, file string, unclean bool, spoil func([]byte) []byte, want map[int64]batch.View) error {
	m := copyToMem(t, from, path.Join("/data", partition))
	name := path.Join("/data", partition, file)
	p, err := vfs.ReadFile(m, name, 1<<30)
	if err != nil {
		return err
	}
	damaged := spoil(p)
	if err := vfs.WriteFile(m, name, damaged, true); err != nil {
		return err
	}
	if !unclean {
		if err := vfs.WriteFile(m, "/data/"+cleanShutdownFileName, nil, true); err != nil {
			return err
		}
	}
	cfg := testConfig()
	cfg.Compact = strings.HasPrefix(partition, "compacted")
	size := int64(0)
	entries, err := m.ReadDir(path.Dir(name))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasSuffix(e.Name(), logSuffix) {
			size += info.Size()
		}
	}
	var said bytes.Buffer
	mgr, err := Open(context.Background(), ManagerConfig{
		Dirs: []string{"/data"}, FS: m, LogConfig: func(string) LogConfig { return cfg }, ProducerIDExpirationMs: forever, manual: true,
		Log: zerolog.New(&said).Level(zerolog.WarnLevel),
	})
	if err != nil {
		return nil // it said so
	}
	defer func() { abandon(mgr) }()
	tp, _, err := parseDirName(partition)
	if err != nil {
		return err
	}
	l := mgr.Log(tp)
	if l == nil {
		if mgr.Dirs()[0].Offline == nil {
			return fmt.Errorf("there is no log and no reason")
		}
		return nil
	}
	if l.Size() < size && said.Len() == 0 {
		return fmt.Errorf("%d bytes are left of %d, and no line says so", l.Size(), size)
	}
	if err := checkServed(l, want); err != nil {
		return err
	}
	if _, err := l.AbortedTransactions(l.StartOffset(), l.EndOffset()); err != nil {
		return err
	}
	_, _, _, _, err = l.OffsetForTimestamp(0, l.EndOffset())
	if err != nil && !isCorrupt(err) {
		return err
	}
	_, _ = l.AppendAsLeader(plainBatch(1, 10, 1), AppendOptions{LeaderEpoch: max(l.LatestEpoch(), 0)})
	return l.Offline()
}

// checkServed reads the log and compares every batch that a client would believe with the original.
func checkServed(l *Log, want map[int64]batch.View) error {
	for off, end := l.StartOffset(), l.EndOffset(); off < end; {
		r, err := l.Read(off, 700, end, true)
		if err != nil {
			if isCorrupt(err) {
				return nil
			}
			return err
		}
		if r == nil {
			return nil
		}
		p := make([]byte, r.Len())
		n, _ := r.ReadAt(p, 0)
		next := r.NextOffset()
		r.Release()
		for rest := p[:n]; len(rest) > 0; {
			v, tail, err := batch.Next(rest)
			if err != nil {
				break
			}
			rest = tail
			if v.VerifyCRC() != nil {
				continue // the client refuses it
			}
			// What the CRC covers; base offset and leader epoch lie outside it, in Kafka's files too.
			if w := want[v.BaseOffset()]; w != nil && string(w[17:]) != string(v[17:]) {
				return fmt.Errorf("the batch at %d is not the one that was written", v.BaseOffset())
			}
		}
		if next <= off {
			return fmt.Errorf("a read at %d leads nowhere", off)
		}
		off = next
	}
	return nil
}
