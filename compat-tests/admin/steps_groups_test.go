package admin

import (
	"context"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// join adds a consumer to a group and waits until it has partitions.
func (r *run) join(group, topic string, opts ...kgo.Opt) error {
	got := make(chan struct{}, 8)
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(r.env.addr), kgo.ClientID("compat"), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.Balancers(kgo.RangeBalancer()), kgo.HeartbeatInterval(300 * time.Millisecond), kgo.SessionTimeout(10 * time.Second),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { got <- struct{}{} }),
	}, opts...)...)
	if err != nil {
		return err
	}
	r.members = append(r.members, cl)
	ctx, cancel := context.WithTimeout(r.ctx, 30*time.Second)
	defer cancel()
	go cl.PollFetches(ctx)
	select {
	case <-got:
		// The group is stable when SyncGroup of every member was answered.
		for ctx.Err() == nil {
			if d, err := r.adm.DescribeGroups(ctx, group); err == nil && d[group].State == "Stable" {
				return nil
			}
			time.Sleep(20 * time.Millisecond)
		}
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// leave ends all consumers.
func (r *run) leave() {
	for _, cl := range r.members {
		cl.Close()
	}
	r.members = nil
}

func at(topic string, partition int32, offset int64, metadata string) kadm.Offsets {
	var o kadm.Offsets
	o.Add(kadm.Offset{Topic: topic, Partition: partition, At: offset, LeaderEpoch: -1, Metadata: metadata})
	return o
}

func listed(g kadm.ListedGroups, err error) any { return answer(ours(g), err) }

var groupSteps = []step{
	{"FindGroupCoordinators", func(r *run) any { return r.adm.FindGroupCoordinators(r.ctx, "admin-g1", "admin-g2", "") }},
	{"FindShareCoordinators", func(r *run) any { return r.adm.FindShareCoordinators(r.ctx, "admin-share:AAAAAAAAAAAAAAAAAAAAAQ:0") }},
	{"CommitOffsets: a group without members", func(r *run) any {
		o := at("admin-records", 0, 7, "some metadata")
		o.Add(kadm.Offset{Topic: "admin-records", Partition: 1, At: 2, LeaderEpoch: 0})
		return answer(r.adm.CommitOffsets(r.ctx, "admin-g1", o))
	}},
	{"CommitOffsets: topic or partition does not exist", func(r *run) any {
		o := at("admin-records", 99, 7, "")
		o.Add(kadm.Offset{Topic: "admin-none", Partition: 0, At: 2, LeaderEpoch: -1})
		return answer(r.adm.CommitOffsets(r.ctx, "admin-g1", o))
	}},
	{"CommitOffsets: metadata too long", func(r *run) any {
		return answer(r.adm.CommitOffsets(r.ctx, "admin-g1", at("admin-records", 0, 8, strings.Repeat("m", 4097))))
	}},
	{"CommitOffsets: no group name", func(r *run) any { return answer(r.adm.CommitOffsets(r.ctx, "", at("admin-records", 0, 8, ""))) }},
	{"CommitAllOffsets", func(r *run) any { return r.adm.CommitAllOffsets(r.ctx, "admin-g2", at("admin-records", 0, 19, "")) }},
	{"CommitOffsetsByID", func(r *run) any { return answer(r.adm.CommitOffsetsByID(r.ctx, "admin-g2", nil)) }},
	{"FetchOffsets", func(r *run) any { return answer(r.adm.FetchOffsets(r.ctx, "admin-g1")) }},
	{"FetchOffsets: group does not exist", func(r *run) any { return answer(r.adm.FetchOffsets(r.ctx, "admin-none")) }},
	{"FetchOffsetsForTopics", func(r *run) any {
		return answer(r.adm.FetchOffsetsForTopics(r.ctx, "admin-g1", "admin-records", "admin-defaults"))
	}},
	{"FetchManyOffsets", func(r *run) any { return r.adm.FetchManyOffsets(r.ctx, "admin-g1", "admin-g2", "admin-none") }},
	{"FetchOffsetsByID", func(r *run) any { return answer(r.adm.FetchOffsetsByID(r.ctx, "admin-g1")) }},
	{"ListGroups: empty ones", func(r *run) any { return listed(r.adm.ListGroups(r.ctx)) }},
	{"DescribeGroups: empty and unknown", func(r *run) any { return answer(r.adm.DescribeGroups(r.ctx, "admin-g1", "admin-none")) }},
	{"DescribeGroups: two members, stable", func(r *run) any {
		if err := r.join("admin-g3", "admin-b"); err != nil {
			return err
		}
		return answer(r.adm.DescribeGroups(r.ctx, "admin-g3"))
	}},
	{"ListGroups: by state", func(r *run) any {
		return []any{listed(r.adm.ListGroups(r.ctx, "Stable")), listed(r.adm.ListGroups(r.ctx, "Empty")), listed(r.adm.ListGroups(r.ctx, "Dead")), listed(r.adm.ListGroups(r.ctx, "NoSuchState"))}
	}},
	{"ListGroupsByType", func(r *run) any {
		return []any{listed(r.adm.ListGroupsByType(r.ctx, []string{"classic"})), listed(r.adm.ListGroupsByType(r.ctx, []string{"consumer"}))}
	}},
	{"CommitOffsets: from outside a stable group", func(r *run) any { return answer(r.adm.CommitOffsets(r.ctx, "admin-g3", at("admin-b", 0, 0, ""))) }},
	{"DeleteGroup: with members", func(r *run) any { return answer(r.adm.DeleteGroup(r.ctx, "admin-g3")) }},
	{"DeleteOffsets: of a topic that is subscribed", func(r *run) any {
		var s kadm.TopicsSet
		s.Add("admin-b", 0)
		return answer(r.adm.DeleteOffsets(r.ctx, "admin-g3", s))
	}},
	{"DescribeGroups: a static member", func(r *run) any {
		if err := r.join("admin-g4", "admin-compact", kgo.InstanceID("instance")); err != nil {
			return err
		}
		return answer(r.adm.DescribeGroups(r.ctx, "admin-g4"))
	}},
	{"Lag", func(r *run) any { return answer(r.adm.Lag(r.ctx, "admin-g1", "admin-g3", "admin-none")) }},
	{"LeaveGroup: a static member by its instance id", func(r *run) any {
		return []any{
			answer(r.adm.LeaveGroup(r.ctx, kadm.LeaveGroup("admin-g4").InstanceIDs("nobody"))),
			answer(r.adm.LeaveGroup(r.ctx, kadm.LeaveGroup("admin-g4").InstanceIDs("instance").Reason("test"))),
			answer(r.adm.LeaveGroup(r.ctx, kadm.LeaveGroup("admin-none").InstanceIDs("instance"))),
		}
	}},
	{"DescribeGroups: after the members left", func(r *run) any {
		r.leave()
		for range 250 { // a static member does not leave by itself; the others do
			d, err := r.adm.DescribeGroups(r.ctx, "admin-g3")
			if err == nil && d["admin-g3"].State == "Empty" {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		return answer(r.adm.DescribeGroups(r.ctx, "admin-g3"))
	}},
	{"DeleteOffsets", func(r *run) any {
		var s kadm.TopicsSet
		s.Add("admin-records", 1, 99)
		return []any{answer(r.adm.DeleteOffsets(r.ctx, "admin-g1", s)), answer(r.adm.FetchOffsets(r.ctx, "admin-g1")), answer(r.adm.DeleteOffsets(r.ctx, "admin-none", s))}
	}},
	{"DeleteGroups", func(r *run) any { return answer(r.adm.DeleteGroups(r.ctx, "admin-g1", "admin-g2", "admin-none")) }},
	{"FetchOffsets: of a deleted group", func(r *run) any { return answer(r.adm.FetchOffsets(r.ctx, "admin-g1")) }},
	{"DescribeGroups: deleted", func(r *run) any { return answer(r.adm.DescribeGroups(r.ctx, "admin-g1")) }},
	{"DescribeConsumerGroups", func(r *run) any { return answer(r.adm.DescribeConsumerGroups(r.ctx, "admin-g3")) }},
	{"DescribeShareGroups", func(r *run) any { return answer(r.adm.DescribeShareGroups(r.ctx, "admin-g3")) }},
	{"DescribeShareGroupOffsets", func(r *run) any { return answer(r.adm.DescribeShareGroupOffsets(r.ctx, "admin-g3")) }},
}
