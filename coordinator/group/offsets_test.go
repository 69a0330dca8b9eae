package group

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire/batch"
)

func TestCommitRules(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		ms, gen := r.stableGroup("g", 1)
		for _, c := range []struct {
			name   string
			group  string
			member string
			gen    int32
			topic  string
			want   int16
		}{
			{"member", "g", ms[0], gen, "t", 0},
			{"unknown topic", "g", ms[0], gen, "nope", 3},
			{"unknown member", "g", "who", gen, "t", 25},
			{"old generation", "g", ms[0], gen - 1, "t", 22},
			{"generation of the future", "g", ms[0], gen + 1, "t", 22},
			{"simple consumer of a group with members", "g", "", -1, "t", 25},
			{"member without generation", "g", ms[0], -1, "t", 22},
			{"simple consumer of a new group", "simple", "", -1, "t", 0},
			{"simple consumer with a member id", "simple", "me", -1, "t", 0},
			{"generation of an empty group", "simple", "me", 3, "t", 25},
			{"unknown group with a generation", "h", "me", 0, "t", 22},
			{"empty group id", "", "", -1, "t", 0},
			{"group id too long for a record", strings.Repeat("x", 32768), "", -1, "t", 42},
		} {
			if got := r.commit(c.group, c.member, c.gen, c.topic, 42, 0); got != c.want {
				t.Errorf("%s: error %d, want %d", c.name, got, c.want)
			}
		}
		r.wantOffsets("g", "t-0@42")
		r.wantOffsets("simple", "t-0@42")
		r.wantOffsets("", "t-0@42")
		r.wantOffsets("h")
		j := r.join(3, joinReq("g", ms[0]))
		if c := r.commit("g", ms[0], j.wait().Generation, "t", 43, 0); c != codeRebalanceInProgress {
			t.Errorf("commit in CompletingRebalance: %d", c)
		}
		r.wantState("simple", "Empty")
	})
}

func TestCommitInPreparingRebalanceIsAccepted(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		ms, gen := r.stableGroup("g", 2)
		r.leave("g", ms[1])
		r.wantState("g", "PreparingRebalance")
		if c := r.commit("g", ms[0], gen, "t", 9, 1); c != 0 {
			t.Error(c)
		}
		r.wantOffsets("g", "t-1@9")
	})
}

func TestCommitVersions(t *testing.T) {
	for v := int16(1); v <= 9; v++ {
		t.Run(fmt.Sprint("version=", v), func(t *testing.T) {
			bubble(t, Config{}, func(t *testing.T, r *rig) {
				req := commitReq("g", "", -1, "t", 7, 0, 1)
				req.Version = v
				req.RetentionTimeMillis = 60_000
				req.Topics[0].Partitions[0].Timestamp = 1234
				req.Topics[0].Partitions[0].LeaderEpoch = 5
				req.Topics[0].Partitions[0].Metadata = kmsg.StringPtr("m")
				in := kmsg.NewPtrOffsetCommitRequest() // as the wire has it
				in.Version = v
				if err := in.ReadFrom(req.AppendTo(nil)); err != nil {
					t.Fatal(err)
				}
				now := time.Now().UnixMilli()
				resp := r.c.CommitOffsets(ctx(), tester, v, in)
				if len(resp.AppendTo(nil)) == 0 || resp.Version != v || resp.Topics[0].Partitions[1].ErrorCode != 0 {
					t.Fatalf("%+v", resp)
				}
				rs := records(r.log, 0)
				c, err := decodeOffsetValue(rs[0].Value)
				if err != nil || rs[0].TimestampMs != now {
					t.Fatal(err, rs[0].TimestampMs)
				}
				want := committed{offset: 7, leaderEpoch: -1, metadata: "m", commitMs: now, expireMs: -1}
				if v == 1 {
					want.commitMs = 1234
				}
				if v >= 2 && v <= 4 {
					want.expireMs = now + 60_000
				}
				if v >= 6 {
					want.leaderEpoch = 5
				}
				if c != want {
					t.Errorf("%+v, want %+v", c, want)
				}
			})
		})
	}
}

func TestMetadataLimitCountsAsJavaDoes(t *testing.T) {
	bubble(t, Config{OffsetMetadataMaxSize: 4}, func(t *testing.T, r *rig) {
		req := commitReq("g", "", -1, "t", 7, 0, 1, 2, 3)
		for i, m := range []string{"1234", "12345", "üüüü", "\U0001F600\U0001F600x"} {
			req.Topics[0].Partitions[i].Metadata = &m
		}
		var got []int16
		for _, p := range r.c.CommitOffsets(ctx(), tester, 8, req).Topics[0].Partitions {
			got = append(got, p.ErrorCode)
		}
		r.wantCodes("commit", got, 0, 12, 0, 12)
		r.wantOffsets("g", "t-0@7", "t-2@7")
	})
}

func TestCommitErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int16
	}{
		{kerr.UnknownTopicOrPartition, 15}, {kerr.NotEnoughReplicas, 15}, {kerr.NotLeaderForPartition, 16}, {kerr.KafkaStorageError, 16},
		{kerr.RequestTimedOut, 7}, {kerr.MessageTooLarge, 28}, {kerr.RecordListTooLarge, 28}, {kerr.NetworkException, 14}, {kerr.CorruptMessage, 2},
	} {
		bubble(t, Config{}, func(t *testing.T, r *rig) {
			r.log.FailAppends(func(int32, batch.View) error { return fmt.Errorf("append: %w", c.err) })
			if got := r.commit("g", "", -1, "t", 1, 0); got != c.want {
				t.Errorf("%v: error %d, want %d", c.err, got, c.want)
			}
			r.log.FailAppends(nil)
			r.wantOffsets("g")
			r.wantState("g", "Dead")
		})
	}
}

func TestUncommittedOffsetsAreNotShown(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		r.commit("g", "", -1, "t", 1, 0)
		r.log.HoldHighWatermark(true)
		code := make(chan int16, 1)
		go func() { code <- r.commit("g", "", -1, "t", 2, 0) }()
		synctest.Wait()
		start := time.Now()
		if got := r.offsets("g"); fmt.Sprint(got) != "[error 14]" || time.Since(start) != 5*time.Second {
			t.Errorf("%v after %v", got, time.Since(start))
		}
		if c := <-code; c != kerr.RequestTimedOut.Code {
			t.Errorf("commit: %d", c)
		}
		r.log.HoldHighWatermark(false)
		r.wantOffsets("g", "t-0@2")
	})
}

func TestFetchVersions(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		req := commitReq("g", "", -1, "t", 7, 0)
		req.Topics[0].Partitions[0].LeaderEpoch, req.Topics[0].Partitions[0].Metadata = 5, kmsg.StringPtr("m")
		r.c.CommitOffsets(ctx(), tester, 9, req)
		for v := int16(1); v <= 9; v++ {
			req := &kmsg.OffsetFetchRequest{Version: v}
			ask := []int32{0, 1}
			if v < 8 {
				req.Group, req.Topics = "g", []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: ask}, {Topic: "u", Partitions: []int32{3}}}
			} else {
				req.Groups = []kmsg.OffsetFetchRequestGroup{
					{Group: "g", Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", Partitions: ask}, {Topic: "u", Partitions: []int32{3}}}}, {Group: "h"},
				}
			}
			resp := r.c.FetchOffsets(ctx(), tester, v, req)
			out := kmsg.NewPtrOffsetFetchResponse()
			out.Version = v
			if err := out.ReadFrom(resp.AppendTo(nil)); err != nil {
				t.Fatal(err)
			}
			var got string
			show := func(topic string, p int32, off int64, epoch int32, meta *string, code int16) {
				got += fmt.Sprintf("%s-%d %d/%d %q %d; ", topic, p, off, epoch, *meta, code)
			}
			for _, rt := range out.Topics {
				for _, p := range rt.Partitions {
					show(rt.Topic, p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode)
				}
			}
			for _, g := range out.Groups {
				got += g.Group + ": "
				for _, rt := range g.Topics {
					for _, p := range rt.Partitions {
						show(rt.Topic, p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode)
					}
				}
			}
			epoch := -1
			if v >= 5 {
				epoch = 5
			}
			want := fmt.Sprintf(`t-0 7/%d "m" 0; t-1 -1/-1 "" 0; u-3 -1/-1 "" 0; `, epoch)
			if v >= 8 {
				want = "g: " + want + "h: "
			}
			if got != want {
				t.Errorf("version %d: %s, want %s", v, got, want)
			}
		}
		all := r.c.FetchOffsets(ctx(), tester, 2, &kmsg.OffsetFetchRequest{Group: "g"})
		if len(all.Topics) != 1 || len(all.Topics[0].Partitions) != 1 {
			t.Errorf("all: %+v", all)
		}
		if none := r.c.FetchOffsets(ctx(), tester, 2, &kmsg.OffsetFetchRequest{Group: "g", Topics: []kmsg.OffsetFetchRequestTopic{}}); len(none.Topics) != 0 {
			t.Errorf("none: %+v", none)
		}
		r.c.Resigned(0, -1)
		old := r.c.FetchOffsets(ctx(), tester, 1, &kmsg.OffsetFetchRequest{Group: "g", Topics: []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0}}}})
		if old.Topics[0].Partitions[0].ErrorCode != 16 {
			t.Errorf("version 1 puts the error on partitions: %+v", old)
		}
		if c := r.c.FetchOffsets(ctx(), tester, 7, &kmsg.OffsetFetchRequest{Group: "g"}).ErrorCode; c != 16 {
			t.Error(c)
		}
	})
}

func (r *rig) txnCommit(version int16, group string, pid int64, offset int64, partitions ...int32) int16 {
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.Version, req.Group, req.TransactionalID, req.ProducerID = version, group, "tx", pid
	rt := kmsg.TxnOffsetCommitRequestTopic{Topic: "t"}
	for _, p := range partitions {
		rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		rp.Partition, rp.Offset = p, offset
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	return r.c.TxnCommitOffsets(ctx(), tester, version, req, nil).Topics[0].Partitions[0].ErrorCode
}

// endTxn writes the marker and tells the coordinator.
func (r *rig) endTxn(pid int64, commit bool) {
	kind := batch.ControlAbort
	if commit {
		kind = batch.ControlCommit
	}
	r.log.Put(0, batch.ControlBatch(batch.ControlOptions{Type: kind, ProducerID: pid}))
	r.c.CompleteTxn(0, pid, commit)
}

func (r *rig) stableOffset(group string, partition int32) (offset int64, code int16) {
	resp := r.c.FetchOffsets(ctx(), tester, 7, &kmsg.OffsetFetchRequest{
		Group: group, RequireStable: true, Topics: []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{partition}}},
	})
	p := resp.Topics[0].Partitions[0]
	return p.Offset, p.ErrorCode
}

func TestTransactionalOffsetsCountAfterTheMarker(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		r.commit("g", "", -1, "t", 1, 0, 1)
		r.wantCodes("txn commits", []int16{r.txnCommit(3, "g", 7, 10, 0), r.txnCommit(3, "g", 7, 20, 5), r.txnCommit(3, "h", 7, 30, 0), r.txnCommit(2, "g", 8, 40, 1)}, 0, 0, 0, 0)
		r.wantOffsets("g", "t-0@1", "t-1@1")
		r.wantOffsets("h")
		if off, c := r.stableOffset("g", 0); off != -1 || c != codeUnstableOffset {
			t.Errorf("offset %d, error %d", off, c)
		}
		if off, c := r.stableOffset("g", 2); off != -1 || c != 0 {
			t.Errorf("offset %d, error %d", off, c)
		}
		r.commit("g", "", -1, "t", 15, 0) // later than the transaction's: stays
		r.endTxn(7, true)
		r.wantOffsets("g", "t-0@15", "t-1@1", "t-5@20")
		r.wantOffsets("h", "t-0@30")
		if off, c := r.stableOffset("g", 0); off != 15 || c != 0 {
			t.Errorf("offset %d, error %d", off, c)
		}
		r.endTxn(8, false)
		r.endTxn(9, true)
		r.wantOffsets("g", "t-0@15", "t-1@1", "t-5@20")
		for _, b := range r.log.Batches(0) {
			if b.IsTransactional() && !b.IsControl() && (b.ProducerID() < 7 || b.Count() != 1) {
				t.Errorf("producer id %d in a batch of %d", b.ProducerID(), b.Count())
			}
		}
		sameAfterFailover(t, r)
	})
}

func TestTxnCommitRules(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		ms, gen := r.stableGroup("g", 1)
		commit := func(version int16, group, member string, gen int32, instance *string, pid int64) int16 {
			req := kmsg.NewPtrTxnOffsetCommitRequest()
			req.Group, req.MemberID, req.Generation, req.InstanceID, req.ProducerID = group, member, gen, instance, pid
			req.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: "t", Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{{}}}}
			return r.c.TxnCommitOffsets(ctx(), tester, version, req, nil).Topics[0].Partitions[0].ErrorCode
		}
		inst := "i"
		r.wantCodes("rules", []int16{
			commit(3, "g", ms[0], gen, nil, 1), commit(3, "g", "who", gen, nil, 1), commit(3, "g", ms[0], gen-1, nil, 1), commit(3, "g", "", -1, nil, 1),
			commit(2, "g", "who", 5, nil, 1), commit(3, "g", ms[0], gen, &inst, 1), commit(3, "", ms[0], gen, nil, 1), commit(3, "new", "who", 1, nil, 1), commit(3, "g", "", -1, nil, -1),
		}, 0, 25, 22, 0, 0, 25, 24, 25, 42)
		r.c.Resigned(0, -1)
		r.log.FailReads(errors.New("asleep"))
		r.c.Elected(0, 9)
		synctest.Wait()
		r.wantCodes("loading", []int16{commit(1, "g", "", -1, nil, 1), commit(2, "g", "", -1, nil, 1)}, 15, 14)
		r.log.FailReads(nil)
	})
}

func TestRetention(t *testing.T) {
	day := 24 * time.Hour
	cfg := Config{OffsetsRetention: day, OffsetsRetentionCheckInterval: 10 * time.Minute}
	t.Run("simple consumers by commit", func(t *testing.T) {
		bubble(t, cfg, func(t *testing.T, r *rig) {
			r.commit("g", "", -1, "t", 1, 0)
			sleep(12 * time.Hour)
			r.commit("g", "", -1, "t", 1, 1)
			sleep(12*time.Hour + 10*time.Minute)
			r.wantOffsets("g", "t-1@1")
			sleep(12 * time.Hour)
			r.wantOffsets("g")
			r.wantState("g", "Dead")
			sameAfterFailover(t, r)
		})
	})
	t.Run("own retention of old clients", func(t *testing.T) {
		bubble(t, cfg, func(t *testing.T, r *rig) {
			req := commitReq("g", "", -1, "t", 1, 0)
			req.RetentionTimeMillis = int64(48 * time.Hour / time.Millisecond)
			r.c.CommitOffsets(ctx(), tester, 4, req)
			sleep(47 * time.Hour)
			r.wantOffsets("g", "t-0@1")
			sleep(70 * time.Minute)
			r.wantOffsets("g")
		})
	})
	t.Run("groups from when they became empty", func(t *testing.T) {
		bubble(t, cfg, func(t *testing.T, r *rig) {
			ms, gen := r.stableGroup("g", 1)
			r.commit("g", ms[0], gen, "t", 1, 0)
			r.commit("g", ms[0], gen, "unsubscribed", 1, 0)
			for range 30 * 60 * 8 {
				time.Sleep(9 * time.Second)
				r.heartbeat("g", ms[0], gen)
			}
			r.wantOffsets("g", "t-0@1") // a topic that nobody subscribes to expires while the group is stable
			r.leave("g", ms[0])
			sleep(23 * time.Hour)
			r.wantOffsets("g", "t-0@1")
			sleep(70 * time.Minute)
			r.wantOffsets("g")
			r.wantState("g", "Dead")
			rs := records(r.log, 0)
			if last := rs[len(rs)-1]; last.Value != nil || string(last.Key) != string(appendGroupKey(nil, "g")) {
				t.Errorf("the last record is %q", last.Key)
			}
			sameAfterFailover(t, r)
		})
	})
	t.Run("open transactions keep the group", func(t *testing.T) {
		bubble(t, cfg, func(t *testing.T, r *rig) {
			ms, gen := r.stableGroup("g", 1)
			r.commit("g", ms[0], gen, "t", 1, 1)
			r.txnCommit(3, "g", 7, 10, 0)
			sleep(30 * time.Hour)
			r.wantOffsets("g")
			r.wantState("g", "Empty")
			sameAfterFailover(t, r)
			r.endTxn(7, true)
			r.wantOffsets("g", "t-0@10")
			sleep(10 * time.Minute)
			r.wantOffsets("g")
		})
	})
	t.Run("failed tombstones are written later", func(t *testing.T) {
		bubble(t, cfg, func(t *testing.T, r *rig) {
			r.commit("g", "", -1, "t", 1, 0)
			r.log.FailAppends(func(int32, batch.View) error { return kerr.NotEnoughReplicas })
			sleep(25 * time.Hour)
			r.wantOffsets("g", "t-0@1")
			r.log.FailAppends(nil)
			sleep(10 * time.Minute)
			r.wantOffsets("g")
		})
	})
}

func TestManyTombstonesAreSplit(t *testing.T) {
	bubble(t, Config{OffsetsRetention: time.Hour, MaxMessageBytes: 2000}, func(t *testing.T, r *rig) {
		r.log.SetMaxBatch(2000)
		for i := range int32(90) {
			r.commit("g", "", -1, "topic", 1, i)
		}
		sleep(2 * time.Hour)
		r.wantOffsets("g")
		r.wantState("g", "Dead")
		if n := r.c.Stats(); n.Offsets != 0 || n.OffsetExpirations != 90 || n.Groups != 0 || n.OffsetCommits != 90 {
			t.Errorf("%+v", n)
		}
	})
}

func TestDeleteGroups(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		ms, gen := r.stableGroup("g", 1)
		r.commit("g", ms[0], gen, "t", 1, 0, 1)
		r.commit("simple", "", -1, "t", 1, 0)
		r.joinNow(4, joinReq("pending", ""))
		del := func(groups ...string) (codes []int16) {
			for _, g := range r.c.Delete(ctx(), tester, 2, &kmsg.DeleteGroupsRequest{Groups: groups}).Groups {
				codes = append(codes, g.ErrorCode)
			}
			return codes
		}
		r.wantCodes("delete", del("g", "h", "simple", "pending", "simple"), codeNonEmptyGroup, codeGroupIDNotFound, 0, 0)
		r.leave("g", ms[0])
		r.log.FailAppends(func(int32, batch.View) error { return kerr.NotEnoughReplicas })
		r.wantCodes("failing delete", del("g"), codeNotAvailable)
		r.wantOffsets("g", "t-0@1", "t-1@1")
		r.log.FailAppends(nil)
		r.wantCodes("delete", del("g"), 0)
		r.wantCodes("again", del("g"), codeGroupIDNotFound)
		r.wantOffsets("g")
		r.wantState("g", "Dead")
		sameAfterFailover(t, r)
		if n := r.c.Stats(); n.Groups != 0 || n.Offsets != 0 {
			t.Errorf("%+v", n)
		}
	})
}

func TestDeleteOffsets(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		ms, gen := r.stableGroup("g", 1)
		r.commit("g", ms[0], gen, "t", 1, 0)
		r.commit("g", ms[0], gen, "u", 1, 0, 1)
		del := func(group string, topics ...string) string {
			req := &kmsg.OffsetDeleteRequest{Group: group}
			for _, t := range topics {
				req.Topics = append(req.Topics, kmsg.OffsetDeleteRequestTopic{Topic: t, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}, {Partition: 0}}})
			}
			resp := r.c.DeleteOffsets(ctx(), tester, 0, req)
			s := fmt.Sprint(resp.ErrorCode)
			for _, t := range resp.Topics {
				for _, p := range t.Partitions {
					s += fmt.Sprintf(" %s:%d", t.Topic, p.ErrorCode)
				}
			}
			return s
		}
		for _, c := range []struct{ got, want string }{
			{del("", "t"), "24"},
			{del("h", "t"), "69"},
			{del("g", "t", "u", "nope"), "0 t:86 t:86 u:0 u:0 nope:3 nope:3"},
		} {
			if c.got != c.want {
				t.Errorf("%s, want %s", c.got, c.want)
			}
		}
		r.wantOffsets("g", "t-0@1", "u-1@1")
		connect := joinReq("c", "")
		connect.ProtocolType = "connect"
		r.join(3, connect).wait()
		if got := del("c", "t"); got != "68" {
			t.Error(got)
		}
		r.leave("g", ms[0])
		del("g", "t")
		r.wantOffsets("g", "u-1@1")
	})
}

func TestDeletedTopicsTakeTheirOffsetsAlong(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		ms, gen := r.stableGroup("g", 1)
		r.commit("g", ms[0], gen, "t", 1, 0, 1)
		r.commit("g", ms[0], gen, "u", 1, 0)
		r.commit("simple", "", -1, "t", 1, 0)
		r.txnCommit(3, "txn", 7, 5, 0)
		r.c.OnTopicsDeleted([]string{"t", "x"})
		synctest.Wait()
		r.wantOffsets("g", "u-0@1")
		r.wantOffsets("simple")
		r.wantState("simple", "Dead")
		r.endTxn(7, true)
		r.wantOffsets("txn")
		r.wantState("g", "Stable")
	})
}

func TestListGroups(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		r.stableGroup("a", 1)
		r.commit("b", "", -1, "t", 1, 0)
		r.join(3, joinReq("c", "")).wait()
		list := func(version int16, states, types []string) string {
			resp := r.c.List(ctx(), tester, version, &kmsg.ListGroupsRequest{StatesFilter: states, TypesFilter: types})
			s := fmt.Sprint(resp.ErrorCode)
			for _, g := range resp.Groups {
				s += fmt.Sprintf(" %s/%s/%s/%s", g.Group, g.ProtocolType, g.GroupState, g.GroupType)
			}
			return s
		}
		for _, c := range []struct{ got, want string }{
			{list(5, nil, nil), "0 a/consumer/Stable/classic b//Empty/classic c/consumer/CompletingRebalance/classic"},
			{list(4, []string{"STABLE", "empty"}, nil), "0 a/consumer/Stable/classic b//Empty/classic"},
			{list(5, []string{"Empty"}, []string{"Classic"}), "0 b//Empty/classic"},
			{list(5, nil, []string{"consumer"}), "0"},
			{list(5, []string{"nonsense"}, nil), "0"},
		} {
			if c.got != c.want {
				t.Errorf("%s, want %s", c.got, c.want)
			}
		}
	})
}

func TestDescribeGroups(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		ms, _ := r.stableGroup("g", 1)
		d := r.describe("g")
		m := d.Members[0]
		if d.State != "Stable" || d.ProtocolType != "consumer" || d.Protocol != "range" || m.MemberID != ms[0] || m.ClientID != "tester" || m.ClientHost != "/127.0.0.1" ||
			string(m.ProtocolMetadata) != string(subscription("t")) || !strings.HasPrefix(string(m.MemberAssignment), "assignment of") || d.AuthorizedOperations != -2147483648 {
			t.Errorf("%+v", d)
		}
		r.join(3, joinReq("g", ms[0])).wait()
		d = r.describe("g")
		if d.State != "CompletingRebalance" || d.Protocol != "" || len(d.Members[0].ProtocolMetadata) != 0 || len(d.Members[0].MemberAssignment) != 0 {
			t.Errorf("%+v", d)
		}
		if d = r.describe("h"); d.State != "Dead" || d.ErrorCode != 0 || d.ProtocolType != "" {
			t.Errorf("%+v", d)
		}
		d = r.c.Describe(ctx(), tester, 6, &kmsg.DescribeGroupsRequest{Groups: []string{"h"}}).Groups[0]
		if d.ErrorCode != 69 || *d.ErrorMessage != "Group h not found." || d.State != "Dead" {
			t.Errorf("%+v", d)
		}
	})
}

func TestContextEndsTheWait(t *testing.T) {
	bubble(t, withDelay, func(t *testing.T, r *rig) {
		gone, cancel := context.WithCancel(ctx())
		cancel()
		r.log.HoldHighWatermark(true)
		r.wantCodes("given up", []int16{
			r.c.Join(gone, tester, 3, joinReq("g", "")).ErrorCode,
			r.c.Sync(gone, tester, 3, &kmsg.SyncGroupRequest{Group: "g"}).ErrorCode,
			r.c.CommitOffsets(gone, tester, 7, commitReq("h", "", -1, "t", 1, 0)).Topics[0].Partitions[0].ErrorCode,
			r.c.FetchOffsets(gone, tester, 7, &kmsg.OffsetFetchRequest{Group: "g"}).ErrorCode,
		}, 15, 15, 15, 15)
		r.log.HoldHighWatermark(false)
	})
}
