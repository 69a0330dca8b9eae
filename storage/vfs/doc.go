// Package vfs is the little of a filesystem that the log store needs, behind an interface so that tests can
// crash it, fail it and slow it down.
//
// Three implementations:
//
//   - OS is the operating system's.
//   - Mem lives in memory and knows what was synced: CrashClone returns the disk as a power cut would leave it,
//     with everything that was synced and a seeded choice of the rest. Names need SyncDir as bytes need Sync.
//   - Faulty wraps another one and asks a function before every operation, which may fail it, cut a write short
//     or take its time.
//
// Paths are ordinary slash-separated paths. All implementations are safe for concurrent use. Files have no position:
// only ReadAt and WriteAt, so one file serves any number of readers.
package vfs
