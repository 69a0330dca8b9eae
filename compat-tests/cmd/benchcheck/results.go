package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// counted are the units that are compared, and how much more than the baseline each may be: a share of it and a constant. They allow for
// what a loaded machine changes: a read that finds nothing yet, a pool that the other thread emptied.
var counted = map[string]struct{ share, more float64 }{
	"allocs/op":   {0.02, 0},
	"B/op":        {0.10, 600}, // two pooled buffers of 256 KiB in a run of 1,000
	"io-calls/op": {0.10, 0.3},
}

// results are the counts of benchmarks: package and name, unit, value.
type results map[string]map[string]float64

// procs is the suffix that go test gives to names.
var procs = regexp.MustCompile(`-\d+$`)

// read adds the counts in the output of go test -bench; of several runs of a benchmark the lowest counts stand.
func (r results) read(text io.Reader) error {
	pkg := ""
	in := bufio.NewScanner(text)
	for in.Scan() {
		f := strings.Fields(in.Text())
		switch {
		case len(f) == 2 && f[0] == "pkg:":
			pkg = f[1]
		case len(f) >= 4 && strings.HasPrefix(f[0], "Benchmark"):
			name := pkg + " " + procs.ReplaceAllString(f[0], "")
			if r[name] == nil {
				r[name] = map[string]float64{}
			}
			for i := 2; i+1 < len(f); i += 2 {
				v, err := strconv.ParseFloat(f[i], 64)
				if err != nil {
					return fmt.Errorf("%q: %w", in.Text(), err)
				}
				unit := f[i+1]
				if _, ok := counted[unit]; !ok {
					continue
				}
				if had, ok := r[name][unit]; !ok || v < had {
					r[name][unit] = v
				}
			}
		}
	}
	return in.Err()
}

// format writes the counts so that read and benchstat understand them.
func (r results) format() []byte {
	var out bytes.Buffer
	last := ""
	for _, name := range slices.Sorted(maps.Keys(r)) {
		pkg, bench, _ := strings.Cut(name, " ")
		if pkg != last {
			fmt.Fprintf(&out, "pkg: %s\n", pkg)
			last = pkg
		}
		fmt.Fprintf(&out, "%s 1", bench)
		for _, unit := range slices.Sorted(maps.Keys(r[name])) {
			fmt.Fprintf(&out, " %s %s", strconv.FormatFloat(r[name][unit], 'f', -1, 64), unit)
		}
		fmt.Fprintln(&out)
	}
	return out.Bytes()
}

// compare returns how many counts are within their tolerance, and a line for each that is not, and for each benchmark that only one side has.
func (r results) compare(before results) (passed int, bad []string) {
	for _, name := range slices.Sorted(maps.Keys(before)) {
		for _, unit := range slices.Sorted(maps.Keys(before[name])) {
			was := before[name][unit]
			now, ok := r[name][unit]
			limit := was*(1+counted[unit].share) + counted[unit].more
			switch {
			case !ok:
				bad = append(bad, fmt.Sprintf("%s: %s was not measured", name, unit))
			case now > limit:
				bad = append(bad, fmt.Sprintf("%s: %g %s, the baseline has %g and allows %.4g", name, now, unit, was, limit))
			default:
				passed++
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r)) {
		if before[name] == nil {
			bad = append(bad, name+" is not in the baseline")
		}
	}
	return passed, bad
}
