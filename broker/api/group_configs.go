package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/broker/config"
	"ottla/zkmeta"
)

// describeGroupConfigs describes what a group has configured, which need not exist.
func (a *API) describeGroupConfigs(ctx context.Context, group string, names []string) ([]config.Entry, error) {
	if group == "" {
		return nil, fail(kerr.InvalidRequest, "Group name must not be empty")
	}
	overrides, err := zkmeta.ReadConfig(ctx, a.Session(), zkmeta.GroupEntity(group))
	if err != nil {
		return nil, err
	}
	return a.Config.Snapshot().DescribeGroup(overrides, names), nil
}

func (a *API) alterGroupConfigs(ctx context.Context, group string, changes []config.Change, replace, validateOnly bool) error {
	if group == "" {
		return fail(kerr.InvalidRequest, "Default group resources are not allowed.")
	}
	entity := zkmeta.GroupEntity(group)
	current, err := zkmeta.ReadConfig(ctx, a.Session(), entity)
	if err != nil {
		return err
	}
	var next map[string]string
	if replace {
		next, err = a.Config.Snapshot().ReplaceGroup(group, changes)
	} else {
		next, err = a.Config.Snapshot().AlterGroup(group, current, changes)
	}
	if err != nil || validateOnly {
		return err
	}
	return zkmeta.ChangeConfig(ctx, a.Session(), entity, next)
}
