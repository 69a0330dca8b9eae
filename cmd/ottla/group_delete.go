package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func newGroupDelete(c *clientFlags, out *output) *cobra.Command {
	return &cobra.Command{
		Use:     "delete GROUP...",
		Short:   "Delete groups without members, and their offsets",
		Example: "  ottla group delete billing",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			admin, err := c.admin()
			if err != nil {
				return err
			}
			defer admin.Close()
			resps, err := admin.DeleteGroups(cmd.Context(), names...)
			if len(resps) == 0 && err != nil {
				return err
			}
			type deleted struct {
				Group string `json:"group"`
			}
			list := []deleted{}
			var rows []row
			var errs []error
			for _, r := range resps.Sorted() {
				if r.Err != nil {
					errs = append(errs, fmt.Errorf("group %s: %w", r.Group, withMessage(r.Err, r.ErrMessage)))
					continue
				}
				list = append(list, deleted{r.Group})
				rows = append(rows, row{r.Group})
			}
			if len(list) > 0 {
				if err := out.print(cmd.OutOrStdout(), list, row{"deleted"}, rows); err != nil {
					return err
				}
			}
			return errors.Join(errs...)
		},
	}
}

func newGroupDeleteOffsets(c *clientFlags, out *output) *cobra.Command {
	var topics []string
	cmd := &cobra.Command{
		Use:     "delete-offsets GROUP",
		Short:   "Delete a group's offsets for topics that it is not subscribed to",
		Example: "  ottla group delete-offsets billing --topic old-orders --topic orders:3",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			scopes, err := parseScopes(topics)
			if err != nil {
				return err
			}
			admin, err := c.admin()
			if err != nil {
				return err
			}
			defer admin.Close()
			partitions, err := scopedPartitions(cmd.Context(), admin, scopes)
			if err != nil {
				return err
			}
			set := make(kadm.TopicsSet)
			for _, tp := range partitions {
				set.Add(tp.topic, tp.partition)
			}
			resps, err := admin.DeleteOffsets(cmd.Context(), args[0], set)
			if err != nil {
				return fmt.Errorf("group %s: %w", args[0], err)
			}
			type deleted struct {
				Topic     string `json:"topic"`
				Partition int32  `json:"partition"`
			}
			list := []deleted{}
			var rows []row
			var errs []error
			for _, tp := range partitions {
				if err := resps[tp.topic][tp.partition]; err != nil {
					errs = append(errs, fmt.Errorf("%s: %w", tp, err))
					continue
				}
				list = append(list, deleted{tp.topic, tp.partition})
				rows = append(rows, row{tp.topic, tp.partition})
			}
			if len(list) > 0 {
				if err := out.print(cmd.OutOrStdout(), list, row{"topic", "partition"}, rows); err != nil {
					return err
				}
			}
			return errors.Join(errs...)
		},
	}
	cmd.Flags().StringArrayVar(&topics, "topic", nil, "`topic`, or topic:0,1 for some of its partitions; may be repeated")
	_ = cmd.MarkFlagRequired("topic") // fails only for a flag that does not exist
	return cmd
}
