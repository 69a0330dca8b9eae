package storage

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// TopicPartition names a log.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String is the name of the log's directory.
func (tp TopicPartition) String() string { return tp.Topic + "-" + strconv.Itoa(int(tp.Partition)) }

// Files of a partition directory, and what is appended to their names.
const (
	logSuffix       = ".log"
	indexSuffix     = ".index"
	timeIndexSuffix = ".timeindex"
	txnIndexSuffix  = ".txnindex"
	snapshotSuffix  = ".snapshot"

	deletedSuffix = ".deleted" // to be removed after file.delete.delay.ms
	cleanedSuffix = ".cleaned" // unfinished output of compaction
	swapSuffix    = ".swap"    // finished output of compaction, not yet in place
	cutSuffix     = ".cut"     // ours: unfinished copy of a segment that readers held when it was truncated

	deleteDirSuffix = "-delete"
	futureDirSuffix = "-future"
	strayDirSuffix  = "-stray"

	epochFileName         = "leader-epoch-checkpoint"
	partitionMetadataName = "partition.metadata"
)

// Files of a log directory.
const (
	lockFileName             = ".lock"
	cleanShutdownFileName    = ".kafka_cleanshutdown"
	metaPropertiesName       = "meta.properties"
	recoveryPointFileName    = "recovery-point-offset-checkpoint"
	logStartFileName         = "log-start-offset-checkpoint"
	highWatermarkFileName    = "replication-offset-checkpoint"
	cleanerOffsetsFileName   = "cleaner-offset-checkpoint"
	remoteIndexCacheName     = "remote-log-index-cache"
	clusterMetadataDirectory = "__cluster_metadata-0"
)

// offsetName is a base offset as file names have it: 20 digits.
func offsetName(offset int64) string {
	s := strconv.FormatInt(offset, 10)
	if len(s) >= 20 {
		return s
	}
	return "00000000000000000000"[:20-len(s)] + s
}

// parseOffsetName reads the base offset from the name of a segment's file, and says what follows it.
func parseOffsetName(name string) (base int64, suffix string, ok bool) {
	digits, _, found := strings.Cut(name, ".")
	if !found || len(digits) < 20 {
		return 0, "", false
	}
	base, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || base < 0 || digits[0] == '+' {
		return 0, "", false
	}
	return base, name[len(digits):], true
}

// dirKind is what the name of a directory says about the log in it.
type dirKind uint8

const (
	dirLog dirKind = iota
	dirDelete
	dirFuture
	dirStray
)

// parseDirName reads the name of a partition's directory.
func parseDirName(name string) (tp TopicPartition, kind dirKind, err error) {
	base := name
	for suffix, k := range map[string]dirKind{deleteDirSuffix: dirDelete, futureDirSuffix: dirFuture, strayDirSuffix: dirStray} {
		if rest, ok := strings.CutSuffix(name, suffix); ok {
			// <topic>-<partition>.<32 hex digits>-<kind>
			if dot := strings.LastIndexByte(rest, '.'); dot > 0 && len(rest)-dot-1 == 32 && isHex(rest[dot+1:]) {
				base, kind = rest[:dot], k
			}
		}
	}
	dash := strings.LastIndexByte(base, '-')
	if dash <= 0 || dash == len(base)-1 {
		return tp, 0, fmt.Errorf("directory %q is not named <topic>-<partition>", name)
	}
	n, err := strconv.ParseInt(base[dash+1:], 10, 32)
	if err != nil || n < 0 || base[dash+1] == '+' {
		return tp, 0, fmt.Errorf("directory %q is not named <topic>-<partition>", name)
	}
	return TopicPartition{Topic: base[:dash], Partition: int32(n)}, kind, nil
}

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

// deletedDirName is a fresh name for the directory of a deleted log, at most 255 bytes.
func deletedDirName(tp TopicPartition) string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	tail := "-" + strconv.Itoa(int(tp.Partition)) + "." + hex.EncodeToString(id[:]) + deleteDirSuffix
	return tp.Topic[:min(len(tp.Topic), 255-len(tail))] + tail
}

func join(dir, name string) string { return path.Join(dir, name) }
