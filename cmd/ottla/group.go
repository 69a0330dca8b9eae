package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func newGroup() *cobra.Command {
	var c clientFlags
	var out output
	cmd := &cobra.Command{
		Use:               "group",
		Short:             "List and describe consumer groups",
		PersistentPreRunE: func(*cobra.Command, []string) error { return out.check() },
	}
	c.add(cmd)
	out.add(cmd)
	cmd.AddCommand(newGroupList(&c, &out), newGroupDescribe(&c, &out))
	return cmd
}

type groupRow struct {
	Group       string      `json:"group"`
	State       string      `json:"state"`
	Type        string      `json:"protocolType"`
	Protocol    string      `json:"protocol,omitempty"`
	Coordinator int32       `json:"coordinator"`
	Members     []memberRow `json:"members,omitempty"`
	Offsets     []offsetRow `json:"offsets,omitempty"`
}

type memberRow struct {
	ID       string   `json:"id"`
	Instance string   `json:"instance,omitempty"`
	Client   string   `json:"client"`
	Host     string   `json:"host"`
	Assigned []string `json:"assigned"`
}

type offsetRow struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed int64  `json:"committed"` // -1: none
	LogEnd    int64  `json:"logEnd"`
	Lag       int64  `json:"lag"` // -1: not known
	Member    string `json:"member,omitempty"`
}

func newGroupList(c *clientFlags, out *output) *cobra.Command {
	var states []string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List groups",
		Example: "  ottla group list --state Stable,Empty",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := c.admin()
			if err != nil {
				return err
			}
			defer admin.Close()
			groups, err := admin.ListGroups(cmd.Context(), states...)
			if err != nil {
				return err
			}
			list := []groupRow{}
			var rows []row
			for _, g := range groups.Sorted() {
				list = append(list, groupRow{Group: g.Group, State: g.State, Type: g.ProtocolType, Coordinator: g.Coordinator})
				rows = append(rows, row{g.Group, g.State, g.ProtocolType, g.Coordinator})
			}
			return out.print(cmd.OutOrStdout(), list, row{"group", "state", "type", "coordinator"}, rows)
		},
	}
	cmd.Flags().StringSliceVar(&states, "state", nil, "only groups in these states")
	return cmd
}

func newGroupDescribe(c *clientFlags, out *output) *cobra.Command {
	return &cobra.Command{
		Use:     "describe GROUP...",
		Short:   "Show members, assignments, committed offsets and lag",
		Example: "  ottla group describe billing",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			admin, err := c.admin()
			if err != nil {
				return err
			}
			defer admin.Close()
			lags, err := retry(cmd.Context(), c, func() (kadm.DescribedGroupLags, error) {
				lags, err := admin.Lag(cmd.Context(), names...)
				if err == nil {
					for _, name := range names {
						err = errors.Join(err, lags[name].DescribeErr)
					}
				}
				return lags, err
			})
			if len(lags) == 0 && err != nil {
				return err
			}
			var list []groupRow
			var rows []row
			var errs []error
			for _, name := range names {
				g, ok := lags[name]
				if err := g.Error(); !ok || err != nil {
					errs = append(errs, fmt.Errorf("group %s: %w", name, err))
					continue
				}
				if g.State == "Dead" {
					errs = append(errs, fmt.Errorf("group %s does not exist", name))
					continue
				}
				r := describeGroup(&g)
				list = append(list, r)
				for _, o := range r.Offsets {
					rows = append(rows, row{r.Group, r.State, o.Topic, o.Partition, orDash(o.Committed), o.LogEnd, orDash(o.Lag), o.Member})
				}
				if len(r.Offsets) == 0 {
					rows = append(rows, row{r.Group, r.State, "-", "-", "-", "-", "-", ""})
				}
			}
			if len(list) > 0 {
				header := row{"group", "state", "topic", "partition", "committed", "log end", "lag", "member"}
				if err := out.print(cmd.OutOrStdout(), list, header, rows); err != nil {
					return err
				}
			}
			return errors.Join(errs...)
		},
	}
}

func describeGroup(g *kadm.DescribedGroupLag) groupRow {
	r := groupRow{Group: g.Group, State: g.State, Type: g.ProtocolType, Protocol: g.Protocol, Coordinator: g.Coordinator.NodeID}
	for _, m := range g.Members {
		mr := memberRow{ID: m.MemberID, Client: m.ClientID, Host: m.ClientHost, Assigned: []string{}}
		if m.InstanceID != nil {
			mr.Instance = *m.InstanceID
		}
		if a, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range a.Topics {
				for _, p := range t.Partitions {
					mr.Assigned = append(mr.Assigned, fmt.Sprintf("%s-%d", t.Topic, p))
				}
			}
		}
		slices.Sort(mr.Assigned)
		r.Members = append(r.Members, mr)
	}
	slices.SortFunc(r.Members, func(x, y memberRow) int { return cmp.Compare(x.ID, y.ID) })
	for _, l := range g.Lag.Sorted() {
		o := offsetRow{Topic: l.Topic, Partition: l.Partition, Committed: l.Commit.At, LogEnd: l.End.Offset, Lag: l.Lag}
		if l.Member != nil {
			o.Member = l.Member.MemberID
		}
		r.Offsets = append(r.Offsets, o)
	}
	return r
}

func orDash(n int64) any {
	if n < 0 {
		return "-"
	}
	return n
}
