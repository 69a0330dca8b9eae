// Package takeover hands one data directory back and forth between Ottla and Apache Kafka, both on the same ZooKeeper: what one has
// written the other serves, byte for byte, with the same offsets, epochs, timestamps, producers and committed offsets, and goes on
// writing where the first one stopped. After each stop of Ottla, Kafka's own DumpLogSegments looks at the files.
//
// What is written is the list in fill_test.go: a further kind of log is a further set there. What is compared is the view in
// view_test.go: a further thing to compare is a further line of it.
package takeover
