package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// clusterScenarios are what a cluster is measured with: every partition on all
// of its brokers, every acknowledgement from all of them.
func clusterScenarios(nodes int, long bool) []scenario {
	times := "-duration 3s -warmup 500ms"
	if long {
		times = "-duration 6s -warmup 1500ms"
	}
	topic := fmt.Sprintf(" -replicas %d -partitions 12 -conns 3 -acks -1 ", nodes)
	return []scenario{
		{"replicated, acks all, 64 KiB batches", "produce" + topic + times},
		{"replicated, acks all, lz4, idempotent", "produce -codec lz4 -idempotent" + topic + times},
		{"replicated, acks all, one record per request, 1000/s", "produce -batch-records 1 -record-size 100 -rate 1000 -procs 2" + topic + times},
		{"replicated, acks all, one record per request, full speed", "smallbatch" + topic + times},
		{"500 partitions on the cluster", "partitions -partitions 500"},
	}
}

// clusterWarmup is for clusters what warmup is for single brokers.
func clusterWarmup(nodes int) []scenario {
	topic := fmt.Sprintf(" -replicas %d -partitions 12 -conns 3 -acks -1 -warmup 0s ", nodes)
	return []scenario{
		{"warm-produce", "produce -duration 5s" + topic},
		{"warm-small", "smallbatch -duration 2s" + topic},
	}
}

// cluster is what runs for a spec: one broker, or several that share the
// directory and what the prepare command started.
type cluster struct {
	*BrokerSpec // of the first
	nodes       []*Broker
}

func (c *cluster) pids() (pids []int) {
	for _, b := range c.nodes {
		pids = append(pids, b.pid)
	}
	return pids
}

// pidFlag lists the processes as the flag -pid takes them.
func (c *cluster) pidFlag() string {
	var pids []string
	for _, pid := range c.pids() {
		pids = append(pids, strconv.Itoa(pid))
	}
	return strings.Join(pids, ",")
}

func (c *cluster) teardown() {
	for _, b := range slices.Backward(c.nodes) { // the first has what the prepare command started
		b.teardown()
	}
}

// deletionLimit is how long brokers may take to delete the topics of one run.
const deletionLimit = 2 * time.Minute

// awaitDeletion waits until the topics that kbench has deleted are gone from the
// disk: to free gigabytes costs seconds of a core, which the next run is not to
// pay for. A topic that stays, as that of a run which was killed does, is an error
// after deletionLimit.
func (c *cluster) awaitDeletion(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, deletionLimit)
	defer cancel()
	for {
		left, err := deletedTopic(c.Dir)
		if err != nil || left == "" {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s was deleted but is still there: %w", left, ctx.Err())
		}
	}
}

// deletedTopic returns a directory of kbench's topics under dir, "" if there is
// none: brokers name it after topic and partition, and rename it before they
// delete what is in it.
func deletedTopic(dir string) (found string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // files come and go while a broker runs
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), topicPrefix):
			found = path
			return fs.SkipAll
		}
		return nil
	})
	return found, err
}

// startCluster starts nodes brokers, one after the other, and returns how long
// they took to answer, and to know of each other if there are several. What was
// started is in the result also after an error.
func startCluster(spec *BrokerSpec, nodes int) (c *cluster, took time.Duration, err error) {
	c = &cluster{BrokerSpec: spec}
	for n := 1; n <= nodes; n++ {
		node := *spec
		node.Node, node.Nodes, node.Port = n, nodes, spec.Port+nodePorts*(n-1)
		if n > 1 {
			node.Prepare = ""
		}
		b, err := newBroker(&node)
		if err != nil {
			return c, 0, err
		}
		c.nodes = append(c.nodes, b)
		answered, err := b.start(2 * time.Minute)
		if err != nil {
			return c, 0, err
		}
		took += answered
	}
	if nodes == 1 {
		return c, took, nil
	}
	begin := time.Now()
	for {
		known, err := c.nodes[0].knows()
		waited := time.Since(begin)
		switch {
		case err == nil && known == nodes:
			return c, took + waited, nil
		case waited > 2*time.Minute:
			return c, 0, errors.Join(fmt.Errorf("%s: %d of %d brokers are known after two minutes", spec.Name, known, nodes), err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// knows counts the brokers in the broker's Metadata.
func (b *Broker) knows() (int, error) {
	c, err := dial(b.addr())
	if err != nil {
		return 0, err
	}
	defer c.Close()
	c.tcp.SetDeadline(time.Now().Add(5 * time.Second))
	cl, err := metadata(c, "")
	if err != nil {
		return 0, err
	}
	return len(cl.Addrs), nil
}
