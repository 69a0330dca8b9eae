package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/viper"
)

// keyDelimiter keeps viper from splitting Kafka's dotted keys; nested YAML, TOML and JSON keys come back joined by it.
const keyDelimiter = "\x00"

// readFile reads a configuration file of any known format into settings, and says which keys were given more than once.
func readFile(path string) (settings []Setting, doubles []Warning, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, nil, err
	}
	if len(content) > maxFileBytes {
		return nil, nil, fmt.Errorf("%s: larger than %d bytes, not a configuration file", path, maxFileBytes)
	}
	settings, doubles, err = decodeFile(path, content)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return settings, doubles, nil
}

func fileFormat(path string) string {
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".yaml", ".yml":
		return "yaml"
	case ".toml", ".json":
		return ext[1:]
	}
	return "properties"
}

func decodeFile(path string, content []byte) ([]Setting, []Warning, error) {
	format := fileFormat(path)
	codecs := &spellingKeeper{inner: viper.NewCodecRegistry()}
	if err := codecs.inner.RegisterCodec("properties", propertiesCodec{}); err != nil {
		return nil, nil, err
	}
	v := viper.NewWithOptions(viper.KeyDelimiter(keyDelimiter), viper.WithCodecRegistry(codecs))
	v.SetConfigType(format)
	if err := v.ReadConfig(bytes.NewReader(content)); err != nil {
		var parse viper.ConfigParseError
		if errors.As(err, &parse) {
			err = parse.Unwrap()
		}
		return nil, nil, fmt.Errorf("not valid %s: %w", format, err)
	}

	var lines map[string][]int
	if format == "properties" {
		lines = propertyLines(content)
	}
	text := strings.Split(string(content), "\n")
	var settings []Setting
	var doubles []Warning
	for _, lowered := range v.AllKeys() {
		parts := codecs.spelling[lowered]
		if parts == nil {
			parts = strings.Split(lowered, keyDelimiter)
		}
		name := strings.Join(parts, ".")
		where := path
		if format == "properties" {
			if at := lines[name]; len(at) > 0 {
				where = fmt.Sprintf("%s:%d", path, at[len(at)-1])
				if len(at) > 1 {
					doubles = append(doubles, Warning{Key: name, Where: where,
						Text: fmt.Sprintf("%s is given more than once, also on line %d; the last one counts", name, at[len(at)-2])})
				}
			}
		} else if line := findLine(text, parts); line > 0 {
			where = fmt.Sprintf("%s:%d", path, line)
		}
		raw := v.Get(lowered)
		if raw == nil {
			continue // an empty YAML value
		}
		value, err := plain(raw)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		settings = append(settings, Setting{Name: name, Value: value, Where: where})
	}
	slices.SortFunc(doubles, func(a, b Warning) int { return strings.Compare(a.Key, b.Key) })
	slices.SortFunc(settings, func(a, b Setting) int { return strings.Compare(a.Name, b.Name) })
	return settings, doubles, nil
}

// spellingKeeper notes the spelling of keys as they pass by, since viper lowers them.
type spellingKeeper struct {
	inner    *viper.DefaultCodecRegistry
	spelling map[string][]string // by viper's key
}

func (k *spellingKeeper) Encoder(format string) (viper.Encoder, error) {
	return k.inner.Encoder(format)
}

func (k *spellingKeeper) Decoder(format string) (viper.Decoder, error) {
	d, err := k.inner.Decoder(format)
	if err != nil {
		return nil, err
	}
	return decoderFunc(func(b []byte, v map[string]any) error {
		if err := d.Decode(b, v); err != nil {
			return err
		}
		k.spelling = map[string][]string{}
		k.note(nil, v)
		return nil
	}), nil
}

func (k *spellingKeeper) note(parents []string, v map[string]any) {
	for name, value := range v {
		path := append(slices.Clone(parents), name)
		if inner, ok := value.(map[string]any); ok {
			k.note(path, inner)
			continue
		}
		k.spelling[strings.ToLower(strings.Join(path, keyDelimiter))] = path
	}
}

type decoderFunc func(b []byte, v map[string]any) error

func (f decoderFunc) Decode(b []byte, v map[string]any) error { return f(b, v) }

// plain writes a scalar or a list of scalars as properties text.
func plain(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case int:
		return strconv.Itoa(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case uint64:
		return strconv.FormatUint(v, 10), nil
	case json.Number:
		return v.String(), nil
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return strconv.FormatFloat(v, 'f', 0, 64), nil // JSON numbers arrive as floats
		}
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	case []any:
		items := make([]string, len(v))
		for i := range v {
			var err error
			if items[i], err = plain(v[i]); err != nil {
				return "", err
			}
		}
		return strings.Join(items, ","), nil
	}
	return "", fmt.Errorf("a value of kind %T cannot be used: write it as text", v)
}

// findLine guesses the line of a key in YAML, TOML or JSON: that of the whole dotted name, otherwise that of its last part if it
// stands at one place only. 0: not found.
func findLine(text []string, path []string) int {
	find := func(key string) (line, count int) {
		for i, s := range text {
			s = strings.TrimLeft(s, " \t{,")
			rest, ok := strings.CutPrefix(s, key)
			if q, quoted := strings.CutPrefix(s, `"`+key+`"`); quoted {
				rest, ok = q, true
			}
			if rest = strings.TrimLeft(rest, " \t"); ok && rest != "" && (rest[0] == ':' || rest[0] == '=') {
				line, count = i+1, count+1
			}
		}
		return line, count
	}
	if line, count := find(strings.Join(path, ".")); count > 0 {
		return line
	}
	if line, count := find(path[len(path)-1]); count == 1 {
		return line
	}
	return 0
}
