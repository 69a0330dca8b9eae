// Package cluster holds tests with three broker processes and a real ZooKeeper: brokers are killed, paused, restarted and
// cut off, and ZooKeeper is restarted, while idempotent producers write with acks=all. Afterwards each record is there
// once, in order, and the replicas' logs are the same bytes. How long a partition took no record is printed for each
// fault. TestCleanStop measures what a clean stop costs, TestRollingRestart restarts all brokers under franz-go, librdkafka
// and Java clients, TestReassign moves partitions with ottla partition reassign and Kafka's tool, TestRacks reads from
// followers. They run Ottla, or Apache Kafka with BROKER=kafka; -short runs four of the faults, and no Java.
package cluster
