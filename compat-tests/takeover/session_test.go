package takeover

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"ottla/compat-tests/harness"
)

// session is what is done with one broker between its start and its end.
type session struct {
	t    *testing.T
	b    *harness.Broker
	ctx  context.Context
	cl   *kgo.Client
	adm  *kadm.Client
	stop func()
}

func newSession(t *testing.T, b *harness.Broker) *session {
	t.Helper()
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(1, 11) // Fetch by topic name
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.MaxVersions(versions))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
	s := &session{t: t, b: b, ctx: ctx, cl: cl, adm: kadm.NewClient(cl)}
	s.stop = func() { stop(); cl.Close() }
	t.Cleanup(s.stop)
	return s
}

func (s *session) close() { s.stop() }

// ask sends a request to the broker and returns its response.
func ask[R any](s *session, req kmsg.Request) R {
	s.t.Helper()
	resp, err := s.cl.SeedBrokers()[0].RetriableRequest(s.ctx, req)
	if err != nil {
		s.t.Fatalf("%T: %v", req, err)
	}
	return resp.(R)
}

// await tries until it succeeds.
func (s *session) await(what string, try func() error) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("waited too long for %s: %v", what, err)
		}
	}
}

func (s *session) create(c set) {
	s.t.Helper()
	configs := map[string]*string{"segment.bytes": kadm.StringPtr("16384"), "index.interval.bytes": kadm.StringPtr("500")}
	for k, v := range c.configs {
		configs[k] = kadm.StringPtr(v)
	}
	if _, err := s.adm.CreateTopic(s.ctx, c.partitions, 1, configs, c.topic); err != nil {
		s.t.Fatalf("create %s: %v", c.topic, err)
	}
}

// start is the time of the first record, in the past, so that retention by time does not matter and lookups have something to find.
var start = time.Now().Add(-time.Hour).Truncate(time.Second)

// produce sends records with a client of its own: a new producer id, unless opts turn idempotence off.
func (s *session) produce(records []*kgo.Record, opts ...kgo.Opt) {
	s.t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(s.b.Addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(3000), kgo.ProducerLinger(time.Millisecond),
		kgo.MaxBufferedRecords(200),
	}, opts...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(s.ctx, records...).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
}

func retriable(code int16) error {
	switch err := kerr.ErrorForCode(code); err {
	case kerr.NotLeaderForPartition, kerr.UnknownTopicOrPartition, kerr.LeaderNotAvailable, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator:
		return err
	}
	return nil
}
