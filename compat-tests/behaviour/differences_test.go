package behaviour

import "ottla/compat-tests/harness"

// deviation is an answer of Ottla that differs from Kafka's on purpose. name, step and path are patterns of path.Match in which *
// stands for slashes, too; got is Ottla's value, or * for any.
type deviation struct{ name, step, path, got, reason string }

// Reasons that hold for several entries.
const (
	mapOrder   = "Kafka's order is that of a hash map; ours is sorted"
	exception  = "Kafka fails with an exception (UNKNOWN_SERVER_ERROR, or no answer at all) where the request is wrong"
	namedTwice = "Kafka keeps one of two entries for the same thing and drops the other in silence; we answer both"
	notOpened  = "compressed batches are not opened on append unless the topic needs it (compaction, time limits): what is inside is the producer's"
	byIDEarly  = "Kafka refuses the whole request, without brokers, where a topic is asked for by id below version 12; we refuse that topic"
	kip848     = "Ottla serves KIP-848 groups as Kafka 4 does; Kafka 3.9 does not with ZooKeeper"
	version2   = "Ottla serves transactions of version 2 (KIP-890) as Kafka 4 does; Kafka 3.9 does not with ZooKeeper"
	cutShort   = "Kafka cuts down-converted data at the size of what is stored; we return whole messages"
)

var deliberate = []deviation{
	// Connections.
	{"connection/ApiVersions v99 with an old header", "raw", "", "*", "the answer to a version that is not known needs no more than the correlation id"},
	{"connection/SaslHandshake without SASL", "raw", "", `"connection closed"`, "SASL is not served yet, and not advertised"},
	{"connection/negative client id length", "raw", "", `"connection closed"`, "only -1 means null; other negative lengths are garbage"},
	{"connection/null for an array that must not be", "raw", "", "*", "a null array is read as an empty one"},

	{"api versions/*", "*", "ApiKeys*.MaxVersion", "12", version2},
	{"api versions/*", "ask", "FinalizedFeatures*", "*", version2},
	{"api versions/v4", "ask", "SupportedFeatures*", "*", version2},

	// Produce and Fetch.
	{"produce/null records, v*", "produce", "*", "*", "Kafka never answers and the connection hangs; we answer INVALID_RECORD"},
	{"produce/topic twice, v*", "one partition", "*", "*", namedTwice},
	{"produce/topic twice, v*", "log", "*", "*", namedTwice},
	{"records/offset deltas *", "*", "*", "*", "Kafka checks the offset deltas of compressed batches only, and stores records with one offset; we refuse them with INVALID_RECORD"},
	{"records/codec [57]", "produce v*", "*.ErrorCode", "87", exception},
	{"records/gzip *", "*", "*", "*", notOpened},
	{"records/zstd that is none", "*", "*", "*", notOpened},
	{"message sets/gzip that is none", "produce", "*.ErrorCode", "2", exception},
	{"message sets/magic 1 then 2", "produce", "*.ErrorCode", "2", "either code refuses a set that no client writes"},
	{"message sets/zstd of magic 1", "produce", "*.ErrorCode", "76", "magic 1 has no zstd: the code says what is wrong"},
	{"fetch/compressed, v[0-3]", "*", "*RecordBatches*", "*", cutShort},
	{"fetch/compressed, v*", "topic of zstd", "*RecordBatches*", "0", "records are never null: some clients crash on it"},
	{"fetch/no down-conversion, v*", "*", "*RecordBatches*", "0", "records are never null: some clients crash on it"},
	{"fetch/errors, v*", "topic twice", "*", "*", namedTwice},
	{"fetch/errors, v*", "unknown isolation level", "*", "*", exception},
	{"fetch limits/v[023]", "partition of *", "*RecordBatches*", "*", "a batch larger than the limit is returned whole at every version, so that a consumer gets on"},
	{"fetch limits/v*", "negative *", "*", "*", exception},
	{"delete records/v*", "twice", "*", "*", namedTwice},
	{"offset for leader epoch/v*", "epoch -2", "*", "*", "no leader epoch is negative: there is no end offset to tell"},

	// Metadata and topics.
	{"metadata/v1[01]", "by *", "*", "*", byIDEarly},
	{"metadata/v1[01]", "null name, zero id", "*", "*", byIDEarly},
	{"metadata/v1[01]", "name*", "*", "*", byIDEarly},
	{"metadata/v12", "null name, zero id", "*", "*", exception},
	{"metadata/v12", "name, unknown name and id", "*", "*", "Kafka leaves out names where the request has an id, too; we answer all"},
	{"create topics/assignment without replicas", "*", "*", "*", "Kafka creates a topic that can never have a leader; we answer INVALID_REPLICATION_FACTOR"},
	{"create topics/two unknown configs", "*", "*.ErrorMessage", "*", mapOrder},
	{"delete topics/v6", "zero id", "*.ErrorCode", "100", "TOPIC_AUTHORIZATION_FAILED would make an administrator look for an ACL"},

	// Configs.
	{"describe configs/v0", "*", "*.IsDefault", "true", "Kafka 3.9 leaves is_default unset; the field says what its name says"},
	{"describe configs/v*", "resource type 32", "*", "*", kip848},
	{"incremental alter configs/topic, v*", "resource type 32", "*", "*", kip848},
	{"alter configs/v*", "same resource twice", "*", "*", exception},
	{"incremental alter configs/topic, v*", "operation 9", "*", "*", exception},
	{"incremental alter configs/topic, v*", "append to an unknown config", "*", "*", exception},
	{"incremental alter configs/broker, v*", "two read only", "*.ErrorMessage", "*", mapOrder},
	{"incremental alter configs/broker, v*", "logger of another broker", "*.ErrorMessage", "*", "Kafka names its own id as the one received"},
	{"incremental alter configs/broker, v*", "level that is none", "*.ErrorMessage", "*", "the broker's words; the code is the same"},

	// Cluster.
	{"elect leaders/v*", "type 5, *", "*", "*", exception},
	{"reassignments/v0", "unknown broker", "*.ErrorMessage", "*", "the same words around a list, which Scala prints in its own way"},
	{"reassignments/v0", "negative broker", "*.ErrorMessage", "*", "the same words around a list, which Scala prints in its own way"},
	{"reassignments/v0", "duplicate", "*.ErrorMessage", "*", "the same words around a list, which Scala prints in its own way"},
	{"reassignments/v0", "cancel an unknown partition", "*", "*", "UNKNOWN_TOPIC_OR_PARTITION says more than that nothing is in progress"},

	// Transactions.
	{"transactions/produce without a producer id, v*", "negative producer id", "*", "*", "Kafka stores a transactional batch that no marker can ever end; we refuse it with INVALID_RECORD"},
	{"transactions/produce, v*", "in a transaction, newer epoch", "*", "*", "Kafka 3.9 does not ask the coordinator about another epoch while a transaction is open; we do, as Kafka 4 does"},
	{"transactions/produce, v*", "in a transaction, older epoch", "*.LogStartOffset", "*", "Kafka 3.9 does not ask the coordinator about another epoch while a transaction is open; we do, as Kafka 4 does"},

	// Groups.
	{"groups/refused, v*", "describe no group", "*.State", `"Dead"`, "a refused JoinGroup leaves an empty group in Kafka's memory, and none in ours"},
	{"offsets/simple consumer, v9", "generation without a group", "*.ErrorCode", "69", kip848},
	{"offsets/many groups, v*", "no groups", "*", "*", "Kafka gives no answer; ours is empty"},
}

// onPurpose returns the entry of the table that covers a difference, or -1. Kafka itself has no deviations.
func onPurpose(deliberate []deviation, kind harness.Kind, name, step string, d difference) int {
	if kind != harness.Ottla {
		return -1
	}
	for i, x := range deliberate {
		if matches(x.name, name) && matches(x.step, step) && matches(x.path, d.path) && (x.got == "*" || x.got == d.got) {
			return i
		}
	}
	return -1
}
