package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func compareOpenTxns(x, y openTxn) int {
	return cmp.Or(cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition), cmp.Compare(x.StartOffset, y.StartOffset))
}

func newTxnFindHanging(c *clientFlags, out *output) *cobra.Command {
	var topics []string
	var age time.Duration
	cmd := &cobra.Command{
		Use:   "find-hanging",
		Short: "Find open transactions that no coordinator will end",
		Long: "Finds transactions that leaders of partitions have open and that no coordinator will ever end. They hold back the last stable\n" +
			"offset, so that read_committed consumers get nothing more. `ottla txn abort --topic ... --partition ... --start-offset ...` ends one.",
		Example: "  ottla txn find-hanging --topic orders",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := c.admin()
			if err != nil {
				return err
			}
			defer admin.Close()
			// Internal topics count too: commits of offsets belong to transactions.
			meta, err := admin.Metadata(cmd.Context(), topics...)
			if err != nil {
				return err
			}
			var errs []error
			for _, t := range meta.Topics.Sorted() {
				if t.Err != nil {
					errs = append(errs, fmt.Errorf("topic %s: %w", t.Topic, t.Err))
				}
			}
			if len(errs) > 0 {
				return errors.Join(errs...)
			}
			producers, err := admin.DescribeProducers(cmd.Context(), meta.Topics.TopicsSet())
			if err != nil {
				return err
			}
			for _, p := range producers.SortedPartitions() {
				if p.Err != nil {
					errs = append(errs, fmt.Errorf("%s-%d: %w", p.Topic, p.Partition, p.Err))
				}
			}
			found, err := findHanging(cmd.Context(), admin, openTxns(producers, time.Now().Add(-age)))
			if err != nil {
				return errors.Join(append(errs, err)...)
			}
			var rows []row
			for _, h := range found {
				idle := time.Since(time.UnixMilli(h.LastTimestampMs)).Round(time.Second)
				rows = append(rows, row{h.Topic, h.Partition, h.StartOffset, h.ProducerID, h.ProducerEpoch, h.CoordinatorEpoch, idle, h.ID, h.Why})
			}
			header := row{"topic", "partition", "start offset", "producer id", "epoch", "coordinator epoch", "idle", "transactional id", "reason"}
			return errors.Join(append(errs, out.print(cmd.OutOrStdout(), found, header, rows))...)
		},
	}
	cmd.Flags().StringSliceVar(&topics, "topic", nil, "only these topics; all of them when left out")
	cmd.Flags().DurationVar(&age, "max-transaction-timeout", 15*time.Minute, "only transactions without a write for so long: the brokers' transaction.max.timeout.ms")
	return cmd
}

func findHanging(ctx context.Context, admin *kadm.Client, open []openTxn) ([]openTxn, error) {
	if len(open) == 0 {
		return []openTxn{}, nil
	}
	seen := map[int64]bool{}
	var producers []int64
	for _, o := range open {
		if !seen[o.ProducerID] {
			seen[o.ProducerID] = true
			producers = append(producers, o.ProducerID)
		}
	}
	// A coordinator that does not answer may be the one that knows the transaction: then nothing is called hanging.
	listed, err := admin.ListTransactions(ctx, producers, nil)
	if err != nil || len(listed) == 0 {
		return hanging(open, listed, nil), err
	}
	described, err := admin.DescribeTransactions(ctx, listed.TransactionalIDs()...)
	if err != nil {
		return nil, err
	}
	return hanging(open, listed, described), nil
}

func newTxnAbort(c *clientFlags) *cobra.Command {
	var topic string
	var partition int32
	var start int64
	cmd := &cobra.Command{
		Use:   "abort [TRANSACTIONAL-ID]",
		Short: "Abort a transaction, through its coordinator or, when it hangs, in one partition",
		Long: "With a transactional id, its coordinator aborts the open transaction and fences the producer that has it.\n" +
			"With --topic, --partition and --start-offset, an abort marker is written for the transaction that begins there: only for one that\n" +
			"`ottla txn find-hanging` found, since its coordinator does not learn of it.",
		Example: "  ottla txn abort billing-1\n  ottla txn abort --topic orders --partition 3 --start-offset 4711",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			byOffset := cmd.Flags().Changed("topic") && cmd.Flags().Changed("partition") && cmd.Flags().Changed("start-offset")
			some := cmd.Flags().Changed("topic") || cmd.Flags().Changed("partition") || cmd.Flags().Changed("start-offset")
			if some != byOffset || byOffset == (len(ids) == 1) {
				return errors.New("either a transactional id or all of --topic, --partition and --start-offset")
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			defer client.Close()
			admin := kadm.NewClient(client)
			admin.SetTimeoutMillis(int32(c.timeout.Milliseconds()))
			if byOffset {
				if err := abortHanging(cmd.Context(), admin, topic, partition, start); err != nil {
					return fmt.Errorf("abort the transaction at offset %d of %s-%d: %w", start, topic, partition, err)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "aborted the transaction at offset %d of %s-%d\n", start, topic, partition)
				return nil
			}
			if err := abortID(cmd.Context(), c, client, admin, ids[0]); err != nil {
				return fmt.Errorf("abort the transaction of %s: %w", ids[0], err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "aborted the transaction of %s\n", ids[0])
			return nil
		},
	}
	cmd.Flags().StringVar(&topic, "topic", "", "topic of a hanging transaction")
	cmd.Flags().Int32Var(&partition, "partition", 0, "partition of a hanging transaction")
	cmd.Flags().Int64Var(&start, "start-offset", 0, "first offset of a hanging transaction")
	return cmd
}

// abortHanging writes an abort marker for the transaction that the partition's leader has open from start on.
func abortHanging(ctx context.Context, admin *kadm.Client, topic string, partition int32, start int64) error {
	var where kadm.TopicsSet
	where.Add(topic, partition)
	producers, err := admin.DescribeProducers(ctx, where)
	if err != nil {
		return err
	}
	described := producers[topic].Partitions[partition]
	if described.Err != nil {
		return described.Err
	}
	for _, p := range described.ActiveProducers {
		if p.CurrentTxnStartOffset != start || start < 0 {
			continue
		}
		// A producer whose first transaction hangs has no marker in the log yet, and so no epoch of a coordinator: -1.
		marker := kadm.TxnMarkers{ProducerID: p.ProducerID, ProducerEpoch: p.ProducerEpoch, CoordinatorEpoch: max(p.CoordinatorEpoch, 0), Topics: where}
		answers, err := admin.WriteTxnMarkers(ctx, marker)
		if err != nil {
			return err
		}
		answer, ok := answers[p.ProducerID].Topics[topic].Partitions[partition]
		if !ok {
			return errors.New("the leader's answer does not name the partition")
		}
		return answer.Err
	}
	return errors.New("no producer has a transaction open from there")
}

// abortID makes the coordinator abort what is open by initialising the id once more, as a new producer does. An id that
// nobody used is not made.
func abortID(ctx context.Context, c *clientFlags, client *kgo.Client, admin *kadm.Client, id string) error {
	_, err := retry(ctx, c, func() (struct{}, error) {
		described, err := admin.DescribeTransactions(ctx, id)
		if err == nil {
			err = described[id].Err
		}
		return struct{}{}, err
	})
	if err != nil {
		return err
	}
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID = &id
	req.TransactionTimeoutMillis = 1 // nobody writes with this producer
	req.ProducerID, req.ProducerEpoch = -1, -1
	// CONCURRENT_TRANSACTIONS is answered until the markers are written.
	_, err = retry(ctx, c, func() (struct{}, error) {
		resp, err := req.RequestWith(ctx, client)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		return struct{}{}, err
	})
	return err
}
