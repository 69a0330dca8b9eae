package kcat

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

func alter(t *testing.T, topic string, kv string) {
	t.Helper()
	k, v, _ := strings.Cut(kv, "=")
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	adm := admin(t)
	rs, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: k, Value: &v}}, topic)
	if err == nil {
		err = rs[0].Err
	}
	if err != nil {
		t.Fatalf("alter %s: %v", topic, err)
	}
	// A change of a topic's configuration reaches the log a moment after it is answered; it is described at once.
	time.Sleep(500 * time.Millisecond)
}

// file writes a record of n bytes that does not compress away.
func file(t *testing.T, n int) (path, text string) {
	t.Helper()
	text = lines(n/200+1, 199)[:n-1] + "."
	path = filepath.Join(t.TempDir(), "record")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path, text
}

func TestSizes(t *testing.T) {
	t.Run("a record of 1,000,000 bytes comes back", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		path, text := file(t, 1_000_000)
		ok(t, "", "-P", "-t", tp, "-X", "message.max.bytes=1040000", path)
		same(t, consume(t, tp, "-D", ""), text)
	})
	t.Run("ten records of 1,000,000 bytes come back, compressed with zstd", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		path, text := file(t, 1_000_000)
		args := []string{"-P", "-t", tp, "-z", "zstd", "-X", "message.max.bytes=1040000"}
		for range 10 {
			args = append(args, path)
		}
		ok(t, "", args...)
		same(t, consume(t, tp, "-D", ""), strings.Repeat(text, 10))
	})
	t.Run("a record above max.message.bytes is refused", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		path, _ := file(t, 1_100_000)
		fails(t, "Broker: Message size too large", "", "-P", "-t", tp, "-X", "message.max.bytes=2000000", path)
		eq(t, "log end offset", queryOffset(t, tp, 0, -1), 0)
	})
	t.Run("max.message.bytes of the topic allows a record of 5,000,000 bytes", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1, "max.message.bytes=6000000")
		path, text := file(t, 5_000_000)
		ok(t, "", "-P", "-t", tp, "-X", "message.max.bytes=6000000", path)
		same(t, consume(t, tp, "-D", ""), text)
	})
	t.Run("max.message.bytes lowered on a topic holds for the next record", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		produce(t, tp, strings.Repeat("x", 5000)+"\n")
		alter(t, tp, "max.message.bytes=1000")
		fails(t, "Broker: Message size too large", strings.Repeat("x", 5000)+"\n", "-P", "-t", tp)
		produce(t, tp, "small\n")
		eq(t, "log end offset", queryOffset(t, tp, 0, -1), 2)
	})
	t.Run("a consumer with small fetch sizes gets past large records", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		path, text := file(t, 500_000)
		ok(t, "", "-P", "-t", tp, path, path, path)
		same(t, consume(t, tp, "-D", "", "-X", "fetch.message.max.bytes=1000", "-X", "fetch.max.bytes=1000000"), strings.Repeat(text, 3))
	})
	t.Run("records over many small segments come back", func(t *testing.T) {
		t.Parallel()
		tp, data := topic(t, 1, "segment.bytes=16384", "index.interval.bytes=100"), lines(5000, 100)
		produce(t, tp, data, "-X", "batch.num.messages=20")
		same(t, consume(t, tp), data)
		eqLines(t, ok(t, "", "-C", "-t", tp, "-o", "3456", "-c", "1", "-q", "-f", `%o\n`), "3456")
	})
}
