package config

import (
	"slices"
	"strings"
)

// metadataVersions are the protocol levels of Kafka up to 3.9 (org.apache.kafka.server.common.MetadataVersion), oldest first.
// inter.broker.protocol.version and log.message.format.version take these names and their short forms.
var metadataVersions = strings.Fields(`
	0.8.0 0.8.1 0.8.2 0.9.0
	0.10.0-IV0 0.10.0-IV1 0.10.1-IV0 0.10.1-IV1 0.10.1-IV2 0.10.2-IV0 0.11.0-IV0 0.11.0-IV1 0.11.0-IV2
	1.0-IV0 1.1-IV0 2.0-IV0 2.0-IV1 2.1-IV0 2.1-IV1 2.1-IV2 2.2-IV0 2.2-IV1 2.3-IV0 2.3-IV1 2.4-IV0 2.4-IV1 2.5-IV0 2.6-IV0
	2.7-IV0 2.7-IV1 2.7-IV2 2.8-IV0 2.8-IV1
	3.0-IV0 3.0-IV1 3.1-IV0 3.2-IV0 3.3-IV0 3.3-IV1 3.3-IV2 3.3-IV3 3.4-IV0 3.5-IV0 3.5-IV1 3.5-IV2 3.6-IV0 3.6-IV1 3.6-IV2
	3.7-IV0 3.7-IV1 3.7-IV2 3.7-IV3 3.7-IV4 3.8-IV0 3.9-IV0`)

// unreleasedVersions are levels that Kafka 3.9's validator accepts although no release ever had them.
var unreleasedVersions = []string{"4.0-IV0", "4.0-IV1"}

// validVersion follows MetadataVersion.fromVersionString: a name counts up to its second part (third below 1.0), so 3.9.2 is 3.9
// and 0.8.1.1 is 0.8.1.
func validVersion(name string) bool {
	if slices.Contains(metadataVersions, name) {
		return true
	}
	parts := 2
	if strings.HasPrefix(name, "0.") {
		parts = 3
	}
	segments := strings.Split(name, ".")
	if len(segments) < parts {
		return false
	}
	short := strings.Join(segments[:parts], ".")
	return slices.ContainsFunc(metadataVersions, func(v string) bool {
		release, _, _ := strings.Cut(v, "-")
		return short == release || short == v
	})
}
