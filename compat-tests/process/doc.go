// Package process holds tests that need to start, stop and kill broker processes themselves: a million records through
// kcat, kill -9 in the middle of producing, and the znodes in a real ZooKeeper. They run Ottla, or Apache Kafka with
// BROKER=kafka; what holds for Ottla must hold for Kafka. -args -long runs the full amounts.
package process
