package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// OffsetDelete, version 0 (KIP-496).
//
// Errors: GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP, NOT_COORDINATOR; per partition UNKNOWN_TOPIC_OR_PARTITION, GROUP_SUBSCRIBED_TO_TOPIC.
func offsetDelete(a *API, c *wire.Call, req *kmsg.OffsetDeleteRequest, resp *kmsg.OffsetDeleteResponse) error {
	*resp = *a.Groups.DeleteOffsets(c.Context(), client(c), req.Version, req)
	return nil
}
