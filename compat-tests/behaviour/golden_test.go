package behaviour

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

const goldenPath = "testdata/kafka-3.9.2.json"

// step is one recorded answer.
type step struct {
	Label  string `json:"label"`
	Answer any    `json:"answer"`
}

// golden are the answers by case.
type golden map[string][]step

func readGolden(path string) (golden, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var g golden
	if err := d.Decode(&g); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return g, nil
}

// write prints one answer a line, so that a change can be read.
func (g golden) write(path string) error {
	var b bytes.Buffer
	b.WriteString("{\n")
	for i, name := range slices.Sorted(maps.Keys(g)) {
		if i > 0 {
			b.WriteString(",\n")
		}
		fmt.Fprintf(&b, "%s: [\n", encode(name))
		for j, s := range g[name] {
			if j > 0 {
				b.WriteString(",\n")
			}
			b.WriteString("  " + encode(s))
		}
		b.WriteString("\n]")
	}
	b.WriteString("\n}\n")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

func encode(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Sprintf("%q", err)
	}
	return string(bytes.TrimSpace(b.Bytes()))
}

// reread gives an answer the types that it has after it was written and read.
func reread(v any) any {
	d := json.NewDecoder(bytes.NewReader([]byte(encode(v))))
	d.UseNumber()
	var out any
	if err := d.Decode(&out); err != nil {
		return err.Error()
	}
	return out
}

// flatten writes a tree as values by path: Topics[0].ErrorCode → 3.
func flatten(v any, path string, into map[string]string) {
	switch x := v.(type) {
	case map[string]any:
		into[path+"{}"] = "object"
		for k, e := range x {
			if path == "" {
				flatten(e, k, into)
			} else {
				flatten(e, path+"."+k, into)
			}
		}
	case []any:
		into[path+"[]"] = fmt.Sprint(len(x))
		for i, e := range x {
			flatten(e, fmt.Sprintf("%s[%d]", path, i), into)
		}
	default:
		into[path] = encode(x)
	}
}

// difference is a value that is not what Kafka's is. A missing side is "-".
type difference struct{ path, kafka, got string }

func (d difference) String() string {
	return fmt.Sprintf("%s: Kafka %s, got %s", d.path, d.kafka, d.got)
}

func compare(kafka, got any) []difference {
	k, g := map[string]string{}, map[string]string{}
	flatten(kafka, "", k)
	flatten(reread(got), "", g)
	var ds []difference
	for _, path := range slices.Sorted(maps.Keys(k)) {
		v, ok := g[path]
		if !ok {
			v = "-"
		}
		if v != k[path] {
			ds = append(ds, difference{path, k[path], v})
		}
	}
	for _, path := range slices.Sorted(maps.Keys(g)) {
		if _, ok := k[path]; !ok {
			ds = append(ds, difference{path, "-", g[path]})
		}
	}
	return ds
}
