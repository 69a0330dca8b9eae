package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Types of groups: the protocol that members speak.
const (
	groupClassic  = "classic"
	groupConsumer = "consumer" // KIP-848
)

// groupRow is one group as commands show it.
type groupRow struct {
	Group        string      `json:"group"`
	State        string      `json:"state"`
	Type         string      `json:"type"` // groupClassic or groupConsumer
	ProtocolType string      `json:"protocolType"`
	Protocol     string      `json:"protocol,omitempty"` // of assignment
	Coordinator  int32       `json:"coordinator"`
	Members      []memberRow `json:"members,omitempty"`
	Offsets      []offsetRow `json:"offsets,omitempty"` // by topic and partition
}

type memberRow struct {
	ID       string   `json:"id"`
	Instance string   `json:"instance,omitempty"`
	Client   string   `json:"client"`
	Host     string   `json:"host"`
	Assigned []string `json:"assigned"`

	partitions []topicPartition
}

type offsetRow struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed int64  `json:"committed"` // -1: none
	LogEnd    int64  `json:"logEnd"`    // -1: not known
	Lag       int64  `json:"lag"`       // -1: not known
	Member    string `json:"member,omitempty"`
}

// withGroups gives the groups to show, as far as they can be described, and returns the errors of the others after it.
func (f *clientFlags) withGroups(cmd *cobra.Command, names []string, show func([]groupRow) error) error {
	admin, err := f.admin()
	if err != nil {
		return err
	}
	defer admin.Close()
	list, err := f.groups(cmd.Context(), admin, names)
	if len(list) > 0 {
		if err := show(list); err != nil {
			return err
		}
	}
	return err
}

// withGroupsOrAll is withGroups for commands where no name means all groups.
func (f *clientFlags) withGroupsOrAll(cmd *cobra.Command, names []string, show func([]groupRow) error) error {
	if len(names) == 0 {
		admin, err := f.admin()
		if err != nil {
			return err
		}
		listed, err := admin.ListGroups(cmd.Context())
		admin.Close()
		if err != nil {
			return err
		}
		if names = listed.Groups(); len(names) == 0 {
			return show(nil)
		}
	}
	return f.withGroups(cmd, names, show)
}

// groups describes groups in the order of names. What cannot be described is in the error.
func (f *clientFlags) groups(ctx context.Context, admin *kadm.Client, names []string) ([]groupRow, error) {
	described, err := retry(ctx, f, func() (map[string]groupRow, error) { return describeGroups(ctx, admin, names) })
	if described == nil {
		return nil, err
	}
	committed := admin.FetchManyOffsets(ctx, names...)
	var list []groupRow
	errs := []error{err}
	topics := make(map[string]struct{})
	for _, name := range names {
		r, ok := described[name]
		if !ok {
			continue
		}
		if err := committed[name].Err; err != nil {
			errs = append(errs, fmt.Errorf("group %s: offsets: %w", name, err))
			continue
		}
		r.addOffsets(committed[name].Fetched)
		for _, o := range r.Offsets {
			topics[o.Topic] = struct{}{}
		}
		list = append(list, r)
	}
	if len(topics) > 0 {
		names := make([]string, 0, len(topics))
		for t := range topics {
			names = append(names, t)
		}
		starts, err1 := admin.ListStartOffsets(ctx, names...)
		ends, err2 := admin.ListEndOffsets(ctx, names...)
		if err := errors.Join(err1, err2); len(ends) == 0 && err != nil {
			return nil, err
		}
		for i := range list {
			list[i].addLag(starts, ends)
		}
	}
	return list, errors.Join(errs...)
}

// describeGroups asks for groups of either protocol. The error is retriable if one of the groups' is.
func describeGroups(ctx context.Context, admin *kadm.Client, names []string) (map[string]groupRow, error) {
	classic, err := admin.DescribeGroups(ctx, names...)
	if len(classic) == 0 && err != nil {
		return nil, err
	}
	found := make(map[string]groupRow, len(names))
	var missing []string
	var errs []error
	for _, name := range names {
		g, ok := classic[name]
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("group %s: %w", name, errors.Join(err, errors.New("no answer"))))
		case errors.Is(g.Err, kerr.GroupIDNotFound), g.Err == nil && g.State == "Dead":
			missing = append(missing, name)
		case g.Err != nil:
			errs = append(errs, fmt.Errorf("group %s: %w", name, g.Err))
		default:
			found[name] = classicGroup(&g)
		}
	}
	if len(missing) > 0 {
		// Brokers without the newer protocol fail the whole request.
		consumer, _ := admin.DescribeConsumerGroups(ctx, missing...)
		for _, name := range missing {
			if g, ok := consumer[name]; ok && g.Err == nil && g.State != "Dead" {
				found[name] = consumerGroup(&g)
			} else {
				errs = append(errs, fmt.Errorf("group %s does not exist", name))
			}
		}
	}
	return found, errors.Join(errs...)
}

func classicGroup(g *kadm.DescribedGroup) groupRow {
	r := groupRow{Group: g.Group, State: g.State, Type: groupClassic, ProtocolType: g.ProtocolType, Protocol: g.Protocol, Coordinator: g.Coordinator.NodeID}
	for _, m := range g.Members {
		var assigned kadm.TopicsSet
		if a, ok := m.Assigned.AsConsumer(); ok {
			assigned = make(kadm.TopicsSet)
			for _, t := range a.Topics {
				assigned.Add(t.Topic, t.Partitions...)
			}
		}
		r.addMember(m.MemberID, m.InstanceID, m.ClientID, m.ClientHost, assigned)
	}
	return r
}

func consumerGroup(g *kadm.DescribedConsumerGroup) groupRow {
	r := groupRow{Group: g.Group, State: g.State, Type: groupConsumer, ProtocolType: "consumer", Protocol: g.AssignorName, Coordinator: g.Coordinator.NodeID}
	for _, m := range g.Members {
		r.addMember(m.MemberID, m.InstanceID, m.ClientID, m.ClientHost, m.Assignment)
	}
	return r
}

func (r *groupRow) addMember(id string, instance *string, client, host string, assigned kadm.TopicsSet) {
	m := memberRow{ID: id, Client: client, Host: host, Assigned: []string{}}
	if instance != nil {
		m.Instance = *instance
	}
	for t, ps := range assigned {
		for p := range ps {
			m.partitions = append(m.partitions, topicPartition{t, p})
		}
	}
	slices.SortFunc(m.partitions, comparePartitions)
	for _, tp := range m.partitions {
		m.Assigned = append(m.Assigned, tp.String())
	}
	r.Members = append(r.Members, m)
	slices.SortFunc(r.Members, func(x, y memberRow) int { return cmp.Compare(x.ID, y.ID) })
}

// addOffsets lists what is committed or assigned.
func (r *groupRow) addOffsets(committed kadm.OffsetResponses) {
	owners := make(map[topicPartition]string)
	for _, m := range r.Members {
		for _, tp := range m.partitions {
			owners[tp] = m.ID
		}
	}
	for _, o := range committed.Sorted() {
		if o.Err != nil || o.At < 0 {
			continue
		}
		tp := topicPartition{o.Topic, o.Partition}
		r.Offsets = append(r.Offsets, offsetRow{Topic: tp.topic, Partition: tp.partition, Committed: o.At, LogEnd: -1, Lag: -1, Member: owners[tp]})
		delete(owners, tp)
	}
	for tp, member := range owners {
		r.Offsets = append(r.Offsets, offsetRow{Topic: tp.topic, Partition: tp.partition, Committed: -1, LogEnd: -1, Lag: -1, Member: member})
	}
	slices.SortFunc(r.Offsets, func(a, b offsetRow) int {
		return comparePartitions(topicPartition{a.Topic, a.Partition}, topicPartition{b.Topic, b.Partition})
	})
}

// addLag compares with the ends of the logs. A group that has committed nothing is behind by the whole log.
func (r *groupRow) addLag(starts, ends kadm.ListedOffsets) {
	for i := range r.Offsets {
		o := &r.Offsets[i]
		end, ok := ends.Lookup(o.Topic, o.Partition)
		if !ok || end.Err != nil {
			continue
		}
		o.LogEnd = end.Offset
		if o.Committed >= 0 {
			o.Lag = max(end.Offset-o.Committed, 0)
		} else if start, ok := starts.Lookup(o.Topic, o.Partition); ok && start.Err == nil {
			o.Lag = end.Offset - start.Offset
		}
	}
}

func comparePartitions(a, b topicPartition) int {
	return cmp.Or(strings.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
}

func joined(list []string) string { return strings.Join(list, ",") }

func orDash(n int64) any {
	if n < 0 {
		return "-"
	}
	return n
}
