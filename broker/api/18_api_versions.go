package api

import (
	"regexp"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/broker/config"
	"ottla/wire"
)

// KIP-511: what a client may call itself.
var softwareName = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

// ApiVersions, versions 0-4. v3: flexible, client software name and version (KIP-511), features (KIP-584). v4: features with minimum 0.
// Higher versions are answered by wire with UNSUPPORTED_VERSION in the form of version 0.
//
// Errors: INVALID_REQUEST for an empty or malformed software name or version.
func apiVersions(a *API, c *wire.Call, req *kmsg.ApiVersionsRequest, resp *kmsg.ApiVersionsResponse) error {
	if req.Version >= 3 {
		if !softwareName.MatchString(req.ClientSoftwareName) || !softwareName.MatchString(req.ClientSoftwareVersion) {
			resp.ErrorCode = kerr.InvalidRequest.Code
			return nil
		}
		c.Conn.SetSoftware(req.ClientSoftwareName, req.ClientSoftwareVersion)
	}
	for _, r := range a.registry.Ranges() {
		resp.ApiKeys = append(resp.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: r.Key, MinVersion: r.Min, MaxVersion: r.Max})
	}
	f := a.Features()
	f.answer(resp, config.Get(a.Config.Snapshot(), config.OttlaTransactionV2Enable))
	if req.Version >= 3 {
		c.Conn.SetFeaturesEpoch(f.Epoch)
	}
	return nil
}
