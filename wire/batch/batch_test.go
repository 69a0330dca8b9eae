package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func readTestdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestWalkReadsKafkasSegments reads segments that Kafka 3.9.2 wrote and compares with what its own consumer read (segments.txt).
func TestWalkReadsKafkasSegments(t *testing.T) {
	sum := func(p []byte) string {
		if p == nil {
			return "-"
		}
		return fmt.Sprintf("%08x", crc32.ChecksumIEEE(p))
	}
	flag := func(b bool) string {
		if b {
			return "1"
		}
		return "0"
	}
	want := map[string][]string{}
	for line := range strings.Lines(string(readTestdata(t, "segments.txt"))) {
		if name, rest, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			want[name] = append(want[name], rest)
		}
	}
	if len(want) != 8 {
		t.Fatalf("%d segments", len(want))
	}
	for name, want := range want {
		var got, viaRecords []string
		for rest := readTestdata(t, name+".log"); len(rest) > 0; {
			var v View
			var err error
			if v, rest, err = Next(rest); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err := v.VerifyCRC(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			line := func(r *Record) string {
				headers := "."
				for i, h := range r.Headers {
					value := "-"
					if h.Value != nil {
						value = string(h.Value)
					}
					headers = strings.TrimPrefix(headers, ".")
					if i > 0 {
						headers += ","
					}
					headers += h.Key + "=" + value
				}
				return strings.Join([]string{
					strconv.FormatInt(r.Offset, 10), strconv.FormatInt(r.Timestamp, 10), flag(v.IsLogAppendTime()), strconv.Itoa(int(v.LeaderEpoch())),
					strconv.FormatInt(v.ProducerID(), 10), strconv.Itoa(int(v.ProducerEpoch())), strconv.Itoa(int(v.Codec())), flag(v.IsTransactional()),
					flag(v.IsControl()), sum(r.Key), sum(r.Value), headers,
				}, " ")
			}
			if err := v.Walk(func(r *Record) error { got = append(got, line(r)); return nil }); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			records, err := v.Records(nil)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for i := range records {
				viaRecords = append(viaRecords, line(&records[i]))
			}
			if err := Validate(v, ValidateOptions{Deep: true}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if v.IsControl() {
				if typ, err := ParseControl(records[0].Key); err != nil || typ != ControlAbort && typ != ControlCommit {
					t.Errorf("%s: control record %v, %v", name, typ, err)
				}
				if epoch, err := ParseEndTxnMarker(records[0].Value); err != nil || epoch != 0 {
					t.Errorf("%s: coordinator epoch %d, %v", name, epoch, err)
				}
				var key kmsg.ControlRecordKey
				if err := key.ReadFrom(records[0].Key); err != nil {
					t.Error(err)
				}
				marker := ControlBatch(ControlOptions{Type: ControlType(key.Type), BaseOffset: v.BaseOffset(), LeaderEpoch: v.LeaderEpoch(),
					ProducerID: v.ProducerID(), ProducerEpoch: v.ProducerEpoch(), TimestampMs: records[0].Timestamp})
				if !bytes.Equal(marker, v) {
					t.Errorf("%s: our marker is\n%x, Kafka's\n%x", name, marker, []byte(v))
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: Walk (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(want, viaRecords); diff != "" {
			t.Errorf("%s: Records (-want +got):\n%s", name, diff)
		}
	}
}

// TestBuilderWritesKafkasBytes rebuilds uncompressed batches of Kafka from their records.
func TestBuilderWritesKafkasBytes(t *testing.T) {
	for _, name := range []string{"codec-none-0.log", "txn-0.log", "compacted-0.log", "java-magic2-none.bin"} {
		for rest := readTestdata(t, name); len(rest) > 0; {
			var v View
			var err error
			if v, rest, err = Next(rest); err != nil {
				t.Fatal(err)
			}
			opt := BuilderOptions{BaseOffset: v.BaseOffset(), LeaderEpoch: v.LeaderEpoch(), ProducerID: v.ProducerID(), Epoch: v.ProducerEpoch(),
				Sequence: v.BaseSequence(), Transactional: v.IsTransactional(), Control: v.IsControl()}
			opt.DeleteHorizonMs, _ = v.DeleteHorizon()
			b := NewBuilder(opt)
			if err := v.Walk(func(r *Record) error { b.AddAt(r.Offset, r.Timestamp, r.Key, r.Value, r.Headers); return nil }); err != nil {
				t.Fatal(err)
			}
			b.SetLastOffset(v.LastOffset())
			got := b.Build()
			if name == "compacted-0.log" && !bytes.Equal(got, v) && View(got).Count() == v.Count() && View(got).LastOffset() == v.LastOffset() {
				continue // Kafka keeps the base timestamp of records that compaction removed
			}
			if !bytes.Equal(got, v) {
				t.Errorf("%s at %d:\n%x, want\n%x", name, v.BaseOffset(), got, []byte(v))
			}
		}
	}
}

func TestBuilderRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []byte {
		if rng.IntN(5) == 0 {
			return nil
		}
		return bytes.Repeat([]byte{byte(rng.Uint32())}, rng.IntN(n))
	}
	for _, codec := range []Codec{None, Gzip, Snappy, LZ4, Zstd} {
		for _, level := range []int{LevelDefault, 1, 9, 22} {
			opt := NewBuilderOptions(rng.Int64N(1 << 50))
			opt.Codec, opt.Level, opt.LeaderEpoch, opt.ProducerID, opt.Epoch, opt.Sequence = codec, level, 3, 7, 2, 1<<31-5
			b := NewBuilder(opt)
			var want []Record
			for i := range 15 {
				r := Record{Offset: opt.BaseOffset + int64(i), OffsetDelta: int32(i), Timestamp: rng.Int64N(1 << 40), Key: random(100), Value: random(2000)}
				for range rng.IntN(3) {
					r.Headers = append(r.Headers, Header{Key: "h", Value: random(10)})
				}
				b.Add(r.Timestamp, r.Key, r.Value, r.Headers)
				want = append(want, r)
			}
			v, rest, err := Next(b.Build())
			if err != nil || len(rest) != 0 {
				t.Fatal(err)
			}
			if err := v.VerifyCRC(); err != nil {
				t.Error(err)
			}
			got, err := v.Records(nil)
			if err != nil {
				t.Fatalf("%v: %v", codec, err)
			}
			for i := range got {
				got[i].Size = 0
			}
			for i := range want { // cmp.Diff takes seconds for this many bytes
				if !reflect.DeepEqual(want[i], got[i]) {
					t.Errorf("%v: record %d is %+v, want %+v", codec, i, got[i], want[i])
				}
			}
			if v.LastSequence() != 9 || v.Count() != 15 || v.LastOffset() != opt.BaseOffset+14 {
				t.Errorf("last sequence %d, count %d, last offset %d", v.LastSequence(), v.Count(), v.LastOffset())
			}
		}
	}
	if v := View(NewBuilder(NewBuilderOptions(5)).Build()); v.Count() != 0 || v.LastOffsetDelta() != -1 || v.MaxTimestamp() != -1 {
		t.Error("empty batch")
	}
}

// sample is a batch of n records with keys, as a client would send it.
func sample(codec Codec, n int) View {
	b := NewBuilder(BuilderOptions{Codec: codec, LeaderEpoch: -1, ProducerID: -1, Epoch: -1, Sequence: -1})
	for i := range n {
		b.Add(1000+int64(i), fmt.Appendf(nil, "key-%d", i), []byte("value"), nil)
	}
	return b.Build()
}

func TestValidate(t *testing.T) {
	client := ValidateOptions{Topic: "t", Client: true}
	edit := func(f func(v View)) View { v := sample(None, 3); f(v); v.UpdateCRC(); return v }
	keyless := func(codec Codec) View {
		b := NewBuilder(BuilderOptions{Codec: codec, ProducerID: -1, Sequence: -1})
		for i := range 5 {
			var key []byte
			if i == 0 {
				key = []byte("k")
			}
			b.Add(1000, key, nil, nil)
		}
		return b.Build()
	}
	b := NewBuilder(BuilderOptions{ProducerID: -1, Sequence: -1})
	b.Add(1000, nil, []byte{1, 2, 3, 0}, nil)
	longer := View(b.Build())
	longer[len(longer)-6] -= 2 // the value is one byte shorter: its last byte is the header count, and the header count is too much
	longer.UpdateCRC()
	compacted := ValidateOptions{Topic: "t", Partition: 3, Client: true, Compacted: true}
	bounded := ValidateOptions{Topic: "t", Client: true, NowMs: 2000, TimestampBeforeMaxMs: 999, TimestampAfterMaxMs: 10}
	for _, tt := range []struct {
		name string
		v    View
		opt  ValidateOptions
		code *kerr.Error
		text string
	}{
		{"plain", sample(None, 3), client, nil, ""},
		{"compressed", sample(Zstd, 3), client, nil, ""},
		{"base offset", edit(func(v View) { v.SetBaseOffset(1) }), client, kerr.InvalidRecord, "should be 0, but it is 1"},
		{"base offset of a coordinator", edit(func(v View) { v.SetBaseOffset(1) }), ValidateOptions{}, nil, ""},
		{"last offset delta", edit(func(v View) { v[26] = 5 }), client, kerr.InvalidRecord, "Inconsistent batch offset range [0, 5] and count of records 3 in topic partition t-0"},
		{"negative range", edit(func(v View) { v[23] = 0xff }), client, kerr.InvalidRecord, "invalid offset range"},
		{"count 0", edit(func(v View) { v[60] = 0 }), client, kerr.InvalidRecord, "Invalid reported count for record batch: 0"},
		{"count and range too large", edit(func(v View) { v[60] = 9; v[26] = 8 }), client, kerr.InvalidRecord, "record"},
		{"count and range too small", edit(func(v View) { v[60] = 2; v[26] = 1 }), client, kerr.InvalidRecord, "bytes are left"},
		{"control", edit(func(v View) { v[22] |= byte(AttrControl) }), client, kerr.InvalidRecord, "Clients are not allowed to write control records"},
		{"producer id without sequence", edit(func(v View) { v[43] = 0 }), client, kerr.InvalidRecord, "Invalid sequence number -1 in record batch with producerId"},
		{"codec 5", edit(func(v View) { v[22] |= 5 }), client, kerr.InvalidRecord, "Unknown compression type id: 5"},
		{"offset deltas", edit(func(v View) { v[HeaderSize+3] = 8 }), client, kerr.InvalidRecord, "offset delta 4"},
		{"record length", edit(func(v View) { v[HeaderSize] = 0x7e }), client, kerr.InvalidRecord, "record 0 of 3"},
		{"bytes behind the last header", longer, client, kerr.InvalidRecord, "bytes left after its last header"},
		{"compressed garbage is not opened", View(append(sample(Gzip, 3)[:HeaderSize:HeaderSize], "garbage"...)), client, nil, ""},
		{"compressed garbage", View(append(sample(Gzip, 3)[:HeaderSize:HeaderSize], "garbage"...)), ValidateOptions{Client: true, Deep: true}, kerr.InvalidRecord, "gzip"},
		{"compacted", sample(Snappy, 3), compacted, nil, ""},
		{"compacted without keys", keyless(None), compacted, kerr.InvalidRecord,
			"One or more records have been rejected due to 4 record errors in total, and only showing the first three errors at most: [" +
				"RecordError(batchIndex=1, message='Compacted topic cannot accept message without key in topic partition t-3'), " +
				"RecordError(batchIndex=2, message='Compacted topic cannot accept message without key in topic partition t-3'), " +
				"RecordError(batchIndex=3, message='Compacted topic cannot accept message without key in topic partition t-3')]"},
		{"compacted without keys, compressed", keyless(LZ4), compacted, kerr.InvalidRecord, "4 record errors"},
		{"timestamps", sample(None, 3), bounded, kerr.InvalidTimestamp, "One or more records have been rejected due to invalid timestamp"},
		{"timestamps, compressed", sample(Zstd, 3), bounded, kerr.InvalidTimestamp, "invalid timestamp"},
		{"log append time from a client", edit(func(v View) { v.SetLogAppendTime(5) }), ValidateOptions{Client: true, LogAppendTime: true}, kerr.InvalidTimestamp, "invalid timestamp"},
		{"log append time for a topic with create time", edit(func(v View) { v.SetLogAppendTime(5) }), client, nil, ""},
		{"limit", sample(Zstd, 1000), ValidateOptions{Client: true, Deep: true, DecompressLimit: 100}, kerr.InvalidRecord, "larger than allowed"},
	} {
		err := Validate(tt.v, tt.opt)
		if (tt.code == nil) != (err == nil) || tt.code != nil && (!errors.Is(err, tt.code) || !strings.Contains(err.Error(), tt.text)) {
			t.Errorf("%s: %v, want %v %q", tt.name, err, tt.code, tt.text)
		}
	}

	var bad *RecordErrors
	if err := Validate(sample(None, 3), bounded); !errors.As(err, &bad) || len(bad.Errors) != 1 || bad.Errors[0].BatchIndex != 0 ||
		bad.Errors[0].Message != "Timestamp 1000 of message with offset 0 is out of range. The timestamp should be within [1001, 2010]" {
		t.Errorf("record errors %+v", bad)
	}
	v := edit(func(v View) { v.SetLogAppendTime(99) })
	if err := Validate(v, client); err != nil || v.IsLogAppendTime() || v.VerifyCRC() != nil {
		t.Errorf("log append time bit stays on a topic with create time (%v)", err)
	}
	v = edit(func(v View) { v.setMaxTimestamp(5_000) })
	if err := Validate(v, client); err != nil || v.MaxTimestamp() != 1002 || v.VerifyCRC() != nil {
		t.Errorf("max timestamp %d is not that of the records (%v)", v.MaxTimestamp(), err)
	}
}

func TestWalkDoesNotAllocate(t *testing.T) {
	v := sample(None, 100)
	for range rand.N(10) + 1 {
		n := 0
		f := func(r *Record) error { n += len(r.Value); return nil }
		if got := testing.AllocsPerRun(100, func() { v.Walk(f) }); got != 0 {
			t.Errorf("%v allocations", got)
		}
	}
	// With the race detector a sync.Pool forgets at random: one average in 150 then reaches 1, three in a row do not.
	got := math.Inf(1)
	for range 3 {
		got = min(got, testing.AllocsPerRun(100, func() { Validate(v, ValidateOptions{Client: true}) }))
	}
	if got > 0.5 {
		t.Errorf("Validate: %v allocations", got)
	}
}

func TestWalkStops(t *testing.T) {
	stop := errors.New("stop")
	n := 0
	if err := sample(None, 5).Walk(func(*Record) error { n++; return stop }); err != stop || n != 1 {
		t.Errorf("%d calls, %v", n, err)
	}
}

func TestCorruptErrorHasKafkasCode(t *testing.T) {
	v := sample(None, 1)
	v[HeaderSize+2]++
	if err := v.VerifyCRC(); !errors.Is(err, kerr.CorruptMessage) {
		t.Errorf("%v does not wrap CORRUPT_MESSAGE", err)
	}
}

func TestDecompressIsBounded(t *testing.T) {
	zeros := make([]byte, 8<<20)
	for _, codec := range []Codec{Gzip, Snappy, LZ4, Zstd} {
		p, err := Compress(codec, LevelDefault, zeros)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Decompress(codec, p, len(zeros)); err != nil || !bytes.Equal(got, zeros) {
			t.Errorf("%v: %d bytes, %v", codec, len(got), err)
		}
		if _, err := Decompress(codec, p, len(zeros)-1); err == nil {
			t.Errorf("%v: the limit was exceeded", codec)
		}
		if _, err := Decompress(codec, p[:len(p)-len(p)/3], len(zeros)); err == nil {
			t.Errorf("%v: content cut short was accepted", codec)
		}
		empty, err := Compress(codec, LevelDefault, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Decompress(codec, empty, 10); err != nil || len(got) != 0 {
			t.Errorf("%v: nothing gives %d bytes, %v", codec, len(got), err)
		}
	}
	// A raw snappy block that declares 4 GiB.
	if _, err := Decompress(Snappy, []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0}, 1<<40); err == nil {
		t.Error("impossible snappy block was accepted")
	}
}

// TestDecompressDoesNotTrustDeclaredSizes has content that says it is large and is not there.
func TestDecompressDoesNotTrustDeclaredSizes(t *testing.T) {
	size := binary.LittleEndian.AppendUint32(nil, 200<<20)
	for _, tt := range []struct {
		name  string
		codec Codec
		p     []byte
	}{
		{"zstd with a window", Zstd, slices.Concat([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x80, 0x88}, size, []byte{1, 0, 0})},
		{"zstd in a single segment", Zstd, slices.Concat([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0}, size, []byte{1, 0, 0})},
		{"snappy", Snappy, binary.AppendUvarint(nil, 200<<20)},
	} {
		_, _ = Decompress(tt.codec, tt.p, DefaultDecompressLimit) // makes the shared decoder
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		out, _ := Decompress(tt.codec, tt.p, DefaultDecompressLimit)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 || len(out) != 0 {
			t.Errorf("%s: %d bytes took %d KiB of memory", tt.name, len(tt.p), took>>10)
		}
	}
	zeros := make([]byte, 8<<20)
	for _, single := range []bool{true, false} { // declared and true, at a ratio beyond belief
		e, err := zstd.NewWriter(nil, zstd.WithSingleSegment(single))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Decompress(Zstd, e.EncodeAll(zeros, nil), len(zeros)); err != nil || !bytes.Equal(got, zeros) {
			t.Errorf("single segment %v: %d bytes, %v", single, len(got), err)
		}
	}
	var stream bytes.Buffer // as Java writes it: no size declared
	e, err := zstd.NewWriter(&stream)
	if err != nil {
		t.Fatal(err)
	}
	e.Write(zeros)
	e.Close()
	if got, err := Decompress(Zstd, stream.Bytes(), len(zeros)); err != nil || len(got) != len(zeros) {
		t.Errorf("no size declared: %d bytes, %v", len(got), err)
	}
	if _, err := Decompress(Zstd, stream.Bytes(), len(zeros)-1); err == nil {
		t.Error("no size declared: the limit was exceeded")
	}
}

func TestValidateOpensLargeBatches(t *testing.T) {
	b := NewBuilder(BuilderOptions{Codec: Zstd, ProducerID: -1, Sequence: -1})
	for range 3 {
		b.Add(1000, []byte("k"), make([]byte, freeDecompression/2), nil)
	}
	v := View(b.Build())
	if err := Validate(v, ValidateOptions{Client: true, Deep: true}); err != nil {
		t.Error(err)
	}
	if err := Validate(v, ValidateOptions{Client: true, Deep: true, DecompressLimit: freeDecompression}); !errors.Is(err, kerr.InvalidRecord) {
		t.Errorf("above the limit: %v", err)
	}
	if len(bigDecompressions) != 0 {
		t.Error("a slot was not given back")
	}
}

func TestAddSequenceWraps(t *testing.T) {
	for _, tt := range []struct{ seq, delta, want int32 }{{0, 0, 0}, {5, 3, 8}, {1<<31 - 1, 0, 1<<31 - 1}, {1<<31 - 1, 1, 0}, {1<<31 - 3, 5, 2}} {
		if got := AddSequence(tt.seq, tt.delta); got != tt.want {
			t.Errorf("%d + %d = %d, want %d", tt.seq, tt.delta, got, tt.want)
		}
	}
}

func FuzzWalk(f *testing.F) {
	f.Add([]byte(sample(None, 3)))
	f.Add([]byte(sample(Snappy, 3)))
	f.Add([]byte(sample(LZ4, 3)))
	f.Add([]byte(ControlBatch(ControlOptions{Type: ControlCommit})))
	f.Fuzz(func(t *testing.T, p []byte) {
		v, rest, err := Next(p)
		if err != nil {
			return
		}
		if len(v)+len(rest) != len(p) {
			t.Fatal("bytes were lost")
		}
		b := NewBuilder(NewBuilderOptions(0))
		n := int32(0)
		if v.walk(1<<20, true, func(r *Record) error { n++; b.Add(r.Timestamp, r.Key, r.Value, r.Headers); return nil }) != nil {
			return
		}
		if n != v.Count() {
			t.Fatalf("%d records, count %d", n, v.Count())
		}
		again, _, err := Next(b.Build())
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Walk(func(*Record) error { n--; return nil }); err != nil || n != 0 {
			t.Fatalf("written again: %d records differ, %v", n, err)
		}
		_ = Validate(v, ValidateOptions{Client: true, Deep: true, Compacted: true, DecompressLimit: 1 << 20})
	})
}

func FuzzDecompress(f *testing.F) {
	for _, codec := range []Codec{Gzip, Snappy, LZ4, Zstd} {
		p, _ := Compress(codec, LevelDefault, bytes.Repeat([]byte("ottla "), 100))
		f.Add(int8(codec), p)
	}
	f.Fuzz(func(t *testing.T, codec int8, p []byte) {
		if out, err := Decompress(Codec(codec), p, 1<<20); err == nil && len(out) > 1<<20 {
			t.Fatal("limit exceeded")
		}
	})
}

func BenchmarkWalk(b *testing.B) {
	for _, n := range []int{1, 100} {
		v := sample(None, n)
		b.Run(fmt.Sprintf("records=%d", n), func(b *testing.B) {
			b.SetBytes(int64(len(v)))
			b.ReportAllocs()
			f := func(*Record) error { return nil }
			for b.Loop() {
				if err := v.Walk(f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkValidate(b *testing.B) {
	for _, codec := range []Codec{None, Snappy, LZ4, Zstd, Gzip} {
		bld := NewBuilder(BuilderOptions{Codec: codec, ProducerID: -1, Sequence: -1})
		rng := rand.New(rand.NewPCG(1, 2))
		for range 100 {
			bld.Add(time.Now().UnixMilli(), nil, fmt.Appendf(nil, "%0100d", rng.Uint64()), nil)
		}
		v := View(bld.Build())
		b.Run("deep/codec="+codec.String(), func(b *testing.B) {
			b.SetBytes(int64(bld.Size()))
			b.ReportAllocs()
			for b.Loop() {
				if err := Validate(v, ValidateOptions{Client: true, Deep: true}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerifyCRC(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 1 << 20} {
		bld := NewBuilder(NewBuilderOptions(0))
		bld.Add(0, nil, make([]byte, size), nil)
		v := View(bld.Build())
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			b.SetBytes(int64(len(v)))
			for b.Loop() {
				if err := v.VerifyCRC(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
