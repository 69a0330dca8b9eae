package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func TestOpenTransactionsAreThoseThatBeganAndRest(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	producers := kadm.DescribedProducersTopics{"t": {Topic: "t", Partitions: kadm.DescribedProducersPartitions{
		1: {Topic: "t", Partition: 1, ActiveProducers: kadm.DescribedProducers{
			7: {Topic: "t", Partition: 1, ProducerID: 7, CurrentTxnStartOffset: 40, LastTimestamp: 900_000},
			8: {Topic: "t", Partition: 1, ProducerID: 8, CurrentTxnStartOffset: -1, LastTimestamp: 900_000},
			9: {Topic: "t", Partition: 1, ProducerID: 9, CurrentTxnStartOffset: 41, LastTimestamp: 999_999},
		}},
		0: {Topic: "t", Partition: 0, ActiveProducers: kadm.DescribedProducers{
			7: {Topic: "t", Partition: 0, ProducerID: 7, CurrentTxnStartOffset: 0, LastTimestamp: 0},
		}},
	}}}
	open := openTxns(producers, now.Add(-50*time.Second))
	if len(open) != 2 || open[0].Partition != 0 || open[0].StartOffset != 0 || open[1].ProducerID != 7 || open[1].StartOffset != 40 {
		t.Fatalf("%+v", open)
	}
}

func TestHangingTransactions(t *testing.T) {
	in := func(topic string, partition int32) kadm.TopicsSet {
		var s kadm.TopicsSet
		s.Add(topic, partition)
		return s
	}
	open := []openTxn{
		{Topic: "t", Partition: 0, ProducerID: 1}, // its coordinator has the partition
		{Topic: "t", Partition: 1, ProducerID: 1}, // another partition of the same transaction
		{Topic: "t", Partition: 0, ProducerID: 2}, // nobody's
		{Topic: "t", Partition: 0, ProducerID: 3}, // moved on: an empty transaction
		{Topic: "t", Partition: 0, ProducerID: 4}, // forgotten between two requests
	}
	listed := kadm.ListedTransactions{
		"a": {TxnID: "a", ProducerID: 1, State: "Ongoing"},
		"c": {TxnID: "c", ProducerID: 3, State: "CompleteAbort"},
		"d": {TxnID: "d", ProducerID: 4, State: "Empty"},
	}
	described := kadm.DescribedTransactions{
		"a": {TxnID: "a", ProducerID: 1, State: "Ongoing", Topics: in("t", 0)},
		"c": {TxnID: "c", ProducerID: 3, State: "CompleteAbort"},
		"d": {TxnID: "d", Err: kerr.TransactionalIDNotFound},
	}
	var got []string
	for _, h := range hanging(open, listed, described) {
		got = append(got, h.ID+":"+strings.Fields(h.Why)[len(strings.Fields(h.Why))-1])
	}
	if want := []string{"a:it", ":id", "c:it", "d:it"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if none := hanging(nil, nil, nil); none == nil || len(none) != 0 {
		t.Errorf("nothing open: %#v, want an empty list, which is [] as JSON", none)
	}
}

func TestTxnAbortWantsOneWayOfNaming(t *testing.T) {
	for _, args := range [][]string{{}, {"--topic", "t"}, {"--topic", "t", "--partition", "0"}, {"id", "--partition", "0"},
		{"id", "--topic", "t", "--partition", "0", "--start-offset", "1"}} {
		root := newRoot()
		root.SetArgs(append([]string{"txn", "abort", "-b", "127.0.0.1:1"}, args...))
		if err := root.Execute(); err == nil || !strings.Contains(err.Error(), "either a transactional id or all of") {
			t.Errorf("%q: %v", args, err)
		}
	}
}
