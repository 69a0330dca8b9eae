package consumer

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
)

// maxRegex bounds a regular expression: it is part of a record's key.
const maxRegex = 16 << 10

// compileRegex makes the expression match whole names, in the syntax of RE2.
func compileRegex(expr string) (*regexp.Regexp, error) {
	if len(expr) > maxRegex {
		return nil, fail(kerr.InvalidRegularExpression, "SubscribedTopicRegex of %d bytes is too long.", len(expr))
	}
	if _, err := regexp.Compile(expr); err != nil { // as it is, so that it cannot close the group around it
		return nil, fail(kerr.InvalidRegularExpression, "SubscribedTopicRegex `%s` is not a valid regular expression: %s.", expr, reasonOf(err))
	}
	return regexp.Compile(`\A(?:` + expr + `)\z`)
}

// reasonOf is the description alone, as RE2/J's PatternSyntaxException has it.
func reasonOf(err error) string {
	var bad *syntax.Error
	if errors.As(err, &bad) {
		return bad.Code.String()
	}
	return err.Error()
}

// resolve finds the topics that match.
func resolve(expr string, topics Topics, nowMs int64) *Resolved {
	r := &Resolved{Version: int64(topics.Version()), AtMs: nowMs}
	re, err := compileRegex(expr)
	if err != nil { // was checked when a member brought it; a record may hold anything
		return r
	}
	for name := range topics.Names() {
		if re.MatchString(name) {
			r.Topics = append(r.Topics, name)
		}
	}
	slices.Sort(r.Topics)
	return r
}
