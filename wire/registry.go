package wire

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// API is one request type with the versions that are served whole.
type API struct {
	Key, Min, Max int16
	Handle        Handler
}

// APIRange is what ApiVersions says about an API.
type APIRange struct{ Key, Min, Max int16 }

// Handler answers a request. It runs in the connection's reader goroutine, so the next request of the connection waits for it;
// it may block, and should give up when Call.Context ends.
type Handler func(c *Call) Reply

const (
	keyProduce            = 0
	keyFetch              = 1
	keyStopReplica        = 5
	keyControlledShutdown = 7
	keyApiVersions        = 18

	// maxKey bounds the table of APIs; kmsg has keys up to 94.
	maxKey = 128
)

// Registry is the table of APIs that a server offers. It does not change after NewRegistry.
type Registry struct {
	ranges []APIRange
	table  [maxKey]*registered
}

type registered struct {
	API
	flexibleFrom int16 // first version with flexible headers, Max+1 if none
}

// NewRegistry builds the table. It panics on a key that kmsg does not know, a version range that is empty or above kmsg's,
// a nil handler or a key given twice: the table is a part of the program.
func NewRegistry(apis ...API) *Registry {
	r := new(Registry)
	for _, a := range apis {
		req := kmsg.RequestForKey(a.Key)
		switch {
		case req == nil || a.Key < 0 || a.Key >= maxKey:
			panic(fmt.Sprintf("wire: api key %d is unknown", a.Key))
		case a.Min < 0 || a.Min > a.Max || a.Max > req.MaxVersion():
			panic(fmt.Sprintf("wire: api key %d: versions %d-%d do not fit 0-%d", a.Key, a.Min, a.Max, req.MaxVersion()))
		case a.Handle == nil:
			panic(fmt.Sprintf("wire: api key %d has no handler", a.Key))
		case r.table[a.Key] != nil:
			panic(fmt.Sprintf("wire: api key %d twice", a.Key))
		}
		r.table[a.Key] = &registered{API: a, flexibleFrom: flexibleFrom(req, a.Max)}
		r.ranges = append(r.ranges, APIRange{a.Key, a.Min, a.Max})
	}
	return r
}

// flexibleFrom is the first version up to most whose encoding is flexible (KIP-482), most+1 if there is none.
func flexibleFrom(req kmsg.Request, most int16) int16 {
	for v := range most + 1 {
		req.SetVersion(v)
		if req.IsFlexible() {
			return v
		}
	}
	return most + 1
}

// Ranges lists the APIs in the order given to NewRegistry. The caller does not change the slice.
func (r *Registry) Ranges() []APIRange { return r.ranges }

// Range returns the versions of one key.
func (r *Registry) Range(key int16) (APIRange, bool) {
	if a := r.lookup(key); a != nil {
		return APIRange{a.Key, a.Min, a.Max}, true
	}
	return APIRange{}, false
}

func (r *Registry) lookup(key int16) *registered {
	if key < 0 || key >= maxKey {
		return nil
	}
	return r.table[key]
}

// Call is one request. It is valid until the handler returns, and so is all that points into Body.
type Call struct {
	Header Header
	// Body is the request after its header; it aliases the frame. The handler may change it.
	Body []byte
	Conn *Conn
	// Received is when the last bytes of the request were read.
	Received time.Time

	frame *buffer // what Body lies in
}

// Context ends when the connection closes, or when the server has been shutting down for a while.
func (c *Call) Context() context.Context { return c.Conn.ctx }

// Detach lets the handler keep Body after it returned. The frame is recycled when release is called, or left to the
// garbage collector if it never is. release is called at most once. A detached frame no longer counts in the
// budget of queued bytes: bounding what is kept is the handler's business.
func (c *Call) Detach() (release func()) {
	f := c.frame
	if f == nil {
		return func() {}
	}
	f.uncharge()
	f.retain()
	return f.release
}

// Flush writes the answers to earlier requests that were held back to be written together with this one's. A Produce handler
// calls it before it waits for somebody else.
func (c *Call) Flush() error { return c.Conn.flush() }

// Reply is what a handler answers. The zero Reply sends nothing, as acks=0 asks.
type Reply struct {
	// Response is encoded at the request's version. It is encoded before the next request is handled, so
	// a handler may use it again then.
	Response kmsg.Response
	// Fetch is encoded with its regions, which are released afterwards, also if writing fails.
	Fetch *FetchResponse
	// Raw is a body that is encoded already. It is not changed, and not kept.
	Raw []byte
	// Pending is the second stage of a Produce: the next requests are handled meanwhile, answers stay in order.
	Pending Pending
	// Throttle is how long nothing is read from the connection after the answer (KIP-219).
	Throttle time.Duration
	// Close closes the connection once the answer, if there is one, is written; CloseReason is logged.
	Close       bool
	CloseReason string
}

func (r *Reply) silent() bool {
	return r.Response == nil && r.Fetch == nil && r.Raw == nil && r.Pending == nil
}

// Pending is an answer that is not known yet.
type Pending interface {
	// Done is closed when the answer is known.
	Done() <-chan struct{}
	// Deadline is when the answer is due even so.
	Deadline() time.Time
	// Finish builds the answer. The connection's writer calls it once, after Done or at Deadline; not at all if the
	// connection closes first.
	Finish() kmsg.Response
}
