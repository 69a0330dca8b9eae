package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func newTxn() *cobra.Command {
	var c clientFlags
	var out output
	cmd := &cobra.Command{
		Use:               "txn",
		Short:             "List, describe and abort transactions",
		PersistentPreRunE: func(*cobra.Command, []string) error { return out.check() },
	}
	c.add(cmd)
	out.add(cmd)
	cmd.AddCommand(newTxnList(&c, &out), newTxnDescribe(&c, &out), newTxnAbort(&c), newTxnFindHanging(&c, &out))
	return cmd
}

type txnRow struct {
	ID          string   `json:"transactionalId"`
	State       string   `json:"state"`
	ProducerID  int64    `json:"producerId"`
	Epoch       *int16   `json:"producerEpoch,omitempty"`
	Coordinator int32    `json:"coordinator"`
	TimeoutMs   int32    `json:"timeoutMs,omitempty"`
	StartMs     *int64   `json:"startTimestamp,omitempty"` // of an open transaction
	Partitions  []string `json:"partitions,omitempty"`
}

func newTxnList(c *clientFlags, out *output) *cobra.Command {
	var states []string
	var producers []int64
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List transactional ids and the state of their last transaction",
		Example: "  ottla txn list --state Ongoing,PrepareAbort",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := c.admin()
			if err != nil {
				return err
			}
			defer admin.Close()
			listed, err := admin.ListTransactions(cmd.Context(), producers, states)
			if err != nil {
				return err
			}
			list := []txnRow{}
			var rows []row
			for _, l := range listed.Sorted() {
				list = append(list, txnRow{ID: l.TxnID, State: l.State, ProducerID: l.ProducerID, Coordinator: l.Coordinator})
				rows = append(rows, row{l.TxnID, l.State, l.ProducerID, l.Coordinator})
			}
			return out.print(cmd.OutOrStdout(), list, row{"transactional id", "state", "producer id", "coordinator"}, rows)
		},
	}
	cmd.Flags().StringSliceVar(&states, "state", nil, "only transactions in these states")
	cmd.Flags().Int64SliceVar(&producers, "producer-id", nil, "only transactions of these producer ids")
	return cmd
}

func newTxnDescribe(c *clientFlags, out *output) *cobra.Command {
	return &cobra.Command{
		Use:     "describe TRANSACTIONAL-ID...",
		Short:   "Show producer, state, age and partitions of transactions",
		Example: "  ottla txn describe billing-1",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			admin, err := c.admin()
			if err != nil {
				return err
			}
			defer admin.Close()
			described, err := retry(cmd.Context(), c, func() (kadm.DescribedTransactions, error) {
				ds, err := admin.DescribeTransactions(cmd.Context(), ids...)
				for _, id := range ids {
					err = errors.Join(err, ds[id].Err)
				}
				return ds, err
			})
			if len(described) == 0 && err != nil {
				return err
			}
			var list []txnRow
			var rows []row
			var errs []error
			now := time.Now()
			for _, id := range ids {
				d, ok := described[id]
				if !ok {
					d.Err = errors.New("no answer")
				}
				if d.Err != nil {
					errs = append(errs, fmt.Errorf("transactional id %s: %w", id, d.Err))
					continue
				}
				r := describeTxn(&d)
				age := "-"
				if r.StartMs != nil {
					age = now.Sub(time.UnixMilli(*r.StartMs)).Round(time.Second).String()
				}
				list = append(list, r)
				rows = append(rows, row{r.ID, r.State, r.ProducerID, *r.Epoch, r.Coordinator, time.Duration(r.TimeoutMs) * time.Millisecond, age, joinOrDash(r.Partitions)})
			}
			if len(list) > 0 {
				header := row{"transactional id", "state", "producer id", "epoch", "coordinator", "timeout", "age", "partitions"}
				if err := out.print(cmd.OutOrStdout(), list, header, rows); err != nil {
					return err
				}
			}
			return errors.Join(errs...)
		},
	}
}

func describeTxn(d *kadm.DescribedTransaction) txnRow {
	r := txnRow{ID: d.TxnID, State: d.State, ProducerID: d.ProducerID, Epoch: &d.ProducerEpoch, Coordinator: d.Coordinator, TimeoutMs: d.TimeoutMillis}
	if d.StartTimestamp >= 0 && d.State != "Empty" {
		r.StartMs = &d.StartTimestamp
	}
	for _, t := range d.Topics.Sorted() {
		for _, p := range t.Partitions {
			r.Partitions = append(r.Partitions, fmt.Sprintf("%s-%d", t.Topic, p))
		}
	}
	return r
}

func joinOrDash(list []string) string {
	if len(list) == 0 {
		return "-"
	}
	const shown = 4
	text := ""
	for i, s := range list[:min(shown, len(list))] {
		if i > 0 {
			text += " "
		}
		text += s
	}
	if len(list) > shown {
		text += fmt.Sprintf(" and %d more", len(list)-shown)
	}
	return text
}

// openTxn is a transaction that a partition's leader has open.
type openTxn struct {
	Topic            string `json:"topic"`
	Partition        int32  `json:"partition"`
	StartOffset      int64  `json:"startOffset"`
	ProducerID       int64  `json:"producerId"`
	ProducerEpoch    int16  `json:"producerEpoch"`
	CoordinatorEpoch int32  `json:"coordinatorEpoch"`
	LastTimestampMs  int64  `json:"lastTimestamp"`
	ID               string `json:"transactionalId,omitempty"` // of the producer id, when a coordinator knows it
	Why              string `json:"reason"`
}

// openTxns are those in which nothing was written since before, in the order of partitions.
func openTxns(topics kadm.DescribedProducersTopics, before time.Time) []openTxn {
	var open []openTxn
	topics.EachProducer(func(p kadm.DescribedProducer) {
		if p.CurrentTxnStartOffset < 0 || p.LastTimestamp > before.UnixMilli() {
			return
		}
		open = append(open, openTxn{Topic: p.Topic, Partition: p.Partition, StartOffset: p.CurrentTxnStartOffset, ProducerID: p.ProducerID,
			ProducerEpoch: p.ProducerEpoch, CoordinatorEpoch: p.CoordinatorEpoch, LastTimestampMs: p.LastTimestamp})
	})
	slices.SortFunc(open, compareOpenTxns)
	return open
}

// hanging are the open transactions that no coordinator will ever end: their producer id belongs to no transactional id,
// or the transaction that it has now does not name the partition. Kafka's TransactionsCommand decides by the same rules.
func hanging(open []openTxn, listed kadm.ListedTransactions, described kadm.DescribedTransactions) []openTxn {
	ids := map[int64]string{}
	for id, l := range listed {
		ids[l.ProducerID] = id
	}
	list := []openTxn{}
	for _, o := range open {
		id, known := ids[o.ProducerID]
		o.ID = id
		d, have := described[id]
		switch {
		case !known:
			o.Why = "no transactional id has this producer id"
		case !have || d.Err != nil:
			o.Why = "its coordinator cannot describe it"
		case !d.Topics.Lookup(o.Topic, o.Partition):
			o.Why = "its coordinator does not have this partition in it"
		default:
			continue
		}
		list = append(list, o)
	}
	return list
}
