package controller

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/zkmeta"
)

// An Event is something the machine has to deal with. Reply functions are called from inside Process or
// Resume, at most once, and must not block.
type Event interface{ event() }

type (
	// SessionStarted says that the broker has a new metadata session and is registered in it, or that a
	// session that was silent answers again.
	SessionStarted struct{ ID int64 }
	// SessionLost says that the session expired, is silent, or is about to be closed.
	SessionLost struct{}
	// ZNodeChanged is a watch that fired.
	ZNodeChanged struct{ Path string }
	// Tick is due when Deadline has passed.
	Tick struct{}

	// BrokerAnswered is the answer to a LeaderAndIsr, UpdateMetadata or StopReplica.
	BrokerAnswered struct {
		Broker   int32
		Request  kmsg.Request
		Response kmsg.Response
	}
	// UncleanElectionEnabled says that unclean.leader.election.enable became true for a topic, or by
	// default if Topic is empty: partitions without a leader may get one now.
	UncleanElectionEnabled struct{ Topic string }

	// AlterPartition is a leader's ISR change (API key 56).
	AlterPartition struct {
		Request *kmsg.AlterPartitionRequest
		Reply   func(*kmsg.AlterPartitionResponse)
	}
	// ControlledShutdown is a broker that wants to stop (API key 7).
	ControlledShutdown struct {
		Broker int32
		// Epoch is the broker's registration, or -1 if the request does not say.
		Epoch int64
		Reply func(remaining []zkmeta.TP, err error)
	}
	// ElectLeaders is API key 43.
	ElectLeaders struct {
		Request *kmsg.ElectLeadersRequest
		Reply   func(*kmsg.ElectLeadersResponse)
	}
	// AlterReassignments is API key 45.
	AlterReassignments struct {
		Request *kmsg.AlterPartitionAssignmentsRequest
		Reply   func(*kmsg.AlterPartitionAssignmentsResponse)
	}
	// ListReassignments is API key 46.
	ListReassignments struct {
		Request *kmsg.ListPartitionReassignmentsRequest
		Reply   func(*kmsg.ListPartitionReassignmentsResponse)
	}
	// AllocateProducerIDs is API key 67.
	AllocateProducerIDs struct {
		Broker int32
		Epoch  int64
		Reply  func(start int64, n int32, err error)
	}
)

func (SessionStarted) event()         {}
func (SessionLost) event()            {}
func (ZNodeChanged) event()           {}
func (Tick) event()                   {}
func (BrokerAnswered) event()         {}
func (UncleanElectionEnabled) event() {}
func (AlterPartition) event()         {}
func (ControlledShutdown) event()     {}
func (ElectLeaders) event()           {}
func (AlterReassignments) event()     {}
func (ListReassignments) event()      {}
func (AllocateProducerIDs) event()    {}
