package main

import (
	"github.com/spf13/cobra"
)

func newPartition() *cobra.Command {
	var c clientFlags
	var out output
	cmd := &cobra.Command{
		Use:               "partition",
		Short:             "Move replicas of partitions between brokers",
		PersistentPreRunE: func(*cobra.Command, []string) error { return out.check() },
	}
	c.add(cmd)
	out.add(cmd)
	cmd.AddCommand(newPartitionReassign(&c, &out))
	return cmd
}
