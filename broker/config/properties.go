package config

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/magiconair/properties"
)

// maxFileBytes bounds a configuration file; a real one has a few kilobytes.
const maxFileBytes = 4 << 20

// decodeProperties reads java.util.Properties text into flat keys. `${...}` stays as it is: Kafka resolves it later and differently
// (config.providers). The last of several equal keys counts.
func decodeProperties(b []byte) (map[string]string, error) {
	loader := properties.Loader{Encoding: properties.ISO_8859_1, DisableExpansion: true}
	if utf8.Valid(b) {
		loader.Encoding = properties.UTF8
	}
	var joined bytes.Buffer // the library goes wrong where a key, or an empty line, is continued
	for _, l := range logicalLines(b) {
		if l.text[0] == '#' || l.text[0] == '!' { // the end of a continued line, no comment
			joined.WriteByte('\\')
		}
		joined.WriteString(l.text)
		joined.WriteByte('\n')
	}
	p, err := loader.LoadBytes(joined.Bytes())
	if err != nil {
		return nil, err
	}
	return p.Map(), nil
}

// propertiesCodec teaches viper the format. Keys stay flat: split at the dots, one of broker.id and broker.id.generation.enable would
// be lost.
type propertiesCodec struct{}

func (propertiesCodec) Decode(b []byte, v map[string]any) error {
	flat, err := decodeProperties(b)
	if err != nil {
		return err
	}
	for key, value := range flat {
		v[key] = value
	}
	return nil
}

// Encode writes keys and values so that Decode and Java read the same back.
func (propertiesCodec) Encode(v map[string]any) ([]byte, error) {
	var b bytes.Buffer
	for _, key := range slices.Sorted(maps.Keys(v)) {
		value, err := plain(v[key])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		b.WriteString(propertyEscape(key, " \t\f=:#!"))
		b.WriteByte('=')
		if rest := strings.TrimLeft(value, " "); rest != value { // blanks at the front would belong to the separator
			b.WriteString(strings.Repeat(`\ `, len(value)-len(rest)))
			value = rest
		}
		b.WriteString(propertyEscape(value, "\t\f"))
		b.WriteByte('\n')
	}
	return b.Bytes(), nil
}

// propertyEscape puts a backslash before the characters of special and writes line ends as escapes.
func propertyEscape(s, special string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t' && strings.ContainsRune(special, r):
			b.WriteString(`\t`)
		case r == '\f' && strings.ContainsRune(special, r):
			b.WriteString(`\f`)
		case r == '\\', strings.ContainsRune(special, r):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// logicalLine is a line of java.util.Properties text with its continuations, without the blanks before it. Comments and empty lines
// are none.
type logicalLine struct {
	text   string
	number int // of its first line in the file, from 1
}

func logicalLines(b []byte) []logicalLine {
	s := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(b))
	var all []logicalLine
	number := 0
	next := func() string {
		number++
		line, rest, _ := strings.Cut(s, "\n")
		s = rest
		return strings.TrimLeft(line, " \t\f")
	}
	for len(s) > 0 {
		line := next()
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		start := number
		var text strings.Builder
		for continued(line) {
			text.WriteString(line[:len(line)-1])
			if len(s) == 0 {
				line = ""
				break
			}
			line = next()
		}
		text.WriteString(line)
		if text.Len() > 0 {
			all = append(all, logicalLine{text.String(), start})
		}
	}
	return all
}

// propertyLines finds the lines on which each key of java.util.Properties text is given, in order.
func propertyLines(b []byte) map[string][]int {
	lines := map[string][]int{}
	for _, l := range logicalLines(b) {
		key := propertyKey(l.text)
		lines[key] = append(lines[key], l.number)
	}
	return lines
}

// continued says whether the line ends in an odd number of backslashes.
func continued(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

// propertyKey is the key of a logical line, up to the first separator that is not escaped.
func propertyKey(line string) string {
	var key strings.Builder
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case '=', ':', ' ', '\t', '\f':
			return key.String()
		case '\\':
			i++
			if i == len(line) {
				return key.String()
			}
			switch line[i] {
			case 't':
				key.WriteByte('\t')
			case 'n':
				key.WriteByte('\n')
			case 'r':
				key.WriteByte('\r')
			case 'f':
				key.WriteByte('\f')
			case 'u':
				r, ok := unicodeEscape(line[i+1:])
				if ok {
					key.WriteRune(r)
					i += 4
				}
			default:
				key.WriteByte(line[i])
			}
		default:
			key.WriteByte(c)
		}
	}
	return key.String()
}

func unicodeEscape(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s[:4]) {
		r <<= 4
		switch {
		case c >= '0' && c <= '9':
			r |= rune(c - '0')
		case c >= 'a' && c <= 'f':
			r |= rune(c - 'a' + 10)
		case c >= 'A' && c <= 'F':
			r |= rune(c - 'A' + 10)
		default:
			return 0, false
		}
	}
	return r, true
}
