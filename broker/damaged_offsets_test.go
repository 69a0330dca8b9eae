package broker_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"ottla/wire/batch"
)

// TestDamagedCoordinatorLogs: bytes of __consumer_offsets and __transaction_state that are no batch any more take with them what
// they held and nothing else, and the log says where they were.
func TestDamagedCoordinatorLogs(t *testing.T) {
	t.Parallel()
	// Enough that the damage lies before the last index entry: what follows that is checked, and cut, when the log is opened.
	const n = 80
	for _, tt := range []struct {
		name  string
		spoil func(v batch.View)
		kept  bool
	}{
		{"the header is zeros", func(v batch.View) { clear(v[:batch.HeaderSize]) }, false},
		{"the magic is unknown", func(v batch.View) { v[16] = 9 }, false},
		{"the length is too large", func(v batch.View) { v[8] = 0x7f }, false},
		{"the length is too small", func(v batch.View) { v[11] = 8 }, false},
		{"the base offset is far away", func(v batch.View) { v.SetBaseOffset(1 << 40) }, false},
		{"the base offset is negative", func(v batch.View) { v.SetBaseOffset(-7) }, true},
		{"the last offset delta is large", func(v batch.View) { v[24] = 0x40 }, false},
		{"the records are zeros", func(v batch.View) { clear(v[batch.HeaderSize:]) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sets := []string{"offsets.topic.num.partitions=1", "transaction.state.log.num.partitions=1"}
			dir := t.TempDir()
			b := start(t, dir, sets...)
			b.create("t", 1, nil)
			c := b.client()
			adm := kadm.NewClient(c)
			for i := range n {
				o := kadm.Offsets{}
				o.AddOffset("t", 0, int64(i), -1)
				eventually(t, "OffsetCommit", func() error { return adm.CommitAllOffsets(t.Context(), fmt.Sprintf("group-%d.", i), o) })
				b.initProducer(c, fmt.Sprintf("txn-%d.", i))
			}
			b.stop()
			spoilBatch(t, filepath.Join(dir, "data", "__consumer_offsets-0"), "group-2.", tt.spoil)
			spoilBatch(t, filepath.Join(dir, "data", "__transaction_state-0"), "txn-2.", tt.spoil)

			b = start(t, dir, sets...)
			c = b.client()
			adm = kadm.NewClient(c)
			for i := range n {
				var got kadm.OffsetResponses
				eventually(t, "FetchOffsets", func() (err error) {
					got, err = adm.FetchOffsets(t.Context(), fmt.Sprintf("group-%d.", i))
					return err
				})
				if o, ok := got.Lookup("t", 0); ok != (i != 2 || tt.kept) || ok && o.At != int64(i) {
					t.Errorf("group-%d: offset %d, there %t", i, o.At, ok)
				}
			}
			var listed kadm.ListedTransactions
			eventually(t, "ListTransactions", func() (err error) {
				listed, err = adm.ListTransactions(t.Context(), nil, nil)
				return err
			})
			if ids := listed.TransactionalIDs(); slices.Contains(ids, "txn-2.") != tt.kept || len(slices.DeleteFunc(ids, func(id string) bool { return id == "txn-2." })) != n-1 {
				t.Errorf("transactional ids %v", ids)
			}
			for _, topic := range []string{"__consumer_offsets", "__transaction_state"} {
				lines := slices.DeleteFunc(strings.Split(b.logs.String(), "\n"), func(l string) bool {
					return !strings.Contains(l, "skipped unreadable coordinator record") || !strings.Contains(l, topic)
				})
				if tt.kept && len(lines) == 0 {
					continue
				}
				if len(lines) != 1 || !strings.Contains(lines[0], `"partition":0`) || !strings.Contains(lines[0], `"offset":`) || !strings.Contains(lines[0], "00000000000000000000.log") {
					t.Errorf("%s: log lines %q", topic, lines)
				}
			}
			// The damaged partition serves on.
			o := kadm.Offsets{}
			o.AddOffset("t", 0, 7, -1)
			if err := adm.CommitAllOffsets(t.Context(), "group-2.", o); err != nil {
				t.Error(err)
			}
			b.initProducer(c, "txn-2.")
		})
	}
}

// spoilBatch damages the batches of a segment that hold text.
func spoilBatch(t *testing.T, dir, text string, spoil func(batch.View)) {
	t.Helper()
	file := filepath.Join(dir, "00000000000000000000.log")
	p, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for rest := p; len(rest) > 0; {
		v, tail, err := batch.Next(rest)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(v), text) {
			spoil(v)
			n++
		}
		rest = tail
	}
	if n == 0 {
		t.Fatalf("%s is nowhere in %s", text, file)
	}
	if err := os.WriteFile(file, p, 0o644); err != nil {
		t.Fatal(err)
	}
}
