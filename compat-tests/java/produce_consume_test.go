package java

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ottla/compat-tests/harness"
)

func TestProduceConsume(t *testing.T) {
	for _, codec := range []string{"none", "zstd"} {
		eachVersion(t, codec+": records come back at their offsets with key, value and header", func(t *testing.T, j *harness.JavaClients) {
			const count = 2000
			tp, where := topic(t, 3), "bootstrap="+harness.Bootstrap(t)
			amount := fmt.Sprintf("count=%d", count)
			sent := j.Run(t, time.Minute, "Produce", where, "topic="+tp, amount, "client.compression.type="+codec)
			read := j.Run(t, time.Minute, "Consume", where, "topic="+tp, amount, "group="+tp)
			if len(sent) != count {
				t.Fatalf("%d of %d records acknowledged", len(sent), count)
			}
			for i := range sent {
				_, n, _ := strings.Cut(sent[i], "value-")
				sent[i] += " " + n
			}
			// A partition is read in the order of its offsets, and they in the order of sending.
			byPartition := func(a, b string) int {
				return strings.Compare(a[:strings.IndexByte(a, ' ')], b[:strings.IndexByte(b, ' ')])
			}
			slices.SortStableFunc(sent, byPartition)
			slices.SortStableFunc(read, byPartition)
			if !slices.Equal(sent, read) {
				for i := range min(len(sent), len(read)) {
					if sent[i] != read[i] {
						t.Fatalf("record %d by partition: sent %q, read %q", i, sent[i], read[i])
					}
				}
				t.Fatalf("sent %d records, read %d", len(sent), len(read))
			}
		})
	}
}
