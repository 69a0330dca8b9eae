package wire

import (
	"encoding/binary"
	"errors"
)

// Header is a request header. ClientID is "" if the client sent null.
type Header struct {
	Key, Version  int16
	CorrelationID int32
	ClientID      string
}

var errShortHeader = errors.New("request header is cut short")

// minHeader is the size of a request header of version 0: key, version and correlation id.
const minHeader = 8

// peekKey reads the key and version at the start of a request.
func peekKey(frame []byte) (key, version int16, ok bool) {
	if len(frame) < minHeader {
		return 0, 0, false
	}
	return int16(binary.BigEndian.Uint16(frame)), int16(binary.BigEndian.Uint16(frame[2:])), true
}

// requestHeaderVersion is 0 (no client id) for ControlledShutdown version 0 only, 2 (tagged fields) for flexible requests, else 1.
func requestHeaderVersion(key, version int16, flexible bool) int {
	switch {
	case key == keyControlledShutdown && version == 0:
		return 0
	case flexible:
		return 2
	}
	return 1
}

// parseHeader reads a request header of version 0 to 2 from frame, which has no length prefix. The client id is returned as bytes
// that alias the frame; it is a non-compact nullable string at every version (KIP-482). Tagged fields are skipped.
func parseHeader(frame []byte, version int) (h Header, clientID, body []byte, err error) {
	if len(frame) < minHeader {
		return h, nil, nil, errShortHeader
	}
	h.Key = int16(binary.BigEndian.Uint16(frame))
	h.Version = int16(binary.BigEndian.Uint16(frame[2:]))
	h.CorrelationID = int32(binary.BigEndian.Uint32(frame[4:]))
	p := frame[minHeader:]
	if version == 0 {
		return h, nil, p, nil
	}
	if len(p) < 2 {
		return h, nil, nil, errShortHeader
	}
	n := int(int16(binary.BigEndian.Uint16(p)))
	p = p[2:]
	if n > len(p) || n < -1 {
		return h, nil, nil, errShortHeader
	}
	if n > 0 {
		clientID, p = p[:n], p[n:]
	}
	if version >= 2 {
		if p, err = skipTags(p); err != nil {
			return h, nil, nil, errShortHeader
		}
	}
	return h, clientID, p, nil
}

// ParseRequestHeader reads the header of a request without its length prefix, of any key and version that kmsg knows,
// and returns it with the body, which aliases frame.
func ParseRequestHeader(frame []byte) (Header, []byte, error) {
	key, version, ok := peekKey(frame)
	if !ok {
		return Header{}, nil, errShortHeader
	}
	h, clientID, body, err := parseHeader(frame, requestHeaderVersion(key, version, isFlexible(key, version)))
	h.ClientID = string(clientID)
	return h, body, err
}

// AppendRequestHeader writes a header as parseHeader reads it, with an empty set of tagged fields if flexible.
func appendRequestHeader(dst []byte, h Header, nullClientID bool, version int) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(h.Key))
	dst = binary.BigEndian.AppendUint16(dst, uint16(h.Version))
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.CorrelationID))
	if version >= 1 {
		if nullClientID {
			dst = append(dst, 0xff, 0xff)
		} else {
			dst = binary.BigEndian.AppendUint16(dst, uint16(len(h.ClientID)))
			dst = append(dst, h.ClientID...)
		}
	}
	if version >= 2 {
		dst = append(dst, 0)
	}
	return dst
}

// appendResponseHeader writes a response header: version 0, or 1 with no tagged fields for flexible responses. ApiVersions always has
// version 0, so that a client can read it before it knows anything (KIP-511).
func appendResponseHeader(dst []byte, key int16, correlationID int32, flexible bool) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlationID))
	if flexible && key != keyApiVersions {
		dst = append(dst, 0)
	}
	return dst
}

// parseResponseHeader reads what appendResponseHeader writes, skipping tagged fields.
func parseResponseHeader(frame []byte, key int16, flexible bool) (correlationID int32, body []byte, err error) {
	if len(frame) < 4 {
		return 0, nil, errShortHeader
	}
	correlationID, body = int32(binary.BigEndian.Uint32(frame)), frame[4:]
	if flexible && key != keyApiVersions {
		if body, err = skipTags(body); err != nil {
			return 0, nil, errShortHeader
		}
	}
	return correlationID, body, nil
}

var errTags = errors.New("tagged fields are cut short")

// skipTags skips a section of tagged fields.
func skipTags(p []byte) ([]byte, error) {
	if len(p) > 0 && p[0] == 0 {
		return p[1:], nil
	}
	count, n := uvarint(p)
	if n == 0 || uint64(count)*2 > uint64(len(p)-n) {
		return nil, errTags
	}
	p = p[n:]
	for range count {
		if _, n = uvarint(p); n == 0 { // the tag
			return nil, errTags
		}
		p = p[n:]
		size, n := uvarint(p)
		if n == 0 || uint64(size) > uint64(len(p)-n) {
			return nil, errTags
		}
		p = p[n+int(size):]
	}
	return p, nil
}

// uvarint reads an unsigned 32-bit varint; n is 0 if it is cut short or too large.
func uvarint(p []byte) (v uint32, n int) {
	for i := 0; i < len(p) && i < 5; i++ {
		b := p[i]
		if i == 4 && b > 0x0f {
			return 0, 0
		}
		v |= uint32(b&0x7f) << (7 * i)
		if b < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

func appendUvarint(dst []byte, v uint32) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

func uvarintSize(v uint32) int {
	n := 1
	for v >= 0x80 {
		v >>= 7
		n++
	}
	return n
}
