package zktest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ottla/zkmeta"
)

// Run holds a store to ZooKeeper's behaviour. open returns a new, empty tree.
func Run(t *testing.T, open func(t *testing.T) Tree) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, tree Tree)
	}{
		{"CreateReadWriteDelete", testNodes},
		{"NullDataIsNotEmptyData", testNullData},
		{"Versions", testVersions},
		{"Stat", testStat},
		{"InvalidPaths", testPaths},
		{"SequentialNames", testSequential},
		{"MultiIsAtomic", testMulti},
		{"MultiPatternsOfKafka", testMultiPatterns},
		{"DataWatch", testDataWatch},
		{"ChildWatch", testChildWatch},
		{"ExistsWatch", testExistsWatch},
		{"WatchOrder", testWatchOrder},
		{"WatchOfFailedReadIsNotSet", testWatchError},
		{"CancelledWatch", testCancelledWatch},
		{"ManyWatchesOnOnePath", testManyWatches},
		{"EphemeralNodes", testEphemeral},
		{"ExpiredSession", testExpired},
		{"ClosedSession", testClosed},
		{"ACL", testACL},
		{"LargeChildList", testLargeChildList},
		{"LargeData", testLargeData},
		{"Pipelined", testPipelined},
		{"CancelledContext", testContextEnds},
		{"ReadYourWrites", testReadYourWrites},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func testNodes(t *testing.T, tree Tree) {
	c := connect(t, tree)
	c.create("/a", "one")
	if data, _ := c.get("/a", nil); data != "one" {
		t.Errorf("data is %q", data)
	}
	_, err := c.Create(c.ctx, "/a", nil, zkmeta.Persistent, nil)
	c.wantErr(err, zkmeta.ErrNodeExists)
	_, err = c.Create(c.ctx, "/b/c", nil, zkmeta.Persistent, nil)
	c.wantErr(err, zkmeta.ErrNoNode)
	_, _, err = c.Get(c.ctx, "/b", nil)
	c.wantErr(err, zkmeta.ErrNoNode)
	_, _, err = c.Children(c.ctx, "/b", nil)
	c.wantErr(err, zkmeta.ErrNoNode)
	_, err = c.Set(c.ctx, "/b", nil, zkmeta.AnyVersion)
	c.wantErr(err, zkmeta.ErrNoNode)
	c.wantErr(c.Delete(c.ctx, "/b", zkmeta.AnyVersion), zkmeta.ErrNoNode)
	if c.exists("/b", nil) || !c.exists("/a", nil) {
		t.Error("exists is wrong")
	}
	c.create("/a/x", "")
	c.create("/a/y", "")
	if got := c.children("/a", nil); !slices.Equal(got, []string{"x", "y"}) {
		t.Errorf("children are %q", got)
	}
	if got := c.children("/a/x", nil); len(got) != 0 {
		t.Errorf("children are %q", got)
	}
	c.wantErr(c.Delete(c.ctx, "/a", zkmeta.AnyVersion), zkmeta.ErrNotEmpty)
	c.remove("/a/x")
	c.remove("/a/y")
	c.remove("/a")
	if got := c.children("/", nil); slices.Contains(got, "a") {
		t.Errorf("children of the root are %q", got)
	}
}

func testNullData(t *testing.T, tree Tree) {
	c := connect(t, tree)
	for path, data := range map[string][]byte{"/null": nil, "/empty": {}, "/some": []byte("x")} {
		if _, err := c.Create(c.ctx, path, data, zkmeta.Persistent, nil); err != nil {
			t.Fatal(err)
		}
		got, stat, err := c.Get(c.ctx, path, nil)
		if err != nil || !bytes.Equal(got, data) || (got == nil) != (data == nil) || int(stat.DataLength) != len(data) {
			t.Errorf("%s: read %#v, %v, length %d", path, got, err, stat.DataLength)
		}
	}
	if _, err := c.Set(c.ctx, "/some", nil, zkmeta.AnyVersion); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := c.Get(c.ctx, "/some", nil); got != nil {
		t.Errorf("read %#v after null was written", got)
	}
}

func testVersions(t *testing.T, tree Tree) {
	c := connect(t, tree)
	c.create("/v", "0")
	if stat := c.set("/v", "1"); stat.Version != 1 {
		t.Errorf("version is %d", stat.Version)
	}
	_, err := c.Set(c.ctx, "/v", []byte("x"), 0)
	c.wantErr(err, zkmeta.ErrBadVersion)
	stat, err := c.Set(c.ctx, "/v", []byte("2"), 1)
	if err != nil || stat.Version != 2 {
		t.Errorf("conditional set: version %d, %v", stat.Version, err)
	}
	c.wantErr(c.Delete(c.ctx, "/v", 1), zkmeta.ErrBadVersion)
	c.create("/v/child", "")
	c.wantErr(c.Delete(c.ctx, "/v", 1), zkmeta.ErrBadVersion) // the version is looked at first
	c.wantErr(c.Delete(c.ctx, "/v", 2), zkmeta.ErrNotEmpty)
	c.remove("/v/child")
	if err := c.Delete(c.ctx, "/v", 2); err != nil {
		t.Error(err)
	}
	c.create("/v", "again")
	if _, stat := c.get("/v", nil); stat.Version != 0 {
		t.Errorf("a new node has version %d", stat.Version)
	}
}

func testStat(t *testing.T, tree Tree) {
	c := connect(t, tree)
	before := time.Now().Add(-time.Minute).UnixMilli()
	c.create("/s", "abc")
	_, s0 := c.get("/s", nil)
	if s0.Czxid <= 0 || s0.Mzxid != s0.Czxid || s0.Pzxid != s0.Czxid || s0.DataLength != 3 || s0.EphemeralOwner != 0 {
		t.Errorf("stat of a new node: %+v", s0)
	}
	if s0.CtimeMs < before || s0.CtimeMs != s0.MtimeMs {
		t.Errorf("times of a new node: %+v", s0)
	}
	s1 := c.set("/s", "abcd")
	if s1.Czxid != s0.Czxid || s1.Mzxid <= s0.Mzxid || s1.Pzxid != s0.Pzxid || s1.DataLength != 4 {
		t.Errorf("stat after a write: %+v", s1)
	}
	c.create("/s/1", "")
	c.create("/s/2", "")
	c.remove("/s/1")
	_, s2 := c.get("/s", nil)
	if s2.Cversion != 3 || s2.NumChildren != 1 || s2.Pzxid <= s1.Mzxid || s2.Mzxid != s1.Mzxid || s2.Version != 1 {
		t.Errorf("stat after three changes of children: %+v", s2)
	}
	stat, ok, err := c.Exists(c.ctx, "/s", nil)
	if err != nil || !ok || stat != s2 {
		t.Errorf("exists: %+v, %v, %v, want %+v", stat, ok, err, s2)
	}
}

func testPaths(t *testing.T, tree Tree) {
	c := connect(t, tree)
	for _, path := range []string{"", "a", "/a/", "//a", "/a//b", "/.", "/a/..", "/a/./b", "/a\x00b", "/a\x1fb", "/a\u007fb", "/\ufff0"} {
		_, err := c.Create(c.ctx, path, nil, zkmeta.Persistent, nil)
		if err == nil {
			t.Errorf("create %q worked", path)
		}
		if _, _, err := c.Get(c.ctx, path, nil); err == nil {
			t.Errorf("get %q worked", path)
		}
	}
	for _, path := range []string{"/<default>", "/a b", "/%41", "/ä€", "/...", "/.a", "/a."} {
		c.create(path, path)
		if data, _ := c.get(path, nil); data != path {
			t.Errorf("%q reads %q", path, data)
		}
	}
}

func testSequential(t *testing.T, tree Tree) {
	c := connect(t, tree)
	c.create("/q", "")
	if got := c.createMode("/q/n_", zkmeta.PersistentSequential); got != "/q/n_0000000000" {
		t.Errorf("first name is %s", got)
	}
	if got := c.createMode("/q/m_", zkmeta.EphemeralSequential); got != "/q/m_0000000001" {
		t.Errorf("second name is %s", got)
	}
	c.remove("/q/n_0000000000")
	c.create("/q/plain", "")
	if got := c.createMode("/q/n_", zkmeta.PersistentSequential); got != "/q/n_0000000003" {
		t.Errorf("name after a deletion and a creation is %s", got)
	}
	if got := c.createMode("/q/", zkmeta.PersistentSequential); got != "/q/0000000004" {
		t.Errorf("name without prefix is %s", got)
	}
	results, err := c.Multi(c.ctx, zkmeta.CreateOp("/q/x", nil, zkmeta.PersistentSequential, nil),
		zkmeta.CreateOp("/q/x", nil, zkmeta.PersistentSequential, nil))
	if err != nil || results[0].Path != "/q/x0000000005" || results[1].Path != "/q/x0000000006" {
		t.Errorf("names from a multi: %+v, %v", results, err)
	}
}

func testMulti(t *testing.T, tree Tree) {
	c := connect(t, tree)
	c.create("/m", "0")
	c.create("/del", "")
	results, err := c.Multi(c.ctx,
		zkmeta.CheckOp("/m", 0),
		zkmeta.SetOp("/m", []byte("1"), 0),
		zkmeta.CheckOp("/m", 1), // sees the write before it
		zkmeta.CreateOp("/m/c", []byte("c"), zkmeta.Persistent, nil),
		zkmeta.CreateOp("/m/c/d", nil, zkmeta.Persistent, nil),
		zkmeta.DeleteOp("/del", 0))
	if err != nil || len(results) != 6 {
		t.Fatalf("multi: %v, %v", results, err)
	}
	if results[1].Stat.Version != 1 || results[3].Path != "/m/c" {
		t.Errorf("results are %+v", results)
	}
	_, m := c.get("/m", nil)
	_, cs := c.get("/m/c", nil)
	if m.Mzxid != cs.Czxid {
		t.Errorf("one multi has two zxids, %d and %d", m.Mzxid, cs.Czxid)
	}
	if c.exists("/del", nil) {
		t.Error("/del is still there")
	}

	before, err := Dump(c.ctx, c, "/m")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		ops   []zkmeta.Op
		index int
		err   error
	}{
		{"check of a version", []zkmeta.Op{zkmeta.CheckOp("/m", 7), zkmeta.SetOp("/m", nil, -1)}, 0, zkmeta.ErrBadVersion},
		{"check of nothing", []zkmeta.Op{zkmeta.CheckOp("/no", 0), zkmeta.SetOp("/m", nil, -1)}, 0, zkmeta.ErrNoNode},
		{"set of nothing", []zkmeta.Op{zkmeta.CheckOp("/m", 1), zkmeta.SetOp("/no", nil, -1)}, 1, zkmeta.ErrNoNode},
		{"create of what exists", []zkmeta.Op{zkmeta.SetOp("/m", []byte("x"), 1), zkmeta.CreateOp("/m/c", nil, 0, nil)}, 1, zkmeta.ErrNodeExists},
		{"everything is taken back", []zkmeta.Op{
			zkmeta.CreateOp("/m/new", nil, zkmeta.Persistent, nil),
			zkmeta.CreateOp("/m/new/er", nil, zkmeta.Persistent, nil),
			zkmeta.CreateOp("/m/eph", nil, zkmeta.Ephemeral, nil),
			zkmeta.SetOp("/m/c", []byte("x"), 0),
			zkmeta.DeleteOp("/m/c/d", 0),
			zkmeta.DeleteOp("/m", 1),
			zkmeta.SetOp("/m", nil, -1),
		}, 5, zkmeta.ErrNotEmpty},
	} {
		results, err := c.Multi(c.ctx, test.ops...)
		if !zkmeta.FailedAt(err, test.index) {
			t.Errorf("%s: %v, want a failure at %d", test.name, err, test.index)
			continue
		}
		c.wantErr(err, test.err)
		for i, r := range results {
			want := zkmeta.ErrNotApplied
			if i == test.index {
				want = test.err
			}
			c.wantErr(r.Err, want)
		}
		after, err := Dump(c.ctx, c, "/m")
		if err != nil {
			t.Fatal(err)
		}
		if d := diff(before, after); d != "" {
			t.Errorf("%s: a failed multi changed the tree: %s", test.name, d)
		}
	}
	if results, err := c.Multi(c.ctx); err != nil || len(results) != 0 {
		t.Errorf("empty multi: %v, %v", results, err)
	}
}

func testMultiPatterns(t *testing.T, tree Tree) {
	c := connect(t, tree)
	// Broker registration: the reply to the set carries the czxid.
	results, err := c.Multi(c.ctx, zkmeta.CreateOp("/id", nil, zkmeta.Ephemeral, nil), zkmeta.SetOp("/id", []byte("{}"), 0))
	if err != nil {
		t.Fatal(err)
	}
	data, stat := c.get("/id", nil)
	if data != "{}" || stat.Version != 1 || stat.EphemeralOwner != c.ID() || results[1].Stat != stat || stat.Czxid != stat.Mzxid {
		t.Errorf("registered %q %+v, multi said %+v", data, stat, results[1].Stat)
	}
	// Controller election.
	c.create("/controller_epoch", "0")
	_, err = c.Multi(c.ctx, zkmeta.CreateOp("/controller", []byte("me"), zkmeta.Ephemeral, nil),
		zkmeta.SetOp("/controller_epoch", []byte("1"), 0))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Multi(c.ctx, zkmeta.CreateOp("/controller", []byte("you"), zkmeta.Ephemeral, nil),
		zkmeta.SetOp("/controller_epoch", []byte("2"), 0))
	if !zkmeta.FailedAt(err, 0) {
		t.Errorf("second election: %v", err)
	}
	c.wantErr(err, zkmeta.ErrNodeExists)
}

func testDataWatch(t *testing.T, tree Tree) {
	c, other := connect(t, tree), connect(t, tree)
	c.create("/w", "0")
	ev := newEvents()
	c.get("/w", ev.watch())
	other.set("/w", "1")
	ev.want(t, zkmeta.EventDataChanged, "/w")
	other.set("/w", "2")
	ev.none(t, c, "/marker1") // one shot
	c.get("/w", ev.watch())
	other.create("/w/child", "")
	other.remove("/w/child")
	ev.none(t, c, "/marker2") // children are not data
	other.remove("/w")
	ev.want(t, zkmeta.EventDeleted, "/w")
}

func testChildWatch(t *testing.T, tree Tree) {
	c, other := connect(t, tree), connect(t, tree)
	c.create("/w", "0")
	ev := newEvents()
	c.children("/w", ev.watch())
	other.set("/w", "1")
	ev.none(t, c, "/marker1")
	other.create("/w/a", "")
	ev.want(t, zkmeta.EventChildrenChanged, "/w")
	c.children("/w", ev.watch())
	other.set("/w/a", "x")
	other.create("/w/a/grandchild", "")
	other.remove("/w/a/grandchild")
	ev.none(t, c, "/marker2")
	other.remove("/w/a")
	ev.want(t, zkmeta.EventChildrenChanged, "/w")
	c.children("/w", ev.watch())
	other.remove("/w")
	ev.want(t, zkmeta.EventDeleted, "/w")
}

func testExistsWatch(t *testing.T, tree Tree) {
	c, other := connect(t, tree), connect(t, tree)
	ev := newEvents()
	if c.exists("/w", ev.watch()) {
		t.Fatal("/w exists")
	}
	other.create("/w", "")
	ev.want(t, zkmeta.EventCreated, "/w")
	if !c.exists("/w", ev.watch()) {
		t.Fatal("/w does not exist")
	}
	other.set("/w", "1")
	ev.want(t, zkmeta.EventDataChanged, "/w")
	c.exists("/w", ev.watch())
	other.remove("/w")
	ev.want(t, zkmeta.EventDeleted, "/w")
	// With a missing parent too.
	c.exists("/p/q", ev.watch())
	other.create("/p", "")
	other.create("/p/q", "")
	ev.want(t, zkmeta.EventCreated, "/p/q")
}

func testWatchOrder(t *testing.T, tree Tree) {
	c, other := connect(t, tree), connect(t, tree)
	ev := newEvents()
	const n = 100
	for i := range n {
		other.create(fmt.Sprintf("/n%d", i), "")
	}
	for i := range n {
		c.get(fmt.Sprintf("/n%d", i), ev.watch())
	}
	for i := range n {
		other.set(fmt.Sprintf("/n%d", n-1-i), "")
	}
	for i := range n {
		ev.want(t, zkmeta.EventDataChanged, fmt.Sprintf("/n%d", n-1-i))
	}
	// Within one transaction: node before parent, operations in their order.
	c.create("/p", "")
	c.create("/p/old", "")
	c.children("/p", ev.watch())
	c.get("/p/old", ev.watch())
	c.exists("/p/new", ev.watch())
	if _, err := other.Multi(other.ctx, zkmeta.SetOp("/p/old", nil, -1), zkmeta.CreateOp("/p/new", nil, zkmeta.Persistent, nil)); err != nil {
		t.Fatal(err)
	}
	ev.want(t, zkmeta.EventDataChanged, "/p/old")
	ev.want(t, zkmeta.EventCreated, "/p/new")
	ev.want(t, zkmeta.EventChildrenChanged, "/p")
	// Data and child watch of one node are told of its deletion, then the parent's.
	c.get("/p/old", ev.watch())
	c.children("/p/old", ev.watch())
	c.children("/p", ev.watch())
	other.remove("/p/old")
	ev.want(t, zkmeta.EventDeleted, "/p/old")
	ev.want(t, zkmeta.EventDeleted, "/p/old")
	ev.want(t, zkmeta.EventChildrenChanged, "/p")
}

func testWatchError(t *testing.T, tree Tree) {
	c := connect(t, tree)
	ev := newEvents()
	_, _, err := c.Get(c.ctx, "/late", ev.watch())
	c.wantErr(err, zkmeta.ErrNoNode)
	_, _, err = c.Children(c.ctx, "/late", ev.watch())
	c.wantErr(err, zkmeta.ErrNoNode)
	c.create("/late", "")
	c.set("/late", "1")
	c.create("/late/child", "")
	ev.none(t, c, "/marker")
}

func testCancelledWatch(t *testing.T, tree Tree) {
	c := connect(t, tree)
	c.create("/w", "")
	ev := newEvents()
	cancelled := ev.watch()
	c.get("/w", cancelled)
	cancelled.Cancel()
	c.get("/w", ev.watch())
	c.set("/w", "1")
	ev.want(t, zkmeta.EventDataChanged, "/w")
	ev.none(t, c, "/marker")
}

func testManyWatches(t *testing.T, tree Tree) {
	c, other := connect(t, tree), connect(t, tree)
	c.create("/w", "")
	ev := newEvents()
	const n = 50
	for range n {
		c.get("/w", ev.watch())
	}
	same := ev.watch()
	c.get("/w", same)
	c.get("/w", same)
	other.set("/w", "1")
	for range n + 1 {
		ev.want(t, zkmeta.EventDataChanged, "/w")
	}
	ev.none(t, c, "/marker")
	// The next watch works as the first did.
	c.get("/w", ev.watch())
	other.set("/w", "2")
	ev.want(t, zkmeta.EventDataChanged, "/w")
}

func testEphemeral(t *testing.T, tree Tree) {
	owner, other := connect(t, tree), connect(t, tree)
	other.create("/ids", "")
	owner.createMode("/ids/1", zkmeta.Ephemeral)
	_, stat := other.get("/ids/1", nil)
	if stat.EphemeralOwner != owner.ID() || owner.ID() == 0 || owner.ID() == other.ID() {
		t.Errorf("owner is %#x, sessions are %#x and %#x", stat.EphemeralOwner, owner.ID(), other.ID())
	}
	_, err := other.Create(other.ctx, "/ids/1/x", nil, zkmeta.Persistent, nil)
	other.wantErr(err, zkmeta.ErrNoChildrenForEphemerals)
	_, err = other.Create(other.ctx, "/ids/1", nil, zkmeta.Ephemeral, nil)
	other.wantErr(err, zkmeta.ErrNodeExists)

	ev := newEvents()
	other.get("/ids/1", ev.watch())
	other.children("/ids", ev.watch())
	owner.Close()
	ev.want(t, zkmeta.EventDeleted, "/ids/1")
	ev.want(t, zkmeta.EventChildrenChanged, "/ids")
	if other.exists("/ids/1", nil) {
		t.Error("/ids/1 has outlived its session")
	}
	// Another session's node may be deleted; the owner then does not delete its successor.
	again := connect(t, tree)
	again.createMode("/ids/1", zkmeta.Ephemeral)
	other.remove("/ids/1")
	other.create("/ids/1", "mine")
	again.Close()
	if !other.exists("/ids/1", nil) {
		t.Error("the end of a session deleted another one's node")
	}
}

func testExpired(t *testing.T, tree Tree) {
	ctx := testContext(t)
	other := connect(t, tree)
	victim := tree.ConnectShort(t)
	other.create("/ids", "")
	for _, id := range []string{"1", "2", "3"} {
		if _, err := victim.Create(ctx, "/ids/"+id, nil, zkmeta.Ephemeral, nil); err != nil {
			t.Fatal(err)
		}
	}
	ev, own := newEvents(), newEvents()
	other.children("/ids", ev.watch())
	if _, _, err := victim.Children(ctx, "/ids", own.watch()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-victim.Expired():
		t.Fatal("expired early")
	default:
	}
	tree.Expire(t, victim)
	ev.want(t, zkmeta.EventChildrenChanged, "/ids")
	select {
	case <-victim.Expired():
	case <-time.After(patience):
		t.Fatal("not told of the expiry")
	}
	if got := other.children("/ids", nil); len(got) != 0 {
		t.Errorf("ephemeral nodes left: %q", got)
	}
	deadSession(t, ctx, victim)
	if len(own) != 0 {
		t.Error("a watch of the expired session fired")
	}
	next := tree.Connect(t)
	if next.ID() == victim.ID() {
		t.Error("a session id came twice")
	}
	victim.Close() // harmless
}

func testClosed(t *testing.T, tree Tree) {
	s := tree.Connect(t)
	s.Close()
	select {
	case <-s.Expired():
	default:
		t.Error("Expired is open after Close")
	}
	deadSession(t, testContext(t), s)
	s.Close()
}

func deadSession(t *testing.T, ctx context.Context, s zkmeta.Session) {
	t.Helper()
	_, _, getErr := s.Get(ctx, "/", nil)
	_, _, childrenErr := s.Children(ctx, "/", nil)
	_, _, existsErr := s.Exists(ctx, "/", nil)
	_, createErr := s.Create(ctx, "/dead", nil, zkmeta.Persistent, nil)
	_, setErr := s.Set(ctx, "/", nil, -1)
	_, multiErr := s.Multi(ctx, zkmeta.SetOp("/", nil, -1))
	for _, err := range []error{getErr, childrenErr, existsErr, createErr, setErr, multiErr, s.Delete(ctx, "/x", -1)} {
		(&client{s, t, ctx}).wantErr(err, zkmeta.ErrSessionExpired)
	}
}

func testACL(t *testing.T, tree Tree) {
	c := connect(t, tree)
	a, ok := c.Session.(zkmeta.ACLSession)
	if !ok {
		t.Fatal("no ACLSession")
	}
	c.create("/open", "")
	acl, _, err := a.GetACL(c.ctx, "/open")
	if err != nil || !slices.Equal(acl, zkmeta.OpenACL()) {
		t.Errorf("ACL by default: %v, %v", acl, err)
	}
	want := []zkmeta.ACL{{Perms: zkmeta.PermAll, Scheme: "world", ID: "anyone"}, {Perms: zkmeta.PermRead, Scheme: "ip", ID: "127.0.0.1"}}
	if _, err := c.Create(c.ctx, "/acl", nil, zkmeta.Persistent, want); err != nil {
		t.Fatal(err)
	}
	acl, stat, err := a.GetACL(c.ctx, "/acl")
	if err != nil || !slices.Equal(acl, want) || stat.Aversion != 0 {
		t.Errorf("ACL as given: %v, %d, %v", acl, stat.Aversion, err)
	}
	stat, err = a.SetACL(c.ctx, "/acl", zkmeta.OpenACL(), 0)
	if err != nil || stat.Aversion != 1 || stat.Version != 0 {
		t.Errorf("SetACL: %+v, %v", stat, err)
	}
	_, err = a.SetACL(c.ctx, "/acl", zkmeta.OpenACL(), 0)
	c.wantErr(err, zkmeta.ErrBadVersion)
	_, _, err = a.GetACL(c.ctx, "/none")
	c.wantErr(err, zkmeta.ErrNoNode)
}

func testLargeChildList(t *testing.T, tree Tree) {
	c := connect(t, tree)
	c.create("/big", "")
	const n, perMulti = 5000, 500
	long := strings.Repeat("x", 100)
	for i := 0; i < n; i += perMulti {
		var ops []zkmeta.Op
		for j := range perMulti {
			ops = append(ops, zkmeta.CreateOp(fmt.Sprintf("/big/%s%04d", long, i+j), nil, zkmeta.Persistent, nil))
		}
		if _, err := c.Multi(c.ctx, ops...); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.children("/big", nil); len(got) != n || got[n-1] != long+"4999" {
		t.Errorf("%d children", len(got))
	}
}

func testLargeData(t *testing.T, tree Tree) {
	c := connect(t, tree)
	big := bytes.Repeat([]byte("0123456789abcdef"), 60_000) // 960 kB, below ZooKeeper's jute.maxbuffer
	if _, err := c.Create(c.ctx, "/big", big, zkmeta.Persistent, nil); err != nil {
		t.Fatal(err)
	}
	got, _, err := c.Get(c.ctx, "/big", nil)
	if err != nil || !bytes.Equal(got, big) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	_, err = c.Set(c.ctx, "/big", make([]byte, 5<<20), -1)
	c.wantErr(err, zkmeta.ErrTooLarge)
	if got, _, _ := c.Get(c.ctx, "/big", nil); !bytes.Equal(got, big) {
		t.Error("a refused write changed the data")
	}
}

func testPipelined(t *testing.T, tree Tree) {
	c := connect(t, tree)
	c.create("/p", "")
	const n = 1000
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			path := fmt.Sprintf("/p/%d", i)
			if _, err := c.Create(c.ctx, path, []byte(path), zkmeta.Persistent, nil); err != nil {
				t.Error(err)
			}
			if data, _, err := c.Get(c.ctx, path, nil); err != nil || string(data) != path {
				t.Errorf("%s reads %q, %v", path, data, err)
			}
			if _, err := c.Set(c.ctx, "/p", nil, -1); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	_, stat := c.get("/p", nil)
	if stat.NumChildren != n || stat.Version != n {
		t.Errorf("%d children, version %d", stat.NumChildren, stat.Version)
	}
}

func testContextEnds(t *testing.T, tree Tree) {
	c := connect(t, tree)
	ctx, cancel := context.WithCancel(c.ctx)
	cancel()
	_, err := c.Create(ctx, "/never", nil, zkmeta.Persistent, nil)
	c.wantErr(err, context.Canceled)
	_, _, err = c.Get(ctx, "/", nil)
	c.wantErr(err, context.Canceled)
	c.create("/after", "") // the session goes on
}

func testReadYourWrites(t *testing.T, tree Tree) {
	c := connect(t, tree)
	c.create("/r", "")
	for i := range 50 {
		want := fmt.Sprint(i)
		c.set("/r", want)
		if got, _ := c.get("/r", nil); got != want {
			t.Fatalf("wrote %s, read %s", want, got)
		}
	}
}
