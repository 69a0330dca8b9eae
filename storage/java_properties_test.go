package storage

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// As java.util.Properties reads them.
func TestParseProperties(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       map[string]string // nil: an error
	}{
		{"as Kafka writes it", "#\n#Sun Nov 22 19:31:47 UTC 2026\nbroker.id=0\nversion=0\ncluster.id=WMv3HeWVRPWezgzUUGx2sg\n", map[string]string{"broker.id": "0", "version": "0", "cluster.id": "WMv3HeWVRPWezgzUUGx2sg"}},
		{"colons, blanks, Windows' line ends", "a : 1\r\n\r\n b\t2\r\n!c=3\r\nd", map[string]string{"a": "1", "b": "2", "d": ""}},
		{"the last one counts", "a=1\na=2", map[string]string{"a": "2"}},
		{"a line goes on", "a=1,\\\n   2\\\\\nb=3", map[string]string{"a": `1,2\`, "b": "3"}},
		{"an empty line ends it", "a=1\\\n\nb=2", map[string]string{"a": "1", "b": "2"}},
		{"escapes", "a\\=b\\:c=\\u0041\\t\\z=", map[string]string{"a=b:c": "A\tz="}},
		{"an escape cut off", "a=\\u00", nil},
		{"a wrong escape", "a=\\u00zz", nil},
		{"a backslash at the end", "a=1\\", map[string]string{"a": "1"}},
		{"nothing", "", map[string]string{}},
	} {
		got, err := parseProperties([]byte(c.text))
		if (err != nil) != (c.want == nil) {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
