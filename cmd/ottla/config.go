package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"ottla/broker/config"
)

func newConfig() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Look configuration keys up"}
	cmd.AddCommand(&cobra.Command{
		Use:     "explain KEY",
		Short:   "Say what a configuration key means, its type, default and whether it can be changed while running",
		Example: "  ottla config explain log.retention.ms",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := config.Explain(args[0])
			if err == nil {
				fmt.Print(text)
			}
			return err
		},
	}, &cobra.Command{
		Use:   "reference",
		Short: "Print all configuration keys as Markdown",
		Args:  cobra.NoArgs,
		Run:   func(*cobra.Command, []string) { fmt.Print(config.Markdown()) },
	})
	return cmd
}
