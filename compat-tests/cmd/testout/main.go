// Command testout reads "go test -json" from standard input and prints what go test itself would: the lines of packages
// as they come, the output of tests that failed, the reasons of those that were skipped (with -skips), and a last line
// "N passed, N failed, N skipped". With -counts FILE that line goes to the end of the file as well. It exits with 1 when
// something failed.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"ottla/compat-tests/internal/testjson"
)

func main() {
	counts := flag.String("counts", "", "append the closing line to this `file`")
	skips := flag.Bool("skips", false, "say which tests were skipped, and why")
	flag.Parse()
	if err := run(*counts, *skips); err != nil {
		fmt.Fprintln(os.Stderr, "testout:", err)
		os.Exit(1)
	}
}

func run(counts string, skips bool) error {
	r, err := testjson.Read(os.Stdin, func(line string) { fmt.Println(line) })
	if err != nil {
		return err
	}
	for _, t := range r.Tests {
		switch {
		case t.Status == testjson.Fail && t.Leaf():
			fmt.Printf("--- FAIL: %s %s\n%s", t.Package, t.Name, t.Output)
		case t.Status == testjson.Skip && skips:
			fmt.Printf("--- SKIP: %s %s: %s\n", t.Package, t.Name, reason(t.Output))
		}
	}
	passed, failed, skipped := r.Count()
	line := testjson.Summary(passed, failed, skipped)
	fmt.Println(line)
	if counts != "" {
		f, err := os.OpenFile(counts, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := fmt.Fprintln(f, line); err != nil {
			return err
		}
	}
	if failed > 0 || passed+skipped == 0 {
		return fmt.Errorf("%d failed, %d run", failed, passed+failed+skipped)
	}
	return nil
}

// reason is the first line that a skipped test said.
func reason(output string) string {
	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "---") {
			return line
		}
	}
	return "no reason given"
}
