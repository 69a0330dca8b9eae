package api

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/broker/config"
	"ottla/broker/metadata"
	"ottla/broker/topicconfig"
	"ottla/coordinator/group"
	"ottla/coordinator/txn"
	"ottla/replication"
	"ottla/storage"
	"ottla/wire"
	"ottla/zkmeta"
	"ottla/zkmeta/controller"
)

// API is the handlers' view of the broker. Everything in it is set before the first request and safe for concurrent use.
type API struct {
	Log         zerolog.Logger
	Standalone  bool // there never is another broker
	BrokerID    int32
	ClusterID   string
	Config      *config.Dynamic
	Cache       *metadata.Cache
	Replication *replication.Manager
	Logs        *storage.Manager
	Groups      *group.Coordinator
	Txns        *txn.Coordinator
	Controller  *controller.Controller
	Topics      *topicconfig.Store
	ProducerIDs *ProducerIDs
	// ClassicGroupsOnly leaves the consumer group protocol out of what is advertised.
	ClassicGroupsOnly bool
	Features          func() Features       // what the cluster offers now
	Session           func() zkmeta.Session // the broker's present metadata session
	BrokerEpoch       func() int64          // of the present registration
	// LostEpoch is above the epoch of the last registration that this broker lost, 0 if it lost none.
	LostEpoch func() int64
	Levels    LogLevels // BROKER_LOGGER configs
	// AskCoordinator sends a request to the transaction coordinator on another broker, in the highest version that both know; nil if they
	// share none in which brokers ask.
	AskCoordinator func(ctx context.Context, broker int32, req *kmsg.AddPartitionsToTxnRequest) (*kmsg.AddPartitionsToTxnResponse, error)

	registry      *wire.Registry
	metadataEpoch atomic.Int64 // broker epoch of the last UpdateMetadata
}

// errOutOfCluster ends the connection of a client that asks where to go while this broker cannot know: what it knows is from before it lost its
// registration, and names leaders that have been replaced. An error code would have the client ask here again.
var errOutOfCluster = errors.New("this broker has lost its registration and nothing from a controller since")

// outOfCluster is errOutOfCluster from the loss of the registration until a controller knows of a new one.
func (a *API) outOfCluster() error {
	if a.LostEpoch() > a.metadataEpoch.Load() {
		return errOutOfCluster
	}
	return nil
}

// handler answers one decoded request by filling resp, whose version and defaults are set. An error without a place in the
// response closes the connection with the error as the reason; nearly all errors have a place.
type handler[Q, R any] func(a *API, c *wire.Call, req Q, resp R) error

type request[T any] interface {
	*T
	kmsg.Request
}

type response[T any] interface {
	*T
	kmsg.Response
}

// on decodes the request, runs h in the connection's goroutine and answers.
func on[QT, RT any, Q request[QT], R response[RT]](h handler[Q, R]) func(*API) wire.Handler {
	return func(a *API) wire.Handler {
		return func(c *wire.Call) wire.Reply {
			req := Q(new(QT))
			req.SetVersion(c.Header.Version)
			if err := req.ReadFrom(c.Body); err != nil {
				return unreadable(c, err)
			}
			resp := R(new(RT))
			resp.SetVersion(c.Header.Version)
			if d, ok := any(resp).(interface{ Default() }); ok {
				d.Default()
			}
			if err := h(a, c, req, resp); err != nil {
				return wire.Reply{Close: true, CloseReason: err.Error()}
			}
			return wire.Reply{Response: resp}
		}
	}
}

func unreadable(c *wire.Call, err error) wire.Reply {
	return wire.Reply{Close: true, CloseReason: kmsg.NameForKey(c.Header.Key) + " request cannot be decoded: " + err.Error()}
}

// code returns Kafka's error code for err and logs what has none, which is a fault of ours.
func (a *API) code(err error) int16 {
	var k *kerr.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &k):
		return k.Code
	case errors.Is(err, context.DeadlineExceeded):
		return kerr.RequestTimedOut.Code
	case errors.Is(err, context.Canceled):
		return kerr.BrokerNotAvailable.Code
	}
	a.Log.Error().Err(err).Msg("request failed")
	return kerr.UnknownServerError.Code
}

// apiError is an error with the text that Kafka sends to the client.
type apiError struct {
	code    *kerr.Error
	message string
}

func (e *apiError) Error() string { return e.message }
func (e *apiError) Unwrap() error { return e.code }

// invalidRequestText is Kafka's general text for INVALID_REQUEST (Errors.INVALID_REQUEST).
const invalidRequestText = "This most likely occurs because of a request being malformed by the client library or the message was sent to " +
	"an incompatible broker. See the broker logs for more details."

func fail(code *kerr.Error, message string) error { return &apiError{code: code, message: message} }

// codeAndMessage is code with the text for the error_message field: null on success, the broker's own words if it has some,
// otherwise the general description of the code.
func (a *API) codeAndMessage(err error) (int16, *string) {
	if err == nil {
		return 0, nil
	}
	code := a.code(err)
	var e *apiError
	if errors.As(err, &e) {
		return code, &e.message
	}
	text := err.Error()
	if k := kerr.TypedErrorForCode(code); k != nil && code == kerr.UnknownServerError.Code {
		text = k.Description
	}
	return code, &text
}
