package behaviour

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kgo"
)

// records describes the content of a Fetch answer: batches or messages, with what they hold. Compressed content is compared
// decompressed, since two encoders need not agree on bytes. The beginning of a batch at the end is left out, as clients do: Kafka
// cuts at the byte limit, Ottla before the batch.
func (n *normaliser) records(b []byte) any {
	list := []any{}
	for len(b) > 0 {
		if len(b) < 17 {
			break
		}
		size := 12 + int(binary.BigEndian.Uint32(b[8:]))
		if size > len(b) {
			break
		}
		if size < 17 {
			return append(list, fmt.Sprintf("an entry of %d bytes", size))
		}
		one, err := n.entry(b[:size])
		if err != nil {
			one = "cannot be read: " + err.Error()
		}
		list = append(list, one)
		b = b[size:]
	}
	return list
}

func (n *normaliser) entry(b []byte) (any, error) {
	if b[16] == 2 {
		return n.batch(b)
	}
	return n.message(b, 0)
}

var errShort = errors.New("too short")

func (n *normaliser) batch(b []byte) (any, error) {
	if len(b) < 61 {
		return nil, errShort
	}
	u32 := func(at int) int32 { return int32(binary.BigEndian.Uint32(b[at:])) }
	u64 := func(at int) int64 { return int64(binary.BigEndian.Uint64(b[at:])) }
	attributes := int16(binary.BigEndian.Uint16(b[21:]))
	m := map[string]any{
		"batch": fmt.Sprintf("offset %d, %d records, last delta %d, leader epoch %d, attributes %#x", u64(0), u32(57), u32(23), u32(12), attributes),
		"times": fmt.Sprint(n.time(u64(27)), " to ", n.time(u64(35))),
	}
	if pid := u64(43); pid != -1 {
		m["producer"] = fmt.Sprintf("%v epoch %d sequence %d", n.number(pid, "", "ProducerID"), int16(binary.BigEndian.Uint16(b[51:])), u32(53))
	}
	if crc := crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)); crc != uint32(u32(17)) {
		m["crc"] = "wrong"
	}
	body := b[61:]
	if codec := attributes & 7; codec == 0 {
		m["size"] = len(b)
	} else {
		var err error
		if body, err = kgo.DefaultDecompressor().Decompress(body, kgo.CompressionCodecType(codec)); err != nil {
			return nil, err
		}
	}
	var records []any
	for len(body) > 0 {
		size, w := binary.Varint(body)
		if w <= 0 || size < 0 || size > int64(len(body)-w) {
			return nil, errShort
		}
		records = append(records, n.record(body[w:w+int(size)], u64(27)))
		body = body[w+int(size):]
	}
	m["records"] = records
	return m, nil
}

// record is "offset delta: key=value @ time [headers]".
func (n *normaliser) record(b []byte, first int64) string {
	r := varReader{b: b[1:]}
	ts, delta := r.varint(), r.varint()
	key, value := r.text(), r.text()
	s := fmt.Sprintf("%d: %s=%s @ %v", delta, key, value, n.time(first+ts))
	for range r.varint() * 2 {
		s += " " + r.text()
	}
	if b[0] != 0 || r.bad || len(r.b) > 0 {
		s += fmt.Sprintf(" (attributes %d, malformed %v, %d bytes left)", b[0], r.bad, len(r.b))
	}
	return s
}

// time is relative to baseTime, or the broker's clock.
func (n *normaliser) time(ms int64) any {
	switch {
	case ms < 0:
		return ms
	case n.isNow(ms):
		return "<now>"
	}
	return fmt.Sprintf("base%+d", ms-baseTime)
}

type varReader struct {
	b   []byte
	bad bool
}

func (r *varReader) varint() int64 {
	v, w := binary.Varint(r.b)
	if w <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[w:]
	return v
}

func (r *varReader) text() string {
	size := r.varint()
	if size == -1 {
		return "null"
	}
	if size < 0 || size > int64(len(r.b)) {
		r.bad, r.b = true, nil
		return "?"
	}
	s := fmt.Sprintf("%.40q", r.b[:size])
	r.b = r.b[size:]
	return s
}

// message describes a message of magic 0 or 1, and the set inside a compressed one.
func (n *normaliser) message(b []byte, depth int) (any, error) {
	magic := b[16]
	at := 18
	ts := any("no time")
	if magic == 1 {
		at = 26
	}
	if len(b) < at+8 || magic > 1 || depth > 1 {
		return nil, errShort
	}
	if magic == 1 {
		ts = n.time(int64(binary.BigEndian.Uint64(b[18:])))
	}
	fields := make([][]byte, 2)
	for i := range fields {
		if len(b) < at+4 {
			return nil, errShort
		}
		size := int32(binary.BigEndian.Uint32(b[at:]))
		at += 4
		if size >= 0 {
			if len(b) < at+int(size) {
				return nil, errShort
			}
			fields[i] = b[at : at+int(size)]
			at += int(size)
		}
	}
	text := func(b []byte) string {
		if b == nil {
			return "null"
		}
		return fmt.Sprintf("%.40q", b)
	}
	crc := ""
	if crc32.ChecksumIEEE(b[16:]) != binary.BigEndian.Uint32(b[12:]) {
		crc = ", wrong CRC"
	}
	head := fmt.Sprintf("magic %d offset %d attributes %d @ %v%s", magic, int64(binary.BigEndian.Uint64(b)), b[17], ts, crc)
	codec := b[17] & 7
	if codec == 0 {
		return head + " " + text(fields[0]) + "=" + text(fields[1]), nil
	}
	set, err := kgo.DefaultDecompressor().Decompress(fields[1], kgo.CompressionCodecType(codec))
	if err != nil {
		return nil, err
	}
	inner := []any{head}
	for len(set) >= 17 {
		size := 12 + int(binary.BigEndian.Uint32(set[8:]))
		if size < 17 || size > len(set) {
			return nil, errShort
		}
		m, err := n.message(set[:size], depth+1)
		if err != nil {
			return nil, err
		}
		inner = append(inner, m)
		set = set[size:]
	}
	return inner, nil
}
