package embedded

import (
	"math"
	"reflect"
	"testing"

	"ottla/zkmeta"
)

func sampleNodes() []*node {
	return []*node{
		{},
		{data: []byte{}, acl: zkmeta.OpenACL()},
		{data: []byte("x"), czxid: 1, mzxid: math.MaxInt64, pzxid: 3, ctimeMs: 4, mtimeMs: 5, version: math.MaxInt32,
			creates: -1, aversion: math.MinInt32, acl: []zkmeta.ACL{{Perms: -1, Scheme: "s", ID: ""}, {Perms: 1}}},
	}
}

func TestNodeCodec(t *testing.T) {
	for _, n := range sampleNodes() {
		b := appendNode(nil, "/p", n)
		got, err := decodeNode("/p", b)
		if err != nil || !reflect.DeepEqual(got, n) {
			t.Errorf("%+v became %+v, %v", n, got, err)
		}
		if _, err := decodeNode("/q", b); err == nil {
			t.Error("a node was read under another path")
		}
		for i := range b {
			if _, err := decodeNode("/p", b[:i]); err == nil {
				t.Errorf("read from %d of %d bytes", i, len(b))
			}
		}
	}
}

// FuzzDecodeNode replaces the checksum, so that the decoder itself sees the bytes.
func FuzzDecodeNode(f *testing.F) {
	for _, n := range sampleNodes() {
		f.Add(appendNode(nil, "/p", n))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = decodeNode("/p", b)
		if len(b) < 4 {
			return
		}
		body := b[:len(b)-4]
		sum := nodeChecksum("/p", body)
		b = append(body[:len(body):len(body)], byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
		n, err := decodeNode("/p", b)
		if err != nil {
			return
		}
		again, err := decodeNode("/p", appendNode(nil, "/p", n))
		if err != nil || !reflect.DeepEqual(again, n) {
			t.Errorf("%+v became %+v, %v", n, again, err)
		}
	})
}
