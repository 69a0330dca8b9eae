// Package wire carries Kafka's protocol over connections: frames, request and response headers, the server side of all
// listeners, the encoder of Fetch responses around file regions, and the client that brokers use between themselves.
// Messages are those of kmsg; what a request means is the business of the handlers in a Registry.
//
// # Goroutines
//
//   - Server.Serve runs in its caller's goroutine, one for each listener, and accepts.
//   - Each connection has one goroutine, the reader. It reads a frame, runs the handler and writes the answer itself, so
//     the requests of a connection are handled in order. While it waits for a frame it holds no buffer.
//   - A writer goroutine exists for as long as Produce answers are pending on the connection (Reply.Pending). Until it has written
//     them, the reader handles further Produce requests and queues their answers behind; any other answer waits for its turn.
//   - One reaper for each server closes idle connections and stuck ones.
//   - A Client has one reader goroutine; requests are written by their callers.
//
// # Memory
//
// Frames up to readBufferSize are used where they were read, in a pooled buffer that may hold many of them. Larger ones get
// a buffer of their own, charged to one budget for all connections (frameBudget); above takeAtOnce it grows as bytes
// arrive, so that a length prefix alone costs nothing. A connection whose last frame was larger than half a read buffer reads the
// next ones into a bulk buffer, several at once, which is charged to the budget too, and only while there is room. Everything that a request points to is recycled once its handler
// returns, unless the handler called Call.Detach.
//
// # Locks
//
// Server.mu (the set of connections and listeners) and Conn.mu (its queue of answers) are leaves, and neither is
// held over I/O or a handler. frameBudget.mu may be held when a connection is closed for it, which takes Server.mu
// later, in that connection's own goroutine.
//
// # Crashes
//
// The package keeps nothing on disk. A client that gets no answer does not know whether its request was executed.
package wire
