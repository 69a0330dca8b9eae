// Package testjson reads the events of "go test -json".
package testjson

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Status is how a test ended.
type Status string

const (
	Pass Status = "pass"
	Fail Status = "fail"
	Skip Status = "skip"
)

// Test is one test or subtest, in the order in which they began.
type Test struct {
	Package string
	Name    string // with its parents: TestA/b
	Status  Status // Fail while it has not ended
	Output  string // what it printed itself
	parent  bool   // it has subtests
}

// Leaf says that the test has no subtests.
func (t *Test) Leaf() bool { return !t.parent }

// Title is the last part of the name as it was written before go test replaced blanks.
func (t *Test) Title() string {
	_, title, found := strings.Cut(t.Name, "/")
	if !found {
		return t.Name
	}
	return strings.ReplaceAll(title, "_", " ")
}

// Top is the name of the function.
func (t *Test) Top() string {
	top, _, _ := strings.Cut(t.Name, "/")
	return top
}

// Run is what one go test did.
type Run struct {
	Tests  []*Test
	Failed []string // packages that failed, also when no test of theirs did (build errors, panics, timeouts)
}

type event struct {
	Action, Package, ImportPath, Test, Output string
}

// Read collects events until the end of in. Lines that belong to packages (ok, FAIL, build errors) are passed to show
// as they come.
func Read(in io.Reader, show func(line string)) (*Run, error) {
	run, byName := &Run{}, map[string]*Test{}
	sc := bufio.NewScanner(in)
	sc.Buffer(make([]byte, 1<<20), 64<<20)
	for sc.Scan() {
		var e event
		if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
			show(sc.Text()) // go's own messages are no events
			continue
		}
		if e.Test == "" {
			switch e.Action {
			case "output", "build-output":
				if line := strings.TrimRight(e.Output, "\n"); line != "PASS" && line != "" {
					show(line)
				}
			case "fail":
				run.Failed = append(run.Failed, e.Package)
			}
			continue
		}
		key := e.Package + " " + e.Test
		t := byName[key]
		if t == nil {
			t = &Test{Package: e.Package, Name: e.Test, Status: Fail}
			byName[key] = t
			run.Tests = append(run.Tests, t)
			for name := e.Test; ; {
				i := strings.LastIndexByte(name, '/')
				if i < 0 {
					break
				}
				name = name[:i]
				if p := byName[e.Package+" "+name]; p != nil {
					p.parent = true
				}
			}
		}
		switch e.Action {
		case "pass", "fail", "skip":
			t.Status = Status(e.Action)
		case "output":
			if !strings.HasPrefix(e.Output, "=== ") {
				t.Output += e.Output
			}
		}
	}
	return run, sc.Err()
}

// Broken says that a package failed although none of its tests did: it does not build, or its TestMain failed.
func (r *Run) Broken() bool {
	return slices.ContainsFunc(r.Failed, func(pkg string) bool {
		return !slices.ContainsFunc(r.Tests, func(t *Test) bool { return t.Package == pkg && t.Status == Fail })
	})
}

// Count returns how many tests ended how. A test with subtests counts only when it failed and none of those did.
func (r *Run) Count() (passed, failed, skipped int) {
	for i, t := range r.Tests {
		switch {
		case t.parent && (t.Status != Fail || r.failedBelow(i)):
		case t.Status == Pass:
			passed++
		case t.Status == Skip:
			skipped++
		default:
			failed++
		}
	}
	if failed == 0 {
		failed = len(r.Failed) // a package that does not build has no tests
	}
	return passed, failed, skipped
}

func (r *Run) failedBelow(i int) bool {
	parent := r.Tests[i]
	for _, t := range r.Tests[i+1:] {
		if t.Package == parent.Package && strings.HasPrefix(t.Name, parent.Name+"/") && t.Status == Fail {
			return true
		}
	}
	return false
}

// Summary is the closing line of a run.
func Summary(passed, failed, skipped int) string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", passed, failed, skipped)
}
