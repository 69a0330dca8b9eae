// Package config holds every configuration key of the broker: Kafka 3.9's broker, topic and dynamic-only keys under Kafka's own
// names, types, defaults and checks, and a few of ours under "ottla.".
//
// A key is declared once, in one of the keys_*.go files. From that line come the parser and the validator with Kafka's messages,
// the typed getters (Get, TopicGet), DescribeConfigs, AlterConfigs and IncrementalAlterConfigs, `ottla config explain` and
// docs/config.md. The Go name of a key is its Kafka name in camel case: log.segment.bytes is LogSegmentBytes; topic keys carry the
// prefix Topic: retention.ms is TopicRetentionMs.
//
// # From file to value
//
// Load reads the configuration file (Java properties, YAML, TOML or JSON), the environment as the popular Kafka images map it, and
// --set options, in rising precedence, into a Static: which keys were set, to what, and where. Names are looked up without regard
// to case and kept in Kafka's spelling. Unknown keys are kept and warned about with the nearest known name. Everything wrong is
// reported at once, each with its place.
//
// Dynamic puts the two dynamic layers of KIP-226 over a Static: the cluster-wide default (/config/brokers/<default>) and this
// broker's own (/config/brokers/<id>). Each change makes a new immutable Snapshot, published through an atomic pointer; readers
// take no lock and see one consistent set of values. As in Kafka, a dynamic value of one member of a synonym chain (log.roll.ms,
// log.roll.hours) hides the static values of the others.
//
// # Marks
//
// Each key says what the broker does with it today, in one field: Serve, Accept (read and reported, no effect, the doc says why) or
// Later (only the default is accepted; anything else refuses to start, naming the key). Nothing that concerns security is ignored
// silently. When a subsystem starts to honour a key, its Mark and Doc are all that changes here.
//
// # Goroutines, locks, crashes
//
// The package starts no goroutines and writes no files. Dynamic has one mutex, held while a new snapshot is computed and while
// change listeners run; listeners must not call back into the same Dynamic's setters. Snapshot, Static and Topic are immutable.
// The dynamic layers are kept in the metadata store by others and handed in again after a restart.
package config
