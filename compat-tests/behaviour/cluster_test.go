package behaviour

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// clusterCases are DescribeCluster, DescribeLogDirs, DescribeProducers, ElectLeaders, reassignments and InitProducerId.
func clusterCases() []scenario {
	var cases []scenario
	add := func(name string, do func(e *env)) { cases = append(cases, scenario{name: name, do: do}) }
	for v := range int16(2) {
		add(fmt.Sprintf("describe cluster/v%d", v), func(e *env) {
			for _, endpoint := range []int8{1, 2, 3, 0, -1} {
				req := kmsg.NewPtrDescribeClusterRequest()
				req.EndpointType = endpoint
				e.do(fmt.Sprintf("endpoint type %d", endpoint), v, req)
			}
			req := kmsg.NewPtrDescribeClusterRequest()
			req.IncludeClusterAuthorizedOperations = true
			e.do("operations", v, req)
		})
	}
	for v := range int16(5) {
		add(fmt.Sprintf("describe log dirs/v%d", v), func(e *env) {
			topic := e.topic("", 2)
			e.fill(topic, 9, batch{}.build(kv("a")...))
			ask := func(label string, topics ...kmsg.DescribeLogDirsRequestTopic) {
				req := kmsg.NewPtrDescribeLogDirsRequest()
				req.Topics = topics
				resp, err := e.exchange(e.conn(), v, req, answerLimit)
				if err == nil {
					for _, d := range resp.(*kmsg.DescribeLogDirsResponse).Dirs {
						for _, t := range d.Topics {
							slices.SortFunc(t.Partitions, func(x, y kmsg.DescribeLogDirsResponseDirTopicPartition) int {
								return cmp.Compare(x.Partition, y.Partition)
							})
						}
					}
				}
				e.recordAnswer(label, resp, err)
			}
			ask("topic", kmsg.DescribeLogDirsRequestTopic{Topic: topic, Partitions: []int32{0, 1}})
			ask("partition", kmsg.DescribeLogDirsRequestTopic{Topic: topic, Partitions: []int32{1}})
			ask("no partitions", kmsg.DescribeLogDirsRequestTopic{Topic: topic, Partitions: []int32{}})
			ask("unknown", kmsg.DescribeLogDirsRequestTopic{Topic: topic, Partitions: []int32{0, 7}}, kmsg.DescribeLogDirsRequestTopic{Topic: e.slug("-none"), Partitions: []int32{0}})
			ask("no topics", []kmsg.DescribeLogDirsRequestTopic{}...)
			empty := kmsg.NewPtrDescribeLogDirsRequest()
			empty.Topics = []kmsg.DescribeLogDirsRequestTopic{}
			e.do("empty list", v, empty)
		})
	}
	add("describe producers/v0", func(e *env) {
		topic := e.topic("", 2)
		e.fill(topic, 9, batch{}.build(kv("a")...), batch{idempotent: true, pid: customProducerID, epoch: 3, seq: 5}.build(kv("a", "b")...))
		req := kmsg.NewPtrDescribeProducersRequest()
		req.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: topic, Partitions: []int32{0, 1, 5}}, {Topic: e.slug("-none"), Partitions: []int32{0}}, {Topic: "bad name", Partitions: []int32{0}}}
		e.do("ask", 0, req)
		e.do("no topics", 0, kmsg.NewPtrDescribeProducersRequest())
	})
	for v := range int16(3) {
		add(fmt.Sprintf("elect leaders/v%d", v), func(e *env) {
			topic := e.topic("", 2)
			for _, kind := range []int8{0, 1, 5} {
				elect := func(label string, topics ...kmsg.ElectLeadersRequestTopic) {
					req := kmsg.NewPtrElectLeadersRequest()
					req.ElectionType, req.Topics, req.TimeoutMillis = kind, topics, 5000
					e.do(fmt.Sprintf("type %d, %s", kind, label), v, req)
				}
				elect("one", kmsg.ElectLeadersRequestTopic{Topic: topic, Partitions: []int32{0}})
				elect("unknown partition", kmsg.ElectLeadersRequestTopic{Topic: topic, Partitions: []int32{7}})
				elect("unknown topic", kmsg.ElectLeadersRequestTopic{Topic: e.slug("-none"), Partitions: []int32{0}})
				elect("all")
				elect("no partitions", kmsg.ElectLeadersRequestTopic{Topic: topic, Partitions: []int32{}})
			}
		})
	}
	add("reassignments/v0", func(e *env) {
		topic := e.topic("", 2)
		change := func(label, topic string, partition int32, replicas []int32) {
			req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
			req.TimeoutMillis = 5000
			rt := kmsg.NewAlterPartitionAssignmentsRequestTopic()
			p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
			p.Partition, p.Replicas = partition, replicas
			rt.Topic, rt.Partitions = topic, []kmsg.AlterPartitionAssignmentsRequestTopicPartition{p}
			req.Topics = append(req.Topics, rt)
			e.do(label, 0, req)
		}
		change("the same", topic, 0, []int32{1})
		change("cancel", topic, 0, nil)
		change("no replicas", topic, 0, []int32{})
		change("unknown broker", topic, 0, []int32{99})
		change("negative broker", topic, 0, []int32{-1})
		change("duplicate", topic, 0, []int32{1, 1})
		change("unknown partition", topic, 9, []int32{1})
		change("cancel an unknown partition", topic, 9, nil)
		change("unknown topic", e.slug("-none"), 0, []int32{1})
		e.do("nothing", 0, kmsg.NewPtrAlterPartitionAssignmentsRequest())
		list := kmsg.NewPtrListPartitionReassignmentsRequest()
		e.do("list all", 0, list)
		list.Topics = []kmsg.ListPartitionReassignmentsRequestTopic{{Topic: topic, Partitions: []int32{0, 9}}, {Topic: e.slug("-none"), Partitions: []int32{0}}}
		e.do("list some", 0, list)
	})
	for v := range int16(6) {
		add(fmt.Sprintf("init producer id/v%d", v), func(e *env) {
			ask := func(label string, id int64, epoch int16) kmsg.Response {
				req := kmsg.NewPtrInitProducerIDRequest()
				req.ProducerID, req.ProducerEpoch, req.TransactionTimeoutMillis = id, epoch, 60000
				return e.do(label, v, req)
			}
			ask("new", -1, -1)
			ask("another", -1, -1)
			ask("id without an epoch", 5, -1)
			ask("epoch without an id", -1, 5)
			ask("id and epoch", 5, 5)
			req := kmsg.NewPtrInitProducerIDRequest()
			empty := ""
			req.TransactionalID, req.TransactionTimeoutMillis = &empty, 60000
			e.do("empty transactional id", v, req)
			req = kmsg.NewPtrInitProducerIDRequest()
			req.TransactionTimeoutMillis = -1
			e.do("negative timeout", v, req)
		})
	}
	return cases
}

// controlCases are requests between brokers that are refused before they change anything.
func controlCases() []scenario {
	var cases []scenario
	for v := range int16(8) {
		cases = append(cases, scenario{name: fmt.Sprintf("leader and isr/v%d", v), do: func(e *env) {
			req := kmsg.NewPtrLeaderAndISRRequest()
			req.ControllerID, req.ControllerEpoch, req.BrokerEpoch = 1, 0, -1
			e.do("old controller epoch", v, req)
			req.ControllerEpoch, req.BrokerEpoch = 100, 0
			if v >= 2 {
				e.do("old broker epoch", v, req)
			}
		}})
	}
	for v := range int16(9) {
		cases = append(cases, scenario{name: fmt.Sprintf("update metadata/v%d", v), do: func(e *env) {
			req := kmsg.NewPtrUpdateMetadataRequest()
			req.ControllerID, req.ControllerEpoch, req.BrokerEpoch = 1, 0, -1
			e.do("old controller epoch", v, req)
			req.ControllerEpoch, req.BrokerEpoch = 100, 0
			if v >= 5 {
				e.do("old broker epoch", v, req)
			}
		}})
	}
	for v := range int16(4) { // kmsg has two fields of version 4 in the wrong order
		cases = append(cases, scenario{name: fmt.Sprintf("stop replica/v%d", v), do: func(e *env) {
			req := kmsg.NewPtrStopReplicaRequest()
			req.ControllerID, req.ControllerEpoch, req.BrokerEpoch = 1, 0, -1
			e.do("old controller epoch", v, req)
			req.ControllerEpoch, req.BrokerEpoch = 100, 0
			if v >= 1 {
				e.do("old broker epoch", v, req)
			}
		}})
	}
	for v := range int16(4) {
		cases = append(cases, scenario{name: fmt.Sprintf("controlled shutdown/v%d", v), do: func(e *env) {
			req := kmsg.NewPtrControlledShutdownRequest()
			req.BrokerID, req.BrokerEpoch = 77, -1
			e.do("unknown broker", v, req)
			if v >= 2 {
				req.BrokerID, req.BrokerEpoch = 1, 0
				e.do("old broker epoch", v, req)
			}
		}}, scenario{name: fmt.Sprintf("alter partition/v%d", v), do: func(e *env) {
			topic := e.topic("", 1)
			req := kmsg.NewPtrAlterPartitionRequest()
			req.BrokerID, req.BrokerEpoch = 1, 0
			e.do("old broker epoch", v, req)
			req.BrokerID, req.BrokerEpoch = 77, -1
			rt := kmsg.NewAlterPartitionRequestTopic()
			rt.Topic = topic
			p := kmsg.NewAlterPartitionRequestTopicPartition()
			p.NewISR = []int32{1}
			rt.Partitions = append(rt.Partitions, p)
			req.Topics = append(req.Topics, rt)
			e.do("unknown broker", v, req)
		}})
	}
	cases = append(cases, scenario{name: "allocate producer ids/v0", do: func(e *env) {
		req := kmsg.NewPtrAllocateProducerIDsRequest()
		req.BrokerID, req.BrokerEpoch = 1, 0
		e.do("old broker epoch", 0, req)
		req.BrokerID, req.BrokerEpoch = 77, -1
		e.do("unknown broker", 0, req)
	}})
	return cases
}
