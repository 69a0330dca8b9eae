package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
)

// resetFlags are those of reset-offsets.
type resetFlags struct {
	allGroups, allTopics    bool
	topics                  []string
	toEarliest, toLatest    bool
	toCurrent               bool
	toOffset, shiftBy       int64
	toDatetime, byDuration  string
	fromFile                string
	execute, dryRun, export bool
	set                     *pflag.FlagSet // which were given
	read                    []groupOffset  // of from-file, if it has been read
}

// scenarios are the flags that say where to; exactly one is given.
var scenarios = []string{"to-earliest", "to-latest", "to-current", "to-offset", "to-datetime", "by-duration", "shift-by", "from-file"}

func newGroupReset(c *clientFlags, out *output) *cobra.Command {
	var f resetFlags
	cmd := &cobra.Command{
		Use:   "reset-offsets GROUP...",
		Short: "Show where committed offsets would be moved to; with --execute, move them",
		Long: `Move the committed offsets of groups that have no active members. Without --execute nothing is changed: the new offsets are shown.

An offset outside of a partition's log becomes the nearest one inside. A time after the last record means the end of the log.`,
		Example: `  ottla group reset-offsets billing --topic orders --to-earliest
  ottla group reset-offsets billing --topic orders:0,1 --shift-by -100 --execute
  ottla group reset-offsets billing --all-topics --to-datetime 2024-05-01T00:00:00.000 --execute
  ottla group reset-offsets billing --from-file offsets.csv --execute`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			f.set = cmd.Flags()
			return f.run(cmd, c, out, names)
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&f.allGroups, "all-groups", false, "all groups of the cluster")
	fl.BoolVar(&f.allTopics, "all-topics", false, "all partitions that the group has an offset for")
	fl.StringArrayVar(&f.topics, "topic", nil, "`topic`, or topic:0,1 for some of its partitions; may be repeated")
	fl.BoolVar(&f.toEarliest, "to-earliest", false, "to the start of the log")
	fl.BoolVar(&f.toLatest, "to-latest", false, "to the end of the log")
	fl.BoolVar(&f.toCurrent, "to-current", false, "to where the group is; the end of the log where it has no offset")
	fl.Int64Var(&f.toOffset, "to-offset", 0, "to this offset")
	fl.Int64Var(&f.shiftBy, "shift-by", 0, "by this many records, to the back if negative")
	fl.StringVar(&f.toDatetime, "to-datetime", "", "to the first record from this `time` on: YYYY-MM-DDThh:mm:ss.sss, UTC unless it says otherwise")
	fl.StringVar(&f.byDuration, "by-duration", "", "to the first record of the last `duration`: PnDTnHnMnS, or like 36h")
	fl.StringVar(&f.fromFile, "from-file", "", "to the offsets in a CSV `file`; - for standard input")
	fl.BoolVar(&f.execute, "execute", false, "do it")
	fl.BoolVar(&f.dryRun, "dry-run", false, "only show it; the default")
	fl.BoolVar(&f.export, "export", false, "print the new offsets as CSV")
	cmd.MarkFlagsMutuallyExclusive("execute", "dry-run")
	cmd.MarkFlagsMutuallyExclusive("all-topics", "topic")
	cmd.MarkFlagsMutuallyExclusive(scenarios...)
	cmd.MarkFlagsOneRequired(scenarios...)
	return cmd
}

func (f *resetFlags) run(cmd *cobra.Command, c *clientFlags, out *output, names []string) error {
	switch {
	case f.allGroups && len(names) > 0:
		return errors.New("--all-groups and names of groups exclude each other")
	case !f.allGroups && len(names) == 0:
		return errors.New("name the groups, or give --all-groups")
	case f.fromFile == "" && !f.allTopics && len(f.topics) == 0:
		return errors.New("which partitions? give --topic or --all-topics")
	case f.fromFile != "" && (f.allTopics || len(f.topics) > 0):
		return errors.New("--from-file says which partitions: --topic and --all-topics are not for it")
	}
	p, err := f.plan(cmd.InOrStdin(), names)
	if err != nil {
		return err
	}
	scopes, err := parseScopes(f.topics)
	if err != nil {
		return err
	}
	admin, err := c.admin()
	if err != nil {
		return err
	}
	defer admin.Close()
	if f.allGroups {
		listed, err := admin.ListGroups(cmd.Context())
		if err != nil {
			return err
		}
		names = listed.Groups()
	}
	scope, err := scopedPartitions(cmd.Context(), admin, scopes)
	if err != nil {
		return err
	}
	var list []resetRow
	var errs []error
	for _, name := range names {
		rows, err := p.group(cmd.Context(), c, admin, name, scope)
		if err == nil && f.execute && len(rows) > 0 {
			err = commitReset(cmd.Context(), admin, name, rows)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("group %s: %w", name, err))
			continue
		}
		list = append(list, rows...)
	}
	if err := f.show(cmd, out, list, len(names) == 1); err != nil {
		return err
	}
	return errors.Join(errs...)
}

// resetRow is one offset and what becomes of it.
type resetRow struct {
	groupOffset
	Current int64  `json:"current"` // -1: none
	Note    string `json:"note,omitempty"`
}

func (f *resetFlags) show(cmd *cobra.Command, out *output, list []resetRow, oneGroup bool) error {
	if f.export {
		var plain []groupOffset
		for _, r := range list {
			plain = append(plain, r.groupOffset)
		}
		return writeOffsetsCSV(cmd.OutOrStdout(), plain, !oneGroup)
	}
	if list == nil {
		list = []resetRow{}
	}
	var rows []row
	for _, r := range list {
		rows = append(rows, row{r.Group, r.Topic, r.Partition, orDash(r.Current), r.Offset, r.Note})
	}
	if err := out.print(cmd.OutOrStdout(), list, row{"group", "topic", "partition", "current", "new offset", "note"}, rows); err != nil {
		return err
	}
	if !f.execute {
		fmt.Fprintln(cmd.ErrOrStderr(), dryRunNote)
	}
	return nil
}

const dryRunNote = "nothing was changed; --execute does it"

// resetPlan says where offsets go.
type resetPlan struct {
	flags  *resetFlags
	at     time.Time // of to-datetime and by-duration
	byTime bool
	file   map[string][]groupOffset
}

func (f *resetFlags) plan(stdin io.Reader, names []string) (*resetPlan, error) {
	p := &resetPlan{flags: f}
	var err error
	switch {
	case f.toDatetime != "":
		p.byTime = true
		if p.at, err = parseDatetime(f.toDatetime); err != nil {
			return nil, fmt.Errorf("--to-datetime: %w", err)
		}
	case f.byDuration != "":
		p.byTime = true
		d, err := parseISODuration(f.byDuration)
		if err != nil {
			return nil, fmt.Errorf("--by-duration: %w", err)
		}
		p.at = time.Now().Add(-d)
	case f.set.Changed("to-offset") && f.toOffset < 0:
		return nil, fmt.Errorf("--to-offset: %d is no offset", f.toOffset)
	case f.fromFile != "":
		list := f.read
		if list == nil {
			only := ""
			if len(names) == 1 {
				only = names[0]
			}
			if list, err = readOffsetsFile(f.fromFile, stdin, only); err != nil {
				return nil, err
			}
		}
		p.file = make(map[string][]groupOffset)
		for _, o := range list {
			p.file[o.Group] = append(p.file[o.Group], o)
		}
	}
	return p, nil
}

// group finds the new offsets of one group, which must have no active members.
func (p *resetPlan) group(ctx context.Context, c *clientFlags, admin *kadm.Client, name string, scope []topicPartition) ([]resetRow, error) {
	if err := inactive(ctx, c, admin, name); err != nil {
		return nil, err
	}
	fetched, err := retry(ctx, c, func() (kadm.OffsetResponses, error) { return admin.FetchOffsets(ctx, name) })
	if err != nil {
		return nil, err
	}
	committed := committedOffsets(fetched)
	rows := p.wanted(name, scope, committed)
	if len(rows) == 0 {
		if p.file != nil {
			return nil, errors.New("the file has no offsets of it")
		}
		return nil, nil
	}
	var topics []string
	for _, r := range rows {
		if !slices.Contains(topics, r.Topic) {
			topics = append(topics, r.Topic)
		}
	}
	var l logBounds
	if err := l.list(ctx, admin, topics, p.at, p.byTime); err != nil {
		return nil, err
	}
	for i := range rows {
		if err := p.decide(&rows[i], &l); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// wanted lists the partitions, with the offset that a file gives them.
func (p *resetPlan) wanted(group string, scope []topicPartition, committed map[topicPartition]int64) []resetRow {
	var rows []resetRow
	add := func(tp topicPartition, offset int64) {
		current, ok := committed[tp]
		if !ok {
			current = -1
		}
		rows = append(rows, resetRow{groupOffset: groupOffset{group, tp.topic, tp.partition, offset}, Current: current})
	}
	switch {
	case p.file != nil:
		for _, o := range p.file[group] {
			add(o.tp(), o.Offset)
		}
	case p.flags.allTopics:
		for tp := range committed {
			add(tp, 0)
		}
	default:
		for _, tp := range scope {
			add(tp, 0)
		}
	}
	slices.SortFunc(rows, func(a, b resetRow) int { return comparePartitions(a.tp(), b.tp()) })
	return rows
}

// decide fills in the row's new offset.
func (p *resetPlan) decide(r *resetRow, l *logBounds) error {
	start, end, after, err := l.of(r.tp())
	if err != nil {
		return err
	}
	switch f := p.flags; {
	case p.file != nil:
	case f.toEarliest:
		r.Offset = start
	case f.toLatest:
		r.Offset = end
	case f.toCurrent:
		r.Offset = r.Current
		if r.Current < 0 {
			r.Offset, r.Note = end, "had no offset"
		}
		return nil
	case p.byTime:
		r.Offset = after
	case f.set.Changed("shift-by"):
		if r.Current < 0 {
			return fmt.Errorf("%s has no committed offset that could be shifted", r.tp())
		}
		r.Offset = r.Current + f.shiftBy
		if f.shiftBy > 0 && r.Offset < r.Current { // past the largest number
			r.Offset = end
		}
	default:
		r.Offset = f.toOffset
	}
	switch {
	case r.Offset < start:
		r.Offset, r.Note = start, "was before the start of the log"
	case r.Offset > end:
		r.Offset, r.Note = end, "was after the end of the log"
	}
	return nil
}

func committedOffsets(fetched kadm.OffsetResponses) map[topicPartition]int64 {
	m := make(map[topicPartition]int64)
	fetched.Each(func(o kadm.OffsetResponse) {
		if o.Err == nil && o.At >= 0 {
			m[topicPartition{o.Topic, o.Partition}] = o.At
		}
	})
	return m
}

// inactive fails unless the group has no members; one that does not exist has none.
func inactive(ctx context.Context, c *clientFlags, admin *kadm.Client, name string) error {
	described, err := retry(ctx, c, func() (map[string]groupRow, error) { return describeGroups(ctx, admin, []string{name}) })
	if described == nil && err != nil {
		return err
	}
	if r, ok := described[name]; ok && r.State != "Empty" {
		return fmt.Errorf("it is not inactive, but %s: stop its members first", r.State)
	}
	return nil
}

func commitReset(ctx context.Context, admin *kadm.Client, group string, rows []resetRow) error {
	offsets := make(kadm.Offsets)
	for _, r := range rows {
		offsets.Add(kadm.Offset{Topic: r.Topic, Partition: r.Partition, At: r.Offset, LeaderEpoch: -1})
	}
	return admin.CommitAllOffsets(ctx, group, offsets)
}
