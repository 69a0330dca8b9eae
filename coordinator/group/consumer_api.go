package group

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator"
)

// ConsumerHeartbeat answers a ConsumerGroupHeartbeat, versions 0-1.
func (c *Coordinator) ConsumerHeartbeat(
	ctx context.Context, client Client, version int16, req *kmsg.ConsumerGroupHeartbeatRequest,
) *kmsg.ConsumerGroupHeartbeatResponse {
	e := &consumerHeartbeatEvent{
		Request: coordinator.NewRequest(), client: client, req: req, resp: &kmsg.ConsumerGroupHeartbeatResponse{Version: version},
	}
	if err := e.validate(c.cfg.Consumer.Assignors); err != nil {
		e.Fail(err)
		return e.resp
	}
	if c.do(ctx, req.Group, e) != nil {
		return &kmsg.ConsumerGroupHeartbeatResponse{Version: version, ErrorCode: codeNotAvailable}
	}
	return e.resp
}

// DescribeConsumers answers a ConsumerGroupDescribe, versions 0-1. Authorized operations are the caller's to fill in.
func (c *Coordinator) DescribeConsumers(
	ctx context.Context, _ Client, version int16, req *kmsg.ConsumerGroupDescribeRequest,
) *kmsg.ConsumerGroupDescribeResponse {
	resp := &kmsg.ConsumerGroupDescribeResponse{Version: version, Groups: make([]kmsg.ConsumerGroupDescribeResponseGroup, 0, len(req.Groups))}
	for _, group := range req.Groups {
		d := kmsg.NewConsumerGroupDescribeResponseGroup()
		d.Group, d.Members = strings.Clone(group), []kmsg.ConsumerGroupDescribeResponseGroupMember{}
		failed := d
		if group == "" {
			failed.ErrorCode = kerr.InvalidGroupID.Code
			resp.Groups = append(resp.Groups, failed)
			continue
		}
		failed.ErrorCode = codeNotAvailable
		e := &consumerDescribeEvent{Request: coordinator.NewRequest(), group: group, resp: &d}
		if c.do(ctx, group, e) != nil {
			resp.Groups = append(resp.Groups, failed)
			continue
		}
		resp.Groups = append(resp.Groups, d)
	}
	return resp
}
