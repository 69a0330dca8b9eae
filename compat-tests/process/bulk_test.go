package process

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"ottla/compat-tests/harness"
)

// source yields lines of 100 bytes (the line end not counted) that are a function of their number.
type source struct {
	next, end int
	rest      []byte
}

func (s *source) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(s.rest) == 0 {
			if s.next == s.end {
				break
			}
			s.rest = line(s.next)
			s.next++
		}
		c := copy(p[n:], s.rest)
		s.rest, n = s.rest[c:], n+c
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func line(i int) []byte {
	var seed [8]byte
	binary.BigEndian.PutUint64(seed[:], uint64(i))
	sum := sha256.Sum256(seed[:]) // half of a line does not compress, half does
	return fmt.Appendf(nil, "%010d %x %s\n", i, sum[:16], strings.Repeat("fill", 14))
}

type counter struct {
	hash  hash.Hash
	lines int
	bytes int64
}

func (c *counter) Write(p []byte) (int, error) {
	for _, b := range p {
		if b == '\n' {
			c.lines++
		}
	}
	c.bytes += int64(len(p))
	return c.hash.Write(p)
}

func (c *counter) String() string {
	return fmt.Sprintf("%d records, %d bytes, SHA-256 %x", c.lines, c.bytes, c.hash.Sum(nil)[:8])
}

// TestBulk sends records of 100 bytes through kcat with each codec and reads them back: equal counts and checksums.
func TestBulk(t *testing.T) {
	kcat := needKcat(t)
	n := 100_000
	if *long {
		n = 1_000_000
	}
	want := &counter{hash: sha256.New()}
	if _, err := io.Copy(want, &source{end: n}); err != nil {
		t.Fatal(err)
	}
	if want.bytes != int64(n)*101 {
		t.Fatalf("the source gives %v", want)
	}
	b := harness.NewBroker(t, harness.Config{ID: 1})
	cl := client(t, b)
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run("bulk through kcat: "+codec, func(t *testing.T) {
			topic := "bulk-" + codec
			createTopic(t, cl, topic, 1, nil)
			begin := time.Now()
			runKcat(t, exec.Command(kcat, "-b", b.Addr, "-P", "-t", topic, "-z", codec, "-X", "linger.ms=10"), &source{end: n}, io.Discard)
			produced := time.Since(begin)
			got := &counter{hash: sha256.New()}
			begin = time.Now()
			runKcat(t, exec.Command(kcat, "-b", b.Addr, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-X", "check.crcs=true"), nil, got)
			if got.String() != want.String() {
				t.Fatalf("read %v; sent %v", got, want)
			}
			t.Logf("%v; produced in %v, consumed in %v", got, produced.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond))
		})
	}
}

func runKcat(t *testing.T, cmd *exec.Cmd, in io.Reader, out io.Writer) {
	t.Helper()
	var messages strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &messages
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(5*time.Minute, func() { cmd.Process.Kill() })
	defer late.Stop()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, messages.String())
	}
}
