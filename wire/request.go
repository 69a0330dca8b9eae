package wire

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ReadRequest decodes the body of a request. With unsafe its strings alias body, as its byte slices always do.
// StopReplica version 4 is read in Kafka's field order. CheckCounts must have accepted body if it comes from outside.
func ReadRequest(key, version int16, body []byte, unsafe bool) (kmsg.Request, error) {
	req := kmsg.RequestForKey(key)
	if req == nil {
		return nil, fmt.Errorf("decode request: api key %d is unknown", key)
	}
	req.SetVersion(version)
	if err := ReadRequestInto(req, body, unsafe); err != nil {
		return nil, err
	}
	return req, nil
}

// ReadRequestInto is ReadRequest with the caller's struct, whose slices are used again. Its version is set.
func ReadRequestInto(req kmsg.Request, body []byte, unsafe bool) error {
	key, version := req.Key(), req.GetVersion()
	if version < 0 || version > req.MaxVersion() {
		return fmt.Errorf("decode request: api key %d has no version %d", key, version)
	}
	if key == keyStopReplica && version == 4 {
		var err error
		if body, err = swapStopReplica(body, true); err != nil {
			return err
		}
	}
	var err error
	if u, ok := req.(kmsg.UnsafeReadFrom); ok && unsafe {
		err = u.UnsafeReadFrom(body)
	} else {
		err = req.ReadFrom(body)
	}
	if err != nil {
		return fmt.Errorf("decode request: api key %d version %d: %w", key, version, err)
	}
	return nil
}

// appendRequestBody encodes a request, StopReplica version 4 in Kafka's field order.
func appendRequestBody(dst []byte, req kmsg.Request) []byte {
	start := len(dst)
	dst = req.AppendTo(dst)
	if req.Key() == keyStopReplica && req.GetVersion() == 4 {
		swapped, err := swapStopReplica(dst[start:], false)
		if err == nil {
			copy(dst[start:], swapped)
		}
	}
	return dst
}

var errStopReplicaShort = errors.New("decode request: StopReplica is cut short")

// swapStopReplica exchanges two fields of StopReplica version 4 in a copy of body: on the wire isKRaftController (bytes 4) stands before
// controllerEpoch, in kmsg 1.15.0 behind it.
func swapStopReplica(body []byte, fromWire bool) ([]byte, error) {
	if len(body) < 9 {
		return nil, errStopReplicaShort
	}
	out := append([]byte(nil), body...)
	if fromWire {
		copy(out[4:8], body[5:9])
		out[8] = body[4]
	} else {
		out[4] = body[8]
		copy(out[5:9], body[4:8])
	}
	return out, nil
}
