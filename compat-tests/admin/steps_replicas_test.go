package admin

import "github.com/twmb/franz-go/pkg/kadm"

var replicaSteps = []step{
	{"ElectLeaders: preferred, of named partitions", func(r *run) any {
		var s kadm.TopicsSet
		s.Add("admin-a", 0, 1, 99)
		s.Add("admin-none", 0)
		return answer(r.adm.ElectLeaders(r.ctx, kadm.ElectPreferredReplica, s))
	}},
	{"ElectLeaders: unclean, of named partitions", func(r *run) any {
		var s kadm.TopicsSet
		s.Add("admin-a", 0)
		return answer(r.adm.ElectLeaders(r.ctx, kadm.ElectLiveReplica, s))
	}},
	{"ElectLeaders: preferred, of all", func(r *run) any {
		res, err := r.adm.ElectLeaders(r.ctx, kadm.ElectPreferredReplica, nil)
		return answer(ours(res), err)
	}},
	{"AlterPartitionAssignments", func(r *run) any {
		var req kadm.AlterPartitionAssignmentsReq
		req.Assign("admin-a", 0, []int32{r.broker})
		req.Assign("admin-a", 1, []int32{4711})
		req.Assign("admin-a", 2, []int32{})
		req.Assign("admin-a", 99, []int32{r.broker})
		req.CancelAssign("admin-b", 0)
		return answer(r.adm.AlterPartitionAssignments(r.ctx, req))
	}},
	{"ListPartitionReassignments", func(r *run) any {
		var s kadm.TopicsSet
		s.Add("admin-a", 0, 1)
		return []any{answer(r.adm.ListPartitionReassignments(r.ctx, s)), answer(r.adm.ListPartitionReassignments(r.ctx, nil))}
	}},
	{"AlterBrokerReplicaLogDirs: to where it is, and to a directory that is not one", func(r *run) any {
		var same, other kadm.AlterReplicaLogDirsReq
		var s kadm.TopicsSet
		s.Add("admin-a", 0)
		same.Add(r.dir, s)
		other.Add("/no/such/dir", s)
		return []any{answer(r.adm.AlterBrokerReplicaLogDirs(r.ctx, r.broker, same)), answer(r.adm.AlterBrokerReplicaLogDirs(r.ctx, r.broker, other))}
	}},
	{"AlterAllReplicaLogDirs: topic does not exist", func(r *run) any {
		var req kadm.AlterReplicaLogDirsReq
		var s kadm.TopicsSet
		s.Add("admin-none", 0)
		req.Add(r.dir, s)
		return answer(r.adm.AlterAllReplicaLogDirs(r.ctx, req))
	}},
}
