package api

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire/batch"
)

func testBatch(t *testing.T, o batch.BuilderOptions) []byte {
	t.Helper()
	b := batch.NewBuilder(o)
	b.Add(1, []byte("k"), []byte("v"), nil)
	return b.Build()
}

func TestOneBatch(t *testing.T) {
	none := batch.BuilderOptions{ProducerID: -1, Epoch: -1, Sequence: -1}
	good := testBatch(t, none)
	zstd := none
	zstd.Codec = batch.Zstd
	txn := batch.BuilderOptions{ProducerID: 1, Transactional: true}
	edited := func(edit func(b []byte)) []byte { b := append([]byte(nil), good...); edit(b); return b }
	id := "tx"
	for _, tt := range []struct {
		name    string
		version int16
		txn     *string
		records []byte
		want    *kerr.Error
	}{
		{"one batch", 3, nil, good, nil},
		{"null", 3, nil, nil, kerr.InvalidRecord},
		{"cut", 3, nil, good[:len(good)-1], kerr.InvalidRecord},
		{"sixteen bytes", 3, nil, good[:16], kerr.InvalidRecord},
		{"magic 1", 3, nil, edited(func(b []byte) { b[magicOffset] = 1 }), kerr.InvalidRecord},
		{"magic 3", 3, nil, edited(func(b []byte) { b[magicOffset] = 3 }), kerr.CorruptMessage},
		{"length 13", 3, nil, edited(func(b []byte) { binary.BigEndian.PutUint32(b[lengthOffset:], 13) }), kerr.CorruptMessage},
		{"length of a header that is cut", 3, nil, edited(func(b []byte) { binary.BigEndian.PutUint32(b[lengthOffset:], 48) }), kerr.CorruptMessage},
		{"largest length", 3, nil, edited(func(b []byte) { binary.BigEndian.PutUint32(b[lengthOffset:], 0x7fffffff) }), kerr.InvalidRecord},
		{"negative length", 3, nil, edited(func(b []byte) { binary.BigEndian.PutUint32(b[lengthOffset:], 0xffffffff) }), kerr.CorruptMessage},
		{"two", 3, nil, append(append([]byte(nil), good...), good...), kerr.InvalidRecord},
		{"one and a half", 3, nil, append(append([]byte(nil), good...), good[:30]...), nil},
		{"zeros behind", 3, nil, append(append([]byte(nil), good...), make([]byte, 50)...), kerr.CorruptMessage},
		{"zstd before 7", 6, nil, testBatch(t, zstd), kerr.UnsupportedCompressionType},
		{"zstd", 7, nil, testBatch(t, zstd), nil},
		{"transactional without an id", 9, nil, testBatch(t, txn), kerr.TransactionalIDAuthorizationFailed},
		{"transactional", 9, &id, testBatch(t, txn), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := oneBatch(tt.records, &kmsg.ProduceRequest{Version: tt.version, TransactionID: tt.txn})
			if tt.want == nil && err != nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if err == nil && v.Size() > len(tt.records) {
				t.Fatalf("batch of %d bytes out of %d", v.Size(), len(tt.records))
			}
		})
	}
}

func TestSkipMessages(t *testing.T) {
	set := func(offsets ...int64) []byte {
		var b []byte
		for _, o := range offsets {
			m := make([]byte, 26)
			binary.BigEndian.PutUint64(m, uint64(o))
			binary.BigEndian.PutUint32(m[lengthOffset:], 14)
			b = append(b, m...)
		}
		return b
	}
	gzip := set(3)
	gzip[magicOffset+1] = 1
	for _, tt := range []struct {
		name   string
		set    []byte
		offset int64
		want   int // bytes left
	}{
		{"all are wanted", set(5, 6), 5, 52},
		{"the first is not", set(4, 5, 6), 5, 52},
		{"none is", set(1, 2), 5, 0},
		{"a wrapper stays", append(set(2), gzip...), 5, 26},
		{"nothing", nil, 5, 0},
		{"a cut message stays", set(1)[:20], 5, 20},
	} {
		if got := skipMessages(tt.set, tt.offset); len(got) != tt.want {
			t.Errorf("%s: %d bytes left, want %d", tt.name, len(got), tt.want)
		}
	}
}

func FuzzOneBatch(f *testing.F) {
	b := batch.NewBuilder(batch.NewBuilderOptions(0))
	b.Add(1, nil, []byte("v"), nil)
	good := b.Build()
	f.Add(good)
	f.Add(append(good, good...))
	f.Add(good[:20])
	f.Fuzz(func(t *testing.T, records []byte) {
		v, err := oneBatch(records, &kmsg.ProduceRequest{Version: 9})
		if err == nil && (v.Size() > len(records) || v.Magic() != 2) {
			t.Fatalf("batch of %d bytes and magic %d out of %d bytes", v.Size(), v.Magic(), len(records))
		}
		skipMessages(records, 5)
	})
}
