package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"ottla/compat-tests/harness"
)

func recordOfKafka() ([]result, error) {
	root, err := harness.Root()
	if err != nil {
		return nil, err
	}
	return readRecord(filepath.Join(root, "compat-tests", "results", "kafka-"+harness.KafkaVersion+".json"))
}

var titles = map[string]string{
	"kcat":      "librdkafka: kcat (2.0.2) and Python's client (2.16)",
	"admin":     "Administration (franz-go's kadm), answers compared with Kafka's field by field",
	"versions":  "Clients of every age (franz-go limited to the requests of a Kafka version)",
	"behaviour": "Requests made byte by byte, right and wrong ones, answers compared with Kafka's field by field",
	"kgo":       "franz-go's own tests of its client (pkg/kgo v1.22.2)",
	"java":      "Kafka's Java clients (3.9.2 and 4.3.1)",
	"txn":       "Transactions: ottla txn, histories under faults",
	"process":   "Processes: bulk, kill -9, restarts, znodes",
	"cluster":   "Three brokers with ZooKeeper: faults, restarts and moves under load",
}

// table writes docs/compatibility.md: nothing in it depends on when or where the run was.
func table(rs, kafka []result) string {
	was := map[string]result{}
	for _, k := range kafka {
		was[k.key()] = k
	}
	var b strings.Builder
	b.WriteString("# Compatibility\n\nWritten by `make compat`; do not edit. Each row is a check that a real client program made against a running Ottla.\n" +
		"The same checks were run against Apache Kafka " + harness.KafkaVersion + " in ZooKeeper mode (`make compat-kafka`): a check that Kafka\n" +
		"fails would be a wrong check. *pending*: known not to be there yet, with the reason. *skipped*: the client's own test\n" +
		"leaves itself out for such a broker.\n\n")
	var suites []string
	bySuite := map[string][]result{}
	for _, r := range rs {
		if bySuite[r.Suite] == nil {
			suites = append(suites, r.Suite)
		}
		bySuite[r.Suite] = append(bySuite[r.Suite], r)
	}
	b.WriteString("| suite | passed | failed | pending | skipped |\n|---|---|---|---|---|\n")
	for _, s := range suites {
		n := map[string]int{}
		for _, r := range bySuite[s] {
			n[r.Status]++
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d |\n", titles[s], n["pass"], n["fail"], n["pending"], n["skip"])
	}
	for _, s := range suites {
		fmt.Fprintf(&b, "\n## %s\n\n| check | Ottla | Kafka %s |\n|---|---|---|\n", titles[s], harness.KafkaVersion)
		last := ""
		for _, r := range bySuite[s] {
			title := r.Title
			if area := strings.TrimPrefix(r.Top, "Test"); r.Title != r.Top && s == "kcat" {
				if area != last {
					fmt.Fprintf(&b, "| **%s** | | |\n", area)
					last = area
				}
			}
			k, known := was[r.key()]
			fmt.Fprintf(&b, "| %s | %s | %s |\n", cell(title), cell(status(r)), cell(status2(k, known)))
		}
	}
	return b.String()
}

func status(r result) string {
	switch r.Status {
	case "pass":
		return "pass"
	case "fail":
		return "**FAIL**"
	case "pending":
		return "*pending*: " + r.Reason
	default:
		return "*skipped*: " + r.Reason
	}
}

func status2(r result, known bool) string {
	if !known {
		return "not run"
	}
	if r.Status == "skip" {
		return "*skipped*"
	}
	return status(r)
}

func cell(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "|", "\\|") }
