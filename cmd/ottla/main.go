// Command ottla is a Kafka broker and the tools to work with one.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// Set by the linker (see the Makefile).
var (
	version = "dev"
	commit  = "unknown"
)

func main() {
	if err := newRoot().Execute(); err != nil {
		var silent *exitError
		if errors.As(err, &silent) {
			if silent.err != nil {
				fmt.Fprintln(os.Stderr, "ottla:", silent.err)
			}
			os.Exit(silent.code)
		}
		fmt.Fprintln(os.Stderr, "ottla:", err)
		os.Exit(1)
	}
}

// exitError ends the program with a code of its own; err may be nil if everything has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "ottla",
		Short:         "A Kafka broker, and tools for Kafka brokers",
		Version:       version + " (" + commit + ")",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newBroker(), newConfig(), newHealth(), newTopic(), newGroup(), newPartition(), newTxn(), newProduce(), newConsume())
	return root
}
