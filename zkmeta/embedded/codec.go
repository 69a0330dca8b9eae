package embedded

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"

	"ottla/zkmeta"
)

// A node in the file:
//
//	format   byte     1
//	flags    byte     bit 0: data is not null
//	czxid, mzxid, pzxid, ctime ms, mtime ms    uvarint each
//	version, creates, aversion                 uvarint each (as uint32)
//	ACLs     uvarint  count; each: perms uvarint, scheme and id as uvarint length + bytes
//	data     uvarint length + bytes
//	crc      4 bytes, big endian: CRC-32C of the path and all before
const (
	nodeFormat  = 1
	flagHasData = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errNodeChecksum = errors.New("checksum does not match")
	errNodeFormat   = errors.New("unknown format")
	errNodeShort    = errors.New("data ends early")
)

func appendNode(b []byte, path string, n *node) []byte {
	start := len(b)
	flags := byte(0)
	if n.data != nil {
		flags |= flagHasData
	}
	b = append(b, nodeFormat, flags)
	for _, v := range [...]int64{n.czxid, n.mzxid, n.pzxid, n.ctimeMs, n.mtimeMs} {
		b = binary.AppendUvarint(b, uint64(v))
	}
	for _, v := range [...]int32{n.version, n.creates, n.aversion} {
		b = binary.AppendUvarint(b, uint64(uint32(v)))
	}
	b = binary.AppendUvarint(b, uint64(len(n.acl)))
	for _, a := range n.acl {
		b = binary.AppendUvarint(b, uint64(uint32(a.Perms)))
		b = appendText(b, a.Scheme)
		b = appendText(b, a.ID)
	}
	b = binary.AppendUvarint(b, uint64(len(n.data)))
	b = append(b, n.data...)
	return binary.BigEndian.AppendUint32(b, nodeChecksum(path, b[start:]))
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func nodeChecksum(path string, body []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(path), castagnoli), castagnoli, body)
}

// decodeNode reads what appendNode wrote. The node does not refer to b.
func decodeNode(path string, b []byte) (*node, error) {
	if len(b) < 6 {
		return nil, errNodeShort
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if nodeChecksum(path, body) != sum {
		return nil, errNodeChecksum
	}
	if body[0] != nodeFormat || body[1]&^flagHasData != 0 {
		return nil, errNodeFormat
	}
	r := reader{b: body[2:]}
	n := &node{}
	for _, v := range [...]*int64{&n.czxid, &n.mzxid, &n.pzxid, &n.ctimeMs, &n.mtimeMs} {
		*v = int64(r.uvarint(math.MaxInt64))
	}
	for _, v := range [...]*int32{&n.version, &n.creates, &n.aversion} {
		*v = int32(uint32(r.uvarint(math.MaxUint32)))
	}
	for count := r.uvarint(uint64(len(r.b) / 3)); count > 0 && !r.bad; count-- {
		perms := int32(uint32(r.uvarint(math.MaxUint32)))
		n.acl = append(n.acl, zkmeta.ACL{Perms: perms, Scheme: string(r.bytes()), ID: string(r.bytes())})
	}
	data := r.bytes()
	if body[1]&flagHasData != 0 {
		n.data = append([]byte{}, data...)
	} else if len(data) > 0 {
		return nil, errNodeFormat
	}
	if r.bad || len(r.b) > 0 {
		return nil, errNodeShort
	}
	return n, nil
}

// reader reads values until one is bad; then it reads zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > limit || r.bad {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint(uint64(len(r.b)))
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}
