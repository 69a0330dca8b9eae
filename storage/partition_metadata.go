package storage

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// partition.metadata ties a directory to a topic id (KIP-516): "version: 0\ntopic_id: <22 characters>", no final newline.

func encodePartitionMetadata(topicID [16]byte) []byte {
	return []byte("version: 0\ntopic_id: " + uuid(topicID))
}

func decodePartitionMetadata(data []byte) (topicID [16]byte, err error) {
	version := ""
	id := ""
	for line := range strings.Lines(string(data)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok {
			return topicID, fmt.Errorf("line %q has no value", truncateText(line))
		}
		switch key {
		case "version":
			version = value
		case "topic_id":
			id = value
		}
	}
	if version != "0" {
		return topicID, fmt.Errorf("version %q is not 0", truncateText(version))
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(id)
	if err != nil || len(raw) != 16 {
		return topicID, fmt.Errorf("topic id %q is not 22 characters of URL-safe base64", truncateText(id))
	}
	topicID = [16]byte(raw)
	if topicID == ([16]byte{}) {
		return topicID, fmt.Errorf("the topic id is zero")
	}
	return topicID, nil
}

// uuid is a topic id as Kafka prints it.
func uuid(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }
