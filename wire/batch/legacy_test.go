package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
)

var legacyCodecs = []Codec{None, Gzip, Snappy, LZ4}

// javaRecords are what is in each testdata/java-*.bin, written by MemoryRecordsBuilder of Kafka 3.9.2: offsets from 100 on.
func javaRecords(magic int8, baseOffset int64) []Record {
	var rs []Record
	for i := range 5 {
		r := Record{
			Offset: baseOffset + int64(i), Timestamp: 1700000000000 + int64(i),
			Key: fmt.Appendf(nil, "key-%d", i), Value: []byte(fmt.Sprintf("value-%d-", i) + strings.Repeat("abcdefgh", i*20)),
		}
		if magic == 0 {
			r.Timestamp = -1
		}
		switch {
		case i == 1:
			r.Key = nil
		case i == 2:
			r.Value = nil
		case i == 3 && magic == 2:
			r.Headers = []Header{{"h", []byte("hv")}, {"n", nil}}
		}
		rs = append(rs, r)
	}
	return rs
}

func keep(dst *[]Record) func(r *Record) error {
	return func(r *Record) error {
		k := Record{Offset: r.Offset, Timestamp: r.Timestamp, Key: slices.Clone(r.Key), Value: slices.Clone(r.Value)}
		for _, h := range r.Headers {
			k.Headers = append(k.Headers, Header{h.Key, slices.Clone(h.Value)})
		}
		*dst = append(*dst, k)
		return nil
	}
}

// readAny reads records of any magic.
func readAny(t *testing.T, p []byte) (rs []Record) {
	t.Helper()
	for len(p) > 0 {
		_, magic, err := PeekSize(p)
		if err != nil {
			t.Fatal(err)
		}
		if magic == 2 {
			var v View
			if v, p, err = Next(p); err == nil {
				if err = v.VerifyCRC(); err == nil {
					err = v.Walk(keep(&rs))
				}
			}
		} else {
			var m Legacy
			if m, p, err = NextLegacy(p); err == nil {
				if err = m.VerifyCRC(); err == nil {
					err = m.Walk(DefaultDecompressLimit, keep(&rs))
				}
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return rs
}

func javaFile(t *testing.T, magic int8, codec Codec) []byte {
	return readTestdata(t, fmt.Sprintf("java-magic%d-%s.bin", magic, codec))
}

func TestReadsJavasRecordsOfEveryMagic(t *testing.T) {
	for magic := range int8(3) {
		for codec := None; codec <= Zstd; codec++ {
			if codec == Zstd && magic < 2 {
				continue
			}
			if diff := cmp.Diff(javaRecords(magic, 100), readAny(t, javaFile(t, magic, codec))); diff != "" {
				t.Errorf("magic %d %v (-want +got):\n%s", magic, codec, diff)
			}
		}
	}
}

func TestUpconvert(t *testing.T) {
	for magic := range int8(2) {
		for _, codec := range legacyCodecs {
			set := javaFile(t, magic, codec)
			p, err := Upconvert(set, UpconvertOptions{BaseOffset: 7, LeaderEpoch: 3})
			if err != nil {
				t.Fatalf("magic %d %v: %v", magic, codec, err)
			}
			v, rest, err := Next(p)
			if err != nil || len(rest) != 0 || v.Codec() != codec || v.Count() != 5 || v.LastOffset() != 11 || v.LeaderEpoch() != 3 || v.ProducerID() != -1 {
				t.Errorf("magic %d %v: codec %v, %d records, last offset %d, %v", magic, codec, v.Codec(), v.Count(), v.LastOffset(), err)
			}
			if err := Validate(v, ValidateOptions{Deep: true}); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(javaRecords(magic, 7), readAny(t, p)); diff != "" {
				t.Errorf("magic %d %v (-want +got):\n%s", magic, codec, diff)
			}
			// Cut short at the end: what is whole counts.
			if codec == None {
				if p, err := Upconvert(set[:len(set)-1], UpconvertOptions{}); err != nil || View(p).Count() != 4 {
					t.Errorf("magic %d: cut short: %v", magic, err)
				}
			}
			if p, err := Upconvert(set, UpconvertOptions{Recompress: true, Codec: Zstd, Level: 3}); err != nil || View(p).Codec() != Zstd {
				t.Errorf("recompressed: %v", err)
			}
		}
	}
}

func TestUpconvertRefuses(t *testing.T) {
	plain0, plain1 := javaFile(t, 0, None), javaFile(t, 1, None)
	zipped := javaFile(t, 1, Gzip)
	flipped := slices.Clone(plain1)
	flipped[40]++
	nested := appendLegacy(nil, 1, int8(Gzip), 0, 0, nil, mustCompress(Gzip, zipped))
	mixed := appendLegacy(nil, 1, int8(Gzip), 0, 0, nil, mustCompress(Gzip, plain0))
	for _, tt := range []struct {
		name string
		set  []byte
		want error
	}{
		{"nothing", nil, kerr.InvalidRecord},
		{"a piece", plain0[:20], kerr.InvalidRecord},
		{"two magics", append(slices.Clone(plain0), plain1...), kerr.InvalidRecord},
		{"two compressed messages", append(slices.Clone(zipped), zipped...), kerr.InvalidRecord},
		{"compressed and plain", append(slices.Clone(zipped), plain1...), kerr.InvalidRecord},
		{"crc", flipped, kerr.CorruptMessage},
		{"magic 2", sample(None, 1), kerr.CorruptMessage},
		{"compressed in compressed", nested, kerr.InvalidRecord},
		{"magic 0 in magic 1", mixed, kerr.InvalidRecord},
		{"null in compressed", appendLegacy(nil, 1, int8(Gzip), 0, 0, nil, nil), kerr.InvalidRecord},
		{"empty in compressed", appendLegacy(nil, 1, int8(Gzip), 0, 0, nil, mustCompress(Gzip, nil)), kerr.InvalidRecord},
		{"garbage in compressed", appendLegacy(nil, 1, int8(Gzip), 0, 0, nil, mustCompress(Gzip, []byte("garbage"))), kerr.CorruptMessage},
		{"zstd", appendLegacy(nil, 1, int8(Zstd), 0, 0, nil, mustCompress(Zstd, plain1)), kerr.UnsupportedCompressionType},
		{"unknown codec", appendLegacy(nil, 1, 6, 0, 0, nil, plain1), kerr.UnsupportedCompressionType},
	} {
		if _, err := Upconvert(tt.set, UpconvertOptions{}); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func mustCompress(c Codec, p []byte) []byte {
	out, err := Compress(c, LevelDefault, p)
	if err != nil {
		panic(err)
	}
	return out
}

// TestDownconvertWritesJavasBytes compares where Java's output does not depend on its compressor.
func TestDownconvertWritesJavasBytes(t *testing.T) {
	for to := range int8(2) {
		got, err := Downconvert(javaFile(t, 2, None), to)
		if err != nil {
			t.Fatal(err)
		}
		want := javaFile(t, to, None)
		if to == 0 { // the magic-2 file has timestamps, which magic 0 loses
			want = javaFile(t, 0, None)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("magic %d (-want +got):\n%s", to, diff)
		}
	}
}

func TestDownconvert(t *testing.T) {
	for from := range int8(3) {
		for to := range int8(2) {
			for _, codec := range legacyCodecs {
				p := javaFile(t, from, codec)
				if from == 2 {
					p = append(append(ControlBatch(ControlOptions{BaseOffset: 99}), p...), p[:40]...)
				}
				got, err := Downconvert(p, to)
				if err != nil {
					t.Fatalf("%d to %d %v: %v", from, to, codec, err)
				}
				_, magic, err := PeekSize(got)
				if err != nil || magic != min(from, to) {
					t.Errorf("%d to %d %v: magic %d, %v", from, to, codec, magic, err)
				}
				want := javaRecords(min(from, to), 100)
				if diff := cmp.Diff(want, readAny(t, got)); diff != "" {
					t.Errorf("%d to %d %v (-want +got):\n%s", from, to, codec, diff)
				}
				if m, _, _ := NextLegacy(got); m.Codec() != codec {
					t.Errorf("%d to %d: codec %v, want %v", from, to, m.Codec(), codec)
				}
			}
		}
	}
	if _, err := Downconvert(javaFile(t, 2, Zstd), 1); !errors.Is(err, kerr.UnsupportedCompressionType) {
		t.Errorf("zstd: %v", err)
	}
	v := sample(None, 2)
	v.SetLogAppendTime(77)
	got, err := Downconvert(v, 1)
	if m, _, _ := NextLegacy(got); err != nil || !m.IsLogAppendTime() || m.Timestamp() != 77 {
		t.Errorf("log append time is lost: %v", err)
	}
}

// TestDownconvertWritesJavasInnerSets compares what is inside compressed messages: relative offsets in magic 1, absolute ones in magic 0.
func TestDownconvertWritesJavasInnerSets(t *testing.T) {
	for to := range int8(2) {
		for _, codec := range legacyCodecs[1:] {
			got, err := Downconvert(javaFile(t, 2, codec), to)
			if err != nil {
				t.Fatal(err)
			}
			open := func(p []byte) []byte {
				m, _, err := NextLegacy(p)
				if err != nil {
					t.Fatal(err)
				}
				_, value, _ := m.fields()
				if codec == LZ4 && to == 0 {
					if bytes.Equal(fixLZ4(value), value) {
						t.Error("the frame does not have the checksum that readers of magic 0 expect")
					}
					value = fixLZ4(value)
				}
				set, err := Decompress(codec, value, 1<<20)
				if err != nil {
					t.Fatal(err)
				}
				return append(slices.Clone(m[:8]), set...)
			}
			if diff := cmp.Diff(open(javaFile(t, to, codec)), open(got)); diff != "" {
				t.Errorf("magic %d %v (-want +got):\n%s", to, codec, diff)
			}
		}
	}
}

func TestMagic0LZ4HasTheChecksumOfItsTime(t *testing.T) {
	m, _, err := NextLegacy(javaFile(t, 0, LZ4))
	if err != nil {
		t.Fatal(err)
	}
	_, value, _ := m.fields()
	value = slices.Clone(value)
	broken := value[lz4HeaderSize(value)]
	fixed := slices.Clone(fixLZ4(value))
	if fixed[lz4HeaderSize(fixed)] == broken {
		t.Fatal("Java's frame of magic 0 has the right checksum: the test shows nothing")
	}
	breakLZ4(fixed)
	if fixed[lz4HeaderSize(fixed)] != broken {
		t.Errorf("broken checksum %x, Java's is %x", fixed[lz4HeaderSize(fixed)], broken)
	}
}

func TestXXH32(t *testing.T) {
	for in, want := range map[string]uint32{"": 0x02cc5d05, "a": 0x550d7456, "abc": 0x32d153ff, "Nobody inspects the spammish repetition": 0xe2293b2f} {
		if got := xxh32([]byte(in)); got != want {
			t.Errorf("xxh32(%q) = %08x, want %08x", in, got, want)
		}
	}
}

func TestWalkTakesTheWrappersTimeIfItIsAppendTime(t *testing.T) {
	m, _, _ := NextLegacy(javaFile(t, 1, Gzip))
	m = slices.Clone(m)
	m[offLegacyAttrs] |= byte(AttrLogAppendTime)
	binary.BigEndian.PutUint64(m[offLegacyTimestamp:], 55)
	binary.BigEndian.PutUint32(m[offLegacyCRC:], crc32.ChecksumIEEE(m[offMagic:]))
	for _, r := range readAny(t, m) {
		if r.Timestamp != 55 {
			t.Errorf("timestamp %d", r.Timestamp)
		}
	}
}

func FuzzLegacy(f *testing.F) {
	f.Add(appendLegacy(nil, 0, 0, 5, 0, []byte("k"), []byte("v")))
	f.Add(appendLegacy(nil, 1, int8(Snappy), 5, 0, nil, mustCompress(Snappy, appendLegacy(nil, 1, 0, 0, 0, nil, nil))))
	f.Add(appendLegacy(nil, 0, int8(LZ4), 5, 0, nil, mustCompress(LZ4, appendLegacy(nil, 0, 0, 0, 0, nil, nil))))
	f.Fuzz(func(t *testing.T, p []byte) {
		for rest := p; ; {
			m, next, err := NextLegacy(rest)
			if err != nil {
				break
			}
			if len(m)+len(next) != len(rest) {
				t.Fatal("bytes were lost")
			}
			_ = m.Walk(1<<20, func(*Record) error { return nil })
			rest = next
		}
		if out, err := Upconvert(p, UpconvertOptions{DecompressLimit: 1 << 20}); err == nil {
			v, rest, err := Next(out)
			if err != nil || len(rest) != 0 {
				t.Fatal(err)
			}
			if err := v.Walk(func(*Record) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = Downconvert(p, 0)
	})
}
