package txn

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator"
)

// Topic is the internal topic of the transaction coordinator.
const Topic = "__transaction_state"

// Config are the settings of the transaction coordinator, by Kafka's keys. New fills in Kafka's defaults for what is zero.
type Config struct {
	MaxTimeout           time.Duration // transaction.max.timeout.ms, 15 min
	IDExpiration         time.Duration // transactional.id.expiration.ms, 7 days
	AbortOverdueInterval time.Duration // transaction.abort.timed.out.transaction.cleanup.interval.ms, 10 s
	ExpireInterval       time.Duration // transaction.remove.expired.transaction.cleanup.interval.ms, 1 h
	CommitTimeout        time.Duration // request.timeout.ms, 30 s
	LoadBytes            int           // transaction.state.log.load.buffer.size, 5 MiB
	Log                  zerolog.Logger
}

func (c Config) withDefaults() Config {
	setDefault(&c.MaxTimeout, 15*time.Minute)
	setDefault(&c.IDExpiration, 7*24*time.Hour)
	setDefault(&c.AbortOverdueInterval, 10*time.Second)
	setDefault(&c.ExpireInterval, time.Hour)
	setDefault(&c.CommitTimeout, 30*time.Second)
	return c
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Deps is what the coordinator asks of the broker. The functions are called from any goroutine.
type Deps struct {
	// Partitions is the number of partitions of __transaction_state, 0 if it does not exist.
	Partitions func() int32
	// NextProducerID returns an id that no producer has.
	NextProducerID func(ctx context.Context) (int64, error)
	// Leader returns the leader of a partition, -1 if it has none, and whether this broker has been told of the partition. It does not wait.
	Leader func(topic string, partition int32) (broker int32, known bool)
	// Deleted asks the metadata store whether a partition that this broker has not been told of does not exist: it may also be that the
	// controller's news come after its word to lead a partition of __transaction_state.
	Deleted func(ctx context.Context, topic string, partition int32) (bool, error)
	// SendMarkers has markers written by a broker, which may be this one, with a version of the request that it knows.
	SendMarkers func(ctx context.Context, broker int32, req *kmsg.WriteTxnMarkersRequest) (*kmsg.WriteTxnMarkersResponse, error)
}

// Coordinator answers the transaction APIs for the transactional ids whose partition of __transaction_state this broker leads. All
// methods may be called from any goroutine and keep nothing of their arguments. The codes they return are those of the newest versions;
// old clients know other ones for the same, and translating is the caller's, as are authorization and the existence of partitions.
type Coordinator struct {
	cfg     Config
	deps    Deps
	rt      *coordinator.Runtime
	senders *senders
}

// New returns a coordinator that leads nothing yet.
func New(cfg Config, log coordinator.Log, deps Deps) *Coordinator {
	c := &Coordinator{cfg: cfg.withDefaults(), deps: deps}
	c.rt = coordinator.NewRuntime(coordinator.Config{
		Topic: Topic, CommitTimeout: c.cfg.CommitTimeout, LoadBytes: cfg.LoadBytes, Log: cfg.Log,
	}, log, func(partition int32) coordinator.Machine {
		return newMachine(&c.cfg, partition, cfg.Log.With().Int32("partition", partition).Logger(), c.senders.send)
	})
	c.senders = newSenders(&c.deps, c.rt.Epoch, c.markersWritten, cfg.Log)
	return c
}

// markersWritten tells the machine that a transaction's markers are written.
func (c *Coordinator) markersWritten(m *markers) {
	c.rt.Post(m.partition, &markersEvent{Request: coordinator.NewRequest(), markers: m, failed: c.senders.undelivered})
}

// Elected says that this broker leads the partition of __transaction_state since leaderEpoch; it is loaded in the background.
func (c *Coordinator) Elected(partition, leaderEpoch int32) { c.rt.Elected(partition, leaderEpoch) }

// Resigned says that this broker does not lead the partition any more. leaderEpoch is the new leader's, or -1.
func (c *Coordinator) Resigned(partition, leaderEpoch int32) { c.rt.Resigned(partition, leaderEpoch) }

// Close answers everything that waits and ends the goroutines. Requests get COORDINATOR_NOT_AVAILABLE from then on.
func (c *Coordinator) Close() {
	c.rt.Close()
	c.senders.close()
}

// PartitionFor returns the partition of __transaction_state that the transactional id belongs to, -1 if the topic does not exist.
func (c *Coordinator) PartitionFor(id string) int32 {
	return coordinator.PartitionFor(id, c.deps.Partitions())
}

// do gives the event to the id's partition and waits. After an error, which is ctx's, the event is not to be looked at.
func (c *Coordinator) do(ctx context.Context, id string, ev interface {
	coordinator.Event
	Wait(context.Context) error
}) error {
	if id == "" || len(id) > maxString {
		ev.Fail(fmt.Errorf("transactional id of %d bytes: %w", len(id), kerr.InvalidRequest))
		return ev.Wait(ctx)
	}
	c.rt.Post(c.PartitionFor(id), ev)
	return ev.Wait(ctx)
}

// InitProducerID gives the producer with a transactional id a producer id and a new epoch; what an earlier producer had open is aborted, and
// CONCURRENT_TRANSACTIONS returned until that is done. producerID and epoch are what the producer has, -1 if it is new (KIP-360).
//
// Errors: INVALID_REQUEST, INVALID_TRANSACTION_TIMEOUT, CONCURRENT_TRANSACTIONS, PRODUCER_FENCED, and the coordinator's.
func (c *Coordinator) InitProducerID(ctx context.Context, id string, timeoutMs int32, producerID int64, epoch int16) (int64, int16, int16) {
	switch {
	case id == "":
		return noProducerID, noProducerEpoch, codeInvalidRequest
	case timeoutMs <= 0 || int64(timeoutMs) > c.cfg.MaxTimeout.Milliseconds():
		return noProducerID, noProducerEpoch, codeInvalidTimeout
	}
	newID := noProducerID
	for {
		e := &initEvent{Request: coordinator.NewRequest(), id: id, timeoutMs: timeoutMs, producerID: producerID, producerEpoch: epoch, newID: newID}
		if c.do(ctx, id, e) != nil {
			return noProducerID, noProducerEpoch, codeNotAvailable
		}
		if !e.needsID {
			return e.gotID, e.epoch, e.code
		}
		var err error
		if newID, err = c.deps.NextProducerID(ctx); err != nil {
			return noProducerID, noProducerEpoch, code(err)
		}
	}
}

// AddPartitions makes partitions part of the producer's transaction, opening it if need be. version is V2 if it is a leader that asks, for what a
// producer writes to it.
//
// Errors: INVALID_REQUEST, INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS, and the coordinator's.
func (c *Coordinator) AddPartitions(
	ctx context.Context, id string, producerID int64, epoch int16, partitions []TopicPartition, version Version,
) int16 {
	e := &addEvent{
		Request: coordinator.NewRequest(), id: id, producerID: producerID, producerEpoch: epoch, partitions: partitions, version: version,
	}
	if c.do(ctx, id, e) != nil {
		return codeNotAvailable
	}
	return e.code
}

// VerifyPartitions tells whether partitions are part of the producer's open transaction (KIP-890): a code for each, or one for all.
//
// Errors: those of AddPartitions, and TRANSACTION_ABORTABLE for a partition that is not part of it.
func (c *Coordinator) VerifyPartitions(ctx context.Context, id string, producerID int64, epoch int16, partitions []TopicPartition) []int16 {
	e := &addEvent{Request: coordinator.NewRequest(), id: id, producerID: producerID, producerEpoch: epoch, partitions: partitions, verify: true}
	all := codeNotAvailable
	if c.do(ctx, id, e) == nil {
		if e.code == 0 {
			return e.codes
		}
		all = e.code
	}
	return slices.Repeat([]int16{all}, len(partitions))
}

// End commits or aborts the producer's transaction, and returns the producer id and epoch that it goes on with: with V2 the epoch is raised
// by every end, also by the abort of nothing, and a producer that repeats an end with the epoch before gets the same answer again.
//
// Errors: INVALID_REQUEST, INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS, INVALID_TXN_STATE, and the coordinator's.
func (c *Coordinator) End(
	ctx context.Context, id string, producerID int64, epoch int16, commit bool, version Version,
) (nextID int64, nextEpoch int16, errorCode int16) {
	newID := noProducerID
	for {
		e := &endEvent{
			Request: coordinator.NewRequest(), id: id, producerID: producerID, producerEpoch: epoch, commit: commit, version: version, newID: newID,
		}
		if c.do(ctx, id, e) != nil {
			return noProducerID, noProducerEpoch, codeNotAvailable
		}
		if !e.needsID {
			return e.nextID, e.nextEpoch, e.code
		}
		var err error
		if newID, err = c.deps.NextProducerID(ctx); err != nil {
			return noProducerID, noProducerEpoch, code(err)
		}
	}
}

// Describe answers for one id of a DescribeTransactions.
func (c *Coordinator) Describe(ctx context.Context, id string) kmsg.DescribeTransactionsResponseTransactionState {
	e := &describeEvent{Request: coordinator.NewRequest(), id: id}
	if c.do(ctx, id, e) != nil {
		e = &describeEvent{}
		e.resp.ErrorCode = codeNotAvailable
	}
	e.resp.TransactionalID = id
	return e.resp
}

// List answers a ListTransactions, versions 0-1, with the transactional ids coordinated here.
func (c *Coordinator) List(ctx context.Context, req *kmsg.ListTransactionsRequest) *kmsg.ListTransactionsResponse {
	resp := &kmsg.ListTransactionsResponse{Version: req.Version}
	if c.rt.Closed() {
		resp.ErrorCode = codeNotAvailable
		return resp
	}
	var states []State
	for _, name := range req.StateFilters {
		if s, ok := stateNamed(name); ok {
			states = append(states, s)
		} else {
			resp.UnknownStateFilters = append(resp.UnknownStateFilters, name)
		}
	}
	include := func(t *transaction, nowMs int64) bool {
		return (len(req.ProducerIDFilters) == 0 || slices.Contains(req.ProducerIDFilters, t.producerID)) &&
			(len(req.StateFilters) == 0 || slices.Contains(states, t.state)) &&
			(req.DurationFilterMillis < 0 || nowMs-t.startMs > req.DurationFilterMillis)
	}
	for _, p := range c.rt.Partitions() {
		e := &listEvent{Request: coordinator.NewRequest(), include: include}
		c.rt.Post(p, e)
		switch err := e.Wait(ctx); {
		case err != nil:
			return &kmsg.ListTransactionsResponse{Version: req.Version, ErrorCode: codeNotAvailable}
		case e.code == codeNotCoordinator: // it has just moved
		case e.code != 0:
			return &kmsg.ListTransactionsResponse{Version: req.Version, ErrorCode: e.code, UnknownStateFilters: resp.UnknownStateFilters}
		default:
			resp.TransactionStates = append(resp.TransactionStates, e.found...)
		}
	}
	return resp
}
