package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// The two places where offsets are kept.
const (
	inZooKeeper = "zookeeper"
	inKafka     = "kafka"
	inBoth      = "dual"
)

// migrateFlags are those of migrate-offsets.
type migrateFlags struct {
	from, to         string
	zookeeper        string
	overwrite, force bool
	execute, dryRun  bool
	follow           time.Duration
	scopes           []string
}

func newGroupMigrate(c *clientFlags, out *output) *cobra.Command {
	var f migrateFlags
	cmd := &cobra.Command{
		Use:   "migrate-offsets [GROUP...]",
		Short: "Show which offsets would be copied between ZooKeeper and __consumer_offsets; with --execute, copy them",
		Long: `Copy the offsets of groups from where clients older than Kafka 0.9 keep them, /consumers in ZooKeeper, to where the others do, the
topic __consumer_offsets, or back. Nothing is deleted, and without --execute nothing is changed.

An offset that is further along where it would be copied to stays, unless --overwrite is given.

--to dual brings both places to the greater of their two offsets, which is what old consumers with dual.commit.enabled=true read and
write. With --follow it goes on until interrupted, so that consumers of both kinds find the offsets of a group while its members are
replaced one after the other.

A group with active members is refused where offsets would be written under them: --force copies into ZooKeeper all the same, brokers
accept no such commit.

Without --zookeeper the brokers are asked for what is in ZooKeeper (OffsetFetch and OffsetCommit version 0): this works with a standalone
broker too, but the groups must be named and old members are not seen. Standard tools of ZooKeeper are not needed.`,
		Example: `  ottla group migrate-offsets billing --from zookeeper --to kafka
  ottla group migrate-offsets --zookeeper zk1:2181/kafka --from zookeeper --to kafka --execute
  ottla group migrate-offsets billing --zookeeper zk1:2181 --to dual --follow 10s --execute`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := f.check(names); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return f.run(ctx, cmd, c, out, names)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.from, "from", "", "zookeeper or kafka")
	fl.StringVar(&f.to, "to", "", "kafka, zookeeper, or dual for both")
	fl.StringVar(&f.zookeeper, "zookeeper", "", "the ensemble as in zookeeper.connect, `host:port,.../chroot`; all groups in it if none is named")
	fl.StringArrayVar(&f.scopes, "topic", nil, "only this `topic`, or topic:0,1 for some of its partitions; may be repeated")
	fl.BoolVar(&f.overwrite, "overwrite", false, "also where this moves a group back")
	fl.BoolVar(&f.force, "force", false, "also into ZooKeeper under active old consumers")
	fl.BoolVar(&f.execute, "execute", false, "do it")
	fl.BoolVar(&f.dryRun, "dry-run", false, "only show it; the default")
	fl.DurationVar(&f.follow, "follow", 0, "with --to dual: do it again at this interval until interrupted")
	cmd.MarkFlagsMutuallyExclusive("execute", "dry-run")
	_ = cmd.MarkFlagRequired("to") // fails only for a flag that does not exist
	return cmd
}

func (f *migrateFlags) check(names []string) error {
	switch {
	case f.to == inBoth && f.from != "":
		return errors.New("--to dual takes no --from: it reads both")
	case f.to == inBoth && f.overwrite:
		return errors.New("--to dual never moves a group back: --overwrite is not for it")
	case f.to == inBoth:
	case f.from == inZooKeeper && f.to == inKafka, f.from == inKafka && f.to == inZooKeeper:
	default:
		return fmt.Errorf("--from %q --to %q: want zookeeper and kafka, kafka and zookeeper, or --to dual", f.from, f.to)
	}
	if f.follow != 0 && (f.to != inBoth || !f.execute || f.follow < 0) {
		return errors.New("--follow is for --to dual --execute")
	}
	if len(names) == 0 && f.zookeeper == "" {
		return errors.New("name the groups, or give --zookeeper to find them")
	}
	return nil
}

// migrateRow is what becomes of one offset.
type migrateRow struct {
	Group     string `json:"group"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	ZooKeeper int64  `json:"zookeeper"` // -1: none
	Kafka     int64  `json:"kafka"`     // -1: none
	Action    string `json:"action"`

	toZooKeeper, toKafka int64 // what is written; -1: nothing
}

// What becomes of an offset.
const (
	actionSame        = "same"
	actionAhead       = "kept: further along"
	actionToKafka     = "to kafka"
	actionToZooKeeper = "to zookeeper"
	actionUnknown     = "left out: no such partition"
)

// decide compares the two offsets of a partition.
func (f *migrateFlags) decide(r *migrateRow) {
	r.toZooKeeper, r.toKafka = -1, -1
	copyTo := func(action string, source, target int64, out *int64) {
		switch {
		case source < 0 || source == target:
			r.Action = actionSame
		case target > source && !f.overwrite:
			r.Action = actionAhead
		default:
			r.Action, *out = action, source
		}
	}
	switch {
	case f.to == inKafka || f.to == inBoth && r.ZooKeeper > r.Kafka:
		copyTo(actionToKafka, r.ZooKeeper, r.Kafka, &r.toKafka)
	default:
		copyTo(actionToZooKeeper, r.Kafka, r.ZooKeeper, &r.toZooKeeper)
	}
}

func (f *migrateFlags) run(ctx context.Context, cmd *cobra.Command, c *clientFlags, out *output, names []string) error {
	admin, err := c.admin()
	if err != nil {
		return err
	}
	defer admin.Close()
	legacy, err := f.legacyOffsets(ctx, c)
	if err != nil {
		return err
	}
	defer legacy.close()
	scopes, err := parseScopes(f.scopes)
	if err != nil {
		return err
	}
	all := len(names) == 0
	for first := true; ; first = false {
		if all {
			if names, err = legacy.groups(ctx); err != nil {
				return err
			}
		}
		list, err := f.once(ctx, c, admin, legacy, names, scopes)
		if ctx.Err() != nil && !first {
			return nil
		}
		if perr := f.show(cmd, out, list, first); perr != nil {
			return perr
		}
		if f.follow == 0 || first && err != nil {
			return err
		}
		if err != nil { // a broker may be away for a while
			fmt.Fprintln(cmd.ErrOrStderr(), "ottla:", err)
		}
		select {
		case <-time.After(f.follow):
		case <-ctx.Done():
			return nil
		}
	}
}

// show prints everything the first time, and then what was written.
func (f *migrateFlags) show(cmd *cobra.Command, out *output, list []migrateRow, first bool) error {
	if !first {
		list = slices.DeleteFunc(list, func(r migrateRow) bool { return r.toKafka < 0 && r.toZooKeeper < 0 })
		if len(list) == 0 {
			return nil
		}
	}
	if list == nil {
		list = []migrateRow{}
	}
	var rows []row
	for _, r := range list {
		rows = append(rows, row{r.Group, r.Topic, r.Partition, orDash(r.ZooKeeper), orDash(r.Kafka), r.Action})
	}
	if err := out.print(cmd.OutOrStdout(), list, row{"group", "topic", "partition", "zookeeper", "kafka", "action"}, rows); err != nil {
		return err
	}
	if !f.execute {
		fmt.Fprintln(cmd.ErrOrStderr(), dryRunNote)
	}
	return nil
}

// once compares and, with --execute, copies. Groups that fail are in the error; the others are done.
func (f *migrateFlags) once(ctx context.Context, c *clientFlags, admin *kadm.Client, legacy legacyOffsets, names []string, scopes []topicScope) ([]migrateRow, error) {
	known, err := knownPartitions(ctx, admin, scopes)
	if err != nil {
		return nil, err
	}
	var list []migrateRow
	var errs []error
	for _, name := range names {
		rows, err := f.group(ctx, c, admin, legacy, name, known)
		if err != nil {
			errs = append(errs, fmt.Errorf("group %s: %w", name, err))
			continue
		}
		list = append(list, rows...)
	}
	return list, errors.Join(errs...)
}

// knownPartitions are those that are looked at: of the scopes, or all but the brokers' own.
func knownPartitions(ctx context.Context, admin *kadm.Client, scopes []topicScope) (map[topicPartition]bool, error) {
	known := make(map[topicPartition]bool)
	if len(scopes) > 0 {
		list, err := scopedPartitions(ctx, admin, scopes)
		for _, tp := range list {
			known[tp] = true
		}
		return known, err
	}
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range topics {
		for p := range t.Partitions {
			known[topicPartition{t.Topic, p}] = true
		}
	}
	return known, nil
}

func (f *migrateFlags) group(ctx context.Context, c *clientFlags, admin *kadm.Client, legacy legacyOffsets, name string, known map[topicPartition]bool) ([]migrateRow, error) {
	old, err := legacy.read(ctx, name, known)
	if err != nil {
		return nil, err
	}
	fetched, err := retry(ctx, c, func() (kadm.OffsetResponses, error) { return admin.FetchOffsets(ctx, name) })
	if err != nil {
		return nil, err
	}
	committed := committedOffsets(fetched)
	rows := f.compare(name, old, committed, known)
	if !f.execute {
		return rows, nil
	}
	toKafka := make(kadm.Offsets)
	var toZooKeeper []migrateRow
	for _, r := range rows {
		if r.toKafka >= 0 {
			toKafka.Add(kadm.Offset{Topic: r.Topic, Partition: r.Partition, At: r.toKafka, LeaderEpoch: -1})
		}
		if r.toZooKeeper >= 0 {
			toZooKeeper = append(toZooKeeper, r)
		}
	}
	if len(toKafka) > 0 {
		if err := inactive(ctx, c, admin, name); err != nil {
			return nil, err
		}
		if err := admin.CommitAllOffsets(ctx, name, toKafka); err != nil {
			return nil, err
		}
	}
	if len(toZooKeeper) == 0 {
		return rows, nil
	}
	if members, err := legacy.members(ctx, name); err != nil {
		return nil, err
	} else if len(members) > 0 && !f.force {
		return nil, fmt.Errorf("old consumers are active (%s): stop them first, or give --force", joined(members))
	}
	for _, r := range toZooKeeper {
		if err := legacy.write(ctx, name, topicPartition{r.Topic, r.Partition}, r.toZooKeeper); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// compare lists what either place has an offset for, by topic and partition.
func (f *migrateFlags) compare(group string, old, committed map[topicPartition]int64, known map[topicPartition]bool) []migrateRow {
	var rows []migrateRow
	at := func(m map[topicPartition]int64, tp topicPartition) int64 {
		if offset, ok := m[tp]; ok {
			return offset
		}
		return -1
	}
	add := func(tp topicPartition) {
		r := migrateRow{Group: group, Topic: tp.topic, Partition: tp.partition, ZooKeeper: at(old, tp), Kafka: at(committed, tp), toZooKeeper: -1, toKafka: -1}
		if known[tp] {
			f.decide(&r)
		} else {
			r.Action = actionUnknown
		}
		rows = append(rows, r)
	}
	for tp := range old {
		add(tp)
	}
	for tp := range committed {
		if _, both := old[tp]; !both && (known[tp] || len(f.scopes) == 0) {
			add(tp)
		}
	}
	slices.SortFunc(rows, func(a, b migrateRow) int {
		return comparePartitions(topicPartition{a.Topic, a.Partition}, topicPartition{b.Topic, b.Partition})
	})
	return rows
}
