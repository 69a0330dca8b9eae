package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// pending is what the broker under test is known not to do yet.
type pending struct{ entries []pendingEntry }

type pendingEntry struct {
	suite  string
	name   *regexp.Regexp // matches the whole name of a test, TestX or TestX/check_with_underscores
	text   string
	reason string
}

// readPending reads lines "suite | pattern | reason"; # begins a comment.
func readPending(path string) (*pending, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p := &pending{}
	for i, line := range strings.Split(string(b), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, " | ")
		if len(f) != 3 {
			return nil, fmt.Errorf("%s:%d: want \"suite | pattern | reason\"", path, i+1)
		}
		text := strings.ReplaceAll(f[1], " ", "_")
		re, err := regexp.Compile("^(?:" + text + ")$")
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, i+1, err)
		}
		p.entries = append(p.entries, pendingEntry{suite: f[0], name: re, text: text, reason: f[2]})
	}
	return p, nil
}

// reason says why a test is pending; "" if it is not.
func (p *pending) reason(suite, test string) string {
	if p == nil {
		return ""
	}
	for _, e := range p.entries {
		if e.suite == suite && e.name.MatchString(test) {
			return e.reason
		}
	}
	return ""
}

// skip returns the pattern for go test -skip: pending tests are not run, since they would wait for what does not come.
// The admin suite is one program whose steps all run; there a step may differ.
func (p *pending) skip(suite string) string {
	if p == nil || suite == "admin" {
		return ""
	}
	var all []string
	for _, e := range p.entries {
		if e.suite != suite {
			continue
		}
		// go test matches each part between slashes by a pattern of its own.
		parts := strings.Split(e.text, "/")
		for i := range parts {
			parts[i] = "^" + parts[i] + "$"
		}
		all = append(all, strings.Join(parts, "/"))
	}
	return strings.Join(all, "|")
}
