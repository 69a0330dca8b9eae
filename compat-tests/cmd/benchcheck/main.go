// Command benchcheck runs the benchmarks of the inner paths and compares what can be counted, and not what must be timed, with a
// baseline: allocations and bytes for an operation, and read and write system calls for a request. It is run in the root
// of the repository.
//
//	benchcheck -baseline FILE          fail if something costs more than the baseline and its tolerance say
//	benchcheck -baseline FILE -write   make what is measured the baseline
//
// Each benchmark runs three times and the lowest count stands, so that a busy machine does not fail it.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
)

// suites are the packages and the benchmarks of each that are counted.
var suites = []struct{ pkg, bench string }{
	{"./broker", "."},
	{"./wire", "^(BenchmarkProduceRoundTrip|BenchmarkGuard)$"},
	{"./wire/batch", "^(BenchmarkWalk|BenchmarkValidate)$"},
	{"./storage", "^(BenchmarkAppend|BenchmarkRead)$"},
	{"./replication", "^(BenchmarkAppend|BenchmarkIdlePartitions|BenchmarkReplicate)$/^(acks=all|wait|idle=0)"},
	{"./replication", "^BenchmarkFetchOne$"},
	{"./coordinator/group", "^BenchmarkCommit$/^clients=1$"},
	{"./coordinator/group", "^BenchmarkHeartbeat$"},
	{"./coordinator/group/consumer", "^BenchmarkHeartbeat$"},
}

func main() {
	path := flag.String("baseline", "", "`file` in the format of go test -bench")
	write := flag.Bool("write", false, "write the file instead of comparing with it")
	counts := flag.String("counts", "", "append \"N passed, N failed, N skipped\" to this `file`")
	flag.Parse()
	if err := run(*path, *write, *counts); err != nil {
		fmt.Fprintln(os.Stderr, "benchcheck:", err)
		os.Exit(1)
	}
}

func run(path string, write bool, counts string) error {
	now := results{}
	for _, s := range suites {
		fmt.Println(s.pkg, s.bench)
		cmd := exec.Command("go", "test", "-run", "^$", "-bench", s.bench, "-benchmem", "-benchtime", "1000x", "-count", "3", "-cpu", "2", s.pkg)
		// Without collections the pools stay full: what is counted is the code's.
		cmd.Env = append(os.Environ(), "GOGC=off", "GOMEMLIMIT=2GiB")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("go test -bench %s: %w\n%s", s.pkg, err, out)
		}
		if err := now.read(bytes.NewReader(out)); err != nil {
			return err
		}
	}
	if write {
		return os.WriteFile(path, now.format(), 0o644)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before := results{}
	if err := before.read(bytes.NewReader(text)); err != nil {
		return err
	}
	passed, bad := now.compare(before)
	for _, line := range bad {
		fmt.Println(line)
	}
	summary := fmt.Sprintf("%d passed, %d failed, 0 skipped", passed, len(bad))
	fmt.Println(summary)
	if counts != "" {
		f, err := os.OpenFile(counts, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := fmt.Fprintln(f, summary); err != nil {
			return err
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("%d counts; if that is what is wanted, make bench-baseline", len(bad))
	}
	return nil
}
