package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ottla/compat-tests/internal/testjson"
)

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPending(t *testing.T) {
	p, err := readPending(writeFile(t, "pending.txt", "# comment\n\nkcat | TestTransactions/.* | transactions\nkcat | TestA/a b: (c|d) | later\nkgo | TestTxnEtl | transactions\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ suite, test, want string }{
		{"kcat", "TestTransactions/x", "transactions"},
		{"kcat", "TestA/a_b:_c", "later"},
		{"kcat", "TestA/a_b:_cd", ""},
		{"kgo", "TestTransactions/x", ""},
		{"kgo", "TestTxnEtl", "transactions"},
	} {
		if got := p.reason(c.suite, c.test); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.suite, c.test, got, c.want)
		}
	}
	if got, want := p.skip("kcat"), "^TestTransactions$/^.*$|^TestA$/^a_b:_(c|d)$"; got != want {
		t.Errorf("skip pattern %q, want %q", got, want)
	}
	if got := (*pending)(nil).skip("kcat"); got != "" {
		t.Errorf("nothing is pending, skip pattern %q", got)
	}
	if _, err := readPending(writeFile(t, "bad", "kcat TestA transactions\n")); err == nil || !strings.Contains(err.Error(), "bad:1") {
		t.Errorf("a line without bars: %v", err)
	}
}

func TestBrokerTestsFollowsCalls(t *testing.T) {
	path := writeFile(t, "x_test.go", `package kgo
func newTestClient() {}
func helper() { newTestClient() }
func TestDirect() { newTestClient() }
func TestThroughHelper() { run(func() { helper() }) }
func TestAlone() { other() }
func other() {}
func run(f func()) { f() }
`)
	got, err := brokerTests(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(got, " ") != "TestDirect TestThroughHelper" {
		t.Errorf("tests that talk to a broker: %v", got)
	}
}

func TestCollectAndTable(t *testing.T) {
	events := `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestA/a_holds"}
{"Action":"pass","Package":"p","Test":"TestA/a_holds"}
{"Action":"run","Package":"p","Test":"TestA/b_|_holds"}
{"Action":"fail","Package":"p","Test":"TestA/b_|_holds"}
{"Action":"run","Package":"p","Test":"TestA/c_holds"}
{"Action":"fail","Package":"p","Test":"TestA/c_holds"}
{"Action":"fail","Package":"p","Test":"TestA"}
`
	run, err := testjson.Read(strings.NewReader(events), func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := readPending(writeFile(t, "pending.txt", "versions | TestA/c holds | later\n"))
	if err != nil {
		t.Fatal(err)
	}
	rs := collect("versions", run, (*testjson.Test).Leaf, waiting)
	if p, f, s := count(rs); p != 1 || f != 1 || s != 1 {
		t.Errorf("%d passed, %d failed, %d pending: %+v", p, f, s, rs)
	}
	text := table(rs, []result{{Suite: "versions", Top: "TestA", Title: "a holds", Status: "pass"}})
	for _, row := range []string{"| a holds | pass | pass |", `| b \| holds | **FAIL** | not run |`, "| c holds | *pending*: later | not run |"} {
		if !strings.Contains(text, row+"\n") {
			t.Errorf("no row %q in\n%s", row, text)
		}
	}
	if again := table(rs, []result{{Suite: "versions", Top: "TestA", Title: "a holds", Status: "pass"}}); again != text {
		t.Error("the table differs from one run to the next")
	}
}

func TestRecordComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.json")
	want := []result{{Suite: "s", Top: "TestA", Title: "a <b>", Status: "skip", Reason: "r"}, {Suite: "s", Top: "TestA", Title: "c", Status: "pass"}}
	if err := writeRecord(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := readRecord(path)
	if err != nil || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Fatalf("%+v, %v", got, err)
	}
}
