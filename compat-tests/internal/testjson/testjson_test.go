package testjson

import (
	"strings"
	"testing"
)

const events = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"run","Package":"p","Test":"TestA/a_b_holds"}
{"Action":"run","Package":"p","Test":"TestA/c"}
{"Action":"output","Package":"p","Test":"TestA/c","Output":"    x_test.go:1: no c\n"}
{"Action":"pass","Package":"p","Test":"TestA/a_b_holds"}
{"Action":"fail","Package":"p","Test":"TestA/c"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"run","Package":"p","Test":"TestHangs"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}
{"Action":"output","Package":"q","Output":"ok  \tq\t0.1s\n"}
{"Action":"pass","Package":"q"}
`

func TestReadCountsTestsWithoutSubtests(t *testing.T) {
	var shown []string
	run, err := Read(strings.NewReader(events), func(l string) { shown = append(shown, l) })
	if err != nil {
		t.Fatal(err)
	}
	if p, f, s := run.Count(); p != 1 || f != 2 || s != 1 {
		t.Errorf("%d passed, %d failed, %d skipped; want 1, 2 (one did not end), 1", p, f, s)
	}
	if run.Broken() {
		t.Error("broken, although a test says why")
	}
	if got := strings.Join(shown, "|"); got != "FAIL\tp\t0.1s|ok  \tq\t0.1s" {
		t.Errorf("shown: %q", got)
	}
	if a := run.Tests[1]; a.Title() != "a b holds" || a.Top() != "TestA" || !a.Leaf() || run.Tests[0].Leaf() {
		t.Errorf("%+v", a)
	}
	if c := run.Tests[2]; c.Output != "    x_test.go:1: no c\n" {
		t.Errorf("output %q", c.Output)
	}
}

func TestReadCountsAPackageThatDoesNotBuild(t *testing.T) {
	in := `{"ImportPath":"p","Action":"build-output","Output":"p.go:1: bad\n"}
{"Action":"fail","Package":"p"}
`
	run, err := Read(strings.NewReader(in), func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	if !run.Broken() {
		t.Error("not broken")
	}
	if p, f, s := run.Count(); p != 0 || f != 1 || s != 0 {
		t.Errorf("%d passed, %d failed, %d skipped; want 0, 1, 0", p, f, s)
	}
}
