package assignor

// byRange gives each subscriber of a topic its share of the topic's partitions, the first ones one more where they do not divide evenly.
// A member keeps the lowest partitions that it has, up to its share; the rest is handed out in runs.
func byRange(s Spec) map[string]Assignment {
	members := s.sortedMembers()
	assigned := make([]Assignment, len(members))
	subs := s.subscribers(members)
	for _, topic := range sortedTopics(subs) {
		s.rangeTopic(topic, subs[topic], members, assigned)
	}
	return result(members, assigned)
}

func (s Spec) rangeTopic(topic TopicID, subs []int, members []Member, assigned []Assignment) {
	count := s.Partitions[topic]
	share, extra := int(count)/len(subs), int(count)%len(subs)
	taken := make([]bool, count)
	keep := func(i int, ps []int32, n int) {
		kept := make([]int32, 0, n)
		for _, p := range ps {
			if len(kept) < n && p >= 0 && p < count && !taken[p] {
				taken[p] = true
				kept = append(kept, p)
			}
		}
		if assigned[i] == nil {
			assigned[i] = Assignment{}
		}
		assigned[i][topic] = kept
	}
	// Members that have more than the share keep one more, as long as there are such.
	quota := make([]int, len(subs))
	for k, i := range subs {
		quota[k] = share
		if extra > 0 && len(members[i].Current[topic]) > share {
			quota[k]++
			extra--
		}
		keep(i, members[i].Current[topic], quota[k])
	}
	for k := range subs {
		if extra > 0 && quota[k] == share {
			quota[k]++
			extra--
		}
	}
	next := int32(0)
	for k, i := range subs {
		for len(assigned[i][topic]) < quota[k] {
			for taken[next] {
				next++
			}
			taken[next] = true
			assigned[i][topic] = append(assigned[i][topic], next)
		}
	}
}
