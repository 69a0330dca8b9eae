package zktest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"ottla/zkmeta"
)

// Tree is one empty metadata store, as the suite sees it.
type Tree interface {
	// Connect opens a session that ends with the test at the latest.
	Connect(t testing.TB) zkmeta.Session
	// ConnectShort opens a session that Expire can end soon.
	ConnectShort(t testing.TB) zkmeta.Session
	// Expire makes the store end a session of ConnectShort as if it had not been heard of, and returns
	// when the session knows.
	Expire(t testing.TB, s zkmeta.Session)
}

// patience is how long the suite waits for what must happen.
const patience = 20 * time.Second

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	return ctx
}

// client makes the suite's calls short: what must work fails the test if it does not.
type client struct {
	zkmeta.Session
	t   testing.TB
	ctx context.Context
}

func connect(t testing.TB, tree Tree) *client {
	return &client{tree.Connect(t), t, testContext(t)}
}

func (c *client) create(path, data string) {
	c.t.Helper()
	got, err := c.Create(c.ctx, path, []byte(data), zkmeta.Persistent, nil)
	if err != nil || got != path {
		c.t.Fatalf("create %s: %q, %v", path, got, err)
	}
}

func (c *client) createMode(path string, mode zkmeta.Mode) string {
	c.t.Helper()
	got, err := c.Create(c.ctx, path, nil, mode, nil)
	if err != nil {
		c.t.Fatalf("create %s: %v", path, err)
	}
	return got
}

func (c *client) set(path, data string) zkmeta.Stat {
	c.t.Helper()
	stat, err := c.Set(c.ctx, path, []byte(data), zkmeta.AnyVersion)
	if err != nil {
		c.t.Fatalf("set %s: %v", path, err)
	}
	return stat
}

func (c *client) remove(path string) {
	c.t.Helper()
	if err := c.Delete(c.ctx, path, zkmeta.AnyVersion); err != nil {
		c.t.Fatalf("delete %s: %v", path, err)
	}
}

func (c *client) get(path string, w *zkmeta.Watch) (string, zkmeta.Stat) {
	c.t.Helper()
	data, stat, err := c.Get(c.ctx, path, w)
	if err != nil {
		c.t.Fatalf("get %s: %v", path, err)
	}
	return string(data), stat
}

func (c *client) children(path string, w *zkmeta.Watch) []string {
	c.t.Helper()
	names, stat, err := c.Children(c.ctx, path, w)
	if err != nil {
		c.t.Fatalf("children of %s: %v", path, err)
	}
	if int(stat.NumChildren) != len(names) {
		c.t.Fatalf("%s has %d children in its stat and %d names", path, stat.NumChildren, len(names))
	}
	slices.Sort(names)
	return names
}

func (c *client) exists(path string, w *zkmeta.Watch) bool {
	c.t.Helper()
	_, ok, err := c.Exists(c.ctx, path, w)
	if err != nil {
		c.t.Fatalf("exists %s: %v", path, err)
	}
	return ok
}

func (c *client) wantErr(err, want error) {
	c.t.Helper()
	if !errors.Is(err, want) {
		c.t.Fatalf("error is %v, want %v", err, want)
	}
}

// events collects what watches are told.
type events chan zkmeta.Event

func newEvents() events { return make(events, 10_000) }

func (e events) watch() *zkmeta.Watch { return zkmeta.NewWatch(func(ev zkmeta.Event) { e <- ev }) }

func (e events) next(t testing.TB) zkmeta.Event {
	t.Helper()
	select {
	case ev := <-e:
		return ev
	case <-time.After(patience):
		t.Fatal("no watch fired")
		panic("unreachable")
	}
}

func (e events) want(t testing.TB, typ zkmeta.EventType, path string) {
	t.Helper()
	if ev := e.next(t); ev.Type != typ || ev.Path != path {
		t.Fatalf("watch told of %v %s, want %v %s", ev.Type, ev.Path, typ, path)
	}
}

// none checks that nothing is on its way: marker is a node whose change is told after all before it.
func (e events) none(t testing.TB, c *client, marker string) {
	t.Helper()
	done := newEvents()
	c.exists(marker, done.watch())
	c.create(marker, "")
	done.want(t, zkmeta.EventCreated, marker)
	select {
	case ev := <-e:
		t.Fatalf("watch told of %v %s, want nothing", ev.Type, ev.Path)
	default:
	}
}

// Dump reads the whole tree below path: path to data, versions and whether the node is ephemeral.
func Dump(ctx context.Context, s zkmeta.Session, path string) (map[string]string, error) {
	out := make(map[string]string)
	var walk func(path string) error
	walk = func(path string) error {
		data, stat, err := s.Get(ctx, path, nil)
		if err != nil {
			return err
		}
		text := "null"
		if data != nil {
			text = fmt.Sprintf("%q", data)
		}
		out[path] = fmt.Sprintf("%s version=%d cversion=%d children=%d ephemeral=%v", text, stat.Version, stat.Cversion,
			stat.NumChildren, stat.EphemeralOwner != 0)
		names, _, err := s.Children(ctx, path, nil)
		if err != nil {
			return err
		}
		for _, name := range names {
			child := path + "/" + name
			if path == "/" {
				child = "/" + name
			}
			if err := walk(child); err != nil {
				return err
			}
		}
		return nil
	}
	err := walk(path)
	return out, err
}

func diff(a, b map[string]string) string {
	for _, k := range slices.Sorted(maps.Keys(a)) {
		if a[k] != b[k] {
			return fmt.Sprintf("%s: %s and %s", k, a[k], b[k])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(b)) {
		if _, ok := a[k]; !ok {
			return fmt.Sprintf("%s: only in the second: %s", k, b[k])
		}
	}
	return ""
}
