package config

import (
	"maps"
	"os"
	"slices"
	"testing"
	"unicode/utf8"
)

// FuzzProperties holds the loader against anything a file may contain: no panic, keys found by the line counter are the keys that were
// decoded, and what was decoded encodes back to the same.
func FuzzProperties(f *testing.F) {
	if b, err := os.ReadFile("testdata/server.properties"); err == nil {
		f.Add(b)
	}
	for _, s := range []string{"a=b", "a:b\\\n  c", "\\u0041 = \\t", "a\\=b\\ c=d", "#x\n!y\n\na", "a = ${b\nb=${a}", "a=1\ra=2\r\na=3", "=x", "\\", "é=\xe9", "a\\\n\\\nb=c", "\\!0=", "\\\n#a=b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		flat, err := decodeProperties(b)
		lines := propertyLines(b)
		if err != nil {
			return
		}
		if utf8.Valid(b) {
			got, want := slices.Sorted(maps.Keys(lines)), slices.Sorted(maps.Keys(flat))
			if !slices.Equal(got, want) {
				t.Errorf("keys with lines %q, decoded %q", got, want)
			}
		}
		_, _, _ = decodeFile("x.properties", b)
		v := map[string]any{}
		for key, value := range flat {
			v[key] = value
		}
		encoded, err := propertiesCodec{}.Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeProperties(encoded)
		if err != nil || !maps.Equal(again, flat) {
			t.Errorf("%q encodes to %q, which reads as %q (%v)", flat, encoded, again, err)
		}
	})
}

// FuzzValues holds every parser against any value: no panic, and what is accepted is accepted again as it is shown.
func FuzzValues(f *testing.F) {
	for _, s := range []string{"", "1", "-1", "1e5", "true", "a,b", "PLAINTEXT://:9092", "A:PLAINTEXT", "h:1", "*", "0:1", "3.9", "${x}", "NaN", "0x1p-2", "1.5f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, d := range Defs() {
			v, err := d.parse(s)
			if err != nil {
				continue
			}
			shown := format(v)
			if again, err := d.parse(shown); err != nil || format(again) != shown {
				t.Errorf("%s=%q is shown as %q, which is %v (%v)", d.Name, s, shown, again, err)
			}
		}
		for _, name := range []string{"listeners", "advertised.listeners", "listener.security.protocol.map", "max.connections.per.ip.overrides",
			"inter.broker.listener.name", "zookeeper.connect", "log.dirs"} {
			snapshot, errs := assemble(map[string]string{name: s}, nil, nil)
			if len(errs) == 0 {
				snapshot.DescribeBroker(nil)
				snapshot.ZooKeeperConnect()
			}
		}
	})
}
