package cluster

import (
	"bufio"
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ottla/compat-tests/harness"
)

const (
	kcatTopic = "rolling-kcat"
	javaTopic = "rolling-java-"
	// finishLimit is how long clients may take for what is under way when the load ends.
	finishLimit = 90 * time.Second
)

// TestRollingRestart stops and starts each of three brokers while franz-go, librdkafka and Java clients produce with acks=all
// and consume. No record may be given up, lost or doubled, and no client may end or report an error that it does not get over by itself.
func TestRollingRestart(t *testing.T) {
	if _, err := exec.LookPath("kcat"); err != nil {
		t.Skip("kcat is not installed")
	}
	versions := harness.JavaVersions
	if testing.Short() {
		versions = nil
	}
	c := harness.StartCluster(t, harness.ClusterConfig{SessionTimeout: sessionTimeout, Settings: []string{"offsets.topic.num.partitions=5"}})
	topics := []string{faultTopic, kcatTopic}
	for _, v := range versions {
		topics = append(topics, javaTopic+v)
	}
	createTopics(t, c, topics...)
	whole := func() {
		t.Helper()
		c.AwaitBrokers(t, 3)
		for _, topic := range topics {
			c.AwaitISR(t, topic, 3)
		}
	}
	whole()

	ws, stop := startWriters(t, c.Seeds(), faultTopic, faultPartitions)
	f := &faults{Cluster: c, t: t, ws: ws}
	r := startReader(t, c.Seeds(), faultTopic)
	k := startKcat(t, c.Seeds())
	var java []*harness.JavaProgram
	for _, v := range versions {
		p := harness.NewJavaClients(t, v).Start(t, "Rolling", "bootstrap="+strings.Join(c.Seeds(), ","), "topic="+javaTopic+v, "group=g"+v)
		java = append(java, p)
	}
	f.awaitProgress()
	k.awaitMore(t)
	for i, p := range java {
		if err := p.Await(finishLimit, "running"); err != nil {
			t.Fatalf("Java client %s: %v", versions[i], err)
		}
	}

	for _, b := range c.Brokers {
		began := time.Now()
		f.must(b.Stop(stopLimit))
		f.must(b.Start())
		whole()
		f.awaitProgress()
		k.awaitMore(t)
		fmt.Printf("%s: broker %d restarted, all replicas in sync after %.1f s\n", b.Kind, b.ID, time.Since(began).Seconds())
	}

	stop()
	readBack(t, c, faultTopic, ws)
	r.await(t, ws[0])
	if err := r.firstError(); err != nil {
		t.Errorf("franz-go: the consumer reports: %v", err)
	}
	k.finish(t)
	for i, p := range java {
		finishJava(t, versions[i], p)
	}
	sameReplicas(t, c, faultTopic, faultPartitions)
}

// finishJava ends Rolling.java and looks at its account.
func finishJava(t *testing.T, version string, p *harness.JavaProgram) {
	t.Helper()
	if err := p.Stop(finishLimit); err != nil {
		t.Errorf("Java client %s: %v", version, err)
	}
	counts := map[string]int{}
	for _, line := range p.Lines() {
		what, rest, _ := strings.Cut(line, " ")
		if n, err := strconv.Atoi(rest); err == nil {
			counts[what] = n
		} else if what == "failed" {
			t.Errorf("Java client %s: %s", version, line)
		}
	}
	if counts["sent"] == 0 || counts["read"] != counts["sent"] || counts["twice"] != 0 {
		t.Errorf("Java client %s: %v, want as many read as sent and none twice", version, counts)
	}
	t.Logf("Java client %s: %d records", version, counts["sent"])
}

// kcatPair is a kcat that produces numbers, and one that reads them.
type kcatPair struct {
	producer, consumer *exec.Cmd
	errs               [2]bytes.Buffer
	stop               chan struct{}
	fed                chan int // how many numbers were given to the producer

	mu   sync.Mutex
	read []int
}

func startKcat(t *testing.T, seeds []string) *kcatPair {
	t.Helper()
	k := &kcatPair{stop: make(chan struct{}), fed: make(chan int, 1)}
	bootstrap := strings.Join(seeds, ",")
	// -E: they do not end when for a moment all of their connections are down.
	k.producer = exec.Command("kcat", "-b", bootstrap, "-E", "-P", "-t", kcatTopic,
		"-X", "enable.idempotence=true", "-X", "acks=all", "-X", "linger.ms=2")
	k.consumer = exec.Command("kcat", "-b", bootstrap, "-E", "-C", "-u", "-t", kcatTopic, "-o", "beginning", "-f", "%s\n")
	k.producer.Stderr, k.consumer.Stderr = &k.errs[0], &k.errs[1]
	in, err := k.producer.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := k.consumer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range []*exec.Cmd{k.producer, k.consumer} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, unless the test failed
	}
	go func() {
		defer in.Close()
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-k.stop:
				k.fed <- n
				return
			case <-tick.C:
			}
			if _, err := fmt.Fprintln(in, n); err != nil {
				k.fed <- n
				return
			}
		}
	}()
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			n, err := strconv.Atoi(lines.Text())
			if err != nil {
				n = -1
			}
			k.mu.Lock()
			k.read = append(k.read, n)
			k.mu.Unlock()
		}
	}()
	return k
}

func (k *kcatPair) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.read)
}

func (k *kcatPair) awaitMore(t *testing.T) {
	t.Helper()
	k.await(t, k.count()+1)
}

func (k *kcatPair) await(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(finishLimit); k.count() < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("kcat has read %d records, want %d\nproducer: %s\nconsumer: %s", k.count(), n, k.errs[0].String(), k.errs[1].String())
		}
	}
}

// disconnected says that librdkafka reports the loss of connections.
func disconnected(line string) bool {
	return strings.Contains(line, "Broker transport failure") || strings.Contains(line, "All broker connections are down")
}

// finish ends the load: the producer must have delivered everything, and the consumer read each number once.
func (k *kcatPair) finish(t *testing.T) {
	t.Helper()
	close(k.stop)
	fed := <-k.fed
	done := make(chan error, 1)
	go func() { done <- k.producer.Wait() }()
	select {
	case err := <-done:
		if text := k.errs[0].String(); err != nil || strings.Contains(text, "Delivery failed") || strings.Contains(text, "FATAL") {
			t.Errorf("kcat, producer: %v\n%s", err, text)
		}
	case <-time.After(finishLimit):
		t.Fatalf("kcat has not delivered everything %v after the end of its input", finishLimit)
	}
	k.await(t, fed)
	_ = k.consumer.Process.Kill() // it would read on for ever
	_ = k.consumer.Wait()
	for line := range strings.Lines(k.errs[1].String()) {
		if strings.Contains(line, "FATAL") || strings.Contains(line, "ERROR") && !disconnected(line) {
			t.Errorf("kcat, consumer: %s", line)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	slices.Sort(k.read)
	for i, n := range k.read {
		if i != n {
			t.Fatalf("kcat has read %d records of %d, and number %d where %d was due", len(k.read), fed, n, i)
		}
	}
	t.Logf("kcat: %d records", fed)
}
