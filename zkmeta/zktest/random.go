package zktest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ottla/zkmeta"
)

// RunRandom does the same random operations on two trees and compares answers, watches and, at the end,
// the trees. A failure names the seed.
func RunRandom(t *testing.T, a, b Tree, seed uint64, steps int) {
	t.Helper()
	t.Logf("seed %d", seed)
	ca, cb := connect(t, a), connect(t, b)
	eva, evb := newEvents(), newEvents()
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, c := range []*client{ca, cb} {
		c.create("/r", "")
	}
	for i := range steps {
		step := randomStep(rng)
		ra, rb := step.run(ca, eva), step.run(cb, evb)
		if ra != rb {
			t.Fatalf("seed %d, step %d, %v:\n%s\n%s", seed, i, step, ra, rb)
		}
		if i%100 != 99 && i != steps-1 {
			continue
		}
		ta, tb := drain(t, ca, eva, i), drain(t, cb, evb, i)
		if !slices.Equal(ta, tb) {
			t.Fatalf("seed %d, up to step %d: watches were told\n%v\n%v", seed, i, ta, tb)
		}
	}
	compareTrees(t, seed, "before", ca, cb)
	// The end of a session deletes the same nodes.
	na, nb := connect(t, a), connect(t, b)
	ca.Close()
	cb.Close()
	compareTrees(t, seed, "after the end of the session", na, nb)
}

func compareTrees(t *testing.T, seed uint64, when string, a, b *client) {
	t.Helper()
	da, erra := Dump(a.ctx, a, "/r")
	db, errb := Dump(b.ctx, b, "/r")
	if errText(erra) != errText(errb) {
		t.Fatalf("seed %d: reading the trees %s: %v and %v", seed, when, erra, errb)
	}
	if d := diff(da, db); d != "" {
		t.Fatalf("seed %d: trees differ %s at %s", seed, when, d)
	}
}

// drain returns what the watches were told until now.
func drain(t *testing.T, c *client, ev events, step int) []zkmeta.Event {
	done := newEvents()
	marker := fmt.Sprintf("/marker%d", step)
	c.exists(marker, done.watch())
	c.create(marker, "")
	done.want(t, zkmeta.EventCreated, marker)
	var out []zkmeta.Event
	for {
		select {
		case e := <-ev:
			out = append(out, e)
		default:
			return out
		}
	}
}

type step struct {
	kind string
	ops  []zkmeta.Op
	path string
}

func (s step) String() string {
	if len(s.ops) == 0 {
		return s.kind + " " + s.path
	}
	var text []string
	for _, op := range s.ops {
		text = append(text, fmt.Sprintf("%v %s data %q version %d mode %d", op.Kind, op.Path, op.Data, op.Version, op.Mode))
	}
	return s.kind + " " + strings.Join(text, "; ")
}

func randomPath(rng *rand.Rand) string {
	path := "/r"
	for range rng.IntN(4) {
		path += "/" + string(rune('a'+rng.IntN(3)))
	}
	return path
}

func randomOp(rng *rand.Rand) zkmeta.Op {
	path, version := randomPath(rng), int32(rng.IntN(4))-1
	var data []byte
	if rng.IntN(3) > 0 {
		data = fmt.Append([]byte{}, rng.IntN(100))
	}
	switch rng.IntN(10) {
	case 0, 1, 2, 3:
		mode := zkmeta.Mode(rng.IntN(4))
		if rng.IntN(2) == 0 {
			mode = zkmeta.Persistent
		}
		return zkmeta.CreateOp(path, data, mode, nil)
	case 4, 5, 6:
		return zkmeta.SetOp(path, data, version)
	case 7, 8:
		return zkmeta.DeleteOp(path, version)
	}
	return zkmeta.CheckOp(path, version)
}

func randomStep(rng *rand.Rand) step {
	switch n := rng.IntN(12); {
	case n < 2:
		s := step{kind: "multi"}
		for range 1 + rng.IntN(4) {
			s.ops = append(s.ops, randomOp(rng))
		}
		return s
	case n < 6:
		op := randomOp(rng)
		for op.Kind == zkmeta.OpCheck {
			op = randomOp(rng)
		}
		return step{kind: "op", ops: []zkmeta.Op{op}}
	default:
		kinds := []string{"get", "children", "exists"}
		s := step{kind: kinds[rng.IntN(3)], path: randomPath(rng)}
		if rng.IntN(2) == 0 {
			s.kind += "+watch"
		}
		return s
	}
}

// run does a step and says what came of it, without what differs between stores.
func (s step) run(c *client, ev events) string {
	var w *zkmeta.Watch
	kind, watched := strings.CutSuffix(s.kind, "+watch")
	if watched {
		w = ev.watch()
	}
	var out string
	var err error
	switch kind {
	case "get":
		data, stat, e := c.Get(c.ctx, s.path, w)
		out, err = fmt.Sprintf("%#v %s", data, statText(stat)), e
	case "children":
		names, stat, e := c.Children(c.ctx, s.path, w)
		slices.Sort(names)
		out, err = fmt.Sprintf("%q %s", names, statText(stat)), e
	case "exists":
		stat, ok, e := c.Exists(c.ctx, s.path, w)
		out, err = fmt.Sprintf("%v %s", ok, statText(stat)), e
	case "multi":
		results, e := c.Multi(c.ctx, s.ops...)
		for _, r := range results {
			out += fmt.Sprintf("%q %s %s; ", r.Path, statText(r.Stat), errText(r.Err))
		}
		err = e
	case "op":
		op := s.ops[0]
		switch op.Kind {
		case zkmeta.OpCreate:
			out, err = c.Create(c.ctx, op.Path, op.Data, op.Mode, nil)
		case zkmeta.OpSet:
			stat, e := c.Set(c.ctx, op.Path, op.Data, op.Version)
			out, err = statText(stat), e
		case zkmeta.OpDelete:
			err = c.Delete(c.ctx, op.Path, op.Version)
		}
	}
	return out + " " + errText(err)
}

func statText(s zkmeta.Stat) string {
	return fmt.Sprintf("version %d cversion %d aversion %d length %d children %d ephemeral %v new %v", s.Version, s.Cversion,
		s.Aversion, s.DataLength, s.NumChildren, s.EphemeralOwner != 0, s.Czxid == s.Mzxid)
}

// errText names the kind of an error.
func errText(err error) string {
	if err == nil {
		return "ok"
	}
	at := ""
	if m := (*zkmeta.MultiError)(nil); errors.As(err, &m) {
		at = fmt.Sprintf(" at %d", m.Index)
	}
	for _, kind := range []error{zkmeta.ErrNoNode, zkmeta.ErrNodeExists, zkmeta.ErrBadVersion, zkmeta.ErrNotEmpty,
		zkmeta.ErrNoChildrenForEphemerals, zkmeta.ErrNotApplied, zkmeta.ErrBadArguments, zkmeta.ErrInvalidPath} {
		if errors.Is(err, kind) {
			return kind.Error() + at
		}
	}
	return "unexpected: " + err.Error()
}
