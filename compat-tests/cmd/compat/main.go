// Command compat runs the compatibility suites against a broker and writes their results as a table.
//
//	compat                         an Ottla started for it (bin/ottla)
//	compat -broker kafka           an Apache Kafka 3.9.2 started for it
//	compat -bootstrap host:port    any broker
//
// Suites: kcat (librdkafka), admin (kadm, compared with the answers of Kafka), versions (clients of every age), behaviour
// (requests byte by byte, compared with the answers of Kafka), kgo (franz-go's own tests of its client), java (programs with
// Kafka's own clients), txn (ottla txn, histories of transactions), process (kill -9, bulk, znodes), cluster (faults of
// three brokers). Behaviour, txn, process and cluster start brokers of their own, so they are left out with -bootstrap. What a
// broker is known not to do yet is listed in pending.txt and shown as pending, with the reason; it is never left out of the table.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"ottla/compat-tests/harness"
	"ottla/compat-tests/internal/testjson"
)

type options struct {
	bootstrap string
	broker    harness.Kind
	suites    []string
	quick     bool
	long      bool
	table     string
	record    string
	counts    string
	verbose   bool
}

func main() {
	var o options
	var broker, suites string
	flag.StringVar(&o.bootstrap, "bootstrap", "", "`host:port` of a running broker; without it one is started")
	flag.StringVar(&broker, "broker", "ottla", "what is tested, and started without -bootstrap: ottla or kafka")
	flag.StringVar(&suites, "suites", "kcat,admin,versions,behaviour,kgo,java,txn,process,cluster", "what to run")
	flag.BoolVar(&o.quick, "quick", false, "smaller amounts, and neither kgo nor java")
	flag.BoolVar(&o.long, "long", false, "the full amounts of the suites process and java")
	flag.StringVar(&o.table, "table", "", "write the table (Markdown) to this `file`")
	flag.StringVar(&o.record, "record", "", "write the results (JSON) to this `file`, for the table's column of Kafka")
	flag.StringVar(&o.counts, "counts", "", "append the closing line to this `file`")
	flag.BoolVar(&o.verbose, "v", false, "show the output of tests that passed")
	flag.Parse()
	o.broker, o.suites = harness.Kind(broker), strings.Split(suites, ",")
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "compat:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	root, err := harness.Root()
	if err != nil {
		return err
	}
	dir := filepath.Join(root, "compat-tests")
	var waiting *pending
	if o.broker == harness.Ottla {
		if waiting, err = readPending(filepath.Join(dir, "pending.txt")); err != nil {
			return err
		}
	}
	if o.quick {
		o.suites = slices.DeleteFunc(o.suites, func(s string) bool { return s == "kgo" || s == "java" })
	}
	if o.bootstrap != "" {
		o.suites = slices.DeleteFunc(o.suites, func(s string) bool { return s == "process" || s == "behaviour" || s == "txn" || s == "cluster" })
	} else {
		stop, err := o.start()
		if err != nil {
			return err
		}
		defer stop()
	}

	var all []result
	broken := false
	for _, suite := range o.suites {
		fmt.Printf("== %s\n", suite)
		cmd, show, err := o.command(dir, suite, waiting)
		if err != nil {
			return err
		}
		events, err := goTest(cmd)
		if err != nil {
			return err
		}
		rs := collect(suite, events, show, waiting)
		for _, r := range rs {
			if r.Status == "fail" || o.verbose {
				fmt.Printf("--- %s: %s: %s\n%s", r.Status, suite, r.Title, r.output)
			}
		}
		passed, failed, skipped := count(rs)
		if events.Broken() {
			fmt.Printf("--- fail: %s: go test failed, and no test says why\n", suite)
			broken = true
		}
		fmt.Printf("== %s: %s\n", suite, testjson.Summary(passed, failed, skipped))
		all = append(all, rs...)
	}

	if o.record != "" {
		if err := writeRecord(o.record, all); err != nil {
			return err
		}
	}
	if o.table != "" {
		kafka, err := readRecord(filepath.Join(dir, "results", "kafka-"+harness.KafkaVersion+".json"))
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.table, []byte(table(all, kafka)), 0o644); err != nil {
			return err
		}
	}
	return o.finish(all, broken)
}

// start runs a broker of the kind asked for and makes it the one under test.
func (o *options) start() (stop func(), err error) {
	dir, err := os.MkdirTemp("", "ottla-compat-")
	if err != nil {
		return nil, err
	}
	b, err := harness.StartBroker(harness.Config{Kind: o.broker, Dir: dir, ID: 1})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	o.bootstrap = b.Addr
	return func() {
		if err := b.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "compat:", err)
		}
		if os.Getenv("HARNESS_KEEP") == "" {
			os.RemoveAll(dir)
		}
	}, nil
}

// command returns how a suite is run, and which of its tests are rows of the table.
func (o *options) command(dir, suite string, waiting *pending) (*exec.Cmd, func(*testjson.Test) bool, error) {
	if suite == "kgo" {
		return kgoCommand(dir, o.bootstrap, waiting)
	}
	args := []string{"test", "-json", "-count=1", "-timeout=20m", "-parallel=8"}
	if o.quick || suite == "java" && !o.long {
		args = append(args, "-short")
	}
	if skip := waiting.skip(suite); skip != "" {
		args = append(args, "-skip", skip)
	}
	args = append(args, "./"+suite)
	if suite == "process" && o.long {
		args = append(args, "-args", "-long")
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "BOOTSTRAP="+o.bootstrap, "BROKER="+string(o.broker))
	return cmd, (*testjson.Test).Leaf, nil
}

func goTest(cmd *exec.Cmd) (*testjson.Run, error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	events, err := testjson.Read(out, func(line string) {
		// The verdict on the package does not know what is pending; ours comes at the end.
		if line != "FAIL" && !strings.HasPrefix(line, "FAIL\t") && !strings.HasPrefix(line, "ok  \t") {
			fmt.Println(line)
		}
	})
	if err != nil {
		return nil, err
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	if len(events.Tests) == 0 {
		return nil, fmt.Errorf("%s: no test was run", strings.Join(cmd.Args, " "))
	}
	return events, nil
}

func (o *options) finish(all []result, broken bool) error {
	for _, r := range all {
		if r.Status == "pending" {
			fmt.Printf("pending: %s: %s (%s)\n", r.Suite, r.Title, r.Reason)
		}
	}
	passed, failed, skipped := count(all)
	line := testjson.Summary(passed, failed, skipped)
	fmt.Println(line)
	if o.counts != "" {
		f, err := os.OpenFile(o.counts, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := fmt.Fprintln(f, line); err != nil {
			return err
		}
	}
	if failed > 0 || broken || passed == 0 {
		return fmt.Errorf("%d checks failed", max(failed, 1))
	}
	return nil
}
