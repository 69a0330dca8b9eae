package storage

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ottla/storage/vfs"
	"ottla/wire/batch"
)

// The batches that Kafka wrote, appended to a log of ours one by one, must make the files that Kafka made, byte for byte.
func TestWritesWhatKafkaWrote(t *testing.T) {
	theirs := untar(t, "kafka-3.9-datadir")
	for _, tc := range []struct {
		dir          string
		segmentBytes int32
		interval     int32
	}{
		{"codec-gzip-0", 16384, 512}, {"codec-snappy-0", 16384, 512}, {"codec-lz4-0", 16384, 512}, {"codec-zstd-0", 16384, 512},
		{"txn-0", 8192, 512}, {"txn-open-0", 1 << 30, 4096}, {"plain-acks1-0", 1 << 30, 4096}, {"log-append-time-0", 1 << 30, 4096},
		{"multi-0", 1 << 30, 4096}, {"multi-1", 1 << 30, 4096}, {"empty-0", 1 << 30, 4096}, {"__transaction_state-0", 1 << 30, 4096},
		{"__transaction_state-1", 1 << 30, 4096}, {"__consumer_offsets-0", 1 << 30, 4096},
	} {
		t.Run(tc.dir, func(t *testing.T) {
			want := filepath.Join(theirs, tc.dir)
			e := newEnv(t, vfs.OS, t.TempDir())
			tp, _, err := parseDirName(tc.dir)
			if err != nil {
				t.Fatal(err)
			}
			cfg := testConfig()
			cfg.SegmentBytes, cfg.IndexIntervalBytes, cfg.SegmentIndexBytes = tc.segmentBytes, tc.interval, 4096
			e.cfg[tp.Topic] = cfg
			meta, err := os.ReadFile(filepath.Join(want, partitionMetadataName))
			if err != nil {
				t.Fatal(err)
			}
			id, err := decodePartitionMetadata(meta)
			if err != nil {
				t.Fatal(err)
			}
			l, err := e.open().Create(tp, id, true)
			if err == nil {
				err = l.AssignEpoch(0, 0)
			}
			if err != nil {
				t.Fatal(err)
			}
			logs, _ := filepath.Glob(filepath.Join(want, "*"+logSuffix))
			for _, f := range logs {
				rest, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				for len(rest) > 0 {
					v, tail, err := batch.Next(rest)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := l.AppendAsFollower(v); err != nil {
						t.Fatal(err)
					}
					rest = tail
				}
			}
			e.close()
			compareDirs(t, want, filepath.Join(e.dirs[0], tc.dir))
		})
	}
}

func compareDirs(t *testing.T, want, got string) {
	t.Helper()
	names := map[string]bool{}
	for _, dir := range []string{want, got} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range entries {
			names[x.Name()] = true
		}
	}
	for name := range names {
		w, err := os.ReadFile(filepath.Join(want, name))
		if err != nil {
			t.Errorf("%s: Kafka has no such file", name)
			continue
		}
		g, err := os.ReadFile(filepath.Join(got, name))
		if err != nil {
			t.Errorf("%s: missing", name)
			continue
		}
		if !bytes.Equal(w, g) {
			t.Errorf("%s: %d bytes, Kafka wrote %d\n% x\n% x", name, len(g), len(w), g[:min(len(g), 400)], w[:min(len(w), 400)])
		}
	}
}

// What Kafka wrote decodes, and encodes back to the same bytes.
func TestKafkaFilesRoundTrip(t *testing.T) {
	for _, fixture := range []string{"kafka-3.9-datadir", "kafka-3.9-datadir-unclean"} {
		dir := untar(t, fixture)
		checked := map[string]int{}
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name := d.Name()
			switch {
			case strings.HasSuffix(name, snapshotSuffix):
				entries, err := decodeSnapshot(data)
				if err != nil || !bytes.Equal(encodeSnapshot(entries), data) {
					t.Errorf("%s: %v", path, err)
				}
				checked[snapshotSuffix]++
			case strings.HasSuffix(name, txnIndexSuffix):
				base, _, _ := parseOffsetName(name)
				list, err := decodeTxnIndex(data, base)
				var back []byte
				for _, a := range list {
					back = a.appendTo(back)
				}
				if err != nil || !bytes.Equal(back, data) {
					t.Errorf("%s: %v", path, err)
				}
				checked[txnIndexSuffix]++
			case name == epochFileName:
				entries, err := decodeEpochs(data)
				var c epochCache
				c.set(entries)
				if err != nil || !bytes.Equal(c.encode(), data) {
					t.Errorf("%s: %v", path, err)
				}
				checked[name]++
			case name == partitionMetadataName:
				id, err := decodePartitionMetadata(data)
				if err != nil || !bytes.Equal(encodePartitionMetadata(id), data) {
					t.Errorf("%s: %v", path, err)
				}
				checked[name]++
			case strings.HasSuffix(name, "-offset-checkpoint"):
				if _, err := decodeCheckpoint(data); err != nil {
					t.Errorf("%s: %v", path, err)
				}
				checked["checkpoint"]++
			case name == metaPropertiesName:
				if m, err := decodeMeta(data); err != nil || m.BrokerID != 0 || m.ClusterID == "" {
					t.Errorf("%s: %+v %v", path, m, err)
				}
				checked[name]++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Log(checked)
		if len(checked) < 5 {
			t.Errorf("%s: only %v", fixture, checked)
		}
	}
}
