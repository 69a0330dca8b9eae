// Command scaling measures how Ottla's costs grow with cores, partitions, connections and consumers, and draws them. It is run in the root of
// the repository, after make build tools:
//
//	scaling -out docs/plots                       measure, keep the figures in docs/plots/scaling.jsonl, and draw
//	scaling -out docs/plots -draw                 draw the figures that are there
//
// Every point is a run of kbench against a broker that was started for it.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// point is what one run measured.
type point struct {
	Series  string             `json:"series"`
	Rep     int                `json:"rep"`
	X       float64            `json:"x"`
	Metrics map[string]float64 `json:"metrics"`
}

// series is one dimension: the runs of kbench for growing x.
type series struct {
	name string
	xs   []int
	args func(x int) string
	env  func(x int) string // of the broker
}

var all = []series{
	{name: "cores-produce", xs: []int{1, 2}, args: func(int) string { return "produce -duration 3s -warmup 1s" }, env: maxProcs},
	{name: "cores-requests", xs: []int{1, 2}, args: func(int) string { return "smallbatch -duration 3s -warmup 1s" }, env: maxProcs},
	{name: "cores-fetch", xs: []int{1, 2}, args: func(int) string { return "fetch -duration 3s -partitions 4 -fill 256M" }, env: maxProcs},
	{name: "partitions", xs: []int{1, 100, 1000, 10000}, args: func(x int) string {
		return fmt.Sprintf("smallbatch -duration 3s -warmup %ds -inflight 4 -partitions %d", 2+x/1000, x) // every partition has its files before
	}},
	{name: "created", xs: []int{1, 100, 1000, 10000}, args: func(x int) string { return fmt.Sprintf("partitions -partitions %d", x) }},
	{name: "connections", xs: []int{10, 100, 1000, 9000}, args: func(x int) string {
		return fmt.Sprintf("smallbatch -duration 3s -warmup 2s -conns %d -partitions 10", x)
	}},
	{name: "idle", xs: []int{10, 100, 1000, 10000}, args: func(x int) string { return fmt.Sprintf("conns -n %d -settle 2s", x) }},
	{name: "consumers", xs: []int{1, 2, 4, 8, 16, 32, 64}, args: func(x int) string {
		return fmt.Sprintf("fanout -duration 3s -warmup 1s -rate 1000 -consumers %d", x)
	}},
}

func maxProcs(x int) string { return fmt.Sprintf("GOMAXPROCS=%d", x) }

func main() {
	out := flag.String("out", "docs/plots", "`directory` for scaling.jsonl and the plots")
	draw := flag.Bool("draw", false, "only draw what scaling.jsonl has")
	reps := flag.Int("reps", 3, "repetitions; the plots have their medians")
	broker := flag.String("broker", "bin/ottla", "the broker's `binary`")
	kbench := flag.String("kbench", "bin/kbench", "kbench's `binary`")
	flag.Parse()
	if err := run(*out, *broker, *kbench, *draw, *reps); err != nil {
		fmt.Fprintln(os.Stderr, "scaling:", err)
		os.Exit(1)
	}
}

func run(out, broker, kbench string, draw bool, reps int) error {
	path := filepath.Join(out, "scaling.jsonl")
	if !draw {
		if err := os.MkdirAll(out, 0o755); err != nil {
			return err
		}
		if err := measureAll(path, broker, kbench, reps); err != nil {
			return err
		}
	}
	points, err := read(path)
	if err != nil {
		return err
	}
	return drawAll(out, points)
}

func read(path string) (points []point, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for dec := json.NewDecoder(f); ; {
		var p point
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return points, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		points = append(points, p)
	}
}

func measureAll(path, broker, kbench string, reps int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	to := json.NewEncoder(f)
	for rep := 1; rep <= reps; rep++ {
		for _, s := range all {
			for _, x := range s.xs {
				m, err := measure(s, x, broker, kbench)
				if err != nil {
					return fmt.Errorf("%s %d: %w", s.name, x, err)
				}
				fmt.Fprintf(os.Stderr, "#%d %-15s %6d  %.4g req/s, %.3g s/Mrec, %.3g s/GB\n", rep, s.name, x, m["requests"], m["cpu_per_mrec"], m["cpu_per_gb"])
				if err := to.Encode(point{Series: s.name, Rep: rep, X: float64(x), Metrics: m}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// measure runs kbench once against a new broker.
func measure(s series, x int, broker, kbench string) (map[string]float64, error) {
	dir, err := os.MkdirTemp("", "scaling-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	addr, stop, err := startBroker(broker, dir, s, x)
	if err != nil {
		return nil, err
	}
	defer stop()
	args := append(strings.Fields(s.args(x)), "-addr", addr, "-pid", "auto", "-json")
	var errOut strings.Builder
	cmd := exec.Command(kbench, args...)
	cmd.Stderr = &errOut
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("kbench %s: %w: %s", s.args(x), err, errOut.String())
	}
	var r struct {
		Metrics []struct {
			Name  string
			Value float64
		}
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, err
	}
	m := map[string]float64{}
	for _, metric := range r.Metrics {
		m[metric.Name] = metric.Value
	}
	return m, nil
}

// startBroker runs a broker on a port that the system chose, and waits until it listens.
func startBroker(broker, dir string, s series, x int) (addr string, stop func(), err error) {
	ports := filepath.Join(dir, "ports")
	cmd := exec.Command(broker, "broker", "--log-level", "WARN", "--ports-file", ports, "--set", "log.dirs="+filepath.Join(dir, "data"),
		"--set", "listeners=PLAINTEXT://127.0.0.1:0", "--set", "offsets.topic.replication.factor=1")
	cmd.Stderr = os.Stderr
	cmd.Env = os.Environ()
	if s.env != nil {
		cmd.Env = append(cmd.Env, s.env(x))
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	stop = func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-exited
	}
	deadline := time.After(20 * time.Second)
	for {
		if text, err := os.ReadFile(ports); err == nil {
			if f := strings.Fields(string(text)); len(f) == 2 { // PLAINTEXT and its address
				return f[1], stop, nil
			}
		}
		select {
		case err := <-exited:
			return "", nil, fmt.Errorf("the broker ended: %v", err)
		case <-deadline:
			stop()
			return "", nil, errors.New("the broker does not listen")
		case <-time.After(10 * time.Millisecond):
		}
	}
}
