package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"
)

func newGroupExport(c *clientFlags, out *output) *cobra.Command {
	var allGroups bool
	var file string
	cmd := &cobra.Command{
		Use:   "export GROUP...",
		Short: "Write committed offsets as CSV, which import and kafka-consumer-groups.sh --from-file read",
		Long: `Write committed offsets as CSV: topic,partition,offset of one group, group,topic,partition,offset of several or of --all-groups.
With -o json or yaml they are written as that.`,
		Example: "  ottla group export billing > offsets.csv",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			if allGroups == (len(names) > 0) {
				return errors.New("name the groups, or give --all-groups")
			}
			withGroup := allGroups || len(names) > 1
			return c.withGroupsOrAll(cmd, names, func(list []groupRow) (err error) {
				offsets := []groupOffset{}
				for _, r := range list {
					for _, o := range r.Offsets {
						if o.Committed >= 0 {
							offsets = append(offsets, groupOffset{r.Group, o.Topic, o.Partition, o.Committed})
						}
					}
				}
				w := cmd.OutOrStdout()
				if file != "" {
					f, err := os.Create(file)
					if err != nil {
						return err
					}
					defer func() {
						if cerr := f.Close(); err == nil {
							err = cerr
						}
					}()
					w = f
				}
				if out.format == "table" {
					return writeOffsetsCSV(w, offsets, withGroup)
				}
				return out.print(w, offsets, nil, nil)
			})
		},
	}
	cmd.Flags().BoolVar(&allGroups, "all-groups", false, "all groups of the cluster")
	cmd.Flags().StringVarP(&file, "file", "f", "", "write to this `file`")
	return cmd
}

func newGroupImport(c *clientFlags, out *output) *cobra.Command {
	var f resetFlags
	cmd := &cobra.Command{
		Use:   "import [GROUP]",
		Short: "Show what offsets a CSV file would give to groups; with --execute, commit them",
		Long: `Read offsets from a CSV file of export or of kafka-consumer-groups.sh --export. A file without a column for the group needs the name of
one. The groups must have no active members; they need not exist. Without --execute nothing is changed.`,
		Example: "  ottla group import billing --file offsets.csv --execute",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			f.set = cmd.Flags()
			if len(names) == 0 {
				// The groups are those of the file. It is read once, here: it may be standard input.
				list, err := readOffsetsFile(f.fromFile, cmd.InOrStdin(), "")
				if err != nil {
					return err
				}
				for _, o := range list {
					if !slices.Contains(names, o.Group) {
						names = append(names, o.Group)
					}
				}
				if len(names) == 0 {
					return fmt.Errorf("%s has no offsets", f.fromFile)
				}
				f.read = list
			}
			return f.run(cmd, c, out, names)
		},
	}
	cmd.Flags().StringVarP(&f.fromFile, "file", "f", "-", "the CSV `file`; - for standard input")
	cmd.Flags().BoolVar(&f.execute, "execute", false, "do it")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only show it; the default")
	cmd.MarkFlagsMutuallyExclusive("execute", "dry-run")
	return cmd
}

// readOffsetsFile reads a CSV file, or standard input for "-".
func readOffsetsFile(name string, stdin io.Reader, group string) ([]groupOffset, error) {
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	list, err := readOffsetsCSV(in, group)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	sortOffsets(list)
	return list, nil
}
