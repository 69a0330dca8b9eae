package admin

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/compat-tests/harness"
)

var update = flag.Bool("update", false, "write the answers of this broker as the expected ones; it must be Apache Kafka")

func TestMain(m *testing.M) { harness.Main(m) }

// step is one call, or a few that belong together; its answer is compared.
type step struct {
	name string
	run  func(*run) any
}

// run is what the steps of one program share.
type run struct {
	ctx context.Context
	cl  *kgo.Client
	adm *kadm.Client
	env environment
	t   *testing.T

	broker int32  // the id of the broker under test
	dir    string // its log directory

	apis *kadm.BrokerApiVersions

	members []*kgo.Client
}

// answer is the pair that most methods return.
func answer[T any](v T, err error) any {
	if err != nil {
		return map[string]any{"error": err}
	}
	return v
}

func TestAdmin(t *testing.T) {
	addr := harness.Bootstrap(t)
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ClientID("compat"), kgo.RetryTimeout(10*time.Second),
		kgo.RequestRetries(3), kgo.ManualFlushing(), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableIdempotentWrite(),
		kgo.RequiredAcks(kgo.LeaderAck()), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	r := &run{ctx: ctx, cl: cl, adm: kadm.NewClient(cl), env: environment{addr: addr}, t: t}
	defer r.leave()
	r.clean()

	got := map[string]string{}
	var steps []step
	for _, part := range [][]step{clusterSteps, apiSteps(), topicSteps, configSteps, recordSteps, groupSteps, replicaSteps, securitySteps, transactionSteps, deletionSteps} {
		for _, s := range part {
			if _, twice := got[s.name]; twice {
				t.Fatalf("two steps are called %q", s.name)
			}
			steps = append(steps, s)
			got[s.name] = text(t, r.env.plain(s.run(r)))
		}
	}

	golden := filepath.Join("testdata", "kafka-"+harness.KafkaVersion+".json")
	if *update {
		write(t, golden, got)
	}
	want := read(t, golden)
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			if w, known := want[s.name]; !known {
				t.Errorf("no answer of Kafka is recorded; this one was:\n%s", got[s.name])
			} else if got[s.name] != w {
				t.Errorf("not as Apache Kafka %s answers (- Kafka, + this broker):\n%s", harness.KafkaVersion, diff(w, got[s.name]))
			}
		})
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func write(t *testing.T, path string, got map[string]string) {
	t.Helper()
	raw := map[string]json.RawMessage{}
	for k, v := range got {
		raw[k] = json.RawMessage(v)
	}
	if err := os.WriteFile(path, []byte(text(t, raw)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var raw map[string]any
	if err := json.Unmarshal(b, &raw); err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for k, v := range raw {
		m[k] = text(t, v)
	}
	return m
}

// diff shows the lines that are only in one of two texts, with their surroundings left out.
func diff(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	// Longest common subsequence over lines; the texts have at most a few thousand of them.
	lcs := make([][]int32, len(w)+1)
	for i := range lcs {
		lcs[i] = make([]int32, len(g)+1)
	}
	for i := len(w) - 1; i >= 0; i-- {
		for j := len(g) - 1; j >= 0; j-- {
			if w[i] == g[j] {
				lcs[i][j] = lcs[i+1][j+1] + 1
			} else {
				lcs[i][j] = max(lcs[i+1][j], lcs[i][j+1])
			}
		}
	}
	var out []string
	for i, j := 0, 0; i < len(w) || j < len(g); {
		switch {
		case i < len(w) && j < len(g) && w[i] == g[j]:
			i, j = i+1, j+1
		case j == len(g) || i < len(w) && lcs[i+1][j] >= lcs[i][j+1]:
			out = append(out, fmt.Sprintf("%5d - %s", i+1, w[i]))
			i++
		default:
			out = append(out, fmt.Sprintf("%5d + %s", j+1, g[j]))
			j++
		}
	}
	if len(out) > 60 {
		out = append(out[:60], fmt.Sprintf("... and %d more lines", len(out)-60))
	}
	return strings.Join(out, "\n")
}
