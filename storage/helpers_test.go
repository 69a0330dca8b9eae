package storage

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"ottla/storage/vfs"
	"ottla/wire/batch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// forever keeps what was recorded long ago from expiring.
const forever = math.MaxInt64 / 4

func testConfig() LogConfig {
	c := DefaultLogConfig()
	c.RetentionMs = -1
	return c
}

func testLogger(t testing.TB) zerolog.Logger {
	if !testing.Verbose() {
		return zerolog.Nop()
	}
	return zerolog.New(zerolog.NewTestWriter(t))
}

type env struct {
	t    testing.TB
	fs   vfs.FS
	dirs []string
	cfg  map[string]LogConfig
	m    *Manager
	mod  func(*ManagerConfig)
}

func newEnv(t testing.TB, fsys vfs.FS, dirs ...string) *env {
	t.Helper()
	if len(dirs) == 0 {
		dirs = []string{"/data"}
	}
	if fsys == nil {
		fsys = vfs.NewMem()
	}
	e := &env{t: t, fs: fsys, dirs: dirs, cfg: map[string]LogConfig{}}
	t.Cleanup(e.abandon)
	return e
}

func (e *env) config() ManagerConfig {
	cfg := ManagerConfig{
		Dirs: e.dirs, BrokerID: 0, ClusterID: "WMv3HeWVRPWezgzUUGx2sg", FS: e.fs, Log: testLogger(e.t),
		LogConfig: func(topic string) LogConfig {
			if c, ok := e.cfg[topic]; ok {
				return c
			}
			return testConfig()
		},
		ProducerIDExpirationMs: forever,
	}
	if e.mod != nil {
		e.mod(&cfg)
	}
	return cfg
}

func (e *env) open() *Manager {
	e.t.Helper()
	m, err := Open(context.Background(), e.config())
	if err != nil {
		e.t.Fatalf("open: %v", err)
	}
	e.m = m
	return m
}

func (e *env) close() {
	e.t.Helper()
	if err := e.m.Close(context.Background()); err != nil {
		e.t.Fatalf("close: %v", err)
	}
	e.m = nil
}

// abandon stops a manager's goroutines without closing anything, as a crash would.
func (e *env) abandon() {
	if e.m != nil {
		abandon(e.m)
		e.m = nil
	}
}

func abandon(m *Manager) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = m.Close(ctx)
}

func (e *env) log(topic string, partition int32) *Log {
	e.t.Helper()
	l, err := e.m.Create(TopicPartition{topic, partition}, [16]byte{}, true)
	if err != nil {
		e.t.Fatal(err)
	}
	return l
}

// untar unpacks a fixture into a fresh directory of the operating system and returns it.
func untar(t testing.TB, name string) string {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return filepath.Join(to, name)
		}
		if err != nil {
			t.Fatal(err)
		}
		dst := filepath.Join(to, h.Name)
		if h.Typeflag == tar.TypeDir {
			if err := os.MkdirAll(dst, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		data, err := io.ReadAll(r)
		if err == nil {
			err = os.WriteFile(dst, data, 0o644)
		}
		if err == nil {
			err = os.Chtimes(dst, h.ModTime, h.ModTime)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// copyToMem copies a directory of the operating system into memory, synced.
func copyToMem(t testing.TB, from, to string) *vfs.Mem {
	t.Helper()
	m := vfs.NewMem()
	err := filepath.WalkDir(from, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, p)
		dst := path.Join(to, filepath.ToSlash(rel))
		if d.IsDir() {
			return m.MkdirAll(dst, 0o755)
		}
		data, err := os.ReadFile(p)
		if err == nil {
			err = vfs.WriteFile(m, dst, data, false)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.SyncAll("/"); err != nil {
		t.Fatal(err)
	}
	return m
}

type expectedRecord struct {
	Offset        int64       `json:"offset"`
	Timestamp     int64       `json:"timestamp"`
	TimestampType int         `json:"timestamp_type"`
	LeaderEpoch   int32       `json:"leader_epoch"`
	ProducerID    int64       `json:"producer_id"`
	ProducerEpoch int16       `json:"producer_epoch"`
	Codec         int         `json:"codec"`
	Key           *string     `json:"key"`
	Value         *string     `json:"value"`
	Headers       [][]*string `json:"headers"`
	Transactional bool        `json:"transactional"`
	Control       bool        `json:"control"`
}

type expectedPartition struct {
	TopicID          string `json:"topic_id"`
	LogStartOffset   int64  `json:"log_start_offset"`
	LogEndOffset     int64  `json:"log_end_offset"`
	HighWatermark    int64  `json:"high_watermark"`
	LastStableOffset int64  `json:"last_stable_offset"`
	Aborted          []struct {
		ProducerID  int64 `json:"producer_id"`
		FirstOffset int64 `json:"first_offset"`
	} `json:"aborted_transactions"`
	Records []expectedRecord `json:"records"`
}

type expectedDir struct {
	Partitions    map[string]expectedPartition `json:"partitions"`
	AfterRecovery struct {
		Partitions map[string]expectedPartition `json:"partitions"`
	} `json:"after_recovery"`
	BeforeKill json.RawMessage `json:"before_kill"`
}

func expected(t testing.TB) map[string]expectedDir {
	t.Helper()
	f, err := os.Open("testdata/expected.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]expectedDir
	if err := json.NewDecoder(z).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// readAll returns all batches of [from, upTo), read in pieces of at most maxBytes.
func readAll(t testing.TB, l *Log, from, upTo int64, maxBytes int) []byte {
	t.Helper()
	var out []byte
	for from < upTo {
		r, err := l.Read(from, maxBytes, upTo, true)
		if err != nil {
			t.Fatalf("read %s at %d: %v", l.tp, from, err)
		}
		if r == nil {
			break
		}
		p := make([]byte, r.Len())
		if n, err := r.ReadAt(p, 0); n != len(p) {
			t.Fatalf("read %s at %d: %d of %d bytes: %v", l.tp, from, n, len(p), err)
		}
		next := r.NextOffset()
		r.Release()
		rest := p
		var last batch.View
		for len(rest) > 0 {
			v, tail, err := batch.Next(rest)
			if err != nil {
				t.Fatalf("read %s at %d: not whole batches: %v", l.tp, from, err)
			}
			if err := v.VerifyCRC(); err != nil {
				t.Fatalf("read %s: batch at %d: %v", l.tp, v.BaseOffset(), err)
			}
			last, rest = v, tail
		}
		if next < last.NextOffset() {
			t.Fatalf("read %s at %d: NextOffset %d, last batch ends at %d", l.tp, from, next, last.NextOffset())
		}
		if last.NextOffset() <= from {
			t.Fatalf("read %s at %d: batches up to %d only", l.tp, from, last.LastOffset())
		}
		out = append(out, p...)
		from = last.NextOffset()
	}
	return out
}

// plainBatch is a batch of n records without a producer, whose values have size bytes.
func plainBatch(n, size int, ts int64) []byte {
	b := batch.NewBuilder(batch.NewBuilderOptions(0))
	for i := range n {
		v := make([]byte, size)
		for j := range v {
			v[j] = byte('a' + (i+j)%26)
		}
		b.Add(ts+int64(i), []byte{byte(i >> 8), byte(i)}, v, nil)
	}
	return b.Build()
}

func mustAppend(t testing.TB, l *Log, p []byte) AppendInfo {
	t.Helper()
	info, err := l.AppendAsLeader(p, AppendOptions{Origin: OriginClient, LeaderEpoch: max(0, l.LatestEpoch())})
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return info
}

// setOffset makes a batch as a leader elsewhere would send it.
func setOffset(p []byte, off int64) {
	v := batch.View(p)
	v.SetBaseOffset(off)
	v.SetLeaderEpoch(0)
}
