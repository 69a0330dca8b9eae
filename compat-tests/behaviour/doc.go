// Package behaviour compares a broker's answers with those of Apache Kafka 3.9.2 in ZooKeeper mode, field by field.
//
// A case sends requests over plain TCP connections, made with kmsg or byte by byte where kmsg cannot make them (garbage, wrong
// lengths, unknown keys), and records each answer, a closed connection or silence. What belongs to one run only (ids, ports,
// times of the broker's clock) is replaced by a name: see normaliser. The recorded answers of Apache Kafka are committed in
// testdata/kafka-3.9.2.json; where Ottla answers otherwise on purpose, the table in differences_test.go says what and why.
//
//	go test ./behaviour                                      Ottla against the golden answers
//	BROKER=kafka go test ./behaviour -update                 record the golden answers
//	BROKER=kafka go test ./behaviour                         whether the golden answers repeat
//	go test ./behaviour -run 'TestBehaviour/produce'         only the cases whose name has that prefix
//
// Every run starts a broker of its own with the same settings for both kinds. Cases use topics and groups named after
// themselves, and run at the same time; those marked alone change or list what others would see, and run before them in order.
package behaviour
