package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// tableRow is a row of the table that kbench table makes: a measure of a scenario, and what it is held against.
type tableRow struct {
	scenario, metric, label string
	target                  string // of the first broker against the second, or in the measure's own unit
}

// tableRows are those of docs/performance.md. Each scenario's name stands once, before its first measure.
var tableRows = []tableRow{
	{"produce 64 KiB batches", "throughput", "MB/s", "≥ 4x"},
	{"", "p99", "p99, ms", ""},
	{"", "cpu_per_gb", "CPU, s/GB", "≤ 1.1"},
	{"produce 1 MB batches", "throughput", "MB/s", ""},
	{"", "cpu_per_gb", "CPU, s/GB", ""},
	{"produce 64 KiB batches, 8 conns, acks all", "throughput", "MB/s", ""},
	{"", "cpu_per_gb", "CPU, s/GB", ""},
	{"produce acks 0", "throughput", "MB/s", ""},
	{"", "cpu_per_gb", "CPU, s/GB", ""},
	{"produce lz4, 100 partitions, idempotent", "throughput", "MB/s", "≥ 6x"},
	{"", "p99", "p99, ms", "≤ 0.25x"},
	{"", "cpu_per_gb", "CPU, s/GB", "≤ 0.1x"},
	{"produce zstd, 100 B records", "throughput", "MB/s", ""},
	{"", "cpu_per_gb", "CPU, s/GB", ""},
	{"produce snappy", "throughput", "MB/s", ""},
	{"", "cpu_per_gb", "CPU, s/GB", ""},
	{"produce gzip", "throughput", "MB/s", ""},
	{"", "cpu_per_gb", "CPU, s/GB", ""},
	{"disk-synced acks, one record per request", "requests", "requests/s", "≥ 5x"},
	{"", "p99", "p99, ms", "≤ 0.25x"},
	{"", "cpu_per_mrec", "CPU, s/Mrec", "≤ 0.2x"},
	{"produce 2 MB/s fixed rate", "p50", "p50, ms", "≤ 0.15"},
	{"", "p99", "p99, ms", "≤ 2"},
	{"produce 20 MB/s fixed rate", "p50", "p50, ms", ""},
	{"", "p99", "p99, ms", ""},
	{"one record per request, 32 conns", "requests", "requests/s", "≥ 4x"},
	{"", "p99", "p99, ms", ""},
	{"", "cpu_per_mrec", "CPU, s/Mrec", "≤ 0.25x"},
	{"one record per request, 500 conns", "requests", "requests/s", ""},
	{"", "cpu_per_mrec", "CPU, s/Mrec", ""},
	{"one record per request, 1 conn", "requests", "requests/s", ""},
	{"", "cpu_per_mrec", "CPU, s/Mrec", ""},
	{"fetch from page cache", "throughput", "MB/s", "≥ 1.4x"},
	{"", "cpu_per_gb", "CPU, s/GB", "≤ 0.3"},
	{"fetch from page cache, 16 KiB batches", "throughput", "MB/s", ""},
	{"", "cpu_per_gb", "CPU, s/GB", ""},
	{"fetch from disk", "throughput", "MB/s", ""},
	{"", "cpu_per_gb", "CPU, s/GB", ""},
	{"end to end, 1000 rec/s", "e2e_p50", "p50, ms", "≤ 0.25"},
	{"", "e2e_p99", "p99, ms", "≤ 1.5"},
	{"end to end, 20 MB/s", "e2e_p50", "p50, ms", ""},
	{"", "e2e_p99", "p99, ms", ""},
	{"fan-out 1 to 8", "e2e_p99", "end-to-end p99, ms", "≤ 2"},
	{"", "cpu_per_gb", "CPU, s/GB", "≤ 0.25x"},
	{"fan-out 1 to 50", "e2e_p99", "end-to-end p99, ms", ""},
	{"", "cpu_per_gb", "CPU, s/GB", ""},
	{"group of 20", "join", "join, ms", "≤ 30"},
	{"", "commits", "commits/s", "≥ 25,000"},
	{"group of 200", "join", "join, ms", ""},
	{"", "commits", "commits/s", ""},
	{"50 groups of 10", "stable", "until all are stable, s", ""},
	{"", "commits", "commits/s", ""},
	{"1000 groups of 10", "stable", "until all are stable, s", ""},
	{"", "commits_per_cpu", "commits for a second of CPU", ""},
	{"transactions, 100 records over 10 partitions", "transactions", "transactions/s", ""},
	{"", "txn_per_cpu", "transactions for a second of CPU", ""},
	{"transactions of version 1", "transactions", "transactions/s", ""},
	{"", "txn_per_cpu", "transactions for a second of CPU", ""},
	{"10000 idle connections", "open_rate", "opened/s", "≥ 4x"},
	{"", "rss_per_conn", "memory of each, kB", "≤ 20"},
	{"", "idle_cpu", "idle CPU, %", "≤ 1"},
	{"500 partitions", "leaders", "until all have a leader, s", "≤ 0.15"},
	{"", "first_write_all", "first record to each, s", ""},
	{"10000 partitions", "leaders", "until all have a leader, s", "≤ 3"},
	{"", "first_write_all", "first record to each, s", ""},
	{startScenario, "empty", "empty directory, s", "≤ 0.1"},
	{"", "clean_metadata", "after a clean stop, s", "≤ 0.3"},
	{"", "crash_metadata", "after kill -9, s", "≤ 0.5"},
	{"private memory of one broker", "highest", "highest at any time, MB", "≤ 100"},
	{"replicated, acks all, 64 KiB batches", "throughput", "MB/s", "≥ 8x"},
	{"", "p99", "p99, ms", "≤ 0.25x"},
	{"", "cpu_per_gb", "CPU of all three, s/GB", "≤ 6"},
	{"replicated, acks all, lz4, idempotent", "throughput", "MB/s", ""},
	{"", "cpu_per_gb", "CPU of all three, s/GB", ""},
	{"replicated, acks all, one record per request, 1000/s", "p50", "p50, ms", "≤ 3"},
	{"", "p99", "p99, ms", "≤ 10"},
	{"replicated, acks all, one record per request, full speed", "requests", "requests/s", ""},
	{"500 partitions on the cluster", "leaders", "until all have a leader, s", "≤ 0.6"},
	{"private memory of 3 brokers", "highest", "highest at any time, MB", "≤ 200"},
}

// cmdTable makes a table in Markdown of what suite saved.
func cmdTable(_ context.Context, o *options, args []string) ([]*Result, error) {
	in := o.String("in", "", "`file` that suite -save wrote")
	into := o.String("into", "", "put the table into this Markdown `file`, between the lines \""+tableBegin+"\" and \""+tableEnd+"\"")
	if err := o.parse(args); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(*in)
	if err != nil {
		return nil, err
	}
	var results []*Result
	for dec := json.NewDecoder(bytes.NewReader(text)); ; {
		r := new(Result)
		err := dec.Decode(r)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", *in, err)
		}
		results = append(results, r)
	}
	table := markdown(results)
	if *into == "" {
		_, err := os.Stdout.WriteString(table)
		return nil, err
	}
	page, err := os.ReadFile(*into)
	if err != nil {
		return nil, err
	}
	before, rest, ok := strings.Cut(string(page), tableBegin+"\n")
	_, after, ok2 := strings.Cut(rest, tableEnd+"\n")
	if !ok || !ok2 {
		return nil, fmt.Errorf("%s has no lines %q and %q", *into, tableBegin, tableEnd)
	}
	return nil, os.WriteFile(*into, []byte(before+tableBegin+"\n"+table+tableEnd+"\n"+after), 0o644)
}

const (
	tableBegin = "<!-- kbench table -->"
	tableEnd   = "<!-- end of kbench table -->"
)

// tellingRange is how many times the lowest ratio the highest may be: one of two figures near zero says nothing.
const tellingRange = 100

// markdown makes the table of brokers, the first one's ratios to each other, and that of the machine's limits. Ratios are medians of the
// repetitions' own, with their range where there are several and they say something. Notes follow.
func markdown(results []*Result) string {
	var names []string
	values := map[[2]string]map[string]map[int]float64{} // scenario and metric, broker, repetition
	for _, r := range results {
		if r.Broker != machine && !slices.Contains(names, r.Broker) {
			names = append(names, r.Broker)
		}
		for _, m := range r.Metrics {
			k := [2]string{r.Scenario, m.Name}
			if values[k] == nil {
				values[k] = map[string]map[int]float64{}
			}
			if values[k][r.Broker] == nil {
				values[k][r.Broker] = map[int]float64{}
			}
			values[k][r.Broker][r.Rep] = m.Value
		}
	}
	names = inOrder(names)
	var out strings.Builder
	cell := func(k [2]string, name string) string {
		if v := mapValues(values[k][name]); len(v) > 0 {
			return number(median(v))
		}
		return "failed"
	}
	fmt.Fprint(&out, "| scenario | measure |")
	for _, n := range names {
		fmt.Fprintf(&out, " %s |", n)
	}
	for _, n := range names[min(1, len(names)):] {
		fmt.Fprintf(&out, " %s/%s |", names[0], n)
	}
	fmt.Fprint(&out, " target | other work beside each, % |\n|"+strings.Repeat("---|", 2+2*len(names)-min(1, len(names))+2)+"\n")
	scenario := ""
	for _, row := range tableRows {
		shown := row.scenario
		if shown != "" {
			scenario = shown
		}
		k := [2]string{scenario, row.metric}
		if values[k] == nil {
			continue
		}
		fmt.Fprintf(&out, "| %s | %s |", shown, row.label)
		for _, n := range names {
			fmt.Fprintf(&out, " %s |", cell(k, n))
		}
		for _, n := range names[min(1, len(names)):] {
			switch ratios := pairRatios(values[k][names[0]], values[k][n]); {
			case len(ratios) == 0, ratios[0] <= 0, ratios[len(ratios)-1] > tellingRange*ratios[0]:
				fmt.Fprint(&out, " |")
			case len(ratios) == 1:
				fmt.Fprintf(&out, " %.2f |", ratios[0])
			default:
				fmt.Fprintf(&out, " %.2f [%.2f-%.2f] |", median(ratios), ratios[0], ratios[len(ratios)-1])
			}
		}
		var others []string
		for _, n := range names {
			if v := mapValues(values[[2]string{scenario, "other_cpu"}][n]); shown != "" && len(v) > 0 {
				others = append(others, fmt.Sprintf("%.0f", median(v)))
			}
		}
		fmt.Fprintf(&out, " %s | %s |\n", row.target, strings.Join(others, ", "))
	}
	fmt.Fprintf(&out, "\nMedians of up to %d repetitions in turns.\n", maxRep(results))
	limitsTable(&out, results)
	for _, r := range results {
		for _, n := range r.Notes {
			fmt.Fprintf(&out, "- note: %s, repetition %d, %s: %s\n", r.Broker, r.Rep, r.Scenario, strings.Join(strings.Fields(n), " "))
		}
	}
	return out.String()
}

// inOrder sorts names so that Ottla's come first and keeps the order of the rest: in the results of a suite who is first changes.
func inOrder(names []string) []string {
	slices.SortStableFunc(names, func(a, b string) int {
		switch first, second := strings.HasPrefix(a, "ottla"), strings.HasPrefix(b, "ottla"); {
		case first && !second:
			return -1
		case second && !first:
			return 1
		}
		return strings.Compare(a, b)
	})
	return names
}

func limitsTable(out io.Writer, results []*Result) {
	first := true
	for _, r := range results {
		if r.Broker != machine {
			continue
		}
		if first {
			fmt.Fprint(out, "\n| what the machine can do (`kbench limits`) | |\n|---|---|\n")
			first = false
		}
		var parts []string
		for _, m := range r.Metrics {
			parts = append(parts, fmt.Sprintf("%s %s %s", m.Name, number(m.Value), m.Unit))
		}
		fmt.Fprintf(out, "| %s | %s |\n", r.Scenario, strings.Join(parts, ", "))
	}
	if !first {
		fmt.Fprintln(out)
	}
}
