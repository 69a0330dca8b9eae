package storage

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

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
					rounds := 1
					if name == "flip" || name == "zero hole" {
						rounds = 6
					}
					for round := range rounds {
						rnd := rand.New(rand.NewPCG(uint64(round), uint64(len(f.Name()))))
						err := openDamaged(t, from, partition, f.Name(), strings.HasSuffix(fixture, "unclean"), func(p []byte) []byte { return spoil(p, rnd) }, want)
						if err != nil {
							t.Errorf("%s/%s/%s, %s, round %d: %v", fixture, partition, f.Name(), name, round, err)
						}
					}
				}
			}
		}
	}
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
	mgr, err := Open(context.Background(), ManagerConfig{
		Dirs: []string{"/data"}, FS: m, LogConfig: func(string) LogConfig { return cfg }, ProducerIDExpirationMs: forever, manual: true,
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
