package zkmeta

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Paths below the chroot.
const (
	BrokersIDs      = "/brokers/ids"
	BrokersTopics   = "/brokers/topics"
	BrokersSeqID    = "/brokers/seqid"
	Controller      = "/controller"
	ControllerEpoch = "/controller_epoch"
	ClusterIDPath   = "/cluster/id"
	Feature         = "/feature"
	Migration       = "/migration"

	DeleteTopics                = "/admin/delete_topics"
	ReassignPartitions          = "/admin/reassign_partitions"
	PreferredReplicaElection    = "/admin/preferred_replica_election"
	IsrChangeNotification       = "/isr_change_notification"
	LogDirEventNotification     = "/log_dir_event_notification"
	LatestProducerIDBlock       = "/latest_producer_id_block"
	ConfigRoot                  = "/config"
	ConfigChangesRoot           = "/config/changes"
	ConsumersRoot               = "/consumers"
	DelegationTokens            = "/delegation_token/tokens"
	DelegationTokenChanges      = "/delegation_token/token_changes"
	LiteralACLRoot              = "/kafka-acl"
	LiteralACLChanges           = "/kafka-acl-changes"
	PrefixedACLRoot             = "/kafka-acl-extended/prefixed"
	ExtendedACLChanges          = "/kafka-acl-extended-changes"
	IsrChangePrefix             = "isr_change_"
	LogDirEventPrefix           = "log_dir_event_"
	ConfigChangePrefix          = "config_change_"
	ACLChangePrefix             = "acl_changes_"
	DelegationTokenChangePrefix = "token_change_"
)

// Entity types under /config.
const (
	ConfigTopics  = "topics"
	ConfigBrokers = "brokers"
	ConfigUsers   = "users"
	ConfigClients = "clients"
	ConfigIPs     = "ips"
	ConfigGroups  = "groups"

	// DefaultEntity is the name of the entity whose values hold where no other does.
	DefaultEntity = "<default>"
)

// Broker is the registration of a broker.
func Broker(id int32) string { return BrokersIDs + "/" + strconv.Itoa(int(id)) }

// Topic holds a topic's assignment.
func Topic(topic string) string { return BrokersTopics + "/" + topic }

// TopicPartitions is the parent of a topic's partitions.
func TopicPartitions(topic string) string { return Topic(topic) + "/partitions" }

// TopicPartition is the parent of a partition's state.
func TopicPartition(topic string, partition int32) string {
	return TopicPartitions(topic) + "/" + strconv.Itoa(int(partition))
}

// TopicPartitionState holds leader and ISR of a partition.
func TopicPartitionState(topic string, partition int32) string {
	return TopicPartition(topic, partition) + "/state"
}

// DeleteTopic is the marker of a topic that is to be deleted.
func DeleteTopic(topic string) string { return DeleteTopics + "/" + topic }

// Config holds the overrides of one entity. entity is a znode name: for users and clients see
// GroupEntity is the entity path of a group's configs. Group ids may hold anything, so they are encoded.
func GroupEntity(group string) string { return ConfigGroups + "/" + EncodeEntity(group) }

// EncodeEntity; a user's client is "alice/clients/c1".
func Config(entityType, entity string) string { return ConfigRoot + "/" + entityType + "/" + entity }

// ConfigType is the parent of all entities of a type.
func ConfigType(entityType string) string { return ConfigRoot + "/" + entityType }

// ConsumerOffset holds an offset of a consumer older than Kafka 0.9.
func ConsumerOffset(group, topic string, partition int32) string {
	return ConsumersRoot + "/" + group + "/offsets/" + topic + "/" + strconv.Itoa(int(partition))
}

// Token holds a delegation token.
func Token(id string) string { return DelegationTokens + "/" + id }

// LiteralACL and PrefixedACL hold the ACLs of one resource pattern. resourceType is the node's name:
// Topic, Group, Cluster, TransactionalId, DelegationToken, User.
func LiteralACL(resourceType, name string) string {
	return LiteralACLRoot + "/" + resourceType + "/" + name
}

func PrefixedACL(resourceType, name string) string {
	return PrefixedACLRoot + "/" + resourceType + "/" + name
}

// SequenceNumber is the number at the end of the name of a sequential node with that prefix.
func SequenceNumber(name, prefix string) (int64, bool) {
	digits, ok := strings.CutPrefix(name, prefix)
	if !ok || digits == "" {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil
}

// EncodeEntity turns a principal or client id into a znode name: URL encoding as Kafka's Sanitizer does
// it (Java's URLEncoder, then "+" as %20, "*" as %2A and "%7E" as "~"). DefaultEntity must not be encoded.
func EncodeEntity(name string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_', c == '~':
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

// DecodeEntity undoes EncodeEntity.
func DecodeEntity(name string) (string, error) {
	if !strings.ContainsAny(name, "%+") {
		return name, nil
	}
	b := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		switch name[i] {
		case '+':
			b = append(b, ' ')
		case '%':
			if i+2 >= len(name) {
				return "", fmt.Errorf("entity name %q: %% without two hex digits", name)
			}
			n, err := strconv.ParseUint(name[i+1:i+3], 16, 8)
			if err != nil {
				return "", fmt.Errorf("entity name %q: %% without two hex digits", name)
			}
			b = append(b, byte(n))
			i += 2
		default:
			b = append(b, name[i])
		}
	}
	return string(b), nil
}

// Parent is the path of the parent; of "/" it is "".
func Parent(path string) string {
	i := strings.LastIndexByte(path, '/')
	switch {
	case i < 0 || path == "/":
		return ""
	case i == 0:
		return "/"
	}
	return path[:i]
}

// ValidatePath checks a path by ZooKeeper's rules (PathUtils.validatePath). A sequential name may end
// in a slash, since digits follow.
func ValidatePath(path string, sequential bool) error {
	if path == "" || path[0] != '/' {
		return fmt.Errorf("%w: %q does not start with /", ErrInvalidPath, path)
	}
	if path == "/" {
		return nil
	}
	check := path[1:]
	if sequential {
		check += "1"
	}
	for name := range strings.SplitSeq(check, "/") {
		if name == "" || name == "." || name == ".." {
			return fmt.Errorf("%w: %q has the element %q", ErrInvalidPath, path, name)
		}
	}
	for i, r := range path {
		bad := r <= 0x1f || r >= 0x7f && r <= 0x9f || r >= 0xf000 && r <= 0xf8ff || r >= 0xfff0 && r <= 0xffff
		if r == utf8.RuneError {
			_, size := utf8.DecodeRuneInString(path[i:])
			bad = size <= 1 || bad
		}
		if bad {
			return fmt.Errorf("%w: %q has the character %U", ErrInvalidPath, path, r)
		}
	}
	return nil
}
