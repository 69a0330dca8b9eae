package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newGroup() *cobra.Command {
	var c clientFlags
	var out output
	cmd := &cobra.Command{
		Use:               "group",
		Short:             "List, describe, watch, reset, move and delete consumer groups and their offsets",
		PersistentPreRunE: func(*cobra.Command, []string) error { return out.check() },
	}
	c.add(cmd)
	out.add(cmd)
	cmd.AddCommand(
		newGroupList(&c, &out), newGroupDescribe(&c, &out), newGroupMembers(&c, &out), newGroupLag(&c, &out), newGroupWatch(&c, &out),
		newGroupReset(&c, &out), newGroupExport(&c, &out), newGroupImport(&c, &out),
		newGroupDelete(&c, &out), newGroupDeleteOffsets(&c, &out), newGroupMigrate(&c, &out),
	)
	return cmd
}

func newGroupList(c *clientFlags, out *output) *cobra.Command {
	var states, types []string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List groups",
		Example: "  ottla group list --state Stable,Empty",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			defer client.Close()
			list, err := listGroups(cmd.Context(), client, states, types)
			if err != nil {
				return err
			}
			var rows []row
			for _, g := range list {
				rows = append(rows, row{g.Group, g.State, g.Type, g.ProtocolType, g.Coordinator})
			}
			return out.print(cmd.OutOrStdout(), list, row{"group", "state", "type", "protocol type", "coordinator"}, rows)
		},
	}
	cmd.Flags().StringSliceVar(&states, "state", nil, "only groups in these states")
	cmd.Flags().StringSliceVar(&types, "type", nil, "only groups of these types: classic, consumer")
	return cmd
}

// listGroups asks all brokers for their groups. Those that do not know types of groups (before Kafka 3.8) have classic ones only.
func listGroups(ctx context.Context, client *kgo.Client, states, types []string) ([]groupRow, error) {
	req := kmsg.NewPtrListGroupsRequest()
	req.StatesFilter, req.TypesFilter = states, types
	list, errs := []groupRow{}, []error(nil)
	for _, shard := range client.RequestSharded(ctx, req) {
		resp, ok := shard.Resp.(*kmsg.ListGroupsResponse)
		err := shard.Err
		if err == nil && ok {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if err != nil || !ok {
			errs = append(errs, fmt.Errorf("list the groups of broker %d: %w", shard.Meta.NodeID, err))
			continue
		}
		for _, g := range resp.Groups {
			list = append(list, groupRow{
				Group: g.Group, State: g.GroupState, Type: cmp.Or(strings.ToLower(g.GroupType), groupClassic), ProtocolType: g.ProtocolType, Coordinator: shard.Meta.NodeID,
			})
		}
	}
	slices.SortFunc(list, func(a, b groupRow) int { return cmp.Compare(a.Group, b.Group) })
	return list, errors.Join(errs...)
}

func newGroupDescribe(c *clientFlags, out *output) *cobra.Command {
	return &cobra.Command{
		Use:     "describe GROUP...",
		Short:   "Show members, assignments, committed offsets and lag",
		Example: "  ottla group describe billing",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			return c.withGroups(cmd, names, func(list []groupRow) error {
				var rows []row
				for _, r := range list {
					for _, o := range r.Offsets {
						rows = append(rows, row{r.Group, r.State, o.Topic, o.Partition, orDash(o.Committed), orDash(o.LogEnd), orDash(o.Lag), o.Member})
					}
					if len(r.Offsets) == 0 {
						rows = append(rows, row{r.Group, r.State, "-", "-", "-", "-", "-", ""})
					}
				}
				header := row{"group", "state", "topic", "partition", "committed", "log end", "lag", "member"}
				return out.print(cmd.OutOrStdout(), list, header, rows)
			})
		},
	}
}

func newGroupMembers(c *clientFlags, out *output) *cobra.Command {
	return &cobra.Command{
		Use:     "members GROUP...",
		Short:   "Show the members of groups and what is assigned to them",
		Example: "  ottla group members billing",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			return c.withGroups(cmd, names, func(list []groupRow) error {
				var rows []row
				for i := range list {
					r := &list[i]
					r.Offsets = nil
					for _, m := range r.Members {
						rows = append(rows, row{r.Group, m.ID, m.Instance, m.Client, m.Host, len(m.Assigned), joined(m.Assigned)})
					}
				}
				return out.print(cmd.OutOrStdout(), list, row{"group", "member", "instance", "client", "host", "partitions", "assigned"}, rows)
			})
		},
	}
}

// lagRow is the lag of a group in one topic.
type lagRow struct {
	Group      string `json:"group"`
	State      string `json:"state"`
	Topic      string `json:"topic"`
	Partitions int    `json:"partitions"`
	Lag        int64  `json:"lag"` // of the partitions whose lag is known
	Unknown    int    `json:"unknown,omitempty"`
}

func newGroupLag(c *clientFlags, out *output) *cobra.Command {
	return &cobra.Command{
		Use:   "lag [GROUP...]",
		Short: "Show by topic how far groups are behind; all groups if none is named",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			return c.withGroupsOrAll(cmd, names, func(list []groupRow) error {
				lags := []lagRow{}
				var rows []row
				for i := range list {
					for _, l := range list[i].lags() {
						lags = append(lags, l)
						rows = append(rows, row{l.Group, l.State, l.Topic, l.Partitions, l.Lag, l.Unknown})
					}
				}
				return out.print(cmd.OutOrStdout(), lags, row{"group", "state", "topic", "partitions", "lag", "unknown"}, rows)
			})
		},
	}
}

// lags sums up by topic.
func (r *groupRow) lags() []lagRow {
	var list []lagRow
	for _, o := range r.Offsets { // sorted by topic
		if n := len(list); n == 0 || list[n-1].Topic != o.Topic {
			list = append(list, lagRow{Group: r.Group, State: r.State, Topic: o.Topic})
		}
		l := &list[len(list)-1]
		l.Partitions++
		if o.Lag < 0 {
			l.Unknown++
		} else {
			l.Lag += o.Lag
		}
	}
	return list
}
