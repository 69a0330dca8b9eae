package storage

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/wire/batch"
)

// RecordError refuses an append because of single records (KIP-467). It wraps kerr.InvalidRecord or kerr.InvalidTimestamp.
type RecordError = batch.RecordErrors

// CorruptionError says which bytes on disk are not what they should be. Recovery decides by it. It wraps
// kerr.KafkaStorageError, so that a client that meets it tries elsewhere.
type CorruptionError struct {
	Path     string
	Position int64 // of the bad batch or entry; -1: the whole file
	Reason   string
}

func (e *CorruptionError) Error() string {
	if e.Position < 0 {
		return fmt.Sprintf("%s is corrupt: %s", e.Path, e.Reason)
	}
	return fmt.Sprintf("%s is corrupt at byte %d: %s", e.Path, e.Position, e.Reason)
}

func (e *CorruptionError) Unwrap() error { return kerr.KafkaStorageError }

func corruptFile(path string, format string, args ...any) error {
	return &CorruptionError{Path: path, Position: -1, Reason: fmt.Sprintf(format, args...)}
}

// isCorrupt says that err is about the contents of a file, not about reading it.
func isCorrupt(err error) bool {
	var c *CorruptionError
	return errors.As(err, &c)
}

// storageError is an I/O error: KAFKA_STORAGE_ERROR with its cause.
type storageError struct {
	what string
	err  error
}

func (e *storageError) Error() string   { return e.what + ": " + e.err.Error() }
func (e *storageError) Unwrap() []error { return []error{kerr.KafkaStorageError, e.err} }

// errClosed is the cause that operations on a log meet after it was deleted or its manager was closed.
var errClosed = errors.New("the log is closed")
