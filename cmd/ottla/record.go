package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// jsonRecord is a record as consume prints it and produce reads it. Null keys and values are null.
type jsonRecord struct {
	Topic     string          `json:"topic,omitempty"`
	Partition *int32          `json:"partition,omitempty"`
	Offset    *int64          `json:"offset,omitempty"`
	Timestamp *int64          `json:"timestamp,omitempty"` // ms
	Key       json.RawMessage `json:"key"`
	Value     json.RawMessage `json:"value"`
	Headers   []jsonHeader    `json:"headers,omitempty"`
}

type jsonHeader struct {
	Key   string  `json:"key"`
	Value *string `json:"value"`
}

func parseJSONRecord(base kgo.Record, key, value serde, line string) (*kgo.Record, error) {
	var in jsonRecord
	if err := json.Unmarshal([]byte(line), &in); err != nil {
		return nil, err
	}
	r := base
	var err error
	if r.Key, err = fromJSON(key, in.Key); err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if r.Value, err = fromJSON(value, in.Value); err != nil {
		return nil, fmt.Errorf("value: %w", err)
	}
	if in.Partition != nil {
		r.Partition = *in.Partition
	}
	if in.Timestamp != nil {
		r.Timestamp = time.UnixMilli(*in.Timestamp)
	}
	for _, h := range in.Headers {
		rh := kgo.RecordHeader{Key: h.Key}
		if h.Value != nil {
			rh.Value = []byte(*h.Value)
		}
		r.Headers = append(r.Headers[:len(r.Headers):len(r.Headers)], rh)
	}
	return &r, nil
}

// fromJSON gives a JSON string to the serde as its text; with the json serde, and for numbers, the JSON itself is the text.
func fromJSON(s serde, raw json.RawMessage) ([]byte, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	text := string(raw)
	if s.name != "json" && raw[0] == '"' {
		if err := json.Unmarshal(raw, &text); err != nil {
			return nil, err
		}
	}
	b, err := s.encode(text)
	if err == nil && b == nil {
		b = []byte{}
	}
	return b, err
}

// toJSON is the inverse of fromJSON.
func toJSON(s serde, b []byte) (json.RawMessage, error) {
	if b == nil {
		return json.RawMessage("null"), nil
	}
	text, err := s.decode(b)
	if err != nil {
		return nil, err
	}
	switch s.name {
	case "int", "long", "json":
		return json.RawMessage(text), nil
	}
	return json.Marshal(text)
}

// parseTime reads milliseconds since 1970 or RFC 3339.
func parseTime(text string) (time.Time, error) {
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.UnixMilli(ms), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither milliseconds since 1970 nor RFC 3339", text)
	}
	return t, nil
}
