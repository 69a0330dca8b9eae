package group

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator"
	"ottla/coordinator/logtest"
)

// durable is what of a coordinator's state a successor must find: offsets, and the groups as their records say.
func durable(r *rig) map[string]string {
	all := map[string]string{}
	list := r.c.List(ctx(), tester, 5, &kmsg.ListGroupsRequest{})
	if list.ErrorCode != 0 {
		all["error"] = fmt.Sprint(list.ErrorCode)
	}
	for _, g := range list.Groups {
		s := fmt.Sprint(r.offsets(g.Group))
		if g.GroupType == groupTypeConsumer {
			b, _ := json.Marshal(r.describeConsumer(g.Group))
			s += string(b)
		} else if g.GroupState == "Stable" || g.GroupState == "Empty" {
			d := r.describe(g.Group)
			s += fmt.Sprintf(" %s %s %s", d.State, d.ProtocolType, d.Protocol)
			var ms []string
			for _, m := range d.Members {
				inst := ""
				if m.InstanceID != nil {
					inst = *m.InstanceID
				}
				ms = append(ms, fmt.Sprintf("%s/%s/%s/%s/%x/%x", m.MemberID, inst, m.ClientID, m.ClientHost, m.ProtocolMetadata, m.MemberAssignment))
			}
			slices.Sort(ms)
			s += strings.Join(ms, ",")
		}
		all[g.Group] = s
	}
	return all
}

// sameAfterFailover loads the records in another coordinator and compares. Call it when no rebalance runs.
func sameAfterFailover(t *testing.T, r *rig) {
	t.Helper()
	log := logtest.New()
	r.log.Copy(0, log, -1)
	next := newRig(t, log, r.c.cfg)
	next.topics.Store(r.topics.Load())
	next.elect(1)
	defer next.c.Close()
	if d := cmp.Diff(durable(r), durable(next)); d != "" {
		t.Errorf("state after failover (-before +after):\n%s", d)
	}
}

// Any prefix of the records gives the state that the coordinator had when it had written them.
func TestAnyPrefixOfRecordsGivesTheStateThen(t *testing.T) {
	bubble(t, withDelay, func(t *testing.T, r *rig) {
		states := map[int64]map[string]string{0: durable(r)}
		step := func() { synctest.Wait(); states[r.log.End(0)] = durable(r) }
		a, _, gen := staticGroup(t, r)
		step()
		r.commit("s", a, gen, "t", 5, 0)
		step()
		r.commit("simple", "", -1, "t", 1, 0)
		step()
		r.txnCommit(3, "txn", 7, 5, 0)
		step()
		resp := r.joinNow(9, static(joinReq("s", ""), "a"))
		step()
		r.endTxn(7, true)
		step()
		r.c.Delete(ctx(), tester, 2, &kmsg.DeleteGroupsRequest{Groups: []string{"simple"}})
		step()
		r.commit("s", resp.MemberID, gen, "t", 6, 0)
		step()
		r.leave("s", resp.MemberID)
		inst := "b"
		r.c.Leave(ctx(), tester, 5, &kmsg.LeaveGroupRequest{Group: "s", Members: []kmsg.LeaveGroupRequestMember{{InstanceID: &inst}}})
		step()
		r.c.OnTopicsDeleted([]string{"t"})
		step()
		if len(states) < 9 {
			t.Fatalf("only %d states", len(states))
		}
		for end, want := range states {
			log := logtest.New()
			r.log.Copy(0, log, end)
			next := newRig(t, log, r.c.cfg).elect(1)
			got := durable(next)
			// A group with nothing but an open transaction is not loaded as more than that.
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("after %d records (-live +loaded):\n%s", end, d)
			}
			next.c.Close()
		}
	})
}

func TestFailoverKeepsMembersGoing(t *testing.T) {
	bubble(t, withDelay, func(t *testing.T, r *rig) {
		ms, gen := r.stableGroup("g", 3)
		r.commit("g", ms[0], gen, "t", 5, 0)
		log, log2 := logtest.New(), logtest.New()
		r.log.Copy(0, log, -1)
		r.log.Copy(0, log2, -1)
		next := newRig(t, log, Config{MaxSize: 5}).elect(2)
		defer next.c.Close()
		for _, m := range ms {
			if c := next.heartbeat("g", m, gen); c != 0 {
				t.Errorf("heartbeat: %d", c)
			}
		}
		if s := next.sync("g", ms[1], gen, nil).wait(); string(s.MemberAssignment) != "assignment of "+ms[1] {
			t.Errorf("%+v", s)
		}
		if c := next.commit("g", ms[2], gen, "t", 6, 0); c != 0 {
			t.Error(c)
		}
		if j := next.joinNow(3, joinReq("g", ms[1])); j.ErrorCode != 0 || j.Generation != gen || j.LeaderID != ms[0] {
			t.Errorf("%+v", j)
		}
		sleep(11e9)
		next.wantState("g", "Empty") // sessions run from the load on

		small := newRig(t, log2, Config{MaxSize: 2}).elect(3)
		defer small.c.Close()
		small.wantState("g", "PreparingRebalance") // too large: somebody has to go
		a := small.join(3, joinReq("g", ms[0]))
		synctest.Wait()
		b := small.join(3, joinReq("g", ms[1]))
		synctest.Wait()
		if c := small.joinNow(3, joinReq("g", ms[2])); c.ErrorCode != codeGroupMaxSize {
			t.Errorf("%+v", c)
		}
		if a.wait().ErrorCode != 0 || b.wait().ErrorCode != 0 || len(a.resp.Members) != 2 {
			t.Errorf("%+v", a.resp)
		}
	})
}

// The data directories were written by Kafka 3.9.2.
func TestLoadsWhatKafkaWrote(t *testing.T) {
	type offset struct {
		Topic       string `json:"topic"`
		Partition   int32  `json:"partition"`
		Offset      int64  `json:"offset"`
		LeaderEpoch int32  `json:"leader_epoch"`
		Metadata    string `json:"metadata"`
	}
	var expected map[string]map[string][]offset
	data, err := os.ReadFile("testdata/committed.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &expected); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"clean", "unclean"} {
		t.Run(dir, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := logtest.New()
				for p := range int32(4) {
					segment, err := os.ReadFile(fmt.Sprintf("testdata/%s-%d.log", dir, p))
					if err != nil {
						continue
					}
					if err := log.Load(p, segment); err != nil {
						t.Fatal(err)
					}
				}
				c := New(Config{}, log, Deps{Partitions: func() int32 { return 4 }, TopicExists: func(string, int32) bool { return true }})
				defer c.Close()
				for p := range int32(4) {
					c.Elected(p, 0)
				}
				synctest.Wait()
				r := &rig{t: t, log: log, c: c}
				got := map[string][]offset{}
				for _, g := range c.List(ctx(), tester, 4, &kmsg.ListGroupsRequest{}).Groups {
					resp := c.FetchOffsets(ctx(), tester, 8, &kmsg.OffsetFetchRequest{Groups: []kmsg.OffsetFetchRequestGroup{{Group: g.Group}}})
					for _, rt := range resp.Groups[0].Topics {
						for _, p := range rt.Partitions {
							got[g.Group] = append(got[g.Group], offset{rt.Topic, p.Partition, p.Offset, p.LeaderEpoch, *p.Metadata})
						}
					}
				}
				if d := cmp.Diff(expected[dir], got); d != "" {
					t.Error(d)
				}
				if n := c.Runtime().Stats.Skipped.Load(); n != 0 {
					t.Errorf("%d records were skipped", n)
				}
				if dir == "unclean" {
					return
				}
				for _, g := range []string{"group-one", "group-two"} {
					d := r.describe(g)
					if d.ErrorCode != 0 || d.ProtocolType != "consumer" {
						t.Errorf("%+v", d)
					}
				}
				if d := r.describe("group-gone"); d.State != "Dead" {
					t.Errorf("%+v", d)
				}
				if d := r.describe("group-admin"); d.State != "Empty" {
					t.Errorf("%+v", d)
				}
			})
		})
	}
}

// The group records of Kafka 3.9.2 come out byte for byte when they are loaded and encoded again.
func TestGroupRecordsAreKafkasBytes(t *testing.T) {
	n := 0
	for _, name := range []string{"clean-0", "clean-2"} {
		segment, err := os.ReadFile("testdata/" + name + ".log")
		if err != nil {
			t.Fatal(err)
		}
		log := logtest.New()
		if err := log.Load(0, segment); err != nil {
			t.Fatal(err)
		}
		cfg := Config{}.withDefaults()
		m := newMachine(&cfg, new(Deps), new(Stats), zerologNop())
		for _, rec := range records(log, 0) {
			if err := m.Replay(rec); err != nil {
				t.Fatal(err)
			}
			if v, _ := keyVersion(rec.Key); v == groupKeyVersion {
				for _, g := range m.groups {
					if got := g.appendGroupValue(nil, func(mb *member) []byte { return mb.assignment }); string(got) != string(rec.Value) {
						t.Errorf("%x, want %x", got, rec.Value)
					}
					if got := appendGroupKey(nil, g.id); string(got) != string(rec.Key) {
						t.Errorf("%x, want %x", got, rec.Key)
					}
				}
				n++
				continue
			}
			var k kmsg.OffsetCommitKey
			if err := k.ReadFrom(rec.Key); err != nil {
				t.Fatal(err)
			}
			c := m.groups[k.Group].offsets.get(k.Topic, k.Partition)
			if got := appendOffsetValue(nil, c); string(got) != string(rec.Value) {
				t.Errorf("%x, want %x", got, rec.Value)
			}
			if got := appendOffsetKey(nil, k.Group, k.Topic, k.Partition); string(got) != string(rec.Key) {
				t.Errorf("%x, want %x", got, rec.Key)
			}
			n++
		}
	}
	if n < 10 {
		t.Errorf("only %d records", n)
	}
}

var _ coordinator.Machine = (*machine)(nil)
