package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/zkmeta/zktest"
)

// runMain makes the test binary the program itself, so that processes of it can be started and killed.
const runMain = "OTTLA_TEST_RUN_MAIN"

// raceAtOnce keeps the race detector from sleeping a second at each exit.
const raceAtOnce = "GORACE=atexit_sleep_ms=0"

var (
	zooKeeper   *zktest.Server
	noZooKeeper error
)

func TestMain(m *testing.M) {
	if os.Getenv(runMain) != "" {
		main()
		os.Exit(0)
	}
	var stop func()
	zooKeeper, stop, noZooKeeper = zktest.Shared()
	code := m.Run()
	stop()
	os.Exit(code)
}

// process is a running ottla.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    transcript
	exited chan struct{} // closed when it has ended
}

type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *transcript) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// ottla starts the program. It is killed at the end of the test, at the latest.
func ottla(t *testing.T, as *syscall.Credential, args ...string) *process {
	t.Helper()
	return run(t, exec.Command(os.Args[0], args...), as)
}

// ottlaBinary is ottla with the program's copy in dir, if it runs as somebody else.
func ottlaBinary(t *testing.T, as *syscall.Credential, dir string, args ...string) *process {
	t.Helper()
	if as == nil {
		return ottla(t, nil, args...)
	}
	cmd := exec.Command(filepath.Join(dir, "ottla"), args...)
	cmd.Dir = dir
	return run(t, cmd, as)
}

func run(t *testing.T, cmd *exec.Cmd, as *syscall.Credential) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), runMain+"=1", raceAtOnce)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: as}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the state tells
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.kill()
		if text := p.out.String(); t.Failed() {
			t.Logf("ottla %s:\n%s", strings.Join(cmd.Args[1:], " "), text)
		} else if strings.Contains(text, "DATA RACE") || strings.Contains(text, `"panic"`) {
			t.Errorf("ottla %s:\n%s", strings.Join(cmd.Args[1:], " "), text)
		}
	})
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // may have ended
	<-p.exited
}

// wait returns the exit code.
func (p *process) wait(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(limit):
		p.t.Fatalf("the process still runs after %v", limit)
	}
	return p.cmd.ProcessState.ExitCode()
}

// term sends SIGTERM and wants a clean end.
func (p *process) term() time.Duration {
	p.t.Helper()
	began := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if code := p.wait(30 * time.Second); code != 0 {
		p.t.Errorf("exit code %d after SIGTERM", code)
	}
	return time.Since(began)
}

// said waits until the output contains text.
func (p *process) said(text string) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("output %q", text), func() error {
		if !strings.Contains(p.out.String(), text) {
			select {
			case <-p.exited:
				p.t.Fatalf("the process ended before it said %q", text)
			default:
			}
			return errors.New("not there")
		}
		return nil
	})
}

// rss is the resident memory in bytes.
func (p *process) rss() int64 {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return kb << 10
}

// server is a broker process on a free port.
type server struct {
	*process
	dir  string
	addr string
}

// startBroker runs a broker on dir and waits until it serves.
func startBroker(t *testing.T, dir string, args ...string) *server {
	t.Helper()
	ports := filepath.Join(dir, "ports")
	if err := os.Remove(ports); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	args = append([]string{"broker", "--ports-file", ports, "--set", "log.dirs=" + filepath.Join(dir, "data"),
		"--set", "listeners=PLAINTEXT://127.0.0.1:0", "--set", "group.initial.rebalance.delay.ms=0", "--set", "offsets.topic.num.partitions=5"}, args...)
	s := &server{process: ottla(t, nil, args...), dir: dir}
	eventually(t, "the ports file", func() error {
		text, err := os.ReadFile(ports)
		if err == nil {
			_, s.addr, _ = strings.Cut(strings.TrimSpace(string(text)), " ")
			return nil
		}
		select {
		case <-s.exited:
			t.Fatalf("the broker ended:\n%s", &s.out)
		default:
		}
		return err
	})
	return s
}

func (s *server) client(opts ...kgo.Opt) *kgo.Client {
	s.t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.addr), kgo.AllowAutoTopicCreation(), kgo.RetryTimeout(30 * time.Second), kgo.MetadataMinAge(50 * time.Millisecond)}, opts...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// result is what a command that ran to its end left.
type result struct {
	code        int
	out, errOut string
}

// cli runs a command against the broker.
func (s *server) cli(stdin string, args ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), runMain+"=1", raceAtOnce, bootstrapEnv+"="+s.addr)
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// ok is cli for a command that must succeed.
func (s *server) ok(stdin string, args ...string) string {
	s.t.Helper()
	r := s.cli(stdin, args...)
	if r.code != 0 {
		s.t.Fatalf("ottla %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.errOut)
	}
	return r.out
}

// eventually waits for a condition that comes about by itself; it returns nil when it holds.
func eventually(t *testing.T, what string, holds func() error) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// consumeAll reads n records of a topic from its start.
func (s *server) consumeAll(topic string, n int) []*kgo.Record {
	s.t.Helper()
	ctx, stop := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer stop()
	c := s.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var records []*kgo.Record
	for len(records) < n {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			s.t.Fatalf("after %d of %d records: %v", len(records), n, err)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

// metadataFrame is a Metadata request, version 0, for no topic's worth of work: all topics.
var metadataFrame = []byte{0, 0, 0, 18, 0, 3, 0, 1, 0, 0, 0, 9, 0, 4, 't', 'e', 's', 't', 0, 0, 0, 0}

// askMetadata sends a Metadata request and reads the answer's size and correlation id.
func askMetadata(addr string) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err = c.Write(metadataFrame); err == nil {
		_, err = io.ReadFull(c, make([]byte, 8))
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	_ = c.SetDeadline(time.Time{})
	return c, nil
}
