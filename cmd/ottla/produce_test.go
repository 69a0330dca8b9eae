package main

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestSerdesRoundTrip(t *testing.T) {
	for _, tt := range []struct {
		serde, text string
		bytes       []byte
	}{
		{"string", "é", []byte("é")},
		{"int", "-2", []byte{0xff, 0xff, 0xff, 0xfe}},
		{"long", "258", []byte{0, 0, 0, 0, 0, 0, 1, 2}},
		{"double", "1.5", []byte{0x3f, 0xf8, 0, 0, 0, 0, 0, 0}},
		{"hex", "00ff", []byte{0, 0xff}},
		{"base64", "AP8=", []byte{0, 0xff}},
		{"json", `{"a":1}`, []byte(`{"a":1}`)},
	} {
		s, err := findSerde("key-type", tt.serde)
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.encode(tt.text)
		if err != nil || !bytes.Equal(b, tt.bytes) {
			t.Errorf("%s: %q is %x, %v; want %x", tt.serde, tt.text, b, err, tt.bytes)
		}
		if text, err := s.decode(tt.bytes); err != nil || text != tt.text {
			t.Errorf("%s: %x is %q, %v; want %q", tt.serde, tt.bytes, text, err, tt.text)
		}
	}
}

func TestSerdesRefuse(t *testing.T) {
	for _, tt := range []struct{ serde, text string }{
		{"int", "2147483648"}, {"int", "x"}, {"long", "1.5"}, {"double", "x"}, {"hex", "0"}, {"base64", "*"}, {"json", "{"},
	} {
		s, _ := findSerde("key-type", tt.serde)
		if b, err := s.encode(tt.text); err == nil {
			t.Errorf("%s: %q is %x", tt.serde, tt.text, b)
		}
	}
	for _, name := range []string{"int", "long", "double", "json"} {
		s, _ := findSerde("key-type", name)
		if text, err := s.decode([]byte("abc")); err == nil {
			t.Errorf("%s: abc is %q", name, text)
		}
	}
	if _, err := findSerde("key-type", "avro"); err == nil {
		t.Error("avro is a serde")
	}
}

func TestParserReadsLines(t *testing.T) {
	ms := time.UnixMilli(1700000000000)
	for _, tt := range []struct {
		name  string
		flags produceFlags
		line  string
		want  kgo.Record
		fails bool
	}{
		{"value", produceFlags{format: "lines"}, "a:b", kgo.Record{Value: []byte("a:b")}, false},
		{"empty value is not null", produceFlags{format: "lines"}, "", kgo.Record{Value: []byte{}}, false},
		{"key and value", produceFlags{format: "key-value", delimiter: ":"}, "a:b:c", kgo.Record{Key: []byte("a"), Value: []byte("b:c")}, false},
		{"tombstone", produceFlags{format: "key-value", delimiter: ":", null: "NULL"}, "a:NULL", kgo.Record{Key: []byte("a")}, false},
		{"no delimiter", produceFlags{format: "key-value", delimiter: ":"}, "ab", kgo.Record{}, true},
		{"fixed key, time and header", produceFlags{format: "lines", key: "k", timestamp: "1700000000000", headers: []string{"h=x=y"}}, "v",
			kgo.Record{Key: []byte("k"), Value: []byte("v"), Timestamp: ms, Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("x=y")}}}, false},
		{"json", produceFlags{format: "json"}, `{"key":"k","value":null,"partition":3,"timestamp":1700000000000,"headers":[{"key":"h","value":null}]}`,
			kgo.Record{Key: []byte("k"), Partition: 3, Timestamp: ms, Headers: []kgo.RecordHeader{{Key: "h"}}}, false},
		{"json numbers", produceFlags{format: "json", valueType: "long"}, `{"value":42}`, kgo.Record{Value: []byte{0, 0, 0, 0, 0, 0, 0, 42}}, false},
		{"not json", produceFlags{format: "json"}, `{`, kgo.Record{}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.flags.keyType = "string"
			if tt.flags.valueType == "" {
				tt.flags.valueType = "string"
			}
			parse, err := tt.flags.parser("t")
			if err != nil {
				t.Fatal(err)
			}
			r, err := parse(tt.line)
			if tt.fails {
				if err == nil {
					t.Fatalf("record %+v", r)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			same := bytes.Equal(r.Key, tt.want.Key) && (r.Key == nil) == (tt.want.Key == nil) && bytes.Equal(r.Value, tt.want.Value) &&
				(r.Value == nil) == (tt.want.Value == nil) && r.Partition == tt.want.Partition && r.Timestamp.Equal(tt.want.Timestamp) &&
				len(r.Headers) == len(tt.want.Headers)
			for i := range r.Headers {
				same = same && r.Headers[i].Key == tt.want.Headers[i].Key && bytes.Equal(r.Headers[i].Value, tt.want.Headers[i].Value)
			}
			if !same {
				t.Errorf("record %+v, want %+v", r, tt.want)
			}
		})
	}
}

func TestConsumedJSONCanBeProduced(t *testing.T) {
	s, _ := findSerde("key-type", "string")
	in := &kgo.Record{Topic: "t", Partition: 2, Offset: 9, Key: []byte("k"), Timestamp: time.UnixMilli(5), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("x")}}}
	var line bytes.Buffer
	if err := printJSON(&line, s, s, in); err != nil {
		t.Fatal(err)
	}
	if !json.Valid(line.Bytes()) {
		t.Fatalf("%s is not JSON", line.Bytes())
	}
	out, err := parseJSONRecord(kgo.Record{Topic: "t"}, s, s, line.String())
	if err != nil {
		t.Fatal(err)
	}
	if string(out.Key) != "k" || out.Value != nil || out.Partition != 2 || !out.Timestamp.Equal(in.Timestamp) || string(out.Headers[0].Value) != "x" {
		t.Errorf("%+v came back as %+v", in, out)
	}
}

func TestParseFrom(t *testing.T) {
	tp := topicPartition{"t", 0}
	for text, want := range map[string]int64{"beginning": 10, "end": 50, "10": 10, "42": 42, "50": 50, "-10": 40, "-100": 10, "@1700000000000": 33, "@2024-01-02T03:04:05Z": 33} {
		f, err := parseFrom(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if at, err := f.position(tp, 10, 50, 33); err != nil || at != want {
			t.Errorf("%s is offset %d, %v; want %d", text, at, err, want)
		}
	}
	for _, text := range []string{"", "start", "1x", "@yesterday"} {
		if _, err := parseFrom(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
	for _, text := range []string{"9", "51"} {
		f, _ := parseFrom(text)
		if at, err := f.position(tp, 10, 50, 33); err == nil {
			t.Errorf("%s is offset %d of 10 to 50", text, at)
		}
	}
}
