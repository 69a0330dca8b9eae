// Package batch reads, checks, patches and builds Kafka's record formats: magic-2 batches (KIP-98) as they lie in
// log segments and in Produce and Fetch, the magic-0 and magic-1 message sets of clients older than 0.11, and the
// conversions between them.
//
// # What it owns
//
// Nothing but pools of decompressors, compressors and scratch buffers. It starts no goroutine of its own, holds no lock while
// it calls out, and has no state that a crash could lose.
//
// # Bytes and records
//
// On the hot path a batch stays bytes. View reads and patches the 61-byte header in place: the base offset and the
// leader epoch lie outside the CRC, so a leader assigns them without touching the payload. Walk visits the records of
// an uncompressed batch without allocating; the slices that it hands out alias the batch, and the Record itself is
// reused between calls. A compressed batch is opened into a pooled buffer first, so there the slices are only valid
// inside the callback; Records returns ones that stay valid.
//
// # Bytes from outside
//
// Every decoder takes bytes that anybody may have written. They return a *CorruptError (which wraps
// kerr.CorruptMessage), ErrTruncated, or an error that wraps the kerr.Error a client should get, never a panic, and
// they never allocate more than what the bytes present justify: counts and lengths are compared with what could
// follow, and decompression stops at a limit.
//
// # Files
//
// header.go the view; record.go and walk.go records; validate.go what a leader checks; codec*.go compression;
// builder.go and control.go writing; legacy.go, upconvert.go and downconvert.go magic 0 and 1.
package batch
