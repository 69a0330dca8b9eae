package kcat

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/compat-tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// limit ends a kcat that hangs.
const limit = 90 * time.Second

type result struct {
	out, err string
	code     int
}

// kcat runs kcat with args after "-b BOOTSTRAP" and returns what it said, whatever its exit code.
func kcat(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	p := start(t, strings.NewReader(stdin), args...)
	return p.wait(t, limit)
}

// ok runs kcat, fails the check when kcat fails, and returns its standard output.
func ok(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	r := kcat(t, stdin, args...)
	if r.code != 0 {
		t.Fatalf("kcat %s: exit code %d\n%s", strings.Join(args, " "), r.code, r.err)
	}
	return r.out
}

// fails runs kcat, which must fail and name text in its messages.
func fails(t *testing.T, text, stdin string, args ...string) {
	t.Helper()
	r := kcat(t, stdin, args...)
	if r.code == 0 {
		t.Fatalf("kcat %s: succeeded, want %q\n%s", strings.Join(args, " "), text, r.err)
	}
	if !strings.Contains(r.err, text) {
		t.Fatalf("kcat %s: want %q in:\n%s", strings.Join(args, " "), text, r.err)
	}
}

// process is a kcat that runs beside the check.
type process struct {
	cmd      *exec.Cmd
	out, err lockedBuffer
	args     []string
}

func start(t *testing.T, stdin io.Reader, args ...string) *process {
	t.Helper()
	path, err := exec.LookPath("kcat")
	if err != nil {
		t.Skip("kcat is not installed")
	}
	p := &process{args: args, cmd: exec.Command(path, append([]string{"-b", harness.Bootstrap(t)}, args...)...)}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = stdin, &p.out, &p.err
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.cmd.Process.Kill()
			p.cmd.Wait()
		}
	})
	return p
}

// wait returns when kcat has ended; after limit it is killed and the check fails.
func (p *process) wait(t *testing.T, limit time.Duration) result {
	t.Helper()
	late := time.AfterFunc(limit, func() { p.cmd.Process.Kill() })
	err := p.cmd.Wait()
	if !late.Stop() {
		t.Fatalf("kcat %s: still running after %v\n%s", strings.Join(p.args, " "), limit, p.err.String())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("kcat %s: %v", strings.Join(p.args, " "), err)
	}
	return result{out: p.out.String(), err: p.err.String(), code: p.cmd.ProcessState.ExitCode()}
}

// stop sends SIGINT, upon which kcat leaves its group and ends.
func (p *process) stop(t *testing.T) result {
	t.Helper()
	p.cmd.Process.Signal(syscall.SIGINT)
	return p.wait(t, limit)
}

// until waits for a condition on the process.
func (p *process) until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !cond(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("kcat %s: waited %v for %s\nout:\n%s\nerr:\n%s", strings.Join(p.args, " "), limit, what, p.out.String(), p.err.String())
		}
	}
}

// admin returns a client for what kcat cannot do: creating topics with a configuration.
func admin(t *testing.T) *kadm.Client {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(harness.Bootstrap(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return kadm.NewClient(cl)
}

var topics atomic.Int64

// name returns a topic or group name of this run that nobody else uses.
func name() string {
	return fmt.Sprintf("kcat-%d-%x", topics.Add(1), rand.Uint32())
}

// topic creates a topic of one replica, deleted after the check. Each config is key=value.
func topic(t *testing.T, partitions int32, configs ...string) string {
	t.Helper()
	adm, n := admin(t), name()
	cfg := map[string]*string{}
	for _, kv := range configs {
		k, v, _ := strings.Cut(kv, "=")
		cfg[k] = &v
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if _, err := adm.CreateTopic(ctx, partitions, 1, cfg, n); err != nil {
		t.Fatalf("create topic %s: %v", n, err)
	}
	t.Cleanup(func() { adm.DeleteTopics(context.Background(), n) })
	return n
}

// lines returns n different lines of size bytes, the line end not counted.
func lines(n, size int) string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789    "
	r := rand.New(rand.NewPCG(uint64(n), uint64(size)))
	var b strings.Builder
	b.Grow(n * (size + 1))
	for i := range n {
		fmt.Fprintf(&b, "%08d ", i)
		for range size - 9 {
			b.WriteByte(alphabet[r.IntN(len(alphabet))])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func checksum(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}

// same compares what came back with what was sent, by count and checksum.
func same(t *testing.T, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	t.Fatalf("%d lines, %d bytes, checksum %s; want %d lines, %d bytes, checksum %s; first difference at byte %d",
		strings.Count(got, "\n"), len(got), checksum(got), strings.Count(want, "\n"), len(want), checksum(want), difference(got, want))
}

// sameUnordered is same for records that come from several partitions.
func sameUnordered(t *testing.T, got, want string) {
	t.Helper()
	same(t, sorted(got), sorted(want))
}

func sorted(s string) string {
	l := strings.SplitAfter(s, "\n")
	slices.Sort(l)
	return strings.Join(l, "")
}

func difference(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// envelope is a line of kcat -J.
type envelope struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	Offset    int64   `json:"offset"`
	TsType    string  `json:"tstype"`
	Ts        int64   `json:"ts"`
	Broker    int32   `json:"broker"`
	Headers   []any   `json:"headers"`
	Key       *string `json:"key"`
	Payload   *string `json:"payload"`
}

func envelopes(t *testing.T, out string) []envelope {
	t.Helper()
	var all []envelope
	for l := range strings.Lines(out) {
		var e envelope
		if err := json.Unmarshal([]byte(l), &e); err != nil {
			t.Fatalf("%q: %v", l, err)
		}
		all = append(all, e)
	}
	return all
}

// consume reads partition 0 of a topic from its beginning to its end.
func consume(t *testing.T, topic string, args ...string) string {
	t.Helper()
	return ok(t, "", append([]string{"-C", "-t", topic, "-o", "beginning", "-e", "-q"}, args...)...)
}

// consumeJSON is consume with envelopes.
func consumeJSON(t *testing.T, topic string, args ...string) []envelope {
	t.Helper()
	return envelopes(t, consume(t, topic, append([]string{"-J"}, args...)...))
}

func produce(t *testing.T, topic, stdin string, args ...string) {
	t.Helper()
	ok(t, stdin, append([]string{"-P", "-t", topic}, args...)...)
}

// eq compares two values of a check.
func eq[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

func eqLines(t *testing.T, got string, want ...string) {
	t.Helper()
	eq(t, "lines", got, strings.Join(want, "\n")+"\n")
}

// count is n, or a tenth of it in a short run.
func count(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// queryOffset asks for an offset by timestamp (kcat -Q).
func queryOffset(t *testing.T, topic string, partition int, ts int64) int64 {
	t.Helper()
	out := ok(t, "", "-Q", "-t", fmt.Sprintf("%s:%d:%d", topic, partition, ts))
	_, after, found := strings.Cut(strings.TrimSpace(out), " offset ")
	off, err := strconv.ParseInt(after, 10, 64)
	if !found || err != nil {
		t.Fatalf("kcat -Q said %q", out)
	}
	return off
}

// lockedBuffer takes the output of a running process.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
