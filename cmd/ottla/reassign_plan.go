package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/zkmeta/controller"
)

// plan says which replicas partitions are to have, in the JSON of kafka-reassign-partitions.
type plan struct {
	Version    int          `json:"version"`
	Partitions []assignment `json:"partitions"`
}

type assignment struct {
	Topic     string   `json:"topic"`
	Partition int32    `json:"partition"`
	Replicas  []int32  `json:"replicas"`
	LogDirs   []string `json:"log_dirs,omitempty"`
}

func (a *assignment) of() topicPartition { return topicPartition{a.Topic, a.Partition} }

// readPlan reads a plan from a file, or from in if path is "-".
func readPlan(path string, in io.Reader) (*plan, error) {
	var text []byte
	var err error
	if path == "-" {
		text, err = io.ReadAll(in)
	} else {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	var p plan
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("read the plan %s: %w", path, err)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("plan %s: %w", path, err)
	}
	p.sort()
	return &p, nil
}

func (p *plan) check() error {
	if p.Version != 1 {
		return fmt.Errorf("version %d is not supported, only 1", p.Version)
	}
	if len(p.Partitions) == 0 {
		return errors.New("it has no partitions")
	}
	var errs []error
	seen := map[topicPartition]bool{}
	for i := range p.Partitions {
		a := &p.Partitions[i]
		bad := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("%s: "+format, append([]any{a.of()}, args...)...))
		}
		switch {
		case a.Topic == "":
			errs = append(errs, fmt.Errorf("partition %d has no topic", i))
		case seen[a.of()]:
			bad("named twice")
		case len(a.Replicas) == 0:
			bad("no replicas")
		case len(slices.Compact(slices.Sorted(slices.Values(a.Replicas)))) != len(a.Replicas):
			bad("a broker is named twice in %v", a.Replicas)
		case slices.ContainsFunc(a.LogDirs, func(dir string) bool { return dir != "any" }):
			bad("log_dirs: this command chooses no directories, so that only \"any\" is possible")
		}
		seen[a.of()] = true
	}
	return errors.Join(errs...)
}

func (p *plan) sort() {
	slices.SortFunc(p.Partitions, func(a, b assignment) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
}

func (p *plan) topics() []string {
	var topics []string
	for _, a := range p.Partitions {
		topics = append(topics, a.Topic)
	}
	return slices.Compact(topics) // they are sorted
}

// text is the plan as a file has it, on one line.
func (p *plan) text() string {
	b, _ := json.Marshal(p) // cannot fail: strings and numbers
	return string(b)
}

// reassigning is a partition with a reassignment in progress.
type reassigning struct{ replicas, adding, removing []int32 }

// reassignments lists what is being reassigned, of all topics.
func reassignments(ctx context.Context, cl *kgo.Client) (map[topicPartition]reassigning, error) {
	req := kmsg.NewPtrListPartitionReassignmentsRequest()
	req.Topics = nil
	resp, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return nil, fmt.Errorf("list reassignments: %w", err)
	}
	all := map[topicPartition]reassigning{}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			all[topicPartition{t.Topic, p.Partition}] = reassigning{p.Replicas, p.AddingReplicas, p.RemovingReplicas}
		}
	}
	return all, nil
}

// current is what the cluster has of the plan's partitions: leaders and replicas. Partitions that do not exist are an error.
func current(ctx context.Context, admin *kadm.Client, p *plan) (map[topicPartition]kadm.PartitionDetail, error) {
	details, err := admin.ListTopics(ctx, p.topics()...)
	if err != nil {
		return nil, err
	}
	found := map[topicPartition]kadm.PartitionDetail{}
	var errs []error
	for i := range p.Partitions {
		tp := p.Partitions[i].of()
		detail, ok := details[tp.topic].Partitions[tp.partition]
		switch {
		case details[tp.topic].Err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", tp, details[tp.topic].Err))
		case !ok:
			errs = append(errs, fmt.Errorf("%s: %w", tp, kerr.UnknownTopicOrPartition))
		default:
			found[tp] = detail
		}
	}
	return found, errors.Join(errs...)
}

// asPlan is the plan that leads back to what the cluster has.
func (p *plan) asPlan(now map[topicPartition]kadm.PartitionDetail) *plan {
	back := &plan{Version: 1}
	for _, a := range p.Partitions {
		back.Partitions = append(back.Partitions, assignment{Topic: a.Topic, Partition: a.Partition, Replicas: now[a.of()].Replicas})
	}
	return back
}

// generatePlan places the partitions of topics on brokers, with the number of replicas that partition 0 has, and as a new topic would be.
func generatePlan(ctx context.Context, admin *kadm.Client, topics []string, brokers []int32, racks bool) (now, proposed *plan, err error) {
	meta, err := admin.Metadata(ctx, topics...)
	if err != nil {
		return nil, nil, err
	}
	var on []controller.BrokerRack
	for _, id := range brokers {
		i := slices.IndexFunc(meta.Brokers, func(b kadm.BrokerDetail) bool { return b.NodeID == id })
		if i < 0 {
			return nil, nil, fmt.Errorf("--brokers: broker %d is not alive", id)
		}
		b := controller.BrokerRack{ID: id}
		if r := meta.Brokers[i].Rack; racks && r != nil {
			b.Rack = *r
		}
		on = append(on, b)
	}
	now, proposed = &plan{Version: 1}, &plan{Version: 1}
	for _, t := range meta.Topics.Sorted() {
		if t.Err != nil {
			return nil, nil, fmt.Errorf("topic %s: %w", t.Topic, t.Err)
		}
		parts := t.Partitions.Sorted()
		placed, err := controller.Assign(on, len(parts), len(t.Partitions[0].Replicas), nil)
		if err != nil {
			return nil, nil, fmt.Errorf("topic %s: %w", t.Topic, err)
		}
		for i, p := range parts {
			now.Partitions = append(now.Partitions, assignment{Topic: t.Topic, Partition: p.Partition, Replicas: p.Replicas})
			proposed.Partitions = append(proposed.Partitions, assignment{Topic: t.Topic, Partition: p.Partition, Replicas: placed[i]})
		}
	}
	return now, proposed, nil
}
