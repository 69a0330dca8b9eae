package txn

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/compat-tests/harness"
)

// ottla runs the command line against a broker.
func ottla(t *testing.T, addr string, args ...string) (string, error) {
	t.Helper()
	bin, err := harness.OttlaBinary()
	if errors.Is(err, harness.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), bin, append([]string{"txn", "-b", addr}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, stderr.String())
	}
	return string(out), err
}

func ottlaJSON[T any](t *testing.T, addr string, args ...string) T {
	t.Helper()
	out, err := ottla(t, addr, append(args, "-o", "json")...)
	var v T
	if err == nil {
		err = json.Unmarshal([]byte(out), &v)
	}
	if err != nil {
		t.Fatalf("ottla txn %v: %v\n%s", args, err, out)
	}
	return v
}

type txnRow struct {
	TransactionalID string
	State           string
	ProducerID      int64
	Partitions      []string
	StartOffset     int64
}

func TestCommands(t *testing.T) {
	// Without verification, so that a transaction can be left hanging.
	b := harness.NewBroker(t, harness.Config{ID: 1, Settings: []string{"transaction.partition.verification.enable=false"}})
	tp := topic(t, b.Addr, 1)
	begin := func(t *testing.T, id string) *kgo.Client {
		t.Helper()
		cl := client(t, b.Addr, kgo.TransactionalID(id), kgo.DefaultProduceTopic(tp))
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := cl.ProduceSync(t.Context(), kgo.StringRecord("x")).FirstErr(); err != nil {
			t.Fatal(err)
		}
		return cl
	}
	t.Run("ottla txn list and describe show an open transaction with its partitions", func(t *testing.T) {
		cl := begin(t, "seen")
		if rows := ottlaJSON[[]txnRow](t, b.Addr, "list", "--state", "Ongoing"); len(rows) != 1 || rows[0].TransactionalID != "seen" {
			t.Errorf("list: %+v", rows)
		}
		rows := ottlaJSON[[]txnRow](t, b.Addr, "describe", "seen")
		if len(rows) != 1 || rows[0].State != "Ongoing" || len(rows[0].Partitions) != 1 || rows[0].Partitions[0] != tp+"-0" {
			t.Errorf("describe: %+v", rows)
		}
		if err := cl.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		wait(t, "the state is CompleteCommit", func() error {
			if rows := ottlaJSON[[]txnRow](t, b.Addr, "describe", "seen"); rows[0].State != "CompleteCommit" {
				return errors.New(rows[0].State)
			}
			return nil
		})
	})
	t.Run("ottla txn describe and abort refuse an id that nobody used", func(t *testing.T) {
		for _, command := range []string{"describe", "abort"} {
			if _, err := ottla(t, b.Addr, command, "nobody"); err == nil || !strings.Contains(err.Error(), "TRANSACTIONAL_ID_NOT_FOUND") {
				t.Errorf("%s: %v", command, err)
			}
		}
	})
	t.Run("ottla txn abort of an id ends its transaction and fences the producer", func(t *testing.T) {
		cl := begin(t, "victim")
		if out, err := ottla(t, b.Addr, "abort", "victim"); err != nil || out != "aborted the transaction of victim\n" {
			t.Fatalf("%q, %v", out, err)
		}
		if rows := ottlaJSON[[]txnRow](t, b.Addr, "describe", "victim"); rows[0].State == "Ongoing" || len(rows[0].Partitions) != 0 {
			t.Errorf("describe: %+v", rows)
		}
		err := cl.EndTransaction(t.Context(), kgo.TryCommit)
		if !errors.Is(err, kerr.InvalidProducerEpoch) && !errors.Is(err, kerr.ProducerFenced) {
			t.Errorf("the old producer's commit: %v, want that it is fenced", err)
		}
	})
	t.Run("ottla txn find-hanging finds a transaction without a coordinator, abort ends it", func(t *testing.T) {
		pid, start := writeUnannounced(t, b.Addr, tp, "lost")
		cl := begin(t, "healthy")
		rows := ottlaJSON[[]txnRow](t, b.Addr, "find-hanging", "--topic", tp, "--max-transaction-timeout", "0s")
		if len(rows) != 1 || rows[0].ProducerID != pid || rows[0].StartOffset != start {
			t.Fatalf("find-hanging: %+v, want producer id %d at %d", rows, pid, start)
		}
		if rows := ottlaJSON[[]txnRow](t, b.Addr, "find-hanging"); len(rows) != 0 {
			t.Errorf("find-hanging calls a young transaction hanging: %+v", rows)
		}
		if err := cl.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		adm := kadm.NewClient(cl)
		stable := func() int64 {
			ends, err := adm.ListCommittedOffsets(t.Context(), tp)
			if err != nil {
				t.Fatal(err)
			}
			return ends[tp][0].Offset
		}
		if got := stable(); got != start {
			t.Errorf("last stable offset %d, want %d: the transaction holds it", got, start)
		}
		at := []string{"abort", "--topic", tp, "--partition", "0", "--start-offset"}
		if _, err := ottla(t, b.Addr, append(at, fmt.Sprint(start+1))...); err == nil || !strings.Contains(err.Error(), "no producer has a transaction open from there") {
			t.Errorf("abort at another offset: %v", err)
		}
		if _, err := ottla(t, b.Addr, append(at, fmt.Sprint(start))...); err != nil {
			t.Fatal(err)
		}
		wait(t, "the last stable offset moves", func() error {
			if got := stable(); got <= start {
				return fmt.Errorf("it is %d", got)
			}
			return nil
		})
		if rows := ottlaJSON[[]txnRow](t, b.Addr, "find-hanging", "--max-transaction-timeout", "0s"); len(rows) != 0 {
			t.Errorf("it still hangs: %+v", rows)
		}
	})
}
