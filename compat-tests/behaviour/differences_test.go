package behaviour

import "ottla/compat-tests/harness"

// deviation is an answer of Ottla that differs from Kafka's on purpose. Case, step and path are patterns (path.Match), where
// a literal bracket is written \[. got is Ottla's value, or * for any.
type deviation struct{ name, step, path, got, reason string }

var deliberate = []deviation{}

// onPurpose returns the entry of the table that covers a difference, or -1. Kafka itself has no deviations.
func onPurpose(kind harness.Kind, name, step string, d difference) int {
	if kind != harness.Ottla {
		return -1
	}
	for i, x := range deliberate {
		if matches(x.name, name) && matches(x.step, step) && matches(x.path, d.path) && (x.got == "*" || x.got == d.got) {
			return i
		}
	}
	return -1
}
