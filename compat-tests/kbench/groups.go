package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// GroupsStats are the figures of many groups at once.
type GroupsStats struct {
	Stable   time.Duration // from the first member's JoinGroup until every group has all its members
	Requests int64         // OffsetCommits answered
	Seconds  float64
	Latency  Histogram
}

// cmdGroups is many groups on one broker: what the coordinator costs, rather than what one group waits for.
func cmdGroups(ctx context.Context, o *options, args []string) ([]*Result, error) {
	cfg := GroupConfig{}
	n := o.Int("groups", 1000, "groups")
	o.IntVar(&cfg.Members, "members", 10, "members of each group")
	o.DurationVar(&cfg.Heartbeat, "heartbeat", 3*time.Second, "heartbeat interval")
	o.DurationVar(&cfg.Commit, "commit", 10*time.Second, "how long members commit offsets")
	o.IntVar(&cfg.PerCommit, "commit-partitions", 1, "partitions in an OffsetCommit")
	o.Lookup("partitions").Value.Set("10")
	if err := o.parse(args); err != nil {
		return nil, err
	}
	pids, err := o.pidList()
	if err != nil {
		return nil, err
	}
	r := o.result("groups")
	err = o.withTopic(ctx, "groups", func(topic string) error {
		cfg.Addr, cfg.Topic, cfg.Group, cfg.Partitions = o.addr, topic, topic, o.partitions
		var join, commit *Probe
		st, err := runGroups(ctx, cfg, *n, func() { join = startProbe(pids) }, func() { join.Stop() }, func() { commit = startProbe(pids) }, func() { commit.Stop() })
		if err != nil {
			return err
		}
		r.Add("stable", st.Stable.Seconds(), "s", lower)
		if len(pids) > 0 {
			r.Add("stable_cpu", join.end.cpu-join.begin.cpu, "s", lower)
		}
		r.Add("commits", float64(st.Requests)/st.Seconds, "req/s", higher)
		r.AddLatency("commit_", &st.Latency)
		if cpu := commit.end.cpu - commit.begin.cpu; len(pids) > 0 && cpu > 0 {
			r.Add("commits_per_cpu", float64(st.Requests)/cpu, "req/CPU s", higher)
		}
		commit.Report(r, 0, 0)
		return nil
	})
	return []*Result{r}, err
}

// runGroups brings n groups of cfg.Members up, all at once, and lets every member commit. Members are connections to the
// groups' coordinator, so a machine's limit of open files bounds them.
func runGroups(ctx context.Context, cfg GroupConfig, n int, joining, stable, committing, done func()) (*GroupsStats, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	groups := make([]GroupConfig, n)
	tracks := make([]*groupTracker, n)
	var members []*groupMember
	defer func() {
		for _, m := range members {
			m.Close()
		}
	}()
	for g := range groups {
		groups[g] = cfg
		groups[g].Group = fmt.Sprintf("%s-%d", cfg.Group, g)
		tracks[g] = &groupTracker{gens: map[int]int32{}, sizes: map[int32]int{}, changed: make(chan struct{})}
		addr, err := findCoordinator(cfg.Addr, groups[g].Group)
		if err != nil {
			return nil, err
		}
		for i := range cfg.Members {
			m, err := newGroupMember(&groups[g], tracks[g], i, addr)
			if err != nil {
				return nil, fmt.Errorf("member %d of group %d: %w", i, g, err)
			}
			members = append(members, m)
		}
	}
	st := new(GroupsStats)
	joining()
	begin := time.Now()
	for _, m := range members {
		go func() {
			if err := m.run(); err != nil {
				cancel(err)
			}
		}()
	}
	wctx, stop := context.WithTimeout(ctx, 5*time.Minute)
	defer stop()
	for g := range groups {
		if _, err := tracks[g].wait(wctx, cfg.Members, 0); err != nil {
			return nil, fmt.Errorf("group %d of %d: %w", g, n, err)
		}
	}
	st.Stable = time.Since(begin)
	stable()
	var wg sync.WaitGroup
	errs := make([]error, len(members))
	for i, m := range members {
		wg.Go(func() { errs[i] = m.halt() })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil || cfg.Commit <= 0 {
		return st, err
	}
	committing()
	var one GroupStats
	err := commitAll(cfg, members, &one)
	done()
	st.Requests, st.Seconds, st.Latency = one.Commit.Requests, one.Commit.Seconds, one.Commit.Latency
	return st, err
}
