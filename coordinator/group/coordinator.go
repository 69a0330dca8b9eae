package group

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator"
	"ottla/coordinator/group/consumer"
	"ottla/storage"
	"ottla/wire/batch"
)

// Topic is the internal topic of the group coordinator.
const Topic = "__consumer_offsets"

// Config are the settings of the group coordinator, by Kafka's keys. New fills in Kafka's defaults for what is zero, except where a field
// says otherwise.
type Config struct {
	SessionTimeoutMin             time.Duration // group.min.session.timeout.ms, 6 s
	SessionTimeoutMax             time.Duration // group.max.session.timeout.ms, 30 min
	InitialRebalanceDelay         time.Duration // group.initial.rebalance.delay.ms; zero is zero
	MaxSize                       int           // group.max.size
	OffsetMetadataMaxSize         int           // offset.metadata.max.bytes, 4096; negative for none at all
	OffsetsRetention              time.Duration // offsets.retention.minutes, 7 days
	OffsetsRetentionCheckInterval time.Duration // offsets.retention.check.interval.ms, 10 min
	CommitTimeout                 time.Duration // offsets.commit.timeout.ms, 5 s
	LoadBytes                     int           // offsets.load.buffer.size, 5 MiB
	MaxMessageBytes               int           // max.message.bytes of the topic, 1,048,588
	Codec                         batch.Codec   // offsets.topic.compression.codec
	Consumer                      ConsumerConfig
	Log                           zerolog.Logger
}

func (c Config) withDefaults() Config {
	setDefault(&c.SessionTimeoutMin, 6*time.Second)
	setDefault(&c.SessionTimeoutMax, 30*time.Minute)
	setDefault(&c.MaxSize, 1<<31-1)
	setDefault(&c.OffsetMetadataMaxSize, 4096)
	c.OffsetMetadataMaxSize = max(c.OffsetMetadataMaxSize, 0)
	setDefault(&c.OffsetsRetention, 7*24*time.Hour)
	setDefault(&c.OffsetsRetentionCheckInterval, 10*time.Minute)
	c.Consumer = c.Consumer.withDefaults()
	return c
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Deps is what the coordinator asks of the broker. The functions are called from any goroutine, those of shards included, and do not
// wait.
type Deps struct {
	// Partitions is the number of partitions of __consumer_offsets, 0 if it does not exist.
	Partitions func() int32
	// TopicExists tells whether the cluster has the partition.
	TopicExists func(topic string, partition int32) bool
	// Topics is the cluster's topics as they are now, nil while the broker has not been told of them: a group must not lose its partitions
	// because its coordinator has just started. The new protocol needs it.
	Topics func() consumer.Topics
	// GroupConfig gives the group's own session timeout and heartbeat interval under the new protocol, zero for what it has none of. Nil is
	// a function that knows none.
	GroupConfig func(group string) (session, heartbeat time.Duration)
}

// Client is who sent a request.
type Client struct {
	ID   string // client id
	Host string // as Kafka prints it: "/127.0.0.1"
}

// Coordinator answers the group APIs for the groups whose partition of __consumer_offsets this broker leads. All methods may be called
// from any goroutine. Those that take a request answer with a whole response of the request's version, do not keep anything of the
// request, and return with COORDINATOR_NOT_AVAILABLE when their context ends first. Authorization and request quotas are the
// caller's.
type Coordinator struct {
	cfg   Config
	deps  Deps
	rt    *coordinator.Runtime
	stats Stats
}

// New returns a coordinator that leads nothing yet.
func New(cfg Config, log coordinator.Log, deps Deps) *Coordinator {
	c := &Coordinator{cfg: cfg.withDefaults(), deps: deps}
	c.rt = coordinator.NewRuntime(coordinator.Config{
		Topic: Topic, CommitTimeout: cfg.CommitTimeout, MaxBatchBytes: cfg.MaxMessageBytes, LoadBytes: cfg.LoadBytes, Codec: cfg.Codec, Log: cfg.Log,
	}, log, func(partition int32) coordinator.Machine {
		return newMachine(&c.cfg, &c.deps, &c.stats, cfg.Log.With().Int32("partition", partition).Logger())
	})
	return c
}

// Elected says that this broker leads the partition of __consumer_offsets since leaderEpoch; its groups are loaded in the background.
func (c *Coordinator) Elected(partition, leaderEpoch int32) { c.rt.Elected(partition, leaderEpoch) }

// Resigned says that this broker does not lead the partition any more. leaderEpoch is the new leader's, or -1.
func (c *Coordinator) Resigned(partition, leaderEpoch int32) { c.rt.Resigned(partition, leaderEpoch) }

// Close answers everything that waits and ends the goroutines. Requests get COORDINATOR_NOT_AVAILABLE from then on.
func (c *Coordinator) Close() { c.rt.Close() }

// PartitionFor returns the partition of __consumer_offsets that the group belongs to, -1 if the topic does not exist.
func (c *Coordinator) PartitionFor(group string) int32 {
	return coordinator.PartitionFor(group, c.deps.Partitions())
}

// Runtime is the runtime underneath, for its metrics.
func (c *Coordinator) Runtime() *coordinator.Runtime { return c.rt }

// do gives the event to the group's partition and waits. It returns an error if ctx ended first: the event's response is
// then not to be touched.
func (c *Coordinator) do(ctx context.Context, group string, ev interface {
	coordinator.Event
	Wait(context.Context) error
}) error {
	if len(group) > maxString {
		ev.Fail(fmt.Errorf("group id of %d bytes: %w", len(group), kerr.InvalidRequest))
		return ev.Wait(ctx)
	}
	c.rt.Post(c.PartitionFor(group), ev)
	return ev.Wait(ctx)
}

// maxString is the longest string that a record can hold; requests of flexible versions can carry longer ones.
const maxString = math.MaxInt16

// Join answers a JoinGroup, versions 0-9. It waits until the rebalance is done.
func (c *Coordinator) Join(ctx context.Context, client Client, version int16, req *kmsg.JoinGroupRequest) *kmsg.JoinGroupResponse {
	answer := func() *joinEvent {
		return &joinEvent{Request: coordinator.NewRequest(), client: client, version: version, req: req, resp: &kmsg.JoinGroupResponse{Version: version}}
	}
	e := answer()
	if req.Group == "" {
		e.fail(codeInvalidGroupID, req.MemberID)
		return e.resp
	}
	if c.do(ctx, req.Group, e) != nil {
		e = answer()
		e.fail(codeNotAvailable, req.MemberID)
	}
	return e.resp
}

// Sync answers a SyncGroup, versions 0-5. It waits until the leader's assignment is stored.
func (c *Coordinator) Sync(ctx context.Context, _ Client, version int16, req *kmsg.SyncGroupRequest) *kmsg.SyncGroupResponse {
	answer := func() *syncEvent {
		return &syncEvent{Request: coordinator.NewRequest(), version: version, req: req, resp: &kmsg.SyncGroupResponse{Version: version}}
	}
	e := answer()
	if version >= 5 && (req.ProtocolType == nil || req.Protocol == nil) {
		e.fail(codeInconsistentProtocol)
		return e.resp
	}
	if req.Group == "" {
		e.fail(codeInvalidGroupID)
		return e.resp
	}
	if c.do(ctx, req.Group, e) != nil {
		e = answer()
		e.fail(codeNotAvailable)
	}
	return e.resp
}

// Heartbeat answers a Heartbeat, versions 0-4.
func (c *Coordinator) Heartbeat(ctx context.Context, _ Client, version int16, req *kmsg.HeartbeatRequest) *kmsg.HeartbeatResponse {
	resp := &kmsg.HeartbeatResponse{Version: version}
	if req.Group == "" {
		resp.ErrorCode = codeInvalidGroupID
		return resp
	}
	e := &heartbeatEvent{Request: coordinator.NewRequest(), req: req}
	if c.do(ctx, req.Group, e) != nil {
		resp.ErrorCode = codeNotAvailable
		return resp
	}
	resp.ErrorCode = e.code
	return resp
}

// Leave answers a LeaveGroup, versions 0-5.
func (c *Coordinator) Leave(ctx context.Context, _ Client, version int16, req *kmsg.LeaveGroupRequest) *kmsg.LeaveGroupResponse {
	e := &leaveEvent{Request: coordinator.NewRequest(), version: version, req: req, resp: &kmsg.LeaveGroupResponse{Version: version}}
	if req.Group == "" {
		e.resp.ErrorCode = codeInvalidGroupID
		return e.resp
	}
	if c.do(ctx, req.Group, e) != nil {
		return &kmsg.LeaveGroupResponse{Version: version, ErrorCode: codeNotAvailable}
	}
	return e.resp
}

// CommitOffsets answers an OffsetCommit, versions 1-9.
func (c *Coordinator) CommitOffsets(ctx context.Context, _ Client, version int16, req *kmsg.OffsetCommitRequest) *kmsg.OffsetCommitResponse {
	answer := func() (e *commitEvent, open bool) {
		e = &commitEvent{Request: coordinator.NewRequest(), version: version, req: req, resp: &kmsg.OffsetCommitResponse{Version: version}}
		e.resp.Topics = make([]kmsg.OffsetCommitResponseTopic, len(req.Topics))
		for i := range req.Topics {
			t, rt := &req.Topics[i], &e.resp.Topics[i]
			rt.Topic, rt.TopicID = strings.Clone(t.Topic), t.TopicID
			rt.Partitions = make([]kmsg.OffsetCommitResponseTopicPartition, len(t.Partitions))
			for j := range t.Partitions {
				p := t.Partitions[j].Partition
				rt.Partitions[j] = kmsg.OffsetCommitResponseTopicPartition{Partition: p, ErrorCode: notAnswered}
				if !c.deps.TopicExists(t.Topic, p) {
					rt.Partitions[j].ErrorCode = codeUnknownTopicOrPartition
					continue
				}
				open = true
			}
		}
		return e, open
	}
	e, open := answer()
	if !open {
		return e.resp
	}
	if c.do(ctx, req.Group, e) != nil {
		e, _ = answer()
		e.finish(codeNotAvailable)
	}
	return e.resp
}

// TxnCommitOffsets answers a TxnOffsetCommit, versions 0-5. That the producer's transaction includes the group's partition
// (transaction.partition.verification.enable) is checked by verify, or made so, which may wait: nil for no check. The log looks again at what it
// returns when it appends.
func (c *Coordinator) TxnCommitOffsets(
	ctx context.Context, _ Client, version int16, req *kmsg.TxnOffsetCommitRequest, verify func(partition int32) (*storage.VerificationGuard, error),
) *kmsg.TxnOffsetCommitResponse {
	answer := func() (e *txnCommitEvent, open bool) {
		e = &txnCommitEvent{Request: coordinator.NewRequest(), version: version, req: req, resp: &kmsg.TxnOffsetCommitResponse{Version: version}}
		e.resp.Topics = make([]kmsg.TxnOffsetCommitResponseTopic, len(req.Topics))
		for i := range req.Topics {
			t, rt := &req.Topics[i], &e.resp.Topics[i]
			rt.Topic, rt.TopicID = strings.Clone(t.Topic), t.TopicID
			rt.Partitions = make([]kmsg.TxnOffsetCommitResponseTopicPartition, len(t.Partitions))
			for j := range t.Partitions {
				p := t.Partitions[j].Partition
				rt.Partitions[j] = kmsg.TxnOffsetCommitResponseTopicPartition{Partition: p, ErrorCode: notAnswered}
				if !c.deps.TopicExists(t.Topic, p) {
					rt.Partitions[j].ErrorCode = codeUnknownTopicOrPartition
					continue
				}
				open = true
			}
		}
		return e, open
	}
	e, open := answer()
	switch {
	case !open:
		return e.resp
	case req.Group == "":
		e.finish(codeInvalidGroupID)
		return e.resp
	}
	if p := c.PartitionFor(req.Group); verify != nil && c.rt.Leads(p) {
		guard, err := verify(p)
		if err != nil {
			e.Fail(err)
			return e.resp
		}
		e.verified, e.guard = true, guard
	}
	if req.ProducerID < 0 || req.ProducerEpoch < 0 { // whoever was asked above knows no such producer
		e.finish(codeInvalidRequest)
		return e.resp
	}
	if c.do(ctx, req.Group, e) != nil {
		e, _ = answer()
		e.finish(codeNotAvailable)
	}
	return e.resp
}

// CompleteTxn ends a producer's transaction in a partition of __consumer_offsets. It is called on the partition's leader after the
// marker was written there and replicated, and before WriteTxnMarkers is answered. It does not wait: whatever is posted later sees the
// offsets.
func (c *Coordinator) CompleteTxn(partition int32, producerID int64, commit bool) {
	c.rt.Post(partition, &completeTxnEvent{Request: coordinator.NewRequest(), producerID: producerID, commit: commit})
}

// FetchOffsets answers an OffsetFetch, versions 1-9.
func (c *Coordinator) FetchOffsets(ctx context.Context, _ Client, version int16, req *kmsg.OffsetFetchRequest) *kmsg.OffsetFetchResponse {
	resp := &kmsg.OffsetFetchResponse{Version: version}
	if version >= 8 {
		resp.Groups = make([]kmsg.OffsetFetchResponseGroup, 0, len(req.Groups))
		for i := range req.Groups {
			g := &req.Groups[i]
			e := &fetchEvent{group: g.Group, topics: g.Topics, requireStable: req.RequireStable}
			if version >= 9 {
				e.memberID, e.memberEpoch, e.modern = g.MemberID, g.MemberEpoch, true
			}
			resp.Groups = append(resp.Groups, c.fetchGroup(ctx, e))
		}
		return resp
	}
	var topics []kmsg.OffsetFetchRequestGroupTopic
	if req.Topics != nil {
		topics = make([]kmsg.OffsetFetchRequestGroupTopic, len(req.Topics))
		for i, t := range req.Topics {
			topics[i] = kmsg.OffsetFetchRequestGroupTopic{Topic: t.Topic, Partitions: t.Partitions}
		}
	}
	g := c.fetchGroup(ctx, &fetchEvent{group: req.Group, topics: topics, requireStable: req.RequireStable})
	if g.ErrorCode != 0 && version < 2 { // no place for an error of the group: it goes to each partition
		for _, t := range topics {
			rt := kmsg.OffsetFetchResponseTopic{Topic: strings.Clone(t.Topic)}
			for _, p := range t.Partitions {
				rt.Partitions = append(rt.Partitions, kmsg.OffsetFetchResponseTopicPartition{
					Partition: p, Offset: -1, LeaderEpoch: noLeaderEpoch, Metadata: &noMetadata, ErrorCode: g.ErrorCode,
				})
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp
	}
	resp.ErrorCode = g.ErrorCode
	resp.Topics = make([]kmsg.OffsetFetchResponseTopic, 0, len(g.Topics))
	for _, t := range g.Topics {
		rt := kmsg.OffsetFetchResponseTopic{Topic: t.Topic, Partitions: make([]kmsg.OffsetFetchResponseTopicPartition, 0, len(t.Partitions))}
		for _, p := range t.Partitions {
			rt.Partitions = append(rt.Partitions, kmsg.OffsetFetchResponseTopicPartition{
				Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: p.Metadata, ErrorCode: p.ErrorCode,
			})
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

func (c *Coordinator) fetchGroup(ctx context.Context, e *fetchEvent) kmsg.OffsetFetchResponseGroup {
	e.Request, e.resp = coordinator.NewRequest(), &kmsg.OffsetFetchResponseGroup{Group: strings.Clone(e.group)}
	if c.do(ctx, e.group, e) != nil {
		return kmsg.OffsetFetchResponseGroup{Group: strings.Clone(e.group), Topics: []kmsg.OffsetFetchResponseGroupTopic{}, ErrorCode: codeNotAvailable}
	}
	return *e.resp
}

// Describe answers a DescribeGroups, versions 0-6. Authorized operations are the caller's to fill in.
func (c *Coordinator) Describe(ctx context.Context, _ Client, version int16, req *kmsg.DescribeGroupsRequest) *kmsg.DescribeGroupsResponse {
	resp := &kmsg.DescribeGroupsResponse{Version: version, Groups: make([]kmsg.DescribeGroupsResponseGroup, 0, len(req.Groups))}
	for _, group := range req.Groups {
		d := kmsg.NewDescribeGroupsResponseGroup()
		d.Group = strings.Clone(group)
		failed := d
		failed.ErrorCode = codeNotAvailable
		e := &describeEvent{Request: coordinator.NewRequest(), version: version, group: group, resp: &d}
		if c.do(ctx, group, e) != nil {
			resp.Groups = append(resp.Groups, failed)
			continue
		}
		resp.Groups = append(resp.Groups, d)
	}
	return resp
}

// List answers a ListGroups, versions 0-5: the groups of the partitions led here, by state and type if asked. While a partition is loading
// the answer has COORDINATOR_LOAD_IN_PROGRESS beside the groups of the others.
func (c *Coordinator) List(ctx context.Context, _ Client, version int16, req *kmsg.ListGroupsRequest) *kmsg.ListGroupsResponse {
	resp := &kmsg.ListGroupsResponse{Version: version, Groups: []kmsg.ListGroupsResponseGroup{}}
	if c.rt.Closed() {
		resp.ErrorCode = codeNotAvailable
		return resp
	}
	var states []string
	if version >= 4 {
		for _, s := range req.StatesFilter {
			states = append(states, strings.ToLower(s))
		}
	}
	var types []string
	if version >= 5 {
		for _, t := range req.TypesFilter {
			types = append(types, strings.ToLower(t))
		}
	}
	var events []*listEvent
	for _, p := range c.rt.Partitions() {
		e := &listEvent{Request: coordinator.NewRequest(), states: states, types: types}
		c.rt.Post(p, e)
		events = append(events, e)
	}
	for _, e := range events {
		if e.Wait(ctx) != nil {
			resp.ErrorCode = codeNotAvailable
			return resp
		}
		switch e.code {
		case 0, codeNotCoordinator: // the partition moved meanwhile: its groups are somebody else's
		default:
			resp.ErrorCode = e.code
		}
		resp.Groups = append(resp.Groups, e.groups...)
	}
	return resp
}

// Delete answers a DeleteGroups, versions 0-2.
func (c *Coordinator) Delete(ctx context.Context, _ Client, version int16, req *kmsg.DeleteGroupsRequest) *kmsg.DeleteGroupsResponse {
	resp := &kmsg.DeleteGroupsResponse{Version: version, Groups: make([]kmsg.DeleteGroupsResponseGroup, 0, len(req.Groups))}
	seen := make(map[string]struct{}, len(req.Groups)) // Kafka takes the request as a set
	for _, group := range req.Groups {
		if _, again := seen[group]; again {
			continue
		}
		seen[group] = struct{}{}
		r := kmsg.DeleteGroupsResponseGroup{Group: strings.Clone(group), ErrorCode: codeNotAvailable}
		e := &deleteEvent{Request: coordinator.NewRequest(), group: group}
		if c.do(ctx, group, e) == nil {
			r.ErrorCode = e.code
		}
		resp.Groups = append(resp.Groups, r)
	}
	return resp
}

// DeleteOffsets answers an OffsetDelete, version 0.
func (c *Coordinator) DeleteOffsets(ctx context.Context, _ Client, version int16, req *kmsg.OffsetDeleteRequest) *kmsg.OffsetDeleteResponse {
	resp := &kmsg.OffsetDeleteResponse{Version: version, Topics: make([]kmsg.OffsetDeleteResponseTopic, len(req.Topics))}
	for i := range req.Topics {
		t, rt := &req.Topics[i], &resp.Topics[i]
		rt.Topic = strings.Clone(t.Topic)
		rt.Partitions = make([]kmsg.OffsetDeleteResponseTopicPartition, len(t.Partitions))
		for j, p := range t.Partitions {
			rt.Partitions[j] = kmsg.OffsetDeleteResponseTopicPartition{Partition: p.Partition, ErrorCode: notAnswered}
			if !c.deps.TopicExists(t.Topic, p.Partition) {
				rt.Partitions[j].ErrorCode = codeUnknownTopicOrPartition
			}
		}
	}
	if req.Group == "" {
		return &kmsg.OffsetDeleteResponse{Version: version, ErrorCode: codeInvalidGroupID}
	}
	e := &deleteOffsetsEvent{Request: coordinator.NewRequest(), req: req, resp: resp}
	if c.do(ctx, req.Group, e) != nil {
		return &kmsg.OffsetDeleteResponse{Version: version, ErrorCode: codeNotAvailable}
	}
	return resp
}

// OnTopicsDeleted removes the offsets of topics that were deleted, in the background.
func (c *Coordinator) OnTopicsDeleted(topics []string) {
	owned := make([]string, len(topics))
	for i, t := range topics {
		owned[i] = strings.Clone(t)
	}
	for _, p := range c.rt.Partitions() {
		c.rt.Post(p, &topicsDeletedEvent{Request: coordinator.NewRequest(), topics: owned})
	}
}
