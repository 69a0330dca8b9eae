package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// maxTopicName leaves room in a directory name for the partition and a suffix (Topic.MAX_NAME_LENGTH).
const maxTopicName = 249

// clusterMetadataTopic belongs to KRaft; Kafka refuses to create it in every mode.
const clusterMetadataTopic = "__cluster_metadata"

// checkTopicName says INVALID_TOPIC_EXCEPTION, in Kafka's words, for a name that is not legal.
func checkTopicName(name string) error {
	var why string
	switch {
	case name == "":
		why = "the empty string is not allowed"
	case name == "." || name == "..":
		why = "'" + name + "' is not allowed"
	case len(name) > maxTopicName:
		why = fmt.Sprintf("the length of '%s' is longer than the max allowed length %d", name, maxTopicName)
	case strings.ContainsFunc(name, illegalInTopic):
		why = "'" + name + "' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
	default:
		return nil
	}
	return fail(kerr.InvalidTopicException, "Topic name is invalid: "+why)
}

func illegalInTopic(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
		return false
	}
	return true
}

// collisions are the known topics that differ from name only in '.' and '_': their metric names would be the same.
func collisions[V any](name string, known map[string]V) []string {
	if !strings.ContainsAny(name, "._") {
		return nil
	}
	unified := strings.ReplaceAll(name, ".", "_")
	var found []string
	for k := range known {
		if k != name && len(k) == len(name) && strings.ReplaceAll(k, ".", "_") == unified {
			found = append(found, k)
		}
	}
	slices.Sort(found)
	return found
}
