package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func newTopic() *cobra.Command {
	var c clientFlags
	var out output
	cmd := &cobra.Command{
		Use:               "topic",
		Short:             "Create, list, describe, alter and delete topics",
		PersistentPreRunE: func(*cobra.Command, []string) error { return out.check() },
	}
	c.add(cmd)
	out.add(cmd)
	cmd.AddCommand(newTopicCreate(&c, &out), newTopicList(&c, &out), newTopicDescribe(&c, &out), newTopicAlter(&c), newTopicDelete(&c))
	return cmd
}

func newTopicCreate(c *clientFlags, out *output) *cobra.Command {
	var partitions int32
	var replicas int16
	var configs []string
	var ifNotExists, dryRun bool
	cmd := &cobra.Command{
		Use:   "create NAME...",
		Short: "Create topics",
		Example: `  ottla topic create orders --partitions 12 --replication-factor 3
  ottla topic create users --config cleanup.policy=compact`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			values, err := parseConfigs(configs)
			if err != nil {
				return err
			}
			admin, err := c.admin()
			if err != nil {
				return err
			}
			defer admin.Close()
			create := admin.CreateTopics
			if dryRun {
				create = admin.ValidateCreateTopics
			}
			created, err := create(cmd.Context(), partitions, replicas, values, names...)
			if err != nil {
				return err
			}
			return reportCreated(cmd, out, created, ifNotExists)
		},
	}
	cmd.Flags().Int32VarP(&partitions, "partitions", "p", -1, "number of partitions; -1 for the broker's default")
	cmd.Flags().Int16VarP(&replicas, "replication-factor", "r", -1, "replicas of each partition; -1 for the broker's default")
	cmd.Flags().StringArrayVar(&configs, "config", nil, "topic config `key=value`; may be repeated")
	cmd.Flags().BoolVar(&ifNotExists, "if-not-exists", false, "a topic that exists is not an error")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "let the broker check the request, and create nothing")
	return cmd
}

// topicRow is one created, listed or described topic.
type topicRow struct {
	Name              string            `json:"name"`
	ID                string            `json:"id,omitempty"`
	Partitions        int               `json:"partitions"`
	ReplicationFactor int               `json:"replicationFactor"`
	Internal          bool              `json:"internal,omitempty"`
	Configs           map[string]string `json:"configs,omitempty"`
	Assignment        []partitionRow    `json:"assignment,omitempty"`
}

type partitionRow struct {
	Partition int32   `json:"partition"`
	Leader    int32   `json:"leader"`
	Epoch     int32   `json:"leaderEpoch"`
	Replicas  []int32 `json:"replicas"`
	ISR       []int32 `json:"isr"`
	Offline   []int32 `json:"offline,omitempty"`
}

// topicID is an id as Kafka's tools print it, empty for none.
func topicID(id kadm.TopicID) string {
	if id == (kadm.TopicID{}) {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(id[:])
}

func reportCreated(cmd *cobra.Command, out *output, created kadm.CreateTopicResponses, ifNotExists bool) error {
	var list []topicRow
	var rows []row
	var errs []error
	for _, r := range created.Sorted() {
		if r.Err != nil {
			if !ifNotExists || !strings.Contains(r.Err.Error(), "TOPIC_ALREADY_EXISTS") {
				errs = append(errs, fmt.Errorf("%s: %w", r.Topic, withMessage(r.Err, r.ErrMessage)))
			}
			continue
		}
		t := topicRow{Name: r.Topic, ID: topicID(r.ID), Partitions: int(r.NumPartitions), ReplicationFactor: int(r.ReplicationFactor)}
		list = append(list, t)
		rows = append(rows, row{t.Name, t.Partitions, t.ReplicationFactor, t.ID})
	}
	if len(list) > 0 {
		if err := out.print(cmd.OutOrStdout(), list, row{"topic", "partitions", "replicas", "id"}, rows); err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}

// withMessage adds the broker's own words to the general text of an error code.
func withMessage(err error, message string) error {
	if message == "" {
		return err
	}
	return fmt.Errorf("%s (%w)", message, err)
}

func parseConfigs(items []string) (map[string]*string, error) {
	values := make(map[string]*string, len(items))
	for _, item := range items {
		key, value, ok := strings.Cut(item, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("--config: %q is not key=value", item)
		}
		values[key] = &value
	}
	return values, nil
}

func newTopicList(c *clientFlags, out *output) *cobra.Command {
	var internal bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List topics",
		Example: "  ottla topic list -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := c.admin()
			if err != nil {
				return err
			}
			defer admin.Close()
			topics, err := admin.ListTopicsWithInternal(cmd.Context())
			if err != nil {
				return err
			}
			list := []topicRow{}
			var rows []row
			for _, t := range topics.Sorted() {
				if t.IsInternal && !internal {
					continue
				}
				r := topicRow{
					Name: t.Topic, ID: topicID(t.ID), Internal: t.IsInternal,
					Partitions: len(t.Partitions), ReplicationFactor: t.Partitions.NumReplicas(),
				}
				list = append(list, r)
				rows = append(rows, row{r.Name, r.Partitions, r.ReplicationFactor})
			}
			return out.print(cmd.OutOrStdout(), list, row{"topic", "partitions", "replicas"}, rows)
		},
	}
	cmd.Flags().BoolVar(&internal, "internal", false, "also the topics that brokers keep for themselves")
	return cmd
}

func newTopicDescribe(c *clientFlags, out *output) *cobra.Command {
	return &cobra.Command{
		Use:     "describe NAME...",
		Short:   "Show partitions, leaders, replicas and the configs that differ from the defaults",
		Example: "  ottla topic describe orders",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			admin, err := c.admin()
			if err != nil {
				return err
			}
			defer admin.Close()
			list, rows, err := describeTopics(cmd.Context(), admin, names)
			if len(list) > 0 {
				if perr := out.print(cmd.OutOrStdout(), list, row{"topic", "partition", "leader", "epoch", "replicas", "isr", "configs"}, rows); perr != nil {
					return perr
				}
			}
			return err
		},
	}
}

func describeTopics(ctx context.Context, admin *kadm.Client, names []string) (list []topicRow, rows []row, err error) {
	topics, err := admin.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return nil, nil, err
	}
	var errs []error
	var found []string
	for _, t := range topics.Sorted() {
		if t.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", t.Topic, t.Err))
			continue
		}
		found = append(found, t.Topic)
	}
	configs := make(map[string]map[string]string)
	if len(found) > 0 {
		described, err := admin.DescribeTopicConfigs(ctx, found...)
		if err != nil {
			return nil, nil, err
		}
		for _, d := range described {
			configs[d.Name] = ownConfigs(d)
		}
	}
	for _, name := range found {
		t := topics[name]
		r := topicRow{
			Name: t.Topic, ID: topicID(t.ID), Internal: t.IsInternal, Configs: configs[name],
			Partitions: len(t.Partitions), ReplicationFactor: t.Partitions.NumReplicas(),
		}
		for i, p := range t.Partitions.Sorted() {
			r.Assignment = append(r.Assignment, partitionRow{p.Partition, p.Leader, p.LeaderEpoch, p.Replicas, p.ISR, p.OfflineReplicas})
			text := ""
			if i == 0 {
				text = joinConfigs(r.Configs)
			}
			rows = append(rows, row{t.Topic, p.Partition, p.Leader, p.LeaderEpoch, ids(p.Replicas), ids(p.ISR), text})
		}
		list = append(list, r)
	}
	return list, rows, errors.Join(errs...)
}

// ownConfigs are those that were set for the topic.
func ownConfigs(d kadm.ResourceConfig) map[string]string {
	own := make(map[string]string)
	for _, c := range d.Configs {
		if c.Source.String() == "DYNAMIC_TOPIC_CONFIG" && c.Value != nil {
			own[c.Key] = *c.Value
		}
	}
	return own
}

func joinConfigs(configs map[string]string) string {
	var items []string
	for _, k := range slices.Sorted(maps.Keys(configs)) {
		items = append(items, k+"="+configs[k])
	}
	return strings.Join(items, ",")
}

func ids(list []int32) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(list), " ", ","), "[]")
}

func newTopicAlter(c *clientFlags) *cobra.Command {
	var sets, unsets []string
	var partitions int
	cmd := &cobra.Command{
		Use:   "alter NAME",
		Short: "Change a topic's configs or add partitions",
		Example: `  ottla topic alter orders --config retention.ms=3600000 --unset max.message.bytes
  ottla topic alter orders --partitions 24`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			values, err := parseConfigs(sets)
			if err != nil {
				return err
			}
			if len(values)+len(unsets) == 0 && partitions == 0 {
				return errors.New("nothing to change: give --config, --unset or --partitions")
			}
			admin, err := c.admin()
			if err != nil {
				return err
			}
			defer admin.Close()
			var changes []kadm.AlterConfig
			for _, k := range slices.SortedFunc(maps.Keys(values), cmp.Compare[string]) {
				changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: k, Value: values[k]})
			}
			for _, k := range unsets {
				changes = append(changes, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: k})
			}
			if len(changes) > 0 {
				resps, err := admin.AlterTopicConfigs(cmd.Context(), changes, args[0])
				if err != nil {
					return err
				}
				for _, r := range resps {
					if r.Err != nil {
						return fmt.Errorf("%s: %w", r.Name, withMessage(r.Err, r.ErrMessage))
					}
				}
			}
			if partitions > 0 {
				resps, err := admin.UpdatePartitions(cmd.Context(), partitions, args[0])
				if err != nil {
					return err
				}
				for _, r := range resps {
					if r.Err != nil {
						return fmt.Errorf("%s: %w", r.Topic, withMessage(r.Err, r.ErrMessage))
					}
				}
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&sets, "config", nil, "set `key=value`; may be repeated")
	cmd.Flags().StringArrayVar(&unsets, "unset", nil, "go back to the broker's default for `key`; may be repeated")
	cmd.Flags().IntVarP(&partitions, "partitions", "p", 0, "grow to this many partitions")
	return cmd
}

func newTopicDelete(c *clientFlags) *cobra.Command {
	var ifExists bool
	cmd := &cobra.Command{
		Use:     "delete NAME...",
		Short:   "Delete topics and all their records",
		Example: "  ottla topic delete orders",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			admin, err := c.admin()
			if err != nil {
				return err
			}
			defer admin.Close()
			resps, err := admin.DeleteTopics(cmd.Context(), names...)
			if err != nil {
				return err
			}
			var errs []error
			for _, r := range resps.Sorted() {
				if r.Err != nil && !(ifExists && strings.Contains(r.Err.Error(), "UNKNOWN_TOPIC_OR_PARTITION")) {
					errs = append(errs, fmt.Errorf("%s: %w", r.Topic, withMessage(r.Err, r.ErrMessage)))
				}
			}
			return errors.Join(errs...)
		},
	}
	cmd.Flags().BoolVar(&ifExists, "if-exists", false, "a topic that does not exist is not an error")
	return cmd
}
