package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

const measured = `goos: linux
pkg: ottla/storage
BenchmarkAppend/batch=1KiB-2   1000   4534 ns/op   236.43 MB/s   110 B/op   50 allocs/op
BenchmarkAppend/batch=1KiB-2   1000   9999 ns/op   99.43 MB/s   100 B/op   51 allocs/op
pkg: ottla/broker
BenchmarkFetch/bytes=1-2   1000   8.5 io-calls/op   0 B/op   5 allocs/op
PASS
`

func parse(t *testing.T, text string) results {
	t.Helper()
	r := results{}
	if err := r.read(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLowestCountStands(t *testing.T) {
	const want = "pkg: ottla/broker\nBenchmarkFetch/bytes=1 1 0 B/op 5 allocs/op 8.5 io-calls/op\n" +
		"pkg: ottla/storage\nBenchmarkAppend/batch=1KiB 1 100 B/op 50 allocs/op\n"
	got := parse(t, measured).format()
	if string(got) != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
	again := results{}
	if err := again.read(bytes.NewReader(got)); err != nil || !bytes.Equal(again.format(), got) {
		t.Errorf("read again it is %s, %v", again.format(), err)
	}
}

func TestCompare(t *testing.T) {
	base := parse(t, measured)
	for _, tt := range []struct {
		name   string
		change func(now results)
		want   []string
	}{
		{"nothing changed", func(results) {}, nil},
		{"less is fine", func(now results) { now["ottla/storage BenchmarkAppend/batch=1KiB"]["allocs/op"] = 1 }, nil},
		{"an allocation within 2 %", func(now results) { now["ottla/storage BenchmarkAppend/batch=1KiB"]["allocs/op"] = 51 }, nil},
		{"one more allocation of five", func(now results) { now["ottla/broker BenchmarkFetch/bytes=1"]["allocs/op"] = 6 },
			[]string{"ottla/broker BenchmarkFetch/bytes=1: 6 allocs/op, the baseline has 5 and allows 5.1"}},
		{"bytes", func(now results) { now["ottla/broker BenchmarkFetch/bytes=1"]["B/op"] = 601 },
			[]string{"ottla/broker BenchmarkFetch/bytes=1: 601 B/op, the baseline has 0 and allows 600"}},
		{"one more system call", func(now results) { now["ottla/broker BenchmarkFetch/bytes=1"]["io-calls/op"] = 9.7 },
			[]string{"ottla/broker BenchmarkFetch/bytes=1: 9.7 io-calls/op, the baseline has 8.5 and allows 9.65"}},
		{"a benchmark is gone", func(now results) { delete(now, "ottla/storage BenchmarkAppend/batch=1KiB") }, []string{
			"ottla/storage BenchmarkAppend/batch=1KiB: B/op was not measured", "ottla/storage BenchmarkAppend/batch=1KiB: allocs/op was not measured"}},
		{"a benchmark is new", func(now results) { now["ottla/wire BenchmarkNew"] = map[string]float64{"B/op": 0} },
			[]string{"ottla/wire BenchmarkNew is not in the baseline"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := parse(t, measured)
			tt.change(now)
			passed, bad := now.compare(base)
			if !slices.Equal(bad, tt.want) {
				t.Errorf("got %q, want %q", bad, tt.want)
			}
			if tt.want == nil && passed != 5 {
				t.Errorf("%d counts passed, want 5", passed)
			}
		})
	}
}
