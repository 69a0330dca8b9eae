package admin

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// clean deletes what an earlier run left and learns the broker's id and log directory.
func (r *run) clean() {
	brokers, err := r.adm.ListBrokers(r.ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	r.broker = brokers[0].NodeID
	if groups, err := r.adm.ListGroups(r.ctx); err == nil {
		for _, g := range groups.Groups() {
			if strings.HasPrefix(g, "admin-") {
				r.adm.DeleteGroup(r.ctx, g)
			}
		}
	}
	topics, err := r.adm.ListTopics(r.ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, name := range topics.Names() {
		if strings.HasPrefix(name, "admin-") {
			r.adm.DeleteTopic(r.ctx, name)
		}
	}
	if dirs, err := r.adm.DescribeBrokerLogDirs(r.ctx, r.broker, nil); err == nil {
		for _, d := range dirs.Sorted() {
			r.dir = d.Dir
		}
	}
	// The internal topics must be there before the first step, so that their creation is not part of any. A broker that
	// does not serve transactions says so at once.
	r.adm.FetchOffsets(r.ctx, "admin-nobody")
	r.await(func() bool {
		m, err := r.adm.Metadata(r.ctx, "__consumer_offsets")
		return err == nil && m.Topics["__consumer_offsets"].Err == nil
	})
	r.await(func() bool {
		found := r.adm.FindTxnCoordinators(r.ctx, "admin-txn")["admin-txn"]
		return !errors.Is(found.Err, kerr.CoordinatorNotAvailable)
	})
}

func (r *run) await(cond func() bool) {
	for deadline := time.Now().Add(30 * time.Second); !cond(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatal("the internal topics are not created")
		}
	}
}

// ours keeps the entries of a map whose topic or group is this program's.
func ours[V any](m map[string]V) map[string]V {
	kept := map[string]V{}
	for k, v := range m {
		if strings.HasPrefix(k, "admin-") {
			kept[k] = v
		}
	}
	return kept
}

var clusterSteps = []step{
	{"ListBrokers", func(r *run) any { return answer(r.adm.ListBrokers(r.ctx)) }},
	{"BrokerMetadata: controller", func(r *run) any {
		m, err := r.adm.BrokerMetadata(r.ctx)
		return answer(map[string]any{"controller": m.Controller, "brokers": len(m.Brokers), "cluster id": len(m.Cluster) > 0}, err)
	}},
	{"DescribeCluster: with endpoint type and authorized operations", func(r *run) any {
		req := kmsg.NewPtrDescribeClusterRequest()
		req.IncludeClusterAuthorizedOperations = true
		resp, err := req.RequestWith(r.ctx, r.cl)
		if err == nil {
			resp.ClusterID = "CLUSTER"
		}
		return answer(resp, err)
	}},
	{"UpdateFeatures", func(r *run) any {
		return answer(r.adm.UpdateFeatures(r.ctx, true, kadm.FeatureUpdate{Feature: "no.such.feature", MaxVersionLevel: 1, UpgradeType: 1}))
	}},
	{"ListConfigResources", func(r *run) any { return answer(r.adm.ListConfigResources(r.ctx)) }},
}

// beforeV2 are the last versions before transactions of version 2 (KIP-890) of Produce, EndTxn, WriteTxnMarkers and TxnOffsetCommit: Kafka has
// what follows with KRaft only, and Ottla always.
var beforeV2 = map[int16]int16{0: 11, 26: 4, 27: 1, 28: 4}

// apiSteps compare the range of versions of each API key. DescribeTopicPartitions (75) is left out: Kafka has it with
// KRaft only, and Ottla always.
func apiSteps() []step {
	var steps []step
	for key := range kmsg.DescribeTopicPartitions.Int16() {
		steps = append(steps, step{"ApiVersions: " + kmsg.NameForKey(key), func(r *run) any {
			if r.apis == nil {
				all, err := r.adm.ApiVersions(r.ctx)
				if err != nil || all[r.broker].Err != nil {
					return []any{err, all[r.broker].Err}
				}
				v := all[r.broker]
				r.apis = &v
			}
			from, to, ok := r.apis.KeyVersions(key)
			if !ok {
				return "not served"
			}
			if last, ok := beforeV2[key]; ok {
				to = min(to, last)
			}
			return fmt.Sprintf("%d to %d", from, to)
		}})
	}
	return steps
}
