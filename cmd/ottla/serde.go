package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// serde turns text into the bytes of a key or value, and back: the serializers of Kafka's own clients, and three for bytes.
type serde struct {
	name   string
	encode func(text string) ([]byte, error)
	decode func(b []byte) (string, error)
}

var serdes = []serde{
	{"string", func(s string) ([]byte, error) { return []byte(s), nil }, func(b []byte) (string, error) { return string(b), nil }},
	{"int", encodeInt, decodeInt},
	{"long", encodeLong, decodeLong},
	{"double", encodeDouble, decodeDouble},
	{"hex", func(s string) ([]byte, error) { return hex.DecodeString(s) }, func(b []byte) (string, error) { return hex.EncodeToString(b), nil }},
	{"base64", base64.StdEncoding.DecodeString, func(b []byte) (string, error) { return base64.StdEncoding.EncodeToString(b), nil }},
	{"json", encodeJSON, decodeJSON},
}

func serdeNames() string {
	names := make([]string, len(serdes))
	for i, s := range serdes {
		names[i] = s.name
	}
	return strings.Join(names, ", ")
}

func findSerde(flag, name string) (serde, error) {
	for _, s := range serdes {
		if s.name == name {
			return s, nil
		}
	}
	return serde{}, fmt.Errorf("--%s: %q is none of %s", flag, name, serdeNames())
}

func encodeInt(s string) ([]byte, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	return binary.BigEndian.AppendUint32(nil, uint32(n)), err
}

func decodeInt(b []byte) (string, error) {
	if len(b) != 4 {
		return "", fmt.Errorf("%d bytes are no int", len(b))
	}
	return strconv.FormatInt(int64(int32(binary.BigEndian.Uint32(b))), 10), nil
}

func encodeLong(s string) ([]byte, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	return binary.BigEndian.AppendUint64(nil, uint64(n)), err
}

func decodeLong(b []byte) (string, error) {
	if len(b) != 8 {
		return "", fmt.Errorf("%d bytes are no long", len(b))
	}
	return strconv.FormatInt(int64(binary.BigEndian.Uint64(b)), 10), nil
}

func encodeDouble(s string) ([]byte, error) {
	f, err := strconv.ParseFloat(s, 64)
	return binary.BigEndian.AppendUint64(nil, math.Float64bits(f)), err
}

func decodeDouble(b []byte) (string, error) {
	if len(b) != 8 {
		return "", fmt.Errorf("%d bytes are no double", len(b))
	}
	return strconv.FormatFloat(math.Float64frombits(binary.BigEndian.Uint64(b)), 'g', -1, 64), nil
}

func encodeJSON(s string) ([]byte, error) {
	if !json.Valid([]byte(s)) {
		return nil, fmt.Errorf("%q is not JSON", s)
	}
	return []byte(s), nil
}

func decodeJSON(b []byte) (string, error) {
	if !json.Valid(b) {
		return "", fmt.Errorf("%q is not JSON", b)
	}
	return string(b), nil
}
