package main

import (
	"encoding/json"
	"os"
	"slices"
	"strings"

	"ottla/compat-tests/internal/testjson"
)

// result is a row of the table.
type result struct {
	Suite  string `json:"suite"`
	Top    string `json:"test"`
	Title  string `json:"check"`
	Status string `json:"status"` // pass, fail, skip, pending
	Reason string `json:"reason,omitempty"`

	output string
}

// collect makes rows of the tests that show picks. A pending test that go test did not run has a row as well when Kafka's
// record names it; see table.
func collect(suite string, run *testjson.Run, show func(*testjson.Test) bool, waiting *pending) []result {
	var rs []result
	for _, t := range run.Tests {
		if !show(t) {
			continue
		}
		r := result{Suite: suite, Top: t.Top(), Title: t.Title(), Status: string(t.Status), output: t.Output}
		if t.Status == testjson.Fail {
			if reason := waiting.reason(suite, t.Name); reason != "" {
				r.Status, r.Reason = "pending", reason
			} else if !t.Leaf() {
				r.output = below(run, t)
			}
		}
		if t.Status == testjson.Skip {
			r.Reason = skipReason(t.Output)
		}
		rs = append(rs, r)
	}
	rs = append(rs, notRun(suite, rs, waiting)...)
	if suite == "kgo" {
		slices.SortStableFunc(rs, func(a, b result) int { return strings.Compare(a.Title, b.Title) })
	}
	return rs
}

// notRun are the pending tests that were left out of the run: those that the record of Kafka has.
func notRun(suite string, rs []result, waiting *pending) []result {
	if waiting == nil {
		return nil
	}
	kafka, err := recordOfKafka()
	if err != nil {
		return nil
	}
	have := map[string]bool{}
	for _, r := range rs {
		have[r.key()] = true
	}
	var more []result
	for _, k := range kafka {
		if k.Suite != suite || have[k.key()] {
			continue
		}
		name := k.Top
		if k.Title != k.Top {
			name += "/" + strings.ReplaceAll(k.Title, " ", "_")
		}
		if reason := waiting.reason(suite, name); reason != "" {
			more = append(more, result{Suite: suite, Top: k.Top, Title: k.Title, Status: "pending", Reason: reason})
		}
	}
	return more
}

func (r result) key() string { return r.Suite + "\x00" + r.Top + "\x00" + r.Title }

// below is the output of the failed subtests of a test.
func below(run *testjson.Run, parent *testjson.Test) string {
	out := parent.Output
	for _, t := range run.Tests {
		if t.Package == parent.Package && strings.HasPrefix(t.Name, parent.Name+"/") && t.Status == testjson.Fail {
			out += t.Output
		}
	}
	return out
}

// skipReason is what a skipped test said last.
func skipReason(output string) string {
	reason := ""
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "---") {
			continue
		}
		if _, text, found := strings.Cut(line, ".go:"); found {
			if _, text, found = strings.Cut(text, ": "); found {
				line = text
			}
		}
		reason = line
	}
	return reason
}

func count(rs []result) (passed, failed, skipped int) {
	for _, r := range rs {
		switch r.Status {
		case "pass":
			passed++
		case "fail":
			failed++
		default:
			skipped++
		}
	}
	return passed, failed, skipped
}

func writeRecord(path string, rs []result) error {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	b.WriteString("[\n")
	for i, r := range rs {
		if err := enc.Encode(r); err != nil {
			return err
		}
		if i < len(rs)-1 {
			s := strings.TrimSuffix(b.String(), "\n") + ",\n"
			b.Reset()
			b.WriteString(s)
		}
	}
	b.WriteString("]\n")
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

func readRecord(path string) ([]result, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var rs []result
	return rs, json.Unmarshal(b, &rs)
}
