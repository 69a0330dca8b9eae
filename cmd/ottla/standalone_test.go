package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestStartsFast measures from exec to the answer to Metadata. The machine may be busy: the best of a few starts counts, with a margin.
func TestStartsFast(t *testing.T) {
	limit := 500 * time.Millisecond
	if raceDetector {
		limit = 5 * time.Second
	}
	best := time.Hour
	for range 5 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		l.Close()
		began := time.Now()
		p := ottla(t, nil, "broker", "--set", "log.dirs="+t.TempDir(), "--set", "listeners=PLAINTEXT://"+addr)
		eventually(t, "Metadata", func() error {
			c, err := askMetadata(addr)
			if err == nil {
				c.Close()
			}
			return err
		})
		best = min(best, time.Since(began))
		rss := p.rss()
		p.kill()
		t.Logf("from exec to Metadata: %v; resident: %d MiB", time.Since(began).Round(time.Millisecond), rss>>20)
		if !raceDetector && rss > 60<<20 {
			t.Errorf("an idle broker has %d MiB resident", rss>>20)
		}
		if best < limit/5 {
			break
		}
	}
	if best > limit {
		t.Errorf("the fastest start took %v", best)
	}
}

func TestEveryAcknowledgedRecordOutlivesKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startBroker(t, dir, "--set", "log.segment.bytes=1048576", "--set", "num.partitions=3")
	var acked acks
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := s.client()
	produceEndlessly(ctx, c, &acked)
	eventually(t, "20,000 acknowledged records", acked.atLeast(20_000))
	s.kill()
	cancel()
	c.Close()
	began := time.Now()
	s = startBroker(t, dir)
	t.Logf("%d records acknowledged; started again in %v", acked.count(), time.Since(began))
	acked.check(t, s)

	// And after a clean stop, with nothing to recover.
	s.term()
	if _, err := os.Stat(filepath.Join(dir, "data", ".kafka_cleanshutdown")); err != nil {
		t.Error(err)
	}
	s = startBroker(t, dir)
	acked.check(t, s)
	if strings.Contains(strings.ToLower(s.out.String()), "recover") {
		t.Error("a clean stop was followed by a recovery")
	}
}

// acks are the records that a broker acknowledged.
type acks struct {
	mu sync.Mutex
	at map[string]string // topic-partition@offset: value
}

func (a *acks) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.at)
}

func (a *acks) atLeast(n int) func() error {
	return func() error {
		if c := a.count(); c < n {
			return fmt.Errorf("%d", c)
		}
		return nil
	}
}

// produceEndlessly writes numbered records to topic "kept" until ctx ends, never more than a few thousand ahead of the acknowledgements.
func produceEndlessly(ctx context.Context, c *kgo.Client, a *acks) {
	a.mu.Lock()
	if a.at == nil {
		a.at = make(map[string]string)
	}
	a.mu.Unlock()
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			value := fmt.Sprintf("%012d-%s", i, strings.Repeat("x", 80))
			c.Produce(ctx, &kgo.Record{Topic: "kept", Value: []byte(value)}, func(r *kgo.Record, err error) {
				if err == nil {
					a.mu.Lock()
					a.at[fmt.Sprintf("%d@%d", r.Partition, r.Offset)] = value
					a.mu.Unlock()
				}
			})
		}
	}()
}

// check reads until every acknowledged record was seen where it was said to be.
func (a *acks) check(t *testing.T, s *server) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	left := len(a.at)
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	c := s.client(kgo.ConsumeTopics("kept"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer c.Close()
	for left > 0 {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("%d of %d acknowledged records are missing: %v", left, len(a.at), err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			at := fmt.Sprintf("%d@%d", r.Partition, r.Offset)
			want, ok := a.at[at]
			if ok && string(r.Value) != want {
				t.Fatalf("%s is %q, acknowledged was %q", at, r.Value, want)
			}
			if ok {
				left--
			}
		})
	}
}

func TestStopsCleanlyOnSIGTERM(t *testing.T) {
	t.Parallel()
	s := startBroker(t, t.TempDir())
	produceOne(t, s)
	g := s.client(kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"))
	g.PollFetches(t.Context()) // a member, with a Fetch that waits, heartbeats and a join that is done
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if took := s.term(); took > 8*time.Second { // a supervisor that asks twice does no harm
		t.Errorf("the stop took %v", took)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "data", ".kafka_cleanshutdown")); err != nil {
		t.Error(err)
	}
	startBroker(t, s.dir).term()
}

func produceOne(t *testing.T, s *server) {
	t.Helper()
	if err := s.client().ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func TestSIGTERMDuringStart(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := ottla(t, nil, "broker", "--set", "log.dirs="+t.TempDir(), "--set", "zookeeper.connect="+l.Addr().String(), "--set", "broker.id=1")
	p.said("no connection to zookeeper, trying")
	if took := p.term(); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	p.said("stopped before the start was complete")
}

func TestAdoptsWhatKafkaLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	untar(t, "../../storage/testdata/kafka-3.9-datadir.tar.gz", dir)
	if err := os.Rename(filepath.Join(dir, "kafka-3.9-datadir"), filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	before := fileList(t, filepath.Join(dir, "data"))
	p := ottla(t, nil, "broker", "--set", "log.dirs="+filepath.Join(dir, "data"), "--set", "listeners=PLAINTEXT://127.0.0.1:0")
	if code := p.wait(20 * time.Second); code != 1 || !strings.Contains(p.out.String(), "--adopt") || !strings.Contains(p.out.String(), "zookeeper.connect") {
		t.Errorf("without --adopt: exit %d, %s", code, &p.out)
	}
	if after := fileList(t, filepath.Join(dir, "data")); after != before {
		t.Errorf("the refusal changed the directory:\n%s\nwas\n%s", after, before)
	}
	s := startBroker(t, dir, "--adopt")
	if n := len(s.consumeAll("codec-gzip", 100)); n != 100 {
		t.Errorf("codec-gzip has %d records", n)
	}
	text := s.ok("", "group", "describe", "group-one", "-o", "json")
	if !strings.Contains(text, `"committed": 80`) {
		t.Errorf("group-one: %s", text)
	}
	produceOne(t, s)
	s.term()
	s = startBroker(t, dir) // the metadata is there now
	s.consumeAll("codec-gzip", 100)
}

func fileList(t *testing.T, dir string) string {
	t.Helper()
	var list strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			info, err := d.Info()
			if err != nil {
				return err
			}
			fmt.Fprintf(&list, "%s %d\n", path, info.Size())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list.String()
}

func untar(t *testing.T, archive, dir string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.Clean("/"+h.Name))
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o755)
		} else {
			var data []byte
			if data, err = io.ReadAll(r); err == nil {
				if err = os.MkdirAll(filepath.Dir(path), 0o755); err == nil {
					err = os.WriteFile(path, data, 0o644)
				}
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadOnlyDirectory(t *testing.T) {
	t.Parallel()
	// Permissions do not stop root: then the broker runs as somebody else, who must be able to read the test binary.
	var as *syscall.Credential
	dir, err := os.MkdirTemp("", "ottla-readonly")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if os.Getuid() == 0 {
		as = &syscall.Credential{Uid: 65534, Gid: 65534}
		binary, err := os.ReadFile(os.Args[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(filepath.Join(dir, "ottla"), binary, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o555); err != nil {
		t.Fatal(err)
	}
	p := ottlaBinary(t, as, dir, "broker", "--set", "log.dirs="+data, "--set", "listeners=PLAINTEXT://127.0.0.1:0")
	if code := p.wait(20 * time.Second); code != 1 || !strings.Contains(p.out.String(), data) || !strings.Contains(p.out.String(), "permission denied") {
		t.Errorf("exit %d: %s", code, &p.out)
	}
}

func TestBadConfigurationIsExplained(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(file, []byte("broker.id=1\nnum.io.threads=many\nlog.retention.hour=5\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"a bad value in a file", []string{"broker", "-c", file}, 1, []string{"num.io.threads", "many", file}},
		{"a bad value of --set", []string{"broker", "--set", "log.segment.bytes=1"}, 1, []string{"log.segment.bytes", "1", "14"}},
		{"--set without a value", []string{"broker", "--set", "log.segment.bytes"}, 1, []string{"--set", "log.segment.bytes"}},
		{"no such file", []string{"broker", "-c", file + ".none"}, 1, []string{file + ".none", "no such file"}},
		{"a protocol that is not served", []string{"broker", "--set", "listeners=SSL://127.0.0.1:0", "--set", "log.dirs=" + t.TempDir(), "--set", "security.inter.broker.protocol=SSL"}, 1, []string{"SSL"}},
		{"--check of something good", []string{"broker", "--check", "--set", "log.retention.hours=5"}, 0, []string{"valid"}},
		{"--check warns of an unknown key, and names the nearest", []string{"broker", "--check", "--set", "log.retention.hour=5"}, 0, []string{"log.retention.hour", "log.retention.hours"}},
		{"--check of something bad", []string{"broker", "--check", "-c", file}, 1, []string{"num.io.threads"}},
		{"--log-level", []string{"broker", "--log-level", "loud"}, 1, []string{"loud", "WARN"}},
		{"--log-format", []string{"broker", "--log-format", "xml"}, 1, []string{"xml", "json"}},
		{"an argument", []string{"broker", "x"}, 1, []string{"x"}},
		{"an unknown flag", []string{"broker", "--nope"}, 1, []string{"--nope"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := ottla(t, nil, tt.args...)
			code := p.wait(20 * time.Second)
			if code != tt.code {
				t.Errorf("exit %d", code)
			}
			for _, text := range tt.want {
				if !strings.Contains(p.out.String(), text) {
					t.Errorf("%q is not said in: %s", text, &p.out)
				}
			}
		})
	}
}

func TestPortsFileNamesEachListener(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := ottla(t, nil, "broker", "--ports-file", filepath.Join(dir, "ports"), "--set", "log.dirs="+filepath.Join(dir, "data"),
		"--set", "listeners=A://127.0.0.1:0,B://127.0.0.1:0", "--set", "listener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT", "--set", "inter.broker.listener.name=A")
	p.said("broker started")
	text, err := os.ReadFile(filepath.Join(dir, "ports"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "A 127.0.0.1:") || !strings.HasPrefix(lines[1], "B 127.0.0.1:") {
		t.Fatalf("ports file:\n%s", text)
	}
	for _, line := range lines {
		c, err := askMetadata(line[2:])
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		c.Close()
	}
}
