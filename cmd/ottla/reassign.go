package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/term"
)

// reassignFlags are those of ottla partition reassign.
type reassignFlags struct {
	*clientFlags
	out *output

	generate, execute, verify, cancel, list bool

	topics       []string
	brokers      []int
	ignoreRacks  bool
	throttle     int64
	additional   bool
	keepThrottle bool
	watch        bool
	interval     time.Duration

	client *kgo.Client
	admin  *kadm.Client
}

func newPartitionReassign(c *clientFlags, out *output) *cobra.Command {
	f := &reassignFlags{clientFlags: c, out: out}
	cmd := &cobra.Command{
		Use:   "reassign [PLAN.json]",
		Short: "Move partitions to other brokers, as kafka-reassign-partitions does",
		Long: `Move partitions to other brokers. A plan, the JSON file of kafka-reassign-partitions ("-" reads standard input), says which replicas
partitions are to have:

  {"version":1,"partitions":[{"topic":"orders","partition":0,"replicas":[2,3,4]}]}

--generate proposes one. --execute begins with it, after printing the plan that leads back. --watch shows how the copies get on until they are
complete, and then does what --verify does. --verify says what has become of each partition and, when nothing moves any more, ends the
throttles; it exits with 1 unless all are complete. --cancel ends what is in progress, back to the former replicas.

--throttle limits the bytes per second that each broker reads, and writes, for replicas that are not in sync. To change it while copies are in
progress, execute the plan again with --additional.`,
		Example: `  ottla partition reassign --generate --topics orders,users --brokers 2,3,4 -o json | jq .proposed >plan.json
  ottla partition reassign plan.json --execute --throttle 50000000 --watch
  ottla partition reassign plan.json --verify
  ottla partition reassign plan.json --cancel
  ottla partition reassign --list`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(args); err != nil {
				return err
			}
			var err error
			if f.client, err = c.client(); err != nil {
				return err
			}
			defer f.client.Close()
			f.admin = kadm.NewClient(f.client)
			f.admin.SetTimeoutMillis(int32(c.timeout.Milliseconds()))
			return f.run(cmd, args)
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&f.generate, "generate", false, "propose a plan for --topics on --brokers, and change nothing")
	fl.BoolVar(&f.execute, "execute", false, "begin to move as the plan says")
	fl.BoolVar(&f.verify, "verify", false, "say what has become of the plan; ends throttles when nothing moves")
	fl.BoolVar(&f.cancel, "cancel", false, "end what is in progress of the plan")
	fl.BoolVar(&f.list, "list", false, "list what is in progress in the cluster")
	fl.StringSliceVar(&f.topics, "topics", nil, "topics to place, with --generate")
	fl.IntSliceVar(&f.brokers, "brokers", nil, "brokers to place them on, with --generate")
	fl.BoolVar(&f.ignoreRacks, "disable-rack-aware", false, "place replicas without a look at racks, with --generate")
	fl.Int64Var(&f.throttle, "throttle", -1, "bytes per second of each broker and direction, with --execute; -1 for no limit")
	fl.BoolVar(&f.additional, "additional", false, "execute although other reassignments are in progress, or to change the throttle of this one")
	fl.BoolVar(&f.keepThrottle, "preserve-throttles", false, "leave throttles as they are, with --verify, --cancel and --watch")
	fl.BoolVar(&f.watch, "watch", false, "show the progress until it is complete, with --execute or alone")
	fl.DurationVar(&f.interval, "interval", time.Second, "how often to look, with --watch")
	return cmd
}

func (f *reassignFlags) check(args []string) error {
	actions := 0
	for _, on := range []bool{f.generate, f.execute, f.verify, f.cancel, f.list} {
		if on {
			actions++
		}
	}
	planned := !f.generate && !f.list
	switch {
	case actions > 1 || actions == 0 && !f.watch:
		return errors.New("one of --generate, --execute, --verify, --cancel, --list and --watch is needed, and no two but --execute and --watch")
	case f.watch && actions == 1 && !f.execute:
		return errors.New("--watch goes with --execute or alone")
	case planned != (len(args) == 1):
		return errors.New("a plan is needed, but for --generate and --list, which take none")
	case f.generate && (len(f.topics) == 0 || len(f.brokers) == 0):
		return errors.New("--generate needs --topics and --brokers")
	case f.throttle < -1:
		return fmt.Errorf("--throttle: %d is negative", f.throttle)
	case f.throttle >= 0 && !f.execute:
		return errors.New("--throttle goes with --execute; to change it, execute the plan again with --additional")
	case f.interval <= 0:
		return fmt.Errorf("--interval: %v is not positive", f.interval)
	case f.watch && f.out.format == "yaml":
		return errors.New("--watch has no YAML output")
	}
	for _, id := range f.brokers {
		if id < 0 || id > math.MaxInt32 {
			return fmt.Errorf("--brokers: %d is no broker id", id)
		}
	}
	return nil
}

func (f *reassignFlags) run(cmd *cobra.Command, args []string) error {
	ctx, w := cmd.Context(), cmd.OutOrStdout()
	if f.generate {
		return f.runGenerate(ctx, w)
	}
	if f.list {
		return f.runList(ctx, w)
	}
	p, err := readPlan(args[0], cmd.InOrStdin())
	if err != nil {
		return err
	}
	switch {
	case f.verify:
		return f.runVerify(ctx, w, p)
	case f.cancel:
		return f.runCancel(ctx, w, p)
	case f.execute:
		if err := f.runExecute(ctx, cmd, p); err != nil {
			return err
		}
	}
	if !f.watch {
		return nil
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	v := &reassignWatch{f: f, p: p, out: w, json: f.out.format == "json", seen: map[replicaID]int64{}}
	if file, ok := w.(*os.File); ok && term.IsTerminal(int(file.Fd())) && !v.json {
		v.bar = newReassignBar(w)
	}
	if err := v.run(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	return f.runVerify(ctx, w, p)
}

func (f *reassignFlags) runGenerate(ctx context.Context, w io.Writer) error {
	var ids []int32
	for _, id := range f.brokers {
		ids = append(ids, int32(id))
	}
	now, proposed, err := generatePlan(ctx, f.admin, f.topics, ids, !f.ignoreRacks)
	if err != nil {
		return err
	}
	if f.out.format == "table" {
		_, err := fmt.Fprintf(w, "Current partition replica assignment\n%s\n\nProposed partition reassignment configuration\n%s\n", now.text(), proposed.text())
		return err
	}
	return f.out.print(w, struct {
		Current  *plan `json:"current"`
		Proposed *plan `json:"proposed"`
	}{now, proposed}, nil, nil)
}

// reassignRow is a partition in progress, or of a plan.
type reassignRow struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	State     string  `json:"state"`
	Replicas  []int32 `json:"replicas"`
	Target    []int32 `json:"target,omitempty"`
	Adding    []int32 `json:"adding,omitempty"`
	Removing  []int32 `json:"removing,omitempty"`
}

func (f *reassignFlags) print(w io.Writer, list []reassignRow) error {
	var rows []row
	for _, r := range list {
		rows = append(rows, row{r.Topic, r.Partition, r.State, r.Replicas, r.Target, r.Adding, r.Removing})
	}
	return f.out.print(w, list, row{"topic", "partition", "state", "replicas", "target", "adding", "removing"}, rows)
}

func (f *reassignFlags) runList(ctx context.Context, w io.Writer) error {
	running, err := reassignments(ctx, f.client)
	if err != nil {
		return err
	}
	list := []reassignRow{}
	for tp, r := range running {
		list = append(list, reassignRow{Topic: tp.topic, Partition: tp.partition, State: inProgress, Replicas: r.replicas,
			Target: without(r.replicas, r.removing), Adding: r.adding, Removing: r.removing})
	}
	slices.SortFunc(list, compareRows)
	return f.print(w, list)
}

// runExecute begins a plan. What is in progress already is not touched but by a plan that names it.
func (f *reassignFlags) runExecute(ctx context.Context, cmd *cobra.Command, p *plan) error {
	running, err := reassignments(ctx, f.client)
	if err != nil {
		return err
	}
	if len(running) > 0 && !f.additional {
		return errors.New("there are reassignments in progress; --additional executes this plan beside them, or changes the throttle of the same plan")
	}
	now, err := current(ctx, f.admin, p)
	if err != nil {
		return err
	}
	if err := f.knownBrokers(ctx, p); err != nil {
		return err
	}
	notes := cmd.ErrOrStderr()
	fmt.Fprintf(notes, "Plan that leads back:\n%s\n", p.asPlan(now).text())
	if f.throttle >= 0 {
		if err := throttle(ctx, f.admin, moves(p, now, running), f.throttle); err != nil {
			return fmt.Errorf("throttle: %w", err)
		}
		fmt.Fprintf(notes, "Throttled to %d bytes per second; --verify or --watch ends that when nothing moves any more.\n", f.throttle)
	}
	var req kadm.AlterPartitionAssignmentsReq
	for _, a := range p.Partitions {
		req.Assign(a.Topic, a.Partition, a.Replicas)
	}
	if err := f.alter(ctx, req, nil); err != nil {
		return err
	}
	fmt.Fprintf(notes, "Reassignment of %d partitions has begun.\n", len(p.Partitions))
	return nil
}

func (f *reassignFlags) knownBrokers(ctx context.Context, p *plan) error {
	brokers, err := f.admin.ListBrokers(ctx)
	if err != nil {
		return err
	}
	for _, a := range p.Partitions {
		if unknown := without(a.Replicas, brokers.NodeIDs()); len(unknown) > 0 {
			return fmt.Errorf("%s: brokers %v are not alive", a.of(), unknown)
		}
	}
	return nil
}

// alter sends assignments; errors of single partitions come together, but for the code that is taken as success.
func (f *reassignFlags) alter(ctx context.Context, req kadm.AlterPartitionAssignmentsReq, fine error) error {
	rs, err := f.admin.AlterPartitionAssignments(ctx, req)
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range rs.Sorted() {
		if r.Err != nil && (fine == nil || !errors.Is(r.Err, fine)) {
			errs = append(errs, fmt.Errorf("%s-%d: %w", r.Topic, r.Partition, withMessage(r.Err, r.ErrMessage)))
		}
	}
	return errors.Join(errs...)
}

func (f *reassignFlags) runCancel(ctx context.Context, w io.Writer, p *plan) error {
	running, err := reassignments(ctx, f.client)
	if err != nil {
		return err
	}
	var req kadm.AlterPartitionAssignmentsReq
	var list []reassignRow
	for _, a := range p.Partitions {
		r, ok := running[a.of()]
		if !ok {
			continue
		}
		req.CancelAssign(a.Topic, a.Partition)
		list = append(list, reassignRow{Topic: a.Topic, Partition: a.Partition, State: "cancelled", Replicas: without(r.replicas, r.adding), Target: a.Replicas})
	}
	// What completes meanwhile cannot be cancelled any more.
	if err := f.alter(ctx, req, kerr.NoReassignmentInProgress); err != nil {
		return err
	}
	if !f.keepThrottle {
		if err := unthrottle(ctx, f.admin, p.topics()); err != nil {
			return err
		}
	}
	return f.print(w, list)
}
