// Package consumer is the state of one group of the new consumer protocol (KIP-848) and the decisions about it, without I/O, timers or
// goroutines.
//
// A Group is what its records say and nothing else: Replay is the only way to change it. The methods that decide (Heartbeat, Leave,
// Fence) read it and return the records to write; package group appends them, and their replay makes the change. What a request led
// to is therefore what is found after a change of coordinator, whatever was lost on the way.
//
// # Epochs
//
// The group epoch grows when a subscription changes, a member goes, or the topics that the group reads change. A target assignment is
// computed for each group epoch, when the next member asks (assignment epoch). Each member is then led to its target at its own pace
// (Reconcile): it gives up partitions first and reports that in a heartbeat; only then does it reach the new member epoch, and a
// partition is given to it only when no other member has it.
//
// # Records
//
// Those of Kafka 4.3, which also reads what 3.9 and 4.0 write. Key versions: 3 group epoch, 4 topics of the group (up to 4.0; only
// removed here), 5 member, 6 assignment epoch, 7 target of a member, 8 current assignment of a member, 16 resolved regular expression. The hash of
// the topics in a group epoch record is of our own making: it is compared with nothing but itself, and another one only leads to one
// more epoch.
package consumer
