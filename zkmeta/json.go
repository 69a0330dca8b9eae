package zkmeta

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// jsonWriter appends compact JSON as Jackson (Kafka's encoder) writes it: keys in the order of the calls,
// UTF-8 as it is, only quotes, backslashes and control characters escaped.
type jsonWriter struct {
	b     []byte
	comma bool
}

func (w *jsonWriter) sep() {
	if w.comma {
		w.b = append(w.b, ',')
	}
	w.comma = true
}

func (w *jsonWriter) open(c byte)  { w.b, w.comma = append(w.b, c), false }
func (w *jsonWriter) close(c byte) { w.b, w.comma = append(w.b, c), true }

func (w *jsonWriter) key(k string) {
	w.sep()
	w.b = appendJSONString(w.b, k)
	w.b = append(w.b, ':')
}

func (w *jsonWriter) int(k string, n int64) {
	w.key(k)
	w.b = strconv.AppendInt(w.b, n, 10)
}

func (w *jsonWriter) string(k, s string) {
	w.key(k)
	w.b = appendJSONString(w.b, s)
}

func (w *jsonWriter) ints(k string, list []int32) {
	w.key(k)
	w.open('[')
	for _, n := range list {
		w.sep()
		w.b = strconv.AppendInt(w.b, int64(n), 10)
	}
	w.close(']')
}

func (w *jsonWriter) strings(k string, list []string) {
	w.key(k)
	w.open('[')
	for _, s := range list {
		w.sep()
		w.b = appendJSONString(w.b, s)
	}
	w.close(']')
}

// object writes {..} as the value of k.
func (w *jsonWriter) object(k string, fields func()) {
	w.key(k)
	w.open('{')
	fields()
	w.close('}')
}

// array writes [..] as the value of k; element is called for each of n values after the comma.
func (w *jsonWriter) array(k string, n int, element func(i int)) {
	w.key(k)
	w.open('[')
	for i := range n {
		w.sep()
		element(i)
	}
	w.close(']')
}

// jsonObject encodes one object.
func jsonObject(fields func(w *jsonWriter)) []byte {
	w := &jsonWriter{b: make([]byte, 0, 256)}
	w.open('{')
	fields(w)
	w.close('}')
	return w.b
}

func appendJSONString(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r) // an invalid byte becomes U+FFFD
			i += n
			continue
		}
		i++
		switch {
		case c == '"', c == '\\':
			b = append(b, '\\', c)
		case c >= ' ':
			b = append(b, c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\r':
			b = append(b, '\\', 'r')
		case c == '\t':
			b = append(b, '\\', 't')
		case c == '\b':
			b = append(b, '\\', 'b')
		case c == '\f':
			b = append(b, '\\', 'f')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(b, '"')
}

func sortedKeys[K int32 | string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// decodeObject decodes data into v. what names the znode in errors, which quote the start of the data.
func decodeObject(what string, data []byte, v any) error {
	if len(data) == 0 {
		return fmt.Errorf("%s: no data", what)
	}
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return malformed(what, data, "not a JSON object")
	}
	if err := json.Unmarshal(data, v); err != nil {
		return malformed(what, data, err.Error())
	}
	return nil
}

func malformed(what string, data []byte, why string) error {
	const quoted = 200
	more := ""
	if len(data) > quoted {
		data, more = data[:quoted], "..."
	}
	return fmt.Errorf("%s: %s in %q%s", what, why, data, more)
}

// required reports a key that is not there.
func required(what string, data []byte, name string, have bool) error {
	if have {
		return nil
	}
	return malformed(what, data, "no "+strconv.Quote(name))
}

// jsonInt64 reads an integer that Kafka writes as a string ("timestamp", "block_start"), or as a number.
type jsonInt64 struct {
	N   int64
	Set bool
}

func (n *jsonInt64) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	text := string(b)
	if b[0] == '"' {
		if err := json.Unmarshal(b, &text); err != nil {
			return err
		}
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("%q is not an integer", text)
	}
	n.N, n.Set = v, true
	return nil
}

// decodeText reads the decimal text of /controller_epoch and the like.
func decodeText(what string, data []byte, bits int) (int64, error) {
	n, err := strconv.ParseInt(string(data), 10, bits)
	if err != nil {
		return 0, malformed(what, data, "not a decimal number")
	}
	return n, nil
}
