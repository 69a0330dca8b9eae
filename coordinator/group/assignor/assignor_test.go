package assignor

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

func topic(n int) TopicID { return TopicID{0: 7, 15: byte(n)} }

// randomSpec has up to 12 members and 6 topics; with equal subscriptions every other time.
func randomSpec(rng *rand.Rand) Spec {
	s := Spec{Partitions: map[TopicID]int32{}}
	topics := 1 + rng.IntN(6)
	for t := range topics {
		s.Partitions[topic(t)] = int32(rng.IntN(20))
	}
	equal := rng.IntN(2) == 0
	all := map[TopicID]struct{}{}
	for t := range topics + 1 { // one that does not exist
		if rng.IntN(4) > 0 {
			all[topic(t)] = struct{}{}
		}
	}
	for i := range 1 + rng.IntN(12) {
		m := Member{ID: fmt.Sprintf("m%02d", i), Topics: all}
		if rng.IntN(3) == 0 {
			m.InstanceID = fmt.Sprint("i", i)
		}
		if !equal {
			m.Topics = map[TopicID]struct{}{}
			for t := range all {
				if rng.IntN(2) == 0 {
					m.Topics[t] = struct{}{}
				}
			}
		}
		s.Members = append(s.Members, m)
	}
	return s
}

// wantValid checks that every partition that somebody wants has exactly one owner, which wants it.
func wantValid(t *testing.T, s Spec, got map[string]Assignment) {
	t.Helper()
	wanted, owners := map[TopicID]bool{}, map[string]string{}
	for _, m := range s.Members {
		a, ok := got[m.ID]
		if !ok {
			t.Fatalf("%s is not in the assignment", m.ID)
		}
		for id := range m.Topics {
			wanted[id] = true
		}
		for id, ps := range a {
			if _, ok := m.Topics[id]; !ok || len(ps) == 0 || !slices.IsSorted(ps) {
				t.Fatalf("%s has %v of topic %v", m.ID, ps, id)
			}
			for _, p := range ps {
				key := fmt.Sprint(id, p)
				if p < 0 || p >= s.Partitions[id] || owners[key] != "" {
					t.Fatalf("%s has partition %s, which %q has", m.ID, key, owners[key])
				}
				owners[key] = m.ID
			}
		}
	}
	n := 0
	for id := range wanted {
		n += int(s.Partitions[id])
	}
	if n != len(owners) || len(got) != len(s.Members) {
		t.Fatalf("%d of %d partitions are assigned, to %d of %d members", len(owners), n, len(got), len(s.Members))
	}
}

func size(a Assignment) (n int) {
	for _, ps := range a {
		n += len(ps)
	}
	return n
}

func wantUniform(t *testing.T, s Spec, got map[string]Assignment) {
	t.Helper()
	for _, to := range s.Members {
		for _, from := range s.Members {
			if size(got[from.ID]) < size(got[to.ID])+2 {
				continue
			}
			for id := range got[from.ID] {
				if _, ok := to.Topics[id]; ok {
					t.Fatalf("%s has %d and %s has %d, which wants %v", from.ID, size(got[from.ID]), to.ID, size(got[to.ID]), id)
				}
			}
		}
	}
}

func wantRange(t *testing.T, s Spec, got map[string]Assignment) {
	t.Helper()
	for id := range s.Partitions {
		var shares []int
		for _, m := range s.Members {
			if _, ok := m.Topics[id]; ok {
				shares = append(shares, len(got[m.ID][id]))
			}
		}
		if len(shares) > 0 && slices.Max(shares)-slices.Min(shares) > 1 {
			t.Fatalf("shares of %v: %v", id, shares)
		}
	}
}

// moved counts the partitions of existing members that they lost although they want them.
func moved(s Spec, got map[string]Assignment) (n int) {
	for _, m := range s.Members {
		for id, ps := range m.Current {
			if _, ok := m.Topics[id]; !ok {
				continue
			}
			for _, p := range ps {
				if p < s.Partitions[id] && !got[m.ID].Has(id, p) {
					n++
				}
			}
		}
	}
	return n
}

// TestAssignorProperties: whatever happens to a group, its assignment is valid, balanced, the same each time, and does not change without
// a reason.
func TestAssignorProperties(t *testing.T) {
	for name, balanced := range map[string]func(*testing.T, Spec, map[string]Assignment){Uniform: wantUniform, Range: wantRange} {
		t.Run(name, func(t *testing.T) {
			assign := Get(name)
			for seed := range uint64(500) {
				rng := rand.New(rand.NewPCG(seed, 1))
				s := randomSpec(rng)
				for step := range 4 {
					got := assign(s)
					ctx := fmt.Sprintf("seed %d, step %d", seed, step)
					wantValid(t, s, got)
					balanced(t, s, got)
					shuffled := s
					shuffled.Members = slices.Clone(s.Members)
					rng.Shuffle(len(s.Members), func(i, j int) {
						shuffled.Members[i], shuffled.Members[j] = shuffled.Members[j], shuffled.Members[i]
					})
					if again := assign(shuffled); !reflect.DeepEqual(again, got) {
						t.Fatalf("%s: the order of the members matters: %v and %v", ctx, got, again)
					}
					for i := range s.Members {
						s.Members[i].Current = got[s.Members[i].ID]
					}
					if again := assign(s); !reflect.DeepEqual(again, got) {
						t.Fatalf("%s: assigned anew without a reason: %v, then %v", ctx, got, again)
					}
					if t.Failed() {
						t.Fatal(ctx)
					}
					switch next := randomSpec(rng); step {
					case 0: // a member joins
						m := next.Members[0]
						m.ID, m.Topics = "new", s.Members[0].Topics
						s.Members = append(s.Members, m)
					case 1: // one leaves
						if i := rng.IntN(len(s.Members)); len(s.Members) > 1 {
							s.Members = slices.Delete(slices.Clone(s.Members), i, i+1)
						}
					case 2: // topics grow, go, and are subscribed to anew
						s.Partitions = maps.Clone(s.Partitions)
						for id := range s.Partitions {
							switch rng.IntN(4) {
							case 0:
								s.Partitions[id] += 3
							case 1:
								delete(s.Partitions, id)
							}
						}
						s.Members = slices.Clone(s.Members)
						s.Members[0].Topics = next.Members[0].Topics
					}
				}
			}
		})
	}
}

// TestUniformMovesLittle: with equal subscriptions a new member takes its share and nothing else moves; a leaving one moves nothing of the
// others.
func TestUniformMovesLittle(t *testing.T) {
	for members := 1; members < 9; members++ {
		s := Spec{Partitions: map[TopicID]int32{topic(1): 17, topic(2): 6}}
		for i := range members {
			s.Members = append(s.Members, Member{ID: fmt.Sprint("m", i), Topics: map[TopicID]struct{}{topic(1): {}, topic(2): {}}})
		}
		got := uniform(s)
		for i := range s.Members {
			s.Members[i].Current = got[s.Members[i].ID]
		}
		grown := s
		grown.Members = append(slices.Clone(s.Members), Member{ID: "new", Topics: s.Members[0].Topics})
		after := uniform(grown)
		if m := moved(grown, after); m != size(after["new"]) {
			t.Errorf("%d members: %d moved for the new one's %d", members, m, size(after["new"]))
		}
		if members > 1 {
			shrunk := s
			shrunk.Members = s.Members[1:]
			if m := moved(shrunk, uniform(shrunk)); m != 0 {
				t.Errorf("%d members: %d moved when one left", members, m)
			}
		}
	}
}

// TestRangeCoPartitions: topics of the same size are cut the same way.
func TestRangeCoPartitions(t *testing.T) {
	s := Spec{Partitions: map[TopicID]int32{topic(1): 7, topic(2): 7}}
	for i := range 3 {
		s.Members = append(s.Members, Member{ID: fmt.Sprint("m", i), Topics: map[TopicID]struct{}{topic(1): {}, topic(2): {}}})
	}
	got := byRange(s)
	for id, want := range map[string][]int32{"m0": {0, 1, 2}, "m1": {3, 4}, "m2": {5, 6}} {
		if !slices.Equal(got[id][topic(1)], want) || !slices.Equal(got[id][topic(2)], want) {
			t.Errorf("%s has %v, want %v of both", id, got[id], want)
		}
	}
}

func BenchmarkAssign(b *testing.B) {
	for _, name := range []string{Uniform, Range} {
		for _, equal := range []bool{true, false} {
			b.Run(fmt.Sprintf("assignor=%s/equal=%t/members=1000/partitions=5000", name, equal), func(b *testing.B) {
				s := Spec{Partitions: map[TopicID]int32{}}
				for t := range 50 {
					s.Partitions[topic(t)] = 100
				}
				for i := range 1000 {
					m := Member{ID: fmt.Sprint("m", i), Topics: map[TopicID]struct{}{}}
					for t := range 50 {
						if equal || (t+i)%3 > 0 {
							m.Topics[topic(t)] = struct{}{}
						}
					}
					s.Members = append(s.Members, m)
				}
				b.ReportAllocs()
				for b.Loop() {
					Get(name)(s)
				}
			})
		}
	}
}
