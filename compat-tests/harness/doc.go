// Package harness runs brokers and ZooKeeper servers as child processes for the tests that need real ones: Ottla from
// its binary, Apache Kafka and ZooKeeper from their jars (see ../peers). Every server listens on a free loopback port,
// keeps its files in a directory of its own and is ended by its process id, never by name. A server dies with the test
// process (Linux's parent-death signal), so that an interrupted run leaves nothing behind.
//
// A test that only needs a broker to talk to calls Main from TestMain and Bootstrap from the test: the broker named by
// BOOTSTRAP is used, or one is started for the package. BROKER says of which kind that is: ottla (the default) or kafka.
//
// NewCluster and StartCluster start several brokers with a ZooKeeper server: Ottla, Apache Kafka or both. Their brokers can be killed,
// paused, restarted and, behind proxies, cut off.
//
// Environment:
//
//	BOOTSTRAP            host:port of the broker under test
//	BROKER               ottla or kafka: the kind that tests start themselves
//	OTTLA_BIN            the binary; default bin/ottla of this repository
//	OTTLA_ZK_CLASSPATH   class path with a ZooKeeper server; default the jars of Kafka
//	PEERS_HOME           where Kafka's jars are; default as in ../peers/kafka
//	HARNESS_KEEP         keep the directories of servers (data, configuration, logs) when set
package harness
