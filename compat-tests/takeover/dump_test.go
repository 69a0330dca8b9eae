package takeover

import (
	"path/filepath"
	"strings"
	"testing"

	"ottla/compat-tests/harness"
)

// dump has Kafka's DumpLogSegments look at every file of a data directory.
func dump(t *testing.T, data string, killed bool) {
	t.Helper()
	for _, c := range []struct {
		pattern string
		want    string // a word of an answer that is right
		args    []string
	}{
		{"*.log", "baseOffset: 0 ", []string{"--deep-iteration"}},
		{"*.index", "", []string{"--verify-index-only"}},
		{"*.index", "passed sanity check", []string{"--index-sanity-check"}},
		{"*.timeindex", "", []string{"--verify-index-only"}},
		{"*.timeindex", "passed sanity check", []string{"--index-sanity-check"}},
		{"*.snapshot", "producerId: ", nil},
	} {
		files, err := filepath.Glob(filepath.Join(data, "*", c.pattern))
		if err != nil || len(files) == 0 {
			t.Fatal(c.pattern, files, err)
		}
		if killed && c.pattern == "*.log" { // its end is torn
			files = without(files, "/"+tornTopic+"-0/")
		}
		out, err := harness.KafkaTool("kafka.tools.DumpLogSegments", append(c.args, "--files", strings.Join(files, ","))...)
		if err != nil {
			t.Errorf("DumpLogSegments %v: %v\n%s", c.args, err, out)
			continue
		}
		if !strings.Contains(out, c.want) {
			t.Errorf("DumpLogSegments %s %v does not say %q:\n%s", c.pattern, c.args, c.want, out)
		}
		name := ""
		for line := range strings.Lines(out) {
			if strings.HasPrefix(line, "Dumping ") {
				name = line
			}
			for _, bad := range []string{"isvalid: false", "Mismatches", "Found timestamp mismatch", "Found out of order", "Index entry", "not found", "Exception", "Non-consecutive offsets", "corrupt", "invalid bytes"} {
				if strings.Contains(line, bad) && !excused(line) {
					t.Errorf("DumpLogSegments %v: %s%s", c.args, name, line)
				}
			}
		}
	}
}

func excused(line string) bool {
	return strings.Contains(line, "Non-consecutive offsets") && strings.Contains(line, "/compacted") ||
		strings.Contains(line, "Found timestamp mismatch") && strings.Contains(line, "/compacted-idempotent-")
}

func without(files []string, part string) []string {
	var out []string
	for _, f := range files {
		if !strings.Contains(f, part) {
			out = append(out, f)
		}
	}
	return out
}
