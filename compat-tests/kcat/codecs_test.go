package kcat

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/compat-tests/harness"
)

var codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

func TestCodecs(t *testing.T) {
	for _, codec := range codecs {
		n := count(50_000)
		t.Run(fmt.Sprintf("%s: all records of 100 bytes come back with equal count and checksum", codec), func(t *testing.T) {
			t.Parallel()
			tp, data := topic(t, 1), lines(n, 100)
			produce(t, tp, data, "-z", codec, "-X", "linger.ms=20")
			got := consume(t, tp)
			eq(t, "records", strings.Count(got, "\n"), n)
			same(t, got, data)
		})
	}
	for _, codec := range codecs {
		t.Run(fmt.Sprintf("%s: a batch of one record comes back", codec), func(t *testing.T) {
			t.Parallel()
			tp := topic(t, 1)
			produce(t, tp, "alone\n", "-z", codec)
			eqLines(t, consume(t, tp), "alone")
		})
	}
	for number, codec := range []string{"uncompressed", "gzip", "snappy", "lz4", "zstd"} {
		for _, sent := range []string{"none", "gzip"} {
			t.Run(fmt.Sprintf("compression.type=%s: batches sent with %s are stored so, and read back", codec, sent), func(t *testing.T) {
				t.Parallel()
				tp, data := topic(t, 1, "compression.type="+codec), lines(1000, 100)
				produce(t, tp, data, "-z", sent, "-X", "linger.ms=20")
				eq(t, "codec of the stored batches", storedCodec(t, tp), number)
				same(t, consume(t, tp), data)
			})
		}
	}
	t.Run("all codecs in one partition come back in order", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		var all strings.Builder
		for _, codec := range codecs {
			data := strings.ReplaceAll(lines(50, 40), " ", codec[:1])
			produce(t, tp, data, "-z", codec)
			all.WriteString(data)
		}
		same(t, consume(t, tp), all.String())
	})
	t.Run("highest compression levels are read back", func(t *testing.T) {
		t.Parallel()
		tp, data := topic(t, 1), lines(2000, 100)
		produce(t, tp, data, "-z", "gzip", "-X", "compression.level=9")
		produce(t, tp, data, "-z", "lz4", "-X", "compression.level=12")
		produce(t, tp, data, "-z", "zstd", "-X", "compression.level=12")
		same(t, consume(t, tp), data+data+data)
	})
}

// storedCodec is the codec number of the first batch of a topic, which kcat does not show.
func storedCodec(t *testing.T, topic string) int {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(harness.Bootstrap(t)), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	fs := cl.PollRecords(ctx, 1)
	if err := fs.Err(); err != nil {
		t.Fatal(err)
	}
	return int(fs.Records()[0].Attrs.CompressionType())
}
