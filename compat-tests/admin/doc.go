// Package admin runs every method of franz-go's kadm that applies to a broker in ZooKeeper mode and compares the
// answers, written as JSON, with those that Apache Kafka 3.9.2 gave to the same program (testdata/kafka-3.9.2.json).
// What differs between any two brokers (ids, addresses, times, directories) is replaced by a word before the comparison.
//
// The recording is made anew with
//
//	BROKER=kafka go test ./admin -args -update
//
// The steps use fixed names (topics "admin-*", groups "admin-*"), which they delete first.
package admin
