// Package assignor computes the target assignments of consumer groups (KIP-848): which member is to have which partition. The two
// assignors are Kafka's by name and by what they promise; which partition goes where may differ.
//
//	uniform   spreads partitions evenly over members; moves as few as that allows. The default.
//	range     spreads each topic's partitions over its subscribers, the same way for topics of the same size, so that
//	          members get the same partition numbers of topics that are joined.
//
// Everything here is a pure function of its Spec: the same Spec gives the same assignment, on every broker. Like Kafka's, the assignors look
// at no racks: a change of racks only has the assignment computed anew.
package assignor
