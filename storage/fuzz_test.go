package storage

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"ottla/storage/vfs"
)

func FuzzCheckpoint(f *testing.F) {
	f.Add([]byte("0\n2\nt 0 5\na-b 12 9223372036854775807\n"))
	f.Add([]byte(""))
	f.Add([]byte("0\n0\n"))
	f.Fuzz(func(t *testing.T, p []byte) {
		m, err := decodeCheckpoint(p)
		if err != nil {
			return
		}
		again, err := decodeCheckpoint(encodeCheckpoint(m))
		if err != nil || !maps.Equal(m, again) {
			t.Fatalf("%v became %v: %v", m, again, err)
		}
	})
}

func FuzzLeaderEpochs(f *testing.F) {
	f.Add([]byte("0\n2\n1 0\n4 10\n"), int32(3), int64(12))
	f.Fuzz(func(t *testing.T, p []byte, epoch int32, offset int64) {
		list, err := decodeEpochs(p)
		if err != nil {
			return
		}
		var c epochCache
		c.set(list)
		if again, err := decodeEpochs(c.encode()); err != nil || !slices.Equal(list, again) {
			t.Fatalf("%v became %v: %v", list, again, err)
		}
		c.endOffset(epoch, offset)
		c.epochAt(offset)
		if epoch >= 0 && offset >= 0 {
			c.assign(epoch, offset)
			if _, err := decodeEpochs(c.encode()); err != nil {
				t.Fatalf("after assign(%d, %d): %v", epoch, offset, err)
			}
			c.truncateFromStart(offset)
			c.truncateFromEnd(offset)
			if _, err := decodeEpochs(c.encode()); err != nil {
				t.Fatalf("after truncation at %d: %v", offset, err)
			}
		}
	})
}

func FuzzProducerSnapshot(f *testing.F) {
	var s producerState
	s.entry(1000).add(3, producerBatch{lastSeq: 5, offsetDelta: 2, lastOffset: 77, timestamp: 1})
	f.Add(encodeSnapshot(s.snapshot()))
	f.Add(encodeSnapshot(nil))
	f.Fuzz(func(t *testing.T, p []byte) {
		entries, err := decodeSnapshot(p)
		if err != nil {
			return
		}
		var s producerState
		s.load(entries, 0)
		s.firstUnstable()
		if again, err := decodeSnapshot(encodeSnapshot(entries)); err != nil || !slices.Equal(entries, again) {
			t.Fatalf("does not come back: %v", err)
		}
	})
}

func FuzzTransactionIndex(f *testing.F) {
	f.Add(abortedTxn{1000, 12, 22, 13}.appendTo(nil), int64(0))
	f.Fuzz(func(t *testing.T, p []byte, base int64) {
		list, err := decodeTxnIndex(p, base)
		if err != nil {
			return
		}
		var back []byte
		for _, a := range list {
			back = a.appendTo(back)
		}
		if !bytes.Equal(back, p) {
			t.Fatal("does not come back")
		}
	})
}

func FuzzPartitionMetadata(f *testing.F) {
	f.Add([]byte("version: 0\ntopic_id: TUdXiQ1ISqWh3IbEjsEuJQ"))
	f.Fuzz(func(t *testing.T, p []byte) {
		id, err := decodePartitionMetadata(p)
		if err != nil {
			return
		}
		if again, err := decodePartitionMetadata(encodePartitionMetadata(id)); err != nil || again != id {
			t.Fatal(again, err)
		}
	})
}

func FuzzMetaProperties(f *testing.F) {
	f.Add([]byte("#\n#Sun Nov 22 19:31:47 UTC 2026\nbroker.id=0\nversion=0\ncluster.id=WMv3HeWVRPWezgzUUGx2sg\n"))
	f.Fuzz(func(t *testing.T, p []byte) {
		m, err := decodeMeta(p)
		if err != nil || m.BrokerID < 0 {
			return
		}
		_, _ = decodeMeta(encodeMeta(m, time.Unix(0, 0)))
	})
}

func FuzzNames(f *testing.F) {
	f.Add("t-0")
	f.Add("a.b-c-12.0123456789abcdef0123456789abcdef-delete")
	f.Add("00000000000000000012.timeindex.deleted")
	f.Fuzz(func(t *testing.T, name string) {
		if tp, kind, err := parseDirName(name); err == nil && kind == dirLog {
			if again, _, err := parseDirName(tp.String()); err != nil || again != tp {
				t.Fatal(again, err)
			}
		}
		if base, _, ok := parseOffsetName(name); ok {
			if again, _, ok := parseOffsetName(offsetName(base) + logSuffix); !ok || again != base {
				t.Fatal(again)
			}
		}
	})
}

// FuzzLogDirectory opens a log of arbitrary bytes, clean or not, and uses it.
func FuzzLogDirectory(f *testing.F) {
	good := plainBatch(3, 20, 5)
	f.Add(good, []byte{}, []byte{}, true)
	f.Add(slices.Concat(good, good), []byte{0, 0, 0, 3, 0, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 2}, true)
	f.Add(producerBatchOf(5, 1, 0, 2, true), []byte{1}, []byte{2}, false)
	f.Add(endTxn(5, 1, 3, 0), make([]byte, 16), make([]byte, 24), true)
	f.Fuzz(func(t *testing.T, log, index, timeIndex []byte, clean bool) {
		m := vfs.NewMem()
		if err := m.MkdirAll("/data/t-0", 0o755); err != nil {
			t.Fatal(err)
		}
		for suffix, p := range map[string][]byte{logSuffix: log, indexSuffix: index, timeIndexSuffix: timeIndex} {
			if err := vfs.WriteFile(m, "/data/t-0/"+offsetName(0)+suffix, p, true); err != nil {
				t.Fatal(err)
			}
		}
		if clean {
			if err := vfs.WriteFile(m, "/data/"+cleanShutdownFileName, nil, true); err != nil {
				t.Fatal(err)
			}
		}
		mgr, err := Open(context.Background(), ManagerConfig{Dirs: []string{"/data"}, FS: m, manual: true})
		if err != nil {
			return
		}
		defer func() { abandon(mgr) }()
		l := mgr.Log(TopicPartition{"t", 0})
		if l == nil {
			return
		}
		if err := checkServed(l, nil); err != nil {
			t.Fatal(err)
		}
		_, _, _, _, _ = l.OffsetForTimestamp(3, l.EndOffset())
		_, _, _, _ = l.MaxTimestampOffset()
		if l.EndOffset() > 1 {
			_ = l.TruncateTo(l.EndOffset() - 1)
		}
		_, _ = l.AppendAsLeader(plainBatch(1, 10, 1), AppendOptions{LeaderEpoch: max(l.LatestEpoch(), 0)})
	})
}
