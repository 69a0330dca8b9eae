package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/twmb/franz-go/pkg/kadm"
)

// States of a partition of a plan.
const (
	complete   = "complete"
	inProgress = "in progress"
	otherwise  = "not as planned"
)

func compareRows(a, b reassignRow) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
}

// runVerify says what has become of each partition of a plan, and ends the throttles if nothing of it moves.
func (f *reassignFlags) runVerify(ctx context.Context, w io.Writer, p *plan) error {
	list, err := settled(ctx, func() ([]reassignRow, error) { return f.states(ctx, p) })
	if err != nil {
		return err
	}
	counts := map[string]int{}
	for _, r := range list {
		counts[r.State]++
	}
	if counts[inProgress] == 0 && !f.keepThrottle {
		if err := unthrottle(ctx, f.admin, p.topics()); err != nil {
			return err
		}
	}
	if err := f.print(w, list); err != nil {
		return err
	}
	if counts[complete] < len(list) {
		return &exitError{code: 1, err: fmt.Errorf("%d of %d partitions are complete, %d in progress", counts[complete], len(list), counts[inProgress])}
	}
	return nil
}

// How long a partition may be seen with other replicas than planned before that is believed, and how often it is looked at.
const (
	settleTime     = 5 * time.Second
	settleInterval = 100 * time.Millisecond
)

// settled looks until no partition is otherwise than planned, or settleTime has passed. The controller says what is in progress, any
// broker which replicas there are; the brokers hear of the end of a reassignment one by one, after the controller.
func settled(ctx context.Context, look func() ([]reassignRow, error)) ([]reassignRow, error) {
	for began := time.Now(); ; {
		list, err := look()
		wrong := slices.ContainsFunc(list, func(r reassignRow) bool { return r.State == otherwise })
		if err != nil || !wrong || time.Since(began) >= settleTime {
			return list, err
		}
		select {
		case <-time.After(settleInterval):
		case <-ctx.Done():
			return list, nil
		}
	}
}

// states is how the partitions of a plan are now.
func (f *reassignFlags) states(ctx context.Context, p *plan) ([]reassignRow, error) {
	running, err := reassignments(ctx, f.client)
	if err != nil {
		return nil, err
	}
	now, err := current(ctx, f.admin, p)
	if err != nil {
		return nil, err
	}
	var list []reassignRow
	for _, a := range p.Partitions {
		r := reassignRow{Topic: a.Topic, Partition: a.Partition, Replicas: now[a.of()].Replicas, Target: a.Replicas}
		moving, ok := running[a.of()]
		switch {
		case ok:
			r.State, r.Replicas, r.Adding, r.Removing = inProgress, moving.replicas, moving.adding, moving.removing
		case slices.Equal(r.Replicas, a.Replicas):
			r.State = complete
		default:
			r.State = otherwise
		}
		list = append(list, r)
	}
	return list, nil
}

// reassignWatch shows how the copies of a plan get on.
type reassignWatch struct {
	f    *reassignFlags
	p    *plan
	out  io.Writer
	json bool
	bar  *progressbar.ProgressBar // nil unless somebody looks

	seen map[replicaID]int64 // size of the source of each copy that was seen in progress
	last progress
}

type replicaID struct {
	topicPartition
	broker int32
}

// progress is one look.
type progress struct {
	Time        string `json:"time"`
	Partitions  int    `json:"partitions"`
	Complete    int    `json:"complete"`
	Bytes       int64  `json:"bytes"`       // to copy, as far as known
	Copied      int64  `json:"copied"`      // of them
	BytesPerSec int64  `json:"bytesPerSec"` // since the look before

	at time.Time
}

// run looks until no partition of the plan is in progress, or ctx ends, which leaves the reassignment alone.
func (v *reassignWatch) run(ctx context.Context) error {
	tick := time.NewTicker(v.f.interval)
	defer tick.Stop()
	for {
		done, err := v.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (v *reassignWatch) look(ctx context.Context) (done bool, err error) {
	running, err := reassignments(ctx, v.f.client)
	if err != nil {
		return false, err
	}
	sizes, err := v.sizes(ctx)
	if err != nil {
		return false, err
	}
	now := time.Now()
	pr := progress{Time: now.UTC().Format(time.RFC3339Nano), Partitions: len(v.p.Partitions), Complete: len(v.p.Partitions), at: now}
	for _, a := range v.p.Partitions {
		r, ok := running[a.of()]
		if !ok {
			continue
		}
		pr.Complete--
		var source int64
		for _, id := range without(r.replicas, r.adding) {
			source = max(source, sizes[replicaID{a.of(), id}])
		}
		for _, id := range r.adding {
			v.seen[replicaID{a.of(), id}] = source
		}
	}
	for id, source := range v.seen {
		pr.Bytes += source
		if r, ok := running[id.topicPartition]; ok && slices.Contains(r.adding, id.broker) {
			pr.Copied += min(source, sizes[id])
		} else {
			pr.Copied += source
		}
	}
	if took := now.Sub(v.last.at).Seconds(); !v.last.at.IsZero() && took > 0 {
		pr.BytesPerSec = max(0, int64(float64(pr.Copied-v.last.Copied)/took))
	}
	v.last = pr
	return pr.Complete == pr.Partitions, v.show(pr)
}

// sizes are the bytes of each replica of the plan's partitions. Brokers that do not answer have none.
func (v *reassignWatch) sizes(ctx context.Context) (map[replicaID]int64, error) {
	set := kadm.TopicsSet{}
	for _, a := range v.p.Partitions {
		set.Add(a.Topic, a.Partition)
	}
	dirs, err := v.f.admin.DescribeAllLogDirs(ctx, set)
	if len(dirs) == 0 && err != nil {
		return nil, err
	}
	sizes := map[replicaID]int64{}
	dirs.Each(func(d kadm.DescribedLogDir) {
		d.Topics.Each(func(p kadm.DescribedLogDirPartition) {
			if !p.IsFuture {
				sizes[replicaID{topicPartition{p.Topic, p.Partition}, p.Broker}] = p.Size
			}
		})
	})
	return sizes, nil
}

func (v *reassignWatch) show(pr progress) error {
	switch {
	case v.bar != nil:
		v.bar.Describe(fmt.Sprintf("%d of %d partitions", pr.Complete, pr.Partitions))
		v.bar.ChangeMax64(max(1, pr.Bytes)) // an empty bar has no end
		if err := v.bar.Set64(pr.Copied); err != nil {
			return err
		}
		if pr.Complete == pr.Partitions {
			return v.bar.Finish()
		}
		return nil
	case v.json:
		return json.NewEncoder(v.out).Encode(pr)
	}
	_, err := fmt.Fprintf(v.out, "%s %d of %d partitions, %d of %d bytes, %d bytes/s\n", pr.at.UTC().Format("2006-01-02T15:04:05.000Z"),
		pr.Complete, pr.Partitions, pr.Copied, pr.Bytes, pr.BytesPerSec)
	return err
}

func newReassignBar(w io.Writer) *progressbar.ProgressBar {
	return progressbar.NewOptions64(1, progressbar.OptionSetWriter(w), progressbar.OptionShowBytes(true), progressbar.OptionShowCount(),
		progressbar.OptionFullWidth(), progressbar.OptionSetPredictTime(true), progressbar.OptionOnCompletion(func() { fmt.Fprintln(w) }))
}
